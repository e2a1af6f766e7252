//! `/post/file` refused (protocol.md, section 7): every code, before and after the file, and that nothing stays behind.

use crate::{
    harness::{
        Answer, BOUNDARY, Client, Connection, Form, Server, ask, form_type, noise, wait_until,
    },
    upload::count_files,
};

/// A field's name and value.
type Field = (&'static str, &'static [u8]);

/// Large enough to be staged on disk.
const LARGE: usize = 300_000;

fn refused(answer: &Answer, code: i64, what: &str) {
    assert_eq!(answer.told(), (400, code), "{what}: {answer:?}");
    assert!(answer.body.is_empty(), "{what}");
    let standard = ["Bad Request", ""];
    assert!(!standard.contains(&answer.reason.as_str()), "{what}: the reason phrase says why");
    for header in ["X-Agile-Path", "X-Agile-Size", "X-Agile-Checksum", "Location"] {
        assert!(answer.header(header).is_none(), "{what}: {answer:?}");
    }
}

/// Nothing is visible, and no byte of what was refused stays on the disk.
fn nothing_is_left(server: &Server, anna: &Client, files: &[&str]) {
    assert_eq!(anna.names("/").1, files);
    let stage = server.data().join("stage");
    wait_until("an empty stage", || count_files(&stage) == 0);
    wait_until("no blobs", || count_files(&server.data().join("blobs")) == 0);
}

#[test]
fn fields_before_and_after_the_file() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/dir");
    anna.put("/file", b"older");
    let body = noise(1, LARGE);
    let cases: &[(&[Field], i64)] = &[
        (&[("directory", b"/missing")], -3),
        (&[("directory", b"/missing"), ("recursive", b"no")], -3),
        (&[("directory", b"/file")], -3),
        (&[("directory", b"/../x")], -8),
        (&[("directory", b"/\xff")], -8),
        (&[("directory", b"/a\0")], -8),
        (&[("directory", b"/"), ("directory", b"/")], -8),
        (&[("basename", b"dir")], -2),
        (&[("basename", b"..")], -8),
        (&[("basename", b"a..b")], -8),
        (&[("basename", b"caf\xe9")], -8),
        (&[("basename", b"a"), ("basename", b"b")], -8),
        (&[("basename", &[b'a'; 4097])], -8),
        (&[("mtime", b"-1")], -27),
        (&[("mtime", b"1.5")], -27),
        (&[("mtime", b"\xff")], -8),
        (&[("expose_egress", b"NEVER")], -21),
        (&[("recursive", b"maybe")], -39),
        (&[("return_url", b"javascript:alert(1)")], -8),
        (&[("return_url", b"//host/")], -8),
        (&[("return_url", b"/\\host/")], -8),
        (&[("return_url", b"/a\r\nX-Injected: 1")], -8),
        (&[("return_url", b"http://a/\r\n\r\nbody")], -8),
        (&[("return_url", b"relative")], -8),
        (&[("return_url", b"ftp://host/")], -8),
        (&[("return_url", b"/\xff")], -8),
        (&[("x", &[b'x'; 65_537])], -24),
        (&[("x", &[b'x'; 60_000][..]); 5], -24),
    ];
    for (fields, code) in cases {
        let add =
            |form: Form| fields.iter().fold(form, |form, (name, value)| form.field(name, value));
        let what =
            format!("{:?}", fields.iter().map(|(n, v)| (n, v.escape_ascii().to_string())).next());
        refused(&anna.send(&anna.form(&add(Form::new().file("f", &body)))), *code, &what);
        refused(&anna.send(&anna.form(&add(Form::new()).file("f", &body))), *code, &what);
    }
    let referer = Form::new().file("f", &body).field("return_referer", "1");
    for url in ["javascript:alert(1)", "//host/"] {
        refused(&anna.send(&anna.form(&referer).with("Referer", url)), -8, url);
    }
    nothing_is_left(&server, &anna, &["file"]);
    assert_eq!(anna.content("/file"), b"older");
}

