//! `/post/file` that succeeds (protocol.md, section 7): fields in any order and beside headers, every size and framing,
//! names, types, tokens in the query string, redirects.

use crate::harness::{
    Answer, BOUNDARY, Client, Connection, Form, Server, Setup, ask, form_type, noise, now_secs,
    sha256,
};

/// What a stored file is answered with.
fn stored(answer: &Answer, path: &str, body: &[u8]) {
    assert_eq!(answer.told(), (200, 0), "{path}: {answer:?}");
    assert!(answer.body.is_empty() && answer.header("Location").is_none(), "{answer:?}");
    assert_eq!(answer.must("Content-Type"), "text/json;charset=utf-8");
    assert_eq!(answer.must("X-Agile-Path"), path);
    assert_eq!(answer.must("X-Agile-Size"), body.len().to_string());
    assert_eq!(answer.must("X-Agile-Checksum"), sha256(body));
}

/// The path a form's file is stored under.
fn path_of(anna: &Client, form: &Form) -> String {
    let answer = anna.send(&anna.form(form));
    assert_eq!(answer.told(), (200, 0), "{answer:?}");
    answer.must("X-Agile-Path").to_owned()
}

/// All orders of `0..n`.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let with_last =
        |order: Vec<usize>| (0..n).map(move |at| [&order[..at], &[n - 1], &order[at..]].concat());
    orders(n - 1).into_iter().flat_map(with_last).collect()
}

#[test]
fn fields_in_every_order() {
    let server = Server::start();
    let anna = server.login();
    let orders = orders(5);
    assert_eq!(orders.len(), 120);
    for (i, order) in orders.iter().enumerate() {
        let directory = format!("/d{i}/e");
        // Around where content stops being kept in memory.
        let body = noise(i as u64, 16_370 + i);
        let form = order.iter().fold(Form::new(), |form, part| match part {
            0 => form.file("part.txt", &body),
            1 => form.field("basename", "name.css"),
            2 => form.field("directory", &directory),
            3 => form.field("recursive", "1"),
            _ => form.field("mtime", "1450392160"),
        });
        stored(&anna.send(&anna.form(&form)), &format!("/acme{directory}/name.css"), &body);
        let stat = anna.stat(&format!("{directory}/name.css"));
        assert_eq!(
            (&stat["mtime"], &stat["mimetype"]),
            (&1_450_392_160.into(), &"text/css".into())
        );
        assert!(anna.content(&format!("{directory}/name.css")) == body, "{order:?}");
    }
}

/// A body in chunks of random sizes.
fn in_chunks(body: &[u8], seed: u64) -> Vec<u8> {
    let (mut framed, mut rest) = (Vec::with_capacity(body.len() * 2), body);
    for pair in noise(seed, 200_000).chunks(2).cycle() {
        let scale = [7, 200, 70_000][usize::from(pair[0]) % 3];
        let len = (1 + usize::from(pair[1]) * scale / 256).min(rest.len());
        let (chunk, left) = rest.split_at(len);
        framed.extend_from_slice(format!("{len:x}\r\n").as_bytes());
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
        if len == 0 {
            break;
        }
        rest = left;
    }
    framed
}

/// Bytes with everything in them that is nearly a boundary.
fn treacherous(len: usize) -> Vec<u8> {
    let cut = &BOUNDARY[..BOUNDARY.len() - 1];
    let nearly = [
        format!("\r\n--{BOUNDARY}x"),
        format!("\r\n--{BOUNDARY}-x"),
        format!("\r\n--{BOUNDARY}\rx"),
        format!("\r\n--{cut}\r\n"),
        format!("x\n--{BOUNDARY}--\r\n"),
        format!("\r\n-{BOUNDARY}--\r\n\r"),
        "\r\n--\r\n".to_owned(),
    ];
    let mut bytes = Vec::with_capacity(len + 1000);
    for (i, noise) in noise(9, len).chunks(997).enumerate() {
        bytes.extend_from_slice(noise);
        bytes.extend_from_slice(nearly[i % nearly.len()].as_bytes());
    }
    bytes
}

#[test]
fn every_size_in_both_framings() {
    let server = Server::start();
    let anna = server.login();
    let mut bodies: Vec<Vec<u8>> =
        [0, 1, 2, 16_383, 16_384, 16_385, 262_144].map(|len| noise(len as u64, len)).into();
    bodies.push(treacherous(3000));
    bodies.push(treacherous(5 * 1024 * 1024));
    for (i, body) in bodies.iter().enumerate() {
        let bytes = Form::new().file("file", body).field("directory", "/").bytes();
        let framed = in_chunks(&bytes, i as u64);
        let chunked = anna.form_head().with("Transfer-Encoding", "chunked").body(framed);
        for ask in [anna.form_bytes(bytes), chunked] {
            stored(&anna.send(&ask), "/acme/file", body);
            assert!(anna.content("/file") == *body, "{i}");
        }
    }
}

