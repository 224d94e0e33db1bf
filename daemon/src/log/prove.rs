//! Proving: that records stand in the log, under the current head.
//!
//! How the current head moves, and how other heads are held against it, is in `heads.rs` and `older.rs` beside this file.

mod closure;
mod heads;
mod older;
mod unused;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use modmesh_protocol::log::{
    GoalError, Goals, HeldTiles, NoteError, Record, RecordError, SignedHead, Tile, TileCoordinate,
    Untrue, VerifierKey,
};
use modmesh_protocol::module::ModuleVersion;
use tokio::sync::Semaphore;

use super::ask::{LogSource, LookupAnswer, Part, Surroundings};
use super::contradiction::Contradictions;
use super::files::Files;
use super::finding::ListedRecord;
use super::sources::{ShownBy, Sources};
use super::tiles::{Tiles, unkept};
use super::verdict::Verdicts;
use crate::metrics::Source;
use crate::shutdown::Shutdown;

use closure::Owed;
use older::Compared;
use unused::Unused;

/// Why something could not be proved.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProveError {
    /// A tree head without a good signature of the database.
    #[error("the tree head is not signed by the database: {0}")]
    Note(#[from] NoteError),
    /// A record that does not say what was asked.
    #[error("the record does not fit the question: {0}")]
    Record(#[from] RecordError),
    /// The record is not what stands at its number in the log.
    #[error("record {0} is not in the log")]
    NotInLog(u64),
    /// A tile is not what its parent or the tree head says.
    #[error("a tile is false: {0}")]
    Untrue(#[from] Untrue),
    /// Two signed heads contradict each other: the database, or whoever has its key, shows different logs.
    #[error(
        "SECURITY: two signed tree heads of {database} (of {older} and {newer} records) contradict each other; `modmesh sumdb show {database}` tells what to do"
    )]
    Contradiction {
        database: String,
        older: u64,
        newer: u64,
    },
    /// The head is of a log that a person gave up on this host.
    #[error("the tree head of {0} records is of a log that was given up on this host")]
    GivenUp(u64),
    /// A log was given up here, and who shows this head may not have been told yet.
    #[error(
        "a log was given up on this host, so it learns of the next tree heads from the database itself, and of the one of {0} records from nobody else"
    )]
    DatabaseFirst(u64),
    /// This log itself was given up meanwhile.
    #[error("this host has begun to follow another log of the checksum database; ask again")]
    Over,
    /// Nobody who could be asked has a tile that the proof needs.
    #[error("{} is not to be had", .0.path())]
    MissingTile(TileCoordinate),
    /// The record came under a smaller head than ours. Its tree ends inside a tile that is wider in ours, and what
    /// lies between its end and ours nobody who could be asked has. The same tile would prove its head a prefix of ours,
    /// so there is no way around it.
    #[error(
        "the log of {theirs} records that {from} shows ends where this host's log of {ours} goes on, and {} that joins them is not to be had; `modmesh sumdb show` tells more", .tile.path()
    )]
    Behind {
        tile: TileCoordinate,
        theirs: u64,
        ours: u64,
        from: String,
    },
    /// Larger heads were adopted again and again while this one was being proved.
    #[error("the tree head moved on while this one was being proved")]
    Overtaken,
    /// The question cannot be answered by a tree of this size.
    #[error(transparent)]
    Goal(#[from] GoalError),
}

impl ProveError {
    /// Whether the answer that was to be proved is false by itself. False tiles are laid to their givers elsewhere.
    fn is_lie(&self) -> bool {
        matches!(self, Self::Note(_) | Self::Record(_) | Self::NotInLog(_))
    }
}

/// The proving half of a mirror: the current head, the tiles, the files.
#[derive(Debug)]
pub(super) struct Prover {
    key: VerifierKey,
    files: Arc<Files>,
    tiles: Tiles,
    contradictions: Arc<Contradictions>,
    surroundings: Arc<dyn Surroundings>,
    head: RwLock<Option<Arc<SignedHead>>>,
    /// Held while the head is replaced, which waits for nobody but the disk.
    adopting: Mutex<()>,
    owed: Owed,
    unused: Mutex<Unused>,
    compared: Mutex<Compared>,
    /// Larger heads that could not be proved, and who showed them.
    unclear: Mutex<Vec<(Arc<SignedHead>, ShownBy)>>,
    /// One older head is compared at a time; what comes meanwhile is dropped, for nothing rests on it.
    comparing: Arc<Semaphore>,
    shutdown: Shutdown,
    /// The head that this log must lead to, where a person accepted it; it counts until a head is current.
    accepted: Option<Arc<SignedHead>>,
    /// Set while `adopting` is held, when a person gave this log up.
    is_over: AtomicBool,
    /// The last log that ended where ours goes on and could not be joined to it.
    unjoined: Mutex<Option<Unjoined>>,
}

