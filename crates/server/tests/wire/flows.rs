//! Published sample scripts and command-line clients, run as they are but for host, user and password.
//!
//! The scripts stand in `tests/python`; they need Debian's `python3-requests` and `python3-jsonrpclib-pelix`
//! (`scripts/setup test`), so the interpreter is the system's own.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use crate::harness::{ACCOUNT, PASSWORD, Server, Setup, USER, noise, sha256, wait_until};

const PYTHON: &str = "/usr/bin/python3";

/// Runs a script with everything a sample leaves open; returns what it printed.
pub(crate) fn python(server: &Server, script: &str, arguments: &[&Path]) -> String {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python");
    let output = Command::new(PYTHON)
        .arg(scripts.join(script))
        .args(arguments)
        .env("HEADWATER_HOST", server.address().to_string())
        .env("HEADWATER_ACCOUNT", ACCOUNT)
        .env("HEADWATER_USER", USER)
        .env("HEADWATER_SAMPLE_PASSWORD", PASSWORD)
        .env("no_proxy", "*")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{printed}\n{said}");
    printed
}

#[test]
fn log_in() {
    let server = Server::start();
    let printed = python(&server, "log_in.py", &[]);
    assert_eq!(printed.lines().filter(|line| line.len() == 36).count(), 3, "{printed}");
}

#[test]
fn post_raw_and_verify() {
    let server = Server::start();
    let file = server.scratch().join("test.mp3");
    let body = noise(1, 594_472);
    fs::write(&file, &body).unwrap();
    let printed = python(&server, "post_raw.py", &[&file]);
    assert!(printed.contains(&sha256(&body)), "{printed}");
    assert!(server.login().content("/test.mp3") == body);
}

#[test]
fn post_file_and_verify() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/zz");
    let file = server.scratch().join("file.txt");
    // The sample's own file is empty.
    for body in ["", "a text\n"] {
        fs::write(&file, body).unwrap();
        let printed = python(&server, "post_file.py", &[&file]);
        assert!(printed.contains(&sha256(body.as_bytes())), "{printed}");
        assert_eq!(anna.content("/zz/file1.txt"), body.as_bytes());
    }
}

#[test]
fn list_files_in_chunks_of_three() {
    let server = Server::start();
    let anna = server.login();
    for i in 0..7 {
        anna.put(&format!("/file{i}.txt"), b"x");
    }
    let printed = python(&server, "list_files.py", &[]);
    let mut names: Vec<&str> = printed.lines().filter(|line| line.starts_with("file")).collect();
    names.sort_unstable();
    assert_eq!(names, (0..7).map(|i| format!("file{i}.txt")).collect::<Vec<_>>(), "{printed}");
    let empty = Server::start();
    assert!(python(&empty, "list_files.py", &[]).contains("**No files in directory**"));
}

