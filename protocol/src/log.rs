//! The checksum database: how a hash that a stranger hands over is proved to stand in a public, append-only log.
//!
//! Only one thing is believed here: the public key of the database ([`VerifierKey`]). It signs tree heads
//! ([`SignedHead`]); a head commits to every record through a Merkle tree; the tree travels in tiles ([`Tile`]), which
//! [`authenticate`] checks, each and every one, up to the head; a [`Record`] is proved when its hash is the leaf found
//! that way; and the hashes of a module are read from the text of the record and from nowhere else ([`Record::sums`]).
//!
//! A daemon that answers the go command stands where a hostile proxy would stand, and a neighbour stands there for the
//! daemon, so nothing here trusts the order, the origin or the completeness of what it is given. There is no I/O, no
//! clock and no cache here, and no notion of a head being too old: the go command knows none either. Signing is absent;
//! those who build logs of their own find the text forms ([`VerifierKey::signed_note`], [`TreeHead::text`],
//! [`Record::lookup_body`]) and bring their own signature.

mod database;
mod held;
mod note;
mod proof;
mod record;
mod tile;
mod tree;

pub use database::{DatabaseSpec, SettingError, SumdbSetting};
pub use held::{HELD_BYTES_MAX, HELD_TILES_MAX, HeldTiles, tiles_lacking};
pub use note::{
    DatabaseId, KeyError, NOTE_BYTES_MAX, NoteError, SIGNATURES_MAX, SUM_GOLANG_ORG, VerifierKey,
};
pub use proof::{Authenticated, GoalError, Goals, Untrue, authenticate, tiles_needed};
pub use record::{LOOKUP_BYTES_MAX, RECORD_BYTES_MAX, Record, RecordError, Sums};
pub use tile::{HASH_BYTES, TILE_WIDTH, Tile, TileCoordinate, TileError};
pub use tree::{Hash, SignedHead, TREE_SIZE_MAX, TreeHead, empty_root, node_hash, record_hash};

/// Reads a number as Go's `%d` prints it: no sign, no leading zero, at most [`TREE_SIZE_MAX`].
fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    if !canonical || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|&number| number <= TREE_SIZE_MAX)
}
