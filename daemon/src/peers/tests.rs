//! The room, tried on loopback: two or three hosts in one process, static addresses, no multicast.

mod bounds;
mod errands;
mod hearsay;
mod host;
mod inline;
mod lanes;
mod line;
mod locate;
mod manners;
mod members;
mod probes;
mod rogue;
mod sites;
mod talk;
mod trust;
mod versions;
mod walk;
