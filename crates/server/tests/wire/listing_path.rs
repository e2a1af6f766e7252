//! `listPath` (protocol.md, sections 5 and 11).

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    harness::{Client, Server, sha256},
    listing::fill,
};

fn cookie(directories: u64, files: u64) -> String {
    STANDARD.encode([directories.to_be_bytes(), files.to_be_bytes()].concat())
}

fn lengths(page: &Value) -> (usize, usize) {
    (page["dirs"].as_array().unwrap().len(), page["files"].as_array().unwrap().len())
}

/// As the published script loops: from the empty string until the cookie is null.
fn all(client: &Client, dir: &str, size: usize) -> (Vec<String>, Vec<(usize, usize)>) {
    let (mut names, mut shapes, mut cookie) = (Vec::new(), Vec::new(), json!(""));
    while !cookie.is_null() {
        let page = client.call("listPath", json!([dir, size, cookie, true]));
        assert_eq!(page["code"], 0, "{page}");
        shapes.push(lengths(&page));
        for entry in ["dirs", "files"].iter().flat_map(|key| page[key].as_array().unwrap()) {
            names.push(entry["name"].as_str().unwrap().to_owned());
        }
        cookie = page["cookie"].clone();
        assert!(shapes.len() < 100, "the listing does not end");
    }
    (names, shapes)
}

#[test]
fn the_cookie_of_a_fresh_tree() {
    let server = Server::start();
    let anna = server.login();
    fill(&anna, "/", 5, 5);
    let page = anna.call("listPath", json!(["/", 2, null, true]));
    assert_eq!((lengths(&page), &page["cookie"]), ((2, 2), &json!(cookie(2, 2))));
    let page = anna.call("listPath", json!(["/", 2, page["cookie"]]));
    assert_eq!((lengths(&page), &page["cookie"]), ((2, 2), &json!(cookie(4, 4))));
    let page = anna.call("listPath", json!(["/", 2, page["cookie"]]));
    assert_eq!((lengths(&page), &page["cookie"]), ((1, 1), &Value::Null));
    let keys: Vec<_> = page.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["code", "cookie", "dirs", "files"]);
}

#[test]
fn pages_bound_each_list_by_itself() {
    let server = Server::start();
    let anna = server.login();
    fill(&anna, "/d", 3, 5);
    let expected: BTreeSet<String> =
        (0..3).map(|i| format!("d{i}")).chain((0..5).map(|i| format!("f{i}"))).collect();
    for size in 1..=7 {
        let (names, shapes) = all(&anna, "/d", size);
        assert_eq!(names.len(), 8, "by {size}: {shapes:?}");
        assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), expected, "by {size}");
        assert!(shapes.iter().all(|(d, f)| *d <= size && *f <= size), "by {size}: {shapes:?}");
        let last = shapes.last().unwrap();
        assert!(last.0 < size && last.1 < size, "a full page carries a cookie: {shapes:?}");
    }
    let empty = json!({"code": 0, "cookie": null, "dirs": [], "files": []});
    assert_eq!(anna.call("listPath", json!(["/d/d0"])), empty);
    // A full page always carries a cookie, even where nothing follows.
    fill(&anna, "/exact", 2, 2);
    let page = anna.call("listPath", json!(["/exact", 2]));
    assert_eq!(lengths(&page), (2, 2));
    assert_eq!(anna.call("listPath", json!(["/exact", 2, page["cookie"]])), empty);
}

