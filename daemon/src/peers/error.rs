//! What can go wrong at opening the room, and with one neighbour.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::CodecError;

use super::identity::IdentityError;
use crate::os;

/// Why the room could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// No identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A `--peer` address is of no use.
    #[error("--peer {address}: {why}")]
    Address {
        /// The address as given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// A name of the list of members is no peer id.
    #[error("--member {0}: not a peer id; `modmesh status` shows that of a host as `name`")]
    Member(PeerName),
    /// A socket that was asked for cannot be had.
    #[error(
        "cannot listen for neighbours on {address}: {source}; {remedy}",
        remedy = os::listen_remedy(source, "--peer-listen")
    )]
    Listen {
        /// The socket.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The network library refused its configuration.
    #[error("cannot set up the network of neighbours: {0}")]
    Setup(String),
}

/// Why a neighbour did not give what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Not connected, or the stream broke.
    #[error("the neighbour is gone or broke the stream")]
    Gone,
    /// This host has as much under way from it as one asker may.
    #[error("this host waits for as many other answers of the neighbour as it may")]
    LanesFull,
    /// At its bounds.
    #[error("the neighbour is busy, to be asked again in {} ms", retry_after.as_millis())]
    Busy {
        /// Least time to wait, at most two seconds.
        retry_after: Duration,
    },
    /// It does not have the file.
    #[error("the neighbour does not have it")]
    NotHere,
    /// It does not answer such questions, or not from us.
    #[error("the neighbour refused to answer")]
    Refused,
    /// No byte, or hardly any, for two seconds.
    #[error("the neighbour gave nothing for two seconds")]
    Stalled,
    /// Slower than another would have been; its transfer was ended.
    #[error("the neighbour was slower than others, and was left")]
    Overtaken,
    /// The bytes are no message.
    #[error("the neighbour's answer is no message: {0}")]
    Message(#[source] CodecError),
    /// A message that does not answer the question.
    #[error("the neighbour answered with {0}")]
    Protocol(&'static str),
    /// The file is longer than it may be.
    #[error("the neighbour's file has {bytes} bytes, at most {bytes_max} are of use")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The bound that the asker set.
        bytes_max: u64,
    },
    /// The file ended before its promised length.
    #[error("the neighbour sent {received} of {promised} promised bytes")]
    Short {
        /// Bytes that came.
        received: u64,
        /// Bytes that were promised.
        promised: u64,
    },
    /// It is of another site, and so much may not cross any more today.
    #[error("the budget for bytes between sites does not allow for it")]
    OverBudget,
    /// The fault is here: what takes the bytes failed.
    #[error("cannot keep the bytes: {0}")]
    Sink(#[source] io::Error),
}

impl PeerError {
    /// Whether it comes from a neighbour that said it has a file, and did not give it though nothing was in its way.
    pub(super) fn breaks_a_word(&self) -> bool {
        match self {
            Self::LanesFull | Self::Busy { .. } | Self::Gone | Self::OverBudget | Self::Sink(_) => {
                false
            }
            Self::NotHere
            | Self::Refused
            | Self::Stalled
            | Self::Overtaken
            | Self::Message(_)
            | Self::Protocol(_)
            | Self::TooLarge { .. }
            | Self::Short { .. } => true,
        }
    }
}
