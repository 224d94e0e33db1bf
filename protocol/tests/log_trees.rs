//! Proofs in logs that are built here, small and whole or huge and opened in a few places: what is true is proved with
//! exactly the tiles that are said to be needed, and no hash of any of them can be changed.
#![allow(clippy::unwrap_used)]

mod built_log;

use std::collections::HashMap;

use built_log::BuiltLog;
use modmesh_protocol::log::{
    GoalError, Goals, HASH_BYTES, TREE_SIZE_MAX, Tile, TileCoordinate, TreeHead, Untrue,
    authenticate, empty_root, node_hash, record_hash, tiles_needed,
};
use proptest::prelude::*;

type Tiles = HashMap<(u8, u64), Tile>;

/// Sizes at which a tile level begins, ends or is empty, and those at which other verifiers failed.
const SIZES: [u64; 17] = [
    255,
    256,
    257,
    65_535,
    65_536,
    65_537,
    65_792,
    66_000,
    69_999,
    70_000,
    16_777_215,
    16_777_216,
    16_777_217,
    71_909_756,
    4_294_967_301,
    1_099_511_640_121,
    TREE_SIZE_MAX,
];

/// CVE-2026-56865: a proxy forges a leaf tile, and a verifier that skips tiles by index believes it.
#[test]
fn cve_2026_56865_a_forged_leaf_tile_is_refused() {
    let log = BuiltLog::whole();
    for size in [65_536, 66_000, 69_999, 70_000] {
        let head = log.head(size);
        for id in [0, 255, 256, 511, 65_279, 65_535] {
            let goals = goals(&[id], &[]);
            let needed = tiles_needed(size, &goals).unwrap();
            let leaf_tile = TileCoordinate::in_tree(size, 0, id / 256).unwrap();
            let above = TileCoordinate::in_tree(size, 1, id / 65_536).unwrap();
            let honest = log.tiles(&needed);
            let mut tiles = honest.clone();
            forge(&mut tiles, leaf_tile, id % 256, record_hash(b"forged"));
            let untrue = authenticate(&head, &goals, &tiles).unwrap_err();
            assert_eq!(untrue, Untrue::Tile(leaf_tile), "record {id} of {size}");

            // A forger who also makes the tile above agree is found one level further up.
            let summary = tiles[&(0, leaf_tile.index)].summary().unwrap();
            forge(&mut tiles, above, leaf_tile.index % 256, summary);
            let untrue = authenticate(&head, &goals, &tiles).unwrap_err();
            assert_eq!(untrue, Untrue::Tile(above), "record {id} of {size}");

            let proved = authenticate(&head, &goals, &honest).unwrap();
            assert_eq!(proved.leaf(id), Some(log.leaf(id)));
        }
    }
}

#[test]
fn trees_of_every_awkward_size_prove_their_records_and_their_past() {
    for size in SIZES {
        let (log, goals) = awkward(size);
        let needed = tiles_needed(size, &goals).unwrap();
        let proved = authenticate(&log.head(size), &goals, &log.tiles(&needed)).unwrap();
        for &id in &goals.records {
            assert_eq!(proved.leaf(id), Some(log.leaf(id)), "record {id} of {size}");
        }
        for &older in &goals.heads {
            let root = log.head(older).root;
            assert_eq!(proved.root_of(older), Some(root), "{older} of {size}");
        }
    }
}

#[test]
fn no_hash_of_any_tile_of_an_awkward_tree_can_be_changed() {
    for size in [65_536, 65_537, 70_000, 16_777_217, 71_909_756] {
        let (log, goals) = awkward(size);
        let head = log.head(size);
        let needed = tiles_needed(size, &goals).unwrap();
        let mut tiles = log.tiles(&needed);
        for coordinate in needed {
            for position in [0, 1, coordinate.width / 2, coordinate.width - 1] {
                if position >= coordinate.width {
                    continue;
                }
                let honest = tiles[&(coordinate.level, coordinate.index)].clone();
                let mut hash = honest.hash(position).unwrap();
                hash[usize::from(position) % HASH_BYTES] ^= 1;
                forge(&mut tiles, coordinate, position.into(), hash);
                // From the top down, so that a false tile is found and not the true ones below it.
                match authenticate(&head, &goals, &tiles).unwrap_err() {
                    Untrue::Edge { tiles, .. } => assert!(tiles.contains(&coordinate)),
                    Untrue::Tile(found) => assert_eq!(found, coordinate),
                    other => panic!("{coordinate}: {other}"),
                }
                tiles.insert((coordinate.level, coordinate.index), honest);
            }
        }
        authenticate(&head, &goals, &tiles).unwrap();
    }
}

