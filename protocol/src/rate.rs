//! How much may go through a line: a rate as people write it, a limit by the hours of the week, the bucket that keeps to it, and a
//! budget for a day.
//!
//! Pure: no clock and no waiting. Moments are durations since a start that the caller chooses, and they never go back; what comes out is how long to
//! wait. One bucket stands for a class of traffic in one direction and not for one transfer, so that ten transfers together
//! get what one alone would.

mod bucket;
mod budget;
mod hours;
mod limit;
mod meter;
mod text;

use std::num::NonZeroU64;

pub use bucket::Bucket;
pub use budget::{BUDGET_HOURS, Budget};
pub use hours::{DAY_MINUTES, Minute, WEEK_MINUTES};
pub use limit::{EXCEPTIONS_MAX, Limit, parse_limit};
pub use meter::Meter;
pub use text::parse_rate;

/// Bytes that a transfer takes from a bucket at a time, so that those that run beside it soon have their turn: what counts as
/// progress between neighbours ([`PROGRESS_BYTES_MIN`](crate::limits::PROGRESS_BYTES_MIN)).
pub const PART_BYTES: usize = 16 * 1024;
/// The least that one transfer is to get, in bytes a second: four times the pace below which a neighbour is left.
const SHARE_MIN: u64 = 32 * 1024;

/// A rate in bytes a second, at least [`Rate::LEAST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// The smallest limit, in bytes a second: below it one transfer at a time would be taken for one that drips.
    pub const LEAST: u64 = 64 * 1024;

    /// Nothing below [`Rate::LEAST`].
    pub fn new(bytes_per_second: u64) -> Option<Self> {
        let rate = NonZeroU64::new(bytes_per_second)?;
        (rate.get() >= Self::LEAST).then_some(Self(rate))
    }

    /// Bytes a second.
    pub fn bytes_per_second(self) -> u64 {
        self.0.get()
    }

    /// How many transfers may share it so that each keeps moving: `most`, or fewer, and at least one.
    pub fn shares(self, most: usize) -> usize {
        let shares = usize::try_from(self.0.get() / SHARE_MIN).unwrap_or(usize::MAX);
        shares.clamp(1, most.max(1))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_small_rate_is_shared_by_few() {
        assert_eq!(Rate::new(Rate::LEAST - 1), None);
        assert_eq!(Rate::new(Rate::LEAST).unwrap().shares(32), 2);
        assert_eq!(Rate::new(500_000).unwrap().shares(32), 15);
        assert_eq!(Rate::new(u64::MAX).unwrap().shares(32), 32);
        assert_eq!(Rate::new(u64::MAX).unwrap().shares(0), 1);
    }
}
