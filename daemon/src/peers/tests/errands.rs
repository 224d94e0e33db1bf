//! Hosts beyond the neighbours: asked as owners, named as holders, and let in where there is no room for neighbours.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use libp2p::PeerId;
use modmesh_protocol::lease::{Fetched, MemberId, Road};
use modmesh_protocol::limits::{FILE_BYTES_MAX, NEIGHBOURS_MIN};

use super::super::onlink::socket_of;
use super::super::{About, KeyHash, PeerError, Talk, Turn, name_of, peer_id_of};
use super::host::{Host, config, until};
use super::talk::place_of;

const KEY: KeyHash = KeyHash([9; 32]);

/// A host with the least room for neighbours that calls these.
async fn small(calls: &[&Host]) -> Host {
    let folder = tempfile::tempdir().unwrap();
    let calls: Vec<String> = calls
        .iter()
        .flat_map(|host| host.peers.addresses())
        .collect();
    let mut config = config(&folder, &calls);
    config.neighbours_max = NEIGHBOURS_MIN;
    Host::start_with(folder, config).await.unwrap()
}

fn id_of(host: &Host) -> PeerId {
    peer_id_of(&host.peers.name()).unwrap()
}

fn member_of(host: &Host) -> MemberId {
    MemberId::of(&host.peers.name())
}

fn where_is(host: &Host) -> SocketAddr {
    let address = host.peers.addresses().remove(0);
    socket_of(&address.parse().unwrap()).unwrap()
}

/// Two neighbours at different addresses tell `host` of these.
fn tell(host: &Host, told: impl IntoIterator<Item = (PeerId, SocketAddr)>) {
    let told: Vec<_> = told.into_iter().collect();
    for teller in [[127, 0, 0, 2], [127, 0, 0, 3]] {
        let shared = &host.peers.shared;
        shared.is_told_of(teller.into(), told.clone());
    }
}

/// Hosts that are not there, as many as make the network larger than the room of `host`, which is told of them.
fn strangers(host: &Host) -> Vec<PeerId> {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = unused.local_addr().unwrap();
    let strangers: Vec<PeerId> = (0..NEIGHBOURS_MIN).map(|_| PeerId::random()).collect();
    tell(host, strangers.iter().map(|peer| (*peer, nowhere)));
    strangers
}