#[test]
fn a_needed_tile_that_is_missing_or_too_narrow_is_named() {
    let (log, goals) = awkward(70_000);
    let head = log.head(70_000);
    let needed = tiles_needed(70_000, &goals).unwrap();
    let mut tiles = log.tiles(&needed);
    for coordinate in needed {
        let place = (coordinate.level, coordinate.index);
        let tile = tiles.remove(&place).unwrap();
        let missing = Untrue::Missing(coordinate);
        assert_eq!(
            authenticate(&head, &goals, &tiles).unwrap_err(),
            missing.clone()
        );
        if let Some(narrow) = tile.cut(coordinate.width - 1) {
            tiles.insert(place, narrow);
            assert_eq!(authenticate(&head, &goals, &tiles).unwrap_err(), missing);
        }
        tiles.insert(place, tile);
    }
}

#[test]
fn a_tile_kept_under_the_key_of_another_place_is_missing() {
    let log = BuiltLog::whole();
    let goals = goals(&[0], &[]);
    let needed = tiles_needed(600, &goals).unwrap();
    let mut tiles = log.tiles(&needed);
    let other = log.tile(TileCoordinate::new(0, 1, 256).unwrap());
    tiles.insert((0, 0), other);
    assert_eq!(
        authenticate(&log.head(600), &goals, &tiles).unwrap_err(),
        Untrue::Missing(TileCoordinate::new(0, 0, 256).unwrap())
    );
}

#[test]
fn the_empty_tree_needs_no_tile_and_has_the_hash_of_nothing() {
    let none = Goals::default();
    assert_eq!(tiles_needed(0, &none), Ok(vec![]));
    let proved = authenticate(&TreeHead::empty(), &none, &Tiles::new()).unwrap();
    assert_eq!(proved.root_of(0), Some(empty_root()));
    let false_head = TreeHead {
        size: 0,
        root: [0; 32],
    };
    assert!(matches!(
        authenticate(&false_head, &none, &Tiles::new()),
        Err(Untrue::Edge { size: 0, .. })
    ));
}

#[test]
fn what_lies_beyond_the_head_cannot_be_a_goal() {
    let needed = |size, records: &[u64], heads: &[u64]| tiles_needed(size, &goals(records, heads));
    assert_eq!(
        needed(5, &[5], &[]),
        Err(GoalError::Record { id: 5, size: 5 })
    );
    assert_eq!(
        needed(5, &[], &[6]),
        Err(GoalError::Head { older: 6, size: 5 })
    );
    assert_eq!(
        needed(u64::MAX, &[], &[]),
        Err(GoalError::TooLarge(u64::MAX))
    );
    assert_eq!(
        needed(5, &[u64::MAX], &[]),
        Err(GoalError::Record {
            id: u64::MAX,
            size: 5
        })
    );
    assert!(needed(5, &[4], &[5, 0]).is_ok());
}

#[test]
fn the_tiles_for_one_record_of_the_public_log_are_these() {
    let paths: Vec<_> = tiles_needed(71_909_756, &goals(&[942], &[]))
        .unwrap()
        .iter()
        .map(TileCoordinate::path)
        .collect();
    assert_eq!(
        paths,
        [
            "tile/8/3/000.p/4",
            "tile/8/2/000",
            "tile/8/2/004.p/73",
            "tile/8/1/000",
            "tile/8/1/x001/097.p/65",
            "tile/8/0/003",
            "tile/8/0/x280/897.p/124",
        ]
    );
}

