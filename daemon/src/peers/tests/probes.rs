//! Neighbours that are silent to a question: looked at, passed over, put out; or cleared when they answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::lease::Road;
use modmesh_protocol::limits::FILE_BYTES_MAX;
use modmesh_protocol::wire::{Answer, Query, encode};

use super::super::streams::Purpose;
use super::super::{About, Peers, Talk, Turn, name_of};
use super::host::{Host, until};
use super::rogue::{Rogue, after_hello, read_frame};

/// A rogue that says hello and no word to who wants something; questions it answers once `answers` holds. Also how many probes it heard.
async fn silent(answers: &Arc<AtomicBool>) -> (Rogue, Arc<AtomicUsize>) {
    let (answers, asked) = (Arc::clone(answers), Arc::<AtomicUsize>::default());
    let questions = Arc::clone(&asked);
    let rogue = Rogue::start(after_hello(move |purpose, mut stream| {
        let (answers, questions) = (Arc::clone(&answers), Arc::clone(&questions));
        async move {
            if purpose == Purpose::Query {
                let probe = encode(&Query::Head { database: [0; 32] }).unwrap();
                let is_probe = probe.ends_with(&read_frame(&mut stream).await);
                questions.fetch_add(usize::from(is_probe), Ordering::Relaxed);
                while !answers.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let frame = encode(&Answer::Head(None)).unwrap();
                let _ = stream.write_all(&frame).await;
                let _ = stream.close().await;
            } else {
                let _ = stream.read(&mut [0; 1024]).await;
                std::future::pending::<()>().await;
            }
        }
    }))
    .await;
    (rogue, asked)
}

/// A conversation with the owners; nothing where there are none.
fn talk(peers: &Peers, number: u8) -> Option<Talk> {
    let about = About {
        key: KeyHash([number; 32]),
        place: KeyHash([number; 32]),
        bytes_max: FILE_BYTES_MAX,
        can_fetch: true,
        so_far: Arc::default(),
    };
    peers.talk(about, Road::default)
}

/// Wants things until it is so: a rogue beside the host is the first owner of half of them.
async fn want_until(host: &Host, is_so: impl Fn() -> bool) {
    for number in 0..=u8::MAX {
        if is_so() {
            return;
        }
        if let Some(mut talk) = talk(&host.peers, number) {
            assert_eq!(talk.next().await, Turn::Fetch);
        }
    }
    panic!("never");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_owner_is_looked_at_passed_over_and_put_out() {
    let (rogue, asked) = silent(&Arc::default()).await;
    let mut host = Host::start(std::slice::from_ref(&rogue.address)).await;
    host.came().await;
    want_until(&host, || asked.load(Ordering::Relaxed) > 0).await;
    let status = || host.peers.snapshot().remove(0);
    until("it is passed over", || status().passed_over.is_some()).await;
    assert!(status().passed_over.unwrap().reason.contains("silent"));
    // Nobody else is there to be asked, so this host does not ask at all.
    assert!(talk(&host.peers, 0).is_none());
    assert_eq!(host.went().await, name_of(&rogue.id));
    let peer = host.peers.snapshot().remove(0);
    assert!(peer.last_error.unwrap().contains("did not answer"));
    assert!(peer.passed_over.is_none());
    // Once for each of two tries, however much was wanted of it.
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_answers_the_probe_is_an_owner_again_at_once() {
    let answers = Arc::default();
    let (rogue, asked) = silent(&answers).await;
    let mut host = Host::start(std::slice::from_ref(&rogue.address)).await;
    host.came().await;
    want_until(&host, || asked.load(Ordering::Relaxed) > 0).await;
    let is_passed_over = || host.peers.snapshot()[0].passed_over.is_some();
    until("it is passed over", is_passed_over).await;
    answers.store(true, Ordering::Relaxed);
    until("it is not passed over", || !is_passed_over()).await;
    assert!(talk(&host.peers, 0).is_some());
    // It is silent as an owner again, is looked at again after a while, and stays.
    let before = asked.load(Ordering::Relaxed);
    until("it is looked at", || {
        drop(talk(&host.peers, 0));
        host.peers.was_slow(&name_of(&rogue.id));
        asked.load(Ordering::Relaxed) > before
    })
    .await;
    until("it is cleared", || {
        host.peers.connected() == 1 && !is_passed_over()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_well_survives_every_suspicion() {
    let (a, b) = Host::pair().await;
    let name = b.peers.name();
    for _ in 0..100 {
        a.peers.was_slow(&name);
        tokio::task::yield_now().await;
    }
    let bytes = || a.peers.snapshot()[0].received_bytes;
    let before = bytes();
    until("it answered", || {
        a.peers.was_slow(&name);
        bytes() > before
    })
    .await;
    assert_eq!((a.peers.connected(), b.peers.connected()), (1, 1));
    assert!(talk(&a.peers, 0).is_some());
}
