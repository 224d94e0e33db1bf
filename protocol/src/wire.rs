//! What two hosts say to each other, byte for byte.
//!
//! A message travels as one frame: the payload's length as four bytes, big-endian, at most
//! [`FRAME_BYTES_MAX`](crate::limits::FRAME_BYTES_MAX); one byte of wire version ([`WIRE_VERSION`]); the payload. Streams
//! carry one request and one answer each; gossip carries one frame per message. The bytes are for good: enums get new
//! variants only at the end, records get no new fields, and what must change gets a new protocol id. `message` says what
//! there is to say, `codec` is the only place that knows how it becomes bytes.
//!
//! Nothing here is believed because it was said: a receiver proves what it can and drops the rest.

mod codec;
mod inline;
mod message;

pub use codec::{CodecError, FRAME_HEAD_BYTES, FrameHead, Message, decode, decode_payload, encode};
pub(crate) use codec::{Decode, Encode};
pub use inline::{InlineAnswer, InlineFile, InlineQuestion, PlacedTile};
pub use message::{
    Acquaintance, Announcement, Answer, CAN_FETCH, FileAnswer, FileRequest, FileStatement,
    FileSummary, GIVES_INLINE, HeadSummary, Hello, ON_ERRAND, Query, RecordAnswer, RecordQuestion,
    SaidByUpstream, SharedNote, TileBytes, TileName, VersionRecord,
};

/// The version of the frame's form, its fifth byte.
pub const WIRE_VERSION: u8 = 1;
/// Protocol id of the first stream of a connection: each side says [`Hello`].
pub const HELLO_PROTOCOL: &str = "/modmesh/hello/1";
/// Protocol id of small questions: a [`Query`], then an [`Answer`].
pub const QUERY_PROTOCOL: &str = "/modmesh/query/1";
/// Protocol id of file transfer: a [`FileRequest`], then a [`FileAnswer`], then the bytes.
pub const FILE_PROTOCOL: &str = "/modmesh/file/1";
/// Protocol id of leases: an [`Ask::Want`](crate::lease::Ask), then [`Ask`](crate::lease::Ask)s and
/// [`Word`](crate::lease::Word)s until one side closes.
pub const LEASE_PROTOCOL: &str = "/modmesh/lease/1";
/// Gossip topic of [`Announcement`]s.
pub const ANNOUNCE_TOPIC: &str = "modmesh/announce/1";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
