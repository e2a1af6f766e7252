//! `/multipart/create`, `/multipart/piece`, `/multipart/complete` (protocol.md, section 7): what they answer, and every
//! code that can be provoked.

use serde_json::{Value, json};

use crate::{
    harness::{Answer, Ask, Client, Connection, Server, Setup, ask, noise, sha256, wait_until},
    multipart::{ABORT, FAILED, NEW, NOBODYS, SUCCESS},
    upload::count_files,
};

fn check(answer: &Answer, told: (u16, i64), what: &str) {
    assert_eq!(answer.told(), told, "{what}: {answer:?}");
    assert!(answer.body.is_empty(), "{what}: {answer:?}");
    assert_eq!(answer.must("Content-Type"), "text/json;charset=utf-8", "{what}");
    let standard = ["OK", "Bad Request", "Unauthorized", "Forbidden", ""];
    if told.0 != 200 {
        assert!(!standard.contains(&answer.reason.as_str()), "{what}: the reason phrase says why");
    }
}

/// A request for `/multipart/create`.
fn create(client: &Client, directory: &str, name: &str) -> Ask {
    let ask = client.post("/multipart/create").with("X-Agile-Directory", directory);
    ask.with("X-Agile-Basename", name)
}

fn complete(client: &Client, mpid: &str) -> Ask {
    client.post("/multipart/complete").with("X-Agile-Multipart", mpid)
}

fn status(client: &Client, mpid: &str) -> Value {
    client.call("getMultipartStatus", json!([mpid]))
}

#[test]
fn a_whole_life() {
    let server = Server::start();
    let anna = server.login();
    let parts = [noise(1, 200_000), noise(2, 200_000), noise(3, 30_000)];
    let with = create(&anna, "/a/b", "film")
        .with("X-Agile-Recursive", "true")
        .with("X-Agile-MTime", "1450392160")
        .with("X-Agile-Content-Type", "video/x-own");
    let created = anna.send(&with);
    check(&created, (200, 0), "create");
    assert_eq!(created.must("X-Agile-Path"), "/acme/a/b/film");
    assert_eq!(created.must("X-Agile-Meta"), "content_type=video/x-own mtime=1450392160");
    let mpid = created.must("X-Agile-Multipart").to_owned();
    assert_eq!(status(&anna, &mpid)["content_type"], "video/x-own");
    for (number, framing) in [(2, "chunks"), (3, "length"), (1, "checksum")] {
        let part = &parts[number - 1];
        let ask = match framing {
            "chunks" => anna.piece(&mpid, number).chunks(part, 10_007),
            "length" => anna.piece(&mpid, number).body(part.clone()),
            _ => anna
                .piece(&mpid, number)
                .with("X-Agile-Checksum", sha256(part).to_uppercase())
                .body(part.clone()),
        };
        let answer = anna.send(&ask);
        check(&answer, (200, 0), framing);
        assert_eq!(answer.must("X-Agile-Checksum"), sha256(part), "{framing}");
        assert_eq!(answer.must("X-Agile-Size"), part.len().to_string(), "{framing}");
    }
    let done = anna.send(&complete(&anna, &mpid));
    check(&done, (200, 0), "complete");
    assert_eq!((done.must("X-Agile-Parts"), done.must("X-Agile-Multipart")), ("3", &*mpid));
    anna.wait_for(&mpid, SUCCESS);
    assert!(anna.content("/a/b/film") == parts.concat());
    let stat = anna.stat("/a/b/film");
    assert_eq!((&stat["mtime"], &stat["mimetype"]), (&json!(1_450_392_160), &json!("video/x-own")));
    check(&anna.send(&complete(&anna, &mpid)), (400, -8), "a second time");
}

