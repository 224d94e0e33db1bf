//! The language of modmesh.

pub mod upstream;
