//! Setting the store right: at start, what a crash left behind; after an unclean end of the machine, every body.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::digest::{BlobId, Hasher, hex};

use super::catalog::{Catalog, Entry};
use super::commit::{drop_apart, remove_with_proof, set_apart};
use super::layout::{Layout, PROOF_SUFFIX, proof_of};
use super::{Store, remove_if_there};
use crate::os;
use crate::trust::{FollowedLogs, Proof, Scope};

/// Damaged files that are kept for a person to look at; the oldest goes when there are more.
const QUARANTINED_MAX: usize = 8;
/// Folders deeper than this are not ours: a module path has at most as many elements as fit its longest allowed text.
const DEPTH_MAX: usize = 300;
const READ_BYTES: usize = 256 << 10;
/// Linux writes dirty pages out after 30 s by default; ten minutes leave room for slower settings.
const WRITTEN_OUT_AFTER: Duration = Duration::from_secs(600);

/// Deletes everything in staging: whatever is there was in flight when an earlier daemon ended.
pub(super) fn empty_staging(layout: &Layout) -> io::Result<()> {
    let staging = layout.staging();
    // The folder itself stays: on a full disk it could not be made again.
    fs::create_dir_all(&staging)?;
    for leftover in fs::read_dir(staging)?.filter_map(Result::ok) {
        remove_if_there(&leftover.path())?;
    }
    Ok(())
}

/// Notes that every body must be hashed again, until that has been done.
pub(super) fn mark_suspicion(store: &Store) -> io::Result<()> {
    let path = store.inner.layout.suspicion();
    let marked = File::create(&path);
    let marked = match marked {
        Err(error) if os::is_full_disk(&error) && store.make_room() => File::create(&path),
        marked => marked,
    };
    marked.map(drop)
}

/// Takes away the notes that the end of the machine may have torn: those that are empty or hold a zero byte, and those
/// that were written in the last minutes before the newest, which the system may not have written out yet.
pub(super) fn drop_torn_notes(layout: &Layout) {
    let notes: Vec<_> = [Scope::Proven, Scope::Unlisted]
        .into_iter()
        .flat_map(|scope| files_below(&layout.tree(scope)))
        .filter(|path| is_note(path))
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    let Some(newest) = notes.iter().map(|(modified, _)| *modified).max() else {
        return;
    };
    for (modified, path) in notes {
        let recent = newest
            .duration_since(modified)
            .is_ok_and(|before| before < WRITTEN_OUT_AFTER);
        let torn = || fs::read(&path).map_or(true, |bytes| bytes.is_empty() || bytes.contains(&0));
        if recent || torn() {
            let _gone = fs::remove_file(&path);
        }
    }
}

fn is_note(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("");
    name == "list" || name == "@latest" || name.ends_with(".info")
}

/// Every file below `folder`.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![(folder.to_owned(), 0)]);
    while let Some((folder, depth)) = folders.pop() {
        let Ok(listing) = fs::read_dir(&folder) else {
            tracing::warn!(folder = %folder.display(), "a folder of the store cannot be read");
            continue;
        };
        for file in listing.filter_map(Result::ok) {
            match file.file_type() {
                Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => {
                    folders.push((file.path(), depth + 1));
                }
                Ok(kind) if kind.is_file() => files.push(file.path()),
                _ => {}
            }
        }
    }
    files
}

/// Reads every proof file of both trees and sweeps bodies that have none.
pub(super) fn read_trees(
    layout: &Layout,
    remembered: &HashMap<KeyHash, u64>,
    suspect: bool,
    logs: &FollowedLogs,
) -> Catalog {
    let mut reading = Reading {
        layout,
        remembered,
        suspect,
        logs,
        catalog: Catalog::default(),
        set_apart: 0,
    };
    for scope in [Scope::Unlisted, Scope::Proven] {
        for path in files_below(&layout.tree(scope)) {
            reading.read_file(&path, scope);
        }
    }
    if reading.set_apart > 0 {
        tracing::error!(
            files = reading.set_apart,
            "SECURITY: files of the store rest on another key of their checksum database than the one that is set now, or on a log of it that was given up; they are set apart for this host alone until they are judged again"
        );
    }
    reading.catalog
}

/// A reading of the trees.
struct Reading<'a> {
    layout: &'a Layout,
    remembered: &'a HashMap<KeyHash, u64>,
    suspect: bool,
    logs: &'a FollowedLogs,
    catalog: Catalog,
    set_apart: u64,
}

