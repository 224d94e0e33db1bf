//! Hosts of this site beyond the neighbours: known by what these say, and called when something is to be asked of them.
//!
//! In a network that is no larger than this host's room everybody is a neighbour, and nobody is beyond.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use libp2p::PeerId;
use modmesh_protocol::acquaintances::{Acquainted, Standing};
use modmesh_protocol::lease::{Member, MemberId, SETTLED};
use modmesh_protocol::limits::UNPROVEN_PER_ADDRESS_MAX;
use modmesh_protocol::peer_name::PeerName;

use super::roster::Settled;
use super::{Shared, lock, name_of};

/// Where an acquaintance is, and how owners call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whereabouts {
    pub(super) at: SocketAddr,
    pub(super) id: MemberId,
}

impl Whereabouts {
    pub(super) fn of(peer: &PeerId, at: SocketAddr) -> Self {
        let id = MemberId::of(&name_of(peer));
        Self { at, id }
    }
}

impl Shared {
    /// Those that can be asked as owners: neighbours, those that are here on an errand or are called on one, and where the network is
    /// larger than this host's room those beyond. Where there are no neighbours these are nobody, unless some were there when they were called last.
    pub(super) fn candidates(&self) -> Vec<Settled> {
        let mut settled = self.roster.settled();
        if settled.is_empty() && !lock(&self.acquaintances).is_anybody_there() {
            return settled;
        }
        let beyond = self.beyond();
        let up = self.up_since.elapsed();
        let eldest = settled.iter().map(|one| one.member.up).max();
        let eldest = eldest.map_or(up, |eldest| eldest.max(up));
        settled.extend(beyond.into_iter().map(|one| {
            let known_for = up.saturating_sub(one.since);
            let member = Member {
                id: one.place.id,
                // Whom this host found there when it came was there before, as far as it can know.
                up: if one.since <= SETTLED {
                    eldest
                } else {
                    known_for
                },
            };
            Settled {
                peer: one.peer,
                member,
            }
        }));
        settled
    }

    /// The hosts of this site that count as being there and are not connected.
    fn beyond(&self) -> Vec<Acquainted<PeerId, Whereabouts>> {
        let mut beyond = self.named_beyond();
        beyond.retain(|one| one.standing == Standing::Counts);
        beyond
    }

    /// The hosts of this site of which somebody told and that are not connected, those that count first; nobody where all there are could be neighbours. Of one
    /// address there are as many that never delivered anything proven as there may be neighbours.
    fn named_beyond(&self) -> Vec<Acquainted<PeerId, Whereabouts>> {
        let now = self.up_since.elapsed();
        let mut named: Vec<_> = {
            let acquaintances = lock(&self.acquaintances);
            if acquaintances.len() <= self.capacity.called() {
                return Vec::new();
            }
            acquaintances.all(now).collect()
        };
        self.roster.keep_callable(&mut named);
        named.sort_by_key(|one| one.standing);
        let mut unproven: HashMap<IpAddr, usize> = HashMap::new();
        named.retain(|one| {
            let ip = one.place.at.ip();
            if ip.is_loopback() || self.roster.is_proven(&one.peer) {
                return true;
            }
            let count = unproven.entry(ip).or_default();
            *count += 1;
            *count <= UNPROVEN_PER_ADDRESS_MAX
        });
        let connected = self.roster.usable_count() + self.roster.on_errand_count();
        // Who rests is none of them now, and makes the network no smaller. Nor does one of whom one teller alone has told: a newcomer that finds all others
        // full has no neighbour, or one, that could tell it of others.
        if connected + named.len() <= self.capacity.called() {
            named.clear();
        }
        named
    }

    /// Keeps those alone whose address is to be kept.
    pub(super) fn keep_acquaintances(&self, mut is_kept: impl FnMut(IpAddr) -> bool) {
        lock(&self.acquaintances).retain(|place| is_kept(place.at.ip()));
    }

    /// Where `peer` can be called, if neighbours told and it was not called in vain just now.
    pub(super) fn where_is(&self, peer: &PeerId) -> Option<SocketAddr> {
        let now = self.up_since.elapsed();
        let place = lock(&self.acquaintances).place(now, peer);
        place.map(|place| place.at)
    }

