//! What this host knows of its neighbours: the one shared table, behind one short lock.
//!
//! A neighbour is *usable* when it is connected, said hello and is not banned. Besides there are those that are connected on an
//! errand: they can be asked, and are not counted, listed or surveyed as neighbours. History (bytes, errors, lies, whether it ever
//! delivered something proven) outlives the connection, bounded by forgetting those that left longest ago.

mod esteem;
mod neighbour;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use modmesh_protocol::acquaintances::Acquainted;
use modmesh_protocol::control::{FoundBy, PeerStatus};
use modmesh_protocol::limits::{ADDRESSES_PER_PEER_MAX, REMEMBERED_PEERS_MAX};
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::site::{Site, is_across};
use modmesh_protocol::wire::GIVES_INLINE;

use self::neighbour::Neighbour;
use super::capacity::Capacity;
use super::crossing::OtherSite;
use super::members::Said;
use super::{beyond, lock, name_of, peer_id_of};

pub(super) use self::esteem::{Rank, Settled};

/// What somebody was whose last connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// It came as a neighbour.
    Neighbour,
    /// It said hello, and was on an errand.
    Caller,
    /// It never said hello.
    Nobody,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Roster(Mutex<HashMap<PeerId, Neighbour>>);

impl Roster {
    /// A connection to `peer` was made.
    pub(super) fn connected(&self, peer: &PeerId, address: String, found_by: FoundBy) {
        self.change(peer, |n| {
            if n.connections == 0 {
                n.member = None;
                (n.admitted, n.on_errand, n.leaving) = (false, false, false);
            }
            n.connections += 1;
            n.found_by = better(n.found_by, found_by);
            n.addresses.retain(|known| *known != address);
            n.addresses.insert(0, address);
            n.addresses.truncate(ADDRESSES_PER_PEER_MAX);
        });
    }

    /// The connection to `peer` that was just made is `on_link`, or came over a router; `home` is this host's site.
    pub(super) fn stands(&self, peer: &PeerId, on_link: bool, home: Option<&Site>) {
        self.change(peer, |n| {
            if n.connections <= 1 {
                (n.on_link, n.site) = (false, None);
            }
            n.on_link |= on_link;
            n.across = is_across(home, n.site.as_ref(), n.on_link);
        });
    }

    /// `peer` says of which site it is; `home` is this host's.
    pub(super) fn is_of(&self, peer: &PeerId, site: Option<Site>, home: Option<&Site>) {
        self.change(peer, |n| {
            n.across = is_across(home, site.as_ref(), n.on_link);
            n.site = site;
        });
    }

    /// Whether it is of another site.
    pub(super) fn is_across(&self, peer: &PeerId) -> bool {
        lock(&self.0).get(peer).is_some_and(|n| n.across)
    }

    /// Its site, where that is another one.
    pub(super) fn other_site_of(&self, peer: &PeerId) -> Option<OtherSite> {
        let peers = lock(&self.0);
        peers.get(peer)?.other_site()
    }

    /// Those of other sites that can be asked now.
    pub(super) fn across(&self) -> Vec<(PeerName, OtherSite)> {
        let now = Instant::now();
        let peers = lock(&self.0);
        let across = peers.values().filter(|n| n.is_here_to_stay(now));
        let across = across.filter_map(|n| Some((n.name.clone(), n.other_site()?)));
        across.collect()
    }

    /// `peer` has, or gets, one of the places for neighbours, unless all are taken: of an eighth of them only those get one that delivered
    /// something proven.
    pub(super) fn admit(&self, peer: &PeerId, capacity: Capacity) -> bool {
        let mut peers = lock(&self.0);
        let others = peers.iter();
        let others = others.filter(|(other, n)| *other != peer && n.has_place());
        let others = others.count();
        // It may be gone by now, and would keep its place for ever.
        let Some(n) = peers.get_mut(peer).filter(|n| n.connections > 0) else {
            return false;
        };
        let room = match n.proven {
            true => capacity.neighbours(),
            false => capacity.unproven(),
        };
        if n.admitted || others < room {
            (n.admitted, n.on_errand) = (true, false);
        }
        n.admitted
    }

    /// How many have a place, or would have if `peer` had none.
    pub(super) fn admitted_count_besides(&self, peer: &PeerId) -> usize {
        let peers = lock(&self.0);
        let others = peers.iter();
        let others = others.filter(|(other, n)| *other != peer && n.has_place());
        others.count()
    }

    /// How many have a place.
    pub(super) fn admitted_count(&self) -> usize {
        let peers = lock(&self.0);
        peers.values().filter(|n| n.has_place()).count()
    }

    /// `peer` called on an errand, or is called on one; that says nothing of one that is a neighbour.
    pub(super) fn is_on_an_errand(&self, peer: &PeerId) {
        self.change(peer, |n| n.on_errand = n.connections > 0 && !n.admitted);
    }

