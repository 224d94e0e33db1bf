//! A private checksum database that was rebuilt with its old key: the contradiction is told of with the way out, and the
//! way out works, for `go` and for what is kept.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use harness::{FakeUpstream, Module, TestHost, TestLog};

use crate::go_sum::give;
use crate::scene::{hello, neighbour_of, online, stored};

pub(crate) const NAME: &str = "sumdb.example.test/internal";
/// After a start in the middle of a switch files are judged again in the first round, which comes after 30 s.
const A_ROUND: Duration = Duration::from_secs(60);

/// A module whose contents were changed under its version before the log was rebuilt.
fn changed() -> Module {
    Module::package("example.com/changed", "v1.0.0")
}

fn changed_since() -> Module {
    changed().file("more.go", "package changed\n")
}

pub(crate) fn after() -> Module {
    Module::package("example.com/after", "v1.0.0")
}

fn zip(module: &Module) -> String {
    module.url_path("zip")
}

/// A host that has `hello` and `changed` by the old log of 300 records, behind an upstream whose log was rebuilt to `size`.
pub(crate) fn rebuilt(size: u64) -> (TestHost, FakeUpstream) {
    let mut old = TestLog::new(NAME);
    old.append(&hello());
    old.append(&changed());
    old.pad_to(300);
    let upstream = FakeUpstream::with_log(old);
    upstream.publish(&hello());
    upstream.publish(&changed());
    let host = online("A", &upstream).start();
    for module in [hello(), changed()] {
        for kind in ["mod", "zip"] {
            host.get(&module.url_path(kind)).expect_body();
        }
    }
    let mut new = TestLog::new(NAME);
    new.append(&after());
    new.append(&hello());
    new.append(&changed_since());
    new.pad_to(size);
    upstream.log(|log| *log = new);
    upstream.publish(&after());
    upstream.publish(&changed_since());
    (host, upstream)
}

/// Lets the host meet the new log.
pub(crate) fn meet(host: &TestHost) {
    assert_ne!(host.get(&lookup(&after())).status, 200);
    host.wait_for_line("SECURITY");
}

pub(crate) fn lookup(module: &Module) -> String {
    format!("sumdb/{NAME}/lookup/{}@{}", module.path(), module.version())
}

fn contradictions(host: &TestHost) -> f64 {
    host.metric("modmesh_sumdb_contradictions_total", &[("name", NAME)])
}

/// What `modmesh sumdb show` tells of the database.
pub(crate) fn shown(host: &TestHost) -> serde_json::Value {
    let shown = host.sumdb(&["show", NAME, "--json"]).expect_success();
    let mut shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    shown["databases"][0].take()
}

#[track_caller]
fn follows_the_new_log(host: &TestHost, upstream: &FakeUpstream) {
    let body = host.get(&lookup(&hello())).expect_body();
    let expected = upstream.log(|log| log.lookup("example.com/hello", "v1.0.0", log.size()));
    assert_eq!(String::from_utf8(body).ok(), expected);
    // What is equal in it is served again, and to neighbours; what is not is gone, and the true one is fetched.
    host.wait_longer(A_ROUND, "what is equal is proven again", |_| {
        stored(host, &hello(), "zip").exists()
    });
    let before = upstream.traffic_of(&zip(&hello())).requests;
    host.get(&zip(&hello())).expect_body();
    assert_eq!(upstream.traffic_of(&zip(&hello())).requests, before);
    host.wait_longer(A_ROUND, "what is not is dropped", |host| {
        !host.state().join("apart").join(zip(&changed())).exists()
    });
    let given = host.get(&zip(&changed())).expect_body();
    assert_eq!(given, changed_since().zip());
    let notices = host.status()["notices"].to_string();
    assert!(!notices.contains("SECURITY"), "{notices}");
}

