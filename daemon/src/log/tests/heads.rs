//! Heads that neighbours show on their own account.

use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use modmesh_protocol::log::TileCoordinate;
use modmesh_protocol::module::ModuleVersion;

use super::super::ask::{AskError, LogSource, LookupAnswer, Part, TileBytes};
use super::super::mirror::Mirror;
use super::world::{Around, Fake, Log, Manner, files_below, kept, mirror, module, until};
use crate::metrics::Source;

#[tokio::test]
async fn a_lookup_does_not_wait_for_the_heads_of_silent_neighbours() {
    let log = Log::new(400);
    let state = kept(&log, 290, 300).await;
    let around = Arc::new(Around {
        upstream: Some(Fake::start("upstream", &log, 400, Manner::Honest)),
        ..Around::default()
    });
    let mirror = mirror(state.path(), &around);
    let silent = Fake::start("silent", &log, 400, Manner::Silent);
    for size in 301..310 {
        mirror.offer_head(&log.head(size), silent.clone());
    }
    until("the neighbour is asked", || silent.asked() == 1).await;
    let began = Instant::now();
    mirror.lookup(&module(390)).await.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(mirror.head().unwrap().size(), 400);
}

#[tokio::test]
async fn of_many_heads_one_is_worked_on_and_the_largest_waits() {
    let log = Log::new(400);
    let state = kept(&log, 290, 300).await;
    let around = Arc::new(Around::default());
    let mirror = mirror(state.path(), &around);
    let silent = Fake::start("silent", &log, 400, Manner::Silent);
    let honest = Fake::start("honest", &log, 400, Manner::Honest);
    mirror.offer_head(&log.head(301), silent.clone());
    until("the first is worked on", || silent.asked() == 1).await;
    for size in [350, 399, 310, 320] {
        mirror.offer_head(&log.head(size), honest.clone());
    }
    until("the largest is current", || {
        mirror.head().unwrap().size() == 399
    })
    .await;
    assert_eq!(*around.advanced.lock().unwrap(), [log.head(399)]);
    assert_eq!(silent.asked(), 1);
    // The work begins anew when there is more of it.
    mirror.offer_head(&log.head(400), honest.clone());
    until("the next is current", || {
        mirror.head().unwrap().size() == 400
    })
    .await;
}

#[tokio::test]
async fn a_head_without_the_databases_signature_is_a_lie() {
    let log = Log::new(300);
    let state = kept(&log, 290, 300).await;
    let mirror = mirror(state.path(), &Arc::new(Around::default()));
    let liar = Fake::start("liar", &log, 300, Manner::Honest);
    let forged = log.head(300).replace("\n300\n", "\n299\n");
    mirror.offer_head(&forged, liar.clone());
    assert!(liar.is_blamed());
    assert_eq!(mirror.head().unwrap().size(), 300);
}

#[tokio::test]
async fn without_upstream_an_older_head_takes_nothing_from_others_and_leaves_nothing_here() {
    let log = Log::new(1100);
    let state = kept(&log, 1050, 1100).await;
    let other = Fake::start("other", &log, 1100, Manner::Honest);
    let around = Arc::new(Around {
        neighbours: vec![other.clone()],
        ..Around::default()
    });
    let mirror = mirror(state.path(), &around);
    let before = files_below(state.path());
    let neighbour = Fake::start("neighbour", &log, 1100, Manner::Honest);
    for (turn, size) in (10..1000).step_by(90).enumerate() {
        mirror.offer_head(&log.head(size), neighbour.clone());
        until("its own tiles are asked for", || neighbour.asked() > turn).await;
        // The next one is dropped while this one is compared.
        until("it was compared", || !mirror.is_comparing()).await;
    }
    assert_eq!(other.asked(), 0);
    assert_eq!(files_below(state.path()), before);
    assert!(!neighbour.is_blamed());
}

/// A host, as its neighbours see it.
#[derive(Debug)]
struct Kin(Mirror);

impl LogSource for Kin {
    fn name(&self) -> String {
        "kin".to_owned()
    }

    fn source(&self) -> Source {
        Source::Peer
    }

