//! Listings of multipart uploads and of their pieces, and the maps of their states (protocol.md, section 6).

use serde_json::{Value, json};

use crate::harness::{Client, Server, Setup};

#[test]
fn maps_of_states() {
    let server = Server::start();
    let anna = server.login();
    let map = |params: Value| anna.call("getMultipartStatusMap", params);
    let upload = json!({"code": 0, "map": {
        "0": "UNKNOWN", "1": "NEW", "2": "READY", "3": "COMPLETE", "5": "JOIN", "6": "SUCCESS",
        "8": "DELETED", "9": "ERROR", "10": "ABORT", "11": "EXPIRED", "12": "FAILED",
    }});
    let piece = json!({"code": 0, "map": {
        "0": "UNKNOWN", "1": "NEW", "5": "JOIN", "6": "SUCCESS", "8": "DELETED", "9": "ERROR",
        "10": "SKIPPED", "11": "ABORT", "12": "EXPIRED", "13": "FAILED",
    }});
    for params in [json!([]), json!(["upload"]), json!([null]), json!({"name": "upload"})] {
        assert_eq!(map(params), upload);
    }
    assert_eq!(map(json!(["piece"])), piece);
    for name in [json!("x"), json!(""), json!("Upload"), json!(5), json!([])] {
        assert_eq!(map(json!([name])), json!({"code": -19}), "{name}");
    }
    let stranger = anna.with_token(crate::sessions::STRANGER);
    assert_eq!(stranger.call("getMultipartStatusMap", json!([])), json!({"code": -10_001}));
}

/// As the published scripts do it: until a page has no cookie.
fn paths_by_loop(anna: &Client, size: usize) -> (Vec<String>, usize) {
    let (mut paths, mut calls, mut cookie) = (Vec::new(), 0, json!(0));
    loop {
        let page = anna.call("listMultipart", json!([cookie, size]));
        assert_eq!(page["code"], 0, "{page}");
        let list = page["multipart"].as_array().unwrap();
        paths.extend(list.iter().map(|one| one["path"].as_str().unwrap().to_owned()));
        calls += 1;
        cookie = page["cookie"].clone();
        assert_eq!(cookie == json!(0), list.is_empty(), "{page}");
        assert!(list.len() <= size, "{page}");
        if cookie == json!(0) {
            return (paths, calls);
        }
    }
}

#[test]
fn uploads_in_the_order_of_creation() {
    let server = Server::start();
    let anna = server.login();
    server.add_user("bob", "acme", &[]);
    let bob = server.login_as("bob", crate::harness::PASSWORD);
    assert_eq!(paths_by_loop(&anna, 3), (vec![], 1));
    let mut mpids = Vec::new();
    for i in 0..7 {
        mpids.push(anna.begin(&format!("/f{i}")));
        bob.begin(&format!("/bob{i}"));
    }
    let all: Vec<String> = (0..7).map(|i| format!("/acme/f{i}")).collect();
    for (size, calls) in [(1, 8), (3, 4), (7, 2), (100, 2)] {
        assert_eq!(paths_by_loop(&anna, size), (all.clone(), calls), "size {size}");
    }
    // One that is begun after a page was read comes on a later page.
    let first = anna.call("listMultipart", json!([0, 7]));
    let late = anna.begin("/late.mp4");
    let second = anna.call("listMultipart", json!({"pagesize": "7", "cookie": first["cookie"]}));
    let who = anna.call("checkToken", json!([]));
    let created = anna.call("getMultipartStatus", json!([late]))["created"].clone();
    let row = json!({
        "mpid": late, "path": "/acme/late.mp4", "uid": who["uid"], "gid": who["gid"],
        "content_type": "video/mp4", "state": 1, "mtime": created, "error": 0,
    });
    assert_eq!(second["multipart"], json!([row]));
    assert!(first["multipart"][0].get("content_type").is_none(), "{first}");
    assert_eq!(first["multipart"][0]["mpid"], mpids[0]);
    for form in [json!(null), json!(""), json!(false), json!("0"), json!(0.0)] {
        assert_eq!(anna.call("listMultipart", json!([form, 7])), first, "{form}");
    }
    let as_text = first["cookie"].to_string();
    assert_eq!(anna.call("listMultipart", json!([as_text, 7])), second, "a cookie as a string");
    let past = anna.call("listMultipart", json!([9_000_000_000_u64]));
    assert_eq!(past, json!({"code": 0, "cookie": 0, "multipart": []}));
    assert_eq!(anna.call("abortMultipart", json!([mpids[3]])), json!(0));
    let states: Vec<Value> = anna.call("listMultipart", json!([]))["multipart"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["state"].clone())
        .collect();
    assert_eq!(json!(states), json!([1, 1, 1, 10, 1, 1, 1, 1]), "what is over stays listed");
}

