//! A neighbour that lies, made of the true network room and a shelf that forges.
//!
//! It speaks the mesh's own protocols through [`modmesh_daemon::peers`], so connections, greetings and bounds are the true
//! ones; only what lies on its shelf is not. A forgery is made as well as it can be without the key of the checksum
//! database: a forged record comes with the files that it would prove, a forged tile with all tiles below it made to fit.
//! With [`PeerLie::None`] it is an honest neighbour without a daemon, and with the lies that are none ([`PeerLie::Drip`] and
//! those after it) an honest one that is of no use.

mod owner;
mod shelf;
mod slow;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modmesh_daemon::peers::{
    Listener, Membership, NeighbourEvent, Peers, PeersConfig, Shelf, Watch,
};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::lease::MemberId;
use modmesh_protocol::limits::NEIGHBOURS_MAX;
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::membership::Secrets;
use modmesh_protocol::peer_name::PeerName;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::line::{Line, Quality};
use crate::log::TestLog;
use crate::module::{Module, ZipLie};
use crate::place::Place;

pub use owner::OwnerLie;
pub(crate) use shelf::ForgingShelf;

/// What a neighbour lies about. All else that it says is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerLie {
    /// Nothing.
    None,
    /// The zip, in one of the ways in which zips are wrong.
    Zip(ZipLie),
    /// The go.mod: it requires something more.
    GoMod,
    /// Every file is that of the next module.
    OtherFile,
    /// The record: it lists the sums of forged files, which are on the shelf too.
    Record,
    /// As `Record`, and the tiles of the lowest level fit the forged record.
    Tile,
    /// As `Record`, and every tile and the head fit it; the head is signed by a stranger.
    Head,
    /// The record of another module, which is in the log (CVE-2026-42501).
    OtherRecord,
    /// As `OtherRecord`, and the head, signed by the database itself, goes on with lines that list the sums of forged files
    /// (CVE-2026-56864).
    Lines,
    /// As `Record`, and every tile has one hash less than it says.
    TileWidth,
    /// As `Head`, but what is not a module of ours is left alone: only the head is forged, over the true tree.
    HeadOfTrueTree,
    /// Nothing, but its files come at 20 kB/s.
    Drip,
    /// As `Drip`, and asked who has a file it says that it is one byte long.
    DripOfOneByte,
    /// Nothing, but of a zip it sends the first half, and then no more. The half is sent in whole pieces of 256 KiB.
    Half,
    /// Every zip is 48 MB of zeros.
    Vast,
    /// It says that it has files, and when asked for one, that it has not.
    Empty,
    /// Nothing, but it shows a record only when it is asked more often than this.
    RecordAfter(u64),
    /// Nothing, but it has files and never sends any.
    Silent,
    /// Nothing, but it never answers a question for tiles.
    SilentAboutTiles,
    /// Nothing, but asked for tiles it says that it has none, a moment before it would count as silent.
    LateAboutTiles,
}

impl PeerLie {
    /// Every lie that can be told from the truth.
    pub fn all() -> Vec<PeerLie> {
        let mut lies: Vec<PeerLie> = ZipLie::ALL.into_iter().map(PeerLie::Zip).collect();
        lies.extend([
            PeerLie::GoMod,
            PeerLie::Record,
            PeerLie::Tile,
            PeerLie::Head,
            PeerLie::HeadOfTrueTree,
            PeerLie::OtherRecord,
            PeerLie::Lines,
            PeerLie::TileWidth,
        ]);
        lies
    }
}

/// A neighbour with a forging shelf.
#[derive(Debug)]
pub struct LyingPeer {
    peers: Peers,
    shelf: Arc<ForgingShelf>,
    runtime: Option<Runtime>,
    keys: Vec<KeyHash>,
    questions: Arc<Questions>,
    address: String,
    asked_as_owner: Arc<AtomicU64>,
    _line: Option<Line>,
    _folder: TempDir,
}

