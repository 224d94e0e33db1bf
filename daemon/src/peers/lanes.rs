//! How much this host asks of one neighbour at the same time.
//!
//! A neighbour serves one asker a bounded number of streams and tells the rest "busy". Who keeps to less waits here instead,
//! where waiting costs nothing, and files never stand in the way of questions: each has its own lanes. Who has nobody else
//! to ask waits for a file's lane as long as files come through it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use libp2p::PeerId;
use modmesh_protocol::limits::{
    ASKED_FILES_PER_PEER_MAX, ASKED_QUERIES_PER_PEER_MAX, NO_PROGRESS_MAX, PROGRESS_BYTES_MIN,
    SERVED_STREAMS_PER_PEER_MAX,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::roster::Roster;
use super::{Haste, PeerError, lock};

// The neighbour frees a place a moment after its last byte is here, so a few places are left over.
const _: () =
    assert!(ASKED_FILES_PER_PEER_MAX + ASKED_QUERIES_PER_PEER_MAX < SERVED_STREAMS_PER_PEER_MAX);

/// The lanes to all neighbours.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<HashMap<PeerId, Lane>>);

#[derive(Debug, Clone)]
struct Lane {
    files: Arc<Semaphore>,
    queries: Arc<Semaphore>,
    /// Bytes of files that came through.
    moved: Arc<AtomicU64>,
}

/// A lane that one file has to itself; free again when dropped.
#[derive(Debug)]
pub(super) struct FileLane {
    _place: OwnedSemaphorePermit,
    moved: Arc<AtomicU64>,
}

impl FileLane {
    /// Bytes of the file came.
    pub(super) fn moved(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Lanes {
    /// Waits for a lane for a file: for two seconds, or where there is nobody else as long as other files move.
    pub(super) async fn file(
        &self,
        roster: &Roster,
        peer: &PeerId,
        haste: Haste,
    ) -> Result<FileLane, PeerError> {
        let lane = self.of(roster, peer)?;
        let mut entering = std::pin::pin!(lane.files.acquire_owned());
        let mut before = lane.moved.load(Ordering::Relaxed);
        loop {
            if let Ok(entered) = timeout(NO_PROGRESS_MAX, &mut entering).await {
                return Ok(FileLane {
                    _place: entered.map_err(|_| PeerError::LanesFull)?,
                    moved: lane.moved,
                });
            }
            let moved = lane.moved.load(Ordering::Relaxed);
            if haste == Haste::OthersWait || moved - before < PROGRESS_BYTES_MIN {
                return Err(PeerError::LanesFull);
            }
            before = moved;
        }
    }

    /// Waits for a lane for a question, for two seconds.
    pub(super) async fn query(
        &self,
        roster: &Roster,
        peer: &PeerId,
    ) -> Result<OwnedSemaphorePermit, PeerError> {
        let lane = self.of(roster, peer)?;
        let entered = timeout(NO_PROGRESS_MAX, lane.queries.acquire_owned()).await;
        entered
            .ok()
            .and_then(Result::ok)
            .ok_or(PeerError::LanesFull)
    }

    /// Forgets the lanes to a neighbour that went.
    pub(super) fn forget(&self, peer: &PeerId) {
        lock(&self.0).remove(peer);
    }

    /// The lanes to a neighbour that is there. It is looked for under the lock: who goes is taken off the roster first and
    /// its lanes are forgotten after that, so that none are made anew.
    fn of(&self, roster: &Roster, peer: &PeerId) -> Result<Lane, PeerError> {
        let mut lanes = lock(&self.0);
        if !roster.is_usable(peer) {
            return Err(PeerError::Gone);
        }
        let lane = lanes.entry(*peer).or_insert_with(|| Lane {
            files: Arc::new(Semaphore::new(ASKED_FILES_PER_PEER_MAX)),
            queries: Arc::new(Semaphore::new(ASKED_QUERIES_PER_PEER_MAX)),
            moved: Arc::default(),
        });
        Ok(lane.clone())
    }

    /// How many neighbours have lanes.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.0).len()
    }
}
