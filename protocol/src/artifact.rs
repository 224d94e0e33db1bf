//! The files of a module version, and the names that stand for them in URLs, on disk and on the wire.
//!
//! [`ArtifactKey`] is the name in plain words, [`KeyHash`] the one that neighbours use: a question or an announcement must
//! not tell a stranger which module this host works with unless the stranger has it too. The layout below the hash is for
//! good; hosts that lay it out differently would never find each other's files.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::{Hasher, hex};
use crate::log::{DatabaseId, TileCoordinate};
use crate::module::{ModulePath, ModuleVersion};

/// The kinds of file that a module version has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// JSON that says which version and when; no hash covers it.
    Info,
    /// The go.mod file.
    Mod,
    /// The module's source.
    Zip,
}

impl FileKind {
    /// All kinds, in the order in which `go` asks for them.
    pub const ALL: [Self; 3] = [Self::Info, Self::Mod, Self::Zip];

    /// The file name extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Mod => "mod",
            Self::Zip => "zip",
        }
    }

    /// The word for this kind in logs, metrics and hashed names; the same as the extension.
    pub fn as_str(self) -> &'static str {
        self.extension()
    }

    /// The kind with this extension.
    pub fn from_extension(extension: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.extension() == extension)
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One file of one module version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArtifactKey {
    /// The module version that the file belongs to.
    pub of: ModuleVersion,
    /// Which of its files.
    pub kind: FileKind,
}

impl ArtifactKey {
    /// The path below a GOPROXY address, and below the root of the store: `escaped/path/@v/v1.2.3.zip`, without a leading
    /// slash. It holds only characters that are safe in both places; `go` sends the `!` of an escape as `%21`.
    pub fn url_path(&self) -> String {
        format!(
            "{}/@v/{}.{}",
            self.of.module.escaped(),
            self.of.version.escaped(),
            self.kind.extension()
        )
    }
}

impl fmt::Display for ArtifactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.kind, self.of)
    }
}

/// The name of a file or record among neighbours: the SHA-256 of `modmesh/1`, kind, escaped path and plain version, with a
/// zero byte between them. The versions of a module have a name of this form too, with no version. Printed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The name of a file.
    pub fn of_file(key: &ArtifactKey) -> Self {
        Self::of(
            &[key.kind.as_str()],
            &key.of.module,
            key.of.version.as_str(),
        )
    }

    /// The name of the record about `of` in the checksum database called `database_name`, such as `sum.golang.org`.
    pub fn of_record(database_name: &str, of: &ModuleVersion) -> Self {
        let kind = ["record@", database_name];
        Self::of(&kind, &of.module, of.version.as_str())
    }

    /// The name of all records about versions of `module` in the checksum database called `database_name`.
    pub fn of_versions(database_name: &str, module: &ModulePath) -> Self {
        Self::of(&["versions@", database_name], module, "")
    }

    /// The place of all that belongs to `module`: its owners decide about its files, records and lists, so that one
    /// conversation partner knows of all of them. See [`owners`](crate::lease::owners).
    pub fn of_place(module: &ModulePath) -> Self {
        Self::of(&["place"], module, "")
    }

    /// The name of a tile of a checksum database: level, index and the number of hashes that are wanted of it. It belongs to no
    /// module, so that it is its own place, too.
    pub fn of_tile(database: DatabaseId, at: TileCoordinate) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(b"modmesh/1\0tile\0");
        hasher.update(&database.0);
        hasher.update(&[at.level]);
        hasher.update(&at.index.to_be_bytes());
        hasher.update(&at.width.to_be_bytes());
        Self(hasher.finish())
    }

    /// The name of what the upstream of a list says about a path below it (`example.com/m/@v/list`). `list` is the SHA-256 of
    /// `modmesh/1`, `list` and the list's text, see [`KeyHash::of_list`]: other lists say other things.
    pub fn of_saying(list: KeyHash, path: &str) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(b"modmesh/1\0saying\0");
        hasher.update(&list.0);
        hasher.update(path.as_bytes());
        Self(hasher.finish())
    }

    /// The name of a list of proxies, by its text.
    pub fn of_list(text: &str) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(b"modmesh/1\0list\0");
        hasher.update(text.as_bytes());
        Self(hasher.finish())
    }

    fn of(kind: &[&str], module: &ModulePath, version: &str) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(b"modmesh/1\0");
        for part in kind {
            hasher.update(part.as_bytes());
        }
        hasher.update(b"\0");
        hasher.update(module.escaped().as_bytes());
        hasher.update(b"\0");
        hasher.update(version.as_bytes());
        Self(hasher.finish())
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}
