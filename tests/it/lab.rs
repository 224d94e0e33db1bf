//! The tests that need more than every machine has: hosts with networks or disks of their own, a second user, or
//! the internet.
//!
//! Where the system forbids namespaces they are reported as ignored, with the reason; with `MODMESH_LAB_REQUIRED`
//! set, that is a failure. Tests of another user need root of the machine itself. Tests whose names begin with `live_` ask the real upstream, some only the first time, and need
//! `MODMESH_LIVE=1`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use harness::lab::{self, Forbidden};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

#[path = "lab/back_door.rs"]
mod back_door;
#[path = "lab/beyond.rs"]
mod beyond;
#[path = "lab/disk.rs"]
mod disk;
#[path = "lab/first_round.rs"]
mod first_round;
#[path = "lab/live.rs"]
mod live;
#[path = "lab/neighbours.rs"]
mod neighbours;
#[path = "lab/network.rs"]
mod network;
#[path = "lab/other_user.rs"]
mod other_user;
#[path = "lab/ports.rs"]
mod ports;
#[path = "lab/second_user.rs"]
mod second_user;
#[path = "lab/walk.rs"]
mod walk;

/// A test that needs a lab; it hands the system's refusal back.
type LabTest = fn() -> Result<(), Forbidden>;

fn main() {
    lab::become_able();
    let mut arguments = Arguments::from_args();
    // Hosts of several labs at once would measure each other on small machines.
    arguments.test_threads.get_or_insert(1);
    let tests = network::TESTS
        .iter()
        .chain(neighbours::TESTS)
        .chain(beyond::TESTS)
        .chain(first_round::TESTS)
        .chain(walk::TESTS)
        .chain(live::TESTS)
        .chain(disk::TESTS)
        .chain(ports::TESTS)
        .chain(second_user::TESTS)
        .chain(other_user::TESTS)
        .chain(back_door::TESTS);
    let trials = tests.map(|(name, test)| trial(name, *test)).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, test: LabTest) -> Trial {
    let live = std::env::var("MODMESH_LIVE").as_deref() == Ok("1");
    if name.starts_with("live_") && !live {
        let reason = "it asks the real upstream: set MODMESH_LIVE=1";
        return Trial::ignorable_test(name, move || Ok(Completion::ignored_with(reason)));
    }
    // Also where a lab is required: the root of a user namespace has hosts and disks, and nobody else to be.
    if let (true, Err(reason)) = (
        name.starts_with("another_user_"),
        harness::other_user::possible(),
    ) {
        let reason = reason.to_string();
        return Trial::ignorable_test(name, move || Ok(Completion::ignored_with(reason)));
    }
    Trial::ignorable_test(name, move || match test() {
        Ok(()) => Ok(Completion::Completed),
        Err(forbidden) if std::env::var_os("MODMESH_LAB_REQUIRED").is_some() => {
            Err(Failed::from(forbidden.to_string()))
        }
        Err(forbidden) => Ok(Completion::ignored_with(forbidden.to_string())),
    })
}
