//! The second door: `.info`, `list`, `@latest` and branch answers, which no hash covers.
//!
//! They enter whole, by rename, under their own URL paths; their age is the file's modification time. They are never
//! offered to an open mesh.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::{Store, StoreError};
use crate::trust::Scope;

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// Largest note that is kept or read; the longest list of the public Go proxy is below a tenth of it.
pub(crate) const NOTE_BYTES_MAX: u64 = 4 << 20;

/// A kept answer and how long ago upstream gave it.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub bytes: Vec<u8>,
    pub age: Duration,
}

impl Store {
    /// The note kept under `url_path`, if there is one. Blocks shortly.
    pub(crate) fn read_note(&self, url_path: &str) -> Option<Note> {
        [Scope::Proven, Scope::Unlisted]
            .into_iter()
            .find_map(|scope| read(&self.inner.layout.note(scope, url_path)))
    }

    /// Keeps `bytes` under `url_path`; apart when the module is private. Blocks shortly.
    pub(crate) fn note(
        &self,
        url_path: &str,
        bytes: &[u8],
        private: bool,
    ) -> Result<(), StoreError> {
        let scope = if private {
            Scope::Unlisted
        } else {
            Scope::Proven
        };
        let path = self.inner.layout.note(scope, url_path);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let written = self
            .inner
            .layout
            .staging()
            .join(format!("note-{}-{serial}", std::process::id()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&written, bytes)
            .and_then(|()| fs::rename(&written, &path))
            .inspect_err(|_| {
                let _swept_at_the_next_start = fs::remove_file(&written);
            })?;
        Ok(())
    }
}

fn read(path: &Path) -> Option<Note> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > NOTE_BYTES_MAX {
        return None;
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a kept answer cannot be read");
            return None;
        }
    };
    // A clock that was set back makes the note look fresh, which costs one more time to live at most.
    let age = metadata
        .modified()
        .ok()
        .and_then(|modified| SystemTime::now().duration_since(modified).ok())
        .unwrap_or_default();
    Some(Note { bytes, age })
}
