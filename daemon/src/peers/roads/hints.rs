//! Where roads come from: what is heard, remembered, looked up and told. All of it is bounded, and none of it is proven.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::*;

/// Over how long those that heard a host spread their calls.
pub(super) const SPREAD: Duration = Duration::from_millis(200);
/// Neighbours without which a host does not wait for others to call.
const ENOUGH: usize = 3;
/// How long after the start a neighbour of an earlier run is called, and how often: multicast is better, where it works.
pub(super) const REMEMBERED_WAIT: Duration = Duration::from_secs(1);
const REMEMBERED_TRIES: u32 = 6;
/// How often a host is called that a neighbour told of, and how many that were not there a neighbour may tell of.
const NAMED_TRIES: u32 = 3;
pub(super) const STRANGERS_MAX: u8 = 8;

impl Roads {
    /// The names that were given, in the order of their numbers.
    pub(in crate::peers) fn seeds(&self) -> impl Iterator<Item = Seed> {
        let seeds: Vec<Seed> = self.seeds.iter().map(|(seed, _)| seed.clone()).collect();
        seeds.into_iter()
    }

    /// The name of this number was looked up.
    pub(in crate::peers) fn looked_up(
        &mut self,
        number: usize,
        found: Result<Vec<IpAddr>, String>,
        now: Instant,
    ) {
        let Some((seed, failure)) = self.seeds.get_mut(number) else {
            return;
        };
        let found = match found {
            Ok(found) => found,
            // What it was known to lead to before is still called.
            Err(why) => {
                *failure = Some(why);
                return;
            }
        };
        *failure = None;
        let addresses: Vec<_> = found.into_iter().map(|ip| seed.at(ip)).collect();
        let is_of = |r: &Road| r.seed == Some(number);
        self.roads.retain(|r| {
            let stays = r.addresses.first().is_some_and(|a| addresses.contains(a));
            !is_of(r) || r.call.is_some() || stays
        });
        for address in addresses {
            let known = |r: &Road| is_of(r) && r.addresses.first() == Some(&address);
            if !self.roads.iter().any(known) {
                let mut road = Road::new(FoundBy::Static, seed.pinned, address, now);
                road.seed = Some(number);
                self.roads.push(road);
            }
        }
    }

    /// `peer` was a neighbour in an earlier run, and listened at `addresses`.
    pub(in crate::peers) fn remembered(
        &mut self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        now: Instant,
    ) {
        let mut addresses = addresses.into_iter().take(ADDRESSES_PER_PEER_MAX);
        let (Some(first), false) = (addresses.next(), peer == self.ours) else {
            return;
        };
        let due = now + REMEMBERED_WAIT + self.wait_before_calling(&peer) * 4;
        let mut road = Road::new(FoundBy::Remembered, Some(peer), first, due);
        road.addresses.extend(addresses);
        self.roads.push(road);
    }

    /// `peer` was heard by multicast, at `address`.
    pub(in crate::peers) fn discovered(&mut self, peer: PeerId, address: Multiaddr, now: Instant) {
        if peer == self.ours {
            return;
        }
        let wait = self.wait_before_calling(&peer);
        let mut known = self.roads.iter_mut().filter(|r| r.is_discovered());
        if let Some(road) = known.find(|r| r.pinned == Some(peer)) {
            road.heard_at = now;
            road.found_by = FoundBy::Mdns;
            road.named_by = None;
            // The newest address comes first, for a host may have moved.
            road.addresses.retain(|known| *known != address);
            road.addresses.insert(0, address);
            road.addresses.truncate(ADDRESSES_PER_PEER_MAX);
            // A packet proves nothing, and many of them must not be many calls.
            road.due = road.due.map(|due| due.min(now + wait.max(PAUSE_MIN)));
            return;
        }
        if self.roads.iter().filter(|r| r.is_discovered()).count() >= DISCOVERED_PEERS_MAX {
            self.forget_one();
        }
        let road = Road::new(FoundBy::Mdns, Some(peer), address, now + wait);
        self.roads.push(road);
    }

