//! Whom to call and when: the addresses of `--peer` and of multicast DNS. Pure: time and outcomes come in as values.
//!
//! A `--peer` is called for ever, with pauses that double from half a second to thirty. A peer that was heard by multicast
//! is called within 200 ms, by each host that heard it at another moment, and by hosts with a larger name a quarter of a
//! second later, so that one is not called by a hundred at once and two hosts rarely make two connections. Its pauses grow
//! to five minutes, and end when it is heard again. That it is not heard any more says nothing, and a host that has many
//! neighbours calls no others: they may call. A neighbour of an earlier run is called a second or two after the start, six
//! times. A name of `--peer` has a road for each address that it has now.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::core::Multiaddr;
use libp2p::swarm::ConnectionId;
use modmesh_protocol::control::FoundBy;
use modmesh_protocol::limits::{
    ADDRESSES_PER_PEER_MAX, CALLED_NEIGHBOURS_MAX, DISCOVERED_PEERS_MAX,
};

use super::named::{Given, Seed};

const PAUSE_MIN: Duration = Duration::from_millis(500);
const STATIC_PAUSE_MAX: Duration = Duration::from_secs(30);
const DISCOVERED_PAUSE_MAX: Duration = Duration::from_secs(300);
/// How long the larger name waits for the smaller one to call.
const COURTESY: Duration = Duration::from_millis(250);
/// Over how long those that heard a host spread their calls.
const SPREAD: Duration = Duration::from_millis(200);
/// How long after the start a neighbour of an earlier run is called, and how often: multicast is better, where it works.
const REMEMBERED_WAIT: Duration = Duration::from_secs(1);
const REMEMBERED_TRIES: u32 = 6;
/// How long a host that has many neighbours waits before it looks again whether it has room for others.
const FULL_PAUSE: Duration = Duration::from_secs(60);
/// Calls at the same time: a LAN that starts in the morning is not one burst of handshakes.
const CALLS_MAX: usize = 16;

/// All roads of this host.
#[derive(Debug)]
pub(super) struct Roads {
    ours: PeerId,
    roads: Vec<Road>,
    /// The names of `--peer`, with what their last lookup failed of.
    seeds: Vec<(Seed, Option<String>)>,
}

/// A way to one peer.
#[derive(Debug)]
struct Road {
    found_by: FoundBy,
    /// Whom the road must lead to, when that is known beforehand.
    pinned: Option<PeerId>,
    /// Whom it led to last.
    led_to: Option<PeerId>,
    addresses: Vec<Multiaddr>,
    failures: u32,
    /// Why the last call failed; nothing once one arrived.
    last_failure: Option<String>,
    due: Option<Instant>,
    call: Option<ConnectionId>,
    heard_at: Instant,
    /// The number of the name that it is an address of.
    seed: Option<usize>,
}

/// A road of `--peer` whose last call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreached {
    pub(super) address: String,
    /// As a lowercase fragment.
    pub(super) why: String,
    /// Whom it should lead to, or led to before.
    pub(super) peer: Option<PeerId>,
}

/// A call to make now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Whom, when known.
    pub(super) peer: Option<PeerId>,
    /// Where; never empty, and only one when the peer is not known.
    pub(super) addresses: Vec<Multiaddr>,
    road: usize,
}

impl Roads {
    /// The roads given with `--peer`, to be walked at once, and those of names when they are looked up.
    pub(super) fn new(ours: PeerId, given: impl IntoIterator<Item = Given>, now: Instant) -> Self {
        let (mut roads, mut seeds) = (Vec::new(), Vec::new());
        for one in given {
            match one {
                Given::At(address, pinned) => {
                    roads.push(Road::new(FoundBy::Static, pinned, address, now));
                }
                Given::Named(seed) => seeds.push((seed, None)),
            }
        }
        Self { ours, roads, seeds }
    }

    /// The names that were given, in the order of their numbers.
    pub(super) fn seeds(&self) -> impl Iterator<Item = Seed> {
        let seeds: Vec<Seed> = self.seeds.iter().map(|(seed, _)| seed.clone()).collect();
        seeds.into_iter()
    }

