//! Uploads and forms that are none, values of headers that are none, and where a form may send a browser.

use super::{
    Row, Stand,
    Want::{Refused, Told},
    adds, row,
};
use crate::harness::{BOUNDARY, Form, ask, form_type, noise};

#[test]
fn forms() {
    let mut stand = Stand::start("");
    let anna = stand.anna.clone();
    let file = || Form::new().file("f", b"x");
    let mut rows: Vec<Row> = Vec::new();
    let many = (0..10_000).fold(Form::new(), |form, _| form.field("x", "y"));
    let unended = file().unended();
    let long = format!("X: {}", "x".repeat(17_000));
    for (what, body, code) in [
        ("10,000 parts before the file", many.clone().file("f", b"x").bytes(), -24),
        ("10,000 parts", many.bytes(), -24),
        ("no end", unended.clone(), -24),
        ("half an end", [&unended[..], b"--", BOUNDARY.as_bytes()].concat(), -24),
        ("two files", file().file("g", b"y").bytes(), -25),
        ("no file", Form::new().field("basename", "x").bytes(), -24),
        ("neither name nor bytes", Form::new().file("", b"").bytes(), -23),
        ("no header", Form::new().part("no header", b"").bytes(), -24),
        ("a long header", Form::new().part(&long, b"").bytes(), -24),
        ("a long field", file().field("x", "y".repeat(70_000)).bytes(), -24),
        ("nothing", vec![], -24),
        ("noise", noise(5, 100_000), -24),
        ("line breaks", b"\r\n".repeat(50_000), -24),
        ("boundaries", format!("--{BOUNDARY}\r\n").repeat(5_000).into_bytes(), -24),
    ] {
        rows.push(row(what, stand.bytes(&anna.form_bytes(body.clone())), Told(400, code)));
        let chunks = anna.form_head().chunks(&body, 997);
        rows.push(row(format!("{what}, in chunks"), stand.bytes(&chunks), Told(400, code)));
    }
    for kind in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=other",
        "multipart/form-data; boundary=\"",
        "multipart/mixed; boundary=x",
        "text/html",
        &format!("multipart/form-data; boundary={}", "b".repeat(1000)),
    ] {
        let asked = anna.post("/post/file").with("Content-Type", kind).body(file().bytes());
        rows.push(row(format!("{kind:.60}"), stand.bytes(&asked), Told(400, -24)));
    }
    let twice = anna.form(&file()).with("Content-Type", form_type());
    rows.push(row("two types", stand.bytes(&twice), Told(400, -24)));
    for url in [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "\tjavascript:alert(1)",
        "data:text/html,x",
        "//evil.example.com/",
        "/\\evil.example.com/",
        "\\\\evil.example.com/",
        "https:evil",
        "ftp://evil.example.com/",
        "relative",
        "vbscript:x",
        "/a\r\nX-Injected: 1",
        "http://a/\r\n\r\nbody",
        "/\u{0}",
        "http://",
        " ",
        "http:/evil.example.com",
    ] {
        for form in
            [file().field("return_url", url), Form::new().field("return_url", url).file("f", b"x")]
        {
            rows.push(row(
                format!("return_url {url:?}"),
                stand.bytes(&anna.form(&form)),
                Told(400, -8),
            ));
        }
    }
    for referer in ["javascript:alert(1)", "//evil.example.com/", "data:text/html,x"] {
        let form = anna.form(&file().field("return_referer", "1")).with("Referer", referer);
        rows.push(row(format!("Referer {referer}"), stand.bytes(&form), Told(400, -8)));
    }
    stand.run(rows);
    stand.finish("forms", &[]);
}

