//! The second door: `.info`, `list`, `@latest` and branch answers, which no hash covers.
//!
//! They enter whole, by rename, under their own URL paths; their age is the file's modification time, and the beginning of
//! Unix time marks those that this host made itself. They are never offered to an open mesh.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{Store, StoreError, staging};
use crate::seldom::Seldom;
use crate::state::rename_over;
use crate::trust::Scope;

static UNREAD: Seldom = Seldom::new();

/// The modification time that marks a note as provisional.
const PROVISIONAL: SystemTime = SystemTime::UNIX_EPOCH;

/// Largest note that is taken from upstream, kept or read; the longest list of the public Go proxy is below a tenth of it.
pub(crate) const NOTE_BYTES_MAX: u64 = 4 << 20;

/// A kept answer and how long ago upstream gave it.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub bytes: Vec<u8>,
    pub age: Duration,
    /// Made here while upstream was gone: good enough to serve then, to be replaced by upstream's own.
    pub provisional: bool,
}

impl Store {
    /// The note kept under `url_path`, if there is one; of those kept apart only when `apart_too`, and then the younger.
    /// Blocks shortly.
    pub(crate) fn read_note(&self, url_path: &str, apart_too: bool) -> Option<Note> {
        let read = |scope| read(&self.inner.layout.note(scope, url_path));
        let apart = apart_too.then(|| read(Scope::Unlisted)).flatten();
        let notes = [read(Scope::Proven), apart];
        notes.into_iter().flatten().min_by_key(|note| note.age)
    }

    /// Keeps `bytes` under `url_path`; apart when only this user may have them. Blocks shortly.
    pub(crate) fn note(&self, url_path: &str, bytes: &[u8], apart: bool) -> Result<(), StoreError> {
        let scope = if apart {
            Scope::Unlisted
        } else {
            Scope::Proven
        };
        self.write_note(scope, url_path, bytes, false)
    }

    /// Keeps what was made here while upstream was gone, until upstream's own takes its place. Blocks shortly.
    pub(crate) fn note_provisionally(
        &self,
        url_path: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        self.write_note(Scope::Proven, url_path, bytes, true)
    }

    fn write_note(
        &self,
        scope: Scope,
        url_path: &str,
        bytes: &[u8],
        provisional: bool,
    ) -> Result<(), StoreError> {
        self.lay_note(&self.inner.layout.note(scope, url_path), bytes, provisional)
    }

    /// Puts a small file at `path`, whole or not at all.
    pub(super) fn lay_note(
        &self,
        path: &Path,
        bytes: &[u8],
        provisional: bool,
    ) -> Result<(), StoreError> {
        let _keeping = self.keeping()?;
        let staging = self.inner.layout.staging();
        let written = staging::new_path(&staging, "note-");
        self.inner.layout.check()?;
        // Both may be gone if somebody swept the state folder under a running daemon.
        fs::create_dir_all(&staging)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let write = || {
            let mut file = File::create(&written)?;
            file.write_all(bytes)?;
            if provisional {
                file.set_modified(PROVISIONAL)?;
            }
            rename_over(&written, path)
        };
        write().inspect_err(|_| {
            let _swept_at_the_next_start = fs::remove_file(&written);
        })?;
        Ok(())
    }
}

/// The age of a note that cannot be told: older than any time to live.
const AGE_UNKNOWN: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn read(path: &Path) -> Option<Note> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > NOTE_BYTES_MAX {
        return None;
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            if let Some(left_out) = UNREAD.turn() {
                let path = path.display();
                tracing::warn!(%path, %error, left_out, "a kept answer cannot be read");
            }
            return None;
        }
    };
    let modified = metadata.modified().ok()?;
    Some(Note {
        bytes,
        // A note from the future was written under a wrong clock, and nobody knows when.
        age: SystemTime::now()
            .duration_since(modified)
            .unwrap_or(AGE_UNKNOWN),
        provisional: modified == PROVISIONAL,
    })
}
