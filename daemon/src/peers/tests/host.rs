//! A host for tests: a shelf in memory and a folder, a listener that keeps what it heard.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::digest::BlobId;
use modmesh_protocol::limits::NEIGHBOURS_MAX;
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::RecordAnswer;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::{
    Listener, Membership, NeighbourEvent, Peers, PeersConfig, PeersError, Shelf, Shelved,
    ShelvedSaying, ShelvedStatement, Tile, Watch, lock,
};

/// How long a test waits for an event that must come.
pub(super) const SOON: Duration = Duration::from_secs(10);
pub(super) const DATABASE: DatabaseId = DatabaseId([7; 32]);

/// What a listener heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Head(PeerName, DatabaseId, String),
    Neighbour(NeighbourEvent),
}

/// A shelf in memory, files in a folder.
#[derive(Debug, Default)]
pub(super) struct Cupboard {
    pub(super) files: Mutex<HashMap<KeyHash, (PathBuf, BlobId, u64)>>,
    pub(super) records: Mutex<HashMap<KeyHash, (u64, String)>>,
    pub(super) versions: Mutex<HashMap<KeyHash, Vec<(u64, String)>>>,
    pub(super) tiles: Mutex<HashMap<(u8, u64), Tile>>,
    pub(super) head: Mutex<Option<(u64, String)>>,
    /// What it states to members of any file. Where it states something, it has a note and a saying for whatever they ask too.
    pub(super) for_members: Mutex<Option<ShelvedStatement>>,
    /// While shut, whoever asks for a file waits: for tests of bounds.
    pub(super) gate: Gate,
}

/// A gate that is open at first.
#[derive(Debug, Default)]
pub(super) struct Gate {
    is_shut: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub(super) fn shut(&self) {
        *lock(&self.is_shut) = true;
    }

    pub(super) fn open(&self) {
        *lock(&self.is_shut) = false;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut is_shut = lock(&self.is_shut);
        while *is_shut {
            is_shut = self.changed.wait(is_shut).unwrap();
        }
    }
}

impl Shelf for Cupboard {
    fn file(&self, key: KeyHash) -> Option<Shelved> {
        self.gate.pass();
        let (path, blob, length) = lock(&self.files).get(&key)?.clone();
        let file = File::open(path).ok()?;
        Some(Shelved { file, blob, length })
    }

    fn summary(&self, key: KeyHash) -> Option<(BlobId, u64)> {
        self.gate.pass();
        let (_, blob, length) = lock(&self.files).get(&key)?.clone();
        Some((blob, length))
    }

    fn record(&self, _: DatabaseId, key: KeyHash) -> Option<RecordAnswer> {
        let (id, text) = lock(&self.records).get(&key).cloned()?;
        let head = self.head(DATABASE)?;
        Some(RecordAnswer { id, text, head })
    }

    fn versions(&self, database: DatabaseId, key: KeyHash) -> Option<(String, Vec<(u64, String)>)> {
        let shown = lock(&self.versions).get(&key).cloned();
        let shown = shown.filter(|_| database == DATABASE)?;
        Some((self.head(DATABASE)?, shown))
    }

    fn statement(&self, _: KeyHash) -> Option<ShelvedStatement> {
        lock(&self.for_members).clone()
    }

    fn note(&self, _: &str) -> Option<(Vec<u8>, Duration)> {
        let has_it = lock(&self.for_members).is_some();
        has_it.then(|| (b"v1.0.0\n".to_vec(), Duration::ZERO))
    }

    fn saying(&self, _: KeyHash) -> Option<ShelvedSaying> {
        let has_it = lock(&self.for_members).is_some();
        has_it.then(|| ShelvedSaying {
            status: 404,
            bytes: b"not found".to_vec(),
            age: Duration::ZERO,
            at: Duration::from_secs(7),
        })
    }

    fn tile(&self, _: DatabaseId, level: u8, index: u64, _: u16) -> Option<(u16, Vec<u8>)> {
        lock(&self.tiles).get(&(level, index)).cloned()
    }

    fn head(&self, _: DatabaseId) -> Option<String> {
        lock(&self.head).clone().map(|(_, note)| note)
    }