#[test]
fn directory_information() {
    let server = Server::start();
    let anna = server.login();
    for i in 0..5 {
        anna.put(&format!("/dir{i}/file"), b"x");
        anna.put(&format!("/file{i}"), &[0; 1000]);
    }
    anna.put("/file5", &[0; 500]);
    let printed = python(&server, "directory_information.py", &[]);
    for line in [
        "Information for Directory \"/\"",
        "Total Directories: 5",
        "Total Files: 6",
        "Total Size All Files (bytes): 5500",
        "Cookie: 2 2",
        "Logout results: 0",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
}

#[test]
fn multipart() {
    let server = Server::start();
    server.login().dir("/multipart");
    let file = server.scratch().join("flat-irons3.jpg");
    let body = noise(4, 1_090_000);
    fs::write(&file, &body).unwrap();
    let printed = python(&server, "multipart.py", &[&file]);
    for line in [
        " Sending piece: 6",
        "Local file checksum matches checksum from stat call.",
        &sha256(&body),
        "\n1090000\n",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    assert_eq!(printed.matches("X-Agile-Status: 0").count(), 7, "6 pieces and the end: {printed}");
    assert!(server.login().content("/multipart/flat-irons3.jpg") == body);
}

/// The loops over `listMultipart` and `listMultipartPiece`: a page that is exactly full, and a piece that was sent again.
#[test]
fn list_multipart() {
    let server = Server::start();
    let anna = server.login();
    let printed = python(&server, "list_multipart.py", &[Path::new("3"), Path::new("2")]);
    assert_eq!(printed, "Logout results: 0\n");
    let mut expected = String::new();
    for i in 0..7_u32 {
        let mpid = anna.begin(&format!("/f{i}"));
        expected.push_str(&format!("upload /acme/f{i} {}\n", if i == 0 { "NEW" } else { "READY" }));
        // From the last piece to the first, and the first once more.
        let numbers: Vec<u32> = (1..=i).rev().chain((i > 4).then_some(1)).collect();
        for (at, number) in numbers.iter().enumerate() {
            anna.send_piece(&mpid, *number, &vec![b'x'; *number as usize]);
            let state = if numbers[at + 1..].contains(number) { "SKIPPED" } else { "NEW" };
            expected.push_str(&format!("  piece {number} {number} {state} 0\n"));
        }
        // A short page is the last one, a full one is not.
        expected.push_str(&format!("  calls {}\n", numbers.len() / 2 + 1));
    }
    expected.push_str("Logout results: 0\n");
    for size in ["1", "3", "7", "8"] {
        let printed = python(&server, "list_multipart.py", &[Path::new(size), Path::new("2")]);
        assert_eq!(printed, expected, "{size}");
    }
}

#[test]
fn manage_files() {
    let server = Server::start();
    let file = server.scratch().join("example.txt");
    fs::write(&file, "an example\n").unwrap();
    let printed = python(&server, "manage_files.py", &[&file]);
    assert!(printed.trim_end().ends_with("done"), "{printed}");
    assert_eq!(server.login().names("/"), (vec![], vec![]));
}

/// curl as the samples call it; returns everything it got and the trace of what went over the wire.
fn curl(arguments: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "-v", "-k", "--noproxy", "*", "--include"])
        .args(arguments)
        .output()
        .unwrap();
    let trace = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {trace}");
    (String::from_utf8_lossy(&output.stdout).into_owned(), trace)
}

#[test]
fn curl_uploads() {
    let server = Server::start();
    let base = format!("http://{}", server.address());
    // The sample script takes the token out of the trace, in just this way.
    let script = format!(
        "curl -v -X POST -H 'X-Agile-Username: {USER}' -H 'X-Agile-Password: {PASSWORD}' '{base}/account/login' 2>&1 \
         | grep X-Agile-Token: | awk -F ': ' '{{print $2}}' | tr -d '\\r'"
    );
    let output = Command::new("sh").args(["-c", &script]).env("no_proxy", "*").output().unwrap();
    let token = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert_eq!(token.len(), 36, "{token}");
    let anna = server.login().with_token(&token);

    let body = noise(2, 3 * 1024 * 1024);
    let file = server.scratch().join("three.bin");
    fs::write(&file, &body).unwrap();
    let (data, authorization) =
        (format!("@{}", file.display()), format!("X-Agile-Authorization: {token}"));
    let url = format!("{base}/post/raw");
    for (name, extra) in [
        ("length", &["--data-binary", &data][..]),
        ("expect", &["--data-binary", &data, "-H", "Expect: 100-continue"]),
        ("no-expect", &["--data-binary", &data, "-H", "Expect:"]),
        ("chunked", &["--data-binary", &data, "-H", "Transfer-Encoding: chunked"]),
        ("put-as-post", &["-X", "POST", "-T", &file.display().to_string()]),
    ] {
        let basename = format!("X-Agile-Basename: {name}");
        let always = ["-H", authorization.as_str(), "-H", basename.as_str(), url.as_str()];
        let (got, trace) = curl(&[extra, &always].concat());
        assert!(
            got.contains("X-Agile-Status: 0") && got.contains(&sha256(&body)),
            "{name}: {got}\n{trace}"
        );
        if name == "expect" {
            assert!(trace.contains("< HTTP/1.1 100 Continue"), "{trace}");
        }
        assert!(anna.content(&format!("/{name}")) == body, "{name}");
    }
    let (got, trace) = curl(&[
        "--data-binary",
        &data,
        "-H",
        "Expect: 100-continue",
        "-H",
        &authorization,
        "-H",
        "X-Agile-Directory: /future-releases/hot",
        &url,
    ]);
    assert!(got.contains("HTTP/1.1 400 parent directory does not exist"), "{got}");
    assert!(!trace.contains("100 Continue"), "{trace}");
    let call = format!(
        r#"{{"jsonrpc": "2.0", "method": "stat", "params": ["{token}", "/expect", true], "id": 1}}"#
    );
    let (got, _) = curl(&["-d", &call, &format!("{base}/jsonrpc")]);
    assert!(got.contains(&sha256(&body)), "{got}");
    assert_eq!(anna.code("logout", json!([])), 0);
}