/// A log that is shorter than ours, and of which nobody could tell whether it is the same.
#[derive(Debug, Clone)]
pub(crate) struct Unjoined {
    /// Its head.
    pub head: Arc<SignedHead>,
    /// Records in ours.
    pub ours: u64,
    /// Who showed it.
    pub from: String,
    pub at: SystemTime,
}

impl Prover {
    pub(super) fn open(
        key: VerifierKey,
        files: Files,
        surroundings: Arc<dyn Surroundings>,
        shutdown: &Shutdown,
    ) -> Self {
        let (head, lost) = heads::newest_whole(&files, &key);
        let accepted = files.begun().from.as_ref();
        let accepted = accepted.and_then(|note| SignedHead::open(note.as_bytes(), &key).ok());
        let files = Arc::new(files);
        let contradictions = Arc::new(Contradictions::new(
            key.name(),
            Arc::clone(&files),
            Arc::clone(&surroundings),
        ));
        let verdicts = Verdicts::new(key.clone(), Arc::clone(&contradictions));
        Self {
            key,
            tiles: Tiles::new(Arc::clone(&files), verdicts),
            files,
            contradictions,
            surroundings,
            head: RwLock::new(head.map(Arc::new)),
            adopting: Mutex::default(),
            owed: Owed::new(lost),
            unused: Mutex::default(),
            compared: Mutex::default(),
            unclear: Mutex::default(),
            comparing: Arc::new(Semaphore::new(1)),
            shutdown: shutdown.clone(),
            accepted: accepted.map(Arc::new),
            is_over: AtomicBool::new(false),
            unjoined: Mutex::default(),
        }
    }

