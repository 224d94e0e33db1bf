//! How hosts of one link find each other by multicast, at a rate that does not grow with their number.
//!
//! A host announces itself, and whoever hears it and does not know it calls; so nobody answers an announcement with another
//! one, and for two hosts to meet one of them must have been heard once. When to speak is decided by [`Pace`]: all hosts of a
//! link hear each other, and whoever hears that the link is busy waits. What is said is an [`Announcement`], a packet of
//! multicast DNS under a service name of our own, so that the programs of others are neither called nor disturbed. It tells
//! of nobody but its sender and names no address: a host is where its packet came from.
//!
//! Pure: no clock, no sockets, no randomness but a seed. Moments are durations since a start that the caller chooses.
//! [Decision 0015](https://github.com/modmesh/modmesh/blob/main/docs/decisions/0015-discovery.md) says why it is our own.

mod pace;
mod packet;

pub use pace::{Company, PACKETS_PER_SECOND_MAX, Pace, Speech};
pub use packet::{Announcement, GROUP_V4, GROUP_V6, PORT, Packet, question};
