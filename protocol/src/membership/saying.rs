//! What a member says its upstream said, in the bytes that it signs.
//!
//! ```text
//! "modmesh/saying/1" 00 KEY STATUS BLOB AT
//! ```
//!
//! `KEY` is the key of what was asked, [`KeyHash::of_saying`]: the list of proxies that was asked, and the path. `STATUS` is that of HTTP, two
//! bytes; `BLOB` the SHA-256 of the answer's bytes, 32 bytes; `AT` when it came, in seconds since 1970 by the author's clock, eight bytes;
//! numbers are big-endian. It says "this is what I was told then", and no more: about other lists, and about later, nothing.

use std::time::Duration;

use crate::artifact::KeyHash;
use crate::digest::{BlobId, Hasher};

/// What was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saying<'a> {
    /// What was asked.
    pub key: KeyHash,
    /// The status of the answer.
    pub status: u16,
    /// Its body, or for a person the reason.
    pub bytes: &'a [u8],
    /// When, since 1970 by the author's clock; whole seconds count.
    pub at: Duration,
}

impl Saying<'_> {
    /// The bytes that the author signs.
    pub fn to_signed(&self) -> Vec<u8> {
        let mut bytes = b"modmesh/saying/1\0".to_vec();
        bytes.extend_from_slice(&self.key.0);
        bytes.extend_from_slice(&self.status.to_be_bytes());
        bytes.extend_from_slice(&BlobId(Hasher::digest(self.bytes)).0);
        bytes.extend_from_slice(&self.at.as_secs().to_be_bytes());
        bytes
    }
}

/// Whether a member's word about its upstream is one that counts: an answer, or that there is none. Of what an upstream forbids or
/// fails at, others may hear something else.
pub fn is_worth_saying(status: u16) -> bool {
    matches!(status, 200 | 404 | 410)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_signed() {
        let saying = Saying {
            key: KeyHash([1; 32]),
            status: 0x0194,
            bytes: b"not found",
            at: Duration::from_secs(0x0102),
        };
        let bytes = saying.to_signed();
        assert_eq!(bytes.len(), 17 + 32 + 2 + 32 + 8);
        assert!(bytes.starts_with(b"modmesh/saying/1\0\x01\x01"));
        assert_eq!(&bytes[49..51], b"\x01\x94");
        assert!(bytes.ends_with(b"\0\0\0\0\0\0\x01\x02"));
        for other in [
            Saying {
                key: KeyHash([9; 32]),
                ..saying
            },
            Saying {
                status: 410,
                ..saying
            },
            Saying {
                bytes: b"gone",
                ..saying
            },
            Saying {
                at: Duration::from_secs(9),
                ..saying
            },
        ] {
            assert_ne!(other.to_signed(), bytes);
        }
    }

    #[test]
    fn only_an_answer_and_an_absence_are_worth_saying() {
        let worth: Vec<u16> = (0..=u16::MAX)
            .filter(|status| is_worth_saying(*status))
            .collect();
        assert_eq!(worth, [200, 404, 410]);
    }
}
