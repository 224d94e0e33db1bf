//! The integration tests: each file is one promise of modmesh, shown with the real `go`, real bytes and real processes.

#![allow(clippy::unwrap_used)]

mod answers;
mod bad_input;
mod browser;
mod builders;
mod certificates;
mod damage;
mod damage_anywhere;
mod documents;
mod ending;
mod eviction;
mod fuzz;
mod heads;
mod hostile;
mod leaving;
mod offline;
mod pending;
mod removed;
mod restart;
mod run;
mod scene;
mod serve;
mod slow_peers;
mod verdicts;
mod walk;