impl Reading<'_> {
    fn read_file(&mut self, path: &Path, scope: Scope) {
        let layout = self.layout;
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return;
        };
        if let Some(body_name) = name.strip_suffix(PROOF_SUFFIX) {
            let proof = fs::read_to_string(path)
                .ok()
                .and_then(|text| Proof::from_file(&text).ok());
            let body = path.with_file_name(body_name);
            match proof {
                // The proof must be of the very path it lies beside, or moving files about could dress one up as another.
                Some(proof)
                    if layout.body(proof.scope(), proof.key()) == body
                        && layout.tree(proof.scope()) == layout.tree(scope)
                        && body.is_file() =>
                {
                    let last = self.remembered.get(&KeyHash::of_file(proof.key()));
                    // Where the order of requests was lost, the order in which they came is the next best.
                    let last = last.copied().unwrap_or_else(|| written_ms(&body));
                    let suspect = self.suspect || is_newer(&body, path);
                    let proof = if proof.is_of_another_log(self.logs) {
                        self.set_apart += 1;
                        match set_apart(layout, &proof) {
                            Ok(pending) => pending,
                            Err(error) => {
                                tracing::warn!(key = %proof.key(), %error, "a file that must be judged again could not be set apart, and is swept");
                                remove_with_proof(&body);
                                drop_apart(layout, proof.key());
                                return;
                            }
                        }
                    } else {
                        if scope == Scope::Proven {
                            // A crash may have come between its promotion and the removal of what it was promoted from.
                            drop_apart(layout, proof.key());
                        }
                        proof
                    };
                    self.catalog.insert(Entry::new(proof, last, suspect));
                }
                _ => {
                    tracing::info!(file = %path.display(), "swept a proof that is damaged or has no body");
                    let _gone = fs::remove_file(path);
                    let _gone = fs::remove_file(body);
                }
            }
        } else if (name.ends_with(".mod") || name.ends_with(".zip")) && !proof_of(path).is_file() {
            tracing::info!(file = %path.display(), "swept a file whose proof was never written");
            let _gone = fs::remove_file(path);
        }
    }
}

/// When a body was written, in milliseconds of Unix time; 0 when the file system does not say.
fn written_ms(body: &Path) -> u64 {
    let written = fs::metadata(body).and_then(|found| found.modified());
    let since = written
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Whether a body was written to after its proof, which is always written last.
fn is_newer(body: &Path, proof: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|found| found.modified());
    match (modified(body), modified(proof)) {
        (Ok(body), Ok(proof)) => body > proof,
        _ => false,
    }
}

/// Where `body` lies once it was put aside.
pub(super) fn place_aside(layout: &Layout, body: &Path) -> PathBuf {
    let name = hex(&Hasher::digest(body.as_os_str().as_encoded_bytes()));
    layout.quarantine().join(name)
}

/// Moves `body` out of the tree, keeping only the newest few.
pub(super) fn put_aside(layout: &Layout, body: &Path) {
    let folder = layout.quarantine();
    if fs::rename(body, place_aside(layout, body)).is_err() {
        let _gone = fs::remove_file(body);
    }
    let mut held: Vec<_> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())))
        .collect();
    held.sort();
    let surplus = held.len().saturating_sub(QUARANTINED_MAX);
    for (_, path) in held.into_iter().take(surplus) {
        let _gone = fs::remove_file(path);
    }
}

impl Store {
    /// Hashes a suspect body; true when it is what its proof says.
    pub(super) fn clear_suspicion(&self, entry: &Arc<Entry>, file: &File) -> bool {
        match blob_id(file) {
            Ok(blob) if blob == entry.proof.measured().blob => {
                entry.suspect.store(false, Ordering::Release);
                true
            }
            Ok(_) => {
                self.quarantine(entry, "its bytes are not those that were written");
                false
            }
            Err(error) if os::is_shortage(&error) => {
                tracing::warn!(key = %entry.proof.key(), %error, "a kept file could not be checked now");
                false
            }
            Err(error) => {
                self.quarantine(entry, &error.to_string());
                false
            }
        }
    }

    /// Hashes every suspect body; the suspicion ends when all were seen. Blocks for as long as that takes, or until
    /// `stop` says so, or this process is short of descriptors or memory: the rest is checked when it is asked for, or at
    /// the next start.
    pub(crate) fn scrub_suspects(&self, stop: impl Fn() -> bool) {
        let suspects: Vec<_> = self
            .inner
            .catalog
            .all()
            .into_iter()
            .filter(|entry| entry.suspect.load(Ordering::Acquire))
            .collect();
        if !suspects.is_empty() {
            tracing::info!(
                files = suspects.len(),
                "the machine ended uncleanly, or somebody wrote to kept files; they are being checked"
            );
        }
        for entry in suspects {
            if stop() {
                return;
            }
            let path = self
                .inner
                .layout
                .body(entry.proof.scope(), entry.proof.key());
            match File::open(path) {
                Ok(file) => {
                    let whole = self.clear_suspicion(&entry, &file);
                    if !whole && self.inner.catalog.holds(&entry) {
                        return;
                    }
                }
                Err(error) if os::is_shortage(&error) => {
                    tracing::warn!(%error, "the check of the store ends early; the rest is checked when it is asked for");
                    return;
                }
                Err(error) => self.quarantine(&entry, &error.to_string()),
            }
        }
        if let Err(error) = remove_if_there(&self.inner.layout.suspicion()) {
            tracing::debug!(%error, "the mark of suspicion stays");
        }
    }
}

fn blob_id(file: &File) -> io::Result<BlobId> {
    let mut reader = file;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    io::Seek::rewind(&mut reader)?;
    Ok(BlobId(hasher.finish()))
}
