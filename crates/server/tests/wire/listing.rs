//! `listDir` and `listFile` (protocol.md, section 5, "Listing").

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Client, Server, sha256};

/// Files `f0…` and directories `d0…` in `dir`.
pub(crate) fn fill(client: &Client, dir: &str, directories: usize, files: usize) {
    client.dir(dir);
    for i in 0..directories {
        assert_eq!(client.code("makeDir", json!([format!("{dir}/d{i}")])), 0);
    }
    for i in 0..files {
        client.put(&format!("{dir}/f{i}"), b"x");
    }
}

/// All pages of `pageSize` entries, as published scripts loop: until the cookie is 0.
fn pages(client: &Client, method: &str, dir: &str, size: usize) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cookie = json!(0);
    loop {
        let page = client.call(method, json!([dir, size, cookie]));
        assert_eq!(page["code"], 0, "{page}");
        let expected = if method == "listDir" { 1 } else { 2 };
        let names = page["list"].as_array().unwrap().iter().map(|entry| {
            assert_eq!(entry["type"], expected, "{entry}");
            assert_eq!(entry.as_object().unwrap().len(), 2, "{entry}");
            entry["name"].as_str().unwrap().to_owned()
        });
        pages.push(names.collect());
        let next = page["cookie"].as_i64().unwrap();
        assert!((0..1 << 31).contains(&next), "{next}");
        if next == 0 {
            return pages;
        }
        cookie = json!(next);
    }
}

#[test]
fn pages_of_every_size() {
    let server = Server::start();
    let anna = server.login();
    fill(&anna, "/many", 7, 6);
    for (method, count) in [("listDir", 7), ("listFile", 6)] {
        for size in 1..=9 {
            let pages = pages(&anna, method, "/many", size);
            let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
            // Full pages always carry a cookie, so the last page is a short one, empty where nothing was left.
            let mut expected = vec![size; count / size];
            expected.push(count % size);
            assert_eq!(lengths, expected, "{method} by {size}");
            let all: BTreeSet<String> = pages.concat().into_iter().collect();
            assert_eq!(all.len(), count, "{method} by {size}");
        }
    }
    for (params, len) in [
        (json!(["/many"]), 7),
        (json!(["/many", null, null, null]), 7),
        (json!({"path": "many/", "pageSize": "2", "cookie": false, "stat": 0}), 2),
        (json!(["/many", 10_000, "", "no"]), 7),
        (json!(["/many/d0"]), 0),
        (json!(["/"]), 1),
    ] {
        let page = anna.call("listDir", params.clone());
        assert_eq!(page["list"].as_array().unwrap().len(), len, "{params}: {page}");
    }
    assert_eq!(
        anna.call("listDir", json!(["/many/d0"])),
        json!({"code": 0, "cookie": 0, "list": []})
    );
}

#[test]
fn the_default_page_holds_100() {
    let server = Server::start();
    let anna = server.login();
    fill(&anna, "/", 101, 0);
    let page = anna.call("listDir", json!(["/"]));
    assert_eq!(page["list"].as_array().unwrap().len(), 100);
    let rest = anna.call("listDir", json!({"path": "/", "cookie": page["cookie"]}));
    assert_eq!(rest["list"].as_array().unwrap().len(), 1);
    assert_eq!(rest["cookie"], 0);
}

#[test]
fn refused() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/dir/file", b"x");
    for method in ["listDir", "listFile"] {
        let code = |params: Value| anna.call(method, params);
        for path in ["/missing", "/dir/file", "/dir/file/x", "/dir/.."] {
            assert_eq!(code(json!([path])), json!({"code": -1}), "{path}");
        }
        for size in [json!(0), json!(-1), json!(10_001), json!(1_u64 << 63), json!("x"), json!(1.5)]
        {
            assert_eq!(code(json!(["/dir", size])), json!({"code": -12}), "{size}");
        }
        for cookie in [json!(-1), json!("x"), json!({}), json!([]), json!(1.5), json!("AAAA")] {
            assert_eq!(code(json!(["/dir", 10, cookie])), json!({"code": -11}), "{cookie}");
        }
        let past = code(json!(["/dir", 10, 2_000_000_000]));
        assert_eq!(past, json!({"code": 0, "cookie": 0, "list": []}));
    }
}

