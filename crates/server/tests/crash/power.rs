//! Promise 3: the power goes. The store lies on a file system of its own, which is shut down under load without flushing;
//! the process is killed, the file system mounted again.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
    thread::sleep,
    time::Duration,
};

use crate::{
    device::{Device, can_mount, kinds, place},
    effort::Effort,
    faults::compile,
    node::Node,
    world::World,
};

/// The program that cuts the power.
struct Halt(Child);

impl Halt {
    /// One that waits for the moment.
    fn ready(program: &Path, root: &Path) -> Self {
        let mut command = Command::new(program);
        let mut child =
            command.arg(root).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        Self(child)
    }

    fn now(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"!").unwrap();
        assert!(self.0.wait().unwrap().success(), "the file system cannot be shut down");
    }
}

/// Rounds over one file system.
const ROUNDS_A_STORE: usize = 20;

#[test]
fn power_loss_under_load() {
    if !can_mount("power loss") {
        return;
    }
    let mut effort = Effort::new("power loss", 12, 300);
    let (place, kinds) = (place(), kinds());
    let halt = place.path().join("halt");
    compile("halt.c", &[], &halt);
    let (mut acknowledged, mut stores) = (0, effort.seed);
    let mut more = effort.goes_on();
    while more {
        let kind = kinds[usize::try_from(stores).unwrap_or(0) % kinds.len()];
        let mut device = Device::new(place.path(), kind);
        device.mount();
        let mut world = World::found(Node::new(&device.root().join("data")), effort.chance(stores));
        stores += 1;
        for _ in 0..ROUNDS_A_STORE {
            let (mut halt, deaf) = (Halt::ready(&halt, device.root()), world.deaf.clone());
            world.load(|node, chance| {
                sleep(Duration::from_millis(20 + chance.below(500) as u64));
                // What is answered after the power went was never heard. (ext4 calls a sync good whose data it could not
                // write any more because it was shut down meanwhile: seen here, in one of some hundred rounds.)
                deaf.store(true, Ordering::SeqCst);
                halt.now();
                node.kill();
            });
            device.unmount();
            device.mount();
            world.node.start();
            world.judge(15);
            more = effort.goes_on();
            if !more {
                break;
            }
        }
        world.finish();
        acknowledged += world.acknowledged();
        drop(world);
        device.unmount();
    }
    effort.report(&format!("{acknowledged} changes acknowledged, on {kinds:?}"));
}
