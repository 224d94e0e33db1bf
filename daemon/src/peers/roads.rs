//! Whom to call and when: the addresses of `--peer` and of multicast DNS. Pure: time and outcomes come in as values.
//!
//! A `--peer` is called for ever, with pauses that double from half a second to thirty. A peer that was heard by multicast
//! is called within 200 ms, by each host that heard it at another moment, and by hosts with a larger name and neighbours enough a quarter of a
//! second later, so that one is not called by a hundred at once and two hosts rarely make two connections. Its pauses grow
//! to five minutes, and end when it is heard again. That it is not heard any more says nothing, and a host that has many
//! neighbours calls no others: they may call. A neighbour of an earlier run is called a second or two after the start, six
//! times. A name of `--peer` has a road for each address that it has now.

mod hints;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::core::Multiaddr;
use libp2p::swarm::ConnectionId;
use modmesh_protocol::control::FoundBy;
use modmesh_protocol::limits::{
    ADDRESSES_PER_PEER_MAX, DISCOVERED_PEERS_MAX, NEIGHBOURS_MAX, REMEMBERED_PEERS_MAX,
};

use super::capacity::Capacity;
use super::named::{Given, Seed};

const PAUSE_MIN: Duration = Duration::from_millis(500);
const STATIC_PAUSE_MAX: Duration = Duration::from_secs(30);
const DISCOVERED_PAUSE_MAX: Duration = Duration::from_secs(300);
/// How long the larger name waits for the smaller one to call.
const COURTESY: Duration = Duration::from_millis(250);
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
    /// How many hosts that were not there each neighbour named.
    strangers: HashMap<PeerId, u8>,
    /// How many neighbours were connected when it was asked last.
    connected: usize,
    capacity: Capacity,
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
    /// Who told of it, while nobody knows whether that was true.
    named_by: Option<PeerId>,
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
    pub(super) fn new(
        ours: PeerId,
        given: impl IntoIterator<Item = Given>,
        capacity: Capacity,
        now: Instant,
    ) -> Self {
        let (mut roads, mut seeds) = (Vec::new(), Vec::new());
        for one in given {
            match one {
                Given::At(address, pinned) => {
                    roads.push(Road::new(FoundBy::Static, pinned, address, now));
                }
                Given::Named(seed) => seeds.push((seed, None)),
            }
        }
        Self {
            ours,
            roads,
            seeds,
            strangers: HashMap::new(),
            connected: 0,
            capacity,
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

    /// The calls to make now. Those already connected are not called, and beyond [`Capacity::called`] of them only those
    /// given with `--peer` are. Each returned call must be answered with [`Roads::calling`] or [`Roads::not_called`].
    pub(super) fn due(
        &mut self,
        now: Instant,
        connected: usize,
        is_connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<Call> {
        self.connected = connected;
        let mut room = CALLS_MAX.saturating_sub(self.calls());
        let mut strangers = self
            .capacity
            .called()
            .saturating_sub(connected + self.calls());
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
        self.give_up();
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
        road.named_by = None;
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
            named_by: None,
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
mod tests;
