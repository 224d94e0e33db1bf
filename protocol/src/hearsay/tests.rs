use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use proptest::prelude::*;

use super::*;
use crate::limits::{PING_WAIT_MAX, PINGS, PROBE_MAX};
use crate::wire::{Announcement, encode};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn of_one_subject_there_is_one_look_for_a_while_whoever_tells() {
    let mut hearsay = Hearsay::default();
    assert!(hearsay.hears(SECOND, 1, 100));
    assert!(!hearsay.hears(SECOND, 1, 100));
    assert!(!hearsay.hears(SECOND * 2, 2, 100));
    assert!(!hearsay.hears(SECOND * 2, 7, 7));
    let rested = SECOND + HEARSAY_REST;
    assert!(!hearsay.hears(rested - Duration::from_millis(1), 2, 100));
    assert!(hearsay.hears(rested, 2, 100));
}

#[test]
fn one_teller_causes_a_handful_of_looks_and_another_is_heard_all_the_same() {
    let mut hearsay = Hearsay::default();
    let caused = |hearsay: &mut Hearsay<u32>, now, teller, from: u32| {
        let subjects = from..from + 100;
        subjects
            .filter(|subject| hearsay.hears(now, teller, *subject))
            .count()
    };
    assert_eq!(caused(&mut hearsay, SECOND, 1, 100), 8);
    assert_eq!(caused(&mut hearsay, SECOND, 2, 300), 8);
    let later = SECOND + HEARSAY_LOOK_EVERY * 3;
    assert_eq!(caused(&mut hearsay, later, 1, 500), 3);
    assert_eq!(
        caused(&mut hearsay, later + HEARSAY_LOOK_EVERY * 100, 1, 700),
        8
    );
}

#[test]
fn what_enough_others_told_is_not_told_again() {
    let tells = |tellers: u32| {
        let mut hearsay = Hearsay::default();
        (0..tellers).for_each(|teller| {
            hearsay.hears(SECOND, teller, 100);
            hearsay.hears(SECOND, teller, 100);
        });
        let first = hearsay.is_to_tell(SECOND, 100);
        assert!(!hearsay.is_to_tell(SECOND, 100));
        assert!(hearsay.is_to_tell(SECOND + HEARSAY_REST, 100));
        first
    };
    assert_eq!([0, 1, 2, 3, 4].map(tells), [true, true, true, false, false]);
}

proptest! {
    #[test]
    fn whatever_is_said_little_is_remembered_and_no_teller_is_heard_too_often(
        said in proptest::collection::vec((0_u64..2_000, 0_u32..600, 600_u32..2_000), 0..2_000),
    ) {
        let (mut hearsay, mut now) = (Hearsay::default(), Duration::ZERO);
        let mut looks: HashMap<u32, u32> = HashMap::new();
        for (passes, teller, subject) in said {
            now += Duration::from_millis(passes);
            if hearsay.hears(now, teller, subject) {
                *looks.entry(teller).or_default() += 1;
            }
            prop_assert!(hearsay.tellers.len() <= KNOWN_MAX);
            prop_assert!(hearsay.subjects.len() <= KNOWN_MAX);
        }
        let earned = now.as_secs() / HEARSAY_LOOK_EVERY.as_secs() + 1;
        let most = HEARSAY_LOOKS_BURST_MAX + u32::try_from(earned).unwrap_or(u32::MAX);
        prop_assert!(looks.values().all(|looks| *looks <= most));
    }
}

/// Hosts of a large network, and one of them that loses its power.
struct Town {
    neighbours: Vec<Vec<usize>>,
    hosts: Vec<Hearsay<usize>>,
}

impl Town {
    /// Each host draws half of its neighbours and is drawn by others.
    fn of(hosts: usize, random: &mut Random) -> Self {
        let mut neighbours = vec![BTreeSet::new(); hosts];
        for host in 0..hosts {
            for _ in 0..NEIGHBOURS_MAX / 2 {
                let other = random.below(hosts);
                let has_room = |one: usize| neighbours[one].len() < NEIGHBOURS_MAX;
                if other != host && has_room(host) && has_room(other) {
                    neighbours[host].insert(other);
                    neighbours[other].insert(host);
                }
            }
        }
        let neighbours = neighbours.into_iter().map(|of| of.into_iter().collect());
        Self {
            neighbours: neighbours.collect(),
            hosts: (0..hosts).map(|_| Hearsay::default()).collect(),
        }
    }

    /// How long after the first neighbour that misses host 0 each does, in order, and how many told.
    fn dies(&mut self, random: &mut Random) -> (Vec<Duration>, usize) {
        let mut events: BinaryHeap<Reverse<(Duration, usize)>> = BinaryHeap::new();
        // Two pings in vain.
        for host in &self.neighbours[0] {
            let mut place = random.below(self.neighbours[*host].len());
            let pace = PINGS.iter().find(|(_, places)| {
                let is_here = place < *places;
                place = place.saturating_sub(*places);
                is_here
            });
            let every = pace.unwrap().0;
            let first = every.mul_f64(random.below(1000) as f64 / 1000.0);
            events.push(Reverse((first + every + PING_WAIT_MAX * 2, *host)));
        }
        let (mut missed, mut tellers) = (BTreeSet::new(), 0);
        let mut after = Vec::new();
        let mut first = None;
        while let Some(Reverse((now, host))) = events.pop() {
            if !missed.insert(host) {
                continue;
            }
            after.push(now - *first.get_or_insert(now));
            if !self.hosts[host].is_to_tell(now, 0) {
                continue;
            }
            tellers += 1;
            let heard = now + SECOND / 10;
            for other in &self.neighbours[host] {
                let knows_it = self.neighbours[0].contains(other) && !missed.contains(other);
                if knows_it && self.hosts[*other].hears(heard, host, 0) {
                    events.push(Reverse((heard + PROBE_MAX, *other)));
                }
            }
        }
        assert_eq!(missed.len(), self.neighbours[0].len());
        (after, tellers)
    }
}

/// Splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }
}

/// The neighbours of a host miss it within seconds of the first of them, though each asks it rarely itself: all of them where hosts know
/// each other, and of 2,000 those that have another of them as a neighbour.
#[test]
fn neighbours_miss_a_host_within_seconds_of_the_first() {
    let name = "n".repeat(52);
    let told = encode(&Announcement::Silent { peers: vec![name] }).unwrap();
    assert_eq!(told.len(), 60);
    for (hosts, late_permille) in [(30, 0), (129, 0), (2000, 20)] {
        let (mut all, mut late) = (0, 0);
        for seed in 0..20 {
            let mut random = Random(seed);
            let (after, tellers) = Town::of(hosts, &mut random).dies(&mut random);
            assert!(tellers <= after.len() && after.len() <= NEIGHBOURS_MAX);
            all += after.len();
            late += after.iter().filter(|after| **after > SECOND * 25).count();
        }
        assert!(
            late * 1000 <= all * late_permille,
            "{hosts}: {late} of {all}"
        );
    }
}
