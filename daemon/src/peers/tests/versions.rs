//! Of which versions of a module a host has records: what it tells, and what it takes for an answer.

use futures::AsyncWriteExt;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::limits::{
    NOTE_BYTES_MAX, RECORD_TEXT_BYTES_MAX, VERSIONS_RECORDS_MAX, VERSIONS_TEXT_BYTES_MAX,
};
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::wire::{Answer, VersionRecord, encode};

use super::super::{Haste, ShownVersions, lock, name_of};
use super::host::{DATABASE, Host};
use super::rogue::{Rogue, after_hello, read_frame};

const KEY: KeyHash = KeyHash([1; 32]);

#[tokio::test(flavor = "multi_thread")]
async fn a_host_tells_of_which_versions_of_a_module_it_has_records() {
    let (a, b) = Host::pair().await;
    let (key, other) = (KEY, KeyHash([2; 32]));
    let record = |id: u64| (id, format!("example.com/m v1.{id}.0 h1:..\n"));
    let records = [record(7), record(5)];
    lock(&a.shelf.versions).insert(key, records.to_vec());
    let ask = |database, key| b.peers.versions(database, key, Haste::NobodyElse);
    // Without a head nobody could prove them.
    assert_eq!(ask(DATABASE, key).await, []);
    *lock(&a.shelf.head) = Some((9, "a signed head".into()));
    let expected = ShownVersions {
        peer: a.peers.name(),
        head: "a signed head".into(),
        records: records
            .map(|(id, text)| VersionRecord { id, text })
            .to_vec(),
    };
    assert_eq!(ask(DATABASE, key).await, [expected]);
    assert_eq!(ask(DATABASE, other).await, []);
    assert_eq!(ask(DatabaseId([8; 32]), key).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_versions_of_a_module_as_many_are_told_as_fit_the_best_first() {
    let (a, b) = Host::pair().await;
    *lock(&a.shelf.head) = Some((9, "h".repeat(NOTE_BYTES_MAX)));
    for (bytes, count, told) in [
        (200, 1000, VERSIONS_RECORDS_MAX),
        (1024, 1000, VERSIONS_TEXT_BYTES_MAX / 1024),
        (RECORD_TEXT_BYTES_MAX, 3, 2),
        // What no record may have on the wire is left out.
        (RECORD_TEXT_BYTES_MAX + 1, 3, 0),
    ] {
        let records: Vec<_> = (0..count).map(|id| (id, "t".repeat(bytes))).collect();
        lock(&a.shelf.versions).insert(KEY, records);
        let shown = b.peers.versions(DATABASE, KEY, Haste::NobodyElse).await;
        let records = shown.iter().flat_map(|shown| &shown.records);
        let ids: Vec<_> = records.map(|record| record.id).collect();
        assert_eq!(ids, (0..told as u64).collect::<Vec<_>>(), "{bytes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_records_than_agreed_and_other_answers_are_none_and_the_neighbour_stays() {
    let records = |count| {
        let record = VersionRecord {
            id: 1,
            text: "t\n".to_owned(),
        };
        (String::from("h"), vec![record; count])
    };
    let answer = |count| {
        let (head, records) = records(count);
        encode(&Answer::Versions { head, records }).unwrap()
    };
    let mut too_many = answer(VERSIONS_RECORDS_MAX);
    // The number of records, and one more of four bytes.
    too_many[8] += 1;
    too_many[3] += 4;
    too_many.extend(b"\x01\x02t\n");
    // A host of an earlier release does not know the question.
    let refused = encode(&Answer::Refused).unwrap();
    for (answer, neighbours) in [
        (answer(VERSIONS_RECORDS_MAX), 1),
        (too_many, 0),
        (encode(&Answer::Head(None)).unwrap(), 0),
        (answer(0), 0),
        (refused, 0),
    ] {
        let rogue = Rogue::start(after_hello(move |_, mut stream| {
            let answer = answer.clone();
            async move {
                read_frame(&mut stream).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.close().await;
            }
        }))
        .await;
        let mut host = Host::start(std::slice::from_ref(&rogue.address)).await;
        assert_eq!(host.came().await, name_of(&rogue.id));
        let shown = host.peers.versions(DATABASE, KEY, Haste::NobodyElse).await;
        assert_eq!(shown.len(), neighbours);
        assert_eq!(host.peers.connected(), 1);
    }
}
