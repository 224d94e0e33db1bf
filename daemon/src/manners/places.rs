//! Places of which there may be more or fewer from one moment to the next.
//!
//! Whoever has a place keeps it. Where more are taken than there are to be, nobody gets one until enough have been left. Those who wait
//! get one in the order in which they came.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of places.
#[derive(Debug)]
pub(crate) struct Places(Arc<Inner>);

/// One of them; left when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    of: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    free: Arc<Semaphore>,
    count: Mutex<Count>,
}

#[derive(Debug)]
struct Count {
    most: usize,
    /// Places beyond those, which are gone when they are left.
    beyond: usize,
}

impl Places {
    /// So many, all of them free.
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Inner {
            free: Arc::new(Semaphore::new(most)),
            count: Mutex::new(Count { most, beyond: 0 }),
        }))
    }

    /// A place. Waits for as long as others have them all.
    pub(crate) async fn take(&self) -> Place {
        loop {
            // It is never closed.
            let permit = Arc::clone(&self.0.free).acquire_owned().await.ok();
            if let Some(place) = self.admit(permit) {
                return place;
            }
        }
    }

    /// A place; nothing where others have them all.
    pub(crate) fn take_now(&self) -> Option<Place> {
        let permit = Arc::clone(&self.0.free).try_acquire_owned().ok()?;
        self.admit(Some(permit))
    }

    /// There are to be so many from now on, at most [`Semaphore::MAX_PERMITS`].
    pub(crate) fn set_most(&self, most: usize) {
        let mut count = self.0.count();
        let more = most.saturating_sub(count.most);
        let stay = more.min(count.beyond);
        count.beyond -= stay;
        self.0.free.add_permits(more - stay);
        let fewer = count.most.saturating_sub(most);
        count.beyond += fewer - self.0.free.forget_permits(fewer);
        count.most = most;
    }

    /// How many there are to be.
    pub(crate) fn most(&self) -> usize {
        self.0.count().most
    }

    /// How many are taken, which are more than there are to be for a while after there were to be fewer.
    pub(crate) fn taken(&self) -> usize {
        let count = self.0.count();
        let all = count.most + count.beyond;
        all.saturating_sub(self.0.free.available_permits())
    }

    /// Nothing where there were to be fewer since the permit came free: a wait that was given up left it to others.
    fn admit(&self, permit: Option<OwnedSemaphorePermit>) -> Option<Place> {
        let mut count = self.0.count();
        if count.beyond > 0
            && let Some(permit) = permit
        {
            count.beyond -= 1;
            permit.forget();
            return None;
        }
        Some(Place {
            permit,
            of: Arc::clone(&self.0),
        })
    }
}

impl Inner {
    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut count = self.of.count();
        let Some(permit) = self.permit.take() else {
            return;
        };
        if count.beyond > 0 {
            count.beyond -= 1;
            permit.forget();
        }
        // Another one is free again while the count is held, so that nobody sees it twice.
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::poll;
    use proptest::prelude::*;

    use super::*;

    #[tokio::test]
    async fn whoever_has_a_place_keeps_it_and_nobody_comes_until_enough_have_left() {
        let places = Places::new(4);
        let mut taken: Vec<_> = (0..4).map_while(|_| places.take_now()).collect();
        assert_eq!(taken.len(), 4);
        places.set_most(2);
        assert_eq!((places.taken(), places.most()), (4, 2));
        let next = places.take();
        tokio::pin!(next);
        for _ in 0..2 {
            assert!(poll!(&mut next).is_pending() && places.take_now().is_none());
            taken.pop();
        }
        assert!(poll!(&mut next).is_pending());
        taken.pop();
        let _next = next.await;
        assert_eq!((places.taken(), places.most()), (2, 2));
    }

    #[tokio::test]
    async fn who_waits_gets_a_place_when_there_are_more() {
        let places = Places::new(1);
        let _first = places.take().await;
        let (second, third) = (places.take(), places.take());
        tokio::pin!(second, third);
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        places.set_most(2);
        assert!(poll!(&mut third).is_pending());
        let _second = second.await;
        assert!(poll!(&mut third).is_pending());
    }

    #[tokio::test]
    async fn a_place_that_came_free_for_one_who_went_away_is_no_more_than_there_are() {
        let places = Places::new(1);
        let first = places.take().await;
        let mut gone = Box::pin(places.take());
        assert!(poll!(&mut gone).is_pending());
        // The one that waits has it now, and has not looked.
        drop(first);
        places.set_most(0);
        drop(gone);
        assert!(places.take_now().is_none());
        assert_eq!((places.taken(), places.most()), (0, 0));
        places.set_most(1);
        let _first = places.take_now().unwrap();
        assert!(places.take_now().is_none());
    }

    proptest! {
        #[test]
        fn places_are_neither_lost_nor_made(steps in prop::collection::vec((0_u8..4, 0_usize..6), 0..60)) {
            let places = Places::new(3);
            let (mut most, mut taken) = (3, Vec::new());
            for (what, number) in steps {
                match what {
                    0 => {
                        places.set_most(number);
                        most = number;
                    }
                    1 => drop((!taken.is_empty()).then(|| taken.swap_remove(number % taken.len()))),
                    _ => {
                        let place = places.take_now();
                        prop_assert_eq!(place.is_some(), taken.len() < most);
                        taken.extend(place);
                    }
                }
                prop_assert_eq!((places.taken(), places.most()), (taken.len(), most));
            }
        }
    }
}
