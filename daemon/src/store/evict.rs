//! Keeping to the size limit: what was asked for longest ago goes first.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use modmesh_protocol::artifact::KeyHash;

use super::Store;
use super::catalog::Entry;
use super::layout::proof_of;

/// Eviction goes on until the store is this far below its limit, so that it does not run for every file.
const LOW_WATER_PERCENT: u64 = 95;

impl Store {
    /// Brings the store below its limit, sparing `newest`, which was just asked for. A body that is being read stays
    /// readable until its last reader is done.
    pub(super) fn evict(&self, newest: &Arc<Entry>) {
        let limit = self.inner.limit_bytes;
        if self.inner.catalog.bytes() <= limit {
            return;
        }
        let low_water = limit / 100 * LOW_WATER_PERCENT;
        let mut entries = self.inner.catalog.all();
        entries.retain(|entry| !Arc::ptr_eq(entry, newest));
        // Read once: requests go on while this sorts.
        entries.sort_by_cached_key(|entry| entry.last_request_ms.load(Ordering::Relaxed));
        for entry in entries {
            if self.inner.catalog.bytes() <= low_water {
                return;
            }
            if !self.inner.catalog.remove(&entry) {
                continue;
            }
            let key = entry.proof.key();
            let body = self.inner.layout.body(entry.proof.scope(), key);
            // The proof first: a crash in between leaves a body that the next start sweeps.
            let _gone = fs::remove_file(proof_of(&body));
            let _gone = fs::remove_file(&body);
            self.inner.index.forget(KeyHash::of_file(key));
            self.inner.evicted.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%key, "evicted");
        }
    }

    /// How many bodies were evicted, and how many put aside as damaged, since the start.
    pub(crate) fn losses(&self) -> (u64, u64) {
        (
            self.inner.evicted.load(Ordering::Relaxed),
            self.inner.quarantined.load(Ordering::Relaxed),
        )
    }
}
