//! What upstream said no to (403, 404, 410), for when it is gone: `go` probes each prefix of a path for a module, and that most
//! of them are none is known from the last time.
//!
//! A table of slots on disk, one small file each. A name has a few slots by its hash; what is new takes a free one, or the place of
//! the oldest. So the folder is bounded without anybody counting. A file that does not read as one is none.

use std::path::{Path, PathBuf};
use std::time::Duration;

use modmesh_protocol::digest::Hasher;

use super::notes::read;
use super::{Store, StoreError};

/// Slots; a large project has some hundred probes that fail. A file is below 4 KiB, so these are 64 MiB of blocks at most.
const SLOTS: u16 = 1 << 14;
/// Slots that a name may lie in. With one each, thirty of a thousand names would push out another; with four, of so many in
/// two hundred tables one does.
const PLACES: usize = 4;
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
        let places = self.refusal_places(name);
        let mut kept = places.iter().filter_map(|place| Slot::read(place));
        let slot = kept.find(|slot| slot.name == name)?;
        let counts = matches!(slot.kept.status, 403 | 404 | 410) && slot.kept.age < LIFETIME;
        counts.then_some(slot.kept)
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
        self.lay_note(&self.place_for(name), bytes.as_bytes(), false)
    }

    /// Where it lies already, or a free slot, or else that of the oldest.
    fn place_for(&self, name: &str) -> PathBuf {
        let places = self.refusal_places(name);
        let slots = places.each_ref().map(|place| Slot::read(place));
        let holds = |slot: &Option<Slot>| slot.as_ref().is_some_and(|slot| slot.name == name);
        let found = slots.iter().position(holds);
        let at = found.unwrap_or_else(|| {
            let age = |slot: &Option<Slot>| slot.as_ref().map_or(Duration::MAX, |s| s.kept.age);
            // Of equals the first, so that a table that is nearly empty is read in one step.
            let oldest = slots.iter().enumerate().rev();
            oldest
                .max_by_key(|(_, slot)| age(slot))
                .map_or(0, |(at, _)| at)
        });
        let [first, ..] = &places;
        places.get(at).unwrap_or(first).clone()
    }

    fn refusal_places(&self, name: &str) -> [PathBuf; PLACES] {
        let mut hasher = Hasher::new();
        hasher.update(name.as_bytes());
        let hash = hasher.finish();
        let mut pairs = hash.chunks_exact(2);
        std::array::from_fn(|_| {
            let pair = pairs.next().and_then(|pair| pair.try_into().ok());
            let slot = u16::from_be_bytes(pair.unwrap_or_default()) % SLOTS;
            self.inner.layout.refusals().join(format!("{slot:04x}"))
        })
    }
}

/// What lies in a slot.
struct Slot {
    name: String,
    kept: KeptRefusal,
}

impl Slot {
    fn read(place: &Path) -> Option<Self> {
        let note = read(place)?;
        let text = String::from_utf8(note.bytes).ok()?;
        let (head, text) = text.split_once('\n')?;
        let (status, name) = head.split_once(' ')?;
        Some(Self {
            name: name.to_owned(),
            kept: KeptRefusal {
                status: status.parse().ok()?,
                text: text.to_owned(),
                age: note.age,
            },
        })
    }
}
