//! The second root: lines of go.sum files that this host's user gave, by `modmesh run`, `--go-sum` or the control socket.
//!
//! A line vouches for a file on this host alone, and only where the checksum database gives no verdict. What the database
//! says always wins: a line that contradicts a record is taken out and counted. Files are held by name; giving one again
//! replaces all that it said, so that a line that was mended is forgotten. Where two files give one module file two hashes,
//! neither vouches for it. All of it is in memory: what was kept on the word of a line has the hash in its own proof.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use modmesh_protocol::artifact::{ArtifactKey, KeyHash};
use modmesh_protocol::digest::H1;

use super::Unlisted;

/// Lines that are held of all files together: 17 MB of memory, and as many as the largest file may have.
pub(crate) const LINES_HELD_MAX: usize = modmesh_protocol::go_sum::GO_SUM_LINES_MAX;
/// Files that are held; every project that somebody runs has one, or a few.
const FILES_MAX: usize = 64;

/// A handle on the lines; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct GoSums(Arc<RwLock<Held>>);

#[derive(Debug, Default)]
struct Held {
    /// The one that was given last comes last.
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    name: Arc<str>,
    permanence: Permanence,
    sums: HashMap<KeyHash, H1>,
    refused: u64,
}

/// Whether a file may be forgotten for newer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permanence {
    /// A setting names it.
    Stays,
    /// It came with a command.
    MayGo,
}

/// What a line of a go.sum says of a file about which the database says nothing.
#[derive(Debug, Clone)]
pub(crate) struct Vouched {
    pub sum: H1,
    /// The go.sum.
    pub from: Arc<str>,
    /// Why the database says nothing.
    pub silence: Silence,
}

/// Why the checksum database gives no verdict.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Silence {
    #[error("{0}")]
    Unlisted(Unlisted),
    #[error("the checksum database could not be asked: {0}")]
    Pending(Arc<str>),
}

/// How many lines are held, of how many files, and how many more were refused because the database contradicts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GoSumTotals {
    pub files: u64,
    pub lines: u64,
    pub refused: u64,
}

/// There is no room for a file beside those that the settings name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("with it more than {LINES_HELD_MAX} lines, or {FILES_MAX} files, would have to be held")]
pub(crate) struct NoRoom;

impl Silence {
    /// Why the file is unlisted; nothing when the database could not be asked.
    pub(crate) fn unlisted(&self) -> Option<Unlisted> {
        match self {
            Self::Unlisted(why) => Some(*why),
            Self::Pending(_) => None,
        }
    }
}

impl GoSums {
    /// Takes what the file `name` says in the place of what it said before. `refused` is how many more lines it has, which
    /// contradict the database. What was given longest ago is forgotten where there is no room.
    ///
    /// # Errors
    /// When there is none all the same; then nothing changes.
    pub(crate) fn give(
        &self,
        name: &str,
        permanence: Permanence,
        sums: HashMap<KeyHash, H1>,
        refused: u64,
    ) -> Result<(), NoRoom> {
        let mut held = self.write();
        let lasting = |file: &&File| file.permanence == Permanence::Stays && &*file.name != name;
        let lasting: Vec<_> = held.files.iter().filter(lasting).collect();
        let lasting_lines: usize = lasting.iter().map(|file| file.sums.len()).sum();
        if lasting.len() >= FILES_MAX || lasting_lines + sums.len() > LINES_HELD_MAX {
            return Err(NoRoom);
        }
        // What a setting names stays, whoever gives it again.
        let stays = |file: &File| file.permanence == Permanence::Stays && &*file.name == name;
        let permanence = match held.files.iter().any(stays) {
            true => Permanence::Stays,
            false => permanence,
        };
        held.files.retain(|file| &*file.name != name);
        while held.files.len() >= FILES_MAX || held.lines() + sums.len() > LINES_HELD_MAX {
            let oldest = |file: &File| file.permanence == Permanence::MayGo;
            let Some(oldest) = held.files.iter().position(oldest) else {
                break;
            };
            held.files.remove(oldest);
        }
        held.files.push(File {
            name: name.into(),
            permanence,
            sums,
            refused,
        });
        Ok(())
    }

    /// What all files that name `key` say of it, and one of them; nothing where they contradict each other.
    pub(crate) fn line(&self, key: &ArtifactKey) -> Option<(H1, Arc<str>)> {
        let (hash, held) = (KeyHash::of_file(key), self.read());
        let mut given = held
            .files
            .iter()
            .rev()
            .filter_map(|file| Some((*file.sums.get(&hash)?, &file.name)));
        let (sum, name) = given.next()?;
        given
            .all(|(other, _)| other == sum)
            .then(|| (sum, Arc::clone(name)))
    }

    /// The database says that `key` has the hash `sum`: lines that say otherwise are taken out. The files that had one.
    pub(crate) fn overruled(&self, key: &ArtifactKey, sum: H1) -> Vec<Arc<str>> {
        let hash = KeyHash::of_file(key);
        let says_otherwise = |file: &File| file.sums.get(&hash).is_some_and(|line| *line != sum);
        if !self.read().files.iter().any(says_otherwise) {
            return Vec::new();
        }
        let mut held = self.write();
        let liars = held.files.iter_mut().filter(|file| says_otherwise(file));
        liars
            .map(|file| {
                file.sums.remove(&hash);
                file.refused += 1;
                Arc::clone(&file.name)
            })
            .collect()
    }

