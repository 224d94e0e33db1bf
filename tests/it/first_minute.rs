//! The first minute of a newcomer: `setup`, a build, `doctor`, and everything as before with `setup --undo`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use harness::host::modmesh_binary;
use harness::process::{self, Output};
use harness::{FakeUpstream, GoHome, HostOptions, Kind, TestHost, Unheard};
use serde_json::Value;

use crate::scene::hello;

/// An account: a home with a settings file of `go` of its own, and the address its daemon is to have.
struct Account {
    go: GoHome,
    listen: String,
    /// Keeps the address for the daemon.
    _unheard: Unheard,
}

impl Account {
    /// An account in whose `go env` GOPROXY is set by nobody but, where it is given, the settings file.
    fn new(sumdb: &str, goproxy: Option<&str>) -> Self {
        let unheard = Unheard::new();
        let listen = unheard.address().to_string();
        // An empty variable counts as not set, for `go` and for modmesh.
        let go = GoHome::new("", sumdb)
            .variable("MODMESH_LISTEN", &listen)
            .variable("MODMESH_PEER_LISTEN", "127.0.0.1:0")
            .variable("MODMESH_NO_MDNS", "true");
        let file = go.path().join("settings/go/env").display().to_string();
        let go = go.variable("GOENV", &file);
        if let Some(list) = goproxy {
            let setting = format!("GOPROXY={list}");
            go.run(&["env", "-w", &setting, "GOPRIVATE=corp.example"])
                .expect_success();
        }
        Self {
            go,
            listen,
            _unheard: unheard,
        }
    }

