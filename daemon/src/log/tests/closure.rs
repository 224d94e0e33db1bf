//! Clients find all that they need when nobody else can be asked.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use modmesh_protocol::log::TileCoordinate;

use super::super::mirror::{Mirror, TileAnswer};
use super::world::{Around, CLIENTS, Fake, Log, Manner, kept, mirror, module};

/// Writes what `go` keeps of the database.
fn client_holds(state: &Path, note: &str) {
    let folder = state.join(CLIENTS).join("sum.example");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("latest"), note).unwrap();
}

fn around(upstream: &Arc<Fake>) -> Arc<Around> {
    Arc::new(Around {
        upstream: Some(upstream.clone()),
        ..Around::default()
    })
}

/// Asks for every tile on the right edge of the first `older` records, at the widths that the current head has for them, as a
/// client does that holds that head. Nobody else can be asked.
async fn serves_holder_of(state: &Path, log: &Log, older: u64) -> Result<(), String> {
    let alone = mirror(state, &Arc::default());
    let size = alone.head().ok_or("there is no head")?.size();
    for level in 0..4 {
        let Some(last) = (older >> (8 * level)).checked_sub(1) else {
            break;
        };
        let index = last / 256;
        let Some(at) = TileCoordinate::in_tree(size, level as u8, index) else {
            continue;
        };
        let (_, expected) = log.tile(level as u8, index, size).unwrap();
        match alone.tile(at).await {
            TileAnswer::Here(bytes, _) => assert_eq!(bytes, expected, "{}", at.path()),
            other => return Err(format!("{}: {other:?}", at.path())),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_head_that_go_got_elsewhere_is_served_when_the_line_is_cut() {
    let log = Log::new(1100);
    // Smaller than ours, equal to ours, larger than ours.
    for held in [300, 1000, 1100] {
        let state = kept(&log, 990, 1000).await;
        client_holds(state.path(), &log.head(held));
        let upstream = Fake::start("upstream", &log, 1100, Manner::Honest);
        let online = mirror(state.path(), &around(&upstream));
        online.serve_holders().await;
        drop(online);
        serves_holder_of(state.path(), &log, held).await.unwrap();
    }
    // Without a look at what go holds it is not.
    let state = kept(&log, 990, 1000).await;
    serves_holder_of(state.path(), &log, 300).await.unwrap_err();
}

#[tokio::test]
async fn what_a_client_holds_and_nobody_can_continue_now_is_continued_with_the_next_head() {
    let log = Log::new(1100);
    let state = kept(&log, 990, 1000).await;
    client_holds(state.path(), &log.head(300));
    let around = Arc::new(Around::default());
    let offline = mirror(state.path(), &around);
    offline.serve_holders().await;
    // A neighbour comes and brings a larger head.
    let neighbour = Fake::start("neighbour", &log, 1100, Manner::Honest);
    offline.offer_head(&log.head(1100), neighbour);
    super::world::until("the larger head is current", || {
        offline.head().unwrap().size() == 1100
    })
    .await;
    drop(offline);
    serves_holder_of(state.path(), &log, 300).await.unwrap();
}

#[tokio::test]
async fn a_head_of_a_client_that_contradicts_ours_is_told_of_and_stops_nothing() {
    let log = Log::new(1100);
    for held in [300, 1050] {
        let state = kept(&log, 990, 1000).await;
        client_holds(state.path(), &Log::forked(1100, 200).head(held));
        let upstream = Fake::start("upstream", &log, 1100, Manner::Honest);
        let around = around(&upstream);
        let mirror = mirror(state.path(), &around);
        mirror.serve_holders().await;
        assert!(around.contradictions.load(Ordering::SeqCst) > 0, "{held}");
        assert!(!upstream.is_blamed(), "{held}");
        mirror.lookup(&module(1095)).await.unwrap();
        assert_eq!(mirror.head().unwrap().note(), log.head(1100));
    }
}

#[tokio::test]
async fn a_client_ahead_of_us_makes_us_catch_up_with_whoever_knows_more() {
    let log = Log::new(1100);
    let ahead = TileCoordinate::in_tree(1100, 0, 4).unwrap();
    for from_neighbour in [true, false] {
        let state = kept(&log, 990, 1000).await;
        let knows = Fake::start("somebody", &log, 1100, Manner::Honest);
        let behind = Fake::start("behind", &log, 1000, Manner::Honest);
        let around = Arc::new(match from_neighbour {
            true => Around {
                neighbours: vec![behind, knows.clone()],
                ..Around::default()
            },
            false => Around {
                neighbours: vec![behind],
                upstream: Some(knows.clone()),
                ..Around::default()
            },
        });
        let mirror = mirror(state.path(), &around);
        let answer = mirror.tile(ahead).await;
        assert!(matches!(answer, TileAnswer::Here(..)), "{answer:?}");
        assert_eq!(mirror.head().unwrap().size(), 1100);
        // What is beyond everybody is asked for once, however many tiles a client wants.
        let beyond = TileCoordinate::new(0, 5, 10).unwrap();
        for _ in 0..5 {
            let answer = mirror.tile(beyond).await;
            assert!(matches!(answer, TileAnswer::Beyond(_)), "{answer:?}");
        }
        assert_eq!(knows.latest_asked.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_tile_beyond_our_head_must_continue_what_is_proved() {
    let (log, fork) = (Log::new(300), Log::forked(400, 260));
    let state = kept(&log, 290, 300).await;
    let liar = Arc::new(Fake {
        tells_latest: false,
        ..Fake::new("upstream", &fork, 400, Manner::Honest)
    });
    let mirror = mirror(state.path(), &around(&liar));
    let beyond = TileCoordinate::in_tree(400, 0, 1).unwrap();
    match mirror.tile(beyond).await {
        TileAnswer::Unknown(trouble) => assert_eq!(trouble.status, Some(502), "{trouble:?}"),
        other => panic!("{other:?}"),
    }
    assert!(liar.is_blamed());
    // One that continues it is passed on, and not kept.
    let honest = Arc::new(Fake {
        tells_latest: false,
        ..Fake::new("upstream", &Log::new(400), 400, Manner::Honest)
    });
    let mirror = super::world::mirror(state.path(), &around(&honest));
    let answer = mirror.tile(beyond).await;
    assert!(matches!(answer, TileAnswer::Passed(_)), "{answer:?}");
    assert_eq!(mirror.kept_tile(0, 1).unwrap().coordinate().width, 44);
}

/// The files of tiles below a state folder.
fn tile_files(state: &Path) -> Vec<std::path::PathBuf> {
    let files = super::world::files_below(&state.join("sumdb/sum.example/tile"));
    files.into_iter().map(|(path, _)| path).collect()
}

/// Makes the head of this size current, as a host does that learns of it by itself.
async fn advance(mirror: &Mirror, log: &Log, from: &Arc<Fake>, size: u64) {
    mirror.offer_head(&log.head(size), from.clone());
    super::world::until("the larger head is current", || mirror.tree_size() == size).await;
}

/// The sizes of the heads that are kept.
fn kept_heads(state: &Path) -> Vec<u64> {
    let heads = fs::read_dir(state.join("sumdb/sum.example/head")).unwrap();
    let size = |head: fs::DirEntry| head.file_name().to_str().unwrap().parse().unwrap();
    let mut sizes: Vec<u64> = heads.map(|head| size(head.unwrap())).collect();
    sizes.sort_unstable();
    sizes
}

async fn is_whole(state: &Path, log: &Log, record: u64, older: &[u64]) -> Result<(), String> {
    for held in older {
        serves_holder_of(state, log, *held).await?;
    }
    let alone = mirror(state, &Arc::default());
    alone
        .lookup(&module(record))
        .await
        .map_err(|finding| format!("{finding:?}"))?;
    let size = alone.head().ok_or("there is no head")?.size();
    let at = TileCoordinate::in_tree(size, 0, record / 256).unwrap();
    match alone.tile(at).await {
        TileAnswer::Here(..) => Ok(()),
        other => Err(format!("{}: {other:?}", at.path())),
    }
}

#[tokio::test]
async fn whatever_tile_is_lost_is_mended_while_somebody_has_it() {
    let log = Log::new(1100);
    let upstream = Fake::start("upstream", &log, 1100, Manner::Honest);
    let state = kept(&log, 290, 300).await;
    let grown = mirror(state.path(), &around(&upstream));
    grown.catch_up_now().await;
    assert_eq!(grown.head().unwrap().size(), 1100);
    drop(grown);
    is_whole(state.path(), &log, 290, &[300, 1100])
        .await
        .unwrap();
    let files = tile_files(state.path());
    assert!(files.len() >= 3);
    for lost in files {
        for damage in [true, false] {
            if damage {
                fs::write(&lost, "damaged").unwrap();
            } else {
                fs::remove_file(&lost).unwrap();
            }
            let offline = mirror(state.path(), &Arc::default());
            offline.mend().await;
            // The edge of the newest head was lost with its tile, and is owed then.
            let is_newest = offline.head().is_some_and(|head| head.size() == 1100);
            assert_eq!(offline.missing_tiles() > 0, is_newest, "{}", lost.display());
            drop(offline);
            let mended = mirror(state.path(), &around(&upstream));
            mended.catch_up_now().await;
            mended.mend().await;
            assert_eq!(mended.missing_tiles(), 0);
            drop(mended);
            is_whole(state.path(), &log, 290, &[300, 1100])
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_head_is_not_written_before_the_tiles_that_it_rests_on() {
    let log = Log::new(1100);
    let state = kept(&log, 290, 300).await;
    let upstream = Fake::start("upstream", &log, 1100, Manner::Honest);
    let full: Mirror = mirror(state.path(), &around(&upstream));
    // A folder that cannot be made stands for a disk that takes no more.
    let tiles = state.path().join("sumdb/sum.example/tile");
    let aside = state.path().join("aside");
    fs::rename(&tiles, &aside).unwrap();
    fs::write(&tiles, "").unwrap();
    full.lookup(&module(1095)).await.unwrap();
    assert_eq!(full.head().unwrap().size(), 1100);
    let heads = state.path().join("sumdb/sum.example/head");
    assert!(!heads.join("1100").exists());
    let at = TileCoordinate::in_tree(1100, 0, 4).unwrap();
    assert!(matches!(full.tile(at).await, TileAnswer::Here(..)));
    // When there is room again, all is written.
    fs::remove_file(&tiles).unwrap();
    fs::rename(&aside, &tiles).unwrap();
    full.mend().await;
    assert!(heads.join("1100").exists());
    drop(full);
    is_whole(state.path(), &log, 1095, &[300, 1100])
        .await
        .unwrap();
}

#[tokio::test]
async fn heads_that_nobody_used_leave_nothing_and_all_others_stay_whole() {
    let log = Log::new(3000);
    let upstream = Fake::start("upstream", &log, 3000, Manner::Honest);
    let state = kept(&log, 290, 300).await;
    let quiet = mirror(state.path(), &around(&upstream));
    for size in [800, 1300, 1800, 2300] {
        advance(&quiet, &log, &upstream, size).await;
    }
    assert_eq!(kept_heads(state.path()), [300, 2300]);
    // The record's, the one above it, and the edge of the newest head.
    assert_eq!(tile_files(state.path()).len(), 3);
    // Now a client gets that head, and another one that of a host that was started again.
    quiet.lookup(&module(290)).await.unwrap();
    advance(&quiet, &log, &upstream, 2500).await;
    advance(&quiet, &log, &upstream, 2600).await;
    drop(quiet);
    let again = mirror(state.path(), &around(&upstream));
    again.lookup(&module(290)).await.unwrap();
    for size in [2650, 2900, 3000] {
        advance(&again, &log, &upstream, size).await;
    }
    again.mend().await;
    assert_eq!(again.missing_tiles(), 0);
    drop(again);
    let used = [300, 2300, 2600, 3000];
    assert_eq!(kept_heads(state.path()), used);
    is_whole(state.path(), &log, 290, &used).await.unwrap();
}

#[tokio::test]
async fn a_tree_that_grows_a_level_loses_nothing_of_what_was_proved_in_the_smaller_one() {
    let log = Log::new(70_000);
    let upstream = Fake::start("upstream", &log, 70_000, Manner::Honest);
    let state = kept(&log, 190, 200).await;
    let quiet = mirror(state.path(), &around(&upstream));
    for size in [10_000, 66_000, 67_000, 70_000] {
        advance(&quiet, &log, &upstream, size).await;
    }
    drop(quiet);
    assert_eq!(kept_heads(state.path()), [200, 70_000]);
    // What leads from there to the new root, too.
    let alone = mirror(state.path(), &Arc::default());
    alone.mend().await;
    assert_eq!(alone.missing_tiles(), 0);
    drop(alone);
    is_whole(state.path(), &log, 190, &[200, 70_000])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_head_that_neighbours_are_told_of_stays() {
    let log = Log::new(1100);
    let upstream = Fake::start("upstream", &log, 1100, Manner::Honest);
    let state = kept(&log, 290, 300).await;
    let among = Arc::new(Around {
        neighbours: vec![Fake::start("neighbour", &log, 300, Manner::Honest)],
        upstream: Some(upstream.clone()),
        ..Around::default()
    });
    let mirror = mirror(state.path(), &among);
    for size in [800, 1100] {
        advance(&mirror, &log, &upstream, size).await;
    }
    drop(mirror);
    assert_eq!(kept_heads(state.path()), [300, 800, 1100]);
    is_whole(state.path(), &log, 290, &[300, 800, 1100])
        .await
        .unwrap();
}
