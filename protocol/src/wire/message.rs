//! The messages: greeting, small questions, files, announcements.
//!
//! Files and modules are named by [`KeyHash`](crate::artifact::KeyHash) alone: what a host looks for is not told to those
//! who do not have it already. Only members may ask by name ([`Query::Note`]). New variants go to the end of an enum; records never
//! change. The words about leases are in [`crate::lease`]. Absent on purpose: ranges of files.

use std::time::Duration;

use super::codec::{CodecError, Decode, Encode, Message};
use super::inline::{InlineAnswer, InlineQuestion};
use crate::limits::{
    ACQUAINTANCES_MAX, ANNOUNCED_FILES_MAX, ANNOUNCED_HEADS_MAX, ANNOUNCED_NOTE_BYTES_MAX,
    ANNOUNCED_SILENT_MAX, AUTHOR_BYTES_MAX, HELLO_HEADS_MAX, MEMBERSHIP_BYTES_MAX, NOTE_BYTES_MAX,
    NOTE_PATH_BYTES_MAX, RECORD_TEXT_BYTES_MAX, RELEASE_BYTES_MAX, SHARED_NOTE_BYTES_MAX,
    SITE_NAME_BYTES_MAX, TILE_BYTES_MAX, TILES_PER_QUERY_MAX, UP_MS_MAX, VERSIONS_RECORDS_MAX,
    VERSIONS_TEXT_BYTES_MAX,
};
use crate::line::{LineAnswer, LineQuestion};
use crate::membership::SIGNATURE_BYTES;
use crate::peer_name::PEER_NAME_BYTES_MAX;

/// Bit of [`Hello::capabilities`]: the host has an upstream and can fetch for itself.
pub const CAN_FETCH: u64 = 1;
/// Bit of [`Hello::capabilities`]: the host answers [`Query::Inline`].
pub const GIVES_INLINE: u64 = 2;

/// Bit of [`Hello::capabilities`]: the host called on an errand, and will be no neighbour. Who has room for no more neighbours has room
/// for it.
pub const ON_ERRAND: u64 = 4;

/// The first message of each side of a connection: the dialler speaks first, the other answers with its own.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// The release of the speaker, for people; nothing is decided by it.
    pub release: String,
    /// What the speaker can do, as bits; unknown bits are ignored. See [`CAN_FETCH`], [`GIVES_INLINE`] and [`ON_ERRAND`].
    pub capabilities: u64,
    /// What the speaker says about membership, the bytes of [`Words`](crate::membership::Words); nothing from a host without
    /// mesh secret and list of members.
    pub membership: Option<Vec<u8>>,
    /// The heads the speaker holds of the databases it mirrors; none towards who is not known to be a member.
    pub heads: Vec<HeadSummary>,
    /// For how many milliseconds the speaker has been up: who has just come owns nothing yet, see [`owners`](crate::lease::owners).
    pub up_ms: u64,
}

impl Hello {
    /// For how long the speaker has been up, by its own word; of more than ten years nothing is believed.
    pub fn up(&self) -> Duration {
        Duration::from_millis(self.up_ms.min(UP_MS_MAX))
    }
}

/// How far a host's mirror of one checksum database goes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct HeadSummary {
    /// The database: SHA-256 of its verifier key's text.
    pub database: [u8; 32],
    /// Records under the head.
    pub size: u64,
}

