//! Which versions of a module are recorded: here, and at neighbours.
//!
//! Whoever knows all versions is upstream; a list that is made of records may lack some, and so may one that is made of what
//! neighbours show, for they can withhold. They can add nothing: a version counts when its record was proved here, like any
//! other. The neighbours are asked for the sake of a host that has nobody else.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::limits::{ASKED_AT_ONCE_MAX, VERSIONS_RECORDS_MAX};
use modmesh_protocol::log::Record;
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};
use tokio::time::timeout;

use super::super::ask::{LogSource, LookupAnswer, Part, VersionsAnswer};
use super::super::prove::ProveError;
use super::Mirror;
use crate::flight::Flights;
use crate::shutdown::Shutdown;

/// How long the neighbours are not asked again about a module: `go` asks for the list of one module several times in a row,
/// and a hundred builds at once ask for the same.
const ASKED_FOR: Duration = Duration::from_secs(10);
/// Modules of which that is remembered.
const ASKED_MAX: usize = 4096;
/// How long proving what all neighbours showed may take: on a LAN a whole answer takes two round trips and some hashing. What is not proved by then is not listed, and the tiles that came help
/// the next time.
const PROVING_MAX: Duration = Duration::from_secs(4);

/// Who takes longer until it is known that tiles for one record are not to be had is not asked for those of the next.
const MISSING_TOLD_WITHIN: Duration = Duration::from_secs(1);

/// The kept records.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// By the hash under which neighbours ask for one.
    records: HashMap<KeyHash, ModuleVersion>,
    /// By the hash under which they ask for all of a module.
    modules: HashMap<KeyHash, Vec<ModuleVersion>>,
}