    pub(crate) fn totals(&self) -> GoSumTotals {
        let held = self.read();
        GoSumTotals {
            files: held.files.len() as u64,
            lines: held.lines() as u64,
            refused: held.files.iter().map(|file| file.refused).sum(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn lines(&self) -> usize {
        self.files.iter().map(|file| file.sums.len()).sum()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use modmesh_protocol::artifact::FileKind;
    use modmesh_protocol::module::ModuleVersion;

    use super::*;

    fn key(of: &str) -> ArtifactKey {
        ArtifactKey {
            of: ModuleVersion::parse(of).unwrap(),
            kind: FileKind::Zip,
        }
    }

    fn sums(lines: &[(&ArtifactKey, u8)]) -> HashMap<KeyHash, H1> {
        let line = |(key, sum): &(&ArtifactKey, u8)| (KeyHash::of_file(key), H1([*sum; 32]));
        lines.iter().map(line).collect()
    }

    fn many(count: usize, first: usize) -> HashMap<KeyHash, H1> {
        let hash = |number: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&(number as u64).to_le_bytes());
            KeyHash(hash)
        };
        (first..first + count)
            .map(|number| (hash(number), H1([0; 32])))
            .collect()
    }

    const MAY_GO: Permanence = Permanence::MayGo;

    #[test]
    fn a_file_that_is_given_again_says_what_it_says_now() {
        let (held, m) = (GoSums::default(), key("example.com/m@v1.0.0"));
        held.give("/a/go.sum", MAY_GO, sums(&[(&m, 1)]), 3).unwrap();
        assert_eq!(held.line(&m).unwrap(), (H1([1; 32]), "/a/go.sum".into()));
        held.give("/a/go.sum", MAY_GO, sums(&[(&m, 2)]), 0).unwrap();
        assert_eq!(held.line(&m).unwrap().0, H1([2; 32]));
        held.give("/a/go.sum", MAY_GO, HashMap::new(), 0).unwrap();
        assert!(held.line(&m).is_none());
        let totals = held.totals();
        assert_eq!((totals.files, totals.lines, totals.refused), (1, 0, 0));
    }

    #[test]
    fn files_that_contradict_each_other_vouch_for_nothing_until_they_agree() {
        let (held, m) = (GoSums::default(), key("example.com/m@v1.0.0"));
        held.give("/a/go.sum", MAY_GO, sums(&[(&m, 1)]), 0).unwrap();
        held.give("/b/go.sum", MAY_GO, sums(&[(&m, 2)]), 0).unwrap();
        assert!(held.line(&m).is_none());
        held.give("/b/go.sum", MAY_GO, sums(&[(&m, 1)]), 0).unwrap();
        assert_eq!(held.line(&m).unwrap(), (H1([1; 32]), "/b/go.sum".into()));
    }

    #[test]
    fn what_the_database_says_takes_out_what_contradicts_it_and_nothing_else() {
        let held = GoSums::default();
        let (m, n) = (key("example.com/m@v1.0.0"), key("example.com/n@v1.0.0"));
        let lines = sums(&[(&m, 1), (&n, 1)]);
        held.give("/true/go.sum", MAY_GO, lines, 0).unwrap();
        held.give("/false/go.sum", MAY_GO, sums(&[(&m, 2)]), 0)
            .unwrap();
        assert_eq!(held.overruled(&m, H1([1; 32])), ["/false/go.sum".into()]);
        assert!(held.overruled(&m, H1([1; 32])).is_empty());
        assert_eq!(held.line(&m).unwrap().0, H1([1; 32]));
        assert_eq!(held.line(&n).unwrap().0, H1([1; 32]));
        let totals = held.totals();
        assert_eq!((totals.files, totals.lines, totals.refused), (2, 2, 1));
    }

    #[test]
    fn what_was_given_longest_ago_goes_first_and_what_a_setting_names_never() {
        let held = GoSums::default();
        let half = LINES_HELD_MAX / 2;
        held.give("/setting", Permanence::Stays, many(half, 0), 0)
            .unwrap();
        held.give("/old", MAY_GO, many(half / 2, half), 0).unwrap();
        held.give("/new", MAY_GO, many(half / 2, 2 * half), 0)
            .unwrap();
        held.give("/newest", MAY_GO, many(1, 4 * half), 0).unwrap();
        let names: Vec<_> = held.read().files.iter().map(|f| f.name.clone()).collect();
        assert_eq!(names, ["/setting".into(), "/new".into(), "/newest".into()]);
        let refused = held.give("/large", MAY_GO, many(half + 1, 5 * half), 0);
        assert_eq!(refused, Err(NoRoom));
        assert_eq!(held.totals().files, 3);
        for number in 0..2 * FILES_MAX {
            held.give(&number.to_string(), MAY_GO, many(1, number), 0)
                .unwrap();
        }
        assert_eq!(held.totals().files, FILES_MAX as u64);
        assert_eq!(&*held.read().files[0].name, "/setting");
        // Nor when somebody gives it again.
        held.give("/setting", MAY_GO, many(1, 0), 0).unwrap();
        for number in 0..2 * FILES_MAX {
            held.give(&number.to_string(), MAY_GO, many(1, number), 0)
                .unwrap();
        }
        let names: Vec<_> = held.read().files.iter().map(|f| f.name.clone()).collect();
        assert!(names.contains(&"/setting".into()));
    }
}
