//! Making, deleting, renaming and copying (protocol.md, section 5), and what it does to the directory (section 1).

use serde_json::json;

use crate::harness::{Client, Server, now_secs, sha256};

/// Names a method of `deleteX` kind on the same path.
fn delete(client: &Client, method: &str, path: &str) -> i64 {
    client.code(method, json!([path]))
}

#[test]
fn make_dir() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/file", b"x");
    assert_eq!(anna.call("makeDir", json!(["/a"])), json!(0));
    assert_eq!(anna.call("makeDir", json!({"path": "a/b/"})), json!(0));
    for (path, code) in [
        ("/a", -2),
        ("/a/b", -2),
        ("/file", -2),
        ("/", -2),
        ("/missing/c", -3),
        ("/file/c", -3),
        ("/a/../b", -8),
        ("/a/.", -8),
        ("a\u{0}b", -8),
    ] {
        assert_eq!(anna.call("makeDir", json!([path])), json!(code), "{path:?}");
    }
    assert_eq!(anna.names("/"), (vec!["a".to_owned()], vec!["file".to_owned()]));
}

#[test]
fn make_dir_2() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/file", b"x");
    for (path, code) in [
        ("/a/b/c", 0),
        ("/a/b/c", 0),
        ("/a/b", 0),
        ("/", 0),
        ("", 0),
        ("/file", -2),
        ("/file/c/d", -2),
        ("/a/b/..", -8),
        ("./a", -8),
        ("a\u{0}b", -8),
    ] {
        assert_eq!(anna.call("makeDir2", json!([path])), json!(code), "{path:?}");
    }
    assert_eq!(anna.names("/a/b").0, ["c"]);
}

#[test]
fn delete_dir() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/a/b");
    anna.put("/file", b"x");
    for (path, code) in [
        ("/missing", -1),
        ("/missing/x", -1),
        ("/file", -1),
        ("/file/x", -1),
        ("/a", -7),
        ("/", -6),
        ("", -6),
        ("/a/b", 0),
        ("/a/b", -1),
        ("/a/", 0),
    ] {
        assert_eq!(delete(&anna, "deleteDir", path), code, "{path}");
    }
    assert_eq!(anna.names("/"), (vec![], vec!["file".to_owned()]));
}

#[test]
fn delete_file() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/a");
    for name in ["one.txt", "two.txt", "*"] {
        anna.put(&format!("/{name}"), b"x");
    }
    for (path, code) in [
        ("/missing", -1),
        ("/a", -1),
        ("/", -1),
        ("/*.txt", -1),
        ("/one.txt/x", -1),
        ("/one.tx?", -1),
        ("/one.txt", 0),
        ("/one.txt", -1),
        ("/*", 0),
        ("/*", -1),
    ] {
        assert_eq!(delete(&anna, "deleteFile", path), code, "{path}");
    }
    assert_eq!(anna.names("/"), (vec!["a".to_owned()], vec!["two.txt".to_owned()]));
    assert_eq!(anna.get("/acme/one.txt").status, 404);
}

#[test]
fn delete_object() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/a/b");
    anna.put("/a/file", b"x");
    for (path, code) in [
        ("/missing", -1),
        ("/a", -7),
        ("/", -6),
        ("/a/b", 0),
        ("/a/file", 0),
        ("/a", 0),
        ("/a", -1),
    ] {
        assert_eq!(delete(&anna, "deleteObject", path), code, "{path}");
    }
}

#[test]
fn rename() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/file", b"content");
    anna.put("/other", b"other");
    anna.put("/full/x", b"x");
    anna.dir("/empty");
    for method in ["rename", "renameFile"] {
        for (old, new, code) in [
            ("/missing", "/x", -1),
            ("/missing/x", "/x", -1),
            ("/file", "/file", -1),
            ("/file", "file/", -1),
            ("/file", "/other", -2),
            ("/file", "/empty", -2),
            ("/empty", "/other", -2),
            ("/empty", "/full", -2),
            ("/file", "/missing/x", -3),
            ("/file", "/other/x", -3),
            ("/empty", "/empty/inside", -3),
            ("/full", "/new", -7),
        ] {
            let call = anna.call(method, json!([old, new]));
            assert_eq!(call, json!(code), "{method} {old} {new}");
        }
    }
    assert_ne!(anna.code("rename", json!(["/", "/x"])), 0);
    assert_ne!(anna.code("rename", json!(["/file", "/"])), 0);
    let before = anna.stat("/file");
    assert_eq!(
        anna.call("renameFile", json!({"oldpath": "/file", "newpath": "/empty/moved"})),
        json!(0)
    );
    let after = anna.stat("/empty/moved");
    for key in ["checksum", "size", "mtime", "ctime", "uid", "gid", "mimetype"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!(anna.content("/empty/moved"), b"content");
    assert_eq!(anna.get("/acme/file").status, 404);
    assert_eq!(anna.call("rename", json!(["/empty/moved", "/file"])), json!(0));
    assert_eq!(anna.call("rename", json!(["/empty", "/full/moved"])), json!(0));
    assert_eq!(anna.names("/full").0, ["moved"]);
    anna.put("/full/moved/deep", b"works after the move");
    assert_eq!(anna.content("/full/moved/deep"), b"works after the move");
}