#[test]
fn a_header_wins_over_a_field() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/header");
    anna.dir("/field");
    let fields = |form: Form| {
        form.field("basename", "field").field("directory", "/field").field("mtime", "7")
    };
    let headed = |form: &Form| {
        let ask = anna.form(form).with("X-Agile-Basename", "header");
        anna.send(&ask.with("X-Agile-Directory", "/header/").with("X-Agile-MTime", "5"))
    };
    let first = fields(Form::new().file("part", b"1"));
    let last = fields(Form::new()).file("part", b"2");
    for (form, body) in [(first, b"1"), (last, b"2")] {
        stored(&headed(&form), "/acme/header/header", body);
        assert_eq!(anna.stat("/header/header")["mtime"], 5);
        assert_eq!(path_of(&anna, &form), "/acme/field/field");
        assert_eq!(anna.stat("/field/field")["mtime"], 7);
    }
    // 0 in the header is now, and stands against the field's time.
    let form = Form::new().file("now", b"").field("mtime", "7");
    let before = now_secs();
    assert_eq!(anna.send(&anna.form(&form).with("X-Agile-MTime", "0")).told(), (200, 0));
    assert!(anna.stat("/now")["mtime"].as_u64().unwrap() >= before);
    // A header overrules what would be refused in a field.
    let form = Form::new().field("recursive", "maybe").file("f", b"").field("mtime", "x");
    let ask = anna.form(&form).with("X-Agile-Recursive", "no").with("X-Agile-MTime", "1");
    assert_eq!(anna.send(&ask).told(), (200, 0));
    // The checksum comes by header, as on `/post/raw`.
    let form = Form::new().file("f", b"x");
    let ask = anna.form(&form).with("X-Agile-Checksum", sha256(b"x"));
    assert_eq!(anna.send(&ask).told(), (200, 0));
}

#[test]
fn names() {
    let server = Server::start();
    let anna = server.login();
    let part = |headers: &str| Form::new().part(headers, b"x");
    let upload = "Content-Disposition: form-data; name=\"uploadFile\"";
    for (form, path) in [
        (Form::new().file("a b.txt", b"x"), "/acme/a b.txt"),
        (Form::new().file("../../etc/passwd", b"x"), "/acme/passwd"),
        (Form::new().file("C:\\fakepath\\x", b"x"), "/acme/C:\\fakepath\\x"),
        (Form::new().file("a%22b+%20", b"x"), "/acme/a\"b+%20"),
        (Form::new().file("f", b"x").field("basename", "/dir/last"), "/acme/last"),
        (Form::new().file("empty-field", b"x").field("basename", ""), "/acme/empty-field"),
        (Form::new().file("今日", b"x"), "/acme/%E4%BB%8A%E6%97%A5"),
        (
            Form::new().file("f", b"x").field("basename", "今日+%41"),
            "/acme/%E4%BB%8A%E6%97%A5%2B%2541",
        ),
        (part(&format!("{upload}; filename=plain.txt")), "/acme/plain.txt"),
        (part(&format!("{upload}; filename=b; filename*=UTF-8''%C3%A9")), "/acme/%C3%A9"),
        (part("content-disposition:form-data;name=uploadFile;filename=tight"), "/acme/tight"),
    ] {
        assert_eq!(path_of(&anna, &form), path);
        anna.call("deleteFile", serde_json::json!([path.strip_prefix("/acme").unwrap()]));
    }
    let made_up = path_of(&anna, &part(upload));
    assert_eq!(made_up.strip_prefix("/acme/post-").map(str::len), Some(32), "{made_up}");
    // What the header says of encoding holds for headers; fields are plain.
    let form = Form::new().file("f", b"x").field("directory", "/%41").field("recursive", "yes");
    let ask = anna.form(&form).with("X-Agile-Encoding", "UTF8").with("X-Agile-Basename", "%42");
    assert_eq!(anna.send(&ask).must("X-Agile-Path"), "/acme/%2541/B");
    assert_eq!(anna.names("/%41").1, ["B"]);
}

#[test]
fn content_types() {
    let server = Server::start();
    let anna = server.login();
    let part = |name: &str, kind: &str| {
        let disposition =
            format!("name=\"uploadFile\"; filename=\"{name}\"\r\nContent-Type: {kind}");
        let form = Form::new().field("content_type", "text/ignored");
        form.part(&format!("Content-Disposition: form-data; {disposition}"), b"GIF89a")
    };
    let octets = "application/octet-stream";
    let none: &[(&str, &str)] = &[];
    for (name, part_type, headers, stored) in [
        ("a.css", "text/x-part", none, "text/x-part"),
        ("a.css", octets, none, "text/css"),
        ("a", octets, none, "image/gif"),
        ("a.css", "nonsense", none, "text/css"),
        ("a.css", "text/x-part", &[("X-Agile-Content-Type", "text/x-head")], "text/x-head"),
        ("a.css", "text/x-part", &[("X-Agile-Content-Type", octets)], "text/css"),
        ("a.css", "text/x-part", &[("X-Content-Type", "text/x-old")], "text/x-old"),
        ("a.css", "text/x-part", &[("X-Content-Type", "auto")], "text/x-part"),
        ("a.css", "text/x-part", &[("X-Agile-Content-Detect", "content")], "image/gif"),
    ] {
        let mut ask = anna.form(&part(name, part_type));
        for (header, value) in headers {
            ask = ask.with(header, value);
        }
        assert_eq!(anna.send(&ask).told(), (200, 0), "{name} {part_type} {headers:?}");
        assert_eq!(
            anna.stat(&format!("/{name}"))["mimetype"],
            stored,
            "{name} {part_type} {headers:?}"
        );
    }
}

