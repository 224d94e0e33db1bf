//! A log of our own, and sources that give it: the true ones, and those that do not.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use futures::future::BoxFuture;
use modmesh_protocol::digest::Hasher;
use modmesh_protocol::log::{
    Hash, Record, TileCoordinate, TreeHead, VerifierKey, empty_root, node_hash, record_hash,
};
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};

use super::super::ask::{
    AskError, Council, LogSource, LookupAnswer, Part, Surroundings, TileBytes, TileOf, Together,
    VersionsAnswer,
};
use super::super::database::{Database, Opening};
use super::super::finding::Offer;
use super::super::mirror::Mirror;
use crate::metrics::Source;
use crate::shutdown::Shutdown;

/// How long a silent neighbour is waited for: the adapter over neighbours gives up then.
pub(super) const SILENCE: Duration = Duration::from_secs(2);

/// A checksum database with a record of `example.com/mN v1.0.0` at each number N.
#[derive(Clone)]
pub(super) struct Log {
    leaves: Vec<Hash>,
    /// Records from here on are others than in the log without this.
    forked_at: u64,
    /// Records from here on are about versions of one module.
    many_from: u64,
}

/// The module whose record stands at `id`.
pub(super) fn module(id: u64) -> ModuleVersion {
    let path = ModulePath::parse(&format!("example.com/m{id}")).unwrap();
    ModuleVersion::new(path, Version::parse("v1.0.0").unwrap()).unwrap()
}

/// The module that has many versions.
pub(super) fn many() -> ModulePath {
    ModulePath::parse("example.com/many").unwrap()
}

pub(super) fn key() -> VerifierKey {
    let point = signer().verifying_key().to_bytes();
    VerifierKey::of_ed25519("sum.example", &point).unwrap()
}

fn signer() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

impl Log {
    pub(super) fn new(size: u64) -> Self {
        Self::forked(size, u64::MAX)
    }

    /// A log of the same key whose records from `at` on are others.
    pub(super) fn forked(size: u64, at: u64) -> Self {
        Self::made(size, at, u64::MAX)
    }

    /// A log whose records N from `from` on are about the versions `v1.N.0` of one module.
    pub(super) fn with_many(size: u64, from: u64) -> Self {
        Self::made(size, u64::MAX, from)
    }

    fn made(size: u64, forked_at: u64, many_from: u64) -> Self {
        let mut log = Self {
            leaves: Vec::new(),
            forked_at,
            many_from,
        };
        log.leaves = (0..size)
            .map(|id| record_hash(log.record(id).as_bytes()))
            .collect();
        log
    }

    pub(super) fn record(&self, id: u64) -> String {
        let fork = if id >= self.forked_at { "fork" } else { "" };
        let sum = STANDARD.encode(Hasher::digest(format!("{fork}{id}").as_bytes()));
        let (path, version) = if id >= self.many_from {
            (many().to_string(), format!("v1.{id}.0"))
        } else {
            (format!("example.com/m{id}"), "v1.0.0".to_owned())
        };
        format!("{path} {version} h1:{sum}\n{path} {version}/go.mod h1:{sum}\n")
    }

    /// The signed head of the first `size` records.
    pub(super) fn head(&self, size: u64) -> String {
        let root = match size {
            0 => empty_root(),
            _ => root_of(&self.leaves[..size as usize]),
        };
        let text = TreeHead { size, root }.text();
        key().signed_note(&text, &signer().sign(text.as_bytes()).to_bytes())
    }

    pub(super) fn answer(&self, id: u64, size: u64) -> LookupAnswer {
        LookupAnswer {
            id,
            text: self.record(id),
            note: self.head(size).into_bytes(),
        }
    }

    /// The widest form that the tile has under the first `size` records.
    pub(super) fn tile(&self, level: u8, index: u64, size: u64) -> Option<TileBytes> {
        let at = TileCoordinate::in_tree(size, level, index)?;
        let span = 1usize << (8 * u32::from(level));
        let first = index as usize * 256;
        let hashes = (first..first + usize::from(at.width))
            .map(|n| root_of(&self.leaves[n * span..][..span]));
        Some((at.width, hashes.flatten().collect()))
    }
}

