//! Pings that do not grow with the number of neighbours: the first connections are pinged often, the others seldom.
//!
//! libp2p's own behaviour sends and answers them, once for each interval of [`PINGS`]; here it is decided of which one a connection
//! is. It stays so until it ends. What a ping looks like, and that one is answered, is the same for all.

use std::array;
use std::collections::HashMap;
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{PeerId, ping};
use modmesh_protocol::limits::{PING_WAIT_MAX, PINGS};

/// The behaviour.
pub(super) struct Pings {
    classes: [ping::Behaviour; PINGS.len()],
    connections: HashMap<ConnectionId, usize>,
}

impl Default for Pings {
    fn default() -> Self {
        let class = |at: usize| {
            let config = ping::Config::new().with_interval(PINGS[at].0);
            ping::Behaviour::new(config.with_timeout(PING_WAIT_MAX))
        };
        Self {
            classes: array::from_fn(class),
            connections: HashMap::new(),
        }
    }
}

impl Pings {
    /// The quickest class that has room for one more connection. The last one has always.
    fn place(&mut self, connection: ConnectionId) -> &mut ping::Behaviour {
        let has_room = |(at, (_, most)): &(usize, &(_, usize))| {
            let placed = self.connections.values();
            placed.filter(|class| *class == at).count() < *most
        };
        let free = PINGS.iter().enumerate().find(has_room);
        let class = free.map_or(PINGS.len() - 1, |(at, _)| at);
        self.connections.insert(connection, class);
        &mut self.classes[class]
    }
}

impl NetworkBehaviour for Pings {
    type ConnectionHandler = <ping::Behaviour as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = ping::Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        ours: &Multiaddr,
        theirs: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let class = self.place(connection);
        class.handle_established_inbound_connection(connection, peer, ours, theirs)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        theirs: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let class = self.place(connection);
        class.handle_established_outbound_connection(connection, peer, theirs, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        // The latter two where another behaviour refuses a connection that was given a place here.
        let ended = match event {
            FromSwarm::ConnectionClosed(down) => down.connection_id,
            FromSwarm::ListenFailure(failed) => failed.connection_id,
            FromSwarm::DialFailure(failed) => failed.connection_id,
            _ => return,
        };
        self.connections.remove(&ended);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        if let Some(class) = self.connections.get(&connection) {
            self.classes[*class].on_connection_handler_event(peer, connection, event);
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<ping::Event, THandlerInEvent<Self>>> {
        let mut polls = self.classes.iter_mut().map(|class| class.poll(context));
        polls.find(Poll::is_ready).unwrap_or(Poll::Pending)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use libp2p::core::ConnectedPoint;
    use libp2p::swarm::ConnectionClosed;
    use modmesh_protocol::limits::{NEIGHBOURS_MAX, PING_BYTES, PROBE_MAX};

    use super::*;

    const LAST: usize = PINGS.len() - 1;

    fn come(pings: &mut Pings, id: usize) -> usize {
        let (connection, at) = (ConnectionId::new_unchecked(id), Multiaddr::empty());
        pings
            .handle_established_inbound_connection(connection, PeerId::random(), &at, &at)
            .unwrap();
        pings.connections[&connection]
    }

    fn go(pings: &mut Pings, id: usize) {
        let at = Multiaddr::empty();
        pings.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id: PeerId::random(),
            connection_id: ConnectionId::new_unchecked(id),
            endpoint: &ConnectedPoint::Listener {
                local_addr: at.clone(),
                send_back_addr: at.clone(),
            },
            cause: None,
            remaining_established: 0,
        }));
    }

    #[test]
    fn the_first_connections_are_pinged_often_and_their_places_come_free() {
        let mut pings = Pings::default();
        let classes: Vec<_> = (0..300).map(|id| come(&mut pings, id)).collect();
        for (at, (_, most)) in PINGS.iter().enumerate().take(LAST) {
            assert_eq!(classes.iter().filter(|class| **class == at).count(), *most);
        }
        assert!(classes.is_sorted() && classes[299] == LAST);
        // One that is closed, of each class, makes room for one.
        for at in 0..LAST {
            go(
                &mut pings,
                classes.iter().position(|class| *class == at).unwrap(),
            );
            assert_eq!(come(&mut pings, 1000 + at), at);
            assert_eq!(come(&mut pings, 2000 + at), LAST);
        }
        (0..3000).for_each(|id| go(&mut pings, id));
        assert!(pings.connections.is_empty());
        assert_eq!(come(&mut pings, 1), 0);
    }

    #[test]
    fn pings_of_both_sides_take_a_tenth_of_what_they_may_and_power_is_missed_in_minutes() {
        let (mut left, mut a_day) = (NEIGHBOURS_MAX, 0.0);
        for (every, most) in PINGS {
            let here = left.min(most);
            left -= here;
            a_day += here as f64 * 86_400.0 / every.as_secs_f64();
        }
        // There and back; and those of the others, who are such hosts themselves.
        let megabytes = a_day * 2.0 * 2.0 * PING_BYTES as f64 / 1e6;
        assert!((17.0..18.0).contains(&megabytes), "{megabytes}");
        let noticed = 2 * (PINGS[LAST].0 + PING_WAIT_MAX);
        assert_eq!(noticed, Duration::from_secs(368));
        assert!(PINGS.is_sorted() && PROBE_MAX < PINGS[0].0);
    }
}