impl Recorded {
    pub(super) fn insert(&mut self, database_name: &str, of: &ModuleVersion) {
        let record = KeyHash::of_record(database_name, of);
        if self.records.insert(record, of.clone()).is_none() {
            let module = KeyHash::of_versions(database_name, &of.module);
            self.modules.entry(module).or_default().push(of.clone());
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn by_record(&self, key: KeyHash) -> Option<ModuleVersion> {
        self.records.get(&key).cloned()
    }

    pub(super) fn all(&self) -> Vec<ModuleVersion> {
        self.records.values().cloned().collect()
    }

    pub(super) fn remove(&mut self, gone: &HashSet<&ModuleVersion>) {
        self.records.retain(|_, of| !gone.contains(of));
        self.modules.retain(|_, versions| {
            versions.retain(|of| !gone.contains(of));
            !versions.is_empty()
        });
    }

    fn by_module(&self, key: KeyHash) -> Vec<ModuleVersion> {
        self.modules.get(&key).cloned().unwrap_or_default()
    }
}

/// Which modules' versions the neighbours are being asked for, and were lately.
#[derive(Debug)]
pub(super) struct VersionsAsked {
    under_way: Flights<ModulePath, ()>,
    lately: Mutex<HashMap<ModulePath, Instant>>,
}

impl VersionsAsked {
    pub(super) fn new(shutdown: &Shutdown) -> Self {
        Self {
            under_way: Flights::new("versions", shutdown.clone()),
            lately: Mutex::default(),
        }
    }

    fn was_lately(&self, module: &ModulePath) -> bool {
        let lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = lately.get(module);
        asked.is_some_and(|since| since.elapsed() < ASKED_FOR)
    }

    fn remember(&self, module: &ModulePath) {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        if lately.len() >= ASKED_MAX {
            lately.clear();
        }
        lately.insert(module.clone(), Instant::now());
    }
}

impl Mirror {
    /// The versions of `module` whose records are kept, sorted.
    pub(super) fn kept_versions(&self, module: &ModulePath) -> Vec<Version> {
        let recorded = self.recorded_of(KeyHash::of_versions(self.name(), module));
        let kept = recorded.into_iter().filter(|of| self.kept(of).is_some());
        let mut versions: Vec<_> = kept.map(|of| of.version).collect();
        versions.sort();
        versions
    }

    /// The records to show to a neighbour that asks for the versions of a module, by the hash of [`KeyHash::of_versions`]: at
    /// most as many as are told at once, those of the highest releases first, then of the highest pre-releases, then of the
    /// newest pseudo-versions. Which these are decides what `@latest` means there. Blocks while it reads.
    pub(crate) fn versions_to_show(&self, key: KeyHash) -> Vec<Record> {
        let mut recorded = self.recorded_of(key);
        recorded.sort_by_cached_key(|of| std::cmp::Reverse(of.version.preference()));
        let kept = recorded.iter().filter_map(|of| self.kept_record(of));
        kept.take(VERSIONS_RECORDS_MAX).collect()
    }

    fn recorded_of(&self, key: KeyHash) -> Vec<ModuleVersion> {
        self.recorded().by_module(key)
    }

    pub(super) async fn ask_neighbours_for_versions(&self, module: &ModulePath) {
        let asked = &self.inner.versions;
        if asked.was_lately(module) {
            return;
        }
        let gathering = asked.under_way.join(module.clone(), || {
            self.clone().gather_versions(module.clone())
        });
        if gathering.await.is_err() {
            tracing::debug!(%module, "asking the neighbours for versions ended without a result");
        }
    }

    async fn gather_versions(self, module: ModulePath) {
        let surroundings = &self.inner.surroundings;
        let Some(answers) = surroundings.versions_at_neighbours(&module).await else {
            return;
        };
        // All at the same time: who shows a record and then gives no tiles takes nobody else's time.
        let answers = answers.into_iter().take(ASKED_AT_ONCE_MAX);
        let proving = join_all(answers.map(|answer| self.take_versions(&module, answer)));
        if timeout(PROVING_MAX, proving).await.is_err() {
            tracing::debug!(%module, "not all records that neighbours showed were proved in time");
        }
        self.inner.versions.remember(&module);
    }

    /// Proves what one neighbour shows, as far as it is not known yet. With the first part that is false the rest is dropped.
    async fn take_versions(&self, module: &ModulePath, answer: VersionsAnswer) {
        let VersionsAnswer {
            source,
            note,
            records,
        } = answer;
        let mut shown = match of_module(module, &records) {
            Ok(shown) => shown,
            Err(what) => {
                let what = format!("asked for records of one module, it gave {what}");
                let evidence = evidence(&records, &note);
                return source.blame(Part::Versions, &what, &evidence);
            }
        };
        shown.retain(|(of, _)| self.kept(of).is_none());
        // The first moves the head, if it is to be moved.
        for (turn, (of, record)) in shown.iter().enumerate() {
            if turn == 1 {
                let others = shown.iter().skip(1).map(|(_, record)| record.id);
                let sources = self.sources_behind(&source);
                let prover = &self.inner.prover;
                prover.fetch_paths(others.collect(), sources).await;
            }
            let began = Instant::now();
            match self.prove_shown(of, record, &note, &source).await {
                Ok(()) => {}
                // Its tree, or ours, may end in the wrong place for this record alone; who is slow to say so takes the time of
                // everybody who waits for the list.
                Err(ProveError::MissingTile(_) | ProveError::Behind { .. })
                    if began.elapsed() < MISSING_TOLD_WITHIN => {}
                Err(_) => return,
            }
        }
    }

    async fn prove_shown(
        &self,
        of: &ModuleVersion,
        record: &Record,
        note: &[u8],
        source: &Arc<dyn LogSource>,
    ) -> Result<(), ProveError> {
        let answer = LookupAnswer {
            id: record.id,
            text: record.text.clone(),
            note: note.to_vec(),
        };
        self.prove(of, answer, source).await.map(drop)
    }
}

/// The versions that the records are about; or what they are, if they are not records of different versions of `module`.
fn of_module<'a>(
    module: &ModulePath,
    records: &'a [Record],
) -> Result<Vec<(ModuleVersion, &'a Record)>, &'static str> {
    let (mut shown, mut seen) = (Vec::new(), HashSet::new());
    for record in records {
        let of = record.about().ok_or("a record that is about no version")?;
        if of.module != *module {
            return Err("the record of another module");
        }
        if !seen.insert(of.version.clone()) {
            return Err("two records of one version");
        }
        shown.push((of, record));
    }
    Ok(shown)
}

fn evidence(records: &[Record], note: &[u8]) -> Vec<u8> {
    let mut bytes = note.to_vec();
    for record in records {
        bytes.extend_from_slice(format!("\n{}\n{}", record.id, record.text).as_bytes());
    }
    bytes
}