#[test]
fn a_rebuilt_log_is_told_of_and_accepted_and_go_builds_with_it() {
    let (host, upstream) = rebuilt(400);
    meet(&host);
    let notices = host.status()["notices"].to_string();
    assert!(
        notices.contains(&format!("modmesh sumdb show {NAME}")),
        "{notices}"
    );
    let shown = host.sumdb(&["show", NAME]).expect_success().stdout;
    let new_head = upstream.log(|log| log.size());
    for words in [
        "SECURITY",
        "300 records",
        &format!("{new_head} records"),
        "shown by upstream",
        &format!("modmesh sumdb accept {NAME}"),
        &format!("modmesh sumdb forget {NAME}"),
        "pkg/sumdb",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let counted = contradictions(&host);
    assert!(counted >= 1.0);
    let begun = host
        .sumdb(&["accept", NAME, "--json"])
        .expect_success()
        .stdout;
    let begun: serde_json::Value = serde_json::from_str(&begun).unwrap();
    assert_eq!(begun["is_current"], true, "{begun:#}");
    assert_eq!(begun["accepted"]["size"], new_head, "{begun:#}");
    assert_eq!(begun["doubted"], 4, "{begun:#}");
    let aside = std::path::PathBuf::from(begun["aside"].as_str().unwrap());
    assert!(aside.join("head/300").is_file());
    assert_eq!(
        std::fs::read_dir(aside.join("contradiction"))
            .unwrap()
            .count(),
        1
    );
    follows_the_new_log(&host, &upstream);
    let go = host.go(&upstream.sumdb());
    for module in [
        "example.com/after@v1.0.0",
        "example.com/hello@v1.0.0",
        "example.com/changed@v1.0.0",
    ] {
        go.download(module).expect_success();
    }
    let neighbour = neighbour_of(&host, &upstream);
    neighbour.get(&zip(&hello())).expect_body();
    assert_eq!(contradictions(&host), counted);
    // It is settled: there is nothing more to accept.
    let again = host.sumdb(&["accept", NAME]);
    assert_eq!(again.status.code(), Some(1), "{again}");
    assert!(again.stderr.contains("nothing to accept"), "{again}");
}

#[test]
fn a_rebuilt_log_is_followed_after_the_old_one_was_forgotten_also_when_it_is_small() {
    let (mut host, upstream) = rebuilt(12);
    // Nobody can tell whether 12 records are the beginning of 300, for the tile in between is another one now, or is here.
    assert_ne!(host.get(&lookup(&after())).status, 200);
    let forgotten = host
        .sumdb(&["forget", NAME, "--yes"])
        .expect_success()
        .stdout;
    assert!(forgotten.contains("begun afresh"), "{forgotten}");
    follows_the_new_log(&host, &upstream);
    host.restart();
    follows_the_new_log(&host, &upstream);
    let go = host.go(&upstream.sumdb());
    go.download("example.com/after@v1.0.0").expect_success();
}

#[test]
fn each_host_of_a_network_takes_the_step_and_hears_who_shows_the_other_log() {
    let (host, upstream) = rebuilt(400);
    let neighbour = neighbour_of(&host, &upstream);
    neighbour.get(&zip(&hello())).expect_body();
    neighbour.get(&zip(&changed())).expect_body();
    meet(&host);
    host.sumdb(&["accept", NAME]).expect_success();
    // The new head is announced, and it is not that of the neighbour's log.
    neighbour.wait_for_line("SECURITY");
    let shown = neighbour.sumdb(&["show", NAME]).expect_success().stdout;
    let by = format!("shown by neighbour {}", host.peer_id());
    assert!(shown.contains(&by), "{by}: {shown}");
    assert!(neighbour.peers()[0]["banned_until"].is_null());
    let accepted = neighbour.sumdb(&["accept", NAME]).expect_success().stdout;
    assert!(accepted.contains("followed from now on"), "{accepted}");
    let body = neighbour.get(&lookup(&hello())).expect_body();
    let expected = upstream.log(|log| log.lookup("example.com/hello", "v1.0.0", log.size()));
    assert_eq!(String::from_utf8(body).ok(), expected);
    neighbour.wait_until("what is equal is proven again", |neighbour| {
        stored(neighbour, &hello(), "zip").exists()
    });
    let notices = neighbour.status()["notices"].to_string();
    assert!(!notices.contains("SECURITY"), "{notices}");
}

#[test]
fn what_would_be_lost_is_said_first_and_names_are_known() {
    let upstream = FakeUpstream::start([hello()]);
    let mut host = online("A", &upstream).start();
    host.get(&zip(&hello())).expect_body();
    let name = upstream.log(|log| log.name().to_owned());
    let refused = |host: &TestHost, arguments: &[&str], words: &[&str]| {
        let refused = host.sumdb(arguments);
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused}");
        for word in words {
            assert!(refused.stderr.contains(word), "{word}: {refused}");
        }
    };
    refused(&host, &["forget", &name], &["--yes", "records", &name]);
    refused(
        &host,
        &["accept", &name, "--yes"],
        &["nothing to accept", &name],
    );
    refused(&host, &["show", "sum.example"], &["sum.example", &name]);
    refused(&host, &["forget", "sum.example"], &["sum.example", &name]);
    // Never over the front door.
    for path in ["v1/sumdb/forget", "v1/sumdb", "api/v1/sumdb/forget"] {
        let path = format!("{path}?name={name}&yes=1");
        let posted = host.request(&path).method("POST").send().unwrap();
        assert_eq!(posted.status, 405, "{path}");
        assert_eq!(host.get(&path).status, 404, "{path}");
    }
    assert_eq!(host.status()["sumdb"][0]["tree_size"], 1);
    host.sumdb(&["forget", &name, "--yes"]).expect_success();
    host.get(&zip(&hello())).expect_body();
    host.stop();
    refused(
        &host,
        &["forget", &name, "--yes"],
        &["no daemon", "modmesh up"],
    );
}

