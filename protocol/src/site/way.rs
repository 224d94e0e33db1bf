//! Own upstream or another site: who is asked first for what nobody within the site has, and why.
//!
//! What is not known is not tried where something else works: a host whose upstream answers asks that one until it has seen what
//! another site gives, and it sees that when its upstream fails or is slow. A wrong guess costs little, for whoever turns out
//! slow gets the other one asked beside it.

use std::fmt;
use std::time::Duration;

use crate::lease::Road;

/// Files below this size say nothing about a line's pace, and need none to be judged: the time to a first byte is what they take.
pub const SMALL_BYTES: u64 = 256 << 10;
/// How much less another site must take than the own upstream: a quarter. What is measured varies by more from one file to the next.
const BETTER_BY: u32 = 4;
/// What must be saved to ask another site that has not announced it: then the question is likely to be in vain.
const QUESTION_WORTH: Duration = Duration::from_secs(2);
/// An upstream that takes less for a file is not left to see whether another site is better.
const SLOW_FROM: Duration = Duration::from_secs(2);
/// How often another site is tried of which nothing is known, or that was found worse.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// The own upstream.
#[derive(Debug, Clone, Copy)]
pub enum Upstream {
    /// There is none.
    Off,
    /// It is known to be down.
    Down,
    /// It is not known to be down, and this is what was seen of it.
    Up(Road),
}

/// The best of the other sites.
#[derive(Debug, Clone, Copy, Default)]
pub struct Across {
    /// What was seen of the way there.
    pub road: Road,
    /// Whether a neighbour there has announced the thing.
    pub is_announced: bool,
    /// How long ago something was last fetched from there; nothing where nothing was since the start.
    pub idle: Option<Duration>,
}

/// Whether anything can be asked of another site at all.
#[derive(Debug, Clone, Copy)]
pub enum Crossing {
    /// No neighbour of another site is connected.
    Nobody,
    /// The day's budget is used up.
    UsedUp,
    /// It can.
    Open(Across),
}

/// Who is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// The own upstream.
    Upstream,
    /// The other sites.
    Across,
}

/// Who is asked first, whether the other is asked where that one fails, and why so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Who is asked first.
    pub first: First,
    /// Whether other sites are asked at all.
    pub may_cross: bool,
    /// Why.
    pub why: Why,
}

/// Why somebody is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no neighbour of another site.
    NobodyAcross,
    /// The budget is used up.
    UsedUp,
    /// There is no upstream.
    NoUpstream,
    /// It is down.
    UpstreamDown,
    /// Nothing is known of one of the two.
    Unknown,
    /// The other site is expected to take less.
    AcrossIsCheaper,
    /// The own upstream is expected to take no more.
    UpstreamIsCheaper,
    /// The other site would take less, but nobody there has announced it, and too little would be saved to ask.
    NotAnnounced,
    /// The own upstream is slow, the other site has announced it, and it was not seen of late what that one gives.
    TriedAgain,
}

/// Decides about a thing of so many bytes, as far as that is known.
pub fn way_out(upstream: Upstream, crossing: Crossing, bytes: u64) -> Decision {
    let decided = |first, why| Decision {
        first,
        may_cross: matches!(crossing, Crossing::Open(_)),
        why,
    };
    let across = match crossing {
        Crossing::Nobody => return decided(First::Upstream, Why::NobodyAcross),
        Crossing::UsedUp => return decided(First::Upstream, Why::UsedUp),
        Crossing::Open(across) => across,
    };
    let own = match upstream {
        Upstream::Off => return decided(First::Across, Why::NoUpstream),
        Upstream::Down => return decided(First::Across, Why::UpstreamDown),
        Upstream::Up(own) => own,
    };
    let Some(own_time) = time_for(&own, bytes) else {
        return decided(First::Upstream, Why::Unknown);
    };
    let is_untried = across.idle.is_none_or(|idle| idle >= TRY_AGAIN_AFTER);
    let is_worth_a_try = across.is_announced && is_untried && own_time >= SLOW_FROM;
    match time_for(&across.road, bytes) {
        Some(time) if is_better(time, own_time) => {
            let saved = own_time.saturating_sub(time);
            match across.is_announced || saved >= QUESTION_WORTH {
                true => decided(First::Across, Why::AcrossIsCheaper),
                false => decided(First::Upstream, Why::NotAnnounced),
            }
        }
        _ if is_worth_a_try => decided(First::Across, Why::TriedAgain),
        Some(_) => decided(First::Upstream, Why::UpstreamIsCheaper),
        None => decided(First::Upstream, Why::Unknown),
    }
}

