//! Multipart uploads by JSON-RPC (protocol.md, section 6): a whole life, pieces in every order, and every code of the
//! table. Sending pieces is HTTP's alone; its own codes are in `multipart_http`, listings in `multipart_listing`.

use std::thread;

use serde_json::{Value, json};

use crate::harness::{Answer, Ask, Client, Server, noise, now_secs, sha256, wait_until};

pub(crate) const NEW: i64 = 1;
pub(crate) const SUCCESS: i64 = 6;
pub(crate) const ABORT: i64 = 10;
pub(crate) const FAILED: i64 = 12;
/// An id of the right form that no upload has.
pub(crate) const NOBODYS: &str = "0123456789abcdef0123456789abcdef";

impl Client {
    /// Begins an upload; it must succeed.
    pub(crate) fn begin(&self, path: &str) -> String {
        let made = self.call("createMultipart", json!([path]));
        assert_eq!(made["code"], 0, "{path}: {made}");
        let mpid = made["mpid"].as_str().unwrap().to_owned();
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        assert!(mpid.len() == 32 && mpid.bytes().all(hex), "{mpid}");
        mpid
    }

    /// A request for `/multipart/piece`.
    pub(crate) fn piece(&self, mpid: &str, number: impl ToString) -> Ask {
        let ask = self.post("/multipart/piece").with("X-Agile-Multipart", mpid);
        ask.with("X-Agile-Part", number.to_string())
    }

    /// Sends a piece; it must succeed, and say what came.
    pub(crate) fn send_piece(&self, mpid: &str, number: u32, body: &[u8]) -> Answer {
        let answer = self.send(&self.piece(mpid, number).body(body));
        assert_eq!(answer.told(), (200, 0), "piece {number}: {answer:?}");
        assert_eq!(answer.must("X-Agile-Checksum"), sha256(body), "piece {number}");
        assert_eq!(answer.must("X-Agile-Size"), body.len().to_string(), "piece {number}");
        answer
    }

    /// State of an upload.
    pub(crate) fn state(&self, mpid: &str) -> i64 {
        let status = self.call("getMultipartStatus", json!([mpid]));
        status["state"].as_i64().unwrap_or_else(|| panic!("{status}"))
    }

    /// Waits until an upload is in a state.
    pub(crate) fn wait_for(&self, mpid: &str, state: i64) {
        wait_until(&format!("state {state}"), || self.state(mpid) == state);
    }

    /// Completes an upload of `pieces` pieces and waits for its file.
    pub(crate) fn finish(&self, mpid: &str, pieces: u32) {
        let done = self.call("completeMultipart", json!([mpid]));
        assert_eq!(done, json!({"code": 0, "numpieces": pieces}));
        self.wait_for(mpid, SUCCESS);
    }

    /// Numbers and states of all pieces, in the order of their arrival.
    pub(crate) fn pieces(&self, mpid: &str) -> Vec<(i64, i64)> {
        let page = self.call("listMultipartPiece", json!([mpid, 0, 10_000]));
        assert_eq!((&page["code"], &page["cookie"]), (&json!(0), &json!(0)), "{page}");
        let list = page["pieces"].as_array().unwrap().iter();
        list.map(|p| (p["number"].as_i64().unwrap(), p["state"].as_i64().unwrap())).collect()
    }
}

