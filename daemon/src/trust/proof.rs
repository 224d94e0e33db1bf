//! The word of the gate, in memory and on disk.
//!
//! A proof file is JSON and a last line with the SHA-256 of what stands before it, so that a torn or zeroed file reads
//! as no proof at all. It holds all that is needed to serve and to share the body beside it without asking anybody.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use modmesh_protocol::artifact::{ArtifactKey, FileKind};
use modmesh_protocol::digest::{BlobId, H1, Hasher, hex};
use modmesh_protocol::log::{DatabaseId, Record};
use modmesh_protocol::membership::SIGNATURE_BYTES;
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};
use modmesh_protocol::peer_name::PeerName;
use serde::{Deserialize, Serialize};

use super::Vouched;
use crate::log::ListedRecord;

/// Version of the proof file's form; a reader refuses any other.
const FORM: u32 = 1;

/// The logs of databases that this host follows, by the databases' names.
pub(crate) type FollowedLogs = HashMap<String, FollowedLog>;

/// One log of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FollowedLog {
    /// The key that the database has by the settings.
    pub key: DatabaseId,
    /// Which of its logs: 0 is the first one that was followed here.
    pub number: u64,
}

/// Where the truth of a file comes from, and so who may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Its h1 is in a record of the checksum database whose Merkle proof was checked here.
    Proven,
    /// The database says nothing of it, and its h1 is in a go.sum that this host's user gave.
    Local,
    /// The database itself has no record of it, or a private pattern matches.
    Unlisted,
    /// The database could not be asked yet.
    Pending,
}

/// Why nothing vouches for an unlisted file. What rests on a setting is judged again when the setting has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unlisted {
    /// The database's own word.
    #[error("the checksum database has no record of it")]
    NoRecord,
    /// A setting of this host.
    #[error("the checksum database is off on this host")]
    DatabaseOff,
    /// A setting of this host.
    #[error("it matches a private pattern of this host")]
    Private,
}

/// Bytes as they were measured while they were staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MeasuredFile {
    pub blob: BlobId,
    pub length: u64,
}

/// The gate's word that these bytes are this file. Made by [`super::judge`] alone, or read back from beside the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    key: ArtifactKey,
    ground: Ground,
    h1: H1,
    measured: MeasuredFile,
    canonical: bool,
    /// On whose word it is this file, where nothing proves it and a member gave it.
    by: Option<Arc<OnMember>>,
}

/// The word of a member in the place of a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnMember {
    /// Who signed that this is the file.
    pub author: PeerName,
    /// Who gave it.
    pub giver: PeerName,
    /// The author's signature of its statement.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl OnMember {
    /// Whether it is the word of `peer`.
    pub(crate) fn is_of(&self, peer: &PeerName) -> bool {
        self.author == *peer || self.giver == *peer
    }
}

/// What a proof rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ground {
    Record(Arc<ListedRecord>),
    GoSum(OnGoSum),
    Unlisted(Unlisted),
    Pending,
}

/// The word of a go.sum in the place of the database's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnGoSum {
    /// The file, by the name under which it was given.
    pub from: Arc<str>,
    /// Why the database says nothing; nothing when it could not be asked.
    pub unlisted: Option<Unlisted>,
}

impl OnGoSum {
    pub(super) fn of(vouched: &Vouched) -> Self {
        Self {
            from: Arc::clone(&vouched.from),
            unlisted: vouched.silence.unlisted(),
        }
    }
}

/// Why a file is not a proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProofFileError {
    /// The last line is missing or does not fit what stands before it.
    #[error("the proof file is damaged")]
    Damaged,
    /// Written by another release.
    #[error("the proof file has a form that this release does not know")]
    Form,
    /// The record it cites does not have the lines it needs.
    #[error("the proof file contradicts itself")]
    Contradiction,
}

impl Proof {
    pub(super) fn made(
        key: ArtifactKey,
        ground: Ground,
        h1: H1,
        measured: MeasuredFile,
        canonical: bool,
    ) -> Self {
        Self {
            key,
            ground,
            h1,
            measured,
            canonical,
            by: None,
        }
    }

    /// The same, on the word of a member.
    pub(super) fn on_the_word_of(self, by: OnMember) -> Self {
        Self {
            by: Some(Arc::new(by)),
            ..self
        }
    }

