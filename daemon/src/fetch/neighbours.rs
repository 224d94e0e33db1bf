//! Asking the neighbours: who has a file, having it sent, and not waiting for one that is worse than the upstream.
//!
//! A neighbour's word costs little: it must keep a pace at which the file would be here no later than from our own
//! upstream; when it falls behind, the upstream is asked beside it, and whoever passes the gate first has won.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use modmesh_protocol::artifact::KeyHash;

use super::sources::{self, Holder, Miss, Want};
use super::{FetchError, Fetcher, Landed};
use crate::metrics::Source;
use crate::peers::{Haste, PeerError};
use crate::policy::{Asker, Treatment};
use crate::store::{Staged, Stored};
use crate::trust::{Expected, Giver};
use crate::upstream::{Begin, Downloaded, Upstream};

/// How many neighbours are tried for one file before the upstream is.
const HOLDERS_MAX: usize = 4;
/// How long a neighbour may take before its pace is looked at, and how often it is looked at then.
const PACE_WINDOW: Duration = Duration::from_secs(2);
/// What upstream is taken to give before anything was measured, in bytes per second: a poor office line.
const UPSTREAM_PACE_ASSUMED: u64 = 1 << 20;
/// Downloads below this size say more about round trips than about the line.
const MEASURED_FROM_BYTES: u64 = 256 << 10;

/// What came of asking the neighbours.
pub(super) enum Asked {
    /// The file is in the store: from a neighbour, or from the upstream that overtook one.
    Kept(Landed),
    /// No neighbour gave it.
    Nothing {
        /// What the file must be, if that was found out on the way.
        expected: Option<Expected>,
        /// How long to wait before asking again, when one of them has it and is busy.
        retry_after: Option<Duration>,
        /// What went wrong with the last of those that have it.
        failed: Option<PeerError>,
    },
}

/// Bytes per second that upstream gave last; nothing measured yet while it is zero.
#[derive(Debug, Default)]
pub(super) struct UpstreamPace(AtomicU64);

type Download<'a> = Pin<Box<dyn Future<Output = Result<Staged, Miss>> + Send + 'a>>;

/// How a transfer from a neighbour ended.
enum Transfer<'a> {
    /// The neighbour gave the file or failed; the upstream may be under way beside it.
    Peer(Result<Staged, Miss>, Option<Download<'a>>),
    /// The upstream was asked because the neighbour fell behind, and was first.
    Overtaken(Staged),
}

impl Transfer<'_> {
    fn brought_the_file(&self) -> bool {
        matches!(self, Self::Peer(Ok(_), _) | Self::Overtaken(_))
    }
}

impl UpstreamPace {
    /// Takes note of a download.
    pub(super) fn measured(&self, bytes: u64, took: Duration) {
        if bytes >= MEASURED_FROM_BYTES {
            let pace = (bytes as f64 / took.as_secs_f64().max(0.001)) as u64;
            self.0.store(pace.max(1), Ordering::Relaxed);
        }
    }

    /// How long upstream would take for `bytes`.
    fn time_for(&self, bytes: u64) -> Duration {
        let pace = match self.0.load(Ordering::Relaxed) {
            0 => UPSTREAM_PACE_ASSUMED,
            measured => measured,
        };
        Duration::from_secs_f64(bytes as f64 / pace as f64)
    }
}

impl Fetcher {
    /// How long the neighbours may think: as long as they may be silent, when no upstream answers.
    pub(super) fn haste(&self, asker: Asker) -> Haste {
        let upstream = self.upstream_for(asker);
        if upstream.as_ref().is_none_or(Upstream::is_down) {
            Haste::NobodyElse
        } else {
            Haste::OthersWait
        }
    }

    /// Neighbours that say they have the file.
    async fn holders(&self, want: &Want, treatment: Treatment, haste: Haste) -> Vec<Holder> {
        if !treatment.asks_neighbours() || self.inner.peers.connected() == 0 {
            return Vec::new();
        }
        let (hash, began) = (KeyHash::of_file(&want.key), Instant::now());
        let survey = self.inner.peers.survey(Some(hash), None, haste).await;
        want.story.tell_survey(began, &survey);
        let mut holders: Vec<_> = survey.found.into_iter().filter_map(Holder::of).collect();
        holders.truncate(HOLDERS_MAX);
        holders
    }