/// One question; one [`Answer`] follows on the same stream.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Query {
    /// "Do you have this file, this record?" Both are asked together to save a round trip.
    Locate {
        /// Key hash of the file.
        file: Option<[u8; 32]>,
        /// The record that proves it.
        record: Option<RecordQuestion>,
    },
    /// "Send me these tiles", at most [`TILES_PER_QUERY_MAX`].
    Tiles {
        /// The database they belong to.
        database: [u8; 32],
        /// Which tiles; the answer keeps the order.
        coordinates: Vec<TileName>,
    },
    /// "Send me your signed head."
    Head {
        /// The database it belongs to.
        database: [u8; 32],
    },
    /// "Of which versions of this module do you have the record?"
    Versions {
        /// The database: SHA-256 of its verifier key's text.
        database: [u8; 32],
        /// Key hash of the module's versions, [`KeyHash::of_versions`](crate::artifact::KeyHash::of_versions).
        key: [u8; 32],
    },
    /// Among members: "What do you have as this file, that nothing proves?"
    Stated {
        /// Key hash of the file.
        file: [u8; 32],
    },
    /// Among members: "What was said to this `.info`, `list` or `@latest`?" No hash names them, and members may know names.
    Note {
        /// The path below a GOPROXY's address, without leading slash, at most [`NOTE_PATH_BYTES_MAX`].
        path: String,
    },
    /// "Whom do you know on our link? I can be called there at this port."
    Acquaint {
        /// The asker's TCP port over IPv4; 0 when it has none.
        v4: u16,
        /// Over IPv6.
        v6: u16,
    },
    /// "Send me these tiles, as your upstream gave them just now": what nobody has proved yet may be among them, and whoever asks
    /// proves them itself. At most [`TILES_PER_QUERY_MAX`]; answered with [`Answer::Tiles`].
    FreshTiles {
        /// The database they belong to.
        database: [u8; 32],
        /// Which tiles; the answer keeps the order.
        coordinates: Vec<TileName>,
    },
    /// Among members: "What did your upstream say to this just now?"
    Said {
        /// [`KeyHash::of_saying`](crate::artifact::KeyHash::of_saying).
        key: [u8; 32],
    },
    /// "Of which site are you? I am of this one."
    Site {
        /// The asker's; nothing where it has no name. At most [`SITE_NAME_BYTES_MAX`] bytes.
        name: Option<String>,
    },
    /// "Give me this file and what proves it, if it is small." All that [`Query::Locate`], [`Query::Tiles`] and a file's stream
    /// would bring, in one round trip.
    Inline(InlineQuestion),
    /// About the upstream that the hosts of a site share: see [`crate::line`].
    Line(LineQuestion),
}

/// A neighbour of a neighbour, as an element of [`Answer::Acquaintances`]. It is where it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Acquaintance {
    /// Its name, which it has to prove; at most 64 bytes.
    pub peer: String,
    /// The bytes of its IP address, 4 or 16.
    pub address: Vec<u8>,
    /// Its TCP port.
    pub port: u16,
}

/// A record asked for by hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct RecordQuestion {
    /// The database: SHA-256 of its verifier key's text.
    pub database: [u8; 32],
    /// Key hash of the record.
    pub key: [u8; 32],
}

/// A tile by place: level and index, and the least number of hashes that is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct TileName {
    /// Level above the leaves, 0 to 63.
    pub level: u8,
    /// Index within the level.
    pub index: u64,
    /// Hashes wanted, 1 to 256.
    pub width: u16,
}

/// What a [`Query`] is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// To [`Query::Locate`].
    Located {
        /// The file as the holder has it.
        file: Option<FileSummary>,
        /// The record and a head that covers it.
        record: Option<RecordAnswer>,
    },
    /// To [`Query::Tiles`]: one entry per coordinate, in the order of the question.
    Tiles(Vec<Option<TileBytes>>),
    /// To [`Query::Head`]: the signed head as text.
    Head(Option<String>),
    /// The host is at its bounds; ask again later.
    Busy {
        /// Least time to wait, in milliseconds.
        retry_after_ms: u32,
    },
    /// The question was not understood or is not for the asker.
    Refused,
    /// To [`Query::Versions`]: records of the module that the holder proved, at most [`VERSIONS_RECORDS_MAX`] of them and
    /// [`VERSIONS_TEXT_BYTES_MAX`] of text. Of more, those of the highest releases, then of the highest pre-releases, then of
    /// the newest pseudo-versions.
    Versions {
        /// The holder's current signed head, which covers them all; empty where there are no records.
        head: String,
        /// The records, one for each version.
        records: Vec<VersionRecord>,
    },
    /// To [`Query::Stated`]; nothing where there is no such file.
    Stated(Option<FileStatement>),
    /// To [`Query::Note`]; nothing where there is none, or a longer one than fits.
    Note(Option<SharedNote>),
    /// To [`Query::Acquaint`]: neighbours on the asker's link, at most [`ACQUAINTANCES_MAX`].
    Acquaintances(Vec<Acquaintance>),
    /// To [`Query::Said`]; nothing where it said nothing of late.
    Said(Option<SaidByUpstream>),
    /// To [`Query::Site`]: the name of the site, where it has one; at most [`SITE_NAME_BYTES_MAX`] bytes.
    Site(Option<String>),
    /// To [`Query::Inline`].
    Inline(InlineAnswer),
    /// To [`Query::Line`].
    Line(LineAnswer),
}

