//! Two logs of one key: shown as what they are, and not laid to the neighbour that shows one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::ask::LookupAnswer;
use super::super::mirror::{Mirror, TileAnswer};
use super::world::{Around, Fake, Log, Manner, kept, mirror, module, until};
use modmesh_protocol::log::TileCoordinate;

/// A mirror that holds the true log's first 300 records, and a neighbour that was shown another log.
async fn beside(
    state: &Path,
    at: u64,
    size: u64,
    manner: Manner,
) -> (Mirror, Arc<Around>, Arc<Fake>) {
    let theirs = Log::forked(size, at);
    let neighbour = Fake::start("neighbour", &theirs, size, manner);
    let around = Arc::new(Around {
        givers: vec![neighbour.clone()],
        neighbours: vec![neighbour.clone()],
        ..Around::default()
    });
    (mirror(state, &around), around, neighbour)
}

/// The heads that are kept as evidence: of each file the sizes in it.
fn evidence(mirror: &Mirror) -> Vec<Vec<u64>> {
    let Some(folder) = mirror.contradictions() else {
        return Vec::new();
    };
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|file| {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let heads = text.split("go.sum database tree\n").skip(1);
            heads
                .map(|head| head.lines().next().unwrap().parse().unwrap())
                .collect()
        })
        .collect()
}

#[tokio::test]
async fn a_fork_below_the_tiles_that_are_here_is_a_contradiction_and_no_lie_of_who_shows_it() {
    let ours = Log::new(400);
    let state = kept(&ours, 290, 300).await;
    let (mirror, around, neighbour) = beside(state.path(), 10, 310, Manner::Honest).await;
    let refused = mirror.lookup(&module(305)).await.unwrap_err();
    assert!(format!("{refused:?}").contains("SECURITY"), "{refused:?}");
    assert!(!neighbour.is_blamed(), "{:?}", neighbour.blamed);
    assert_eq!(mirror.head().unwrap().note(), ours.head(300));
    assert_eq!(around.contradictions.load(Ordering::SeqCst), 1);
    assert_eq!(evidence(&mirror), [[300, 310]]);
    // What is served still is of the log that was here first.
    let (_, expected) = ours.tile(0, 1, 300).unwrap();
    let at = TileCoordinate::new(0, 1, 44).unwrap();
    match mirror.tile(at).await {
        TileAnswer::Here(bytes, _) => assert_eq!(bytes, expected),
        other => panic!("{other:?}"),
    }
    assert!(mirror.lookup(&module(290)).await.is_ok());
    // It is told of after a restart too.
    drop(mirror);
    let again = super::world::mirror(state.path(), &around);
    assert_eq!(evidence(&again), [[300, 310]]);
}

#[tokio::test]
async fn a_neighbour_with_less_of_another_log_is_no_liar_either() {
    let ours = Log::new(300);
    let state = kept(&ours, 290, 300).await;
    let (mirror, around, neighbour) = beside(state.path(), 10, 270, Manner::Honest).await;
    // Its tile of the records 0 to 255 is false under our head, and true under its own.
    mirror.lookup(&module(20)).await.unwrap_err();
    assert!(!neighbour.is_blamed(), "{:?}", neighbour.blamed);
    assert!(around.contradictions.load(Ordering::SeqCst) >= 1);
    assert!(evidence(&mirror).contains(&vec![270, 300]));
    assert_eq!(mirror.head().unwrap().size(), 300);
}

#[tokio::test]
async fn nor_is_one_whose_record_is_another_by_tiles_that_are_here() {
    let ours = Log::new(300);
    let state = kept(&ours, 290, 300).await;
    let honest = Fake::start("upstream", &ours, 300, Manner::Honest);
    let online = Arc::new(Around {
        upstream: Some(honest),
        ..Around::default()
    });
    let before = super::world::mirror(state.path(), &online);
    before.lookup(&module(20)).await.unwrap();
    drop(before);
    // The tile of the records 0 to 255 is here now, so the neighbour is asked for none; only its record differs.
    let (mirror, around, neighbour) = beside(state.path(), 10, 270, Manner::Honest).await;
    mirror.lookup(&module(30)).await.unwrap_err();
    assert!(!neighbour.is_blamed(), "{:?}", neighbour.blamed);
    assert!(around.contradictions.load(Ordering::SeqCst) >= 1);
    assert!(evidence(&mirror).contains(&vec![270, 300]));
    // One who makes up a record of the log that it shows is a liar.
    let liar = Arc::new(Fake {
        lookup: Some(Ok(LookupAnswer {
            text: Log::forked(300, 0).record(30),
            ..ours.answer(30, 300)
        })),
        ..Fake::new("liar", &ours, 300, Manner::Honest)
    });
    let around = Arc::new(Around {
        givers: vec![liar.clone()],
        ..Around::default()
    });
    let mirror = super::world::mirror(state.path(), &around);
    mirror.lookup(&module(30)).await.unwrap_err();
    assert!(liar.is_blamed());
    assert_eq!(around.contradictions.load(Ordering::SeqCst), 0);
}

