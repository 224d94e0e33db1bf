//! The checksum-database mirror: records kept apart from heads, one current signed head, the widest form of each tile.
//!
//! What always holds: nothing is kept, used or served that was not proved under a head with a good signature, every tile
//! checked against its parent or the root; a new head becomes current only when the tiles that prove it extends the old
//! one, and with them the right edge of every head ever served, are kept at its widths. A lookup is answered as the
//! record and the current head, whatever head it came with, so that a client needs only tiles that are here.
//!
//! The mirror asks others through [`LogSource`]; it has no network of its own and decides nothing about modules.

mod ask;
mod clients;
mod contradiction;
mod database;
mod files;
mod finding;
mod given_up;
mod mirror;
mod prove;
mod set;
mod sources;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod tiles;
mod verdict;

pub(crate) use ask::{
    Advice, AskError, Council, LogSource, LookupAnswer, Part, Surroundings, TileBytes, TileOf,
    Together, VersionsAnswer,
};
pub(crate) use contradiction::short;
pub(crate) use database::{BeginError, BegunAnew, Database, Instead, Opening, refused};
pub(crate) use files::log_number;
pub(crate) use finding::{Authority, Finding, ListedRecord, Offer, Trouble};
pub(crate) use mirror::{Mirror, OVER, TileAnswer};
pub(crate) use set::{First, Mirrors};
