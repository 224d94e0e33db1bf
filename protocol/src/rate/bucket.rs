//! The bucket: it fills at its rate, and what is taken from it in any time is no more than what flowed in and what it holds.
//!
//! It remembers one moment, the one at which it will be full again (ITU-T I.371, the generic cell rate algorithm, says the
//! same with other words): so there is no count that must be topped up by a clock, and no fraction of a byte is lost.

use std::time::Duration;

use super::{PART_BYTES, Rate};

/// A full bucket lasts for a quarter of a second: what is shorter a line does not notice, and transfers on other hosts do not
/// start and stop all the time.
const HOLDS: Duration = Duration::from_millis(250);
/// How far what nobody holds up may draw it down below nothing: whoever waits after that waits for half a second.
const DEBT_MAX: Duration = Duration::from_millis(500);

/// A bucket that is full at first.
#[derive(Debug, Clone)]
pub struct Bucket {
    rate: Rate,
    /// When it will be full again; in the past when it is.
    full_at: Duration,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            full_at: Duration::ZERO,
        }
    }

    /// One of another rate in its place: what is missing in it is missing in that one too, as far as those who come next wait
    /// for half a second.
    pub fn at_rate(&self, rate: Rate, now: Duration) -> Self {
        let missing = self.full_at.saturating_sub(now);
        let bytes = missing
            .as_nanos()
            .saturating_mul(self.rate.bytes_per_second().into());
        let bytes = bytes / 1_000_000_000;
        let mut other = Self::new(rate);
        other.charge(now, u64::try_from(bytes).unwrap_or(u64::MAX));
        other
    }

    /// What flows in.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Bytes that a full one holds: those of a quarter of a second, and at least [`PART_BYTES`].
    pub fn holds(&self) -> u64 {
        (self.rate.bytes_per_second() / 4).max(PART_BYTES as u64)
    }

    /// How long to wait until `bytes` may be taken; more than it holds may be taken when it is full.
    pub fn wait(&self, now: Duration, bytes: u64) -> Duration {
        let needed = self.time_for(bytes.min(self.holds()));
        let full_then = self.full_at.max(now).saturating_add(needed);
        full_then.saturating_sub(now.saturating_add(self.lasts()))
    }

    /// Takes `bytes`, whether they are there or not: those that come after wait until they have flowed in.
    pub fn take(&mut self, now: Duration, bytes: u64) {
        let needed = self.time_for(bytes);
        self.full_at = self.full_at.max(now).saturating_add(needed);
    }

    /// Takes `bytes` of what is too small or too urgent to be held up. What would make those who wait wait for more than half
    /// a second is forgotten: else somebody who asks many small things could hold them up for ever.
    pub fn charge(&mut self, now: Duration, bytes: u64) {
        let deepest = now.saturating_add(self.lasts()).saturating_add(DEBT_MAX);
        let before = self.full_at;
        self.take(now, bytes);
        self.full_at = self.full_at.min(deepest).max(before);
    }

    fn lasts(&self) -> Duration {
        HOLDS.max(self.time_for(PART_BYTES as u64))
    }

    /// Rounded up, so that the rate is never exceeded.
    fn time_for(&self, bytes: u64) -> Duration {
        let nanoseconds = u128::from(bytes) * 1_000_000_000;
        let nanoseconds = nanoseconds.div_ceil(u128::from(self.rate.bytes_per_second()));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn bucket(rate: u64) -> Bucket {
        Bucket::new(Rate::new(rate).unwrap())
    }

    #[test]
    fn a_megabyte_at_half_a_megabyte_a_second_takes_two_seconds_less_what_was_in_it() {
        let mut bucket = bucket(500_000);
        let (mut now, mut left) = (SECOND * 100, 1_000_000_u64);
        while left > 0 {
            let part = left.min(PART_BYTES as u64);
            now += bucket.wait(now, part);
            bucket.take(now, part);
            left -= part;
        }
        let took = now - SECOND * 100;
        assert!(took >= Duration::from_millis(1749), "{took:?}");
        assert!(took <= Duration::from_millis(1751), "{took:?}");
    }

    #[test]
    fn what_is_larger_than_the_bucket_goes_when_it_is_full_and_is_paid_after() {
        let mut bucket = bucket(100_000);
        assert_eq!(bucket.wait(SECOND, u64::MAX), Duration::ZERO);
        bucket.take(SECOND, 1_025_000);
        assert_eq!(bucket.wait(SECOND, 0), SECOND * 10);
        assert_eq!(bucket.wait(SECOND * 11, 0), Duration::ZERO);
        // Full again a quarter of a second later, and no fuller after a year.
        assert_eq!(bucket.wait(SECOND * 11, 25_000), HOLDS);
        assert_eq!(bucket.wait(SECOND * 40_000_000, 25_000), Duration::ZERO);
    }

    #[test]
    fn small_things_hold_up_the_others_for_half_a_second_at_most() {
        let mut bucket = bucket(100_000);
        for _ in 0..1000 {
            bucket.charge(SECOND, 50_000);
        }
        assert_eq!(bucket.wait(SECOND, 0), DEBT_MAX);
        // A debt that files made is not forgiven by it.
        bucket.take(SECOND, 1_000_000);
        bucket.charge(SECOND, 1);
        assert_eq!(bucket.wait(SECOND, 0), DEBT_MAX + SECOND * 10);
    }

    #[test]
    fn what_is_missing_is_missing_at_another_rate_too() {
        let full = bucket(100_000).at_rate(Rate::new(1_000_000).unwrap(), SECOND);
        assert_eq!(full.wait(SECOND, 250_000), Duration::ZERO);
        let mut bucket = bucket(100_000);
        bucket.take(SECOND, 125_000);
        let other = bucket.at_rate(Rate::new(1_000_000).unwrap(), SECOND);
        assert_eq!(other.rate().bytes_per_second(), 1_000_000);
        assert_eq!(other.wait(SECOND, 125_000), Duration::ZERO);
        assert_eq!(other.wait(SECOND, 250_000), SECOND / 8);
        // Ten seconds of the smaller rate, of which half a second is left.
        let small = other.at_rate(Rate::new(Rate::LEAST).unwrap(), SECOND);
        assert_eq!(small.wait(SECOND, 0), DEBT_MAX);
        assert_eq!(small.wait(SECOND * 2, 16_384), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_window_of_time_sees_more_than_flowed_in_and_was_there(
            rate in Rate::LEAST..1 << 40,
            steps in prop::collection::vec((0_u64..2_000_000_000, 0_u64..1 << 20), 1..60),
        ) {
            let mut bucket = bucket(rate);
            let mut now = Duration::ZERO;
            let mut taken: Vec<(Duration, u64)> = Vec::new();
            for (idle, bytes) in steps {
                now += Duration::from_nanos(idle);
                now += bucket.wait(now, bytes);
                prop_assert_eq!(bucket.wait(now, bytes), Duration::ZERO);
                bucket.take(now, bytes);
                taken.push((now, bytes));
            }
            for (from, (begins, _)) in taken.iter().enumerate() {
                let mut sum = 0;
                for (ends, bytes) in &taken[from..] {
                    // One that is larger than the bucket may overdraw it, once: what follows has waited for that.
                    let beyond = bytes.saturating_sub(bucket.holds());
                    sum += bytes;
                    let flowed = u128::from(rate) * (*ends - *begins).as_nanos() / 1_000_000_000;
                    let most = flowed + u128::from(bucket.holds()) + u128::from(beyond) + 1;
                    prop_assert!(u128::from(sum) <= most, "{sum} of {most}");
                }
            }
        }

        #[test]
        fn who_waits_as_told_is_served_at_the_rate(
            rate in Rate::LEAST..1 << 40,
            parts in prop::collection::vec(1_u64..=PART_BYTES as u64, 1..200),
        ) {
            let mut bucket = bucket(rate);
            let mut now = SECOND;
            for bytes in &parts {
                now += bucket.wait(now, *bytes);
                bucket.take(now, *bytes);
            }
            let all: u64 = parts.iter().sum();
            let beyond = u128::from(all.saturating_sub(bucket.holds())) * 1_000_000_000;
            let least = beyond.div_ceil(u128::from(rate));
            // A nanosecond for each rounding.
            let most = least + parts.len() as u128 + 1;
            prop_assert!((now - SECOND).as_nanos() <= most, "{:?} of {most}", now - SECOND);
        }

        #[test]
        fn nothing_overflows(rate in Rate::LEAST.., now in any::<u64>(), bytes in any::<u64>()) {
            let mut bucket = bucket(rate);
            for _ in 0..3 {
                bucket.take(Duration::from_secs(now), bytes);
                bucket.charge(Duration::from_secs(now), bytes);
                bucket.wait(Duration::from_secs(now), bytes);
                bucket = bucket.at_rate(Rate::new(u64::MAX - rate).unwrap_or(bucket.rate()), Duration::from_secs(now));
            }
        }
    }
}
