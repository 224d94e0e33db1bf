//! Whom to call and when: the addresses of `--peer` and of multicast DNS. Pure: time and outcomes come in as values.
//!
//! A `--peer` is called for ever, with pauses that double from half a second to thirty. A peer that multicast DNS told of
//! is called by the smaller of the two names at once and by the other one a second later if it is still not there, so that
//! two hosts rarely make two connections; its pauses grow to five minutes, because strangers of other programs are told of
//! too. The end of an announcement is not the end of a neighbour: it only stops further calls.

use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::core::Multiaddr;
use libp2p::swarm::ConnectionId;
use modmesh_protocol::control::FoundBy;
use modmesh_protocol::limits::{ADDRESSES_PER_PEER_MAX, DISCOVERED_PEERS_MAX};

const PAUSE_MIN: Duration = Duration::from_millis(500);
const STATIC_PAUSE_MAX: Duration = Duration::from_secs(30);
const DISCOVERED_PAUSE_MAX: Duration = Duration::from_secs(300);
/// How long the larger name waits for the smaller one to call.
const COURTESY: Duration = Duration::from_secs(1);
/// Calls at the same time: a LAN that starts in the morning is not one burst of handshakes.
const CALLS_MAX: usize = 16;

/// All roads of this host.
#[derive(Debug)]
pub(super) struct Roads {
    ours: PeerId,
    roads: Vec<Road>,
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
    /// The roads given with `--peer`, to be walked at once.
    pub(super) fn new(
        ours: PeerId,
        given: impl IntoIterator<Item = (Multiaddr, Option<PeerId>)>,
        now: Instant,
    ) -> Self {
        let road = |(address, pinned)| Road::new(FoundBy::Static, pinned, address, now);
        let roads = given.into_iter().map(road).collect();
        Self { ours, roads }
    }

    /// Multicast DNS told of `peer` at `address`.
    pub(super) fn discovered(&mut self, peer: PeerId, address: Multiaddr, now: Instant) {
        if peer == self.ours {
            return;
        }
        let mut known = self.roads.iter_mut().filter(|r| r.is_discovered());
        if let Some(road) = known.find(|r| r.pinned == Some(peer)) {
            let full = road.addresses.len() >= ADDRESSES_PER_PEER_MAX;
            if !full && !road.addresses.contains(&address) {
                road.addresses.push(address);
                road.due = road.due.map(|due| due.min(now + COURTESY));
            }
            return;
        }
        if self.roads.iter().filter(|r| r.is_discovered()).count() >= DISCOVERED_PEERS_MAX {
            return;
        }
        let wait = if self.ours < peer {
            Duration::ZERO
        } else {
            COURTESY
        };
        let road = Road::new(FoundBy::Mdns, Some(peer), address, now + wait);
        self.roads.push(road);
    }

    /// What multicast DNS told is too old.
    pub(super) fn expired(&mut self, peer: PeerId, address: &Multiaddr) {
        for road in &mut self.roads {
            if road.is_discovered() && road.pinned == Some(peer) {
                road.addresses.retain(|known| known != address);
            }
        }
        self.forget_those_that_lead_nowhere();
    }

    /// A road that is being walked is kept until its outcome is known.
    fn forget_those_that_lead_nowhere(&mut self) {
        self.roads
            .retain(|r| !(r.is_discovered() && r.addresses.is_empty() && r.call.is_none()));
    }

    /// How `peer` is known, when a road leads to it.
    pub(super) fn found_by(&self, peer: &PeerId) -> Option<FoundBy> {
        let leads = |r: &&Road| r.pinned.or(r.led_to) == Some(*peer);
        let mut roads = self.roads.iter().filter(leads);
        let first = roads.next()?.found_by;
        let given = first == FoundBy::Static || roads.any(|r| r.found_by == FoundBy::Static);
        Some(if given { FoundBy::Static } else { first })
    }

