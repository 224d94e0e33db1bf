//! Heads that neighbours show on their own account.
//!
//! They cost a neighbour nothing, so they cost this host little: one is worked on at a time, the largest of those that came
//! meanwhile waits, and the others are dropped. What is lost so comes again with the next lookup or announcement.
//!
//! A neighbour that is behind and has no upstream can follow only if somebody has what continues its head. So that is fetched
//! and kept here while upstream is there, for so many heads a day that nobody can have us keep the whole tree, and for so many of
//! one neighbour that it leaves something to the others.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use modmesh_protocol::log::SignedHead;
use tokio::sync::Semaphore;

use super::super::ask::{LogSource, Part};
use super::super::prove::ProveError;
use super::super::sources::{ShownBy, Sources};
use super::Mirror;
use crate::shutdown::Shutdown;

/// Smaller heads of neighbours whose edges are fetched and kept in a day: up to four tiles each, 2 MiB in all.
const EDGES_A_DAY_MAX: usize = 64;
/// Those of one neighbour among them. One that was away needs one, and one more each time that it is away again.
const EDGES_OF_ONE_A_DAY_MAX: usize = 8;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The heads that wait, and whether one is worked on.
#[derive(Debug)]
pub(super) struct Offers {
    waiting: Mutex<Option<Offer>>,
    working: Arc<Semaphore>,
    edges: Mutex<DayOfEdges>,
    shutdown: Shutdown,
}

/// When the last edges were fetched for neighbours, and for which, oldest first: at most [`EDGES_A_DAY_MAX`].
#[derive(Debug, Default)]
struct DayOfEdges(VecDeque<(Instant, String)>);

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
        let by = ShownBy::Source(Arc::clone(&offer.from));
        let mut sources = Sources::new([offer.from].into_iter().chain(upstream));
        let head = Arc::new(offer.head);
        let prover = &self.inner.prover;
        if self.tree_size() > head.size()
            && let Some(current) = self.head()
        {
            let _using = prover.using();
            let compared = prover.compare(&current, &head, &by).await;
            let is_of_another_log = matches!(
                compared,
                Err(ProveError::Contradiction { .. } | ProveError::GivenUp(_) | ProveError::Over)
            );
            if !is_of_another_log {
                self.keep_for_neighbour(&head, &by, &current, sources).await;
            }
            return;
        }
        if let Err(error) = prover.merge(head, &by, None, &mut sources).await {
            tracing::debug!(database = self.name(), %error, "an offered tree head was not adopted");
        }
    }

    /// Sees to it that a neighbour with the head `theirs` can be given what continues it, if upstream has that.
    async fn keep_for_neighbour(
        &self,
        theirs: &SignedHead,
        by: &ShownBy,
        current: &SignedHead,
        mut sources: Sources,
    ) {
        let (prover, surroundings) = (&self.inner.prover, &self.inner.surroundings);
        let mut nobody = Sources::new([]);
        let here = prover.keep_edge_of(theirs, by, current, &mut nobody).await;
        let is_there =
            |upstream: &Arc<dyn LogSource>| surroundings.within_reach().contains(&upstream.name());
        if !matches!(here, Err(ProveError::MissingTile(_)))
            || !surroundings.upstream().as_ref().is_some_and(is_there)
            || !self.inner.offers.edges().take(Instant::now(), &by.name())
        {
            return;
        }
        let kept = prover.keep_edge_of(theirs, by, current, &mut sources);
        if let Err(error) = kept.await {
            self.inner.offers.edges().give_back();
            tracing::debug!(database = self.name(), size = theirs.size(), %error, "what continues a neighbour's tree head was not fetched");
        }
    }
}

impl Offers {
    pub(super) fn new(shutdown: Shutdown) -> Self {
        Self {
            waiting: Mutex::default(),
            working: Arc::new(Semaphore::new(1)),
            edges: Mutex::default(),
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

    fn edges(&self) -> std::sync::MutexGuard<'_, DayOfEdges> {
        self.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Offer>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DayOfEdges {
    /// The last one was for nothing.
    fn give_back(&mut self) {
        self.0.pop_back();
    }

    /// Takes note of one more for the neighbour `of`, unless it is one too many: of all together, or of this one's.
    fn take(&mut self, now: Instant, of: &str) -> bool {
        let is_past = |(at, _): &(Instant, String)| now.saturating_duration_since(*at) >= DAY;
        while self.0.front().is_some_and(is_past) {
            self.0.pop_front();
        }
        let of_this_one = self.0.iter().filter(|(_, other)| other == of);
        let is_one_more =
            self.0.len() < EDGES_A_DAY_MAX && of_this_one.count() < EDGES_OF_ONE_A_DAY_MAX;
        if is_one_more {
            self.0.push_back((now, of.to_owned()));
        }
        is_one_more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_edges_a_day_are_fetched_for_neighbours_and_so_many_for_each() {
        let (mut day, began) = (DayOfEdges::default(), Instant::now());
        for neighbour in 0..EDGES_A_DAY_MAX / EDGES_OF_ONE_A_DAY_MAX {
            let of = format!("neighbour {neighbour}");
            for _ in 0..EDGES_OF_ONE_A_DAY_MAX {
                assert!(day.take(began, &of));
            }
            assert!(!day.take(began, &of), "{of}");
        }
        assert_eq!(day.0.len(), EDGES_A_DAY_MAX);
        assert!(!day.take(began + DAY / 2, "another one"));
        assert!(day.take(began + DAY, "another one"));
        assert_eq!(day.0.len(), 1);
    }

    #[test]
    fn what_was_for_nothing_is_given_back() {
        let (mut day, began) = (DayOfEdges::default(), Instant::now());
        for _ in 0..EDGES_OF_ONE_A_DAY_MAX {
            assert!(day.take(began, "greedy"));
        }
        day.give_back();
        assert!(day.take(began, "greedy") && !day.take(began, "greedy"));
    }
}
