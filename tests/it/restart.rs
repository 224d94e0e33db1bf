//! Killed in the middle of cold downloads, a host serves nothing afterwards but what is whole and true.
//!
//! `MODMESH_ROUNDS` sets the number of rounds; `.ci/run` takes 50.

use std::thread;
use std::time::Duration;

use harness::{FakeUpstream, Fault, HostOptions, Module, TestHost};

use crate::scene::{online, staging};

const PATIENCE: Duration = Duration::from_secs(20);

fn rounds() -> u32 {
    std::env::var("MODMESH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(6)
}

fn modules_of(round: u32) -> Vec<Module> {
    (0..3)
        .map(|number| {
            Module::package(&format!("example.com/m{number}"), &format!("v1.{round}.0"))
                .bulk("noise.bin", 200_000)
        })
        .collect()
}

/// Asks for every file of the modules at the same time, without caring for the answers, until `then` is done.
fn while_all_are_asked_for(host: &TestHost, modules: &[Module], then: impl FnOnce()) {
    thread::scope(|clients| {
        for module in modules {
            for extension in ["info", "mod", "zip"] {
                let request = host.request(&module.url_path(extension)).within(PATIENCE);
                clients.spawn(move || drop(request.send()));
            }
        }
        then();
    });
}

fn expect_whole_and_true(host: &TestHost, modules: &[Module]) {
    for module in modules {
        assert_eq!(
            host.get(&module.url_path("mod")).expect_body(),
            module.go_mod()
        );
        assert_eq!(
            host.get(&module.url_path("zip")).expect_body(),
            module.zip()
        );
    }
    assert_eq!(staging(host), Vec::<String>::new());
}

#[test]
fn a_host_killed_while_it_downloads_serves_only_what_is_whole_and_true() {
    let upstream = FakeUpstream::start([]);
    let mut host = online("A", &upstream).start();
    let mut all = Vec::new();
    for round in 0..rounds() {
        let modules = modules_of(round);
        modules.iter().for_each(|module| upstream.publish(module));
        upstream.forget();
        upstream.fault("*.zip", Fault::Trickle(1_000_000));
        // Killed at another point of the downloads in each round, from the first byte to the last but one.
        let bytes = u64::from(round % 10) * 66_000;
        while_all_are_asked_for(&host, &modules, || {
            upstream.wait_for("*.zip", 1, PATIENCE);
            upstream.wait_for_bytes("*.zip", bytes, PATIENCE);
            kill(&host);
        });
        upstream.heal();
        host.restart();
        assert_eq!(staging(&host), Vec::<String>::new(), "after round {round}");
        all.extend(modules);
        expect_whole_and_true(&host, &all);
    }
}

#[test]
fn a_host_killed_while_a_neighbour_serves_it_serves_only_what_is_whole_and_true() {
    let upstream = FakeUpstream::start([]);
    let first = online("A", &upstream).start();
    let mut second = HostOptions::new("B")
        .sumdb(&upstream.sumdb())
        .peer(&first.peer_address())
        .start();
    let mut all = Vec::new();
    for round in 0..rounds() {
        let modules = modules_of(round);
        modules.iter().for_each(|module| upstream.publish(module));
        expect_whole_and_true(&first, &modules);
        second.wait_for_neighbours(1);
        let before = first.metric("modmesh_peer_sent_bytes_total", &[]);
        while_all_are_asked_for(&second, &modules, || {
            first.wait_until("it has sent something", |first| {
                first.metric("modmesh_peer_sent_bytes_total", &[]) > before
            });
            kill(&second);
        });
        second.restart();
        assert_eq!(
            staging(&second),
            Vec::<String>::new(),
            "after round {round}"
        );
        second.wait_for_neighbours(1);
        all.extend(modules);
        expect_whole_and_true(&second, &all);
    }
}

/// Kills the process while others still hold the host; `restart` takes the remains away.
fn kill(host: &TestHost) {
    let status = std::process::Command::new("kill")
        .args(["-9", &host.pid().to_string()])
        .status();
    assert!(status.unwrap().success());
}
