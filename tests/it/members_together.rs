//! Members that want at the same moment what nothing proves: one of them asks upstream, and the others have it on its word.

use std::thread;
use std::time::Duration;

use harness::{FakeUpstream, Fault, HostOptions, Module, TestHost};

use crate::members::Files;
use crate::together::{STARVED, ask_all, assert_crossed_once, build, large, of_three_tiles, small};

const MEMBERS: usize = 6;

/// Members that all know each other.
fn members(
    files: &Files,
    upstream: &FakeUpstream,
    setting: impl Fn(HostOptions) -> HostOptions,
) -> Vec<TestHost> {
    let mut hosts: Vec<TestHost> = Vec::new();
    for number in 0..MEMBERS {
        let options = HostOptions::new(&format!("host-{number}")).upstream(&upstream.url());
        let mut options = setting(files.member(options));
        for host in &hosts {
            options = options.peer(&host.peer_address());
        }
        hosts.push(options.start());
    }
    for host in &hosts {
        host.wait_for_neighbours(MEMBERS as u64 - 1);
    }
    hosts
}

/// An upstream of a module that no database lists, whose zip takes two seconds.
fn unlisted(module: &Module) -> FakeUpstream {
    let upstream = FakeUpstream::start([]);
    upstream.publish_unlisted(module);
    upstream.fault("*.zip", Fault::Trickle(600_000));
    upstream
}

#[track_caller]
fn assert_asked_once(upstream: &FakeUpstream, pattern: &str) {
    let requests = upstream.traffic_of(pattern).requests;
    assert!(
        (1..=STARVED).contains(&requests),
        "{pattern}: {requests} requests: {:#?}",
        upstream.requests()
    );
}

#[test]
fn a_private_file_that_six_members_want_at_once_is_fetched_once() {
    let (files, module) = (Files::new(), large());
    let upstream = unlisted(&module);
    let private = |host: HostOptions| {
        let host = host.argument("--private").argument("example.com/*");
        host.only_sumdb(&upstream.sumdb_with_url())
    };
    let hosts = members(&files, &upstream, private);
    ask_all(&hosts, &module.url_path("zip"), &module.zip());
    assert_asked_once(&upstream, "*.zip");
    ask_all(&hosts, &module.url_path("mod"), &module.go_mod());
    assert_asked_once(&upstream, "*.mod");
    assert_eq!(upstream.traffic_of("sumdb/*").requests, 0);
}

#[test]
fn a_file_that_the_database_does_not_list_is_fetched_once_for_six_members() {
    let (files, module) = (Files::new(), large());
    let upstream = unlisted(&module);
    let judged = |host: HostOptions| host.only_sumdb(&upstream.sumdb_with_url());
    let hosts = members(&files, &upstream, judged);
    ask_all(&hosts, &module.url_path("zip"), &module.zip());
    assert_asked_once(&upstream, "*.zip");
    for host in &hosts {
        assert!(
            host.peers()
                .as_array()
                .is_some_and(|all| { all.iter().all(|peer| peer["banned_until"].is_null()) })
        );
    }
}

#[test]
fn what_six_members_ask_upstream_at_once_one_of_them_asks() {
    let (files, module) = (Files::new(), large());
    let upstream = FakeUpstream::start([module.clone()]);
    upstream.fault("*/@*", Fault::Late(Duration::from_millis(700)));
    let hosts = members(&files, &upstream, |host| host.only_sumdb(&upstream.sumdb()));
    let info = module.url_path("info");
    for path in [
        "example.com/large/@v/list",
        "example.com/large/@latest",
        info.as_str(),
    ] {
        thread::scope(|scope| {
            let answers = hosts.iter().map(|host| scope.spawn(move || host.get(path)));
            let answers: Vec<_> = answers.collect();
            let mut sources = Vec::new();
            for answer in answers {
                let answer = answer.join().unwrap();
                sources.push(answer.header("x-modmesh-source").to_owned());
                assert!(!answer.expect_body().is_empty(), "{path}");
            }
            assert!(
                sources.iter().any(|source| source == "peer"),
                "{path}: {sources:?}"
            );
        });
        assert_asked_once(&upstream, path);
    }
}

