//! Who is asked, where there are more neighbours than are asked at once.

use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::limits::ASKED_AT_ONCE_MAX;

use super::super::{Haste, lock};
use super::host::{DATABASE, Host, until};

const NEIGHBOURS: u8 = 20;

/// The record that the neighbour with this number has alone, and a file that goes with it.
fn record(number: u8) -> KeyHash {
    KeyHash([number; 32])
}

fn akin(number: u8) -> KeyHash {
    KeyHash([100 + number; 32])
}

/// A host with more neighbours than are asked at once.
async fn crowd() -> (Host, Vec<Host>) {
    assert!(usize::from(NEIGHBOURS) > ASKED_AT_ONCE_MAX);
    let (mut neighbours, mut addresses) = (Vec::new(), Vec::new());
    for number in 0..NEIGHBOURS {
        let neighbour = Host::start(&[]).await;
        let held = (u64::from(number), "a record".to_owned());
        lock(&neighbour.shelf.records).insert(record(number), held);
        *lock(&neighbour.shelf.head) = Some((100, "a head".to_owned()));
        addresses.extend(neighbour.peers.addresses());
        neighbours.push(neighbour);
    }
    let host = Host::start(&addresses).await;
    let all = usize::from(NEIGHBOURS);
    until("all are neighbours", || host.peers.connected() == all).await;
    (host, neighbours)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_neighbours_all_are_asked_where_nobody_else_can_be() {
    let (host, neighbours) = crowd().await;
    for (number, neighbour) in neighbours.iter().enumerate() {
        let key = record(number as u8);
        let found = host
            .peers
            .locate(None, Some((DATABASE, key)), Haste::NobodyElse)
            .await;
        let holders: Vec<_> = found.into_iter().map(|located| located.peer).collect();
        assert_eq!(holders, [neighbour.peers.name()], "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_neighbours_those_that_announced_a_file_are_asked_for_its_record() {
    let (host, neighbours) = crowd().await;
    let directory = &host.peers.shared.directory;
    for (number, neighbour) in neighbours.iter().enumerate() {
        let name = neighbour.peers.name();
        lock(directory).announce(&name, [akin(number as u8)]);
    }
    for (number, neighbour) in neighbours.iter().enumerate() {
        let (key, akin) = (record(number as u8), [akin(number as u8)]);
        let found = host
            .peers
            .locate_record(DATABASE, key, &akin, Haste::OthersWait)
            .await;
        let holders: Vec<_> = found.into_iter().map(|located| located.peer).collect();
        assert_eq!(holders, [neighbour.peers.name()], "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_is_fetched_for_all_every_neighbour_is_asked_for_a_file_that_nobody_announced() {
    let (host, neighbours) = crowd().await;
    for (number, neighbour) in neighbours.iter().enumerate() {
        let (key, _) = neighbour.put(number as u8, b"a file");
        let everybody = || host.peers.survey_everybody(key);
        let mut survey = everybody().await.unwrap();
        // A machine that is busy with other things may need more than the moment that they have.
        for _ in 0..20 {
            if survey.found.is_empty() {
                survey = everybody().await.unwrap();
            }
        }
        let holders: Vec<_> = survey.found.iter().map(|located| &located.peer).collect();
        assert_eq!(holders, [&neighbour.peers.name()], "{number}");
        // Who has the file has its record, and is asked for it first.
        let directory = &host.peers.shared.directory;
        assert_eq!(lock(directory).holders(&key), [neighbour.peers.name()]);
    }
    let (alone, other) = Host::pair().await;
    let (key, _) = other.put(1, b"a file");
    assert!(alone.peers.survey_everybody(key).await.is_none());
}