#[test]
fn pieces_in_the_order_of_arrival() {
    let server = Server::start();
    let anna = server.login();
    let mpid = anna.begin("/f");
    let pages = |size: usize| {
        let (mut sizes, mut pages, mut cookie) = (Vec::new(), Vec::new(), json!(0));
        loop {
            let page = anna.call("listMultipartPiece", json!([mpid, cookie, size]));
            assert_eq!(page["code"], 0, "{page}");
            let list = page["pieces"].as_array().unwrap();
            sizes.extend(list.iter().map(|one| one["size"].as_u64().unwrap()));
            pages.push(list.len());
            cookie = page["cookie"].clone();
            assert_eq!(cookie != json!(0), list.len() == size, "{page}");
            if cookie == json!(0) {
                return (sizes, pages);
            }
        }
    };
    assert_eq!(pages(2), (vec![], vec![0]));
    for (number, size) in [(3, 30), (1, 10), (2, 20), (3, 31), (5, 50)] {
        anna.send_piece(&mpid, number, &vec![7; size]);
    }
    let sizes = vec![30, 10, 20, 31, 50];
    assert_eq!(pages(2), (sizes.clone(), vec![2, 2, 1]));
    assert_eq!(
        pages(5),
        (sizes.clone(), vec![5, 0]),
        "a full page does not say that it is the last"
    );
    assert_eq!(pages(100), (sizes, vec![5]));
    let page = anna.call("listMultipartPiece", json!({"mpid": mpid, "pagesize": 1, "cookie": ""}));
    assert_eq!(
        page["pieces"],
        json!([{"number": 3, "size": 30, "state": 10, "error": 0}]),
        "replaced by the fourth: {page}"
    );
    let next = anna.call("listMultipartPiece", json!([mpid, page["cookie"].to_string(), 1]));
    assert_eq!(next["pieces"], json!([{"number": 1, "size": 10, "state": 1, "error": 0}]));
}

#[test]
fn what_is_no_cookie_and_no_size() {
    let server = Server::start();
    let anna = server.login();
    let mpid = anna.begin("/f");
    for cookie in [json!("x"), json!(-1), json!(1.5), json!({}), json!([]), json!("1 ")] {
        assert_eq!(anna.call("listMultipart", json!([cookie])), json!({"code": -3}), "{cookie}");
        let pieces = anna.call("listMultipartPiece", json!([mpid, cookie]));
        assert_eq!(pieces, json!({"code": -3}), "{cookie}");
    }
    for size in [json!(0), json!(10_001), json!(-1), json!("x"), json!(1.5), json!({})] {
        assert_eq!(anna.call("listMultipart", json!([0, size])), json!({"code": -14}), "{size}");
        let pieces = anna.call("listMultipartPiece", json!([mpid, 0, size]));
        assert_eq!(pieces, json!({"code": -14}), "{size}");
    }
    assert_eq!(anna.code("listMultipart", json!([0, 10_000])), 0);
    assert_eq!(anna.error("listMultipart", json!({"pageSize": 5})), -32602, "spelt otherwise");
    assert_eq!(anna.error("listMultipart", json!([0, 1, 2])), -32602);
    assert_eq!(anna.error("listMultipartPiece", json!([])), -32602);
}

/// An account has a bounded number of unfinished uploads, and ending one makes room.
#[test]
fn unfinished_uploads_are_bounded() {
    let config = Some("[multipart]\nunfinished_max = 2\n".to_owned());
    let server = Server::start_with(Setup { config, ..Setup::default() });
    let anna = server.login();
    let (one, two) = (anna.begin("/one"), anna.begin("/two"));
    let refused = || {
        assert_eq!(anna.call("createMultipart", json!(["/three"])), json!({"code": -1}));
        assert_eq!(anna.send(&anna.post("/multipart/create")).told(), (400, -1));
    };
    refused();
    assert_eq!(anna.code("abortMultipart", json!([one])), 0);
    anna.begin("/three");
    refused();
    anna.send_piece(&two, 1, b"x");
    anna.finish(&two, 1);
    anna.begin("/four");
    refused();
}
