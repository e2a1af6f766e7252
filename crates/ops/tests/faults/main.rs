//! Crash at every step, under the traits: for every operation and every step of blobs and catalog in it, the step fails,
//! or never answers and the store is opened anew; what is there then is the old state or the new one.
//!
//! What lives here: the real engines behind wrappers (`blobs::faulty`, `catalog::faulty`) that count steps. What does not:
//! faults below the engines, and deaths of the real process (`server`, tests/crash). `HEADWATER_FAULTS=name` runs the
//! operations whose name holds that.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers of tests too")]
#![expect(
    clippy::print_stderr,
    reason = "says what was done, with which seed, and what was not run"
)]

mod bench;
mod observe;
mod operations;

use std::{task::Poll, time::Duration};

use bench::{Bench, Place};
use model::{Error, Result};
use observe::{State, leftovers};
use operations::{OPERATIONS, Operation};

/// How a step goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// It answers with an error.
    Fails,
    /// It never answers, and the process ends.
    Stops,
}

/// What came of an operation one of whose steps went wrong; `None`: no answer.
fn act(bench: &Bench, operation: Operation, dir: &str) -> Option<Result<()>> {
    bench.runtime().block_on(async {
        tokio::select! {
            done = operation.act(bench, dir) => Some(done),
            () = bench.steps.stopped() => {
                // What does not wait for that step may go on to its end.
                tokio::time::sleep(Duration::from_millis(3)).await;
                None
            }
        }
    })
}

/// A run of an operation one of whose steps went wrong.
struct Case {
    name: String,
    dir: String,
    at: Option<&'static str>,
    done: Option<Result<()>>,
}

/// Everything an operation's steps can do to it, in one store. How many steps there are.
fn every_step(operation: Operation, wrong: Wrong) -> usize {
    let place = Place::new();
    let mut bench = place.open();
    // Without a fault first: what the new state is.
    let (before, after) = {
        bench.runtime().block_on(operations::prepare(&bench, "/clean"));
        let before = bench.observe("/clean");
        act(&bench, operation, "/clean").unwrap().unwrap();
        // Without the sweep for orphans, which hides what was forgotten.
        bench.sweep_doomed();
        let left = bench.runtime().block_on(leftovers(&bench));
        assert_eq!(left, [] as [String; 0], "{operation:?}");
        (before, bench.observe("/clean"))
    };
    let mut cases = Vec::new();
    for n in 1.. {
        let (dir, name) = (format!("/n{n}"), format!("{operation:?}, {wrong:?} at step {n}"));
        bench.runtime().block_on(operations::prepare(&bench, &dir));
        assert_eq!(bench.observe(&dir), before);
        bench.steps.arm(n, wrong);
        let done = act(&bench, operation, &dir);
        let at = bench.steps.disarm();
        let name = format!("{name} ({})", at.unwrap_or("none"));
        cases.push(Case { name, dir, at, done });
        // A catalog that failed writes nothing before it is opened anew. What stopped hangs in one process after the
        // other, and is judged when all of them have ended.
        let broken = wrong == Wrong::Fails && at.is_some_and(|at| at.ends_with("commit"));
        if broken || at.is_none() {
            drop(bench);
            bench = place.open();
        }
        if wrong == Wrong::Fails || at.is_none() {
            bench.settle();
            for case in cases.drain(..) {
                judge(&case, &bench.observe(&case.dir), &before, &after);
            }
            let left = bench.runtime().block_on(leftovers(&bench));
            assert_eq!(left, [] as [String; 0], "{operation:?}, {wrong:?} up to step {n}");
        }
        if at.is_none() {
            return n - 1;
        }
    }
    unreachable!("the loop ends when no step went wrong")
}

fn judge(case: &Case, found: &State, before: &State, after: &State) {
    let name = &case.name;
    match &case.done {
        Some(Ok(())) => assert_eq!(found, after, "{name}: it was acknowledged"),
        Some(Err(e)) => {
            assert!(case.at.is_some(), "{name}: fails without a fault: {e}");
            assert!(e.is_ours(), "{name}: a fault is not the caller's doing: {e}");
        }
        None => {}
    }
    assert!(found == before || found == after, "{name}: neither old nor new: {found:#?}");
}

fn run(wrong: Wrong) {
    let wanted = std::env::var("HEADWATER_FAULTS").unwrap_or_default();
    let mut total = 0;
    for operation in OPERATIONS {
        if format!("{operation:?}").contains(&wanted) {
            let steps = every_step(operation, wrong);
            eprintln!("{operation:?}: {steps} steps");
            assert!(steps > 0, "{operation:?} has no step");
            total += steps;
        }
    }
    eprintln!("{} operations, {total} steps, {wrong:?}", OPERATIONS.len());
}

#[test]
fn a_step_fails() {
    run(Wrong::Fails);
}

#[test]
fn a_step_never_answers() {
    run(Wrong::Stops);
}

/// Bytes that the rules refuse when they have arrived are gone with the refusal, not with the next start.
#[test]
fn a_refusal_leaves_nothing() {
    let place = Place::new();
    let bench = place.open();
    bench.runtime().block_on(async {
        operations::prepare(&bench, "/d").await;
        let refused = operations::put(&bench, "/d/empty", &[1; 20_000]).await;
        assert_eq!(refused, Err(Error::IsDirectory));
        assert_eq!(leftovers(&bench).await, [] as [String; 0]);
    });
}

/// What a step is told.
fn told(wrong: Wrong) -> Poll<Result<()>> {
    match wrong {
        Wrong::Fails => Poll::Ready(Err(Error::Storage("on purpose".to_owned()))),
        Wrong::Stops => Poll::Pending,
    }
}
