//! A log that a person gave up, and the one that is followed instead.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::ask::Surroundings;
use super::super::contradiction::short;
use super::super::database::{BeginError, Database, Instead};
use super::super::files::log_number;
use super::super::finding::Finding;
use super::world::{Around, CLIENTS, Fake, Log, Manner, database, kept, key, module, until};

pub(super) const ACCEPT: Instead = Instead::Refused(None);

/// Everybody around shows the first `size` records of `log`: the upstream, and nobody else.
pub(super) fn upstream_of(log: &Log, size: u64) -> Arc<Around> {
    Arc::new(Around {
        upstream: Some(Fake::start("upstream", log, size, Manner::Honest)),
        ..Around::default()
    })
}

/// A host that followed `ours` up to 300 records when it was shown the first `size` records of a rebuilt log.
pub(super) async fn contradicted(
    state: &Path,
    rebuilt: &Log,
    size: u64,
) -> (Database, Arc<Around>) {
    let around = upstream_of(rebuilt, size);
    let database = database(state, &around);
    database.mirror().lookup(&module(20)).await.unwrap_err();
    until("the contradiction is on record", || {
        !database.mirror().evidence().is_empty()
    })
    .await;
    (database, around)
}

/// A neighbour that shows the head of the first `size` records of `log`.
pub(super) fn offer(database: &Database, log: &Log, size: u64) -> Arc<Fake> {
    let neighbour = Fake::start("neighbour", log, size, Manner::Honest);
    database
        .mirror()
        .offer_head(&log.head(size), neighbour.clone());
    neighbour
}

#[tokio::test]
async fn of_a_log_that_was_rebuilt_larger_or_smaller_the_refused_head_can_be_accepted() {
    let ours = Log::new(300);
    for size in [256, 300, 400] {
        let rebuilt = Log::forked(400, 0);
        let state = kept(&ours, 290, 300).await;
        let (database, around) = contradicted(state.path(), &rebuilt, size).await;
        let old = database.mirror();
        let [evidence] = &old.evidence()[..] else {
            panic!("{:?}", old.evidence());
        };
        assert_eq!(evidence.ours.note(), ours.head(300));
        assert_eq!(evidence.other.note(), rebuilt.head(size));
        assert_eq!(evidence.shown_by.as_deref(), Some("upstream"));
        let counted = around.contradictions.load(Ordering::SeqCst);

        let mut switched = None;
        let begun = database
            .begin_anew(&ACCEPT, |log| switched = Some(log))
            .unwrap();
        assert_eq!((begun.log, switched), (1, Some(1)));
        assert_eq!(begun.accepted.unwrap().note(), rebuilt.head(size));
        // The old one is no answer for anybody any more, and kept.
        assert!(old.is_over());
        assert!(old.lookup(&module(290)).await.is_err());
        let aside = begun.aside.unwrap();
        assert!(aside.join("head/300").is_file());
        assert!(aside.join("record/example.com/m290@v1.0.0").is_file());
        let mirror = database.mirror();
        assert_eq!(mirror.contradictions(), None);
        assert_eq!((mirror.records(), mirror.head()), (0, None));
        mirror.begin_from_accepted().await;
        assert_eq!(mirror.head().unwrap().note(), rebuilt.head(size));
        assert!(mirror.accepted().is_none());
        let (body, _) = mirror.lookup(&module(20)).await.unwrap();
        assert!(body.contains(&rebuilt.record(20)), "{body}");
        // The counter stays, and a restart changes nothing.
        assert_eq!(around.contradictions.load(Ordering::SeqCst), counted);
        drop((database, mirror, old));
        let again = super::world::database(state.path(), &around).mirror();
        assert_eq!(again.head().unwrap().note(), rebuilt.head(size));
        assert_eq!((again.log_number(), again.records()), (1, 1));
        assert_eq!(again.contradictions(), None);
    }
}

