//! Liars and strangers.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncWriteExt, FutureExt};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::limits::EVIDENCE_RING_BYTES_MAX;

use super::super::streams::Purpose;
use super::super::{Haste, Lie, PeerError, lock, name_of};
use super::host::{DATABASE, Host, until};
use super::rogue::{Rogue, after_hello, read_frame};

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_is_put_out_and_its_words_are_kept() {
    let rogue = Rogue::start(after_hello(|_, stream| async move { drop(stream) })).await;
    let mut host = Host::start(std::slice::from_ref(&rogue.address)).await;
    let liar = host.came().await;
    lock(&host.peers.shared.directory).announce(&liar, [KeyHash([1; 32])]);
    let lie = Lie {
        what: "the h1 of example.com/m v1.0.0 differs".into(),
        evidence: vec![0xab; 100_000],
    };
    host.peers.blame(&liar, lie);
    assert_eq!(host.peers.connected(), 0);
    assert_eq!(host.went().await, liar);
    assert_eq!(lock(&host.peers.shared.directory).keys(), 0);
    let asked = host.peers.head(&liar, DATABASE).await;
    assert!(matches!(asked, Err(PeerError::Gone)));
    until("the evidence is written", || {
        let status = host.peers.snapshot().remove(0);
        let file = status.evidence[0].file.clone();
        file.is_some_and(|file| fs::metadata(file).is_ok_and(|m| m.len() > 60_000))
    })
    .await;
    let status = host.peers.snapshot().remove(0);
    assert_eq!(status.peer_id, liar);
    assert!(status.banned_until.is_some());
    assert!(status.evidence[0].what.contains("example.com/m"));

    // It calls again, and the door stays shut.
    rogue.call_until_refused(&host.peers.addresses()[0]).await;
    assert_eq!(host.peers.connected(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_evidence_of_many_lies_stays_within_its_ring() {
    let (a, mut b) = Host::pair().await;
    let name = a.peers.name();
    for lie in 0..300 {
        let what = format!("lie {lie}");
        let evidence = vec![1; 64 * 1024];
        b.peers.blame(&name, Lie { what, evidence });
    }
    assert_eq!(b.went().await, name);
    let folder = b.folder.path().join("evidence");
    let sizes = || -> Vec<u64> {
        let files = fs::read_dir(&folder).into_iter().flatten().flatten();
        files
            .filter_map(|f| Some(f.metadata().ok()?.len()))
            .collect()
    };
    until("the last lie is written", || {
        let status = b.peers.snapshot().remove(0);
        let whole = sizes().iter().all(|size| *size > 64 * 1024);
        whole && status.evidence.len() == 16 && status.evidence.iter().all(|e| e.file.is_some())
    })
    .await;
    let bytes: u64 = sizes().iter().sum();
    assert!(bytes <= EVIDENCE_RING_BYTES_MAX, "{bytes}");
    assert!(bytes > EVIDENCE_RING_BYTES_MAX / 2, "{bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_of_another_wire_version_is_refused() {
    let rogue = Rogue::start(Arc::new(|purpose, mut stream| {
        async move {
            assert_eq!(purpose, Purpose::Hello);
            read_frame(&mut stream).await;
            stream
                .write_all(b"\x00\x00\x00\x04\x02\x00\x00\x00\x00")
                .await
                .unwrap();
            let _ = stream.close().await;
        }
        .boxed()
    }))
    .await;
    let host = Host::start(std::slice::from_ref(&rogue.address)).await;
    let name = name_of(&rogue.id);
    until("the refusal is on record", || {
        let known = host
            .peers
            .snapshot()
            .into_iter()
            .find(|p| p.peer_id == name);
        let error = known.and_then(|p| p.last_error).unwrap_or_default();
        error.contains("wire version 2")
    })
    .await;
    assert_eq!(host.peers.connected(), 0);
    let asked = host
        .peers
        .locate(Some(KeyHash([1; 32])), None, Haste::NobodyElse)
        .await;
    assert_eq!(asked, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_no_hello_is_put_out() {
    let rogue = Rogue::start(after_hello(|_, stream| async move { drop(stream) })).await;
    let host = Host::start(&[]).await;
    let address = host.peers.addresses().remove(0);
    let refused = rogue.call_until_refused(&address);
    tokio::time::timeout(Duration::from_secs(15), refused)
        .await
        .unwrap();
    let status = host.peers.snapshot().remove(0);
    assert!(status.last_error.unwrap().contains("no hello"));
}
