//! Promise 5: no lie after an I/O error. Every call that changes a file fails in turn, once and for ever, with the errors
//! that disks give.

use std::collections::BTreeMap;

use crate::{
    caller::{Caller, Reply},
    effort::{Effort, shuffle},
    faults::{Action, Call, Fault, Faults, GROWING, REFUSABLE},
    harness::{ask, noise, sha256, wait_until},
    ledger::Ledger,
    node::Node,
    script::{Prepared, STEPS},
    steps::recovers,
};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;

/// What was seen of one run.
#[derive(Default)]
struct Run {
    fired: Vec<Call>,
    /// The process ended by itself.
    died: bool,
}

/// Runs the script over a node with a fault: what must hold of each answer is checked here.
fn play(
    node: &mut Node,
    ledger: &mut Ledger,
    caller: &mut Caller,
    faults: &Faults,
    fault: &Fault,
) -> Run {
    let mut run = Run::default();
    let still = Prepared::still();
    for (name, step) in STEPS {
        let reply = step(ledger, caller);
        let all: Vec<Call> = faults.calls().into_iter().filter(|c| c.what == "fired").collect();
        check(name, &reply, &all[run.fired.len()..], !all.is_empty(), fault);
        run.fired = all;
        // Reads go on, whatever happened.
        let read = caller.ask(&ask("GET", &format!("/acme{}", still.0)));
        match read {
            Some(got) if got.status == 200 && sha256(&got.body) == still.1.sha => {}
            Some(got) => panic!("a read after {name}: {got:?}"),
            None => {
                wait_until("the end of a server that cut a call", || !node.lives());
                run.died = true;
                return run;
            }
        }
    }
    run
}

/// Whether an answer is the contract's, given what went wrong while it was waited for, and that something did at all.
fn check(name: &str, reply: &Reply<()>, now: &[Call], ever: bool, fault: &Fault) {
    let (status, code) = match reply {
        Reply::Ok(()) => {
            let lied = now.iter().find(|call| call.is_essential());
            assert!(lied.is_none(), "{name} was acknowledged after {lied:?}");
            return;
        }
        Reply::No(status, code) => (*status, *code),
        Reply::Cut => return,
    };
    assert!(ever, "{name} fails without a fault: {status}, {code}");
    let fits = match (status, code) {
        (500, -5) | (200, -32_000 | -27) => true,
        (503, -22) => fault.error != EIO,
        _ => false,
    };
    assert!(fits, "{name}: {status}, {code} is not what the contract says");
}

/// What the server must do once the fault is over, and must not do while it may have lost something.
fn goes_on_or_stops(
    node: &Node,
    ledger: &mut Ledger,
    caller: &mut Caller,
    fault: &Fault,
    run: &Run,
) {
    let why = "it is read-only until it is opened again";
    let log = |call: &&Call| call.path.starts_with("/catalog/") && call.path.ends_with(".log");
    let lost = |c: &Call| c.is_sync() || fault.error != ENOSPC && c.name == "write";
    let synced = run.fired.iter().any(|call| call.path.starts_with("/catalog") && call.is_sync());
    if run.fired.iter().filter(log).any(lost) {
        let reply = ledger.put(caller, "/s/again", &noise(1, 300), false);
        assert!(matches!(reply, Reply::No(500, -5)), "it goes on after {:?}: {reply:?}", run.fired);
        assert!(node.log().contains(why), "no reason is given");
    } else if fault.error == ENOSPC && !synced {
        let done = ledger.put_at_last(caller, "/s/again", 120);
        let diary = std::fs::read_to_string(node.data.join("catalog/LOG")).unwrap_or_default();
        let lines: Vec<&str> =
            diary.lines().filter(|l| l.contains("[ERR") || l.contains("[WA")).collect();
        assert!(done, "it does not go on by itself after {:?}\n{lines:#?}", run.fired);
    } else if !fault.for_ever {
        // What went wrong was an upload's own, or the catalog's, which then says so.
        let done = ledger.put_at_last(caller, "/s/again", 2);
        assert!(done || node.log().contains(why), "neither goes on nor stops: {:?}", run.fired);
    }
}

#[test]
fn no_lie_after_an_io_error() {
    let (prepared, faults) = (Prepared::new(), Faults::new());
    let calls = 110;
    let mut all: Vec<Fault> = Vec::new();
    for at in 1..=calls {
        for (error, kinds) in [(EIO, REFUSABLE), (ENOSPC, GROWING), (EDQUOT, GROWING)] {
            let once = Fault { at, action: Action::Fail, error, for_ever: false, kinds };
            all.push(once);
            if error != EDQUOT {
                all.push(Fault { for_ever: true, ..once });
            }
        }
    }
    let mut effort = Effort::new("I/O errors", 12, all.len());
    shuffle(&mut all, &mut effort.chance(3));
    let (mut kinds, mut died, mut beyond) = (BTreeMap::<_, usize>::new(), Vec::new(), 0);
    for fault in &all {
        if !effort.goes_on() {
            break;
        }
        faults.disarm();
        effort.case(&format!("{fault:?}"), || {
            let (mut node, mut ledger) = (prepared.copy("run"), prepared.ledger.clone());
            node.set_env(faults.env(&node.data));
            node.start();
            // Its start ends with a write of its own: an upload that is acknowledged beside one that fails is no lie.
            wait_until("the end of its look for what was left", || {
                node.log().contains("blobs that nothing referred to")
            });
            let mut caller = prepared.caller(&node);
            faults.arm(Some(*fault));
            let run = play(&mut node, &mut ledger, &mut caller, &faults, fault);
            // The catalog's own files aside: it writes nothing after a failed sync (below), whatever RocksDB does to them
            // when it ends.
            let mut calls = faults.calls().into_iter();
            let again =
                calls.find(|call| call.what == "again" && !call.path.starts_with("/catalog"));
            assert!(again.is_none(), "a sync that failed was tried again: {again:?}");
            if fault.error != EIO {
                faults.disarm();
            }
            for call in &run.fired {
                let room = call.path.split('/').nth(1).unwrap_or_default().to_owned();
                *kinds.entry((call.name.clone(), room)).or_default() += 1;
            }
            beyond += usize::from(run.fired.is_empty());
            if run.died {
                // Debian's RocksDB, which is built with assertions, ends the process when it meets a broken file twice:
                // no lie, and what was acknowledged is there after the start.
                assert!(node.log().contains("Assertion"), "it ended: {:?}", run.fired);
                let said = node.log();
                let said = said.lines().rfind(|line| !line.starts_with('{')).unwrap_or_default();
                died.push(format!("{fault:?}: {:?}: {said}", run.fired));
            } else {
                goes_on_or_stops(&node, &mut ledger, &mut caller, fault, &run);
                node.terminate();
                node.ended();
            }
            faults.disarm();
            recovers(&mut node, &mut ledger, &prepared);
        });
    }
    effort.report(&format!("{beyond} past the end, at {kinds:?}; ended by it: {died:#?}"));
}
