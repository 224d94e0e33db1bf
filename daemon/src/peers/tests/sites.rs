//! Which site a neighbour is of, and what goes there: between two hosts on loopback that name different sites.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::site::Crossing;
use modmesh_protocol::wire::{Answer, Query, encode};

use super::super::{CrossingLimits, Haste, PeerError, PeersConfig, acquaint, ask, peer_id_of};
use super::host::{DATABASE, Host, config};
use super::rogue::{Rogue, after_hello, read_frame};

async fn host(peers: &[String], crossing: CrossingLimits) -> Host {
    let folder = tempfile::tempdir().unwrap();
    let config = PeersConfig {
        crossing,
        ..config(&folder, peers)
    };
    Host::start_with(folder, config).await.unwrap()
}

fn of(site: &str) -> CrossingLimits {
    CrossingLimits {
        site: Some(site.parse().unwrap()),
        ..CrossingLimits::default()
    }
}

async fn until(truth: impl Fn() -> bool) {
    let waiting = async {
        while !truth() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_two_sites_find_nothing_at_each_other_unless_they_ask_across() {
    let tokyo = host(&[], of("tokyo")).await;
    let (key, _) = tokyo.put(7, b"bytes");
    let berlin = host(&tokyo.peers.addresses(), of("berlin")).await;
    until(|| berlin.peers.connected() == 1 && berlin.peers.is_across(&tokyo.peers.name())).await;
    until(|| tokyo.peers.is_across(&berlin.peers.name())).await;
    assert!(matches!(
        berlin.peers.crossing(Some(&key)),
        Crossing::Open(_)
    ));
    let within = berlin
        .peers
        .survey(Some(key), None, Haste::NobodyElse)
        .await;
    assert_eq!((within.asked, within.found.len()), (0, 0));
    let across = berlin
        .peers
        .survey_across(Some(key), None, Haste::OthersWait)
        .await;
    assert_eq!((across.asked, across.found.len()), (1, 1));
    let mut bytes = Vec::new();
    let name = tokyo.peers.name();
    let fetched = berlin
        .peers
        .fetch(&name, key, 100, Haste::NobodyElse, &mut bytes)
        .await;
    assert!(fetched.is_ok() && bytes == b"bytes", "{fetched:?}");
    // What it gave is known from now on, and both have counted.
    assert!(berlin.peers.road_to(&name).first_byte.is_some());
    let (ours, theirs) = (berlin.peers.site(), tokyo.peers.site());
    assert!(
        ours.received_bytes > 5 && theirs.sent_bytes > 5,
        "{ours:?} {theirs:?}"
    );
    assert_eq!(ours.name.as_deref(), Some("berlin"));
    assert_eq!(berlin.peers.snapshot()[0].site.as_deref(), Some("tokyo"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_one_site_are_neighbours_as_ever() {
    let first = host(&[], of("berlin")).await;
    let (key, _) = first.put(7, b"bytes");
    let second = host(&first.peers.addresses(), of("Berlin")).await;
    until(|| second.peers.connected() == 1).await;
    assert!(!second.peers.is_across(&first.peers.name()));
    let within = second
        .peers
        .survey(Some(key), None, Haste::NobodyElse)
        .await;
    assert_eq!(within.found.len(), 1);
    assert!(matches!(second.peers.crossing(None), Crossing::Nobody));
    assert_eq!(second.peers.site().received_bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_exceeds_the_budget_is_neither_taken_nor_given() {
    let tokyo = host(&[], of("tokyo")).await;
    let (key, _) = tokyo.put(7, &[7; 4000]);
    let limits = CrossingLimits {
        bytes_a_day: Some(3000),
        ..of("berlin")
    };
    let berlin = host(&tokyo.peers.addresses(), limits).await;
    until(|| berlin.peers.is_across(&tokyo.peers.name())).await;
    until(|| berlin.peers.connected() == 1 && tokyo.peers.is_across(&berlin.peers.name())).await;
    let name = tokyo.peers.name();
    let mut sink = tokio::io::sink();
    let fetched = berlin
        .peers
        .fetch(&name, key, 9000, Haste::NobodyElse, &mut sink)
        .await;
    assert!(matches!(fetched, Err(PeerError::OverBudget)), "{fetched:?}");
    assert!(berlin.peers.snapshot()[0].last_error.is_none());
    // The other way round it is the giver that keeps its own.
    berlin.put(7, &[7; 4000]);
    let name = berlin.peers.name();
    let fetched = tokyo
        .peers
        .fetch(&name, key, 9000, Haste::NobodyElse, &mut sink)
        .await;
    assert!(matches!(fetched, Err(PeerError::Refused)), "{fetched:?}");
    let left = berlin.peers.site().budget_left_bytes.unwrap();
    assert!((2000..3000).contains(&left), "{left}");
}

/// Two hosts of different sites that know that of each other.
async fn tokyo_and_berlin(tokyo: CrossingLimits) -> (Host, Host) {
    let tokyo = host(&[], tokyo).await;
    let berlin = host(&tokyo.peers.addresses(), of("berlin")).await;
    until(|| berlin.peers.connected() == 1 && berlin.peers.is_across(&tokyo.peers.name())).await;
    until(|| tokyo.peers.connected() == 1 && tokyo.peers.is_across(&berlin.peers.name())).await;
    (tokyo, berlin)
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_count_also_where_nobody_has_what_is_asked_for() {
    let (tokyo, berlin) = tokyo_and_berlin(of("tokyo")).await;
    let counted = || {
        let (asker, asked) = (berlin.peers.site(), tokyo.peers.site());
        (asker.sent_bytes, asked.received_bytes)
    };
    for number in 0..5 {
        let (sent, received) = counted();
        let key = KeyHash([number; 32]);
        let survey = berlin
            .peers
            .survey_across(Some(key), None, Haste::NobodyElse)
            .await;
        assert_eq!((survey.asked, survey.found.len()), (1, 0));
        let (sent_then, received_then) = counted();
        // A key alone has 32 bytes.
        assert!(sent_then >= sent + 32, "{sent} and then {sent_then}");
        assert!(
            received_then >= received + 32,
            "{received} and then {received_then}"
        );
    }
    let (sent, received) = counted();
    let (key, mut sink) = (KeyHash([9; 32]), tokio::io::sink());
    let fetched = berlin
        .peers
        .fetch(&tokyo.peers.name(), key, 100, Haste::NobodyElse, &mut sink)
        .await;
    assert!(matches!(fetched, Err(PeerError::NotHere)), "{fetched:?}");
    let (sent_then, received_then) = counted();
    assert!(sent_then >= sent + 32 && received_then >= received + 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_budget_left_only_the_site_is_told_to_another_one() {
    let limits = CrossingLimits {
        bytes_a_day: Some(0),
        ..of("tokyo")
    };
    let (tokyo, berlin) = tokyo_and_berlin(limits).await;
    let id = peer_id_of(&tokyo.peers.name()).unwrap();
    let answer_to =
        async |question| ask::query_patiently(&berlin.peers.shared, &id, &question).await;
    let database = DATABASE.0;
    for question in [Query::Acquaint { v4: 0, v6: 0 }, Query::Head { database }] {
        let answer = answer_to(question).await;
        assert!(matches!(answer, Err(PeerError::Refused)), "{answer:?}");
    }
    let name = Some("berlin".to_owned());
    let answer = answer_to(Query::Site { name }).await;
    assert!(
        matches!(&answer, Ok(Answer::Site(Some(name))) if name == "tokyo"),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_of_another_site_is_asked_whom_it_knows() {
    let (tokyo, berlin) = tokyo_and_berlin(of("tokyo")).await;
    assert!(acquaint::neighbours_of(&berlin.peers.shared).is_empty());
    let third = host(&tokyo.peers.addresses(), of("tokyo")).await;
    until(|| third.peers.connected() == 1 && tokyo.peers.connected() == 2).await;
    let third = peer_id_of(&third.peers.name()).unwrap();
    assert_eq!(acquaint::neighbours_of(&tokyo.peers.shared), [third]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_know_of_sites_is_a_neighbour_by_its_link() {
    let rogue = Rogue::start(after_hello(|_, mut stream| async move {
        read_frame(&mut stream).await;
        stream
            .write_all(&encode(&Answer::Refused).unwrap())
            .await
            .unwrap();
        let _ = stream.close().await;
    }))
    .await;
    let host = host(std::slice::from_ref(&rogue.address), of("berlin")).await;
    until(|| host.peers.connected() == 1).await;
    let status = host.peers.snapshot().remove(0);
    assert_eq!(
        (status.site, status.across, status.last_error),
        (None, false, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_name_of_a_site_is_none() {
    let asked = Arc::new(AtomicBool::new(false));
    let is_asked = Arc::clone(&asked);
    let rogue = Rogue::start(after_hello(move |_, mut stream| {
        let asked = Arc::clone(&is_asked);
        async move {
            read_frame(&mut stream).await;
            let answer = Answer::Site(Some("\u{1b}[31m".to_owned()));
            stream.write_all(&encode(&answer).unwrap()).await.unwrap();
            let _ = stream.close().await;
            // Until the other side has closed, too.
            let _ = stream.read(&mut [0]).await;
            asked.store(true, Ordering::Relaxed);
        }
    }))
    .await;
    let host = host(std::slice::from_ref(&rogue.address), of("berlin")).await;
    until(|| host.peers.connected() == 1 && asked.load(Ordering::Relaxed)).await;
    let status = host.peers.snapshot().remove(0);
    assert_eq!((status.site, status.across), (None, false));
}
