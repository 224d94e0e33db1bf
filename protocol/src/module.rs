//! The names of modules: paths, versions, and which of them belong together.
//!
//! The rules are those of the packages `module` and `semver` in golang.org/x/mod, because the `go` command on the other
//! side of the socket applies them too: what it would refuse, we refuse, and two names that are different to it are
//! different to us. A value of one of these types is proof that its text was checked; there is no other way to make one.
//! All of them are cheap to clone and bounded in length, whoever sent them.
//!
//! Deliberately absent: import paths (only modules are fetched, never packages), the making of new pseudo-versions (only
//! `go` invents versions), and any ranking of versions beyond their order (what `latest` means is for the caller).

mod element;
mod escape;
mod letters;
mod path;
mod pattern;
mod pseudo;
mod semver;
mod text;
mod version;

use std::fmt;

pub use element::{PathFault, check_file_path};
pub use path::ModulePath;
pub use pattern::{PATTERNS_BYTES_MAX, Patterns};
pub use version::{Revision, Version};

/// The longest module path, in bytes of its plain form. Escaping at most doubles it, and with the folder of the store in
/// front it must stay below the 4,096 bytes of a path on Linux; real ones are shorter than 200.
pub const MODULE_PATH_BYTES_MAX: usize = 1024;

/// The longest element of a module path, in bytes of its escaped form. Linux, macOS and Windows all hold file names of up
/// to 255, and `go` keeps every element as a folder of its own cache, so it cannot use longer ones either.
pub const ELEMENT_BYTES_MAX: usize = 255;

/// The longest version, branch or commit, in bytes of its escaped form. It becomes a file name of at most 255 bytes, and
/// what is left is for suffixes such as `.zip.proof` and those of temporary files.
pub const VERSION_BYTES_MAX: usize = 200;

/// A module at a version: the pair that `.mod` and `.zip` files and checksum-database records are about.
///
/// Made by [`ModuleVersion::new`], which holds the two against each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleVersion {
    /// The module's path.
    pub module: ModulePath,
    /// One version of it.
    pub version: Version,
}

impl ModuleVersion {
    /// Pairs a path with a version of it.
    ///
    /// Fails when the major version that the path ends in is not that of the version: `example.com/m/v2` has only
    /// versions `v2.x.y`, `example.com/m` has `v0` and `v1` and whatever ends in `+incompatible`. The rule is
    /// `module.CheckPathMajor` in golang.org/x/mod/module.
    pub fn new(module: ModulePath, version: Version) -> Result<Self, ModuleError> {
        path::check_major(module.major_suffix(), version.as_str()).map_err(|wanted| {
            ModuleError::Major {
                module: module.clone(),
                version: version.clone(),
                wanted,
            }
        })?;
        Ok(Self { module, version })
    }

    /// Reads `path@version`, both in their plain form.
    pub fn parse(text: &str) -> Result<Self, ModuleError> {
        let (module, version) = text
            .split_once('@')
            .ok_or_else(|| ModuleError::NoVersion(excerpt(text)))?;
        Self::new(ModulePath::parse(module)?, Version::parse(version)?)
    }

    /// Reads `path@version`, each in its plain or its escaped form, as a person may have copied it from anywhere.
    pub fn parse_either(text: &str) -> Result<Self, ModuleError> {
        let (module, version) = text
            .split_once('@')
            .ok_or_else(|| ModuleError::NoVersion(excerpt(text)))?;
        Self::of_either(module, version)
    }

    /// Pairs a path with a version, each in its plain or its escaped form. Which one it is is never in doubt: no plain
    /// name holds the `!` of an escape.
    pub fn of_either(module: &str, version: &str) -> Result<Self, ModuleError> {
        let module = match module.contains('!') {
            true => ModulePath::from_escaped(module)?,
            false => ModulePath::parse(module)?,
        };
        let version = match version.contains('!') {
            true => Version::from_escaped(version)?,
            false => Version::parse(version)?,
        };
        Self::new(module, version)
    }
}

impl fmt::Display for ModuleVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.module, self.version)
    }
}

impl std::str::FromStr for ModuleVersion {
    type Err = ModuleError;

    fn from_str(text: &str) -> Result<Self, ModuleError> {
        Self::parse(text)
    }
}

/// A text that is not the name it was taken for. Texts are quoted shortened, so an error is never large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// No module path; see `module.CheckPath`.
    #[error("malformed module path {path:?}: {fault}")]
    Path {
        /// The text, shortened.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// No name for a file in a module zip; see `module.CheckFilePath`.
    #[error("malformed file path {path:?}: {fault}")]
    FilePath {
        /// The text, shortened.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// Not in the escaped form, in which `!a` stands for `A` and no upper-case letter appears.
    #[error(
        "not an escaped name: {0:?}; an upper-case letter is written as `!` and its lower case"
    )]
    Escape(String),
    /// No canonical semantic version such as `v1.2.3`, `v1.2.3-rc.1` or `v2.0.0+incompatible`.
    #[error("not a canonical version: {0:?}; a form like v1.2.3 is expected")]
    Version(String),
    /// Nothing that can stand before `.info`: a version, branch or commit; see `module.EscapeVersion`.
    #[error("disallowed version string {0:?}")]
    Revision(String),
    /// A version longer than [`VERSION_BYTES_MAX`].
    #[error("version {0:?} is longer than {VERSION_BYTES_MAX} bytes")]
    VersionTooLong(String),
    /// The path's major version is not that of the version.
    #[error("{module}@{version}: the version should be {wanted}")]
    Major {
        /// The path.
        module: ModulePath,
        /// The version that does not fit it.
        version: Version,
        /// What would fit, such as `v2` or `v0 or v1`.
        wanted: String,
    },
    /// A module without `@version`.
    #[error("no version in {0:?}; a form like example.com/module@v1.2.3 is expected")]
    NoVersion(String),
    /// A private pattern that no path can ever match, because it is broken.
    #[error("malformed pattern {0:?}: a `[` without `]`, an empty range, or a `\\` at the end")]
    Pattern(String),
    /// A list of private patterns longer than [`PATTERNS_BYTES_MAX`].
    #[error("the list of patterns is longer than {PATTERNS_BYTES_MAX} bytes")]
    PatternsTooLong,
}

/// The beginning of a text from outside, short enough for an error or a log line.
fn excerpt(text: &str) -> String {
    const CHARACTERS_MAX: usize = 100;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
