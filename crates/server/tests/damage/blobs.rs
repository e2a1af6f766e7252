//! Promise 8: 200 blobs of several sizes with a bit flipped, bytes appended, cut, gone, or exchanged for another's, while the
//! server runs and while it is stopped. No reader gets a wrong byte, what is not damaged stays readable, and scrubbing and
//! `fsck --deep` name exactly what was damaged.
//!
//! What does not live here: damage to the catalog (`catalog`), how scrubbing is run (`scrub`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_json::{Value, json};

use crate::{
    Chance,
    harness::{Client, Connection, Server, ask, noise},
    store::{self, begin, complete, fsck, piece},
};

/// The unit of verification.
const BLOCK: usize = 65_536;
const FILES: usize = 260;
const DAMAGED: usize = 200;

/// A file of one blob, and what it should hold.
struct Subject {
    path: String,
    body: Vec<u8>,
    blob: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Flip,
    Append,
    Truncate,
    Delete,
    Swap,
}

fn all(dir: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(all(&path)) } else { found.push(path) }
    }
    found
}

/// Uploads files of several sizes; their blobs are found by their bytes.
fn subjects(server: &Server, anna: &Client, chance: &mut Chance) -> Vec<Subject> {
    let sizes = [8_193, 20_000, BLOCK, BLOCK + 1, 3 * BLOCK + 77, 700_000];
    let mut bodies = BTreeMap::new();
    for n in 0..FILES {
        let body = noise(n as u64 + 7, sizes[n % sizes.len()] + chance.below(100));
        let path = format!("/d{}/f{n}", n % 5);
        anna.put(&path, &body);
        bodies.insert(body[..64].to_vec(), (path, body));
    }
    let subject = |blob: PathBuf| {
        let (path, body) = bodies.remove(&fs::read(&blob).unwrap()[..64])?;
        Some(Subject { path, body, blob })
    };
    let mut subjects: Vec<Subject> =
        all(&server.data().join("blobs")).into_iter().filter_map(subject).collect();
    assert_eq!(subjects.len(), FILES);
    subjects.sort_by(|a, b| a.path.cmp(&b.path));
    subjects
}

/// Damages the blob of a subject; returns the blocks that are still good.
fn damage(subjects: &[Subject], at: usize, how: How, chance: &mut Chance) -> BTreeSet<usize> {
    let Subject { blob, body, .. } = &subjects[at];
    let mut raw = fs::read(blob).unwrap();
    let mut good = BTreeSet::new();
    match how {
        How::Flip => {
            let place = chance.below(raw.len());
            raw[place] ^= 1 << chance.below(8);
            fs::write(blob, &raw).unwrap();
            let blocks = body.len().div_ceil(BLOCK);
            let hit = match place.checked_sub(body.len()) {
                None => Some(place / BLOCK),
                Some(behind) if behind < blocks * 4 => Some(behind / 4),
                // The footer: nothing of the blob is believed any more.
                Some(_) => None,
            };
            if let Some(hit) = hit {
                good = (0..blocks).filter(|block| *block != hit).collect();
            }
        }
        How::Append => {
            raw.extend(noise(at as u64, 1 + chance.below(100)));
            fs::write(blob, &raw).unwrap();
        }
        How::Truncate => {
            raw.truncate(chance.below(raw.len()));
            fs::write(blob, &raw).unwrap();
        }
        How::Delete => fs::remove_file(blob).unwrap(),
        How::Swap => {
            // The next of the same size, near enough: its bytes under this name.
            let other = &subjects[(at + 1) % subjects.len()];
            fs::copy(&other.blob, blob).unwrap();
        }
    }
    good
}