/// curl users send the file first; curl waits for a 100 with a body of this size.
#[test]
fn curl_forms() {
    let server = Server::start();
    let anna = server.login();
    let body = noise(3, 5 * 1024 * 1024);
    let file = server.scratch().join("it's \"five\".bin");
    fs::write(&file, &body).unwrap();
    let upload = format!("uploadFile=@\"{}\"", file.display().to_string().replace('"', "\\\""));
    let url = format!("http://{}/post/file?token={}", server.address(), anna.token);
    let directory = ["-F", "directory=/curl/", "-F", "recursive=true"];
    for (name, order) in [
        ("first", [&["-F", &upload][..], &["-F", "basename=first"], &directory].concat()),
        ("last", [&directory[..], &["-F", "basename=last"], &["-F", &upload]].concat()),
        ("it's \"five\".bin", [&["-F", &upload][..], &directory].concat()),
    ] {
        let (got, trace) = curl(&[&order[..], &["-H", "Expect: 100-continue", &url]].concat());
        assert!(got.contains("X-Agile-Status: 0") && got.contains(&sha256(&body)), "{got}");
        assert!(trace.contains("< HTTP/1.1 100 Continue"), "{trace}");
        let target = format!("/acme/curl/{}", name.replace('"', "%22").replace(' ', "%20"));
        assert!(anna.content_at(&format!("/curl/{name}"), &target) == body, "{name}");
    }
}

/// Uploads over plain HTTP beside HTTPS for the rest: several listeners, one of them with a certificate.
#[test]
fn curl_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let path = |name: &str| dir.path().join(name).display().to_string();
    let config = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\ncertificate = {:?}\nkey = {:?}\n",
        path("certificate.pem"),
        path("key.pem")
    );
    let server = Server::start_in(dir, Setup { config: Some(config), ..Setup::default() });
    let announced = || {
        let printed = server.printed();
        printed
            .lines()
            .find_map(|line| line.strip_prefix("listening on https://").map(str::to_owned))
    };
    wait_until("both listeners", || announced().is_some());
    let secure = format!("https://{}", announced().unwrap());
    let (user, password) =
        (format!("X-Agile-Username: {USER}"), format!("X-Agile-Password: {PASSWORD}"));
    let login = format!("{secure}/account/login");
    let (got, trace) = curl(&["-X", "POST", "-H", &user, "-H", &password, &login]);
    assert!(trace.contains("TLSv1.3"), "{trace}");
    let token = got.lines().find_map(|line| line.strip_prefix("X-Agile-Token: ")).unwrap().trim();
    let anna = server.login().with_token(token);
    let body = noise(3, 700_000);
    anna.put("/plain", &body);
    let file = server.scratch().join("got");
    let output = file.display().to_string();
    curl(&["--no-include", "-o", &output, &format!("{secure}/acme/plain")]);
    assert!(fs::read(&file).unwrap() == body);
    let (_, trace) = curl(&["--tls-max", "1.2", &format!("{secure}/acme/plain"), "-o", &output]);
    assert!(trace.contains("TLSv1.2"), "{trace}");
}