#[test]
fn copy_file() {
    let server = Server::start();
    let anna = server.login();
    let (small, large) = (vec![b's'; 100], vec![b'l'; 300_000]);
    anna.put("/small.jpg", &small);
    anna.put("/large.jpg", &large);
    anna.dir("/dir");
    for (from, to, code) in [
        ("/missing", "/x", -1),
        ("/dir", "/x", -1),
        ("/small.jpg", "/missing/x", -2),
        ("/small.jpg", "/dir", -2),
        ("/small.jpg", "/large.jpg/x", -2),
        ("/small.jpg", "/dir/copy", 0),
        ("/large.jpg", "/dir/copy", 0),
        ("/small.jpg", "/large.jpg", 0),
        ("/small.jpg", "/small.jpg", 0),
    ] {
        assert_eq!(anna.call("copyFile", json!([from, to])), json!(code), "{from} {to}");
    }
    assert_eq!(anna.content("/large.jpg"), small, "an existing file is replaced");
    assert_eq!(anna.content("/small.jpg"), small);
    assert_eq!(anna.stat("/dir/copy")["mimetype"], "image/jpeg");
    assert_eq!(delete(&anna, "deleteFile", "/large.jpg"), 0);
    assert_eq!(delete(&anna, "deleteFile", "/small.jpg"), 0);
    assert_eq!(anna.content("/dir/copy"), large, "a copy lives by itself");
    assert_eq!(anna.stat("/dir/copy")["checksum"], sha256(&large));
}

/// Every change of an entry sets the mtime of the directory that holds it; a move that of both.
#[test]
fn changes_touch_the_directory() {
    let server = Server::start();
    let anna = server.login();
    for dir in ["/d/empty", "/e"] {
        anna.dir(dir);
    }
    anna.put("/d/f", b"x");
    anna.put("/d/g", b"x");
    let put = |name: &str| anna.send(&anna.raw("/d", name).body("y")).code();
    let post_directory =
        |dir: &str| anna.send(&anna.post("/post/directory").with("X-Agile-Directory", dir)).code();
    let rpc = |method: &str, params| anna.code(method, params);
    type Step<'a> = (&'a str, &'a dyn Fn() -> i64, &'a [&'a str]);
    let steps: [Step<'_>; 14] = [
        ("makeDir", &|| rpc("makeDir", json!(["/d/new"])), &["/d"]),
        ("makeDir2", &|| rpc("makeDir2", json!(["/d/n/e/w"])), &["/d"]),
        ("post/directory", &|| post_directory("/d/p/q"), &["/d"]),
        ("upload", &|| put("h"), &["/d"]),
        ("overwrite", &|| put("f"), &["/d"]),
        ("copy", &|| rpc("copyFile", json!(["/d/f", "/e/copy"])), &["/e"]),
        ("copy over", &|| rpc("copyFile", json!(["/d/f", "/e/copy"])), &["/e"]),
        ("rename here", &|| rpc("rename", json!(["/d/g", "/d/gg"])), &["/d"]),
        ("move", &|| rpc("rename", json!(["/d/gg", "/e/gg"])), &["/d", "/e"]),
        ("move a directory", &|| rpc("rename", json!(["/d/empty", "/e/empty"])), &["/d", "/e"]),
        ("deleteDir", &|| rpc("deleteDir", json!(["/d/new"])), &["/d"]),
        ("deleteFile", &|| rpc("deleteFile", json!(["/d/f"])), &["/d"]),
        ("deleteObject", &|| rpc("deleteObject", json!(["/d/h"])), &["/d"]),
        ("delete a directory", &|| rpc("deleteObject", json!(["/e/empty"])), &["/e"]),
    ];
    for (what, step, touched) in steps {
        for dir in ["/d", "/e"] {
            assert_eq!(anna.code("setMTime", json!([dir, 1000])), 0);
            assert_eq!(anna.stat(dir)["mtime"], 1000);
        }
        let before = now_secs();
        assert_eq!(step(), 0, "{what}");
        for dir in ["/d", "/e"] {
            let mtime = anna.stat(dir)["mtime"].as_u64().unwrap();
            if touched.contains(&dir) {
                assert!((before..=now_secs()).contains(&mtime), "{what}: {dir} has {mtime}");
            } else {
                assert_eq!(mtime, 1000, "{what} touched {dir}");
            }
        }
    }
}

/// What fails changes nothing, the directory's mtime included; so does what only looks.
#[test]
fn refusals_touch_nothing() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/d/sub");
    anna.put("/d/f", b"x");
    assert_eq!(anna.code("setMTime", json!(["/d", 1000])), 0);
    for (method, params) in [
        ("makeDir", json!(["/d/f"])),
        ("makeDir", json!(["/d/sub"])),
        ("makeDir2", json!(["/d/f/g"])),
        ("deleteDir", json!(["/d/f"])),
        ("deleteFile", json!(["/d/sub"])),
        ("rename", json!(["/d/f", "/d/sub"])),
        ("rename", json!(["/d/f", "/d/x/y"])),
        ("copyFile", json!(["/d/f", "/d/sub"])),
    ] {
        assert_ne!(anna.code(method, params.clone()), 0, "{method} {params}");
    }
    for (method, params) in [
        ("makeDir2", json!(["/d/sub"])),
        ("stat", json!(["/d/f"])),
        ("listPath", json!(["/d"])),
        ("setMTime", json!(["/d/f", 5])),
        ("setContentType", json!(["/d/f", "text/css"])),
    ] {
        assert_eq!(anna.code(method, params.clone()), 0, "{method} {params}");
    }
    assert_eq!(anna.stat("/d")["mtime"], 1000);
    assert_eq!(anna.names("/d"), (vec!["sub".to_owned()], vec!["f".to_owned()]));
}
