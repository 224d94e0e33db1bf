//! After a log was given up and before the next one is known: what is refused, what is told, and what is not forgotten.

use std::process::Command;
use std::time::Duration;

use harness::host::modmesh_binary;
use harness::{FakeUpstream, HeadPolicy, LyingPeer, Module, PeerLie, TestHost, TestLog, process};

use crate::begun_anew::{NAME, after, lookup, meet, rebuilt, shown};
use crate::scene::{hello, neighbour_of, online};

#[track_caller]
fn refused(host: &TestHost, arguments: &[&str], words: &[&str]) {
    let refused = host.sumdb(arguments);
    assert!(!refused.status.success(), "{refused}");
    for word in words {
        assert!(refused.stderr.contains(word), "{word}: {refused}");
    }
}

fn given_up(host: &TestHost) -> usize {
    let entries = std::fs::read_dir(host.state().join("sumdb-given-up"));
    entries.map_or(0, Iterator::count)
}

#[test]
fn what_was_accepted_waits_for_the_database_and_is_told_of() {
    let (host, upstream) = rebuilt(400);
    meet(&host);
    upstream.close();
    let said = host.sumdb(&["accept", NAME]).expect_success().stdout;
    for words in ["do the same on each host", "comes with the next lookup"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let accepted = shown(&host)["accepted"]["name"].as_str().map(str::to_owned);
    let accepted = accepted.unwrap();
    refused(&host, &["accept", NAME], &["accepted already", &accepted]);
    refused(&host, &["forget", NAME], &["--yes", &accepted]);
    // The database has a head, and this host does not know it yet.
    let latest = host.get(&format!("sumdb/{NAME}/latest"));
    assert_eq!(latest.status, 503, "{}", latest.text());
    let tile = host.get(&format!("sumdb/{NAME}/tile/8/0/000.p/12"));
    assert!(tile.status >= 500, "{} {}", tile.status, tile.text());
    upstream.come_back();
    upstream.send_heads(HeadPolicy::Current);
    host.wait_until("the database is asked again", |host| {
        host.get(&lookup(&hello())).status == 200
    });
    let latest = host.get(&format!("sumdb/{NAME}/latest"));
    assert_eq!(latest.status, 200);
}

#[test]
fn where_nothing_is_known_there_is_nothing_to_forget_and_the_evidence_stays() {
    let (host, upstream) = rebuilt(400);
    meet(&host);
    upstream.close();
    host.sumdb(&["forget", NAME]).expect_success();
    for _ in 0..5 {
        refused(&host, &["forget", NAME, "--yes"], &["nothing to forget"]);
    }
    assert_eq!(given_up(&host), 1);
    assert_eq!(shown(&host)["log"], 1);
}

#[test]
fn an_info_that_followed_from_a_log_goes_with_it() {
    let gone = Module::package("example.com/gone", "v1.0.0");
    let mut old = TestLog::new(NAME);
    old.append(&hello());
    old.append(&gone);
    old.pad_to(300);
    let upstream = FakeUpstream::with_log(old);
    let host = online("A", &upstream).start();
    host.get(&lookup(&gone)).expect_body();
    upstream.close();
    let info = gone.url_path("info");
    host.wait_until("upstream is seen to be gone", |host| {
        host.get(&info).status == 200
    });
    upstream.log(|log| {
        *log = TestLog::new(NAME);
        log.append(&after());
        log.pad_to(400);
    });
    upstream.come_back();
    host.wait_until("the other log is met", |host| {
        host.get(&lookup(&after())).text().contains("SECURITY")
    });
    host.sumdb(&["accept", NAME]).expect_success();
    upstream.close();
    host.wait_until("upstream is seen to be gone again", |host| {
        host.get(&hello().url_path("mod")).status >= 500
    });
    let answer = host.get(&info);
    assert_ne!(answer.status, 200, "{}", answer.text());
}

#[test]
fn a_head_that_is_none_and_a_key_in_the_place_of_a_name_are_understood() {
    let (host, upstream) = rebuilt(400);
    refused(
        &host,
        &["accept", NAME, "--head", "garbage"],
        &["SIZE.ROOT"],
    );
    let said = host.sumdb(&["accept", NAME]);
    assert!(!said.stderr.contains("forget"), "{said}");
    let key = upstream.log(|log| log.verifier_key());
    let told = host.sumdb(&["show", &key]).expect_success().stdout;
    assert!(told.starts_with(NAME), "{told}");
    refused(&host, &["accept"], &["modmesh sumdb accept --help"]);
    let begun = host.sumdb(&["forget", NAME, "--yes"]).expect_success();
    assert!(!begun.stdout.contains("each host"), "{begun}");
}

/// A neighbour follows the old log: it was not told yet, and has only what its own clients needed.
#[test]
fn a_neighbour_at_the_old_log_is_not_banned_when_the_new_one_is_proved() {
    let (host, upstream) = rebuilt(400);
    let neighbour = neighbour_of(&host, &upstream);
    neighbour.get(&hello().url_path("mod")).expect_body();
    meet(&host);
    host.sumdb(&["accept", NAME]).expect_success();
    host.wait_until("it is told who", |host| {
        let who = shown(host)["showing_given_up"].to_string();
        who.contains(&neighbour.peer_id())
    });
    assert!(host.peers()[0]["banned_until"].is_null());
    let notices = host.status()["notices"].to_string();
    assert!(!notices.contains("SECURITY"), "{notices}");
}

/// Who offers a signed fork and keeps its tiles to itself does not have the upstream accused by it.
#[test]
fn who_shows_a_fork_without_its_tiles_is_named_by_the_next_lookup() {
    let mut log = TestLog::new(NAME);
    log.append(&hello());
    log.pad_to(300);
    let mut fork = log.with_record_replaced(10, "another record\n");
    fork.pad_to(310);
    let upstream = FakeUpstream::with_log(log.clone());
    upstream.publish_unlisted(&hello());
    let mut host = online("A", &upstream).start();
    host.get(&hello().url_path("zip")).expect_body();
    upstream.log(|log| {
        log.append(&after());
        log.pad_to(320);
    });
    let liar = LyingPeer::start(&[], &fork, PeerLie::SilentAboutTiles);
    let tiles = format!("sumdb/{NAME}/tile/*");
    let before = upstream.traffic_of(&tiles).requests;
    host.restart_with(|options| options.peer(&liar.peer_address()));
    upstream.wait_for(&tiles, before + 1, Duration::from_secs(20));
    host.get(&lookup(&after())).expect_body();
    host.wait_for_line("SECURITY");
    let evidence = shown(&host)["contradictions"][0].take();
    assert_eq!(evidence["other"]["size"], 310, "{evidence:#}");
    assert_eq!(evidence["ours"]["size"], 320, "{evidence:#}");
    let by = evidence["shown_by"].as_str().unwrap_or_default();
    assert!(by.contains(&liar.peer_id()), "{by}");
    let false_parts = host.logged().iter().any(|line| line.contains("false part"));
    assert!(!false_parts, "{:?}", host.logged());
}

/// As `status` finds it: by the address that is set, or by the one to which `go` leads.
#[test]
fn sumdb_asks_the_daemon_that_status_asks_where_no_folder_is_named() {
    let (host, _upstream) = rebuilt(400);
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(modmesh_binary());
    command.env_clear().env("HOME", home.path());
    command.current_dir(home.path()).args(["sumdb", "show"]);
    let alone = process::run(&mut command, Duration::from_secs(60));
    assert!(!alone.stdout.contains(NAME), "{alone}");
    let listen = host.url().replace("http://", "");
    command.env("MODMESH_LISTEN", listen);
    let told = process::run(&mut command, Duration::from_secs(60)).expect_success();
    assert!(told.stdout.starts_with(NAME), "{told}");
    // Where the folder is named the commands that are told of name it, too.
    meet(&host);
    let told = host.sumdb(&["show", NAME]).expect_success().stdout;
    let accept = format!(
        "modmesh sumdb accept {NAME} --state '{}'",
        host.state().display()
    );
    assert!(told.contains(&accept), "{accept}: {told}");
}
