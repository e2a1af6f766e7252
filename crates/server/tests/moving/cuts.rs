//! Whatever dies while a store is moved: asked for again, the move goes on, and nothing that was acknowledged is lost.

use std::{process::Child, thread::sleep, time::Duration};

use blobs::suite::Chance;

use crate::house::{Clients, Home, Place, report};

/// Attempts that are cut.
const CUTS: usize = 4;

/// Lets an attempt be for a moment; whether it has ended by itself.
fn ended_within_a_moment(child: &mut Child, chance: &mut Chance) -> bool {
    sleep(Duration::from_millis(20 + chance.below(700) as u64));
    child.try_wait().unwrap().is_some()
}

fn chance() -> Chance {
    let seed = blobs::suite::seed();
    eprintln!("cuts: seed {seed}");
    Chance::new(seed)
}

fn end(clients: &mut Clients, old: &Home, new: Place) {
    let report = old.move_at_last(&new, &[]);
    eprintln!("{report}");
    clients.find_closed(old);
    let home = new.serve(None);
    clients.judge(&home);
    home.fsck();
}

/// The command is killed: the server it asked gives up, or the process dies that moved the store itself.
fn the_mover_dies(from: (bool, bool), to: (bool, bool), is_server: bool) {
    let (old, new) = (Place::new(from.0, from.1), Place::new(to.0, to.1));
    let old = old.serve(Some(&new));
    // A directory where no server is.
    let (own, key) = (old.server.scratch().join("own"), old.server.data().join("secret.key"));
    std::fs::create_dir(&own).unwrap();
    let own = ["--from", own.to_str().unwrap(), "--key-file", key.to_str().unwrap()];
    let more: &[&str] = if is_server { &[] } else { &own };
    let (mut clients, mut chance) = (Clients::at(&old), chance());
    clients.during(&old, || {
        for _ in 0..CUTS {
            let mut child = old.begin(&new, more);
            if ended_within_a_moment(&mut child, &mut chance) {
                // Somebody may still be at it that was asked before.
                let output = child.wait_with_output().unwrap();
                if output.status.success() {
                    report(output);
                    break;
                }
                continue;
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
    });
    end(&mut clients, &old, new);
}

#[test]
fn the_command_dies_that_a_server_works_for() {
    the_mover_dies((false, false), (true, true), true);
}

#[test]
fn the_process_dies_that_moves() {
    the_mover_dies((true, true), (false, false), false);
}

#[test]
fn the_server_dies_that_moves() {
    let (old, new) = (Place::new(false, false), Place::new(true, true));
    let mut old = old.serve(Some(&new));
    let (mut clients, mut chance) = (Clients::at(&old), chance());
    for _ in 0..CUTS {
        let mut child = old.begin(&new, &[]);
        let pid = old.server.pid();
        clients.during(&old, || {
            ended_within_a_moment(&mut child, &mut chance);
            let kill = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
            assert!(kill.unwrap().success());
        });
        child.wait().unwrap();
        old.server.kill();
        old.server.start_again();
        // Where the store has left, what is here is not what is judged any more.
        if old.is_closed() {
            break;
        }
        clients.judge(&old);
    }
    end(&mut clients, &old, new);
}
