//! What a head proves, and by which tiles.
//!
//! In a tree of `N` records the tile of level `L` and index `i` has `min(256, (N >> 8L) - 256 i)` hashes. The tiles
//! that are not full lie on the right edge, at most one in each level, and fold to the root: their widths are the
//! digits of `N` to the base of 256, and a digit of zero is a level without one. Every full tile has a tile above it,
//! in which its own root is one entry. So there are two rules and no third: the tiles of the right edge are true when
//! they fold to the signed root, and a full tile is true when its root is the entry in a true tile above it.
//!
//! [`authenticate`] applies them to every tile it uses, from the top down, and takes no short cut by index: such a
//! short cut left tiles unchecked in other verifiers, and a leaf could be forged (CVE-2026-56865). Nothing is fetched
//! here; [`tiles_needed`] says what to fetch.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::tile::{TILE_WIDTH, Tile, TileCoordinate, hashes_at};
use super::tree::{Hash, TREE_SIZE_MAX, TreeHead, empty_root};

/// What is to be proved under a head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Goals {
    /// Ids of records that are to be in the tree.
    pub records: Vec<u64>,
    /// Sizes of older heads whose roots are to be recomputed. The head's own size is allowed.
    pub heads: Vec<u64>,
}

/// Tiles that were all found true under one head.
#[derive(Debug, Clone)]
pub struct Authenticated {
    head: TreeHead,
    tiles: BTreeMap<(u8, u64), Tile>,
}

/// Something was to be proved that the head cannot prove.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GoalError {
    /// More records than a tree can have.
    #[error("a tree of {0} records is larger than any log")]
    TooLarge(u64),
    /// The record is not among those of the tree.
    #[error("record {id} is not in a tree of {size} records")]
    Record {
        /// The record's number.
        id: u64,
        /// The number of records under the head.
        size: u64,
    },
    /// The head is not older than the tree.
    #[error("a head of {older} records is newer than a tree of {size}")]
    Head {
        /// The number of records of the head that was to be older.
        older: u64,
        /// The number of records under the head.
        size: u64,
    },
}

/// Why tiles do not prove what they should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrue {
    /// The goals do not fit the head.
    #[error(transparent)]
    Goal(#[from] GoalError),
    /// A tile is not there, or not in the width that the head needs. Nobody lied.
    #[error("{0} is missing")]
    Missing(TileCoordinate),
    /// A tile's root is not the entry in the tile above it, which is true.
    #[error("{0} is false: its root is not in the tile above it")]
    Tile(TileCoordinate),
    /// The tiles of the right edge do not fold to the signed root. At least one of them is false.
    #[error("the root of {size} records does not follow from the tiles of the right edge")]
    Edge {
        /// The number of records under the head.
        size: u64,
        /// The tiles of the right edge, top level first.
        tiles: Vec<TileCoordinate>,
    },
}

/// The tiles that prove `goals` under a head of `size` records, in the widths they have there: the right edge, the leaf
/// tile of each record, the right edge of each older head, and for each full one of these all tiles above it.
///
/// Sorted by level from the top, then by index, each tile once. At most eight tiles for each goal.
pub fn tiles_needed(size: u64, goals: &Goals) -> Result<Vec<TileCoordinate>, GoalError> {
    goals.check(size)?;
    let mut places = BTreeSet::new();
    for tile in right_edge(size) {
        places.insert((Reverse(tile.level), tile.index));
    }
    let leaves = goals
        .records
        .iter()
        .map(|id| (0, id / u64::from(TILE_WIDTH)));
    let edges = goals
        .heads
        .iter()
        .flat_map(|&older| right_edge(older).map(|tile| (tile.level, tile.index)));
    for (mut level, mut index) in leaves.chain(edges) {
        // Once a place is known, so are all those above it.
        while places.insert((Reverse(level), index)) {
            (level, index) = above(level, index);
        }
    }
    Ok(places
        .into_iter()
        .filter_map(|(Reverse(level), index)| TileCoordinate::in_tree(size, level, index))
        .collect())
}

