//! Trust on first use: the first hash of each file that nothing proves, and on whose word it was.
//!
//! One line for each in a file of the state folder: the key's hash, the h1, and author and giver of the word, or `-` for what this
//! host got by itself. A later line about the same file takes the place of an earlier one. It outlives the file itself, which may be
//! let go of when the store is full; so whoever gives it anew must give the same. A line that cannot be read is passed over: it is
//! forgotten, and the next word is the first again.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::digest::{BlobId, H1};
use modmesh_protocol::peer_name::PeerName;

use super::Store;
use crate::seldom::Seldom;
use crate::state::rename_over;
use crate::trust::OnMember;

/// Files whose first hash is remembered: 20 MB on disk and as much in memory. When they are full no word of a member is taken
/// for a file that is not among them.
const FILES_MAX: usize = 100_000;
/// Lines beyond the number of files before the file is written anew.
const STALE_LINES_MAX: usize = 10_000;

static UNWRITTEN: Seldom = Seldom::new();

/// What was seen first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct First {
    pub h1: H1,
    /// On whose word: author and giver; nothing where this host got it by itself.
    pub by: Option<(PeerName, PeerName)>,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remembered {
    This(First),
    Nothing,
    /// Nothing, and there is no room to remember more.
    Full,
}

/// The memory.
#[derive(Debug)]
pub(super) struct FirstSeen {
    path: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    files: HashMap<KeyHash, First>,
    lines: usize,
    /// Whether a crash tore off the last line.
    is_torn: bool,
}

impl First {
    /// What `h1` was seen of, on the word of a member or by this host itself.
    pub(crate) fn of(h1: H1, by: Option<&OnMember>) -> Self {
        let by = by.map(|by| (by.author.clone(), by.giver.clone()));
        Self { h1, by }
    }

    fn is_on_the_word_of(&self, peer: &PeerName) -> bool {
        let by = self.by.as_ref();
        by.is_some_and(|(author, giver)| author == peer || giver == peer)
    }

    fn line(&self, file: KeyHash) -> String {
        let by = match &self.by {
            Some((author, giver)) => format!("{author} {giver}"),
            None => "-".to_owned(),
        };
        format!("{file} {} {by}\n", self.h1)
    }

    fn parse(line: &str) -> Option<(KeyHash, Self)> {
        let mut words = line.split(' ');
        let file: BlobId = words.next()?.parse().ok()?;
        let h1 = words.next()?.parse().ok()?;
        let by = match (words.next()?, words.next()) {
            ("-", None) => None,
            (author, Some(giver)) => Some((author.parse().ok()?, giver.parse().ok()?)),
            _ => return None,
        };
        let is_all = words.next().is_none();
        is_all.then_some((KeyHash(file.0), Self { h1, by }))
    }
}

impl FirstSeen {
    /// Reads what was remembered. Blocks.
    pub(super) fn open(path: PathBuf) -> Self {
        let text = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut seen = Seen {
            is_torn: !text.is_empty() && !text.ends_with('\n'),
            ..Seen::default()
        };
        for line in text.lines() {
            seen.lines += 1;
            if let Some((file, first)) = First::parse(line)
                && (seen.files.len() < FILES_MAX || seen.files.contains_key(&file))
            {
                seen.files.insert(file, first);
            }
        }
        Self {
            path,
            seen: Mutex::new(seen),
        }
    }

    fn get(&self, file: KeyHash) -> Remembered {
        let seen = self.lock();
        match seen.files.get(&file) {
            Some(first) => Remembered::This(first.clone()),
            None if seen.files.len() >= FILES_MAX => Remembered::Full,
            None => Remembered::Nothing,
        }
    }