impl LyingPeer {
    /// Starts a neighbour on a free port of 127.0.0.1 that has `modules`, with the records of those that `log` lists, and lies in one way.
    /// It dials nobody: give its address to others as `--peer`.
    pub fn start(modules: &[Module], log: &TestLog, lie: PeerLie) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_in(&Place::Here, listen, modules, log, lie, &[], false)
    }

    /// Starts a neighbour in a place, which dials `dial` and, when asked to, finds others by mDNS.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start_in(
        place: &Place,
        listen: SocketAddr,
        modules: &[Module],
        log: &TestLog,
        lie: PeerLie,
        dial: &[String],
        mdns: bool,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the shelf");
        let shelf = ForgingShelf::new(&folder, modules, log, lie);
        Self::begin(
            place,
            listen,
            (folder, shelf),
            dial,
            mdns,
            Membership::default(),
        )
    }

    /// Starts a member of the mesh with these secrets on a free port of 127.0.0.1. It states of its files what they are, but of
    /// those that it forges what they should be.
    pub fn start_member(modules: &[Module], log: &TestLog, lie: PeerLie, secrets: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the shelf");
        let shelf = ForgingShelf::new(&folder, modules, log, lie);
        let membership = Membership {
            secrets: Secrets::parse(secrets).expect("secrets"),
            list: Vec::new(),
        };
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::begin(
            &Place::Here,
            listen,
            (folder, shelf),
            &[],
            false,
            membership,
        )
    }

    fn begin(
        place: &Place,
        listen: SocketAddr,
        (folder, shelf): (TempDir, ForgingShelf),
        dial: &[String],
        mdns: bool,
        membership: Membership,
    ) -> Self {
        let shelf = Arc::new(shelf);
        let keys = shelf.keys();
        let standing = place.clone();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .on_thread_start(move || standing.enter().expect("the neighbour's namespace"))
            .enable_all()
            .build()
            .expect("a runtime for the neighbour");
        let config = PeersConfig {
            identity_file: folder.path().join("identity"),
            evidence_dir: folder.path().join("evidence"),
            distrusted_file: folder.path().join("distrusted"),
            machine_id: None,
            listen: vec![listen],
            listen_asked: true,
            peers: dial.to_vec(),
            membership,
            mdns,
            release: "liar".to_owned(),
            can_fetch: false,
            limit_upload: Default::default(),
            limit_download: Default::default(),
            minute: Default::default(),
            crossing: Default::default(),
            neighbours_max: NEIGHBOURS_MAX,
            site_connections: None,
        };
        let shown: Arc<dyn Shelf> = Arc::clone(&shelf) as _;
        let questions = Arc::<Questions>::default();
        let counting: Arc<dyn Watch> = Arc::clone(&questions) as _;
        let starting = runtime
            .spawn(async move { Peers::start(config, shown, Arc::new(Deaf), counting).await });
        let peers = runtime
            .block_on(starting)
            .expect("the neighbour's start")
            .expect("a neighbour that listens");
        let address = peers.addresses().into_iter().next().expect("an address");
        let (line, address) = match shelf.lie {
            PeerLie::Drip | PeerLie::DripOfOneByte => {
                let (line, near) = slow::line_to(&address, slow::dripping);
                (Some(line), near)
            }
            _ => (None, address),
        };
        Self {
            peers,
            shelf,
            runtime: Some(runtime),
            keys,
            questions,
            address,
            asked_as_owner: Arc::default(),
            _line: line,
            _folder: folder,
        }
    }

    /// The address that other hosts take as `--peer`.
    pub fn peer_address(&self) -> String {
        self.address.clone()
    }

    /// The same neighbour at the far end of a line of this length: keep the line as long as the address is used.
    pub fn at_distance(&self, round_trip: Duration) -> (Line, String) {
        let quality = Quality {
            bits_per_second: 0,
            round_trip,
        };
        slow::line_to(&self.address, |server| Line::start(server, quality))
    }

    /// Its peer id.
    pub fn peer_id(&self) -> String {
        self.peers.name().to_string()
    }

    /// Tells all neighbours what it has.
    pub fn announce(&self) {
        let runtime = self.runtime.as_ref().expect("a runtime");
        let _inside = runtime.enter();
        self.peers.announce(self.keys.clone());
    }

    /// Its peer id.
    pub fn name(&self) -> String {
        self.peers.name().to_string()
    }

    /// Neighbours that are connected to it.
    pub fn connected(&self) -> usize {
        self.peers.connected()
    }

    /// From now on it says this to everybody who asks it as an owner. The first lie of a neighbour is its last.
    pub fn lie_as_owner(&self, lie: OwnerLie) {
        let runtime = self.runtime.as_ref().expect("a runtime");
        let (peers, asked) = (self.peers.clone(), Arc::clone(&self.asked_as_owner));
        runtime.spawn(owner::lie(peers, lie, asked));
    }

    /// Its name as owners write it.
    pub fn member_id(&self) -> MemberId {
        MemberId::of(&self.peers.name())
    }

    /// Whether it is the first owner of a module among the hosts with these peer ids.
    ///
    /// # Panics
    /// When one of them, or the path, is none.
    pub fn owns(&self, path: &str, among: impl IntoIterator<Item = String>) -> bool {
        let names: Vec<String> = [self.name()].into_iter().chain(among).collect();
        owner::owns(&names, path)
    }

    /// How many times it was asked as an owner since it lies as one.
    pub fn asked_as_owner(&self) -> u64 {
        self.asked_as_owner.load(Ordering::Relaxed)
    }

    /// How many questions of this kind it was asked: `inline`, `locate`, `tiles`, `file` and so on.
    pub fn questions(&self, kind: &str) -> u64 {
        let counts = self.questions.0.lock().expect("nobody panics with it");
        counts.get(kind).copied().unwrap_or_default()
    }

    /// How many times a file was taken from its shelf.
    pub fn files_given(&self) -> u64 {
        self.shelf.asked.files.load(Ordering::Relaxed)
    }

    /// How many times a record was asked for.
    pub fn records_given(&self) -> u64 {
        self.shelf.asked.records.load(Ordering::Relaxed)
    }

    /// How many times the versions of one of its modules were asked for.
    pub fn versions_given(&self) -> u64 {
        self.shelf.asked.versions.load(Ordering::Relaxed)
    }

    /// How many times a tile was asked for.
    pub fn tiles_given(&self) -> u64 {
        self.shelf.asked.tiles.load(Ordering::Relaxed)
    }
}

