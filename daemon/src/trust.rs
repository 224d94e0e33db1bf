//! The gate. What a file's h1 must be comes from the checksum database ([`Authority`]), or, where that says nothing, from a
//! go.sum of this host's user ([`GoSums`]); what it is comes from the file; only where the two agree, and a zip is one that
//! Go would accept, is a [`Proof`] made. Nothing else in the house can make one, and nothing enters the store without one.
//!
//! The gate reads files that lie in staging; it never sees the network, and never decides who is to blame for a lie.

mod go_sums;
mod proof;

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use modmesh_protocol::artifact::{ArtifactKey, FileKind};
use modmesh_protocol::digest::H1;
use modmesh_protocol::h1;
use modmesh_protocol::zip::{self, FileAt, Grammar, ZipError};

pub(crate) use crate::log::{Authority, Finding, ListedRecord, Offer};
pub(crate) use go_sums::{GoSumTotals, GoSums, NoRoom, Permanence, RefusedLines, Silence, Vouched};
pub(crate) use proof::{FollowedLog, FollowedLogs, MeasuredFile, OnMember, Proof, Scope, Unlisted};
use proof::{Ground, OnGoSum};

/// Largest go.mod that Go reads (`MaxGoMod` in golang.org/x/mod/zip).
pub(crate) const GO_MOD_BYTES_MAX: u64 = 16 << 20;
/// Largest module zip that Go reads (`MaxZipFile` in golang.org/x/mod/zip).
pub(crate) const ZIP_BYTES_MAX: u64 = 500 << 20;

/// What the gate holds a file against.
#[derive(Debug, Clone)]
pub(crate) enum Expected {
    /// The checksum database lists the version.
    Listed(Arc<ListedRecord>),
    /// The database says nothing, and a go.sum of this host's user does.
    GoSum(Arc<Vouched>),
    /// There is nothing to compare with.
    Unlisted(Unlisted),
    /// The database could not be asked; says why.
    Pending(Arc<str>),
}

/// Who handed a file to us; neighbours are held to the narrower zip grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Giver {
    Neighbour,
    Upstream,
}

/// Why a file did not pass the gate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Rejection {
    /// The contents are not those that the checksum database lists.
    #[error("{key} has {actual}, but the checksum database lists {expected}")]
    Mismatch {
        key: ArtifactKey,
        expected: H1,
        actual: H1,
    },
    /// The checksum database has a record of the version, but no line for this file.
    #[error("the checksum database's record of this version has no line for {0}")]
    NoLine(ArtifactKey),
    /// The contents are not those that a go.sum of this host's user lists.
    #[error("{key} has {actual}, but {} lists {}, and there is nobody else to judge it ({})", .vouched.from, .vouched.sum, .vouched.silence)]
    NotAsGoSum {
        key: ArtifactKey,
        vouched: Arc<Vouched>,
        actual: H1,
    },
    /// A member stated another hash of the file that it gave.
    #[error("{key} has {actual}, but who gave it states {stated}")]
    NotAsStated {
        key: ArtifactKey,
        stated: H1,
        actual: H1,
    },
    /// Go would refuse this zip, or a neighbour sent one that is not in canonical form.
    #[error("{key} is no acceptable module zip: {reason}")]
    Zip { key: ArtifactKey, reason: ZipError },
    /// The file could not be read back from staging: a failing disk, never a lie.
    #[error("cannot read {key} back from staging: {error}")]
    Read {
        key: ArtifactKey,
        error: std::io::Error,
    },
}

impl Rejection {
    /// Whether the giver's bytes are at fault, as opposed to this host's disk.
    pub(crate) fn is_lie(&self) -> bool {
        match self {
            Self::Mismatch { .. }
            | Self::NoLine(_)
            | Self::NotAsGoSum { .. }
            | Self::NotAsStated { .. }
            | Self::Zip { .. } => true,
            Self::Read { .. } => false,
        }
    }

