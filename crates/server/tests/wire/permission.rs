//! Who may change what (protocol.md, section 1, "Permission"): read-only users, users of another group, users confined to
//! a directory, other accounts.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, PASSWORD, Server};

/// Every operation on `/mine/file`, `/mine/dir` and in `/mine`, with the code for somebody who may not.
fn refused_operations() -> Vec<(&'static str, Value, i64)> {
    vec![
        ("makeDir", json!(["/mine/new"]), -6),
        ("makeDir2", json!(["/mine/new/new"]), -6),
        ("deleteDir", json!(["/mine/dir"]), -6),
        ("deleteFile", json!(["/mine/file"]), -1),
        ("deleteObject", json!(["/mine/dir"]), -6),
        ("rename", json!(["/mine/file", "/mine/new"]), -6),
        ("rename", json!(["/mine/dir", "/mine/new"]), -6),
        ("copyFile", json!(["/mine/file", "/mine/new"]), -1),
        ("setMTime", json!(["/mine/file", 5]), -1),
        ("setMTime", json!(["/mine/dir", 5]), -1),
        ("setContentType", json!(["/mine/file", "text/css"]), -6),
    ]
}

fn prepare(server: &Server) -> Client {
    let anna = server.login();
    anna.dir("/mine/dir");
    anna.put("/mine/file", b"anna's");
    assert_eq!(anna.code("setMTime", json!(["/mine", 1000])), 0);
    anna
}

fn check_untouched(anna: &Client) {
    assert_eq!(anna.names("/mine"), (vec!["dir".to_owned()], vec!["file".to_owned()]));
    assert_eq!(anna.content("/mine/file"), b"anna's");
    assert_eq!(anna.stat("/mine/file")["mimetype"], "application/octet-stream");
    assert_eq!(anna.stat("/mine")["mtime"], 1000);
}

/// An upload that the user may not make: refused, with a code of the call's own.
fn check_refused(answer: &Answer) {
    assert!([400, 403].contains(&answer.status), "{answer:?}");
    assert_ne!(answer.code(), 0, "{answer:?}");
}

#[test]
fn a_read_only_user_changes_nothing() {
    let server = Server::start();
    server.add_user("rita", "acme", &["--read-only"]);
    let (anna, rita) = (prepare(&server), server.login_as("rita", PASSWORD));
    for (method, params, code) in refused_operations() {
        assert_eq!(rita.call(method, params.clone()), json!(code), "{method} {params}");
    }
    for (method, params, code) in [
        ("makeDir", json!(["/new"]), -6),
        ("makeDir2", json!(["/new"]), -6),
        ("copyFile", json!(["/mine/file", "/new"]), -1),
    ] {
        assert_eq!(rita.call(method, params.clone()), json!(code), "{method} {params}");
    }
    assert_ne!(rita.code("fetchFileHTTP", json!(["/new", "http://acme/mine/file"])), 0);
    check_refused(&rita.send(&rita.raw("/", "new").body("x")));
    check_refused(&rita.send(&rita.raw("/mine", "file").body("x")));
    check_refused(&rita.send(&rita.post("/post/directory").with("X-Agile-Directory", "/new")));
    // Reading is allowed.
    assert_eq!(rita.content("/mine/file"), b"anna's");
    assert_eq!(rita.names("/mine"), anna.names("/mine"));
    for method in ["checkToken", "noop", "updateSession", "logout"] {
        assert_eq!(rita.code(method, json!([])), 0, "{method}");
    }
    check_untouched(&anna);
    assert_eq!(anna.names("/"), (vec!["mine".to_owned()], vec![]));
}

