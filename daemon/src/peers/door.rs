//! Who may connect: the behaviour that is asked before any other.
//!
//! Before a handshake: only addresses on our links or named with `--peer`, and only so many handshakes at once. After it,
//! when the name is proven: no liar while its ban lasts, at most two connections to one neighbour, a cap of names per source
//! address that never delivered anything proven, and a cap of all neighbours of which an eighth is kept for those that
//! did, and of all that are here on errands. Whether one that called is, its first words tell; who is not, and finds no place among
//! the neighbours, is let go then. Nobody who is inside is ever put out for a newcomer.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use modmesh_protocol::limits::{
    CONNECTIONS_PER_PEER_MAX, PENDING_INBOUND_MAX, UNPROVEN_PER_ADDRESS_MAX,
};

use super::capacity::Capacity;
use super::onlink::{OnLink, ip_of};
use super::roster::Roster;

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Neither on one of our links nor named.
    #[error("the address is on none of this host's links and was not given with --peer")]
    OffLink,
    /// It lied.
    #[error("banned after a lie")]
    Banned,
    /// A bound of the house.
    #[error("too many {0}")]
    TooMany(&'static str),
}

/// The behaviour.
#[derive(Debug)]
pub(super) struct Door {
    links: OnLink,
    roster: Arc<Roster>,
    capacity: Capacity,
    shaking_hands: HashSet<ConnectionId>,
    /// Calls of this host that are for errands and have not arrived.
    errands: HashSet<ConnectionId>,
    inside: HashMap<ConnectionId, Guest>,
}

/// An established connection.
#[derive(Debug, Clone, Copy)]
struct Guest {
    peer: PeerId,
    address: Option<IpAddr>,
}

impl Door {
    /// A door that lets in what `links` allow and `roster` does not ban.
    pub(super) fn new(links: OnLink, roster: Arc<Roster>, capacity: Capacity) -> Self {
        Self {
            links,
            roster,
            capacity,
            shaking_hands: HashSet::new(),
            errands: HashSet::new(),
            inside: HashMap::new(),
        }
    }

    /// Whether this host talks to `address` at all.
    pub(super) fn allows(&mut self, address: &Multiaddr) -> bool {
        ip_of(address).is_some_and(|ip| self.allows_ip(ip))
    }

    /// As [`Door::allows`].
    pub(super) fn allows_ip(&mut self, address: IpAddr) -> bool {
        self.links.allows(address, Instant::now())
    }

    /// Whether `address` is on one of this host's links, loopback excepted.
    pub(super) fn is_on_a_link(&mut self, address: IpAddr) -> bool {
        self.links.is_on_a_link(address, Instant::now())
    }

    /// The seed of this number has these addresses now, which were as good as given with `--peer`.
    pub(super) fn talks_to_seed(&mut self, seed: usize, addresses: Vec<IpAddr>) {
        self.links.seed(seed, addresses);
    }

    /// The call `id` of this host is for an errand.
    pub(super) fn expects_errand(&mut self, id: ConnectionId) {
        self.errands.insert(id);
    }

    /// It is no call any more. Whether it was one for an errand.
    pub(super) fn was_errand(&mut self, id: ConnectionId) -> bool {
        self.errands.remove(&id)
    }

    fn before_handshake(&mut self, address: &Multiaddr) -> Result<(), Refusal> {
        if !self.allows(address) {
            return Err(Refusal::OffLink);
        }
        if self.shaking_hands.len() >= PENDING_INBOUND_MAX {
            return Err(Refusal::TooMany("handshakes at once"));
        }
        Ok(())
    }

