//! Limits by the hour of the week: tells those who keep to them which minute it is.

use std::time::Duration;

use modmesh_protocol::rate::{Limit, Minute};

use crate::config::Config;
use crate::os;
use crate::peers::Peers;
use crate::upstream::Upstream;

/// How often it is asked which minute it is: the clock may be set, and hours are left out and come twice where daylight saving
/// begins and ends. So a limit holds from the first second of its hours, or the second one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The minute of the week, and those whose limits depend on it.
pub(super) struct HoursWatch {
    pub(super) hours: Hours,
    pub(super) upstream: Option<Upstream>,
    pub(super) peers: Peers,
}

/// Where it is asked which minute it is, and what was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hours {
    /// Nothing where no limit depends on the hour; then no clock is asked.
    local_minute: Option<fn() -> Minute>,
    /// The minute as it was told last.
    pub(super) minute: Minute,
}

impl Hours {
    /// As they are now.
    pub(super) async fn of(config: &Config) -> Self {
        let limits = [
            &config.limit_upload,
            &config.limit_download,
            &config.limit_site,
            &config.road.limit,
        ];
        let is_needed = limits.into_iter().any(Limit::is_by_hours);
        let local_minute = config.local_minute.unwrap_or(os::local_minute);
        let mut hours = Self {
            local_minute: is_needed.then_some(local_minute),
            minute: Minute::default(),
        };
        hours.look().await;
        hours
    }

    /// Whether any limit depends on them.
    pub(super) fn matter(&self) -> bool {
        self.local_minute.is_some()
    }

    /// Whether it is another minute now.
    async fn look(&mut self) -> bool {
        let Some(local_minute) = self.local_minute else {
            return false;
        };
        let looked = tokio::task::spawn_blocking(local_minute).await;
        let minute = looked.unwrap_or(self.minute);
        std::mem::replace(&mut self.minute, minute) != minute
    }
}

impl HoursWatch {
    /// Looks, again and again.
    pub(super) async fn keep_looking(mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.hours.look().await {
                self.peers.it_is(self.hours.minute);
                if let Some(upstream) = &self.upstream {
                    upstream.it_is(self.hours.minute);
                }
            }
        }
    }
}
