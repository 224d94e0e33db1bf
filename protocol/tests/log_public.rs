//! The verifier against recorded answers of sum.golang.org: what the public log says is believed, and no bit of it
//! can be changed. The recordings lie in `testdata/sumdb`; nothing is fetched.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use modmesh_protocol::log::{
    Authenticated, Goals, Record, SignedHead, Sums, Tile, TileCoordinate, TreeHead, Untrue,
    VerifierKey, authenticate, tiles_needed,
};
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};

type Tiles = HashMap<(u8, u64), Tile>;

#[test]
fn the_root_of_a_recorded_head_follows_from_its_edge_tiles() {
    let tiles = widest_tiles();
    let mut proved = 0;
    for head in heads() {
        match authenticate(head.head(), &Goals::default(), &tiles) {
            Ok(_) => proved += 1,
            Err(untrue) => assert!(matches!(untrue, Untrue::Missing(_)), "{untrue}"),
        }
    }
    assert_eq!(proved, 10);
}

#[test]
fn an_older_head_whose_edge_is_recorded_is_a_prefix_of_the_newest() {
    let everything = everything();
    let mut proved = 0;
    for head in heads() {
        if let Some(root) = everything.root_of(head.size()) {
            assert_eq!(root, head.head().root);
            proved += 1;
        }
    }
    assert_eq!(proved, 10);
}

#[test]
fn every_recorded_lookup_is_proved_under_the_newest_head() {
    let everything = everything();
    let lookups = lookups();
    assert_eq!(lookups.len(), 6);
    for (of, body) in lookups {
        let sums = believed(&body, &of, &everything).unwrap();
        assert!(sums.zip.is_some() && sums.go_mod.is_some(), "{of}");
    }
}

#[test]
fn a_recorded_record_has_the_hashes_that_go_sum_files_have() {
    let body = fs::read(recordings().join("lookup/rsc.io/quote@v1.5.2")).unwrap();
    let (record, _) = Record::parse_lookup(&body).unwrap();
    let sums = record
        .sums(&ModuleVersion::parse("rsc.io/quote@v1.5.2").unwrap())
        .unwrap();
    assert_eq!(record.id, 942);
    assert_eq!(
        sums.zip.unwrap().to_string(),
        "h1:w5fcysjrx7yqtD/aO+QwRjYZOKnaM9Uh2b40tElTs3Y="
    );
    assert_eq!(
        sums.go_mod.unwrap().to_string(),
        "h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0="
    );
}

#[test]
fn every_recorded_tile_that_is_wide_enough_is_true() {
    let newest = newest();
    let mut tiles = widest_tiles();
    tiles.retain(|&(level, index), tile| {
        let needed = TileCoordinate::in_tree(newest.size, level, index).unwrap();
        tile.coordinate().width >= needed.width
    });
    let mut goals = Goals::default();
    for &(level, index) in tiles.keys() {
        let first_leaf = index << (8 * (u32::from(level) + 1));
        match level {
            0 => goals.records.push(first_leaf),
            // A tree that ends just behind the tile's first hash has its right edge in this tile.
            _ => goals.heads.push(first_leaf + (1 << (8 * u32::from(level)))),
        }
    }
    let proved = authenticate(&newest, &goals, &tiles).unwrap();
    assert_eq!(proved.tiles().count(), tiles.len());
    assert_eq!(tiles.len(), 42);
}

