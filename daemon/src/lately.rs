//! What was the longest of late: a measure that rises at once and is forgotten over some others that are shorter.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Of each measurement that is shorter one in so many parts of the longest is forgotten.
const FORGOTTEN: u64 = 8;

/// The longest of some times, of late.
#[derive(Debug, Default)]
pub(crate) struct Longest {
    /// Microseconds; 0 while nothing was measured.
    us: AtomicU64,
}

impl Longest {
    /// One more.
    pub(crate) fn measured(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let longest = |before: u64| Some(took.max(before - before / FORGOTTEN));
        let _ = self
            .us
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, longest);
    }

    /// The longest, if any was measured.
    pub(crate) fn get(&self) -> Option<Duration> {
        let us = self.us.load(Ordering::Relaxed);
        (us > 0).then(|| Duration::from_micros(us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_time_is_forgotten_over_some_short_ones() {
        let longest = Longest::default();
        assert_eq!(longest.get(), None);
        longest.measured(Duration::from_millis(800));
        longest.measured(Duration::from_millis(1));
        assert_eq!(longest.get(), Some(Duration::from_millis(700)));
        for _ in 0..100 {
            longest.measured(Duration::from_millis(1));
        }
        assert_eq!(longest.get(), Some(Duration::from_millis(1)));
    }
}
