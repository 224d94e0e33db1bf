//! The hosts of a site keep a cap on their upstream together, and members tell each other when it wants to be left alone.

use std::thread;
use std::time::{Duration, Instant};

use harness::{FakeUpstream, Fault, HostOptions, Module, TestHost};

use crate::members::Files;
use crate::scene::online;

const HOSTS: usize = 6;
const CAP: usize = 2;
const MODULES_EACH: usize = 3;
/// For a machine that has much else to do.
const SOON: Duration = Duration::from_secs(60);

fn module(host: usize, number: usize) -> Module {
    Module::package(&format!("example.com/h{host}/m{number}"), "v1.0.0").bulk("noise.bin", 100_000)
}

fn modules() -> impl Iterator<Item = Module> {
    (0..HOSTS).flat_map(|host| (0..MODULES_EACH).map(move |number| module(host, number)))
}

/// Hosts that all know each other.
fn mesh(upstream: &FakeUpstream, set: impl Fn(HostOptions) -> HostOptions) -> Vec<TestHost> {
    let mut hosts: Vec<TestHost> = Vec::new();
    for number in 0..HOSTS {
        let mut options = set(online(&format!("host-{number}"), upstream));
        for host in &hosts {
            options = options.peer(&host.peer_address());
        }
        hosts.push(options.start());
    }
    for host in &hosts {
        host.wait_for_neighbours(HOSTS as u64 - 1);
    }
    hosts
}

fn with_cap(options: HostOptions) -> HostOptions {
    options
        .argument("--site-connections")
        .argument(&CAP.to_string())
}

/// A quarter of a second for each zip.
fn slow() -> FakeUpstream {
    let upstream = FakeUpstream::start(modules());
    upstream.fault("*.zip", Fault::Trickle(400_000));
    upstream
}

fn builds(host: &TestHost, number: usize) {
    for kind in ["info", "mod", "zip"] {
        for of in 0..MODULES_EACH {
            let module = module(number, of);
            let body = host.get(&module.url_path(kind)).expect_body();
            assert!(kind != "zip" || body == module.zip(), "{}", host.log());
        }
    }
}

#[test]
fn six_hosts_that_want_different_things_have_no_more_under_way_than_their_cap() {
    let upstream = slow();
    let hosts = mesh(&upstream, with_cap);
    thread::scope(|scope| {
        for (number, host) in hosts.iter().enumerate() {
            scope.spawn(move || builds(host, number));
        }
    });
    let most = upstream.most_at_once();
    assert!((1..=CAP).contains(&most), "{most} at once");
    let lines: Vec<_> = hosts
        .iter()
        .map(|host| host.status()["limits"]["line"].clone())
        .collect();
    assert!(lines.iter().all(|line| line["most"] == CAP as u64));
    let kept_here = lines.iter().filter(|line| line["kept_here"] == true);
    assert_eq!(kept_here.count(), 1, "{lines:#?}");
    let waited =
        |host: &TestHost| host.metric("modmesh_upstream_places_total", &[("how", "waited")]);
    assert!(hosts.iter().map(waited).sum::<f64>() > 0.0);
    let in_vain =
        |host: &TestHost| host.metric("modmesh_upstream_places_total", &[("how", "in_vain")]);
    assert_eq!(hosts.iter().map(in_vain).sum::<f64>(), 0.0);
    let shown = hosts[0].modmesh(&["status"]).stdout;
    assert!(shown.contains("2 requests of this site at once"), "{shown}");
    let told: String = (0..HOSTS)
        .flat_map(|number| (0..MODULES_EACH).map(move |of| (number, module(number, of))))
        .map(|(number, module)| {
            hosts[number]
                .explained(&format!("{}@v1.0.0", module.path()))
                .stdout
        })
        .collect();
    let waited = "waited for its turn among the hosts that ask the upstream";
    assert!(told.contains(waited), "{told}");
}

#[test]
fn when_the_one_that_keeps_the_line_is_killed_another_does_and_the_cap_holds() {
    let upstream = slow();
    let mut hosts = mesh(&upstream, with_cap);
    // Who it is shows when somebody has needed a place.
    hosts[0].get(&module(0, 0).url_path("info")).expect_body();
    let line = hosts[0].status()["limits"]["line"].clone();
    let keeper = match line["kept_by"].as_str() {
        Some(name) => hosts.iter().position(|host| host.peer_id() == name),
        None => (line["kept_here"] == true).then_some(0),
    };
    let keeper = keeper.expect("one of them keeps the line");
    let mut killed = hosts.remove(keeper);
    upstream.forget();
    thread::scope(|scope| {
        for (number, host) in hosts.iter().enumerate() {
            scope.spawn(move || builds(host, number));
        }
        upstream.wait_for("*.zip", 2, SOON);
        killed.kill();
    });
    let most = upstream.most_at_once();
    assert!((1..=CAP).contains(&most), "{most} at once");
    let kept_here = |host: &&TestHost| host.status()["limits"]["line"]["kept_here"] == true;
    assert_eq!(hosts.iter().filter(kept_here).count(), 1);
}

/// What of six hosts the upstream sees that refuses one of them; the others ask when `told` says so.
fn asked_of_one_that_rests(
    hosts: &[TestHost],
    upstream: &FakeUpstream,
    told: impl Fn(&TestHost),
) -> u64 {
    let later = Fault::Later {
        status: 429,
        seconds: 40,
    };
    upstream.fault("*/@v/list", later);
    let list = |number| format!("example.com/h{number}/m0/@v/list");
    let refused = hosts[0].get(&list(0));
    assert_ne!(refused.status, 200);
    for (number, host) in hosts.iter().enumerate().skip(1) {
        told(host);
        assert_ne!(host.get(&list(number)).status, 200);
    }
    upstream.traffic_of("*/@v/list").requests
}

#[test]
fn members_leave_an_upstream_alone_that_has_told_one_of_them_to() {
    let (files, upstream) = (Files::new(), slow());
    let hosts = mesh(&upstream, |host| files.member(host));
    let refused = hosts[0].peer_id();
    let began = Instant::now();
    let asked = asked_of_one_that_rests(&hosts, &upstream, |host| {
        host.wait_until("it has heard", |host| {
            let status = host.status();
            status["upstream"][0]["rest_heard_from"] == refused.as_str()
        });
    });
    assert!(
        asked == 1 || began.elapsed() > Duration::from_secs(40),
        "{asked}"
    );
    let shown = hosts[1].modmesh(&["status"]).stdout;
    assert!(shown.contains("it told the member"), "{shown}");
    let heard = [("how", "heard")];
    assert_eq!(hosts[1].metric("modmesh_upstream_rests_total", &heard), 1.0);
    assert_eq!(
        hosts[0].metric("modmesh_upstream_rests_total", &[("how", "told")]),
        1.0
    );
    assert!(hosts[0].status()["upstream"][0]["rest_heard_from"].is_null());
}

#[test]
fn in_an_open_mesh_each_host_hears_it_from_the_upstream_alone() {
    let upstream = slow();
    let hosts = mesh(&upstream, |host| host);
    let asked = asked_of_one_that_rests(&hosts, &upstream, |_| {});
    assert_eq!(asked, HOSTS as u64);
}