    /// Whether it convicts the giver in the eyes of anybody. A go.sum that nobody else saw may be what is false.
    pub(crate) fn convicts(&self) -> bool {
        self.is_lie() && !matches!(self, Self::NotAsGoSum { .. })
    }
}

/// Judges the staged file `measured` as the file `key`, a zip with up to `threads` threads. Blocks while it reads and hashes.
///
/// # Errors
/// A [`Rejection`] says what is wrong and whether it is a lie.
pub(crate) fn judge(
    file: File,
    measured: MeasuredFile,
    key: &ArtifactKey,
    expected: &Expected,
    giver: Giver,
    threads: usize,
) -> Result<Proof, Rejection> {
    let (actual, canonical) = match key.kind {
        FileKind::Zip => zip_sum(file, key, giver, threads)?,
        FileKind::Mod | FileKind::Info => (go_mod_sum(file, key)?, true),
    };
    let ground = match expected {
        Expected::Listed(listed) => {
            let listed_sum = match key.kind {
                FileKind::Zip => listed.sums.zip,
                FileKind::Mod | FileKind::Info => listed.sums.go_mod,
            };
            let expected = listed_sum.ok_or_else(|| Rejection::NoLine(key.clone()))?;
            if expected != actual {
                return Err(Rejection::Mismatch {
                    key: key.clone(),
                    expected,
                    actual,
                });
            }
            Ground::Record(Arc::clone(listed))
        }
        Expected::GoSum(vouched) if vouched.sum == actual => Ground::GoSum(OnGoSum::of(vouched)),
        Expected::GoSum(vouched) => {
            return Err(Rejection::NotAsGoSum {
                key: key.clone(),
                vouched: Arc::clone(vouched),
                actual,
            });
        }
        Expected::Unlisted(why) => Ground::Unlisted(*why),
        Expected::Pending(_) => Ground::Pending,
    };
    Ok(Proof::made(
        key.clone(),
        ground,
        actual,
        measured,
        canonical,
    ))
}

/// Judges a file that nothing proves and that came from a member, which stated `stated`; by a go.sum where `expected` is one.
///
/// # Errors
/// As [`judge`].
pub(crate) fn judge_stated(
    file: File,
    measured: MeasuredFile,
    key: &ArtifactKey,
    expected: &Expected,
    stated: H1,
    by: OnMember,
    threads: usize,
) -> Result<Proof, Rejection> {
    let proof = judge(file, measured, key, expected, Giver::Neighbour, threads)?;
    match proof.h1() == stated {
        true => Ok(proof.on_the_word_of(by)),
        false => Err(Rejection::NotAsStated {
            key: key.clone(),
            stated,
            actual: proof.h1(),
        }),
    }
}

fn zip_sum(
    file: File,
    key: &ArtifactKey,
    giver: Giver,
    threads: usize,
) -> Result<(H1, bool), Rejection> {
    let refuse = |reason| {
        let key = key.clone();
        match reason {
            ZipError::Io(error) => Rejection::Read { key, error },
            reason => Rejection::Zip { key, reason },
        }
    };
    let grammar = match giver {
        Giver::Neighbour => Grammar::Canonical,
        Giver::Upstream => Grammar::Upstream,
    };
    let file = FileAt::new(file).map_err(|error| refuse(ZipError::Io(error)))?;
    let verdict = zip::check(&file, &key.of, grammar, threads).map_err(refuse)?;
    Ok((verdict.h1, verdict.canonical))
}

