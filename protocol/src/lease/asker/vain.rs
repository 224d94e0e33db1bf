//! How long a holder is waited for, and which owner lied that said to.
//!
//! Nothing that an owner or a holder says of a fetch can be checked while it lasts. So each claim buys as much time as it would take this
//! host, and no claim buys time without end: a size is bounded by what such a thing can have, a fetch that is said to be complete
//! must be here soon, and one that does not say how much it is must keep up with this host's own pace.

use std::time::Duration;

use super::super::rank::MemberId;
use super::super::words::Progress;
use super::{Act, HOLDERS_MAX, Road};
use crate::limits::{FIRST_BYTE_MAX, HOLDERS_NAMED_MAX, PLACE_WAIT_MAX, PROGRESS_BYTES_MIN};

/// What is waited for a holder beyond the time that one's own upstream would take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pace of an upstream from which nothing has come yet, in bytes a second: a slow line that many share.
const PACE_UNKNOWN: f64 = 256.0 * 1024.0;
/// A holder that is slower than our own upstream by this factor drips: more than those who share a line usually are.
const FAR_BELOW: f64 = 16.0;
/// One that is slower than this drips, whatever our own upstream does, in bytes a second.
const PACE_MIN: f64 = PROGRESS_BYTES_MIN as f64 / 2.0;
/// Over what time a holder's pace is looked at: longer than a [`LEASE`](crate::limits::LEASE), so that an honest owner is the
/// first to act on a holder that stands still.
const PACE_WINDOW: Duration = Duration::from_millis(3500);
/// What a file is taken to have at least, in bytes, where its holder does not tell it.
const SIZE_UNKNOWN_BYTES: u64 = 1024 * 1024;
/// A holder that does not tell how much there is may take this many times as long as this host for what has come.
const SIZE_UNKNOWN_TIMES: u32 = 4;
/// The part of the time of a whole fetch that a holder may take to look at what is complete, besides [`PATIENCE`].
const FINISHING: u32 = 4;

/// What takes no more than this part of the time that was waited in vain came at once.
const SOON: u32 = 8;

/// An asker that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) at: usize,
    pub(super) holder: MemberId,
    /// Since when for this holder.
    pub(super) since: Duration,
    /// When the owner spoke last.
    pub(super) heard: Duration,
    pub(super) progress: Progress,
    /// The owner that was asked too, because this one is silent.
    pub(super) other: Option<usize>,
    /// Since when it is only a place at a holder that is waited for.
    queued: Option<Duration>,
    /// For how long it was so before.
    was_queued: Duration,
    /// When the first byte was heard of.
    flows: Option<Duration>,
    /// When the pace was looked at, and what had come then.
    mark: (Duration, u64),
    /// When all was said to have come for the first time.
    complete: Option<Duration>,
    /// How many holders it was so far.
    turns: u8,
}

/// Why it is not waited any more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Vain {
    /// Not a byte has come.
    NoByte {
        /// The longest time until a first byte that this host has seen of late, if any.
        known: Duration,
    },
    /// It takes longer than it would take this host, which is so long.
    Slow {
        /// The time that it was given.
        most: Duration,
    },
    /// The holder is far slower than this host would be.
    Drips {
        /// Its pace in bytes a second.
        pace: f64,
    },
}

/// An owner that was left, and why.
#[derive(Debug)]
pub(super) struct InVain {
    pub(super) owner: MemberId,
    pub(super) holder: MemberId,
    pub(super) vain: Vain,
    /// When the waiting began, and when it ended.
    pub(super) since: Duration,
    pub(super) left: Duration,
}

/// How this host's own fetch went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own {
    /// Until the first byte.
    pub(super) first_byte: Duration,
    /// In all.
    pub(super) took: Duration,
    pub(super) bytes: u64,
}

impl InVain {
    pub(super) fn blame(&self) -> Act {
        Act::Blame(self.owner, self.holder)
    }

    /// Whether this host's own fetch was as quick as it was thought to be: then the holder's would have been too.
    pub(super) fn was_a_lie(&self, own: &Own) -> bool {
        match self.vain {
            Vain::NoByte { known } => own.first_byte <= known.max(self.waited() / SOON),
            Vain::Slow { most } => own.took <= most,
            Vain::Drips { pace } => {
                let own_pace = own.bytes as f64 / own.took.as_secs_f64().max(0.001);
                own.took <= PACE_WINDOW || own_pace >= pace * FAR_BELOW
            }
        }
    }

