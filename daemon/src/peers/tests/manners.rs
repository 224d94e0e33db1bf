//! What is sent while uploads are paused, and how fast when there is a limit.

use std::time::{Duration, Instant};

use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::rate::Rate;

use super::super::{Haste, PeerError};
use super::host::{Host, config};
use crate::manners::Pause;

const SMALL: [u8; 1000] = [7; 1000];

async fn get(from: &Host, to: &Host, key: KeyHash) -> Result<usize, PeerError> {
    let mut got = Vec::new();
    let name = from.peers.name();
    let fetched = to
        .peers
        .fetch(&name, key, 1 << 20, Haste::NobodyElse, &mut got);
    fetched.await.map(|_| got.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_uploads_are_paused_nothing_large_is_shown_or_sent() {
    let (a, b) = Host::pair().await;
    let (large, _) = a.put(1, &[1; 100_000]);
    let (small, _) = a.put(2, &SMALL);
    a.peers.pause_uploads(Some(Pause::Battery));
    let told = a.peers.limits().uploads_paused;
    assert_eq!(told.as_deref(), Some(Pause::Battery.why()));
    assert_eq!(
        b.peers.locate(Some(large), None, Haste::NobodyElse).await,
        []
    );
    let located = b.peers.locate(Some(small), None, Haste::NobodyElse).await;
    assert_eq!(located.len(), 1);
    assert!(matches!(
        get(&a, &b, large).await,
        Err(PeerError::Busy { .. })
    ));
    assert_eq!(get(&a, &b, small).await.unwrap(), SMALL.len());
    // To send nothing is no fault.
    assert_eq!(b.peers.snapshot()[0].last_error, None);
    a.peers.pause_uploads(None);
    let located = b.peers.locate(Some(large), None, Haste::NobodyElse).await;
    assert_eq!(located.len(), 1);
    assert_eq!(get(&a, &b, large).await.unwrap(), 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_at_once_keep_to_the_limit_and_none_is_taken_for_one_that_hangs() {
    const RATE: u64 = 100_000;
    let mut a = with_limit(&[], Rate::new(RATE), None).await;
    let mut b = with_limit(&a.peers.addresses(), None, None).await;
    a.came().await;
    b.came().await;
    let keys: Vec<_> = (0..8)
        .map(|number| a.put(number, &[number; 40_000]).0)
        .collect();
    let began = Instant::now();
    let mut left = keys;
    while !left.is_empty() {
        // A small limit has few places: those who find none are told to come again, as ever.
        let gets = left.iter().map(|key| get(&a, &b, *key));
        let outcomes = futures::future::join_all(gets).await;
        let mut outcomes = outcomes.into_iter();
        left.retain(|_| match outcomes.next() {
            Some(Err(PeerError::Busy { .. })) => true,
            Some(outcome) => {
                assert_eq!(outcome.unwrap(), 40_000);
                false
            }
            None => unreachable!("one for each"),
        });
    }
    // All of it but what the bucket held at first.
    let least = (8 * 40_000 - RATE / 4) as f64 / RATE as f64;
    assert!(
        began.elapsed() >= Duration::from_secs_f64(least - 0.01),
        "{:?}",
        began.elapsed()
    );
    let limits = a.peers.limits();
    assert_eq!(limits.rates[0].limit_bytes_per_second, Some(RATE));
    assert!(limits.rates[0].held_ms > 1000, "{limits:?}");
    let uploads = limits.caps.iter().find(|cap| cap.what == "uploads");
    assert_eq!(uploads.map(|cap| cap.most), Some(3));
    assert_eq!(b.peers.snapshot()[0].last_error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_keeps_to_the_limit_and_the_sender_is_not_to_blame() {
    const RATE: u64 = 100_000;
    let mut a = Host::start(&[]).await;
    let mut b = with_limit(&a.peers.addresses(), None, Rate::new(RATE)).await;
    a.came().await;
    b.came().await;
    // Longer than a neighbour may be silent, and more than the network holds on the way is not needed to show it.
    let (key, _) = a.put(1, &[1; 400_000]);
    let began = Instant::now();
    assert_eq!(get(&a, &b, key).await.unwrap(), 400_000);
    assert!(
        began.elapsed() >= Duration::from_millis(3_700),
        "{:?}",
        began.elapsed()
    );
    assert!(b.peers.held_back(&a.peers.name()) >= Duration::from_secs(3));
    assert_eq!(b.peers.snapshot()[0].last_error, None);
}

async fn with_limit(peers: &[String], upload: Option<Rate>, download: Option<Rate>) -> Host {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder, peers);
    config.limit_upload = upload.into();
    config.limit_download = download.into();
    Host::start_with(folder, config).await.unwrap()
}
