//! What members tell each other that nothing proves: statements about files, signed by their authors, and notes.
//!
//! Only a closed host answers such questions, and only members ask. A statement is checked for its signature here and for
//! nothing else; who wrote it and who gave it is told on, so that the word of either can be taken back.

use std::time::Duration;

use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::digest::{BlobId, H1};
use modmesh_protocol::limits::SHARED_NOTE_BYTES_MAX;
use modmesh_protocol::membership::{SIGNATURE_BYTES, Statement};
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::{Answer, FileStatement, SharedNote};

use super::{Haste, Peers, Shelf, locate, name_of, peer_id_of};

/// A file that nothing proves, as this host has it.
#[derive(Debug, Clone)]
pub struct ShelvedStatement {
    /// The hash of its contents.
    pub h1: H1,
    /// The SHA-256 of its bytes.
    pub blob: BlobId,
    /// Their number.
    pub length: u64,
    /// Whose statement it rests on; nothing when this host got it by itself.
    pub by: Option<(PeerName, [u8; SIGNATURE_BYTES])>,
}

/// A statement whose signature is its author's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedFile {
    /// The member that gave the statement and has the file.
    pub giver: PeerName,
    /// Who signed it.
    pub author: PeerName,
    /// What it says.
    pub statement: Statement,
    /// The signature.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// What came of asking members for a file that nothing proves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statements {
    /// How many were asked.
    pub asked: usize,
    /// How many of them had not answered when the waiting ended.
    pub silent: usize,
    /// What they state, best giver first.
    pub found: Vec<StatedFile>,
}

/// What an upstream said to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteOfMember {
    /// Who tells it.
    pub giver: PeerName,
    /// The answer.
    pub bytes: Vec<u8>,
    /// How long ago, by the member's word.
    pub age: Duration,
}

impl Peers {
    /// Asks the members, like [`Peers::locate`], what they have as `file` that nothing proves. The first two of those that are `named` are
    /// asked in any case, given the time that nobody else would be, and come first. Statements that their authors did not
    /// sign are left out. Nothing on an open host.
    pub async fn stated(&self, file: KeyHash, haste: Haste, named: &[PeerName]) -> Statements {
        match self.shared.members.is_closed() {
            true => locate::stated(&self.shared, file, haste, named).await,
            false => Statements::default(),
        }
    }

    /// Asks the members, like [`Peers::locate`], what was said to the note at `path`. Nothing on an open host.
    pub async fn notes(&self, path: &str, haste: Haste) -> Vec<NoteOfMember> {
        match self.shared.members.is_closed() {
            true => locate::notes(&self.shared, path, haste).await,
            false => Vec::new(),
        }
    }
}

/// Signs what this host states.
#[derive(Debug)]
pub(super) struct Signer {
    key: Keypair,
    ours: PeerName,
}

impl Signer {
    pub(super) fn new(key: Keypair) -> Self {
        let ours = name_of(&key.public().to_peer_id());
        Self { key, ours }
    }

    /// The signature of `bytes`, where the key gives one.
    pub(super) fn sign(&self, bytes: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
        self.key.sign(bytes).ok()?.try_into().ok()
    }

    /// What this host states of `file`. Blocks like the shelf.
    pub(super) fn state(&self, shelf: &dyn Shelf, file: KeyHash) -> Answer {
        let stated = shelf.statement(file).and_then(|here| {
            let statement = Statement {
                file,
                h1: here.h1,
                blob: here.blob,
                length: here.length,
            };
            let (author, signature) = match here.by {
                Some(by) => by,
                None => (self.ours.clone(), self.sign(&statement.to_signed())?),
            };
            Some(FileStatement {
                author: author.to_string(),
                h1: here.h1.0,
                blob: here.blob.0,
                length: here.length,
                signature,
            })
        });
        Answer::Stated(stated)
    }
}

/// The note at `path`, if it fits an answer. Blocks like the shelf.
pub(super) fn note(shelf: &dyn Shelf, path: &str) -> Answer {
    let here = shelf.note(path);
    let fits = here.filter(|(bytes, _)| bytes.len() <= SHARED_NOTE_BYTES_MAX);
    Answer::Note(fits.map(|(bytes, age)| SharedNote {
        bytes,
        age_seconds: age.as_secs(),
    }))
}

/// What `giver` states of `file`, if its author signed that.
pub(super) fn checked(
    giver: &PeerName,
    file: KeyHash,
    stated: FileStatement,
) -> Option<StatedFile> {
    let author: PeerName = stated.author.parse().ok()?;
    let statement = Statement {
        file,
        h1: H1(stated.h1),
        blob: BlobId(stated.blob),
        length: stated.length,
    };
    let is_signed = is_signed_by(&author, &statement.to_signed(), &stated.signature);
    is_signed.then(|| StatedFile {
        giver: giver.clone(),
        author,
        statement,
        signature: stated.signature,
    })
}

/// Whether `author` signed `bytes`.
pub(super) fn is_signed_by(author: &PeerName, bytes: &[u8], signature: &[u8]) -> bool {
    let key = peer_id_of(author).and_then(|id| key_of(&id));
    key.is_some_and(|key| key.verify(bytes, signature))
}

/// The key that an Ed25519 peer id is: its multihash is the identity of the encoded key (libp2p's peer id specification).
fn key_of(peer: &PeerId) -> Option<PublicKey> {
    const IDENTITY: u64 = 0;
    let hash = peer.as_ref();
    let encoded = (hash.code() == IDENTITY).then(|| hash.digest())?;
    let key = PublicKey::try_decode_protobuf(encoded).ok()?;
    (key.to_peer_id() == *peer).then_some(key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_its_authors_whoever_gives_it() {
        let signer = Signer::new(Keypair::generate_ed25519());
        let file = KeyHash([1; 32]);
        let statement = Statement {
            file,
            h1: H1([2; 32]),
            blob: BlobId([3; 32]),
            length: 7,
        };
        let signature = signer.key.sign(&statement.to_signed()).unwrap();
        let stated = FileStatement {
            author: signer.ours.to_string(),
            h1: [2; 32],
            blob: [3; 32],
            length: 7,
            signature: signature.try_into().unwrap(),
        };
        let giver = name_of(&PeerId::random());
        let good = checked(&giver, file, stated.clone()).unwrap();
        assert_eq!(
            (good.giver, good.author),
            (giver.clone(), signer.ours.clone())
        );
        assert_eq!(good.statement, statement);
        let other = Signer::new(Keypair::generate_ed25519());
        for wrong in [
            FileStatement {
                length: 8,
                ..stated.clone()
            },
            FileStatement {
                author: other.ours.to_string(),
                ..stated.clone()
            },
            FileStatement {
                author: giver.to_string(),
                ..stated.clone()
            },
            FileStatement {
                author: "nobody".into(),
                ..stated.clone()
            },
        ] {
            assert_eq!(checked(&giver, file, wrong), None);
        }
        assert_eq!(checked(&giver, KeyHash([9; 32]), stated), None);
    }
}
