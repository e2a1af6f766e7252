//! Many files, and files that keep coming.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    harness::{Stops, noise},
    house::Place,
};

const CLIENTS: usize = 8;
/// Between two files of a client that goes on while the store is moved.
const REST: Duration = Duration::from_millis(50);

/// New files come for as long as the store is moved: the move ends all the same.
#[test]
fn new_files_are_not_run_after() {
    let (old, new) = (Place::new(false, false), Place::new(true, true));
    let old = old.serve(Some(&new));
    let anna = old.server.login();
    for n in 0..20 {
        anna.put(&format!("/old/{n}"), &noise(n, 20_000));
    }
    let (over, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let report = thread::scope(|scope| {
        for client in 0..4 {
            let (anna, over, written) = (&anna, &over, &written);
            scope.spawn(move || {
                let directory = format!("/new{client}");
                for n in 0.. {
                    let ask = anna.raw(&directory, &n.to_string());
                    let ask = ask.with("X-Agile-Recursive", "true").body(noise(n, 9_000));
                    if over.load(Ordering::Relaxed) || anna.send(&ask).told() != (200, 0) {
                        return;
                    }
                    written.fetch_add(1, Ordering::Relaxed);
                    // What comes faster than the new place takes it makes the door stay closed for long, wherever it ends.
                    thread::sleep(REST);
                }
            });
        }
        let _stops = Stops(&over);
        old.move_to(&new, &[])
    });
    let written = written.load(Ordering::Relaxed);
    eprintln!("{written} files came meanwhile; {report}");
    assert!(report["passes"].as_u64().unwrap() < 20, "{report}");
    let home = new.serve(None);
    let found = (0..4).map(|client| {
        let listed = anna.clone();
        let there = crate::harness::Client { address: home.server.address(), ..listed };
        match there.code("stat", json!([format!("/new{client}")])) {
            0 => count(&there, &format!("/new{client}")),
            _ => 0,
        }
    });
    // What was not answered may be there.
    let found: usize = found.sum();
    assert!((written..=written + 4).contains(&found), "{found} of {written}");
    home.fsck();
}

fn count(anna: &crate::harness::Client, path: &str) -> usize {
    let (mut count, mut cookie) = (0, json!(null));
    loop {
        let page = anna.call("listPath", json!([path, 10_000, cookie]));
        count += page["files"].as_array().unwrap().len();
        cookie = page["cookie"].clone();
        if cookie.is_null() {
            return count;
        }
    }
}

/// `HEADWATER_MOVE_FILES` files, one in ten of them in a blob of some 100 KB; prints how long it took.
#[test]
fn many_files() {
    let files = std::env::var("HEADWATER_MOVE_FILES").map_or(300, |n| n.parse().unwrap());
    let (old, new) = (Place::new(false, false), Place::new(true, true));
    let old = old.serve(Some(&new));
    let anna = old.server.login();
    let bytes = AtomicUsize::new(0);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (anna, bytes) = (&anna, &bytes);
            scope.spawn(move || {
                for n in (client..files).step_by(CLIENTS) {
                    let size = if n % 10 == 0 { 107_000 } else { 200 };
                    anna.put(&format!("/d{}/f{n}", n % 50), &noise(n as u64, size));
                    bytes.fetch_add(size, Ordering::Relaxed);
                }
            });
        }
    });
    let begun = Instant::now();
    let report = old.move_to(&new, &[]);
    let bytes = bytes.into_inner();
    eprintln!("{files} files, {bytes} bytes: {:.1} s; {report}", begun.elapsed().as_secs_f64());
    assert!(report["rows_equal"].as_u64().unwrap() >= files as u64 * 2, "{report}");
    let home = new.serve(None);
    let there = crate::harness::Client { address: home.server.address(), ..anna };
    for n in (0..files).step_by(files / 100) {
        let size = if n % 10 == 0 { 107_000 } else { 200 };
        assert_eq!(there.content(&format!("/d{}/f{n}", n % 50)), noise(n as u64, size));
    }
}
