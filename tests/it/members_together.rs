//! Members that want at the same moment what nothing proves: one of them asks upstream, and the others have it on its word.

use harness::{FakeUpstream, Fault, HostOptions, Module, TestHost};

use crate::members::Files;
use crate::together::{STARVED, ask_all, large};

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