    /// Whether the thing was here so soon from others that the upstream cannot have been what took so long. `holders` are all that are
    /// known to have it.
    pub(super) fn was_soon_here(&self, now: Duration, holders: &[MemberId]) -> bool {
        let are_all = holders.len() < HOLDERS_NAMED_MAX && !holders.contains(&self.holder);
        let is_soon = now.saturating_sub(self.left) <= self.waited() / SOON;
        matches!(self.vain, Vain::NoByte { .. }) && are_all && is_soon
    }

    fn waited(&self) -> Duration {
        self.left.saturating_sub(self.since)
    }
}

impl Waiting {
    pub(super) fn begin(now: Duration, at: usize, holder: MemberId) -> Self {
        Self {
            at,
            holder,
            since: now,
            heard: now,
            progress: Progress::default(),
            other: None,
            queued: None,
            was_queued: Duration::ZERO,
            flows: None,
            mark: (now, 0),
            complete: None,
            turns: 1,
        }
    }

    /// The owner says for whom. A new holder begins anew, and so does the patience with it; but not for ever.
    pub(super) fn is_named(&mut self, now: Duration, at: usize, holder: MemberId) {
        (self.at, self.heard) = (at, now);
        // Whom it waits for now gives no place but fetches.
        let queued = self.queued.take();
        self.was_queued += queued.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        if holder != self.holder && self.turns < HOLDERS_MAX {
            self.holder = holder;
            self.turns += 1;
            self.since = now;
            self.progress = Progress::default();
            (self.flows, self.complete) = (None, None);
        }
    }

    /// The owner says that some have it, and none has a place.
    pub(super) fn is_queued(&mut self, now: Duration, at: usize) {
        (self.at, self.heard) = (at, now);
        self.queued.get_or_insert(now);
    }

    /// Whether waiting on costs more than fetching it oneself, as far as can be told. `patience` is how often over one's own time
    /// is waited.
    pub(super) fn is_in_vain(
        &mut self,
        now: Duration,
        road: &Road,
        patience: u32,
        bytes_max: u64,
    ) -> Option<Vain> {
        let Progress { bytes, total } = self.progress;
        let size = total.unwrap_or(SIZE_UNKNOWN_BYTES).max(bytes);
        let pace = road.pace.unwrap_or(PACE_UNKNOWN).max(1.0);
        let alone = seconds(size.min(bytes_max) as f64 / pace);
        let most = alone.saturating_mul(patience).saturating_add(PATIENCE);
        let late = Vain::Slow { most };
        if let Some(queued) = self.queued {
            let waited = self.was_queued + now.saturating_sub(queued);
            return (waited > most.max(2 * PLACE_WAIT_MAX)).then_some(late);
        }
        if total.unwrap_or(0).max(bytes) > bytes_max {
            return Some(late);
        }
        let waited = now.saturating_sub(self.since);
        if bytes == 0 {
            let own = |known| 2 * known + PATIENCE;
            let most = road.first_byte.map_or(FIRST_BYTE_MAX, own);
            let known = road.first_byte.unwrap_or_default();
            return (waited > most.min(FIRST_BYTE_MAX)).then_some(Vain::NoByte { known });
        }
        if total.is_some_and(|total| bytes >= total) {
            let complete = *self.complete.get_or_insert(now);
            let is_late = now.saturating_sub(complete) > alone / FINISHING + PATIENCE;
            return is_late.then_some(late);
        }
        // The time until the first byte says nothing about the pace.
        let flows = *self.flows.get_or_insert_with(|| {
            self.mark = (now, bytes);
            now
        });
        let (since, before) = self.mark;
        let window = now.saturating_sub(since);
        if window < PACE_WINDOW {
            return None;
        }
        self.mark = (now, bytes);
        let theirs = bytes.saturating_sub(before) as f64 / window.as_secs_f64();
        if theirs < road.pace.map_or(PACE_MIN, |pace| pace / FAR_BELOW) {
            return Some(Vain::Drips { pace: theirs });
        }
        let waited = now.saturating_sub(flows);
        let is_late = match total {
            // Many who share one line are slow together: what is nearly there is waited for.
            Some(total) => {
                let left = seconds(total.saturating_sub(bytes) as f64 / theirs.max(1.0));
                waited > most && left > most
            }
            None => {
                waited
                    > alone
                        .saturating_mul(SIZE_UNKNOWN_TIMES)
                        .saturating_add(PATIENCE)
            }
        };
        is_late.then_some(late)
    }
}

fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX)
}