    /// The neighbour `by` says that `peer` can be called at `address`. That is hearsay: it changes no road that is there
    /// already, it is tried three times, and who named eight that were not there is not listened to any more.
    pub(in crate::peers) fn named(
        &mut self,
        peer: PeerId,
        by: PeerId,
        address: Multiaddr,
        now: Instant,
    ) {
        let is_known = self.addresses_of(&peer).next().is_some();
        let strangers = self.strangers.get(&by).copied().unwrap_or_default();
        let untried = self.roads.iter().filter(|r| r.named_by == Some(by)).count();
        let all = self.roads.iter().filter(|r| r.is_discovered()).count();
        let full = untried >= NEIGHBOURS_MAX || all >= DISCOVERED_PEERS_MAX;
        if peer == self.ours || is_known || full || strangers >= STRANGERS_MAX {
            return;
        }
        let due = now + self.wait_before_calling(&peer);
        let mut road = Road::new(FoundBy::Neighbour, Some(peer), address, due);
        road.named_by = Some(by);
        self.roads.push(road);
    }

    /// The addresses at which `peer` can be called.
    pub(in crate::peers) fn addresses_of(&self, peer: &PeerId) -> impl Iterator<Item = &Multiaddr> {
        let roads = self.roads.iter().filter(|r| r.pinned == Some(*peer));
        roads.flat_map(|r| &r.addresses)
    }

    /// The neighbours of whom `is_here` holds and that are not given with `--peer`, with the addresses that lead to them.
    pub(in crate::peers) fn leading_to(
        &self,
        is_here: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let roads = self.roads.iter().filter(|r| r.is_discovered());
        let there = roads.filter_map(|r| Some((r.pinned?, r.addresses.clone())));
        there.filter(|(peer, _)| is_here(peer)).collect()
    }

    /// Every pair of hosts has another moment, so that those that hear one host do not call it together.
    pub(in crate::peers) fn wait_before_calling(&self, peer: &PeerId) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.ours, peer).hash(&mut hasher);
        let spread = SPREAD.mul_f64(hasher.finish() as f64 / u64::MAX as f64);
        let courtesy = if self.ours < *peer || self.connected < ENOUGH {
            Duration::ZERO
        } else {
            COURTESY
        };
        spread + courtesy
    }

    /// Forgets a road that is not being walked: one that never led anywhere before the others, and of those the one that
    /// was not heard for longest.
    fn forget_one(&mut self) {
        let roads = self.roads.iter().enumerate();
        let idle = roads.filter(|(_, r)| r.is_discovered() && r.call.is_none());
        let least = idle.min_by_key(|(_, r)| (r.led_to.is_some(), r.heard_at));
        if let Some((index, _)) = least {
            self.roads.remove(index);
        }
    }

    /// Who is not where it was in an earlier run, or where a neighbour says, will be heard if it is there. What one neighbour
    /// named wrongly often enough goes all together.
    pub(in crate::peers) fn give_up(&mut self) {
        let mut strangers = Vec::new();
        let given_up = |r: &Road| match r.found_by {
            FoundBy::Remembered => r.failures >= REMEMBERED_TRIES,
            _ => r.named_by.is_some() && r.failures >= NAMED_TRIES,
        };
        self.roads.retain(|r| {
            let goes = r.call.is_none() && given_up(r);
            strangers.extend(r.named_by.filter(|_| goes));
            !goes
        });
        for by in strangers {
            if !self.strangers.contains_key(&by) && self.strangers.len() >= REMEMBERED_PEERS_MAX {
                self.strangers.clear();
            }
            let count = self.strangers.entry(by).or_default();
            *count = count.saturating_add(1);
            if *count >= STRANGERS_MAX {
                let others = |r: &Road| r.named_by != Some(by) || r.call.is_some();
                self.roads.retain(others);
            }
        }
    }
}
