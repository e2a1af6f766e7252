//! Private accounts (protocol.md, section 9): who may read, whichever way a request names the account.

use serde_json::json;

use crate::{
    flows::python,
    harness::{Ask, Client, Connection, PASSWORD, Server, ask},
    signed_urls::{BASE, SECRET, give_secret, signed, start},
};

/// `acme` private with a secret, `zoo` public without; a file each, and one that only the private account has.
fn two_accounts() -> Server {
    let server = start();
    server.admin_ok(&["account", "add", "zoo"], "");
    server.add_user("zoe", "zoo", &[]);
    server.login().put("/dir/file", b"anna's");
    server.login().put("/zoo/hidden", b"anna's");
    server.login_as("zoe", PASSWORD).put("/dir/file", b"zoe's");
    give_secret(&server, "acme");
    server.admin_ok(&["account", "set", "acme", "--private", "true"], "");
    server
}

#[test]
fn a_token_opens_its_own_account() {
    let server = two_accounts();
    let (anna, zoe) = (server.login(), server.login_as("zoe", PASSWORD));
    server.add_user("ben", "acme", &["--directory", "/dir"]);
    server.add_user("carl", "acme", &["--directory", "/elsewhere"]);
    server.add_user("dora", "acme", &["--directory", "/di"]);
    let get = |target: &str, token: &str| anna.send(&ask("GET", target).token(token)).status;
    let file = "/acme/dir/file";
    assert_eq!(get(file, &anna.token), 200);
    assert_eq!(get("/acme/dir/missing", &anna.token), 404);
    assert_eq!(get("/acme/dir", &anna.token), 404);
    assert_eq!(get(file, &zoe.token), 403, "of another account");
    for (user, status) in [("ben", 200), ("carl", 403), ("dora", 403)] {
        assert_eq!(get(file, &server.login_as(user, PASSWORD).token), status, "{user}");
    }
    for token in ["", "x", &"0".repeat(36), &format!("{}x", anna.token)] {
        assert_eq!(get(file, token), 403);
        assert_eq!(get("/zoo/dir/file", token), 200, "a public account asks for none");
    }
    assert_eq!(anna.send(&ask("GET", file).token(&anna.token).token(&anna.token)).status, 403);
    let limited = anna.rpc("authenticate", json!(["anna", PASSWORD, 60, "/zoo"]));
    let limited = limited["result"]["token"].as_str().unwrap();
    assert_eq!((get(file, limited), get("/acme/zoo/hidden", limited)), (403, 200));
    let anna = server.login();
    assert_eq!(anna.code("logout", json!([])), 0);
    assert_eq!(get(file, &anna.token), 403, "logged out");
    let ben = server.login_as("ben", PASSWORD);
    server.admin_ok(&["user", "disable", "ben"], "");
    assert_eq!(get(file, &ben.token), 403, "deactivated");
    let log = server.log();
    assert!(!log.contains(&zoe.token) && !log.contains(limited), "a token in the log");
}

#[test]
fn an_expired_token() {
    let server = two_accounts();
    let anna = server.login();
    assert_eq!(anna.code("updateSession", json!([1])), 0);
    let get = || anna.send(&ask("GET", "/acme/dir/file").token(&anna.token)).status;
    crate::harness::wait_until("the end of the session", || get() == 403);
}

