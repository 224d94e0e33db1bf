//! Hosts that want the same thing at the same moment: one of them fetches it, and the others have it from that one.

use std::thread;

use harness::{FakeUpstream, Fault, Module, TestHost};

use crate::scene::online;

/// Fetches of one thing instead of one, on a machine whose processors are so busy that a host takes an owner for silent which has not
/// had its turn. That it is one otherwise is shown by `lab stampede`.
pub(crate) const STARVED: u64 = 2;

/// A zip of 1.2 MB, that takes upstream two seconds.
pub(crate) fn large() -> Module {
    Module::package("example.com/large", "v1.0.0").bulk("noise.bin", 1_200_000)
}

fn slow(modules: impl IntoIterator<Item = Module>) -> FakeUpstream {
    let upstream = FakeUpstream::start(modules);
    upstream.fault("*.zip", Fault::Trickle(600_000));
    upstream
}

/// Hosts that all know each other.
fn mesh(upstream: &FakeUpstream, count: usize) -> Vec<TestHost> {
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
    let modules: Vec<Module> = (0..12)
        .map(|number| Module::package(&format!("example.com/m{number}"), "v1.0.0"))
        .collect();
    let upstream = FakeUpstream::start(modules.clone());
    let hosts = mesh(&upstream, 6);
    thread::scope(|scope| {
        for (turn, host) in hosts.iter().enumerate() {
            let mut modules = modules.clone();
            modules.rotate_left(turn);
            scope.spawn(move || {
                thread::scope(|scope| {
                    for module in &modules {
                        scope.spawn(move || {
                            host.get(&module.url_path("mod")).expect_body();
                            host.get(&module.url_path("zip")).expect_body();
                        });
                    }
                });
            });
        }
    });
    for pattern in ["*.mod", "*.zip", "sumdb/*/lookup/*"] {
        // Seventy-two, if each fetched its own.
        let requests = upstream.traffic_of(pattern).requests;
        assert!(
            (12..=12 * STARVED).contains(&requests),
            "{pattern}: {requests}"
        );
    }
}
