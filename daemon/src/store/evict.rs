//! Keeping to the size limit, and making room on a full disk: what was asked for longest ago goes first.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use modmesh_protocol::artifact::KeyHash;

use super::catalog::Entry;
use super::commit::remove_with_proof;
use super::{Store, now_ms};
use crate::trust::ZIP_BYTES_MAX;

/// Eviction goes on until the store is this far below its limit, so that it does not run for every file.
const LOW_WATER_PERCENT: u64 = 95;
/// What was asked for within this time stays on a full disk: others fill it, and the store must not give way without end.
const SPARED: Duration = Duration::from_secs(60 * 60);
/// How much is let go of on a full disk at a time: room for one of the largest zips.
const ROOM_BYTES: u64 = ZIP_BYTES_MAX;
/// Who finds the disk full this soon after room was made tries again with what was made for all.
const ROOM_LASTS: Duration = Duration::from_secs(10);

impl Store {
    /// Brings the store below its limit, sparing `newest`, which was just asked for. A body that is being read stays
    /// readable until its last reader is done.
    pub(super) fn evict(&self, newest: Option<&Arc<Entry>>) {
        let limit = self.inner.limit_bytes;
        if self.inner.catalog.bytes() <= limit {
            return;
        }
        let low_water = limit / 100 * LOW_WATER_PERCENT;
        for entry in self.oldest_first() {
            if self.inner.catalog.bytes() <= low_water {
                return;
            }
            if newest.is_none_or(|newest| !Arc::ptr_eq(&entry, newest)) {
                self.let_go(&entry);
            }
        }
    }

    /// Makes room on a disk that is full: 500 MiB at most go, and nothing that was asked for in the last hour. False when
    /// there is nothing to let go of. Blocks shortly.
    pub(crate) fn make_room(&self) -> bool {
        let made = self.inner.made_room.lock();
        let mut made = made.unwrap_or_else(PoisonError::into_inner);
        if made.is_some_and(|at| at.elapsed() < ROOM_LASTS) {
            return true;
        }
        let spared_ms = u64::try_from(SPARED.as_millis()).unwrap_or(u64::MAX);
        let spared_since_ms = now_ms().saturating_sub(spared_ms);
        let (mut files, mut freed_bytes) = (0_u64, 0);
        for entry in self.oldest_first() {
            let is_spared = entry.last_request_ms.load(Ordering::Relaxed) >= spared_since_ms;
            if freed_bytes >= ROOM_BYTES || is_spared {
                break;
            }
            if self.let_go(&entry) {
                files += 1;
                freed_bytes += entry.proof.measured().length;
            }
        }
        if files == 0 {
            return false;
        }
        tracing::warn!(
            files,
            bytes = freed_bytes,
            "the disk is full: files of the store that nobody asked for in the last hour were let go of"
        );
        *made = Some(Instant::now());
        true
    }

    fn oldest_first(&self) -> Vec<Arc<Entry>> {
        let mut entries = self.inner.catalog.all();
        // Read once: requests go on while this sorts.
        entries.sort_by_cached_key(|entry| entry.last_request_ms.load(Ordering::Relaxed));
        entries
    }

    /// Takes `entry` out; false when it was gone already. The files go in the same turn, or they would be those of a commit
    /// that came in between.
    fn let_go(&self, entry: &Arc<Entry>) -> bool {
        let _turn = self.turn();
        if !self.inner.catalog.remove(entry) {
            return false;
        }
        let key = entry.proof.key();
        remove_with_proof(&self.inner.layout.body(entry.proof.scope(), key));
        self.inner.index.forget(KeyHash::of_file(key));
        self.inner.evicted.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%key, "evicted");
        true
    }

    /// How many bodies were evicted, and how many put aside as damaged, since the start.
    pub(crate) fn losses(&self) -> (u64, u64) {
        (
            self.inner.evicted.load(Ordering::Relaxed),
            self.inner.quarantined.load(Ordering::Relaxed),
        )
    }
}
