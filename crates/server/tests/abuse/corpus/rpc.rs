//! JSON-RPC that no client should send: shapes, sizes, every parameter of every method with values of every wrong kind.

use serde_json::json;

use super::{
    Bytes, Row, Stand, Then,
    Want::{Code, Status},
    call, call_one, row,
};
use crate::{
    callers::METHODS,
    harness::{PASSWORD, USER, ask},
    signing::{BASE, URL_SECRET},
};

fn nested(open: &str, close: &str, deep: usize) -> String {
    format!("{}{}", open.repeat(deep), close.repeat(deep))
}

#[test]
fn shapes_and_sizes() {
    let mut stand = Stand::start("");
    let mut rows: Vec<Row> = Vec::new();
    let member = |members: &str| format!(r#"{{"jsonrpc":"2.0",{members}}}"#);
    let ping = r#""method":"ping","id":1"#;
    let batch = |n: usize| {
        let one = |i| member(&format!(r#""method":"ping","id":{i}"#));
        format!("[{}]", (0..n).map(one).collect::<Vec<_>>().join(","))
    };
    let anything = [0, -32_700, -32_600, -32_602, -32_601, -32_099];
    for (what, body, codes) in [
        ("100,000 brackets", "[".repeat(100_000), &[-32_700][..]),
        ("100,000 brackets, closed", nested("[", "]", 100_000), &anything),
        ("100,000 braces", r#"{"a":"#.repeat(100_000), &[-32_700, -32_600]),
        (
            "deep parameters",
            member(&format!(r#"{ping},"params":{}"#, nested("[", "]", 50_000))),
            &anything,
        ),
        (
            "a deep id",
            member(&format!(r#""method":"ping","params":[],"id":{}"#, nested("[", "]", 50_000))),
            &anything,
        ),
        ("a duplicate method", member(r#""method":"ping","method":"makeDir","id":1"#), &anything),
        (
            "duplicate parameters",
            member(r#""method":"ping","params":[],"params":[1],"id":1"#),
            &anything,
        ),
        (
            "a duplicate token",
            member(r#""method":"makeDir","params":{"token":"a","token":"b","path":"/x"},"id":1"#),
            &[-10_001, -32_602, -32_600],
        ),
        ("a batch of none", "[]".to_owned(), &[-32_700, -32_600]),
        ("a batch of four", batch(4), &[-32_099, -32_600]),
        ("a batch in a batch", format!("[{}]", batch(2)), &[-32_600]),
        ("a batch of numbers", "[1,2,3]".to_owned(), &[-32_600]),
        ("a batch of one id", format!("[{},{}]", member(ping), member(ping)), &[-32_099, -32_600]),
        (
            "version 3.0",
            r#"{"jsonrpc":"3.0","method":"ping","params":[],"id":1}"#.to_owned(),
            &[-32_600],
        ),
        (
            "version 2.0 as a number",
            r#"{"jsonrpc":2.0,"method":"ping","params":[],"id":1}"#.to_owned(),
            &[-32_600],
        ),
        ("a hidden method", member(r#""method":"_x","params":[],"id":1"#), &[-32_601]),
        ("a method of Python", member(r#""method":"__class__","params":[],"id":1"#), &[-32_601]),
        (
            "system.listMethods",
            member(r#""method":"system.listMethods","params":[],"id":1"#),
            &[-32_601],
        ),
        ("a method as a path", member(r#""method":"../ping","params":[],"id":1"#), &[-32_601]),
        (
            "a long method",
            member(&format!(r#""method":"{}","params":[],"id":1"#, "m".repeat(1 << 20))),
            &[-32_601],
        ),
        (
            "a method of line breaks",
            member(r#""method":"ping\r\nX: y","params":[],"id":1"#),
            &[-32_601],
        ),
        ("no method", member(r#""params":[],"id":1"#), &[-32_600]),
        ("a method that is no string", member(r#""method":5,"params":[],"id":1"#), &[-32_600]),
        (
            "parameters as a string",
            member(r#""method":"ping","params":"x","id":1"#),
            &[-32_602, -32_600],
        ),
        ("nothing", String::new(), &[-32_700]),
        ("white space", " \r\n\t".to_owned(), &[-32_700]),
        ("a byte order mark", format!("\u{feff}{}", member(ping)), &[0, -32_700]),
        ("two calls", format!("{0}{0}", member(ping)), &[-32_700]),
        ("a call and a NUL", format!("{}\0", member(ping)), &[-32_700]),
        ("NaN", "NaN".to_owned(), &[-32_700]),
        ("a form", "method=ping&params=".to_owned(), &[-32_700]),
        (
            "XML-RPC",
            "<methodCall><methodName>ping</methodName></methodCall>".to_owned(),
            &[-32_700],
        ),
        (
            "300,000 parameters",
            member(&format!(r#"{ping},"params":[{}1]"#, "1,".repeat(300_000))),
            &[-32_602],
        ),
    ] {
        for path in ["/jsonrpc", "/jsonrpc2"] {
            let bytes = stand.bytes(&ask("POST", path).body(body.clone()));
            rows.push(row(format!("{path}, {what}"), bytes, Code(codes.to_vec())));
        }
    }
    for path in ["/jsonrpc", "/jsonrpc2"] {
        for (what, len, byte) in [("10 MB", 10 << 20, b'['), ("64 MB", 64 << 20, b' ')] {
            let head = ask("POST", path).with("Content-Length", len.to_string());
            let bytes = Bytes::Endless(head.head(stand.server.address()), byte, len);
            let (want, then) = (Code(vec![-32_600]), Then::Same);
            rows.push(Row { what: format!("{path}, {what}"), bytes, want, then });
        }
        let chunked = ask("POST", path).chunks(&vec![b'['; 10 << 20], 1 << 20);
        rows.push(row(
            format!("{path}, 10 MB of chunks"),
            stand.bytes(&chunked),
            Code(vec![-32_600]),
        ));
        rows.push(row(format!("GET {path}"), stand.bytes(&ask("GET", path)), Status(405)));
    }
    stand.run(rows);
    stand.finish("shapes and sizes of calls", &[]);
}

/// Whatever stands where a parameter should be: a code, and nothing changes. Which code fits is held, method by method,
/// by `wire::abuse_rpc`.
#[test]
fn every_parameter_of_every_method() {
    let mut stand = Stand::start("");
    let large = format!("\"{}\"", "y".repeat(1 << 20));
    let nines = "9".repeat(1000);
    let values = [
        "5",
        "{}",
        "[]",
        "null",
        r#""""#,
        "1e400",
        "-1.5",
        "18446744073709551616",
        r#""\ud800""#,
        r#""a\u0000""#,
        &large,
        &nines,
    ];
    let mut rows: Vec<Row> = Vec::new();
    for method in METHODS {
        let free = ["login", "authenticate", "ping", "noop"].contains(&method.name);
        for at in 0..method.params.len() {
            for value in values {
                // What a wrong kind in the right place could still do: end this test's own session, or begin another.
                let own =
                    at > 0 && ["logout", "updateSession", "initKeyPair"].contains(&method.name);
                if own || (method.name == "logout" && at == 0 && value == "null") {
                    continue;
                }
                let list: Vec<String> = method
                    .params
                    .iter()
                    .enumerate()
                    .map(|(i, valid)| {
                        let valid = match (i == at, i) {
                            (true, _) => value.to_owned(),
                            (false, _) => (*valid).to_owned(),
                        };
                        let none = valid.replace("/mine/", "/none/").replace("NEW", "none");
                        none.replace("TOKEN", &stand.anna.token).replace("MPID", &"0".repeat(32))
                    })
                    .collect();
                let params = format!("[{}]", list.join(","));
                let what = format!("{}, parameter {at} = {value:.20}", method.name);
                let want = if free { super::Want::Anything } else { Code((-32_999..=0).collect()) };
                rows.push(row(&what, call(&stand, method.name, &params), want.clone()));
                if ["{}", "null", "1e400", r#""a\u0000""#].contains(&value) {
                    rows.push(row(what, call_one(&stand, method.name, &params), want));
                }
            }
        }
    }
    // `authenticate` ends sessions that `login` made: this one did not come from there.
    let limited = stand.anna.rpc("authenticate", json!([USER, PASSWORD]))["result"].clone();
    let token = limited["token"].as_str().unwrap().to_owned();
    let old = std::mem::replace(&mut stand.anna.token, token);
    for row in &mut rows {
        if let Bytes::Whole(bytes) = &mut row.bytes {
            let text = String::from_utf8(std::mem::take(bytes)).unwrap();
            *bytes = text.replace(&old, &stand.anna.token).into_bytes();
        }
    }
    stand.run(rows);
    stand.finish("parameters", &[&old]);
}

#[test]
fn numbers_at_their_limits() {
    let mut stand = Stand::start(&format!("[egress]\npublic_url = \"{BASE}\"\n"));
    let secret = format!("{URL_SECRET}\n");
    stand.server.admin_ok(&["url", "secret", "add", "acme", "--stdin"], &secret);
    let token = stand.anna.token.clone();
    let mut rows = Vec::new();
    let mut add = |method: &str, params: String, codes: &[i64]| {
        let what = format!("{method} {:.60}", params.replace(&token, "…"));
        rows.push(row(&what, call(&stand, method, &params), Code(codes.to_vec())));
        rows.push(row(what, call_one(&stand, method, &params), Code(codes.to_vec())));
    };
    for size in ["0", "-1", "10001", "9223372036854775808", "1e400", "\"x\"", "1.5"] {
        for method in ["listDir", "listFile", "listPath"] {
            add(method, format!(r#"["{token}","/dir",{size}]"#), &[-12]);
        }
        add("listMultipart", format!(r#"["{token}",0,{size}]"#), &[-14]);
        let mpid = "0".repeat(32);
        add("listMultipartPiece", format!(r#"["{token}","{mpid}",0,{size}]"#), &[-14, -2]);
    }
    for (cookie, codes) in [
        ("-1", &[-11][..]),
        ("\"x\"", &[-11]),
        ("{}", &[-11]),
        ("1.5", &[-11]),
        ("18446744073709551616", &[-11]),
        ("\"AAAAAAAAAAAAAAAAAAAAAA==\"", &[-11]),
        // Past the end, or of another directory: an empty last page.
        ("9223372036854775807", &[0, -11]),
        ("2147483647", &[0]),
    ] {
        for method in ["listDir", "listFile"] {
            add(method, format!(r#"["{token}","/dir",100,{cookie}]"#), codes);
        }
        let codes: Vec<i64> = codes.iter().map(|code| if *code == -11 { -3 } else { 0 }).collect();
        add("listMultipart", format!(r#"["{token}",{cookie}]"#), &codes);
    }
    for (cookie, codes) in [
        ("\"x\"", &[-11][..]),
        ("\"AAAA\"", &[-11]),
        ("\"////////////////////////\"", &[-11]),
        ("\"_____________________w==\"", &[-11]),
        ("5", &[-11]),
        ("{}", &[-11]),
        ("\"/////////////////////w==\"", &[0, -11]),
        ("\"AAAAAAAAAAAAAAAAAAAAAA==\"", &[0]),
    ] {
        add("listPath", format!(r#"["{token}","/dir",100,{cookie}]"#), codes);
    }
    for (expiry, code) in [
        ("-1", -34),
        ("9223372036854775808", -34),
        ("2147483649", -34),
        ("2147483648", 0),
        ("0", 0),
    ] {
        add("mediaVaultUrl", format!(r#"["{token}","/dir/kept",{expiry}]"#), &[code]);
    }
    for expiry in ["-1", "0", "86401", "9223372036854775808", "2147483648"] {
        add("authenticate", format!(r#"["{USER}","{PASSWORD}",{expiry}]"#), &[-34]);
    }
    for expire in ["-1", "1.5", "\"x\"", "{}"] {
        add("updateSession", format!(r#"["{token}",{expire}]"#), &[-34]);
    }
    for mtime in ["-1", "9223372036854775808", "1.5", "\"x\"", "1e400"] {
        add("setMTime", format!(r#"["{token}","/dir/kept",{mtime}]"#), &[-27]);
        add("createMultipart", format!(r#"["{token}","/dir/x","",{mtime}]"#), &[-20]);
    }
    for kind in [
        r#""text/html\r\nX: y""#,
        r#""text/html\n""#,
        r#""text/html; a=\"\r\n\"""#,
        r#""nonsense""#,
        r#""text/\u0000""#,
        r#""new/thing""#,
    ] {
        add("setContentType", format!(r#"["{token}","/dir/kept",{kind}]"#), &[-33]);
        add("createMultipart", format!(r#"["{token}","/dir/x",{kind}]"#), &[-21]);
    }
    stand.run(rows);
    stand.finish("numbers", &[URL_SECRET]);
}

/// Hosts that must not be asked; redirects there and bodies without an end are in `wire::pull_refusals`.
#[test]
fn pulls_into_the_network() {
    for config in ["", "[pull]\nallow = [{ host = \"*\" }]\n"] {
        let mut stand = Stand::start(config);
        let token = stand.anna.token.clone();
        let mut rows = Vec::new();
        for uri in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://169.254.169.254/latest/meta-data/",
            "http://[::ffff:7f00:1]/",
            "http://[::1]/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://0/",
            "http://10.0.0.1/",
            "http://192.168.1.1/",
            "http://172.16.0.1/",
            "http://100.64.0.1/",
            "http://[fe80::1]/",
            "http://[fc00::1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://user:pass@127.0.0.1/",
            "http://127.0.0.1#@example.com/",
            "http://example.com@127.0.0.1/",
            "http:\\\\127.0.0.1\\",
            "file:///etc/passwd",
            "file://localhost/etc/passwd",
            "ftp://127.0.0.1/",
            "gopher://127.0.0.1:6379/_FLUSHALL",
            "dict://127.0.0.1/",
            "data:text/plain,x",
            "javascript:alert(1)",
            "//127.0.0.1/",
            "http://",
            "",
            "http://acme/../x",
            "http://acme/%2e%2e/x",
            "http://127.0.0.1\r\nHost: x/",
            "http://127.0.0.1:99999/",
        ] {
            let params = json!([token, "/dir/x", uri]).to_string();
            let what = format!("{uri:?} with {config:?}");
            // A path of the own account that cannot be is no file there is.
            let codes = if uri.starts_with("http://acme") { vec![-14, -4] } else { vec![-14] };
            rows.push(row(&what, call(&stand, "fetchFileHTTP", &params), Code(codes.clone())));
            rows.push(row(what, call_one(&stand, "fetchFileHTTP", &params), Code(codes)));
        }
        for flags in ["2", "-1", "1.5", "{}"] {
            let params = format!(r#"["{token}","/dir/x","http://acme/dir/kept",{flags}]"#);
            let codes = vec![-13, -14];
            rows.push(row(
                format!("flags {flags}"),
                call(&stand, "fetchFileHTTP", &params),
                Code(codes),
            ));
        }
        stand.run(rows);
        stand.finish("pulls", &["user:pass"]);
    }
}
