//! The content type of an upload by `/post/raw` (protocol.md, sections 7 and 12).

use serde_json::json;

use crate::harness::{Client, Server};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

/// Uploads with headers; the type it got.
fn typed(client: &Client, name: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
    let mut ask = client.raw("/", name);
    for (header, value) in headers {
        ask = ask.with(header, value);
    }
    let answer = client.send(&ask.body(body));
    assert_eq!(answer.told(), (200, 0), "{name} {headers:?}: {answer:?}");
    let stat = client.stat(&format!("/{name}"));
    let mimetype = stat["mimetype"].as_str().unwrap().to_owned();
    let got = client.get(&format!("/acme/{name}"));
    assert_eq!(got.must("Content-Type"), mimetype, "{name}");
    mimetype
}

const TYPE: &str = "X-Agile-Content-Type";
const DETECT: &str = "X-Agile-Content-Detect";

#[test]
fn what_comes_first() {
    let server = Server::start();
    let anna = server.login();
    for (name, headers, expected) in [
        // By the name, else by the content, else unknown.
        ("a.txt", &[][..], "text/plain"),
        ("picture", &[], "image/png"),
        ("a.unheard-of", &[], "image/png"),
        // A valid type wins over everything.
        ("a.txt", &[(TYPE, "video/x-own")], "video/x-own"),
        (
            "a.txt",
            &[(TYPE, "text/html; charset=utf-8"), (DETECT, "content")],
            "text/html; charset=utf-8",
        ),
        // application/octet-stream there means: look at the name.
        ("a.txt", &[(TYPE, "application/octet-stream")], "text/plain"),
        ("picture", &[(TYPE, "application/octet-stream")], "application/octet-stream"),
        // The legacy values mean the same as in Detect.
        ("a.txt", &[(TYPE, "name")], "text/plain"),
        ("a.txt", &[(TYPE, "content")], "image/png"),
        ("a.txt", &[(TYPE, "auto")], "text/plain"),
        ("picture", &[(TYPE, "auto")], "image/png"),
        ("a.txt", &[(DETECT, "name")], "text/plain"),
        ("picture", &[(DETECT, "name")], "application/octet-stream"),
        ("a.txt", &[(DETECT, "content")], "image/png"),
        ("a.txt", &[(DETECT, "auto")], "text/plain"),
        ("picture", &[(DETECT, "auto")], "image/png"),
        // The request's own Content-Type is not the file's.
        ("a.txt", &[("Content-Type", "image/gif")], "text/plain"),
    ] {
        assert_eq!(typed(&anna, name, headers, PNG), expected, "{name} {headers:?}");
    }
    assert_eq!(typed(&anna, "nothing", &[], b"plain words"), "application/octet-stream");
    assert_eq!(typed(&anna, "empty", &[], b""), "application/octet-stream");
    let legacy = anna.raw("/", "legacy.txt").with("X-Content-Type", "auto").body("x");
    assert_eq!(anna.send(&legacy).told(), (200, 0), "what old clients send is no error");
    assert_eq!(anna.stat("/legacy.txt")["mimetype"], "text/plain");
}

#[test]
fn by_the_names_extension() {
    let server = Server::start();
    let anna = server.login();
    for (extension, expected) in [
        ("js", "application/x-javascript"),
        ("JPG", "image/jpeg"),
        ("mp4", "video/mp4"),
        ("m4a", "audio/mpeg"),
        ("xml", "text/xml"),
        ("exe", "application/octet-stream"),
        ("flv", "video/x-flv"),
        ("tar.zip", "application/zip"),
        ("html", "text/html"),
        ("3gp", "video/3gpp"),
    ] {
        assert_eq!(typed(&anna, &format!("a.{extension}"), &[], b"x"), expected, "{extension}");
    }
}

#[test]
fn refused() {
    let server = Server::start();
    let anna = server.login();
    for wrong in ["x", "text", "text/", "nonsense/plain", "a/b/c", "text/pl\tain x"] {
        let answer = anna.send(&anna.raw("/", "f").with(TYPE, wrong).body("x"));
        assert_eq!(answer.told(), (400, -33), "{wrong:?}");
    }
    for wrong in ["x", "NAME ", "none", "1"] {
        let answer = anna.send(&anna.raw("/", "f").with(DETECT, wrong).body("x"));
        let fits = answer.told() == (400, -48) || wrong.trim().eq_ignore_ascii_case("name");
        assert!(fits, "{wrong:?}: {answer:?}");
    }
    let raw = anna.raw("/", "f").with(TYPE, b"text/pl\xe9in").body("x");
    assert_eq!(anna.send(&raw).told(), (400, -33));
    let files = anna.names("/").1;
    assert!(files.is_empty() || files == ["f"], "{files:?}");
    assert_eq!(anna.call("listFile", json!(["/"]))["code"], 0);
}
