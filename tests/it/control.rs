//! The back door: what names modules or changes state is there, for the daemon's own user, and nowhere else.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use harness::{FakeUpstream, HostOptions};

use crate::go_sum::give;
use crate::scene::{hello, online};

const HELLO: &str = "example.com/hello@v1.0.0";
const ASK: &str =
    "GET /v1/explain?module=example.com/hello&version=v1.0.0 HTTP/1.1\r\nHost: modmesh\r\n\r\n";

#[test]
fn the_front_door_has_no_such_routes_and_changes_nothing() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    host.get(&hello().url_path("mod")).expect_body();
    for path in [
        "v1/explain?module=example.com/hello&version=v1.0.0",
        "api/v1/explain?module=example.com/hello&version=v1.0.0",
        "v1/stop",
        "api/v1/stop",
    ] {
        let answer = host.get(path);
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        let posted = host.request(path).method("POST").send().unwrap();
        assert_eq!(posted.status, 405, "{path}: {}", posted.text());
    }
    assert_eq!(host.get("readyz").status, 200);
    // What it does show names no module.
    for path in ["api/v1/status", "api/v1/peers", "metrics"] {
        let shown = host.get(path).text();
        assert!(!shown.contains("example.com/hello"), "{path}: {shown}");
    }
}

#[test]
fn the_socket_is_the_users_own_and_lives_as_long_as_its_daemon() {
    let mut host = HostOptions::new("A").start();
    let mode = || {
        let metadata = std::fs::symlink_metadata(host.socket()).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(), 0o600);
    host.kill();
    assert!(host.socket().exists());
    let refused = host.explained(HELLO);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    for word in ["modmesh up", "--state", host.state().to_str().unwrap()] {
        assert!(refused.stderr.contains(word), "{word}: {refused}");
    }
    host.restart();
    let mode = std::fs::symlink_metadata(host.socket()).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    host.explain(HELLO);
    assert!(host.stop().success());
    assert!(!host.socket().exists());
    let refused = host.explained(HELLO);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(refused.stderr.contains("modmesh up"), "{refused}");
}

#[test]
fn two_daemons_have_a_socket_each_and_a_second_one_on_the_same_folder_takes_none_away() {
    let upstream = FakeUpstream::start([hello()]);
    let (first, second) = (
        online("A", &upstream).start(),
        HostOptions::new("B").sumdb(&upstream.sumdb()).start(),
    );
    first.get(&hello().url_path("mod")).expect_body();
    assert_eq!(first.explain_file(HELLO, "mod")["here"]["scope"], "proven");
    assert!(second.explain_file(HELLO, "mod")["here"].is_null());
    // One that is refused because the folder is in use.
    let rival = HostOptions::new("C").state(first.state()).run_to_end();
    assert_eq!(rival.status.code(), Some(1), "{rival}");
    assert_eq!(first.explain_file(HELLO, "mod")["here"]["scope"], "proven");
}

#[test]
fn what_is_no_question_is_refused_and_a_stop_is_a_clean_end() {
    let mut host = HostOptions::new("A").start();
    let ask = |line: &str, more: &str| {
        let answer = host.at_back_door(&format!("{line} HTTP/1.1\r\nHost: modmesh\r\n{more}\r\n"));
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let explain = "/v1/explain?module=example.com/hello&version=v1.0.0";
    assert_eq!(ask(&format!("GET {explain}"), ""), "200");
    assert_eq!(ask(&format!("POST {explain}"), ""), "405");
    assert_eq!(ask("GET /v1/stop", ""), "405");
    assert_eq!(ask("DELETE /v1/stop", ""), "405");
    assert_eq!(ask("GET /v1/explain?module=example.com/hello", ""), "400");
    assert_eq!(ask("GET /api/v1/status", ""), "404");
    assert_eq!(ask("POST /v1/stop", "Content-Length: 5\r\n"), "413");
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert_eq!(ask("POST /v1/stop", chunked), "413");
    let long = format!("X-Long: {}\r\n", "a".repeat(64 << 10));
    assert_eq!(ask(&format!("GET {explain}"), &long), "431");
    assert_eq!(host.get("readyz").status, 200);
    assert_eq!(ask("POST /v1/stop", ""), "202");
    assert!(host.wait_for_end().success());
    assert!(!host.socket().exists());
}

#[test]
fn whoever_sends_no_question_is_cut_and_locks_nobody_out() {
    let host = HostOptions::new("A").start();
    let connect = || {
        let stream = UnixStream::connect(host.socket()).unwrap();
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).unwrap();
        stream
    };
    // More than are served at a time; the system keeps the others waiting.
    let silent: Vec<UnixStream> = (0..20).map(|_| connect()).collect();
    let answer = host.at_back_door(ASK);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for mut stream in silent {
        // Nothing, or 408, and then the end.
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
}

#[test]
fn a_folder_too_deep_for_a_socket_costs_the_socket_alone() {
    let upstream = FakeUpstream::start([hello()]);
    let folder = tempfile::tempdir().unwrap();
    let deep: PathBuf = folder.path().join("d".repeat(60)).join("e".repeat(60));
    let host = online("A", &upstream).state(&deep).start();
    host.wait_for_line("control socket");
    assert!(!host.socket().exists());
    assert_eq!(
        host.get(&hello().url_path("zip")).expect_body(),
        hello().zip()
    );
    let refused = host.explained(HELLO);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    for word in ["107", "--state"] {
        assert!(refused.stderr.contains(word), "{word}: {refused}");
    }
}

#[test]
fn what_is_no_go_sum_is_refused_at_the_back_door_and_unknown_at_the_front() {
    let host = HostOptions::new("A").start();
    let ask = |head: &str| {
        host.at_back_door(&format!(
            "{head}\r\nHost: modmesh\r\nConnection: close\r\n\r\n"
        ))
    };
    let large = ask("POST /v1/gosum?name=a HTTP/1.1\r\nContent-Length: 99999999");
    assert!(large.starts_with("HTTP/1.1 413"), "{large}");
    assert!(large.contains("larger than 16 MiB"), "{large}");
    for (head, status) in [
        ("POST /v1/gosum HTTP/1.1\r\nContent-Length: 0", "400"),
        ("POST /v1/gosum HTTP/1.1\r\nContent-Length: 9", "400"),
        (
            "POST /v1/gosum?name=%0a HTTP/1.1\r\nContent-Length: 0",
            "400",
        ),
        ("GET /v1/gosum?name=a HTTP/1.1", "405"),
        ("POST /v1/stop HTTP/1.1\r\nContent-Length: 1", "413"),
    ] {
        let answer = ask(head);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{head}: {answer}"
        );
    }
    let lines = "\n".repeat(200_001);
    let answer = host.at_back_door(&format!(
        "POST /v1/gosum?name=a HTTP/1.1\r\nHost: m\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{lines}",
        lines.len()
    ));
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("200000 lines"),
        "{answer}"
    );
    let taken = give(
        &host,
        "a",
        "example.com/m v1.0.0\n\nexample.com/m v1.0.0 h2:abc\n",
    );
    assert_eq!((&taken["lines"], &taken["faults"]), (&0.into(), &1.into()));
    assert_eq!(taken["faults_told"][0]["line"], 1);
    let front = host.get("v1/gosum?name=a");
    assert_eq!(front.status, 404);
    assert_eq!(host.status()["go_sum"]["files"], 1);
}
