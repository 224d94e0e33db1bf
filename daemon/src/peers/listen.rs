//! Opening the room: addresses in, sockets out.
//!
//! A busy socket that a person asked for is an error. A busy default one is a warning and any free port, since the second
//! daemon of a host should run too. Address families that the system lacks are left out of the default without a word.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::Swarm;
use libp2p::core::Multiaddr;
use libp2p::core::transport::{ListenerId, TransportError};
use libp2p::multiaddr::Protocol;
use modmesh_protocol::directory::{Directory, DirectoryBounds};
use modmesh_protocol::hearsay::Hearsay;
use modmesh_protocol::lease::MemberId;
use modmesh_protocol::limits::{
    DIRECTORY_HOLDERS_MAX, DIRECTORY_KEYS_MAX, DIRECTORY_KEYS_PER_PEER_MAX, DIRECTORY_PEERS_MAX,
    UPLOADS_MAX,
};
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::{CAN_FETCH, GIVES_INLINE};
use tokio::sync::{mpsc, watch};

use super::capacity::Capacity;
use super::company::Company;
use super::counter::Counter;
use super::crossing::Crossing;
use super::distrust::Distrusted;
use super::driver::Driver;
use super::errands::Errands;
use super::evidence::EvidenceRing;
use super::lanes::Lanes;
use super::line::{self, Line};
use super::members::Members;
use super::named::{self, Given};
use super::office::Office;
use super::onlink::{OnLink, ip_of};
use super::probes::Lookout;
use super::raw::RawDoor;
use super::remembered::Remembered;
use super::roads::Roads;
use super::roster::Roster;
use super::swarm::{Behaviour, build};
use super::talk::Talks;
use super::{
    Listener, Peers, PeersConfig, PeersError, Shared, Shelf, Tiding, Watch, acquaint, identity,
    ledger, multicast, name_of,
};
use crate::lately::Longest;
use crate::manners::{Class, Direction, Throttle};
use crate::os;

/// Commands that wait for the swarm's task; whoever gives one more waits.
const COMMANDS_MAX: usize = 256;
/// Tidings that wait for the listener; one more is dropped.
const TIDINGS_MAX: usize = 1024;
/// Hints that wait for the swarm's task; of hosts that were heard one more is dropped, and heard again later.
const TIPS_MAX: usize = 64;
/// Files that are fetched from all neighbours together where a limit is shared; a smaller limit lets in fewer.
const DOWNLOADS_MAX: usize = 64;
/// What is remembered of what hosts on errands have: of as many as there are neighbours in the directory, a quarter of its keys.
const ON_ERRANDS: DirectoryBounds = DirectoryBounds {
    keys_max: DIRECTORY_KEYS_MAX / 4,
    holders_max: DIRECTORY_HOLDERS_MAX,
    keys_per_peer_max: DIRECTORY_KEYS_PER_PEER_MAX / 50,
    peers_max: DIRECTORY_PEERS_MAX,
};
/// How long sockets may take to be open, so that `addresses` has them.
const LISTENING_WAIT: Duration = Duration::from_secs(2);

/// The name of a host as text, such as `--member` takes it.
///
/// # Errors
/// What is wrong and what would be right, as one line.
pub fn check_peer_name(text: &str) -> Result<PeerName, String> {
    let wrong =
        || "not a peer id, such as 12D3KooW...; `modmesh status` shows that of a host as `name`";
    let id: PeerId = text.trim().parse().map_err(|_| wrong())?;
    id.to_base58().parse().map_err(|_| wrong().to_owned())
}

