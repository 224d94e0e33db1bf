//! The one that keeps the line: who has how many places, and whose turn is next.
//!
//! To each host is told how many requests it may have under way in all, so that a word which is lost or comes twice changes nothing. What
//! was promised counts as used until the host says otherwise or the promise is over; what a host says to hold counts in any case. So
//! the promises never exceed what is free.
//!
//! Fair among hosts and not among requests: each gets one place before any gets a second. Where some wait, one that
//! has had its places for a [`TURN`] goes behind them: it ends what it has under way, and they begin.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use super::{
    Class, LEASE, Load, PLACES_MAX, PlacesAsked, PlacesTold, RENEW_EVERY, SETTLE, TURN, zips_of,
};
use crate::lease::MemberId;

/// Hosts that are remembered at the same time: more than are ever connected. Others are told nothing.
const HOSTS_MAX: usize = 1024;
/// When one that waits is to ask again, and how much later for each that stands before it: a hundred that wait ask 300 times a second together.
const ASK_AGAIN: Duration = Duration::from_millis(50);
const ASK_AGAIN_PER_HOST: Duration = Duration::from_millis(5);
/// How much later than it was told one that waits may ask, and is still waiting.
const LATE: Duration = Duration::from_millis(700);

/// What the one that is asked is among the owners of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The first one, and so was nobody else before.
    First,
    /// The first one since then, when another was before: those that hold places of that one are waited for before anything new is given.
    FirstSince(Duration),
    /// Somebody else is the first, and the asker was not answered by that one.
    StandsIn,
}

/// Keeps the line of one site.
#[derive(Debug, Default)]
pub struct Gatekeeper {
    hosts: HashMap<MemberId, Host>,
    /// Until when nothing new is given.
    settles_until: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Host {
    serial: u64,
    most: u16,
    holds: Load,
    wants: Load,
    may: Load,
    /// When it is forgotten.
    until: Duration,
    turns: [Turn; 2],
}

/// Where a host stands in the line of a class.
#[derive(Debug, Clone, Copy, Default)]
struct Turn {
    /// Since when it waits, or when it went behind those that wait; nothing where it wants nothing.
    waits_since: Option<Duration>,
    /// Since when it has places.
    began: Option<Duration>,
}

impl Gatekeeper {
    /// A host asks. Nothing where there are too many hosts to remember one more.
    pub fn ask(
        &mut self,
        now: Duration,
        who: MemberId,
        asked: &PlacesAsked,
        standing: Standing,
    ) -> Option<PlacesTold> {
        self.hosts.retain(|_, host| host.until > now);
        let settles_until = match standing {
            Standing::First => Duration::ZERO,
            Standing::FirstSince(since) => since + SETTLE,
            Standing::StandsIn if self.hosts.is_empty() => now + SETTLE,
            Standing::StandsIn => Duration::ZERO,
        };
        self.settles_until = self.settles_until.max(settles_until);
        if self.hosts.len() >= HOSTS_MAX && !self.hosts.contains_key(&who) {
            return None;
        }
        let host = self.hosts.entry(who).or_insert_with(|| Host::new(now));
        if asked.serial <= host.serial {
            let may = host.may;
            return Some(self.told(may, RENEW_EVERY));
        }
        host.hear(now, asked);
        let (holds, wants) = (host.holds, host.wants);
        let may = match now < self.settles_until {
            true => holds,
            false => self.may_of(&who),
        };
        let waits = Class::ALL
            .iter()
            .any(|class| wants.of(*class) > 0 && holds.of(*class) >= may.of(*class));
        let ahead = self.ahead_of(&who);
        let settled_in = self.settles_until.saturating_sub(now);
        let ask_again = match waits {
            false => RENEW_EVERY,
            true if settled_in > Duration::ZERO => settled_in.min(RENEW_EVERY),
            true => (ASK_AGAIN + ASK_AGAIN_PER_HOST * ahead).min(RENEW_EVERY),
        };
        self.promise(now, who, may, ask_again);
        Some(self.told(may, ask_again))
    }

    /// Places that are promised or used, and hosts in the line.
    pub fn counts(&self, now: Duration) -> (usize, usize) {
        let live = self.hosts.values().filter(|host| host.until > now);
        live.fold((0, 0), |(places, hosts), host| {
            (places + usize::from(host.charge().sum()), hosts + 1)
        })
    }

    fn told(&self, may: Load, ask_again: Duration) -> PlacesTold {
        PlacesTold {
            may,
            ask_again_ms: u32::try_from(ask_again.as_millis()).unwrap_or(u32::MAX),
            most: self.most(),
            hosts: u16::try_from(self.hosts.len()).unwrap_or(u16::MAX),
        }
    }

    fn promise(&mut self, now: Duration, who: MemberId, may: Load, ask_again: Duration) {
        let Some(host) = self.hosts.get_mut(&who) else {
            return;
        };
        host.may = may;
        let charge = host.charge();
        for (class, turn) in Class::ALL.iter().zip(&mut host.turns) {
            match charge.of(*class) {
                0 => turn.began = None,
                _ => _ = turn.began.get_or_insert(now),
            }
        }
        host.until = match charge.sum() {
            // What it wants nothing of it need not be remembered for; its serial is, for a question that comes late.
            0 => now + ask_again + LATE,
            _ => now + LEASE,
        };
    }

    /// The smallest cap.
    fn most(&self) -> u16 {
        let caps = self.hosts.values().map(|host| host.most);
        caps.min().unwrap_or(PLACES_MAX).clamp(1, PLACES_MAX)
    }

