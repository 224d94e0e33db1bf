//! The language of modmesh.

pub mod config;
pub mod upstream;
