//! Records from neighbours, from upstream, and from the database behind a proxy that talks nonsense.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::ask::{AskError, LookupAnswer};
use super::super::finding::Finding;
use super::world::{Around, Fake, Log, Manner, kept, mirror, module};
use crate::metrics::Source;

/// Neighbours that say they have the record, quickest first, and an upstream.
fn beside(givers: Vec<Arc<Fake>>, upstream: Arc<Fake>) -> Arc<Around> {
    Arc::new(Around {
        givers,
        upstream: Some(upstream),
        ..Around::default()
    })
}

#[tokio::test]
async fn neighbours_that_say_nothing_cost_two_seconds_in_all() {
    let log = Log::new(400);
    let state = kept(&log, 290, 300).await;
    let names = ["one", "two", "three", "four", "five", "six"];
    let silent = names.map(|name| Fake::start(name, &log, 400, Manner::Silent));
    let around = Arc::new(Around {
        givers: silent.to_vec(),
        neighbours: silent.to_vec(),
        upstream: Some(Fake::start("upstream", &log, 400, Manner::Honest)),
        ..Around::default()
    });
    let mirror = mirror(state.path(), &around);
    let began = Instant::now();
    mirror.lookup(&module(10)).await.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test]
async fn a_lookup_says_where_its_record_came_from() {
    let log = Log::new(400);
    let state = kept(&log, 290, 300).await;
    let neighbour = Fake::start("neighbour", &log, 350, Manner::Honest);
    let around = beside(
        vec![neighbour],
        Fake::start("upstream", &log, 400, Manner::Honest),
    );
    let mirror = mirror(state.path(), &around);
    for (id, first) in [
        (290, Source::Store),
        (340, Source::Peer),
        (390, Source::Upstream),
    ] {
        for source in [first, Source::Store] {
            let (_, from) = mirror.lookup(&module(id)).await.unwrap();
            assert_eq!(from, source, "{id}");
        }
    }
}

#[tokio::test]
async fn without_upstream_a_silent_neighbour_is_asked_once_and_then_the_next() {
    let log = Log::new(400);
    let state = kept(&log, 290, 300).await;
    let silent = Fake::start("silent", &log, 400, Manner::Silent);
    let honest = Fake::start("honest", &log, 400, Manner::Honest);
    let around = Arc::new(Around {
        givers: vec![silent.clone()],
        neighbours: vec![silent.clone(), honest],
        ..Around::default()
    });
    let mirror = mirror(state.path(), &around);
    mirror.lookup(&module(10)).await.unwrap();
    assert_eq!(silent.asked(), 1);
}

#[tokio::test]
async fn of_many_that_say_they_have_a_record_four_are_asked() {
    let log = Log::new(400);
    let state = kept(&log, 290, 300).await;
    let names = ["one", "two", "three", "four", "five", "six"];
    let givers = names.map(|name| Fake::start(name, &log, 400, Manner::Without));
    let around = Arc::new(Around {
        givers: givers.to_vec(),
        ..Around::default()
    });
    let mirror = mirror(state.path(), &around);
    mirror.lookup(&module(10)).await.unwrap_err();
    assert_eq!(
        givers.map(|giver| giver.looked_up()),
        [1, 1, 1, 1, 0, 0],
        "quickest first"
    );
}

#[tokio::test]
async fn what_the_giver_lacks_the_upstream_is_asked_for_before_other_neighbours() {
    let log = Log::new(400);
    let state = kept(&log, 290, 300).await;
    let other = Fake::start("other", &log, 400, Manner::Silent);
    let upstream = Fake::start("upstream", &log, 400, Manner::Honest);
    let around = Arc::new(Around {
        givers: vec![Fake::start("giver", &log, 400, Manner::Without)],
        neighbours: vec![other.clone()],
        upstream: Some(upstream.clone()),
        ..Around::default()
    });
    let mirror = mirror(state.path(), &around);
    mirror.lookup(&module(10)).await.unwrap();
    assert_eq!((other.asked(), upstream.looked_up()), (0, 0));
}

