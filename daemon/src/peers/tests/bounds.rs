//! What a host does at its bounds, and what a bad neighbour costs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{AsyncReadExt, AsyncWriteExt};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::limits::{ASKED_FILES_PER_PEER_MAX, SERVED_STREAMS_PER_PEER_MAX};
use modmesh_protocol::wire::{
    Answer, FileAnswer, FileRequest, FileSummary, Query, TileBytes, encode,
};

use super::super::streams::Purpose;
use super::super::{Haste, PeerError, name_of, peer_id_of};
use super::host::{DATABASE, Host, until};
use super::rogue::{Rogue, after_hello, read_frame};

const KEY: KeyHash = KeyHash([1; 32]);

/// A host with a rogue for a neighbour.
async fn beside(rogue: &Rogue) -> Host {
    let mut host = Host::start(std::slice::from_ref(&rogue.address)).await;
    assert_eq!(host.came().await, name_of(&rogue.id));
    host
}

/// What fetching from a rogue comes to that promises `length` bytes, sends `sent` and then ends or holds the stream.
async fn fetch_from_rogue(
    length: u64,
    sent: usize,
    ends: bool,
) -> (PeerError, Duration, (Host, Rogue)) {
    let rogue = Rogue::start(after_hello(move |_, mut stream| async move {
        read_frame(&mut stream).await;
        let here = FileAnswer::Here {
            blob: [0; 32],
            length,
        };
        stream.write_all(&encode(&here).unwrap()).await.unwrap();
        let _ = stream.write_all(&vec![7; sent]).await;
        let _ = stream.flush().await;
        if ends {
            let _ = stream.close().await;
        } else {
            std::future::pending::<()>().await;
        }
    }))
    .await;
    let host = beside(&rogue).await;
    let started = Instant::now();
    let name = name_of(&rogue.id);
    let fetched = host
        .peers
        .fetch(
            &name,
            KEY,
            1 << 20,
            Haste::NobodyElse,
            &mut tokio::io::sink(),
        )
        .await;
    (fetched.unwrap_err(), started.elapsed(), (host, rogue))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_stalls_costs_two_seconds() {
    let (error, time, (host, _rogue)) = fetch_from_rogue(500_000, 100_000, false).await;
    assert!(matches!(error, PeerError::Stalled), "{error}");
    assert!(
        time > Duration::from_millis(1900) && time < Duration::from_secs(4),
        "{time:?}"
    );
    let status = host.peers.snapshot().remove(0);
    assert!(status.last_error.unwrap().contains("two seconds"));
    assert!(status.connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_drips_is_left_as_well() {
    let rogue = Rogue::start(after_hello(|_, mut stream| async move {
        read_frame(&mut stream).await;
        let here = FileAnswer::Here {
            blob: [0; 32],
            length: 1 << 20,
        };
        stream.write_all(&encode(&here).unwrap()).await.unwrap();
        while stream.write_all(b"x").await.is_ok() && stream.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }))
    .await;
    let host = beside(&rogue).await;
    let started = Instant::now();
    let name = name_of(&rogue.id);
    let fetched = host
        .peers
        .fetch(
            &name,
            KEY,
            1 << 20,
            Haste::NobodyElse,
            &mut tokio::io::sink(),
        )
        .await;
    assert!(matches!(fetched, Err(PeerError::Stalled)), "{fetched:?}");
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promised_length_that_is_not_met_is_an_error() {
    let (error, _, _both) = fetch_from_rogue(500_000, 100_000, true).await;
    assert!(
        matches!(
            error,
            PeerError::Short {
                received: 100_000,
                promised: 500_000
            }
        ),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_large_is_not_taken() {
    let (error, _, (host, _rogue)) = fetch_from_rogue((1 << 20) + 1, 0, true).await;
    assert!(matches!(error, PeerError::TooLarge { .. }), "{error}");
    assert!(host.peers.snapshot()[0].received_bytes < 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_no_answers_are_errors() {
    let answers = [
        b"\x00\x00\x00\x01\x01\x63".to_vec(),
        b"\xff\xff\xff\xff\x01".to_vec(),
        encode(&Answer::Head(None)).unwrap(),
        encode(&Answer::Tiles(vec![])).unwrap(),
        encode(&Answer::Tiles(vec![Some(TileBytes {
            width: 2,
            bytes: vec![0; 63],
        })]))
        .unwrap(),
        encode(&Answer::Refused).unwrap(),
    ];
    for answer in answers {
        let bytes = answer.clone();
        let rogue = Rogue::start(after_hello(move |_, mut stream| {
            let bytes = bytes.clone();
            async move {
                read_frame(&mut stream).await;
                stream.write_all(&bytes).await.unwrap();
                let _ = stream.close().await;
            }
        }))
        .await;
        let host = beside(&rogue).await;
        let name = name_of(&rogue.id);
        let tiles = host.peers.tiles(&name, DATABASE, &[(0, 0, 2)]).await;
        let formal = matches!(
            tiles,
            Err(PeerError::Message(_) | PeerError::Protocol(_) | PeerError::Refused)
        );
        assert!(formal, "{answer:?}: {tiles:?}");
        assert_eq!(
            host.peers.locate(Some(KEY), None, Haste::NobodyElse).await,
            []
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_128_fetches_at_once_each_gets_its_file() {
    let (a, b) = Host::pair().await;
    let (key, _) = a.put(1, &vec![9; 300_000]);
    let name = a.peers.name();
    let fetch = |_| async {
        let mut got = Vec::new();
        let fetched = b
            .peers
            .fetch(&name, key, u64::MAX, Haste::NobodyElse, &mut got)
            .await;
        fetched.map(|(_, length)| length == got.len() as u64)
    };
    let outcomes = join_all((0..128).map(fetch)).await;
    assert!(
        outcomes.iter().all(|o| matches!(o, Ok(true))),
        "{outcomes:?}"
    );
    assert_eq!(b.peers.connected(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fetches_behind_files_that_do_not_move_are_given_up() {
    let (a, b) = Host::pair().await;
    let (key, _) = a.put(1, b"a file");
    let name = a.peers.name();
    a.shelf.gate.shut();
    let fetch = |_| async {
        let mut sink = tokio::io::sink();
        b.peers
            .fetch(&name, key, u64::MAX, Haste::NobodyElse, &mut sink)
            .await
    };
    let outcomes = join_all((0..20).map(fetch)).await;
    a.shelf.gate.open();
    let stalled = outcomes
        .iter()
        .filter(|o| matches!(o, Err(PeerError::Stalled)));
    assert!(stalled.count() >= ASKED_FILES_PER_PEER_MAX, "{outcomes:?}");
    let others = |o: &&Result<_, _>| !matches!(o, Err(PeerError::Stalled | PeerError::LanesFull));
    assert_eq!(outcomes.iter().filter(others).count(), 0, "{outcomes:?}");
    until("all places are free again", || {
        a.peers.shared.counter.is_idle()
    })
    .await;
    assert!(fetch(0).await.is_ok());
}

/// What `count` streams get that a rogue opens at once, in which each asks `question` as far as it is let.
async fn flood(purpose: Purpose, question: Vec<u8>, count: usize) -> Vec<Option<u8>> {
    let rogue = Rogue::start(after_hello(|_, stream| async move { drop(stream) })).await;
    let host = beside(&rogue).await;
    host.put(1, b"a file");
    host.shelf.gate.shut();
    let id = peer_id_of(&host.peers.name()).unwrap();
    let answered = AtomicUsize::new(0);
    let ask = |_| async {
        let mut stream = rogue.open(id, purpose).await.ok()?;
        let _ = stream.write_all(&question).await;
        let _ = stream.flush().await;
        let payload = read_frame(&mut stream).await;
        // All that are not served have been told so: those that are served may go on.
        if answered.fetch_add(1, Ordering::Relaxed) + 1 == count - SERVED_STREAMS_PER_PEER_MAX {
            host.shelf.gate.open();
        }
        payload.first().copied()
    };
    let answers = join_all((0..count).map(ask)).await;
    assert_eq!(host.peers.connected(), 1);
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_streams_is_answered_or_told_busy_stream_by_stream() {
    let locate = Query::Locate {
        file: Some(KEY.0),
        record: None,
    };
    let request = FileRequest::Whole { file: KEY.0 };
    for (purpose, question, (answered, busy)) in [
        (Purpose::Query, encode(&locate).unwrap(), (0, 3)),
        (Purpose::File, encode(&request).unwrap(), (0, 2)),
    ] {
        for _ in 0..3 {
            // One below the number of pending opens that the rogue's own half allows.
            let answers = flood(purpose, question.clone(), 63).await;
            let of = |variant| answers.iter().filter(|a| **a == Some(variant)).count();
            assert_eq!(of(answered), SERVED_STREAMS_PER_PEER_MAX, "{answers:?}");
            assert_eq!(of(busy), 63 - SERVED_STREAMS_PER_PEER_MAX, "{answers:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_this_release_does_not_know_are_refused() {
    let rogue = Rogue::start(after_hello(|_, stream| async move { drop(stream) })).await;
    let host = beside(&rogue).await;
    let id = peer_id_of(&host.peers.name()).unwrap();
    let mut trailing = encode(&Query::Head { database: [0; 32] }).unwrap();
    trailing.push(0);
    trailing[3] += 1;
    let frames = [
        b"\x00\x00\x00\x01\x01\x63".to_vec(),
        b"\x00\x00\x00\x01\x02\x00".to_vec(),
        b"\x7f\x00\x00\x00\x01".to_vec(),
        trailing,
    ];
    for frame in frames {
        for (purpose, refused) in [
            (Purpose::Query, encode(&Answer::Refused).unwrap()),
            (Purpose::File, encode(&FileAnswer::Refused).unwrap()),
        ] {
            let mut stream = rogue.open(id, purpose).await.unwrap();
            stream.write_all(&frame).await.unwrap();
            stream.flush().await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, refused, "{frame:?}");
        }
    }
    assert_eq!(host.peers.connected(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_never_answers_does_not_hold_up_a_search() {
    let rogue = Rogue::start(after_hello(|_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    }))
    .await;
    let mut honest = Host::start(&[]).await;
    let (key, blob) = honest.put(1, b"here");
    let mut addresses = honest.peers.addresses();
    addresses.push(rogue.address.clone());
    let mut host = Host::start(&addresses).await;
    host.came().await;
    host.came().await;
    honest.came().await;
    let started = Instant::now();
    let found = host.peers.locate(Some(key), None, Haste::OthersWait).await;
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].file, Some((blob, 4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_may_think_for_longer_where_nobody_else_can_be_asked() {
    const THINKS: Duration = Duration::from_millis(400);
    let answer = || Answer::Located {
        file: Some(FileSummary {
            blob: [7; 32],
            length: 4,
        }),
        record: None,
    };
    let slow = Rogue::start(after_hello(move |_, mut stream| async move {
        read_frame(&mut stream).await;
        tokio::time::sleep(THINKS).await;
        let _ = stream.write_all(&encode(&answer()).unwrap()).await;
        let _ = stream.close().await;
    }))
    .await;
    let host = beside(&slow).await;
    assert_eq!(
        host.peers.locate(Some(KEY), None, Haste::OthersWait).await,
        []
    );
    let found = host.peers.locate(Some(KEY), None, Haste::NobodyElse).await;
    assert_eq!(found.len(), 1);
}