#[test]
fn names() {
    let server = Server::start();
    let anna = server.login();
    let plain = anna.send(&anna.post("/multipart/create"));
    check(&plain, (200, 0), "no headers but the token");
    assert_eq!(plain.must("X-Agile-Meta"), "content_type=None mtime=0");
    let path = plain.must("X-Agile-Path");
    let hex = path.strip_prefix("/acme/mpart-").unwrap_or_else(|| panic!("{path}"));
    assert!(hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{path}");
    assert_ne!(anna.send(&anna.post("/multipart/create")).must("X-Agile-Path"), path);
    let coded = create(&anna, "/caf%C3%A9+bar", "%E4%BB%8A%2B.txt")
        .with("X-Agile-Encoding", "UTF8")
        .with("X-Agile-Recursive", "1");
    let answer = anna.send(&coded);
    check(&answer, (200, 0), "percent-encoded");
    assert_eq!(answer.must("X-Agile-Path"), "/acme/caf%C3%A9%20bar/%E4%BB%8A%2B.txt");
    let mpid = answer.must("X-Agile-Multipart");
    assert_eq!(status(&anna, mpid)["path"], "/acme/café bar/今+.txt");
    assert_eq!(status(&anna, mpid)["content_type"], "text/plain");
    anna.send_piece(mpid, 1, b"x");
    anna.finish(mpid, 1);
    assert_eq!(anna.content_at("/café bar/今+.txt", "/acme/caf%C3%A9%20bar/%E4%BB%8A+.txt"), b"x");
    let slash = anna.send(&create(&anna, "/", "/led"));
    assert_eq!(slash.must("X-Agile-Path"), "/acme/led", "published samples lead with a slash");
}

/// Section 7, "Content type of an upload": given, or told from the name, the content, or both.
#[test]
fn content_types() {
    let server = Server::start();
    let anna = server.login();
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    for (i, (name, header, value, stored)) in [
        ("x.txt", "X-Agile-Content-Detect", "content", "image/png"),
        ("x.txt", "X-Agile-Content-Detect", "auto", "text/plain"),
        ("x", "X-Agile-Content-Detect", "auto", "image/png"),
        ("x", "X-Agile-Content-Detect", "name", "application/octet-stream"),
        ("x.txt", "X-Agile-Content-Detect", "name", "text/plain"),
        ("x.txt", "X-Agile-Content-Type", "application/octet-stream", "text/plain"),
        ("x.txt", "X-Agile-Content-Type", "content", "image/png"),
        ("x.txt", "X-Content-Type", "auto", "text/plain"),
        ("x.txt", "X-Content-Type", "video/x-own", "video/x-own"),
        ("x.txt", "X-Agile-Content-Type", "video/x-own", "video/x-own"),
    ]
    .into_iter()
    .enumerate()
    {
        let dir = format!("/{i}");
        anna.dir(&dir);
        let created = anna.send(&create(&anna, &dir, name).with(header, value));
        check(&created, (200, 0), value);
        let mpid = created.must("X-Agile-Multipart");
        // What the content tells may lie in more than one piece.
        for (number, body) in (1..).zip([&png[..1], b"", &png[1..6], &png[6..]]) {
            anna.send_piece(mpid, number, body);
        }
        anna.finish(mpid, 4);
        let path = format!("{dir}/{name}");
        assert_eq!(anna.stat(&path)["mimetype"], stored, "{name} {header}: {value}");
    }
}

#[test]
fn codes_of_create() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/dir");
    anna.put("/file", b"x");
    let f = || create(&anna, "/", "f");
    let cases: Vec<(Ask, i64)> = vec![
        (create(&anna, "/", "a/b"), -16),
        (create(&anna, "/", "a..b"), -16),
        (create(&anna, "/a/../b", "f"), -16),
        (create(&anna, "/", "dir"), -16),
        (create(&anna, "/", "\u{e9}"), -16),
        (create(&anna, "/%ff", "f").with("X-Agile-Encoding", "UTF8"), -16),
        (f().with("X-Agile-Basename", "g"), -16),
        (f().with("X-Agile-MTime", "x"), -20),
        (f().with("X-Agile-MTime", "-1"), -20),
        (f().with("X-Agile-MTime", "1").with("X-Agile-MTime", "1"), -20),
        (f().with("X-Agile-Content-Type", "nonsense"), -21),
        (create(&anna, "/missing", "f"), -23),
        (create(&anna, "/missing", "f").with("X-Agile-Recursive", "no"), -23),
        (create(&anna, "/file", "f"), -23),
        (f().with("X-Agile-Recursive", "maybe"), -39),
        (f().with("X-Agile-Content-Detect", "magic"), -48),
        (f().with("X-Agile-Encoding", "UTF7"), -51),
    ];
    for (i, (ask, code)) in cases.into_iter().enumerate() {
        check(&anna.send(&ask), (400, code), &format!("case {i}, expecting {code}"));
    }
    let page = anna.call("listMultipart", json!([]));
    assert_eq!(page["multipart"], json!([]), "none was begun");
    assert_eq!(anna.names("/"), (vec!["dir".to_owned()], vec!["file".to_owned()]));
    let missing = anna.send(&create(&anna, "/missing", "f"));
    assert_eq!(missing.reason, "parent directory does not exist");
}

