//! Promise 5: no lie after an I/O error. Every call that changes a file fails in turn, once and for ever, with the errors
//! that disks give.

use std::{collections::BTreeMap, thread::sleep, time::Duration};

use crate::{
    caller::{Caller, Reply, is_fault},
    effort::{Effort, shuffle},
    faults::{Action, Call, EVERY_CALL, Fault, Faults, GROWING},
    harness::{noise, wait_until},
    ledger::{Ledger, reads_as},
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
fn play(node: &mut Node, ledger: &mut Ledger, caller: &mut Caller, faults: &Faults, fault: &Fault) -> Run {
    let mut run = Run::default();
    for (name, step) in STEPS {
        let reply = step(ledger, caller);
        let all: Vec<Call> = faults.calls().into_iter().filter(|c| c.what == "fired").collect();
        let now = &all[run.fired.len()..];
        match &reply {
            Reply::Ok(()) => {
                let lied = now.iter().find(|call| call.is_essential());
                assert!(lied.is_none(), "{name} was acknowledged after {lied:?}");
            }
            Reply::No(status, code) => {
                assert!(!all.is_empty(), "{name} fails without a fault: {status}, {code}");
                assert!(is_fault(*status, *code), "{name}: {status}, {code}");
                let (uploads, full) = (*status != 200, fault.error != EIO);
                let fits = match (*status, *code) {
                    (500, -5) => true,
                    (503, -22) => full,
                    (200, -32_000) | (200, -27) => !uploads,
                    _ => false,
                };
                assert!(fits, "{name}: {status}, {code} is not what the contract says");
            }
            Reply::Cut => {
                wait_until("the end of a server that cut a call", || !node.lives());
            }
        }
        run.fired = all;
        // Threads of the catalog's own may end it a moment later.
        if !run.fired.is_empty() {
            sleep(Duration::from_millis(20));
        }
        if !node.lives() {
            run.died = true;
            return run;
        }
        let (path, version) = Prepared::still();
        reads_as(caller, path, &version);
    }
    run
}

/// What the server must do once the fault is over, and must not do while it may have lost something.
fn goes_on_or_stops(node: &Node, ledger: &mut Ledger, caller: &mut Caller, fault: &Fault, run: &Run) {
    let log = |call: &&Call| call.path.starts_with("/catalog/") && call.path.ends_with(".log");
    let synced = run.fired.iter().any(|call| call.path.starts_with("/catalog/") && call.is_sync());
    let lost = run.fired.iter().filter(log).any(|c| c.is_sync() || fault.error == EIO && c.is_essential());
    if lost {
        let reply = ledger.put(caller, "/s/again", &noise(1, 300), false);
        assert!(matches!(reply, Reply::No(500, -5)), "it writes on after {:?}: {reply:?}", run.fired);
        assert!(node.log().contains("it is read-only until it is opened again"));
    } else if fault.error != EIO && !synced {
        let done = ledger.put_at_last(caller, "/s/again", 120);
        let diary = std::fs::read_to_string(node.data.join("catalog/LOG")).unwrap_or_default();
        assert!(done, "it does not go on by itself after {:?}\n{diary}", run.fired);
    }
}

#[test]
fn no_lie_after_an_io_error() {
    let (prepared, faults) = (Prepared::new(), Faults::new());
    let calls = 110;
    let mut all: Vec<Fault> = Vec::new();
    for at in 1..=calls {
        for (error, kinds) in [(EIO, EVERY_CALL), (ENOSPC, GROWING), (EDQUOT, GROWING)] {
            let once = Fault { at, action: Action::Fail, error, for_ever: false, kinds };
            all.push(once);
            if error != EDQUOT {
                all.push(Fault { for_ever: true, ..once });
            }
        }
    }
    let mut effort = Effort::new("I/O errors", 16, all.len());
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
            let mut caller = prepared.caller(&node);
            faults.arm(Some(*fault));
            let run = play(&mut node, &mut ledger, &mut caller, &faults, fault);
            let again = faults.synced_again();
            if fault.error != EIO {
                faults.disarm();
            }
            for call in &run.fired {
                let room = call.path.split('/').nth(1).unwrap_or_default().to_owned();
                *kinds.entry((call.name.clone(), room)).or_default() += 1;
            }
            beyond += usize::from(run.fired.is_empty());
            if run.died {
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
            assert_eq!(again, 0, "a sync was tried again: {:?}", run.fired);
        });
    }
    effort.report(&format!("{beyond} past the end, at {kinds:?}; ended by it: {died:#?}"));
}