/// Whether a file whose length is known by now is still to be taken from the other site first: what was decided with a guess of
/// its length is looked at again.
pub fn is_worth_it(upstream: Upstream, road: &Road, bytes: u64) -> bool {
    let Upstream::Up(own) = upstream else {
        return true;
    };
    match (time_for(&own, bytes), time_for(road, bytes)) {
        (Some(own), Some(across)) => is_better(across, own),
        // It was decided to see what it gives.
        _ => true,
    }
}

fn is_better(across: Duration, own: Duration) -> bool {
    across.saturating_add(across / BETTER_BY) < own
}

/// How long so many bytes take on a road, where enough is known of it.
fn time_for(road: &Road, bytes: u64) -> Option<Duration> {
    let first = road.first_byte?;
    match road.pace {
        _ if bytes < SMALL_BYTES => Some(first),
        // A pace of nothing is none.
        Some(pace) if pace >= 1.0 => {
            let rest = Duration::try_from_secs_f64(bytes as f64 / pace);
            Some(first.saturating_add(rest.unwrap_or(Duration::MAX)))
        }
        _ => None,
    }
}

impl Why {
    /// As a fragment for a person.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NobodyAcross => "no neighbour of another site is connected",
            Self::UsedUp => "the budget for bytes between sites is used up",
            Self::NoUpstream => "there is no upstream",
            Self::UpstreamDown => "the upstream is down",
            Self::Unknown => "it is not known yet that another site is better",
            Self::AcrossIsCheaper => "another site is measured to be quicker than the upstream",
            Self::UpstreamIsCheaper => "the upstream is measured to be no slower than another site",
            Self::NotAnnounced => "no other site has announced it",
            Self::TriedAgain => {
                "the upstream is slow, and it is tried whether another site is better"
            }
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MB: u64 = 1_000_000;

    fn road(first_ms: u64, pace: Option<u64>) -> Road {
        Road {
            pace: pace.map(|pace| pace as f64),
            first_byte: Some(Duration::from_millis(first_ms)),
        }
    }

    fn across(road: Road, is_announced: bool, idle_s: Option<u64>) -> Crossing {
        Crossing::Open(Across {
            road,
            is_announced,
            idle: idle_s.map(Duration::from_secs),
        })
    }

    fn decided(upstream: Upstream, crossing: Crossing, bytes: u64) -> (First, Why) {
        let decision = way_out(upstream, crossing, bytes);
        let is_open = matches!(crossing, Crossing::Open(_));
        assert_eq!(decision.may_cross, is_open);
        (decision.first, decision.why)
    }

    #[test]
    fn without_an_upstream_the_other_sites_are_asked_whatever_is_known_of_them() {
        for (upstream, why) in [
            (Upstream::Off, Why::NoUpstream),
            (Upstream::Down, Why::UpstreamDown),
        ] {
            for crossing in [
                across(Road::default(), false, None),
                across(road(9000, Some(1000)), true, Some(1)),
            ] {
                assert_eq!(decided(upstream, crossing, MB), (First::Across, why));
            }
            let nobody = decided(upstream, Crossing::Nobody, MB);
            assert_eq!(nobody, (First::Upstream, Why::NobodyAcross));
            let used_up = decided(upstream, Crossing::UsedUp, MB);
            assert_eq!(used_up, (First::Upstream, Why::UsedUp));
        }
    }

    #[test]
    fn the_upstream_is_asked_while_nothing_is_known() {
        let unknown = across(Road::default(), true, None);
        let up = |road| Upstream::Up(road);
        let first = decided(up(Road::default()), unknown, MB);
        assert_eq!(first, (First::Upstream, Why::Unknown));
        // A quick one is not left to see what another site is worth.
        let quick = up(road(50, Some(10 * MB)));
        assert_eq!(decided(quick, unknown, MB), (First::Upstream, Why::Unknown));
        // Of what is small the time to a first byte says enough, and of what is large it does not.
        let no_pace = up(road(50, None));
        let near = across(road(1, None), true, Some(1));
        let small = decided(no_pace, near, 1000);
        assert_eq!(small, (First::Across, Why::AcrossIsCheaper));
        let large = decided(no_pace, near, MB);
        assert_eq!(large, (First::Upstream, Why::Unknown));
    }