    /// A person gave this log up: it moves no more, and what is found out about it is told to nobody.
    pub(super) fn end(&self) {
        let _nobody_adopts = self.adopting.lock().unwrap_or_else(PoisonError::into_inner);
        self.contradictions.end();
        self.is_over.store(true, Ordering::Release);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    pub(super) fn contradictions(&self) -> &Contradictions {
        &self.contradictions
    }

    /// The accepted head that no current one leads to yet.
    pub(super) fn accepted(&self) -> Option<&Arc<SignedHead>> {
        self.accepted.as_ref().filter(|_| self.head().is_none())
    }

    pub(super) fn unjoined(&self) -> std::sync::MutexGuard<'_, Option<Unjoined>> {
        self.unjoined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn key(&self) -> &VerifierKey {
        &self.key
    }

    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// The kept tile at `level` and `index`, in its widest form.
    pub(super) fn kept_tile(&self, level: u8, index: u64) -> Option<Arc<Tile>> {
        self.tiles.kept(level, index)
    }

    pub(super) fn head(&self) -> Option<Arc<SignedHead>> {
        self.head
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What is here of a proof before anybody is asked: the size of the current tree, whose right edge is here, and the full tiles that
    /// are at hand.
    pub(super) fn at_hand(&self) -> (u64, HeldTiles) {
        let size = self.head().map_or(0, |head| head.size());
        (size, self.tiles.at_hand())
    }

    /// Proves that `answer` is the record of `of` under the current head, which may move to the answer's head first.
    /// The first of `sources` gave the answer, and is blamed if it is false.
    pub(super) async fn prove(
        self: &Arc<Self>,
        of: &ModuleVersion,
        answer: LookupAnswer,
        mut sources: Sources,
    ) -> Result<Arc<ListedRecord>, ProveError> {
        let _using = self.using();
        let giver = sources.first().cloned();
        let result = self.prove_record(of, &answer, &mut sources).await;
        if let (Err(error), Some(giver)) = (&result, giver)
            && error.is_lie()
        {
            self.blame(&giver, of, error, &answer).await;
        }
        result
    }

    /// A record that is not in our log may stand in another one that the database signed, and was shown to the giver.
    async fn blame(
        &self,
        giver: &Arc<dyn LogSource>,
        of: &ModuleVersion,
        error: &ProveError,
        answer: &LookupAnswer,
    ) {
        let (what, evidence) = (error.to_string(), evidence(answer));
        let record = Record::new(answer.id, answer.text.clone());
        match (error, record, self.head()) {
            (ProveError::NotInLog(_), Ok(record), Some(head)) => {
                let verdicts = self.tiles.verdicts();
                verdicts
                    .judge_record(giver, of, &head, &record, &what, &evidence)
                    .await;
            }
            _ => giver.blame(Part::Record(of), &what, &evidence),
        }
    }

    async fn prove_record(
        self: &Arc<Self>,
        of: &ModuleVersion,
        answer: &LookupAnswer,
        sources: &mut Sources,
    ) -> Result<Arc<ListedRecord>, ProveError> {
        let record = Record::new(answer.id, answer.text.clone())?;
        let sums = record.sums(of)?;
        let offered = match self.head() {
            // Most come with the head that is current here, whose signature was checked.
            Some(current) if current.note().as_bytes() == answer.note => current,
            _ => Arc::new(SignedHead::open(&answer.note, &self.key)?),
        };
        let offered_size = offered.size();
        let by = sources.first().cloned();
        let by = by.map_or(ShownBy::ThisHost, ShownBy::Source);
        let merged = self
            .merge(Arc::clone(&offered), &by, Some(record.id), sources)
            .await;
        let head = match (merged, self.head()) {
            (Ok(head), _) => head,
            // The larger head that it came with cannot be proved from what is to be had; ours may do.
            (
                Err(
                    ProveError::MissingTile(_)
                    | ProveError::Overtaken
                    | ProveError::DatabaseFirst(_),
                ),
                Some(current),
            ) if record.id < current.size() => current,
            (Err(error), _) => return Err(error),
        };
        if record.id >= head.size() {
            return Err(ProveError::NotInLog(record.id));
        }
        let goals = Goals {
            records: vec![record.id],
            heads: Vec::new(),
        };
        let ours = head.size();
        let proof = match self.tiles.prove(&head, &goals, sources).await {
            Err(ProveError::MissingTile(tile)) if offered_size < ours => {
                *self.unjoined() = Some(Unjoined {
                    head: offered,
                    ours,
                    from: by.name(),
                    at: SystemTime::now(),
                });
                return Err(ProveError::Behind {
                    tile,
                    theirs: offered_size,
                    ours,
                    from: by.name(),
                });
            }
            proof => proof?,
        };
        self.tiles.keep(&proof);
        if proof.proved.leaf(record.id) != Some(record.leaf_hash()) {
            return Err(ProveError::NotInLog(record.id));
        }
        // Whoever is given the record is given the current head with it, and needs the tiles at the widths of that.
        if let Some(now) = self.head().filter(|now| now.size() > ours)
            && let Ok(proof) = self.tiles.prove(&now, &goals, sources).await
        {
            self.tiles.keep(&proof);
        }
        if self.is_over() {
            return Err(ProveError::Over);
        }
        self.files
            .write_record(of, &record)
            .unwrap_or_else(|error| unkept(&error));
        Ok(Arc::new(ListedRecord {
            database: self.key.name().to_owned(),
            key: Some(self.key.database_id()),
            log: self.files.begun().number,
            id: record.id,
            text: record.text,
            sums,
        }))
    }

    /// Has the tiles here that lead from `records` to the current head. Those of many records at once cost hardly more time
    /// than those of one; where one is missing or false, nothing is kept.
    pub(super) async fn fetch_paths(&self, mut records: Vec<u64>, mut sources: Sources) {
        let Some(head) = self.head() else { return };
        records.retain(|id| *id < head.size());
        let goals = Goals {
            records,
            heads: Vec::new(),
        };
        match self.tiles.prove(&head, &goals, &mut sources).await {
            Ok(proof) => self.tiles.keep(&proof),
            Err(error) => tracing::debug!(%error, "tiles for several records did not come at once"),
        }
    }

    /// The tile at `coordinate` under `head`, asked for and proved, and where it came from.
    pub(super) async fn fetch_tile(
        &self,
        head: &SignedHead,
        coordinate: TileCoordinate,
        mut sources: Sources,
    ) -> Result<Option<(Tile, Source)>, ProveError> {
        // The path of the first record below the tile leads through it.
        let below = 8 * (u32::from(coordinate.level) + 1);
        let goals = Goals {
            records: vec![coordinate.index.checked_shl(below).unwrap_or(u64::MAX)],
            heads: Vec::new(),
        };
        let proof = self.tiles.prove(head, &goals, &mut sources).await?;
        self.tiles.keep(&proof);
        let source = proof.source((coordinate.level, coordinate.index));
        Ok(self
            .kept_tile(coordinate.level, coordinate.index)
            .and_then(|tile| Some((tile.cut(coordinate.width)?, source))))
    }
}

fn evidence(answer: &LookupAnswer) -> Vec<u8> {
    let mut bytes = format!("{}\n{}\n", answer.id, answer.text).into_bytes();
    bytes.extend_from_slice(&answer.note);
    bytes
}
