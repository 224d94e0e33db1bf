//! Hosts on one link find each other by multicast alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::lab::{Forbidden, Lab, LabHost};
use harness::multicast::{MulticastCounter, most_in_a_second};
use harness::{HostOptions, LyingPeer, PeerLie, TestHost, TestLog, process};

use crate::LabTest;

/// Far more than it takes, which is a second or two.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const TESTS: &[(&str, LabTest)] = &[
    (
        "neighbours_find_each_other_by_multicast",
        neighbours_find_each_other_by_multicast,
    ),
    (
        "a_crowd_finds_itself_with_few_packets",
        a_crowd_finds_itself_with_few_packets,
    ),
    (
        "hosts_without_ipv4_find_each_other_on_a_link_that_comes_later",
        hosts_without_ipv4_find_each_other_on_a_link_that_comes_later,
    ),
    (
        "two_machines_with_one_identity_are_told_of_it",
        two_machines_with_one_identity_are_told_of_it,
    ),
    (
        "a_host_on_another_link_is_a_neighbour_only_when_both_sides_name_it",
        a_host_on_another_link_is_a_neighbour_only_when_both_sides_name_it,
    ),
    (
        "a_host_on_another_link_is_of_another_site_unless_both_have_one_name",
        a_host_on_another_link_is_of_another_site_unless_both_have_one_name,
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

/// Twelve daemons that start together: libp2p's multicast DNS needed 158 packets within a second for that.
fn a_crowd_finds_itself_with_few_packets() -> Result<(), Forbidden> {
    const HOSTS: usize = 12;
    let lab = Lab::new(HOSTS as u8 + 1)?;
    let counter = MulticastCounter::start(lab.host(HOSTS));
    let starting: Vec<_> = (0..HOSTS)
        .map(|number| {
            let on = lab.host(number);
            let host = HostOptions::new(&format!("host {number}"))
                .in_place(on.place())
                .mdns()
                .peer_listen(&format!("{}:0", on.address()));
            std::thread::spawn(move || host.start())
        })
        .collect();
    let hosts: Vec<TestHost> = starting
        .into_iter()
        .map(|host| host.join().unwrap())
        .collect();
    for host in &hosts {
        host.wait_for_neighbours(HOSTS as u64 - 1);
    }
    // Somebody asks who is there, and four answer.
    let doctor = hosts[0].modmesh(&["doctor"]);
    assert!(
        doctor.stdout.contains("heard, from ") && doctor.stdout.contains(" other hosts too"),
        "{doctor}"
    );
    let packets = counter.stop();
    let most = most_in_a_second(&packets);
    assert!(most <= 10, "{most} packets in a second: {packets:?}");
    Ok(())
}

fn hosts_without_ipv4_find_each_other_on_a_link_that_comes_later() -> Result<(), Forbidden> {
    let lab = Lab::new(2)?;
    let ip = |number: usize, arguments: &str| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let status = lab.host(number).command("ip", &arguments).status();
        assert!(status.unwrap().success(), "ip {arguments:?}");
    };
    let hosts: Vec<TestHost> = (0..2)
        .map(|number| {
            ip(number, "addr flush dev eth0");
            HostOptions::new(&format!("host {number}"))
                .in_place(lab.host(number).place())
                .mdns()
                .peer_listen("[::]:0")
                .start()
        })
        .collect();
    ip(0, "addr add fd00:77::1/64 dev eth0 nodad");
    ip(1, "addr add fd00:77::2/64 dev eth0 nodad");
    for host in &hosts {
        host.wait_for_neighbours(1);
        let peers = host.peers();
        let address = peers[0]["addrs"][0].as_str().unwrap_or_default();
        assert!(address.starts_with("/ip6/fd00:77::"), "{peers:#}");
    }
    Ok(())
}

/// A disk that was copied to another machine, the machine id included.
fn two_machines_with_one_identity_are_told_of_it() -> Result<(), Forbidden> {
    let lab = Lab::new(2)?;
    let host = |number: usize, state: &Path| {
        let on = lab.host(number);
        HostOptions::new(&format!("host {number}"))
            .in_place(on.place())
            .state(state)
            .mdns()
            .peer_listen(&format!("{}:0", on.address()))
    };
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let mut first = host(0, &one).start();
    first.stop();
    let copied = process::run(Command::new("cp").arg("-r").arg(&one).arg(&other), PATIENCE);
    copied.expect_success();
    first.restart();
    let second = host(1, &other).start();
    assert_eq!(first.peer_id(), second.peer_id());
    for (host, place) in [(&first, lab.host(1)), (&second, lab.host(0))] {
        let told = format!(
            "PROBLEM: another machine, at {}, has the identity",
            place.address()
        );
        host.wait_until("it is said", |host| {
            let status = host.status();
            let notices = status["notices"].as_array();
            let mut notices = notices.into_iter().flatten();
            notices.any(|notice| notice.as_str().is_some_and(|text| text.starts_with(&told)))
        });
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

fn a_host_on_another_link_is_of_another_site_unless_both_have_one_name() -> Result<(), Forbidden> {
    let lab = Lab::with_upstream(2, &[0])?;
    lab.route_through(lab.host(0), lab.host(1));
    let host = |name: &str, on: &LabHost| {
        HostOptions::new(name)
            .in_place(on.place())
            .peer_listen(&format!("{}:0", on.address()))
    };
    let mut far = host("far", lab.upstream()).start();
    let mut near = host("near", lab.host(1)).peer(&far.peer_address()).start();
    far.restart_with(|options| options.peer(&near.peer_address()));
    let are = |far: &TestHost, near: &TestHost, across: bool, site: Option<&str>| {
        for host in [far, near] {
            host.wait_until("the other one is of its site or not", |host| {
                let peer = &host.peers()[0];
                peer["connected"] == true
                    && peer["across"] == across
                    && peer["site"].as_str() == site
            });
        }
    };
    are(&far, &near, true, None);
    far.restart_with(|options| options.argument("--site").argument("berlin"));
    near.restart_with(|options| options.argument("--site").argument("Berlin"));
    are(&far, &near, false, Some("berlin"));
    Ok(())
}