    /// The name of this number was looked up.
    pub(super) fn looked_up(
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
    pub(super) fn remembered(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, now: Instant) {
        let mut addresses = addresses.into_iter().take(ADDRESSES_PER_PEER_MAX);
        let (Some(first), false) = (addresses.next(), peer == self.ours) else {
            return;
        };
        let due = now + REMEMBERED_WAIT + self.wait_before_calling(&peer) * 4;
        let mut road = Road::new(FoundBy::Remembered, Some(peer), first, due);
        road.addresses.extend(addresses);
        self.roads.push(road);
    }

    /// `peer` can be called at `address`, by what `found_by` says.
    pub(super) fn discovered(
        &mut self,
        peer: PeerId,
        found_by: FoundBy,
        address: Multiaddr,
        now: Instant,
    ) {
        if peer == self.ours {
            return;
        }
        let wait = self.wait_before_calling(&peer);
        let mut known = self.roads.iter_mut().filter(|r| r.is_discovered());
        if let Some(road) = known.find(|r| r.pinned == Some(peer)) {
            road.heard_at = now;
            if found_by == FoundBy::Mdns {
                road.found_by = found_by;
            }
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
        let road = Road::new(found_by, Some(peer), address, now + wait);
        self.roads.push(road);
    }

    /// The neighbours of whom `is_here` holds and that are not given with `--peer`, with the addresses that lead to them.
    pub(super) fn leading_to(
        &self,
        is_here: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let roads = self.roads.iter().filter(|r| r.is_discovered());
        let there = roads.filter_map(|r| Some((r.pinned?, r.addresses.clone())));
        there.filter(|(peer, _)| is_here(peer)).collect()
    }

    /// Every pair of hosts has another moment, so that those that hear one host do not call it together.
    fn wait_before_calling(&self, peer: &PeerId) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.ours, peer).hash(&mut hasher);
        let spread = SPREAD.mul_f64(hasher.finish() as f64 / u64::MAX as f64);
        let courtesy = if self.ours < *peer {
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

    /// How `peer` is known, when a road leads to it.
    pub(super) fn found_by(&self, peer: &PeerId) -> Option<FoundBy> {
        let leads = |r: &&Road| r.pinned.or(r.led_to) == Some(*peer);
        let mut roads = self.roads.iter().filter(leads);
        let first = roads.next()?.found_by;
        let given = first == FoundBy::Static || roads.any(|r| r.found_by == FoundBy::Static);
        Some(if given { FoundBy::Static } else { first })
    }

    /// The calls to make now. Those already connected are not called, and beyond [`CALLED_NEIGHBOURS_MAX`] of them only those
    /// given with `--peer` are. Each returned call must be answered with [`Roads::calling`] or [`Roads::not_called`].
    pub(super) fn due(
        &mut self,
        now: Instant,
        connected: usize,
        is_connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<Call> {
        let mut room = CALLS_MAX.saturating_sub(self.calls());
        let mut strangers = CALLED_NEIGHBOURS_MAX.saturating_sub(connected + self.calls());
        let mut calls = Vec::new();
        for (index, road) in self.roads.iter_mut().enumerate() {
            if road.due.is_none_or(|due| due > now) || road.addresses.is_empty() {
                continue;
            }
            let there = road.pinned.or(road.led_to);
            if there.is_some_and(|peer| is_connected(&peer)) {
                road.due = None;
                continue;
            }
            if room == 0 {
                break;
            }
            if road.is_discovered() {
                if strangers == 0 {
                    road.due = Some(now + FULL_PAUSE);
                    continue;
                }
                strangers -= 1;
            }
            room -= 1;
            calls.push(Call {
                peer: road.pinned,
                addresses: road.addresses.clone(),
                road: index,
            });
        }
        calls
    }

    /// When the next call is due, if any; nothing while as many calls as allowed are under way.
    pub(super) fn next_due(&self) -> Option<Instant> {
        if self.calls() >= CALLS_MAX {
            return None;
        }
        self.roads.iter().filter_map(|r| r.due).min()
    }

    /// `call` is under way as `id`.
    pub(super) fn calling(&mut self, call: &Call, id: ConnectionId) {
        if let Some(road) = self.roads.get_mut(call.road) {
            road.due = None;
            road.call = Some(id);
        }
    }

    /// `call` could not even be tried.
    pub(super) fn not_called(&mut self, call: &Call, now: Instant) {
        if let Some(road) = self.roads.get_mut(call.road) {
            road.pause(now);
        }
    }

    /// The call `id` failed. Whether it was one of ours.
    pub(super) fn failed(&mut self, id: ConnectionId, why: String, now: Instant) -> bool {
        let road = self.roads.iter_mut().find(|r| r.call == Some(id));
        let failed = |road: &mut Road| {
            road.last_failure = Some(why);
            road.pause(now);
        };
        let was_ours = road.map(failed).is_some();
        // Who is not where it was in an earlier run will be heard.
        let given_up =
            |r: &Road| r.found_by == FoundBy::Remembered && r.failures >= REMEMBERED_TRIES;
        self.roads.retain(|r| r.call.is_some() || !given_up(r));
        was_ours
    }

    /// The call `id` led to this host itself: the same list of peers on every host is fine.
    pub(super) fn led_home(&mut self, id: ConnectionId) {
        self.roads.retain(|road| road.call != Some(id));
    }

    /// The call `id` led to `peer`. How the road was found, when it was one of ours.
    pub(super) fn arrived(&mut self, id: ConnectionId, peer: PeerId) -> Option<FoundBy> {
        let road = self.roads.iter_mut().find(|r| r.call == Some(id))?;
        road.call = None;
        road.last_failure = None;
        road.led_to = Some(peer);
        Some(road.found_by)
    }

    /// The last connection to `peer` ended; `was_good` when it had said hello.
    pub(super) fn lost(&mut self, peer: &PeerId, was_good: bool, now: Instant) {
        let ours = self.ours;
        let leads = |r: &&mut Road| r.call.is_none() && r.pinned.or(r.led_to) == Some(*peer);
        for road in self.roads.iter_mut().filter(leads) {
            if was_good {
                road.failures = 0;
            }
            road.pause(now);
            if road.is_discovered() && ours > *peer {
                road.due = road.due.map(|due| due + COURTESY);
            }
        }
    }

    /// Something has changed that may open the door of those who are away: their pauses end.
    pub(super) fn call_again(&mut self, now: Instant) {
        for road in &mut self.roads {
            if road.due.is_some() {
                road.failures = 0;
                road.due = Some(now);
            }
        }
    }

    /// The roads of `--peer` that lead to nobody now.
    pub(super) fn unreached(&self) -> Vec<Unreached> {
        let given = self.roads.iter().filter(|road| !road.is_discovered());
        let seeds = self.seeds.iter().filter_map(|(seed, failure)| {
            Some(Unreached {
                address: seed.text.clone(),
                why: failure.clone()?,
                peer: seed.pinned,
            })
        });
        given.filter_map(Road::unreached).chain(seeds).collect()
    }

    fn calls(&self) -> usize {
        self.roads.iter().filter(|r| r.call.is_some()).count()
    }
}

impl Road {
    fn new(found_by: FoundBy, pinned: Option<PeerId>, address: Multiaddr, due: Instant) -> Self {
        Self {
            found_by,
            pinned,
            led_to: None,
            addresses: vec![address],
            failures: 0,
            last_failure: None,
            due: Some(due),
            call: None,
            heard_at: due,
            seed: None,
        }
    }

    fn is_discovered(&self) -> bool {
        self.found_by != FoundBy::Static
    }

    fn unreached(&self) -> Option<Unreached> {
        Some(Unreached {
            address: self.addresses.first()?.to_string(),
            why: self.last_failure.clone()?,
            peer: self.pinned.or(self.led_to),
        })
    }

    fn pause(&mut self, now: Instant) {
        let most = if self.is_discovered() {
            DISCOVERED_PAUSE_MAX
        } else {
            STATIC_PAUSE_MAX
        };
        let pause = PAUSE_MIN.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.call = None;
        self.due = Some(now + pause.min(most));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()
    }

    fn two_names() -> (PeerId, PeerId) {
        let (a, b) = (PeerId::random(), PeerId::random());
        if a < b { (a, b) } else { (b, a) }
    }

    fn walk(roads: &mut Roads, now: Instant, id: usize) -> Option<ConnectionId> {
        let call = roads.due(now, 0, |_| false).pop()?;
        let id = ConnectionId::new_unchecked(id);
        roads.calling(&call, id);
        Some(id)
    }

    #[test]
    fn a_given_peer_is_called_for_ever_with_growing_pauses() {
        let (ours, _) = two_names();
        let mut now = Instant::now();
        let mut roads = Roads::new(ours, [Given::At(address(1), None)], now);
        let mut pauses = Vec::new();
        for attempt in 0..20 {
            let id = walk(&mut roads, now, attempt).unwrap();
            assert_eq!(roads.next_due(), None);
            assert!(roads.failed(id, "refused".into(), now));
            let due = roads.next_due().unwrap();
            assert!(
                roads
                    .due(due - Duration::from_millis(1), 0, |_| false)
                    .is_empty()
            );
            pauses.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(pauses[..7], [500, 1000, 2000, 4000, 8000, 16000, 30000]);
        assert_eq!(pauses[19], 30000);
    }

    #[test]
    fn pauses_begin_anew_only_after_a_good_connection() {
        let (ours, peer) = two_names();
        let now = Instant::now();
        let mut roads = Roads::new(ours, [Given::At(address(1), None)], now);
        let id = walk(&mut roads, now, 1).unwrap();
        assert_eq!(roads.arrived(id, peer), Some(FoundBy::Static));
        assert_eq!(roads.found_by(&peer), Some(FoundBy::Static));
        assert_eq!(roads.next_due(), None);
        for (was_good, pause) in [(false, 500), (false, 1000), (true, 500), (false, 1000)] {
            roads.lost(&peer, was_good, now);
            assert_eq!(roads.next_due(), Some(now + Duration::from_millis(pause)));
        }
    }

    #[test]
    fn the_smaller_name_calls_first() {
        let (small, large) = two_names();
        let now = Instant::now();
        let mut roads = Roads::new(small, [], now);
        roads.discovered(large, FoundBy::Mdns, address(1), now);
        roads.discovered(small, FoundBy::Mdns, address(1), now);
        assert_eq!(roads.due(now + SPREAD, 0, |_| false).len(), 1);
        let mut roads = Roads::new(large, [], now);
        roads.discovered(small, FoundBy::Mdns, address(1), now);
        assert!(roads.due(now + COURTESY / 2, 0, |_| false).is_empty());
        let later = now + COURTESY + SPREAD;
        assert_eq!(roads.due(later, 0, |_| false).len(), 1);
        assert!(roads.due(later, 0, |_| true).is_empty());
        assert_eq!(roads.next_due(), None);
    }

    #[test]
    fn those_that_hear_one_host_call_it_at_different_moments() {
        let now = Instant::now();
        let heard = PeerId::random();
        let waits =
            (0..100).map(|_| Roads::new(PeerId::random(), [], now).wait_before_calling(&heard));
        let mut waits: Vec<Duration> = waits.collect();
        waits.sort_unstable();
        assert!(waits[99] - waits[0] > SPREAD / 2, "{waits:?}");
        let most = waits.windows(20).map(|some| some[19] - some[0]).min();
        assert!(most > Some(SPREAD / 20), "{waits:?}");
    }

    #[test]
    fn what_is_heard_is_bounded() {
        let (ours, peer) = two_names();
        let now = Instant::now();
        let mut roads = Roads::new(ours, [], now);
        for port in 1..100 {
            roads.discovered(peer, FoundBy::Mdns, address(port), now);
        }
        let call = roads.due(now + SPREAD, 0, |_| false).pop().unwrap();
        assert_eq!(call.addresses.len(), ADDRESSES_PER_PEER_MAX);
        assert_eq!(call.addresses[0], address(99));
        for _ in 0..2 * DISCOVERED_PEERS_MAX {
            roads.discovered(PeerId::random(), FoundBy::Mdns, address(1), now);
        }
        assert_eq!(roads.roads.len(), DISCOVERED_PEERS_MAX);
        let later = now + COURTESY + SPREAD;
        assert_eq!(roads.due(later, 0, |_| false).len(), CALLS_MAX);
    }

    #[test]
    fn a_host_that_is_heard_again_is_called_soon_and_not_at_each_packet() {
        let (ours, peer) = two_names();
        let mut now = Instant::now();
        let mut roads = Roads::new(ours, [], now);
        roads.discovered(peer, FoundBy::Mdns, address(1), now);
        for attempt in 0..12 {
            now = roads.next_due().unwrap();
            let id = walk(&mut roads, now, attempt).unwrap();
            roads.failed(id, "refused".into(), now);
        }
        assert_eq!(roads.next_due(), Some(now + DISCOVERED_PAUSE_MAX));
        for _ in 0..10 {
            roads.discovered(peer, FoundBy::Mdns, address(1), now);
        }
        assert_eq!(roads.next_due(), Some(now + PAUSE_MIN));
        // Not while it is being called, or connected.
        walk(&mut roads, now + PAUSE_MIN, 20).unwrap();
        roads.discovered(peer, FoundBy::Mdns, address(1), now);
        assert_eq!(roads.next_due(), None);
    }

    #[test]
    fn a_host_with_many_neighbours_calls_only_those_it_was_told_to() {
        let (ours, peer) = two_names();
        let now = Instant::now();
        let mut roads = Roads::new(ours, [Given::At(address(1), None)], now);
        roads.discovered(peer, FoundBy::Mdns, address(2), now);
        let later = now + SPREAD;
        let calls = roads.due(later, CALLED_NEIGHBOURS_MAX, |_| false);
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].peer, None);
        roads.calling(&calls[0], ConnectionId::new_unchecked(1));
        assert_eq!(roads.next_due(), Some(later + FULL_PAUSE));
    }

    #[test]
    fn a_road_home_is_not_walked_again() {
        let (ours, _) = two_names();
        let now = Instant::now();
        let mut roads = Roads::new(ours, [Given::At(address(1), None)], now);
        let id = walk(&mut roads, now, 1).unwrap();
        roads.led_home(id);
        assert_eq!(roads.next_due(), None);
    }

    #[test]
    fn a_name_has_a_road_for_each_address_that_it_has_now() {
        let (ours, _) = two_names();
        let now = Instant::now();
        let Ok(seed) = super::super::named::parse("/dns4/seeds.example/tcp/8485") else {
            panic!("a name");
        };
        let mut roads = Roads::new(ours, [seed], now);
        assert_eq!(roads.seeds().count(), 1);
        assert_eq!(roads.next_due(), None);
        let ip = |last| IpAddr::from([203, 0, 113, last]);
        let called = |roads: &Roads| -> Vec<String> {
            let addresses = roads.roads.iter().flat_map(|r| &r.addresses);
            addresses.map(ToString::to_string).collect()
        };
        roads.looked_up(0, Err("no such name".into()), now);
        assert_eq!(roads.unreached()[0].address, "/dns4/seeds.example/tcp/8485");
        roads.looked_up(0, Ok(vec![ip(1), ip(2)]), now);
        assert!(roads.unreached().is_empty());
        assert_eq!(roads.due(now, 0, |_| false).len(), 2);
        roads.looked_up(0, Ok(vec![ip(2), ip(3)]), now);
        let two_and_three = ["/ip4/203.0.113.2/tcp/8485", "/ip4/203.0.113.3/tcp/8485"];
        assert_eq!(called(&roads), two_and_three);
        // A name that cannot be looked up for a while does not lose its hosts.
        roads.looked_up(0, Err("no answer".into()), now);
        assert_eq!(called(&roads), two_and_three);
        roads.looked_up(7, Ok(vec![ip(9)]), now);
        assert_eq!(called(&roads).len(), 2);
    }

    #[test]
    fn a_neighbour_of_an_earlier_run_is_called_six_times() {
        let (ours, peer) = two_names();
        let start = Instant::now();
        let mut roads = Roads::new(ours, [], start);
        roads.remembered(peer, vec![address(1), address(2)], start);
        roads.remembered(ours, vec![address(3)], start);
        let mut now = roads.next_due().unwrap();
        assert!(now >= start + REMEMBERED_WAIT);
        for attempt in 0..6 {
            now = roads.next_due().unwrap();
            let id = walk(&mut roads, now, attempt).unwrap();
            roads.failed(id, "no route".into(), now);
        }
        assert_eq!(roads.next_due(), None);
        // Who is heard as well is no memory.
        roads.remembered(peer, vec![address(1)], now);
        roads.discovered(peer, FoundBy::Mdns, address(1), now);
        assert_eq!(roads.found_by(&peer), Some(FoundBy::Mdns));
        assert_eq!(roads.leading_to(|_| true), [(peer, vec![address(1)])]);
    }
}