    /// Those of `ids` that are known here and of this site, in that order.
    pub(super) fn known_by(&self, ids: &[MemberId]) -> Vec<PeerName> {
        let here = self.roster.reachable_here();
        let mut named: Vec<(MemberId, PeerName)> = here
            .into_iter()
            .map(|name| (MemberId::of(&name), name))
            .collect();
        let is_missing = |id: &MemberId| named.iter().all(|(other, _)| other != id);
        if ids.iter().any(is_missing) {
            let beyond = self.beyond();
            named.extend(beyond.iter().map(|one| (one.place.id, name_of(&one.peer))));
        }
        let known = ids.iter().filter_map(|id| {
            let found = named.iter().find(|(other, _)| other == id);
            found.map(|(_, name)| name.clone())
        });
        known.collect()
    }

    /// Where `peer` is said to be, if it was not called there in vain just now.
    pub(super) fn where_to_call(&self, peer: &PeerId) -> Option<SocketAddr> {
        let now = self.up_since.elapsed();
        let place = lock(&self.acquaintances).best_place(now, peer);
        place.map(|place| place.at)
    }

    /// `peer` came here on an errand and says at which ports it listens. Its neighbours tell of it as of everybody; where all others were full it has
    /// none, and is known by coming.
    pub(super) fn has_come(&self, peer: &PeerId, (v4, v6): (u16, u16)) {
        if !self.roster.on_errand(peer) || self.roster.is_across(peer) {
            return;
        }
        let Some(ip) = self.company.ip_of(peer) else {
            return;
        };
        let port = if ip.is_ipv4() { v4 } else { v6 };
        if port != 0 {
            let place = Whereabouts::of(peer, SocketAddr::new(ip, port));
            let now = self.up_since.elapsed();
            lock(&self.acquaintances).came(now, ip, *peer, place);
        }
    }

    /// A neighbour at the address `teller` says whom it is connected to, or a host that it is there: hosts on a link of this one.
    pub(super) fn is_told_of(
        &self,
        teller: IpAddr,
        hosts: impl IntoIterator<Item = (PeerId, SocketAddr)>,
    ) {
        let now = self.up_since.elapsed();
        let hosts = hosts
            .into_iter()
            .map(|(peer, at)| (peer, Whereabouts::of(&peer, at)));
        lock(&self.acquaintances).tell(now, teller, hosts);
    }

    /// A host was heard by multicast: that is its own word of where it is, and a reason to ask neighbours for theirs.
    pub(super) fn is_heard(&self, peer: PeerId, at: SocketAddr) {
        let is_known = self.roster.is_neighbour(&peer) || self.where_is(&peer).is_some();
        self.is_told_of(at.ip(), [(peer, at)]);
        if !is_known {
            self.company.misses(peer, Instant::now());
        }
    }

    /// The hosts beyond the neighbours that can be called, one teller's word or more: those first that were not met.
    pub(super) fn callable_beyond(&self) -> Vec<PeerId> {
        let mut named = self.named_beyond();
        named.retain(|one| one.standing != Standing::Rests);
        named.sort_by_key(|one| (one.is_met, one.standing));
        named.iter().map(|one| one.peer).collect()
    }

    /// How many hosts beyond the neighbours somebody told of, and whether of one of them one teller alone has.
    pub(super) fn named_beyond_count(&self) -> (usize, bool) {
        let named = self.named_beyond();
        let is_in_doubt = |one: &Acquainted<_, _>| one.standing == Standing::OneWord;
        (named.len(), named.iter().any(is_in_doubt))
    }

    /// How many hosts are known beyond the neighbours, for people to see.
    pub(super) fn beyond_count(&self) -> usize {
        // Those that are connected on errands at this moment are beyond the neighbours as well.
        self.beyond().len() + self.roster.on_errand_count()
    }

    /// How many hosts neighbours have told of that can be called, neighbours among them.
    pub(super) fn acquainted_count(&self) -> usize {
        let now = self.up_since.elapsed();
        lock(&self.acquaintances).known(now).count()
    }

    /// `peer` was called where it was said to be, and greeted.
    pub(super) fn was_met(&self, peer: &PeerId) {
        let now = self.up_since.elapsed();
        lock(&self.acquaintances).met(now, peer);
    }

    /// It is not there.
    pub(super) fn was_missed(&self, peer: &PeerId) {
        let now = self.up_since.elapsed();
        lock(&self.acquaintances).missed(now, peer);
    }

    /// It is there and did not let this host in.
    pub(super) fn was_declined(&self, peer: &PeerId) {
        let now = self.up_since.elapsed();
        lock(&self.acquaintances).declined(now, peer);
    }
}
