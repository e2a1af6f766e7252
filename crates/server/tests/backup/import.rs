//! Trees and archives: every byte and time of what is imported, and a word about everything that is not.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    process::{Command, Output},
    time::{Duration, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::harness::{Client, Server, Setup, noise, sha256, wait_until};

/// What a tree has: path to (content, mtime).
type Files = BTreeMap<String, (Vec<u8>, u64)>;

fn write(root: &Path, files: &Files) {
    for (path, (content, mtime)) in files {
        let file = root.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(*mtime);
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    }
}

/// Empty, small, at the boundary, of several blocks; deep; names that need care.
fn some_files() -> Files {
    let mut files = Files::new();
    for (i, size) in [0, 1, 8_192, 8_193, 70_000, 1_500_000].into_iter().enumerate() {
        files.insert(format!("top-{size}"), (noise(i as u64, size), 1_000_000 + i as u64));
    }
    for (i, name) in
        ["a b", "ä/ö ü", "d/e/f/g", "d/*", "d/%41", "d/\"q\"", "new\nline", "d/.hidden"]
            .into_iter()
            .enumerate()
    {
        files.insert(name.to_owned(), (noise(100 + i as u64, 300 * i), 1_600_000_000 + i as u64));
    }
    for i in 0..300 {
        files.insert(format!("many/{}/{i}", i % 7), (noise(1000 + i, 50), 5));
    }
    files
}

fn report(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    let last = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned);
    serde_json::from_str(&last.unwrap_or_else(|| panic!("no report: {said}"))).unwrap()
}

fn is_there(client: &Client, below: &str, files: &Files) {
    for (path, (content, mtime)) in files {
        let stat = client.stat(&format!("{below}/{path}"));
        assert_eq!(
            (&stat["code"], &stat["size"]),
            (&json!(0), &json!(content.len())),
            "{path}: {stat}"
        );
        assert_eq!(
            (&stat["checksum"], &stat["mtime"]),
            (&json!(sha256(content)), &json!(mtime)),
            "{path}"
        );
        let encoded: String = path.bytes().map(|b| format!("%{b:02X}")).collect();
        let got = client.get(&format!("/acme{below}/{}", encoded.replace("%2F", "/")));
        assert!(got.status == 200 && got.body == *content, "{path}: {}", got.status);
    }
}

fn import(server: &Server, kind: &str, from: &Path, more: &[&str]) -> Output {
    let args = [&["import", kind, from.to_str().unwrap(), "--user", "anna"], more].concat();
    server.admin(&args, "")
}

#[test]
fn a_tree_into_a_server_that_runs_and_one_that_does_not() {
    let mut server = Server::start();
    let source = server.scratch().join("source");
    let files = some_files();
    write(&source, &files);
    fs::create_dir(source.join("empty")).unwrap();
    let output = import(&server, "tree", &source, &["--to", "/media/old"]);
    assert!(output.status.success(), "{output:?}");
    let done = report(&output);
    let bytes: usize = files.values().map(|(content, _)| content.len()).sum();
    assert_eq!(
        (&done["stored"], &done["stored_bytes"]),
        (&json!(files.len()), &json!(bytes)),
        "{done}"
    );
    let anna = server.login();
    is_there(&anna, "/media/old", &files);
    assert_eq!(anna.code("stat", json!(["/media/old/empty"])), 0);
    let stat = anna.stat("/media/old/top-1");
    assert_eq!(
        (&stat["uid"], &stat["gid"]),
        (&anna.stat("/media")["uid"], &anna.stat("/media")["gid"])
    );

    // Again, over a stopped server: nothing is sent twice; what changed is.
    server.stop();
    let mut changed = files.clone();
    changed.insert("top-1".to_owned(), (b"x".to_vec(), 77));
    changed.insert("top-70000".to_owned(), (noise(9, 70_001), 1_000_004));
    write(&source, &changed);
    let done = report(&import(&server, "tree", &source, &["--to", "/media/old"]));
    assert_eq!(
        (&done["stored"], &done["already_there"]),
        (&json!(2), &json!(files.len() - 2)),
        "{done}"
    );
    server.start_again();
    let anna = Client { address: server.address(), ..anna };
    is_there(&anna, "/media/old", &changed);

    // The same size and time, another content: only who verifies sees it.
    changed.insert("top-8193".to_owned(), (noise(10, 8_193), 1_000_003));
    write(&source, &changed);
    let done = report(&import(&server, "tree", &source, &["--to", "/media/old"]));
    assert_eq!(done["stored"], 0, "{done}");
    let done = report(&import(&server, "tree", &source, &["--to", "/media/old", "--verify"]));
    assert_eq!((&done["stored"], &done["problems"]), (&json!(1), &json!(0)), "{done}");
    is_there(&anna, "/media/old", &changed);
}