#[test]
fn a_whole_life() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/d");
    let before = now_secs();
    let made = anna.call("createMultipart", json!(["/d//film", "video/x-own", 1_450_392_160]));
    let mpid = made["mpid"].as_str().unwrap().to_owned();
    assert_eq!(made, json!({"code": 0, "mpid": mpid}));
    let status = anna.call("getMultipartStatus", json!([mpid]));
    let created = status["created"].as_u64().unwrap();
    assert!((before..=now_secs()).contains(&created), "{status}");
    let mut expected = json!({
        "code": 0, "path": "/acme/d/film", "content_type": "video/x-own", "numpieces": 0,
        "created": created, "mtime": 1_450_392_160, "state": NEW, "error": 0,
    });
    assert_eq!(status, expected);
    let parts = [noise(1, 300_000), noise(2, 70_001), noise(3, 5)];
    for (part, number) in parts.iter().zip(1..) {
        anna.send_piece(&mpid, number, part);
        expected["numpieces"] = json!(number);
        assert_eq!(anna.call("getMultipartStatus", json!([mpid])), expected);
    }
    assert_eq!(anna.pieces(&mpid), [(1, 1), (2, 1), (3, 1)]);
    assert_eq!(anna.code("stat", json!(["/d/film"])), -1, "nothing is visible before completion");
    assert_eq!(anna.get("/acme/d/film").status, 404);
    assert_eq!(anna.names("/d").1, [] as [&str; 0]);
    anna.finish(&mpid, 3);
    expected["state"] = json!(SUCCESS);
    assert_eq!(anna.call("getMultipartStatus", json!([mpid])), expected);
    assert_eq!(anna.pieces(&mpid), [(1, 6), (2, 6), (3, 6)]);
    assert!(anna.content("/d/film") == parts.concat());
    let (stat, who) = (anna.stat("/d/film"), anna.call("checkToken", json!([])));
    assert_eq!(stat["mtime"], 1_450_392_160);
    assert_eq!(stat["mimetype"], "video/x-own");
    assert_eq!((&stat["uid"], &stat["gid"]), (&who["uid"], &who["gid"]));
    assert_eq!(anna.get("/acme/d/film").must("Content-Type"), "video/x-own");
    // It is a file like any other.
    assert_eq!(anna.code("copyFile", json!(["/d/film", "/copy"])), 0);
    assert_eq!(anna.code("deleteFile", json!(["/d/film"])), 0);
    assert!(anna.content("/copy") == parts.concat());
}

#[test]
fn pieces_in_any_order_and_in_parallel() {
    let server = Server::start();
    let anna = server.login();
    let mpid = anna.begin("/f");
    let sizes = [100_000, 1, 16_384, 16_385, 0, 65_536, 3_000_001, 7, 262_145, 0, 1, 40_000];
    let parts: Vec<Vec<u8>> = (1..).zip(sizes).map(|(seed, size)| noise(seed, size)).collect();
    let numbered: Vec<(u32, &Vec<u8>)> = (1..).zip(&parts).collect();
    thread::scope(|scope| {
        for few in numbered.rchunks(3) {
            let (anna, mpid) = (anna.clone(), &mpid);
            scope.spawn(move || {
                for (number, part) in few.iter().rev() {
                    anna.send_piece(mpid, *number, part);
                }
            });
        }
    });
    let status = anna.call("getMultipartStatus", json!([mpid]));
    assert_eq!(status["numpieces"], sizes.len(), "{status}");
    anna.finish(&mpid, 12);
    assert!(anna.content("/f") == parts.concat());
    // A range over the seams.
    let seam =
        anna.send(&crate::harness::ask("GET", "/acme/f").with("Range", "bytes=99990-116400"));
    assert_eq!(seam.status, 206);
    assert!(seam.body == parts.concat()[99_990..=116_400]);
}

#[test]
fn a_piece_sent_again_replaces() {
    let server = Server::start();
    let anna = server.login();
    let mpid = anna.begin("/f");
    for (number, body) in [(1, "aaaa"), (2, "bb"), (3, "c"), (2, "BBBBBB"), (1, ""), (1, "A")] {
        anna.send_piece(&mpid, number, body.as_bytes());
    }
    let status = anna.call("getMultipartStatus", json!([mpid]));
    assert_eq!(status["numpieces"], 3, "distinct numbers: {status}");
    assert_eq!(anna.pieces(&mpid), [(1, 10), (2, 10), (3, 1), (2, 1), (1, 10), (1, 1)]);
    anna.finish(&mpid, 3);
    assert_eq!(anna.content("/f"), b"ABBBBBBc");
    assert_eq!(anna.pieces(&mpid), [(1, 10), (2, 10), (3, 6), (2, 6), (1, 10), (1, 6)]);
}