/// Somebody began the log anew with the same key: the harmless case, and never the fault of a proxy.
#[tokio::test]
async fn a_log_that_was_rebuilt_smaller_is_a_contradiction_and_not_laid_to_the_upstream() {
    let ours = Log::new(500);
    let state = kept(&ours, 490, 500).await;
    let rebuilt = Fake::start("upstream", &Log::forked(300, 0), 300, Manner::Honest);
    let around = Arc::new(Around {
        upstream: Some(rebuilt.clone()),
        ..Around::default()
    });
    let mirror = super::world::mirror(state.path(), &around);
    mirror.lookup(&module(20)).await.unwrap_err();
    assert!(!rebuilt.is_blamed(), "{:?}", rebuilt.blamed);
    until("the contradiction is counted", || {
        around.contradictions.load(Ordering::SeqCst) >= 1
    })
    .await;
}

#[tokio::test]
async fn a_head_of_the_same_size_and_another_root_is_a_contradiction() {
    let ours = Log::new(300);
    let state = kept(&ours, 290, 300).await;
    let (mirror, around, neighbour) = beside(state.path(), 299, 300, Manner::Honest).await;
    mirror.offer_head(&neighbour.log.head(300), neighbour.clone());
    until("the contradiction is counted", || {
        around.contradictions.load(Ordering::SeqCst) == 1
    })
    .await;
    assert_eq!(evidence(&mirror), [[300, 300]]);
    assert!(!neighbour.is_blamed());
}

#[tokio::test]
async fn an_older_head_of_another_log_is_a_contradiction() {
    let ours = Log::new(300);
    let state = kept(&ours, 290, 300).await;
    let (mirror, around, neighbour) = beside(state.path(), 280, 290, Manner::Honest).await;
    mirror.offer_head(&neighbour.log.head(290), neighbour.clone());
    until("the contradiction is counted", || {
        around.contradictions.load(Ordering::SeqCst) == 1
    })
    .await;
    assert_eq!(evidence(&mirror), [[290, 300]]);
    assert!(!neighbour.is_blamed());
}

#[tokio::test]
async fn who_forges_tiles_of_the_log_that_it_shows_is_a_liar_and_the_database_is_not_accused() {
    let ours = Log::new(400);
    for (id, size) in [(305, 310), (20, 270)] {
        let state = kept(&ours, 290, 300).await;
        let (mirror, around, liar) = beside(state.path(), u64::MAX, size, Manner::Forged).await;
        mirror.lookup(&module(id)).await.unwrap_err();
        assert!(liar.is_blamed(), "{id}");
        assert_eq!(around.contradictions.load(Ordering::SeqCst), 0, "{id}");
        assert_eq!(mirror.contradictions(), None);
    }
}

#[tokio::test]
async fn the_first_contradictions_are_kept_and_no_more_than_sixteen() {
    let ours = Log::new(300);
    let state = kept(&ours, 290, 300).await;
    let (mirror, around, neighbour) = beside(state.path(), 10, 350, Manner::Honest).await;
    for size in 301..=350 {
        mirror.offer_head(&neighbour.log.head(size), neighbour.clone());
        until("the contradiction is counted", || {
            around.contradictions.load(Ordering::SeqCst) as u64 == size - 300
        })
        .await;
    }
    assert_eq!(evidence(&mirror).len(), 16);
    assert!(!neighbour.is_blamed());
}

/// A neighbour shows a larger head of another log and keeps what would prove it to itself, so that the true tiles of upstream
/// are asked for, and do not fit.
#[tokio::test]
async fn who_offers_a_head_of_another_log_is_named_and_not_who_gives_the_true_tiles() {
    let ours = Log::new(320);
    for tells_head in [true, false] {
        let state = kept(&ours, 290, 300).await;
        let upstream = Arc::new(Fake {
            tells_head,
            ..Fake::new("upstream", &ours, 320, Manner::Honest)
        });
        let around = Arc::new(Around {
            upstream: Some(upstream.clone()),
            ..Around::default()
        });
        let mirror = super::world::mirror(state.path(), &around);
        let fork = Log::forked(310, 10);
        let neighbour = Fake::start("neighbour", &fork, 310, Manner::Without);
        mirror.offer_head(&fork.head(310), neighbour.clone());
        until("upstream is asked for tiles", || upstream.asked() > 0).await;
        if !tells_head {
            // It is one's word against another's, until upstream shows a head.
            mirror.lookup(&module(315)).await.unwrap();
        }
        until("the contradiction is on record", || {
            !mirror.evidence().is_empty()
        })
        .await;
        let [evidence] = &mirror.evidence()[..] else {
            panic!("{:?}", mirror.evidence());
        };
        assert_eq!(evidence.ours.note(), ours.head(320));
        assert_eq!(evidence.other.note(), fork.head(310));
        assert_eq!(evidence.shown_by.as_deref(), Some("neighbour"));
        assert_eq!(mirror.head().unwrap().note(), ours.head(320));
        assert!(!upstream.is_blamed(), "{:?}", upstream.blamed);
    }
}
