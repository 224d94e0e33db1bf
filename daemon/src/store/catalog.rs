//! What the store holds, in memory. Built at start from the proof files alone, kept in step by commit and evict, and
//! never written anywhere: the files are the truth.

use std::collections::HashMap;
use std::fs::Metadata;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::UNIX_EPOCH;

use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};

use crate::trust::{Proof, Scope};

/// One body of the store.
#[derive(Debug)]
pub(crate) struct Entry {
    pub proof: Proof,
    /// When a client or neighbour last asked for it, in milliseconds of Unix time; orders eviction, decides nothing else.
    pub last_request_ms: AtomicU64,
    /// Whether the body must be hashed again before it is used: the machine ended uncleanly after it was written, or
    /// somebody wrote to it.
    pub suspect: AtomicBool,
    /// When the body was last written to, as far as it was looked at, in nanoseconds of Unix time; 0 before.
    modified_ns: AtomicU64,
}

/// All bodies, by the hash of their keys.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    entries: RwLock<HashMap<KeyHash, Arc<Entry>>>,
    bytes: AtomicU64,
}

/// How much the store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub bytes: u64,
    pub blobs: u64,
    pub module_versions: u64,
}

impl Catalog {
    pub(crate) fn get(&self, hash: KeyHash) -> Option<Arc<Entry>> {
        self.read().get(&hash).cloned()
    }

    pub(crate) fn insert(&self, entry: Entry) -> Arc<Entry> {
        let entry = Arc::new(entry);
        let hash = KeyHash::of_file(entry.proof.key());
        self.bytes
            .fetch_add(entry.proof.measured().length, Ordering::Relaxed);
        let replaced = self.write().insert(hash, entry.clone());
        self.subtract(replaced);
        entry
    }

    /// Whether `entry` still stands under its key.
    pub(crate) fn holds(&self, entry: &Arc<Entry>) -> bool {
        self.get(KeyHash::of_file(entry.proof.key()))
            .is_some_and(|held| Arc::ptr_eq(&held, entry))
    }

    /// Removes `entry` if it is still the one that stands under its key.
    pub(crate) fn remove(&self, entry: &Arc<Entry>) -> bool {
        let hash = KeyHash::of_file(entry.proof.key());
        let mut entries = self.write();
        if entries
            .get(&hash)
            .is_some_and(|held| Arc::ptr_eq(held, entry))
        {
            let removed = entries.remove(&hash);
            drop(entries);
            self.subtract(removed);
            return true;
        }
        false
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn totals(&self) -> Totals {
        let entries = self.read();
        let module_versions = entries
            .values()
            .filter(|entry| entry.proof.key().kind == FileKind::Mod)
            .count() as u64;
        Totals {
            bytes: self.bytes(),
            blobs: entries.len() as u64,
            module_versions,
        }
    }

    /// Every entry, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        self.read().values().cloned().collect()
    }

    /// Keys of those that `may_be_shown`.
    pub(crate) fn shown(&self, may_be_shown: impl Fn(&Proof) -> bool) -> Vec<KeyHash> {
        self.read()
            .iter()
            .filter(|(_, entry)| may_be_shown(&entry.proof))
            .map(|(hash, _)| *hash)
            .collect()
    }

    /// Whether `path` lies below the path of a module that is held.
    pub(crate) fn is_below_held(&self, path: &str) -> bool {
        self.read().values().any(|entry| {
            path.strip_prefix(entry.proof.key().of.module.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
        })
    }

    /// The versions of which a file is held of `module`, sorted by Go's order. A toolchain is fetched as a zip alone.
    pub(crate) fn versions(
        &self,
        module: &modmesh_protocol::module::ModulePath,
    ) -> Vec<modmesh_protocol::module::Version> {
        let mut versions: Vec<_> = self
            .read()
            .values()
            .map(|entry| entry.proof.key())
            .filter(|key: &&ArtifactKey| key.of.module == *module)
            .map(|key| key.of.version.clone())
            .collect();
        versions.sort();
        versions.dedup();
        versions
    }

    fn subtract(&self, entry: Option<Arc<Entry>>) {
        if let Some(entry) = entry {
            self.bytes
                .fetch_sub(entry.proof.measured().length, Ordering::Relaxed);
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<KeyHash, Arc<Entry>>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<KeyHash, Arc<Entry>>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    pub(crate) fn new(proof: Proof, last_request_ms: u64, suspect: bool) -> Self {
        Self {
            proof,
            last_request_ms: AtomicU64::new(last_request_ms),
            suspect: AtomicBool::new(suspect),
            modified_ns: AtomicU64::new(0),
        }
    }

    /// Remembers when the body was written to; true when that is another time than at an earlier look.
    pub(crate) fn notice_change(&self, body: &Metadata) -> bool {
        let modified = body.modified().ok();
        let since = modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        // A time that cannot be told is never another one.
        let now = since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0));
        let before = self.modified_ns.swap(now, Ordering::Relaxed);
        before != 0 && now != 0 && before != now
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.proof.scope() == Scope::Pending
    }
}
