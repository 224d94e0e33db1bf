//! Whose log is it that lies here? The folder has the database's name, and what makes a database is its key: what was proved
//! by another key of the same name is not believed, not served, and kept for a person to look at.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use modmesh_protocol::digest::{Hasher, hex};
use modmesh_protocol::log::{SignedHead, VerifierKey};

use super::Files;

/// What is moved aside; the key comes last, so that a crash in between is made good by the next start.
pub(super) const PARTS: [&str; 4] = ["head", "record", "tile", "contradiction"];
/// Where it is moved to, in the state folder.
const ASIDE: &str = "sumdb-of-other-keys";
/// Stands in a name where the mark of a key would.
pub(super) const UNKNOWN: &str = "unknown";

/// What an earlier daemon left.
enum Left {
    /// It was proved by the same key.
    Ours,
    /// Nothing says whose it is, and nothing speaks against us: a new folder, one of an earlier release, or a mark that was lost.
    Unmarked,
    /// It was proved by another key: the beginning of that key's SHA-256.
    Anothers(String),
    /// There is something, and neither a mark nor a head that would tell who proved it.
    Nobodys,
}

/// Moves aside what is not of `key`. True when the key is to be written.
pub(super) fn make_way(files: &Files, state: &Path, key: &VerifierKey) -> io::Result<bool> {
    let whose = match left(files, key) {
        Left::Ours => return Ok(false),
        Left::Unmarked => return Ok(true),
        Left::Anothers(whose) => Some(whose),
        Left::Nobodys => None,
    };
    // No name of a database has a plus sign in it.
    let name = key.name().replace('/', "+");
    let mark = whose.as_deref().unwrap_or(UNKNOWN);
    let aside = state.join(ASIDE).join(format!("{name}+{mark}"));
    let moved =
        move_parts(&files.root, &aside).and_then(|()| move_part(&files.base, &aside, "key"));
    moved.map_err(|error| {
        let text = format!(
            "what is kept of the checksum database {} was not proved by its key, and cannot be moved to {}: {error}",
            key.name(),
            aside.display()
        );
        io::Error::new(error.kind(), text)
    })?;
    let (database, aside) = (key.name(), aside.display());
    match whose {
        Some(_) => tracing::error!(
            database,
            %aside,
            "SECURITY: what was kept of this checksum database was proved by another key than the one that is set now, so none of it is believed any more; it is moved aside. If nobody here changed the key, find out who did"
        ),
        None => tracing::warn!(
            database,
            %aside,
            "nothing tells any more which key proved what was kept of this checksum database; it is moved aside and asked for anew"
        ),
    }
    Ok(true)
}

/// The key that proved the log in the folder `log`: the one by which a head of it is signed, of `key` and of the one that is
/// written down here. Where there is no head the latter did. Nothing where nobody can tell.
pub(super) fn prover_of(files: &Files, log: &Path, key: &VerifierKey) -> Option<VerifierKey> {
    let marked = files.read(&mark(files));
    let marked = marked.and_then(|bytes| String::from_utf8(bytes).ok());
    let marked = marked.and_then(|text| VerifierKey::parse(&text).ok());
    let mut has_heads = false;
    for note in files.heads_below(log) {
        let signers = [Some(key), marked.as_ref()].into_iter().flatten();
        for signer in signers {
            if SignedHead::open(note.as_bytes(), signer).is_ok() {
                return Some(signer.clone());
            }
        }
        has_heads = true;
    }
    marked.filter(|_| !has_heads)
}

/// The beginning of a key's SHA-256, by which it is called in names of folders.
pub(super) fn mark_of(key: &VerifierKey) -> String {
    mark_of_text(key.as_str().as_bytes())
}

fn mark_of_text(key: &[u8]) -> String {
    hex(&Hasher::digest(key)[..4])
}

/// Where the key stands that proved what lies here.
pub(super) fn mark(files: &Files) -> PathBuf {
    files.base.join("key")
}

fn left(files: &Files, key: &VerifierKey) -> Left {
    if let Some(mark) = files.read(&mark(files)) {
        return match mark == key.as_str().as_bytes() {
            true => Left::Ours,
            false => Left::Anothers(mark_of_text(&mark)),
        };
    }
    let mut has_heads = false;
    for note in files.heads() {
        if SignedHead::open(note.as_bytes(), key).is_ok() {
            return Left::Unmarked;
        }
        has_heads = true;
    }
    let holds_something = ["record", "tile"].iter().any(|part| {
        let entries = fs::read_dir(files.root.join(part));
        entries.is_ok_and(|mut entries| entries.next().is_some())
    });
    match (has_heads, holds_something) {
        // Of an earlier release, which wrote no mark: whole heads that are not this key's.
        (true, _) => Left::Anothers(UNKNOWN.to_owned()),
        (false, true) => Left::Nobodys,
        (false, false) => Left::Unmarked,
    }
}

fn move_parts(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    PARTS
        .into_iter()
        .try_for_each(|part| move_part(from, to, part))
}

