//! The second root: lines of go.sum files that this host's user gave, by `modmesh run`, `--go-sum` or the control socket.
//!
//! A line vouches for a file on this host alone, and only where the checksum database gives no verdict. What the database
//! says always wins: a line that contradicts a record is refused and counted, and counts again only when the log is given up that
//! the record is in. Files are held by name; giving one again replaces all that it said, so that a line that was mended is
//! forgotten. Where two files give one module file two hashes, neither vouches for it. All of it is in memory: what was kept on
//! the word of a line has the hash in its own proof.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use modmesh_protocol::artifact::{ArtifactKey, KeyHash};
use modmesh_protocol::digest::H1;

use super::{ListedRecord, Unlisted};

/// Lines that are held of all files together, the refused ones among them: 17 MB of memory, and as many as the largest file may
/// have.
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
    /// Which log of a database is followed since another one was given up, by the database's name.
    followed: HashMap<String, u64>,
}

/// Lines, by the hash of the file's key.
pub(crate) type Lines = HashMap<KeyHash, H1>;

/// Lines that the database contradicts, by the log that its records are in.
#[derive(Debug, Default)]
pub(crate) struct RefusedLines(HashMap<Log, Lines>);

/// One log of a database: the database's name, and the log's number.
type Log = (String, u64);

#[derive(Debug)]
struct File {
    name: Arc<str>,
    permanence: Permanence,
    sums: Lines,
    refused: RefusedLines,
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

impl RefusedLines {
    /// A line that `record` contradicts.
    pub(crate) fn add(&mut self, hash: KeyHash, sum: H1, record: &ListedRecord) {
        let log = (record.database.clone(), record.log);
        self.0.entry(log).or_default().insert(hash, sum);
    }

    fn len(&self) -> usize {
        self.0.values().map(HashMap::len).sum()
    }

    /// Takes those out that records of a log before the `followed` one contradict.
    fn of_given_up(&mut self, followed: &HashMap<String, u64>) -> Lines {
        let is_given_up = |log: &Log| is_given_up(followed, &log.0, log.1);
        let given_up = self.0.extract_if(|log, _| is_given_up(log));
        given_up.flat_map(|(_, lines)| lines).collect()
    }
}

/// Whether log `number` of `database` is not followed any more.
fn is_given_up(followed: &HashMap<String, u64>, database: &str, number: u64) -> bool {
    followed.get(database).is_some_and(|now| *now > number)
}

impl GoSums {
    /// Takes what the file `name` says in the place of what it said before. `refused` are further lines of it, which contradict
    /// the database. What was given longest ago is forgotten where there is no room.
    ///
    /// # Errors
    /// When there is none all the same; then nothing changes.
    pub(crate) fn give(
        &self,
        name: &str,
        permanence: Permanence,
        mut sums: Lines,
        mut refused: RefusedLines,
    ) -> Result<(), NoRoom> {
        let mut held = self.write();
        // The log may have been given up while they were compared with it.
        sums.extend(refused.of_given_up(&held.followed));
        let lines = sums.len() + refused.len();
        let lasting = |file: &&File| file.permanence == Permanence::Stays && &*file.name != name;
        let lasting: Vec<_> = held.files.iter().filter(lasting).collect();
        let lasting_lines: usize = lasting.iter().map(|file| file.lines()).sum();
        if lasting.len() >= FILES_MAX || lasting_lines + lines > LINES_HELD_MAX {
            return Err(NoRoom);
        }
        // What a setting names stays, whoever gives it again.
        let stays = |file: &File| file.permanence == Permanence::Stays && &*file.name == name;
        let permanence = match held.files.iter().any(stays) {
            true => Permanence::Stays,
            false => permanence,
        };
        held.files.retain(|file| &*file.name != name);
        while held.files.len() >= FILES_MAX || held.lines() + lines > LINES_HELD_MAX {
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

    /// Forgets what the file `name` said; one that a setting names keeps its place.
    pub(crate) fn forget(&self, name: &str) {
        let mut held = self.write();
        let goes = |file: &File| file.permanence == Permanence::MayGo && &*file.name == name;
        held.files.retain(|file| !goes(file));
        let emptied = held.files.iter_mut().filter(|file| &*file.name == name);
        for file in emptied {
            file.sums.clear();
            file.refused = RefusedLines::default();
        }
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

    /// `record` says that `key` has the hash `sum`: lines that say otherwise are refused. The files that had one.
    pub(crate) fn overruled(
        &self,
        key: &ArtifactKey,
        sum: H1,
        record: &ListedRecord,
    ) -> Vec<Arc<str>> {
        let hash = KeyHash::of_file(key);
        let says_otherwise = |file: &File| file.sums.get(&hash).is_some_and(|line| *line != sum);
        if !self.read().files.iter().any(says_otherwise) {
            return Vec::new();
        }
        let mut held = self.write();
        if is_given_up(&held.followed, &record.database, record.log) {
            return Vec::new();
        }
        let liars = held.files.iter_mut().filter(|file| says_otherwise(file));
        liars
            .map(|file| {
                if let Some(line) = file.sums.remove(&hash) {
                    file.refused.add(hash, line, record);
                }
                Arc::clone(&file.name)
            })
            .collect()
    }

    /// From now on log `number` of `database` is followed: what only a log before it contradicted counts as if it had just been
    /// given. Returns how many lines these are.
    pub(crate) fn follow(&self, database: &str, number: u64) -> usize {
        let mut held = self.write();
        held.followed.insert(database.to_owned(), number);
        let Held { files, followed } = &mut *held;
        let again = files.iter_mut().map(|file| {
            let lines = file.refused.of_given_up(followed);
            let count = lines.len();
            file.sums.extend(lines);
            count
        });
        again.sum()
    }

    pub(crate) fn totals(&self) -> GoSumTotals {
        let held = self.read();
        GoSumTotals {
            files: held.files.len() as u64,
            lines: held.files.iter().map(|file| file.sums.len() as u64).sum(),
            refused: held
                .files
                .iter()
                .map(|file| file.refused.len() as u64)
                .sum(),
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
        self.files.iter().map(File::lines).sum()
    }
}

impl File {
    /// Those that are held of it, the refused ones among them.
    fn lines(&self) -> usize {
        self.sums.len() + self.refused.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
