//! Stand-in until the log arrives: the name of a checksum database.

/// A checksum database: SHA-256 of its verifier key's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatabaseId(pub [u8; 32]);