#[test]
fn pieces_without_bytes() {
    let server = Server::start();
    let anna = server.login();
    for (name, parts) in
        [("/a", &["", "abc", "", "d", ""][..]), ("/b", &["", ""]), ("/c", &[""]), ("/d", &["x"])]
    {
        let mpid = anna.begin(name);
        for (part, number) in parts.iter().zip(1..) {
            anna.send_piece(&mpid, number, part.as_bytes());
        }
        anna.finish(&mpid, parts.len().try_into().unwrap());
        assert_eq!(anna.content(name), parts.concat().as_bytes(), "{name}");
    }
}

#[test]
fn an_older_file_is_replaced_at_completion() {
    let server = Server::start();
    let anna = server.login();
    let (old, new) = (noise(1, 200_000), [noise(2, 150_000), noise(3, 90_000)]);
    anna.put("/f", &old);
    let mpid = anna.begin("/f");
    for (part, number) in new.iter().zip(1..) {
        anna.send_piece(&mpid, number, part);
        assert!(anna.content("/f") == old, "the older file stays");
    }
    assert_eq!(anna.code("completeMultipart", json!([mpid])), 0);
    while anna.state(&mpid) != SUCCESS {
        let got = anna.get("/acme/f").body;
        assert!(got == old || got == new.concat(), "a mix of old and new");
    }
    assert!(anna.content("/f") == new.concat());
    assert_eq!(anna.names("/").1, ["f"]);
}

#[test]
fn times_and_types() {
    let server = Server::start();
    let anna = server.login();
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice();
    for (params, told, stored) in [
        (json!(["/a.mp4"]), json!("video/mp4"), "video/mp4"),
        (json!(["/b.mp4", "image/x-own; q=1"]), json!("image/x-own; q=1"), "image/x-own; q=1"),
        (json!(["/c", null, null]), Value::Null, "image/png"),
        (json!(["/d.unheard-of", "", "0"]), Value::Null, "image/png"),
    ] {
        let mpid =
            anna.call("createMultipart", params.clone())["mpid"].as_str().unwrap().to_owned();
        let status = anna.call("getMultipartStatus", json!([mpid]));
        assert_eq!(status.get("content_type").cloned().unwrap_or_default(), told, "{params}");
        assert_eq!(status["mtime"], status["created"], "0 stands for the time of creation");
        anna.send_piece(&mpid, 1, &png[..8]);
        anna.send_piece(&mpid, 2, &png[8..]);
        if params == json!(["/a.mp4"]) {
            thread::sleep(std::time::Duration::from_millis(1100));
        }
        anna.finish(&mpid, 2);
        let stat = anna.stat(params[0].as_str().unwrap());
        assert_eq!(stat["mtime"], status["created"], "not that of completion: {params}");
        assert_eq!(stat["mimetype"], stored, "{params}");
    }
    let mpid = anna.begin("/later");
    anna.send_piece(&mpid, 1, b"");
    anna.send_piece(&mpid, 2, png);
    anna.finish(&mpid, 2);
    assert_eq!(anna.stat("/later")["mimetype"], "image/png", "told from the content");
}

#[test]
fn codes_of_create() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/dir");
    anna.put("/file", b"x");
    for (params, code) in [
        (json!(["/a/../b"]), -16),
        (json!(["a\u{0}b"]), -16),
        (json!([5]), -16),
        (json!(["/"]), -16),
        (json!(["/dir"]), -16),
        (json!(["/f", "", -1]), -20),
        (json!(["/f", "", "x"]), -20),
        (json!(["/f", "", 1.5]), -20),
        (json!(["/f", "", 253_402_300_800_u64]), -20),
        (json!(["/f", "nonsense"]), -21),
        (json!(["/f", "foo/bar"]), -21),
        (json!(["/f", 5]), -21),
        (json!(["/missing/f"]), -23),
        (json!(["/file/f"]), -23),
    ] {
        let answer = anna.call("createMultipart", params.clone());
        assert_eq!(answer, json!({"code": code}), "{params}");
    }
    assert_eq!(anna.error("createMultipart", json!([])), -32602);
    assert_eq!(anna.error("createMultipart", json!(["/f", "", 0, 0])), -32602);
    let stranger = anna.with_token(crate::sessions::STRANGER);
    assert_eq!(stranger.call("createMultipart", json!(["/f"])), json!({"code": -10_001}));
    let page = anna.call("listMultipart", json!([]));
    assert_eq!(page, json!({"code": 0, "cookie": 0, "multipart": []}), "none was begun");
    let named = json!({"path": "/f", "mtime": "7", "content_type": "text/x"});
    assert_eq!(anna.code("createMultipart", named), 0);
}