#[test]
fn three_leaves_hash_as_the_definition_says() {
    let log = BuiltLog::whole();
    let [a, b, c] = [0, 1, 2].map(|id| log.leaf(id));
    let root = node_hash(&node_hash(&a, &b), &c);
    assert_eq!(log.head(3).root, root);
    let edge = tiles_needed(3, &Goals::default()).unwrap();
    authenticate(
        &TreeHead { size: 3, root },
        &Goals::default(),
        &log.tiles(&edge),
    )
    .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_small_tree_proves_any_record_and_any_older_head(
        size in 1u64..2000,
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..6),
        growth in 0u64..700,
    ) {
        let log = BuiltLog::whole();
        let ids: Vec<u64> = picks.iter().map(|pick| pick.0.index(size as usize) as u64).collect();
        let older: Vec<u64> = picks.iter().map(|pick| pick.1.index(size as usize + 1) as u64).collect();
        let goals = goals(&ids, &older);
        let needed = tiles_needed(size, &goals).unwrap();
        // A holder may have the tiles of a newer head, which are as wide or wider.
        let held: Vec<_> = needed
            .iter()
            .map(|tile| TileCoordinate::in_tree(size + growth, tile.level, tile.index).unwrap())
            .collect();
        let proved = authenticate(&log.head(size), &goals, &log.tiles(&held)).unwrap();
        for id in ids {
            prop_assert_eq!(proved.leaf(id), Some(log.leaf(id)));
        }
        for older in older {
            prop_assert_eq!(proved.root_of(older), Some(log.head(older).root));
        }
        let kept: Vec<_> = proved.tiles().map(Tile::coordinate).collect();
        prop_assert_eq!(kept.len(), needed.len());
        prop_assert!(kept.iter().all(|tile| needed.contains(tile)));
        prop_assert_eq!(proved.root_of(size + 1), None);
    }

    #[test]
    fn no_bit_of_any_needed_tile_can_be_changed(
        size in 1u64..2000,
        id in any::<prop::sample::Index>(),
        older in any::<prop::sample::Index>(),
        tile in any::<prop::sample::Index>(),
        bit in any::<prop::sample::Index>(),
    ) {
        let log = BuiltLog::whole();
        let goals = goals(&[id.index(size as usize) as u64], &[older.index(size as usize + 1) as u64]);
        let needed = tiles_needed(size, &goals).unwrap();
        let mut tiles = log.tiles(&needed);
        let coordinate = needed[tile.index(needed.len())];
        let place = (coordinate.level, coordinate.index);
        let mut bytes = tiles[&place].bytes().to_vec();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        tiles.insert(place, Tile::new(coordinate, bytes).unwrap());
        prop_assert!(authenticate(&log.head(size), &goals, &tiles).is_err());
    }

    #[test]
    fn a_head_of_another_log_is_not_proved(size in 1u64..2000, bit in 0usize..256) {
        let log = BuiltLog::whole();
        let tiles = log.tiles(&tiles_needed(size, &Goals::default()).unwrap());
        let mut head = log.head(size);
        head.root[bit / 8] ^= 1 << (bit % 8);
        let refused = matches!(
            authenticate(&head, &Goals::default(), &tiles),
            Err(Untrue::Edge { .. })
        );
        prop_assert!(refused);
    }
}

fn goals(records: &[u64], heads: &[u64]) -> Goals {
    Goals {
        records: records.to_vec(),
        heads: heads.to_vec(),
    }
}

/// A log that can prove, under `size`, records and older heads at its beginning, in its middle and at its end.
fn awkward(size: u64) -> (BuiltLog, Goals) {
    let records = [
        0,
        255,
        256,
        size / 2,
        size - size / 7 - 1,
        size - 2,
        size - 1,
    ];
    let heads = [0, 1, 255, 256, size / 3, size / 256 * 256, size - 1, size];
    let records = records.map(|id| id.min(size - 1));
    let heads = heads.map(|older| older.min(size));
    let mut opened = records.to_vec();
    opened.extend(heads);
    (BuiltLog::opened_at(&opened), goals(&records, &heads))
}

/// Puts `hash` at `position` of the tile at `coordinate`.
fn forge(tiles: &mut Tiles, coordinate: TileCoordinate, position: u64, hash: [u8; HASH_BYTES]) {
    let place = (coordinate.level, coordinate.index);
    let mut bytes = tiles[&place].bytes().to_vec();
    let at = position as usize * HASH_BYTES;
    bytes[at..at + HASH_BYTES].copy_from_slice(&hash);
    tiles.insert(place, Tile::new(coordinate, bytes).unwrap());
}
