//! Tiles that clients ask for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use modmesh_protocol::log::TileCoordinate;

use super::super::mirror::TileAnswer;
use super::world::{Around, Fake, Log, Manner, kept, mirror};
use crate::metrics::Source;

fn at(level: u8, index: u64, width: u16) -> TileCoordinate {
    TileCoordinate::new(level, index, width).unwrap()
}

#[tokio::test]
async fn silent_neighbours_cost_a_tile_two_seconds_in_all() {
    let log = Log::new(300);
    let state = kept(&log, 290, 300).await;
    let names = ["one", "two", "three", "four"];
    let silent = names.map(|name| Fake::start(name, &log, 300, Manner::Silent));
    let around = Arc::new(Around {
        neighbours: silent.to_vec(),
        upstream: Some(Fake::start("upstream", &log, 300, Manner::Honest)),
        ..Around::default()
    });
    let mirror = mirror(state.path(), &around);
    let began = Instant::now();
    let answer = mirror.tile(at(0, 0, 256)).await;
    let took = began.elapsed();
    assert!(
        matches!(answer, TileAnswer::Here(_, Source::Upstream)),
        "{answer:?}"
    );
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test]
async fn a_tile_comes_from_a_neighbour_and_the_upstream_is_not_asked() {
    let log = Log::new(300);
    let state = kept(&log, 290, 300).await;
    let upstream = Fake::start("upstream", &log, 300, Manner::Honest);
    let around = Arc::new(Around {
        neighbours: vec![Fake::start("neighbour", &log, 300, Manner::Honest)],
        upstream: Some(upstream.clone()),
        ..Around::default()
    });
    let mirror = mirror(state.path(), &around);
    let answer = mirror.tile(at(0, 0, 256)).await;
    assert!(
        matches!(answer, TileAnswer::Here(_, Source::Peer)),
        "{answer:?}"
    );
    assert_eq!(upstream.asked(), 0);
    let again = mirror.tile(at(0, 0, 256)).await;
    assert!(
        matches!(again, TileAnswer::Here(_, Source::Store)),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_tile_that_a_proxy_forges_comes_from_the_database_itself() {
    let log = Log::new(400);
    for manner in [Manner::Forged, Manner::Babbling] {
        let state = kept(&log, 290, 300).await;
        let proxy = Arc::new(Fake {
            behind: Some(Fake::start("itself", &log, 400, Manner::Honest)),
            tells_latest: false,
            ..Fake::new("upstream", &log, 400, manner)
        });
        let around = Arc::new(Around {
            upstream: Some(proxy.clone()),
            ..Around::default()
        });
        let mirror = mirror(state.path(), &around);
        let (_, true_bytes) = log.tile(0, 0, 400).unwrap();
        match mirror.tile(at(0, 0, 256)).await {
            TileAnswer::Here(bytes, _) => assert_eq!(bytes, true_bytes),
            other => panic!("{manner:?}: {other:?}"),
        }
        assert_eq!(proxy.is_blamed(), manner == Manner::Forged);
        // Beyond our head nothing is proved, but it must have the form of a tile.
        if manner == Manner::Babbling {
            let beyond = mirror.tile(at(0, 1, 100)).await;
            assert!(matches!(beyond, TileAnswer::Passed(_)), "{beyond:?}");
        }
    }
}

#[tokio::test]
async fn of_a_tile_beyond_our_head_it_is_told_what_upstream_said() {
    let log = Log::new(300);
    let beyond = at(0, 5, 10);
    for (manner, behind, expected) in [
        (Manner::Honest, None, None),
        (Manner::Troubled, None, Some(Some(503))),
        (Manner::Away, None, Some(None)),
        // A proxy's word is not the last one where the database itself can be asked.
        (Manner::Troubled, Some(Manner::Honest), None),
        (Manner::Honest, Some(Manner::Troubled), Some(Some(503))),
        (Manner::Troubled, Some(Manner::Away), Some(Some(503))),
        (Manner::Honest, Some(Manner::Away), None),
    ] {
        let state = kept(&log, 290, 300).await;
        let proxy = Fake {
            behind: behind.map(|manner| Fake::start("itself", &log, 300, manner)),
            ..Fake::new("upstream", &log, 300, manner)
        };
        let around = Arc::new(Around {
            upstream: Some(Arc::new(proxy)),
            ..Around::default()
        });
        let said = match mirror(state.path(), &around).tile(beyond).await {
            TileAnswer::Beyond(text) => {
                assert!(text.contains("beyond the 300 records"), "{text}");
                None
            }
            TileAnswer::Unknown(trouble) => {
                assert!(trouble.reason.contains("300 records"), "{trouble:?}");
                Some(trouble.status)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(said, expected, "{manner:?}, {behind:?}");
    }
    // Whose settings keep it from asking says what it can prove.
    let state = kept(&log, 290, 300).await;
    let answer = mirror(state.path(), &Arc::default()).tile(beyond).await;
    assert!(matches!(answer, TileAnswer::Beyond(_)), "{answer:?}");
}