/// The tile in which the shorter log ends is not here, and whoever had it has another one now.
#[tokio::test]
async fn a_rebuilt_log_that_ends_where_ours_goes_on_can_be_accepted_though_nothing_is_proved() {
    let (ours, rebuilt) = (Log::new(300), Log::forked(400, 0));
    let state = kept(&ours, 290, 300).await;
    let database = database(state.path(), &upstream_of(&rebuilt, 40));
    database.mirror().lookup(&module(20)).await.unwrap_err();
    let unjoined = database.mirror().unjoined().unwrap();
    assert_eq!(
        (unjoined.head.note(), unjoined.ours),
        (&*rebuilt.head(40), 300)
    );
    assert_eq!(unjoined.from, "upstream");
    assert!(database.mirror().evidence().is_empty());
    let begun = database.begin_anew(&ACCEPT, |_| {}).unwrap();
    assert_eq!(begun.accepted.unwrap().note(), rebuilt.head(40));
    database.mirror().lookup(&module(20)).await.unwrap();
    assert_eq!(database.mirror().head().unwrap().note(), rebuilt.head(40));
}

#[tokio::test]
async fn until_the_accepted_head_is_proved_no_third_log_can_come_in_between() {
    let (ours, rebuilt) = (Log::new(300), Log::forked(400, 0));
    let state = kept(&ours, 290, 300).await;
    let (database, _) = contradicted(state.path(), &rebuilt, 350).await;
    database.begin_anew(&ACCEPT, |_| {}).unwrap();
    drop(database);
    // Started again, with nobody but one who shows a third log, larger and smaller.
    for size in [380, 330] {
        let third = Log::forked(400, 100);
        let around = upstream_of(&third, size);
        let database = super::world::database(state.path(), &around);
        database.mirror().lookup(&module(20)).await.unwrap_err();
        assert_eq!(database.mirror().head(), None, "{size}");
        assert!(database.mirror().accepted().is_some());
    }
    // The true one comes, smaller or larger.
    let around = upstream_of(&rebuilt, 400);
    let database = super::world::database(state.path(), &around);
    database.mirror().lookup(&module(20)).await.unwrap();
    assert_eq!(database.mirror().head().unwrap().note(), rebuilt.head(400));
}

#[tokio::test]
async fn who_still_shows_the_log_that_was_given_up_is_named_and_makes_no_alarm() {
    let (ours, rebuilt) = (Log::new(300), Log::forked(400, 0));
    for instead in [ACCEPT, Instead::Any] {
        let state = kept(&ours, 290, 300).await;
        let (database, around) = contradicted(state.path(), &rebuilt, 350).await;
        let counted = around.contradictions.load(Ordering::SeqCst);
        database.begin_anew(&instead, |_| {}).unwrap();
        // Before there is a first head, and after.
        for _ in 0..2 {
            let neighbour = offer(&database, &ours, 300);
            until("it is told who", || {
                database
                    .mirror()
                    .showing_given_up()
                    .contains(&"neighbour".to_owned())
            })
            .await;
            assert!(!neighbour.is_blamed());
            // And go itself, which saw the old log.
            let held = state.path().join(CLIENTS).join("sum.example");
            std::fs::create_dir_all(&held).unwrap();
            std::fs::write(held.join("latest"), ours.head(300)).unwrap();
            database.mirror().serve_holders().await;
            database.mirror().lookup(&module(20)).await.unwrap();
            assert_eq!(database.mirror().head().unwrap().note(), rebuilt.head(350));
        }
        assert_eq!(database.mirror().contradictions(), None);
        assert_eq!(around.contradictions.load(Ordering::SeqCst), counted);
    }
}

#[tokio::test]
async fn a_log_that_was_forgotten_comes_back_when_the_database_itself_shows_it() {
    let (ours, rebuilt) = (Log::new(320), Log::forked(400, 0));
    let state = kept(&ours, 290, 300).await;
    let (database, _) = contradicted(state.path(), &rebuilt, 350).await;
    database.begin_anew(&Instead::Any, |_| {}).unwrap();
    drop(database);
    let around = upstream_of(&ours, 300);
    let database = super::world::database(state.path(), &around);
    database.mirror().lookup(&module(20)).await.unwrap();
    assert_eq!(database.mirror().head().unwrap().note(), ours.head(300));
    offer(&database, &ours, 300);
    assert!(database.mirror().showing_given_up().is_empty());
}

