//! Module paths such as `github.com/Azure/azure-sdk-for-go` or `gopkg.in/yaml.v3`.
//!
//! The rules are `CheckPath`, `SplitPathVersion` and `CheckPathMajor` in golang.org/x/mod/module/module.go. The first
//! element always holds a dot, which is why module paths never clash with the daemon's own addresses.

use std::sync::Arc;

use super::element::{Kind, PathFault, check_path};
use super::text::checked_text;
use super::{ELEMENT_BYTES_MAX, MODULE_PATH_BYTES_MAX, ModuleError, escape, excerpt, semver};

/// A valid module path, at most [`MODULE_PATH_BYTES_MAX`] bytes long. The order is that of the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModulePath(Arc<str>);

impl ModulePath {
    /// Reads the plain form (`module.CheckPath`).
    pub fn parse(text: &str) -> Result<Self, ModuleError> {
        match check(text) {
            Ok(()) => Ok(Self(text.into())),
            Err(fault) => Err(ModuleError::Path {
                path: excerpt(text),
                fault,
            }),
        }
    }

    /// Reads the escaped form, as it stands in URLs and file names (`module.UnescapePath`). Percent signs must have been
    /// decoded before.
    pub fn from_escaped(escaped: &str) -> Result<Self, ModuleError> {
        // Far too long texts are refused before they are copied.
        if escaped.len() > 2 * MODULE_PATH_BYTES_MAX {
            return Err(ModuleError::Path {
                path: excerpt(escaped),
                fault: PathFault::TooLong,
            });
        }
        let plain =
            escape::unescape(escaped).ok_or_else(|| ModuleError::Escape(excerpt(escaped)))?;
        Self::parse(&plain)
    }

    /// The plain form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The escaped form.
    pub fn escaped(&self) -> String {
        escape::escape(&self.0)
    }

    /// The end of the path that says its major version: `/v2`, `.v3` or `.v1-unstable` on gopkg.in, or nothing.
    pub(super) fn major_suffix(&self) -> &str {
        split_major(&self.0).map_or("", |(_, major)| major)
    }
}

checked_text!(ModulePath);

fn check(path: &str) -> Result<(), PathFault> {
    if path.len() > MODULE_PATH_BYTES_MAX {
        return Err(PathFault::TooLong);
    }
    check_path(path, Kind::Module)?;
    if path
        .split('/')
        .any(|element| escape::escaped_length(element) > ELEMENT_BYTES_MAX)
    {
        return Err(PathFault::ElementTooLong);
    }
    let domain = path.split('/').next().unwrap_or_default();
    if !domain.contains('.') {
        return Err(PathFault::NoDomain);
    }
    let in_domain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '.');
    if let Some(other) = domain.chars().find(|&c| !in_domain(c)) {
        return Err(PathFault::DomainCharacter(other));
    }
    split_major(path).map(|_| ()).ok_or(PathFault::Major)
}

/// Splits a path before the suffix that says its major version, which may be empty; nothing when there is a suffix that
/// cannot be one (`module.SplitPathVersion`).
fn split_major(path: &str) -> Option<(&str, &str)> {
    if path.starts_with("gopkg.in/") {
        return split_gopkg_in(path);
    }
    let stem = path.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let Some(prefix) = stem.strip_suffix("/v").filter(|_| stem.len() < path.len()) else {
        return Some((path, ""));
    };
    let digits = &path[stem.len()..];
    let holds = !digits.contains('.') && !digits.starts_with('0') && digits != "1";
    holds.then(|| path.split_at(prefix.len()))
}

/// On gopkg.in every path ends in `.vN`, for all N, and possibly `-unstable` behind it. That Go takes `.v-unstable`
/// without any digits is followed here; no version fits such a path.
fn split_gopkg_in(path: &str) -> Option<(&str, &str)> {
    let stem = path
        .strip_suffix("-unstable")
        .unwrap_or(path)
        .trim_end_matches(|c: char| c.is_ascii_digit());
    let prefix = stem.strip_suffix(".v")?;
    let after = &path[stem.len()..];
    let holds = !after.is_empty() && (after == "0" || !after.starts_with('0'));
    holds.then(|| path.split_at(prefix.len()))
}

/// Holds a version against the suffix of its path; fails with what would have fitted (`module.CheckPathMajor`).
pub(super) fn check_major(suffix: &str, version: &str) -> Result<(), String> {
    // The first Go releases with modules made v0.0.0 pseudo-versions for these paths, and go.mod files still name them.
    let suffix = suffix.strip_suffix("-unstable").unwrap_or(suffix);
    if suffix == ".v1" && version.starts_with("v0.0.0-") {
        return Ok(());
    }
    let parts = semver::parse(version);
    let (major, build) = parts.map_or(("", ""), |parts| (parts.major, parts.build));
    match suffix.get(2..) {
        None if matches!(major, "0" | "1") || build == semver::INCOMPATIBLE => Ok(()),
        None => Err("v0 or v1".to_owned()),
        Some(wanted) if !wanted.is_empty() && major == wanted => Ok(()),
        Some(wanted) => Err(format!("v{wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{check_major, split_major};

    #[test]
    fn a_path_ends_where_its_major_version_begins() {
        for (prefix, major) in [
            ("x.y/z", ""),
            ("x.y/z", "/v2"),
            ("x.y/z", "/v3"),
            ("x.y/v", ""),
            ("x.y/pv2", ""),
            ("gopkg.in/yaml", ".v0"),
            ("gopkg.in/yaml", ".v1"),
            ("gopkg.in/yaml", ".v2"),
            ("gopkg.in/yaml", ".v3"),
            ("gopkg.in/yaml", ".v3-unstable"),
        ] {
            let path = format!("{prefix}{major}");
            assert_eq!(split_major(&path), Some((prefix, major)), "{path}");
        }
        for path in ["x.y/v0", "x.y/v1", "x.y/v02", "x.y/v2.1", "gopkg.in/a.v01"] {
            assert_eq!(split_major(path), None, "{path}");
        }
    }

    #[test]
    fn a_version_is_held_against_the_suffix() {
        for (version, suffix, fits) in [
            ("v0.0.0", "", true),
            ("v0.0.0", "/v2", false),
            ("v0.0.0", ".v0", true),
            ("v0.0.0-20190510104115-cbcb75029529", ".v1", true),
            ("v1.0.0", "/v2", false),
            ("v1.0.0", ".v1", true),
            ("v1.0.0", ".v1-unstable", true),
            ("v2.0.0+incompatible", "", true),
            ("v2.0.0", "", false),
            ("v2.0.0", "/v2", true),
            ("v2.0.0", ".v2", true),
        ] {
            assert_eq!(
                check_major(suffix, version).is_ok(),
                fits,
                "{version} {suffix}"
            );
        }
    }
}
