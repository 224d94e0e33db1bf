//! The counter at which neighbours are served: how many at the same time, and how many of them for one.
//!
//! Places are taken and never waited for: who finds none is told "busy".

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use libp2p::PeerId;
use modmesh_protocol::control::CapStatus;
use modmesh_protocol::limits::{
    CONNECTIONS_PER_PEER_MAX, OWNED_ASKERS_MAX, OWNED_ASKERS_PER_PEER_MAX, REFUSALS_MAX,
    SERVED_STREAMS_MAX, SERVED_STREAMS_PER_PEER_MAX,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::lock;
use crate::manners::Places;

/// Greetings of one peer at the same time: one on each of its connections.
const HELLOS_PER_PEER_MAX: usize = CONNECTIONS_PER_PEER_MAX;
/// Files that were sent and whose last bytes are still on their way.
const LEAVING_MAX: usize = 256;

/// The places at the counter: how many neighbours are served at the same time.
#[derive(Debug)]
pub(super) struct Counter {
    streams: Arc<Semaphore>,
    pub(super) uploads: Places,
    hellos: Arc<Semaphore>,
    pub(super) refusals: Arc<Semaphore>,
    pub(super) leaving: Arc<Semaphore>,
    leases: Arc<Semaphore>,
    of_peer: Arc<Seats>,
    greeting: Arc<Seats>,
    wanting: Arc<Seats>,
}

/// How many places each peer has.
type Seats = Mutex<HashMap<PeerId, usize>>;

/// One place at the counter; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    peer: PeerId,
    of_peer: Arc<Seats>,
    _stream: OwnedSemaphorePermit,
}

impl Counter {
    /// A counter with all places free, and with so many for files.
    pub(super) fn new(uploads: usize) -> Self {
        let places = |most| Arc::new(Semaphore::new(most));
        Self {
            streams: places(SERVED_STREAMS_MAX),
            uploads: Places::new(uploads),
            hellos: places(SERVED_STREAMS_MAX),
            refusals: places(REFUSALS_MAX),
            leaving: places(LEAVING_MAX),
            leases: places(OWNED_ASKERS_MAX),
            of_peer: Arc::default(),
            greeting: Arc::default(),
            wanting: Arc::default(),
        }
    }

    /// Places that are taken beside those that there are, for people to see.
    pub(super) fn caps(&self) -> Vec<CapStatus> {
        let cap = |what, places: &Semaphore, most: usize| {
            CapStatus::new(what, most.saturating_sub(places.available_permits()), most)
        };
        vec![
            cap("streams", &self.streams, SERVED_STREAMS_MAX),
            CapStatus::new("uploads", self.uploads.taken(), self.uploads.most()),
        ]
    }

    /// Lets nobody new come to the counter and waits until all have been served.
    pub(super) async fn close(&self) {
        // The semaphore is fair: whoever asks after this finds no place.
        if let Ok(all) = self.streams.acquire_many(SERVED_STREAMS_MAX as u32).await {
            all.forget();
        }
        // Held until the wait is over: nobody is served any more, so nobody new leaves.
        let _all_left = self.leaving.acquire_many(LEAVING_MAX as u32).await;
    }

    /// Whether nobody is being served.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.of_peer).is_empty()
    }

    /// Whether anything is given to `peer` now, or it wants something.
    pub(super) fn serves(&self, peer: &PeerId) -> bool {
        lock(&self.of_peer).contains_key(peer) || lock(&self.wanting).contains_key(peer)
    }

    /// A place for a question or a file.
    pub(super) fn place(&self, peer: PeerId) -> Option<Place> {
        Place::take(
            &self.streams,
            &self.of_peer,
            peer,
            SERVED_STREAMS_PER_PEER_MAX,
        )
    }

    /// A place to want something in. It is kept for as long as the wish is not fulfilled, and takes none of the others.
    pub(super) fn lease_place(&self, peer: PeerId) -> Option<Place> {
        Place::take(&self.leases, &self.wanting, peer, OWNED_ASKERS_PER_PEER_MAX)
    }

    /// A place to say hello in. Who has been greeted says it again when two hosts call each other at the same moment, and
    /// gets none of the last half, which is for newcomers.
    pub(super) fn hello_place(&self, peer: PeerId, is_greeted: bool) -> Option<Place> {
        let few_left = self.hellos.available_permits() <= SERVED_STREAMS_MAX / 2;
        if is_greeted && few_left {
            return None;
        }
        Place::take(&self.hellos, &self.greeting, peer, HELLOS_PER_PEER_MAX)
    }
}

impl Place {
    fn take(
        places: &Arc<Semaphore>,
        of_peer: &Arc<Seats>,
        peer: PeerId,
        per_peer_max: usize,
    ) -> Option<Self> {
        let mut counts = lock(of_peer);
        let count = counts.get(&peer).copied().unwrap_or(0);
        if count >= per_peer_max {
            return None;
        }
        let stream = Arc::clone(places).try_acquire_owned().ok()?;
        counts.insert(peer, count + 1);
        Some(Self {
            peer,
            of_peer: Arc::clone(of_peer),
            _stream: stream,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.of_peer);
        if let Some(count) = counts.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_neighbour_gets_a_quarter_of_the_places_and_all_get_no_more_than_there_are() {
        let counter = Counter::new(4);
        let mut taken = Vec::new();
        for _ in 0..SERVED_STREAMS_MAX / SERVED_STREAMS_PER_PEER_MAX {
            let peer = PeerId::random();
            for _ in 0..SERVED_STREAMS_PER_PEER_MAX {
                taken.push(counter.place(peer).unwrap());
            }
            assert!(counter.place(peer).is_none());
        }
        assert!(counter.place(PeerId::random()).is_none());
        taken.clear();
        assert!(lock(&counter.of_peer).is_empty());
        assert!(counter.place(PeerId::random()).is_some());
    }

    #[test]
    fn neighbours_that_greet_without_end_leave_places_for_newcomers() {
        let counter = Counter::new(4);
        let flooding: Vec<_> = (0..SERVED_STREAMS_MAX).map(|_| PeerId::random()).collect();
        let floods = flooding.iter().flat_map(|peer| [peer; 10]);
        let taken: Vec<_> = floods
            .filter_map(|peer| counter.hello_place(*peer, true))
            .collect();
        assert_eq!(taken.len(), SERVED_STREAMS_MAX / 2);
        let newcomer = PeerId::random();
        let places: Vec<_> = (0..10)
            .filter_map(|_| counter.hello_place(newcomer, false))
            .collect();
        assert_eq!(places.len(), HELLOS_PER_PEER_MAX);
        drop((taken, places));
        assert!(lock(&counter.greeting).is_empty());
    }
}
