//! Who is fetching what: one flight per thing in this process.
//!
//! The first who asks leads; everybody else who asks meanwhile follows and gets the same result. The leader's work is a
//! task of the daemon, so a client that hangs up ends nothing for the others. A leader that ends without a result
//! (a panic) wakes its followers, and one of them leads anew. Results, errors included, are shared once and never
//! remembered: what came after the flight ended starts a new one.
//!
//! Work is bounded by those who wait for it, and they by the places for connections: of flights that nobody waits for any
//! more a few go on, and the others are given up. So nobody who asks and hangs up, again and again, makes this host work
//! through a queue for which nobody waits.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use crate::shutdown::Shutdown;

/// How often a caller joins anew after leaders that ended without a result.
const JOINS_MAX: usize = 3;
/// Flights of one kind that go on although nobody waits for them: more than one `go` has under way when it is interrupted,
/// and the three kinds together leave places on the road to town (64) to those who wait.
const UNAWAITED_MAX: usize = 16;

/// The flights of one kind of thing.
#[derive(Debug)]
pub(crate) struct Flights<K, V> {
    name: &'static str,
    board: Board<K, V>,
    /// Places for flights that nobody waits for any more.
    unawaited: Arc<Semaphore>,
    shutdown: Shutdown,
}

/// What is aloft. Who wants to know how a flight ends follows its sender.
type Board<K, V> = Arc<Mutex<HashMap<K, watch::Sender<Option<V>>>>>;

/// Every leader that was joined ended without a result; the message of the panic is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work for this request ended without a result; see the daemon's log")]
pub(crate) struct Crashed;

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// No flights yet; `name` stands in traces.
    pub(crate) fn new(name: &'static str, shutdown: Shutdown) -> Self {
        Self {
            name,
            board: Arc::default(),
            unawaited: Arc::new(Semaphore::new(UNAWAITED_MAX)),
            shutdown,
        }
    }

    /// The result of the flight for `key`: of the one under way, or else of `work`, which then leads.
    ///
    /// Dropping the returned future ends nothing: a flight that took off lands, unless nobody waits for it and
    /// [`UNAWAITED_MAX`] of its kind are under way like that.
    pub(crate) async fn join<W, F>(&self, key: K, work: W) -> Result<V, Crashed>
    where
        W: Fn() -> F,
        F: Future<Output = V> + Send + 'static,
    {
        for _ in 0..JOINS_MAX {
            let mut landing = self.landing(&key, &work);
            // An error here means that the leader's sender is gone without a value: it crashed.
            if let Ok(value) = landing.wait_for(Option::is_some).await
                && let Some(value) = value.as_ref()
            {
                return Ok(value.clone());
            }
        }
        Err(Crashed)
    }

    /// How many flights are under way.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> usize {
        lock(&self.board).len()
    }

    fn landing<W, F>(&self, key: &K, work: &W) -> watch::Receiver<Option<V>>
    where
        W: Fn() -> F,
        F: Future<Output = V> + Send + 'static,
    {
        let mut board = lock(&self.board);
        if let Some(lands) = board.get(key) {
            return lands.subscribe();
        }
        let (lands, landing) = watch::channel(None);
        board.insert(key.clone(), lands.clone());
        let flight = Flight {
            board: Arc::clone(&self.board),
            key: key.clone(),
            lands,
        };
        let unawaited = Arc::clone(&self.unawaited);
        let leading = flight.lead(work(), unawaited);
        self.shutdown.spawn(self.name, leading);
        landing
    }
}

/// One flight. It is off the board when this is dropped, however its leader ended.
struct Flight<K: Eq + Hash, V> {
    board: Board<K, V>,
    key: K,
    lands: watch::Sender<Option<V>>,
}

impl<K: Eq + Hash, V> Flight<K, V> {
    async fn lead(self, work: impl Future<Output = V>, unawaited: Arc<Semaphore>) {
        let value = tokio::select! {
            value = work => value,
            () = self.is_given_up(&unawaited) => return,
        };
        let lands = self.lands.clone();
        // Off the board first: whoever asks after the value is known must see the world the value made.
        drop(self);
        lands.send_replace(Some(value));
    }

    /// Completes when nobody waits for it and there is no place to go on like that; nobody can join it then. With a place
    /// it goes on to its end, whoever joins and leaves it.
    async fn is_given_up(&self, unawaited: &Semaphore) {
        loop {
            self.lands.closed().await;
            if let Ok(_place) = unawaited.try_acquire() {
                return std::future::pending().await;
            }
            let mut board = lock(&self.board);
            // Who joins takes a receiver while holding the board.
            if self.lands.receiver_count() == 0 {
                board.remove(&self.key);
                return;
            }
        }
    }
}