    /// The calls to make now. Those already connected are not called; each returned call must be answered with
    /// [`Roads::calling`] or [`Roads::not_called`].
    pub(super) fn due(
        &mut self,
        now: Instant,
        is_connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<Call> {
        let mut room = CALLS_MAX.saturating_sub(self.calls());
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
        self.forget_those_that_lead_nowhere();
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
        self.forget_those_that_lead_nowhere();
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
        given.filter_map(Road::unreached).collect()
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
        }
    }

    fn is_discovered(&self) -> bool {
        self.found_by == FoundBy::Mdns
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
        let call = roads.due(now, |_| false).pop()?;
        let id = ConnectionId::new_unchecked(id);
        roads.calling(&call, id);
        Some(id)
    }

    #[test]
    fn a_given_peer_is_called_for_ever_with_growing_pauses() {
        let (ours, _) = two_names();
        let mut now = Instant::now();
        let mut roads = Roads::new(ours, [(address(1), None)], now);
        let mut pauses = Vec::new();
        for attempt in 0..20 {
            let id = walk(&mut roads, now, attempt).unwrap();
            assert_eq!(roads.next_due(), None);
            assert!(roads.failed(id, "refused".into(), now));
            let due = roads.next_due().unwrap();
            assert!(
                roads
                    .due(due - Duration::from_millis(1), |_| false)
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
        let mut roads = Roads::new(ours, [(address(1), None)], now);
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
        roads.discovered(large, address(1), now);
        roads.discovered(small, address(1), now);
        assert_eq!(roads.due(now, |_| false).len(), 1);
        let mut roads = Roads::new(large, [], now);
        roads.discovered(small, address(1), now);
        assert!(roads.due(now, |_| false).is_empty());
        assert_eq!(roads.due(now + COURTESY, |_| false).len(), 1);
        assert!(roads.due(now + COURTESY, |_| true).is_empty());
        assert_eq!(roads.next_due(), None);
    }

    #[test]
    fn what_multicast_dns_tells_is_bounded_and_forgotten() {
        let (ours, peer) = two_names();
        let now = Instant::now();
        let mut roads = Roads::new(ours, [], now);
        for port in 1..100 {
            roads.discovered(peer, address(port), now);
        }
        let call = roads.due(now, |_| false).pop().unwrap();
        assert_eq!(call.addresses.len(), ADDRESSES_PER_PEER_MAX);
        for _ in 0..2 * DISCOVERED_PEERS_MAX {
            roads.discovered(PeerId::random(), address(1), now);
        }
        assert_eq!(roads.roads.len(), DISCOVERED_PEERS_MAX);
        assert_eq!(roads.due(now + COURTESY, |_| false).len(), CALLS_MAX);
        for port in 1..100 {
            roads.expired(peer, &address(port));
        }
        assert_eq!(roads.roads.len(), DISCOVERED_PEERS_MAX - 1);
    }

    #[test]
    fn a_road_that_leads_nowhere_any_more_is_forgotten_when_its_call_ends() {
        let (ours, theirs) = two_names();
        let now = Instant::now();
        let walked = || {
            let mut roads = Roads::new(ours, [], now);
            roads.discovered(theirs, address(1), now);
            let id = walk(&mut roads, now, 1).unwrap();
            roads.expired(theirs, &address(1));
            (roads, id)
        };
        let (mut roads, id) = walked();
        assert!(roads.failed(id, "refused".into(), now));
        assert_eq!(roads.next_due(), None, "nothing that could be due is left");
        let (mut roads, id) = walked();
        roads.arrived(id, theirs).unwrap();
        roads.lost(&theirs, true, now);
        assert_eq!(roads.next_due(), None);
    }

    #[test]
    fn a_road_home_is_not_walked_again() {
        let (ours, _) = two_names();
        let now = Instant::now();
        let mut roads = Roads::new(ours, [(address(1), None)], now);
        let id = walk(&mut roads, now, 1).unwrap();
        roads.led_home(id);
        assert_eq!(roads.next_due(), None);
    }
}