fn talk(host: &Host, place: KeyHash) -> Talk {
    let about = About {
        key: KEY,
        place,
        bytes_max: FILE_BYTES_MAX,
        can_fetch: true,
        so_far: Arc::default(),
    };
    host.peers.talk(about, Road::default).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_beyond_the_neighbours_is_called_and_holders_are_found_so_too() {
    let between = small(&[]).await;
    let (mut a, mut b) = (small(&[&between]).await, small(&[&between]).await);
    a.came().await;
    b.came().await;
    let strangers = strangers(&a);
    tell(&a, [(id_of(&b), where_is(&b))]);
    assert_eq!((a.peers.connected(), a.peers.beyond()), (1, 5));

    let mut others = vec![member_of(&a), member_of(&between)];
    others.extend(strangers.iter().map(|peer| MemberId::of(&name_of(peer))));
    let place = place_of(member_of(&b), &others);
    assert_eq!(a.peers.owners(&place)[0].peer_id, b.peers.name());
    let mut first = talk(&a, place);
    assert_eq!(first.next().await, Turn::Fetch);
    assert_eq!(b.peers.leases().granted, 1);
    // It is no neighbour on either side, and is told of to nobody.
    for host in [&a, &b] {
        let caps = host.peers.limits().caps;
        let used = |what: &str| caps.iter().find(|cap| cap.what == what).unwrap().used;
        assert_eq!((used("neighbours"), used("errands")), (1, 1));
        assert_eq!(host.peers.connected(), 1);
    }
    // People see each as what it is.
    for (host, other) in [(&a, &b), (&b, &a)] {
        let shown = |peer: &Host| {
            let all = host.peers.snapshot().into_iter();
            let name = peer.peers.name();
            let mut its = all.filter(|status| status.peer_id == name);
            let status = its.next().unwrap();
            (status.connected, status.on_errand)
        };
        until("it is on an errand", || shown(other) == (false, true)).await;
        assert_eq!(shown(&between), (true, false));
    }
    let mut second = talk(&b, place);
    until("it waits", || b.peers.leases().waiting == 1).await;
    first.end(Fetched::Here).await;
    assert_eq!(second.next().await, Turn::Take(vec![a.peers.name()]));
    // The one that was here can be asked for what it has by its name.
    let (key, blob) = a.put(9, b"what was fetched");
    let mut bytes = Vec::new();
    let fetched = b
        .peers
        .fetch(
            &a.peers.name(),
            key,
            1 << 20,
            super::super::Haste::NobodyElse,
            &mut bytes,
        )
        .await;
    assert_eq!(fetched.unwrap().0, blob);
    second.taken(true).await;
    until("all is over", || b.peers.leases() == Default::default()).await;
    // The owner remembers who has it.
    let third = talk(&a, place).next().await;
    assert!(matches!(third, Turn::Take(_)), "{third:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_not_where_it_was_said_to_be_is_passed_over() {
    let between = small(&[]).await;
    let mut a = small(&[&between]).await;
    a.came().await;
    let strangers = strangers(&a);
    let mut ids: Vec<MemberId> = strangers
        .iter()
        .map(|peer| MemberId::of(&name_of(peer)))
        .collect();
    ids.extend([member_of(&a), member_of(&between)]);
    let place = place_of(ids[0], &ids[1..]);
    let mut turn = talk(&a, place);
    assert_eq!(turn.next().await, Turn::Fetch);
    // Nobody is there to be asked but the neighbour; those that were called in vain are not called again.
    let called = NEIGHBOURS_MIN - a.peers.beyond();
    assert!(called > 0, "{called}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_house_turns_neighbours_away_and_lets_errands_in() {
    let mut house = small(&[]).await;
    let mut inside = Vec::new();
    for _ in 0..NEIGHBOURS_MIN {
        let mut host = small(&[&house]).await;
        assert_eq!(host.came().await, house.peers.name());
        house.came().await;
        inside.push(host);
    }
    let late = small(&[&house, &inside[0]]).await;
    until("it is turned away", || {
        let peers = late.peers.snapshot();
        let house = peers.iter().find(|peer| peer.peer_id == house.peers.name());
        house.is_some_and(|house| house.last_error.is_some())
    })
    .await;
    until("it has one neighbour", || late.peers.connected() == 1).await;
    assert_eq!(house.peers.connected(), NEIGHBOURS_MIN);
    strangers(&late);
    tell(&late, [(id_of(&house), where_is(&house))]);
    let errand = super::super::errands::call_on(&late.peers.shared, id_of(&house)).await;
    assert!(errand.unwrap().is_some());
    assert_eq!(house.peers.connected(), NEIGHBOURS_MIN);
    assert_eq!(late.peers.connected(), 1);
    tokio::time::timeout(
        Duration::from_secs(10),
        house.peers.stop(Duration::from_secs(5)),
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_be_made_fails_at_once_and_who_is_on_no_link_is_forgotten() {
    let between = small(&[]).await;
    let mut a = small(&[&between]).await;
    a.came().await;
    let strangers = strangers(&a);
    // Of a network that this host was in before.
    let elsewhere: SocketAddr = "203.0.113.9:1".parse().unwrap();
    let gone: Vec<PeerId> = (0..3).map(|_| PeerId::random()).collect();
    tell(&a, gone.iter().map(|peer| (*peer, elsewhere)));
    let shared = &a.peers.shared;
    assert!(shared.where_is(&gone[0]).is_some());
    let called = super::super::errands::call_on(shared, gone[0]).await;
    assert!(matches!(called, Err(PeerError::Gone)), "{called:?}");
    // Those that are on a link may have been called in vain by now, and are known all the same.
    let is_known = |peer: &PeerId| {
        let now = shared.up_since.elapsed();
        let acquaintances = shared.acquaintances.lock().unwrap();
        acquaintances.all(now).any(|one| one.peer == *peer)
    };
    until("those off the links are forgotten", || {
        !gone.iter().any(is_known)
    })
    .await;
    assert!(strangers.iter().all(is_known));
}
