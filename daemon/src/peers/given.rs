//! What the room of the neighbours is given: what it may show, whom it tells, where it counts, how it is set up.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::control::FoundBy;
use modmesh_protocol::digest::BlobId;
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::rate::{Limit, Minute};
use modmesh_protocol::wire::RecordAnswer;

use super::{CrossingLimits, Membership, ShelvedSaying, ShelvedStatement};

/// What this host shows to its neighbours. Called on threads where blocking on small reads is fine.
///
/// Only proven and canonical content may be shown, and among members what nothing proves, as such.
pub trait Shelf: Send + Sync + 'static {
    /// The file, opened and standing at its first byte.
    fn file(&self, key: KeyHash) -> Option<Shelved>;
    /// The bytes of this file are not those of its [`Shelved::blob`] any more: a failing disk, say. It is not to be given
    /// again.
    fn damaged(&self, _key: KeyHash) {}
    /// What [`Shelf::file`] would give, without opening it.
    fn summary(&self, key: KeyHash) -> Option<(BlobId, u64)>;
    /// Whether this file or record is here and may be shown.
    fn holds(&self, key: KeyHash) -> bool {
        self.summary(key).is_some()
    }
    /// The record, at most 16 KiB, and a head under which it stands.
    fn record(&self, database: DatabaseId, key: KeyHash) -> Option<RecordAnswer>;
    /// Among members: a file that [`Shelf::file`] gives and that nothing proves.
    fn statement(&self, _key: KeyHash) -> Option<ShelvedStatement> {
        None
    }
    /// Among members: what was said to the note at a path below a GOPROXY's address, and how long ago.
    fn note(&self, _path: &str) -> Option<(Vec<u8>, Duration)> {
        None
    }
    /// Records of the versions of a module, number and text, by [`KeyHash::of_versions`], and a head under which they stand;
    /// best first, for [`VERSIONS_RECORDS_MAX`](modmesh_protocol::limits::VERSIONS_RECORDS_MAX) of them are told at most, and
    /// no more than a frame takes.
    fn versions(&self, database: DatabaseId, key: KeyHash) -> Option<(String, Vec<(u64, String)>)>;
    /// The widest tile held at that place, when it has at least `width_min` hashes: width and bytes.
    fn tile(
        &self,
        database: DatabaseId,
        level: u8,
        index: u64,
        width_min: u16,
    ) -> Option<(u16, Vec<u8>)>;
    /// The tile at that place as the upstream gave it just now, when it has at least `width_min` hashes: width and bytes. Nobody
    /// has proved it.
    fn fresh_tile(
        &self,
        _database: DatabaseId,
        _level: u8,
        _index: u64,
        _width_min: u16,
    ) -> Option<(u16, Vec<u8>)> {
        None
    }
    /// Among members: what the upstream said just now, by [`KeyHash::of_saying`].
    fn saying(&self, _key: KeyHash) -> Option<ShelvedSaying> {
        None
    }
    /// The current signed head, at most 16 KiB.
    fn head(&self, database: DatabaseId) -> Option<String>;
    /// The databases mirrored here with the sizes of their heads; 0 for one without a head yet.
    fn heads(&self) -> Vec<(DatabaseId, u64)>;
}

/// A file taken from the shelf.
#[derive(Debug)]
pub struct Shelved {
    /// The file, standing at its first byte.
    pub file: File,
    /// The SHA-256 of its bytes.
    pub blob: BlobId,
    /// Their number.
    pub length: u64,
}

/// What the neighbours tell this host on their own account. Calls come one after the other from one task and must return
/// quickly: what takes time belongs into a task.
pub trait Listener: Send + Sync + 'static {
    /// `from` has this signed head, which nobody has looked at yet.
    fn head(&self, from: PeerName, database: DatabaseId, note: String);
    /// A neighbour came or went.
    fn neighbour(&self, event: NeighbourEvent);
    /// The member `from` says that the entry of this name, [`KeyHash::of_list`] of its URL, has told it to leave it alone for so long;
    /// no time when it answers again.
    fn upstream_rests(&self, _from: PeerName, _entry: KeyHash, _rest: Duration) {}
}

/// A neighbour came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NeighbourEvent {
    /// It is connected and said hello.
    Came {
        /// Who.
        peer: PeerName,
        /// How it was found.
        found_by: FoundBy,
    },
    /// Its last connection ended.
    Went {
        /// Who.
        peer: PeerName,
    },
}

/// Where numbers are counted. Calls come often and must be as cheap as adding to a counter.
pub trait Watch: Send + Sync + 'static {
    /// Bytes of answers and files that neighbours sent.
    fn received(&self, _bytes: u64) {}
    /// Bytes of answers and files sent to neighbours.
    fn sent(&self, _bytes: u64) {}
    /// Bytes among them that came from other sites.
    fn crossed_in(&self, _bytes: u64) {}
    /// Bytes among them that went to other sites.
    fn crossed_out(&self, _bytes: u64) {}
    /// Neighbours that can be asked now.
    fn neighbours(&self, _now: usize) {}
    /// A neighbour asked a question of this kind, and is answered.
    fn asked(&self, _kind: &'static str) {}
    /// A neighbour was told "busy".
    fn busy(&self) {}
    /// A neighbour was turned away that is no member, or a member where this host is none.
    fn stranger(&self) {}
    /// A neighbour was caught in a lie.
    fn lie(&self, _peer: &PeerName) {}
}

/// Counts nothing.
impl Watch for () {}

/// What the room is started with.
#[derive(Debug, Clone)]
pub struct PeersConfig {
    /// The file that keeps this host's key; made when it is missing. Neighbours that were met are remembered in a file beside
    /// it, `neighbours`, where they are looked for by multicast.
    pub identity_file: PathBuf,
    /// The folder that keeps liars' words; made when it is needed.
    pub evidence_dir: PathBuf,
    /// The file that keeps the names of those whom this host's user distrusts.
    pub distrusted_file: PathBuf,
    /// What tells this machine from others, when the system knows.
    pub machine_id: Option<String>,
    /// Sockets to listen on; port 0 takes any free one.
    pub listen: Vec<SocketAddr>,
    /// Whether a person asked for these sockets: then a busy one is an error, else a warning and any free port.
    pub listen_asked: bool,
    /// The multiaddresses of `--peer`; see [`check_peer_address`](super::check_peer_address).
    pub peers: Vec<String>,
    /// By what this host knows its members.
    pub membership: Membership,
    /// Whether to look for neighbours by multicast.
    pub mdns: bool,
    /// The release of this host, told in the hello; at most 64 bytes.
    pub release: String,
    /// Whether this host has an upstream, told in the hello.
    pub can_fetch: bool,
    /// What is sent to all neighbours together, at most.
    pub limit_upload: Limit,
    /// What is taken from all neighbours together, at most.
    pub limit_download: Limit,
    /// The minute of the week in which limits by the hour begin; see [`Peers::it_is`](super::Peers::it_is).
    pub minute: Minute,
    /// This host's site, and what may go between it and others.
    pub crossing: CrossingLimits,
    /// Most neighbours that are connected at the same time, from
    /// [`NEIGHBOURS_MIN`](modmesh_protocol::limits::NEIGHBOURS_MIN) to [`NEIGHBOURS_MAX`](modmesh_protocol::limits::NEIGHBOURS_MAX).
    pub neighbours_max: usize,
    /// The most requests to the upstream that the hosts of this site have under way together; nothing for no cap.
    pub site_connections: Option<u16>,
}
