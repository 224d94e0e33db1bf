//! One checksum database: what is asked of it, and who asks.

mod offers;
mod patience;
mod records;
mod tiles;
mod upkeep;
mod versions;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant, SystemTime};

use futures::future::BoxFuture;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::log::{DatabaseId, Record, SignedHead, Tile, VerifierKey};
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};

use super::ask::Surroundings;
use super::clients::ClientHeads;
use super::contradiction::Evidence;
use super::files::Files;
use super::finding::{Authority, Finding, ListedRecord, Missing, Offer, Told, Trouble};
use super::prove::{Prover, Unjoined};
use super::sources::ShownBy;
use crate::flight::Flights;
use crate::metrics::Source;
use crate::shutdown::Shutdown;
use offers::Offers;
use upkeep::CaughtUp;
use versions::{Recorded, VersionsAsked};

pub(crate) use tiles::TileAnswer;

/// How long the database's word that it has no record is remembered.
const UNLISTED_FOR: Duration = Duration::from_secs(60);
/// How long it is told that the database could not be asked: it may have come back without anybody asking.
const TROUBLE_LASTS: Duration = Duration::from_secs(10 * 60);
/// How long it is told that a shorter log could not be joined to ours.
const UNJOINED_LASTS: Duration = Duration::from_secs(60 * 60);
/// What is said where an answer came too late.
pub(crate) const OVER: &str =
    "this host has just begun to follow another log of the checksum database; ask again";
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
    versions: VersionsAsked,
    offers: Arc<Offers>,
    clients: ClientHeads,
    shutdown: Shutdown,
    /// Held while somebody is asked for a larger head.
    caught_up: tokio::sync::Mutex<CaughtUp>,
    /// Tiles that clients may need and that are not here, as of the last look.
    missing: AtomicUsize,
    unlisted: Mutex<HashMap<ModuleVersion, Instant>>,
    /// Why the database could not be asked, when that was so the last time, and when that was.
    trouble: Mutex<Option<(tokio::time::Instant, Arc<str>)>>,
    /// Which module versions' records are kept.
    records: RwLock<Recorded>,
}

impl Mirror {
    /// Opens the mirror of the database of `key` in the state folder `state`. Clients keep the heads that they hold below
    /// `client_folders` (`GOPATH/pkg/sumdb`). Blocks while it reads.
    pub(crate) fn open(
        state: &Path,
        key: VerifierKey,
        client_folders: &[PathBuf],
        surroundings: Arc<dyn Surroundings>,
        shutdown: &Shutdown,
    ) -> io::Result<Self> {
        let clients = ClientHeads::new(client_folders, key.name());
        let files = Files::open(state, &key)?;
        let mut records = Recorded::default();
        for of in files.recorded() {
            records.insert(key.name(), &of);
        }
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
                versions: VersionsAsked::new(shutdown),
                offers: Arc::new(Offers::new(shutdown.clone())),
                clients,
                shutdown: shutdown.clone(),
                caught_up: tokio::sync::Mutex::default(),
                missing: AtomicUsize::new(0),
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

    /// The head under which everything here is proved, for somebody who will hold it or rest on it; nothing before the first
    /// lookup.
    pub(crate) fn head(&self) -> Option<Arc<SignedHead>> {
        let _using = self.inner.prover.using();
        self.inner.prover.head()
    }

    /// How many records the tree of the current head has; 0 before the first one.
    pub(crate) fn tree_size(&self) -> u64 {
        self.inner.prover.head().map_or(0, |head| head.size())
    }

    /// When the current head was written here.
    pub(crate) fn head_written(&self) -> Option<SystemTime> {
        let size = self.tree_size();
        self.inner.prover.files().head_written(size)
    }

    /// Why the database could not be asked the last time that a record was needed; nothing when it could, or when none was
    /// needed for a while. As long as files wait to be judged one is, every 30 s.
    pub(crate) fn trouble(&self) -> Option<Arc<str>> {
        let trouble = self.inner.trouble.lock();
        let trouble = trouble.unwrap_or_else(PoisonError::into_inner);
        let recent = trouble.as_ref();
        recent
            .filter(|(at, _)| at.elapsed() < TROUBLE_LASTS)
            .map(|(_, reason)| Arc::clone(reason))
    }

    /// Where the tree heads are kept that contradict each other; nothing when there are none.
    pub(crate) fn contradictions(&self) -> Option<PathBuf> {
        let files = self.inner.prover.files();
        (files.contradictions() > 0).then(|| files.contradictions_folder())
    }

    /// Which log of its key this is: 0 for the first.
    pub(crate) fn log_number(&self) -> u64 {
        self.inner.prover.files().begun().number
    }

    /// Whether a person gave up the log of this mirror. Then another one stands in its place, and nothing of this one may
    /// be used for an answer any more.
    pub(crate) fn is_over(&self) -> bool {
        self.inner.prover.is_over()
    }

    /// Whether a log was given up, and of the one that is followed instead nothing came yet: there is something, and it is not known
    /// what.
    pub(crate) fn is_between_logs(&self) -> bool {
        self.is_over() || self.log_number() > 0 && self.inner.prover.head().is_none()
    }

    /// Gives this log up and begins the next one on the disk; see [`super::Database::begin_anew`]. Nothing of this one is
    /// used any more when this returns. The next one's number.
    pub(super) fn give_up(&self, accepted: Option<&SignedHead>) -> io::Result<u64> {
        let prover = &self.inner.prover;
        let current = prover.head();
        let unjoined = self.unjoined().is_some();
        let memory = prover.contradictions().to_give_up(
            prover.key(),
            current.as_deref(),
            accepted,
            unjoined,
        );
        let number = prover.files().begin_anew(accepted, &memory)?;
        prover.end();
        Ok(number)
    }

    /// What contradicts the log that is followed here.
    pub(crate) fn evidence(&self) -> Vec<Evidence> {
        let prover = &self.inner.prover;
        let current = self.head();
        prover
            .contradictions()
            .evidence(prover.key(), current.as_deref())
    }

    /// How the database is asked, as a word for people; nothing where only neighbours are.
    pub(crate) fn asked(&self) -> Option<String> {
        Some(self.inner.surroundings.upstream()?.road())
    }

    /// Who showed a log within the last hour that was given up here.
    pub(crate) fn showing_given_up(&self) -> Vec<String> {
        let contradictions = self.inner.prover.contradictions();
        contradictions.given_up().shown_lately_by()
    }

    /// A shorter log that could not be joined to the one that is followed here, if that was within the last hour.
    pub(crate) fn unjoined(&self) -> Option<Unjoined> {
        let unjoined = self.inner.prover.unjoined().clone()?;
        let age = unjoined.at.elapsed().unwrap_or_default();
        (age < UNJOINED_LASTS).then_some(unjoined)
    }

    /// The accepted head, as long as what proves it did not come.
    pub(crate) fn accepted(&self) -> Option<Arc<SignedHead>> {
        self.inner.prover.accepted().cloned()
    }

    /// Makes the accepted head current, if what proves it is to be had.
    pub(crate) async fn begin_from_accepted(&self) {
        let Some(accepted) = self.accepted() else {
            return;
        };
        let prover = &self.inner.prover;
        if let Err(error) = prover
            .merge(accepted, &ShownBy::ThisHost, None, &mut self.everybody())
            .await
        {
            tracing::info!(database = self.name(), %error, "the accepted tree head is not proved yet; it will be with the next lookup");
        }
    }

    /// The verifier key, whole.
    pub(crate) fn key(&self) -> &VerifierKey {
        self.inner.prover.key()
    }

    /// Whether an older head is being compared.
    #[cfg(test)]
    pub(super) fn is_comparing(&self) -> bool {
        self.inner.prover.is_comparing()
    }

    /// How many records are kept.
    pub(crate) fn records(&self) -> u64 {
        self.recorded().len() as u64
    }

    fn recorded(&self) -> RwLockReadGuard<'_, Recorded> {
        let recorded = self.inner.records.read();
        recorded.unwrap_or_else(PoisonError::into_inner)
    }

