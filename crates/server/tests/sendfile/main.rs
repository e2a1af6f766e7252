//! Large files at the real binary, sent by the system out of its own memory: every byte is the right one, whatever the
//! client does, and what was verified a moment ago is not served after a change on disk.
//!
//! What does not live here: damage of all kinds, to files that nobody has read before (tests/damage); hyper and the stream
//! below it alone (front, `door::plain`). `HEADWATER_SEED=N` repeats a run.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers of tests too")]

#[expect(dead_code, unused_imports, reason = "the harness serves other tests, too")]
#[path = "../wire/harness/mod.rs"]
mod harness;
#[expect(dead_code, reason = "it serves the tests of fsck, too")]
#[path = "../fsck/store.rs"]
mod store;

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use harness::{Ask, Connection, Server, ask, noise};

const BLOCK: usize = 65_536;

/// Longer than a change of a file keeps what is read of it from being remembered.
fn settle() {
    thread::sleep(Duration::from_millis(2_200));
}

fn all(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(all(&path)) } else { found.push(path) }
    }
    found
}

/// Changes one byte of a file in place.
fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

/// A server with one file `/f`, and its blob.
fn with_file(body: &[u8]) -> (Server, PathBuf) {
    let server = Server::start();
    server.login().put("/f", body);
    let mut blobs = all(&server.data().join("blobs"));
    assert_eq!(blobs.len(), 1);
    let blob = blobs.remove(0);
    settle();
    (server, blob)
}

fn whole() -> Ask {
    ask("GET", "/acme/f")
}

fn range(from: usize, to: usize) -> Ask {
    whole().with("Range", format!("bytes={from}-{}", to - 1))
}

/// The body of an answer; `None` where the connection was cut or the file could not be opened.
fn body(server: &Server, request: &Ask) -> Option<Vec<u8>> {
    let answer = Connection::open(server.address()).try_ask(request).ok()?;
    match answer.status {
        200 | 206 => Some(answer.body),
        500 => None,
        other => panic!("{other}"),
    }
}

#[test]
fn what_was_verified_is_not_served_after_a_change() {
    let content = noise(1, 9 * BLOCK + 100);
    let (server, blob) = with_file(&content);
    let raw = fs::read(&blob).unwrap();
    let changes: [(&str, &dyn Fn()); 4] = [
        ("a flipped bit", &|| flip(&blob, 4 * BLOCK as u64 + 9)),
        ("a flipped bit in a checksum", &|| flip(&blob, content.len() as u64 + 4 * 4)),
        ("cut short", &|| fs::write(&blob, &raw[..4 * BLOCK + 1]).unwrap()),
        ("gone", &|| fs::remove_file(&blob).unwrap()),
    ];
    for (what, change) in changes {
        for _ in 0..3 {
            assert!(body(&server, &whole()).unwrap() == content, "before: {what}");
        }
        change();
        for _ in 0..3 {
            assert!(body(&server, &whole()).is_none(), "{what}");
            assert!(body(&server, &range(4 * BLOCK + 20, 4 * BLOCK + 21)).is_none(), "{what}");
            if what.starts_with("a flipped") {
                let good = body(&server, &range(BLOCK, 4 * BLOCK)).unwrap();
                assert!(good == content[BLOCK..4 * BLOCK], "{what}: other blocks are whole");
            }
        }
        fs::write(&blob, &raw).unwrap();
        settle();
    }
    assert!(body(&server, &whole()).unwrap() == content);
}

#[test]
fn a_change_in_the_middle_of_a_body_cuts_it_before_the_change() {
    // Far more than the buffers of both sockets hold.
    let content = noise(2, 64 * 1024 * 1024);
    let (server, blob) = with_file(&content);
    assert!(body(&server, &whole()).unwrap() == content, "remembered from now on");
    let hit = 56 * 1024 * 1024;
    let mut connection = Connection::open(server.address());
    connection.send_head(&whole());
    assert_eq!(connection.answer_head().unwrap().status, 200);
    assert!(connection.exactly(1 << 20) == content[..1 << 20]);
    flip(&blob, hit as u64 + 5);
    let mut got = 1 << 20;
    let rest = connection.until_cut();
    assert!(rest[..] == content[got..got + rest.len()], "a wrong byte");
    got += rest.len();
    assert!(got <= hit, "{got}");
    assert!(server.log().contains("the connection is cut"), "{}", server.log());
    flip(&blob, hit as u64 + 5);
    assert!(body(&server, &whole()).unwrap() == content);
}

/// Requests of all kinds over kept connections, to a file of several blobs, while it is remembered and before.
#[test]
fn every_byte_of_every_kind_of_request() {
    let server = store::server();
    let anna = server.login();
    let parts: Vec<Vec<u8>> =
        [3_000_000, 70_000, 9_000, 1_500_000].iter().map(|len| noise(*len as u64, *len)).collect();
    let mpid = store::begin(&anna, "/f");
    for (number, part) in (1..).zip(&parts) {
        store::piece(&anna, &mpid, number, part);
    }
    store::complete(&anna, &mpid);
    let content = parts.concat();
    let mut chance = Chance::new();
    for round in 0..2 {
        let mut connection = Connection::open(server.address());
        for _ in 0..60 {
            let (a, b) = (chance.below(content.len()), chance.below(content.len()));
            let (from, to) = (a.min(b), a.max(b) + 1);
            match chance.below(6) {
                0 => assert!(connection.ask(&whole()).body == content, "round {round}"),
                1 => assert_eq!(connection.ask(&ask("HEAD", "/acme/f")).status, 200),
                2 => {
                    let both = format!("bytes={from}-{},0-99", to - 1);
                    let answer = connection.ask(&whole().with("Range", both));
                    let has = |part: &[u8]| answer.body.windows(part.len()).any(|w| w == part);
                    assert_eq!(answer.status, 206);
                    assert!(
                        has(&content[..100]) && has(&content[to - to.min(200).min(to - from)..to])
                    );
                }
                // Two requests at once: the answers must not mix.
                3 => {
                    connection.send_head(&range(from, to));
                    connection.send_head(&range(from / 2, to));
                    for from in [from, from / 2] {
                        assert!(connection.answer("GET").unwrap().body == content[from..to]);
                    }
                }
                // A client that goes away, and another that takes its time.
                4 => {
                    let mut leaver = Connection::open(server.address());
                    leaver.send_head(&whole());
                    assert!(leaver.exactly(10).starts_with(b"HTTP/1.1"));
                }
                _ => {
                    connection.send_head(&range(from, to));
                    assert_eq!(connection.answer_head().unwrap().status, 206);
                    let mut at = from;
                    while at < to {
                        let len = (1 + chance.below(500_000)).min(to - at);
                        assert!(connection.exactly(len) == content[at..at + len]);
                        at += len;
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        }
        settle();
    }
}

#[test]
fn the_log_counts_the_bytes_of_a_file() {
    let content = noise(3, 3_000_001);
    let (server, _) = with_file(&content);
    assert!(body(&server, &whole()).unwrap() == content);
    assert_eq!(body(&server, &range(70_000, 80_000)).unwrap().len(), 10_000);
    harness::wait_until("the lines of the log", || {
        let log = server.log();
        log.contains("\"bytes_out\":3000001,") && log.contains("\"bytes_out\":10000,")
    });
}

/// Numbers that look random and are the same for the same seed.
struct Chance(u64);

impl Chance {
    /// Of this run; its seed is printed.
    #[expect(clippy::print_stdout, reason = "to repeat a run that failed")]
    fn new() -> Self {
        let given = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(harness::now_secs);
        println!("HEADWATER_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}
