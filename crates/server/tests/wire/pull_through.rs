//! Pull-through: what is not there comes from a remote that the operator named, once, and stays.

use std::{fs, io::Write as _, sync::Barrier, thread};

use serde_json::json;

use crate::harness::{
    Connection, Nginx, Remote, Server, Setup, ask, noise,
    remote::{part, status, whole},
    wait_until,
};
use crate::pull::Gate;

/// A server that pulls `/acme/{prefix}` from remotes.
fn through(rules: &[(&str, String)], more: &str) -> Server {
    let mut config = format!("[pull_through]\n{more}\n");
    for (prefix, rule) in rules {
        config.push_str(&format!(
            "[[pull_through.rule]]\nprefix = \"/acme{prefix}\"\nprivate = true\n{rule}\n"
        ));
    }
    Server::start_with(Setup { config: Some(config), ..Setup::default() })
}

fn url(port: u16, path: &str) -> String {
    format!("url = \"http://127.0.0.1:{port}{path}\"")
}

#[test]
fn a_hundred_clients_make_one_request() {
    const CLIENTS: usize = 100;
    // Slow enough that all are there before it ends.
    let nginx = Nginx::start("limit_rate 4m;");
    let content = noise(5, 6_000_000);
    fs::create_dir(nginx.root().join("vod")).unwrap();
    fs::write(nginx.root().join("vod/a b.mp4"), &content).unwrap();
    let server = through(&[("/media", url(nginx.port(), "/"))], "");
    let start = Barrier::new(CLIENTS);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                start.wait();
                let got = ask("GET", "/acme/media/vod/a%20b.mp4").send(server.address());
                assert_eq!((got.status, got.must("Content-Type")), (200, "video/mp4"));
                assert_eq!(got.must("Content-Length"), content.len().to_string());
                assert!(got.body == content);
            });
        }
    });
    assert_eq!(nginx.requests(), ["GET /vod/a%20b.mp4 HTTP/1.1"]);
    // It is a file now, as it was there.
    let anna = server.login();
    let modified = fs::metadata(nginx.root().join("vod/a b.mp4")).unwrap().modified().unwrap();
    let mtime = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    drop(nginx);
    assert!(anna.content_at("/media/vod/a b.mp4", "/acme/media/vod/a%20b.mp4") == content);
    assert_eq!(anna.stat("/media/vod/a b.mp4")["mtime"], mtime);
}

#[test]
fn misses_and_failures_are_remembered_for_a_moment() {
    let nginx = Nginx::start("location /broken { return 500; } location /closed { return 403; }");
    let server = through(&[("", url(nginx.port(), ""))], "negative_seconds = 3600");
    let get = |path: &str| ask("GET", path).send(server.address()).status;
    for _ in 0..3 {
        assert_eq!((get("/acme/none"), get("/acme/closed")), (404, 404));
        assert_eq!(ask("HEAD", "/acme/none").send(server.address()).status, 404);
    }
    assert_eq!(get("/acme/broken"), 502);
    server.admin_ok(&["account", "add", "other"], "");
    assert_eq!(get("/acme/"), 404, "a directory is not asked for");
    assert_eq!(get("/other/none"), 404, "nor is what no rule covers");
    let requests = nginx.requests();
    let count = |what: &str| requests.iter().filter(|r| r.contains(what)).count();
    assert_eq!((count("/none"), count("/closed")), (1, 1));
    assert!(count("/broken") == 1 && requests.len() == 3, "{requests:?}");
    // What is uploaded counts, whatever is remembered.
    let anna = server.login();
    anna.put("/none", b"mine");
    assert_eq!(anna.content("/none"), b"mine");
    assert_eq!(anna.code("listFile", json!(["/"])), 0);
}