/// What a GET of a file, or a part of it, came to: whole bodies only.
fn get(anna: &Client, path: &str, range: Option<(usize, usize)>) -> Option<(u16, Vec<u8>)> {
    let mut request = ask("GET", &format!("/acme{path}"));
    if let Some((from, to)) = range {
        request = request.with("Range", format!("bytes={from}-{}", to - 1));
    }
    let mut connection = Connection::open(anna.address);
    connection.send(&request.bytes(anna.address)).unwrap();
    // A connection that is cut before the length that was said is no answer.
    let answer = connection.answer("GET").ok()?;
    Some((answer.status, answer.body))
}

/// No byte that is served is wrong, damaged or not; what is not damaged is served.
fn read(anna: &Client, subject: &Subject, good: Option<&BTreeSet<usize>>, chance: &mut Chance) {
    let Subject { path, body, .. } = subject;
    match (get(anna, path, None), good) {
        (Some((200, got)), None) => assert!(got == *body, "{path}: wrong bytes"),
        (Some((500, _)) | None, Some(_)) => {}
        (got, _) => panic!("{path}: {:?}", got.map(|(status, body)| (status, body.len()))),
    }
    let blocks = body.len().div_ceil(BLOCK);
    let mut ranges: Vec<(usize, usize)> =
        (0..blocks).map(|block| (block * BLOCK, (block * BLOCK + BLOCK).min(body.len()))).collect();
    for _ in 0..2 {
        let from = chance.below(body.len());
        ranges.push((from, from + 1 + chance.below(body.len() - from)));
    }
    for (from, to) in ranges {
        let readable =
            good.is_none_or(|good| (from / BLOCK..=(to - 1) / BLOCK).all(|b| good.contains(&b)));
        match get(anna, path, Some((from, to))) {
            Some((206, got)) => {
                assert!(got == body[from..to], "{path} {from}..{to}: wrong bytes");
                assert!(readable, "{path} {from}..{to}: a damaged block was served");
            }
            Some((500, _)) | None => assert!(!readable, "{path} {from}..{to}: not readable"),
            Some((status, _)) => panic!("{path} {from}..{to}: {status}"),
        }
    }
}

fn again(anna: &Client, server: &Server) -> Client {
    Client { address: server.address(), ..anna.clone() }
}

