//! A log that tests build for themselves: small ones whole, huge ones with only a few tiles opened.
//!
//! Roots are computed by the recursive definition of RFC 6962, section 2.1, over ranges of leaves, which shares nothing
//! with the verifier but the two hash functions. In a huge log a tile that no test looks into is not built: the hash
//! over it is made up from its place, as a commitment to contents that nobody needs.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use modmesh_protocol::log::{
    Hash, Tile, TileCoordinate, TreeHead, empty_root, node_hash, record_hash,
};

/// A log of endless length, of which any prefix can be taken as a tree.
pub(crate) struct BuiltLog {
    /// Level and index of the tiles that can be looked into; all of them when there is no such list.
    opened: Option<HashSet<(u8, u64)>>,
    memo: RefCell<HashMap<(u64, u64), Hash>>,
}

impl BuiltLog {
    /// A log in which every tile is built. For up to some hundred thousand records.
    pub(crate) fn whole() -> Self {
        Self {
            opened: None,
            memo: RefCell::default(),
        }
    }

    /// A log in which only the tiles on the way from these leaves to the root are built. The way of leaf number `n` is
    /// also the right edge of the tree with `n` leaves.
    pub(crate) fn opened_at(leaves: &[u64]) -> Self {
        let ways = leaves
            .iter()
            .flat_map(|leaf| (0u8..8).map(move |level| (level, shifted(*leaf, level + 1))));
        Self {
            opened: Some(ways.collect()),
            memo: RefCell::default(),
        }
    }

    /// The record hash of leaf number `id`.
    pub(crate) fn leaf(&self, id: u64) -> Hash {
        record_hash(format!("record {id}\n").as_bytes())
    }

    /// The head of the first `size` records.
    pub(crate) fn head(&self, size: u64) -> TreeHead {
        let root = match size {
            0 => empty_root(),
            _ => self.root(0, size),
        };
        TreeHead { size, root }
    }

    /// A tile of this log. It must have been opened.
    pub(crate) fn tile(&self, coordinate: TileCoordinate) -> Tile {
        let TileCoordinate {
            level,
            index,
            width,
        } = coordinate;
        assert!(self.is_open(level, index), "{coordinate} was not opened");
        let leaves = 1u64 << (8 * u32::from(level));
        let bytes = (0..u64::from(width))
            .flat_map(|position| self.root((index * 256 + position) * leaves, leaves))
            .collect();
        Tile::new(coordinate, bytes).unwrap()
    }

    /// These tiles, as the verifier takes them.
    pub(crate) fn tiles(&self, coordinates: &[TileCoordinate]) -> HashMap<(u8, u64), Tile> {
        coordinates
            .iter()
            .map(|&coordinate| ((coordinate.level, coordinate.index), self.tile(coordinate)))
            .collect()
    }

    /// The Merkle tree hash over `count` leaves from number `first` on.
    fn root(&self, first: u64, count: u64) -> Hash {
        if count == 1 {
            return self.leaf(first);
        }
        if let Some(hash) = self.memo.borrow().get(&(first, count)) {
            return *hash;
        }
        let hash = if self.is_closed(first, count) {
            record_hash(format!("closed {first} {count}").as_bytes())
        } else {
            let left = 1u64 << (count - 1).ilog2();
            node_hash(
                &self.root(first, left),
                &self.root(first + left, count - left),
            )
        };
        self.memo.borrow_mut().insert((first, count), hash);
        hash
    }

    /// Whether these leaves are exactly those below one tile that is not opened.
    fn is_closed(&self, first: u64, count: u64) -> bool {
        let whole_tile = count.is_power_of_two() && count.ilog2().is_multiple_of(8);
        let level = (count.ilog2() / 8) as u8;
        whole_tile && level > 0 && !self.is_open(level - 1, first / count)
    }

    fn is_open(&self, level: u8, index: u64) -> bool {
        self.opened
            .as_ref()
            .is_none_or(|opened| opened.contains(&(level, index)))
    }
}

fn shifted(number: u64, levels: u8) -> u64 {
    number.checked_shr(8 * u32::from(levels)).unwrap_or(0)
}
