//! The first moments of a host, in which it does not know yet who its neighbours are.
//!
//! Machines that are switched on together ask together. One that went to its upstream before it has met the others would fetch
//! what they all fetch, and one that has met a few of them would think others to be the owners than they do. So who asks
//! in these moments waits until the first round of discovery is over, unless nobody is there.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::{LOOK_AGAIN, Shared};

/// How long after the start a host that has heard nobody waits for a first one. Where many start together, the first of them is
/// heard within a fraction of that; where one of two is missed, a thing is fetched twice.
const NOBODY_YET: Duration = Duration::from_millis(300);
/// How long after the start a host that has met somebody waits for the others: of twenty that start together each knew all
/// after 1.5 s.
const FIRST_ROUND: Duration = Duration::from_millis(1500);

/// Waits until the first round is over, and says whether that was needed. Hosts that do not look for neighbours wait for nothing.
pub(super) async fn is_awaited(shared: &Shared) -> bool {
    if !shared.looks_for_neighbours {
        return false;
    }
    let mut is_awaited = false;
    loop {
        let up = shared.up_since.elapsed();
        let has_met_somebody = shared.has_heard_somebody.load(Ordering::Relaxed)
            || shared.roster.connected_count() > 0;
        let Some(left) = left(up, has_met_somebody) else {
            return is_awaited;
        };
        is_awaited = true;
        sleep(left.min(LOOK_AGAIN)).await;
    }
}

/// For how long the first round goes on, `up` after the start; nothing when it is over.
fn left(up: Duration, has_met_somebody: bool) -> Option<Duration> {
    let lasts = match has_met_somebody {
        true => FIRST_ROUND,
        false => NOBODY_YET,
    };
    lasts.checked_sub(up).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_alone_waits_for_a_moment_and_one_in_company_for_the_others() {
        let ms = Duration::from_millis;
        assert_eq!(left(ms(0), false), Some(ms(300)));
        assert_eq!(left(ms(299), false), Some(ms(1)));
        assert_eq!(left(ms(300), false), None);
        assert_eq!(left(ms(300), true), Some(ms(1200)));
        assert_eq!(left(ms(1500), true), None);
    }
}
