//! A network with more hosts than anybody has neighbours.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use harness::lab::{Forbidden, Lab};
use harness::{FakeUpstream, Fault, HostOptions, Module, TestHost, TestLog};
use serde_json::Value;

use crate::LabTest;

pub(crate) const TESTS: &[(&str, LabTest)] = &[(
    "hosts_beyond_the_neighbours_fetch_together",
    hosts_beyond_the_neighbours_fetch_together,
)];

/// Those that start together, and all: each newcomer finds others that have nearly as many neighbours as they may.
const FIRST: usize = 10;
const HOSTS: usize = 14;
const NEIGHBOURS: u64 = 8;
const MODULES: usize = 6;
/// For a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(180);
/// Fetches of one thing instead of one that are forgiven in all, on a machine whose processors are so busy that a host takes an owner
/// for silent which has not had its turn.
const STARVED: u64 = 2;

fn module(number: usize) -> Module {
    Module::package(&format!("example.com/m{number}"), "v1.0.0").bulk("noise.bin", 300_000)
}

fn used(status: &Value, what: &str) -> u64 {
    let caps = status["limits"]["caps"].as_array().unwrap();
    let cap = caps.iter().find(|cap| cap["what"] == what).unwrap();
    cap["used"].as_u64().unwrap()
}

fn all_know_all(hosts: &[TestHost]) {
    let others = hosts.len() as u64 - 1;
    for host in hosts {
        host.wait_longer(PATIENCE, "it knows all others", |host| {
            let peers = host.status()["peers"].clone();
            let [connected, beyond] = ["connected", "beyond"].map(|of| peers[of].as_u64());
            assert!(connected <= Some(NEIGHBOURS), "{peers}");
            connected.zip(beyond).map(|(a, b)| a + b) == Some(others)
        });
    }
}

fn hosts_beyond_the_neighbours_fetch_together() -> Result<(), Forbidden> {
    let all: Vec<u8> = (0..HOSTS as u8).collect();
    let lab = Lab::with_upstream(HOSTS as u8, &all)?;
    let listen = SocketAddr::from((lab.upstream().address(), 80));
    let log = TestLog::new("sumdb.example.test");
    let upstream = FakeUpstream::start_in(lab.upstream().place(), listen, log);
    (0..MODULES).for_each(|number| upstream.publish(&module(number)));
    upstream.fault("*.zip", Fault::Trickle(300_000));
    let options = |number: usize| {
        let on = lab.host(number);
        HostOptions::new(&format!("host-{number}"))
            .in_place(on.place())
            .upstream(&upstream.url())
            .sumdb(&upstream.sumdb())
            .mdns()
            .peer_listen(&format!("{}:0", on.address()))
            .argument("--neighbours")
            .argument(&NEIGHBOURS.to_string())
    };
    let starting: Vec<_> = (0..FIRST)
        .map(|number| {
            let options = options(number);
            thread::spawn(move || options.start())
        })
        .collect();
    let mut hosts: Vec<TestHost> = starting
        .into_iter()
        .map(|host| host.join().unwrap())
        .collect();
    all_know_all(&hosts);
    for newcomer in FIRST..HOSTS {
        hosts.push(options(newcomer).start());
        all_know_all(&hosts);
    }
    for number in 0..MODULES {
        let module = module(number);
        for kind in ["info", "mod", "zip"] {
            thread::scope(|scope| {
                for host in &hosts {
                    let path = module.url_path(kind);
                    scope.spawn(move || host.get(&path).expect_body());
                }
            });
        }
    }
    let zips = upstream.traffic_of("*.zip").requests;
    let expected = MODULES as u64..=MODULES as u64 + STARVED;
    assert!(expected.contains(&zips), "{zips} zips");
    println!("{zips} fetches of {MODULES} zips");
    let statuses: Vec<Value> = hosts.iter().map(TestHost::status).collect();
    let errands: u64 = statuses.iter().map(|status| used(status, "errands")).sum();
    assert!(errands > 0, "everybody could be asked without an errand");
    let most = statuses.iter().map(|status| used(status, "neighbours"));
    assert!(most.max() <= Some(NEIGHBOURS));
    for host in &hosts {
        host.wait_longer(PATIENCE * 2, "its errands have ended", |host| {
            used(&host.status(), "errands") == 0
        });
    }
    Ok(())
}
