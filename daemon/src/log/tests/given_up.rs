//! What was given up stays known: for as long as it takes, and no neighbour brings it back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::database::{Database, Instead};
use super::begun_anew::{ACCEPT, contradicted, offer, upstream_of};
use super::world::{Around, CLIENTS, Fake, Log, Manner, kept, mirror, module, until};

/// Where the rebuilt log leaves the old one: the heads up to here are of both.
const FORK: u64 = 200;

/// A host that saw the heads of 200 and 300 records of the old log before it met the rebuilt one, of 400.
async fn at_both(ours: &Log, rebuilt: &Log) -> (tempfile::TempDir, Database) {
    let state = kept(ours, 190, FORK).await;
    let online = mirror(state.path(), &upstream_of(ours, 300));
    online.lookup(&module(290)).await.unwrap();
    assert_eq!(online.head().unwrap().size(), 300);
    drop(online);
    let around = upstream_of(rebuilt, 400);
    let database = super::world::database(state.path(), &around);
    database.mirror().lookup(&module(390)).await.unwrap_err();
    until("the contradiction is on record", || {
        !database.mirror().evidence().is_empty()
    })
    .await;
    (state, database)
}

fn again(state: &Path, around: Around) -> Database {
    super::world::database(state, &Arc::new(around))
}

/// The upstream, as a cache that answers with the heads of its time.
fn cached(log: &Log) -> Option<Arc<Fake>> {
    Some(Arc::new(Fake {
        heads_cached_by: FORK,
        ..Fake::new("upstream", log, 400, Manner::Honest)
    }))
}

async fn refused(database: &Database, log: &Log, size: u64) {
    let neighbour = offer(database, log, size);
    until("it is told who", || {
        !database.mirror().showing_given_up().is_empty()
    })
    .await;
    assert!(!neighbour.is_blamed());
}

#[tokio::test]
async fn who_forgets_twice_knows_again_what_was_given_up_first() {
    let (ours, rebuilt) = (Log::new(300), Log::forked(400, FORK));
    for first in [ACCEPT, Instead::Any] {
        let (_state, database) = at_both(&ours, &rebuilt).await;
        database.begin_anew(&first, |_| {}).unwrap();
        database.begin_anew(&Instead::Any, |_| {}).unwrap();
        refused(&database, &ours, 300).await;
        assert_eq!(database.mirror().head(), None);
    }
}

#[tokio::test]
async fn a_head_of_both_logs_does_not_bring_the_others_back() {
    let (ours, rebuilt) = (Log::new(310), Log::forked(400, FORK));
    let (state, database) = at_both(&ours, &rebuilt).await;
    database.begin_anew(&Instead::Any, |_| {}).unwrap();
    drop(database);
    let giver = Fake::start("neighbour", &ours, 310, Manner::Honest);
    let around = Around {
        upstream: cached(&rebuilt),
        givers: vec![giver.clone()],
        ..Around::default()
    };
    let database = again(state.path(), around);
    let mirror = database.mirror();
    // A neighbour that was not told yet shows more of the old log, which was never here.
    mirror.lookup(&module(20)).await.unwrap();
    assert_eq!(mirror.head().unwrap().note(), ours.head(FORK));
    refused(&database, &ours, 300).await;
    let (body, _) = mirror.lookup(&module(205)).await.unwrap();
    assert!(body.contains(&rebuilt.record(205)), "{body}");
    assert_eq!(mirror.head().unwrap().note(), rebuilt.head(400));
    assert!(mirror.evidence().is_empty(), "{:?}", mirror.evidence());
    assert!(!giver.is_blamed());
    // What is of both is nobody's fault any more.
    let before = mirror.showing_given_up();
    offer(&database, &ours, FORK);
    offer(&database, &ours, FORK);
    assert_eq!(mirror.showing_given_up(), before);
}

#[tokio::test]
async fn the_accepted_head_is_proved_before_a_smaller_one_of_both_logs_is_looked_at() {
    let (ours, rebuilt) = (Log::new(300), Log::forked(400, FORK));
    let (state, database) = at_both(&ours, &rebuilt).await;
    database.begin_anew(&ACCEPT, |_| {}).unwrap();
    drop(database);
    let around = Around {
        upstream: cached(&rebuilt),
        ..Around::default()
    };
    let mirror = again(state.path(), around).mirror();
    mirror.lookup(&module(20)).await.unwrap();
    assert_eq!(mirror.head().unwrap().note(), rebuilt.head(400));
    assert!(mirror.showing_given_up().is_empty());
}