pub(super) fn move_part(from: &Path, to: &Path, part: &str) -> io::Result<()> {
    let (from, to) = (from.join(part), to.join(part));
    if fs::symlink_metadata(&from).is_err() {
        return Ok(());
    }
    // Of an earlier change to and fro.
    let _there_was_none = fs::remove_dir_all(&to).or_else(|_| fs::remove_file(&to));
    fs::rename(from, to)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};
    use modmesh_protocol::log::{Record, TreeHead};
    use modmesh_protocol::module::ModuleVersion;

    use super::super::Memory;
    use super::*;

    const NAME: &str = "sum.example/internal";

    fn key(seed: u8) -> VerifierKey {
        let point = SigningKey::from_bytes(&[seed; 32])
            .verifying_key()
            .to_bytes();
        VerifierKey::of_ed25519(NAME, &point).unwrap()
    }

    /// A signed head of 7 records.
    fn head(seed: u8) -> String {
        let root = [seed; 32];
        let text = TreeHead { size: 7, root }.text();
        let signature = SigningKey::from_bytes(&[seed; 32]).sign(text.as_bytes());
        key(seed).signed_note(&text, &signature.to_bytes())
    }

    fn of() -> ModuleVersion {
        ModuleVersion::parse("example.com/m@v1.0.0").unwrap()
    }

    fn write_record(files: &Files) {
        let text = "a record\n".to_owned();
        files.write_record(&of(), &Record { id: 7, text }).unwrap();
    }

    fn aside(state: &Path) -> Vec<String> {
        let entries = fs::read_dir(state.join(ASIDE)).into_iter().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_another_key_proved_is_moved_aside_and_kept() {
        let state = tempfile::tempdir().unwrap();
        let state = state.path();
        let files = Files::open(state, &key(1)).unwrap();
        write_record(&files);
        assert!(Files::open(state, &key(1)).unwrap().record(&of()).is_some());
        assert_eq!(aside(state), Vec::<String>::new());

        let files = Files::open(state, &key(2)).unwrap();
        assert!(files.record(&of()).is_none());
        assert!(files.recorded().is_empty());
        let mark = hex(&Hasher::digest(key(1).as_str().as_bytes())[..4]);
        let kept = format!("sum.example+internal+{mark}");
        assert_eq!(aside(state), [kept.as_str()]);
        let record = "record/example.com/m@v1.0.0";
        assert!(state.join(ASIDE).join(&kept).join(record).is_file());

        // To and fro: nothing comes back by itself, and nothing piles up.
        write_record(&files);
        assert!(Files::open(state, &key(1)).unwrap().record(&of()).is_none());
        assert!(Files::open(state, &key(2)).unwrap().record(&of()).is_none());
        assert_eq!(aside(state).len(), 2);
    }

    #[test]
    fn without_a_mark_the_heads_tell_whose_it_is() {
        let state = tempfile::tempdir().unwrap();
        let state = state.path();
        let files = Files::open(state, &key(1)).unwrap();
        write_record(&files);
        fs::remove_file(mark(&files)).unwrap();
        // No head at all: what was proved under one that is gone is not believed either.
        assert!(Files::open(state, &key(1)).unwrap().record(&of()).is_none());
        assert_eq!(aside(state), ["sum.example+internal+unknown"]);
    }

    /// The process ended after a log was given up and before its parts were moved, and then another key was set.
    #[test]
    fn a_log_that_was_given_up_goes_under_the_key_that_proved_it_also_when_another_is_set_by_then()
    {
        let given_up = "sumdb-given-up";
        let mark = mark_of(&key(1));
        for (has_head, has_mark, whose) in [
            (true, true, Some(&*mark)),
            (false, true, Some(&*mark)),
            // Its heads are not the new key's, and that is all that is known.
            (true, false, None),
            (false, false, None),
        ] {
            let state = tempfile::tempdir().unwrap();
            let state = state.path();
            let files = Files::open(state, &key(1)).unwrap();
            write_record(&files);
            if has_head {
                files.write_head(7, &head(1)).unwrap();
            }
            files.begin_anew(None, &Memory::default()).unwrap();
            if !has_mark {
                fs::remove_file(super::mark(&files)).unwrap();
            }
            let files = Files::open(state, &key(2)).unwrap();
            assert!(files.record(&of()).is_none());
            let entries = fs::read_dir(state.join(given_up)).unwrap();
            let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            let name = format!("sum.example+internal+{}+0", whose.unwrap_or(UNKNOWN));
            assert_eq!(names, [&*name], "{has_head} {has_mark}");
            let aside = state.join(given_up).join(name);
            assert!(aside.join("record/example.com/m@v1.0.0").is_file());
            let told = fs::read_to_string(aside.join("key.txt")).ok();
            let expected = whose.map(|_| format!("{}\n", key(1).as_str()));
            assert_eq!(told, expected);
        }
    }

    /// The parts could not be moved at the start at which another key was set, but at a later one.
    #[test]
    fn a_log_that_was_given_up_is_known_by_its_heads_when_the_mark_is_another_ones_by_then() {
        let state = tempfile::tempdir().unwrap();
        let state = state.path();
        let files = Files::open(state, &key(1)).unwrap();
        write_record(&files);
        files.write_head(7, &head(1)).unwrap();
        files.begin_anew(None, &Memory::default()).unwrap();
        let mark = super::mark(&files);
        files.write(&mark, key(2).as_str().as_bytes()).unwrap();
        Files::open(state, &key(2)).unwrap();
        let unknown = state.join("sumdb-given-up/sum.example+internal+unknown+0");
        assert!(unknown.join("head/7").is_file());
        assert!(!unknown.join("key.txt").exists());
    }
}