    /// Its connection is being ended: it is asked nothing any more.
    pub(super) fn is_leaving(&self, peer: &PeerId) {
        self.change(peer, |n| n.leaving = true);
    }

    /// Whether it is connected on an errand, and no neighbour.
    pub(super) fn on_errand(&self, peer: &PeerId) -> bool {
        let peers = lock(&self.0);
        peers
            .get(peer)
            .is_some_and(|n| n.connections > 0 && n.on_errand)
    }

    /// How many are connected on errands.
    pub(super) fn on_errand_count(&self) -> usize {
        let peers = lock(&self.0);
        let on_errand = peers.values().filter(|n| n.connections > 0 && n.on_errand);
        on_errand.count()
    }

    /// Leaves in `hosts` those that may be called as owners: neither connected nor banned nor passed over, and not of another site as
    /// far as is known.
    pub(super) fn keep_callable(&self, hosts: &mut Vec<Acquainted<PeerId, beyond::Whereabouts>>) {
        let now = Instant::now();
        let peers = lock(&self.0);
        hosts.retain(|host| {
            peers.get(&host.peer).is_none_or(|n| {
                let is_passed_over = n.vain(now).is_some() || n.mute(now).is_some();
                n.connections == 0 && !n.is_banned(now) && !n.across && !is_passed_over
            })
        });
    }

    /// A connection ended; `remaining` others are left. Who went with the last one; nobody while there is another.
    pub(super) fn disconnected(&self, peer: &PeerId, remaining: usize) -> Option<Gone> {
        if remaining == 0 {
            self.excuse_those_who_named(peer);
        }
        self.change(peer, |n| {
            n.connections = remaining;
            let gone = (remaining == 0).then_some(match (n.came, n.greeted) {
                (true, _) => Gone::Neighbour,
                (false, true) => Gone::Caller,
                (false, false) => Gone::Nobody,
            });
            if remaining == 0 {
                n.greeted = false;
                n.came = false;
                n.admitted = false;
                n.on_errand = false;
                n.leaving = false;
                n.member = None;
                n.round_trip = None;
                n.probe = None;
            }
            gone
        })
    }

    /// `peer` said hello, and that it has been `up` for so long. How it was found, when it became a neighbour by that.
    pub(super) fn greeted(&self, peer: &PeerId, up: Duration) -> Option<FoundBy> {
        let now = Instant::now();
        self.change(peer, |n| {
            n.up_before = (now, up);
            if n.connections > 0 && !n.greeted {
                n.greeted = true;
                Self::comes_anew(n, now);
            }
            let comes = n.greeted && !n.on_errand && !n.came;
            n.came |= comes;
            comes.then_some(n.found_by)
        })
    }

    /// `peer` said in its hello what it can do.
    pub(super) fn can_do(&self, peer: &PeerId, capabilities: u64) {
        self.change(peer, |n| {
            n.gives_inline = capabilities & GIVES_INLINE != 0;
            n.plain_until = None;
        });
    }

    /// `peer` is a member by what it `said`.
    pub(super) fn is_a_member_by(&self, peer: &PeerId, said: Said) {
        self.change(peer, |n| n.member = Some(said));
    }

    /// Whether it showed, on a connection that still stands, that it is a member.
    pub(super) fn is_member(&self, peer: &PeerId) -> bool {
        let peers = lock(&self.0);
        peers.get(peer).is_some_and(Neighbour::is_member)
    }

    /// All that are members now, with what they said.
    pub(super) fn members(&self) -> Vec<(PeerId, Said)> {
        let peers = lock(&self.0);
        let said = |(peer, n): (&PeerId, &Neighbour)| {
            let said = n.member.clone().filter(|_| n.is_member())?;
            Some((*peer, said))
        };
        peers.iter().filter_map(said).collect()
    }

    /// Number of those that can be asked now and are members.
    pub(super) fn member_count(&self) -> usize {
        let now = Instant::now();
        let peers = lock(&self.0);
        let members = peers
            .values()
            .filter(|n| n.is_here_to_stay(now) && n.is_member());
        members.count()
    }

    /// A better way to find a neighbour that is known already: who called us is also heard by multicast, perhaps.
    pub(super) fn also_found(&self, peer: &PeerId, by: FoundBy) {
        if let Some(n) = lock(&self.0).get_mut(peer) {
            n.found_by = better(n.found_by, by);
        }
    }

    /// Whether it said hello on a connection that still stands.
    pub(super) fn is_greeted(&self, peer: &PeerId) -> bool {
        lock(&self.0).get(peer).is_some_and(|n| n.greeted)
    }

    /// Whether it can be asked now.
    pub(super) fn is_usable(&self, peer: &PeerId) -> bool {
        let now = Instant::now();
        lock(&self.0).get(peer).is_some_and(|n| n.is_usable(now))
    }