#[test]
fn rules_headers_and_signatures() {
    let plain = Remote::start(|_, head, stream| {
        let authorized = head.contains("x-key: secret\r\n")
            && head.contains("authorization: Basic bWU6cHc=\r\n");
        if authorized { whole(stream, "", b"plain") } else { status(stream, 500, "") }
    });
    let bucket = Remote::start(|_, head, stream| {
        let line = head.lines().next().unwrap();
        let signed = line.starts_with("GET /media/old/x.txt?")
            && line.contains("X-Amz-Signature=")
            && line.contains("X-Amz-Credential=AKID%2F");
        if signed {
            whole(stream, "Content-Type: text/x-s3\r\n", b"bucket")
        } else {
            status(stream, 403, "")
        }
    });
    let http = format!(
        "url = \"http://me:pw@127.0.0.1:{}/base/\"\nheaders = {{ X-Key = \"secret\" }}",
        plain.port()
    );
    let s3 = format!(
        "{}\ns3 = {{ bucket = \"media\", region = \"eu-1\", access_key = \"AKID\", secret_key = \"SSKEY\", prefix = \"old/\" }}",
        url(bucket.port(), "")
    );
    let server = through(&[("", http), ("/s3", s3)], "");
    let anna = server.login();
    assert_eq!(anna.get("/acme/s3x/file").body, b"plain");
    let got = anna.get("/acme/s3/x.txt");
    assert_eq!(
        (got.status, got.must("Content-Type"), &*got.body),
        (200, "text/x-s3", &b"bucket"[..])
    );
    assert!(plain.heads()[0].starts_with("GET /base/s3x/file HTTP/1.1\r\n"));
    let log = server.log();
    for secret in ["SSKEY", "X-Amz", "secret\r", "me:pw", "bWU6cHc"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn a_broken_transfer_leaves_nothing_and_is_tried_again() {
    let content: &'static [u8] = noise(6, 200_000).leak();
    let remote = Remote::start(move |n, _, stream| match n {
        0 => part(stream, "", content.len(), &content[..50_000]),
        _ => whole(stream, "", content),
    });
    let server = through(&[("", url(remote.port(), ""))], "negative_seconds = 0");
    let mut reader = Connection::open(server.address());
    reader.send_head(&ask("GET", "/acme/f"));
    assert!(reader.answer("GET").is_err(), "a body that looks whole");
    wait_until("the file", || ask("GET", "/acme/f").send(server.address()).body == content);
    assert_eq!(remote.heads().len(), 2);
}

#[test]
fn what_is_uploaded_meanwhile_stays() {
    let gate = Gate::default();
    let wait = gate.clone();
    let remote = Remote::start(move |_, _, stream| {
        part(stream, "", 100_000, &[b'r'; 90_000]);
        wait.wait();
        stream.write_all(&[b'r'; 10_000]).unwrap();
    });
    let other = Remote::with(b"other");
    let rules = [("/r", url(remote.port(), "")), ("/o", url(other.port(), ""))];
    let server = through(&rules, "");
    let anna = server.login();
    let mut reader = Connection::open(server.address());
    reader.send_head(&ask("GET", "/acme/r/f"));
    assert_eq!(reader.answer_head().unwrap().status, 200);
    assert_eq!(reader.exactly(90_000), [b'r'; 90_000]);
    // Others are not held up by one that is slow.
    assert_eq!(anna.get("/acme/o/f").body, b"other");
    anna.dir("/r");
    anna.put("/r/f", b"mine");
    gate.open();
    assert_eq!(reader.exactly(9_999), [b'r'; 9_999]);
    // Whether its last byte comes says nothing of the file that counts.
    let _end = reader.is_closed_by_server();
    assert_eq!(anna.content("/r/f"), b"mine");
}

#[test]
fn a_private_account_asks_for_nobody() {
    let remote = Remote::with(b"secret plans");
    let server = through(&[("", url(remote.port(), ""))], "");
    server.admin_ok(&["account", "set", "acme", "--private", "true"], "");
    for target in ["/acme/f", "/f"] {
        assert_eq!(ask("GET", target).send(server.address()).status, 403);
    }
    assert!(remote.heads().is_empty(), "a remote was asked for somebody who may not");
    let anna = server.login();
    let got = anna.send(&ask("GET", "/acme/f").token(&anna.token));
    assert_eq!((got.status, &*got.body), (200, &b"secret plans"[..]));
}
