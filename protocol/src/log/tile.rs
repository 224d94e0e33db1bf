//! Tiles: the pieces in which the tree of a log travels.
//!
//! A tile of level `L` and index `i` lists up to 256 neighbouring hashes of the tree's level `8 * L`, from number
//! `256 * i` on. Level 0 holds the leaves; an entry of level `L + 1` is the root over one full tile of level `L`. A
//! full tile never changes, and a partial one only grows, so a narrower tile is a prefix of a wider one of the same
//! place.
//!
//! A coordinate that was parsed here lies in some possible tree, and a [`Tile`] has exactly the bytes its width says.
//! Neither says anything about truth: see [`crate::log::authenticate`]. Only tiles of height 8 exist here, the ones
//! that the go command asks for, and no `data` tiles.

use std::fmt;
use std::str::FromStr;

use super::decimal;
use super::tree::{Hash, TREE_SIZE_MAX, node_hash};

/// How many hashes a full tile holds.
pub const TILE_WIDTH: u16 = 256;

/// The size of one hash in a tile, in bytes.
pub const HASH_BYTES: usize = 32;

/// The longest path of a tile that lies in some tree has 38 bytes; this much of a hostile one is looked at.
const PATH_BYTES_MAX: usize = 64;

/// The place of a tile, and how many hashes of it are meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TileCoordinate {
    /// The tile's level: 0 holds the leaves, each further one skips eight levels of the tree. At most 7.
    pub level: u8,
    /// The number of the tile in its level.
    pub index: u64,
    /// How many hashes, 1 to [`TILE_WIDTH`].
    pub width: u16,
}

/// A tile with its bytes, nothing of it proved yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Tile {
    coordinate: TileCoordinate,
    bytes: Vec<u8>,
}

/// What is no tile, or no path of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not the one spelling of a tile path of height 8.
    #[error("not a tile path: `tile/8/LEVEL/NNN` or `tile/8/LEVEL/NNN.p/WIDTH` is expected")]
    Path,
    /// No tree of up to [`TREE_SIZE_MAX`] records has such a tile.
    #[error("no tree has a tile of this level, index and width")]
    Impossible,
    /// Another number of bytes than the width asks for.
    #[error("tile {coordinate} needs {} bytes and has {bytes}", coordinate.bytes())]
    Length {
        /// The tile that was meant.
        coordinate: TileCoordinate,
        /// How many bytes there were.
        bytes: usize,
    },
}

impl TileCoordinate {
    /// The coordinate with these numbers, when some tree has such a tile.
    pub fn new(level: u8, index: u64, width: u16) -> Result<Self, TileError> {
        let coordinate = Self {
            level,
            index,
            width,
        };
        if coordinate.is_possible() {
            Ok(coordinate)
        } else {
            Err(TileError::Impossible)
        }
    }

    /// The tile of `level` and `index` as wide as it is in a tree of `size` records, or nothing when it has none.
    pub fn in_tree(size: u64, level: u8, index: u64) -> Option<Self> {
        let first = index.checked_mul(u64::from(TILE_WIDTH))?;
        let beyond = hashes_at(size, level).checked_sub(first)?;
        let width = u16::try_from(beyond).unwrap_or(TILE_WIDTH).min(TILE_WIDTH);
        (width > 0).then_some(Self {
            level,
            index,
            width,
        })
    }

    /// The relative URL of the tile: `tile/8/L/NNN`, and `.p/W` when it is not full.
    ///
    /// The index is written in groups of three digits, all but the last with an `x` before it. Source: `tlog.Tile.Path`
    /// in golang.org/x/mod.
    pub fn path(&self) -> String {
        let mut groups = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups = format!("x{:03}/{groups}", rest % 1000);
            rest /= 1000;
        }
        let partial = if self.is_full() {
            String::new()
        } else {
            format!(".p/{}", self.width)
        };
        format!("tile/8/{}/{groups}{partial}", self.level)
    }

    /// Reads a path as [`Self::path`] writes it, without a leading slash; any other spelling is refused.
    pub fn parse_path(path: &str) -> Result<Self, TileError> {
        if path.len() > PATH_BYTES_MAX {
            return Err(TileError::Path);
        }
        let rest = path.strip_prefix("tile/8/").ok_or(TileError::Path)?;
        let (level, rest) = rest.split_once('/').ok_or(TileError::Path)?;
        let (groups, width) = match rest.split_once(".p/") {
            Some((groups, width)) => (groups, decimal(width).ok_or(TileError::Path)?),
            None => (rest, u64::from(TILE_WIDTH)),
        };
        let level = decimal(level).and_then(|level| u8::try_from(level).ok());
        let coordinate = Self::new(
            level.ok_or(TileError::Path)?,
            parse_groups(groups).ok_or(TileError::Path)?,
            u16::try_from(width).map_err(|_| TileError::Path)?,
        )?;
        // One tile has one spelling, because caches and neighbours know it by that.
        if coordinate.path() == path {
            Ok(coordinate)
        } else {
            Err(TileError::Path)
        }
    }

    /// Whether all 256 hashes are meant.
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The same place with another width.
    pub fn with_width(self, width: u16) -> Self {
        Self { width, ..self }
    }

    /// The number of bytes that such a tile has.
    pub fn bytes(&self) -> usize {
        usize::from(self.width) * HASH_BYTES
    }

    /// Whether some tree of at most [`TREE_SIZE_MAX`] records has this tile in this width.
    fn is_possible(&self) -> bool {
        Self::in_tree(TREE_SIZE_MAX, self.level, self.index)
            .is_some_and(|widest| (1..=widest.width).contains(&self.width))
    }
}