    /// Tries the neighbours that have the file, one after the other. An error is one that no other source can mend.
    pub(super) async fn ask_neighbours(
        &self,
        want: &Want,
        treatment: Treatment,
        haste: Haste,
    ) -> Result<Asked, FetchError> {
        let (mut expected, mut retry_after, mut failed) = (None, None, None);
        for holder in self.holders(want, treatment, haste).await {
            // The proof and the bytes travel at the same time; nothing is used before both are here.
            let known = async {
                match expected.take() {
                    Some(known) => known,
                    None => self.expected_of(want, treatment).await,
                }
            };
            let (mut known, transfer) = tokio::join!(known, self.transfer(&holder, want));
            let transfer = transfer?;
            if matches!(known, Expected::Pending(_)) && transfer.brought_the_file() {
                // On a slow line the proof's answers wait behind the file, longer than a neighbour may be silent. Now the
                // line is free.
                known = self.expected_of(want, treatment).await;
            }
            let listed = expected.insert(known);
            if !matches!(listed, Expected::Listed(_)) {
                // Without a listed hash a neighbour's bytes are worth nothing.
                break;
            }
            let upstream = match transfer {
                Transfer::Peer(Ok(staged), upstream) => {
                    if let Some(stored) = self.keep_from(&holder, staged, want, listed).await? {
                        return Ok(Asked::Kept(Landed::new(stored, Source::Peer)));
                    }
                    upstream
                }
                Transfer::Peer(Err(miss), upstream) => {
                    tracing::debug!(key = %want.key, peer = %holder.peer, %miss, "a neighbour did not give a file");
                    if let Miss::Peer(error) = miss {
                        if let PeerError::Busy { retry_after: pause } = error {
                            retry_after = Some(retry_after.map_or(pause, |least| pause.min(least)));
                        }
                        failed = Some(error);
                    }
                    upstream
                }
                Transfer::Overtaken(staged) => Some(Box::pin(async { Ok(staged) }) as Download),
            };
            // It was begun when the neighbour fell behind, so nobody is faster now.
            if let Some(upstream) = upstream
                && let Ok(staged) = upstream.await
            {
                let stored = self.keep_from_upstream(staged, want, listed).await?;
                return Ok(Asked::Kept(Landed::new(stored, Source::Upstream)));
            }
        }
        Ok(Asked::Nothing {
            expected,
            retry_after,
            failed,
        })
    }

