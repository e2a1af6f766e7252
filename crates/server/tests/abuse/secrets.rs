//! Where secrets must not be: logs, answers, the list of processes, core files, files that others may read, and files at
//! all, where a hash or something encrypted is enough.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, chown},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use crate::{
    harness::{Form, PASSWORD, Server, Setup, ask, noise, wait_until},
    proc,
    signing::{BASE, Pair, URL_SECRET, link, soon},
};

const OTHER_PASSWORD: &str = "another secret word";
const REMOTE_PASSWORD: &str = "the-remote's-password";

/// Everything under a directory.
fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            all.extend(walk(&entry.path()));
        } else {
            all.push(entry.path());
        }
    }
    all
}

/// Does a little of everything that a secret is shown for; the secrets.
fn a_full_run(server: &Server) -> Vec<(&'static str, String)> {
    let anna = server.login();
    anna.put("/dir/small", b"small");
    anna.put("/dir/large", &noise(1, 3_000_000));
    let form = ask("POST", &format!("/post/file?token={}", anna.token));
    let form = form.with("Content-Type", crate::harness::form_type());
    assert_eq!(anna.send(&form.body(Form::new().file("form", b"x").bytes())).told(), (200, 0));
    let mpid =
        anna.call("createMultipart", json!(["/dir/parts"]))["mpid"].as_str().unwrap().to_owned();
    let piece = anna.post("/multipart/piece").with("X-Agile-Multipart", &mpid);
    assert_eq!(
        anna.send(&piece.with("X-Agile-Part", "1").body(noise(2, 300_000))).told(),
        (200, 0)
    );
    assert_eq!(anna.code("completeMultipart", json!([mpid])), 0);
    wait_until("the parts", || anna.get("/acme/dir/parts").status == 200);
    let pair = Pair::make(&anna);
    let signature = pair.header("/post/directory", soon(), &["directory=/signed"]);
    let signed = ask("POST", "/post/directory").with("X-Agile-Directory", "/signed").body("");
    let signed = signed.with("X-Agile-Signature", &signature);
    assert_eq!(anna.send(&signed).told(), (200, 0));
    assert_eq!(anna.send(&signed).told(), (403, -10_001));
    let url_secret = format!("{URL_SECRET}\n");
    server.admin_ok(&["url", "secret", "add", "acme", "--stdin"], &url_secret);
    let made_up = server.admin_ok(&["url", "secret", "add", "acme"], "");
    let made_up = made_up.split(['"', ' ', '\n']).find(|word| word.len() == 64).unwrap().to_owned();
    let target = link("/acme/dir/small", &format!("e={}", soon()));
    assert_eq!(anna.get(&target).status, 200);
    let callback = anna.call("registerCallback", json!(["http://127.0.0.1:9/hook", 0, 0]));
    let callback = callback["secret_key"].as_str().unwrap().to_owned();
    let uri = "http://127.0.0.1:9/film";
    let fetch =
        json!({"path": "/dir/x", "uri": uri, "username": "remote", "password": REMOTE_PASSWORD});
    assert_eq!(anna.code("fetchFileHTTP", fetch), 0);
    let fetch = json!(["/dir/y", format!("http://remote:{REMOTE_PASSWORD}2@127.0.0.1:9/film")]);
    assert_eq!(anna.code("fetchFileHTTP", fetch), 0);
    assert_eq!(anna.rpc("login", json!(["anna", "nearly right"]))["result"], json!([null, null]));
    server.add_user("ben", "acme", &[]);
    server.admin_ok(&["user", "passwd", "ben"], &format!("{OTHER_PASSWORD}\n"));
    let ben = server.login_as("ben", OTHER_PASSWORD);
    let limited = anna.send(
        &ask("POST", "/account/login")
            .with("X-Agile-Username", "ben")
            .with("X-Agile-Password", OTHER_PASSWORD),
    );
    let limited = limited.must("X-Agile-Token").to_owned();
    // Bad ones, so that errors are logged.
    for path in ["/dir/missing", "/..", "/"] {
        anna.code("deleteFile", json!([path]));
    }
    anna.send(
        &ask("GET", "/acme/x?token=0123-as-a-query&h=4567-as-a-hash")
            .with("Cookie", "session=a-cookie-of-somebody"),
    );
    anna.send(&ask("GET", "/acme/x").with("Authorization", "Bearer bearer-of-somebody"));
    vec![
        ("the password", PASSWORD.to_owned()),
        ("a user's password", OTHER_PASSWORD.to_owned()),
        ("a wrong password", "nearly right".to_owned()),
        ("a token", anna.token.clone()),
        ("another token", ben.token),
        ("a limited token", limited),
        ("the secret key", pair.secret),
        ("a signature", signature.split("&signature=").nth(1).unwrap().to_owned()),
        ("a URL secret", URL_SECRET.to_owned()),
        ("a made-up URL secret", made_up),
        ("a link's hash", target.rsplit('=').next().unwrap().to_owned()),
        ("a callback's secret", callback),
        ("a remote's password", REMOTE_PASSWORD.to_owned()),
        ("a query's token", "0123-as-a-query".to_owned()),
        ("a query's hash", "4567-as-a-hash".to_owned()),
        ("a cookie", "a-cookie-of-somebody".to_owned()),
        ("a bearer", "bearer-of-somebody".to_owned()),
    ]
}

