//! The tiles that are here, and proofs made of them.
//!
//! A proof is always made in the same order: gather the tiles it needs, from here or from the sources; authenticate every
//! one of them against its parent or the root; only then keep what was new, no wider than it was proved.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use modmesh_protocol::log::{
    Authenticated, Goals, SignedHead, Tile, TileCoordinate, Untrue, authenticate, tiles_needed,
};

use super::ask::LogSource;
use super::files::Files;
use super::prove::ProveError;

/// Tiles kept in memory: 2 MiB at most.
const TILES_IN_MEMORY_MAX: usize = 256;

/// The tiles of one database.
#[derive(Debug)]
pub(super) struct Tiles {
    files: Arc<Files>,
    memory: Mutex<HashMap<(u8, u64), Arc<Tile>>>,
}

/// Tiles for one proof, and who just gave which of them.
struct Gathered {
    tiles: HashMap<(u8, u64), Tile>,
    givers: HashMap<(u8, u64), Arc<dyn LogSource>>,
}

impl Tiles {
    pub(super) fn new(files: Arc<Files>) -> Self {
        Self {
            files,
            memory: Mutex::default(),
        }
    }

    /// The kept tile at `level` and `index`, in its widest form.
    pub(super) fn kept(&self, level: u8, index: u64) -> Option<Arc<Tile>> {
        if let Some(tile) = self.memory().get(&(level, index)) {
            return Some(Arc::clone(tile));
        }
        let tile = Arc::new(self.files.tile(level, index)?);
        self.remember(Arc::clone(&tile));
        Some(tile)
    }

    /// Proves what `goals` ask under `head`, asking `sources` in turn for the tiles that are not here.
    ///
    /// A source that alone gave a false tile is blamed, and the others are asked for what it gave. False tiles of our own
    /// are forgotten and asked for anew.
    ///
    /// # Errors
    /// Tiles that nobody has; or false ones, when nobody is left to ask.
    pub(super) async fn prove(
        &self,
        head: &SignedHead,
        goals: &Goals,
        sources: &[Arc<dyn LogSource>],
    ) -> Result<Authenticated, ProveError> {
        let needed = tiles_needed(head.size(), goals)?;
        let mut sources = sources.to_vec();
        loop {
            let gathered = self.gather(&needed, &sources).await?;
            let untrue = match authenticate(head.head(), goals, &gathered.tiles) {
                Ok(proved) => {
                    self.keep(&proved, &gathered);
                    return Ok(proved);
                }
                Err(untrue) => untrue,
            };
            let accused = accused(&untrue);
            match gathered.givers_of(&accused).as_slice() {
                // What was here was proved once, so it was damaged since: it is asked for anew.
                [] => accused
                    .iter()
                    .for_each(|coordinate| self.forget(*coordinate)),
                [liar] => {
                    liar.blame(&untrue.to_string(), head.note().as_bytes());
                    let name = liar.name();
                    sources.retain(|source| source.name() != name);
                }
                // Nobody can be named; with fewer to ask, somebody can.
                [first, ..] => {
                    let name = first.name();
                    sources.retain(|source| source.name() != name);
                }
            }
            if sources.is_empty() || accused.is_empty() {
                return Err(untrue.into());
            }
        }
    }

    async fn gather(
        &self,
        needed: &[TileCoordinate],
        sources: &[Arc<dyn LogSource>],
    ) -> Result<Gathered, ProveError> {
        let (mut tiles, mut givers) = (HashMap::new(), HashMap::new());
        let mut missing = Vec::new();
        for coordinate in needed {
            let kept = self
                .kept(coordinate.level, coordinate.index)
                .filter(|tile| tile.coordinate().width >= coordinate.width);
            match kept {
                Some(tile) => {
                    tiles.insert((coordinate.level, coordinate.index), (*tile).clone());
                }
                None => missing.push(*coordinate),
            }
        }
        for source in sources {
            if missing.is_empty() {
                break;
            }
            let answers = source.tiles(&missing).await;
            let mut still_missing = Vec::new();
            for (index, asked) in missing.into_iter().enumerate() {
                let given = answers
                    .get(index)
                    .and_then(|answer| answer.as_ref().ok())
                    .and_then(|(width, bytes)| tile_as_given(asked, *width, bytes));
                match given {
                    Some(tile) => {
                        tiles.insert((asked.level, asked.index), tile);
                        givers.insert((asked.level, asked.index), Arc::clone(source));
                    }
                    None => still_missing.push(asked),
                }
            }
            missing = still_missing;
        }
        match missing.first() {
            Some(coordinate) => Err(ProveError::MissingTile(*coordinate)),
            None => Ok(Gathered { tiles, givers }),
        }
    }

    /// Keeps what the sources gave, in the widths in which it was proved.
    fn keep(&self, proved: &Authenticated, gathered: &Gathered) {
        for tile in proved.tiles() {
            let at = (tile.coordinate().level, tile.coordinate().index);
            if gathered.givers.contains_key(&at) {
                self.files
                    .write_tile(tile)
                    .unwrap_or_else(|error| unkept(&error));
                self.remember(Arc::new(tile.clone()));
            }
        }
    }

    fn remember(&self, tile: Arc<Tile>) {
        let at = (tile.coordinate().level, tile.coordinate().index);
        let mut memory = self.memory();
        if memory
            .get(&at)
            .is_some_and(|kept| kept.coordinate().width >= tile.coordinate().width)
        {
            return;
        }
        if memory.len() >= TILES_IN_MEMORY_MAX {
            memory.clear();
        }
        memory.insert(at, tile);
    }

    fn forget(&self, coordinate: TileCoordinate) {
        let at = (coordinate.level, coordinate.index);
        self.memory().remove(&at);
        self.files.forget_tile(at.0, at.1);
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, HashMap<(u8, u64), Arc<Tile>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    /// Who just gave any of the `accused` tiles, each once.
    fn givers_of(&self, accused: &[TileCoordinate]) -> Vec<Arc<dyn LogSource>> {
        let mut givers: Vec<Arc<dyn LogSource>> = Vec::new();
        for coordinate in accused {
            if let Some(giver) = self.givers.get(&(coordinate.level, coordinate.index))
                && givers.iter().all(|known| known.name() != giver.name())
            {
                givers.push(Arc::clone(giver));
            }
        }
        givers
    }
}

/// The tiles among which the false one is.
fn accused(untrue: &Untrue) -> Vec<TileCoordinate> {
    match untrue {
        Untrue::Tile(coordinate) => vec![*coordinate],
        Untrue::Edge { tiles, .. } => tiles.clone(),
        Untrue::Goal(_) | Untrue::Missing(_) => Vec::new(),
    }
}

/// What was proved counts, kept or not; a full disk must not look like a database that cannot be asked.
pub(super) fn unkept(error: &io::Error) {
    tracing::warn!(%error, "a part of the checksum database cannot be kept and will be asked for again; is the disk full?");
}

/// A tile as a source gave it, if it has the form of one that is wide enough.
fn tile_as_given(asked: TileCoordinate, width: u16, bytes: &[u8]) -> Option<Tile> {
    if width < asked.width {
        return None;
    }
    Tile::new(TileCoordinate { width, ..asked }, bytes.to_vec()).ok()
}
