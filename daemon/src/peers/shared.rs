//! What all parts of the room share, and what they tell each other.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use libp2p::PeerId;
use modmesh_protocol::acquaintances::Acquaintances;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::directory::Directory;
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::peer_name::PeerName;
use tokio::sync::mpsc;

use super::beyond::Whereabouts;
use super::capacity::Capacity;
use super::company::Company;
use super::counter::Counter;
use super::crossing::Crossing;
use super::distrust::Distrusted;
use super::errands::Errands;
use super::evidence::EvidenceRing;
use super::lanes::Lanes;
use super::line::Line;
use super::members::Members;
use super::office::Office;
use super::outbox::Outbox;
use super::probes::Lookout;
use super::raw::RawDoor;
use super::roads::Unreached;
use super::roster::Roster;
use super::talk::Talks;
use super::{Lie, NeighbourEvent, Shelf, Watch, lock, peer_id_of, streams};
use crate::lately::Longest;
use crate::manners::{Direction, Pause, Throttle};

/// What the swarm's task is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Open a stream.
    Open {
        peer: PeerId,
        purpose: streams::Purpose,
        reply: streams::Reply,
    },
    /// Call that host at that address on an errand.
    CallOn { peer: PeerId, at: SocketAddr },
    /// Tell everybody these bytes.
    Gossip(Vec<u8>),
    /// Call those at once who are not there and are waited for.
    CallAgain,
    /// End.
    Stop,
}

/// What is told to the [`Listener`](super::Listener).
#[derive(Debug)]
pub(super) enum Tiding {
    Head(PeerName, DatabaseId, String),
    Neighbour(NeighbourEvent),
    /// A member says that an entry of the upstream wants to rest.
    Rest(PeerName, KeyHash, Duration),
}

/// What all parts of the room share.
pub(super) struct Shared {
    pub(super) name: PeerName,
    pub(super) release: String,
    pub(super) capabilities: u64,
    pub(super) shelf: Arc<dyn Shelf>,
    pub(super) watch: Arc<dyn Watch>,
    pub(super) roster: Arc<Roster>,
    pub(super) members: Members,
    pub(super) distrusted: Distrusted,
    pub(super) directory: Mutex<Directory>,
    /// What hosts on errands said to have now.
    pub(super) said_on_errands: Mutex<Directory>,
    pub(super) addresses: Mutex<Vec<String>>,
    pub(super) port_in_use: Option<u16>,
    pub(super) unreached: Mutex<Vec<Unreached>>,
    /// Another machine with this host's identity: where it was heard, and when.
    pub(super) twin: Mutex<Option<(IpAddr, Instant)>>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) lookout: Lookout,
    pub(super) evidence: Arc<EvidenceRing>,
    pub(super) counter: Counter,
    pub(super) company: Company,
    pub(super) capacity: Capacity,
    /// Hosts that neighbours told of.
    pub(super) acquaintances: Mutex<Acquaintances<PeerId, IpAddr, Whereabouts>>,
    pub(super) errands: Errands,
    /// What goes to neighbours and what comes from them.
    pub(super) up: Throttle,
    pub(super) down: Throttle,
    pub(super) crossing: Crossing,
    /// Why no large file is sent.
    pub(super) paused: Mutex<Option<Pause>>,
    pub(super) lanes: Lanes,
    pub(super) office: Arc<Office>,
    pub(super) line: Line,
    pub(super) raw_door: RawDoor,
    pub(super) talks: Talks,
    /// How long owners took for a first word.
    pub(super) owners_took: Longest,
    pub(super) up_since: Instant,
    /// Whether neighbours are looked for, and not only those called that are named.
    pub(super) looks_for_neighbours: bool,
    /// Whether another host was heard by multicast.
    pub(super) has_heard_somebody: AtomicBool,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) tidings: mpsc::Sender<Tiding>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("Shared");
        text.field("name", &self.name).finish_non_exhaustive()
    }
}

impl Shared {
    /// Bytes that nothing holds up, because they are few or somebody waits for them.
    pub(super) fn count_received(&self, peer: &PeerId, bytes: u64) {
        self.down.charge(bytes);
        if self.note_received(peer, bytes) {
            self.crossing.charge(Direction::Down, bytes);
        }
    }

    /// As [`Shared::count_received`], of bytes that went there.
    pub(super) fn count_sent(&self, peer: &PeerId, bytes: u64) {
        self.up.charge(bytes);
        if self.note_sent(peer, bytes) {
            self.crossing.charge(Direction::Up, bytes);
        }
    }

    pub(super) fn are_uploads_paused(&self) -> bool {
        lock(&self.paused).is_some()
    }

    /// Whether they came from another site.
    pub(super) fn note_received(&self, peer: &PeerId, bytes: u64) -> bool {
        let is_across = self.roster.received(peer, bytes);
        self.watch.received(bytes);
        if is_across {
            self.crossing.received(bytes);
            self.watch.crossed_in(bytes);
        }
        is_across
    }

    /// Whether they went to another site.
    pub(super) fn note_sent(&self, peer: &PeerId, bytes: u64) -> bool {
        let is_across = self.roster.sent(peer, bytes);
        self.watch.sent(bytes);
        if is_across {
            self.crossing.sent(bytes);
            self.watch.crossed_out(bytes);
        }
        is_across
    }

    /// Tells the listener, unless it is so far behind that the queue is full: the roster stays right in any case.
    pub(super) fn tell(&self, tiding: Tiding) {
        if self.tidings.try_send(tiding).is_err() {
            tracing::debug!("the listener is behind; a tiding is dropped");
        }
    }

    pub(super) fn blame(&self, peer: &PeerName, lie: Lie) {
        let Some(id) = peer_id_of(peer) else { return };
        tracing::warn!(%peer, lie = %lie.what, "a neighbour lied; it is left alone for an hour");
        let path = self.evidence.path_for(SystemTime::now(), peer);
        self.roster.ban(&id, &lie.what, Some(path.clone()));
        lock(&self.directory).forget(peer);
        lock(&self.said_on_errands).forget(peer);
        self.outbox.disconnect(id);
        self.watch.lie(peer);
        self.watch.neighbours(self.roster.usable_count());
        let (ring, peer) = (Arc::clone(&self.evidence), peer.clone());
        let keep = move || {
            if let Err(error) = ring.write(&path, &peer, &lie.what, &lie.evidence) {
                tracing::warn!(%error, file = %path.display(), "the evidence could not be kept");
            }
        };
        // Off the runtime the caller may block.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(keep)),
            Err(_) => keep(),
        }
    }
}
