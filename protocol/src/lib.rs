//! The language of modmesh: what hosts, daemon and command line say to each other, and the rules by which bytes are
//! judged. Everything here is pure: no I/O, no async, no network library. What parses bytes from outside never panics
//! and never allocates more than its input justifies.

pub mod acquaintances;
pub mod artifact;
pub mod control;
pub mod digest;
pub mod directory;
pub mod discovery;
pub mod go_mod;
pub mod go_sum;
pub mod goproxy;
pub mod h1;
pub mod hearsay;
pub mod lease;
pub mod limits;
pub mod line;
pub mod log;
pub mod membership;
pub mod module;
pub mod peer_name;
pub mod rate;
pub mod site;
pub mod wire;
pub mod zip;
