//! Tiles that have come and that nobody has proved, for as long as others may wait for them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use modmesh_protocol::log::TileCoordinate;

use super::lock;
use crate::log::TileBytes;

/// Tiles that are held for others, of one database: 1 MiB at most.
const FRESH_TILES_MAX: usize = 128;
/// How long: an owner remembers for as long who has one.
const FRESH_FOR: Duration = Duration::from_secs(30);

/// Tiles as this host's upstream gave them just now, for those who wait for them.
#[derive(Debug, Default)]
pub(crate) struct FreshTiles(Mutex<HashMap<(u8, u64), (TileBytes, Instant)>>);

impl FreshTiles {
    /// The tile, if one at least as wide came of late.
    pub(in crate::wiring) fn get(
        &self,
        level: u8,
        index: u64,
        width_min: u16,
    ) -> Option<TileBytes> {
        let fresh = lock(&self.0);
        let (tile, came) = fresh.get(&(level, index))?;
        (tile.0 >= width_min && came.elapsed() < FRESH_FOR).then(|| tile.clone())
    }

    /// Keeps one that came, in the place of a narrower or older one; the oldest goes where there is no room.
    pub(super) fn put(&self, at: TileCoordinate, tile: &TileBytes) {
        let (mut fresh, place) = (lock(&self.0), (at.level, at.index));
        fresh.retain(|_, (_, came)| came.elapsed() < FRESH_FOR);
        if fresh.len() >= FRESH_TILES_MAX && !fresh.contains_key(&place) {
            let oldest = fresh.iter().min_by_key(|(_, (_, came))| *came);
            if let Some(oldest) = oldest.map(|(place, _)| *place) {
                fresh.remove(&oldest);
            }
        }
        if fresh.get(&place).is_none_or(|(held, _)| held.0 <= tile.0) {
            fresh.insert(place, (tile.clone(), Instant::now()));
        }
    }

    pub(super) fn forget(&self, at: &[TileCoordinate]) {
        let mut fresh = lock(&self.0);
        for at in at {
            fresh.remove(&(at.level, at.index));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64, width: u16) -> TileCoordinate {
        TileCoordinate {
            level: 0,
            index,
            width,
        }
    }

    fn tile(width: u16) -> TileBytes {
        (width, vec![7; usize::from(width) * 32])
    }

    #[test]
    fn a_fresh_tile_is_had_where_it_is_wide_enough() {
        let fresh = FreshTiles::default();
        fresh.put(at(3, 100), &tile(100));
        assert_eq!(fresh.get(0, 3, 100), Some(tile(100)));
        assert_eq!(fresh.get(0, 3, 101), None);
        assert_eq!(fresh.get(1, 3, 1), None);
        fresh.put(at(3, 200), &tile(256));
        fresh.put(at(3, 100), &tile(100));
        assert_eq!(fresh.get(0, 3, 200), Some(tile(256)));
        fresh.forget(&[at(3, 200)]);
        assert_eq!(fresh.get(0, 3, 1), None);
    }

    #[test]
    fn the_oldest_gives_way() {
        let fresh = FreshTiles::default();
        for index in 0..=FRESH_TILES_MAX as u64 {
            fresh.put(at(index, 1), &tile(1));
        }
        assert_eq!(lock(&fresh.0).len(), FRESH_TILES_MAX);
        assert_eq!(fresh.get(0, 0, 1), None);
        assert!(fresh.get(0, FRESH_TILES_MAX as u64, 1).is_some());
    }
}
