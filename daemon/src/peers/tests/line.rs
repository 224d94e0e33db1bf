//! The line for the upstream between hosts on loopback: shared places, and what one costs that keeps it and is silent, or lies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::line::{
    Class, LineAnswer, LineQuestion, Load, PlacesAsked, PlacesTold, REST_HEARD_MAX,
};
use modmesh_protocol::wire::{Answer, Hello, Query, decode_payload, encode};
use tokio::time::timeout;

use super::super::PeersConfig;
use super::super::line::UpstreamPlace;
use super::super::streams::Purpose;
use super::host::{Host, SOON, config, until};
use super::rogue::{Manners, Rogue, after_hello, read_frame};

async fn host(most: Option<u16>, peers: &[String]) -> Host {
    let folder = tempfile::tempdir().unwrap();
    let config = PeersConfig {
        site_connections: most,
        ..config(&folder, peers)
    };
    Host::start_with(folder, config).await.unwrap()
}

async fn place(host: &Host, class: Class) -> UpstreamPlace {
    let place = timeout(Duration::from_secs(60), host.peers.upstream_place(class));
    place.await.expect("a place in time").expect("a cap")
}

/// Two hosts with one place each that see each other.
async fn two() -> (Host, Host) {
    let first = host(Some(1), &[]).await;
    let second = host(Some(1), &first.peers.addresses()).await;
    until("both are neighbours", || {
        first.peers.connected() == 1 && second.peers.connected() == 1
    })
    .await;
    (first, second)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_alone_has_all_its_places_and_one_without_a_cap_is_not_held_up() {
    let alone = host(Some(3), &[]).await;
    let places = [
        place(&alone, Class::Small).await,
        place(&alone, Class::Small).await,
        place(&alone, Class::Zip).await,
    ];
    assert!(places.iter().all(|place| !place.in_vain));
    let status = alone.peers.line().unwrap();
    assert_eq!((status.most, status.effective, status.used), (3, 3, 3));
    assert!(status.kept_here && status.kept_by.is_none());
    let fourth = alone.peers.upstream_place(Class::Small);
    tokio::pin!(fourth);
    let waits = timeout(Duration::from_millis(200), &mut fourth).await;
    assert!(waits.is_err());
    drop(places);
    assert!(!timeout(SOON, fourth).await.unwrap().unwrap().in_vain);
    let free = host(None, &[]).await;
    assert!(free.peers.upstream_place(Class::Zip).await.is_none());
    assert!(free.peers.line().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_have_one_place_between_them_and_one_that_waits_gets_it() {
    let (first, second) = two().await;
    for _ in 0..3 {
        let held = place(&first, Class::Zip).await;
        let next = second.peers.upstream_place(Class::Small);
        tokio::pin!(next);
        let waits = timeout(Duration::from_millis(300), &mut next).await;
        assert!(waits.is_err(), "two have the one place");
        assert_eq!(second.peers.line().unwrap().waiting, 1);
        drop(held);
        let next = timeout(SOON, next).await.unwrap().unwrap();
        assert!(!next.in_vain);
    }
    let kept = [&first, &second].map(|host| host.peers.line().unwrap());
    let here = kept.iter().filter(|line| line.kept_here).count();
    assert_eq!(here, 1, "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_gives_up_waiting_holds_up_nobody() {
    let (first, second) = two().await;
    let held = place(&first, Class::Small).await;
    for _ in 0..3 {
        let next = second.peers.upstream_place(Class::Small);
        assert!(timeout(Duration::from_millis(100), next).await.is_err());
    }
    drop(held);
    assert!(!place(&first, Class::Small).await.in_vain);
    assert_eq!(second.peers.line().unwrap().waiting, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_places_of_one_that_is_gone_come_back() {
    let (first, second) = two().await;
    let held = place(&first, Class::Small).await;
    let next = second.peers.upstream_place(Class::Small);
    tokio::pin!(next);
    assert!(
        timeout(Duration::from_millis(200), &mut next)
            .await
            .is_err()
    );
    first.peers.stop(Duration::from_secs(2)).await;
    let next = timeout(SOON, next).await.unwrap().unwrap();
    assert!(!next.in_vain, "after {:?}", next.waited);
    drop(held);
}

/// One that says to have been up for longer than anybody, so that it owns the line, and answers questions about it by `told`.
fn elder(told: impl Fn(&PlacesAsked) -> Option<Answer> + Send + Sync + 'static) -> Manners {
    let told = Arc::new(told);
    Arc::new(move |purpose, mut stream| {
        let told = Arc::clone(&told);
        async move {
            let payload = read_frame(&mut stream).await;
            let bytes = match purpose {
                Purpose::Hello => encode(&Hello {
                    release: "elder".into(),
                    capabilities: 0,
                    membership: None,
                    heads: vec![],
                    up_ms: 3_600_000,
                }),
                _ => match decode_payload(&payload) {
                    Ok(Query::Line(LineQuestion::Places(asked))) => match told(&asked) {
                        Some(answer) => encode(&answer),
                        None => std::future::pending().await,
                    },
                    _ => encode(&Answer::Refused),
                },
            };
            let _ = stream.write_all(&bytes.unwrap()).await;
            let _ = stream.close().await;
        }
        .boxed()
    })
}

async fn beside(rogue: &Rogue) -> Host {
    let host = host(Some(2), std::slice::from_ref(&rogue.address)).await;
    until("the rogue is a neighbour", || host.peers.connected() == 1).await;
    host
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_keeps_the_line_and_is_silent_costs_a_second_and_the_time_to_follow_it() {
    let asked = Arc::new(AtomicU32::new(0));
    let counts = Arc::clone(&asked);
    let rogue = Rogue::start(elder(move |_| {
        counts.fetch_add(1, Ordering::Relaxed);
        None
    }))
    .await;
    let host = beside(&rogue).await;
    let first = place(&host, Class::Small).await;
    assert!(!first.in_vain, "after {:?}", first.waited);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // It is passed over from then on.
    let second = place(&host, Class::Small).await;
    assert!(!second.in_vain && host.peers.line().unwrap().kept_here);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_know_the_question_is_passed_over_at_once() {
    let rogue = Rogue::start(elder(|_| Some(Answer::Refused))).await;
    let host = beside(&rogue).await;
    assert!(!place(&host, Class::Zip).await.in_vain);
    assert!(host.peers.line().unwrap().kept_here);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_others_wait_for_ever_costs_ten_seconds_once() {
    let told = PlacesTold {
        may: Load::default(),
        ask_again_ms: u32::MAX,
        most: 1,
        hosts: 9,
    };
    let lie = move |_: &PlacesAsked| Some(Answer::Line(LineAnswer::Places(told)));
    let rogue = Rogue::start(elder(lie)).await;
    let host = beside(&rogue).await;
    let began = Instant::now();
    let first = place(&host, Class::Small).await;
    assert!(first.in_vain && began.elapsed() >= Class::Small.wait_max());
    // From then on somebody else keeps the line, who has nothing to do with that.
    let second = place(&host, Class::Small).await;
    assert!(!second.in_vain, "after {:?}", second.waited);
    assert!(host.peers.line().unwrap().kept_here);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_says_to_hold_all_places_costs_ten_seconds_where_it_says_so() {
    // It keeps no line itself.
    let rogue = Rogue::start(elder(|_| Some(Answer::Refused))).await;
    let host = beside(&rogue).await;
    let name = host.peers.name().as_str().parse().unwrap();
    let claim = async |serial| {
        let question = Query::Line(LineQuestion::Places(PlacesAsked {
            serial,
            most: 2,
            holds: Load { small: 2, zips: 0 },
            wants: Load::default(),
        }));
        let mut stream = rogue.open(name, Purpose::Query).await.ok().unwrap();
        stream.write_all(&encode(&question).unwrap()).await.unwrap();
        read_frame(&mut stream).await;
    };
    claim(1).await;
    let claims = async {
        for serial in 2.. {
            claim(serial).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let waits = async {
        let first = place(&host, Class::Small).await;
        assert!(first.in_vain, "after {:?}", first.waited);
        drop(first);
        // From then on this host goes by its share.
        let second = place(&host, Class::Small).await;
        assert!(!second.in_vain, "after {:?}", second.waited);
        assert!(host.peers.line().unwrap().by_share);
    };
    tokio::select! {
        () = claims => {}
        () = waits => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_promises_too_much_makes_nobody_exceed_his_own_cap() {
    let all = Load {
        small: u16::MAX,
        zips: u16::MAX,
    };
    let told = PlacesTold {
        may: all,
        ask_again_ms: 0,
        most: u16::MAX,
        hosts: 0,
    };
    let lie = move |_: &PlacesAsked| Some(Answer::Line(LineAnswer::Places(told)));
    let rogue = Rogue::start(elder(lie)).await;
    let host = beside(&rogue).await;
    let _held = [
        place(&host, Class::Zip).await,
        place(&host, Class::Small).await,
    ];
    for class in Class::ALL {
        let third = host.peers.upstream_place(class);
        assert!(timeout(Duration::from_millis(200), third).await.is_err());
    }
    assert_eq!(host.peers.line().unwrap().effective, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_host_neither_tells_of_a_rest_nor_hears_of_one() {
    let heard = Arc::new(AtomicU32::new(0));
    let counts = Arc::clone(&heard);
    let rogue = Rogue::start(after_hello(move |_, mut stream| {
        let counts = Arc::clone(&counts);
        async move {
            let question = decode_payload(&read_frame(&mut stream).await);
            if matches!(question, Ok(Query::Line(_))) {
                counts.fetch_add(1, Ordering::Relaxed);
            }
            let _ = stream.write_all(&encode(&Answer::Refused).unwrap()).await;
            let _ = stream.close().await;
        }
    }))
    .await;
    let host = beside(&rogue).await;
    let entry = KeyHash([7; 32]);
    host.peers.tell_rest(entry, REST_HEARD_MAX);
    let question = Query::Line(LineQuestion::Rest {
        entry: entry.0,
        rest_ms: 60_000,
    });
    let name = host.peers.name().as_str().parse().unwrap();
    let mut stream = rogue.open(name, Purpose::Query).await.ok().unwrap();
    stream.write_all(&encode(&question).unwrap()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut answer)).await;
    assert_eq!(answer, encode(&Answer::Refused).unwrap());
    assert_eq!(heard.load(Ordering::Relaxed), 0);
}
