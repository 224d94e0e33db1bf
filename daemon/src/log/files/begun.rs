//! Which log of its key lies here. A person may give up the log that this host followed (`modmesh sumdb forget`, `accept`);
//! the next one is then number one higher, and lies in a folder of its own, `+1`, `+2`, .. below the database's.
//!
//! The file `+begun` names the number, and its rename is the switch: whatever a crash leaves, the next start reads one log
//! or the other, and never parts of both. It is the one file here that is synced, for it is written once in years, and what
//! was given up must not come back with a power cut. The log that was given up is moved to [`ASIDE`] afterwards.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use modmesh_protocol::digest::{hex, unhex};
use modmesh_protocol::log::{Hash, SignedHead, VerifierKey};

use super::whose::{self, PARTS};
use super::{Files, with_digest};
use crate::state::write_whole;

/// Where logs go that were given up, in the state folder.
const ASIDE: &str = "sumdb-given-up";
/// Logs of one database that are kept there; of more the oldest go.
const ASIDE_MAX: usize = 4;
/// Heads of given up logs that are known again, the largest: some 80 bytes each.
const GIVEN_UP_MAX: usize = 2048;
/// The file with them, in the folder of the log that is followed instead; and what else stands in it.
const MEMORY: &str = "given-up";
const CONTRADICTED: &str = "contradicted";
const APART: &str = "apart";

/// A tree head without its signature: its size and root.
pub(in super::super) type Head = (u64, Hash);

/// What was given up before a log began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Memory {
    /// Heads that are known again.
    pub heads: HashSet<Head>,
    /// Something spoke against them: a head that contradicts one of them, or could not be joined to it.
    pub was_contradicted: bool,
    /// The log began with a head that contradicts all of them that are larger.
    pub is_apart: bool,
}

/// Where a log begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Begun {
    /// 0 for the first log of a key; one more for each that was given up before it.
    pub number: u64,
    /// The signed head that this log must lead to, where it was accepted.
    pub from: Option<String>,
}

/// The number of the log that the database of `key` is at in the state folder `state`.
pub(crate) fn log_number(state: &Path, key: &VerifierKey) -> u64 {
    read(state, key).number
}

pub(super) fn base(state: &Path, key: &VerifierKey) -> PathBuf {
    state.join("sumdb").join(key.name())
}

/// Where the word of it is damaged or lost, the last log is followed of which there is a head: a person chose it. What it had to
/// lead to is not known any more then. Where nothing at all is here it is the one after those that were given up: two logs never
/// have one number, and so the second is kept beside the first when it is given up.
pub(super) fn read(state: &Path, key: &VerifierKey) -> Begun {
    let base = &base(state, key);
    let text = super::read_whole(&base.join("+begun"))
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default();
    let (number, from) = text.split_once('\n').unwrap_or_default();
    let from = (!from.is_empty()).then(|| from.to_owned());
    match number.parse() {
        Ok(number) => Begun { number, from },
        Err(_) => Begun {
            number: later_logs(base)
                .filter(|log| has_head(base, *log))
                .max()
                .unwrap_or_else(|| match holds_something(base) {
                    true => 0,
                    false => number_after(state, key),
                }),
            from: None,
        },
    }
}

/// The numbers of all logs but the first whose folders are here.
fn later_logs(base: &Path) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix('+')?.parse().ok())
}

/// The number after those of the logs that were given up and are kept.
fn number_after(state: &Path, key: &VerifierKey) -> u64 {
    let newest = aside_of(state, key).into_iter().next();
    newest.map_or(0, |(number, _)| number.saturating_add(1))
}

/// Whether there is any part of a log in the folder `log`.
fn holds_something(log: &Path) -> bool {
    PARTS.iter().any(|part| {
        let entries = fs::read_dir(log.join(part));
        entries.is_ok_and(|mut entries| entries.next().is_some())
    })
}

fn has_head(base: &Path, log: u64) -> bool {
    let heads = fs::read_dir(root(base, log).join("head"));
    heads.is_ok_and(|mut heads| heads.next().is_some())
}

/// Where the parts of log `number` lie.
pub(super) fn root(base: &Path, number: u64) -> PathBuf {
    match number {
        0 => base.to_owned(),
        later => base.join(format!("+{later}")),
    }
}

