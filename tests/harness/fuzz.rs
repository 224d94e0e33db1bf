//! Attacks by generated input: requests at the front door and frames at the neighbours' port, a great many of each.
//!
//! The generators begin with what is valid and of every kind, and change some of it. They follow from a seed alone, so that
//! a finding can be had again; the order in which connections reach the host does not. What must hold afterwards is in
//! [`Aftermath`]: the host lives, no task of it panicked, and no file lies where none belongs.

pub mod attack_http;
pub mod attack_peer;
mod dice;
mod frames;
mod http;
mod world;

pub use dice::Dice;
pub use world::{Aftermath, World};
