//! The harness and the rules of the protocol judged by each other: what the builders call true and canonical, the
//! protocol's verifiers accept, and each lie is refused by the rule that it was made for.

use std::collections::HashMap;

use harness::log::lookup_body;
use harness::{Module, TestLog, ZipLie};
use modmesh_protocol::log::{
    Goals, Record, SignedHead, Tile, TileCoordinate, VerifierKey, authenticate, tiles_needed,
};
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};
use modmesh_protocol::zip::{Grammar, ZipError, check};

fn hello() -> Module {
    Module::package("example.com/hello", "v1.0.0").bulk("testdata/noise.bin", 100_000)
}

fn identity(module: &Module) -> ModuleVersion {
    let path = ModulePath::parse(module.path()).unwrap();
    ModuleVersion::new(path, Version::parse(module.version()).unwrap()).unwrap()
}

#[test]
fn zips_of_the_builder_are_canonical_and_have_the_h1_it_says() {
    for zip in [hello().zip(), hello().zip_compressed_otherwise()] {
        let verdict = check(&zip, &identity(&hello()), Grammar::Canonical, 2).unwrap();
        assert_eq!(verdict.h1, hello().h1());
        assert!(verdict.canonical);
    }
}

#[test]
fn a_zip_with_a_comment_is_good_for_go_and_not_for_the_mesh() {
    let (zip, of) = (hello().zip_with_comment(), identity(&hello()));
    let verdict = check(&zip, &of, Grammar::Upstream, 1).unwrap();
    assert_eq!((verdict.h1, verdict.canonical), (hello().h1(), false));
    let error = check(&zip, &of, Grammar::Canonical, 1).unwrap_err();
    assert!(matches!(error, ZipError::NotCanonical(_)), "{error}");
}

#[test]
fn every_lie_about_a_zip_is_refused_or_has_another_h1() {
    for lie in ZipLie::ALL {
        let zip = hello().lying_zip(lie);
        for grammar in [Grammar::Canonical, Grammar::Upstream] {
            match check(&zip, &identity(&hello()), grammar, 2) {
                Ok(verdict) => {
                    assert_eq!(lie, ZipLie::Tampered);
                    assert_ne!(verdict.h1, hello().h1());
                }
                Err(_) => assert_ne!(lie, ZipLie::Tampered),
            }
        }
    }
}

/// Proves the record of the module under the head of `size` with tiles that `tile` gives.
fn prove(
    log: &TestLog,
    head: &str,
    lookup: &str,
    tile: impl Fn(TileCoordinate) -> Vec<u8>,
) -> Result<(), String> {
    let key = VerifierKey::parse(&log.verifier_key()).unwrap();
    let (record, _) = Record::parse_lookup(lookup.as_bytes()).map_err(|e| e.to_string())?;
    let head = SignedHead::open(head.as_bytes(), &key).map_err(|e| e.to_string())?;
    let goals = Goals {
        records: vec![record.id],
        heads: vec![],
    };
    let needed = tiles_needed(head.size(), &goals).map_err(|e| e.to_string())?;
    let tiles: HashMap<(u8, u64), Tile> = needed
        .into_iter()
        .map(|at| ((at.level, at.index), Tile::new(at, tile(at)).unwrap()))
        .collect();
    let proven = authenticate(head.head(), &goals, &tiles).map_err(|e| e.to_string())?;
    match proven.leaf(record.id) {
        Some(leaf) if leaf == record.leaf_hash() => Ok(()),
        _ => Err("the record is not the leaf".to_owned()),
    }
}

#[test]
fn records_of_the_log_are_proven_and_no_forgery_is() {
    let module = hello();
    let forgery = Module::package("example.com/hello", "v1.0.0").file("evil.go", "package hello");
    for size in [1, 300, 70_000] {
        let mut log = TestLog::new("sumdb.example.test");
        log.pad_to(size / 3);
        log.append(&module);
        log.pad_to(size);
        let true_tile = |at: TileCoordinate| log.tile(at.level, at.index, at.width).unwrap();
        let head = log.current_head();
        let lookup = log
            .lookup(module.path(), module.version(), log.size())
            .unwrap();
        prove(&log, &head, &lookup, true_tile).unwrap();

        prove(&log, &log.forged_head(log.size()), &lookup, true_tile).unwrap_err();
        let forged = log.forged_lookup(&module, &forgery, log.size());
        prove(&log, &head, &forged, true_tile).unwrap_err();

        // CVE-2026-56865: a forged leaf with forged tiles above it, as far up as one likes, beside the true head.
        let id = log.id(module.path(), module.version()).unwrap();
        let record = harness::log::forged_record(&module, &forgery);
        let other = log.with_record_replaced(id, &record);
        for forged_levels in 1..=3 {
            let mixed = |at: TileCoordinate| {
                let of = if at.level < forged_levels {
                    &other
                } else {
                    &log
                };
                of.tile(at.level, at.index, at.width).unwrap()
            };
            prove(&log, &head, &lookup_body(id, &record, &head), mixed).unwrap_err();
        }
    }
}
