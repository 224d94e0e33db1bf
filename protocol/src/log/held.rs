//! Which tiles somebody has, told in few bytes, and which ones it therefore still needs for a proof.
//!
//! Who asks for a record does not know its number, and so cannot say which tiles it lacks: it says what it has, and who answers
//! works out the rest. The tiles that are not full follow from the size of a tree, see [`crate::log::tiles_needed`]; of the full ones
//! a [`HeldTiles`] tells, a Bloom filter over their places. It errs to one side, and rarely: a tile may seem to be there that is
//! not. Then one tile less comes than is needed, and is asked for. Nothing here decides what is true.

use std::cmp::max;

use super::proof::{Goals, tiles_needed};
use super::tile::TileCoordinate;

/// Tiles of which one filter tells: as many as a host has at hand in memory.
pub const HELD_TILES_MAX: usize = 256;
/// Bytes of the largest filter: sixteen bits for each of its tiles, with which one of 400 tiles that are not there seems to be.
pub const HELD_BYTES_MAX: usize = HELD_TILES_MAX * 2;
/// Bytes of the smallest one that tells of anything.
const BYTES_MIN: usize = 8;
/// Bits that stand for one tile.
const BITS_PER_TILE: u32 = 4;

/// The places of some full tiles, as a Bloom filter. Who is in it is always found; who is not is found rarely.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldTiles {
    /// Empty where there are no tiles.
    bits: Vec<u8>,
}

impl HeldTiles {
    /// Tells of the full tiles at these places, level and index; of more than [`HELD_TILES_MAX`], of the first ones.
    pub fn of(places: impl IntoIterator<Item = (u8, u64)>) -> Self {
        let places: Vec<_> = places.into_iter().take(HELD_TILES_MAX).collect();
        if places.is_empty() {
            return Self::default();
        }
        let bytes = max((places.len() * 2).next_power_of_two(), BYTES_MIN);
        let mut bits = vec![0; bytes];
        for place in places {
            for (byte, bit) in positions(place, bytes) {
                if let Some(byte) = bits.get_mut(byte) {
                    *byte |= bit;
                }
            }
        }
        Self { bits }
    }

    /// A filter as it came from somebody; any bytes are one.
    pub fn from_bytes(bits: Vec<u8>) -> Self {
        Self { bits }
    }

    /// The filter as it travels, at most [`HELD_BYTES_MAX`] bytes of one made here.
    pub fn bytes(&self) -> &[u8] {
        &self.bits
    }

    /// Whether the full tile at this place seems to be held. Never false for one that is.
    pub fn seems_to_have(&self, level: u8, index: u64) -> bool {
        let bytes = self.bits.len();
        bytes > 0
            && positions((level, index), bytes)
                .all(|(byte, bit)| self.bits.get(byte).is_some_and(|held| held & bit != 0))
    }
}

