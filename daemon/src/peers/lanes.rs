//! How much this host asks of one neighbour at the same time.
//!
//! A neighbour serves one asker a bounded number of streams and tells the rest "busy". Who keeps to less waits here instead,
//! where waiting costs nothing, and files never stand in the way of questions: each has its own lanes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use libp2p::PeerId;
use modmesh_protocol::limits::{
    ASKED_FILES_PER_PEER_MAX, ASKED_QUERIES_PER_PEER_MAX, NO_PROGRESS_MAX, RETRY_AFTER_MS,
    SERVED_STREAMS_PER_PEER_MAX,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{PeerError, ask, lock};

// The neighbour frees a place a moment after its last byte is here, so a few places are left over.
const _: () =
    assert!(ASKED_FILES_PER_PEER_MAX + ASKED_QUERIES_PER_PEER_MAX < SERVED_STREAMS_PER_PEER_MAX);

/// The lanes to all neighbours.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<HashMap<PeerId, Lane>>);

#[derive(Debug)]
struct Lane {
    files: Arc<Semaphore>,
    queries: Arc<Semaphore>,
}

impl Lanes {
    /// Waits for a lane for a file; busy after two seconds.
    pub(super) async fn file(&self, peer: &PeerId) -> Result<OwnedSemaphorePermit, PeerError> {
        enter(self.of(peer, |lane| &lane.files)).await
    }

    /// Waits for a lane for a question; busy after two seconds.
    pub(super) async fn query(&self, peer: &PeerId) -> Result<OwnedSemaphorePermit, PeerError> {
        enter(self.of(peer, |lane| &lane.queries)).await
    }

    /// Forgets the lanes to a neighbour that went.
    pub(super) fn forget(&self, peer: &PeerId) {
        lock(&self.0).remove(peer);
    }

    fn of(&self, peer: &PeerId, kind: impl Fn(&Lane) -> &Arc<Semaphore>) -> Arc<Semaphore> {
        let mut lanes = lock(&self.0);
        let lane = lanes.entry(*peer).or_insert_with(|| Lane {
            files: Arc::new(Semaphore::new(ASKED_FILES_PER_PEER_MAX)),
            queries: Arc::new(Semaphore::new(ASKED_QUERIES_PER_PEER_MAX)),
        });
        Arc::clone(kind(lane))
    }
}

async fn enter(lane: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, PeerError> {
    let entered = timeout(NO_PROGRESS_MAX, lane.acquire_owned()).await;
    entered
        .ok()
        .and_then(Result::ok)
        .ok_or_else(|| ask::busy(RETRY_AFTER_MS))
}
