//! Where two rooms meet that must not know each other: small adapters, used by `start` alone.

mod councils;
mod givers;
mod line;
mod log_sources;
mod shared_tiles;
mod shelf;
mod watches;

pub(crate) use line::LineOfSite;
pub(crate) use log_sources::{AroundUs, UpstreamLog, Way};
pub(crate) use shared_tiles::SharedTiles;
pub(crate) use shelf::{NeighbourNews, OpenShelf};
pub(crate) use watches::Counting;