    fn heads(&self) -> Vec<(DatabaseId, u64)> {
        let size = lock(&self.head).as_ref().map_or(0, |(size, _)| *size);
        vec![(DATABASE, size)]
    }
}

#[derive(Debug)]
struct Ear(mpsc::UnboundedSender<Heard>);

impl Listener for Ear {
    fn head(&self, from: PeerName, database: DatabaseId, note: String) {
        let _ = self.0.send(Heard::Head(from, database, note));
    }

    fn neighbour(&self, event: NeighbourEvent) {
        let _ = self.0.send(Heard::Neighbour(event));
    }
}

/// A running host.
pub(super) struct Host {
    pub(super) peers: Peers,
    pub(super) shelf: Arc<Cupboard>,
    pub(super) heard: mpsc::UnboundedReceiver<Heard>,
    pub(super) folder: TempDir,
}

/// A configuration on loopback that keeps its files in `folder`.
pub(super) fn config(folder: &TempDir, peers: &[String]) -> PeersConfig {
    PeersConfig {
        identity_file: folder.path().join("identity"),
        evidence_dir: folder.path().join("evidence"),
        distrusted_file: folder.path().join("distrusted"),
        machine_id: Some("a test".into()),
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        listen_asked: true,
        peers: peers.to_vec(),
        membership: Membership::default(),
        mdns: false,
        release: "0.1.0".into(),
        can_fetch: true,
        limit_upload: Default::default(),
        limit_download: Default::default(),
        minute: Default::default(),
        crossing: Default::default(),
        neighbours_max: NEIGHBOURS_MAX,
        site_connections: None,
    }
}

impl Host {
    /// A host that calls `peers`.
    pub(super) async fn start(peers: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder, peers);
        Self::start_with(folder, config).await.unwrap()
    }

    pub(super) async fn start_with(
        folder: TempDir,
        config: PeersConfig,
    ) -> Result<Self, PeersError> {
        let shelf = Arc::new(Cupboard::default());
        Self::start_on(folder, config, shelf).await
    }

    pub(super) async fn start_on(
        folder: TempDir,
        config: PeersConfig,
        shelf: Arc<Cupboard>,
    ) -> Result<Self, PeersError> {
        // A test hears all of what is said, however much; the end of the test is its bound.
        #[allow(clippy::disallowed_methods)]
        let (ear, heard) = mpsc::unbounded_channel();
        let watch: Arc<dyn Watch> = Arc::new(());
        let peers =
            Peers::start(config, Arc::clone(&shelf) as _, Arc::new(Ear(ear)), watch).await?;
        Ok(Self {
            peers,
            shelf,
            heard,
            folder,
        })
    }

    /// Two hosts that are neighbours.
    pub(super) async fn pair() -> (Self, Self) {
        let mut first = Self::start(&[]).await;
        let mut second = Self::start(&first.peers.addresses()).await;
        assert_eq!(first.came().await, second.peers.name());
        assert_eq!(second.came().await, first.peers.name());
        (first, second)
    }

    /// Puts a file on the shelf.
    pub(super) fn put(&self, number: u8, bytes: &[u8]) -> (KeyHash, BlobId) {
        let path = self.folder.path().join(format!("file-{number}"));
        fs::write(&path, bytes).unwrap();
        let (key, blob) = (KeyHash([number; 32]), BlobId::of(bytes));
        lock(&self.shelf.files).insert(key, (path, blob, bytes.len() as u64));
        (key, blob)
    }

    /// Waits for the next thing heard.
    pub(super) async fn next(&mut self) -> Heard {
        timeout(SOON, self.heard.recv()).await.unwrap().unwrap()
    }

    /// Waits for the next neighbour to come.
    pub(super) async fn came(&mut self) -> PeerName {
        loop {
            if let Heard::Neighbour(NeighbourEvent::Came { peer, .. }) = self.next().await {
                return peer;
            }
        }
    }

    /// Waits for the next neighbour to go.
    pub(super) async fn went(&mut self) -> PeerName {
        loop {
            if let Heard::Neighbour(NeighbourEvent::Went { peer }) = self.next().await {
                return peer;
            }
        }
    }
}

/// Waits until `holds`, for things without an event.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let polling = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, polling)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"));
}
