//! Saying the same thing at most once a minute.
//!
//! A full disk, no descriptors left, an upstream that gives false files: such a state meets every request, and a line for
//! each would bury the log. The first is said at once; what is left out after it is counted, and told with the next.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long nothing of the same kind is said again.
const SILENCE: Duration = Duration::from_secs(60);

/// One kind of thing to say. Kept in a `static` beside the line that says it.
#[derive(Debug)]
pub(crate) struct Seldom(Mutex<Said>);

#[derive(Debug)]
struct Said {
    last: Option<Instant>,
    left_out: u64,
}

impl Seldom {
    /// Nothing was said yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Said {
            last: None,
            left_out: 0,
        }))
    }

    /// Whether to say it now: how often it was left out since it was said last, or nothing when it is to be left out.
    pub(crate) fn turn(&self) -> Option<u64> {
        self.turn_at(Instant::now())
    }

    fn turn_at(&self, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_too_early = |last| now.saturating_duration_since(last) < SILENCE;
        if said.last.is_some_and(is_too_early) {
            said.left_out = said.left_out.saturating_add(1);
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_said_once_a_minute_with_the_count_of_what_was_left_out() {
        let kind = Seldom::new();
        let began = Instant::now();
        let at = |seconds| kind.turn_at(began + Duration::from_secs(seconds));
        assert_eq!(at(0), Some(0));
        assert_eq!([at(1), at(30), at(59)], [None; 3]);
        assert_eq!(at(60), Some(3));
        assert_eq!(at(61), None);
        assert_eq!(at(500), Some(1));
        assert_eq!(at(1000), Some(0));
    }

    #[test]
    fn kinds_are_apart() {
        let (one, other) = (Seldom::new(), Seldom::new());
        assert_eq!(one.turn(), Some(0));
        assert_eq!(one.turn(), None);
        assert_eq!(other.turn(), Some(0));
    }
}