    fn put(&self, file: KeyHash, first: First) -> io::Result<()> {
        let mut seen = self.lock();
        if seen.files.len() >= FILES_MAX && !seen.files.contains_key(&file) {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        // What was torn off is ended, so that it takes no good line with it.
        let line = match std::mem::take(&mut seen.is_torn) {
            true => format!("\n{}", first.line(file)),
            false => first.line(file),
        };
        let written = options
            .open(&self.path)
            .and_then(|mut to| to.write_all(line.as_bytes()));
        seen.files.insert(file, first);
        seen.lines += 1;
        written?;
        if seen.lines > seen.files.len() + STALE_LINES_MAX {
            self.write_anew(&mut seen)?;
        }
        Ok(())
    }

    /// Forgets what rests on the word of `peer`; how much that was.
    fn forget(&self, peer: &PeerName) -> io::Result<u64> {
        let mut seen = self.lock();
        let before = seen.files.len();
        seen.files.retain(|_, first| !first.is_on_the_word_of(peer));
        let forgotten = before - seen.files.len();
        if forgotten > 0 {
            self.write_anew(&mut seen)?;
        }
        Ok(forgotten as u64)
    }

    fn write_anew(&self, seen: &mut Seen) -> io::Result<()> {
        let mut text = String::new();
        for (file, first) in &seen.files {
            let _ = write!(text, "{}", first.line(*file));
        }
        let written = self.path.with_extension("new");
        fs::write(&written, text)?;
        rename_over(&written, &self.path)?;
        seen.lines = seen.files.len();
        seen.is_torn = false;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// What was seen first of a file that nothing proves.
    pub(crate) fn first(&self, file: KeyHash) -> Remembered {
        self.inner.first.get(file)
    }

    /// Remembers what was seen first of a file that nothing proves, or instead of what was. Blocks shortly.
    pub(crate) fn remember_first(&self, file: KeyHash, first: First) {
        let Ok(_keeping) = self.keeping() else { return };
        if let Err(error) = self.inner.first.put(file, first)
            && let Some(left_out) = UNWRITTEN.turn()
        {
            tracing::warn!(%error, left_out, "the first hash of a file is remembered until the daemon ends, and could not be written down");
        }
    }

    /// Drops all that rests on the word of `peer`: files, and what is remembered of those that are gone. How many files and how
    /// many memories that were. Blocks.
    pub(crate) fn drop_word_of(&self, peer: &PeerName) -> io::Result<(u64, u64)> {
        let mut files = 0;
        for entry in self.inner.catalog.all() {
            if entry.proof.by_member().is_some_and(|by| by.is_of(peer)) {
                self.drop_false(&entry);
                files += 1;
            }
        }
        Ok((files, self.inner.first.forget(peer)?))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn first(byte: u8, by: Option<(&str, &str)>) -> First {
        let by = by.map(|(author, giver)| (author.parse().unwrap(), giver.parse().unwrap()));
        First {
            h1: H1([byte; 32]),
            by,
        }
    }

    #[test]
    fn what_was_seen_first_is_known_after_a_restart_and_forgotten_with_its_giver() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("first-seen");
        let open = || FirstSeen::open(path.clone());
        let key = |byte| KeyHash([byte; 32]);
        let seen = open();
        assert_eq!(seen.get(key(1)), Remembered::Nothing);
        let all = [
            (1, first(1, None)),
            (2, first(2, Some(("A", "B")))),
            (3, first(3, Some(("C", "A")))),
            (4, first(4, Some(("C", "C")))),
        ];
        for (number, first) in all.clone() {
            seen.put(key(number), first).unwrap();
        }
        let seen = open();
        for (number, first) in all {
            assert_eq!(seen.get(key(number)), Remembered::This(first));
        }
        seen.put(key(4), first(9, None)).unwrap();
        assert_eq!(seen.forget(&"A".parse().unwrap()).unwrap(), 2);
        let seen = open();
        assert_eq!(seen.get(key(2)), Remembered::Nothing);
        assert_eq!(seen.get(key(3)), Remembered::Nothing);
        assert_eq!(seen.get(key(4)), Remembered::This(first(9, None)));
    }

    #[test]
    fn a_torn_end_takes_no_other_line_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("first-seen");
        fs::write(&path, "torn off by a cra").unwrap();
        let (one, two) = (KeyHash([1; 32]), KeyHash([2; 32]));
        let seen = FirstSeen::open(path.clone());
        seen.put(one, first(1, None)).unwrap();
        seen.put(two, first(2, None)).unwrap();
        let seen = FirstSeen::open(path);
        assert_eq!(seen.get(one), Remembered::This(first(1, None)));
        assert_eq!(seen.get(two), Remembered::This(first(2, None)));
    }
}