/// A file that a holder can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct FileSummary {
    /// SHA-256 of the holder's bytes.
    pub blob: [u8; 32],
    /// Number of the bytes.
    pub length: u64,
}

/// What somebody signed about a file that nothing proves; see [`Statement`](crate::membership::Statement).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct FileStatement {
    /// Who signed it, a peer id as text: the holder itself, or from whom the holder has it. At most [`AUTHOR_BYTES_MAX`].
    pub author: String,
    /// The hash of the contents.
    pub h1: [u8; 32],
    /// SHA-256 of the bytes.
    pub blob: [u8; 32],
    /// Number of the bytes.
    pub length: u64,
    /// The author's signature.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// What an upstream said, as a member kept it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SharedNote {
    /// The answer, at most [`SHARED_NOTE_BYTES_MAX`].
    pub bytes: Vec<u8>,
    /// How long ago, in seconds, by the member's clock.
    pub age_seconds: u64,
}

/// What an upstream said to a member, signed by the member that says so; see [`Saying`](crate::membership::Saying).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SaidByUpstream {
    /// The status of HTTP: 200, 404 or 410.
    pub status: u16,
    /// The body, or for a person the reason; at most [`SHARED_NOTE_BYTES_MAX`].
    pub bytes: Vec<u8>,
    /// How long ago, in milliseconds, by the member's clock that nobody sets.
    pub age_ms: u64,
    /// When, in seconds since 1970, by the member's clock on the wall: it is signed, and nothing is decided by it.
    pub at_seconds: u64,
    /// The member's signature.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// A record with what is needed to start proving it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RecordAnswer {
    /// Number of the record in the log.
    pub id: u64,
    /// The record's text, whose hash is the leaf.
    pub text: String,
    /// The holder's current signed head.
    pub head: String,
}

/// One of several records that come with one head.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct VersionRecord {
    /// Number of the record in the log.
    pub id: u64,
    /// The record's text, whose hash is the leaf and which names the version.
    pub text: String,
}

/// A tile as the holder has it: at least as wide as asked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TileBytes {
    /// Hashes in the tile, 1 to 256.
    pub width: u16,
    /// The hashes, 32 bytes each.
    pub bytes: Vec<u8>,
}

/// What is asked on a file stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum FileRequest {
    /// All bytes of a file.
    Whole {
        /// Key hash of the file.
        file: [u8; 32],
    },
}

/// What is answered on a file stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum FileAnswer {
    /// Exactly `length` bytes follow, then the stream ends.
    Here {
        /// SHA-256 of the bytes that follow.
        blob: [u8; 32],
        /// Their number.
        length: u64,
    },
    /// The host does not have it (any more).
    NotHere,
    /// The host is at its bounds; ask again later.
    Busy {
        /// Least time to wait, in milliseconds.
        retry_after_ms: u32,
    },
    /// The request was not understood or is not for the asker.
    Refused,
}

/// What a host tells all its neighbours by gossip.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Announcement {
    /// "I have these."
    Have {
        /// Key hashes of files that were committed.
        files: Vec<[u8; 32]>,
        /// Signed heads: the database and the note's text.
        heads: Vec<([u8; 32], String)>,
    },
    /// "These do not answer me." Nobody believes it; who has them as neighbours looks for itself.
    Silent {
        /// Peer ids.
        peers: Vec<String>,
    },
}

impl Message for Hello {
    fn check(&self) -> Result<(), CodecError> {
        bound("release", self.release.len(), RELEASE_BYTES_MAX)?;
        let membership = self.membership.as_ref().map_or(0, Vec::len);
        bound("membership", membership, MEMBERSHIP_BYTES_MAX)?;
        bound("heads", self.heads.len(), HELLO_HEADS_MAX)
    }
}

