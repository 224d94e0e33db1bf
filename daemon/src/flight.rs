//! Who is fetching what: one flight per thing in this process.
//!
//! The first who asks leads; everybody else who asks meanwhile follows and gets the same result. The leader's work is a
//! task of the daemon, so a client that hangs up ends nothing for the others. A leader that ends without a result
//! (a panic) wakes its followers, and one of them leads anew. Results, errors included, are shared once and never
//! remembered: what came after the flight ended starts a new one.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::shutdown::Shutdown;

/// How often a caller joins anew after leaders that ended without a result.
const JOINS_MAX: usize = 3;

/// The flights of one kind of thing.
#[derive(Debug)]
pub(crate) struct Flights<K, V> {
    name: &'static str,
    aloft: Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>,
    shutdown: Shutdown,
}

/// Every leader that was joined ended without a result; the message of the panic is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work for this request ended without a result; see the daemon's log")]
pub(crate) struct Crashed;

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// No flights yet; `name` stands in traces.
    pub(crate) fn new(name: &'static str, shutdown: Shutdown) -> Self {
        Self {
            name,
            aloft: Arc::default(),
            shutdown,
        }
    }

    /// The result of the flight for `key`: of the one under way, or else of `work`, which then leads.
    ///
    /// Dropping the returned future ends nothing: a flight that took off lands.
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
        self.lock().len()
    }

    fn landing<W, F>(&self, key: &K, work: &W) -> watch::Receiver<Option<V>>
    where
        W: Fn() -> F,
        F: Future<Output = V> + Send + 'static,
    {
        let mut aloft = self.lock();
        if let Some(landing) = aloft.get(key) {
            return landing.clone();
        }
        let (lands, landing) = watch::channel(None);
        aloft.insert(key.clone(), landing.clone());
        let aboard = Aboard {
            aloft: self.aloft.clone(),
            key: key.clone(),
        };
        let work = work();
        self.shutdown.spawn(self.name, async move {
            let aboard = aboard;
            let value = work.await;
            // Off the board first: whoever asks after the value is known must see the world the value made.
            drop(aboard);
            lands.send_replace(Some(value));
        });
        landing
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, watch::Receiver<Option<V>>>> {
        self.aloft.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the flight off the board when its leader ends, however it ends.
struct Aboard<K: Eq + Hash, V> {
    aloft: Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Aboard<K, V> {
    fn drop(&mut self) {
        self.aloft
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
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
}