    /// The kept record that a neighbour asks for by the hash of its key.
    pub(crate) fn kept_record_of(&self, key: KeyHash) -> Option<Record> {
        let of = self.recorded().by_record(key)?;
        self.kept_record(&of)
    }

    /// The kept record of `of`; nothing when the head that it was proved under was lost.
    fn kept_record(&self, of: &ModuleVersion) -> Option<Record> {
        let record = self.inner.prover.files().record(of)?;
        (record.id < self.tree_size()).then_some(record)
    }

    /// The kept tile at `level` and `index`, in its widest form.
    pub(crate) fn kept_tile(&self, level: u8, index: u64) -> Option<Arc<Tile>> {
        let _using = self.inner.prover.using();
        self.inner.prover.kept_tile(level, index)
    }

    /// The answer to a lookup, the record and the current head whatever head it came with; and where the record came from.
    pub(crate) async fn lookup(&self, of: &ModuleVersion) -> Result<(String, Source), Finding> {
        let told = self.find(of, None).await;
        match told.finding {
            _ if self.is_over() => Err(Finding::Unreachable(Trouble::silence(OVER))),
            Finding::Listed(record) => match self.head() {
                Some(head) if record.id < head.size() => {
                    let record = Record {
                        id: record.id,
                        text: record.text.clone(),
                    };
                    Ok((record.lookup_body(head.note()), told.source))
                }
                _ => Err(Finding::Unreachable(Trouble::silence(
                    "the tree head for this record is missing",
                ))),
            },
            other => Err(other),
        }
    }

    fn kept(&self, of: &ModuleVersion) -> Option<Arc<ListedRecord>> {
        let record = self.kept_record(of)?;
        let sums = record.sums(of).ok()?;
        Some(Arc::new(ListedRecord {
            database: self.name().to_owned(),
            key: Some(self.database_id()),
            log: self.log_number(),
            id: record.id,
            text: record.text,
            sums,
        }))
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
    fn find<'a>(&'a self, of: &'a ModuleVersion, offer: Option<Arc<Offer>>) -> BoxFuture<'a, Told> {
        Box::pin(async move {
            if let Some(record) = self.kept(of) {
                return Told::kept(record);
            }
            if self.is_known_unlisted(of) {
                return Told::remembered_unlisted();
            }
            self.inner
                .lookups
                .join(of.clone(), || self.clone().ask(of.clone(), offer.clone()))
                .await
                .unwrap_or_else(|crashed| Told::by_nobody(Trouble::silence(crashed.to_string())))
        })
    }

    fn missing(&self, of: &ModuleVersion) -> Option<Missing> {
        let key = KeyHash::of_record(self.name(), of);
        if self.recorded().by_record(key).is_some() || self.is_known_unlisted(of) {
            return None;
        }
        let (size, held) = self.inner.prover.at_hand();
        Some(Missing {
            database: self.database_id(),
            key,
            size,
            held,
        })
    }

    fn proved_versions(&self, module: &ModulePath) -> Vec<Version> {
        self.kept_versions(module)
    }

    fn ask_for_versions<'a>(&'a self, module: &'a ModulePath) -> BoxFuture<'a, ()> {
        Box::pin(self.ask_neighbours_for_versions(module))
    }
}
