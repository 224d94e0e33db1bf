//! Signed notes and the keys that verify them.
//!
//! The form is that of golang.org/x/mod/sumdb/note: a text, a blank line, and signature lines of an em dash, a name and
//! base64. It always holds that a text which leaves this file was signed by the one key asked for. Signatures of other
//! keys must be well formed and are otherwise ignored, so that a database can let witnesses sign along.
//!
//! Three things are stricter than Go, and no database's own notes are affected: base64 must be canonical (Go ignores
//! stray bits in the last digit, so that one note has many spellings), a note is at most [`NOTE_BYTES_MAX`] long, and
//! signatures or keys made of points of small order are refused.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};

use crate::digest::{Hasher, hex};

/// The verifier key of the public Go checksum database, as it is built into the go command (`modfetch/key.go`).
pub const SUM_GOLANG_ORG: &str =
    "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

/// The longest note accepted, in bytes.
///
/// A head of sum.golang.org has 188 bytes and one signature line 110; with the 100 signatures that a note may carry
/// and room for extra lines a head stays far below. Go's own bound is a million bytes for the text alone, which is
/// more than a neighbour should be able to make us hold.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

/// How many signature lines a note may have, repeated ones included. Source: `note.Open` in golang.org/x/mod.
pub const SIGNATURES_MAX: usize = 100;

/// The first byte of an encoded key says its algorithm; this one is Ed25519.
const ED25519: u8 = 1;

const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// The public key of a checksum database: `name+hash+base64`, where the hash is eight hexadecimal digits.
///
/// Printed in its one canonical spelling. Source of the form: `note.NewVerifier` in golang.org/x/mod/sumdb/note.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    hash: [u8; 4],
    key: Box<VerifyingKey>,
    text: String,
}

/// Which checksum database: the SHA-256 of its verifier key's text. Two databases of one name and different keys
/// differ.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatabaseId(pub [u8; 32]);

/// A text that is no verifier key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not of the form `name+hash+base64`, or a name with blanks.
    #[error("not a verifier key: `name+hash+key` is expected")]
    Malformed,
    /// The hash is not that of the name and the key.
    #[error("the verifier key's hash does not belong to its name and key: a part was mistyped")]
    Hash,
    /// Not Ed25519.
    #[error("the verifier key's algorithm is unknown: only Ed25519 (1) is supported")]
    Algorithm,
    /// 32 bytes that are not an Ed25519 public key.
    #[error("the verifier key holds no valid Ed25519 public key")]
    Point,
}