/// What a proxy says that is no answer, or a false one, and whether that is a lie.
fn nonsense(log: &Log) -> Vec<(&'static str, Fake, bool)> {
    let proxy = |manner, lookup: Option<Result<LookupAnswer, AskError>>| Fake {
        lookup,
        ..Fake::new("upstream", log, 400, manner)
    };
    let no_answer = |text: &str| Some(Err(no_answer(text, None)));
    let answer = |change: fn(&mut LookupAnswer)| {
        let mut answer = log.answer(390, 400);
        change(&mut answer);
        Some(Ok(answer))
    };
    let (honest, forged) = (Manner::Honest, Manner::Forged);
    vec![
        ("500", proxy(honest, no_answer("500")), false),
        ("404", proxy(honest, Some(Err(AskError::Missing))), false),
        ("web page", proxy(honest, no_answer("a web page")), false),
        ("tiles that are none", proxy(Manner::Babbling, None), false),
        ("no tiles", proxy(Manner::Without, None), false),
        ("a forged tile", proxy(forged, None), true),
        (
            "another number",
            proxy(honest, answer(|said| said.id = 1)),
            true,
        ),
        (
            "another record",
            proxy(
                honest,
                answer(|said| said.text = said.text.replace("h1:", "h1:AAAA")),
            ),
            true,
        ),
        (
            "a forged head",
            proxy(honest, answer(|said| said.note.truncate(120))),
            true,
        ),
    ]
}

#[tokio::test]
async fn when_a_proxy_talks_nonsense_the_database_itself_is_asked_once() {
    let log = Log::new(400);
    for (what, proxy, is_lie) in nonsense(&log) {
        let state = kept(&log, 290, 300).await;
        let itself = Fake::start("the database itself", &log, 400, Manner::Honest);
        let proxy = Arc::new(Fake {
            behind: Some(itself.clone()),
            ..proxy
        });
        let around = beside(Vec::new(), proxy.clone());
        let mirror = mirror(state.path(), &around);
        let found = mirror.lookup(&module(390)).await;
        assert!(found.is_ok(), "{what}: {found:?}");
        let lies = proxy.blamed.lock().unwrap().len();
        assert_eq!(lies, usize::from(is_lie), "{what}");
        assert!(itself.looked_up() <= 1, "{what}");
        assert!(itself.looked_up() + itself.asked() >= 1, "{what}");
        assert!(!itself.is_blamed(), "{what}");
    }
}

#[tokio::test]
async fn when_a_proxy_cannot_be_reached_the_database_itself_is_not_asked() {
    let log = Log::new(400);
    let unreachable = || Some(Err(AskError::Unreachable("no route".to_owned())));
    for (lookup, manner) in [(unreachable(), Manner::Honest), (None, Manner::Away)] {
        let state = kept(&log, 290, 300).await;
        let itself = Fake::start("the database itself", &log, 400, Manner::Honest);
        let proxy = Fake {
            lookup,
            behind: Some(itself.clone()),
            ..Fake::new("upstream", &log, 400, manner)
        };
        let around = beside(Vec::new(), Arc::new(proxy));
        let mirror = mirror(state.path(), &around);
        let found = mirror.lookup(&module(390)).await;
        assert!(matches!(found, Err(Finding::Unreachable(_))), "{found:?}");
        assert_eq!((itself.looked_up(), itself.asked()), (0, 0));
    }
}

fn no_answer(said: &str, status: Option<u16>) -> AskError {
    let said = said.to_owned();
    AskError::NoAnswer { said, status }
}

#[tokio::test]
async fn the_status_of_a_failed_lookup_is_that_of_whoever_answered_last() {
    let log = Log::new(400);
    let away = || AskError::Unreachable("no route".to_owned());
    let said = |status| no_answer("no", Some(status));
    for (proxy, itself, expected) in [
        (said(403), away(), Some(403)),
        (said(403), said(500), Some(500)),
        (said(403), no_answer("a web page", None), None),
        (AskError::Missing, said(503), Some(503)),
        (AskError::Missing, away(), None),
        (away(), said(500), None),
    ] {
        let state = tempfile::tempdir().unwrap();
        let behind = Fake {
            lookup: Some(Err(itself)),
            ..Fake::new("the database itself", &log, 400, Manner::Honest)
        };
        let proxy = Fake {
            lookup: Some(Err(proxy)),
            behind: Some(Arc::new(behind)),
            ..Fake::new("upstream", &log, 400, Manner::Honest)
        };
        let around = beside(Vec::new(), Arc::new(proxy));
        let found = mirror(state.path(), &around).lookup(&module(1)).await;
        let Err(Finding::Unreachable(trouble)) = found else {
            panic!("{found:?}");
        };
        assert_eq!(trouble.status, expected, "{}", trouble.reason);
    }
}

