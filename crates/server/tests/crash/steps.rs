//! Promise 2: the process dies before, after and inside every call that changes a file, while it serves and while it
//! recovers; and nothing is answered before all it rests on was synced.

use std::{collections::BTreeSet, thread::sleep, time::Duration};

use crate::{
    caller::{Caller, Reply},
    effort::{Effort, shuffle},
    faults::{Action, Call, EVERY_CALL, Fault, Faults, RENAMES},
    harness::wait_until,
    ledger::Ledger,
    node::Node,
    script::{Prepared, STEPS, blobs},
};

fn death(at: u64, action: Action) -> Option<Fault> {
    Some(Fault { at, action, error: 0, for_ever: false, kinds: EVERY_CALL })
}

/// Runs the script until it ends or is cut, then waits for the sweeper. Whether the node lives.
fn play(node: &mut Node, ledger: &mut Ledger, caller: &mut Caller) -> bool {
    for (name, step) in STEPS {
        match step(ledger, caller) {
            Reply::Ok(()) => {}
            Reply::Cut => return false,
            Reply::No(status, code) => panic!("{name}: {status}, {code}"),
        }
    }
    let expected = blobs(ledger);
    wait_until("the sweeper", || !node.lives() || node.files("blobs") == expected);
    // What the sweeper does after the last removal.
    sleep(Duration::from_millis(50));
    node.lives()
}

/// The oracle over a node that was killed: it starts, all is right, it takes writes, nothing is left over.
pub(crate) fn recovers(node: &mut Node, ledger: &mut Ledger, prepared: &Prepared) {
    node.set_env(Vec::new());
    node.start();
    let mut caller = prepared.caller(node);
    assert_eq!(node.files("stage"), 0, "the stage is emptied at the start");
    ledger.judge(&mut caller, &mut blobs::suite::Chance::new(1), 100);
    ledger.put(&mut caller, "/s/after", &crate::harness::noise(9, 9_999), false).must("a write");
    let expected = blobs(ledger);
    wait_until(&format!("{expected} blobs, not {}", node.files("blobs")), || {
        node.files("blobs") == expected
    });
    node.kill();
    node.fsck();
}

/// Calls of the script, as a run without a fault makes them.
fn counted(prepared: &Prepared, faults: &Faults) -> Vec<Call> {
    let (mut node, mut ledger) = (prepared.copy("counted"), prepared.ledger.clone());
    node.set_env(faults.env(&node.data));
    node.start();
    let mut caller = prepared.caller(&node);
    faults.arm(None);
    assert!(play(&mut node, &mut ledger, &mut caller));
    let calls = faults.calls();
    faults.disarm();
    assert_eq!(faults.count(), calls.len() as u64);
    calls
}

/// Every death there is in a list of calls.
fn deaths(calls: &[Call]) -> Vec<(u64, Action)> {
    let numbered = (1_u64..).zip(calls);
    let each = numbered.flat_map(|(n, call)| {
        let half = call.name.contains("write").then_some((n, Action::KillHalf));
        [(n, Action::KillBefore), (n, Action::KillAfter)].into_iter().chain(half)
    });
    each.collect()
}

#[test]
fn death_at_every_step() {
    let (prepared, faults) = (Prepared::new(), Faults::new());
    let calls = counted(&prepared, &faults);
    let mut all = deaths(&calls);
    let mut effort = Effort::new("death at every step", 10, all.len());
    shuffle(&mut all, &mut effort.chance(1));
    let (mut died, mut kinds) = (0, BTreeSet::new());
    for (at, action) in all.iter().copied() {
        if !effort.goes_on() {
            break;
        }
        faults.disarm();
        effort.case(&format!("{action:?} at {at}"), || {
            let (mut node, mut ledger) = (prepared.copy("run"), prepared.ledger.clone());
            node.set_env(faults.env(&node.data));
            node.start();
            let mut caller = prepared.caller(&node);
            faults.arm(death(at, action));
            let lives = play(&mut node, &mut ledger, &mut caller);
            assert!(lives || faults.fired() > 0, "it died by itself");
            died += faults.fired();
            let fired = faults.calls().into_iter().filter(|call| call.what == "fired");
            kinds.extend(fired.map(|call| call.name));
            faults.disarm();
            node.kill();
            recovers(&mut node, &mut ledger, &prepared);
        });
    }
    effort.report(&format!(
        "{} calls, {} deaths to die, {died} died, at {kinds:?}",
        calls.len(),
        all.len()
    ));
}

