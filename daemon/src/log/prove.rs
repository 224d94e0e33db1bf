//! Proving: records under the current head, and heads against each other.
//!
//! A new head is written after the tiles that prove it, so that a crash in between leaves the old head with all that it
//! needs. An older head is proved a prefix of the current one where that can be done; nothing rests on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use modmesh_protocol::log::{
    GoalError, Goals, Hash, NoteError, Record, RecordError, SignedHead, Tile, TileCoordinate,
    Untrue, VerifierKey, authenticate, tiles_needed,
};
use modmesh_protocol::module::ModuleVersion;

use super::ask::{LogSource, LookupAnswer, Surroundings};
use super::files::Files;
use super::finding::ListedRecord;
use super::tiles::{Tiles, unkept};
use crate::shutdown::Shutdown;

/// Heads that were proved consistent, or are being proved, and need not be proved again.
const HEADS_REMEMBERED_MAX: usize = 1024;

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
        "SECURITY: two signed tree heads of {database} (of {older} and {newer} records) contradict each other; see the daemon's log"
    )]
    Contradiction {
        database: String,
        older: u64,
        newer: u64,
    },
    /// Nobody who could be asked has a tile that the proof needs.
    #[error("{} is not to be had", .0.path())]
    MissingTile(TileCoordinate),
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
    surroundings: Arc<dyn Surroundings>,
    head: RwLock<Option<Arc<SignedHead>>>,
    /// Held while the head is replaced, so that two larger heads are adopted one after the other.
    advancing: tokio::sync::Mutex<()>,
    /// Roots of older heads that were compared, by size.
    compared: Mutex<HashMap<u64, Hash>>,
    shutdown: Shutdown,
}

