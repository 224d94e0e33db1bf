//! What the swarm's task is told of hosts that it could call: nothing of it is proven.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use libp2p::PeerId;
use libp2p::core::Multiaddr;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use modmesh_protocol::control::FoundBy;
use modmesh_protocol::limits::ACQUAINTANCES_MAX;
use tokio::task::JoinHandle;

use super::driver::Driver;
use super::onlink::socket_of;
use super::{reason, remembered};

/// A hint whom to call.
#[derive(Debug)]
pub(super) enum Tip {
    /// A host was heard by multicast, on the link that its address is on.
    Heard {
        /// The name it gave itself.
        peer: PeerId,
        /// Where the packet came from, with the port it named.
        address: Multiaddr,
    },
    /// A neighbour said whom it knows.
    Named {
        /// Who said it.
        by: PeerId,
        /// Names and where to call them.
        hosts: Vec<(PeerId, SocketAddr)>,
    },
    /// The seed of this number was looked up.
    LookedUp {
        /// Which, of those given with `--peer`.
        seed: usize,
        /// Its addresses, or why there are none.
        found: Result<Vec<IpAddr>, String>,
    },
}

fn address_of(socket: SocketAddr) -> Multiaddr {
    Multiaddr::from(socket.ip()).with(Protocol::Tcp(socket.port()))
}

impl Driver {
    /// Calls a host on an errand. It may be connected by now; then it is waited for until it has been greeted.
    pub(super) fn call_on(&mut self, peer: PeerId, at: SocketAddr) {
        if self.swarm.is_connected(&peer) {
            if self.shared.roster.is_usable(&peer) {
                self.shared.errands.arrived(&peer);
            }
            return;
        }
        let options = DialOpts::peer_id(peer)
            .addresses(vec![address_of(at)])
            .condition(PeerCondition::Disconnected)
            .allocate_new_port()
            .build();
        let id = options.connection_id();
        self.swarm.behaviour_mut().door.expects_errand(id);
        self.shared.errands.called(&peer, Instant::now());
        // Of a call that fails at once no event tells.
        if let Err(error) = self.swarm.dial(options) {
            self.errand_failed(id, Some(peer), &error);
            if !self.swarm.behaviour_mut().door.allows_ip(at.ip()) {
                self.forget_off_link();
            }
        }
    }

    /// Forgets hosts that were told of and are on no link of this host any more: it may be in another network by now.
    pub(super) fn forget_off_link(&mut self) {
        let door = &mut self.swarm.behaviour_mut().door;
        self.shared.keep_acquaintances(|ip| door.allows_ip(ip));
    }

    /// The call `id` failed. Whether it was one for an errand.
    pub(super) fn errand_failed(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        error: &DialError,
    ) -> bool {
        if !self.swarm.behaviour_mut().door.was_errand(id) {
            return false;
        }
        tracing::debug!(
            ?peer,
            why = reason::with_address(error),
            "an errand was in vain"
        );
        if let Some(peer) = peer {
            match error {
                DialError::Aborted => {}
                // What was refused here is not its fault; it would be again at once.
                DialError::Denied { .. } => self.shared.was_declined(&peer),
                _ => self.shared.was_missed(&peer),
            }
            self.shared.errands.failed(&peer);
            // It was not called as a neighbour meanwhile.
            self.roads.lost(&peer, false, Instant::now());
        }
        true
    }

    /// The last connection to `peer` ended. Who waited to go there on an errand is told so, unless the connection was made for something else:
    /// then the call is made now.
    pub(super) fn errand_ended(&mut self, peer: &PeerId) {
        if self.shared.errands.is_to_be_called(peer)
            && let Some(at) = self.shared.where_to_call(peer)
        {
            return self.call_on(*peer, at);
        }
        if self.shared.errands.failed(peer) {
            self.shared.was_declined(peer);
        }
    }

    /// Ends connections that were made for errands and are of no use any more.
    pub(super) fn end_errands(&mut self, now: Instant) {
        let counter = &self.shared.counter;
        let idle = self
            .shared
            .errands
            .take_idle(now, |peer| counter.serves(peer));
        for peer in idle {
            if self.shared.roster.on_errand(&peer) {
                self.shared.roster.is_leaving(&peer);
                let _ = self.swarm.disconnect_peer_id(peer);
            }
        }
    }

    /// A connection to `peer` was made; where it can be called is told to others on the link. Whether it came over a link of this
    /// host, loopback among them.
    pub(super) fn note_place(&mut self, peer: &PeerId, at: &Multiaddr, called: bool) -> bool {
        let Some(socket) = socket_of(at) else {
            return false;
        };
        if !self.swarm.behaviour_mut().door.is_on_a_link(socket.ip()) {
            return socket.ip().to_canonical().is_loopback();
        }
        let port = match called {
            true => socket.port(),
            // Who called did so from a port at which nobody listens.
            false => 0,
        };
        self.shared.company.came(*peer, socket.ip(), port);
        let heard = self.roads.addresses_of(peer).filter_map(socket_of);
        let company = &self.shared.company;
        heard.for_each(|socket| company.listens(peer, socket));
        true
    }

    /// Takes in a hint.
    pub(super) fn on_tip(&mut self, tip: Tip) {
        let now = Instant::now();
        match tip {
            Tip::Heard { peer, address } => {
                if self.swarm.behaviour_mut().door.allows(&address) {
                    self.shared.roster.also_found(&peer, FoundBy::Mdns);
                    if let Some(socket) = socket_of(&address) {
                        self.shared.company.listens(&peer, socket);
                        self.shared.is_heard(peer, socket);
                    }
                    self.roads.discovered(peer, address, now);
                }
            }
            Tip::Named { by, mut hosts } => {
                hosts.truncate(ACQUAINTANCES_MAX);
                let ours = *self.swarm.local_peer_id();
                let door = &mut self.swarm.behaviour_mut().door;
                // Others may have links that this host has not, and reasons to have a stranger called.
                hosts.retain(|(peer, at)| *peer != ours && door.is_on_a_link(at.ip()));
                for (peer, at) in &hosts {
                    if !self.swarm.is_connected(peer) {
                        self.roads.named(*peer, by, address_of(*at), now);
                    }
                }
                // Each site has its own owners.
                let teller = self.shared.company.ip_of(&by);
                if let Some(teller) = teller.filter(|_| !self.shared.roster.is_across(&by)) {
                    self.shared.is_told_of(teller, hosts);
                }
            }
            Tip::LookedUp { seed, found } => {
                if let Ok(addresses) = &found {
                    let door = &mut self.swarm.behaviour_mut().door;
                    door.talks_to_seed(seed, addresses.clone());
                }
                self.roads.looked_up(seed, found, now);
                self.publish_unreached();
            }
        }
    }

    /// Writes down which neighbours there are; done when the returned task is.
    pub(super) fn remember(&mut self) -> Option<JoinHandle<()>> {
        let roster = &self.shared.roster;
        let present = self.roads.leading_to(|peer| roster.is_neighbour(peer));
        let (file, bytes) = self.remembered.as_mut()?.update(present)?;
        let write = move || remembered::write(&file, &bytes);
        Some(tokio::task::spawn_blocking(write))
    }
}