#[test]
fn a_user_of_another_group_leaves_alone_what_is_not_theirs() {
    let server = Server::start();
    server.add_user("gus", "acme", &["--gid", "777", "--uid", "4711"]);
    server.add_user("pia", "acme", &[]);
    let (anna, gus) = (prepare(&server), server.login_as("gus", PASSWORD));
    let own = gus.call("checkToken", json!([]));
    assert_eq!((&own["uid"], &own["gid"]), (&json!(4711), &json!(777)));
    for (method, params, code) in refused_operations() {
        // Whether a copy in one's own place is allowed is said elsewhere; here the place is not theirs.
        assert_eq!(gus.call(method, params.clone()), json!(code), "{method} {params}");
    }
    check_refused(&gus.send(&gus.raw("/mine", "file").body("x")));
    check_untouched(&anna);
    // In the top directory, everybody of the account may add; what they add is theirs.
    gus.dir("/gus");
    gus.put("/gus/file", b"x");
    let stat = gus.stat("/gus/file");
    assert_eq!((&stat["uid"], &stat["gid"]), (&json!(4711), &json!(777)));
    assert_eq!(anna.code("deleteFile", json!(["/gus/file"])), -1);
    assert_eq!(anna.code("setContentType", json!(["/gus/file", "text/css"])), -6);
    assert_eq!(gus.code("copyFile", json!(["/mine/file", "/gus/copy"])), 0);
    assert_eq!(gus.code("deleteFile", json!(["/gus/file"])), 0);
    // Users of one account share a group unless created otherwise.
    let pia = server.login_as("pia", PASSWORD);
    assert_eq!(pia.code("rename", json!(["/mine/file", "/mine/renamed"])), 0);
    assert_eq!(pia.code("deleteFile", json!(["/mine/renamed"])), 0);
}

#[test]
fn a_confined_user_sees_nothing_else() {
    let server = Server::start();
    let anna = prepare(&server);
    server.add_user("cleo", "acme", &["--directory", "/clients/cleo"]);
    let cleo = server.login_as("cleo", PASSWORD);
    let detail = cleo.rpc("login", json!(["cleo", PASSWORD, true]))["result"][1].clone();
    assert_eq!(detail["path"], "/acme/clients/cleo");
    assert_eq!(cleo.call("checkToken", json!([]))["path"], "/acme/clients/cleo");
    assert_eq!(cleo.names("/"), (vec![], vec![]));
    for path in ["/mine/file", "/acme/mine/file", "/../../mine/file", "../mine", "/clients/cleo"] {
        assert_eq!(cleo.code("stat", json!([path])), -1, "{path}");
        assert_ne!(cleo.code("deleteFile", json!([path])), 0, "{path}");
    }
    let upload = cleo.raw("/in", "f").with("X-Agile-Recursive", "yes").body("x");
    let answer = cleo.send(&upload);
    assert_eq!((answer.told(), answer.must("X-Agile-Path")), ((200, 0), "/acme/clients/cleo/in/f"));
    assert_eq!(anna.content("/clients/cleo/in/f"), b"x");
    let escape = cleo.raw("/../..", "f").body("x");
    assert_eq!(cleo.send(&escape).told(), (400, -8));
    assert_eq!(cleo.code("rename", json!(["/in/f", "/f"])), 0);
    assert_eq!(cleo.code("deleteDir", json!(["/"])), -6);
    assert_eq!(cleo.code("fetchFileHTTP", json!(["/g", "http://acme/f"])), 0);
    crate::harness::wait_until("the copy", || cleo.code("stat", json!(["/g"])) == 0);
    assert_ne!(cleo.code("fetchFileHTTP", json!(["/h", "http://acme/mine/file"])), 0);
    assert_eq!(cleo.code("stat", json!(["/h"])), -1);
    let limited = cleo.rpc("authenticate", json!(["cleo", PASSWORD, 60, "/in"]))["result"].clone();
    assert_eq!(limited["path"], "/acme/clients/cleo/in");
    assert_eq!(cleo.with_token(limited["token"].as_str().unwrap()).names("/"), (vec![], vec![]));
    check_untouched(&anna);
}

#[test]
fn accounts_never_see_each_other() {
    let server = Server::start();
    let anna = prepare(&server);
    server.admin_ok(&["account", "add", "zoo"], "");
    server.add_user("zoe", "zoo", &[]);
    let zoe = server.login_as("zoe", PASSWORD);
    assert_eq!(zoe.call("checkToken", json!([]))["path"], "/zoo");
    assert_eq!(zoe.names("/"), (vec![], vec![]));
    for path in ["/mine/file", "/acme/mine/file", "/../acme/mine/file"] {
        assert_eq!(zoe.code("stat", json!([path])), -1, "{path}");
        assert_eq!(zoe.code("deleteFile", json!([path])), -1, "{path}");
        assert_eq!(zoe.code("copyFile", json!([path, "/stolen"])), -1, "{path}");
    }
    let upload = zoe.raw("/mine", "file").with("X-Agile-Recursive", "true").body("zoe's");
    assert_eq!(zoe.send(&upload).told(), (200, 0));
    assert_eq!(zoe.get("/zoo/mine/file").body, b"zoe's");
    check_untouched(&anna);
    assert_ne!(zoe.call("checkToken", json!([]))["gid"], anna.call("checkToken", json!([]))["gid"]);
}
