//! What the swarm's task is told of hosts that it could call: nothing of it is proven.

use std::net::IpAddr;
use std::time::Instant;

use libp2p::PeerId;
use libp2p::core::Multiaddr;
use modmesh_protocol::control::FoundBy;

use super::driver::Driver;

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
    /// The seed of this number was looked up.
    LookedUp {
        /// Which, of those given with `--peer`.
        seed: usize,
        /// Its addresses, or why there are none.
        found: Result<Vec<IpAddr>, String>,
    },
}

impl Driver {
    /// Takes in a hint.
    pub(super) fn on_tip(&mut self, tip: Tip) {
        let now = Instant::now();
        match tip {
            Tip::Heard { peer, address } => {
                if self.swarm.behaviour_mut().door.allows(&address) {
                    self.shared.roster.also_found(&peer, FoundBy::Mdns);
                    self.roads.discovered(peer, FoundBy::Mdns, address, now);
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
}