#[test]
fn authorization() {
    let server = Server::start();
    let anna = server.login();
    let mpid = anna.begin("/f");
    for path in ["create", "piece", "complete"] {
        let target = format!("/multipart/{path}");
        let plain = || {
            let ask = ask("POST", &target).with("X-Agile-Multipart", &mpid);
            ask.with("X-Agile-Part", "1").body("x")
        };
        check(&anna.send(&plain()), (401, -10_001), path);
        for token in [crate::sessions::STRANGER, "x"] {
            check(&anna.send(&plain().token(token)), (403, -10_001), path);
        }
        check(&anna.send(&plain().token(&anna.token).token(&anna.token)), (400, -10_001), path);
        let got = ask("GET", &target).token(&anna.token).send(server.address());
        assert_eq!((got.status, got.must("Allow")), (405, "POST, OPTIONS"), "{path}");
    }
    assert_eq!((anna.state(&mpid), anna.pieces(&mpid)), (NEW, vec![]));
}

#[test]
fn codes_of_piece() {
    let server = Server::start();
    let anna = server.login();
    let mpid = anna.begin("/f");
    let piece = |number: &str| anna.piece(&mpid, number);
    let wrong = sha256(b"something else");
    let no_number = anna.post("/multipart/piece").with("X-Agile-Multipart", &mpid);
    let form = "multipart/form-data; boundary=x";
    let cases: Vec<(Ask, i64)> = vec![
        (anna.post("/multipart/piece").with("X-Agile-Part", "1"), -2),
        (anna.piece(NOBODYS, 1), -2),
        (anna.piece("x", 1), -2),
        (anna.piece("\u{e9}", 1), -2),
        (piece("1").with("X-Agile-Multipart", &mpid), -2),
        (no_number, -3),
        (piece("0"), -3),
        (piece("1001"), -3),
        (piece("-1"), -3),
        (piece(""), -3),
        (piece("x"), -3),
        (piece("1.0"), -3),
        (piece("4294967297"), -3),
        (piece("99999999999999999999"), -3),
        (piece("1").with("X-Agile-Part", "1"), -3),
        (piece("1").with("X-Agile-Checksum", "x"), -6),
        (piece("1").with("X-Agile-Checksum", &wrong), -6),
        (piece("1").with("X-Agile-Checksum", &wrong).with("X-Agile-Checksum", &wrong), -6),
        (piece("1").with("Content-Type", form), -24),
    ];
    for (i, (ask, code)) in cases.into_iter().enumerate() {
        let answer = anna.send(&ask.body("new"));
        check(&answer, (400, code), &format!("case {i}, expecting {code}"));
        assert!(answer.header("X-Agile-Checksum").is_none(), "case {i}: {answer:?}");
    }
    check(&anna.send(&piece("1")), (400, -24), "neither length nor chunks");
    let chunked = piece("1").with("X-Agile-Checksum", &wrong).chunks(&noise(1, 100_000), 5000);
    check(&anna.send(&chunked), (400, -6), "known at the end only");
    assert_eq!(anna.pieces(&mpid), [], "none was taken");
    anna.send_piece(&mpid, 1000, b"the last number");
    assert_eq!(anna.call("abortMultipart", json!([mpid])), json!(0));
    check(&anna.send(&piece("1").body("x")), (400, -17), "aborted");
}

