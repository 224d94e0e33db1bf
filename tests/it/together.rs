//! Hosts that want the same thing at the same moment: one of them fetches it, and the others have it from that one.

use std::thread;
use std::time::Duration;

use harness::{FakeUpstream, Fault, Module, TestHost};

use crate::scene::online;

/// Fetches of one thing instead of one, on a machine whose processors are so busy that a host takes an owner for silent which has not
/// had its turn. That it is one otherwise is shown by `lab stampede`.
pub(crate) const STARVED: u64 = 2;

/// A zip of 1.2 MB, that takes upstream two seconds.
pub(crate) fn large() -> Module {
    Module::package("example.com/large", "v1.0.0").bulk("noise.bin", 1_200_000)
}

pub(crate) fn slow(modules: impl IntoIterator<Item = Module>) -> FakeUpstream {
    let upstream = FakeUpstream::start(modules);
    upstream.fault("*.zip", Fault::Trickle(600_000));
    upstream
}

/// Hosts that all know each other.
pub(crate) fn mesh(upstream: &FakeUpstream, count: usize) -> Vec<TestHost> {
    let mut hosts: Vec<TestHost> = Vec::new();
    for number in 0..count {
        let mut options = online(&format!("host-{number}"), upstream);
        for host in &hosts {
            options = options.peer(&host.peer_address());
        }
        hosts.push(options.start());
    }
    for host in &hosts {
        host.wait_for_neighbours(count as u64 - 1);
    }
    hosts
}

/// Has every host asked for the path at the same moment, and expects the bytes of all.
pub(crate) fn ask_all(hosts: &[TestHost], path: &str, bytes: &[u8]) {
    thread::scope(|scope| {
        for host in hosts {
            scope.spawn(move || {
                let got = host.get(path).expect_body();
                assert_eq!(got.len(), bytes.len(), "{}: {}", host.name(), host.log());
                assert!(got == bytes, "{}", host.name());
            });
        }
    });
}

#[test]
fn what_six_hosts_want_at_once_is_fetched_once() {
    let module = large();
    let upstream = slow([module.clone()]);
    let hosts = mesh(&upstream, 6);
    ask_all(&hosts, &module.url_path("zip"), &module.zip());
    let zips = upstream.traffic_of("*.zip");
    assert!((1..=STARVED).contains(&zips.requests), "{zips:?}");
    ask_all(&hosts, &module.url_path("mod"), &module.go_mod());
    let mods = upstream.traffic_of("*.mod");
    assert!((1..=STARVED).contains(&mods.requests), "{mods:?}");
}

#[test]
fn a_project_that_six_hosts_build_at_once_crosses_upstreams_line_once() {
    let modules = small(12);
    let upstream = of_three_tiles(&modules);
    let hosts = mesh(&upstream, 6);
    build(&hosts, &modules, &["mod", "zip"]);
    assert_crossed_once(&upstream, &[("*.mod", 12), ("*.zip", 12)]);
    assert_crossed_once(&upstream, &[("sumdb/*/lookup/*", 12), ("*/tile/*", 3)]);
}

/// Has every host asked for these files of all modules at the same time, each host in another order.
pub(crate) fn build(hosts: &[TestHost], modules: &[Module], files: &[&str]) {
    thread::scope(|scope| {
        for (turn, host) in hosts.iter().enumerate() {
            for module in modules.iter().cycle().skip(turn).take(modules.len()) {
                scope.spawn(move || {
                    for file in files {
                        let path = match *file {
                            "list" => format!("{}/@v/list", module.path()),
                            file => module.url_path(file),
                        };
                        host.get(&path).expect_body();
                    }
                });
            }
        }
    });
}

/// Expects that of so many things of each kind hardly any was asked for twice: six times, if each host fetched its own.
#[track_caller]
pub(crate) fn assert_crossed_once(upstream: &FakeUpstream, kinds: &[(&str, u64)]) {
    for (pattern, things) in kinds {
        let requests = upstream.traffic_of(pattern).requests;
        assert!(
            (*things..=things * STARVED).contains(&requests),
            "{pattern}: {requests}"
        );
    }
}

pub(crate) fn small(count: usize) -> Vec<Module> {
    let module = |number| Module::package(&format!("example.com/m{number}"), "v1.0.0");
    (0..count).map(module).collect()
}

/// An upstream with these modules in the second tile of its log, which has three.
pub(crate) fn of_three_tiles(modules: &[Module]) -> FakeUpstream {
    let upstream = FakeUpstream::start([]);
    upstream.log(|log| log.pad_to(300));
    modules.iter().for_each(|module| upstream.publish(module));
    upstream.log(|log| log.pad_to(600));
    upstream
}

#[test]
fn a_false_tile_of_anothers_upstream_costs_the_tile_and_nobody_is_banned() {
    let modules = small(2);
    let (honest, lying) = (of_three_tiles(&modules), of_three_tiles(&modules));
    let forged = lying.log(|log| log.forged_tile(0, 1, 256, 50)).unwrap();
    lying.fault("*/tile/8/0/001", Fault::body(forged));
    // The deceived host has the false tile, and not the others without which it cannot find out.
    let held = lying.hold("*/tile/8/1/*");
    let deceived = online("deceived", &lying).start();
    let host = online("host", &honest)
        .peer(&deceived.peer_address())
        .start();
    host.wait_for_neighbours(1);
    deceived.wait_for_neighbours(1);
    thread::scope(|scope| {
        scope.spawn(|| deceived.get(&modules[0].url_path("mod")));
        lying.wait_for("*/tile/8/0/001", 1, Duration::from_secs(20));
        lying.wait_for("*/tile/8/1/*", 1, Duration::from_secs(20));
        let got = host.get(&modules[1].url_path("mod")).expect_body();
        assert_eq!(got, modules[1].go_mod());
        drop(held);
    });
    assert!(honest.traffic_of("*/tile/8/0/001").requests >= 1);
    host.wait_for_line("handed on a false part of the checksum database");
    for one in [&host, &deceived] {
        assert!(one.peers()[0]["banned_until"].is_null(), "{}", one.log());
    }
}

#[test]
fn a_tile_that_six_hosts_need_for_different_records_is_fetched_once() {
    // The records stand in one tile, and the right edge of the tree has two more: each host would ask for all three.
    let modules = small(6);
    let upstream = of_three_tiles(&modules);
    let hosts = mesh(&upstream, 6);
    thread::scope(|scope| {
        for (module, host) in modules.iter().zip(&hosts) {
            scope.spawn(move || host.get(&module.url_path("mod")).expect_body());
        }
    });
    assert_crossed_once(&upstream, &[("*/tile/*", 3)]);
}