    fn lookup<'a>(&'a self, _: &'a ModuleVersion) -> BoxFuture<'a, Result<LookupAnswer, AskError>> {
        Box::pin(ready(Err(AskError::Missing)))
    }

    fn tiles<'a>(
        &'a self,
        coordinates: &'a [TileCoordinate],
    ) -> BoxFuture<'a, Vec<Result<TileBytes, AskError>>> {
        let kept = coordinates.iter().map(|at| {
            let tile = self.0.kept_tile(at.level, at.index);
            let wide = tile.filter(|tile| tile.coordinate().width >= at.width);
            let tile = wide.ok_or(AskError::Missing)?;
            Ok((tile.coordinate().width, tile.bytes().to_vec()))
        });
        Box::pin(ready(kept.collect()))
    }

    fn head(&self) -> BoxFuture<'_, Option<Vec<u8>>> {
        Box::pin(async { self.latest().await.ok() })
    }

    fn latest(&self) -> BoxFuture<'_, Result<Vec<u8>, AskError>> {
        let head = self.0.head().ok_or(AskError::Missing);
        Box::pin(ready(head.map(|head| head.note().into())))
    }

    fn behind(&self) -> Option<Arc<dyn LogSource>> {
        None
    }

    fn blame(&self, _: Part<'_>, what: &str, _: &[u8]) {
        panic!("blamed: {what}");
    }
}

#[tokio::test]
async fn a_host_without_upstream_can_follow_a_neighbour_that_saw_its_head_while_it_was_online() {
    let log = Log::new(1100);
    let (ours, theirs) = (kept(&log, 290, 300).await, kept(&log, 1090, 1100).await);
    let behind = mirror(ours.path(), &Arc::default());
    let around = Arc::new(Around {
        upstream: Some(Fake::start("upstream", &log, 1100, Manner::Honest)),
        ..Around::default()
    });
    let online = mirror(theirs.path(), &around);
    online.offer_head(&log.head(300), Arc::new(Kin(behind.clone())));
    until("what continues the smaller head is here", || {
        let tile = online.kept_tile(0, 1);
        tile.is_some_and(|tile| tile.coordinate().width == 256)
    })
    .await;
    assert_eq!(online.head().unwrap().size(), 1100);
    drop(online);
    // The line is cut, and after a restart, too.
    let alone = mirror(theirs.path(), &Arc::default());
    behind.offer_head(&log.head(1100), Arc::new(Kin(alone)));
    until("the larger head is current", || {
        behind.head().unwrap().size() == 1100
    })
    .await;
}

/// A neighbour shows one small head after the other, each of which would have a further tile fetched and kept here.
#[tokio::test]
async fn one_neighbour_that_is_greedy_leaves_what_a_day_allows_to_the_others() {
    const EDGES_OF_ONE: u64 = 8;
    // A head in the middle of each full tile, the last of which is not full.
    let size = 256 * (EDGES_OF_ONE + 3) + 10;
    let head_in = |tile: u64| 256 * tile + 100;
    let log = Log::new(size);
    let state = kept(&log, size - 1, size).await;
    let around = Arc::new(Around {
        upstream: Some(Fake::start("upstream", &log, size, Manner::Honest)),
        ..Around::default()
    });
    let mirror = mirror(state.path(), &around);
    let greedy = Fake::start("greedy", &log, size, Manner::Honest);
    let honest = Fake::start("honest", &log, size, Manner::Honest);
    let is_here = |tile: u64| mirror.kept_tile(0, tile).is_some();
    for tile in 0..EDGES_OF_ONE {
        assert!(!is_here(tile), "{tile}");
        mirror.offer_head(&log.head(head_in(tile)), greedy.clone());
        until("it is fetched", || is_here(tile)).await;
    }
    let asked = greedy.asked();
    mirror.offer_head(&log.head(head_in(EDGES_OF_ONE)), greedy.clone());
    until("one more is worked on", || greedy.asked() > asked).await;
    mirror.offer_head(&log.head(head_in(EDGES_OF_ONE + 1)), honest.clone());
    until("the honest one's is fetched", || is_here(EDGES_OF_ONE + 1)).await;
    assert!(!is_here(EDGES_OF_ONE));
    assert!(!greedy.is_blamed() && !honest.is_blamed());
}
