//! The two names that bytes can have.
//!
//! [`BlobId`] names bytes: the SHA-256 of a file as it lies on disk or crosses a wire. [`H1`] proves content: the hash
//! that go.sum lines and checksum-database records carry. One h1 has many byte forms (compression and order of a zip do
//! not enter it), so the two are different types and are never compared with each other.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The SHA-256 of a file's bytes: the name of a blob. Printed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobId(pub [u8; 32]);

/// A go.sum hash: the SHA-256 over the sorted list of a module's file hashes, `h1:` and standard base64 when printed.
///
/// Source of the rule: `dirhash.Hash1` in golang.org/x/mod/sumdb/dirhash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct H1(pub [u8; 32]);

/// A text that is no digest of the kind that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not 64 lower-case hexadecimal digits.
    #[error("not a blob id: 64 lower-case hexadecimal digits are expected")]
    BlobId,
    /// Not `h1:` followed by the standard base64 of 32 bytes.
    #[error("not an h1 hash: `h1:` and the base64 of 32 bytes are expected")]
    H1,
}

/// A SHA-256 computed over bytes as they come.
#[derive(Clone, Debug, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Starts over nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was added.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// The digest of `bytes` alone.
    pub fn digest(bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(bytes).into()
    }
}

impl BlobId {
    /// The name of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Hasher::digest(bytes))
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobId({self})")
    }
}

impl FromStr for BlobId {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        unhex(text).map(Self).ok_or(DigestError::BlobId)
    }
}

impl fmt::Display for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h1:{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "H1({self})")
    }
}

impl FromStr for H1 {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let encoded = text.strip_prefix("h1:").ok_or(DigestError::H1)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| DigestError::H1)?;
        bytes.try_into().map(Self).map_err(|_| DigestError::H1)
    }
}

impl Serialize for BlobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl Serialize for H1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for H1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 0x0f)] as char);
    }
    text
}

/// The 32 bytes that 64 lower-case hexadecimal digits stand for, or nothing for any other text.
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    fn value(digit: u8) -> Option<u8> {
        match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        }
    }
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0u8; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_as_it_was_printed() {
        let id = BlobId::of(b"hello");
        assert_eq!(
            id.to_string(),
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
        assert_eq!(id.to_string().parse::<BlobId>().unwrap(), id);
        let h1 = H1(id.0);
        assert_eq!(h1.to_string().parse::<H1>().unwrap(), h1);
    }

    #[test]
    fn texts_of_another_form_are_refused() {
        for text in [
            "",
            "h1:",
            "h1:AAAA",
            "h2:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
            "\u{e9}",
        ] {
            assert_eq!(text.parse::<H1>(), Err(DigestError::H1), "{text}");
            assert_eq!(text.parse::<BlobId>(), Err(DigestError::BlobId), "{text}");
        }
        let upper = BlobId::of(b"hello").to_string().to_uppercase();
        assert_eq!(upper.parse::<BlobId>(), Err(DigestError::BlobId));
    }
}