#[test]
fn pieces_leave_no_bytes_behind() {
    let server = Server::start();
    let anna = server.login();
    let mpid = anna.begin("/f");
    let wrong = anna.piece(&mpid, 1).with("X-Agile-Checksum", sha256(b"something else"));
    check(&anna.send(&wrong.chunks(&noise(1, 100_000), 5000)), (400, -6), "known at the end only");
    anna.send_piece(&mpid, 1000, b"the last number");
    let blobs = server.data().join("blobs");
    assert_eq!(count_files(&blobs), 1);
    assert_eq!(anna.call("abortMultipart", json!([mpid])), json!(0));
    wait_until("no bytes left behind", || count_files(&blobs) == 0);
    assert_eq!(count_files(&server.data().join("stage")), 0);
}

#[test]
fn limits() {
    let limits = "pieces_max = 2\npiece_bytes_max = 1000\nupload_bytes_max = 1500";
    let config = Some(format!("[multipart]\n{limits}\n"));
    let server = Server::start_with(Setup { config, ..Setup::default() });
    let anna = server.login();
    let mpid = anna.begin("/f");
    let told = |ask: Ask| anna.send(&ask).told();
    assert_eq!(told(anna.piece(&mpid, 3).body("x")), (400, -3));
    assert_eq!(told(anna.piece(&mpid, 1).body(vec![7; 1001])), (400, -11));
    assert_eq!(told(anna.piece(&mpid, 1).chunks(&[7; 1001], 100)), (400, -11));
    let endless = anna.piece(&mpid, 1).with("Content-Length", "9223372036854775808");
    assert_eq!(told(endless), (400, -11));
    anna.send_piece(&mpid, 1, &[1; 1000]);
    assert_eq!(told(anna.piece(&mpid, 2).body(vec![7; 501])), (400, -25));
    assert_eq!(told(anna.piece(&mpid, 2).chunks(&[7; 501], 100)), (400, -25));
    anna.send_piece(&mpid, 2, &[2; 500]);
    // A piece that is replaced makes room for the one that replaces it.
    anna.send_piece(&mpid, 1, &[3; 1000]);
    anna.send_piece(&mpid, 1, &[4; 10]);
    for _ in 4..20 {
        anna.send_piece(&mpid, 2, &[2; 500]);
    }
    assert_eq!(told(anna.piece(&mpid, 2).body("x")), (400, -10), "sent again and again");
    anna.finish(&mpid, 2);
    assert_eq!(anna.content("/f"), [&[4; 10][..], &[2; 500]].concat());
}

/// A refused piece costs its client no body, and a taken one is asked for.
#[test]
fn refused_before_the_body() {
    let server = Server::start();
    let anna = server.login();
    let mpid = anna.begin("/f");
    let over = anna.begin("/g");
    assert_eq!(anna.call("abortMultipart", json!([over])), json!(0));
    let expecting = |ask: Ask| {
        let mut connection = Connection::open(server.address());
        connection.send_head(&ask.with("Expect", "100-continue"));
        let answer = connection.answer("POST").unwrap();
        assert_eq!(answer.interim, [] as [u16; 0], "{answer:?}");
        answer.told()
    };
    let long = |ask: Ask| ask.with("Content-Length", "1000000000");
    assert_eq!(expecting(long(anna.piece(NOBODYS, 1))), (400, -2));
    assert_eq!(expecting(long(anna.piece(&mpid, 0))), (400, -3));
    assert_eq!(expecting(long(anna.piece(&over, 1))), (400, -17));
    assert_eq!(expecting(anna.piece(&mpid, 1).with("Content-Length", "100000000001")), (400, -11));
    let mut connection = Connection::open(server.address());
    let ask = anna.piece(&mpid, 1).with("Expect", "100-continue").with("Content-Length", "5");
    connection.send_head(&ask);
    assert_eq!(connection.answer_head().unwrap().status, 100);
    connection.send(b"hello").unwrap();
    assert_eq!(connection.answer("POST").unwrap().told(), (200, 0));
}

