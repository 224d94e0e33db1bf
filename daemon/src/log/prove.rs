//! Proving: records and heads under the current head, from tiles that are here or are asked for.
//!
//! The order is always the same: gather the tiles that the proof needs, authenticate every one of them against its parent
//! or the root, only then use and keep them. A new head is written after its tiles, so that a crash in between leaves the
//! old head with all that it needs.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use modmesh_protocol::log::{
    Authenticated, Goals, NoteError, Record, RecordError, SignedHead, Tile, TileCoordinate, Untrue,
    VerifierKey, authenticate, tiles_needed,
};
use modmesh_protocol::module::ModuleVersion;

use super::ask::{LogSource, LookupAnswer, Surroundings};
use super::files::Files;
use super::finding::ListedRecord;

/// Tiles kept in memory: 2 MiB at most.
const TILES_IN_MEMORY_MAX: usize = 256;
/// Sizes of heads that were proved consistent and need not be proved again.
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
    #[error("the record is not in the log")]
    NotInLog,
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
    /// The tree is of a size that cannot be.
    #[error("the question makes no sense for a tree of {0} records")]
    Size(u64),
    /// The disk refused.
    #[error("cannot write the checksum-database mirror: {0}")]
    Io(#[from] io::Error),
}

impl ProveError {
    /// Whether what a source gave is false, as opposed to missing.
    fn is_lie(&self) -> bool {
        matches!(
            self,
            Self::Note(_) | Self::Record(_) | Self::NotInLog | Self::Untrue(_)
        )
    }
}

/// The proving half of a mirror: the current head, the tiles, the files.
#[derive(Debug)]
pub(super) struct Prover {
    key: VerifierKey,
    files: Files,
    surroundings: Arc<dyn Surroundings>,
    head: RwLock<Option<Arc<SignedHead>>>,
    /// Held while the head is replaced, so that two larger heads are adopted one after the other.
    advancing: tokio::sync::Mutex<()>,
    tiles: Mutex<HashMap<(u8, u64), Arc<Tile>>>,
    proved_heads: Mutex<HashMap<u64, [u8; 32]>>,
}

/// Tiles for one proof, and which of them the sources just gave.
struct Gathered {
    tiles: HashMap<(u8, u64), Tile>,
    fetched: Vec<(u8, u64)>,
    /// The only source that gave any of `fetched`; nothing when several did.
    giver: Option<Arc<dyn LogSource>>,
}

impl Prover {
    pub(super) fn open(
        key: VerifierKey,
        files: Files,
        surroundings: Arc<dyn Surroundings>,
    ) -> Self {
        let head = newest_whole_head(&files, &key);
        Self {
            key,
            files,
            surroundings,
            head: RwLock::new(head.map(Arc::new)),
            advancing: tokio::sync::Mutex::default(),
            tiles: Mutex::default(),
            proved_heads: Mutex::default(),
        }
    }

