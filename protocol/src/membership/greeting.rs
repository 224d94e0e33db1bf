//! What two hosts say about membership in their first words, and what each makes of it.
//!
//! The dialler says its proofs before it knows anything of the other side; the side that answers has judged them by then
//! and says its verdict with its own proofs. It gives none to a stranger. The words travel in the field
//! [`Hello::membership`](crate::wire::Hello::membership), which a host without secret and list leaves empty.

use super::proof::{PROOF_BYTES, Proof, Role};
use super::secret::{SECRETS_MAX, Secrets};
use crate::limits::MEMBERSHIP_BYTES_MAX;
use crate::peer_name::PeerName;

/// The form of the words; another one is not understood.
const FORM: u8 = 1;
/// Bit of the third byte: the speaker has a mesh secret.
const HAS_SECRET: u8 = 1;

/// What a closed host says about membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// What the speaker makes of the hearer.
    pub verdict: Verdict,
    /// Whether the speaker has a mesh secret; else it has a list alone.
    pub has_secret: bool,
    /// Proofs of the speaker's secrets; none towards a stranger.
    pub proofs: Vec<Proof>,
}

/// What a host makes of the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet: the dialler's.
    Open,
    /// A member.
    Member,
    /// No member.
    Stranger,
}

/// By what a host judges whom it greets.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The secrets of this host; none when it has no mesh secret.
    pub secrets: &'a Secrets,
    /// Whether this host has a list of members.
    pub has_list: bool,
    /// Whether the other side is on it.
    pub is_listed: bool,
}

/// Why two hosts have nothing to do with each other. Nobody has lied: people have set up their hosts differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// This host is open, the other has a mesh secret.
    #[error(
        "it is a member of a mesh with a secret, and this host is not: give this one the same --mesh-secret-file"
    )]
    TheyHaveASecret,
    /// This host is open, the other has a list of members alone.
    #[error("it talks to a list of members alone: name this host there with --member, and it here")]
    TheyHaveAList,
    /// This host is closed, the other is open.
    #[error(
        "it has no mesh secret, and this host talks to members alone: give it the same --mesh-secret-file, if it is one"
    )]
    NoMember,
    /// Both have a secret, and not the same one.
    #[error("its mesh secret is another than this host's: give both the same --mesh-secret-file")]
    AnotherSecret,
    /// This host knows members by a list alone, and the other is not on it.
    #[error("it is not on this host's list of members: name it with --member, if it is one")]
    NotListed,
    /// The other side does not take this host for a member.
    #[error(
        "it does not take this host for a member: name this host there with --member, or give both the same --mesh-secret-file"
    )]
    NotWanted,
    /// The words are none that this release knows.
    #[error("what it says about membership is not understood: run the same release on both hosts")]
    NotUnderstood,
}

impl Rules<'_> {
    /// Whether this host deals with members alone.
    pub fn is_closed(&self) -> bool {
        !self.secrets.is_empty() || self.has_list
    }

    /// What `ours` says to `theirs` from the side `role`; nothing from an open host.
    pub fn words(
        &self,
        role: Role,
        verdict: Verdict,
        ours: &PeerName,
        theirs: &PeerName,
    ) -> Option<Words> {
        self.is_closed().then(|| Words {
            verdict,
            has_secret: !self.secrets.is_empty(),
            proofs: match verdict {
                Verdict::Stranger => Vec::new(),
                Verdict::Open | Verdict::Member => self.secrets.proofs(role, ours, theirs),
            },
        })
    }

    /// What this host makes of what `theirs` says from the side `role` in the field of its hello.
    ///
    /// # Errors
    /// The [`Refusal`] that ends the connection.
    pub fn judge(
        &self,
        said: Option<&[u8]>,
        role: Role,
        theirs: &PeerName,
        ours: &PeerName,
    ) -> Result<(), Refusal> {
        let Some(said) = said else {
            return match self.is_closed() {
                true => Err(Refusal::NoMember),
                false => Ok(()),
            };
        };
        let words = Words::decode(said);
        if !self.is_closed() {
            return Err(match words {
                Some(words) if !words.has_secret => Refusal::TheyHaveAList,
                _ => Refusal::TheyHaveASecret,
            });
        }
        let words = words.ok_or(Refusal::NotUnderstood)?;
        // The side that answers has judged, and the dialler cannot have.
        if (role == Role::Dials) != (words.verdict == Verdict::Open) {
            return Err(Refusal::NotUnderstood);
        }
        let is_wanted = words.verdict != Verdict::Stranger;
        let proves = || self.secrets.proven_by(&words.proofs, role, theirs, ours);
        let have_both = !self.secrets.is_empty() && words.has_secret;
        match (self.is_listed || proves(), is_wanted) {
            (true, true) => Ok(()),
            // It gives no proof to a stranger, so nothing is known of its secret but that ours was of no use there.
            (false, _) if have_both => Err(Refusal::AnotherSecret),
            (true, false) => Err(Refusal::NotWanted),
            (false, false) => Err(Refusal::NotWanted),
            (false, true) if self.secrets.is_empty() => Err(Refusal::NotListed),
            (false, true) => Err(Refusal::NoMember),
        }
    }
}

impl Words {
    /// The bytes of the field.
    pub fn encode(&self) -> Vec<u8> {
        const { assert!(3 + SECRETS_MAX * PROOF_BYTES <= MEMBERSHIP_BYTES_MAX) };
        let verdict = match self.verdict {
            Verdict::Open => 0,
            Verdict::Member => 1,
            Verdict::Stranger => 2,
        };
        let grounds = if self.has_secret { HAS_SECRET } else { 0 };
        let mut bytes = vec![FORM, verdict, grounds];
        bytes.extend(self.proofs.iter().take(SECRETS_MAX).flatten());
        bytes
    }

    /// Reads the bytes of the field: nothing where this release does not understand all of them. Bits of the third byte
    /// that it does not know are ignored.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[form, verdict, grounds], rest) = bytes.split_first_chunk()?;
        let (proofs, left_over) = rest.as_chunks::<PROOF_BYTES>();
        if form != FORM || !left_over.is_empty() || proofs.len() > SECRETS_MAX {
            return None;
        }
        Some(Self {
            verdict: match verdict {
                0 => Verdict::Open,
                1 => Verdict::Member,
                2 => Verdict::Stranger,
                _ => return None,
            },
            has_secret: grounds & HAS_SECRET != 0,
            proofs: proofs.to_vec(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
