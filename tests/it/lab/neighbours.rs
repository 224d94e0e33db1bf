//! Hosts on one link find each other by multicast DNS alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use harness::lab::{Forbidden, Lab};
use harness::{LyingPeer, PeerLie, TestLog};

use crate::LabTest;

pub(crate) const TESTS: &[(&str, LabTest)] = &[(
    "neighbours_find_each_other_by_multicast_within_three_seconds",
    neighbours_find_each_other_by_multicast_within_three_seconds,
)];

fn neighbours_find_each_other_by_multicast_within_three_seconds() -> Result<(), Forbidden> {
    let lab = Lab::new(3)?;
    let log = TestLog::new("sumdb.example.test");
    let started = Instant::now();
    let peers: Vec<LyingPeer> = (0..3)
        .map(|number| {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
            let place = lab.host(number).place();
            LyingPeer::start_in(place, any, &[], &log, PeerLie::None, &[], true)
        })
        .collect();
    while peers.iter().any(|peer| peer.connected() < 2) {
        let connected: Vec<usize> = peers.iter().map(LyingPeer::connected).collect();
        assert!(started.elapsed() < Duration::from_secs(3), "{connected:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
