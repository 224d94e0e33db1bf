//! Files whose log was given up: from the switch on they are not here for anybody, and then they are set apart one by one, to
//! be judged again under the log that is followed instead.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use modmesh_protocol::artifact::KeyHash;

use super::catalog::Entry;
use super::commit::set_apart;
use super::{Store, StoreError};
use crate::trust::Proof;

impl Store {
    /// From now on log `number` of `database` is followed. What rests on an earlier one is found by nobody any more, and what
    /// would still be laid in its name is set apart.
    pub(crate) fn follow(&self, database: &str, number: u64) {
        let mut logs = self
            .inner
            .logs
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(followed) = logs.get_mut(database) {
            followed.number = number;
        }
    }

    /// How many files rest on a log that was given up and are not set apart yet.
    pub(crate) fn of_another_log(&self) -> u64 {
        let entries = self.inner.catalog.all();
        let of_another = |entry: &&Arc<Entry>| self.is_of_another_log(&entry.proof);
        entries.iter().filter(of_another).count() as u64
    }

    /// Sets everything apart that rests on a log that was given up; returns how many files these are. Blocks for two renames
    /// each. What a crash or the disk leaves undone the next start does.
    pub(crate) fn doubt(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        for entry in self.inner.catalog.all() {
            if !self.is_of_another_log(&entry.proof) {
                continue;
            }
            let _keeping = self.keeping()?;
            let _turn = self.turn();
            if !self.inner.catalog.holds(&entry) {
                continue;
            }
            let last = entry.last_request_ms.load(Ordering::Relaxed);
            let suspect = entry.suspect.load(Ordering::Acquire);
            match set_apart(&self.inner.layout, &entry.proof) {
                Ok(pending) => {
                    self.inner
                        .catalog
                        .insert(Entry::new(pending, last, suspect));
                    count += 1;
                }
                Err(error) => {
                    tracing::warn!(key = %entry.proof.key(), %error, "a file that must be judged again could not be set apart; the next start does it");
                }
            }
        }
        Ok(count)
    }

    /// The entry under `hash`, unless it rests on a log that is not followed any more.
    pub(super) fn followed(&self, hash: KeyHash) -> Option<Arc<Entry>> {
        let entry = self.inner.catalog.get(hash)?;
        (!self.is_of_another_log(&entry.proof)).then_some(entry)
    }

    pub(super) fn is_of_another_log(&self, proof: &Proof) -> bool {
        let logs = self
            .inner
            .logs
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        proof.is_of_another_log(&logs)
    }
}