impl Prover {
    pub(super) fn open(
        key: VerifierKey,
        files: Files,
        surroundings: Arc<dyn Surroundings>,
        shutdown: &Shutdown,
    ) -> Self {
        let head = newest_whole_head(&files, &key);
        let files = Arc::new(files);
        Self {
            key,
            tiles: Tiles::new(Arc::clone(&files)),
            files,
            surroundings,
            head: RwLock::new(head.map(Arc::new)),
            advancing: tokio::sync::Mutex::default(),
            compared: Mutex::default(),
            shutdown: shutdown.clone(),
        }
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

    /// Proves that `answer` is the record of `of` under the current head, which may move to the answer's head first.
    /// The first of `sources` gave the answer, and is blamed if it is false.
    pub(super) async fn prove(
        self: &Arc<Self>,
        of: &ModuleVersion,
        answer: LookupAnswer,
        sources: &[Arc<dyn LogSource>],
    ) -> Result<Arc<ListedRecord>, ProveError> {
        let result = self.prove_record(of, &answer, sources).await;
        if let (Err(error), Some(giver)) = (&result, sources.first())
            && error.is_lie()
        {
            giver.blame(&error.to_string(), &evidence(&answer));
        }
        result
    }

    async fn prove_record(
        self: &Arc<Self>,
        of: &ModuleVersion,
        answer: &LookupAnswer,
        sources: &[Arc<dyn LogSource>],
    ) -> Result<Arc<ListedRecord>, ProveError> {
        let record = Record::new(answer.id, answer.text.clone())?;
        let sums = record.sums(of)?;
        let head = match (self.merge(&answer.note, sources).await, self.head()) {
            (Ok(head), _) => head,
            // The larger head that it came with cannot be proved from what is to be had; ours may do.
            (Err(ProveError::MissingTile(_)), Some(current)) if record.id < current.size() => {
                current
            }
            (Err(error), _) => return Err(error),
        };
        if record.id >= head.size() {
            return Err(ProveError::NotInLog(record.id));
        }
        let goals = Goals {
            records: vec![record.id],
            heads: Vec::new(),
        };
        let proved = self.tiles.prove(&head, &goals, sources).await?;
        if proved.leaf(record.id) != Some(record.leaf_hash()) {
            return Err(ProveError::NotInLog(record.id));
        }
        self.files
            .write_record(of, &record)
            .unwrap_or_else(|error| unkept(&error));
        Ok(Arc::new(ListedRecord {
            database: self.key.name().to_owned(),
            id: record.id,
            text: record.text,
            sums,
        }))
    }

    /// Checks the signature of `note` and makes it current if it is larger than the current head and extends it.
    /// Returns the current head, which is at least as large as that of `note`.
    pub(super) async fn merge(
        self: &Arc<Self>,
        note: &[u8],
        sources: &[Arc<dyn LogSource>],
    ) -> Result<Arc<SignedHead>, ProveError> {
        let offered = SignedHead::open(note, &self.key)?;
        if let Some(current) = self.head().filter(|head| head.size() >= offered.size()) {
            self.compare_older(&current, offered, sources)?;
            return Ok(current);
        }
        let _advancing = self.advancing.lock().await;
        match self.head() {
            // Somebody else advanced meanwhile, at least as far.
            Some(current) if current.size() >= offered.size() => {
                self.compare_older(&current, offered, sources)?;
                Ok(current)
            }
            current => self.advance(current.as_deref(), offered, sources).await,
        }
    }

    /// A head that is not larger: dropped, after it was compared with ours. What cannot be compared from what is at hand
    /// is compared in the background, because nothing rests on an older head and nobody should wait for it.
    fn compare_older(
        self: &Arc<Self>,
        current: &Arc<SignedHead>,
        offered: SignedHead,
        sources: &[Arc<dyn LogSource>],
    ) -> Result<(), ProveError> {
        let (size, root) = (offered.size(), offered.head().root);
        let known = if size == current.size() {
            Some(current.head().root)
        } else {
            let mut compared = self.compared();
            if compared.len() >= HEADS_REMEMBERED_MAX {
                compared.clear();
            }
            let known = compared.get(&size).copied();
            compared.entry(size).or_insert(root);
            known
        };
        match known {
            Some(known) if known != root => Err(self.contradiction(&offered, current)),
            Some(_) => Ok(()),
            None if size == 0 => Ok(()),
            None => {
                let (prover, current, sources) =
                    (Arc::clone(self), Arc::clone(current), sources.to_vec());
                self.shutdown.spawn("compare heads", async move {
                    if let Err(error) = prover.prove_older(&current, &offered, &sources).await {
                        prover.compared().remove(&offered.size());
                        tracing::debug!(size = offered.size(), %error, "an older tree head was not compared");
                    }
                });
                Ok(())
            }
        }
    }

    async fn prove_older(
        &self,
        current: &SignedHead,
        older: &SignedHead,
        sources: &[Arc<dyn LogSource>],
    ) -> Result<(), ProveError> {
        let goals = Goals {
            records: Vec::new(),
            heads: vec![older.size()],
        };
        let proved = self.tiles.prove(current, &goals, sources).await?;
        if proved.root_of(older.size()) == Some(older.head().root) {
            Ok(())
        } else {
            Err(self.contradiction(older, current))
        }
    }

    /// Proves `current` a prefix of the larger `offered` and makes `offered` current.
    ///
    /// The proof fetches the right edge of `current` at the widths of `offered`. Every tile on the edge of a head that
    /// was current before is either full, and kept, or on the edge of `current`: so by induction the edges of all heads
    /// ever served stay here at current widths.
    async fn advance(
        &self,
        current: Option<&SignedHead>,
        offered: SignedHead,
        sources: &[Arc<dyn LogSource>],
    ) -> Result<Arc<SignedHead>, ProveError> {
        let current = current.filter(|head| head.size() > 0);
        let goals = Goals {
            records: Vec::new(),
            heads: current.map(SignedHead::size).into_iter().collect(),
        };
        let proved = self.tiles.prove(&offered, &goals, sources).await?;
        if let Some(current) = current
            && proved.root_of(current.size()) != Some(current.head().root)
        {
            return Err(self.contradiction(current, &offered));
        }
        self.files
            .write_head(offered.size(), offered.note())
            .unwrap_or_else(|error| unkept(&error));
        tracing::debug!(
            database = self.key.name(),
            size = offered.size(),
            "tree head advanced"
        );
        let offered = Arc::new(offered);
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&offered));
        self.surroundings.advanced(offered.note());
        Ok(offered)
    }

    /// The tile at `coordinate` under `head`, asked for and proved.
    pub(super) async fn fetch_tile(
        &self,
        head: &SignedHead,
        coordinate: TileCoordinate,
        sources: &[Arc<dyn LogSource>],
    ) -> Result<Option<Tile>, ProveError> {
        // The path of the first record below the tile leads through it.
        let below = 8 * (u32::from(coordinate.level) + 1);
        let goals = Goals {
            records: vec![coordinate.index.checked_shl(below).unwrap_or(u64::MAX)],
            heads: Vec::new(),
        };
        self.tiles.prove(head, &goals, sources).await?;
        Ok(self
            .kept_tile(coordinate.level, coordinate.index)
            .and_then(|tile| tile.cut(coordinate.width)))
    }

    fn contradiction(&self, older: &SignedHead, newer: &SignedHead) -> ProveError {
        tracing::error!(
            database = self.key.name(),
            older = older.note(),
            newer = newer.note(),
            "SECURITY: two signed tree heads of the checksum database contradict each other: the smaller log is not a prefix of the larger one"
        );
        ProveError::Contradiction {
            database: self.key.name().to_owned(),
            older: older.size(),
            newer: newer.size(),
        }
    }

    fn compared(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Hash>> {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The largest kept head whose signature is good and whose right edge is here and folds to its root. A machine that went
/// down may have lost the tiles of the newest head and kept the head, or the reverse; then an older one serves.
fn newest_whole_head(files: &Files, key: &VerifierKey) -> Option<SignedHead> {
    files.heads().into_iter().find_map(|note| {
        let head = SignedHead::open(note.as_bytes(), key).ok()?;
        let goals = Goals::default();
        let tiles = tiles_needed(head.size(), &goals)
            .ok()?
            .into_iter()
            .filter_map(|at| Some(((at.level, at.index), files.tile(at.level, at.index)?)))
            .collect();
        match authenticate(head.head(), &goals, &tiles) {
            Ok(_) => Some(head),
            Err(error) => {
                tracing::warn!(size = head.size(), %error, "a kept tree head lacks its tiles; an older one is used");
                None
            }
        }
    })
}

fn evidence(answer: &LookupAnswer) -> Vec<u8> {
    let mut bytes = format!("{}\n{}\n", answer.id, answer.text).into_bytes();
    bytes.extend_from_slice(&answer.note);
    bytes
}