fn config() -> String {
    format!(
        "[egress]\npublic_url = \"{BASE}\"\n[pull]\nattempts_max = 2\nfirst_delay_seconds = 0\n\
         [[pull.allow]]\nhost = \"127.0.0.1\"\nport = 9\nprivate = true\n"
    )
}

/// Where a secret stands in a directory's files.
fn found_in(dir: &Path, secret: &str) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|meta| meta.is_file())
            && fs::read(path).is_ok_and(|bytes| {
                bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
            })
    };
    walk(dir).into_iter().filter(holds).collect()
}

#[test]
fn nowhere_but_where_they_belong() {
    let setup = Setup { config: Some(config()), log: "trace", ..Setup::default() };
    let mut server = Server::start_with(setup);
    let secrets = a_full_run(&server);
    let command_line = fs::read_to_string(proc::path(server.pid(), "cmdline")).unwrap();
    let check = |server: &Server, when: &str| {
        let log = server.log();
        assert!(log.lines().count() > 15, "the log is where it is looked for: {log}");
        for (what, secret) in &secrets {
            let line = log.lines().find(|line| line.contains(secret.as_str()));
            assert!(line.is_none(), "{what} in the log, {when}: {line:?}");
            assert!(!server.printed().contains(secret.as_str()), "{what} was printed");
            assert!(!command_line.contains(secret.as_str()), "{what} in the command line");
            assert_eq!(found_in(&server.data(), secret), [] as [PathBuf; 0], "{what}, {when}");
        }
    };
    check(&server, "while it ran");
    // The check would see them: what users store stands there as it is.
    assert!(
        !found_in(&server.data(), "/dir/small").is_empty()
            || !found_in(&server.data(), "small").is_empty()
    );
    server.stop();
    check(&server, "after a stop");
    server.start_again();
    check(&server, "after a start");
    server.kill();
    server.start_again();
    check(&server, "after a kill");
    for command in [
        &["status"][..],
        &["user", "list"],
        &["account", "list"],
        &["jobs", "list"],
        &["callback", "list"],
    ] {
        let said = server.admin_ok(command, "");
        for (what, secret) in &secrets {
            assert!(!said.contains(secret.as_str()), "{what} in {command:?}: {said}");
        }
    }
}

