//! What a mirror does by itself, so that clients find all that they need when nobody else can be asked: it looks which heads
//! they hold, learns of larger ones while somebody knows them, and mends what the disk lost.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use modmesh_protocol::log::SignedHead;
use tokio::time::timeout;

use super::super::ask::{AskError, LogSource, Part};
use super::super::sources::{ShownBy, Sources};
use super::Mirror;

/// How old the current head may be before a larger one is asked for. Who learns of one tells the neighbours, so that of many
/// hosts few ask.
const CATCH_UP_EVERY: Duration = Duration::from_secs(10 * 60);
/// How soon it is seen that somebody came who may have what is missing; twice as late after each one who was asked.
const NEWCOMERS_EVERY: Duration = Duration::from_secs(1);
/// How often a client that is ahead of us makes us ask.
const CATCH_UP_SPACING: Duration = Duration::from_secs(5);
/// How long asking everybody takes at most.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);
/// How long a source that does not tell its newest head is not asked for it again: filtered mirrors do not offer it.
const NO_LATEST_FOR: Duration = Duration::from_secs(60 * 60);

/// When somebody was asked for a larger head last.
#[derive(Debug, Default)]
pub(super) struct CaughtUp {
    tried: Option<Instant>,
    /// The upstream does not say what its newest head is.
    no_latest: Option<Instant>,
}

impl Mirror {
    /// Works until the future is dropped.
    pub(crate) async fn keep_whole(self) {
        self.serve_holders().await;
        let mut asked = self.inner.surroundings.within_reach();
        self.mend().await;
        // Hosts that were started together do not ask together.
        let offset = CATCH_UP_EVERY.mul_f64(random_share());
        loop {
            let next = tokio::time::Instant::now() + CATCH_UP_EVERY + offset;
            self.mend_with_newcomers(&mut asked, next).await;
            self.serve_holders().await;
            let age = self.head_written().and_then(|at| at.elapsed().ok());
            if self.tree_size() > 0 && age.is_none_or(|age| age >= CATCH_UP_EVERY) {
                self.catch_up().await;
            }
            if self.missing_tiles() > 0 {
                asked = self.inner.surroundings.within_reach();
                self.mend().await;
            }
        }
    }

    /// Mends what is missing whenever somebody can be asked who could not be at the last look, until `end`: a host that was
    /// started first, or alone, need not wait for the next turn. `asked` are those who could be at the last one.
    ///
    /// Each look may ask everybody, so the pauses between them grow.
    async fn mend_with_newcomers(&self, asked: &mut HashSet<String>, end: tokio::time::Instant) {
        let mut pause = NEWCOMERS_EVERY;
        while self.missing_tiles() > 0 {
            let next = tokio::time::Instant::now() + pause;
            if next >= end {
                break;
            }
            tokio::time::sleep_until(next).await;
            let now = self.inner.surroundings.within_reach();
            let somebody_came = !now.is_subset(asked);
            *asked = now;
            if somebody_came {
                self.mend().await;
                pause *= 2;
            }
        }
        tokio::time::sleep_until(end).await;
    }

    /// How many tiles are not here that clients may need when nobody else can be asked; as of the last look.
    pub(crate) fn missing_tiles(&self) -> usize {
        self.inner.missing.load(Ordering::Relaxed)
    }

    /// Goes through everything that is kept, and asks for what is not whole.
    pub(crate) async fn mend(&self) {
        let records: Vec<_> = {
            let records = self.inner.records.read();
            let records = records.unwrap_or_else(PoisonError::into_inner);
            records.all()
        };
        let checked = self.inner.prover.check(records, &self.everybody()).await;
        if !checked.false_records.is_empty() {
            let gone: HashSet<_> = checked.false_records.iter().collect();
            let records = self.inner.records.write();
            let mut records = records.unwrap_or_else(PoisonError::into_inner);
            records.remove(&gone);
        }
        if checked.missing > 0 {
            tracing::warn!(
                database = self.name(),
                tiles = checked.missing,
                "parts of the checksum database that clients may need are not here and not to be had now"
            );
        }
        self.inner.missing.store(checked.missing, Ordering::Relaxed);
    }