impl Drop for LyingPeer {
    fn drop(&mut self) {
        self.shelf.tap.let_go();
        if let Some(runtime) = self.runtime.take() {
            let peers = self.peers.clone();
            let stopping = runtime.spawn(async move { peers.stop(Duration::from_secs(1)).await });
            let _ = runtime.block_on(stopping);
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// Counts the questions, by kind.
#[derive(Debug, Default)]
struct Questions(Mutex<HashMap<&'static str, u64>>);

impl Watch for Questions {
    fn asked(&self, kind: &'static str) {
        let mut counts = self.0.lock().expect("nobody panics with it");
        *counts.entry(kind).or_default() += 1;
    }
}

/// Listens to nobody.
#[derive(Debug)]
pub(crate) struct Deaf;

impl Listener for Deaf {
    fn head(&self, _from: PeerName, _database: DatabaseId, _note: String) {}
    fn neighbour(&self, _event: NeighbourEvent) {}
}

#[cfg(test)]
mod tests {
    use modmesh_protocol::artifact::{ArtifactKey, FileKind};

    use super::shelf::identity;
    use modmesh_daemon::peers::Haste;

    use super::*;

    #[test]
    fn two_neighbours_connect_and_one_shows_what_the_other_asks_for() {
        let module = Module::package("example.com/hello", "v1.0.0");
        let mut log = TestLog::new("sumdb.example.test");
        log.append(&module);
        let lie = PeerLie::Zip(ZipLie::Tampered);
        let first = LyingPeer::start(std::slice::from_ref(&module), &log, lie);
        let second = LyingPeer::start_in(
            &Place::Here,
            SocketAddr::from(([127, 0, 0, 1], 0)),
            &[],
            &log,
            PeerLie::None,
            &[first.peer_address()],
            false,
        );
        let key = ArtifactKey {
            of: identity(&module),
            kind: FileKind::Zip,
        };
        let (key, peers) = (KeyHash::of_file(&key), second.peers.clone());
        let asking = second.runtime.as_ref().unwrap().spawn(async move {
            loop {
                let located = peers.locate(Some(key), None, Haste::NobodyElse).await;
                if let Some(holder) = located.first() {
                    let mut bytes = Vec::new();
                    let fetched =
                        peers.fetch(&holder.peer, key, 1 << 20, Haste::NobodyElse, &mut bytes);
                    return fetched.await.map(|_| bytes);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let runtime = second.runtime.as_ref().unwrap();
        let bytes = runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(20), asking).await })
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(bytes, module.lying_zip(ZipLie::Tampered));
        assert_eq!(first.files_given(), 1);
    }
}
