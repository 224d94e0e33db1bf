//! The tree of a log: how its hashes are made, and the signed heads that commit to it.
//!
//! Hashing is that of RFC 6962, section 2.1, which golang.org/x/mod/sumdb/tlog shares: a leaf is the SHA-256 of a zero
//! byte and the record, an inner node that of a one byte and both children, so that neither can pass for the other. A
//! [`SignedHead`] exists only with a verified signature. Whether two heads belong to one log is a matter of tiles and
//! is decided in [`crate::log::authenticate`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::decimal;
use super::note::{NoteError, VerifierKey};
use crate::digest::{Hasher, hex};

/// A node of the tree: a SHA-256.
pub type Hash = [u8; 32];

/// The greatest number of records a tree can have: Go counts them in a signed 64-bit number.
pub const TREE_SIZE_MAX: u64 = i64::MAX as u64;

const HEAD_PREFIX: &str = "go.sum database tree\n";

/// What stands before the hash in a line of go.sum: `cmd/go` compares with `PATH VERSION h1:HASH` (`modfetch.checkSumDB`).
const GO_SUM_HASH: &str = " h1:";

/// A state of the log: how many records, and the root hash over them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeHead {
    /// The number of records; their ids are below it. At most [`TREE_SIZE_MAX`].
    pub size: u64,
    /// The root hash of the tree over those records.
    pub root: Hash,
}

/// A tree head that the database's key has signed, with the note it came in, to be handed on unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    head: TreeHead,
    note: String,
}

impl TreeHead {
    /// The head of a log without records.
    pub fn empty() -> Self {
        Self {
            size: 0,
            root: empty_root(),
        }
    }

    /// Reads the text of a head: its title line, the size in decimal, the root in base64. Further lines are ignored,
    /// for the sake of later versions of the form. Source: `tlog.ParseTree` in golang.org/x/mod.
    ///
    /// Stricter than Go in one point: none of the further lines may hold a hash of go.sum. Heads are handed on as they were
    /// signed, with every record, and clients before golang.org/x/mod v0.40.0 take such a line for one of the record
    /// (CVE-2026-56864).
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let rest = text
            .strip_prefix(HEAD_PREFIX)
            .ok_or(NoteError::NotAHead("another first line"))?;
        let (size, rest) = rest
            .split_once('\n')
            .ok_or(NoteError::NotAHead("no line with the size"))?;
        let (root, further) = rest
            .split_once('\n')
            .ok_or(NoteError::NotAHead("no line with the root"))?;
        if further.contains(GO_SUM_HASH) {
            return Err(NoteError::NotAHead("it holds lines of go.sum"));
        }
        let size = decimal(size).ok_or(NoteError::NotAHead("the size is no plain number"))?;
        let root = STANDARD
            .decode(root)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(NoteError::NotAHead(
                "the root is not the base64 of 32 bytes",
            ))?;
        Ok(Self { size, root })
    }

    /// The text of this head as a database signs it.
    pub fn text(&self) -> String {
        format!(
            "{HEAD_PREFIX}{}\n{}\n",
            self.size,
            STANDARD.encode(self.root)
        )
    }
}

impl std::fmt::Debug for TreeHead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TreeHead({} {})", self.size, hex(&self.root))
    }
}

impl SignedHead {
    /// Opens a signed note, verifies `key`'s signature and reads the head.
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self, NoteError> {
        let text = key.open(note)?;
        let head = TreeHead::parse(text)?;
        // The key has opened it, so it is UTF-8 and nothing is replaced.
        let note = String::from_utf8_lossy(note).into_owned();
        Ok(Self { head, note })
    }

    /// What was signed.
    pub fn head(&self) -> &TreeHead {
        &self.head
    }

    /// The number of records under this head.
    pub fn size(&self) -> u64 {
        self.head.size
    }

    /// The whole note with its signatures, byte for byte as it came.
    pub fn note(&self) -> &str {
        &self.note
    }
}

/// The leaf of a record: SHA-256 over a zero byte and the record's text.
pub fn record_hash(text: &[u8]) -> Hash {
    let mut hasher = Hasher::new();
    hasher.update(&[0]);
    hasher.update(text);
    hasher.finish()
}

/// The parent of two nodes: SHA-256 over a one byte, the left and the right hash.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Hasher::new();
    hasher.update(&[1]);
    hasher.update(left);
    hasher.update(right);
    hasher.finish()
}

/// The root of a tree without records: the SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hasher::digest(&[])
}
