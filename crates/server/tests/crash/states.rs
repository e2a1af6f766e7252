//! Promise 4: every crash state is legal. A script of operations runs over a disk that remembers writes and flushes; then
//! the disk is put together as a crash may leave it: all up to a flush, and of what came after some writes and not others.
//!
//! A state is judged by what had been acknowledged when its last write came.

use std::{fs::File, os::unix::fs::FileExt, path::Path, process::Command};

use blobs::suite::Chance;

use crate::{
    caller::{Caller, Reply},
    device::{Device, Kind, can_mount, format, place, run},
    effort::{Effort, shuffle},
    fuse::{Event, Served},
    harness::wait_until,
    ledger::{Ledger, Op, Version},
    node::Node,
    script::blobs,
};

const DISK_BYTES: usize = 96 << 20;
const OPERATIONS: usize = 60;
/// States with dropped writes, of each time between two flushes.
const DROPS: usize = 20;

/// What is known from a position of the log on.
struct Moment {
    position: usize,
    ledger: Ledger,
}

/// What a run left behind: the disk before it, what happened to it, and what was known when.
struct History {
    base: Vec<u8>,
    log: Vec<Event>,
    moments: Vec<Moment>,
    token: String,
}

/// Runs the script over a recording disk.
fn record(chance: &mut Chance) -> Result<History, String> {
    let served = Served::new(DISK_BYTES)?;
    format(Kind::Ext4, &served.path());
    let mut device = Device::over(&served.path());
    device.mount();
    let mut node = Node::new(&device.root().join("data"));
    node.start();
    let mut caller = Caller::login(node.address());
    let mut ledger = Ledger::new("/s", &mut caller);
    run(Command::new("sync").arg("-f").arg(device.root()))?;
    let base = {
        let mut disk = served.disk();
        disk.log.clear();
        disk.bytes.clone()
    };
    let mut moments = vec![Moment { position: 0, ledger: ledger.clone() }];
    for n in 0..OPERATIONS {
        let position = served.disk().log.len();
        let (op, body) = choose(&ledger, n, chance);
        let mut asked = ledger.clone();
        asked.note(&op, Reply::<()>::Cut);
        moments.push(Moment { position, ledger: asked });
        let reply = match body {
            Some(body) => ledger.put(&mut caller, op.path(), &body, n % 3 == 0),
            None => ledger.change(&mut caller, &op),
        };
        reply.must("an operation");
        moments.push(Moment { position: served.disk().log.len(), ledger: ledger.clone() });
    }
    node.kill();
    device.unmount();
    let log = std::mem::take(&mut served.disk().log);
    Ok(History { base, log, moments, token: caller.token })
}

/// The n-th operation.
fn choose(ledger: &Ledger, n: usize, chance: &mut Chance) -> (Op, Option<Vec<u8>>) {
    let tree = ledger.tree();
    let files: Vec<&String> = tree.iter().filter(|(_, e)| e.is_some()).map(|(p, _)| p).collect();
    let fresh = format!("/s/f{n}");
    if files.len() > 2 {
        let file = files[chance.below(files.len())].clone();
        match chance.below(8) {
            0 => return (Op::Rename(file, fresh), None),
            1 => return (Op::Copy(file, fresh), None),
            2 => return (Op::Delete(file), None),
            3 => return (Op::MakeDir(fresh), None),
            4 => return put(file, chance),
            _ => {}
        }
    }
    put(fresh, chance)
}

fn put(path: String, chance: &mut Chance) -> (Op, Option<Vec<u8>>) {
    let size = [0, 500, 8_192, 8_193, 40_000, 150_000][chance.below(6)];
    let body = chance.bytes(size);
    (Op::Put(path, Version::of(&body)), Some(body))
}

/// A crash: the log up to `position`, without the writes since the last flush that `seed` drops.
struct Crash {
    position: usize,
    seed: Option<u64>,
}

