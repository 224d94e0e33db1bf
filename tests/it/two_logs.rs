//! A checksum database that shows two logs: a person is told, and nobody but the database is accused. And heads of
//! neighbours in general.

use harness::{FakeUpstream, LyingPeer, Module, PeerLie, TestLog};

use crate::scene::{hello, online};

#[test]
fn a_neighbour_that_was_shown_another_log_makes_a_security_notice_and_is_not_banned() {
    let after = Module::package("example.com/after", "v1.0.0");
    let mut log = TestLog::new("sumdb.example.test");
    log.append(&hello());
    log.pad_to(300);
    let mut fork = log.with_record_replaced(10, "another record\n");
    fork.append(&after);
    fork.pad_to(310);
    let upstream = FakeUpstream::with_log(log.clone());
    upstream.publish(&hello());
    let mut host = online("A", &upstream).start();
    host.get(&hello().url_path("zip")).expect_body();
    assert_eq!(host.status()["sumdb"][0]["tree_size"], 300);

    let neighbour = LyingPeer::start(std::slice::from_ref(&after), &fork, PeerLie::None);
    host.restart_with(|options| options.peer(&neighbour.peer_address()));
    // It greets with its larger head.
    host.wait_for_line("SECURITY");
    host.wait_for_neighbours(1);
    // A record under that head is refused; where nobody else lists it, the answer says why.
    let lookup = format!("sumdb/{}/lookup/example.com/after@v1.0.0", log.name());
    assert_ne!(host.get(&lookup).status, 200);

    let status = host.status();
    assert_eq!(status["sumdb"][0]["tree_size"], 300);
    let notice = status["notices"][0].as_str().unwrap_or_default();
    assert!(notice.contains("SECURITY"), "{status:#}");
    let name = [("name", log.name())];
    assert!(host.metric("modmesh_sumdb_contradictions_total", &name) >= 1.0);
    let folder = host.state().join("sumdb").join(log.name());
    let folder = folder.join("contradiction");
    assert!(notice.contains(&folder.display().to_string()), "{status:#}");
    let kept: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    assert_eq!(kept.len(), 1);
    for head in [log.head(300), fork.head(310)] {
        assert!(kept[0].contains(&head), "{}", kept[0]);
    }
    let peers = host.peers();
    assert!(peers[0]["banned_until"].is_null(), "{peers:#}");
    assert_eq!(peers[0]["connected"], true, "{peers:#}");
}

#[test]
fn the_head_of_any_neighbour_is_heard_not_only_of_the_first_ones() {
    let mut log = TestLog::new("sumdb.example.test");
    log.append(&hello());
    log.pad_to(320);
    let neighbours: Vec<_> = (1..=12)
        .map(|turn| LyingPeer::start(&[], &log.fork_at(200 + 10 * turn), PeerLie::None))
        .collect();
    // Each time the one that comes last knows most.
    let mut host = harness::HostOptions::new("B").sumdb(&log.verifier_key());
    for neighbour in &neighbours {
        host = host.peer(&neighbour.peer_address());
    }
    let host = host.start();
    host.wait_until("the largest head is current", |host| {
        host.status()["sumdb"][0]["tree_size"] == 320
    });
}
