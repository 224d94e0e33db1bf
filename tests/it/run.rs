//! `modmesh run` on a host where nothing was set up, and what a daemon says while it runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use harness::host::modmesh_binary;
use harness::process::{self, Output};
use harness::{FakeUpstream, GoHome, Kind, Module, Unheard};
use serde_json::Value;

use crate::scene::{hello, neighbour_of, online};

/// A user's home in which `modmesh run` starts a daemon, which ends with the home.
struct Home {
    go: GoHome,
    listen: String,
    /// Keeps the address for the daemon.
    _unheard: Unheard,
}

impl Home {
    fn new(upstream: &FakeUpstream) -> Self {
        let unheard = Unheard::new();
        let listen = unheard.address().to_string();
        // What a person may have in the environment, and what keeps the test's daemon to itself.
        let go = GoHome::new(&upstream.url(), &upstream.sumdb())
            .variable("MODMESH_LISTEN", &listen)
            .variable("MODMESH_PEER_LISTEN", "127.0.0.1:0")
            .variable("MODMESH_NO_MDNS", "true");
        Self {
            go,
            listen,
            _unheard: unheard,
        }
    }

    /// `modmesh run -- COMMAND...` in a folder of the home.
    fn run(&self, folder: &std::path::Path, words: &[&str]) -> Output {
        let of_go = self.go.command(folder, &[]);
        let mut command = Command::new(modmesh_binary());
        command.args(["run", "--"]).args(words).current_dir(folder);
        command.env_clear();
        for (name, value) in of_go.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        process::run(&mut command, Duration::from_secs(120))
    }

    fn state(&self) -> PathBuf {
        self.go.path().join(".local/state/modmesh")
    }