    /// The same; if nothing proves it still, on the word on which `before` rested.
    pub(crate) fn in_the_place_of(self, before: &Self) -> Self {
        let by = match self.unlisted() {
            Some(_) => before.by.clone(),
            None => None,
        };
        Self { by, ..self }
    }

    /// On whose word it is this file; nothing where this host got it by itself, or it is proven.
    pub(crate) fn by_member(&self) -> Option<&OnMember> {
        self.by.as_deref()
    }

    /// Whether members may have it, as something that nothing proves.
    pub(crate) fn is_for_members(&self) -> bool {
        self.unlisted().is_some() && self.canonical
    }

    pub(crate) fn key(&self) -> &ArtifactKey {
        &self.key
    }

    pub(crate) fn scope(&self) -> Scope {
        match &self.ground {
            Ground::Record(_) => Scope::Proven,
            Ground::GoSum(_) => Scope::Local,
            Ground::Unlisted(_) => Scope::Unlisted,
            Ground::Pending => Scope::Pending,
        }
    }

    /// Whether the database may have something to say that this does not rest on: it could not be asked, or was not
    /// because of a setting.
    pub(crate) fn is_unsettled(&self) -> bool {
        match self.unlisted() {
            Some(why) => why != Unlisted::NoRecord,
            None => self.record().is_none(),
        }
    }

    /// The hash of the contents.
    pub(crate) fn h1(&self) -> H1 {
        self.h1
    }

    /// Whether the bytes have the form in which neighbours take them.
    pub(crate) fn is_canonical(&self) -> bool {
        self.canonical
    }

    /// The record that it rests on.
    pub(crate) fn record(&self) -> Option<&ListedRecord> {
        match &self.ground {
            Ground::Record(record) => Some(record),
            Ground::GoSum(_) | Ground::Unlisted(_) | Ground::Pending => None,
        }
    }

    /// Why the database does not vouch for it, if it was asked or need not be.
    pub(crate) fn unlisted(&self) -> Option<Unlisted> {
        match &self.ground {
            Ground::Unlisted(why) => Some(*why),
            Ground::GoSum(on) => on.unlisted,
            Ground::Record(_) | Ground::Pending => None,
        }
    }

    /// The go.sum that it rests on.
    pub(crate) fn go_sum(&self) -> Option<&str> {
        match &self.ground {
            Ground::GoSum(on) => Some(&on.from),
            Ground::Record(_) | Ground::Unlisted(_) | Ground::Pending => None,
        }
    }

    pub(crate) fn measured(&self) -> MeasuredFile {
        self.measured
    }

    /// Whether it rests on a record of another log of the same database's name than the one that is followed by `logs`: one
    /// that another key proved, or one that was given up.
    pub(crate) fn is_of_another_log(&self, logs: &FollowedLogs) -> bool {
        let Some(record) = self.record() else {
            return false;
        };
        let Some(now) = logs.get(&record.database) else {
            return false;
        };
        let is_of_another_key = record.key.is_some_and(|then| then != now.key);
        is_of_another_key || record.log != now.number
    }

    /// The same file with nothing to rest on, to be judged again.
    pub(crate) fn doubted(&self) -> Self {
        Self {
            ground: Ground::Pending,
            ..self.clone()
        }
    }

    /// Whether the file may be offered to any neighbour.
    pub(crate) fn is_shareable(&self) -> bool {
        self.scope() == Scope::Proven && self.canonical
    }

    /// The proof file's text.
    pub(crate) fn to_file(&self) -> String {
        let form = ProofForm {
            form: FORM,
            module: self.key.of.module.clone(),
            version: self.key.of.version.clone(),
            kind: self.key.kind.extension().to_owned(),
            scope: self.scope(),
            h1: self.h1,
            sha256: self.measured.blob,
            length: self.measured.length,
            canonical: self.canonical,
            record: match &self.ground {
                Ground::Record(record) => Some(RecordForm {
                    database: record.database.clone(),
                    key: record.key.map(|key| BlobId(key.0)),
                    log: record.log,
                    id: record.id,
                    text: record.text.clone(),
                }),
                Ground::GoSum(_) | Ground::Unlisted(_) | Ground::Pending => None,
            },
            unlisted: self.unlisted(),
            go_sum: self.go_sum().map(str::to_owned),
            member: self.by_member().map(|by| MemberForm {
                author: by.author.clone(),
                giver: by.giver.clone(),
                signature: hex(&by.signature),
            }),
        };
        // Strings, numbers and maps of strings always have a JSON form.
        let mut text = serde_json::to_string_pretty(&form).unwrap_or_default();
        text.push('\n');
        let sum = hex(&Hasher::digest(text.as_bytes()));
        text + &sum + "\n"
    }

