//! The tests that need hosts with networks or disks of their own.
//!
//! Where the system forbids namespaces they are reported as ignored, with the reason; with `MODMESH_LAB_REQUIRED`
//! set, that is a failure.

#![allow(clippy::unwrap_used)]

use harness::lab::{self, Forbidden};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

#[path = "lab/disk.rs"]
mod disk;
#[path = "lab/neighbours.rs"]
mod neighbours;
#[path = "lab/network.rs"]
mod network;
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
        .chain(walk::TESTS)
        .chain(disk::TESTS);
    let trials = tests.map(|(name, test)| trial(name, *test)).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, test: LabTest) -> Trial {
    Trial::ignorable_test(name, move || match test() {
        Ok(()) => Ok(Completion::Completed),
        Err(forbidden) if std::env::var_os("MODMESH_LAB_REQUIRED").is_some() => {
            Err(Failed::from(forbidden.to_string()))
        }
        Err(forbidden) => Ok(Completion::ignored_with(forbidden.to_string())),
    })
}
