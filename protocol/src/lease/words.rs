//! What an asker and an owner say to each other, on a stream that stays open until the thing is here or given up.

use super::rank::MemberId;
use crate::limits::HOLDERS_NAMED_MAX;
use crate::wire::{CodecError, Decode, Encode, Message};

/// What an asker says. The first word of a stream is a want, no later one is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Ask {
    /// "I want this; may I fetch it?"
    Want {
        /// Key hash of the file or record.
        key: [u8; 32],
        /// Whether the speaker has an upstream. Only those who have one get a lease.
        can_fetch: bool,
        /// What the speaker knows about who fetches it.
        claim: Claim,
    },
    /// "I am at it, and this far", about every [`PROGRESS_EVERY`](crate::limits::PROGRESS_EVERY).
    Progress(Progress),
    /// "I have it now, and others can have it from me."
    Done,
    /// "It is not to be had from that holder."
    Missed {
        /// Who did not give it.
        holder: MemberId,
    },
    /// "My upstream does not give it", with what it said; a failure and a refusal are about its own upstream only.
    Failed {
        /// The status of HTTP that the speaker's client gets.
        status: u16,
    },
    /// "I have it now, and it is for myself alone": nothing proves it, so everybody has to fetch their own.
    NotForOthers,
}

/// What an asker knows about who fetches what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Claim {
    /// Nothing.
    Nothing,
    /// The asker itself does: by another owner's lease, or because nobody answered it.
    Fetching(Progress),
    /// Another owner, which is gone, said to wait for this one.
    WaitedFor(MemberId),
    /// This owner, which comes before the one that is asked, has not answered in time.
    Silent(MemberId),
}

/// How far a fetch is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Progress {
    /// Bytes that came.
    pub bytes: u64,
    /// Bytes in all, where that is known.
    pub total: Option<u64>,
}

/// What an owner says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Word {
    /// "The lease is yours: fetch it, and tell me how far you are."
    Fetch,
    /// "Wait: that one fetches it."
    Wait {
        /// Who holds the lease.
        holder: MemberId,
    },
    /// "That one is at it, and this far."
    Progress(Progress),
    /// "Some have it, and are busy giving it to others: I will name one when a place is free."
    Queued,
    /// "These have it", the one to ask first in front; at least one.
    Have {
        /// At most [`HOLDERS_NAMED_MAX`].
        holders: Vec<MemberId>,
    },
    /// "Nobody has it, and nobody that can fetch wants it."
    Nobody,
    /// The owner is at its bounds.
    Busy,
}

impl Message for Ask {
    fn check(&self) -> Result<(), CodecError> {
        Ok(())
    }
}

impl Message for Word {
    fn check(&self) -> Result<(), CodecError> {
        match self {
            Self::Have { holders } if holders.len() > HOLDERS_NAMED_MAX => {
                Err(CodecError::Bound("holders"))
            }
            _ => Ok(()),
        }
    }
}