#[test]
fn death_while_recovering() {
    let (mut prepared, faults) = (Prepared::new(), Faults::new());
    // A store whose process died in the middle of the script, with an upload on its way.
    let calls = counted(&prepared, &faults);
    // One for each blob: of other calls there are as many as the moment brings, of the sweeper's syncs for instance.
    let renames = calls.iter().filter(|call| call.name == "rename").count() as u64;
    let last = Fault { kinds: RENAMES, ..death(renames, Action::KillAfter).unwrap() };
    let (mut node, mut ledger) = (prepared.copy("crashed"), prepared.ledger.clone());
    node.set_env(faults.env(&node.data));
    node.start();
    faults.arm(Some(last));
    let mut caller = prepared.caller(&node);
    assert!(!play(&mut node, &mut ledger, &mut caller));
    node.kill();
    let data = node.data.clone();
    prepared.adopt(&data, ledger);

    let start = |fault| {
        let (mut node, ledger) = (prepared.copy("run"), prepared.ledger.clone());
        node.set_env(faults.env(&node.data));
        faults.arm(fault);
        if node.try_start().is_ok() {
            // What is done in the background after a start.
            sleep(Duration::from_millis(150));
        }
        let calls = faults.calls();
        faults.disarm();
        node.kill();
        (node, ledger, calls)
    };
    let calls = start(None).2;
    let mut all = deaths(&calls);
    let mut effort = Effort::new("death while recovering", 6, all.len());
    shuffle(&mut all, &mut effort.chance(2));
    let mut died = 0;
    for (at, action) in all.iter().copied() {
        if !effort.goes_on() {
            break;
        }
        faults.disarm();
        effort.case(&format!("{action:?} at {at}"), || {
            let (mut node, mut ledger, calls) = start(death(at, action));
            died += calls.iter().filter(|call| call.what == "fired").count();
            recovers(&mut node, &mut ledger, &prepared);
        });
    }
    effort.report(&format!("{} calls, {} deaths to die, {died} died", calls.len(), all.len()));
}

/// Replays the calls of the script: when an answer comes, all that was written for it was synced, file and name.
#[test]
fn what_is_answered_was_synced() {
    let (prepared, faults) = (Prepared::new(), Faults::new());
    let (mut node, mut ledger) = (prepared.copy("run"), prepared.ledger.clone());
    node.set_env(faults.env(&node.data));
    node.start();
    let mut caller = prepared.caller(&node);
    faults.arm(None);
    let (mut seen, mut dirty) = (0, BTreeSet::new());
    for (name, step) in STEPS {
        step(&mut ledger, &mut caller).must(name);
        let calls = faults.calls();
        let mut log_synced = *name == "nothing";
        for call in &calls[seen..] {
            replay(call, &mut dirty);
            log_synced |= call.is_sync() && call.path.ends_with(".log");
        }
        seen = calls.len();
        assert!(log_synced, "{name} was answered before the catalog's log was synced");
        assert!(dirty.is_empty(), "{name} was answered before these were synced: {dirty:?}");
    }
    assert!(seen > 50, "only {seen} calls were seen");
}

/// Files and directories that were changed and not synced since. The stage is nobody's before it is renamed; removals
/// need not last.
fn replay(call: &Call, dirty: &mut BTreeSet<String>) {
    let parent = |path: &str| path.rsplit_once('/').unwrap().0.to_owned();
    let path = call.path.clone();
    match call.name.as_str() {
        "write" | "pwrite" if path.ends_with(".log") || path.starts_with("/stage/") => {
            dirty.insert(path);
        }
        "rename" if path.starts_with("/blobs/") => {
            // The bytes go with the name, which has the same last part.
            let name = path.rsplit('/').next().unwrap();
            if dirty.remove(&format!("/stage/{name}")) {
                dirty.insert(path.clone());
            }
            dirty.insert(parent(&path));
        }
        // One that was there already is made in vain, and synced all the same.
        "mkdir" if path.starts_with("/blobs/") => {
            dirty.insert(parent(&path));
        }
        "fsync" | "fdatasync" => {
            dirty.remove(&path);
        }
        _ => {}
    }
}
