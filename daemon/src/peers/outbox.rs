//! What waits for the swarm's task: words to announce, connections to end, neighbours to look at.
//!
//! Filled from anywhere without waiting, emptied by the task in batches. Bounded: of hashes the oldest are dropped first, of
//! heads only the latest per database is kept, and connections to end and neighbours to look at are sets of names that
//! are connected.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Mutex;

use libp2p::PeerId;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::limits::{
    ANNOUNCED_FILES_MAX, ANNOUNCED_HEADS_MAX, ANNOUNCED_NOTE_BYTES_MAX, HELLO_HEADS_MAX,
    UNANNOUNCED_FILES_MAX,
};
use modmesh_protocol::log::DatabaseId;
use tokio::sync::Notify;

use super::lock;

/// Everything of one announcement, and whether more waits.
type Batch = (Vec<KeyHash>, Vec<(DatabaseId, String)>, bool);

/// The outbox.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    /// Raised when something was put in.
    pub(super) filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    files: VecDeque<KeyHash>,
    heads: HashMap<DatabaseId, String>,
    disconnects: HashSet<PeerId>,
    suspects: HashSet<PeerId>,
    gone: HashSet<PeerId>,
}

impl Outbox {
    /// Files to announce.
    pub(super) fn files(&self, files: Vec<KeyHash>) {
        let mut waiting = lock(&self.waiting);
        waiting.files.extend(files);
        let over = waiting.files.len().saturating_sub(UNANNOUNCED_FILES_MAX);
        waiting.files.drain(..over);
        drop(waiting);
        self.filled.notify_one();
    }

    /// A head to announce.
    pub(super) fn head(&self, database: DatabaseId, note: String) {
        if note.len() > ANNOUNCED_NOTE_BYTES_MAX {
            return;
        }
        let mut waiting = lock(&self.waiting);
        if waiting.heads.len() < HELLO_HEADS_MAX || waiting.heads.contains_key(&database) {
            waiting.heads.insert(database, note);
        }
        drop(waiting);
        self.filled.notify_one();
    }

    /// A connection to end.
    pub(super) fn disconnect(&self, peer: PeerId) {
        lock(&self.waiting).disconnects.insert(peer);
        self.filled.notify_one();
    }

    /// The connections to end.
    pub(super) fn take_disconnects(&self) -> HashSet<PeerId> {
        std::mem::take(&mut lock(&self.waiting).disconnects)
    }

    /// A neighbour to look at: whether it is still there.
    pub(super) fn suspect(&self, peer: PeerId) {
        lock(&self.waiting).suspects.insert(peer);
        self.filled.notify_one();
    }

    /// The neighbours to look at.
    pub(super) fn take_suspects(&self) -> HashSet<PeerId> {
        std::mem::take(&mut lock(&self.waiting).suspects)
    }

    /// A neighbour that is gone without a word.
    pub(super) fn gone(&self, peer: PeerId) {
        lock(&self.waiting).gone.insert(peer);
        self.filled.notify_one();
    }

    /// The neighbours that are gone without a word.
    pub(super) fn take_gone(&self) -> HashSet<PeerId> {
        std::mem::take(&mut lock(&self.waiting).gone)
    }

    /// Whether anything is to be announced.
    pub(super) fn has_words(&self) -> bool {
        let waiting = lock(&self.waiting);
        !waiting.files.is_empty() || !waiting.heads.is_empty()
    }

    /// What fits one announcement.
    pub(super) fn take_batch(&self) -> Batch {
        let mut waiting = lock(&self.waiting);
        let fit = waiting.files.len().min(ANNOUNCED_FILES_MAX);
        let files = waiting.files.drain(..fit).collect();
        let databases = waiting.heads.keys().take(ANNOUNCED_HEADS_MAX).copied();
        let databases: Vec<_> = databases.collect();
        let note = |d: DatabaseId| waiting.heads.remove(&d).map(|note| (d, note));
        let heads = databases.into_iter().filter_map(note).collect();
        let more = !waiting.files.is_empty() || !waiting.heads.is_empty();
        (files, heads, more)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_leave_in_batches_and_old_ones_are_dropped() {
        let outbox = Outbox::default();
        let key = |i: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&(i as u64).to_be_bytes());
            KeyHash(bytes)
        };
        outbox.files((0..UNANNOUNCED_FILES_MAX + 10).map(key).collect());
        for database in 0..20 {
            outbox.head(DatabaseId([database; 32]), "head".into());
        }
        outbox.head(
            DatabaseId([0; 32]),
            "h".repeat(ANNOUNCED_NOTE_BYTES_MAX + 1),
        );
        let (files, heads, more) = outbox.take_batch();
        assert_eq!(
            (files.len(), heads.len(), more),
            (ANNOUNCED_FILES_MAX, 2, true)
        );
        assert_eq!(files[0], key(10));
        let (mut files, mut heads) = (files.len(), heads.len());
        while outbox.has_words() {
            let batch = outbox.take_batch();
            (files, heads) = (files + batch.0.len(), heads + batch.1.len());
        }
        assert_eq!((files, heads), (UNANNOUNCED_FILES_MAX, HELLO_HEADS_MAX));
    }
}
