//! How a message becomes bytes and back. The only file that knows bincode.
//!
//! Decoding never allocates more than a frame justifies (bincode counts every container against a limit before it reserves
//! memory), takes every byte or fails, and checks the bounds of each list and text. The bytes of bincode's `standard`
//! configuration: integers as variable length, little-endian; enum variants as such an integer; lists and texts as their
//! length and their elements; arrays as their elements alone.

use bincode::config::{self, Config};
pub(crate) use bincode::{Decode, Encode};

use super::WIRE_VERSION;
use crate::limits::FRAME_BYTES_MAX;

/// Bytes before the payload of a frame: length and version.
pub const FRAME_HEAD_BYTES: usize = 5;

/// Something that travels as the payload of one frame.
pub trait Message: Encode + Decode<()> + Sized {
    /// Whether every list and text keeps its bound; the name of the first one that does not.
    fn check(&self) -> Result<(), CodecError>;
}

/// Why bytes are no message, or a message cannot travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The other side uses another form of frame.
    #[error(
        "wire version {0}, this host speaks {WIRE_VERSION}: run the same release on both hosts"
    )]
    Version(u8),
    /// The payload is longer than a frame may be, in bytes.
    #[error("a frame of {0} bytes, at most {FRAME_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// The payload is not the expected message, or an enum variant that this release does not know.
    #[error("the bytes are not a message this release knows")]
    Malformed,
    /// Bytes are left over behind the message, or the frame ends before its payload does.
    #[error("the frame's length does not fit its message")]
    Length,
    /// A list or text in the message is longer than agreed; the name says which.
    #[error("{0} exceeds its bound")]
    Bound(&'static str),
}

/// The checked first bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes of payload that follow, at most [`FRAME_BYTES_MAX`].
    pub payload_bytes: usize,
}

impl FrameHead {
    /// Reads the head of a frame.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] and [`CodecError::Version`]; after either the stream is of no further use.
    pub fn parse(head: [u8; FRAME_HEAD_BYTES]) -> Result<Self, CodecError> {
        let [a, b, c, d, version] = head;
        if version != WIRE_VERSION {
            return Err(CodecError::Version(version));
        }
        let payload_bytes = u32::from_be_bytes([a, b, c, d]) as usize;
        if payload_bytes > FRAME_BYTES_MAX {
            return Err(CodecError::TooLong(payload_bytes));
        }
        Ok(Self { payload_bytes })
    }
}

/// The whole frame of `message`.
///
/// # Errors
/// [`CodecError::Bound`] or [`CodecError::TooLong`] when the message may not travel.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, CodecError> {
    message.check()?;
    let mut frame = vec![0; FRAME_HEAD_BYTES];
    bincode::encode_into_std_write(message, &mut frame, form())
        .map_err(|_| CodecError::Malformed)?;
    let payload_bytes = frame.len() - FRAME_HEAD_BYTES;
    if payload_bytes > FRAME_BYTES_MAX {
        return Err(CodecError::TooLong(payload_bytes));
    }
    // FRAME_BYTES_MAX fits four bytes, so the conversion keeps the value.
    let [a, b, c, d] = (payload_bytes as u32).to_be_bytes();
    frame[..FRAME_HEAD_BYTES].copy_from_slice(&[a, b, c, d, WIRE_VERSION]);
    Ok(frame)
}

/// The message of one whole frame, every byte of which is used.
///
/// # Errors
/// Any [`CodecError`]; the bytes come from outside.
pub fn decode<M: Message>(frame: &[u8]) -> Result<M, CodecError> {
    let (head, payload) = frame.split_first_chunk().ok_or(CodecError::Length)?;
    let head = FrameHead::parse(*head)?;
    if payload.len() != head.payload_bytes {
        return Err(CodecError::Length);
    }
    decode_payload(payload)
}

/// The message whose frame's head was read before; every byte of `payload` is used.
///
/// # Errors
/// Any [`CodecError`] but [`CodecError::Version`].
pub fn decode_payload<M: Message>(payload: &[u8]) -> Result<M, CodecError> {
    if payload.len() > FRAME_BYTES_MAX {
        return Err(CodecError::TooLong(payload.len()));
    }
    let (message, used): (M, usize) =
        bincode::decode_from_slice(payload, form()).map_err(|_| CodecError::Malformed)?;
    if used != payload.len() {
        return Err(CodecError::Length);
    }
    message.check()?;
    Ok(message)
}

/// The form of all messages, for good.
fn form() -> impl Config {
    config::standard().with_limit::<FRAME_BYTES_MAX>()
}

/// The payload of a message that breaks its bounds, which only a test makes.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) fn encode_unchecked<M: Message>(message: &M) -> Vec<u8> {
    bincode::encode_to_vec(message, form()).unwrap()
}