#[test]
fn headers_of_uploads() {
    let mut stand = Stand::start("");
    let anna = stand.anna.clone();
    let mut rows: Vec<Row> = Vec::new();
    let large = "x".repeat(60_000);
    for (name, code, values) in [
        (
            "X-Agile-MTime",
            -27,
            &["-1", "x", "1.5", "9223372036854775808", "0x5", "+5", " ", "1e3"][..],
        ),
        ("X-Agile-Recursive", -39, &["maybe", "", "2", "\u{e9}"]),
        (
            "X-Agile-Content-Type",
            -33,
            &["nonsense", "text/", "/html", "new/thing", "text/html;a", "text/ht ml"],
        ),
        ("X-Agile-Content-Detect", -48, &["magic", "", "NAME AUTO"]),
        ("X-Agile-Expose-Egress", -21, &["NEVER", "", "complete, partial"]),
        ("X-Agile-Encoding", -51, &["UTF7", "", "latin1"]),
        ("X-Agile-Checksum", -26, &["abc", "", "zz"]),
    ] {
        for value in values.iter().copied().chain([large.as_str()]) {
            let raw = anna.raw("/dir", "f").with(name, value).body("x");
            rows.push(row(
                format!("/post/raw {name}: {value:.20}"),
                stand.bytes(&raw),
                Told(400, code),
            ));
            let form = anna.form(&Form::new().file("f", b"x")).with(name, value);
            rows.push(row(
                format!("/post/file {name}: {value:.20}"),
                stand.bytes(&form),
                Told(400, code),
            ));
        }
        let raw = anna.raw("/dir", "f").with(name, b"\xff\xfe").body("x");
        rows.push(row(format!("{name} of raw bytes"), stand.bytes(&raw), Told(400, code)));
        let twice = anna.raw("/dir", "f").with(name, values[0]).with(name, values[0]).body("x");
        rows.push(row(format!("{name} twice"), stand.bytes(&twice), Told(400, code)));
    }
    for (name, code, values) in [
        ("X-Agile-Multipart", -2, &["", "x", "0", "../x", "\u{e9}"][..]),
        ("X-Agile-Part", -3, &["0", "-1", "1001", "x", "", "18446744073709551616"]),
    ] {
        for value in values {
            let mpid = "0".repeat(32);
            let piece = anna.post("/multipart/piece").body("x");
            let piece = match name {
                "X-Agile-Part" => piece.with("X-Agile-Multipart", mpid).with(name, value),
                _ => piece.with("X-Agile-Part", "1").with(name, value),
            };
            // An upload that is not there may be said before a number that cannot be.
            let want = if code == -2 { Told(400, code) } else { Refused };
            rows.push(row(format!("{name}: {value:?}"), stand.bytes(&piece), want));
        }
    }
    let zeros = anna.raw("/dir", "f").with("X-Agile-Checksum", "0".repeat(64)).body("x");
    rows.push(row("a wrong checksum", stand.bytes(&zeros), Told(400, -26)));
    rows.push(row("no body", stand.bytes(&anna.raw("/dir", "f")), Told(400, -24)));
    let form = anna.raw("/dir", "f").with("Content-Type", form_type()).body("x");
    rows.push(row("a form at /post/raw", stand.bytes(&form), Told(400, -24)));
    let endless = anna.raw("/dir", "f").with("Content-Length", "9223372036854775807");
    rows.push(row("the longest length, and no bytes", stand.bytes(&endless), Told(503, -22)));
    for (name, value) in
        [("X-Agile-Expiry", "0"), ("X-Agile-Expiry", "-1"), ("X-Agile-Expiry", "86401")]
    {
        let login = ask("POST", "/account/login").with("X-Agile-Username", crate::harness::USER);
        let login = login.with("X-Agile-Password", crate::harness::PASSWORD).with(name, value);
        rows.push(row(format!("{name}: {value}"), stand.bytes(&login), Told(400, -34)));
    }
    let plain = anna.raw("/dir", "f").with("X-Agile-Unknown", "x").body("x");
    rows.push(adds("a header that nobody knows", stand.bytes(&plain), Told(200, 0), "/dir/f"));
    stand.run(rows);
    stand.finish("headers of uploads", &[]);
}