    pub(super) fn key(&self) -> &VerifierKey {
        &self.key
    }

    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    pub(super) fn head(&self) -> Option<Arc<SignedHead>> {
        self.head
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Proves that `answer` is the record of `of` under the current head, which may move to the answer's head first.
    /// The first of `sources` gave the answer.
    pub(super) async fn prove(
        &self,
        of: &ModuleVersion,
        answer: LookupAnswer,
        sources: &[Arc<dyn LogSource>],
    ) -> Result<Arc<ListedRecord>, ProveError> {
        let result = self.prove_record(of, &answer, sources).await;
        if let (Err(error), Some(giver)) = (&result, sources.first())
            && error.is_lie()
            && !matches!(error, ProveError::Untrue(_))
        {
            giver.blame(&error.to_string(), &evidence(&answer));
        }
        result
    }

    async fn prove_record(
        &self,
        of: &ModuleVersion,
        answer: &LookupAnswer,
        sources: &[Arc<dyn LogSource>],
    ) -> Result<Arc<ListedRecord>, ProveError> {
        let record = Record {
            id: answer.id,
            text: answer.text.clone(),
        };
        let sums = record.sums(of)?;
        let head = self.merge(&answer.note, sources).await?;
        if record.id >= head.size() {
            return Err(ProveError::NotInLog);
        }
        let goals = Goals {
            records: vec![record.id],
            heads: Vec::new(),
        };
        let proved = self.authenticated(&head, &goals, sources).await?;
        if proved.leaf(record.id) != Some(record.leaf_hash()) {
            return Err(ProveError::NotInLog);
        }
        self.files.write_record(of, &record)?;
        let listed = ListedRecord {
            database: self.key.name().to_owned(),
            id: record.id,
            text: record.text,
            sums,
        };
        Ok(Arc::new(listed))
    }

    /// Checks the signature of `note` and its consistency with the current head, and adopts it if it is larger.
    /// Returns the current head, which is at least as large as that of `note`.
    pub(super) async fn merge(
        &self,
        note: &[u8],
        sources: &[Arc<dyn LogSource>],
    ) -> Result<Arc<SignedHead>, ProveError> {
        let offered = SignedHead::open(note, &self.key)?;
        if let Some(current) = self.head().filter(|head| head.size() >= offered.size()) {
            self.check_older(&current, &offered, sources).await?;
            return Ok(current);
        }
        let _advancing = self.advancing.lock().await;
        match self.head() {
            // Somebody else advanced meanwhile, at least as far.
            Some(current) if current.size() >= offered.size() => {
                self.check_older(&current, &offered, sources).await?;
                Ok(current)
            }
            current => self.advance(current.as_deref(), offered, sources).await,
        }
    }

    /// A head that is not larger: proved a prefix of ours where the tiles for that are to be had, then dropped.
    async fn check_older(
        &self,
        current: &SignedHead,
        offered: &SignedHead,
        sources: &[Arc<dyn LogSource>],
    ) -> Result<(), ProveError> {
        let size = offered.size();
        let ours = if size == current.size() {
            Some(current.head().root)
        } else if let Some(root) = self.proved_heads().get(&size) {
            Some(*root)
        } else {
            let goals = Goals {
                records: Vec::new(),
                heads: vec![size],
            };
            match self.authenticated(current, &goals, sources).await {
                Ok(proved) => proved.root_of(size),
                // Nothing here rests on an older head, so a proof that cannot be made now is not an obstacle.
                Err(ProveError::MissingTile(_)) => return Ok(()),
                Err(error) => return Err(error),
            }
        };
        match ours {
            Some(root) if root != offered.head().root => Err(self.contradiction(offered, current)),
            Some(root) => {
                let mut proved = self.proved_heads();
                if proved.len() >= HEADS_REMEMBERED_MAX {
                    proved.clear();
                }
                proved.insert(size, root);
                Ok(())
            }
            None => Ok(()),
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
        let goals = Goals {
            records: Vec::new(),
            heads: current
                .map(SignedHead::size)
                .into_iter()
                .filter(|size| *size > 0)
                .collect(),
        };
        let proved = self.authenticated(&offered, &goals, sources).await?;
        if let Some(current) = current.filter(|head| head.size() > 0)
            && proved.root_of(current.size()) != Some(current.head().root)
        {
            return Err(self.contradiction(current, &offered));
        }
        self.files.write_head(offered.size(), offered.note())?;
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

    /// Gathers and authenticates what `goals` need under `head`, and keeps what was new.
    async fn authenticated(
        &self,
        head: &SignedHead,
        goals: &Goals,
        sources: &[Arc<dyn LogSource>],
    ) -> Result<Authenticated, ProveError> {
        let needed = tiles_needed(head.size(), goals).map_err(|_| ProveError::Size(head.size()))?;
        let mut sources = sources.to_vec();
        loop {
            let gathered = self.gather(&needed, &sources).await?;
            match authenticate(head.head(), goals, &gathered.tiles) {
                Ok(proved) => {
                    self.keep(&needed, gathered)?;
                    return Ok(proved);
                }
                Err(untrue) => match gathered.giver {
                    Some(giver) => {
                        giver.blame(&untrue.to_string(), head.note().as_bytes());
                        sources.retain(|source| source.name() != giver.name());
                    }
                    // What was kept is false, or several gave a part: begin again with fewer to ask and nothing kept.
                    None if !sources.is_empty() => {
                        for coordinate in &needed {
                            self.forget_tile(coordinate.level, coordinate.index);
                        }
                        if !gathered.fetched.is_empty() {
                            sources.remove(0);
                        }
                        if sources.is_empty() {
                            return Err(untrue.into());
                        }
                    }
                    None => return Err(untrue.into()),
                },
            }
            if sources.is_empty() {
                // Without anybody left to ask, another round would gather the same.
                let missing = needed
                    .iter()
                    .find(|coordinate| self.kept_wide_enough(**coordinate).is_none());
                if let Some(coordinate) = missing {
                    return Err(ProveError::MissingTile(*coordinate));
                }
            }
        }
    }

    async fn gather(
        &self,
        needed: &[TileCoordinate],
        sources: &[Arc<dyn LogSource>],
    ) -> Result<Gathered, ProveError> {
        let mut gathered = Gathered {
            tiles: HashMap::new(),
            fetched: Vec::new(),
            giver: None,
        };
        let mut missing = Vec::new();
        for coordinate in needed {
            match self.kept_wide_enough(*coordinate) {
                Some(tile) => {
                    gathered
                        .tiles
                        .insert((coordinate.level, coordinate.index), (*tile).clone());
                }
                None => missing.push(*coordinate),
            }
        }
        let mut givers = 0;
        for source in sources {
            if missing.is_empty() {
                break;
            }
            let answers = source.tiles(&missing).await;
            let mut gave = false;
            let mut still_missing = Vec::new();
            for (index, coordinate) in missing.iter().enumerate() {
                let tile = answers
                    .get(index)
                    .and_then(|answer| answer.as_ref().ok())
                    .and_then(|(width, bytes)| tile_as_given(*coordinate, *width, bytes));
                match tile {
                    Some(tile) => {
                        gave = true;
                        let at = (coordinate.level, coordinate.index);
                        gathered.fetched.push(at);
                        gathered.tiles.insert(at, tile);
                    }
                    None => still_missing.push(*coordinate),
                }
            }
            missing = still_missing;
            if gave {
                givers += 1;
                gathered.giver = (givers == 1).then(|| Arc::clone(source));
            }
        }
        match missing.first() {
            Some(coordinate) => Err(ProveError::MissingTile(*coordinate)),
            None => Ok(gathered),
        }
    }

    /// Keeps the tiles that were fetched, no wider than they were proved.
    fn keep(&self, needed: &[TileCoordinate], gathered: Gathered) -> Result<(), ProveError> {
        let mut tiles = gathered.tiles;
        for at in gathered.fetched {
            let proved = needed
                .iter()
                .find(|coordinate| (coordinate.level, coordinate.index) == at)
                .and_then(|coordinate| tiles.remove(&at)?.cut(coordinate.width));
            if let Some(tile) = proved {
                self.files.write_tile(&tile)?;
                self.remember_tile(Arc::new(tile));
            }
        }
        Ok(())
    }

    /// The tile at `coordinate` under `head`, asked for and proved.
    pub(super) async fn fetch_tile(
        &self,
        head: &SignedHead,
        coordinate: TileCoordinate,
        sources: &[Arc<dyn LogSource>],
    ) -> Result<Option<Tile>, ProveError> {
        // The path of the first record below the tile leads through it.
        let first = coordinate
            .index
            .checked_shl(8 * (u32::from(coordinate.level) + 1))
            .filter(|first| *first < head.size())
            .ok_or(ProveError::Size(head.size()))?;
        let goals = Goals {
            records: vec![first],
            heads: Vec::new(),
        };
        self.authenticated(head, &goals, sources).await?;
        Ok(self
            .kept_tile(coordinate.level, coordinate.index)
            .and_then(|tile| tile.cut(coordinate.width)))
    }

    /// The kept tile in its widest form.
    pub(super) fn kept_tile(&self, level: u8, index: u64) -> Option<Arc<Tile>> {
        if let Some(tile) = self.tiles().get(&(level, index)) {
            return Some(Arc::clone(tile));
        }
        let tile = Arc::new(self.files.tile(level, index)?);
        self.remember_tile(Arc::clone(&tile));
        Some(tile)
    }

    fn kept_wide_enough(&self, coordinate: TileCoordinate) -> Option<Arc<Tile>> {
        self.kept_tile(coordinate.level, coordinate.index)
            .filter(|tile| tile.coordinate().width >= coordinate.width)
    }

    fn remember_tile(&self, tile: Arc<Tile>) {
        let at = (tile.coordinate().level, tile.coordinate().index);
        let mut tiles = self.tiles();
        if tiles
            .get(&at)
            .is_some_and(|kept| kept.coordinate().width >= tile.coordinate().width)
        {
            return;
        }
        if tiles.len() >= TILES_IN_MEMORY_MAX {
            tiles.clear();
        }
        tiles.insert(at, tile);
    }

    fn forget_tile(&self, level: u8, index: u64) {
        self.tiles().remove(&(level, index));
        self.files.forget_tile(level, index);
    }

    fn contradiction(&self, older: &SignedHead, newer: &SignedHead) -> ProveError {
        tracing::error!(
            database = self.key.name(),
            older = older.note(),
            newer = newer.note(),
            "SECURITY: two signed tree heads of the checksum database contradict each other; the smaller log is not a prefix of the larger one"
        );
        ProveError::Contradiction {
            database: self.key.name().to_owned(),
            older: older.size(),
            newer: newer.size(),
        }
    }

    fn tiles(&self) -> std::sync::MutexGuard<'_, HashMap<(u8, u64), Arc<Tile>>> {
        self.tiles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proved_heads(&self) -> std::sync::MutexGuard<'_, HashMap<u64, [u8; 32]>> {
        self.proved_heads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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

/// A tile as a source gave it, if it has the form of one that is wide enough.
fn tile_as_given(asked: TileCoordinate, width: u16, bytes: &[u8]) -> Option<Tile> {
    if width < asked.width {
        return None;
    }
    Tile::new(TileCoordinate { width, ..asked }, bytes.to_vec()).ok()
}

fn evidence(answer: &LookupAnswer) -> Vec<u8> {
    let mut bytes = format!("{}\n{}\n", answer.id, answer.text).into_bytes();
    bytes.extend_from_slice(&answer.note);
    bytes
}