/// A body that ends early leaves nothing; who is still there to read it is told.
#[test]
fn a_piece_that_is_cut() {
    let server = Server::start();
    let anna = server.login();
    let mpid = anna.begin("/f");
    for (framing, sent) in [
        (("Content-Length", "300000"), noise(1, 200_000)),
        (("Content-Length", "300"), noise(1, 20)),
        (("Transfer-Encoding", "chunked"), b"5\r\nabcde\r\n".to_vec()),
    ] {
        for half in [true, false] {
            let mut connection = Connection::open(server.address());
            connection.send_head(&anna.piece(&mpid, 1).with(framing.0, framing.1));
            connection.send(&sent).unwrap();
            if half {
                connection.finish_sending();
                let answer = connection.answer("POST").unwrap();
                check(&answer, (500, -49), framing.1);
            }
        }
    }
    wait_until("an empty stage", || count_files(&server.data().join("stage")) == 0);
    assert_eq!(anna.pieces(&mpid), []);
    assert_eq!(anna.code("completeMultipart", json!([mpid])), -4);
}

#[test]
fn codes_of_complete() {
    let server = Server::start();
    let anna = server.login();
    let told = |ask: Ask| anna.send(&ask);
    check(&told(anna.post("/multipart/complete")), (400, -2), "no id");
    check(&told(complete(&anna, NOBODYS)), (400, -2), "nobody's");
    let mpid = anna.begin("/f");
    check(&told(complete(&anna, &mpid).with("X-Agile-Multipart", &mpid)), (400, -2), "twice");
    check(&told(complete(&anna, &mpid)), (400, -4), "no pieces");
    anna.send_piece(&mpid, 2, b"x");
    check(&told(complete(&anna, &mpid)), (400, -5), "a gap");
    assert_eq!(anna.call("abortMultipart", json!([mpid])), json!(0));
    check(&told(complete(&anna, &mpid)), (400, -17), "aborted");
    assert_eq!((anna.state(&mpid), anna.names("/").1.len()), (ABORT, 0));
}

#[test]
fn a_checksum_of_the_whole_said_beforehand() {
    let server = Server::start();
    let anna = server.login();
    let whole = [noise(1, 20_000), noise(2, 30_000)];
    for (said, state) in [(sha256(&whole.concat()), SUCCESS), ("0".repeat(64), FAILED)] {
        let create = anna.post("/multipart/create").with("X-Agile-Basename", "f");
        let answer = anna.send(&create.with("X-Agile-Checksum", &said).body(""));
        let mpid = answer.must("X-Agile-Multipart").to_owned();
        anna.send_piece(&mpid, 2, &whole[1]);
        anna.send_piece(&mpid, 1, &whole[0]);
        assert_eq!(anna.code("completeMultipart", json!([mpid])), 0);
        anna.wait_for(&mpid, state);
        // The older file stays where the newer one is not what it should be.
        assert!(anna.content("/f") == whole.concat());
        let status = anna.call("getMultipartStatus", json!([mpid]));
        assert_eq!(status["error"], if state == SUCCESS { 0 } else { -26 });
    }
    let create = anna.post("/multipart/create").with("X-Agile-Checksum", "none").body("");
    assert_eq!(anna.send(&create).told(), (400, -26));
}
