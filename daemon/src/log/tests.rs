//! The mirror among sources that tell the truth, lie, say nothing, or show another log.

mod closure;
mod forks;
mod heads;
mod lookups;
mod tiles;
mod versions;
mod world;