/// The Merkle tree hash of RFC 6962, section 2.1.
fn root_of(leaves: &[Hash]) -> Hash {
    if let [leaf] = leaves {
        return *leaf;
    }
    let left = 1usize << (leaves.len() - 1).ilog2();
    node_hash(&root_of(&leaves[..left]), &root_of(&leaves[left..]))
}

/// What a source does when it is asked for tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Honest,
    /// It says nothing for as long as anybody may.
    Silent,
    /// It has no tile at all.
    Without,
    /// It has the right edge of its log, and no tile that is full.
    WithEdge,
    /// Of the tiles of level 0 one byte is another.
    Forged,
    /// As `Forged`, and above level 0 it has no tile.
    ForgedAndShort,
    /// What it gives is no tile.
    Babbling,
    /// It cannot be connected to.
    Away,
    /// For every tile it says that it is in trouble.
    Troubled,
}

/// A source that knows the first `size` records of `log`.
pub(super) struct Fake {
    pub name: &'static str,
    pub log: Log,
    pub size: u64,
    pub manner: Manner,
    /// What it says instead of the record of its log.
    pub lookup: Option<Result<LookupAnswer, AskError>>,
    pub behind: Option<Arc<Fake>>,
    /// The head that comes with a record has the next size that is a multiple of this.
    pub heads_cached_by: u64,
    /// Whether it says what its newest head is.
    pub tells_latest: bool,
    /// Whether it says which head it has itself.
    pub tells_head: bool,
    /// Whether it hands on what others gave it.
    pub is_hearsay: bool,
    pub latest_asked: AtomicUsize,
    pub looked_up: AtomicUsize,
    pub asked: AtomicUsize,
    pub blamed: Mutex<Vec<String>>,
}

impl Fake {
    pub(super) fn new(name: &'static str, log: &Log, size: u64, manner: Manner) -> Self {
        Self {
            name,
            log: log.clone(),
            size,
            manner,
            lookup: None,
            behind: None,
            heads_cached_by: size,
            tells_latest: true,
            tells_head: true,
            is_hearsay: false,
            latest_asked: AtomicUsize::default(),
            looked_up: AtomicUsize::default(),
            asked: AtomicUsize::default(),
            blamed: Mutex::default(),
        }
    }

    pub(super) fn start(name: &'static str, log: &Log, size: u64, manner: Manner) -> Arc<Self> {
        Arc::new(Self::new(name, log, size, manner))
    }

    pub(super) fn is_blamed(&self) -> bool {
        !self.blamed.lock().unwrap().is_empty()
    }