/// Nothing was proved when the old log was given up, so nothing but the person's word speaks against it.
#[tokio::test]
async fn a_log_that_could_not_be_joined_is_known_again_too() {
    let (ours, rebuilt) = (Log::new(310), Log::forked(400, 0));
    for instead in [ACCEPT, Instead::Any] {
        let state = kept(&ours, 290, 300).await;
        let around = upstream_of(&rebuilt, 40);
        let database = super::world::database(state.path(), &around);
        database.mirror().lookup(&module(20)).await.unwrap_err();
        assert!(database.mirror().unjoined().is_some());
        database.begin_anew(&instead, |_| {}).unwrap();
        refused(&database, &ours, 300).await;
        // Nor by a head that was never here.
        offer(&database, &ours, 310);
        database.mirror().lookup(&module(20)).await.unwrap();
        assert_eq!(database.mirror().head().unwrap().note(), rebuilt.head(40));
        refused(&database, &ours, 300).await;
        assert_eq!(around.contradictions.load(Ordering::SeqCst), 0);
        assert!(database.mirror().evidence().is_empty());
    }
}

/// With neighbours alone, and nothing that speaks against the log, whoever forgets it may get it back.
#[tokio::test]
async fn where_there_are_neighbours_alone_they_bring_a_log_back_that_nothing_spoke_against() {
    let ours = Log::new(300);
    let state = kept(&ours, 290, 300).await;
    let database = again(state.path(), Around::default());
    database.begin_anew(&Instead::Any, |_| {}).unwrap();
    offer(&database, &ours, 300);
    until("the head is current", || database.mirror().head().is_some()).await;
    assert!(database.mirror().showing_given_up().is_empty());
}

#[tokio::test]
async fn what_go_holds_is_not_the_databases_own_word() {
    let (ours, rebuilt) = (Log::new(350), Log::forked(400, 0));
    let state = kept(&ours, 290, 300).await;
    let (database, _) = contradicted(state.path(), &rebuilt, 400).await;
    database.begin_anew(&Instead::Any, |_| {}).unwrap();
    let held = state.path().join(CLIENTS).join("sum.example");
    std::fs::create_dir_all(&held).unwrap();
    std::fs::write(held.join("latest"), ours.head(350)).unwrap();
    let mirror = database.mirror();
    mirror.serve_holders().await;
    assert_eq!((mirror.head(), mirror.evidence().len()), (None, 0));
    mirror.lookup(&module(20)).await.unwrap();
    assert_eq!(mirror.head().unwrap().note(), rebuilt.head(400));
    // It was never seen here, so it is a contradiction, and not of the database's making that it is shown.
    let [evidence] = &mirror.evidence()[..] else {
        panic!("{:?}", mirror.evidence());
    };
    assert_eq!(evidence.ours.note(), rebuilt.head(400));
    assert_eq!(evidence.other.note(), ours.head(350));
    let shown_by = evidence.shown_by.as_deref().unwrap_or_default();
    assert!(shown_by.contains("this host itself"), "{shown_by}");
}

/// It has what its own clients may need, and that is not the whole of a tile's path.
#[tokio::test]
async fn a_neighbour_at_the_old_log_that_has_little_of_it_is_no_liar() {
    let (ours, rebuilt) = (Log::new(302), Log::forked(400, 0));
    let state = kept(&ours, 290, 302).await;
    let (database, _) = contradicted(state.path(), &rebuilt, 353).await;
    database.begin_anew(&ACCEPT, |_| {}).unwrap();
    drop(database);
    let neighbour = Fake::start("neighbour", &ours, 302, Manner::WithEdge);
    let around = Around {
        neighbours: vec![neighbour.clone()],
        upstream: Some(Fake::start("upstream", &rebuilt, 353, Manner::Honest)),
        ..Around::default()
    };
    let mirror = again(state.path(), around).mirror();
    mirror.begin_from_accepted().await;
    assert_eq!(mirror.head().unwrap().note(), rebuilt.head(353));
    assert!(neighbour.asked() > 0);
    assert!(!neighbour.is_blamed(), "{:?}", neighbour.blamed);
    assert_eq!(mirror.showing_given_up(), ["neighbour"]);
    assert!(mirror.evidence().is_empty());
}

/// It answers, and then cannot be asked for the tile that would join the two.
#[tokio::test]
async fn a_shorter_log_is_laid_to_who_showed_it_and_not_to_who_is_asked_for_its_tiles() {
    let (ours, rebuilt) = (Log::new(300), Log::forked(400, 0));
    let state = kept(&ours, 290, 300).await;
    let around = Around {
        neighbours: vec![Fake::start("neighbour", &ours, 300, Manner::Without)],
        upstream: Some(Fake::start("upstream", &rebuilt, 40, Manner::Away)),
        ..Around::default()
    };
    let mirror = again(state.path(), around).mirror();
    let why = mirror.lookup(&module(20)).await.unwrap_err();
    assert!(
        format!("{why:?}").contains("that upstream shows"),
        "{why:?}"
    );
    assert_eq!(mirror.unjoined().unwrap().from, "upstream");
}
