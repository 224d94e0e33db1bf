//! One neighbour lies, one is honest, and the host between them has no upstream: its `go` gets only what is true, and the
//! liar is named.

use std::time::{Duration, Instant};

use harness::{FakeUpstream, HostOptions, LyingPeer, Module, PeerLie, TestHost, TestLog};
use serde_json::Value;

use crate::scene::{hello, online};

/// A log in which the module lies below several levels of tiles.
fn log_with(module: &Module) -> TestLog {
    let mut log = TestLog::new("sumdb.example.test");
    log.pad_to(700);
    log.append(module);
    log.pad_to(70_000);
    log
}

fn entry_of(host: &TestHost, peer_id: &str) -> Value {
    let peers = host.peers();
    let entries = peers.as_array().unwrap().iter();
    let entry = entries.clone().find(|entry| entry["peer_id"] == peer_id);
    entry
        .unwrap_or_else(|| panic!("{peer_id} is not in {peers:#}"))
        .clone()
}

#[test]
fn every_liar_is_named_and_go_gets_only_true_bytes_from_the_honest_neighbour() {
    let module = hello();
    let log = log_with(&module);
    let upstream = FakeUpstream::with_log(log.clone());
    upstream.publish(&module);
    let honest = online("C", &upstream).start();
    honest.get(&module.url_path("mod")).expect_body();
    honest.get(&module.url_path("zip")).expect_body();
    for lie in PeerLie::all() {
        let liar = LyingPeer::start(std::slice::from_ref(&module), &log, lie);
        let host = HostOptions::new("B")
            .sumdb(&upstream.sumdb())
            .peer(&liar.peer_address())
            .start();
        host.wait_for_neighbours(1);
        // Alone with the liar: nothing is better than a lie.
        let go = host.go(&upstream.sumdb());
        let output = go.download("example.com/hello@v1.0.0");
        assert!(!output.status.success(), "{lie:?}: {output}");
        let entry = entry_of(&host, &liar.peer_id());
        assert!(!entry["banned_until"].is_null(), "{lie:?}: {entry:#}");
        let evidence = entry["evidence"].as_array().unwrap();
        assert!(!evidence.is_empty(), "{lie:?}: {entry:#}");
        assert_eq!(liar.connected(), 0, "{lie:?}");
    }

    for lie in PeerLie::all() {
        let liar = LyingPeer::start(std::slice::from_ref(&module), &log, lie);
        let host = HostOptions::new("B")
            .sumdb(&upstream.sumdb())
            .peer(&liar.peer_address())
            .peer(&honest.peer_address())
            .start();
        host.wait_for_neighbours(2);
        let started = Instant::now();
        let go = host.go(&upstream.sumdb());
        go.download("example.com/hello@v1.0.0").expect_success();
        let zip = go.downloaded(&module.url_path("zip"));
        assert_eq!(zip, Some(module.zip()), "{lie:?}");
        let go_mod = go.downloaded(&module.url_path("mod"));
        assert_eq!(go_mod, Some(module.go_mod()), "{lie:?}");
        assert!(started.elapsed() < Duration::from_secs(10), "{lie:?}");
        // The honest one is never blamed, whether or not the liar was asked first.
        let entry = entry_of(&host, &honest.peer_id());
        assert!(entry["banned_until"].is_null(), "{lie:?}: {entry:#}");
    }
}

#[test]
fn an_honest_neighbour_without_a_daemon_is_as_good_as_any() {
    let module = hello();
    let log = log_with(&module);
    let neighbour = LyingPeer::start(std::slice::from_ref(&module), &log, PeerLie::None);
    let host = HostOptions::new("B")
        .sumdb(&log.verifier_key())
        .peer(&neighbour.peer_address())
        .start();
    host.wait_for_neighbours(1);
    let go = host.go(&log.verifier_key());
    go.download("example.com/hello@v1.0.0").expect_success();
    let entry = entry_of(&host, &neighbour.peer_id());
    assert!(entry["banned_until"].is_null(), "{entry:#}");
}

#[test]
fn a_liar_is_left_alone_after_its_lie() {
    let modules = [hello(), Module::package("example.com/word", "v1.0.0")];
    let mut log = log_with(&modules[0]);
    log.append(&modules[1]);
    let upstream = FakeUpstream::with_log(log.clone());
    modules.iter().for_each(|module| upstream.publish(module));
    let liar = LyingPeer::start(&modules, &log, PeerLie::Zip(harness::ZipLie::Tampered));
    let host = online("B", &upstream).peer(&liar.peer_address()).start();
    host.wait_for_neighbours(1);
    let zip = |module: &Module| host.get(&module.url_path("zip")).expect_body();
    assert_eq!(zip(&modules[0]), modules[0].zip());
    let given = liar.files_given();
    assert!(given >= 1);
    assert_eq!(zip(&modules[1]), modules[1].zip());
    assert_eq!(liar.files_given(), given);
    assert!(host.metric("modmesh_verification_failures_total", &[]) >= 1.0);
}
