//! Promise 3: the power goes. The store lies on a file system of its own, which is shut down under load without flushing;
//! the process is killed, the file system mounted again.

use std::{process::Command, thread::sleep, time::Duration};

use crate::{
    device::{Device, can_mount, kinds, place, run},
    effort::Effort,
    faults::compile,
    world::World,
};

/// Rounds over one file system.
const ROUNDS_A_STORE: usize = 20;

#[test]
fn power_loss_under_load() {
    if !can_mount("power loss") {
        return;
    }
    let mut effort = Effort::new("power loss", 18, 300);
    let (place, kinds) = (place(), kinds());
    let halt = place.path().join("halt");
    compile("halt.c", &[], &halt);
    let (mut acknowledged, mut stores) = (0, effort.seed);
    let mut more = effort.goes_on();
    while more {
        let kind = kinds[usize::try_from(stores).unwrap_or(0) % kinds.len()];
        let mut device = Device::new(place.path(), kind);
        device.mount();
        let mut world = World::found(&device.root().join("data"), effort.chance(stores));
        stores += 1;
        for _ in 0..ROUNDS_A_STORE {
            let root = device.root().to_owned();
            world.load(|node, chance| {
                sleep(Duration::from_millis(20 + chance.below(500) as u64));
                run(Command::new(&halt).arg(root)).unwrap();
                // What is answered now is a promise as well.
                sleep(Duration::from_millis(chance.below(30) as u64));
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
        world.node.kill();
        drop(world);
        device.unmount();
    }
    effort.report(&format!("{acknowledged} changes acknowledged, on {kinds:?}"));
}
