//! How fast files come, and how long others would take for them.
//!
//! All of it is arithmetic on what was seen; nothing here waits or decides who is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use modmesh_protocol::lease::Road;

use crate::lately::Longest;

/// How long a neighbour may take before its pace is looked at, and how often it is looked at then.
pub(super) const PACE_WINDOW: Duration = Duration::from_secs(2);
/// What somebody of whom nothing was measured is taken to give, in bytes per second: a poor office line.
const PACE_ASSUMED: u64 = 1 << 20;
/// Downloads below this size say more about round trips than about the line.
const MEASURED_FROM_BYTES: u64 = 256 << 10;

/// What the way to upstream was worth of late.
#[derive(Debug, Default)]
pub(super) struct UpstreamPace {
    /// Bytes per second that it gave last; nothing measured yet while it is zero.
    bytes_per_second: AtomicU64,
    first_bytes: Longest,
}

/// The pace of one transfer.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many bytes the file is said to have.
    length: u64,
    received: Arc<AtomicU64>,
    looked_at: Instant,
    seen: u64,
    /// For how long this host's own limit had held up neighbours' files at the last look.
    held: Duration,
    /// Bytes per second between the last two looks; nothing before the first, nor while our own limit is what holds it up.
    lately: Option<f64>,
}

impl UpstreamPace {
    /// Takes note of a download.
    pub(super) fn measured(&self, bytes: u64, took: Duration) {
        if bytes >= MEASURED_FROM_BYTES {
            let pace = (bytes as f64 / took.as_secs_f64().max(0.001)) as u64;
            self.bytes_per_second.store(pace.max(1), Ordering::Relaxed);
        }
    }

    /// Takes note of how long a first byte took.
    pub(super) fn began(&self, took: Duration) {
        self.first_bytes.measured(took);
    }

    /// What is known, for those who compare waiting for somebody else with fetching it themselves.
    pub(super) fn road(&self) -> Road {
        let pace = self.bytes_per_second.load(Ordering::Relaxed);
        Road {
            pace: (pace > 0).then_some(pace as f64),
            first_byte: self.first_bytes.get(),
        }
    }

    /// How long upstream would take for `bytes`.
    pub(super) fn time_for(&self, bytes: u64) -> Duration {
        match self.bytes_per_second.load(Ordering::Relaxed) {
            0 => assumed_time_for(bytes),
            measured => Duration::from_secs_f64(bytes as f64 / measured as f64),
        }
    }
}

/// How long somebody would take for `bytes` of whom nothing is known.
pub(super) fn assumed_time_for(bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / PACE_ASSUMED as f64)
}

impl Pace {
    /// Of a transfer of `length` bytes that begins now and counts in `received`; `held` is for how long this host's own limit
    /// has held up what neighbours send.
    pub(super) fn new(length: u64, received: Arc<AtomicU64>, now: Instant, held: Duration) -> Self {
        Self {
            length,
            received,
            looked_at: now,
            seen: 0,
            held,
            lately: None,
        }
    }

    /// Bytes of the whole file, as its holder says.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether any byte has come.
    pub(super) fn has_begun(&self) -> bool {
        self.received.load(Ordering::Relaxed) > 0
    }

    /// Looks, unless that would be too early after the last look to mean anything. The time for which our own limit held
    /// files up counts for nothing, and where little else is left the transfer is not judged.
    pub(super) fn look(&mut self, now: Instant, held: Duration) {
        let passed = now.saturating_duration_since(self.looked_at);
        if passed < PACE_WINDOW / 2 {
            return;
        }
        let received = self.received.load(Ordering::Relaxed);
        let gained = received.saturating_sub(self.seen) as f64;
        let free = passed.saturating_sub(held.saturating_sub(self.held));
        self.lately = (free > passed / 4).then(|| gained / free.as_secs_f64());
        (self.looked_at, self.seen, self.held) = (now, received, held);
    }

    /// Seconds that the rest will need at the pace of the last look, endless when nothing came; nothing before the first look.
    pub(super) fn seconds_left(&self) -> Option<f64> {
        let left = self.length.saturating_sub(self.seen) as f64;
        self.lately.map(|pace| {
            if pace > 0.0 {
                left / pace
            } else {
                f64::INFINITY
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn upstream_is_taken_to_be_a_poor_line_until_it_was_measured() {
        let pace = UpstreamPace::default();
        assert_eq!(pace.time_for(50 * MB), Duration::from_secs(50));
        pace.measured(100 * MB, Duration::from_secs(1));
        // Small downloads do not count.
        pace.measured(1000, Duration::from_secs(9));
        assert_eq!(pace.time_for(100 * MB), Duration::from_secs(1));
        let road = pace.road();
        assert_eq!(road.pace, Some((100 * MB) as f64));
        assert_eq!(road.first_byte, None);
    }

    #[test]
    fn what_is_left_is_held_against_the_pace_of_the_last_look() {
        let (received, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let mut pace = Pace::new(50 * MB, Arc::clone(&received), start, Duration::ZERO);
        assert!(pace.seconds_left().is_none() && !pace.has_begun());
        received.store(40 * MB, Ordering::Relaxed);
        // Too early to mean anything.
        pace.look(start + PACE_WINDOW / 4, Duration::ZERO);
        assert_eq!(pace.seconds_left(), None);
        pace.look(start + PACE_WINDOW, Duration::ZERO);
        assert_eq!(pace.seconds_left(), Some(0.5));
        // Fast at first and dripping at the end.
        received.fetch_add(MB / 8, Ordering::Relaxed);
        pace.look(start + PACE_WINDOW * 2, Duration::ZERO);
        assert!(pace.seconds_left().unwrap() > 100.0);
        pace.look(start + PACE_WINDOW * 3, Duration::ZERO);
        assert_eq!(pace.seconds_left(), Some(f64::INFINITY));
    }

    #[test]
    fn time_for_which_our_own_limit_held_it_up_is_held_against_nobody() {
        let (received, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let mut pace = Pace::new(50 * MB, Arc::clone(&received), start, PACE_WINDOW);
        // Half of the time was ours, so it gives 4 MB a second.
        received.store(4 * MB, Ordering::Relaxed);
        pace.look(start + PACE_WINDOW, PACE_WINDOW + PACE_WINDOW / 2);
        assert_eq!(pace.seconds_left(), Some(46.0 / 4.0));
        // Nearly all of it was: nobody knows what it could give.
        pace.look(
            start + PACE_WINDOW * 2,
            PACE_WINDOW * 2 + PACE_WINDOW * 2 / 5,
        );
        assert_eq!(pace.seconds_left(), None);
        // And nothing came in time that was its own.
        pace.look(
            start + PACE_WINDOW * 3,
            PACE_WINDOW * 2 + PACE_WINDOW * 2 / 5,
        );
        assert_eq!(pace.seconds_left(), Some(f64::INFINITY));
    }
}
