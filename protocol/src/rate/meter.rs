//! How much went through of late, for people to see beside the limit.

use std::time::Duration;

/// Whole seconds that are looked at beside the one that runs.
const SECONDS: usize = 4;

/// Bytes of the last seconds.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    /// The bytes of each second, of the one that runs in `second % (SECONDS + 1)`.
    bytes: [u64; SECONDS + 1],
    second: u64,
}

impl Meter {
    /// So many went through.
    pub fn add(&mut self, now: Duration, bytes: u64) {
        self.move_to(now.as_secs());
        let slot = &mut self.bytes[Self::slot(self.second)];
        *slot = slot.saturating_add(bytes);
    }

    /// Bytes a second, of the last four seconds and the one that runs.
    pub fn bytes_per_second(&mut self, now: Duration) -> u64 {
        self.move_to(now.as_secs());
        let sum = self
            .bytes
            .iter()
            .fold(0_u64, |sum, b| sum.saturating_add(*b));
        // Where it runs for less than that, the rest had nothing.
        let span =
            Duration::from_secs(SECONDS as u64) + Duration::from_nanos(now.subsec_nanos().into());
        (sum as f64 / span.as_secs_f64()) as u64
    }

    fn move_to(&mut self, second: u64) {
        let passed = second.saturating_sub(self.second);
        for ago in 0..passed.min(self.bytes.len() as u64) {
            self.bytes[Self::slot(second - ago)] = 0;
        }
        self.second = self.second.max(second);
    }

    fn slot(second: u64) -> usize {
        (second % (SECONDS as u64 + 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_steady_flow_is_measured_and_its_end_is_seen_within_five_seconds() {
        let mut meter = Meter::default();
        for tenth in 0..100 {
            meter.add(at(tenth * 100), 1000);
        }
        assert_eq!(meter.bytes_per_second(at(9_999)), 10_002);
        assert!(meter.bytes_per_second(at(12_000)) < 10_000);
        assert_eq!(meter.bytes_per_second(at(15_000)), 0);
        meter.add(at(86_400_000), 4000);
        assert_eq!(meter.bytes_per_second(at(86_400_000)), 1000);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_harms_nothing() {
        let mut meter = Meter::default();
        meter.add(at(9_000), u64::MAX);
        meter.add(at(1_000), u64::MAX);
        assert!(meter.bytes_per_second(at(8_000)) > 0);
    }
}