impl<K: Eq + Hash, V> Drop for Flight<K, V> {
    fn drop(&mut self) {
        let mut board = lock(&self.board);
        // After it was given up another one may be under way for the same thing.
        if board
            .get(&self.key)
            .is_some_and(|lands| lands.same_channel(&self.lands))
        {
            board.remove(&self.key);
        }
    }
}

fn lock<K, V>(board: &Board<K, V>) -> MutexGuard<'_, HashMap<K, watch::Sender<Option<V>>>> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn many_who_ask_at_once_cause_one_fetch() {
        let flights = Arc::new(Flights::new("test", Shutdown::new()));
        let (fetches, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let ask = || {
            let (flights, fetches, gate) = (flights.clone(), fetches.clone(), gate.clone());
            tokio::spawn(async move {
                flights
                    .join("key", || {
                        let (fetches, gate) = (fetches.clone(), gate.clone());
                        async move {
                            let _permit = gate.acquire().await.unwrap();
                            fetches.fetch_add(1, Ordering::SeqCst)
                        }
                    })
                    .await
            })
        };
        let askers: Vec<_> = (0..32).map(|_| ask()).collect();
        while flights.under_way() == 0 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        for asker in askers {
            assert_eq!(asker.await.unwrap(), Ok(0));
        }
        assert_eq!(flights.under_way(), 0);
    }

    #[tokio::test]
    async fn a_leader_that_crashes_wakes_its_followers_and_one_of_them_leads() {
        let flights: Flights<&str, usize> = Flights::new("test", Shutdown::new());
        let tries = Arc::new(AtomicUsize::new(0));
        let result = flights
            .join("key", || {
                let tries = tries.clone();
                async move {
                    let turn = tries.fetch_add(1, Ordering::SeqCst);
                    assert!(turn > 0, "the first leader crashes");
                    turn
                }
            })
            .await;
        assert_eq!(result, Ok(1));
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_does_not_end_the_work() {
        let flights = Arc::new(Flights::new("test", Shutdown::new()));
        let gate = Arc::new(Semaphore::new(0));
        let done = Arc::new(Semaphore::new(0));
        let first = {
            let (flights, gate, done) = (flights.clone(), gate.clone(), done.clone());
            tokio::spawn(async move {
                flights
                    .join("key", || {
                        let (gate, done) = (gate.clone(), done.clone());
                        async move {
                            let _permit = gate.acquire().await.unwrap();
                            done.add_permits(1);
                            7
                        }
                    })
                    .await
            })
        };
        while flights.under_way() == 0 {
            tokio::task::yield_now().await;
        }
        first.abort();
        gate.add_permits(1);
        let _ended = done.acquire().await.unwrap();
    }

    #[tokio::test]
    async fn of_flights_that_nobody_waits_for_a_few_go_on() {
        let flights = Arc::new(Flights::new("test", Shutdown::new()));
        let (gate, landed) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let ask = |key: usize| {
            let (flights, gate, landed) = (flights.clone(), gate.clone(), landed.clone());
            tokio::spawn(async move {
                flights
                    .join(key, || {
                        let (gate, landed) = (gate.clone(), landed.clone());
                        async move {
                            let _permit = gate.acquire().await.unwrap();
                            landed.fetch_add(1, Ordering::SeqCst)
                        }
                    })
                    .await
            })
        };
        const ASKERS: usize = 100;
        let askers: Vec<_> = (0..ASKERS).map(ask).collect();
        let patient = ask(ASKERS);
        while flights.under_way() <= ASKERS {
            tokio::task::yield_now().await;
        }
        askers.iter().for_each(tokio::task::JoinHandle::abort);
        while flights.under_way() > UNAWAITED_MAX + 1 {
            tokio::task::yield_now().await;
        }
        // What was given up can be asked for anew, and what goes on can be joined.
        let again: Vec<_> = (0..ASKERS).map(ask).collect();
        while flights.under_way() <= ASKERS {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        assert!(patient.await.unwrap().is_ok());
        for asker in again {
            assert!(asker.await.unwrap().is_ok());
        }
        assert_eq!(landed.load(Ordering::SeqCst), ASKERS + 1);
        assert_eq!(flights.unawaited.available_permits(), UNAWAITED_MAX);
    }
}
