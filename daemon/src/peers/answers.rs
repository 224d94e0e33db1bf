//! What is asked of neighbours and how it ends: who has a thing, and who said something untrue.

use std::time::Duration;

use modmesh_protocol::digest::BlobId;
use modmesh_protocol::limits::NO_PROGRESS_MAX;
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::{RecordAnswer, VersionRecord};

/// A neighbour that has something of what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Who.
    pub peer: PeerName,
    /// The file it says to have: SHA-256 and length.
    pub file: Option<(BlobId, u64)>,
    /// The record it says to have, with its signed head.
    pub record: Option<RecordAnswer>,
}

/// What came of asking "who has it".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// How many were asked.
    pub asked: usize,
    /// How many of them had not answered when the waiting ended.
    pub silent: usize,
    /// Those that have something of it; see [`Peers::locate`](super::Peers::locate).
    pub found: Vec<Located>,
}

/// What a neighbour says to know of the versions of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownVersions {
    /// Who.
    pub peer: PeerName,
    /// Its signed head.
    pub head: String,
    /// Records of versions, at least one.
    pub records: Vec<VersionRecord>,
}

/// How long the neighbours may think about a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// Somebody else can be asked as well: 100 ms, and nobody who was silent lately.
    OthersWait,
    /// There is nobody else: two seconds, which a host that is busy building may need.
    NobodyElse,
}

impl Haste {
    /// How long an answer is waited for.
    pub(crate) const fn deadline(self) -> Duration {
        match self {
            Self::OthersWait => Duration::from_millis(100),
            Self::NobodyElse => NO_PROGRESS_MAX,
        }
    }
}

/// Something untrue that one neighbour alone said.
#[derive(Debug, Clone)]
pub struct Lie {
    /// What was untrue, in one line.
    pub what: String,
    /// The bytes that show it; what exceeds 64 KiB is cut off.
    pub evidence: Vec<u8>,
}

/// A tile as it came: width and bytes, `32 * width` of them.
pub type Tile = (u16, Vec<u8>);