/// Nothing that a private account holds shows: not by the other readings of the same request, not by its absence.
#[test]
fn no_way_around() {
    let server = two_accounts();
    let nobody = Client::nobody(server.address());
    let get = |target: &str, host: &str| nobody.send(&ask("GET", target).with("Host", host));
    for (target, host) in [
        ("/acme/dir/file", "127.0.0.1"),
        ("/acme/missing", "127.0.0.1"),
        ("/%61cme/dir/file", "127.0.0.1"),
        ("//acme//dir/file", "127.0.0.1"),
        ("/dir/file", "acme.example.com"),
        ("/dir/missing", "acme.example.com"),
        ("/dir/file", "acme-l.example.com"),
        ("/acme/dir/file", "acme.example.com"),
        ("/acme/dir/file", "zoo.example.com"),
        ("/acme/dir/file?token=x", "zoo-l.example.com:80"),
        ("http://acme.example.com/dir/file", "zoo.example.com"),
        // The other account is tried, too, and has no such file.
        ("/zoo/hidden", "acme.example.com"),
        ("/zoo/missing", "acme.example.com"),
    ] {
        let answer = get(target, host);
        assert_eq!(answer.status, 403, "{host} {target}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("anna"));
    }
    for (target, host) in [("/zoo/dir/file", "127.0.0.1"), ("/zoo/dir/file", "acme.example.com")] {
        let answer = get(target, host);
        assert_eq!((answer.status, &answer.body[..]), (200, &b"zoe's"[..]), "{host} {target}");
    }
    // A right link is right for its account and file alone, whichever way the account is named.
    let host = |ask: Ask, host: &str| nobody.send(&ask.with("Host", host)).status;
    let link = signed("/acme/dir/file", "");
    assert_eq!(nobody.get(&link).status, 200);
    let bare = link.replace("/acme", "");
    assert_eq!(host(ask("GET", &bare), "acme.example.com"), 200, "published with the account");
    assert_eq!(host(ask("GET", &bare), "acme-l.example.com"), 200);
    assert_eq!(host(ask("GET", &bare), "127.0.0.1"), 404, "names no account");
    assert_eq!(host(ask("GET", &signed("/dir/file", "")), "acme.example.com"), 403);
    assert_eq!(nobody.get(&link.replace("/acme", "/zoo")).status, 200, "public, and no secrets");
    give_secret(&server, "zoo");
    assert_eq!(nobody.get(&link.replace("/acme", "/zoo")).status, 403, "now the hash counts");
    assert_eq!(nobody.get(&signed("/zoo/dir/file", "")).status, 200);
    assert_eq!(nobody.get("/zoo/dir/file?e=1&x=y").status, 200, "no hash, no link");
    assert_eq!(nobody.get("/zoo/dir/file?h=1").status, 403);
}

#[test]
fn the_only_account_without_its_name() {
    let server = start();
    let anna = server.login();
    anna.put("/dir/file", b"anna's");
    give_secret(&server, "acme");
    let nobody = Client::nobody(server.address());
    assert_eq!(nobody.get("/dir/file").status, 200);
    server.admin_ok(&["account", "set", "acme", "--private", "true"], "");
    for target in ["/dir/file", "/dir/missing", "/acme/dir/file"] {
        assert_eq!(nobody.get(target).status, 403, "{target}");
    }
    let link = signed("/acme/dir/file", "");
    assert_eq!(nobody.get(&link.replace("/acme", "")).status, 200);
    assert_eq!(nobody.send(&ask("GET", "/dir/file").token(&anna.token)).status, 200);
    server.admin_ok(&["account", "set", "acme", "--private", "false"], "");
    assert_eq!(nobody.get("/dir/file").status, 200);
}

/// A file that is still arriving is as private as one that is there.
#[test]
fn a_file_that_arrives() {
    let server = two_accounts();
    let anna = server.login();
    let head = anna.raw("/", "live.txt").with("X-Agile-Expose-Egress", "PARTIAL");
    let mut upload = Connection::open(server.address());
    upload.send_head(&head.with("Transfer-Encoding", "chunked"));
    upload.send_chunk(b"begun");
    let status = |ask: &Ask| {
        let mut reader = Connection::open(server.address());
        reader.send_head(ask);
        reader.answer_head().unwrap()
    };
    let by_token = ask("GET", "/acme/live.txt").token(&anna.token);
    crate::harness::wait_until("the upload", || status(&by_token).status == 200);
    let by_link = status(&ask("GET", &signed("/acme/live.txt", "dl=1&rs=500")));
    let saved = r#"attachment; filename="live.txt""#;
    assert_eq!((by_link.status, by_link.header("Content-Disposition")), (200, Some(saved)));
    let zoe = server.login_as("zoe", PASSWORD);
    for refused in [
        ask("GET", "/acme/live.txt"),
        ask("HEAD", "/acme/live.txt"),
        ask("GET", "/live.txt").with("Host", "acme.example.com"),
        ask("GET", "/acme/live.txt").token(&zoe.token),
        ask("GET", &signed("/acme/other.txt", "").replace("other", "live")),
    ] {
        assert_eq!(status(&refused).status, 403);
    }
    upload.send_chunk(b"");
    assert_eq!(upload.answer("POST").unwrap().told(), (200, 0));
    assert_eq!(anna.get("/acme/live.txt").status, 403);
}

/// Without a public URL no link can be verified: a private account stays closed.
#[test]
fn without_a_public_url() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/f", b"x");
    give_secret(&server, "acme");
    server.admin_ok(&["account", "set", "acme", "--private", "true"], "");
    assert_eq!(anna.call("mediaVaultUrl", json!(["/f"]))["code"], -60);
    assert_eq!(anna.get(&signed("/acme/f", "")).status, 403);
    let output = server.admin(&["url", "sign", "acme", "/f"], "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("public_url"), "{said}");
    let url = server.admin_ok(&["url", "sign", "acme", "/f", "--public-url", BASE], "");
    assert!(url.starts_with("https://cdn.example.com/acme/f?e="), "{url}");
}

#[test]
fn links_from_the_command_line() {
    let mut server = two_accounts();
    let nobody = Client::nobody(server.address());
    let sign = |args: &[&str]| {
        let url = server.admin_ok(&[&["url", "sign", "acme"], args].concat(), "");
        url.trim_end().strip_prefix(BASE).unwrap_or_else(|| panic!("{url}")).to_owned()
    };
    for (args, said) in [
        (&["/dir/file"][..], "va=2&h="),
        (&["dir/file", "--md5", "--expires", "2147483648"], "&h="),
        (&["/dir/file", "--ip", "127.0.0.0/8", "--starts", "1"], "s=1&"),
        (&["/dir/file", "--referer", "a.com", "--referer", "b.com"], "r=a.com,b.com"),
        (&["/dir/file", "--rate", "100", "--rate-free", "5", "--download"], "ri=5&rs=100&dl=1"),
    ] {
        let target = sign(args);
        assert!(target.contains(said), "{target}");
        assert_eq!(nobody.get(&target).status, 200, "{target}");
    }
    assert_eq!(nobody.get(&sign(&["/dir/file", "--ip", "10.0.0.1"])).status, 403);
    let below = sign(&["/dir", "--prefix"]);
    assert!(below.starts_with("/acme/dir/?"), "{below}");
    assert_eq!(nobody.get(&below.replace("/?", "/file?")).status, 200);
    assert_eq!(nobody.get(&below.replace("/dir/?", "/zoo/hidden?")).status, 403);
    for bad in [
        &["/dir/file", "--ip", "here"][..],
        &["/dir/file", "--expires", "0"],
        &["/dir/file", "--expires", "2147483649"],
        &["/dir/file", "--rate", "0"],
        &["/dir/file", "--rate", "10001"],
        &["/dir/file", "--rate-free", "5"],
        &["/dir/file", "--referer", "a/b"],
        &["/dir/../file"],
        &["/dir/file", "--public-url", "cdn.example.com"],
    ] {
        let output = server.admin(&[&["url", "sign", "acme"], bad].concat(), "");
        assert!(!output.status.success(), "{bad:?}");
    }
    let unknown = server.admin(&["url", "sign", "nobody", "/f"], "");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no such account"));
    let none = server.admin(&["url", "sign", "zoo", "/f"], "");
    assert!(String::from_utf8_lossy(&none.stderr).contains("secret"));
    server.stop();
    let url = server.admin_ok(&["url", "sign", "acme", "/dir/file", "--public-url", BASE], "");
    server.start_again();
    let target = url.trim_end().strip_prefix(BASE).unwrap();
    assert_eq!(Client::nobody(server.address()).get(target).status, 200);
}

/// The signer that docs/signed-urls.md shows.
#[test]
fn links_from_python() {
    let server = two_accounts();
    let secret = server.scratch().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let printed = python(&server, "sign_url.py", &[&secret]);
    let nobody = Client::nobody(server.address());
    let mut links = 0;
    for url in printed.lines() {
        let target = url.strip_prefix(BASE).unwrap_or_else(|| panic!("{url}"));
        assert_eq!(nobody.get(target).status, 200, "{url}");
        links += 1;
    }
    assert_eq!(links, 2, "{printed}");
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/signed-urls.md");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/sign_url.py");
    let (docs, script) = (std::fs::read_to_string(docs), std::fs::read_to_string(script));
    let (docs, script) = (docs.unwrap(), script.unwrap());
    let shown = docs.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(script.contains(shown), "the document shows another script than the one tested");
}