    /// `is_sought`: this host made the call, to have a neighbour.
    fn after_handshake(
        &self,
        peer: &PeerId,
        address: &Multiaddr,
        is_sought: bool,
    ) -> Result<(), Refusal> {
        if self.roster.is_banned(peer) {
            return Err(Refusal::Banned);
        }
        let of_peer = self.inside.values().filter(|guest| guest.peer == *peer);
        let of_peer = of_peer.count();
        if of_peer >= CONNECTIONS_PER_PEER_MAX {
            return Err(Refusal::TooMany("connections to this neighbour"));
        }
        if of_peer > 0 {
            return Ok(());
        }
        let is_proven = self.roster.is_proven(peer);
        let room = match is_proven {
            true => self.capacity.neighbours(),
            false => self.capacity.unproven(),
        };
        let is_full = is_sought && self.roster.admitted_count_besides(peer) >= room;
        let names: HashSet<PeerId> = self.inside.values().map(|guest| guest.peer).collect();
        if is_full || !is_sought && names.len() >= self.names_max() {
            return Err(Refusal::TooMany("neighbours"));
        }
        if is_proven {
            return Ok(());
        }
        self.names_of_address(ip_of(address))
    }

    /// Neighbours, errands of both sides, and those that have not said yet which they are.
    fn names_max(&self) -> usize {
        let errands = 2 * self.capacity.errands();
        self.capacity.neighbours() + errands + PENDING_INBOUND_MAX
    }

    fn names_of_address(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        let Some(ip) = address.filter(|ip| !ip.is_loopback()) else {
            return Ok(());
        };
        let same = self.inside.values().filter(|g| g.address == Some(ip));
        let names: HashSet<PeerId> = same.map(|guest| guest.peer).collect();
        let unproven = names.iter().filter(|n| !self.roster.is_proven(n)).count();
        if unproven >= UNPROVEN_PER_ADDRESS_MAX {
            return Err(Refusal::TooMany("unproven names from one address"));
        }
        Ok(())
    }
}