#[test]
fn an_archive() {
    let server = Server::start();
    let (source, archive) = (server.scratch().join("source"), server.scratch().join("a.tar"));
    let mut files = some_files();
    files.insert("long".to_owned(), (noise(4, 3_000_000), 12));
    write(&source, &files);
    let tar = |format: &str| {
        let made = Command::new("tar")
            .args(["--create", "--format", format, "--directory"])
            .arg(&source)
            .arg("--file")
            .arg(&archive)
            .arg(".")
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    let anna = server.login();
    for format in ["gnu", "pax"] {
        tar(format);
        let to = format!("/{format}");
        let output = import(&server, "tar", &archive, &["--to", &to]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(report(&output)["stored"], files.len());
        is_there(&anna, &to, &files);
        let again = report(&import(&server, "tar", &archive, &["--to", &to, "--verify"]));
        assert_eq!((&again["stored"], &again["already_there"]), (&json!(0), &json!(files.len())));
    }
    // From standard input, with links within.
    fs::hard_link(source.join("top-70000"), source.join("top-linked")).unwrap();
    tar("pax");
    let shell = format!("cat '{}'", archive.display());
    let piped = Command::new("sh").args(["-c", &shell]).output().unwrap();
    let args = ["import", "tar", "-", "--user", "anna", "--to", "/piped"];
    let output = server.admin_bytes(&args, &piped.stdout);
    assert!(output.status.success(), "{output:?}");
    is_there(&anna, "/piped", &files);
    assert_eq!(anna.content("/piped/top-linked"), files["top-70000"].0);
    // An archive that ends too early is no success, and what came is there.
    let whole = fs::read(&archive).unwrap();
    fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    let output = import(&server, "tar", &archive, &["--to", "/half"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("archive"), "{output:?}");
}

#[test]
fn checksums_are_compared() {
    let server = Server::start();
    let source = server.scratch().join("source");
    let files = some_files();
    write(&source, &files);
    let sums = server.scratch().join("SHA256SUMS");
    let listed = Command::new("sh")
        .args(["-c", "find . -type f -exec sha256sum {} +"])
        .current_dir(&source)
        .output()
        .unwrap();
    fs::write(&sums, &listed.stdout).unwrap();
    let list = sums.to_str().unwrap();
    let done = report(&import(&server, "tree", &source, &["--to", "/a", "--checksums", list]));
    assert_eq!(
        (&done["stored"], &done["checksums_given"]),
        (&json!(files.len()), &json!(files.len())),
        "{done}"
    );
    is_there(&server.login(), "/a", &files);

    let text = String::from_utf8(listed.stdout).unwrap();
    let wrong = text.replace(&sha256(&files["d/e/f/g"].0), &"ab".repeat(32));
    fs::write(&sums, format!("{wrong}{}  gone\n", "cd".repeat(32))).unwrap();
    let output = import(&server, "tree", &source, &["--to", "/b", "--checksums", list]);
    assert_eq!((report(&output)["problems"].clone(), output.status.code()), (json!(2), Some(1)));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("\"/d/e/f/g\": checksum") && said.contains("\"/gone\": is in the list"),
        "{said}"
    );
    assert_eq!(
        server.login().code("stat", json!(["/b/d/e/f/g"])),
        -1,
        "nothing that is wrong gets in"
    );
    fs::write(&sums, "no list\n").unwrap();
    assert!(!import(&server, "tree", &source, &["--checksums", list]).status.success());
}

#[test]
fn what_cannot_be_imported_is_told() {
    let server = Server::start();
    let source = server.scratch().join("source");
    write(&source, &Files::from([("fine".to_owned(), (b"x".to_vec(), 1))]));
    symlink("/etc/passwd", source.join("link")).unwrap();
    File::create(source.join(std::ffi::OsStr::from_bytes(b"bad\xff"))).unwrap();
    assert!(Command::new("mkfifo").arg(source.join("pipe")).status().unwrap().success());
    let anna = server.login();
    anna.dir("/t/fine");
    let output = import(&server, "tree", &source, &["--to", "/t"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (report(&output)["problems"].clone(), output.status.code()),
        (json!(4), Some(1)),
        "{said}"
    );
    for why in ["symbolic link", "not UTF-8", "neither a file", "/fine\": "] {
        assert!(said.contains(why), "{why}: {said}");
    }
    assert_eq!(anna.names("/t"), (vec!["fine".to_owned()], vec![]));
    for (args, why) in [
        (&["import", "tree", "/no/such/tree", "--user", "anna"][..], "no/such/tree"),
        (&["import", "tree", "/tmp", "--user", "nobody"], "no such user"),
        (&["import", "tar", "/no/such.tar", "--user", "anna"], "no/such"),
    ] {
        let output = server.admin(args, "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{args:?}: {said}");
    }
    // A quota holds for imports, too.
    server.admin_ok(&["account", "set", "acme", "--quota-bytes", "100"], "");
    write(&source, &Files::from([("large".to_owned(), (noise(1, 20_000), 1))]));
    let output = import(&server, "tree", &source, &["--to", "/q"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("\"/large\": "), "{output:?}");
    assert_eq!(anna.code("stat", json!(["/q/large"])), -1);
}

/// An import that dies, and a server that dies under one: done again, all is there, and nothing is left over.
#[test]
fn an_import_that_is_cut_is_done_again() {
    let mut server = Server::start_with(Setup::default());
    let source = server.scratch().join("source");
    let files: Files = (0..60).map(|i| (format!("f{i}"), (noise(i, 600_000), 1_000 + i))).collect();
    write(&source, &files);
    for round in 0..2 {
        let to = format!("/r{round}");
        let args = ["import", "tree", source.to_str().unwrap(), "--user", "anna", "--to", &to];
        let mut running = server.admin_begun(&[&args[..], &["--couriers", "2"]].concat());
        let anna = server.login();
        wait_until("some files", || {
            anna.code("stat", json!([to])) == 0 && anna.names(&to).1.len() > 3
        });
        if round == 0 {
            running.kill().unwrap();
            running.wait().unwrap();
        } else {
            server.kill();
            assert!(!running.wait().unwrap().success());
            server.start_again();
        }
        let anna = Client { address: server.address(), ..anna };
        let done = report(&server.admin(&args, ""));
        assert_eq!(done["problems"], 0, "{done}");
        assert!(done["already_there"].as_u64().unwrap() > 3, "{done}");
        is_there(&anna, &to, &files);
        assert_eq!(anna.names(&to).1.len(), files.len());
    }
}
