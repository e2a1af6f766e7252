//! Events (docs/events.md): what a callback is told, signed, in order, at least once, also across a death of the server.

use std::{
    io::Read,
    net::TcpStream,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};

use crate::{
    harness::{
        Client, PASSWORD, Remote, Server, Setup, now_secs,
        remote::{status, whole},
        sha256, wait_until,
    },
    multipart::SUCCESS,
};

/// One who is told.
struct Ear {
    remote: Remote,
    told: Arc<Mutex<Vec<Told>>>,
    deaf: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Told {
    signature: String,
    body: String,
    event: Value,
    taken: bool,
}

impl Ear {
    /// Takes what it is told while it is not deaf. Of `never`, if it is a path, it takes nothing.
    fn new(never: &'static str) -> Self {
        let (told, deaf): (Arc<Mutex<Vec<Told>>>, Arc<AtomicBool>) = Default::default();
        let (list, ears) = (told.clone(), deaf.clone());
        let remote = Remote::start(move |_, head, stream| {
            let body = body(head, stream);
            let event: Value = serde_json::from_str(&body).unwrap();
            let header = |name: &str| {
                let line = head.lines().find(|line| line.to_lowercase().starts_with(name));
                line.and_then(|line| line.split_once(": ")).unwrap().1.to_owned()
            };
            assert_eq!(header("content-type:"), "application/json");
            let taken = !ears.load(Ordering::SeqCst) && event["path"] != never;
            let signature = header("x-headwater-signature:");
            list.lock().unwrap().push(Told { signature, body, event, taken });
            if taken { whole(stream, "", b"thanks") } else { status(stream, 503, "") }
        });
        Self { remote, told, deaf }
    }

    fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// What it took, as `event path`.
    fn taken(&self) -> Vec<String> {
        let text = |t: &Told| {
            format!("{} {}", t.event["event"].as_str().unwrap(), t.event["path"].as_str().unwrap())
        };
        self.told().iter().filter(|t| t.taken).map(text).collect()
    }

    fn wait(&self, count: usize) {
        wait_until("events", || self.taken().len() >= count);
    }

    fn server(&self) -> Server {
        let config = format!("{}[events]\nfirst_delay_seconds = 0\n", self.remote.config(""));
        Server::start_with(Setup { config: Some(config), ..Setup::default() })
    }