#[test]
fn headers_are_those_of_post_raw() {
    let server = Server::start();
    let anna = server.login();
    let body = noise(1, LARGE);
    let form = anna.form(&Form::new().file("f", &body));
    for (name, value, code) in [
        ("X-Agile-Basename", "a/b", -8),
        ("X-Agile-Basename", "caf\u{e9}", -8),
        ("X-Agile-Directory", "/missing", -3),
        ("X-Agile-Recursive", "maybe", -39),
        ("X-Agile-MTime", "x", -27),
        ("X-Agile-Checksum", "abc", -26),
        ("X-Agile-Checksum", &"0".repeat(64), -26),
        ("X-Agile-Content-Type", "nonsense", -33),
        ("X-Agile-Content-Detect", "magic", -48),
        ("X-Agile-Expose-Egress", "NEVER", -21),
        ("X-Agile-Encoding", "UTF7", -51),
    ] {
        refused(&anna.send(&form.clone().with(name, value)), code, name);
    }
    let twice = form.with("X-Agile-MTime", "1").with("X-Agile-MTime", "1");
    refused(&anna.send(&twice), -27, "twice");
    nothing_is_left(&server, &anna, &[]);
}

#[test]
fn forms_without_one_file() {
    let server = Server::start();
    let anna = server.login();
    let file = |form: Form| form.file("f", noise(1, LARGE));
    for (what, form) in [
        ("no parts", Form::new()),
        ("fields only", Form::new().field("basename", "x")),
        ("another name", Form::new().field("uploadfile", "x")),
    ] {
        refused(&anna.send(&anna.form(&form)), -24, what);
    }
    for (what, form) in [
        ("two files", file(file(Form::new()))),
        ("two files, the second empty", file(Form::new()).file("", b"")),
        ("a field between", file(file(Form::new()).field("basename", "x"))),
    ] {
        refused(&anna.send(&anna.form(&form)), -25, what);
    }
    let nameless = "Content-Disposition: form-data; name=\"uploadFile\"";
    for (what, form) in [
        ("what browsers send where no file was chosen", Form::new().file("", b"")),
        ("a field", Form::new().field("uploadFile", b"")),
        (
            "a name by field is not the part's",
            Form::new().field("basename", "x").part(nameless, b""),
        ),
    ] {
        refused(&anna.send(&anna.form(&form)), -23, what);
    }
    nothing_is_left(&server, &anna, &[]);
    // A name or bytes are enough.
    for (form, size) in [(Form::new().file("zero", b""), "0"), (Form::new().file("", b"x"), "1")] {
        let answer = anna.send(&anna.form(&form));
        assert_eq!((answer.told(), answer.must("X-Agile-Size")), ((200, 0), size));
    }
}

#[test]
fn what_is_no_form() {
    let server = Server::start();
    let anna = server.login();
    let form = Form::new().file("f", noise(1, LARGE));
    let unended = form.unended();
    let typed = |kind: &str| anna.post("/post/file").with("Content-Type", kind).body(form.bytes());
    for kind in [
        "application/octet-stream",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=another",
        "application/x-www-form-urlencoded",
        &format!("multipart/mixed; boundary={BOUNDARY}"),
        &format!("multipart/form-data; boundary={}", "x".repeat(71)),
        "multipart/form-data; boundary=\"\u{e9}\"",
    ] {
        refused(&anna.send(&typed(kind)), -24, kind);
    }
    refused(&anna.send(&typed(&form_type()).with("Content-Type", form_type())), -24, "two types");
    refused(&anna.send(&anna.post("/post/file").body(form.bytes())), -24, "no type");
    refused(&anna.send(&anna.form_head()), -24, "no body");
    let long_head = format!("X: {}", "x".repeat(17_000));
    for (what, body) in [
        ("empty", vec![]),
        ("no end", unended.clone()),
        ("no end of the last line", [&unended[..], b"--", BOUNDARY.as_bytes(), b"-"].concat()),
        ("cut inside the file", unended[..LARGE / 2].to_vec()),
        ("no header", Form::new().part("no header", b"").bytes()),
        ("a long header", Form::new().part(&long_head, b"").bytes()),
        ("a long epilogue", [&form.bytes()[..], &[b'x'; 70_000]].concat()),
        ("a long preamble", [&[b'x'; 70_000], &form.bytes()[..]].concat()),
    ] {
        refused(&anna.send(&anna.form_bytes(body.clone())), -24, what);
        let chunked = anna.form_head().chunks(&body, 1000);
        refused(&anna.send(&chunked), -24, what);
    }
    // The client goes away in the middle.
    let mut connection = Connection::open(server.address());
    connection.send_head(&anna.form_head().with("Content-Length", form.bytes().len().to_string()));
    connection.send(&unended[..LARGE / 2]).unwrap();
    connection.finish_sending();
    refused(&connection.answer("POST").unwrap(), -24, "cut");
    nothing_is_left(&server, &anna, &[]);
}

