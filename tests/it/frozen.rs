//! A host that stops where it stands, as a laptop does whose lid is closed: its connections look as before, and nothing comes over them. It
//! costs nobody a file and upstream no second fetch, it is put out, and it is one of them again when it goes on.

use std::thread;
use std::time::Duration;

use harness::{FakeUpstream, Fault, Module, TestHost};
use serde_json::Value;

use crate::scene::is_owner;
use crate::together::{STARVED, ask_all, mesh, slow};

const HOSTS: usize = 4;
const MODULES: usize = 60;
/// How long it may be away after it goes on: others have called it in vain meanwhile, and do so again after pauses of up to half a minute.
const AWAY: Duration = Duration::from_secs(120);

/// A third of a second at upstream's pace.
fn module(name: &str) -> Module {
    Module::package(&format!("example.com/{name}"), "v1.0.0").bulk("noise.bin", 200_000)
}

fn of<'a>(peers: &'a Value, name: &str) -> &'a Value {
    let mut all = peers.as_array().unwrap().iter();
    all.find(|peer| peer["peer_id"] == name).unwrap()
}

/// Has every host ask for the zips at the same moment, and expects that hardly any crosses twice.
#[track_caller]
fn want(hosts: &[TestHost], upstream: &FakeUpstream, modules: &[&Module]) {
    upstream.forget();
    thread::scope(|scope| {
        for module in modules {
            let (path, bytes) = (module.url_path("zip"), module.zip());
            scope.spawn(move || ask_all(hosts, &path, &bytes));
        }
    });
    for module in modules {
        let requests = upstream.traffic_of(&module.url_path("zip")).requests;
        assert!(
            (1..=STARVED).contains(&requests),
            "{}: {requests}",
            module.path()
        );
    }
}

#[test]
fn a_host_that_stands_still_is_passed_over_put_out_and_one_of_them_again_when_it_goes_on() {
    let [there, later] = ["there", "later"].map(module);
    let upstream = slow([there.clone(), later.clone()]);
    let mut hosts = mesh(&upstream, HOSTS);
    let still = hosts.pop().unwrap();
    let (name, hosts) = (still.peer_id(), hosts.as_slice());
    let modules = (0..MODULES).map(|number| module(&format!("m{number}")));
    let owned = modules.filter(|module| is_owner(&name, &hosts[0], module));
    let owned: Vec<Module> = owned.take(3).collect();
    let [first, second, third] = owned.as_slice() else {
        panic!("it owns {} of {MODULES} modules", owned.len());
    };
    owned.iter().for_each(|module| upstream.publish(module));
    for only_there in [&there, &later] {
        still.get(&only_there.url_path("zip")).expect_body();
    }

    let frozen = still.freeze();
    // It owns the one, and has the other, and all of them count on it still.
    thread::scope(|scope| {
        for host in hosts {
            scope.spawn(|| {
                host.wait_until("it passes over who stands still", |host| {
                    !of(&host.peers(), &name)["passed_over"].is_null()
                });
                host.wait_until("it puts out who stands still", |host| {
                    of(&host.peers(), &name)["connected"] == false
                });
            });
        }
        want(hosts, &upstream, &[first, &there]);
    });
    assert!(hosts.iter().all(|host| !is_owner(&name, host, second)));
    want(hosts, &upstream, &[second]);

    drop(frozen);
    for host in hosts {
        host.wait_longer(AWAY, "it has its neighbour again", |host| {
            of(&host.peers(), &name)["connected"] == true
        });
    }
    still.wait_for_neighbours(HOSTS as u64 - 1);
    // It is asked for what it has, and for who fetches what it owns.
    upstream.fault(&later.url_path("zip"), Fault::status(404, "not here"));
    for host in hosts {
        let answer = host.get(&later.url_path("zip"));
        assert_eq!(answer.header("x-modmesh-source"), "peer");
        assert_eq!(answer.expect_body(), later.zip());
    }
    assert!(hosts.iter().all(|host| is_owner(&name, host, third)));
    want(hosts, &upstream, &[third]);
}
