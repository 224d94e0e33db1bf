//! A small file comes from a neighbour with its record and the tiles that prove it by one question, and is held against them like
//! any other.

use std::net::SocketAddr;

use harness::{
    FakeUpstream, HostOptions, LyingPeer, Module, PeerLie, Place, TestHost, TestLog, ZipLie,
};

use crate::scene::{neighbour_of, online};

/// What neighbours asked of `host`, by kind.
fn asked(host: &TestHost, kind: &str) -> f64 {
    host.metric("modmesh_peer_questions_total", &[("kind", kind)])
}

fn tree_size(host: &TestHost) -> u64 {
    let status = host.status();
    status["sumdb"][0]["tree_size"].as_u64().unwrap_or_default()
}

/// Small modules whose records lie far apart below several levels of tiles.
fn scattered() -> (TestLog, Vec<Module>) {
    let mut log = TestLog::new("sumdb.example.test");
    let names = ["one", "two", "three"];
    let modules = names.map(|name| Module::package(&format!("example.com/{name}"), "v1.0.0"));
    for (number, module) in modules.iter().enumerate() {
        log.pad_to(700 + 1000 * number as u64);
        log.append(module);
    }
    log.pad_to(70_000);
    (log, modules.to_vec())
}

#[test]
fn a_small_file_and_all_that_proves_it_come_by_one_question() {
    let (log, modules) = scattered();
    let upstream = FakeUpstream::with_log(log);
    modules.iter().for_each(|module| upstream.publish(module));
    let first = online("A", &upstream).start();
    for module in &modules {
        first.get(&module.url_path("mod")).expect_body();
        first.get(&module.url_path("zip")).expect_body();
    }
    let second = neighbour_of(&first, &upstream);
    // It learns of the head by itself, from its neighbour's greeting.
    second.wait_until("it has its neighbour's head", |host| {
        tree_size(host) == tree_size(&first)
    });
    let kinds = ["locate", "tiles", "head", "file"];
    let before = kinds.map(|kind| asked(&first, kind));
    for (number, module) in modules.iter().enumerate() {
        for (count, (kind, bytes)) in [("mod", module.go_mod()), ("zip", module.zip())]
            .into_iter()
            .enumerate()
        {
            let answer = second.get(&module.url_path(kind));
            assert_eq!(answer.header("x-modmesh-source"), "peer");
            assert_eq!(answer.expect_body(), bytes);
            let questions = (2 * number + count + 1) as f64;
            assert_eq!(asked(&first, "inline"), questions, "{kind}");
        }
    }
    assert_eq!(kinds.map(|kind| asked(&first, kind)), before);
    // All that a client needs is here: the record and its tiles are served with nobody to ask.
    drop(first);
    let go = second.go(&upstream.sumdb());
    for module in &modules {
        go.download(&module.name()).expect_success();
    }
}

#[test]
fn a_large_file_is_asked_for_by_itself_and_its_proof_came_with_the_answer() {
    let (mut log, _) = scattered();
    let module = Module::package("example.com/large", "v1.0.0").bulk("noise.bin", 100_000);
    log.append(&module);
    log.pad_to(71_000);
    let upstream = FakeUpstream::with_log(log);
    upstream.publish(&module);
    let first = online("A", &upstream).start();
    first.get(&module.url_path("zip")).expect_body();
    let second = neighbour_of(&first, &upstream);
    second.wait_until("it has its neighbour's head", |host| {
        tree_size(host) == tree_size(&first)
    });
    let before = ["locate", "tiles"].map(|kind| asked(&first, kind));
    let zip = second.get(&module.url_path("zip")).expect_body();
    assert_eq!(zip, module.zip());
    assert_eq!(
        ["inline", "file"].map(|kind| asked(&first, kind)),
        [1.0, 1.0]
    );
    assert_eq!(["locate", "tiles"].map(|kind| asked(&first, kind)), before);
}

/// What came in one answer is judged like what comes in several, and who gave it is named.
#[test]
fn a_liar_is_named_by_what_it_gave_at_once() {
    let (log, modules) = scattered();
    for (lie, kind) in [
        (PeerLie::GoMod, "mod"),
        (PeerLie::OtherFile, "mod"),
        (PeerLie::OtherFile, "zip"),
        (PeerLie::Zip(ZipLie::Tampered), "zip"),
        (PeerLie::Record, "mod"),
        (PeerLie::Tile, "mod"),
        (PeerLie::OtherRecord, "zip"),
    ] {
        let liar = LyingPeer::start(&modules, &log, lie);
        let host = HostOptions::new("B")
            .sumdb(&log.verifier_key())
            .peer(&liar.peer_address())
            .start();
        host.wait_for_neighbours(1);
        host.wait_until("it has the liar's head", |host| {
            tree_size(host) == log.size()
        });
        let files = liar.files_given();
        let path = modules[0].url_path(kind);
        assert_ne!(host.get(&path).status, 200, "{lie:?}");
        let peers = host.peers();
        assert!(!peers[0]["banned_until"].is_null(), "{lie:?}: {peers:#}");
        assert_eq!(liar.questions("inline"), 1, "{lie:?}");
        assert_eq!(liar.questions("file"), 0, "{lie:?}");
        assert_eq!(liar.files_given(), files + 1, "{lie:?}");
        let failures = host.metric("modmesh_verification_failures_total", &[("from", "peer")]);
        assert!(failures >= 1.0, "{lie:?}");
    }
}

#[test]
fn after_a_lie_that_came_at_once_the_others_are_asked() {
    let (log, modules) = scattered();
    let liar = LyingPeer::start(&modules, &log, PeerLie::GoMod);
    let host = HostOptions::new("B")
        .sumdb(&log.verifier_key())
        .peer(&liar.peer_address())
        .start();
    host.wait_for_neighbours(1);
    // Its zips are true, and so it is asked first from then on.
    let zip = host.get(&modules[0].url_path("zip")).expect_body();
    assert_eq!(zip, modules[0].zip());
    let (here, listen) = (Place::Here, SocketAddr::from(([127, 0, 0, 1], 0)));
    let dial = [host.peer_address()];
    let honest = LyingPeer::start_in(&here, listen, &modules, &log, PeerLie::None, &dial, false);
    host.wait_for_neighbours(2);
    let before = liar.questions("inline");
    for module in &modules {
        let answer = host.get(&module.url_path("mod"));
        assert_eq!(answer.expect_body(), module.go_mod());
        assert_eq!(liar.questions("inline"), before + 1);
    }
    let banned = |name: String| {
        let peers = host.peers();
        let mut entries = peers.as_array().unwrap().iter();
        let entry = entries.find(|entry| entry["peer_id"] == name);
        !entry.unwrap()["banned_until"].is_null()
    };
    assert!(banned(liar.peer_id()));
    assert!(!banned(honest.peer_id()));
}
