//! Which site a neighbour is of, and what goes there: between two hosts on loopback that name different sites.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use modmesh_protocol::site::Crossing;
use modmesh_protocol::wire::{Answer, encode};

use super::super::{CrossingLimits, Haste, PeerError, PeersConfig};
use super::host::{Host, config};
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