#[test]
fn ten_thousand_parts() {
    let server = Server::start();
    let anna = server.login();
    let parts = |count: usize| (0..count).fold(Form::new(), |form, _| form.field("x", "y"));
    let with_file = |count: usize| parts(count).file("f", b"x");
    refused(&anna.send(&anna.form(&with_file(10_000))), -24, "before the file");
    let after =
        (0..10_000).fold(Form::new().file("f", noise(1, LARGE)), |form, _| form.field("x", "y"));
    refused(&anna.send(&anna.form(&after)), -24, "after the file");
    refused(&anna.send(&anna.form(&with_file(100))), -24, "101");
    nothing_is_left(&server, &anna, &[]);
    assert_eq!(anna.send(&anna.form(&with_file(99))).told(), (200, 0));
}

#[test]
fn strangers_and_readers() {
    let server = Server::start();
    let anna = server.login();
    server.add_user("reader", "acme", &["--read-only"]);
    let reader = server.login_as("reader", crate::harness::PASSWORD);
    let form = Form::new().file("f", noise(1, LARGE));
    let nobody = ask("POST", "/post/file").with("Content-Type", form_type()).body(form.bytes());
    assert_eq!(anna.send(&nobody).told(), (401, -10_001));
    assert_eq!(anna.send(&nobody.token("x")).told(), (403, -10_001));
    refused(&reader.send(&reader.form(&form)), -3, "read-only");
    nothing_is_left(&server, &anna, &[]);
}

/// What is wrong with the head, or with the fields before the file, is told before the file's bytes come.
#[test]
fn early() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/dir");
    server.add_user("reader", "acme", &["--read-only"]);
    let reader = server.login_as("reader", crate::harness::PASSWORD);
    let both = |client: &Client, directory: &str, name: &str| {
        let head = client.form_head().with("X-Agile-Directory", directory);
        head.with("X-Agile-Basename", name).with("X-Agile-Recursive", "false")
    };
    for (ask, told) in [
        (ask("POST", "/post/file").with("Content-Type", form_type()), (401, -10_001)),
        (ask("POST", "/post/file?token=x").with("Content-Type", form_type()), (403, -10_001)),
        (reader.form_head(), (400, -3)),
        (both(&anna, "/missing", "f"), (400, -3)),
        (both(&anna, "/", "dir"), (400, -2)),
        (anna.form_head().with("X-Agile-MTime", "x"), (400, -27)),
        (anna.form_head().with("X-Agile-Basename", ".."), (400, -8)),
        (anna.post("/post/file").with("Content-Type", "text/plain"), (400, -24)),
    ] {
        let mut connection = Connection::open(server.address());
        let head = ask.with("Expect", "100-continue").with("Content-Length", "1000000000");
        connection.send_head(&head);
        let answer = connection.answer("POST").unwrap();
        assert_eq!((answer.told(), &answer.interim[..]), (told, &[][..]), "{answer:?}");
    }
    // By fields: the part's head has come, and no byte of the file.
    let fields = |list: &[(&str, &str)]| {
        let form = list.iter().fold(Form::new(), |form, (name, value)| form.field(name, value));
        let mut body = form.file("f", b"").unended();
        body.truncate(body.len() - 2);
        body
    };
    for (list, code) in [
        (&[("directory", "/missing"), ("basename", "f"), ("recursive", "0")][..], -3),
        (&[("directory", "/"), ("basename", "dir")], -2),
        (&[("directory", "/..")], -8),
        (&[("return_url", "javascript:x")], -8),
        (&[("mtime", "x")], -27),
    ] {
        let mut connection = Connection::open(server.address());
        connection.send_head(&anna.form_head().with("Content-Length", "1000000000"));
        connection.send(&fields(list)).unwrap();
        let answer = connection.answer("POST").unwrap();
        refused(&answer, code, &format!("{list:?}"));
        assert_eq!(answer.must("Connection"), "close");
    }
    // A field may still come that makes the directory.
    let form = Form::new().field("directory", "/made").field("basename", "f");
    let form = form.file("f", b"x").field("recursive", "1");
    assert_eq!(anna.send(&anna.form(&form)).told(), (200, 0));
}
