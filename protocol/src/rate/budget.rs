//! A budget: how many bytes may go through in any 24 hours.
//!
//! It is counted in hours, and what was taken in an hour is free again when that hour is a day past; so in no 24 hours more goes
//! through than it says, and there is no midnight at which everybody begins.

use std::time::Duration;

/// The hours that count: those of a day, and the one that runs.
pub const BUDGET_HOURS: u64 = 25;
const HOURS: usize = BUDGET_HOURS as usize;
const HOUR_SECONDS: u64 = 3600;

/// What may go through in a day, and what did in its hours.
#[derive(Debug, Clone)]
pub struct Budget {
    bytes_a_day: u64,
    /// The bytes of each hour, of the one that runs in `hour % HOURS`.
    taken: [u64; HOURS],
    hour: u64,
}

impl Budget {
    /// Of so many bytes, none of which was taken.
    pub fn new(bytes_a_day: u64) -> Self {
        Self {
            bytes_a_day,
            taken: [0; HOURS],
            hour: 0,
        }
    }

    /// Bytes that may go through in 24 hours.
    pub fn bytes_a_day(&self) -> u64 {
        self.bytes_a_day
    }

    /// Bytes that may go through now.
    pub fn left(&mut self, now: Duration) -> u64 {
        self.move_to(now);
        let taken = self
            .taken
            .iter()
            .fold(0_u64, |sum, b| sum.saturating_add(*b));
        self.bytes_a_day.saturating_sub(taken)
    }

    /// Takes `bytes` when all of them are there.
    pub fn reserve(&mut self, now: Duration, bytes: u64) -> bool {
        let is_there = bytes <= self.left(now);
        if is_there {
            self.take(now, bytes);
        }
        is_there
    }

    /// Takes `bytes` that went through already, whether they are there or not.
    pub fn take(&mut self, now: Duration, bytes: u64) {
        self.move_to(now);
        let slot = &mut self.taken[Self::slot(self.hour)];
        *slot = slot.saturating_add(bytes);
    }

    /// Gives `bytes` back that were reserved and did not go through: of this hour, and of those before.
    pub fn give_back(&mut self, now: Duration, bytes: u64) {
        self.move_to(now);
        let mut left = bytes;
        for ago in 0..BUDGET_HOURS.min(self.hour.saturating_add(1)) {
            let slot = &mut self.taken[Self::slot(self.hour - ago)];
            let back = left.min(*slot);
            *slot -= back;
            left -= back;
        }
    }

    /// So many went through before now, that many hours ago; of what is a day past nothing counts.
    pub fn took_before(&mut self, now: Duration, hours_ago: u64, bytes: u64) {
        self.move_to(now);
        if hours_ago < BUDGET_HOURS
            && let Some(hour) = self.hour.checked_sub(hours_ago)
        {
            let slot = &mut self.taken[Self::slot(hour)];
            *slot = slot.saturating_add(bytes);
        }
    }

    /// What went through in those hours that count and in which anything did: how many hours ago, and how many bytes.
    pub fn taken(&mut self, now: Duration) -> Vec<(u64, u64)> {
        self.move_to(now);
        let hours = 0..BUDGET_HOURS.min(self.hour.saturating_add(1));
        let of_hour = |ago: u64| (ago, self.taken[Self::slot(self.hour - ago)]);
        hours.map(of_hour).filter(|(_, bytes)| *bytes > 0).collect()
    }

    fn move_to(&mut self, now: Duration) {
        let hour = now.as_secs() / HOUR_SECONDS;
        let passed = hour.saturating_sub(self.hour);
        for ago in 0..passed.min(BUDGET_HOURS) {
            self.taken[Self::slot(hour - ago)] = 0;
        }
        self.hour = self.hour.max(hour);
    }

    fn slot(hour: u64) -> usize {
        (hour % BUDGET_HOURS) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(hours: u64) -> Duration {
        Duration::from_secs(hours * HOUR_SECONDS)
    }

    #[test]
    fn what_was_taken_is_there_again_when_a_day_has_passed() {
        let mut budget = Budget::new(100);
        assert!(budget.reserve(at(7), 60));
        assert!(!budget.reserve(at(20), 41));
        assert!(budget.reserve(at(20), 40));
        assert_eq!(budget.left(at(31)), 0);
        assert_eq!(budget.left(at(32)), 60);
        assert_eq!(budget.left(at(45)), 100);
        assert_eq!(budget.left(at(1_000_000)), 100);
        assert_eq!(budget.bytes_a_day(), 100);
    }

    #[test]
    fn what_did_not_go_through_is_given_back_and_no_more_than_that() {
        let mut budget = Budget::new(100);
        assert!(budget.reserve(at(0), 50));
        assert!(budget.reserve(at(1), 50));
        budget.give_back(at(1), 70);
        assert_eq!(budget.left(at(1)), 70);
        budget.give_back(at(1), u64::MAX);
        assert_eq!(budget.left(at(1)), 100);
        budget.take(at(2), u64::MAX);
        budget.take(at(2), 1);
        assert_eq!(budget.left(at(2)), 0);
        assert!(budget.reserve(at(2), 0));
        // A budget of nothing is none.
        assert!(!Budget::new(0).reserve(at(0), 1));
    }

    #[test]
    fn what_went_through_can_be_told_and_taken_over() {
        let mut budget = Budget::new(100);
        budget.take(at(3), 10);
        budget.take(at(5), 20);
        let taken = budget.taken(at(6));
        assert_eq!(taken, [(1, 20), (3, 10)]);
        let mut other = Budget::new(100);
        for (hours_ago, bytes) in taken {
            other.took_before(at(30), hours_ago, bytes);
        }
        assert_eq!(other.left(at(30)), 70);
        assert_eq!(other.left(at(52)), 80);
        other.took_before(at(52), 25, 50);
        other.took_before(at(52), u64::MAX, 50);
        assert_eq!(other.left(at(52)), 80);
        // There is no hour before the first.
        other = Budget::new(100);
        other.took_before(at(0), 1, 50);
        assert_eq!(other.left(at(0)), 100);
    }

    proptest! {
        #[test]
        fn no_day_sees_more_than_the_budget(
            bytes_a_day in 0_u64..1000,
            steps in prop::collection::vec((0_u64..30_000, 0_u64..400), 1..80),
        ) {
            let mut budget = Budget::new(bytes_a_day);
            let (mut now, mut taken) = (Duration::ZERO, Vec::new());
            for (idle, bytes) in steps {
                now += Duration::from_secs(idle);
                if budget.reserve(now, bytes) {
                    taken.push((now, bytes));
                }
            }
            for (from, (begins, _)) in taken.iter().enumerate() {
                let in_a_day = taken[from..].iter().filter(|(at, _)| *at - *begins <= Duration::from_secs(86_400));
                let sum: u64 = in_a_day.map(|(_, bytes)| bytes).sum();
                prop_assert!(sum <= bytes_a_day, "{sum} of {bytes_a_day}");
            }
        }
    }
}