    /// Reads a proof file back.
    pub(crate) fn from_file(text: &str) -> Result<Self, ProofFileError> {
        let (body, sum) = text
            .strip_suffix('\n')
            .and_then(|text| text.rfind('\n').map(|end| text.split_at(end + 1)))
            .ok_or(ProofFileError::Damaged)?;
        if hex(&Hasher::digest(body.as_bytes())) != sum {
            return Err(ProofFileError::Damaged);
        }
        let form: ProofForm = serde_json::from_str(body).map_err(|_| ProofFileError::Form)?;
        form.into_proof()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proven => "proven",
            Self::Local => "local",
            Self::Unlisted => "unlisted",
            Self::Pending => "pending",
        })
    }
}

/// The proof file as it is written; the names are for good.
#[derive(Serialize, Deserialize)]
struct ProofForm {
    form: u32,
    module: ModulePath,
    version: Version,
    kind: String,
    scope: Scope,
    h1: H1,
    sha256: BlobId,
    length: u64,
    canonical: bool,
    record: Option<RecordForm>,
    unlisted: Option<Unlisted>,
    /// The name of the go.sum that vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    go_sum: Option<String>,
    /// On whose word it is this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    member: Option<MemberForm>,
}

#[derive(Serialize, Deserialize)]
struct MemberForm {
    author: PeerName,
    giver: PeerName,
    /// In hexadecimal digits.
    signature: String,
}

impl MemberForm {
    fn into_word(self) -> Result<OnMember, ProofFileError> {
        let signature = self.signature.as_bytes();
        let (digits, rest) = signature.as_chunks::<2>();
        let byte = |digits: &[u8; 2]| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        };
        let bytes: Option<Vec<u8>> = digits.iter().map(byte).collect();
        let bytes = bytes.filter(|_| rest.is_empty());
        let signature = bytes.and_then(|bytes| bytes.try_into().ok());
        Ok(OnMember {
            author: self.author,
            giver: self.giver,
            signature: signature.ok_or(ProofFileError::Form)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct RecordForm {
    database: String,
    /// The SHA-256 of the database's verifier key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<BlobId>,
    /// Which log of that key; not written for the first.
    #[serde(default, skip_serializing_if = "is_first")]
    log: u64,
    id: u64,
    text: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_first(log: &u64) -> bool {
    *log == 0
}

impl ProofForm {
    fn into_proof(self) -> Result<Proof, ProofFileError> {
        if self.form != FORM {
            return Err(ProofFileError::Form);
        }
        let kind = match self.kind.as_str() {
            "mod" => FileKind::Mod,
            "zip" => FileKind::Zip,
            _ => return Err(ProofFileError::Form),
        };
        let of = ModuleVersion::new(self.module, self.version)
            .map_err(|_| ProofFileError::Contradiction)?;
        let by = self.member.map(MemberForm::into_word).transpose()?;
        let ground = match (self.scope, self.record, self.unlisted, self.go_sum) {
            (Scope::Proven, Some(record), None, None) => Ground::Record(record.into_listed(&of)?),
            (Scope::Local, None, unlisted, Some(from)) => {
                let from = from.into();
                Ground::GoSum(OnGoSum { from, unlisted })
            }
            (Scope::Unlisted, None, Some(why), None) => Ground::Unlisted(why),
            (Scope::Pending, None, None, None) => Ground::Pending,
            _ => return Err(ProofFileError::Contradiction),
        };
        Ok(Proof {
            key: ArtifactKey { of, kind },
            ground,
            h1: self.h1,
            measured: MeasuredFile {
                blob: self.sha256,
                length: self.length,
            },
            canonical: self.canonical,
            by: by.map(Arc::new),
        })
    }
}

impl RecordForm {
    fn into_listed(self, of: &ModuleVersion) -> Result<Arc<ListedRecord>, ProofFileError> {
        let record = Record {
            id: self.id,
            text: self.text,
        };
        let sums = record.sums(of).map_err(|_| ProofFileError::Contradiction)?;
        Ok(Arc::new(ListedRecord {
            database: self.database,
            key: self.key.map(|key| DatabaseId(key.0)),
            log: self.log,
            id: record.id,
            text: record.text,
            sums,
        }))
    }
}
