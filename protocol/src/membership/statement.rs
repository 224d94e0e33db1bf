//! What a member states about a file that nothing proves, in the bytes that it signs.
//!
//! ```text
//! "modmesh/statement/1" 00 FILE H1 BLOB LENGTH
//! ```
//!
//! `FILE` is the key hash of the file, `H1` the hash of its contents, `BLOB` the SHA-256 of its bytes, 32 bytes each; `LENGTH` is
//! their number, eight bytes, big-endian. The signature is that of the key of the author's peer id, so that the statement can
//! be handed on, and taken back with its author. It says "this is what I was given as that file", and no more.

use crate::artifact::KeyHash;
use crate::digest::{BlobId, H1};

/// Bytes of an Ed25519 signature (RFC 8032).
pub const SIGNATURE_BYTES: usize = 64;

/// What is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// The file, by the name that it has among neighbours.
    pub file: KeyHash,
    /// The hash of its contents.
    pub h1: H1,
    /// The SHA-256 of its bytes.
    pub blob: BlobId,
    /// Their number.
    pub length: u64,
}

impl Statement {
    /// The bytes that the author signs.
    pub fn to_signed(&self) -> Vec<u8> {
        let mut bytes = b"modmesh/statement/1\0".to_vec();
        bytes.extend_from_slice(&self.file.0);
        bytes.extend_from_slice(&self.h1.0);
        bytes.extend_from_slice(&self.blob.0);
        bytes.extend_from_slice(&self.length.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_signed() {
        let statement = Statement {
            file: KeyHash([1; 32]),
            h1: H1([2; 32]),
            blob: BlobId([3; 32]),
            length: 0x0102,
        };
        let bytes = statement.to_signed();
        assert_eq!(bytes.len(), 20 + 3 * 32 + 8);
        assert!(bytes.starts_with(b"modmesh/statement/1\0\x01\x01"));
        assert!(bytes.ends_with(b"\x03\x03\0\0\0\0\0\0\x01\x02"));
        for other in [
            Statement {
                file: KeyHash([9; 32]),
                ..statement
            },
            Statement {
                h1: H1([9; 32]),
                ..statement
            },
            Statement {
                blob: BlobId([9; 32]),
                ..statement
            },
            Statement {
                length: 9,
                ..statement
            },
        ] {
            assert_ne!(other.to_signed(), bytes);
        }
    }
}
