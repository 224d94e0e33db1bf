//! Tiles that another host's upstream gave it just now, and that nobody has proved.

use std::sync::Arc;

use super::world::{Around, Fake, Fellows, Log, Manner, mirror, module};

/// An upstream and another host's, and everybody around a mirror that asks the latter first.
fn both(own: Manner, others: Manner) -> (Arc<Fake>, Arc<Fake>, Arc<Around>) {
    let log = Log::new(600);
    let upstream = Fake::start("upstream", &log, 600, own);
    let hearsay = Arc::new(Fake {
        tells_head: false,
        is_hearsay: true,
        ..Fake::new("another host's upstream", &log, 600, others)
    });
    let around = Around {
        upstream: Some(upstream.clone()),
        together: Some(Arc::new(Fellows {
            upstream: upstream.clone(),
            hearsay: hearsay.clone(),
        })),
        ..Around::default()
    };
    (upstream, hearsay, Arc::new(around))
}

#[tokio::test]
async fn what_another_host_was_given_is_proved_here() {
    let (upstream, hearsay, around) = both(Manner::Honest, Manner::Honest);
    let state = tempfile::tempdir().unwrap();
    let mirror = mirror(state.path(), &around);
    mirror.lookup(&module(300)).await.unwrap();
    assert!(hearsay.asked() > 0);
    assert_eq!(upstream.asked(), 0);
    assert!(!upstream.is_blamed() && !hearsay.is_blamed());
}

#[tokio::test]
async fn what_another_host_has_not_the_upstream_is_asked_for() {
    let (upstream, _, around) = both(Manner::Honest, Manner::Without);
    let state = tempfile::tempdir().unwrap();
    let mirror = mirror(state.path(), &around);
    mirror.lookup(&module(300)).await.unwrap();
    assert!(upstream.asked() > 0);
}

#[tokio::test]
async fn what_another_host_was_given_falsely_is_laid_to_that_alone() {
    let (upstream, hearsay, around) = both(Manner::Honest, Manner::Forged);
    let state = tempfile::tempdir().unwrap();
    let mirror = mirror(state.path(), &around);
    mirror.lookup(&module(300)).await.unwrap();
    assert!(upstream.asked() > 0 && !upstream.is_blamed());
    assert!(hearsay.is_blamed());
    assert_eq!(hearsay.asked(), 1);
}

#[tokio::test]
async fn where_all_of_it_is_false_the_upstream_is_blamed_as_ever() {
    let (upstream, hearsay, around) = both(Manner::Forged, Manner::Forged);
    let state = tempfile::tempdir().unwrap();
    let mirror = mirror(state.path(), &around);
    assert!(mirror.lookup(&module(300)).await.is_err());
    assert!(upstream.is_blamed());
    assert_eq!(hearsay.asked(), 1);
}
