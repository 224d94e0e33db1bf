//! What upstream said just now, for members that wanted the same at that moment.
//!
//! Not more than a moment: it is gone sooner than this host would ask again itself. It is in memory alone, and what other members said is
//! never among it, so that there is one author to each word and nothing to take back.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::limits::SHARED_NOTE_BYTES_MAX;

/// For how long it is told: an owner remembers for as long who knows it, and upstream's no is remembered as long.
pub(super) const SAID_FOR: Duration = Duration::from_secs(30);
/// Answers that are held.
const SAYINGS_MAX: usize = 1024;
/// Bytes of all of them.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// What this host's upstream said just now.
#[derive(Debug, Default)]
pub(crate) struct Sayings(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    all: HashMap<KeyHash, (Said, Instant)>,
    bytes: usize,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// Of HTTP: 200, 404 or 410.
    pub status: u16,
    /// The body, or the reason.
    pub bytes: Bytes,
    /// When it came, for people.
    pub at: SystemTime,
}

impl Sayings {
    /// What was said to `key` in the last half minute, and how long ago.
    pub(crate) fn get(&self, key: KeyHash) -> Option<(Said, Duration)> {
        let held = self.lock();
        let (said, came) = held.all.get(&key)?;
        let age = came.elapsed();
        (age < SAID_FOR).then(|| (said.clone(), age))
    }

    /// Holds what was said to `key`; false where it is too long to be told.
    pub(super) fn put(&self, key: KeyHash, said: Said) -> bool {
        if said.bytes.len() > SHARED_NOTE_BYTES_MAX {
            return false;
        }
        let mut held = self.lock();
        held.forget(|of, (_, came)| *of == key || came.elapsed() >= SAID_FOR);
        while held.all.len() >= SAYINGS_MAX || held.bytes + said.bytes.len() > BYTES_MAX {
            let oldest = held.all.iter().min_by_key(|(_, (_, came))| *came);
            let Some(oldest) = oldest.map(|(of, _)| *of) else {
                break;
            };
            held.forget(|of, _| *of == oldest);
        }
        held.bytes += said.bytes.len();
        held.all.insert(key, (said, Instant::now()));
        true
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn forget(&mut self, which: impl Fn(&KeyHash, &(Said, Instant)) -> bool) {
        let bytes = &mut self.bytes;
        self.all.retain(|key, held| {
            let goes = which(key, held);
            if goes {
                *bytes -= held.0.bytes.len();
            }
            !goes
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(number: u16) -> KeyHash {
        let mut hash = [0; 32];
        hash[..2].copy_from_slice(&number.to_be_bytes());
        KeyHash(hash)
    }

    fn said(bytes: usize) -> Said {
        Said {
            status: 200,
            bytes: vec![7; bytes].into(),
            at: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_last_word_counts_and_all_of_them_are_bounded() {
        let sayings = Sayings::default();
        assert_eq!(sayings.get(key(1)), None);
        assert!(sayings.put(key(1), said(3)));
        assert!(sayings.put(key(1), said(5)));
        assert_eq!(sayings.get(key(1)).unwrap().0, said(5));
        assert_eq!(sayings.lock().bytes, 5);
        assert!(!sayings.put(key(2), said(SHARED_NOTE_BYTES_MAX + 1)));
        assert_eq!(sayings.get(key(2)), None);
        let fit = (BYTES_MAX / SHARED_NOTE_BYTES_MAX) as u16;
        for number in 0..fit + 9 {
            assert!(sayings.put(key(1000 + number), said(SHARED_NOTE_BYTES_MAX)));
        }
        assert_eq!(sayings.get(key(1)), None);
        assert!(sayings.get(key(1000 + fit + 8)).is_some());
        assert_eq!(sayings.lock().all.len(), usize::from(fit));
        for number in 0..=SAYINGS_MAX as u16 {
            sayings.put(key(3000 + number), said(0));
        }
        let held = sayings.lock();
        assert_eq!(held.all.len(), SAYINGS_MAX);
        let bytes: usize = held.all.values().map(|(said, _)| said.bytes.len()).sum();
        assert_eq!(held.bytes, bytes);
    }
}
