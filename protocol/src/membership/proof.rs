//! The proof that a host knows a secret: HMAC-SHA-256 (RFC 2104) over who speaks to whom, and from which side.
//!
//! ```text
//! HMAC-SHA-256( secret, "modmesh/member/1" 00 ROLE 00 SPEAKER 00 HEARER )
//! ```
//!
//! `00` is one zero byte, `ROLE` is `dials` or `answers`, the names are the texts of the peer ids. The handshake of the
//! connection proves both names, so a proof is of use to nobody but the host that speaks it, towards the host that hears
//! it: stolen, replayed or sent back it names somebody else. No random number is needed for that, and 32 random bytes cannot
//! be found by trying.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::secret::{SECRET_BYTES, Secret, Secrets};
use crate::peer_name::PeerName;

/// Bytes of one proof.
pub const PROOF_BYTES: usize = 32;

/// What a proof is for; nothing else is ever hashed with a secret under this name.
const DOMAIN: &[u8] = b"modmesh/member/1";

/// A proof as it travels. Comparing it is [`Secrets::proven_by`]'s business alone, which takes the same time whatever it is.
pub type Proof = [u8; PROOF_BYTES];

/// The side of a connection that speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The side that made the connection and speaks first.
    Dials,
    /// The side that was called.
    Answers,
}

impl Role {
    /// The other side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Dials => Self::Answers,
            Self::Answers => Self::Dials,
        }
    }

    fn word(self) -> &'static [u8] {
        match self {
            Self::Dials => b"dials",
            Self::Answers => b"answers",
        }
    }
}

impl Secrets {
    /// What `speaker` says to `hearer`: one proof for each secret, so that hosts understand each other while one of two
    /// secrets is being exchanged, whoever of them has the new one first.
    pub fn proofs(&self, role: Role, speaker: &PeerName, hearer: &PeerName) -> Vec<Proof> {
        let proof = |secret| mac(secret, role, speaker, hearer).map(tag);
        self.iter().filter_map(proof).collect()
    }

    /// Whether one of `proofs` shows that `speaker` knows one of these secrets.
    pub fn proven_by(
        &self,
        proofs: &[Proof],
        role: Role,
        speaker: &PeerName,
        hearer: &PeerName,
    ) -> bool {
        let shows = |secret: &Secret, proof: &Proof| {
            let mac = mac(secret, role, speaker, hearer);
            mac.is_some_and(|mac| mac.verify_slice(proof).is_ok())
        };
        self.iter()
            .any(|secret| proofs.iter().any(|proof| shows(secret, proof)))
    }
}

/// Nothing if the key had a length that HMAC does not take; it takes every one.
fn mac(secret: &Secret, role: Role, speaker: &PeerName, hearer: &PeerName) -> Option<Hmac<Sha256>> {
    const { assert!(SECRET_BYTES == PROOF_BYTES) };
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).ok()?;
    let names = [speaker.as_str().as_bytes(), hearer.as_str().as_bytes()];
    mac.update(DOMAIN);
    for part in [role.word(), names[0], names[1]] {
        mac.update(&[0]);
        mac.update(part);
    }
    Some(mac)
}

fn tag(mac: Hmac<Sha256>) -> Proof {
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::hex;

    fn name(text: &str) -> PeerName {
        text.parse().unwrap()
    }

    fn secrets(bytes: &[u8]) -> Secrets {
        let line = |byte: &u8| Secret::new([*byte; SECRET_BYTES]).to_line() + "\n";
        Secrets::parse(&bytes.iter().map(line).collect::<String>()).unwrap()
    }

    /// RFC 4231, test cases 1 to 4, 6 and 7: that the crate computes what the protocol names.
    #[test]
    fn the_hash_is_that_of_rfc_4231() {
        let counted: Vec<u8> = (1..=25).collect();
        let long = b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.";
        let cases: [(&[u8], &[u8], &str); 6] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                &counted,
                &[0xcd; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &[0xaa; 131],
                long,
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ];
        for (key, data, expected) in cases {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(data);
            assert_eq!(hex(&tag(mac)), expected);
        }
    }

    /// The bytes of docs/protocol.md, computed with Python's `hmac` as well.
    #[test]
    fn a_proof_has_the_bytes_that_the_protocol_names() {
        let mine = secrets(&[7]);
        let (speaker, hearer) = (name("12D3KooWSpeaker"), name("12D3KooWHearer"));
        let said = mine.proofs(Role::Dials, &speaker, &hearer);
        assert_eq!(
            said.iter().map(|proof| hex(proof)).collect::<Vec<_>>(),
            ["6530558e2f43adf8b67b8f1ce9224c8c136b33f81617261c95916ebe3019fe9a"]
        );
    }

    #[test]
    fn a_proof_counts_for_its_speaker_hearer_and_side_alone() {
        let (a, b, c) = (name("A"), name("B"), name("C"));
        let mine = secrets(&[1]);
        let said = mine.proofs(Role::Dials, &a, &b);
        assert!(mine.proven_by(&said, Role::Dials, &a, &b));
        // Another side, sent back, said by a thief, passed on to somebody else.
        assert!(!mine.proven_by(&said, Role::Answers, &a, &b));
        assert!(!mine.proven_by(&said, Role::Answers, &b, &a));
        assert!(!mine.proven_by(&said, Role::Dials, &c, &b));
        assert!(!mine.proven_by(&said, Role::Dials, &a, &c));
        assert!(!secrets(&[2]).proven_by(&said, Role::Dials, &a, &b));
        assert!(!Secrets::default().proven_by(&said, Role::Dials, &a, &b));
        assert!(!mine.proven_by(&[], Role::Dials, &a, &b));
    }

    #[test]
    fn while_secrets_are_exchanged_one_that_both_know_is_enough() {
        let (a, b) = (name("A"), name("B"));
        let (old, both, new) = (secrets(&[1]), secrets(&[2, 1]), secrets(&[2]));
        let understand = |one: &Secrets, other: &Secrets| {
            other.proven_by(&one.proofs(Role::Dials, &a, &b), Role::Dials, &a, &b)
                && one.proven_by(&other.proofs(Role::Answers, &b, &a), Role::Answers, &b, &a)
        };
        assert!(understand(&old, &both) && understand(&both, &old));
        assert!(understand(&new, &both) && understand(&both, &new));
        assert!(!understand(&old, &new) && !understand(&new, &old));
    }

    proptest! {
        #[test]
        fn a_changed_bit_proves_nothing(secret in any::<u8>(), at in 0..PROOF_BYTES, bit in 0..8u8) {
            let (a, b) = (name("A"), name("B"));
            let mine = secrets(&[secret]);
            let mut said = mine.proofs(Role::Answers, &a, &b);
            said[0][at] ^= 1 << bit;
            prop_assert!(!mine.proven_by(&said, Role::Answers, &a, &b));
        }
    }
}