#[tokio::test]
async fn a_neighbour_does_not_bring_the_forgotten_log_back_by_a_head_that_was_never_here() {
    let (ours, rebuilt) = (Log::new(320), Log::forked(400, 0));
    let state = kept(&ours, 290, 300).await;
    let (database, _) = contradicted(state.path(), &rebuilt, 350).await;
    database.begin_anew(&Instead::Any, |_| {}).unwrap();
    drop(database);
    let neighbour = Fake::start("neighbour", &ours, 310, Manner::Honest);
    let around = Arc::new(Around {
        upstream: Some(Fake::start("upstream", &rebuilt, 350, Manner::Honest)),
        givers: vec![neighbour.clone()],
        ..Around::default()
    });
    let database = super::world::database(state.path(), &around);
    database.mirror().lookup(&module(20)).await.unwrap();
    assert_eq!(database.mirror().head().unwrap().note(), rebuilt.head(350));
    assert_eq!(
        (neighbour.looked_up() > 0, neighbour.is_blamed()),
        (true, false)
    );
}

#[tokio::test]
async fn a_log_is_begun_afresh_without_a_contradiction_too_and_may_be_the_same_again() {
    let ours = Log::new(300);
    let state = kept(&ours, 290, 300).await;
    let around = upstream_of(&ours, 300);
    let database = database(state.path(), &around);
    let refused = database.begin_anew(&ACCEPT, |_| panic!("not switched"));
    assert!(matches!(refused, Err(BeginError::NothingRefused(_))));
    for number in 1..=7 {
        let begun = database.begin_anew(&Instead::Any, |_| {}).unwrap();
        assert_eq!(begun.log, number);
        // A neighbour does not bring it back, the database does.
        offer(&database, &ours, 300);
        until("it is told who", || {
            !database.mirror().showing_given_up().is_empty()
        })
        .await;
        assert_eq!(database.mirror().head(), None);
        database.mirror().lookup(&module(290)).await.unwrap();
        assert_eq!(database.mirror().head().unwrap().note(), ours.head(300));
    }
    // Of those that were given up the last four are kept.
    assert_eq!(database.aside().len(), 4);
    assert!(database.aside()[0].ends_with(database.aside()[0].file_name().unwrap()));
    assert!(database.aside()[0].display().to_string().ends_with("+6"));
}

#[tokio::test]
async fn among_several_refused_heads_one_can_be_chosen() {
    let (ours, rebuilt) = (Log::new(300), Log::forked(400, 0));
    let state = kept(&ours, 290, 300).await;
    let (database, around) = contradicted(state.path(), &rebuilt, 350).await;
    offer(&database, &rebuilt, 310);
    until("both are on record", || {
        database.mirror().evidence().len() == 2
    })
    .await;
    let unknown = Instead::Refused(Some("310.00000000".to_owned()));
    let refused = database
        .begin_anew(&unknown, |_| {})
        .unwrap_err()
        .to_string();
    assert!(refused.contains("350."), "{refused}");
    let evidence = database.mirror().evidence();
    let smaller = evidence.iter().find(|one| one.other.size() == 310).unwrap();
    assert_eq!(smaller.shown_by.as_deref(), Some("neighbour"));
    let chosen = Instead::Refused(Some(short(&smaller.other)));
    let begun = database.begin_anew(&chosen, |_| {}).unwrap();
    assert_eq!(begun.accepted.unwrap().note(), rebuilt.head(310));
    drop(around);
}

/// What is on the disk at each step of the switch is one log or the other.
#[tokio::test]
async fn a_crash_at_any_step_of_the_switch_leaves_one_log_or_the_other() {
    let (ours, rebuilt) = (Log::new(300), Log::forked(400, 0));
    let state = kept(&ours, 290, 300).await;
    let (database, around) = contradicted(state.path(), &rebuilt, 350).await;
    let folder = state.path().join("sumdb/sum.example");
    let begun = folder.join("+begun");
    // Prepared, and not switched.
    std::fs::create_dir_all(folder.join("+1/head")).unwrap();
    std::fs::write(folder.join("+begun.new"), "torn").unwrap();
    drop(database);
    let database = super::world::database(state.path(), &around);
    assert_eq!(database.mirror().head().unwrap().note(), ours.head(300));
    assert!(!folder.join("+1").exists());
    assert_eq!(log_number(state.path(), &key()), 0);

    // Switched, and nothing moved: the disk as it was, with the new parts.
    database.begin_anew(&ACCEPT, |_| {}).unwrap();
    let aside = database.aside().remove(0);
    for part in ["head", "tile", "contradiction"] {
        std::fs::rename(aside.join(part), folder.join(part)).unwrap();
    }
    // Work that was under way may leave something more.
    std::fs::create_dir_all(folder.join("record/example.com")).unwrap();
    assert!(begun.is_file());
    drop(database);
    let database = super::world::database(state.path(), &around);
    assert_eq!(log_number(state.path(), &key()), 1);
    assert_eq!(database.mirror().head(), None);
    assert!(aside.join("head/300").is_file());
    assert!(!folder.join("head").exists());
    database.mirror().lookup(&module(20)).await.unwrap();
    assert_eq!(database.mirror().head().unwrap().note(), rebuilt.head(350));
    // Where the word of the switch is damaged, the log that the person chose is followed on.
    std::fs::write(&begun, "0").unwrap();
    drop(database);
    let database = super::world::database(state.path(), &around);
    assert_eq!(database.mirror().log_number(), 1);
    assert_eq!(database.mirror().head().unwrap().note(), rebuilt.head(350));
}

