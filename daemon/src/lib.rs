//! The language of modmesh.

pub mod upstream;
pub mod peers;
