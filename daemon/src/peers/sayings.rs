//! What upstreams said to members just now: one asks, and the others take its word for the moment.
//!
//! Only a closed host answers such questions, and only members ask. Who says it is who signs it, and nobody hands it on. Whether it
//! counts is decided elsewhere.

use std::time::Duration;

use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::limits::SHARED_NOTE_BYTES_MAX;
use modmesh_protocol::membership::{Saying, is_worth_saying};
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::{Answer, SaidByUpstream};

use super::statements::{Signer, is_signed_by};
use super::{PeerError, Peers, Shelf, ask};

/// What this host's upstream said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShelvedSaying {
    /// The status of the answer: 200, 404 or 410.
    pub status: u16,
    /// Its body, or the reason.
    pub bytes: Vec<u8>,
    /// How long ago.
    pub age: Duration,
    /// When, since 1970.
    pub at: Duration,
}

/// What a member's upstream said, signed by that member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SayingOfMember {
    /// Who tells it.
    pub member: PeerName,
    /// The status of the answer: 200, 404 or 410.
    pub status: u16,
    /// Its body, or the reason.
    pub bytes: Vec<u8>,
    /// How long ago, by the member's word.
    pub age: Duration,
}

impl Peers {
    /// Asks `member` what its upstream said of late to what has this key, [`KeyHash::of_saying`]. What it did not sign counts as
    /// nothing said. Nothing on an open host.
    ///
    /// # Errors
    /// When it cannot be asked; a busy one is asked again for two seconds.
    pub async fn said(
        &self,
        member: &PeerName,
        key: KeyHash,
    ) -> Result<Option<SayingOfMember>, PeerError> {
        if !self.shared.members.is_closed() {
            return Ok(None);
        }
        let id = self.usable(member)?;
        let said = ask::said(&self.shared, &id, key).await?;
        Ok(said.and_then(|said| checked(member, key, said)))
    }
}

impl Signer {
    /// What this host's upstream said to `key`, signed, if it fits an answer. Blocks like the shelf.
    pub(super) fn said(&self, shelf: &dyn Shelf, key: KeyHash) -> Answer {
        let here = shelf.saying(key);
        let fits = here.filter(|here| here.bytes.len() <= SHARED_NOTE_BYTES_MAX);
        Answer::Said(fits.and_then(|here| {
            let saying = Saying {
                key,
                status: here.status,
                bytes: &here.bytes,
                at: here.at,
            };
            let signature = self.sign(&saying.to_signed())?;
            Some(SaidByUpstream {
                status: here.status,
                age_ms: u64::try_from(here.age.as_millis()).unwrap_or(u64::MAX),
                at_seconds: here.at.as_secs(),
                bytes: here.bytes,
                signature,
            })
        }))
    }
}

/// What `member` says, if it signed that and it is worth saying.
fn checked(member: &PeerName, key: KeyHash, said: SaidByUpstream) -> Option<SayingOfMember> {
    let saying = Saying {
        key,
        status: said.status,
        bytes: &said.bytes,
        at: Duration::from_secs(said.at_seconds),
    };
    let is_signed = is_signed_by(member, &saying.to_signed(), &said.signature);
    (is_signed && is_worth_saying(said.status)).then(|| SayingOfMember {
        member: member.clone(),
        status: said.status,
        bytes: said.bytes,
        age: Duration::from_millis(said.age_ms),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use libp2p::PeerId;
    use libp2p::identity::Keypair;

    use super::super::name_of;
    use super::*;

    #[test]
    fn a_saying_counts_when_the_one_who_tells_it_signed_it() {
        let (key, pair) = (KeyHash([1; 32]), Keypair::generate_ed25519());
        let member = name_of(&pair.public().to_peer_id());
        let signer = Signer::new(pair);
        let signed = |status: u16, bytes: &[u8]| {
            let saying = Saying {
                key,
                status,
                bytes,
                at: Duration::from_secs(7),
            };
            SaidByUpstream {
                status,
                bytes: bytes.to_vec(),
                age_ms: 1500,
                at_seconds: 7,
                signature: signer.sign(&saying.to_signed()).unwrap(),
            }
        };
        let no = signed(404, b"not found");
        let good = checked(&member, key, no.clone()).unwrap();
        assert_eq!((good.status, good.age), (404, Duration::from_millis(1500)));
        assert_eq!(
            (good.member, good.bytes),
            (member.clone(), no.bytes.clone())
        );
        // What others may hear differently counts for nothing, signed or not.
        assert_eq!(checked(&member, key, signed(403, b"")), None);
        let other = name_of(&PeerId::random());
        assert_eq!(checked(&other, key, no.clone()), None);
        assert_eq!(checked(&member, KeyHash([9; 32]), no.clone()), None);
        for wrong in [
            SaidByUpstream {
                status: 410,
                ..no.clone()
            },
            SaidByUpstream {
                bytes: Vec::new(),
                ..no.clone()
            },
            SaidByUpstream {
                at_seconds: 8,
                ..no
            },
        ] {
            assert_eq!(checked(&member, key, wrong), None);
        }
    }
}
