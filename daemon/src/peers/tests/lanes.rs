//! Waiting for a lane to a neighbour that is asked for many files at once.

use std::time::{Duration, Instant};

use futures::AsyncWriteExt;
use futures::future::join;
use futures::future::join_all;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::limits::{ASKED_FILES_PER_PEER_MAX, NO_PROGRESS_MAX};
use modmesh_protocol::wire::{FileAnswer, encode};

use super::super::{Haste, PeerError, name_of};
use super::host::Host;
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