    /// What a neighbour gave, if it passed the gate. If it is a lie, the neighbour is blamed.
    async fn keep_from(
        &self,
        holder: &Holder,
        staged: Staged,
        want: &Want,
        expected: &Expected,
    ) -> Result<Option<Stored>, FetchError> {
        match self.keep(staged, want, expected, Giver::Neighbour).await {
            Ok(stored) => {
                self.inner.peers.proven(&holder.peer);
                Ok(Some(stored))
            }
            Err(FetchError::Untrue(rejection)) => {
                self.inner.metrics.verification_failure(Source::Peer);
                holder.blame(&self.inner.peers, want, &rejection);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Has the file sent by `holder`, and asks the upstream beside it when the neighbour falls behind.
    async fn transfer<'a>(
        &'a self,
        holder: &'a Holder,
        want: &'a Want,
    ) -> Result<Transfer<'a>, FetchError> {
        let staging = self.inner.store.stage().await?;
        let received = staging.received();
        let by_peer: Download = Box::pin(holder.obtain(&self.inner.peers, want, staging));
        let behind = Box::pin(self.falls_behind(holder.length, &received, want.asker));
        let by_peer = match select(by_peer, behind).await {
            Either::Left((staged, _)) => return settled(Transfer::Peer(staged, None)),
            Either::Right(((), by_peer)) => by_peer,
        };
        tracing::debug!(key = %want.key, peer = %holder.peer, "a neighbour is slower than upstream would be; both are asked now");
        let staging = self.inner.store.stage().await?;
        let by_upstream: Download = Box::pin(async {
            let (staged, _) = self.download(Begin::First, want, staging).await?;
            Ok(staged)
        });
        match select(by_peer, by_upstream).await {
            Either::Left((staged, by_upstream)) => {
                settled(Transfer::Peer(staged, Some(by_upstream)))
            }
            Either::Right((Ok(staged), _)) => Ok(Transfer::Overtaken(staged)),
            Either::Right((Err(miss), by_peer)) => {
                tracing::debug!(key = %want.key, %miss, "upstream did not give a file either");
                settled(Transfer::Peer(by_peer.await, None))
            }
        }
    }

    /// Downloads from upstream, and takes note of its pace.
    pub(super) async fn download(
        &self,
        begin: Begin,
        want: &Want,
        staging: crate::store::Staging,
    ) -> Result<(Staged, Downloaded), Miss> {
        let (began, upstream) = (Instant::now(), self.upstream_for(want.asker));
        let (staged, from) =
            sources::from_upstream(upstream.as_ref(), begin, want, staging).await?;
        self.inner
            .upstream_pace
            .measured(staged.measured().length, began.elapsed());
        Ok((staged, from))
    }

    /// Returns when a transfer of `length` bytes is so slow that upstream, asked now, would be done earlier. Never returns
    /// where there is no upstream that answers.
    async fn falls_behind(&self, length: u64, received: &AtomicU64, asker: Asker) {
        let upstream = self.upstream_for(asker);
        let mut before = 0;
        loop {
            tokio::time::sleep(PACE_WINDOW).await;
            let now = received.load(Ordering::Relaxed);
            let reachable = upstream
                .as_ref()
                .is_some_and(|upstream| !upstream.is_down());
            let upstream_takes = self.inner.upstream_pace.time_for(length);
            if reachable && is_slower(length, now, now - before, upstream_takes) {
                return;
            }
            before = now;
        }
    }
}

/// Whether `length - received` bytes at the pace of `lately` per [`PACE_WINDOW`] take longer than `upstream_takes` for all.
fn is_slower(length: u64, received: u64, lately: u64, upstream_takes: Duration) -> bool {
    let left = length.saturating_sub(received) as f64;
    let needs = PACE_WINDOW.as_secs_f64() * left / lately.max(1) as f64;
    needs > upstream_takes.as_secs_f64()
}

/// A store that failed is no neighbour's fault, and no other source can mend it.
fn settled(transfer: Transfer<'_>) -> Result<Transfer<'_>, FetchError> {
    match transfer {
        Transfer::Peer(Err(Miss::Store(error)), _) => Err(error.into()),
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn a_neighbour_is_held_against_what_upstream_would_take() {
        let pace = UpstreamPace::default();
        // Nothing measured: 50 MB are taken to need 50 s from upstream.
        let takes = pace.time_for(50 * MB);
        assert!(!is_slower(50 * MB, 4 * MB, 4 * MB, takes));
        assert!(is_slower(50 * MB, MB, MB, takes));
        assert!(is_slower(50 * MB, 0, 0, takes));
        // A fast line was measured: then a neighbour must be fast as well.
        pace.measured(100 * MB, Duration::from_secs(1));
        assert!(is_slower(50 * MB, 4 * MB, 4 * MB, pace.time_for(50 * MB)));
        // Small downloads do not count.
        pace.measured(1000, Duration::from_secs(9));
        assert_eq!(pace.time_for(100 * MB), Duration::from_secs(1));
    }

    #[test]
    fn fast_at_first_and_dripping_at_the_end_is_behind_all_the_same() {
        let takes = Duration::from_secs(5);
        assert!(!is_slower(50 * MB, 49 * MB, 49 * MB, takes));
        assert!(is_slower(50 * MB, 49 * MB, 20_000, takes));
    }
}
