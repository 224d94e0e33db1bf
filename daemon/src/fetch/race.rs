//! One file from several sources: who is under way, and who is asked beside them.
//!
//! One holder begins. Falls it behind what the upstream would take, the upstream is asked beside it; where no upstream
//! answers, the next holder is, held against what anybody may be expected to give. Of two neighbours at most the better one
//! goes on, so that a slow network is not shared by all of them; the other is tried again when nobody else is left. Fails the one that runs
//! beside the upstream, the next takes its place: a line outside is no reason to do without a neighbour. Who
//! gives the file is not decided here: each end of a transfer is handed to the corridor, which judges it.

use std::collections::VecDeque;
use std::time::Instant;

use futures::future::{AbortHandle, Abortable, BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::sleep_until;

use super::inline::Small;
use super::pace::{PACE_WINDOW, Pace, assumed_time_for};
use super::sources::{Holder, Miss, Want};
use super::{FetchError, Fetcher};
use crate::peers::Haste;
use crate::store::Staged;
use crate::upstream::{Begin, Downloaded};

/// How one transfer ended.
pub(super) enum Finish {
    Peer(Holder, Result<Staged, Miss>),
    Upstream(Result<(Staged, Downloaded), Miss>),
}

/// The transfers of one file.
pub(super) struct Race<'a> {
    fetcher: &'a Fetcher,
    want: &'a Want,
    haste: Haste,
    /// Holders that were not asked yet.
    waiting: VecDeque<Holder>,
    /// Holders that were left for a better one.
    left: Vec<Holder>,
    running: FuturesUnordered<BoxFuture<'a, Option<Finish>>>,
    /// The neighbours among those under way.
    runners: Vec<Runner>,
    upstream: Beside,
    look_at: Instant,
}

/// Where the upstream stands in a race.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// It may be asked.
    NotAsked,
    UnderWay,
    Failed,
    /// Whoever holds the race asks it, and is the one to end it.
    AskedElsewhere,
}

/// A neighbour that is sending.
struct Runner {
    holder: Holder,
    pace: Pace,
    stop: AbortHandle,
}

impl<'a> Race<'a> {
    /// `holders` in the order in which they are tried.
    pub(super) fn new(
        fetcher: &'a Fetcher,
        want: &'a Want,
        haste: Haste,
        holders: Vec<Holder>,
        upstream: Beside,
    ) -> Self {
        Self {
            fetcher,
            want,
            haste,
            waiting: holders.into(),
            left: Vec::new(),
            running: FuturesUnordered::new(),
            runners: Vec::new(),
            upstream,
            look_at: Instant::now() + PACE_WINDOW,
        }
    }

    /// A whole file that came already runs with the others.
    ///
    /// # Errors
    /// As [`Race::next`].
    pub(super) fn came(&mut self, small: Small) -> Result<(), FetchError> {
        let staging = self.fetcher.inner.store.stage()?;
        let (inner, want) = (&self.fetcher.inner, self.want);
        let transfer = async move {
            let holder = small.holder();
            let staged = small.lay(&inner.store, want, staging).await;
            Some(Finish::Peer(holder, staged))
        };
        self.running.push(transfer.boxed());
        Ok(())
    }

    /// The next transfer that ends; nothing when none is under way and nobody is left to ask. May be dropped and called
    /// again without harm to what is under way.
    ///
    /// # Errors
    /// When there is no place to keep the bytes, whoever gives them.
    pub(super) async fn next(&mut self) -> Result<Option<Finish>, FetchError> {
        loop {
            if self.running.is_empty() && !self.start_a_holder()? {
                return Ok(None);
            }
            if self.waits_for_upstream_alone() && !self.waiting.is_empty() {
                self.start_a_holder()?;
            }
            tokio::select! {
                ended = self.running.next() => {
                    // Nothing comes from those that were stopped.
                    let Some(finish) = ended.flatten() else { continue };
                    match &finish {
                        Finish::Peer(holder, _) => self.runners.retain(|r| r.holder.peer != holder.peer),
                        Finish::Upstream(Ok(_)) => self.leave_all(),
                        Finish::Upstream(Err(_)) => self.upstream = Beside::Failed,
                    }
                    return Ok(Some(finish));
                }
                () = sleep_until(self.look_at.into()) => self.look()?,
            }
        }
    }

    /// Whether the upstream is under way and no neighbour is.
    pub(super) fn waits_for_upstream_alone(&self) -> bool {
        self.upstream == Beside::UnderWay && self.runners.is_empty()
    }

    /// These have the file as well by now.
    pub(super) fn join(&mut self, holders: Vec<Holder>) {
        let is_new = |holder: &Holder| self.waiting.iter().all(|one| one.peer != holder.peer);
        let holders: Vec<Holder> = holders.into_iter().filter(is_new).collect();
        self.waiting.extend(holders);
    }