#[test]
fn a_kill_at_any_moment_of_it_leaves_one_log_or_the_other() {
    for round in 0..5u64 {
        let (mut host, upstream) = rebuilt(400);
        meet(&host);
        let mut accepting = host.sumdb_command(&["accept", NAME]);
        let accepting = accepting.stdout(Stdio::null()).stderr(Stdio::null());
        let accepting = accepting.spawn().unwrap();
        // The command needs some ten milliseconds to come to it, and the daemon as many for it.
        std::thread::sleep(Duration::from_millis(6 + 5 * round));
        host.kill();
        let _cut_off = { accepting }.wait();
        host.restart();
        let followed = shown(&host);
        if followed["log"] == 0 {
            // Nothing was changed, and the way out is still open.
            assert_eq!(followed["head"]["size"], 300, "{followed:#}");
            assert!(stored(&host, &changed(), "zip").exists());
            host.sumdb(&["accept", NAME]).expect_success();
        }
        // No file is taken for proven by a log that is not followed.
        follows_the_new_log(&host, &upstream);
    }
}

/// As one does whom a conversation takes too long.
#[test]
fn who_hangs_up_while_a_log_is_begun_stops_nothing_of_it() {
    let (host, upstream) = rebuilt(400);
    meet(&host);
    let new_head = upstream.log(|log| log.size());
    let tiles = format!("sumdb/{NAME}/tile/*");
    let before = upstream.traffic_of(&tiles).requests;
    let held = upstream.hold(&tiles);
    let mut asking = UnixStream::connect(host.socket()).unwrap();
    let question = format!("POST /v1/sumdb/accept?name={NAME} HTTP/1.1\r\nHost: modmesh\r\n\r\n");
    asking.write_all(question.as_bytes()).unwrap();
    // It is under way by then: whoever is gone before the question was read has asked nothing. Nobody else asks for anything, and
    // the round that judges again by itself comes later than this.
    upstream.wait_for(&tiles, before + 1, Duration::from_secs(10));
    drop(asking);
    assert_eq!(shown(&host)["log"], 1);
    held.release();
    host.wait_until("the accepted head is current", |host| {
        shown(host)["head"]["size"] == new_head
    });
    follows_the_new_log(&host, &upstream);
}

#[test]
fn the_answer_comes_though_what_follows_the_switch_takes_longer() {
    let (host, upstream) = rebuilt(400);
    meet(&host);
    let held = upstream.hold(&format!("sumdb/{NAME}/*"));
    let begun = host.sumdb(&["accept", NAME, "--json"]).expect_success();
    let begun: serde_json::Value = serde_json::from_str(&begun.stdout).unwrap();
    assert_eq!(
        (&begun["log"], &begun["is_current"]),
        (&1.into(), &false.into())
    );
    assert_eq!(
        (&begun["doubted"], &begun["waiting"]),
        (&4.into(), &4.into())
    );
    held.release();
    follows_the_new_log(&host, &upstream);
}

/// A go.sum of after the log was rebuilt is contradicted by the old log, and one of before it by the new one.
#[test]
fn lines_of_a_go_sum_are_judged_again_when_the_log_that_contradicted_them_is_given_up() {
    let (host, upstream) = rebuilt(400);
    let (before, since) = (changed().sum_lines(), changed_since().sum_lines());
    assert_eq!(give(&host, "/old/go.sum", &before)["contradicted"], 0);
    assert_eq!(give(&host, "/new/go.sum", &since)["contradicted"], 1);
    let counts = |host: &TestHost| {
        let counts = host.status()["go_sum"].take();
        (counts["lines"].as_u64(), counts["refused"].as_u64())
    };
    assert_eq!(counts(&host), (Some(3), Some(1)));
    meet(&host);
    // While the new log cannot be asked all four count, and the two contradict each other.
    let held = upstream.hold(&format!("sumdb/{NAME}/*"));
    let mut accepting = host.sumdb_command(&["accept", NAME]);
    let accepting = accepting.stdout(Stdio::null()).stderr(Stdio::null());
    let accepting = accepting.spawn().unwrap();
    host.wait_until("the line counts again", |host| {
        counts(host) == (Some(4), Some(0))
    });
    held.release();
    assert!({ accepting }.wait().unwrap().success());
    host.wait_until("the other one is refused", |host| {
        counts(host) == (Some(3), Some(1))
    });
    let given = host.get(&zip(&changed())).expect_body();
    assert_eq!(given, changed_since().zip());
}
