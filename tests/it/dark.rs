//! An upstream whose packets are dropped: one request finds out, and nobody waits after it.

use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

use harness::{FakeUpstream, Module, TestHost};

use crate::scene::online;

const MODULES: usize = 30;
/// What the request may take that finds out, and every other one, with what the machine of the test may add.
const ONCE_MAX: Duration = Duration::from_millis(1000);
const AFTERWARDS_MAX: Duration = Duration::from_millis(200);
const SLACK: Duration = Duration::from_millis(500);

fn module(number: usize) -> Module {
    Module::package(&format!("example.com/m{number}"), "v1.0.0")
}

fn list(number: usize) -> String {
    format!("{}/@v/list", module(number).path())
}

/// Makes the kept lists older than their time to live.
fn age_lists(host: &TestHost) {
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    for number in 0..MODULES {
        let file = host.state().join("store").join(list(number));
        let file = File::options().write(true).open(file).unwrap();
        file.set_modified(hour_ago).unwrap();
    }
}

/// How long one answer takes, which must be the old one with its age.
#[track_caller]
fn stale_list(host: &TestHost, number: usize) -> Duration {
    let started = Instant::now();
    let answer = host.get(&list(number));
    let took = started.elapsed();
    assert!(answer.header("age").parse::<u64>().unwrap() >= 3600);
    assert_eq!(answer.expect_body(), b"v1.0.0");
    took
}

#[test]
fn when_packets_are_dropped_one_request_waits_a_second_and_all_others_do_not() {
    let upstream = FakeUpstream::start((0..MODULES).map(module));
    let host = online("A", &upstream).start();
    for number in 0..MODULES {
        host.get(&list(number)).expect_body();
        for extension in ["info", "mod", "zip"] {
            host.get(&module(number).url_path(extension)).expect_body();
        }
    }
    age_lists(&host);
    upstream.go_dark();
    let first = stale_list(&host, 0);
    assert!(first < ONCE_MAX + SLACK, "{first:?}");
    let asked = upstream.traffic_of("*/list").requests;
    for number in 1..MODULES {
        let took = stale_list(&host, number);
        assert!(took < AFTERWARDS_MAX, "{number}: {took:?}");
    }
    assert_eq!(
        upstream.traffic_of("*/list").requests,
        asked,
        "nobody was asked"
    );
    // A real go, with everything to prove, and nothing of it here before.
    let go = host.go(&upstream.sumdb());
    let names: Vec<String> = (0..MODULES).map(|number| module(number).name()).collect();
    let mut command = vec!["mod", "download"];
    command.extend(names.iter().map(String::as_str));
    go.run(&command).expect_success();

    // Back again: whoever needs it is served, and lists are fresh.
    upstream.publish(&Module::package("example.com/new", "v1.0.0"));
    upstream.come_back();
    host.wait_until("upstream is seen to be back", |host| {
        host.get("example.com/new/@v/v1.0.0.mod").status == 200
    });
    let fresh = host.get(&list(1));
    assert_eq!(fresh.header("x-modmesh-source"), "upstream");
}

#[test]
fn a_list_is_not_made_of_what_is_held_while_upstream_is_only_slow() {
    let newer = Module::package(module(0).path(), "v1.1.0");
    let upstream = FakeUpstream::start([module(0), newer]);
    let host = online("A", &upstream).start();
    host.get(&module(0).url_path("mod")).expect_body();
    // One question is not answered, nor is the scout that goes because of it.
    let scouts = "sumdb/sum.golang.org/supported";
    let held = [upstream.hold("example.com/slow/*"), upstream.hold(scouts)];
    let slow = host.request("example.com/slow/@v/v1.0.0.info");
    let slow = std::thread::spawn(move || slow.send());
    upstream.wait_for(scouts, 1, Duration::from_secs(10));
    let answer = host.get(&list(0));
    assert_eq!(answer.header("x-modmesh-source"), "upstream");
    assert_eq!(answer.expect_body(), b"v1.0.0\nv1.1.0");
    held.iter().for_each(|held| held.release());
    assert_eq!(slow.join().unwrap().unwrap().status, 404);
}
