//! Neighbours that lie: `go` gets only what is true, and the liar is named and left alone.

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

fn find_entry(host: &TestHost, peer_id: &str) -> Option<Value> {
    let peers = host.peers();
    let mut entries = peers.as_array().unwrap().iter();
    entries.find(|entry| entry["peer_id"] == peer_id).cloned()
}

#[track_caller]
fn entry_of(host: &TestHost, peer_id: &str) -> Value {
    find_entry(host, peer_id).unwrap_or_else(|| panic!("{peer_id} is not in {:#}", host.peers()))
}

/// Waits until the host has met these neighbours. A liar about the log may be caught by the head it greets with, before
/// anybody asks it for anything.
#[track_caller]
fn wait_until_met(host: &TestHost, neighbours: &[&LyingPeer]) {
    host.wait_until("it has met its neighbours", |host| {
        neighbours.iter().all(|neighbour| {
            let entry = find_entry(host, &neighbour.peer_id()).unwrap_or_default();
            entry["connected"] == true || !entry["banned_until"].is_null()
        })
    });
}

/// The entry of a neighbour that was caught: it is banned, its evidence lies on the disk, and it is put out.
#[track_caller]
fn expect_caught(host: &TestHost, liar: &LyingPeer, lie: PeerLie) {
    // The answer does not wait for the disk.
    host.wait_until("the file of the evidence is told", |host| {
        let entry = find_entry(host, &liar.peer_id()).unwrap_or_default();
        entry["evidence"][0]["file"].is_string()
    });
    let entry = entry_of(host, &liar.peer_id());
    assert!(!entry["banned_until"].is_null(), "{lie:?}: {entry:#}");
    assert_eq!(entry["connected"], false, "{lie:?}: {entry:#}");
    let evidence = entry["evidence"].as_array().unwrap();
    assert!(!evidence.is_empty(), "{lie:?}: {entry:#}");
    for key in ["at", "what", "file"] {
        let value = evidence[0][key].as_str().unwrap_or_default();
        assert!(!value.is_empty(), "{lie:?}: {entry:#}");
    }
    let failures = host.metric("modmesh_verification_failures_total", &[("from", "peer")]);
    assert!(failures >= 1.0, "{lie:?}: {failures}");
    // Of a false file, its bytes.
    let is_file = matches!(lie, PeerLie::Zip(_) | PeerLie::GoMod);
    let least = if is_file { 1 } else { 0 };
    let beginning: &[u8] = match lie {
        PeerLie::GoMod => b"module example.com/",
        _ => b"",
    };
    host.wait_until("the evidence is on the disk", |host| {
        let folder = std::fs::read_dir(host.state().join("evidence"));
        let files = folder.into_iter().flatten().flatten();
        files
            .filter_map(|file| std::fs::read(file.path()).ok())
            .any(|text| {
                let head_end = text.windows(2).position(|two| two == b"\n\n");
                let bytes = head_end.and_then(|end| text.get(end + 2..));
                bytes.is_some_and(|bytes| bytes.len() >= least && bytes.starts_with(beginning))
            })
    });
}

#[test]
fn alone_with_a_liar_go_gets_nothing_and_the_liar_is_named() {
    let module = hello();
    let log = log_with(&module);
    for lie in PeerLie::all() {
        let liar = LyingPeer::start(std::slice::from_ref(&module), &log, lie);
        let host = HostOptions::new("B")
            .sumdb(&log.verifier_key())
            .peer(&liar.peer_address())
            .start();
        wait_until_met(&host, &[&liar]);
        let go = host.go(&log.verifier_key());
        let output = go.download("example.com/hello@v1.0.0");
        assert!(!output.status.success(), "{lie:?}: {output}");
        expect_caught(&host, &liar, lie);
        assert_eq!(liar.connected(), 0, "{lie:?}");
    }
}

#[test]
fn a_liar_that_is_asked_first_is_named_and_left_alone_while_go_gets_the_truth_from_another() {
    let modules = [hello(), Module::package("example.com/word", "v1.0.0")];
    let mut log = log_with(&modules[0]);
    log.append(&modules[1]);
    let honest = LyingPeer::start(&modules, &log, PeerLie::None);
    for lie in PeerLie::all() {
        let liar = LyingPeer::start(&modules, &log, lie);
        // The quicker answer is tried first, and the honest neighbour is further away.
        let (_line, further) = honest.at_distance(Duration::from_millis(30));
        let host = HostOptions::new("B")
            .sumdb(&log.verifier_key())
            .peer(&liar.peer_address())
            .peer(&further)
            .start();
        wait_until_met(&host, &[&liar, &honest]);
        let started = Instant::now();
        let go = host.go(&log.verifier_key());
        go.download("example.com/hello@v1.0.0").expect_success();
        assert!(started.elapsed() < Duration::from_secs(10), "{lie:?}");
        let zip = go.downloaded(&modules[0].url_path("zip"));
        assert_eq!(zip, Some(modules[0].zip()), "{lie:?}");
        let go_mod = go.downloaded(&modules[0].url_path("mod"));
        assert_eq!(go_mod, Some(modules[0].go_mod()), "{lie:?}");
        expect_caught(&host, &liar, lie);

        let asked = || (liar.files_given(), liar.records_given(), liar.tiles_given());
        let before = asked();
        go.download("example.com/word@v1.0.0").expect_success();
        assert_eq!(asked(), before, "{lie:?}");
        // The honest one is never blamed.
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