/// Checks every tile that `goals` need under `head`, each against the tile above it or, on the right edge, the root.
///
/// `tiles` is keyed by level and index. A tile may be wider than the head needs, as one fetched under a newer head is:
/// its prefix is what counts, and only that is proved and kept. Tiles that are not needed are not looked at.
pub fn authenticate(
    head: &TreeHead,
    goals: &Goals,
    tiles: &HashMap<(u8, u64), Tile>,
) -> Result<Authenticated, Untrue> {
    let needed = tiles_needed(head.size, goals)?;
    let mut held = BTreeMap::new();
    for coordinate in &needed {
        let place = (coordinate.level, coordinate.index);
        let tile = tiles
            .get(&place)
            .filter(|tile| (tile.coordinate().level, tile.coordinate().index) == place)
            .and_then(|tile| tile.cut(coordinate.width))
            .ok_or(Untrue::Missing(*coordinate))?;
        held.insert(place, tile);
    }
    let found = Authenticated {
        head: *head,
        tiles: held,
    };
    if found.root_of(head.size) != Some(head.root) {
        return Err(Untrue::Edge {
            size: head.size,
            tiles: needed.into_iter().filter(|tile| !tile.is_full()).collect(),
        });
    }
    for coordinate in needed.into_iter().filter(TileCoordinate::is_full) {
        found.check_against_tile_above(coordinate)?;
    }
    Ok(found)
}

impl Authenticated {
    /// The head under which the tiles are true.
    pub fn head(&self) -> &TreeHead {
        &self.head
    }

    /// The leaf of record `id`, when its tile was among those authenticated.
    pub fn leaf(&self, id: u64) -> Option<Hash> {
        let width = u64::from(TILE_WIDTH);
        let position = u16::try_from(id % width).ok()?;
        self.tiles.get(&(0, id / width))?.hash(position)
    }

    /// The root that the same log had at `older_size` records, when the tiles it follows from were authenticated.
    ///
    /// A head of that size belongs to this log exactly when its root is this one.
    pub fn root_of(&self, older_size: u64) -> Option<Hash> {
        if older_size > self.head.size {
            return None;
        }
        if older_size == 0 {
            return Some(empty_root());
        }
        // From the lowest level up, because what lies lower lies further to the right.
        let mut root = None;
        for edge in right_edge(older_size) {
            let tile = self.tiles.get(&(edge.level, edge.index))?;
            root = Some(tile.fold_left_of(edge.width, root)?);
        }
        root
    }

    /// All authenticated tiles, in the widths they have under the head.
    pub fn tiles(&self) -> impl Iterator<Item = &Tile> {
        self.tiles.values()
    }

    fn check_against_tile_above(&self, coordinate: TileCoordinate) -> Result<(), Untrue> {
        let place = (coordinate.level, coordinate.index);
        let summary = self.tiles.get(&place).and_then(Tile::summary);
        let position = (coordinate.index % u64::from(TILE_WIDTH)) as u16;
        let entry = self
            .tiles
            .get(&above(coordinate.level, coordinate.index))
            .and_then(|tile| tile.hash(position));
        match (summary, entry) {
            (Some(summary), Some(entry)) if summary == entry => Ok(()),
            _ => Err(Untrue::Tile(coordinate)),
        }
    }
}

impl Goals {
    fn check(&self, size: u64) -> Result<(), GoalError> {
        if size > TREE_SIZE_MAX {
            return Err(GoalError::TooLarge(size));
        }
        if let Some(&id) = self.records.iter().find(|&&id| id >= size) {
            return Err(GoalError::Record { id, size });
        }
        if let Some(&older) = self.heads.iter().find(|&&older| older > size) {
            return Err(GoalError::Head { older, size });
        }
        Ok(())
    }
}

/// The tiles of a tree of `size` records that are not full, lowest level first. Together they determine its root.
fn right_edge(size: u64) -> impl Iterator<Item = TileCoordinate> {
    let width = u64::from(TILE_WIDTH);
    (0..8)
        .map(move |level| (level, hashes_at(size, level)))
        .map(move |(level, hashes)| TileCoordinate {
            level,
            index: hashes / width,
            width: (hashes % width) as u16,
        })
        .filter(|tile| tile.width > 0)
}

/// The place of the tile that has the root of this one as an entry.
fn above(level: u8, index: u64) -> (u8, u64) {
    (level + 1, index / u64::from(TILE_WIDTH))
}