    fn us(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// `modmesh` in this account's environment, with one more variable.
    fn modmesh_with(&self, name: &str, value: &str, words: &[&str]) -> Output {
        let mut command = Command::new(modmesh_binary());
        command.args(words).current_dir(self.go.path()).env_clear();
        for (name, value) in self.go.command(self.go.path(), &[]).get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.env(name, value);
        process::run(&mut command, Duration::from_secs(60))
    }

    fn modmesh(&self, words: &[&str]) -> Output {
        self.modmesh_with("LANG", "C", words)
    }

    /// Everything that `go env` says, but for the one line in which it names a folder that is new each time.
    fn go_env(&self) -> String {
        let told = self.go.run(&["env", "-json"]).expect_success().stdout;
        let lines = told.lines().filter(|line| !line.contains("GOGCCFLAGS"));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn goproxy(&self) -> String {
        let told = self.go.run(&["env", "GOPROXY"]).expect_success();
        told.stdout.trim().to_owned()
    }

    fn state(&self) -> PathBuf {
        self.go.path().join(".local/state/modmesh")
    }

    /// The account's daemon, which takes its settings from where a newcomer's would.
    fn up(&self) -> TestHost {
        let mut options = HostOptions::of_account("newcomer").state(&self.state());
        for (name, value) in self.go.command(self.go.path(), &[]).get_envs() {
            let value = value.unwrap_or_default().to_str().unwrap();
            options = options.variable(name.to_str().unwrap(), value);
        }
        options.start()
    }
}

/// The findings of one check, as `level: text: remedy`.
fn findings(report: &Output, check: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    let all = report["findings"].as_array().unwrap();
    all.iter()
        .filter(|finding| finding["check"] == check)
        .map(|finding| {
            let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
            format!("{}: {}: {}", text("level"), text("text"), text("remedy"))
        })
        .collect()
}

#[test]
fn a_newcomer_sets_up_builds_asks_the_doctor_and_has_everything_as_before() {
    let upstream = FakeUpstream::start([hello()]);
    let list = format!("{},off", upstream.url());
    let account = Account::new(&upstream.sumdb(), Some(&list));
    let before = account.go_env();
    assert!(before.contains(&list), "{before}");

    let shown = account.modmesh(&["setup", "--dry-run"]).expect_success();
    assert!(shown.stdout.contains("nothing was changed"), "{shown}");
    assert_eq!(account.go_env(), before);
    let set_up = account.modmesh(&["setup"]).expect_success();
    let list_with_us = format!("{}|{list}", account.us());
    assert_eq!(account.goproxy(), list_with_us);
    for word in [&list, &list_with_us, "corp.example", "no daemon answers"] {
        assert!(set_up.stdout.contains(word), "{word} in {set_up}");
    }

    let host = account.up();
    assert_eq!(host.status()["upstream"][0]["url"], upstream.url());
    let project = account.go.project(
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
    account
        .go
        .run_in(&project, &["mod", "tidy"])
        .expect_success();
    account
        .go
        .run_in(&project, &["build", "./..."])
        .expect_success();
    assert_eq!(upstream.traffic(Kind::Zip).requests, 1);
    assert!(host.metric("modmesh_http_requests_total", &[("kind", "zip")]) > 0.0);

    let report = account.modmesh(&["doctor", "--json"]).expect_success();
    for check in ["go", "daemon", "upstream", "database", "state", "clock"] {
        let found = findings(&report, check);
        assert!(found[0].starts_with("ok: "), "{check}: {found:?}");
    }
    assert!(findings(&report, "upstream")[0].contains("answers"));
    assert!(findings(&report, "database")[0].contains("record"));
    assert!(findings(&report, "neighbours")[0].contains("--peer"));
    let words = account.modmesh(&["doctor"]).expect_success().stdout;
    assert!(
        words
            .lines()
            .all(|line| line.starts_with("ok ") || line.starts_with("warning "))
    );

    account.modmesh(&["setup", "--undo"]).expect_success();
    assert_eq!(account.go_env(), before);
    assert!(!account.state().join("setup.json").exists());
}

#[test]
fn a_doctor_without_a_daemon_says_what_to_do() {
    let upstream = FakeUpstream::start([hello()]);
    let account = Account::new(&upstream.sumdb(), Some(&upstream.url()));
    let report = account.modmesh(&["doctor", "--json"]);
    assert_eq!(report.status.code(), Some(1), "{report}");
    assert!(findings(&report, "go")[0].contains("modmesh setup"));
    assert!(findings(&report, "daemon")[0].contains("modmesh up"));
    assert!(report.wall < Duration::from_secs(10), "{report}");

    // A go that hangs holds nothing up for long.
    let folder = account.go.path().join("hangs");
    std::fs::create_dir(&folder).unwrap();
    let hangs = "printf '#!/bin/sh\\nexec sleep 60\\n' > \"$0\" && chmod +x \"$0\"";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", hangs]).arg(folder.join("go"));
    process::run(&mut shell, Duration::from_secs(10)).expect_success();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let report = account.modmesh_with("PATH", &path, &["doctor", "--json"]);
    assert!(findings(&report, "go")[0].contains("no answer"), "{report}");
    assert!(findings(&report, "clock")[0].starts_with("ok"), "{report}");
    assert!(report.wall < Duration::from_secs(12), "{report}");
}

#[test]
fn after_a_strict_setup_a_daemon_still_knows_whom_to_ask() {
    let upstream = FakeUpstream::start([hello()]);
    let account = Account::new(&upstream.sumdb(), Some(&upstream.url()));
    let before = account.go_env();
    let mut host = account.up();
    account.modmesh(&["setup"]).expect_success();
    account.modmesh(&["setup", "--strict"]).expect_success();
    account.modmesh(&["setup", "--strict"]).expect_success();
    assert_eq!(account.goproxy(), account.us());

    assert!(host.stop().success());
    host.restart();
    assert_eq!(host.status()["upstream"][0]["url"], upstream.url());
    account
        .go
        .download("example.com/hello@v1.0.0")
        .expect_success();
    let shown = account.modmesh(&["config"]).expect_success();
    assert!(shown.stdout.contains("(modmesh setup, "), "{shown}");

    account.modmesh(&["setup", "--undo"]).expect_success();
    assert_eq!(account.go_env(), before);
    assert!(host.stop().success());
    host.restart();
    assert_eq!(host.status()["upstream"][0]["url"], upstream.url());
}

#[test]
fn what_was_never_set_is_not_set_after_undo() {
    let account = Account::new("off", None);
    let before = account.go_env();
    for words in [&["setup"] as &[&str], &["setup", "--strict"], &["setup"]] {
        account.modmesh(words).expect_success();
    }
    assert_ne!(account.go_env(), before);
    account.modmesh(&["setup", "--undo"]).expect_success();
    assert_eq!(account.go_env(), before);
    let again = account.modmesh(&["setup", "--undo"]).expect_success();
    assert!(again.stdout.contains("nothing"), "{again}");
}

#[test]
fn what_was_changed_by_hand_after_setup_stays() {
    let account = Account::new("off", Some("https://a.example"));
    account.modmesh(&["setup"]).expect_success();
    account
        .go
        .run(&["env", "-w", "GOPROXY=https://b.example"])
        .expect_success();
    let undo = account.modmesh(&["setup", "--undo"]);
    assert_eq!(undo.status.code(), Some(1), "{undo}");
    for word in [
        "https://b.example",
        "go env -w GOPROXY=\"https://a.example\"",
    ] {
        assert!(undo.stderr.contains(word), "{undo}");
    }
    assert_eq!(account.goproxy(), "https://b.example");
}

#[test]
fn where_setup_cannot_help_it_says_who_can() {
    let account = Account::new("off", Some("https://a.example"));
    let before = account.go_env();
    let line = format!("export GOPROXY=\"{}|https://", account.us());
    for (name, value, words) in [
        ("GOPROXY", "https://b.example", &[line.as_str()] as &[&str]),
        ("GOENV", "off", &["GOENV", "export GOPROXY="]),
        ("PATH", "/nowhere", &["go command", "PATH"]),
    ] {
        let refused = account.modmesh_with(name, value, &["setup"]);
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused}");
        for word in words {
            assert!(refused.stderr.contains(word), "{word} in {refused}");
        }
    }
    assert_eq!(account.go_env(), before);
    // go is not sent to something that is not modmesh.
    let stranger = FakeUpstream::start([]);
    let listen = stranger.url().trim_start_matches("http://").to_owned();
    let refused = account.modmesh(&["setup", "--listen", &listen]);
    assert!(refused.stderr.contains("is not modmesh"), "{refused}");
    assert_eq!(account.go_env(), before);
}

#[test]
fn doctor_finds_nothing_wrong_with_a_goproxy_that_names_a_daemon_that_was_started_offline() {
    let upstream = FakeUpstream::start([hello()]);
    // Each is started with `--upstream off`.
    for arguments in [&["--offline"][..], &[]] {
        let options = HostOptions::new("A").sumdb(&upstream.sumdb());
        let with = |options: HostOptions, argument: &&str| options.argument(argument);
        let host = arguments.iter().fold(options, with).start();
        let go = GoHome::new(&host.url(), &upstream.sumdb());
        let mut command = Command::new(modmesh_binary());
        let listen = host.url();
        let listen = listen.trim_start_matches("http://");
        command.args(["doctor", "--listen", listen, "--json"]);
        command.current_dir(go.path()).env_clear();
        for (name, value) in go.command(go.path(), &[]).get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let told = process::run(&mut command, Duration::from_secs(60));
        let report: Value = serde_json::from_str(&told.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap();
        let mut of_settings = findings.iter().filter(|one| one["check"] == "settings");
        let settings = of_settings.next().unwrap_or_else(|| panic!("{report:#}"));
        assert_eq!(settings["level"], "ok", "{report:#}");
    }
}