/// A note that says nothing we may believe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`NOTE_BYTES_MAX`].
    #[error("the note is longer than {NOTE_BYTES_MAX} bytes")]
    TooLong,
    /// Not the form of a signed note.
    #[error("malformed note: {0}")]
    Malformed(&'static str),
    /// A signature in the name of the key that the key did not make.
    #[error("the signature in the name of {0} is false")]
    FalseSignature(String),
    /// Well formed, but the key did not sign it.
    #[error("the note is not signed by {0}")]
    Unsigned(String),
    /// Signed, but the text is no tree head.
    #[error("the signed text is no tree head: {0}")]
    NotAHead(&'static str),
}

impl VerifierKey {
    /// Reads `name+hash+base64`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, rest) = text.split_once('+').ok_or(KeyError::Malformed)?;
        let (hash, key) = rest.split_once('+').ok_or(KeyError::Malformed)?;
        let hash_is_hex = hash.len() == 8 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !hash_is_hex || !is_name(name) {
            return Err(KeyError::Malformed);
        }
        let encoded = STANDARD.decode(key).map_err(|_| KeyError::Malformed)?;
        let (&algorithm, point) = encoded.split_first().ok_or(KeyError::Malformed)?;
        if hash.to_ascii_lowercase() != hex(&key_hash(name, &encoded)) {
            return Err(KeyError::Hash);
        }
        if algorithm != ED25519 {
            return Err(KeyError::Algorithm);
        }
        let point = point.try_into().map_err(|_| KeyError::Malformed)?;
        Self::of_ed25519(name, point)
    }

    /// The key of a database called `name` that signs with the Ed25519 key whose public half is `point`.
    pub fn of_ed25519(name: &str, point: &[u8; 32]) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError::Malformed);
        }
        let key = VerifyingKey::from_bytes(point).map_err(|_| KeyError::Point)?;
        if key.is_weak() {
            return Err(KeyError::Point);
        }
        let mut encoded = vec![ED25519];
        encoded.extend_from_slice(point);
        let hash = key_hash(name, &encoded);
        Ok(Self {
            name: name.to_owned(),
            hash,
            key: Box::new(key),
            text: format!("{name}+{}+{}", hex(&hash), STANDARD.encode(&encoded)),
        })
    }

    /// The key of the public Go checksum database, [`SUM_GOLANG_ORG`].
    pub fn sum_golang_org() -> Self {
        Self::parse(SUM_GOLANG_ORG).expect("the built-in key is well formed")
    }

    /// The database's name, as it stands in URLs and signature lines.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Ed25519 public key, in its 32-byte form.
    pub fn point(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// The whole key, `name+hash+base64`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Which database this key speaks for.
    pub fn database_id(&self) -> DatabaseId {
        DatabaseId(Hasher::digest(self.text.as_bytes()))
    }

    /// The text of a signed note, when this key signed it. The text ends in a newline.
    ///
    /// Of several signatures in this key's name only the first is tried, as in Go, and it must be good.
    pub fn open<'note>(&self, note: &'note [u8]) -> Result<&'note str, NoteError> {
        let (text, signatures) = split(note)?;
        let mut signed = false;
        for (count, line) in signatures.split_terminator('\n').enumerate() {
            if count >= SIGNATURES_MAX {
                return Err(NoteError::Malformed("more than 100 signatures"));
            }
            let signature = SignatureLine::parse(line)?;
            let ours = signature.name == self.name && signature.key_hash == self.hash;
            if ours && !signed {
                self.verify(text, &signature.bytes)?;
                signed = true;
            }
        }
        if signed {
            Ok(text)
        } else {
            Err(NoteError::Unsigned(self.text.clone()))
        }
    }

    /// The signed note that consists of `text` and this key's `signature` over it: the counterpart of [`Self::open`].
    ///
    /// For those who build a log of their own. `text` must end in a newline; the signature is not checked here.
    pub fn signed_note(&self, text: &str, signature: &[u8; 64]) -> String {
        let mut bytes = self.hash.to_vec();
        bytes.extend_from_slice(signature);
        let encoded = STANDARD.encode(bytes);
        format!("{text}\n{SIGNATURE_PREFIX}{} {encoded}\n", self.name)
    }

    fn verify(&self, text: &str, signature: &[u8]) -> Result<(), NoteError> {
        Signature::from_slice(signature)
            .and_then(|signature| self.key.verify_strict(text.as_bytes(), &signature))
            .map_err(|_| NoteError::FalseSignature(self.name.clone()))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseId({self})")
    }
}

/// One signature line, taken apart.
struct SignatureLine<'note> {
    name: &'note str,
    key_hash: [u8; 4],
    bytes: Vec<u8>,
}

impl<'note> SignatureLine<'note> {
    fn parse(line: &'note str) -> Result<Self, NoteError> {
        const MALFORMED: NoteError = NoteError::Malformed("a line that is no signature");
        let rest = line.strip_prefix(SIGNATURE_PREFIX).ok_or(MALFORMED)?;
        let (name, encoded) = rest.split_once(' ').ok_or(MALFORMED)?;
        let decoded = STANDARD.decode(encoded).map_err(|_| MALFORMED)?;
        let (&key_hash, bytes) = decoded.split_first_chunk().ok_or(MALFORMED)?;
        if !is_name(name) || bytes.is_empty() {
            return Err(MALFORMED);
        }
        Ok(Self {
            name,
            key_hash,
            bytes: bytes.to_vec(),
        })
    }
}

/// Parts a note into its text and its signature lines, at the last blank line.
fn split(note: &[u8]) -> Result<(&str, &str), NoteError> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(NoteError::TooLong);
    }
    let note = std::str::from_utf8(note).map_err(|_| NoteError::Malformed("not UTF-8"))?;
    if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(NoteError::Malformed("a control character"));
    }
    let blank = note
        .rfind("\n\n")
        .ok_or(NoteError::Malformed("no blank line before signatures"))?;
    let (text, signatures) = (&note[..=blank], &note[blank + 2..]);
    if !signatures.ends_with('\n') {
        return Err(NoteError::Malformed(
            "the signatures do not end in a newline",
        ));
    }
    Ok((text, signatures))
}

/// Whether `name` may stand in a key and a signature line: not empty, without white space and plus signs.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')
}

fn key_hash(name: &str, encoded_key: &[u8]) -> [u8; 4] {
    let mut hasher = Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(b"\n");
    hasher.update(encoded_key);
    let [a, b, c, d, ..] = hasher.finish();
    [a, b, c, d]
}