/// The rows of `headwater scrub`: what it says of itself, and the paths of what is damaged.
fn scrub(server: &Server, args: &[&str]) -> (Value, BTreeSet<String>) {
    let output = server.admin(&[&["scrub"], args].concat(), "");
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut rows = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let status =
        rows.next().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let paths: BTreeSet<String> = rows
        .flat_map(|row| row["paths"].as_array().unwrap().clone())
        .map(|path| path.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(output.status.code(), Some(i32::from(!paths.is_empty())), "{status}");
    (status, paths)
}

/// The paths that a check names.
fn checked(server: &Server) -> BTreeSet<String> {
    let (code, report) = fsck(&server.data(), &["--deep"]);
    let findings = report["findings"].as_array().unwrap_or_else(|| panic!("{report}"));
    assert_eq!(code, i32::from(!findings.is_empty()));
    let path = |finding: &Value| {
        let kind = finding["kind"].as_str().unwrap();
        assert!(["blob-damaged", "blob-missing"].contains(&kind), "{finding}");
        finding["at"].as_str().unwrap().split_once(" of ").unwrap().1.to_owned()
    };
    findings.iter().map(path).collect()
}

#[test]
fn two_hundred_damaged_blobs() {
    let mut chance = Chance::new();
    let mut server = Server::start();
    let mut anna = server.login();
    let subjects = subjects(&server, &anna, &mut chance);
    let (status, damaged) = scrub(&server, &["start", "--wait", "--rate", "0"]);
    assert!(damaged.is_empty() && status["objects"] == FILES, "no false alarm: {status}");
    let ways = [How::Flip, How::Append, How::Truncate, How::Delete, How::Swap, How::Flip];
    let mut good: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for half in 0..2 {
        // The first half while the server runs, the second while it is stopped.
        if half == 1 {
            server.stop();
        }
        for n in 0..DAMAGED / 2 {
            let at = (n * 2 + half) * FILES / DAMAGED;
            let left = damage(&subjects, at, ways[n % ways.len()], &mut chance);
            good.insert(at, left);
        }
        if half == 1 {
            let expected: BTreeSet<String> =
                good.keys().map(|at| format!("/acme{}", subjects[*at].path)).collect();
            assert_eq!(checked(&server), expected, "fsck, stopped");
            let (_, paths) = scrub(&server, &["start"]);
            assert_eq!(paths, expected, "scrub, stopped");
            server.start_again();
            anna = again(&anna, &server);
        }
        for (at, subject) in subjects.iter().enumerate() {
            read(&anna, subject, good.get(&at), &mut chance);
        }
        let expected: BTreeSet<String> =
            good.keys().map(|at| format!("/acme{}", subjects[*at].path)).collect();
        assert_eq!(expected.len(), DAMAGED / 2 * (half + 1));
        let (_, paths) = scrub(&server, &["start", "--wait", "--rate", "0"]);
        assert_eq!(paths, expected, "scrub, running");
        assert_eq!(checked(&server), expected, "fsck, running");
    }
}

/// Damage on its other ways out: HEAD, copies, files of several blobs, an upload that is put together.
#[test]
fn other_ways_out() {
    let server = store::server();
    let anna = server.login();
    let parts: Vec<Vec<u8>> = (0..3).map(|n| noise(n, 200_000)).collect();
    let mpid = begin(&anna, "/film");
    for (number, part) in (1..).zip(&parts) {
        piece(&anna, &mpid, number, part);
    }
    complete(&anna, &mpid);
    let waiting = begin(&anna, "/waiting");
    piece(&anna, &waiting, 1, &noise(8, 100_000));
    assert_eq!(anna.code("copyFile", json!(["/film", "/copy"])), 0);
    let blobs = all(&server.data().join("blobs"));
    let blob_of = |start: &[u8]| {
        let is = |path: &&PathBuf| fs::read(path).unwrap().starts_with(start);
        blobs.iter().find(is).unwrap().clone()
    };
    for (path, at) in [(blob_of(&parts[1][..99]), 70_000), (blob_of(&noise(8, 99)), 5)] {
        let mut raw = fs::read(&path).unwrap();
        raw[at] ^= 1;
        fs::write(&path, raw).unwrap();
    }
    let whole = parts.concat();
    for path in ["/film", "/copy"] {
        let head = ask("HEAD", &format!("/acme{path}")).send(server.address());
        assert_eq!((head.status, head.must("Content-Length")), (200, "600000"));
        assert!(get(&anna, path, None).is_none(), "the connection is cut, not the body shortened");
        for (from, to, readable) in [
            (0, 200_000, true),
            (200_000, 265_536, true),
            (331_072, 600_000, true),
            (0, 600_000, false),
            (270_000, 270_001, false),
            (199_000, 266_000, false),
        ] {
            match get(&anna, path, Some((from, to))) {
                Some((206, got)) => assert!(readable && got == whole[from..to], "{path} {from}"),
                other => assert!(!readable, "{path} {from}: {other:?}"),
            }
        }
    }
    // Several ranges at once: all of them, or no end.
    let mut connection = Connection::open(server.address());
    let request = ask("GET", "/acme/film").with("Range", "bytes=0-9,270000-270009");
    connection.send(&request.bytes(server.address())).unwrap();
    assert!(connection.answer("GET").is_err());
    // What was not hashed before the damage is not put together; what was hashed is as it arrived, and stays damaged.
    assert_eq!(anna.code("completeMultipart", json!([waiting])), 0);
    let (_, paths) = scrub(&server, &["start", "--wait", "--rate", "0"]);
    assert!(paths.contains("/acme/film") && paths.contains("/acme/copy"), "{paths:?}");
    assert!(get(&anna, "/waiting", None).is_none_or(|(status, _)| status != 200));
}