/// Everything that names an upload, for ids that are nobody's, somebody else's, or none.
#[test]
fn uploads_of_others() {
    let server = Server::start();
    server.add_user("bob", "acme", &[]);
    let (anna, bob) = (server.login(), server.login_as("bob", crate::harness::PASSWORD));
    let mpid = anna.begin("/f");
    anna.send_piece(&mpid, 1, b"x");
    let short = &mpid[1..];
    for (who, id) in [
        (&bob, json!(mpid)),
        (&anna, json!(NOBODYS)),
        (&anna, json!(short)),
        (&anna, json!(format!("{mpid}0"))),
        (&anna, json!(format!("g{short}"))),
        (&anna, json!("")),
        (&anna, json!(5)),
        (&anna, json!({})),
    ] {
        for query in ["getMultipartStatus", "listMultipartPiece", "completeMultipart"] {
            assert_eq!(who.call(query, json!([id])), json!({"code": -2}), "{query} {id}");
        }
        for operation in ["abortMultipart", "restartMultipart"] {
            assert_eq!(who.call(operation, json!([id])), json!(-2), "{operation} {id}");
        }
        let text = id.as_str().unwrap_or("5");
        assert_eq!(who.send(&who.piece(text, 1).body("y")).told(), (400, -2), "{id}");
        let complete = who.post("/multipart/complete").with("X-Agile-Multipart", text);
        assert_eq!(who.send(&complete).told(), (400, -2), "{id}");
    }
    let page = bob.call("listMultipart", json!([]));
    assert_eq!(page["multipart"], json!([]), "{page}");
    assert_eq!(anna.call("getMultipartStatus", json!([mpid.to_uppercase()]))["code"], 0);
    assert_eq!(server.login().state(&mpid), NEW, "another session of the same user");
    anna.finish(&mpid, 1);
    assert_eq!(anna.content("/f"), b"x");
}

#[test]
fn codes_of_every_state() {
    let server = Server::start();
    let anna = server.login();
    let code = |method: &str, mpid: &str| anna.code(method, json!([mpid]));
    let mpid = anna.begin("/f");
    assert_eq!(code("completeMultipart", &mpid), -4);
    assert_eq!(code("restartMultipart", &mpid), -22);
    for gap in [[2, 4], [3, 3]] {
        for number in gap {
            anna.send_piece(&mpid, number, b"x");
        }
        assert_eq!(code("completeMultipart", &mpid), -5, "{gap:?}");
    }
    anna.send_piece(&mpid, 1, b"x");
    assert_eq!(anna.state(&mpid), NEW);
    anna.finish(&mpid, 4);
    for (method, expected) in
        [("completeMultipart", -8), ("abortMultipart", -18), ("restartMultipart", -22)]
    {
        assert_eq!(code(method, &mpid), expected, "{method} after SUCCESS");
    }
    assert_eq!(anna.send(&anna.piece(&mpid, 1).body("y")).told(), (400, -8));
    assert_eq!(anna.content("/f"), b"xxxx");

    let mpid = anna.begin("/g");
    anna.send_piece(&mpid, 1, b"x");
    assert_eq!(anna.call("abortMultipart", json!([mpid])), json!(0));
    assert_eq!((anna.state(&mpid), anna.pieces(&mpid)), (ABORT, vec![(1, 11)]));
    for (method, expected) in
        [("completeMultipart", -17), ("abortMultipart", -17), ("restartMultipart", -22)]
    {
        assert_eq!(code(method, &mpid), expected, "{method} after ABORT");
    }
    assert_eq!(anna.send(&anna.piece(&mpid, 1).body("y")).told(), (400, -17));
    assert_eq!(anna.names("/").1, ["f"]);
    let stranger = anna.with_token(crate::sessions::STRANGER);
    for operation in ["abortMultipart", "restartMultipart"] {
        assert_eq!(stranger.call(operation, json!([mpid])), json!(-10_001));
        assert_eq!(anna.error(operation, json!([])), -32602);
    }
}