impl fmt::Display for TileCoordinate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

impl fmt::Debug for TileCoordinate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

impl FromStr for TileCoordinate {
    type Err = TileError;

    fn from_str(path: &str) -> Result<Self, TileError> {
        Self::parse_path(path)
    }
}

impl Tile {
    /// A tile of these bytes, when there are as many as its width asks for.
    pub fn new(coordinate: TileCoordinate, bytes: Vec<u8>) -> Result<Self, TileError> {
        if !coordinate.is_possible() {
            return Err(TileError::Impossible);
        }
        if bytes.len() != coordinate.bytes() {
            return Err(TileError::Length {
                coordinate,
                bytes: bytes.len(),
            });
        }
        Ok(Self { coordinate, bytes })
    }

    /// Where the tile lies and how wide it is.
    pub fn coordinate(&self) -> TileCoordinate {
        self.coordinate
    }

    /// The hashes, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The hashes, taking the tile apart.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The same tile with only its first `width` hashes, or nothing when it does not have so many.
    pub fn cut(&self, width: u16) -> Option<Self> {
        (1..=self.coordinate.width).contains(&width).then(|| {
            let coordinate = self.coordinate.with_width(width);
            Self {
                coordinate,
                bytes: self.bytes[..coordinate.bytes()].to_vec(),
            }
        })
    }

    /// The hash number `position` of this tile, from 0.
    pub fn hash(&self, position: u16) -> Option<Hash> {
        let (hashes, _) = self.bytes.as_chunks();
        hashes.get(usize::from(position)).copied()
    }

    /// The root over a full tile, which is its entry in the tile above; nothing for a partial one.
    pub fn summary(&self) -> Option<Hash> {
        self.coordinate.is_full().then(|| {
            let (hashes, _) = self.bytes.as_chunks();
            perfect_root(hashes)
        })
    }

    /// Takes the first `width` hashes of this tile as the perfect subtrees they make up, from the largest on the left
    /// to the smallest, and puts them to the left of `right`, which is the root over all that follows them.
    ///
    /// This is the tree of RFC 6962, section 2.1, in which the left part is always the largest perfect tree that fits.
    /// Nothing comes back when the tile is narrower than `width`.
    pub(super) fn fold_left_of(&self, width: u16, right: Option<Hash>) -> Option<Hash> {
        let (hashes, _) = self.bytes.as_chunks();
        let mut hashes = hashes.get(..usize::from(width))?;
        let mut root = right;
        while !hashes.is_empty() {
            let smallest = 1 << hashes.len().trailing_zeros();
            let (before, subtree) = hashes.split_at(hashes.len() - smallest);
            let subtree = perfect_root(subtree);
            root = Some(match root {
                Some(right) => node_hash(&subtree, &right),
                None => subtree,
            });
            hashes = before;
        }
        root
    }
}

impl fmt::Debug for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tile({})", self.coordinate)
    }
}

/// How many hashes the tile level `level` has in a tree of `size` records.
pub(super) fn hashes_at(size: u64, level: u8) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

/// The root over a power of two of hashes, at most 256, so that the recursion is at most eight deep.
fn perfect_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => [0; HASH_BYTES],
        [only] => *only,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&perfect_root(left), &perfect_root(right))
        }
    }
}

/// Reads `x001/x234/067` as 1234067. Whether the spelling is canonical is left to the caller.
fn parse_groups(text: &str) -> Option<u64> {
    text.split('/').try_fold(0u64, |number, group| {
        let digits = group.strip_prefix('x').unwrap_or(group);
        let is_group = digits.len() == 3 && digits.bytes().all(|digit| digit.is_ascii_digit());
        let value: u64 = digits.parse().ok().filter(|_| is_group)?;
        number.checked_mul(1000)?.checked_add(value)
    })
}
