//! Records of a checksum database, and the hashes that a module has by them.
//!
//! A lookup answer is the record's id, its text, a blank line and a signed head. Only the text is what the log commits
//! to, so [`Record::sums`] reads hashes from it alone: lines that stand anywhere else in an answer, as in
//! CVE-2026-56864, have no way in. A record that says nothing of the module that was asked for is an error, never an
//! empty permission, as in CVE-2026-42501. Whether the record is in the log is proved elsewhere: compare
//! [`Record::leaf_hash`] with [`crate::log::Authenticated::leaf`].

use super::decimal;
use super::note::NOTE_BYTES_MAX;
use super::tree::{Hash, record_hash};
use crate::digest::H1;
use crate::module::{ModulePath, ModuleVersion, Version};

/// The longest text of a record, in bytes: records of modules have about 180, and logs of this kind allow 65535
/// (C2SP tlog-tiles).
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// The longest lookup answer, in bytes: a record, the longest id with its newline, a blank line, and a note.
pub const LOOKUP_BYTES_MAX: usize = RECORD_BYTES_MAX + NOTE_BYTES_MAX + 32;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Its number in the log, from 0.
    pub id: u64,
    /// What it says: lines of go.sum, each with its newline.
    pub text: String,
}

/// The hashes that a record lists for one module version. At least one is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    /// The hash of the zip: line `MODULE VERSION h1:...`.
    pub zip: Option<H1>,
    /// The hash of the go.mod file: line `MODULE VERSION/go.mod h1:...`.
    pub go_mod: Option<H1>,
}

/// What is wrong with a lookup answer or its record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Longer than [`LOOKUP_BYTES_MAX`], or its record longer than [`RECORD_BYTES_MAX`].
    #[error("the lookup answer or its record is too long")]
    TooLong,
    /// Not the form of a lookup answer.
    #[error("malformed lookup answer: {0}")]
    Malformed(&'static str),
    /// The record has no line for the module.
    #[error("the record does not list {0}")]
    NotListed(String),
    /// A line for the module whose hash cannot be read.
    #[error("the record has a malformed hash for {0}")]
    BadHash(String),
    /// Two lines for one thing that do not agree.
    #[error("the record lists two different hashes for {0}")]
    Contradiction(String),
}

impl Record {
    /// A record with this number and text, when the text is one that a record may have: UTF-8 lines without control
    /// characters, none of them blank, the last one ended. Source: `tlog.FormatRecord` in golang.org/x/mod.
    pub fn new(id: u64, text: String) -> Result<Self, RecordError> {
        if text.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong);
        }
        if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(RecordError::Malformed("a control character in the record"));
        }
        if text.contains("\n\n") || !text.ends_with('\n') {
            return Err(RecordError::Malformed(
                "a blank or unended line in the record",
            ));
        }
        Ok(Self { id, text })
    }

    /// Takes a lookup answer apart into its record and the signed note that follows, which is not looked at.
    ///
    /// Stricter than Go in one point: the id must be written in plain decimal, as every database writes it.
    pub fn parse_lookup(body: &[u8]) -> Result<(Self, &[u8]), RecordError> {
        if body.len() > LOOKUP_BYTES_MAX {
            return Err(RecordError::TooLong);
        }
        let first_line = body
            .iter()
            .position(|&byte| byte == b'\n')
            .ok_or(RecordError::Malformed("no line with the id"))?;
        let id = std::str::from_utf8(&body[..first_line])
            .ok()
            .and_then(decimal)
            .ok_or(RecordError::Malformed("the id is no plain number"))?;
        let rest = &body[first_line + 1..];
        let blank = rest
            .windows(2)
            .position(|pair| pair == b"\n\n")
            .ok_or(RecordError::Malformed("no blank line after the record"))?;
        let text = std::str::from_utf8(&rest[..=blank])
            .map_err(|_| RecordError::Malformed("the record is not UTF-8"))?;
        Ok((Self::new(id, text.to_owned())?, &rest[blank + 2..]))
    }

    /// The lookup answer that says this record under the head in `note`: the counterpart of [`Self::parse_lookup`].
    ///
    /// Any head with more records than the id may accompany a record, not only the one it once came with.
    pub fn lookup_body(&self, note: &str) -> String {
        format!("{}\n{}\n{note}", self.id, self.text)
    }

    /// The leaf of the tree that this record must be.
    pub fn leaf_hash(&self) -> Hash {
        record_hash(self.text.as_bytes())
    }

    /// The module version that the first line is about; nothing where that is no line of go.sum about a version in
    /// canonical form. A database writes no record about more than one.
    pub fn about(&self) -> Option<ModuleVersion> {
        let mut words = self.text.lines().next()?.split(' ');
        let (module, version) = (words.next()?, words.next()?);
        let version = version.strip_suffix("/go.mod").unwrap_or(version);
        let (module, version) = (ModulePath::parse(module), Version::parse(version));
        ModuleVersion::new(module.ok()?, version.ok()?).ok()
    }

    /// The hashes that this record lists for `of`, the zip's and the go.mod file's.
    ///
    /// Lines of other modules and of other kinds of hash than h1 are passed over, as the go command does. An error is
    /// also that there is no line at all; whether the one that is needed is there, the caller sees.
    pub fn sums(&self, of: &ModuleVersion) -> Result<Sums, RecordError> {
        let (module, version) = (of.module.as_str(), of.version.as_str());
        let sums = Sums {
            zip: self.hash_after(&format!("{module} {version} "))?,
            go_mod: self.hash_after(&format!("{module} {version}/go.mod "))?,
        };
        if sums.zip.is_none() && sums.go_mod.is_none() {
            return Err(RecordError::NotListed(of.to_string()));
        }
        Ok(sums)
    }

    /// The one h1 on the lines that begin with `prefix`.
    fn hash_after(&self, prefix: &str) -> Result<Option<H1>, RecordError> {
        let what = || prefix.trim_end().to_owned();
        let mut found = None;
        for line in self.text.split_terminator('\n') {
            let Some(hash) = line.strip_prefix(prefix) else {
                continue;
            };
            if !hash.starts_with("h1:") {
                continue;
            }
            let hash: H1 = hash.parse().map_err(|_| RecordError::BadHash(what()))?;
            if found.is_some_and(|earlier| earlier != hash) {
                return Err(RecordError::Contradiction(what()));
            }
            found = Some(hash);
        }
        Ok(found)
    }
}