/// Every state to be tried: each flush, and between two flushes some drops.
fn crashes(log: &[Event], chance: &mut Chance) -> Vec<Crash> {
    let mut all = Vec::new();
    let mut from = 0;
    for (n, event) in log.iter().enumerate() {
        if matches!(event, Event::Flush) {
            all.push(Crash { position: n + 1, seed: None });
            for drop in 0..DROPS.min((n - from) * 4) {
                let position = from + 1 + chance.below(n - from);
                all.push(Crash { position, seed: Some((n * 1000 + drop) as u64) });
            }
            from = n + 1;
        }
    }
    all
}

/// Writes the disk as the crash leaves it. `durable` is how far `bytes` has come, a flush.
fn materialize(
    crash: &Crash,
    log: &[Event],
    bytes: &mut [u8],
    durable: &mut usize,
    image: &Path,
) -> usize {
    let flush = |event: &Event| matches!(event, Event::Flush);
    let last = log[..crash.position].iter().rposition(flush).map_or(0, |n| n + 1);
    for event in &log[*durable..last] {
        apply(event, bytes);
    }
    *durable = last;
    let mut state = bytes.to_vec();
    let (mut chance, mut dropped) = (Chance::new(crash.seed.unwrap_or(0)), 0);
    // Where there is more than one, one is dropped in any case.
    let (count, often) = (crash.position - last, 2 + chance.below(4));
    let first = chance.below(count.max(1));
    for (n, event) in log[last..crash.position].iter().enumerate() {
        let drop = n == first && count > 1 || chance.below(often) == 0;
        if crash.seed.is_some() && drop {
            dropped += 1;
        } else {
            apply(event, &mut state);
        }
    }
    let file = File::create(image).unwrap();
    file.set_len(state.len() as u64).unwrap();
    for (n, block) in state.chunks(65_536).enumerate().filter(|(_, b)| b.iter().any(|x| *x != 0)) {
        file.write_all_at(block, n as u64 * 65_536).unwrap();
    }
    dropped
}

fn apply(event: &Event, bytes: &mut [u8]) {
    if let Event::Write(at, data) = event {
        bytes[*at..at + data.len()].copy_from_slice(data);
    }
}

#[test]
fn every_crash_state_is_legal() {
    if !can_mount("crash states") {
        return;
    }
    let mut effort = Effort::new("crash states", 12, 2000);
    let history = match record(&mut effort.chance(1)) {
        Ok(history) => history,
        Err(why) => {
            eprintln!("NOT RUN: crash states: {why}");
            return;
        }
    };
    let mut all = crashes(&history.log, &mut effort.chance(2));
    shuffle(&mut all, &mut effort.chance(3));
    let possible = all.len();
    let place = place();
    let image = place.path().join("state");
    let mut dropped = 0;
    // Some at a time in the order of the log, which is gone through once for each of these.
    let mut rest = all.as_mut_slice();
    'all: while !rest.is_empty() {
        let (some, later) = rest.split_at_mut(rest.len().min(40));
        some.sort_by_key(|crash| crash.position);
        let (mut bytes, mut durable) = (history.base.clone(), 0);
        for crash in some.iter() {
            if !effort.goes_on() {
                break 'all;
            }
            dropped += materialize(crash, &history.log, &mut bytes, &mut durable, &image);
            let known =
                history.moments.iter().rev().find(|m| m.position <= crash.position).unwrap();
            let what = format!("position {}, seed {:?}", crash.position, crash.seed);
            effort.case(&what, || judge(&image, known.ledger.clone(), &history.token));
        }
        rest = later;
    }
    let flushes = history.log.iter().filter(|event| matches!(event, Event::Flush)).count();
    effort.report(&format!(
        "{OPERATIONS} operations, {} writes, {flushes} flushes, {possible} states to try, {dropped} writes dropped",
        history.log.len() - flushes
    ));
}

/// The oracle over one state.
fn judge(image: &Path, mut ledger: Ledger, token: &str) {
    let mut device = Device::over(image);
    device.mount();
    let mut node = Node::new(&device.root().join("data"));
    node.start();
    let mut caller = Caller::new(node.address(), token);
    ledger.judge(&mut caller, &mut Chance::new(1), 100);
    ledger.put(&mut caller, "/s/after", b"it takes writes", false).must("a write");
    let expected = blobs(&ledger);
    wait_until("the sweeper", || node.files("blobs") == expected);
    node.kill();
    node.fsck();
    device.unmount();
}