    /// Registers it; its id and its secret.
    fn register(&self, client: &Client, more: Value) -> (u64, String) {
        let mut params = json!({"uri": self.remote.url("/hook?key=1")});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = client.call("registerCallback", params);
        assert_eq!(answer["code"], 0, "{answer}");
        let secret = answer["secret_key"].as_str().unwrap().to_owned();
        (answer["callbackid"].as_u64().unwrap(), secret)
    }
}

fn body(head: &str, stream: &mut TcpStream) -> String {
    let line = head.lines().find(|line| line.to_lowercase().starts_with("content-length:"));
    let mut body = vec![0; line.unwrap().split_once(": ").unwrap().1.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

/// HMAC-SHA256 by somebody else's hands.
fn openssl(secret: &str, message: &str, scratch: &std::path::Path) -> String {
    let file = scratch.join("message");
    std::fs::write(&file, message).unwrap();
    let output = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", secret])
        .arg(&file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().last().unwrap().to_owned()
}

#[test]
fn everything_that_happens_is_told() {
    let ear = Ear::new("");
    let server = ear.server();
    let anna = server.login();
    let (id, secret) = ear.register(&anna, json!({}));
    let begun = now_secs();
    anna.put("/d/a.txt", b"hello");
    let mpid = anna.begin("/d/m");
    anna.send_piece(&mpid, 1, b"piece");
    assert_eq!(anna.code("completeMultipart", json!([mpid])), 0);
    anna.wait_for(&mpid, SUCCESS);
    assert_eq!(anna.code("copyFile", json!(["/d/a.txt", "/d/c"])), 0);
    assert_eq!(anna.code("rename", json!(["/d/c", "/d/r"])), 0);
    assert_eq!(anna.code("deleteFile", json!(["/d/r"])), 0);
    anna.dir("/e");
    assert_eq!(anna.code("deleteDir", json!(["/e"])), 0);
    // What did not happen is not told.
    assert_eq!(anna.code("deleteFile", json!(["/d/r"])), -1);
    assert_eq!(anna.code("rename", json!(["/d/a.txt", "/d/m"])), -2);
    ear.wait(6);
    let mut taken = ear.taken();
    taken.sort();
    let expected = [
        "copy /acme/d/c",
        "delete /acme/d/r",
        "delete /acme/e",
        "multipart /acme/d/m",
        "rename /acme/d/r",
        "upload /acme/d/a.txt",
    ];
    assert_eq!(taken, expected);
    for told in ear.told() {
        let event = &told.event;
        assert_eq!(event["callbackid"], id);
        assert!((begun..=now_secs()).contains(&event["time"].as_u64().unwrap()), "{event}");
        let is_directory = event["path"] == "/acme/e";
        assert_eq!(event["type"], if is_directory { 1 } else { 2 });
        let content: &[u8] = if event["event"] == "multipart" { b"piece" } else { b"hello" };
        if is_directory {
            assert!(event.get("size").is_none() && event.get("checksum").is_none(), "{event}");
        } else {
            assert_eq!((&event["size"], &event["checksum"]), (&json!(5), &json!(sha256(content))));
        }
        let old = if event["event"] == "rename" { json!("/acme/d/c") } else { Value::Null };
        assert_eq!(event["oldpath"], old);
        let (t, v1) = told.signature.split_once(",v1=").unwrap();
        let message = format!("{}.{}", t.strip_prefix("t=").unwrap(), told.body);
        assert_eq!(v1, openssl(&secret, &message, server.scratch()));
    }
    assert!(!server.log().contains(&secret) && !server.log().contains("key=1"));
    let listed = anna.call("listCallback", json!([]));
    let one = &listed["callbacks"][0];
    assert_eq!(
        (&one["callbackid"], &one["state"], &one["waiting"]),
        (&json!(id), &json!("active"), &json!(0))
    );
    assert!(one.get("secret_key").is_none(), "{one}");
}

#[test]
fn what_is_not_taken_is_told_again_in_its_order_also_after_a_death() {
    let ear = Ear::new("/acme/never");
    let mut server = ear.server();
    let anna = server.login();
    ear.register(&anna, json!({}));
    ear.deaf.store(true, Ordering::SeqCst);
    anna.put("/never", b"poison");
    for i in 0..20_u8 {
        anna.put("/same", &[i]);
        anna.put(&format!("/other{i}"), &[i]);
    }
    wait_until("a first attempt", || !ear.told().is_empty());
    server.kill();
    server.start_again();
    ear.deaf.store(false, Ordering::SeqCst);
    ear.wait(40);
    let told = ear.told();
    let same: Vec<&Told> =
        told.iter().filter(|t| t.taken && t.event["path"] == "/acme/same").collect();
    let mut ids: Vec<u64> = same.iter().map(|t| t.event["id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    // At least once; that each was told only once is not promised.
    ids.dedup();
    assert_eq!(ids.len(), 20);
    let checksums: Vec<_> = (0..20_u8).map(|i| json!(sha256(&[i]))).collect();
    let mut last: Vec<_> = same.iter().map(|t| t.event["checksum"].clone()).collect();
    last.dedup();
    assert_eq!(last, checksums);
    assert!(!ear.taken().contains(&"upload /acme/never".to_owned()));
    let anna = server.login();
    wait_until("all but one to be gone", || {
        anna.call("listCallback", json!([]))["callbacks"][0]["waiting"] == 1
    });
}

#[test]
fn who_is_told_of_what() {
    let (ear, far) = (Ear::new(""), Ear::new(""));
    let mut config = ear.remote.config("");
    config.push_str(&format!(
        "[[pull.allow]]\nhost = \"127.0.0.1\"\nport = {}\nprivate = true\n[events]\ncallbacks_max = 3\n",
        far.remote.port()
    ));
    let server = Server::start_with(Setup { config: Some(config), ..Setup::default() });
    let anna = server.login();
    anna.dir("/in");
    server.add_user("bert", "acme", &["--directory", "/in"]);
    server.admin_ok(&["account", "add", "other"], "");
    server.add_user("olga", "other", &[]);
    server.add_user("rita", "acme", &["--read-only"]);
    let bert = server.login_as("bert", PASSWORD);
    let olga = server.login_as("olga", PASSWORD);
    ear.register(&bert, json!({}));
    // Renames and deletes alone, and no small files.
    far.register(&anna, json!({"flags": 48, "threshold": 10}));
    for (path, content) in
        [("/out", b"0123456789" as &[u8]), ("/in/small", b"x"), ("/in/big", b"0123456789")]
    {
        anna.put(path, content);
    }
    assert_eq!(anna.code("rename", json!(["/in/big", "/in/bigger"])), 0);
    assert_eq!(anna.code("rename", json!(["/out", "/in/moved"])), 0);
    assert_eq!(anna.code("deleteFile", json!(["/in/small"])), 0);
    assert_eq!(anna.code("deleteFile", json!(["/in/bigger"])), 0);
    assert_eq!(olga.code("makeDir2", json!(["/in"])), 0);
    olga.put("/in/theirs", b"0123456789");
    ear.wait(5);
    far.wait(3);
    let mut near = ear.taken();
    near.sort();
    let expected = [
        "delete /acme/in/bigger",
        "delete /acme/in/small",
        "rename /acme/in/bigger",
        "upload /acme/in/big",
        "upload /acme/in/small",
    ];
    assert_eq!(near, expected, "below the user's root, at both ends of a rename");
    let mut few = far.taken();
    few.sort();
    assert_eq!(few, ["delete /acme/in/bigger", "rename /acme/in/bigger", "rename /acme/in/moved"]);
    // Who may see which callbacks.
    let count = |client: &Client| {
        client.call("listCallback", json!([]))["callbacks"].as_array().unwrap().len()
    };
    assert_eq!((count(&anna), count(&bert), count(&olga)), (2, 1, 0));
    // What cannot be registered.
    let uri = ear.remote.url("/");
    let code = |client: &Client, params: Value| client.code("registerCallback", params);
    assert_eq!(code(&server.login_as("rita", PASSWORD), json!([uri])), -6);
    for bad in ["", "file:///etc/passwd", "http://127.0.0.1:1/", "http://169.254.169.254/", "x"] {
        assert_eq!(code(&anna, json!([bad])), -14, "{bad}");
    }
    for bad in [json!(64), json!(-1), json!("x"), json!(1u64 << 40)] {
        assert_eq!(code(&anna, json!([uri, bad])), -13, "{bad}");
    }
    ear.register(&anna, json!({}));
    assert_eq!(code(&anna, json!([uri])), -56, "three are there");
    assert_eq!(anna.with_token("x").code("registerCallback", json!([uri])), -10_001);
}

#[test]
fn the_operator_pauses_and_deletes() {
    let ear = Ear::new("");
    let server = ear.server();
    let anna = server.login();
    let (id, _) = ear.register(&anna, json!({}));
    let operator = |verb: &str| server.admin_ok(&["callback", verb, &id.to_string()], "");
    operator("pause");
    anna.put("/a", b"1");
    let listed = server.admin_ok(&["callback", "list"], "");
    let one: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&one["state"], &one["waiting"], &one["account"]),
        (&json!("paused"), &json!(1), &json!("acme"))
    );
    assert!(!listed.contains("key=1"), "{listed}");
    assert!(ear.told().is_empty());
    operator("resume");
    ear.wait(1);
    ear.deaf.store(true, Ordering::SeqCst);
    anna.put("/b", b"2");
    operator("delete");
    wait_until("the callback to be gone", || server.admin_ok(&["callback", "list"], "").is_empty());
    anna.put("/c", b"3");
    assert_eq!(anna.call("listCallback", json!([]))["callbacks"], json!([]));
    assert!(!server.admin(&["callback", "delete", &id.to_string()], "").status.success());
    assert_eq!(ear.taken(), ["upload /acme/a"]);
}
