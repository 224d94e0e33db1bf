//! The language of modmesh: what hosts, daemon and command line say to each other, and the rules by which bytes are
//! judged. Everything here is pure: no I/O, no async, no network library. What parses bytes from outside never panics
//! and never allocates more than its input justifies.

pub mod artifact;
pub mod digest;
pub mod h1;
pub mod module;
pub mod zip;
