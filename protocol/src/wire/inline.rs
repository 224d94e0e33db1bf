//! A small file with all that proves it, in one answer.
//!
//! The asker does not know the record's number yet, so it cannot name the tiles that it lacks: it tells the size of its tree and which
//! full tiles it has ([`HeldTiles`](crate::log::HeldTiles)), and the holder works out the rest
//! ([`tiles_lacking`](crate::log::tiles_lacking)). What does not fit is left out and asked for as ever.

use super::codec::{CodecError, Decode, Encode};
use super::message::{FileSummary, RecordAnswer, RecordQuestion, TileBytes, TileName, bound};
use crate::limits::{INLINE_FILE_BYTES_MAX, INLINE_TILES_MAX, TILE_BYTES_MAX};
use crate::log::HELD_BYTES_MAX;

/// A file and its proof, asked for together.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InlineQuestion {
    /// Key hash of the file.
    pub file: [u8; 32],
    /// The record that proves it; nothing where the asker has it.
    pub record: Option<RecordQuestion>,
    /// Records in the asker's tree of that database, whose right edge it has.
    pub size: u64,
    /// The full tiles that the asker has at hand, as [`HeldTiles::bytes`](crate::log::HeldTiles::bytes); at most
    /// [`HELD_BYTES_MAX`] bytes.
    pub held: Vec<u8>,
}

/// What a holder gives at once.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InlineAnswer {
    /// The file.
    pub file: InlineFile,
    /// The record and a head that covers it.
    pub record: Option<RecordAnswer>,
    /// Tiles that prove the record and that the asker seems to lack, at most [`INLINE_TILES_MAX`]: under the asker's head, or under
    /// the one that came with the record if that is larger, which continues the asker's.
    pub tiles: Vec<PlacedTile>,
}

/// A file that was asked for in this way.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum InlineFile {
    /// It is not here.
    NotHere,
    /// It is here, and is to be asked for on a stream of its own.
    Large(FileSummary),
    /// All its bytes, at most [`INLINE_FILE_BYTES_MAX`].
    Whole(Vec<u8>),
}

/// A tile and its place.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PlacedTile {
    /// Level above the leaves.
    pub level: u8,
    /// Index within the level.
    pub index: u64,
    /// The tile itself.
    pub tile: TileBytes,
}

impl InlineQuestion {
    pub(super) fn check(&self) -> Result<(), CodecError> {
        bound("held tiles", self.held.len(), HELD_BYTES_MAX)
    }
}

impl InlineAnswer {
    pub(super) fn check(&self) -> Result<(), CodecError> {
        if let InlineFile::Whole(bytes) = &self.file {
            bound("file", bytes.len(), INLINE_FILE_BYTES_MAX)?;
        }
        if let Some(record) = &self.record {
            record.check()?;
        }
        bound("tiles", self.tiles.len(), INLINE_TILES_MAX)?;
        let longest = self.tiles.iter().map(|placed| placed.tile.bytes.len());
        bound("tile", longest.max().unwrap_or(0), TILE_BYTES_MAX)
    }
}

impl PlacedTile {
    /// Its place, and the hashes that it has.
    pub fn name(&self) -> TileName {
        TileName {
            level: self.level,
            index: self.index,
            width: self.tile.width,
        }
    }
}
