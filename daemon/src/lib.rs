//! The language of modmesh.

pub mod peers;

pub use peers::check_peer_address;
