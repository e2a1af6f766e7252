//! A store with some of everything, copies of it to be damaged, and looking at them with the real binary.
//!
//! What does not live here: any damage.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use catalog::{
    Catalog, Embedded,
    audit::{Index, Row},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, Server, Setup, ask, noise, wait_until};

const BINARY: &str = env!("CARGO_BIN_EXE_headwater");

/// Allows what makes transfers and events wait for ever: nobody listens there.
pub(crate) const CONFIG: &str = "[pull]\nallow = [{ host = \"127.0.0.1\", private = true }]\n\
    first_delay_seconds = 3000\n[events]\nfirst_delay_seconds = 500\n";

/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:9/none";

/// A server that may ask where nobody listens.
pub(crate) fn server() -> Server {
    Server::start_with(Setup { config: Some(CONFIG.to_owned()), ..Setup::default() })
}

/// Begins a multipart upload.
pub(crate) fn begin(client: &Client, path: &str) -> String {
    client.call("createMultipart", json!([path]))["mpid"].as_str().unwrap().to_owned()
}

/// Sends a piece.
pub(crate) fn piece(client: &Client, mpid: &str, number: u32, body: &[u8]) {
    let ask = client.post("/multipart/piece").with("X-Agile-Multipart", mpid);
    let answer = client.send(&ask.with("X-Agile-Part", number.to_string()).body(body));
    assert_eq!(answer.told(), (200, 0), "{answer:?}");
}

/// Completes an upload and waits for its file.
pub(crate) fn complete(client: &Client, mpid: &str) {
    assert_eq!(client.code("completeMultipart", json!([mpid])), 0);
    wait_until("the file of an upload", || {
        client.call("getMultipartStatus", json!([mpid]))["state"] == 6
    });
}

/// Puts some of everything into a server.
pub(crate) fn fill(server: &Server, anna: &Client) {
    for path in ["/a/b/c", "/empty", "/x/y"] {
        anna.dir(path);
    }
    for (i, size) in [0, 1, 900, 5_000, 8_192, 8_193, 70_000, 400_000].into_iter().enumerate() {
        anna.put(&format!("/a/f{i}"), &noise(i as u64, size));
        anna.put(&format!("/a/b/g{i}"), &noise(i as u64 + 50, size + 1));
    }
    for (method, params) in [
        ("copyFile", json!(["/a/f7", "/a/copy"])),
        ("copyFile", json!(["/a/f2", "/a/small-copy"])),
        ("copyFile", json!(["/a/f6", "/a/b/g3"])),
        ("rename", json!(["/a/f3", "/x/moved"])),
        ("rename", json!(["/empty", "/x/emptied"])),
        ("deleteFile", json!(["/a/b/g5"])),
        ("setContentType", json!(["/a/f4", "image/x-own"])),
        ("setMTime", json!(["/a/f5", 4242])),
        ("makeDir", json!(["/gone"])),
        ("deleteDir", json!(["/gone"])),
    ] {
        assert_eq!(anna.code(method, params.clone()), 0, "{method} {params}");
    }
    anna.put("/a/f6", &noise(99, 33_000));
    uploads(anna);
    assert_eq!(anna.call("initKeyPair", json!([]))["code"], 0);
    assert_eq!(anna.call("registerCallback", json!([NOWHERE]))["code"], 0);
    anna.put("/a/told", b"what a callback is to be told");
    assert_eq!(anna.call("fetchFileHTTP", json!(["/a/fetched", NOWHERE])), json!(0));
    wait_until("a transfer that waits", || {
        server.admin_ok(&["jobs", "list", "--state", "queued"], "").contains("\"attempts\":1")
    });
    server.admin_ok(&["account", "add", "other"], "");
    server.add_user("otto", "other", &["--directory", "/films/new"]);
    let otto = server.login_as("otto", crate::harness::PASSWORD);
    otto.put("/f", &noise(5, 20_000));
    assert_eq!(ask("GET", "/acme/a/copy").send(server.address()).status, 200);
}

/// Multipart uploads in every state that a client can bring them to and that lasts.
fn uploads(anna: &Client) {
    let sent = |path: &str, numbers: &[u32]| {
        let mpid = begin(anna, path);
        for number in numbers {
            piece(anna, &mpid, *number, &noise(u64::from(*number), 10_000));
        }
        mpid
    };
    let done = sent("/a/film", &[1, 2, 3, 2]);
    piece(anna, &done, 4, b"");
    complete(anna, &done);
    assert_eq!(anna.code("copyFile", json!(["/a/film", "/a/film-copy"])), 0);
    sent("/a/new", &[2, 1, 5]);
    sent("/a/none", &[]);
    let aborted = sent("/a/aborted", &[1, 2]);
    assert_eq!(anna.code("abortMultipart", json!([aborted])), 0);
    // One that fails: a directory stands where its file should.
    let failed = sent("/a/failed", &[1, 1]);
    anna.dir("/a/failed");
    assert_eq!(anna.code("completeMultipart", json!([failed])), 0);
    wait_until("an upload that failed", || {
        anna.call("getMultipartStatus", json!([failed]))["state"] == 12
    });
}

/// A stopped store with some of everything. Made once a test.
pub(crate) struct Store(TempDir);

impl Store {
    pub(crate) fn make() -> Self {
        let mut server = server();
        let anna = server.login();
        fill(&server, &anna);
        server.stop();
        let dir = tempfile::Builder::new().prefix("headwater-fsck-").tempdir().unwrap();
        copy(&server.data(), &dir.path().join("data"));
        // Opened once more, so that what the log held is in tables, as in an older store.
        let store = Self::from_dir(dir);
        assert_eq!(fsck(&store.data(), &["--deep"]).0, 0);
        store
    }

    /// A stopped store in a directory.
    pub(crate) fn from_dir(dir: TempDir) -> Self {
        Self(dir)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// A copy of it, to be damaged.
    pub(crate) fn copy(&self) -> Self {
        let dir = tempfile::Builder::new().prefix("headwater-fsck-").tempdir().unwrap();
        copy(&self.data(), &dir.path().join("data"));
        Self(dir)
    }

    /// Opens the catalog, as no other process does meanwhile.
    pub(crate) fn catalog(&self) -> (tokio::runtime::Runtime, Catalog) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        let engine = Embedded::open(self.data().join("catalog"), Default::default()).unwrap();
        (runtime.unwrap(), Catalog::new(Arc::new(engine)))
    }

    /// Every row of the catalog.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let (runtime, catalog) = self.catalog();
        let all = catalog.audit(|audit| {
            let rows = Index::ALL.into_iter().flat_map(|index| audit.rows(index, None));
            rows.collect::<model::Result<Vec<Row>>>()
        });
        runtime.block_on(all).unwrap()
    }
}

/// Copies a directory.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Runs the check; returns its exit code and its report (a string where it is none).
pub(crate) fn fsck(data: &Path, args: &[&str]) -> (i32, Value) {
    let mut command = Command::new(BINARY);
    command.arg("fsck").args(args).arg("--json").arg("--data").arg(data);
    let output = command.env_remove("HEADWATER_DATA").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::String(said));
    (output.status.code().unwrap(), report)
}

/// Whether a report has a finding of a kind.
pub(crate) fn has(report: &Value, kind: &str) -> bool {
    report["kinds"].get(kind).is_some()
}