    #[test]
    fn a_slow_upstream_has_another_site_tried_that_announced_it_and_not_again_at_once() {
        let slow = Upstream::Up(road(500, Some(MB / 4)));
        for (is_announced, idle, expected) in [
            (true, None, (First::Across, Why::TriedAgain)),
            (true, Some(600), (First::Across, Why::TriedAgain)),
            (true, Some(599), (First::Upstream, Why::Unknown)),
            (false, None, (First::Upstream, Why::Unknown)),
        ] {
            let crossing = across(Road::default(), is_announced, idle);
            assert_eq!(decided(slow, crossing, MB), expected);
        }
        // One that was worse ten minutes ago has another chance.
        let worse = |idle| across(road(500, Some(MB / 8)), true, Some(idle));
        let again = decided(slow, worse(600), MB);
        assert_eq!(again, (First::Across, Why::TriedAgain));
        let soon = decided(slow, worse(1), MB);
        assert_eq!(soon, (First::Upstream, Why::UpstreamIsCheaper));
    }

    #[test]
    fn the_other_site_must_be_better_by_a_quarter() {
        let own = Upstream::Up(road(0, Some(MB)));
        for (pace, expected) in [
            (2 * MB, First::Across),
            (1_260_000, First::Across),
            (1_250_000, First::Upstream),
            (MB, First::Upstream),
            (1, First::Upstream),
        ] {
            let crossing = across(road(0, Some(pace)), true, Some(0));
            assert_eq!(decided(own, crossing, MB).0, expected, "{pace}");
        }
    }

    #[test]
    fn what_nobody_announced_is_asked_for_when_much_would_be_saved() {
        let quick = road(10, Some(100 * MB));
        let not_announced = across(quick, false, Some(0));
        let own = Upstream::Up(road(100, Some(MB)));
        let small = decided(own, not_announced, MB);
        assert_eq!(small, (First::Upstream, Why::NotAnnounced));
        let large = decided(own, not_announced, 10 * MB);
        assert_eq!(large, (First::Across, Why::AcrossIsCheaper));
    }

    #[test]
    fn the_length_that_is_told_may_change_what_was_decided() {
        let own = Upstream::Up(road(1000, Some(10 * MB)));
        let near_and_narrow = road(10, Some(MB));
        assert!(is_worth_it(own, &near_and_narrow, 1000));
        assert!(!is_worth_it(own, &near_and_narrow, 10 * MB));
        assert!(is_worth_it(Upstream::Down, &near_and_narrow, 10 * MB));
        assert!(is_worth_it(Upstream::Off, &Road::default(), 10 * MB));
        assert!(is_worth_it(own, &Road::default(), 10 * MB));
    }

    fn roads() -> impl Strategy<Value = Road> {
        let pace = prop::option::of(prop_oneof![Just(0.0), 1.0..1e10_f64]);
        let first = prop::option::of(0_u64..100_000_000);
        (pace, first).prop_map(|(pace, us)| Road {
            pace,
            first_byte: us.map(Duration::from_micros),
        })
    }

    fn upstreams() -> impl Strategy<Value = Upstream> {
        prop_oneof![
            Just(Upstream::Off),
            Just(Upstream::Down),
            roads().prop_map(Upstream::Up)
        ]
    }

    proptest! {
        #[test]
        fn it_is_total_and_never_prefers_what_is_measured_to_be_worse_and_was_seen_of_late(
            upstream in upstreams(),
            road in roads(),
            is_announced in any::<bool>(),
            idle in prop::option::of(0_u64..2000),
            bytes in any::<u64>(),
        ) {
            let crossing = across(road, is_announced, idle);
            let decision = way_out(upstream, crossing, bytes);
            prop_assert!(decision.may_cross);
            if let Upstream::Up(own) = upstream {
                let (own, theirs) = (time_for(&own, bytes), time_for(&road, bytes));
                if let (Some(own), Some(theirs), First::Across) = (own, theirs, decision.first) {
                    prop_assert!(theirs < own || decision.why == Why::TriedAgain);
                }
                if decision.why == Why::TriedAgain {
                    prop_assert!(is_announced && own.is_some_and(|own| own >= SLOW_FROM));
                }
            } else {
                prop_assert_eq!(decision.first, First::Across);
            }
            prop_assert_eq!(way_out(upstream, Crossing::UsedUp, bytes).may_cross, false);
        }

        /// What makes the other site better never makes it less preferred.
        #[test]
        fn a_quicker_site_is_preferred_no_less(
            own in roads(),
            road in roads(),
            announced in any::<bool>(),
            bytes in any::<u64>(),
            factor in 1.0..100.0_f64,
        ) {
            let quicker = Road {
                pace: road.pace.map(|pace| pace * factor),
                first_byte: road.first_byte.map(|first| first.div_f64(factor)),
            };
            let first = |road| {
                let crossing = across(road, announced, Some(0));
                way_out(Upstream::Up(own), crossing, bytes).first
            };
            if first(road) == First::Across {
                // A pace below one byte a second counts as none, and cannot be one of these.
                prop_assert_eq!(first(quicker), First::Across);
            }
        }
    }
}
