//! One checksum database: what is asked of it, and who asks.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use futures::future::BoxFuture;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::log::{DatabaseId, Record, SignedHead, Tile, TileCoordinate, VerifierKey};
use modmesh_protocol::module::ModuleVersion;

use super::ask::{AskError, LogSource, Surroundings};
use super::files::Files;
use super::finding::{Authority, Finding, ListedRecord, Told};
use super::prove::{ProveError, Prover};
use crate::flight::Flights;
use crate::shutdown::Shutdown;

/// How long the database's word that it has no record is remembered.
const UNLISTED_FOR: Duration = Duration::from_secs(60);
/// How many such words are remembered.
const UNLISTED_MAX: usize = 4096;

/// A handle on the mirror of one database; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Mirror {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    prover: Arc<Prover>,
    surroundings: Arc<dyn Surroundings>,
    lookups: Flights<ModuleVersion, Told>,
    unlisted: Mutex<HashMap<ModuleVersion, Instant>>,
    /// Why the database could not be asked, when that was so the last time.
    trouble: Mutex<Option<Arc<str>>>,
    /// Which module versions' records are kept, by the hash under which neighbours ask for them.
    records: RwLock<HashMap<KeyHash, ModuleVersion>>,
}

/// What the front door gets for a tile.
#[derive(Debug)]
pub(crate) enum TileAnswer {
    /// Proved under the current head.
    Here(Vec<u8>),
    /// Beyond the current head, as the upstream gave it: not proved, not kept, not shared.
    Passed(Vec<u8>),
    /// Nobody who could be asked has it; the text is for a person.
    Missing(String),
}

impl Mirror {
    /// Opens the mirror of the database of `key` in the state folder `state`. Blocks while it reads.
    pub(crate) fn open(
        state: &Path,
        key: VerifierKey,
        surroundings: Arc<dyn Surroundings>,
        shutdown: &Shutdown,
    ) -> io::Result<Self> {
        let files = Files::open(state, key.name())?;
        let records = files
            .recorded()
            .into_iter()
            .map(|of| (KeyHash::of_record(key.name(), &of), of))
            .collect();
        Ok(Self {
            inner: Arc::new(Inner {
                prover: Arc::new(Prover::open(
                    key,
                    files,
                    Arc::clone(&surroundings),
                    shutdown,
                )),
                surroundings,
                lookups: Flights::new("lookup", shutdown.clone()),
                unlisted: Mutex::default(),
                trouble: Mutex::default(),
                records: RwLock::new(records),
            }),
        })
    }

    /// The database's name, as in its verifier key.
    pub(crate) fn name(&self) -> &str {
        self.inner.prover.key().name()
    }

    pub(crate) fn database_id(&self) -> DatabaseId {
        self.inner.prover.key().database_id()
    }

    /// The head under which everything here is proved; nothing before the first lookup.
    pub(crate) fn head(&self) -> Option<Arc<SignedHead>> {
        self.inner.prover.head()
    }

    /// When the current head was written here.
    pub(crate) fn head_written(&self) -> Option<SystemTime> {
        let size = self.head()?.size();
        self.inner.prover.files().head_written(size)
    }

