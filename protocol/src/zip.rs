//! Module zips: are they what Go accepts, what is in them, and are they in the one form that may cross the mesh?
//!
//! Two grammars. What comes from upstream is judged as Go judges it: [`Grammar::Upstream`] accepts exactly what both
//! `zip.Unzip` and `dirhash.HashZip` of golang.org/x/mod accept, with the same contents and the same h1. From a neighbour
//! only the canonical form is taken, a subset: see `canonical.rs`. Both use a reader of our own, because a reader that
//! shows fewer entries than Go's, or reads a damaged stream differently, would let a neighbour plant a zip that we keep
//! and `go` refuses.
//!
//! Three bounds go beyond Go's, far from any real zip, so that hostile ones stay cheap: [`DIRECTORY_BYTES_MAX`],
//! [`WORK_BYTES_MAX`], and names that no Linux file system could hold.
//!
//! What always holds: nothing is allocated by a size that the zip declares; memory is a few windows per thread and a
//! small multiple of the directory that is really there; nothing here panics on any input. Zips are never written or
//! repaired here, and nothing is unpacked to disk.

mod body;
mod canonical;
mod directory;
mod end;
mod fold;
mod fold_table;
mod names;
mod read_at;
mod work;

use crate::digest::H1;
use crate::h1;
use crate::module::{ModuleError, ModuleVersion};

pub use body::WORK_BYTES_MAX;
pub use canonical::CANONICAL_NAME_BYTES_MAX;
pub use directory::DIRECTORY_BYTES_MAX;
pub use read_at::{FileAt, ReadAt};

/// The largest module zip in bytes, and the largest sum of the sizes of its files: `MaxZipFile` of golang.org/x/mod/zip.
pub const ZIP_BYTES_MAX: u64 = 500 << 20;

/// The largest go.mod of a module in bytes: `MaxGoMod` of golang.org/x/mod/zip.
pub const GO_MOD_BYTES_MAX: u64 = 16 << 20;

/// The largest LICENSE at the root of a module in bytes: `MaxLICENSE` of golang.org/x/mod/zip.
pub const LICENSE_BYTES_MAX: u64 = 16 << 20;

/// Which zips are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// The one form that is taken from neighbours and given to them.
    Canonical,
    /// Whatever Go accepts.
    Upstream,
}

/// What was found out about a zip that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The hash of the contents, as in go.sum.
    pub h1: H1,
    /// Whether the zip is in the canonical form too.
    pub canonical: bool,
    /// How many entries the directory has.
    pub entries: u32,
    /// What all files come to when unpacked.
    pub unpacked_bytes: u64,
}

/// A verdict, and what it was reached by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The verdict.
    pub verdict: Verdict,
    /// Name (with `path@version/`) and SHA-256 of the content of each entry, in the order of the directory. Folders have
    /// names that end in a slash, and no content.
    pub entries: Vec<(String, [u8; 32])>,
}