/// Everything belongs to its owner alone, even where whoever starts the server is generous.
#[test]
fn files_and_directories_are_their_owners() {
    let setup = Setup { config: Some(config()), shell: "umask 000", ..Setup::default() };
    let mut server = Server::start_with(setup);
    a_full_run(&server);
    let check = |server: &Server, when: &str| {
        let all = walk(&server.data());
        for path in &all {
            let meta = fs::symlink_metadata(path).unwrap();
            let wanted = if meta.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(meta.mode() & 0o7777, wanted, "{}, {when}", path.display());
        }
        all.len()
    };
    let count = check(&server, "while it runs");
    assert!(count > 20, "{count}");
    let socket = fs::symlink_metadata(server.data().join("admin.sock")).unwrap();
    assert!(socket.file_type().is_socket());
    server.kill();
    check(&server, "after a kill");
    server.start_again();
    server.login().put("/dir/more", &noise(3, 500_000));
    server.stop();
    let count = check(&server, "after a stop");
    println!("{count} files and directories");
}

/// A server that dies leaves no memory behind, whatever the system would allow.
#[test]
fn no_core_file() {
    let dir = tempfile::Builder::new().prefix("headwater-core-").tempdir().unwrap();
    let at = dir.path().display();
    // Where even root may not have core files, there is nothing to see.
    let hard = fs::read_to_string("/proc/self/limits").unwrap();
    let hard = hard.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    if hard.split_whitespace().nth(5) == Some("0") {
        eprintln!("NOT CHECKED: core files are not allowed here at all");
        return;
    }
    let shell: &'static str = Box::leak(format!("cd {at} && ulimit -c unlimited").into_boxed_str());
    let server = Server::start_with(Setup { shell, ..Setup::default() });
    server.login().put("/f", b"x");
    assert_eq!(proc::limit(server.pid(), "Max core file size"), "0");
    let aborted = Command::new("sh")
        .args(["-c", "kill -ABRT \"$0\"", &server.pid().to_string()])
        .status()
        .unwrap();
    assert!(aborted.success());
    let mut server = server;
    let status = server.wait_for_end();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false), "{status}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a core file");
    // The check would see one: the shell itself, under the same limit.
    let script = format!("cd {at} && ulimit -c unlimited && kill -ABRT $$");
    let other = Command::new("sh").args(["-c", &script]).status().unwrap();
    assert_eq!(other.signal(), Some(6), "{other}");
    if !other.core_dumped() {
        eprintln!("NOT CHECKED: this system writes no core files");
    }
}

/// Another process of the same user reads neither the environment, where the first password may stand, nor the memory.
#[test]
fn other_processes_see_nothing() {
    const NOBODY: u32 = 65_534;
    if !proc::is_root("what other processes of the server's user may read") {
        return;
    }
    let dir = tempfile::Builder::new().prefix("headwater-").tempdir().unwrap();
    chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let at = dir.path().display();
    let as_nobody = format!("setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups");
    let shell = format!(
        "cp \"$0\" {at}/headwater && chmod 755 {at}/headwater && exec {as_nobody} {at}/headwater \"$@\""
    );
    let shell: &'static str = Box::leak(shell.into_boxed_str());
    let server = Server::start_in(dir, Setup { shell, ..Setup::default() });
    server.login().put("/f", b"x");
    let read = |pid: u32, name: &str| {
        let script = format!("{as_nobody} cat /proc/{pid}/{name}");
        Command::new("sh").args(["-c", &script]).output().unwrap()
    };
    let own = fs::read_to_string(proc::path(server.pid(), "status")).unwrap();
    assert!(own.lines().any(|line| line.starts_with("Uid:\t65534")), "{own}");
    for name in ["environ", "maps", "mem", "auxv"] {
        let output = read(server.pid(), name);
        assert!(!output.status.success() && output.stdout.is_empty(), "{name}: {output:?}");
    }
    // The check would see it: of a process that does not mind.
    let script = format!("A_SECRET=visible exec {as_nobody} sleep 60");
    let mut other = Command::new("sh").args(["-c", &script]).spawn().unwrap();
    wait_until("a process to be seen", || {
        let seen = read(other.id(), "environ");
        String::from_utf8_lossy(&seen.stdout).contains("A_SECRET=visible")
    });
    other.kill().unwrap();
    other.wait().unwrap();
}
