//! What neighbours do for each other when all is well.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::control::{FoundBy, UnreachedPeer};
use modmesh_protocol::digest::BlobId;
use modmesh_protocol::wire::RecordAnswer;

use super::super::{Haste, Located, NeighbourEvent, PeersError, lock};
use super::host::{DATABASE, Heard, Host, SOON, config, until};
use crate::can_listen;
use crate::os::unheard::Unheard;

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_meet_and_find_each_others_files_and_records() {
    let (a, b) = Host::pair().await;
    let (key, blob) = a.put(1, b"a module");
    let record_key = KeyHash([2; 32]);
    let text = "example.com/m v1.0.0 h1:..\n".to_owned();
    lock(&a.shelf.records).insert(record_key, (5, text.clone()));
    *lock(&a.shelf.head) = Some((9, "a signed head".into()));

    let record = Some((DATABASE, record_key));
    let found = b.peers.locate(Some(key), record, Haste::NobodyElse).await;
    let expected = Located {
        peer: a.peers.name(),
        file: Some((blob, 8)),
        record: Some(RecordAnswer {
            id: 5,
            text,
            head: "a signed head".into(),
        }),
    };
    assert_eq!(found, [expected]);
    let nothing = b
        .peers
        .locate(Some(KeyHash([9; 32])), None, Haste::NobodyElse)
        .await;
    assert_eq!(nothing, []);
    assert_eq!(
        b.peers
            .head(&a.peers.name(), DATABASE)
            .await
            .unwrap()
            .unwrap(),
        "a signed head"
    );

    let (at_a, at_b) = (a.peers.snapshot().remove(0), b.peers.snapshot().remove(0));
    assert_eq!(
        (at_a.found_by, at_b.found_by),
        (FoundBy::Inbound, FoundBy::Static)
    );
    assert!(at_a.connected && at_a.sent_bytes > 0 && at_b.received_bytes > 0);
    assert_eq!((a.peers.connected(), b.peers.connected()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_arrives_whole() {
    let (a, b) = Host::pair().await;
    let bytes: Vec<u8> = (0..50_000_000u32).map(|i| (i * 31 / 7) as u8).collect();
    let (key, blob) = a.put(1, &bytes);
    let mut got = Vec::new();
    let fetched = b
        .peers
        .fetch(&a.peers.name(), key, 1 << 30, Haste::NobodyElse, &mut got)
        .await;
    assert_eq!(fetched.unwrap(), (blob, 50_000_000));
    assert_eq!(BlobId::of(&got), blob);
    let (empty_key, empty) = a.put(2, b"");
    let mut got = Vec::new();
    let fetched = b
        .peers
        .fetch(&a.peers.name(), empty_key, 0, Haste::NobodyElse, &mut got)
        .await;
    assert_eq!((fetched.unwrap(), got.len()), ((empty, 0), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_come_in_order_and_only_when_wide_enough() {
    let (a, b) = Host::pair().await;
    for index in 0..100u64 {
        let width = if index == 99 { 10 } else { 256 };
        let tile = (width, vec![index as u8; usize::from(width) * 32]);
        lock(&a.shelf.tiles).insert((0, index), tile);
    }
    let mut asked: Vec<_> = (0..100).map(|index| (0, index, 256)).collect();
    asked.extend([(0, 99, 10), (0, 99, 3), (1, 0, 1)]);
    let tiles = b
        .peers
        .tiles(&a.peers.name(), DATABASE, &asked)
        .await
        .unwrap();
    assert_eq!(tiles.len(), asked.len());
    for (index, tile) in tiles[..99].iter().enumerate() {
        assert_eq!(tile.as_ref().unwrap(), &(256, vec![index as u8; 8192]));
    }
    assert_eq!(tiles[99], None);
    assert_eq!(tiles[100].as_ref().unwrap().0, 10);
    assert_eq!(tiles[101].as_ref().unwrap().0, 10);
    assert_eq!(tiles[102], None);
    assert_eq!(
        b.peers.tiles(&a.peers.name(), DATABASE, &[]).await.unwrap(),
        []
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn announcements_reach_the_directory_and_heads_the_listener_of_the_other() {
    let (a, mut b) = Host::pair().await;
    let key = KeyHash([3; 32]);
    let name = a.peers.name();
    // Gossip needs a moment to learn who listens; until then an announcement goes to nobody, as it may.
    let directory = &b.peers.shared.directory;
    let mut n = 0u32;
    until("the announcement is in the directory", || {
        n += 1;
        let mut other = [0; 32];
        other[..4].copy_from_slice(&n.to_be_bytes());
        a.peers.announce(vec![key, KeyHash(other)]);
        lock(directory).holders(&key) == std::slice::from_ref(&name)
    })
    .await;
    a.peers.announce_head(DATABASE, "a new head".into());
    let head = Heard::Head(name, DATABASE, "a new head".into());
    assert_eq!(b.next().await, head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_head_is_asked_for_at_the_hello() {
    let a = Host::start(&[]).await;
    *lock(&a.shelf.head) = Some((100, "the head of a hundred".into()));
    let mut b = Host::start(&a.peers.addresses()).await;
    b.came().await;
    let note = "the head of a hundred".to_owned();
    assert_eq!(b.next().await, Heard::Head(a.peers.name(), DATABASE, note));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_restarts_is_found_again_under_its_name() {
    let mut a = Host::start(&[]).await;
    let (mut b, folder) = {
        let b = Host::start(&a.peers.addresses()).await;
        (b.peers, b.folder)
    };
    let name = a.came().await;
    assert_eq!(name, b.name());
    b.stop(SOON).await;
    assert_eq!(a.went().await, name);
    assert_eq!(a.peers.connected(), 0);
    let again = config(&folder, &a.peers.addresses());
    let again = Host::start_with(folder, again).await.unwrap();
    b = again.peers.clone();
    assert_eq!(b.name(), name);
    assert_eq!(a.came().await, name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_peer_that_comes_late_is_called_again() {
    let folder = tempfile::tempdir().unwrap();
    let unheard = Unheard::new();
    let port = unheard.address().port();
    let address = format!("/ip4/127.0.0.1/tcp/{port}");
    let mut a = Host::start(std::slice::from_ref(&address)).await;
    until("the first call fails", || !a.peers.unreached().is_empty()).await;
    let unreached = UnreachedPeer {
        address,
        reason: "connection refused".into(),
    };
    assert_eq!(a.peers.unreached(), std::slice::from_ref(&unreached));
    let mut late = config(&folder, &[]);
    late.listen = vec![([127, 0, 0, 1], port).into()];
    let mut b = Host::start_with(folder, late).await.unwrap();
    assert_eq!(a.came().await, b.peers.name());
    assert_eq!(b.came().await, a.peers.name());
    assert_eq!(a.peers.unreached(), []);
    // It leaves, and is missed again.
    b.peers.stop(SOON).await;
    until("the call after that fails", || {
        a.peers.unreached() == std::slice::from_ref(&unreached)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_families_have_the_same_port() {
    let everywhere = |ip: &str, port| SocketAddr::new(ip.parse().unwrap(), port);
    if can_listen(everywhere("::1", 0)).is_err() {
        return;
    }
    let unheard = Unheard::at(everywhere("0.0.0.0", 0)).unwrap();
    let port = unheard.address().port();
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder, &[]);
    config.listen = vec![everywhere("0.0.0.0", port), everywhere("::", port)];
    let host = Host::start_with(folder, config).await.unwrap();
    let addresses = host.peers.addresses();
    for family in ["/ip4/", "/ip6/"] {
        let of_family = addresses.iter().filter(|one| one.starts_with(family));
        let ports: Vec<&String> = of_family.collect();
        let is_right = |one: &&String| one.contains(&format!("/tcp/{port}/"));
        assert!(
            !ports.is_empty() && ports.iter().all(is_right),
            "{addresses:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_host_does_not_have_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder, &[]);
    // For documentation (RFC 5737).
    config.listen = vec!["192.0.2.1:4000".parse().unwrap()];
    let error = Host::start_with(folder, config).await.err().unwrap();
    let text = error.to_string();
    assert!(text.contains("has no such address"), "{text}");
    assert!(!text.contains("stop what uses it"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_call_each_other_and_themselves_stay_neighbours() {
    let unheard = [Unheard::new(), Unheard::new(), Unheard::new()];
    let ports = unheard.each_ref().map(|spot| spot.address().port());
    let everybody: Vec<String> = ports
        .iter()
        .map(|p| format!("/ip4/127.0.0.1/tcp/{p}"))
        .collect();
    let mut hosts = Vec::new();
    for port in &ports {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&folder, &everybody);
        config.listen = vec![([127, 0, 0, 1], *port).into()];
        hosts.push(Host::start_with(folder, config).await.unwrap());
    }
    until("everybody knows everybody", || {
        hosts.iter().all(|host| host.peers.connected() == 2)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_port_is_an_error_when_asked_for_and_another_one_else() {
    let unheard = Unheard::new();
    let taken = unheard.address();
    let _first = {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&folder, &[]);
        config.listen = vec![taken];
        Host::start_with(folder, config).await.unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder, &[]);
    config.listen = vec![taken];
    let asked = Host::start_with(tempfile::tempdir().unwrap(), config.clone()).await;
    let error = asked.err().unwrap();
    assert!(matches!(error, PeersError::Listen { .. }));
    assert!(error.to_string().contains("--peer-listen"), "{error}");
    config.listen_asked = false;
    let other = Host::start_with(folder, config).await.unwrap();
    assert_eq!(other.peers.port_in_use(), Some(taken.port()));
    let addresses = other.peers.addresses();
    assert_eq!(addresses.len(), 1);
    assert!(
        !addresses[0].contains(&format!("/{}/", taken.port())),
        "{addresses:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_connections_in_time_and_tells_the_other_side() {
    let (a, mut b) = Host::pair().await;
    let (started, most) = (Instant::now(), Duration::from_secs(20));
    a.peers.stop(most).await;
    assert!(started.elapsed() < most / 2, "{:?}", started.elapsed());
    assert_eq!(b.went().await, a.peers.name());
    let event = NeighbourEvent::Went {
        peer: a.peers.name(),
    };
    assert_ne!(b.heard.try_recv().ok(), Some(Heard::Neighbour(event)));
    let gone = a.peers.head(&b.peers.name(), DATABASE).await;
    assert!(gone.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_on_its_way_is_finished_before_the_stop() {
    let (a, b) = Host::pair().await;
    let (key, blob) = a.put(1, &vec![5; 30_000_000]);
    let a = Arc::new(a);
    let (mut sink, source) = tokio::io::duplex(1 << 16);
    let name = a.peers.name();
    let fetching = tokio::spawn(async move {
        let fetched = b
            .peers
            .fetch(&name, key, u64::MAX, Haste::NobodyElse, &mut sink)
            .await;
        (fetched, b)
    });
    let mut source = source;
    let mut first = [0; 1];
    tokio::io::AsyncReadExt::read_exact(&mut source, &mut first)
        .await
        .unwrap();
    let stopping = {
        let a = Arc::clone(&a);
        tokio::spawn(async move { a.peers.stop(SOON).await })
    };
    let mut rest = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut source, &mut rest)
        .await
        .unwrap();
    assert_eq!(rest.len(), 29_999_999);
    assert_eq!(fetching.await.unwrap().0.unwrap(), (blob, 30_000_000));
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_given_by_name_is_looked_up_and_called() {
    let called = Host::start(&[]).await;
    let address = called.peers.addresses()[0].replace("/ip4/127.0.0.1/", "/dns4/localhost/");
    let mut calling = Host::start(&[address]).await;
    assert_eq!(calling.came().await, called.peers.name());
    assert_eq!(calling.peers.snapshot()[0].found_by, FoundBy::Static);
    let nowhere = Host::start(&["/dns/nobody.invalid/tcp/8485".to_owned()]).await;
    until("it is said", || !nowhere.peers.unreached().is_empty()).await;
    let unreached = &nowhere.peers.unreached()[0];
    assert_eq!(unreached.address, "/dns/nobody.invalid/tcp/8485");
    assert!(unreached.reason.contains("looked up"), "{unreached:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_of_an_earlier_run_is_called() {
    let other = Host::start(&[]).await;
    let address = other.peers.addresses()[0].clone();
    let (address, name) = address.split_once("/p2p/").unwrap();
    let seen = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seen = seen.as_secs();
    let file =
        format!(r#"{{"hosts":[{{"peer":"{name}","addresses":["{address}"],"seen":{seen}}}]}}"#);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("neighbours"), file).unwrap();
    let mut config = config(&folder, &[]);
    config.mdns = true;
    let mut host = Host::start_with(folder, config).await.unwrap();
    assert_eq!(host.came().await, other.peers.name());
    assert_eq!(host.peers.snapshot()[0].found_by, FoundBy::Remembered);
    host.peers.stop(SOON).await;
    let kept = std::fs::read_to_string(host.folder.path().join("neighbours")).unwrap();
    assert!(kept.contains(name), "{kept}");
}

/// Needs an interface with multicast, which a test machine may not have. A namespace with one will do:
/// `unshare -rn sh -c 'ip link add v0 type veth peer name v1; ip addr add 10.99.0.1/24 dev v0; ip link set v0 up; ip link
/// set v1 up; ip link set lo up; cargo test -p modmesh-daemon multicast -- --ignored'`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an interface with multicast"]
async fn hosts_find_each_other_by_multicast_dns() {
    let found = |host: &Host| host.peers.snapshot().first().map(|peer| peer.found_by);
    let mut hosts = Vec::new();
    for _ in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&folder, &[]);
        config.listen = vec!["0.0.0.0:0".parse().unwrap()];
        config.mdns = true;
        hosts.push(Host::start_with(folder, config).await.unwrap());
    }
    for host in &mut hosts {
        host.came().await;
        until("it is known how", || found(host) == Some(FoundBy::Mdns)).await;
    }
}

/// A measurement: `cargo test --release -p modmesh-daemon throughput -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)]
async fn throughput_of_one_large_file() {
    let (a, b) = Host::pair().await;
    let bytes: Vec<u8> = (0..200_000_000u32).map(|i| (i * 31 / 7) as u8).collect();
    let (key, _) = a.put(1, &bytes);
    for _ in 0..5 {
        let started = Instant::now();
        let mut sink = tokio::io::sink();
        b.peers
            .fetch(&a.peers.name(), key, u64::MAX, Haste::NobodyElse, &mut sink)
            .await
            .unwrap();
        let seconds = started.elapsed().as_secs_f64();
        println!("200 MB in {seconds:.3} s: {:.0} MB/s", 200.0 / seconds);
    }
    let (small, _) = a.put(2, b"module example.com/m");
    let started = Instant::now();
    for _ in 0..1000 {
        let mut sink = tokio::io::sink();
        b.peers
            .fetch(&a.peers.name(), small, 1000, Haste::NobodyElse, &mut sink)
            .await
            .unwrap();
    }
    println!("a small file: {:?}", started.elapsed() / 1000);
    let started = Instant::now();
    for _ in 0..1000 {
        b.peers.locate(Some(small), None, Haste::NobodyElse).await;
    }
    println!("a search: {:?}", started.elapsed() / 1000);
}
