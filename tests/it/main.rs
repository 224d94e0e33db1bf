//! The integration tests: each file is one promise of modmesh, shown with the real `go`, real bytes and real processes.

#![allow(clippy::unwrap_used)]

mod bad_input;
mod builders;
mod documents;
mod hostile;
mod offline;
mod restart;
mod scene;
mod serve;
mod verdicts;
mod walk;