#[tokio::test]
async fn only_the_database_itself_says_that_there_is_no_record() {
    let log = Log::new(400);
    for (itself, is_unlisted) in [
        (AskError::NotListed, true),
        (AskError::Unreachable("no route".into()), false),
        (no_answer("500", Some(500)), false),
    ] {
        let state = tempfile::tempdir().unwrap();
        let behind = Fake {
            lookup: Some(Err(itself.clone())),
            ..Fake::new("the database itself", &log, 400, Manner::Honest)
        };
        let proxy = Fake {
            lookup: Some(Err(AskError::Missing)),
            behind: Some(Arc::new(behind)),
            ..Fake::new("upstream", &log, 400, Manner::Honest)
        };
        let around = beside(Vec::new(), Arc::new(proxy));
        let found = mirror(state.path(), &around).lookup(&module(1)).await;
        let said = matches!(found, Err(Finding::Unlisted));
        assert_eq!(said, is_unlisted, "{itself:?}: {found:?}");
    }
}

#[tokio::test]
async fn who_gives_a_part_of_what_is_false_is_named_when_others_give_the_truth() {
    let log = Log::new(400);
    let state = kept(&log, 290, 300).await;
    // Its edge tile is false, and what would show that it alone is at fault it holds back.
    let liar = Fake::start("liar", &log, 400, Manner::ForgedAndShort);
    let upstream = Fake::start("upstream", &log, 400, Manner::Honest);
    let around = beside(vec![liar.clone()], upstream.clone());
    let mirror = mirror(state.path(), &around);
    mirror.lookup(&module(390)).await.unwrap();
    assert!(liar.is_blamed());
    assert!(!upstream.is_blamed());
    assert_eq!(around.contradictions.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_neighbour_whose_log_ends_inside_a_tile_that_nobody_has_is_told_of_as_that() {
    let log = Log::new(600);
    let state = kept(&log, 590, 600).await;
    let around = Arc::new(Around {
        givers: vec![Fake::start("neighbour", &log, 300, Manner::Honest)],
        ..Around::default()
    });
    let mirror = mirror(state.path(), &around);
    // In the neighbour's log the tile of this record has 44 hashes, in ours 256.
    let refused = mirror.lookup(&module(280)).await.unwrap_err();
    let text = format!("{refused:?}");
    assert!(text.contains("log of 300 records"), "{text}");
    assert!(text.contains("modmesh sumdb show"), "{text}");
    // A record in a tile that is full for both can be proved.
    mirror.lookup(&module(20)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn many_lookups_with_heads_of_different_sizes_end_under_the_largest() {
    let log = Log::new(600);
    let state = kept(&log, 290, 300).await;
    let upstream = Fake {
        heads_cached_by: 40,
        ..Fake::new("upstream", &log, 600, Manner::Honest)
    };
    let around = beside(Vec::new(), Arc::new(upstream));
    let mirror = mirror(state.path(), &around);
    let lookups = (0..600).step_by(7).map(|id| {
        let mirror = mirror.clone();
        tokio::spawn(async move { mirror.lookup(&module(id)).await.map(drop) })
    });
    for found in futures::future::join_all(lookups).await {
        found.unwrap().unwrap();
    }
    assert_eq!(mirror.head().unwrap().size(), 600);
    // Every record and the edge of the head that was served before can be proved from what is here.
    let width = |level, index| mirror.kept_tile(level, index).unwrap().coordinate().width;
    assert_eq!(
        [width(0, 0), width(0, 1), width(0, 2), width(1, 0)],
        [256, 256, 88, 2]
    );
    // And on disk: no proof under a smaller head has put a narrower tile over a wider one.
    let opened_again = super::world::mirror(state.path(), &around);
    assert_eq!(opened_again.head().unwrap().size(), 600);
}

#[tokio::test(start_paused = true)]
async fn that_the_database_could_not_be_asked_is_told_for_a_while_only() {
    let log = Log::new(400);
    let state = kept(&log, 290, 300).await;
    let mirror = mirror(state.path(), &Arc::new(Around::default()));
    assert!(mirror.trouble().is_none());
    assert!(mirror.lookup(&module(10)).await.is_err());
    assert!(mirror.trouble().is_some());
    tokio::time::advance(Duration::from_secs(9 * 60)).await;
    assert!(mirror.trouble().is_some());
    tokio::time::advance(Duration::from_secs(2 * 60)).await;
    assert!(mirror.trouble().is_none());
}
