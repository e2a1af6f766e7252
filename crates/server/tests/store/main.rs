//! A server whose blobs lie in an object store: a real S3 server in a process of its own.
//!
//! What does not live here: the engine's own tests (crate `blobs`), what a request means (tests/wire, which runs over an object
//! store as well with `HEADWATER_TEST_BLOBS=s3`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers of tests too")]

#[expect(dead_code, unused_imports, reason = "the harness serves other tests, too")]
#[path = "../wire/harness/mod.rs"]
mod harness;

use harness::{Client, Server, Setup, ask, noise, wait_until};
use testbed::{Durability, S3};

/// Inline, in one request, in parts.
const SIZES: [usize; 3] = [5_000, 300_000, 20_000_000];

fn start(store: &S3) -> Server {
    let mut variables = store.variables();
    variables.push(("HEADWATER_BLOBS".to_owned(), store.url("some/prefix")));
    Server::start_with(Setup { variables, ..Setup::default() })
}

fn check(client: &Client) {
    for (i, size) in SIZES.into_iter().enumerate() {
        let (path, content) = (format!("/f{i}"), noise(i as u64, size));
        assert!(client.content(&path) == content, "{path}");
        let range = ask("GET", &format!("/acme{path}")).with("Range", "bytes=1000-4999");
        let part = client.send(&range);
        assert_eq!(part.status, 206);
        assert!(part.body == content[1000..5000], "{path}");
    }
}

#[test]
fn files_lie_there_and_survive_the_node() {
    let store = S3::start(Durability::None);
    let mut server = start(&store);
    let anna = server.login();
    for (i, size) in SIZES.into_iter().enumerate() {
        anna.put(&format!("/f{i}"), &noise(i as u64, size));
    }
    check(&anna);
    assert!(!server.data().join("blobs").exists());
    server.kill();
    server.start_again();
    check(&server.login());
    server.stop();
    // Commands find the blobs by the directory's note.
    let text = server.admin_ok(&["fsck", "--deep"], "");
    let secrets = S3::secrets();
    let log = server.log();
    assert!(secrets.iter().all(|secret| !log.contains(secret) && !text.contains(secret)));
}

#[test]
fn while_the_store_is_away_clients_are_told_and_small_files_go_on() {
    let store = S3::start(Durability::None);
    let server = start(&store);
    let anna = server.login();
    anna.put("/f0", &noise(0, SIZES[0]));
    anna.put("/f1", &noise(1, 3_000_000));
    anna.put("/f2", &noise(2, 3_000_000));
    assert!(anna.content("/f1") == noise(1, 3_000_000));

    store.hold();
    let put = |name: &str, body: &[u8]| anna.send(&anna.raw("/", name).body(body)).told();
    assert_eq!(put("f3", &noise(3, 300_000)), (503, -26));
    assert_eq!(anna.get("/acme/f2").status, 503, "nobody read it before");
    assert!(anna.content("/f0") == noise(0, SIZES[0]));
    assert_eq!(put("f4", &noise(4, SIZES[0])), (200, 0));
    assert_eq!(anna.names("/").1.len(), 4);

    store.release();
    wait_until("the store", || anna.get("/acme/f2").status == 200);
    assert!(anna.content("/f2") == noise(2, 3_000_000));
    assert_eq!(put("f3", &noise(3, 300_000)), (200, 0));
    assert!(anna.content("/f3") == noise(3, 300_000));
}
