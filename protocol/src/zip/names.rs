//! What the directory of a module zip may say: names, collisions and declared sizes.
//!
//! This restates `checkZip` and `collisionChecker` of golang.org/x/mod/zip. Nothing of the content is read here. Go walks
//! from each name up to the root with a map; we sort the names by what they fold to and compare neighbours, which comes
//! to the same and costs no memory per folder. Lengths that no Linux file system can hold are refused as well, since
//! unpacking would fail on them.

use std::cmp::Ordering;

use super::directory::Directory;
use super::fold::{fold, same};
use super::{GO_MOD_BYTES_MAX, LICENSE_BYTES_MAX, ZIP_BYTES_MAX, ZipError};
use crate::module::{ModuleVersion, check_file_path};

/// The longest element of a path on Linux (`NAME_MAX`), in bytes.
const ELEMENT_BYTES_MAX: usize = 255;

/// The longest name with its `path@version/`: a path has at most 4,095 bytes on Linux, and a slash comes before it.
const NAME_BYTES_MAX: usize = 4094;

/// The entries of a directory that passed, and in which order they are to be dealt with.
#[derive(Debug)]
pub(super) struct Names<'a> {
    /// The name of each entry, `path@version/` included, in the order of the directory.
    pub(super) full: Vec<&'a str>,
    /// The entries that Go opens: every file, and of equal folders the last.
    pub(super) opened: Vec<u32>,
    /// What the declared sizes of the files come to.
    pub(super) unpacked_bytes: u64,
}

impl Names<'_> {
    /// Whether Go takes the entry for a folder: its name ends in a slash.
    pub(super) fn is_folder(&self, entry: usize) -> bool {
        self.full.get(entry).is_some_and(|name| name.ends_with('/'))
    }
}

/// Checks all names and declared sizes of a zip that is to hold `of`.
pub(super) fn check<'a>(
    directory: &'a Directory,
    of: &ModuleVersion,
) -> Result<Names<'a>, ZipError> {
    let prefix = format!("{}@{}/", of.module.as_str(), of.version.as_str());
    let mut names = Names {
        full: Vec::with_capacity(directory.entries.len()),
        opened: Vec::new(),
        unpacked_bytes: 0,
    };
    for entry in &directory.entries {
        let name = directory.name(entry);
        let full = std::str::from_utf8(name)
            .ok()
            .filter(|name| name.starts_with(&prefix))
            .ok_or_else(|| outside(of, name))?;
        check_name(full, &full[prefix.len()..])?;
        if !full.ends_with('/') {
            names.unpacked_bytes = add_size(
                names.unpacked_bytes,
                entry.unpacked_bytes,
                &full[prefix.len()..],
            )?;
        }
        names.full.push(full);
    }
    names.opened = check_collisions(&names.full, prefix.len())?;
    Ok(names)
}

/// The error for an entry that is not below `path@version/`.
fn outside(of: &ModuleVersion, name: &[u8]) -> ZipError {
    let name = String::from_utf8_lossy(name);
    ZipError::Prefix {
        of: of.clone(),
        name: name
            .chars()
            .take(200)
            .flat_map(char::escape_debug)
            .collect(),
    }
}

fn check_name(full: &str, name: &str) -> Result<(), ZipError> {
    let path = name.strip_suffix('/').unwrap_or(name);
    if name.is_empty() {
        return Ok(()); // The folder `path@version/` itself.
    }
    check_file_path(path)?;
    if name.ends_with('/') {
        return Ok(()); // Go unpacks no folders, only what lies in them.
    }
    let too_long = path
        .split('/')
        .any(|element| element.len() > ELEMENT_BYTES_MAX);
    if too_long || full.len() > NAME_BYTES_MAX {
        return Err(ZipError::NameTooLong(full.len()));
    }
    let base = path.rsplit('/').next().unwrap_or(path);
    if same(base, "go.mod") && path != "go.mod" {
        return Err(ZipError::GoModPlace(path.to_owned()));
    }
    Ok(())
}

fn add_size(sum: u64, size: u64, name: &str) -> Result<u64, ZipError> {
    let limit = match name {
        "go.mod" => GO_MOD_BYTES_MAX,
        "LICENSE" => LICENSE_BYTES_MAX,
        _ => ZIP_BYTES_MAX,
    };
    if size > limit {
        return Err(ZipError::FileTooLarge(name.to_owned()));
    }
    let sum = sum + size;
    if sum > ZIP_BYTES_MAX {
        return Err(ZipError::ContentTooLarge);
    }
    Ok(sum)
}