impl NetworkBehaviour for Door {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = std::convert::Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.before_handshake(from).map_err(|refusal| {
            tracing::debug!(%from, %refusal, "connection refused");
            ConnectionDenied::new(refusal)
        })?;
        self.shaking_hands.insert(id);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.shaking_hands.remove(&id);
        let allowed = self.after_handshake(&peer, from, false);
        allowed.map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if peer.is_some_and(|peer| self.roster.is_banned(&peer)) {
            return Err(ConnectionDenied::new(Refusal::Banned));
        }
        if !addresses.iter().all(|address| self.allows(address)) {
            return Err(ConnectionDenied::new(Refusal::OffLink));
        }
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        to: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let is_sought = !self.errands.contains(&id);
        let allowed = self.after_handshake(&peer, to, is_sought);
        allowed.map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(up) => {
                let address = ip_of(up.endpoint.get_remote_address());
                let peer = up.peer_id;
                self.inside
                    .insert(up.connection_id, Guest { peer, address });
            }
            FromSwarm::ConnectionClosed(down) => {
                self.inside.remove(&down.connection_id);
            }
            FromSwarm::ListenFailure(failure) => {
                self.shaking_hands.remove(&failure.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use modmesh_protocol::control::FoundBy;
    use modmesh_protocol::limits::NEIGHBOURS_MAX;

    use super::*;

    fn door() -> Door {
        let named = "203.0.113.9".parse().unwrap();
        let capacity = Capacity::new(NEIGHBOURS_MAX);
        Door::new(OnLink::new([named]), Arc::new(Roster::default()), capacity)
    }

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn enter(door: &mut Door, id: usize, peer: PeerId, ip: &str) -> Result<(), Refusal> {
        door.after_handshake(&peer, &address(&format!("/ip4/{ip}/tcp/9")), false)?;
        let address = Some(ip.parse().unwrap());
        let guest = Guest { peer, address };
        door.inside.insert(ConnectionId::new_unchecked(id), guest);
        Ok(())
    }

    #[test]
    fn a_stranger_off_link_is_refused_before_the_handshake_unless_named() {
        let mut door = door();
        let mut ask = |text| door.before_handshake(&address(text));
        assert_eq!(ask("/ip4/203.0.113.8/tcp/4001"), Err(Refusal::OffLink));
        assert_eq!(ask("/dns4/localhost/tcp/4001"), Err(Refusal::OffLink));
        assert_eq!(ask("/ip4/203.0.113.9/tcp/4001"), Ok(()));
        assert_eq!(ask("/ip4/127.0.0.1/tcp/4001"), Ok(()));
    }

    #[test]
    fn handshakes_at_once_are_bounded() {
        let mut door = door();
        for id in 0..PENDING_INBOUND_MAX {
            door.shaking_hands.insert(ConnectionId::new_unchecked(id));
        }
        let refused = door.before_handshake(&address("/ip4/127.0.0.1/tcp/1"));
        assert_eq!(refused, Err(Refusal::TooMany("handshakes at once")));
    }

    #[test]
    fn one_address_brings_only_so_many_unproven_names() {
        let mut door = door();
        for id in 0..UNPROVEN_PER_ADDRESS_MAX {
            enter(&mut door, id, PeerId::random(), "10.0.0.1").unwrap();
        }
        let newcomer = PeerId::random();
        let refused = enter(&mut door, 100, newcomer, "10.0.0.1");
        assert_eq!(
            refused,
            Err(Refusal::TooMany("unproven names from one address"))
        );
        assert_eq!(enter(&mut door, 101, PeerId::random(), "10.0.0.2"), Ok(()));
        door.roster.proven(&newcomer);
        assert_eq!(enter(&mut door, 102, newcomer, "10.0.0.1"), Ok(()));
        for id in 200..200 + 2 * UNPROVEN_PER_ADDRESS_MAX {
            enter(&mut door, id, PeerId::random(), "127.0.0.1").unwrap();
        }
    }

    #[test]
    fn a_third_connection_and_a_banned_name_are_refused() {
        let mut door = door();
        let peer = PeerId::random();
        enter(&mut door, 1, peer, "10.0.0.1").unwrap();
        enter(&mut door, 2, peer, "10.0.0.1").unwrap();
        let refused = enter(&mut door, 3, peer, "10.0.0.1");
        assert_eq!(
            refused,
            Err(Refusal::TooMany("connections to this neighbour"))
        );
        let liar = PeerId::random();
        door.roster.ban(&liar, "a flipped byte", None);
        assert_eq!(enter(&mut door, 4, liar, "10.0.0.1"), Err(Refusal::Banned));
    }

    #[test]
    fn a_full_house_keeps_room_for_the_proven_and_for_errands() {
        let mut door = door();
        let (capacity, at) = (door.capacity, "127.0.0.1");
        let guest = PeerId::random();
        let come = |door: &mut Door, id: usize, peer: PeerId| {
            enter(door, id, peer, at)?;
            door.roster
                .connected(&peer, String::new(), FoundBy::Inbound);
            Ok::<_, Refusal>(door.roster.admit(&peer, capacity))
        };
        assert_eq!(come(&mut door, 0, guest), Ok(true));
        for id in 1..capacity.unproven() {
            assert_eq!(come(&mut door, id, PeerId::random()), Ok(true));
        }
        // Who is inside may have a second connection, and keeps its place.
        assert_eq!(come(&mut door, 999, guest), Ok(true));
        let known = PeerId::random();
        let there = address("/ip4/127.0.0.1/tcp/9");
        let refused = door.after_handshake(&known, &there, true);
        assert_eq!(refused, Err(Refusal::TooMany("neighbours")));
        // It may come on an errand, and finds no place among the neighbours.
        assert_eq!(come(&mut door, 1000, known), Ok(false));
        door.roster.is_on_an_errand(&known);
        assert!(door.roster.on_errand(&known));
        door.roster.proven(&known);
        assert_eq!(door.after_handshake(&known, &there, true), Ok(()));
        assert!(door.roster.admit(&known, capacity) && !door.roster.on_errand(&known));
        for id in 2000..2000 + door.names_max() - capacity.unproven() - 1 {
            assert_eq!(come(&mut door, id, PeerId::random()), Ok(false));
        }
        let one_more = come(&mut door, 9000, PeerId::random());
        assert_eq!(one_more, Err(Refusal::TooMany("neighbours")));
    }
}