    /// Why the database could not be asked the last time that a record was needed; nothing when it could.
    pub(crate) fn trouble(&self) -> Option<Arc<str>> {
        self.inner
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many records are kept.
    pub(crate) fn records(&self) -> u64 {
        self.inner
            .records
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len() as u64
    }

    /// The kept record that a neighbour asks for by the hash of its key.
    pub(crate) fn kept_record_of(&self, key: KeyHash) -> Option<Record> {
        let of = self
            .inner
            .records
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned()?;
        self.kept_record(&of)
    }

    /// The kept record of `of`; nothing when the head that it was proved under was lost.
    fn kept_record(&self, of: &ModuleVersion) -> Option<Record> {
        let record = self.inner.prover.files().record(of)?;
        (record.id < self.head()?.size()).then_some(record)
    }

    /// The kept tile at `level` and `index`, in its widest form.
    pub(crate) fn kept_tile(&self, level: u8, index: u64) -> Option<Arc<Tile>> {
        self.inner.prover.kept_tile(level, index)
    }

    /// The answer to a lookup: the record, and the current head whatever head it came with.
    pub(crate) async fn lookup(&self, of: &ModuleVersion) -> Result<String, Finding> {
        match self.find(of).await.finding {
            Finding::Listed(record) => match self.head() {
                Some(head) if record.id < head.size() => {
                    let record = Record {
                        id: record.id,
                        text: record.text.clone(),
                    };
                    Ok(record.lookup_body(head.note()))
                }
                _ => Err(Finding::Unreachable(
                    "the tree head for this record is missing".into(),
                )),
            },
            other => Err(other),
        }
    }

    /// The tile at `coordinate`, cut from a wider one where needed.
    pub(crate) async fn tile(&self, coordinate: TileCoordinate) -> TileAnswer {
        let prover = &self.inner.prover;
        let kept = prover
            .kept_tile(coordinate.level, coordinate.index)
            .and_then(|tile| tile.cut(coordinate.width));
        if let Some(tile) = kept {
            return TileAnswer::Here(tile.into_bytes());
        }
        let Some(head) = self.head() else {
            return self.pass(coordinate, 0).await;
        };
        let under_head = TileCoordinate::in_tree(head.size(), coordinate.level, coordinate.index);
        if under_head.is_none_or(|there| there.width < coordinate.width) {
            return self.pass(coordinate, head.size()).await;
        }
        match prover
            .fetch_tile(&head, coordinate, &self.everybody())
            .await
        {
            Ok(Some(tile)) => TileAnswer::Here(tile.into_bytes()),
            Ok(None) => TileAnswer::Missing(format!("no tile {}", coordinate.path())),
            Err(error) => TileAnswer::Missing(error.to_string()),
        }
    }

    /// A head that somebody showed us on their own account: proved consistent, adopted if larger, else dropped.
    pub(crate) async fn offer_head(&self, note: &str, from: Arc<dyn LogSource>) {
        let mut sources = vec![from];
        sources.extend(self.inner.surroundings.upstream());
        if let Err(error) = self.inner.prover.merge(note.as_bytes(), &sources).await {
            tracing::debug!(database = self.name(), %error, "an offered tree head was not adopted");
        }
    }

    /// A tile that a client asks for because it has seen a larger tree than we have.
    async fn pass(&self, coordinate: TileCoordinate, size: u64) -> TileAnswer {
        let beyond = format!(
            "tile {} lies beyond the {size} records of {} that this host can prove; it needs the internet once to catch up",
            coordinate.path(),
            self.name()
        );
        let Some(upstream) = self.inner.surroundings.upstream() else {
            return TileAnswer::Missing(beyond);
        };
        let asked = [coordinate];
        match upstream.tiles(&asked).await.pop() {
            Some(Ok((width, bytes))) => match cut_unproved(coordinate, width, bytes) {
                Some(bytes) => TileAnswer::Passed(bytes),
                None => TileAnswer::Missing(beyond),
            },
            _ => TileAnswer::Missing(beyond),
        }
    }

    fn everybody(&self) -> Vec<Arc<dyn LogSource>> {
        let mut sources = self.inner.surroundings.neighbours();
        sources.extend(self.inner.surroundings.upstream());
        sources
    }

    fn kept(&self, of: &ModuleVersion) -> Option<Arc<ListedRecord>> {
        let record = self.kept_record(of)?;
        let sums = record.sums(of).ok()?;
        Some(Arc::new(ListedRecord {
            database: self.name().to_owned(),
            id: record.id,
            text: record.text,
            sums,
        }))
    }

    async fn ask(self, of: ModuleVersion) -> Told {
        let told = self.ask_all(of).await;
        let trouble = match &told.finding {
            Finding::Unreachable(reason) => Some(Arc::clone(reason)),
            Finding::Listed(_) | Finding::Unlisted => None,
        };
        *self
            .inner
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = trouble;
        told
    }

    /// Asks the neighbours that have the record, then the upstream, until one answer proves itself.
    async fn ask_all(&self, of: ModuleVersion) -> Told {
        if let Some(record) = self.kept(&of) {
            return Told::new(Finding::Listed(record), "store");
        }
        let inner = &self.inner;
        let mut reason: Arc<str> = "no neighbour has the record, and there is no upstream".into();
        for neighbour in inner.surroundings.neighbours_with(&of).await {
            match self.ask_one(&of, &neighbour).await {
                Ok(record) => return Told::new(Finding::Listed(record), neighbour.name()),
                Err(why) => reason = why.reason(),
            }
        }
        if let Some(upstream) = inner.surroundings.upstream() {
            match self.ask_one(&of, &upstream).await {
                Ok(record) => return Told::new(Finding::Listed(record), upstream.name()),
                Err(Unanswered::NotListed) => {
                    self.remember_unlisted(&of);
                    return Told::new(Finding::Unlisted, upstream.name());
                }
                Err(why) => reason = why.reason(),
            }
        }
        Told::new(Finding::Unreachable(reason), "nobody")
    }

    async fn ask_one(
        &self,
        of: &ModuleVersion,
        source: &Arc<dyn LogSource>,
    ) -> Result<Arc<ListedRecord>, Unanswered> {
        let answer = source.lookup(of).await.map_err(|error| match error {
            AskError::NotListed => Unanswered::NotListed,
            other => Unanswered::Other(other.to_string().into()),
        })?;
        // The source that gave the record gives the tiles; where it lacks one, the others are asked.
        let mut sources = vec![Arc::clone(source)];
        sources.extend(
            self.everybody()
                .into_iter()
                .filter(|other| other.name() != source.name()),
        );
        match self.inner.prover.prove(of, answer, &sources).await {
            Ok(record) => {
                self.inner
                    .records
                    .write()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(KeyHash::of_record(self.name(), of), of.clone());
                Ok(record)
            }
            Err(error) => {
                tracing::debug!(%of, source = source.name(), %error, "a record was not proved");
                Err(Unanswered::Prove(error))
            }
        }
    }

    fn remember_unlisted(&self, of: &ModuleVersion) {
        let mut unlisted = self.unlisted();
        if unlisted.len() >= UNLISTED_MAX {
            unlisted.clear();
        }
        unlisted.insert(of.clone(), Instant::now());
    }

    fn is_known_unlisted(&self, of: &ModuleVersion) -> bool {
        self.unlisted()
            .get(of)
            .is_some_and(|since| since.elapsed() < UNLISTED_FOR)
    }

    fn unlisted(&self) -> std::sync::MutexGuard<'_, HashMap<ModuleVersion, Instant>> {
        self.inner
            .unlisted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authority for Mirror {
    fn find<'a>(&'a self, of: &'a ModuleVersion) -> BoxFuture<'a, Told> {
        Box::pin(async move {
            if let Some(record) = self.kept(of) {
                return Told::new(Finding::Listed(record), "store");
            }
            if self.is_known_unlisted(of) {
                return Told::new(Finding::Unlisted, "memory");
            }
            self.inner
                .lookups
                .join(of.clone(), || self.clone().ask(of.clone()))
                .await
                .unwrap_or_else(|crashed| {
                    let finding = Finding::Unreachable(crashed.to_string().into());
                    Told::new(finding, "nobody")
                })
        })
    }
}

/// Why one source gave no proved record.
#[derive(Debug)]
enum Unanswered {
    NotListed,
    Other(Arc<str>),
    Prove(ProveError),
}

impl Unanswered {
    fn reason(&self) -> Arc<str> {
        match self {
            Self::NotListed => "the checksum database has no such record".into(),
            Self::Other(reason) => Arc::clone(reason),
            Self::Prove(error) => error.to_string().into(),
        }
    }
}

fn cut_unproved(asked: TileCoordinate, width: u16, bytes: Vec<u8>) -> Option<Vec<u8>> {
    let given = TileCoordinate { width, ..asked };
    Some(Tile::new(given, bytes).ok()?.cut(asked.width)?.into_bytes())
}