    /// Whether it can be asked now, and is a neighbour.
    pub(super) fn is_neighbour(&self, peer: &PeerId) -> bool {
        let now = Instant::now();
        let peers = lock(&self.0);
        peers.get(peer).is_some_and(|n| n.is_here_to_stay(now))
    }

    /// All neighbours that can be asked now.
    pub(super) fn usable(&self) -> Vec<PeerName> {
        let now = Instant::now();
        let peers = lock(&self.0);
        let usable = peers.values().filter(|n| n.is_here_to_stay(now));
        usable.map(|n| n.name.clone()).collect()
    }

    /// All neighbours of this host's site that can be asked now.
    pub(super) fn usable_here(&self) -> Vec<PeerName> {
        let now = Instant::now();
        let peers = lock(&self.0);
        let usable = peers.values();
        let usable = usable.filter(|n| n.is_here_to_stay(now) && !n.across);
        usable.map(|n| n.name.clone()).collect()
    }

    /// As [`Roster::usable_here`], and those that are connected on errands.
    pub(super) fn reachable_here(&self) -> Vec<PeerName> {
        let now = Instant::now();
        let peers = lock(&self.0);
        let usable = peers.values().filter(|n| n.is_usable(now) && !n.across);
        usable.map(|n| n.name.clone()).collect()
    }

    /// Number of neighbours that can be asked now.
    pub(super) fn usable_count(&self) -> usize {
        let now = Instant::now();
        let peers = lock(&self.0);
        let usable = peers.values().filter(|n| n.is_here_to_stay(now));
        usable.count()
    }

    /// How many are connected that are neighbours or have not said hello yet.
    pub(super) fn connected_count(&self) -> usize {
        let peers = lock(&self.0);
        let connected = peers.values();
        let connected = connected.filter(|n| n.connections > 0 && !n.on_errand);
        connected.count()
    }

    /// Notes a measured round trip.
    pub(super) fn round_trip(&self, peer: &PeerId, time: Duration) {
        self.change(peer, |n| n.round_trip = Some(time));
    }

    /// Counts bytes received from it; whether they came from another site.
    pub(super) fn received(&self, peer: &PeerId, bytes: u64) -> bool {
        self.change(peer, |n| {
            n.received_bytes += bytes;
            n.across
        })
    }

    /// Counts bytes sent to it; whether they went to another site.
    pub(super) fn sent(&self, peer: &PeerId, bytes: u64) -> bool {
        self.change(peer, |n| {
            n.sent_bytes += bytes;
            n.across
        })
    }

    /// All neighbours for people to see, usable ones first, then by name.
    pub(super) fn snapshot(&self) -> Vec<PeerStatus> {
        let now = Instant::now();
        let peers = lock(&self.0);
        let mut list: Vec<_> = peers.values().map(|n| n.status(now)).collect();
        drop(peers);
        list.sort_by(|a, b| (!a.connected, &a.peer_id).cmp(&(!b.connected, &b.peer_id)));
        for lie in list.iter_mut().flat_map(|peer| &mut peer.evidence) {
            // The ring drops the oldest files without asking anybody.
            lie.file = lie.file.take().filter(|file| Path::new(file).exists());
        }
        list
    }

    fn named<T>(&self, peer: &PeerName, work: impl FnOnce(&mut Neighbour) -> T) -> Option<T> {
        let peer = peer_id_of(peer)?;
        lock(&self.0).get_mut(&peer).map(work)
    }

    fn change<T>(&self, peer: &PeerId, change: impl FnOnce(&mut Neighbour) -> T) -> T {
        let mut peers = lock(&self.0);
        if !peers.contains_key(peer) && peers.len() >= REMEMBERED_PEERS_MAX {
            forget_one(&mut peers);
        }
        let neighbour = peers.entry(*peer);
        let neighbour = neighbour.or_insert_with(|| Neighbour::new(name_of(peer)));
        neighbour.seen_at = Instant::now();
        change(neighbour)
    }
}

/// Forgets one that is not connected: one that is left alone, or not asked as an owner, after the others, unproven before proven, longest unseen first.
fn forget_one(peers: &mut HashMap<PeerId, Neighbour>) {
    let now = Instant::now();
    let away = peers.iter().filter(|(_, n)| n.connections == 0);
    let least = away.min_by_key(|(_, n)| {
        let is_left_alone = n.is_banned(now) || n.vain(now).is_some();
        (is_left_alone, n.proven, n.seen_at)
    });
    if let Some(least) = least.map(|(peer, _)| *peer) {
        peers.remove(&least);
    }
}

/// The better known of two ways: a person's word, the link's, what was true before, another neighbour's word, its own.
fn better(a: FoundBy, b: FoundBy) -> FoundBy {
    let rank = |by| match by {
        FoundBy::Static => 4,
        FoundBy::Mdns => 3,
        FoundBy::Remembered => 2,
        FoundBy::Neighbour => 1,
        FoundBy::Inbound => 0,
    };
    if rank(b) > rank(a) { b } else { a }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