#[test]
fn with_stat() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/dir");
    anna.put("/page.html", b"<p>");
    anna.code("setMTime", json!(["/page.html", 1000]));
    let page = anna.call("listFile", json!(["/", 10, 0, true]));
    let stat = anna.stat("/page.html");
    assert_eq!(
        page["list"],
        json!([{"name": "page.html", "type": 2, "stat": {
            "uid": stat["uid"], "gid": stat["gid"], "ctime": stat["ctime"], "mtime": 1000,
            "size": 3, "checksum": sha256(b"<p>"), "mimetype": "text/html",
        }}])
    );
    let stat = anna.stat("/dir");
    let page = anna.call("listDir", json!({"path": "/", "stat": "yes"}));
    assert_eq!(
        page["list"],
        json!([{"name": "dir", "type": 1, "stat": {
            "uid": stat["uid"], "gid": stat["gid"], "ctime": stat["ctime"], "mtime": stat["mtime"],
        }}])
    );
}

/// What is there from the first page to the last is returned exactly once, whatever happens meanwhile.
#[test]
fn a_listing_survives_changes() {
    let server = Server::start();
    let anna = server.login();
    fill(&anna, "/d", 0, 12);
    let stays: BTreeSet<String> = (0..12).filter(|i| i % 3 != 0).map(|i| format!("f{i}")).collect();
    let (mut seen, mut cookie, mut round) = (Vec::new(), 0, 0);
    loop {
        let page = anna.call("listFile", json!(["/d", 2, cookie]));
        let names = page["list"].as_array().unwrap().iter();
        seen.extend(names.map(|entry| entry["name"].as_str().unwrap().to_owned()));
        cookie = page["cookie"].as_u64().unwrap();
        if cookie == 0 {
            break;
        }
        // Between pages: one of the old ones goes, new ones come and go, old ones are replaced.
        if round < 4 {
            assert_eq!(anna.code("deleteFile", json!([format!("/d/f{}", 9 - round * 3)])), 0);
        }
        anna.put(&format!("/d/new{round}"), b"n");
        anna.put(&format!("/d/f{}", 1 + (round % 2)), b"replaced");
        if round > 2 {
            anna.code("deleteFile", json!([format!("/d/new{}", round - 2)]));
        }
        round += 1;
        assert!(round < 100, "the listing does not end");
    }
    for name in &stays {
        let count = seen.iter().filter(|n| *n == name).count();
        assert_eq!(count, 1, "{name} was listed {count} times: {seen:?}");
    }
    let distinct: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "{seen:?}");
}

/// A cookie stays usable after any time: over a restart, and after all it has seen was deleted.
#[test]
fn a_cookie_stays_usable() {
    let mut server = Server::start();
    let anna = server.login();
    fill(&anna, "/d", 0, 6);
    let first = anna.call("listFile", json!(["/d", 3]));
    for entry in first["list"].as_array().unwrap() {
        let path = format!("/d/{}", entry["name"].as_str().unwrap());
        assert_eq!(anna.code("deleteFile", json!([path])), 0);
    }
    server.kill();
    server.start_again();
    let anna = Client { address: server.address(), ..anna };
    let rest = anna.call("listFile", json!(["/d", 4, first["cookie"]]));
    let listed: BTreeSet<&str> =
        rest["list"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    let (_, left) = anna.names("/d");
    assert_eq!(listed, left.iter().map(String::as_str).collect());
    assert_eq!((listed.len(), &rest["cookie"]), (3, &json!(0)));
}
