//! Who hears announcements: gossip among neighbours.
//!
//! The gossip behaviour tells whoever asks for a topic what is announced under it, on every connection. Of a closed host no
//! stranger may hear anything, and a host on an errand is to be told nothing that it did not ask for. So what a peer says to the gossip
//! is held back until it is a neighbour, and let go with its connection. Who is none is thus never known to listen, and nothing is sent
//! to it but the name of the topic.

use std::collections::{HashMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::gossipsub;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};

use super::roster::Roster;

/// Words of one peer that are held back: a neighbour says three in the moment before it is known to be one.
const HELD_PER_PEER_MAX: usize = 8;
/// Words that are held back, of all peers: at most as many frames of gossip, 16 MB.
const HELD_MAX: usize = 256;

type Words = THandlerOutEvent<gossipsub::Behaviour>;

/// The behaviour.
pub(super) struct Earshot {
    gossip: gossipsub::Behaviour,
    /// Where it is seen who is a neighbour; nothing where everybody hears.
    neighbours_of: Option<Arc<Roster>>,
    held: HashMap<PeerId, VecDeque<(ConnectionId, Words)>>,
}

impl std::fmt::Debug for Earshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("Earshot");
        text.field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl Earshot {
    /// A gossip that the neighbours in `roster` hear.
    pub(super) fn new(gossip: gossipsub::Behaviour, roster: Arc<Roster>) -> Self {
        Self {
            gossip,
            neighbours_of: Some(roster),
            held: HashMap::new(),
        }
    }

    /// From now on everybody hears it.
    #[cfg(test)]
    pub(super) fn for_everybody(&mut self) {
        self.neighbours_of = None;
    }

    fn hears(&self, peer: &PeerId) -> bool {
        let neighbours_of = self.neighbours_of.as_ref();
        neighbours_of.is_none_or(|roster| roster.is_neighbour(peer))
    }

    fn hold(&mut self, peer: PeerId, id: ConnectionId, words: Words) {
        let all: usize = self.held.values().map(VecDeque::len).sum();
        let of_peer = self.held.entry(peer).or_default();
        if all < HELD_MAX && of_peer.len() < HELD_PER_PEER_MAX {
            of_peer.push_back((id, words));
        }
    }

    fn let_go(&mut self, peer: &PeerId) {
        for (id, words) in self.held.remove(peer).unwrap_or_default() {
            self.gossip.on_connection_handler_event(*peer, id, words);
        }
    }
}

impl Deref for Earshot {
    type Target = gossipsub::Behaviour;

    fn deref(&self) -> &gossipsub::Behaviour {
        &self.gossip
    }
}

impl DerefMut for Earshot {
    fn deref_mut(&mut self) -> &mut gossipsub::Behaviour {
        &mut self.gossip
    }
}

impl NetworkBehaviour for Earshot {
    type ConnectionHandler = <gossipsub::Behaviour as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = gossipsub::Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.gossip
            .handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.gossip
            .handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(down) = &event
            && down.remaining_established == 0
        {
            self.held.remove(&down.peer_id);
        }
        self.gossip.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, words: Words) {
        if !self.hears(&peer) {
            return self.hold(peer, id, words);
        }
        self.let_go(&peer);
        self.gossip.on_connection_handler_event(peer, id, words);
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<gossipsub::Event, THandlerInEvent<Self>>> {
        // Who makes somebody a neighbour wakes the swarm's task.
        let admitted = self.held.keys().filter(|peer| self.hears(peer));
        let admitted: Vec<PeerId> = admitted.copied().collect();
        for peer in &admitted {
            self.let_go(peer);
        }
        self.gossip.poll(context)
    }
}
