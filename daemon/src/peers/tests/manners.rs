//! What is sent while uploads are paused, and how fast when there is a limit.

use std::time::{Duration, Instant};

use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::rate::{Limit, Minute, Rate, parse_limit};

use super::super::{Haste, PeerError};
use super::host::{Host, config, until};
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
    let mut a = with_limit(&[], Rate::new(RATE).into(), Limit::default()).await;
    let mut b = with_limit(&a.peers.addresses(), Limit::default(), Limit::default()).await;
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
    let mut b = with_limit(
        &a.peers.addresses(),
        Limit::default(),
        Rate::new(RATE).into(),
    )
    .await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_on_its_way_goes_on_at_the_rate_of_the_hour() {
    let by_hours = parse_limit("64KiB/s, none tue 00:00-24:00").unwrap();
    let mut a = with_limit(&[], by_hours, Limit::default()).await;
    let mut b = with_limit(&a.peers.addresses(), Limit::default(), Limit::default()).await;
    a.came().await;
    b.came().await;
    let uploads = |host: &Host| {
        let limits = host.peers.limits();
        let cap = limits.caps.into_iter().find(|cap| cap.what == "uploads");
        cap.map(|cap| (cap.used, cap.most)).unwrap()
    };
    assert_eq!(uploads(&a), (0, 2));
    // Four minutes, were it not for Tuesday.
    const BYTES: usize = 16 << 20;
    let (key, _) = a.put(1, &vec![1; BYTES]);
    let began = Instant::now();
    let getting = tokio::spawn({
        let peers = b.peers.clone();
        let name = a.peers.name();
        async move {
            let mut got = tokio::io::sink();
            let fetched = peers.fetch(&name, key, BYTES as u64, Haste::NobodyElse, &mut got);
            fetched.await.map(|(_, bytes)| bytes)
        }
    });
    until("somebody waits", || a.peers.limits().rates[0].held_ms > 0).await;
    assert_eq!(
        a.peers.limits().rates[0].until.as_deref(),
        Some("tue 00:00")
    );
    a.peers.it_is(Minute::new(1, 0));
    assert_eq!(getting.await.unwrap().unwrap(), BYTES as u64);
    assert!(began.elapsed() < Duration::from_secs(128));
    assert_eq!(a.peers.limits().rates[0].limit_bytes_per_second, None);
    assert_eq!(uploads(&a).1, 32);
    a.peers.it_is(Minute::new(2, 0));
    assert_eq!(
        a.peers.limits().rates[0].limit_bytes_per_second,
        Some(65_536)
    );
    assert_eq!(uploads(&a).1, 2);
}

async fn with_limit(peers: &[String], upload: Limit, download: Limit) -> Host {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder, peers);
    config.limit_upload = upload;
    config.limit_download = download;
    Host::start_with(folder, config).await.unwrap()
}