#[test]
fn no_bit_of_a_lookup_answer_can_be_changed() {
    let everything = everything();
    for (escaped, plain) in [
        ("rsc.io/quote@v1.5.2", "rsc.io/quote@v1.5.2"),
        (
            "github.com/!burnt!sushi/toml@v0.3.1",
            "github.com/BurntSushi/toml@v0.3.1",
        ),
    ] {
        let of = ModuleVersion::parse(plain).unwrap();
        let mut body = fs::read(recordings().join("lookup").join(escaped)).unwrap();
        for bit in 0..body.len() * 8 {
            body[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(believed(&body, &of, &everything), None, "{of}: bit {bit}");
            body[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(believed(&body, &of, &everything).is_some());
    }
}

#[test]
fn no_bit_of_a_signed_head_can_be_changed() {
    let key = VerifierKey::sum_golang_org();
    let mut note = fs::read(recordings().join("heads/0071909756.note")).unwrap();
    for bit in 0..note.len() * 8 {
        note[bit / 8] ^= 1 << (bit % 8);
        assert!(SignedHead::open(&note, &key).is_err(), "bit {bit}");
        note[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn no_hash_of_a_leaf_tile_an_inner_tile_or_an_edge_tile_can_be_changed() {
    let newest = newest();
    let goals = Goals {
        records: vec![942],
        heads: vec![],
    };
    let mut tiles = widest_tiles();
    for coordinate in tiles_needed(newest.size, &goals).unwrap() {
        let place = (coordinate.level, coordinate.index);
        let true_tile = tiles[&place].clone();
        for position in 0..usize::from(coordinate.width) {
            let mut bytes = true_tile.bytes().to_vec();
            bytes[position * 32 + position % 32] ^= 1 << (position % 8);
            let false_tile = Tile::new(true_tile.coordinate(), bytes).unwrap();
            tiles.insert(place, false_tile);
            assert!(
                authenticate(&newest, &goals, &tiles).is_err(),
                "hash {position} of {coordinate}"
            );
        }
        tiles.insert(place, true_tile);
    }
    authenticate(&newest, &goals, &tiles).unwrap();
}

/// All that a careful client asks of a lookup answer. Nothing comes back when any of it fails.
fn believed(body: &[u8], of: &ModuleVersion, proved: &Authenticated) -> Option<Sums> {
    let (record, note) = Record::parse_lookup(body).ok()?;
    let head = SignedHead::open(note, &VerifierKey::sum_golang_org()).ok()?;
    let one_log = proved.root_of(head.size()) == Some(head.head().root);
    let in_log = proved.leaf(record.id) == Some(record.leaf_hash());
    let in_its_head = record.id < head.size();
    let sums = record.sums(of).ok()?;
    (one_log && in_log && in_its_head).then_some(sums)
}

/// Every lookup answer and every head whose edge is recorded, proved under the newest head.
fn everything() -> Authenticated {
    let mut goals = Goals::default();
    let tiles = widest_tiles();
    let newest = newest();
    for size in heads().iter().map(SignedHead::size) {
        let goal = Goals {
            heads: vec![size],
            ..Goals::default()
        };
        let needed = tiles_needed(newest.size, &goal).unwrap();
        if needed
            .iter()
            .all(|tile| tiles.contains_key(&(tile.level, tile.index)))
        {
            goals.heads.push(size);
        }
    }
    for (_, body) in lookups() {
        let (record, note) = Record::parse_lookup(&body).unwrap();
        let head = SignedHead::open(note, &VerifierKey::sum_golang_org()).unwrap();
        goals.records.push(record.id);
        goals.heads.push(head.size());
    }
    authenticate(&newest, &goals, &tiles).unwrap()
}

/// Every recorded head, smallest first.
fn heads() -> Vec<SignedHead> {
    let key = VerifierKey::sum_golang_org();
    files_below("heads")
        .into_iter()
        .map(|(name, note)| {
            let head = SignedHead::open(&note, &key).unwrap();
            assert_eq!(name, format!("heads/{:010}.note", head.size()));
            assert_eq!(head.note().as_bytes(), note);
            head
        })
        .collect()
}

fn newest() -> TreeHead {
    let newest = *heads().last().unwrap().head();
    assert_eq!(newest.size, 71_909_756);
    newest
}

/// Every recorded tile, the widest of each place; those of one place must agree.
fn widest_tiles() -> Tiles {
    let mut tiles = Tiles::new();
    for (path, bytes) in files_below("tile") {
        let coordinate = TileCoordinate::parse_path(&path).unwrap();
        let tile = Tile::new(coordinate, bytes).unwrap();
        let widest = tiles
            .entry((coordinate.level, coordinate.index))
            .or_insert_with(|| tile.clone());
        let narrower = widest.coordinate().width.min(coordinate.width);
        assert_eq!(widest.cut(narrower), tile.cut(narrower), "{path}");
        if coordinate.width > narrower {
            *widest = tile;
        }
    }
    tiles
}

fn lookups() -> Vec<(ModuleVersion, Vec<u8>)> {
    files_below("lookup")
        .into_iter()
        .map(|(name, body)| {
            let asked = name.strip_prefix("lookup/").unwrap();
            let (module, version) = asked.split_once('@').unwrap();
            let module = ModulePath::from_escaped(module).unwrap();
            let version = Version::from_escaped(version).unwrap();
            (ModuleVersion::new(module, version).unwrap(), body)
        })
        .collect()
}

/// All files below `folder`, as path relative to the recordings and content, sorted by path.
fn files_below(folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![recordings().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(recordings()).unwrap();
            let name = name.to_str().unwrap().replace('\\', "/");
            found.push((name, fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/sumdb")
}
