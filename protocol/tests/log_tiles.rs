//! Tiles and their paths: one spelling for each tile, and nothing that no tree has. The cases of Go's own test for
//! golang.org/x/mod/sumdb/tlog are restated for the one height that exists here.
#![allow(clippy::unwrap_used)]

use modmesh_protocol::log::{TREE_SIZE_MAX, Tile, TileCoordinate, TileError, node_hash};
use proptest::prelude::*;

#[test]
fn a_path_reads_back_as_it_was_printed() {
    for (path, level, index, width) in [
        ("tile/8/0/000", 0, 0, 256),
        ("tile/8/0/001.p/5", 0, 1, 5),
        ("tile/8/0/999.p/255", 0, 999, 255),
        ("tile/8/0/x001/000", 0, 1000, 256),
        ("tile/8/1/x001/097.p/65", 1, 1097, 65),
        ("tile/8/3/000.p/4", 3, 0, 4),
        ("tile/8/4/x123/456", 4, 123_456, 256),
        ("tile/8/0/x003/x057/500", 0, 3_057_500, 256),
        ("tile/8/0/x123/x456/078.p/2", 0, 123_456_078, 2),
        ("tile/8/7/000.p/127", 7, 0, 127),
        (
            "tile/8/0/x036/x028/x797/x018/x963/967.p/255",
            0,
            36_028_797_018_963_967,
            255,
        ),
    ] {
        let coordinate = TileCoordinate {
            level,
            index,
            width,
        };
        assert_eq!(coordinate.path(), path);
        assert_eq!(TileCoordinate::parse_path(path), Ok(coordinate));
        assert_eq!(coordinate.to_string().parse(), Ok(coordinate));
    }
}

#[test]
fn paths_of_another_spelling_are_refused() {
    for path in [
        "",
        "/",
        "tile",
        "tile/8",
        "tile/8/0",
        "tile/8/0/",
        "tile/8//000",
        "/tile/8/0/000",
        "tile/8/0/000/",
        "tile/4/0/001",
        "tile/08/0/001",
        "tile/8/00/001",
        "tile/8/+0/001",
        "tile/8/-1/001",
        "tile/8/data/001",
        "tile/8/0/1",
        "tile/8/0/01",
        "tile/8/0/0001",
        "tile/8/0/1000",
        "tile/8/0/x001",
        "tile/8/0/x000/001",
        "tile/8/0/123/456/078",
        "tile/8/0/x123/x456/x078",
        "tile/8/0/X123/456",
        "tile/8/0/xx12/456",
        "tile/8/0/+12",
        "tile/8/0/-01",
        "tile/8/0/\u{661}\u{662}\u{663}",
        "tile/8/0/000.p",
        "tile/8/0/000.p/",
        "tile/8/0/000.p/0",
        "tile/8/0/000.p/01",
        "tile/8/0/000.p/+1",
        "tile/8/0/000.p/256",
        "tile/8/0/000.p/257",
        "tile/8/0/000.p/65537",
        "tile/8/0/000.p/1/",
        "tile/8/0/000.p/1.p/1",
        "tile/8/0/000.p/99999999999999999999999999",
        "tile/8/200/000",
        "tile/8/256/000",
        "tile/8/8/000",
        // Level 7 of the largest tree has 127 hashes.
        "tile/8/7/000",
        "tile/8/7/000.p/128",
        "tile/8/7/001.p/1",
        // One hash more than the largest tree has leaves.
        "tile/8/0/x036/x028/x797/x018/x963/967",
        "tile/8/0/x036/x028/x797/x018/x963/968",
        "tile/8/0/x999/x999/x999/x999/x999/x999/999",
        "tile/8/0/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/001",
    ] {
        assert!(TileCoordinate::parse_path(path).is_err(), "{path}");
    }
}

#[test]
fn a_tile_has_the_width_that_the_tree_gives_it() {
    for (size, level, index, width) in [
        (0, 0, 0, None),
        (1, 0, 0, Some(1)),
        (256, 0, 0, Some(256)),
        (256, 0, 1, None),
        (256, 1, 0, Some(1)),
        (257, 0, 1, Some(1)),
        (70_000, 0, 273, Some(112)),
        (70_000, 1, 0, Some(256)),
        (70_000, 1, 1, Some(17)),
        (70_000, 2, 0, Some(1)),
        (70_000, 3, 0, None),
        (TREE_SIZE_MAX, 7, 0, Some(127)),
        (TREE_SIZE_MAX, 8, 0, None),
        (u64::MAX, 255, 0, None),
        (TREE_SIZE_MAX, 0, u64::MAX, None),
    ] {
        let found = TileCoordinate::in_tree(size, level, index).map(|tile| tile.width);
        assert_eq!(found, width, "{size} {level} {index}");
    }
}

#[test]
fn a_tile_has_32_bytes_for_each_hash_and_lies_in_some_tree() {
    let coordinate = TileCoordinate::new(0, 5, 3).unwrap();
    let tile = Tile::new(coordinate, vec![1; 96]).unwrap();
    assert_eq!(tile.hash(2), Some([1; 32]));
    assert_eq!(tile.hash(3), None);
    assert_eq!(tile.summary(), None);
    for bytes in [0, 95, 97, 8192] {
        let refused = TileError::Length { coordinate, bytes };
        assert_eq!(Tile::new(coordinate, vec![0; bytes]), Err(refused));
    }
    let impossible = TileCoordinate {
        level: 200,
        index: 0,
        width: 1,
    };
    assert_eq!(
        Tile::new(impossible, vec![0; 32]),
        Err(TileError::Impossible)
    );
    assert_eq!(TileCoordinate::new(0, 0, 0), Err(TileError::Impossible));
    assert_eq!(TileCoordinate::new(0, 0, 257), Err(TileError::Impossible));
}

#[test]
fn a_narrower_tile_is_a_prefix_of_a_wider_one() {
    let bytes: Vec<u8> = (0..=255).flat_map(|number| [number; 32]).collect();
    let tile = Tile::new(TileCoordinate::new(0, 0, 256).unwrap(), bytes).unwrap();
    let cut = tile.cut(2).unwrap();
    assert_eq!(cut.coordinate().path(), "tile/8/0/000.p/2");
    assert_eq!(cut.bytes(), &tile.bytes()[..64]);
    assert_eq!(tile.cut(256), Some(tile.clone()));
    assert_eq!(cut.cut(3), None);
    assert_eq!(cut.cut(0), None);
}

#[test]
fn the_summary_of_a_full_tile_is_the_root_over_its_hashes() {
    let tile = Tile::new(TileCoordinate::new(0, 0, 256).unwrap(), vec![9; 8192]).unwrap();
    let root = (0..8).fold([9; 32], |node, _| node_hash(&node, &node));
    assert_eq!(tile.summary(), Some(root));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_possible_coordinate_has_one_path(level in 0u8..8, index: u64, width in 1u16..=256) {
        let index = index.checked_shr(9 + 8 * u32::from(level)).unwrap_or(0);
        if let Ok(coordinate) = TileCoordinate::new(level, index, width) {
            prop_assert_eq!(TileCoordinate::parse_path(&coordinate.path()), Ok(coordinate));
        }
    }
}
