//! The mirror among sources that tell the truth, lie, say nothing, or show another log.

mod begun_anew;
mod closure;
mod forks;
mod given_up;
mod heads;
mod lookups;
mod offered;
mod tiles;
mod together;
mod versions;
mod world;