    /// Looks at the pace of those under way: leaves the worse of two, and has somebody asked beside one that is behind.
    fn look(&mut self) -> Result<(), FetchError> {
        let now = Instant::now();
        self.look_at = now + PACE_WINDOW;
        let peers = &self.fetcher.inner.peers;
        for runner in &mut self.runners {
            let held = peers.held_back(&runner.holder.peer);
            runner.pace.look(now, held);
        }
        if self.upstream == Beside::UnderWay {
            return Ok(());
        }
        let judged = self.runners.iter().filter_map(|r| r.pace.seconds_left());
        let Some(least) = judged.min_by(f64::total_cmp) else {
            return Ok(());
        };
        self.leave_slower_than(least);
        // Those that began a moment ago are still to show what they can.
        let all_shown = self.runners.iter().all(|r| r.pace.seconds_left().is_some());
        let Some(best) = self.runners.first().filter(|_| all_shown) else {
            return Ok(());
        };
        let length = best.pace.length();
        let may_ask_upstream = self.upstream == Beside::NotAsked && self.upstream_answers();
        let others_take = if may_ask_upstream {
            self.fetcher.inner.upstream_pace.time_for(length)
        } else {
            assumed_time_for(length)
        };
        if least <= others_take.as_secs_f64() {
            return Ok(());
        }
        if may_ask_upstream {
            tracing::debug!(key = %self.want.key, "a neighbour is slower than upstream would be; both are asked now");
            self.start_upstream()?;
        } else if let Some(holder) = self.waiting.front().cloned() {
            tracing::debug!(key = %self.want.key, peer = %holder.peer, "a neighbour is slow; another is asked beside it");
            self.start(holder)?;
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Leaves neighbours that would be done later than another.
    fn leave_slower_than(&mut self, least: f64) {
        let slower = |r: &mut Runner| r.pace.seconds_left().is_some_and(|left| left > least);
        for runner in self.runners.extract_if(.., slower) {
            self.left.push(runner.leave(self.fetcher));
        }
    }

    /// Somebody was first: leaves all others.
    pub(super) fn leave_all(&mut self) {
        for runner in self.runners.drain(..) {
            self.left.push(runner.leave(self.fetcher));
        }
    }

    fn upstream_answers(&self) -> bool {
        let upstream = self.fetcher.upstream_for(self.want.asker);
        upstream.is_some_and(|upstream| !upstream.is_down())
    }

    /// Starts the next holder, or else one that was left; whether there was one.
    fn start_a_holder(&mut self) -> Result<bool, FetchError> {
        if let Some(holder) = self.waiting.front().cloned() {
            self.start(holder)?;
            self.waiting.pop_front();
        } else if let Some(holder) = self.left.last().cloned() {
            self.start(holder)?;
            self.left.pop();
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn start(&mut self, holder: Holder) -> Result<(), FetchError> {
        let staging = self.fetcher.inner.store.stage()?;
        let now = Instant::now();
        let (stop, stopped) = AbortHandle::new_pair();
        self.runners.push(Runner {
            pace: Pace::new(
                holder.length,
                staging.received(),
                now,
                self.fetcher.inner.peers.held_back(&holder.peer),
            ),
            holder: holder.clone(),
            stop,
        });
        let (inner, want, haste) = (&self.fetcher.inner, self.want, self.haste);
        let transfer = async move {
            let staged = holder
                .obtain(&inner.peers, &inner.store, want, haste, staging)
                .await;
            Finish::Peer(holder, staged)
        };
        self.running.push(
            Abortable::new(transfer, stopped)
                .map(|finish| finish.ok())
                .boxed(),
        );
        self.look_at = now + PACE_WINDOW;
        Ok(())
    }

    fn start_upstream(&mut self) -> Result<(), FetchError> {
        let staging = self.fetcher.inner.store.stage()?;
        self.upstream = Beside::UnderWay;
        let download = self.fetcher.download(Begin::First, self.want, staging);
        self.running.push(
            download
                .map(|brought| Some(Finish::Upstream(brought)))
                .boxed(),
        );
        Ok(())
    }
}

impl Runner {
    /// Ends the transfer. That it was behind is remembered, so that the next file is not asked of it first; not of one that
    /// only waited for its turn, or began a moment ago.
    fn leave(self, fetcher: &Fetcher) -> Holder {
        self.stop.abort();
        if self.pace.has_begun() && self.pace.seconds_left().is_some() {
            fetcher.inner.peers.overtaken(&self.holder.peer);
        }
        self.holder
    }
}