/// What stood in the way is taken out of it, and the upload put to work again.
#[test]
fn failing_and_restarting() {
    let server = Server::start();
    let anna = server.login();
    let fail = |mpid: &str, error: i64| {
        anna.wait_for(mpid, FAILED);
        let status = anna.call("getMultipartStatus", json!([mpid]));
        assert_eq!((&status["error"], &status["numpieces"]), (&json!(error), &json!(2)));
        assert_eq!(anna.code("completeMultipart", json!([mpid])), -8);
        assert_eq!(anna.code("abortMultipart", json!([mpid])), -18);
        assert_eq!(anna.send(&anna.piece(mpid, 1).body("y")).told(), (400, -8));
    };
    anna.dir("/gone");
    let mpid = anna.begin("/gone/f");
    let other = anna.begin("/taken");
    for mpid in [&mpid, &other] {
        anna.send_piece(mpid, 1, &noise(1, 100_000));
        anna.send_piece(mpid, 2, b"tail");
    }
    assert_eq!(anna.code("deleteDir", json!(["/gone"])), 0);
    anna.dir("/taken");
    for mpid in [&mpid, &other] {
        assert_eq!(anna.code("completeMultipart", json!([mpid])), 0);
    }
    fail(&mpid, -23);
    fail(&other, -16);
    assert_eq!(anna.call("restartMultipart", json!([mpid])), json!(0));
    fail(&mpid, -23);
    anna.dir("/gone");
    assert_eq!(anna.code("deleteDir", json!(["/taken"])), 0);
    for (mpid, path) in [(&mpid, "/gone/f"), (&other, "/taken")] {
        assert_eq!(anna.call("restartMultipart", json!([mpid])), json!(0));
        anna.wait_for(mpid, SUCCESS);
        assert_eq!(anna.call("getMultipartStatus", json!([mpid]))["error"], 0);
        assert!(anna.content(path) == [noise(1, 100_000), b"tail".to_vec()].concat());
        assert_eq!(anna.pieces(mpid), [(1, 6), (2, 6)]);
        assert_eq!(anna.call("restartMultipart", json!([mpid])), json!(-22));
    }
}

/// Paths are the caller's own; answers show them from the account's top.
#[test]
fn who_may_and_where() {
    let server = Server::start();
    server.add_user("bob", "acme", &["--directory", "/bobs"]);
    server.add_user("rita", "acme", &["--read-only"]);
    let bob = server.login_as("bob", crate::harness::PASSWORD);
    let mpid = bob.begin("/f");
    assert_eq!(bob.call("getMultipartStatus", json!([mpid]))["path"], "/acme/bobs/f");
    assert_eq!(bob.call("listMultipart", json!([]))["multipart"][0]["path"], "/acme/bobs/f");
    bob.send_piece(&mpid, 1, b"bob's");
    bob.finish(&mpid, 1);
    assert_eq!(server.login().content("/bobs/f"), b"bob's");
    assert_eq!(bob.stat("/f")["uid"], bob.call("checkToken", json!([]))["uid"]);
    let rita = server.login_as("rita", crate::harness::PASSWORD);
    assert_eq!(rita.code("createMultipart", json!(["/f"])), -23);
    let create = rita.post("/multipart/create").with("X-Agile-Basename", "f");
    assert_eq!(rita.send(&create).told(), (400, -23));
}