fn go_mod_sum(file: File, key: &ArtifactKey) -> Result<H1, Rejection> {
    let mut bytes = Vec::new();
    file.take(GO_MOD_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| Rejection::Read {
            key: key.clone(),
            error,
        })?;
    Ok(h1::of_go_mod(&bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::ErrorKind;

    use modmesh_protocol::digest::BlobId;
    use modmesh_protocol::module::ModuleVersion;

    use super::*;

    #[test]
    fn a_go_sum_vouches_for_what_it_names_and_convicts_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let (path, text) = (folder.path().join("m"), b"module example.com/m\n");
        std::fs::write(&path, text).unwrap();
        let key = ArtifactKey {
            of: ModuleVersion::parse("example.com/m@v1.0.0").unwrap(),
            kind: FileKind::Mod,
        };
        let measured = MeasuredFile {
            blob: BlobId::of(text),
            length: text.len() as u64,
        };
        let judge_as = |sum| {
            let vouched = Vouched {
                sum,
                from: "/project/go.sum".into(),
                silence: Silence::Unlisted(Unlisted::DatabaseOff),
            };
            let expected = Expected::GoSum(Arc::new(vouched));
            let file = File::open(&path).unwrap();
            judge(file, measured, &key, &expected, Giver::Neighbour, 1)
        };
        let proof = judge_as(h1::of_go_mod(text)).unwrap();
        assert_eq!(proof.scope(), Scope::Local);
        assert!(!proof.is_shareable() && proof.is_unsettled());
        assert_eq!(Proof::from_file(&proof.to_file()), Ok(proof));
        let rejection = judge_as(H1([7; 32])).unwrap_err();
        assert!(rejection.is_lie() && !rejection.convicts());
        assert!(rejection.to_string().contains("/project/go.sum"));
    }

    #[test]
    fn a_member_vouches_for_what_it_stated_and_lies_with_anything_else() {
        let folder = tempfile::tempdir().unwrap();
        let (path, text) = (folder.path().join("m"), b"module example.com/m\n");
        std::fs::write(&path, text).unwrap();
        let key = ArtifactKey {
            of: ModuleVersion::parse("example.com/m@v1.0.0").unwrap(),
            kind: FileKind::Mod,
        };
        let measured = MeasuredFile {
            blob: BlobId::of(text),
            length: text.len() as u64,
        };
        let by = OnMember {
            author: "12D3KooWAuthor".parse().unwrap(),
            giver: "12D3KooWGiver".parse().unwrap(),
            signature: [0xa5; 64],
        };
        let judge_as = |stated| {
            let expected = Expected::Unlisted(Unlisted::DatabaseOff);
            let file = File::open(&path).unwrap();
            judge_stated(file, measured, &key, &expected, stated, by.clone(), 1)
        };
        let proof = judge_as(h1::of_go_mod(text)).unwrap();
        assert_eq!(proof.scope(), Scope::Unlisted);
        assert!(!proof.is_shareable() && proof.is_for_members());
        assert_eq!(Proof::from_file(&proof.to_file()), Ok(proof.clone()));
        assert_eq!(proof.by_member(), Some(&by));
        assert!(by.is_of(&by.author) && by.is_of(&by.giver));
        // Judged again, and still nothing proves it: the word stays.
        let expected = Expected::Unlisted(Unlisted::NoRecord);
        let file = File::open(&path).unwrap();
        let again = judge(file, measured, &key, &expected, Giver::Upstream, 1).unwrap();
        assert_eq!(again.in_the_place_of(&proof).by_member(), Some(&by));
        let rejection = judge_as(H1([7; 32])).unwrap_err();
        assert!(rejection.is_lie() && rejection.convicts());
    }

    #[test]
    fn a_file_that_cannot_be_read_back_is_the_disks_fault_and_no_lie() {
        let folder = tempfile::tempdir().unwrap();
        for kind in [FileKind::Zip, FileKind::Mod] {
            let key = ArtifactKey {
                of: ModuleVersion::parse("example.com/m@v1.0.0").unwrap(),
                kind,
            };
            let measured = MeasuredFile {
                blob: BlobId([0; 32]),
                length: 4096,
            };
            // A folder can be opened and has a length, and every read of it fails.
            let unreadable = File::open(folder.path()).unwrap();
            let expected = Expected::Unlisted(Unlisted::NoRecord);
            let judged = judge(unreadable, measured, &key, &expected, Giver::Upstream, 1);
            let rejection = judged.unwrap_err();
            assert!(!rejection.is_lie(), "{rejection}");
            let Rejection::Read { error, .. } = rejection else {
                panic!("{rejection}");
            };
            assert_eq!(error.kind(), ErrorKind::IsADirectory);
        }
    }
}