impl Files {
    /// Gives up this log and begins the next, which must lead to `from` where that is given. `given_up` is
    /// what is known again when others show it. Returns the next log's number.
    ///
    /// # Errors
    /// Of the disk. Nothing is changed then.
    pub(in super::super) fn begin_anew(
        &self,
        from: Option<&SignedHead>,
        given_up: &Memory,
    ) -> io::Result<u64> {
        let number = self.begun.number.saturating_add(1);
        let next = root(&self.base, number);
        match fs::remove_dir_all(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        super::make_folders(&next)?;
        let memory = memory_text(given_up);
        write_whole(&next.join(MEMORY), &with_digest(memory.as_bytes()))?;
        let note = from.map(SignedHead::note).unwrap_or_default();
        let text = format!("{number}\n{note}");
        write_whole(&self.base.join("+begun"), &with_digest(text.as_bytes()))?;
        // The switch is made; where the folder cannot be synced the system does it within its half minute.
        let _in_a_while = File::open(&self.base).and_then(|folder| folder.sync_all());
        Ok(number)
    }

    /// What was given up before this log.
    pub(in super::super) fn given_up(&self) -> Memory {
        let text = self.read(&self.root.join(MEMORY));
        let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.unwrap_or_default();
        let has = |word: &str| text.lines().any(|line| line == word);
        let head = |line: &str| {
            let (size, root) = line.split_once(' ')?;
            Some((size.parse().ok()?, unhex(root)?))
        };
        Memory {
            heads: text.lines().filter_map(head).collect(),
            was_contradicted: has(CONTRADICTED),
            is_apart: has(APART),
        }
    }

    /// Writes down what of it is known again from now on.
    pub(in super::super) fn write_given_up(&self, memory: &Memory) -> io::Result<()> {
        self.write(&self.root.join(MEMORY), memory_text(memory).as_bytes())
    }

    /// Which log this is, and where it begins.
    pub(in super::super) fn begun(&self) -> &Begun {
        &self.begun
    }
}

fn memory_text(memory: &Memory) -> String {
    let mut heads: Vec<_> = memory.heads.iter().collect();
    heads.sort_by(|one, other| other.cmp(one));
    let heads = heads.into_iter().take(GIVEN_UP_MAX);
    let mut lines: Vec<String> = heads
        .map(|(size, root)| format!("{size} {}\n", hex(root)))
        .collect();
    let words = [
        (CONTRADICTED, memory.was_contradicted),
        (APART, memory.is_apart),
    ];
    let said = words.into_iter().filter(|(_, is_so)| *is_so);
    lines.extend(said.map(|(word, _)| format!("{word}\n")));
    lines.concat()
}

/// Moves logs aside that were given up. What cannot be moved stays where nobody looks at it until the next start.
///
/// A log goes under the key that proved it, which is another than `key` where a crash came before its move and then somebody set
/// another key. So this is done before the mark of the earlier key is moved.
pub(super) fn sweep(files: &Files, state: &Path, key: &VerifierKey) {
    let number = files.begun.number;
    if number > 0 {
        move_aside(files, state, key, 0);
    }
    for entry in fs::read_dir(&files.base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let other = name.to_str().and_then(|name| name.strip_prefix('+'));
        match other.and_then(|other| other.parse::<u64>().ok()) {
            Some(other) if other < number => move_aside(files, state, key, other),
            // It was prepared, and the switch was never made.
            Some(other) if other > number && !has_head(&files.base, other) => {
                let _gone = fs::remove_dir_all(entry.path());
            }
            _ => {}
        }
    }
}

fn move_aside(files: &Files, state: &Path, key: &VerifierKey, number: u64) {
    let from = root(&files.base, number);
    // A log of which nothing came takes no place of one that is worth keeping.
    let has_parts = holds_something(&from);
    let prover = match has_parts {
        true => whose::prover_of(files, &from, key),
        false => Some(key.clone()),
    };
    let prefix = prefix_aside(key.name(), prover.as_ref());
    let aside = state.join(ASIDE).join(format!("{prefix}{number}"));
    let moved = match has_parts {
        true => move_parts(&from, &aside),
        false => Ok(()),
    };
    let moved = moved.and_then(|()| match number {
        0 => Ok(()),
        _ => fs::remove_dir_all(&from),
    });
    let database = key.name();
    match moved {
        Ok(()) if has_parts => {
            if let Some(prover) = prover {
                // With it the heads can be checked that lie there.
                let text = format!("{}\n", prover.as_str());
                let _for_people = fs::write(aside.join("key.txt"), text);
            }
            tracing::warn!(database, aside = %aside.display(), "a log of this checksum database that was given up is moved aside");
        }
        Ok(()) => {}
        Err(error) => {
            tracing::warn!(database, aside = %aside.display(), %error, "a log of this checksum database that was given up could not be moved aside; it is not used any more")
        }
    }
    for (_, oldest) in under(state, &prefix).into_iter().skip(ASIDE_MAX) {
        let _gone = fs::remove_dir_all(oldest);
    }
}

/// What was moved before a crash stays as it is; work that was under way at the switch may have left a little more.
fn move_parts(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    PARTS.into_iter().try_for_each(|part| {
        if to.join(part).exists() {
            let _late = fs::remove_dir_all(from.join(part));
            return Ok(());
        }
        whose::move_part(from, to, part)
    })
}

/// Where log `number` of the database is moved to when it is given up.
pub(in super::super) fn folder_aside(state: &Path, key: &VerifierKey, number: u64) -> PathBuf {
    let prefix = prefix_aside(key.name(), Some(key));
    state.join(ASIDE).join(format!("{prefix}{number}"))
}

/// The logs of the database that were given up and are kept, the newest first.
pub(in super::super) fn aside_of(state: &Path, key: &VerifierKey) -> Vec<(u64, PathBuf)> {
    under(state, &prefix_aside(key.name(), Some(key)))
}

fn under(state: &Path, prefix: &str) -> Vec<(u64, PathBuf)> {
    let mut found: Vec<_> = fs::read_dir(state.join(ASIDE))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    found
}

/// No name of a database has a plus sign in it. Logs of another key of the same name are others, and so are those of which nobody
/// knows any more whose they are.
fn prefix_aside(name: &str, key: Option<&VerifierKey>) -> String {
    let name = name.replace('/', "+");
    let mark = key.map_or_else(|| whose::UNKNOWN.to_owned(), whose::mark_of);
    format!("{name}+{mark}+")
}
