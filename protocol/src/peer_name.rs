//! How a neighbour is called: the text of its peer id.
//!
//! The name is the base58 text that people see in logs and type in `--peer .../p2p/NAME`. It keeps the network library's
//! own type inside the one room that knows it. That the text is the hash of a key is not checked here; a name that comes
//! from a connection was proven by its handshake.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest text of a peer id: an identity multihash of 42 bytes gives 52 characters, a SHA-256 one 46. Rounded up.
pub(crate) const PEER_NAME_BYTES_MAX: usize = 64;

/// The text of a neighbour's peer id, cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerName(Arc<str>);

/// A text that cannot be a peer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a peer id: 1 to 64 base58 characters are expected, such as 12D3KooW...")]
pub struct PeerNameError;

impl PeerName {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of somebody whose peer id has no such text. It equals no real one.
    pub fn nameless() -> Self {
        Self("nameless".into())
    }

    /// The last eight characters: enough to tell hosts of one LAN apart in a log line (all Ed25519 names begin alike).
    pub fn short(&self) -> &str {
        // The characters are ASCII, so every index is a boundary.
        &self.0[self.0.len().saturating_sub(8)..]
    }
}

impl FromStr for PeerName {
    type Err = PeerNameError;

    fn from_str(text: &str) -> Result<Self, PeerNameError> {
        let base58 = |b: u8| b.is_ascii_alphanumeric() && !matches!(b, b'0' | b'O' | b'I' | b'l');
        let fits =
            !text.is_empty() && text.len() <= PEER_NAME_BYTES_MAX && text.bytes().all(base58);
        fits.then(|| Self(text.into())).ok_or(PeerNameError)
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerName({self})")
    }
}

impl Serialize for PeerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PeerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_base58_and_short() {
        let text = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        let name: PeerName = text.parse().unwrap();
        assert_eq!(name.to_string(), text);
        assert_eq!(name.short(), "4kx6nXTN");
        for wrong in ["", "0", "l", "a/b", "é", &"a".repeat(65)] {
            assert_eq!(wrong.parse::<PeerName>(), Err(PeerNameError), "{wrong}");
        }
    }
}