#[tokio::test]
async fn a_question_that_was_under_way_is_put_to_the_log_that_is_followed_now() {
    use super::super::finding::Authority;
    let (ours, rebuilt) = (Log::new(300), Log::forked(400, 0));
    let state = kept(&ours, 290, 300).await;
    let (database, around) = contradicted(state.path(), &rebuilt, 350).await;
    assert!(around.upstream().is_some());
    let slow = Fake::start("slow", &ours, 300, Manner::Silent);
    let mut around = Around {
        neighbours: vec![slow],
        ..Around::default()
    };
    around.upstream = Some(Fake::start("upstream", &rebuilt, 350, Manner::Honest));
    drop(database);
    let database = super::world::database(state.path(), &Arc::new(around));
    let asking = {
        let (database, of) = (database.clone(), module(20));
        tokio::spawn(async move { database.find(&of, None).await })
    };
    tokio::task::yield_now().await;
    database.begin_anew(&ACCEPT, |_| {}).unwrap();
    match asking.await.unwrap().finding {
        Finding::Listed(record) => {
            assert_eq!((record.log, &record.text), (1, &rebuilt.record(20)));
        }
        other => panic!("{other:?}"),
    }
}

/// The folder of the mirror is gone, and what was given up before it is not: so is the evidence of it.
#[tokio::test]
async fn a_log_that_is_given_up_takes_the_place_of_none_that_was_before() {
    let (ours, rebuilt, third) = (Log::new(300), Log::forked(400, 0), Log::forked(500, 250));
    let state = kept(&ours, 290, 300).await;
    let (database, _) = contradicted(state.path(), &rebuilt, 350).await;
    let first = database.begin_anew(&ACCEPT, |_| {}).unwrap().aside.unwrap();
    drop(database);
    std::fs::remove_dir_all(state.path().join("sumdb")).unwrap();
    let database = super::world::database(state.path(), &upstream_of(&rebuilt, 350));
    database.mirror().lookup(&module(340)).await.unwrap();
    assert_eq!(database.mirror().log_number(), 1);
    drop(database);
    let (database, _) = contradicted(state.path(), &third, 400).await;
    assert_eq!(database.mirror().log_number(), 1);
    let begun = database.begin_anew(&ACCEPT, |_| {}).unwrap();
    assert_eq!(begun.log, 2);
    for (aside, head) in [(first, 300), (begun.aside.unwrap(), 350)] {
        assert!(aside.join(format!("head/{head}")).is_file(), "{head}");
        let contradictions = std::fs::read_dir(aside.join("contradiction")).unwrap();
        assert_eq!(contradictions.count(), 1, "{head}");
    }
}

#[tokio::test]
async fn a_log_of_which_nothing_came_is_not_kept() {
    let (ours, rebuilt) = (Log::new(300), Log::forked(400, 0));
    let state = kept(&ours, 290, 300).await;
    let (database, _) = contradicted(state.path(), &rebuilt, 350).await;
    database.begin_anew(&ACCEPT, |_| {}).unwrap();
    for _ in 0..6 {
        let begun = database.begin_anew(&Instead::Any, |_| {}).unwrap();
        assert_eq!(begun.aside, None);
    }
    assert_eq!(database.aside().len(), 1);
    assert!(database.aside()[0].join("head/300").is_file());
}