    /// How often it was asked for tiles.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn looked_up(&self) -> usize {
        self.looked_up.load(Ordering::SeqCst)
    }

    fn tile(&self, at: TileCoordinate) -> Result<TileBytes, AskError> {
        match self.manner {
            Manner::Away => return Err(AskError::Unreachable("no route".into())),
            Manner::Troubled => {
                let (said, status) = ("in trouble".to_owned(), Some(503));
                return Err(AskError::NoAnswer { said, status });
            }
            _ => {}
        }
        let tile = self
            .log
            .tile(at.level, at.index, self.size)
            .filter(|(width, _)| *width >= at.width);
        let (width, mut bytes) = tile.ok_or(AskError::Missing)?;
        match self.manner {
            Manner::Forged | Manner::ForgedAndShort if at.level == 0 => bytes[0] ^= 1,
            Manner::WithEdge if width == 256 => return Err(AskError::Missing),
            Manner::Without | Manner::ForgedAndShort => return Err(AskError::Missing),
            Manner::Babbling => bytes = b"<!doctype html>".to_vec(),
            _ => {}
        }
        Ok((width, bytes))
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl LogSource for Fake {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn source(&self) -> Source {
        match self.name {
            "upstream" | "the database itself" => Source::Upstream,
            _ => Source::Peer,
        }
    }

    fn lookup<'a>(
        &'a self,
        of: &'a ModuleVersion,
    ) -> BoxFuture<'a, Result<LookupAnswer, AskError>> {
        self.looked_up.fetch_add(1, Ordering::SeqCst);
        let answer = self.lookup.clone().unwrap_or_else(|| {
            let path = of.module.escaped().to_string();
            let id: u64 = path.trim_start_matches("example.com/m").parse().unwrap();
            if id < self.size {
                let step = self.heads_cached_by;
                let head = ((id / step + 1) * step).min(self.size);
                Ok(self.log.answer(id, head))
            } else {
                Err(AskError::Missing)
            }
        });
        Box::pin(std::future::ready(answer))
    }

    fn tiles<'a>(
        &'a self,
        coordinates: &'a [TileCoordinate],
    ) -> BoxFuture<'a, Vec<Result<TileBytes, AskError>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if self.manner == Manner::Silent {
                tokio::time::sleep(SILENCE).await;
                let silent = Err(AskError::Unreachable("silent".into()));
                return vec![silent; coordinates.len()];
            }
            // Others get a turn, as they do while a network answers.
            tokio::task::yield_now().await;
            coordinates.iter().map(|at| self.tile(*at)).collect()
        })
    }

    fn head(&self) -> BoxFuture<'_, Option<Vec<u8>>> {
        let note = self.log.head(self.size).into_bytes();
        Box::pin(std::future::ready(self.tells_head.then_some(note)))
    }

    fn latest(&self) -> BoxFuture<'_, Result<Vec<u8>, AskError>> {
        self.latest_asked.fetch_add(1, Ordering::SeqCst);
        let note = match self.manner {
            Manner::Away => Err(AskError::Unreachable("no route".into())),
            _ if !self.tells_latest => Err(AskError::Missing),
            _ => Ok(self.log.head(self.size).into_bytes()),
        };
        Box::pin(std::future::ready(note))
    }

    fn behind(&self) -> Option<Arc<dyn LogSource>> {
        let behind = self.behind.clone()?;
        Some(behind)
    }

    fn is_hearsay(&self) -> bool {
        self.is_hearsay
    }

    fn blame(&self, _: Part<'_>, what: &str, _: &[u8]) {
        self.blamed.lock().unwrap().push(what.to_owned());
    }
}

/// Records that a neighbour shows as those of a module's versions.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub by: Arc<Fake>,
    pub records: Vec<Record>,
}

/// Hosts that may want the same tiles: one of them was given them.
#[derive(Debug)]
pub(super) struct Fellows {
    pub upstream: Arc<Fake>,
    pub hearsay: Arc<Fake>,
}

impl Together for Fellows {
    fn upstream(&self) -> Arc<dyn LogSource> {
        Arc::<Fake>::clone(&self.upstream)
    }

    fn tiles<'a>(
        &'a self,
        coordinates: &'a [TileCoordinate],
    ) -> BoxFuture<'a, Vec<Option<TileOf>>> {
        Box::pin(async move {
            let given = self.hearsay.tiles(coordinates).await.into_iter();
            let by_them = given.map(|given| {
                let giver: Arc<dyn LogSource> = Arc::<Fake>::clone(&self.hearsay);
                given.is_ok().then_some((given, giver))
            });
            by_them.collect()
        })
    }
}

/// Everybody around a mirror.
#[derive(Debug, Default)]
pub(super) struct Around {
    /// Neighbours that say they have the record, quickest first.
    pub givers: Vec<Arc<Fake>>,
    /// The neighbour that makes offers.
    pub offering: Option<Arc<Fake>>,
    pub neighbours: Vec<Arc<Fake>>,
    /// Records that neighbours show of a module, with the size of their head; nobody is there without any.
    pub shown: Mutex<Vec<Shown>>,
    /// How often neighbours were asked for those.
    pub versions_asked: AtomicUsize,
    pub upstream: Option<Arc<Fake>>,
    pub together: Option<Arc<Fellows>>,
    pub advanced: Mutex<Vec<String>>,
    pub contradictions: AtomicUsize,
}

