//! Heads that neighbours show on their own account.
//!
//! They cost a neighbour nothing, so they cost this host little: one is worked on at a time, the largest of those that came
//! meanwhile waits, and the others are dropped. What is lost so comes again with the next lookup or announcement.

use std::sync::{Arc, Mutex, PoisonError};

use modmesh_protocol::log::SignedHead;
use tokio::sync::Semaphore;

use super::super::ask::{LogSource, Part};
use super::super::sources::Sources;
use super::Mirror;
use crate::shutdown::Shutdown;

/// The heads that wait, and whether one is worked on.
#[derive(Debug)]
pub(super) struct Offers {
    waiting: Mutex<Option<Offer>>,
    working: Arc<Semaphore>,
    shutdown: Shutdown,
}

#[derive(Debug)]
struct Offer {
    head: SignedHead,
    from: Arc<dyn LogSource>,
}

impl Mirror {
    /// A head that somebody showed us on their own account: proved consistent, adopted if larger, else dropped. Returns at
    /// once.
    pub(crate) fn offer_head(&self, note: &str, from: Arc<dyn LogSource>) {
        let head = match SignedHead::open(note.as_bytes(), self.inner.prover.key()) {
            Ok(head) => head,
            Err(error) => {
                let what = format!("the tree head is not signed by the database: {error}");
                return from.blame(Part::Head, &what, note.as_bytes());
            }
        };
        let offers = &self.inner.offers;
        if !offers.put(Offer { head, from }) {
            return;
        }
        if let Ok(place) = Arc::clone(&offers.working).try_acquire_owned() {
            let mirror = self.clone();
            offers.shutdown.spawn("offered heads", async move {
                let mut place = Some(place);
                while let Some(working) = place.take() {
                    while let Some(offer) = mirror.inner.offers.take() {
                        mirror.work_on(offer).await;
                    }
                    drop(working);
                    // One may have come after the last look and before the place was free.
                    if mirror.inner.offers.is_waiting() {
                        let working = Arc::clone(&mirror.inner.offers.working);
                        place = working.try_acquire_owned().ok();
                    }
                }
            });
        }
    }

    async fn work_on(&self, offer: Offer) {
        let upstream = self.inner.surroundings.upstream();
        let mut sources = Sources::new([offer.from].into_iter().chain(upstream));
        let merged = self
            .inner
            .prover
            .merge(offer.head, None, &mut sources)
            .await;
        if let Err(error) = merged {
            tracing::debug!(database = self.name(), %error, "an offered tree head was not adopted");
        }
    }
}

impl Offers {
    pub(super) fn new(shutdown: Shutdown) -> Self {
        Self {
            waiting: Mutex::default(),
            working: Arc::new(Semaphore::new(1)),
            shutdown,
        }
    }

    /// Lets it wait, unless a larger one does.
    fn put(&self, offer: Offer) -> bool {
        let mut waiting = self.lock();
        let is_largest = waiting
            .as_ref()
            .is_none_or(|other| offer.head.size() > other.head.size());
        if is_largest {
            *waiting = Some(offer);
        }
        is_largest
    }

    fn take(&self) -> Option<Offer> {
        self.lock().take()
    }

    fn is_waiting(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Offer>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
