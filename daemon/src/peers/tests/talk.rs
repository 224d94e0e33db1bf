//! Conversations with owners: honest ones, and some that would have this host wait for ever.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::swarm::Stream;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::lease::{Fetched, Member, MemberId, Progress, Road, Word, owners};
use modmesh_protocol::limits::FILE_BYTES_MAX;
use modmesh_protocol::wire::encode;

use super::super::streams::Purpose;
use super::super::{About, Talk, Turn, name_of};
use super::host::{Host, until};
use super::rogue::{Rogue, after_hello};

const KEY: KeyHash = KeyHash([9; 32]);

/// A place that the first owns, before the others.
pub(super) fn place_of(first: MemberId, others: &[MemberId]) -> KeyHash {
    let all = others.iter().chain([&first]);
    let members: Vec<Member> = all
        .map(|id| Member {
            id: *id,
            up: Duration::ZERO,
        })
        .collect();
    let places = (0..=u16::MAX).map(|number| {
        let mut place = [0; 32];
        place[..2].copy_from_slice(&number.to_be_bytes());
        KeyHash(place)
    });
    let mut owned = places.filter(|place| owners(place, &members)[0] == Some(first));
    owned.next().unwrap()
}

/// A conversation in which the own way takes `first_byte` until it gives something.
fn talk(host: &Host, place: KeyHash, can_fetch: bool, first_byte: Duration) -> Talk {
    let about = About {
        key: KEY,
        place,
        bytes_max: FILE_BYTES_MAX,
        can_fetch,
        so_far: Arc::default(),
    };
    let road = Road {
        pace: Some(1e6),
        first_byte: Some(first_byte),
    };
    host.peers.talk(about, move || road).unwrap()
}

async fn say(stream: &mut Stream, word: &Word) -> bool {
    let frame = encode(word).unwrap();
    stream.write_all(&frame).await.is_ok() && stream.flush().await.is_ok()
}

/// A rogue that an owner's words come from: this one first, and then this one again and again.
async fn owner(first: Word, then: Word) -> Rogue {
    Rogue::start(after_hello(move |purpose, mut stream| {
        let (first, then) = (first.clone(), then.clone());
        async move {
            if purpose != Purpose::Lease {
                return;
            }
            let _ = stream.read(&mut [0; 1024]).await;
            if !say(&mut stream, &first).await {
                return;
            }
            while say(&mut stream, &then).await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }))
    .await
}

async fn beside(rogue: &Rogue) -> (Host, KeyHash) {
    let mut host = Host::start(std::slice::from_ref(&rogue.address)).await;
    host.came().await;
    let ids = [name_of(&rogue.id), host.peers.name()].map(|name| MemberId::of(&name));
    (host, place_of(ids[0], &ids[1..]))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_fetches_and_the_second_takes_it_from_the_first() {
    let (a, b) = Host::pair().await;
    let ids = [&a, &b].map(|host| MemberId::of(&host.peers.name()));
    let place = place_of(ids[0], &ids[1..]);
    let soon = Duration::from_millis(100);
    let mut first = talk(&b, place, true, soon);
    assert_eq!(first.next().await, Turn::Fetch);
    until("a lease", || a.peers.leases().granted == 1).await;
    assert_eq!(b.peers.leases().fetching, 1);
    let mut second = talk(&a, place, true, soon);
    until("it waits", || a.peers.leases().waiting == 1).await;
    first.end(Fetched::Here).await;
    let mut waits_for = Vec::new();
    let turn = second.next_with(|holder| waits_for.push(holder)).await;
    assert_eq!(turn, Turn::Take(vec![b.peers.name()]));
    assert_eq!(waits_for, [b.peers.name()]);
    assert_eq!(second.waited_for(), waits_for);
    second.taken(true).await;
    until("all is over", || a.peers.leases() == Default::default()).await;
    until("all is over", || b.peers.leases() == Default::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_without_a_word_is_waited_for_no_longer() {
    let (a, b) = Host::pair().await;
    let ids = [&a, &b].map(|host| MemberId::of(&host.peers.name()));
    let place = place_of(ids[0], &ids[1..]);
    let first = talk(&b, place, true, Duration::from_secs(30));
    until("a lease", || a.peers.leases().granted == 1).await;
    let mut second = talk(&a, place, true, Duration::from_secs(30));
    until("it waits", || a.peers.leases().waiting == 1).await;
    drop(first);
    assert_eq!(second.next().await, Turn::Fetch);
    // Nobody that can fetch, and nobody that has it.
    drop(second);
    let mut third = talk(&a, place, false, Duration::from_secs(30));
    assert_eq!(third.next().await, Turn::Nobody);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_says_wait_for_ever_costs_the_own_way_and_two_seconds_once() {
    let holder = MemberId([7; 32]);
    let rogue = owner(Word::Wait { holder }, Word::Progress(Progress::default())).await;
    let (host, place) = beside(&rogue).await;
    let began = Instant::now();
    let mut first = talk(&host, place, true, Duration::from_millis(500));
    assert_eq!(first.next().await, Turn::Fetch);
    let took = began.elapsed();
    assert!(took > Duration::from_secs(2), "{took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    first.end(Fetched::Here).await;
    // Its own fetch shows that the upstream was not what took so long.
    until("it is passed over", || {
        let peer = host.peers.snapshot().remove(0);
        let why = peer.passed_over.map(|passed_over| passed_over.reason);
        why.is_some_and(|why| why.contains("in vain"))
    })
    .await;
    // It is asked no more, so that it costs nothing.
    let about = About {
        key: KEY,
        place,
        bytes_max: FILE_BYTES_MAX,
        can_fetch: true,
        so_far: Arc::default(),
    };
    assert!(host.peers.talk(about, Road::default).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_names_strangers_has_nobody_called_and_is_passed_over() {
    let holders = vec![MemberId([7; 32]), MemberId([8; 32])];
    let have = Word::Have { holders };
    let rogue = owner(have.clone(), have).await;
    let (host, place) = beside(&rogue).await;
    let mut first = talk(&host, place, true, Duration::from_secs(3600));
    assert_eq!(first.next().await, Turn::Fetch);
    assert_eq!(host.peers.snapshot().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_talks_nonsense_or_nothing_is_passed_over() {
    let rogue = Rogue::start(after_hello(|_, mut stream| async move {
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
        let _ = stream.flush().await;
        std::future::pending::<()>().await;
    }))
    .await;
    let (host, place) = beside(&rogue).await;
    let mut talk = talk(&host, place, true, Duration::from_secs(3600));
    assert_eq!(talk.next().await, Turn::Fetch);
}