#[test]
fn tokens_in_the_query_string() {
    let server = Server::start_with(Setup { log: "trace", ..Setup::default() });
    let (anna, other) = (server.login(), server.login());
    let form = Form::new().file("f", b"x").bytes();
    let by_query = |query: &str| {
        ask("POST", &format!("/post/file{query}"))
            .with("Content-Type", form_type())
            .body(form.clone())
    };
    let token = |client: &Client| format!("?token={}", client.token);
    assert_eq!(anna.send(&by_query(&token(&anna))).told(), (200, 0));
    assert_eq!(anna.send(&by_query(&format!("{}&a=b", token(&anna)))).told(), (200, 0));
    let both = |query: &str| anna.send(&by_query(query).token(&anna.token)).told();
    assert_eq!(both(&token(&anna)), (200, 0));
    assert_eq!(both(&token(&other)), (403, -10_001), "both are good, and they differ");
    assert_eq!(both("?token="), (403, -10_001));
    assert_eq!(anna.send(&by_query("")).told(), (401, -10_001));
    for query in ["?token=", "?token=x", "?token=%ff", "?token=é"] {
        let query = query.replace('é', "%C3%A9");
        assert_eq!(anna.send(&by_query(&query)).told(), (403, -10_001), "{query}");
    }
    let twice = format!("{}&token={}", token(&anna), other.token);
    assert_eq!(anna.send(&by_query(&twice)).told(), (403, -10_001));
    let log = server.log();
    assert!(log.contains("/post/file"), "{log}");
    for client in [&anna, &other] {
        assert!(!log.contains(&client.token), "the log holds a token");
    }
}

#[test]
fn redirects() {
    let server = Server::start();
    let anna = server.login();
    let body = noise(1, 20_000);
    for (field, value, referer, location) in [
        ("return_url", "http://example.com/done?a=b#c", None, "http://example.com/done?a=b#c"),
        ("return_url", "HTTPS://example.com", None, "HTTPS://example.com"),
        ("return_url", "/done", Some("http://other/"), "/done"),
        ("return_url", "/caf\u{e9} x", None, "/caf%C3%A9%20x"),
        ("return_referer", "1", Some("http://page/form"), "http://page/form"),
        ("return_referer", "true", Some("/form"), "/form"),
        ("return_referer", "Yes", Some("https://page/"), "https://page/"),
    ] {
        let first = Form::new().file("f", &body).field(field, value);
        let last = Form::new().field(field, value).file("f", &body);
        for form in [first, last] {
            let mut ask = anna.form(&form);
            if let Some(referer) = referer {
                ask = ask.with("Referer", referer);
            }
            let answer = anna.send(&ask);
            assert_eq!(answer.told(), (302, 0), "{value}: {answer:?}");
            assert_eq!(answer.must("Location"), location);
            assert_eq!(answer.must("X-Agile-Path"), "/acme/f");
            assert_eq!(answer.must("X-Agile-Size"), "20000");
            assert_eq!(answer.must("X-Agile-Checksum"), sha256(&body));
            assert!(answer.body.is_empty());
            assert!(anna.content("/f") == body);
        }
    }
    for (value, referer) in [("1", None), ("0", Some("http://page/")), ("", Some("javascript:x"))] {
        let mut ask = anna.form(&Form::new().file("f", b"x").field("return_referer", value));
        if let Some(referer) = referer {
            ask = ask.with("Referer", referer);
        }
        stored(&anna.send(&ask), "/acme/f", b"x");
    }
}

/// A connection can be used again after a form, whatever stood behind its end.
#[test]
fn a_form_with_surroundings() {
    let server = Server::start();
    let anna = server.login();
    let mut connection = Connection::open(server.address());
    let form = Form::new().file("f", b"x").bytes();
    let body = [b"a preamble\r\n", &form[..], b"an epilogue\r\n--", BOUNDARY.as_bytes(), b"\r\n"];
    for kind in
        [form_type(), format!("Multipart/Form-Data; charset=utf-8; Boundary=\"{BOUNDARY}\"")]
    {
        let ask = anna.post("/post/file").with("Content-Type", &kind);
        stored(&connection.ask(&ask.body(body.concat())), "/acme/f", b"x");
    }
}
