//! The language of modmesh.

pub mod peers;