fn as_sources(fakes: &[Arc<Fake>]) -> Vec<Arc<dyn LogSource>> {
    fakes
        .iter()
        .map(|fake| Arc::clone(fake) as Arc<dyn LogSource>)
        .collect()
}

impl Surroundings for Around {
    fn neighbours_with<'a>(
        &'a self,
        _: &'a ModuleVersion,
    ) -> BoxFuture<'a, Vec<Arc<dyn LogSource>>> {
        Box::pin(std::future::ready(as_sources(&self.givers)))
    }

    fn offering(&self, _: &Offer) -> Option<Arc<dyn LogSource>> {
        Some(Arc::clone(self.offering.as_ref()?) as Arc<dyn LogSource>)
    }

    fn council(&self, _: &ModuleVersion) -> Option<Box<dyn Council>> {
        None
    }

    fn versions_at_neighbours<'a>(
        &'a self,
        _: &'a ModulePath,
    ) -> BoxFuture<'a, Option<Vec<VersionsAnswer>>> {
        let shown = self.shown.lock().unwrap().clone();
        let answers = shown.into_iter().map(|shown| VersionsAnswer {
            note: shown.by.log.head(shown.by.size).into_bytes(),
            records: shown.records,
            source: shown.by,
        });
        let answers: Vec<_> = answers.collect();
        let answers = (!answers.is_empty()).then_some(answers);
        Box::pin(async move {
            self.versions_asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            answers
        })
    }

    fn neighbours(&self) -> Vec<Arc<dyn LogSource>> {
        as_sources(&self.neighbours)
    }

    fn within_reach(&self) -> HashSet<String> {
        let all = self.neighbours.iter().chain(&self.upstream);
        all.map(|one| one.name()).collect()
    }

    fn advanced(&self, note: &str) {
        self.advanced.lock().unwrap().push(note.to_owned());
    }

    fn contradicted(&self) {
        self.contradictions.fetch_add(1, Ordering::SeqCst);
    }

    fn together(&self) -> Option<Arc<dyn Together>> {
        let together = self.together.clone()?;
        Some(together)
    }

    fn upstream(&self) -> Option<Arc<dyn LogSource>> {
        let upstream = self.upstream.clone()?;
        Some(upstream)
    }
}

/// Where clients keep the heads that they hold, below the state folder.
pub(super) const CLIENTS: &str = "clients";

/// A mirror in the folder `state` among these.
pub(super) fn mirror(state: &Path, around: &Arc<Around>) -> Mirror {
    database(state, around).mirror()
}

/// The database in the folder `state` among these.
pub(super) fn database(state: &Path, around: &Arc<Around>) -> Database {
    Database::open(Opening {
        state: state.to_owned(),
        key: key(),
        client_folders: vec![state.join(CLIENTS)],
        surroundings: Arc::clone(around) as _,
        shutdown: Shutdown::new(),
    })
    .unwrap()
}

/// A folder in which a mirror has proved `id` under the head of `size` records of `log`.
pub(super) async fn kept(log: &Log, id: u64, size: u64) -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    let around = Around {
        upstream: Some(Fake::start("upstream", log, size, Manner::Honest)),
        ..Around::default()
    };
    let mirror = mirror(state.path(), &Arc::new(around));
    mirror.lookup(&module(id)).await.unwrap();
    assert_eq!(mirror.head().unwrap().size(), size);
    state
}

/// All files below a folder, with their lengths.
pub(super) fn files_below(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            let length = path.metadata().unwrap().len();
            found.push((path, length));
        }
    }
    found.sort();
    found
}

/// Waits until something is so.
pub(super) async fn until(what: &str, so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    waited.unwrap_or_else(|_| panic!("{what} did not become so"));
}