    /// The process id of the daemon in the background.
    fn daemon(&self) -> Option<u32> {
        let lock = std::fs::read_to_string(self.state().join("lock")).ok()?;
        lock.trim().parse().ok()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(pid) = self.daemon() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

#[test]
fn a_build_under_run_comes_through_a_daemon_that_was_not_there_before() {
    let upstream = FakeUpstream::start([hello()]);
    let home = Home::new(&upstream);
    let project = home.go.project(
        "project",
        &[
            (
                "go.mod",
                "module example.com/project\n\ngo 1.21\n\nrequire example.com/hello v1.0.0\n",
            ),
            (
                "main.go",
                "package main\n\nimport \"example.com/hello\"\n\nfunc main() { println(hello.Name()) }\n",
            ),
        ],
    );
    home.run(&project, &["go", "mod", "tidy"]).expect_success();
    home.run(&project, &["go", "build", "./..."])
        .expect_success();
    let built = process::run(
        &mut Command::new(project.join("project")),
        Duration::from_secs(10),
    );
    assert_eq!(built.stderr.trim(), "example.com/hello@v1.0.0");

    // One daemon served both, with what go was already set to, and ends by itself when nobody asks for ten minutes.
    let pid = home.daemon().expect("a daemon in the background");
    let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(
        arguments.contains("--idle-exit-minutes\x0010\0"),
        "{arguments:?}"
    );
    let kept = home.state().join("store").join(hello().url_path("zip"));
    assert_eq!(std::fs::read(kept).unwrap(), hello().zip());
    assert_eq!(upstream.traffic(Kind::Zip).requests, 1);
    let status = format!("http://{}/api/v1/status", home.listen);
    let status: Value = serde_json::from_slice(&harness::http::get(&status).expect_body()).unwrap();
    assert_eq!(status["sumdb"][0]["name"], "sumdb.example.test");
    assert_eq!(status["upstream"][0]["url"], upstream.url());

    // Another home has nothing but the daemon.
    upstream.close();
    let other = GoHome::new(&format!("http://{}", home.listen), &upstream.sumdb());
    other.download("example.com/hello@v1.0.0").expect_success();
}

#[test]
fn a_build_that_fails_under_run_fails_with_gos_own_words_and_code() {
    let upstream = FakeUpstream::start([hello()]);
    let home = Home::new(&upstream);
    let words = ["go", "mod", "download", "example.com/nothing@v1.0.0"];
    let output = home.run(home.go.path(), &words);
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(output.stderr.contains("404 Not Found"), "{output}");
}

#[test]
fn up_says_which_neighbours_come_and_go() {
    let upstream = FakeUpstream::start([hello()]);
    let first = online("A", &upstream).start();
    let mut second = neighbour_of(&first, &upstream);
    let (name, other) = (first.peer_id(), second.peer_id());
    second.wait_for_line(&format!("neighbour came: {name} (static)"));
    first.wait_for_line(&format!("neighbour came: {other} (inbound)"));
    assert!(second.stop().success());
    first.wait_for_line(&format!("neighbour went: {other}"));
    let came = |line: &String| line.starts_with("neighbour ");
    assert_eq!(first.printed().into_iter().filter(came).count(), 2);
}

#[test]
fn every_line_of_a_json_log_is_an_object() {
    let upstream = FakeUpstream::start([hello()]);
    upstream.log(|log| log.pad_to(300));
    let logging = |options: harness::HostOptions| {
        options
            .argument("--log")
            .argument("info,modmesh_daemon=trace")
            .argument("--log-format")
            .argument("json")
    };
    let first = online("A", &upstream).start();
    let mut host = logging(online("B", &upstream))
        .peer(&first.peer_address())
        .start();
    host.wait_for_neighbours(1);
    let odd = ["%0a.example/@v/list", "example.com/hello/@v/%22.info"];
    let paths = [hello().url_path("mod"), hello().url_path("zip")];
    for path in odd.into_iter().map(str::to_owned).chain(paths) {
        host.get(&path);
    }
    assert!(host.stop().success());
    let lines = host.logged();
    assert!(lines.len() > 5, "{}", host.log());
    for line in &lines {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for key in ["timestamp", "level", "target"] {
            assert!(object[key].is_string(), "{key} in {line}");
            let written = line.matches(&format!("\"{key}\":")).count();
            assert_eq!(written, 1, "{key} in {line}");
        }
        // Libraries may log fields without words; we do not.
        let ours = object["target"].as_str().unwrap().starts_with("modmesh");
        assert!(!ours || object["message"].is_string(), "{line}");
    }
}

#[test]
fn the_store_of_a_host_without_upstream_is_a_proxy_of_files_for_go() {
    let word = Module::package("example.com/Word", "v1.2.0");
    let upstream = FakeUpstream::start([hello(), word]);
    let first = online("A", &upstream).start();
    let mut second = neighbour_of(&first, &upstream);
    let names = ["example.com/hello@v1.0.0", "example.com/Word@v1.2.0"];
    for host in [&first, &second] {
        let go = host.go(&upstream.sumdb());
        for name in names {
            go.download(name).expect_success();
        }
    }
    let tree = format!("file://{}", second.state().join("store").display());
    // Beside a daemon that runs, and after it has ended.
    for ended in [false, true] {
        if ended {
            assert!(second.stop().success());
        }
        let go = GoHome::new(&tree, "off");
        for name in names {
            let output = go.download(name).expect_success();
            if name.contains("hello") {
                let sum = hello().h1().to_string();
                assert!(output.stdout.contains(&sum), "{output}");
            }
        }
    }
}

#[test]
fn a_daemon_that_nobody_asks_ends_by_itself_and_in_order() {
    use modmesh_daemon::{Config, Daemon};
    use modmesh_protocol::goproxy::ProxyList;
    use modmesh_protocol::limits::NEIGHBOURS_MAX;

    const IDLE: Duration = Duration::from_secs(2);
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        allow_hosts: Vec::new(),
        state_dir: folder.path().join("state"),
        store_limit_bytes: 1 << 20,
        upstream: ProxyList::parse("off").unwrap(),
        databases: Vec::new(),
        client_sumdb_dirs: Vec::new(),
        go_sums: Vec::new(),
        private: Default::default(),
        peer_listen: vec!["127.0.0.1:0".parse().unwrap()],
        peer_listen_asked: true,
        peers: Vec::new(),
        mesh_secret_file: None,
        members: Vec::new(),
        mdns: false,
        site: None,
        offline: true,
        limit_upload: Default::default(),
        limit_download: Default::default(),
        limit_site: Default::default(),
        local_minute: None,
        neighbours_max: NEIGHBOURS_MAX,
        site_connections: None,
        site_budget_bytes: None,
        pause_on_battery: None,
        pause_on_metered: None,
        idle_exit: Some(IDLE),
        road: Default::default(),
    };
    let running = runtime.block_on(Daemon::start(config)).unwrap();
    let url = format!("http://{}/healthz", running.listen()[0]);
    let ending = runtime.spawn(running.wait(std::future::pending()));
    // Asked all the time, it lives longer than its patience.
    let began = std::time::Instant::now();
    while began.elapsed() < IDLE * 2 {
        assert_eq!(harness::http::get(&url).status, 200);
        assert!(!ending.is_finished());
    }
    runtime
        .block_on(async { tokio::time::timeout(IDLE * 5, ending).await })
        .expect("it ends when nobody asks")
        .unwrap();
    assert!(!folder.path().join("state/session").exists());
}

#[test]
fn a_daemon_that_has_its_port_and_cannot_answer_yet_is_waited_for() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nX-Modmesh-Source: none\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let upstream = FakeUpstream::start([]);
    let home = Home::new(&upstream);
    let starting = TcpListener::bind(&home.listen).unwrap();
    std::thread::spawn(move || {
        // Nothing is answered until the first who asks has given up.
        let (mut first, _) = starting.accept().unwrap();
        let _cut = first.read_to_end(&mut Vec::new());
        for next in starting.incoming() {
            let mut next = next.unwrap();
            let mut lines = BufReader::new(next.try_clone().unwrap()).lines();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let _gone = next.write_all(ANSWER.as_bytes());
        }
    });
    home.run(home.go.path(), &["true"]).expect_success();
}