/// See [`Peers::start`].
pub(super) async fn start(
    config: PeersConfig,
    shelf: Arc<dyn Shelf>,
    listener: Arc<dyn Listener>,
    watch: Arc<dyn Watch>,
) -> Result<Peers, PeersError> {
    let given: Result<Vec<Given>, _> = config.peers.iter().map(parse_given).collect();
    let given = given?;
    let key = identity::load(&config.identity_file, config.machine_id.as_deref())?;
    let ours = key.public().to_peer_id();
    let members = Members::new(key.clone(), config.membership.clone())?;
    let distrusted = Distrusted::read(config.distrusted_file.clone());
    let remembered_file = config.identity_file.with_file_name("neighbours");
    let roster = Arc::new(Roster::default());
    distrusted.apply(&roster);
    let named_ip = |one: &Given| match one {
        Given::At(address, _) => ip_of(address),
        Given::Named(_) => None,
    };
    let links = OnLink::new(given.iter().filter_map(named_ip));
    let capacity = Capacity::new(config.neighbours_max);
    let mut swarm = build(key, links, Arc::clone(&roster), capacity)?;
    let (listeners, port_in_use) = listen_on_all(&mut swarm, &config)?;

    let minute = config.minute;
    let link = |direction, limit, most| Throttle::new(Class::Link, direction, limit, minute, most);
    let up = link(Direction::Up, config.limit_upload, UPLOADS_MAX);
    let down = link(Direction::Down, config.limit_download, DOWNLOADS_MAX);
    let budget_file = config.identity_file.with_file_name("site-budget");
    let crossing = Crossing::new(config.crossing, minute, budget_file);
    if let Some(budget) = &crossing.budget {
        tokio::spawn(ledger::keep(Arc::downgrade(budget)));
    }
    let (commands, commands_in) = mpsc::channel(COMMANDS_MAX);
    let (tidings, tidings_in) = mpsc::channel(TIDINGS_MAX);
    let lookout = Lookout {
        roster: Arc::clone(&roster),
        outbox: Arc::default(),
    };
    let shared = Arc::new(Shared {
        name: name_of(&ours),
        release: config.release,
        capabilities: GIVES_INLINE | if config.can_fetch { CAN_FETCH } else { 0 },
        shelf,
        watch,
        roster,
        members,
        distrusted,
        directory: Mutex::new(Directory::new(DirectoryBounds::default())),
        said_on_errands: Mutex::new(Directory::new(ON_ERRANDS)),
        addresses: Mutex::default(),
        port_in_use,
        unreached: Mutex::default(),
        twin: Mutex::default(),
        outbox: Arc::clone(&lookout.outbox),
        office: Arc::new(Office::new(lookout.clone())),
        lookout,
        evidence: Arc::new(EvidenceRing::new(config.evidence_dir)),
        company: Company::default(),
        capacity,
        acquaintances: Mutex::default(),
        errands: Errands::default(),
        counter: Counter::new(up.shares(UPLOADS_MAX)),
        up,
        down,
        crossing,
        paused: Mutex::default(),
        lanes: Lanes::default(),
        line: Line::new(config.site_connections, MemberId::of(&name_of(&ours))),
        raw_door: RawDoor::default(),
        talks: Talks::default(),
        owners_took: Longest::default(),
        up_since: Instant::now(),
        looks_for_neighbours: config.mdns,
        has_heard_somebody: AtomicBool::default(),
        commands,
        tidings,
    });
    tokio::spawn(pass_on(tidings_in, listener));
    tokio::spawn(line::keep(Arc::clone(&shared)));
    let (tips, tips_in) = mpsc::channel(TIPS_MAX);
    let (called_at, call_at) = watch::channel(Vec::new());
    let mut roads = Roads::new(ours, given, capacity, Instant::now());
    for (number, seed) in roads.seeds().enumerate() {
        tokio::spawn(seed.look_up(number, tips.clone()));
    }
    // Who does not want to look for neighbours wants those that are named and no others.
    let remembered = config.mdns.then(|| Remembered::load(remembered_file));
    if let Some(remembered) = &remembered {
        for (peer, addresses) in remembered.hosts() {
            roads.remembered(peer, addresses, Instant::now());
        }
        tokio::spawn(acquaint::run(Arc::clone(&shared), tips.clone()));
        tokio::spawn(multicast::run(Arc::clone(&shared), call_at, tips));
    }
    let (ready, mut is_ready) = watch::channel(listeners.is_empty());
    let driver = Driver {
        swarm,
        shared: Arc::clone(&shared),
        commands: commands_in,
        tips: tips_in,
        called_at,
        remembered,
        roads,
        listening: listeners
            .into_iter()
            .map(|id| (id, Vec::new()))
            .collect::<HashMap<_, _>>(),
        ready,
        silent: Vec::new(),
        batch_due: None,
        hearsay: Hearsay::default(),
    };
    tokio::spawn(driver.run());
    // A link without an address yet is no reason to wait for ever: it is listened on as soon as it has one.
    let _ = tokio::time::timeout(LISTENING_WAIT, is_ready.wait_for(|ready| *ready)).await;
    Ok(Peers { shared })
}

fn parse_given(address: &String) -> Result<Given, PeersError> {
    named::parse(address).map_err(|why| PeersError::Address {
        address: address.to_owned(),
        why,
    })
}

/// Tells the listener what there is to tell, one after the other.
async fn pass_on(mut tidings: mpsc::Receiver<Tiding>, listener: Arc<dyn Listener>) {
    while let Some(tiding) = tidings.recv().await {
        match tiding {
            Tiding::Head(from, database, note) => listener.head(from, database, note),
            Tiding::Neighbour(event) => listener.neighbour(event),
            Tiding::Rest(from, entry, rest) => listener.upstream_rests(from, entry, rest),
        }
    }
}

/// The listeners, and the port of the default that was in use.
fn listen_on_all(
    swarm: &mut Swarm<Behaviour>,
    config: &PeersConfig,
) -> Result<(Vec<ListenerId>, Option<u16>), PeersError> {
    let mut listeners = Vec::new();
    let (mut last_error, mut port_in_use) = (None, None);
    for address in &config.listen {
        match listen_on(swarm, *address) {
            Ok(id) => listeners.push(id),
            Err(error) if config.listen_asked => return Err(error),
            Err(error) => match listen_elsewhere(swarm, *address, &error) {
                Some(id) => {
                    listeners.push(id);
                    port_in_use = Some(address.port());
                }
                None => last_error = Some(error),
            },
        }
    }
    match last_error {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok((listeners, port_in_use)),
    }
}

/// Any free port in place of a busy default one.
fn listen_elsewhere(
    swarm: &mut Swarm<Behaviour>,
    address: SocketAddr,
    error: &PeersError,
) -> Option<ListenerId> {
    let PeersError::Listen { source, .. } = error else {
        return None;
    };
    if source.kind() != io::ErrorKind::AddrInUse {
        tracing::debug!(%address, error = %source, "not listening for neighbours on this address");
        return None;
    }
    tracing::warn!(
        %address,
        "the port for neighbours is in use; any free one is taken (choose one with --peer-listen)"
    );
    listen_on(swarm, SocketAddr::new(address.ip(), 0)).ok()
}

fn listen_on(swarm: &mut Swarm<Behaviour>, address: SocketAddr) -> Result<ListenerId, PeersError> {
    let failed = |source| PeersError::Listen { address, source };
    // The network library shares ports between sockets of one user, so it would not notice another daemon there.
    if address.port() != 0 {
        os::can_listen(address).map_err(failed)?;
    }
    let multiaddress = Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()));
    swarm.listen_on(multiaddress).map_err(|error| match error {
        TransportError::Other(source) => failed(source),
        TransportError::MultiaddrNotSupported(_) => failed(io::ErrorKind::Unsupported.into()),
    })
}