    /// Looks which heads the clients of this host hold, and sees to it that they can be served.
    pub(crate) async fn serve_holders(&self) {
        let mirror = self.clone();
        let looking = tokio::task::spawn_blocking(move || mirror.inner.clients.changed());
        for (file, note) in looking.await.unwrap_or_default() {
            let held = match SignedHead::open(&note, self.inner.prover.key()) {
                Ok(held) => held,
                Err(error) => {
                    tracing::warn!(file = %file.display(), %error, "the tree head that go holds is not signed by the database");
                    continue;
                }
            };
            let size = held.size();
            let served = self.inner.prover.serve_holder(held, self.everybody()).await;
            if let Err(error) = served {
                tracing::debug!(file = %file.display(), size, %error, "what continues the tree head that go holds is not here yet");
            }
        }
    }

    /// The same, without waiting for it.
    pub(crate) fn serve_holders_soon(&self) {
        let mirror = self.clone();
        let ending = self.inner.shutdown.clone();
        self.inner
            .shutdown
            .spawn("tree heads of clients", async move {
                tokio::select! {
                    () = ending.requested() => {}
                    () = mirror.serve_holders() => {}
                }
            });
    }

    /// The same at once, however short ago somebody asked.
    #[cfg(test)]
    pub(in super::super) async fn catch_up_now(&self) {
        self.inner.caught_up.lock().await.tried = None;
        self.catch_up().await;
    }

    /// Asks neighbours and upstream whether they know a larger head, and makes the largest that can be proved current. Who
    /// comes while somebody asks waits for the outcome; who comes shortly afterwards does not ask again.
    pub(super) async fn catch_up(&self) {
        let mut caught_up = self.inner.caught_up.lock().await;
        let is_soon =
            |at: Option<Instant>, after: Duration| at.is_some_and(|at| at.elapsed() < after);
        if is_soon(caught_up.tried, CATCH_UP_SPACING) {
            return;
        }
        let may_ask_upstream = !is_soon(caught_up.no_latest, NO_LATEST_FOR);
        let asking = self.ask_for_heads(may_ask_upstream);
        match timeout(CATCH_UP_MAX, asking).await {
            Ok(true) => caught_up.no_latest = Some(Instant::now()),
            Ok(false) => {}
            Err(_) => tracing::debug!(
                database = self.name(),
                "asking for a larger tree head took too long"
            ),
        }
        caught_up.tried = Some(Instant::now());
    }

    /// True when the upstream was asked and does not say.
    async fn ask_for_heads(&self, may_ask_upstream: bool) -> bool {
        let surroundings = &self.inner.surroundings;
        let upstream = surroundings.upstream().filter(|_| may_ask_upstream);
        let neighbours = surroundings.neighbours();
        let asked: Vec<Arc<dyn LogSource>> =
            neighbours.into_iter().chain(upstream.clone()).collect();
        let told = join_all(asked.iter().map(|source| source.latest())).await;
        let mut larger: Vec<(SignedHead, Arc<dyn LogSource>)> = Vec::new();
        let mut no_latest = false;
        for (source, told) in asked.into_iter().zip(told) {
            let note = match told {
                Ok(note) => note,
                Err(AskError::Missing | AskError::NotListed) => {
                    let is_upstream = |one: &Arc<dyn LogSource>| one.name() == source.name();
                    no_latest |= upstream.as_ref().is_some_and(is_upstream);
                    continue;
                }
                Err(_) => continue,
            };
            match SignedHead::open(&note, self.inner.prover.key()) {
                Ok(head) => larger.push((head, source)),
                Err(error) => source.blame(
                    Part::Head,
                    &format!("the tree head is not signed by the database: {error}"),
                    &note,
                ),
            }
        }
        larger.sort_by_key(|(head, _)| std::cmp::Reverse(head.size()));
        for (head, source) in larger {
            let is_larger = self.tree_size() < head.size();
            if !is_larger {
                break;
            }
            let mut sources = self.sources_behind(&source);
            let by = ShownBy::Source(Arc::clone(&source));
            let merging = self.inner.prover.merge(head, &by, None, &mut sources);
            match merging.await {
                Ok(_) => break,
                Err(error) => {
                    tracing::debug!(database = self.name(), source = source.name(), %error, "a larger tree head was not adopted");
                }
            }
        }
        no_latest
    }

    /// Neighbours, then upstream.
    pub(super) fn everybody(&self) -> Sources {
        let surroundings = &self.inner.surroundings;
        let neighbours = surroundings.neighbours().into_iter();
        Sources::new(neighbours.chain(surroundings.upstream()))
    }
}

/// Between 0 and 1, another one at each start.
fn random_share() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}
