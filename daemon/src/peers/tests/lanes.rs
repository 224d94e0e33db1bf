//! Waiting for a lane to a neighbour that is asked for many files at once.

use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use futures::{AsyncReadExt, AsyncWriteExt};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::limits::{ASKED_FILES_PER_PEER_MAX, NO_PROGRESS_MAX};
use modmesh_protocol::wire::{Answer, FileAnswer, FileRequest, encode};

use super::super::streams::Purpose;
use super::super::{Haste, PeerError, name_of, peer_id_of};
use super::host::{DATABASE, Host};
use super::rogue::{Rogue, after_hello, read_frame};

const KEY: KeyHash = KeyHash([1; 32]);
/// Each file comes in pieces like this, one at a time: slow, and faster than a drip.
const PIECE_BYTES: usize = 16 << 10;
const PIECES: usize = 14;
const PIECE_EVERY: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread")]
async fn who_has_nobody_else_to_ask_waits_for_a_lane_as_long_as_files_come_through() {
    let slow = Rogue::start(after_hello(|_, mut stream| async move {
        read_frame(&mut stream).await;
        let here = FileAnswer::Here {
            blob: [0; 32],
            length: (PIECES * PIECE_BYTES) as u64,
        };
        stream.write_all(&encode(&here).unwrap()).await.unwrap();
        for _ in 0..PIECES {
            if stream.write_all(&[7; PIECE_BYTES]).await.is_err() {
                return;
            }
            let _ = stream.flush().await;
            tokio::time::sleep(PIECE_EVERY).await;
        }
        let _ = stream.close().await;
    }))
    .await;
    let mut host = Host::start(std::slice::from_ref(&slow.address)).await;
    let name = host.came().await;
    assert_eq!(name, name_of(&slow.id));
    let fetch = |haste| {
        let (peers, name) = (host.peers.clone(), name.clone());
        async move {
            let started = Instant::now();
            let mut sink = tokio::io::sink();
            let fetched = peers.fetch(&name, KEY, 1 << 20, haste, &mut sink).await;
            (fetched.map(|_| ()), started.elapsed())
        }
    };
    let eight = join_all((0..ASKED_FILES_PER_PEER_MAX).map(|_| fetch(Haste::NobodyElse)));
    let more = async {
        // Behind the eight in the queue.
        tokio::time::sleep(PIECE_EVERY).await;
        join(fetch(Haste::OthersWait), fetch(Haste::NobodyElse)).await
    };
    let (eight, ((hasty, hasty_time), (patient, patient_time))) = join(eight, more).await;
    assert!(
        eight.iter().all(|(fetched, _)| fetched.is_ok()),
        "{eight:?}"
    );
    assert!(matches!(hasty, Err(PeerError::LanesFull)), "{hasty:?}");
    assert!(hasty_time < NO_PROGRESS_MAX * 2, "{hasty_time:?}");
    assert!(patient.is_ok(), "{patient:?}");
    assert!(patient_time > NO_PROGRESS_MAX * 2, "{patient_time:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_left_leaves_no_lane_behind() {
    let busy = Rogue::start(after_hello(|_, mut stream| async move {
        read_frame(&mut stream).await;
        let busy = Answer::Busy {
            retry_after_ms: 400,
        };
        let _ = stream.write_all(&encode(&busy).unwrap()).await;
        let _ = stream.close().await;
    }))
    .await;
    let mut host = Host::start(std::slice::from_ref(&busy.address)).await;
    let name = host.came().await;
    let (peers, asked) = (host.peers.clone(), name.clone());
    let asking = tokio::spawn(async move { peers.head(&asked, DATABASE).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    // It goes while it is to be asked again.
    host.peers.shared.outbox.disconnect(busy.id);
    assert_eq!(host.went().await, name);
    assert!(asking.await.unwrap().is_err());
    assert_eq!(host.peers.shared.lanes.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_on_a_slow_line_gets_its_file_to_the_end() {
    const LENGTH: usize = 400_000;
    let reader = Rogue::start(after_hello(|_, stream| async move { drop(stream) })).await;
    let host = Host::start(std::slice::from_ref(&reader.address)).await;
    host.put(1, &[7; LENGTH]);
    super::host::until("they are neighbours", || host.peers.connected() == 1).await;
    let id = peer_id_of(&host.peers.name()).unwrap();
    let mut stream = reader.open(id, Purpose::File).await.unwrap();
    let request = FileRequest::Whole { file: KEY.0 };
    stream.write_all(&encode(&request).unwrap()).await.unwrap();
    stream.flush().await.unwrap();
    read_frame(&mut stream).await;
    // The pace of a line of 12 kB/s, until the sender has waited for longer than ten seconds.
    let (mut piece, mut got) = ([0; 4096], 0);
    let slow_until = Instant::now() + Duration::from_secs(12);
    while got < LENGTH {
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "cut after {got} bytes");
        got += read;
        if Instant::now() < slow_until {
            tokio::time::sleep(Duration::from_millis(333)).await;
        }
    }
    assert_eq!(got, LENGTH);
}
