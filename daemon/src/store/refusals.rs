//! What upstream said no to (403, 404, 410), for when it is gone: `go` probes each prefix of a path for a module, and that most
//! of them are none is known from the last time.
//!
//! A table of slots on disk, one small file each, found by the hash of the name: what is new takes the place of what
//! was there. So the folder is bounded without anybody counting. A file that does not read as one is none.

use std::path::PathBuf;
use std::time::Duration;

use modmesh_protocol::digest::Hasher;

use super::notes::read;
use super::{Store, StoreError};

/// Slots; a large project has some hundred probes that fail. A file is below 4 KiB, so these are 64 MiB of blocks at most.
const SLOTS: u16 = 1 << 14;
/// Longest text that is kept with it, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// Longest name that is kept, in bytes: no module path that Go accepts comes near it with its version.
const NAME_BYTES_MAX: usize = 2048;
/// How long a refusal says anything; by then many a module has been published.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A refusal that is younger is not written again.
const RENEWED_AFTER: Duration = Duration::from_secs(60 * 60);

/// A no of upstream, and how long ago it said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptRefusal {
    /// 403, 404 or 410.
    pub status: u16,
    /// For a person.
    pub text: String,
    /// Whole seconds matter.
    pub age: Duration,
}

impl Store {
    /// The refusal kept under `name`, if there is one that still counts. Blocks shortly.
    pub(crate) fn read_refusal(&self, name: &str) -> Option<KeptRefusal> {
        let note = read(&self.refusal_path(name))?;
        let text = String::from_utf8(note.bytes).ok()?;
        let (head, text) = text.split_once('\n')?;
        let (status, kept_name) = head.split_once(' ')?;
        let status = status.parse().ok()?;
        let counts = matches!(status, 403 | 404 | 410) && kept_name == name && note.age < LIFETIME;
        counts.then(|| KeptRefusal {
            status,
            text: text.to_owned(),
            age: note.age,
        })
    }

    /// Keeps that upstream refused `name` with `status` and `text`, of which the beginning is kept. Blocks shortly.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(crate) fn keep_refusal(
        &self,
        name: &str,
        status: u16,
        text: &str,
    ) -> Result<(), StoreError> {
        if name.len() > NAME_BYTES_MAX || name.contains('\n') {
            return Ok(());
        }
        let is_young = |kept: &KeptRefusal| kept.status == status && kept.age < RENEWED_AFTER;
        if self.read_refusal(name).as_ref().is_some_and(is_young) {
            return Ok(());
        }
        let end = text.floor_char_boundary(TEXT_BYTES_MAX);
        let text = text.get(..end).unwrap_or_default();
        let bytes = format!("{status} {name}\n{text}");
        self.lay_note(&self.refusal_path(name), bytes.as_bytes(), false)
    }

    fn refusal_path(&self, name: &str) -> PathBuf {
        let mut hasher = Hasher::new();
        hasher.update(name.as_bytes());
        let [first, second, ..] = hasher.finish();
        let slot = u16::from_be_bytes([first, second]) % SLOTS;
        self.inner.layout.refusals().join(format!("{slot:04x}"))
    }
}
