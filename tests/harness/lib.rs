//! The harness: what the tests of modmesh are made of.
//!
//! Everything that a test puts in front of the daemon is real: module zips in the form that Go writes, a checksum database
//! with its own key, an upstream that speaks HTTP and can fail in each of the ways that upstreams fail, the real `go`
//! command, hosts that are network namespaces, and the `modmesh` binary as a child process. Only the neighbours that lie
//! are made here. The builders keep rules of their own and share no parser with the code under test; the real `go`
//! command judges them (`tests/it/harness.rs`).
//!
//! The harness panics when it cannot do what a test asks for: that is a failed test, and the text says what was missing.

#![allow(clippy::unwrap_used)]

pub mod fuzz;
pub mod git;
pub mod go;
pub mod host;
pub mod http;
pub mod judge;
pub mod lab;
pub mod liar;
pub mod line;
pub mod log;
pub mod module;
pub mod multicast;
pub mod other_user;
pub mod place;
pub mod process;
pub mod project;
pub mod raw;
pub mod replay;
pub mod secure;
pub mod simulation;
pub mod unheard;
pub mod upstream;

pub use git::GitRepository;
pub use go::{GoHome, GoOutput};
pub use host::{HostOptions, TestHost, copy_folder};
pub use judge::{Judge, Judgement, SumdbClient};
pub use lab::Lab;
pub use liar::{LyingPeer, OwnerLie, PeerLie};
pub use line::Line;
pub use log::{HeadPolicy, TestLog};
pub use module::{Module, ZipLie};
pub use place::Place;
pub use project::Project;
pub use raw::{RawAnswer, RawConnection};
pub use replay::Replay;
pub use secure::{Authority, SecureDoor};
pub use unheard::Unheard;
pub use upstream::{FakeUpstream, Fault, Kind};