/// Why a zip is refused.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    /// The bytes could not be read. This says nothing about the zip.
    #[error("cannot read the zip: {0}")]
    Io(#[source] std::io::Error),
    /// More than [`ZIP_BYTES_MAX`].
    #[error("the zip has {0} bytes; a module zip has at most {ZIP_BYTES_MAX}")]
    TooLarge(u64),
    /// Headers and records that lead nowhere.
    #[error("not a valid zip: {0}")]
    Format(&'static str),
    /// More than [`DIRECTORY_BYTES_MAX`]. Go would read it.
    #[error("the directory of the zip has more than {DIRECTORY_BYTES_MAX} bytes")]
    DirectoryTooLarge,
    /// Entries share bytes so often that reading them all takes more than [`WORK_BYTES_MAX`]. Go would read them.
    #[error("reading all entries of the zip takes more than {WORK_BYTES_MAX} bytes")]
    TooMuchWork,
    /// An entry that does not begin with the module and version asked for. In the words of `go`, by which people search.
    #[error("zip for {of} has unexpected file {name}")]
    Prefix {
        /// What was asked for.
        of: ModuleVersion,
        /// The entry's name, at most 200 characters of it, what cannot be printed escaped.
        name: String,
    },
    /// An entry whose name Go does not allow.
    #[error(transparent)]
    Name(#[from] ModuleError),
    /// A name that no Linux file system can hold.
    #[error("an entry's name of {0} bytes, or an element of it, is too long to be unpacked")]
    NameTooLong(usize),
    /// A go.mod below the root or in another case.
    #[error("{0:?} must be go.mod in lower case at the root, or have another name")]
    GoModPlace(String),
    /// Two names that some file system takes for one, or a file that is a folder elsewhere.
    #[error("the entries {0:?} and {1:?} cannot both be unpacked")]
    Collision(String, String),
    /// A file larger than Go's limits.
    #[error("{0:?} is larger than a module's file of that name may be")]
    FileTooLarge(String),
    /// All files together are larger than [`ZIP_BYTES_MAX`].
    #[error("the files come to more than {ZIP_BYTES_MAX} bytes")]
    ContentTooLarge,
    /// Neither stored nor deflated.
    #[error("unknown compression method {0}")]
    Method(u16),
    /// A deflate stream that is wrong or incomplete.
    #[error("an entry's deflate stream is wrong or cut off")]
    Deflate,
    /// More or less content than the directory declares.
    #[error("an entry's content has another size than declared")]
    Size,
    /// Wrong CRC-32.
    #[error("an entry's content has another CRC-32 than declared")]
    Checksum,
    /// Go would accept it, but it is not in the form that may cross the mesh.
    #[error("not in the canonical form: {0}")]
    NotCanonical(#[from] NotCanonical),
}

/// What sets a zip that Go accepts apart from the canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCanonical {
    /// A comment, zip64, several disks, or bytes before or after the zip.
    #[error("the end record is not the plain one, or not at the end")]
    End,
    /// Bytes that belong to no entry, or to several.
    #[error("entries do not lie one after the other from the first byte to the directory")]
    Gap,
    /// A comment or an extra field other than a timestamp.
    #[error("an entry has a comment or an extra field")]
    Extra,
    /// A size that needs zip64.
    #[error("an entry is in zip64 form")]
    Zip64,
    /// A flag other than 0x8 and 0x800.
    #[error("an entry has the flags {0:#x}")]
    Flags(u16),
    /// A method other than 0 and 8.
    #[error("an entry has the compression method {0}")]
    Method(u16),
    /// Go's own tools never write folders.
    #[error("an entry is a folder")]
    Folder,
    /// Longer than [`CANONICAL_NAME_BYTES_MAX`].
    #[error("a name is longer than {CANONICAL_NAME_BYTES_MAX} bytes")]
    Name,
    /// Bytes after the end of a deflate stream, or fewer than declared.
    #[error("an entry's content does not fill its place")]
    Slack,
    /// A CRC-32 of zero where it is not.
    #[error("a CRC-32 was not set")]
    Checksum,
    /// Local header and directory differ.
    #[error("an entry's local header differs from the directory")]
    LocalHeader,
    /// The data descriptor is not the one of 16 bytes that repeats CRC-32 and sizes.
    #[error("an entry's data descriptor differs from the directory")]
    Descriptor,
}

/// Judges a zip that is to hold the module version `of`.
///
/// With [`Grammar::Upstream`] the verdict is that of Go, and says whether the zip is canonical too; with
/// [`Grammar::Canonical`] whatever is not canonical is an error. Up to `threads` threads (this one included) read a large
/// zip; the time is that of inflating and hashing all of it.
///
/// # Errors
/// [`ZipError::Io`] when the bytes cannot be read; everything else says what is wrong with the zip.
pub fn check(
    bytes: &dyn ReadAt,
    of: &ModuleVersion,
    grammar: Grammar,
    threads: usize,
) -> Result<Verdict, ZipError> {
    judge(bytes, of, grammar, threads, |verdict, _| verdict)
}

/// Judges as [`check`] does, and tells the name and content hash of every entry.
///
/// # Errors
/// As [`check`].
pub fn list(
    bytes: &dyn ReadAt,
    of: &ModuleVersion,
    grammar: Grammar,
    threads: usize,
) -> Result<Listing, ZipError> {
    judge(bytes, of, grammar, threads, |verdict, entries| Listing {
        verdict,
        entries: entries.map(|(name, sum)| (name.to_owned(), sum)).collect(),
    })
}

fn judge<T>(
    bytes: &dyn ReadAt,
    of: &ModuleVersion,
    grammar: Grammar,
    threads: usize,
    finish: impl FnOnce(Verdict, &mut dyn Iterator<Item = (&str, [u8; 32])>) -> T,
) -> Result<T, ZipError> {
    if bytes.len() > ZIP_BYTES_MAX {
        return Err(ZipError::TooLarge(bytes.len()));
    }
    let entries_max = match grammar {
        Grammar::Canonical => canonical::ENTRIES_MAX,
        Grammar::Upstream => usize::MAX,
    };
    let directory = directory::Directory::read(bytes, entries_max)?;
    let layout = canonical::check_layout(bytes, &directory);
    if grammar == Grammar::Canonical {
        layout?;
    }
    let names = names::check(&directory, of)?;
    let bodies = work::read_all(bytes, &directory, &names, threads)?;
    let canonical = layout.and(bodies.canonical);
    if grammar == Grammar::Canonical {
        canonical?;
    }
    let entries = || {
        names
            .full
            .iter()
            .copied()
            .zip(bodies.sha256.iter().copied())
    };
    let verdict = Verdict {
        h1: h1::of_entries(entries()),
        canonical: canonical.is_ok(),
        entries: u32::try_from(names.full.len()).unwrap_or(u32::MAX),
        unpacked_bytes: names.unpacked_bytes,
    };
    Ok(finish(verdict, &mut entries()))
}
