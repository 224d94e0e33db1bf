//! Hosts on one link find each other by multicast alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use harness::lab::{Forbidden, Lab, LabHost};
use harness::{HostOptions, LyingPeer, PeerLie, TestLog};

use crate::LabTest;

/// Far more than it takes, which is a second or two.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const TESTS: &[(&str, LabTest)] = &[
    (
        "neighbours_find_each_other_by_multicast",
        neighbours_find_each_other_by_multicast,
    ),
    (
        "a_host_on_another_link_is_a_neighbour_only_when_both_sides_name_it",
        a_host_on_another_link_is_a_neighbour_only_when_both_sides_name_it,
    ),
];

fn neighbours_find_each_other_by_multicast() -> Result<(), Forbidden> {
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
        assert!(started.elapsed() < PATIENCE, "{connected:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn a_host_on_another_link_is_a_neighbour_only_when_both_sides_name_it() -> Result<(), Forbidden> {
    let lab = Lab::with_upstream(2, &[0])?;
    lab.route_through(lab.host(0), lab.host(1));
    let host = |name: &str, on: &LabHost| {
        HostOptions::new(name)
            .in_place(on.place())
            .peer_listen(&format!("{}:0", on.address()))
    };
    let mut far = host("far", lab.upstream()).start();
    let near = host("near", lab.host(1)).peer(&far.peer_address()).start();
    near.wait_until("it was turned away", |near| {
        near.peers()[0]["last_error"].is_string()
    });
    assert_eq!(near.status()["peers"]["connected"], 0);
    assert_eq!(far.status()["peers"]["connected"], 0);

    far.restart_with(|options| options.peer(&near.peer_address()));
    far.wait_for_neighbours(1);
    near.wait_for_neighbours(1);
    assert_eq!(far.peers()[0]["found_by"], "static");
    Ok(())
}