#[test]
fn a_project_that_six_members_build_at_once_crosses_upstreams_line_once() {
    let (files, modules) = (Files::new(), small(12));
    let upstream = of_three_tiles(&modules);
    let hosts = members(&files, &upstream, |host| host.only_sumdb(&upstream.sumdb()));
    build(&hosts, &modules, &["list", "info", "mod", "zip"]);
    let of_modules = ["*/list", "*.info", "*.mod", "*.zip", "sumdb/*/lookup/*"];
    assert_crossed_once(&upstream, &of_modules.map(|pattern| (pattern, 12)));
    assert_crossed_once(&upstream, &[("*/tile/*", 3)]);
}

#[test]
fn that_there_is_no_such_thing_one_of_six_members_asks() {
    let (files, upstream) = (Files::new(), FakeUpstream::start([]));
    let late = Fault::Late(Duration::from_millis(700));
    upstream.fault("*/@*", late);
    let setting = upstream.sumdb_with_url();
    let hosts = members(&files, &upstream, |host| host.only_sumdb(&setting));
    for path in [
        "example.com/nothing/@v/list",
        "example.com/nothing/@v/v1.0.0.info",
        "example.com/nothing/@v/v1.0.0.mod",
    ] {
        thread::scope(|scope| {
            let answers = hosts.iter().map(|host| scope.spawn(move || host.get(path)));
            let answers: Vec<_> = answers.collect();
            let answers = answers.into_iter().map(|answer| answer.join().unwrap());
            let answers: Vec<_> = answers.collect();
            assert!(answers.iter().all(|no| no.status == 404), "{path}");
            // Most have it from a member, and say so.
            let said_to_member = "upstream said so to member";
            let told = answers
                .iter()
                .filter(|no| no.text().contains(said_to_member));
            assert!(told.count() > 0, "{path}");
        });
        assert_asked_once(&upstream, path);
    }
    // And what is proven is given whatever an upstream says.
    let module = large();
    upstream.publish(&module);
    upstream.heal();
    hosts[0].get(&module.url_path("zip")).expect_body();
    upstream.fault("*.zip", Fault::status(404, "not found: gone"));
    for host in &hosts {
        assert_eq!(
            host.get(&module.url_path("zip")).expect_body(),
            module.zip()
        );
    }
}

#[test]
fn a_no_of_a_member_that_asks_another_upstream_says_nothing() {
    let (files, module) = (Files::new(), large());
    let (with, without) = (
        FakeUpstream::start([module.clone()]),
        FakeUpstream::start([]),
    );
    let start = |name: &str, upstream: &FakeUpstream, peers: &[String]| {
        let host = HostOptions::new(name).upstream(&upstream.url());
        let host = peers
            .iter()
            .fold(files.member(host), |host, peer| host.peer(peer));
        host.only_sumdb(&with.sumdb_with_url()).start()
    };
    let one = start("A", &without, &[]);
    let other = start("B", &with, &[one.peer_address()]);
    one.wait_for_neighbours(1);
    other.wait_for_neighbours(1);
    let list = "example.com/large/@v/list";
    assert_eq!(one.get(list).status, 404);
    assert_eq!(other.get(list).text(), "v1.0.0");
    // Nor does what it lists count for the one whose upstream has it not.
    assert_eq!(one.get(list).status, 404);
}

#[test]
fn members_that_wait_while_upstream_goes_away_find_out_at_the_same_time() {
    let (files, module) = (Files::new(), large());
    let upstream = FakeUpstream::start([module.clone()]);
    let hosts = members(&files, &upstream, |host| host.only_sumdb(&upstream.sumdb()));
    // One asks, and the others wait for it, when connections begin to be refused.
    let held = upstream.hold("*/@v/list");
    thread::scope(|scope| {
        let ask = |host| scope.spawn(move || TestHost::get(host, "example.com/large/@v/list"));
        let answers: Vec<_> = hosts.iter().map(ask).collect();
        upstream.wait_for("*/@v/list", 1, Duration::from_secs(20));
        upstream.close();
        drop(held);
        for answer in answers {
            assert_eq!(answer.join().unwrap().status, 504);
        }
    });
}