/// Refuses names that are the same when folded, except folders listed twice in the same spelling, and files that are
/// folders elsewhere. Returns the entries that are to be opened.
fn check_collisions(full: &[&str], prefix: usize) -> Result<Vec<u32>, ZipError> {
    let name = |entry: u32| full.get(entry as usize).map_or("", |name| &name[prefix..]);
    let mut order: Vec<u32> = (0..u32::try_from(full.len()).unwrap_or(u32::MAX)).collect();
    order.sort_by(|&a, &b| compare_folded(name(a), name(b)).then(a.cmp(&b)));
    for pair in order.windows(2) {
        let (a, b) = (name(pair[0]), name(pair[1]));
        if collide(a, b) {
            return Err(ZipError::Collision(a.to_owned(), b.to_owned()));
        }
    }
    // Equal names stand next to each other in their original order, and only folders can still be equal.
    let last_of_equals = |at: usize| {
        let (this, next) = (order.get(at), order.get(at + 1));
        this.map(|&entry| name(entry)) != next.map(|&entry| name(entry))
    };
    let mut opened: Vec<u32> = order
        .iter()
        .enumerate()
        .filter(|&(at, _)| last_of_equals(at))
        .map(|(_, &entry)| entry)
        .collect();
    opened.sort_unstable();
    Ok(opened)
}

/// The order of folded names in which whatever is below a path follows that path directly: a slash is the lowest of all
/// characters, and a slash at the end does not count.
fn compare_folded(a: &str, b: &str) -> Ordering {
    fn key(path: &str) -> impl Iterator<Item = u32> {
        path.chars()
            .map(|c| if c == '/' { 0 } else { u32::from(fold(c)) })
    }
    let (a, b) = (
        a.strip_suffix('/').unwrap_or(a),
        b.strip_suffix('/').unwrap_or(b),
    );
    let common = common_start(a, b);
    key(&a[common..]).cmp(key(&b[common..]))
}

/// How many bytes two texts have in common at their beginning, up to a character's boundary.
fn common_start(a: &str, b: &str) -> usize {
    let equal = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    a.floor_char_boundary(equal)
        .min(b.floor_char_boundary(equal))
}

/// Whether two neighbours in that order cannot both be unpacked on every file system.
///
/// Elements that fold alike must be spelled alike as long as all before them did; a name that ends where the other goes
/// on, or with it, must be a folder's.
fn collide(a: &str, b: &str) -> bool {
    let is_folder = |name: &str| name.is_empty() || name.ends_with('/');
    let (path_a, path_b) = (
        a.strip_suffix('/').unwrap_or(a),
        b.strip_suffix('/').unwrap_or(b),
    );
    if path_a.is_empty() || path_b.is_empty() {
        return false; // The root is above everything and is spelled in one way.
    }
    let (mut left, mut right) = (path_a.split('/'), path_b.split('/'));
    loop {
        match (left.next(), right.next()) {
            (Some(x), Some(y)) if x == y => {}
            (Some(x), Some(y)) => return same(x, y),
            (None, None) => return !(is_folder(a) && is_folder(b)),
            (None, Some(_)) => return !is_folder(a),
            (Some(_), None) => return !is_folder(b),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn opened(names: &[&str]) -> Option<Vec<u32>> {
        check_collisions(names, 0).ok()
    }

    #[test]
    fn an_entry_outside_of_the_module_is_told_in_the_words_of_go() {
        let of = "rsc.io/badzip@v1.0.0".parse().unwrap();
        let told = |name: &[u8]| outside(&of, name).to_string();
        assert_eq!(
            told(b"rsc.io/badzip@v1.0.0.txt"),
            "zip for rsc.io/badzip@v1.0.0 has unexpected file rsc.io/badzip@v1.0.0.txt"
        );
        assert!(told(b"\x1b[2J").ends_with("unexpected file \\u{1b}[2J"));
    }

    #[test]
    fn names_that_fold_alike_collide_wherever_they_stand() {
        assert!(opened(&["a/x", "b", "A/y"]).is_none());
        assert!(opened(&["a-b", "a/x", "a.c", "A"]).is_none());
        assert!(opened(&["K/a", "b", "\u{212a}/c"]).is_none());
        assert!(opened(&["a/b/c", "a/B/d"]).is_none());
        assert!(opened(&["a/b/c", "a/b/d", "ab", "b/a"]).is_some());
    }

    #[test]
    fn a_file_is_no_folder_and_comes_once() {
        assert!(opened(&["a", "a/b"]).is_none());
        assert!(opened(&["a-b", "a/b", "a.b", "a"]).is_none());
        assert!(opened(&["a", "a"]).is_none());
        assert!(opened(&["a/", "a"]).is_none());
        assert!(opened(&["a/b/", "a/b/c", "a/"]).is_some());
    }

    #[test]
    fn of_equal_folders_the_last_is_opened() {
        assert_eq!(
            opened(&["a/", "b", "a/", "", "c/", ""]),
            Some(vec![1, 2, 4, 5])
        );
    }
}
