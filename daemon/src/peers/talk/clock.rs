//! The time of one conversation.

use std::time::{Duration, Instant};

/// How often the conversation's clock is looked at: a first answer is expected within 100 ms.
pub(in super::super) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The time of one conversation. It stands still while this host does: one that waits for its processor, or was asleep, must not
/// take others for silent whose words it has not read yet.
#[derive(Debug)]
pub(in super::super) struct Clock {
    looked_at: Instant,
    now: Duration,
}

impl Clock {
    pub(in super::super) fn new() -> Self {
        Self {
            looked_at: Instant::now(),
            now: Duration::ZERO,
        }
    }

    /// To be asked at least every [`LOOK_EVERY`].
    pub(in super::super) fn now(&mut self) -> Duration {
        let looked_at = std::mem::replace(&mut self.looked_at, Instant::now());
        self.now += (self.looked_at - looked_at).min(LOOK_EVERY * 3 / 2);
        self.now
    }
}