impl Message for Query {
    fn check(&self) -> Result<(), CodecError> {
        match self {
            Self::Tiles { coordinates, .. } | Self::FreshTiles { coordinates, .. } => {
                bound("coordinates", coordinates.len(), TILES_PER_QUERY_MAX)
            }
            Self::Note { path } => bound("path", path.len(), NOTE_PATH_BYTES_MAX),
            Self::Site { name } => site_name(name),
            Self::Inline(question) => question.check(),
            Self::Locate { .. }
            | Self::Head { .. }
            | Self::Versions { .. }
            | Self::Stated { .. }
            | Self::Acquaint { .. }
            | Self::Said { .. }
            | Self::Line(_) => Ok(()),
        }
    }
}

impl Message for Answer {
    fn check(&self) -> Result<(), CodecError> {
        match self {
            Self::Located {
                record: Some(record),
                ..
            } => record.check(),
            Self::Tiles(tiles) => {
                bound("tiles", tiles.len(), TILES_PER_QUERY_MAX)?;
                let longest = tiles.iter().flatten().map(|tile| tile.bytes.len()).max();
                bound("tile", longest.unwrap_or(0), TILE_BYTES_MAX)
            }
            Self::Stated(Some(stated)) => bound("author", stated.author.len(), AUTHOR_BYTES_MAX),
            Self::Said(Some(said)) => bound("saying", said.bytes.len(), SHARED_NOTE_BYTES_MAX),
            Self::Note(Some(note)) => bound("note", note.bytes.len(), SHARED_NOTE_BYTES_MAX),
            Self::Head(Some(note)) => bound("head", note.len(), NOTE_BYTES_MAX),
            Self::Versions { head, records } => {
                bound("head", head.len(), NOTE_BYTES_MAX)?;
                bound("records", records.len(), VERSIONS_RECORDS_MAX)?;
                let longest = records.iter().map(|record| record.text.len()).max();
                bound("record text", longest.unwrap_or(0), RECORD_TEXT_BYTES_MAX)?;
                let together = records.iter().map(|record| record.text.len()).sum();
                bound("record texts", together, VERSIONS_TEXT_BYTES_MAX)
            }
            Self::Acquaintances(told) => {
                bound("acquaintances", told.len(), ACQUAINTANCES_MAX)?;
                let longest = told.iter().map(|one| one.peer.len()).max();
                bound("name", longest.unwrap_or(0), PEER_NAME_BYTES_MAX)?;
                let longest = told.iter().map(|one| one.address.len()).max();
                bound("address", longest.unwrap_or(0), 16)
            }
            Self::Site(name) => site_name(name),
            Self::Inline(answer) => answer.check(),
            Self::Located { record: None, .. }
            | Self::Head(None)
            | Self::Stated(None)
            | Self::Note(None)
            | Self::Said(None)
            | Self::Busy { .. }
            | Self::Line(_)
            | Self::Refused => Ok(()),
        }
    }
}

impl Message for FileRequest {
    fn check(&self) -> Result<(), CodecError> {
        Ok(())
    }
}

impl Message for FileAnswer {
    fn check(&self) -> Result<(), CodecError> {
        Ok(())
    }
}

impl Message for Announcement {
    fn check(&self) -> Result<(), CodecError> {
        match self {
            Self::Have { files, heads } => {
                bound("files", files.len(), ANNOUNCED_FILES_MAX)?;
                bound("heads", heads.len(), ANNOUNCED_HEADS_MAX)?;
                let longest = heads.iter().map(|(_, note)| note.len()).max();
                bound("head", longest.unwrap_or(0), ANNOUNCED_NOTE_BYTES_MAX)
            }
            Self::Silent { peers } => {
                bound("silent", peers.len(), ANNOUNCED_SILENT_MAX)?;
                let longest = peers.iter().map(String::len).max();
                bound("name", longest.unwrap_or(0), PEER_NAME_BYTES_MAX)
            }
        }
    }
}

fn site_name(name: &Option<String>) -> Result<(), CodecError> {
    let bytes = name.as_ref().map_or(0, String::len);
    bound("site", bytes, SITE_NAME_BYTES_MAX)
}

impl RecordAnswer {
    pub(super) fn check(&self) -> Result<(), CodecError> {
        bound("record text", self.text.len(), RECORD_TEXT_BYTES_MAX)?;
        bound("head", self.head.len(), NOTE_BYTES_MAX)
    }
}

pub(super) fn bound(name: &'static str, have: usize, most: usize) -> Result<(), CodecError> {
    if have > most {
        return Err(CodecError::Bound(name));
    }
    Ok(())
}
