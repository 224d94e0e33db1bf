//! The integration tests: each file is one promise of modmesh, shown with the real `go`, real bytes and real processes.

#![allow(clippy::unwrap_used)]

mod advances;
mod answers;
mod bad_input;
mod begun_anew;
mod browser;
mod builders;
mod certificates;
mod control;
mod counts;
mod damage;
mod damage_anywhere;
mod dark;
mod database_itself;
mod direct;
mod documents;
mod ending;
mod eviction;
mod explain;
mod first_minute;
mod fuzz;
mod go_sum;
mod hanging_up;
mod heads;
mod held_heads;
mod hostile;
mod judge;
mod leaving;
mod offline;
mod old_clients;
mod pending;
mod removed;
mod restart;
mod run;
mod scene;
mod serve;
mod service;
mod slow_peers;
mod trouble;
mod two_keys;
mod two_logs;
mod verdicts;
mod versions;
mod walk;
mod whose_daemon;