#[test]
fn cookies_and_sizes_refused() {
    let server = Server::start();
    let anna = server.login();
    fill(&anna, "/d", 1, 1);
    for first in [json!(""), Value::Null, json!(false), json!(0)] {
        assert_eq!(lengths(&anna.call("listPath", json!(["/d", 5, first]))), (1, 1), "{first}");
    }
    let half = &cookie(1, 1)[..11];
    for wrong in
        [json!("x"), json!("AAAA"), json!(half), json!({}), json!([]), json!(-1), json!(1.5)]
    {
        assert_eq!(anna.call("listPath", json!(["/d", 5, wrong])), json!({"code": -11}), "{wrong}");
    }
    let end = anna.call("listPath", json!(["/d", 5, cookie(1 << 40, u64::MAX)]));
    assert_eq!(end, json!({"code": 0, "cookie": null, "dirs": [], "files": []}));
    for size in [json!(0), json!(-1), json!(10_001), json!(1_u64 << 63), json!("x"), json!({})] {
        assert_eq!(anna.call("listPath", json!(["/d", size])), json!({"code": -12}), "{size}");
    }
    for (path, code) in
        [("/missing", -1), ("/d/f0", -1), ("/d/f0/x", -1), ("/d/..", -8), ("a\u{0}", -8)]
    {
        assert_eq!(anna.call("listPath", json!([path])), json!({"code": code}), "{path:?}");
    }
}

#[test]
fn with_stat_beside_the_name() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/dir");
    anna.put("/page.html", b"<p>");
    let (dir, file) = (anna.stat("/dir"), anna.stat("/page.html"));
    let plain = anna.call("listPath", json!(["/"]));
    assert_eq!(
        (&plain["dirs"], &plain["files"]),
        (&json!([{"name": "dir"}]), &json!([{"name": "page.html"}]))
    );
    let dir_row = json!({
        "name": "dir", "uid": dir["uid"], "gid": dir["gid"], "ctime": dir["ctime"], "mtime": dir["mtime"],
    });
    let file_row = json!({
        "name": "page.html", "uid": file["uid"], "gid": file["gid"], "ctime": file["ctime"],
        "mtime": file["mtime"], "size": 3, "checksum": sha256(b"<p>"), "mimetype": "text/html",
    });
    let page = anna.call("listPath", json!({"path": "/", "stat": true}));
    assert_eq!((&page["dirs"], &page["files"]), (&json!([dir_row]), &json!([file_row])));

    // The C# client (1.0) reads the same in an object of its own, too.
    let one = anna.rpc_one("listPath", json!([anna.token, "/", 10, null, true]))["result"].clone();
    let (mut dir_row, mut file_row) = (dir_row, file_row);
    dir_row["stat"] = json!({
        "uid": dir["uid"], "gid": dir["gid"], "ctime": dir["ctime"], "mtime": dir["mtime"],
    });
    file_row["stat"] = json!({
        "uid": file["uid"], "gid": file["gid"], "ctime": file["ctime"], "mtime": file["mtime"],
        "size": 3, "hash": sha256(b"<p>"), "ctype": 0,
    });
    assert_eq!((&one["dirs"], &one["files"]), (&json!([dir_row]), &json!([file_row])));
}

/// What is there from the first page to the last comes exactly once, in both lists.
#[test]
fn a_listing_survives_changes() {
    let server = Server::start();
    let anna = server.login();
    fill(&anna, "/d", 6, 6);
    let (mut seen, mut cookie, mut round) = (Vec::new(), json!(""), 0);
    while !cookie.is_null() {
        let page = anna.call("listPath", json!(["/d", 2, cookie]));
        for entry in ["dirs", "files"].iter().flat_map(|key| page[key].as_array().unwrap()) {
            seen.push(entry["name"].as_str().unwrap().to_owned());
        }
        cookie = page["cookie"].clone();
        if round == 0 {
            for (method, path) in
                [("deleteDir", "/d/d0"), ("deleteFile", "/d/f5"), ("deleteDir", "/d/d5")]
            {
                assert_eq!(anna.code(method, json!([path])), 0);
            }
        }
        round += 1;
        assert!(round < 50, "the listing does not end");
        if round < 3 {
            anna.put(&format!("/d/new{round}"), b"x");
            anna.dir(&format!("/d/newer{round}"));
        }
    }
    for kind in ["d", "f"] {
        for i in 1..5 {
            let name = format!("{kind}{i}");
            assert_eq!(seen.iter().filter(|n| **n == name).count(), 1, "{name}: {seen:?}");
        }
    }
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "{seen:?}");
}