    /// What one may have under way.
    fn may_of(&self, who: &MemberId) -> Load {
        let most = self.most();
        let ids: Vec<MemberId> = self.hosts.keys().copied().collect();
        let hosts: Vec<(MemberId, Host)> = ids.iter().map(|id| (*id, self.hosts[id])).collect();
        let Some(at) = hosts.iter().position(|(id, _)| id == who) else {
            return Load::default();
        };
        // What they should have, if nothing were promised or under way.
        let line = |class: Class, places: u16| {
            let stands = hosts.iter().map(|(id, host)| host.stand(*id, class));
            fill(places, stands)
        };
        let (small, zips) = match zips_of(most) == most {
            // The only place: small answers are done soon.
            true => {
                let small = line(Class::Small, most);
                let left = most - sum(&small);
                (small, line(Class::Zip, left))
            }
            false => {
                let zips = line(Class::Zip, zips_of(most));
                let left = most - sum(&zips);
                (line(Class::Small, left), zips)
            }
        };
        // What is left of the places now is for those that have less than that, in the order in which they stand.
        let charge = |index: usize| match index == at {
            // What it was promised before it does not count any more.
            true => hosts[index].1.holds,
            false => hosts[index].1.charge(),
        };
        let used = (0..hosts.len()).map(charge);
        let (used_small, used_zips) = used.fold((0_u32, 0_u32), |(small, zips), load| {
            (small + u32::from(load.small), zips + u32::from(load.zips))
        });
        let free = u32::from(most).saturating_sub(used_small + used_zips);
        let free_zips = u32::from(zips_of(most)).saturating_sub(used_zips).min(free);
        let more = |class: Class, free: u32, ideal: &[u16]| {
            let stands = (0..hosts.len()).map(|index| Stand {
                has: charge(index).of(class),
                limit: ideal[index],
                ..hosts[index].1.stand(hosts[index].0, class)
            });
            fill(u16::try_from(free).unwrap_or(u16::MAX), stands)
        };
        let more_zips = more(Class::Zip, free_zips, &zips);
        let left = free.saturating_sub(u32::from(sum(&more_zips)));
        let more_small = more(Class::Small, left, &small);
        let holds = hosts[at].1.holds;
        let may = |holds: u16, more: u16, ideal: u16| holds.saturating_add(more).min(ideal);
        Load {
            small: may(holds.small, more_small[at], small[at]),
            zips: may(holds.zips, more_zips[at], zips[at]),
        }
    }

    /// How many hosts stand before this one and have nothing.
    fn ahead_of(&self, who: &MemberId) -> u32 {
        let since = |host: &Host| host.turns.iter().filter_map(|turn| turn.waits_since).min();
        let ours = self.hosts.get(who).and_then(since);
        let waiting = self.hosts.values().filter(|host| host.charge().sum() == 0);
        let ahead = waiting.filter(|host| since(host).is_some_and(|at| Some(at) < ours));
        u32::try_from(ahead.count()).unwrap_or(u32::MAX)
    }
}

impl Host {
    fn new(now: Duration) -> Self {
        Self {
            serial: 0,
            most: PLACES_MAX,
            holds: Load::default(),
            wants: Load::default(),
            may: Load::default(),
            until: now,
            turns: [Turn::default(); 2],
        }
    }

    fn hear(&mut self, now: Duration, asked: &PlacesAsked) {
        self.serial = asked.serial;
        self.most = asked.most.clamp(1, PLACES_MAX);
        // No more than there can be: one host that lies must not make sums overflow.
        let most = Load {
            small: PLACES_MAX,
            zips: PLACES_MAX,
        };
        self.holds = asked.holds.min(most);
        self.wants = asked.wants.min(most);
        for (class, turn) in Class::ALL.iter().zip(&mut self.turns) {
            let demand = self.holds.of(*class) + self.wants.of(*class);
            let is_over = turn.began.is_some_and(|began| now >= began + TURN);
            if demand == 0 {
                *turn = Turn::default();
            } else if is_over {
                turn.waits_since = Some(now);
                turn.began = Some(now);
            } else {
                turn.waits_since.get_or_insert(now);
            }
        }
    }

    /// What counts as used by it.
    fn charge(&self) -> Load {
        self.holds.max(self.may)
    }

    /// Where it stands in a line in which nobody has anything yet.
    fn stand(&self, id: MemberId, class: Class) -> Stand {
        let at = match class {
            Class::Small => 0,
            Class::Zip => 1,
        };
        Stand {
            has: 0,
            limit: self.holds.of(class).saturating_add(self.wants.of(class)),
            waits_since: self.turns[at].waits_since,
            id,
        }
    }
}

/// One that stands in a line.
struct Stand {
    has: u16,
    limit: u16,
    waits_since: Option<Duration>,
    id: MemberId,
}

/// Gives places away, one each before a second to anybody, and among equals to those first that have waited longest. How many
/// each gets, in the order of `stands`.
fn fill(places: u16, stands: impl Iterator<Item = Stand>) -> Vec<u16> {
    let stands: Vec<Stand> = stands.collect();
    let next = |index: usize, has: u16| {
        let stand = &stands[index];
        (has < stand.limit).then_some(Reverse((has, stand.waits_since, stand.id, index)))
    };
    let mut given = vec![0; stands.len()];
    let mut line: BinaryHeap<_> = (0..stands.len())
        .filter_map(|index| next(index, stands[index].has))
        .collect();
    for _ in 0..places {
        let Some(Reverse((has, _, _, index))) = line.pop() else {
            break;
        };
        given[index] += 1;
        line.extend(next(index, has + 1));
    }
    given
}

fn sum(given: &[u16]) -> u16 {
    given.iter().sum()
}