/// Where the bits of a place lie in a filter of so many bytes, which are more than none.
fn positions((level, index): (u8, u64), bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    let mixed = mix(index ^ (u64::from(level) << 56));
    (0..BITS_PER_TILE).map(move |number| {
        let part = (mixed >> (16 * number)) as u16;
        let position = usize::from(part) % (bytes * 8);
        (position / 8, 1 << (position % 8))
    })
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014). Who chooses places that collide is sent a tile less than it needs.
fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The tiles that prove record `id` to somebody whose tree has `theirs` records, when our tree has `ours`, without those that it has:
/// the right edge of its own tree, and the full ones in `held`. Under the larger of both heads; where that is ours, with what proves
/// that it continues theirs. Nothing where our tree does not hold the record.
pub fn tiles_lacking(id: u64, theirs: u64, ours: u64, held: &HeldTiles) -> Vec<TileCoordinate> {
    if id >= ours {
        return Vec::new();
    }
    let heads = (1..ours).contains(&theirs).then_some(theirs);
    let goals = Goals {
        records: vec![id],
        heads: heads.into_iter().collect(),
    };
    let mut lacking = tiles_needed(max(theirs, ours), &goals).unwrap_or_default();
    lacking.retain(|tile| {
        let (level, index) = (tile.level, tile.index);
        match tile.is_full() {
            true => !held.seems_to_have(level, index),
            false => TileCoordinate::in_tree(theirs, level, index) != Some(*tile),
        }
    });
    lacking
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use proptest::collection::{hash_set, vec};
    use proptest::prelude::*;

    use super::*;

    fn paths(tiles: &[TileCoordinate]) -> Vec<String> {
        tiles.iter().map(TileCoordinate::path).collect()
    }

    #[test]
    fn the_bits_of_a_tile_are_for_good() {
        assert_eq!(HeldTiles::of([]).bytes(), [0; 0]);
        let one = HeldTiles::of([(1, 300)]);
        assert_eq!(crate::digest::hex(one.bytes()), "0000020002090000");
        assert!(one.seems_to_have(1, 300));
        assert!(!one.seems_to_have(0, 300));
        assert!(!HeldTiles::default().seems_to_have(0, 0));
    }

    #[test]
    fn a_filter_grows_with_its_tiles_to_a_bound() {
        let bytes = |tiles| {
            HeldTiles::of((0..tiles).map(|index| (0, index)))
                .bytes()
                .len()
        };
        assert_eq!([1, 4, 5, 256, 100_000].map(bytes), [8, 8, 16, 512, 512]);
    }

    #[test]
    fn few_tiles_seem_to_be_held_that_are_not() {
        let held = HeldTiles::of((0..256).map(|index| (0, index)));
        let seems = |index: &u64| held.seems_to_have(0, *index);
        let wrong = (1000..101_000).filter(seems).count();
        // 240 of 100,000 are to be expected.
        assert!(wrong < 500, "{wrong}");
    }

    #[test]
    fn who_has_nothing_is_given_the_whole_proof() {
        let lacking = tiles_lacking(700, 0, 70_000, &HeldTiles::default());
        let all = tiles_needed(
            70_000,
            &Goals {
                records: vec![700],
                heads: vec![],
            },
        );
        assert_eq!(lacking, all.unwrap());
    }

    #[test]
    fn who_has_the_same_head_is_given_what_is_full_and_not_held() {
        let none = HeldTiles::default();
        let lacking = |held: &HeldTiles| paths(&tiles_lacking(700, 70_000, 70_000, held));
        assert_eq!(lacking(&none), ["tile/8/1/000", "tile/8/0/002"]);
        let upper = HeldTiles::of([(1, 0)]);
        assert_eq!(lacking(&upper), ["tile/8/0/002"]);
        let both = HeldTiles::of([(1, 0), (0, 2)]);
        assert!(lacking(&both).is_empty());
        // A record of the right edge needs nothing.
        assert!(tiles_lacking(69_999, 70_000, 70_000, &none).is_empty());
    }

    #[test]
    fn who_is_behind_is_given_what_continues_its_head() {
        let lacking = tiles_lacking(699, 700, 900, &HeldTiles::default());
        // Its own edge as wide as it is now, the new edge, and the tile above.
        let expected = ["tile/8/1/000.p/3", "tile/8/0/002", "tile/8/0/003.p/132"];
        assert_eq!(paths(&lacking), expected);
    }

    #[test]
    fn who_is_ahead_is_given_the_tile_as_wide_as_it_needs_it() {
        let lacking = tiles_lacking(699, 900, 700, &HeldTiles::default());
        assert_eq!(paths(&lacking), ["tile/8/0/002"]);
    }

    #[test]
    fn a_record_or_a_size_that_cannot_be_needs_nothing() {
        let none = HeldTiles::default();
        assert!(tiles_lacking(700, 0, 700, &none).is_empty());
        assert!(tiles_lacking(u64::MAX, 0, 700, &none).is_empty());
        assert!(tiles_lacking(1, u64::MAX, 700, &none).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn what_is_held_is_found(places in vec((0..8u8, any::<u64>()), 0..=256)) {
            let held = HeldTiles::of(places.iter().copied());
            prop_assert!(held.bytes().len() <= HELD_BYTES_MAX);
            for (level, index) in places {
                prop_assert!(held.seems_to_have(level, index));
            }
        }

        #[test]
        fn any_bytes_are_a_filter(bytes in vec(any::<u8>(), 0..=600), level: u8, index: u64) {
            let _answers = HeldTiles::from_bytes(bytes).seems_to_have(level, index);
        }

        /// What is given, what the edge of its own tree is, and what it said to have: together all that the proof needs.
        #[test]
        fn nothing_that_is_needed_is_left_out(
            id in 0..1u64 << 40,
            theirs in 0..1u64 << 40,
            ours in 1..1u64 << 40,
            held in hash_set((0..5u8, 0..1u64 << 20), 0..40),
        ) {
            let id = id % ours;
            let filter = HeldTiles::of(held.iter().copied());
            let given: HashSet<_> = tiles_lacking(id, theirs, ours, &filter).into_iter().collect();
            let heads = if (1..ours).contains(&theirs) { vec![theirs] } else { vec![] };
            let goals = Goals { records: vec![id], heads };
            for tile in tiles_needed(max(theirs, ours), &goals).unwrap() {
                let is_edge = !tile.is_full()
                    && TileCoordinate::in_tree(theirs, tile.level, tile.index) == Some(tile);
                let seems = tile.is_full() && filter.seems_to_have(tile.level, tile.index);
                prop_assert_eq!(given.contains(&tile), !is_edge && !seems);
            }
        }
    }
}
