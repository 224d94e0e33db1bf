//! Versions, and the wider set of texts that may be asked for in their place.
//!
//! A [`Version`] names content for good: `.mod` and `.zip` exist for nothing else. A [`Revision`] is a question, such as a
//! branch, whose answer changes with time; it names a version only after somebody has said which.

use std::cmp::Ordering;
use std::sync::Arc;

use super::element::{Kind, check_element};
use super::text::checked_text;
use super::{ModuleError, VERSION_BYTES_MAX, escape, excerpt, pseudo, semver};

/// A canonical version: complete, without build metadata except `+incompatible`, at most [`VERSION_BYTES_MAX`] bytes.
///
/// The rule is `module.CanonicalVersion` in golang.org/x/mod/module: a version is canonical when that function does not
/// change it. The order is that of `semver.Compare`, then that of the text, so that two versions compare as equal only
/// when they are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version(Arc<str>);

impl Version {
    /// Reads the plain form.
    pub fn parse(text: &str) -> Result<Self, ModuleError> {
        check_length(text)?;
        if semver::canonical(text).as_deref() != Some(text) {
            return Err(ModuleError::Version(excerpt(text)));
        }
        Ok(Self(text.into()))
    }

    /// Reads the escaped form, as it stands in URLs and file names.
    pub fn from_escaped(escaped: &str) -> Result<Self, ModuleError> {
        Self::parse(&unescape(escaped)?)
    }

    /// The plain form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The escaped form.
    pub fn escaped(&self) -> String {
        escape::escape(&self.0)
    }

    /// Whether this is a pseudo-version, which stands for a commit without a tag (`module.IsPseudoVersion`).
    pub fn is_pseudo(&self) -> bool {
        pseudo::is_pseudo(&self.0)
    }

    /// The commit time that a pseudo-version carries, as RFC 3339 in UTC: `2006-01-02T15:04:05Z`. Nothing for other
    /// versions and where the digits are no time (`module.PseudoVersionTime`).
    pub fn pseudo_time(&self) -> Option<String> {
        pseudo::time(&self.0)
    }

    /// Whether this is a prerelease; every pseudo-version is one.
    pub fn is_prerelease(&self) -> bool {
        semver::parse(&self.0).is_some_and(|parts| !parts.prerelease.is_empty())
    }

    /// Whether this ends in `+incompatible`: `v2` or higher of a module whose path does not say so.
    pub fn is_incompatible(&self) -> bool {
        self.0.ends_with(semver::INCOMPATIBLE)
    }

    /// Ranks versions of one module as `go` chooses the latest, the greatest first in line: the highest release, else the
    /// highest pre-release, else the newest pseudo-version (`queryProxy` in cmd/go/internal/modload).
    pub fn preference(&self) -> impl Ord + use<> {
        (
            !self.is_prerelease(),
            !self.is_pseudo(),
            self.pseudo_time(),
            self.clone(),
        )
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        semver::compare(&self.0, &other.0).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

checked_text!(Version);

/// What may stand before `.info` in a request: any version, branch or commit, at most [`VERSION_BYTES_MAX`] bytes.
///
/// The rule is `module.EscapeVersion` in golang.org/x/mod/module: one element of a file path, in ASCII, without `!`. A
/// branch with a slash in its name is therefore none, and `go` does not ask for it either.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(Arc<str>);

impl Revision {
    /// Reads the plain form.
    pub fn parse(text: &str) -> Result<Self, ModuleError> {
        check_length(text)?;
        if check_element(text, Kind::File).is_err() || !text.is_ascii() || text.contains('!') {
            return Err(ModuleError::Revision(excerpt(text)));
        }
        Ok(Self(text.into()))
    }

    /// Reads the escaped form, as it stands in URLs and file names.
    pub fn from_escaped(escaped: &str) -> Result<Self, ModuleError> {
        Self::parse(&unescape(escaped)?)
    }

    /// The plain form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The escaped form.
    pub fn escaped(&self) -> String {
        escape::escape(&self.0)
    }

    /// The version that this is, when it is one already. Short forms (`v1.2`) and versions with build metadata are
    /// questions, whose answer may be another version: nothing is returned for them.
    pub fn canonical(&self) -> Option<Version> {
        let same = semver::canonical(&self.0).as_deref() == Some(&*self.0);
        same.then(|| Version(self.0.clone()))
    }
}

impl From<Version> for Revision {
    fn from(version: Version) -> Self {
        Self(version.0)
    }
}

checked_text!(Revision);

fn check_length(text: &str) -> Result<(), ModuleError> {
    if escape::escaped_length(text) > VERSION_BYTES_MAX {
        return Err(ModuleError::VersionTooLong(excerpt(text)));
    }
    Ok(())
}

fn unescape(escaped: &str) -> Result<String, ModuleError> {
    check_length(escaped)?;
    escape::unescape(escaped).ok_or_else(|| ModuleError::Escape(excerpt(escaped)))
}
