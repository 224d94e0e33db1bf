//! What a release has written, the next ones read: the state folder in `fixtures/state-1` was written once and is never written again.
//!
//! When a release begins another form of the folder, it keeps this test, reads or refuses the old form as `docs/storage.md` says,
//! and adds a fixture of its own, made by the ignored test here.

use std::fs;
use std::path::{Path, PathBuf};

use harness::{FakeUpstream, HostOptions, Module, TestHost};

use crate::scene::online;

/// Written by release 0.1.0, form 1 of the state folder.
const FIXTURE: &str = "fixtures/state-1";
/// What of a state folder is to be read by later releases. The rest is of one run, of one machine, or may be lost at any time.
const KEPT: [&str; 4] = ["format", "store", "apart", "sumdb"];

fn modules() -> [Module; 2] {
    ["one", "two"].map(|name| Module::package(&format!("example.com/{name}"), "v1.2.3"))
}

fn unlisted() -> Module {
    Module::package("example.com/unlisted", "v0.1.0")
}

fn world() -> FakeUpstream {
    let upstream = FakeUpstream::start(modules());
    upstream.publish_unlisted(&unlisted());
    upstream
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURE)
}

fn ask_for_all(host: &TestHost) {
    for module in modules().iter().chain([&unlisted()]) {
        for extension in ["info", "mod", "zip"] {
            host.get(&module.url_path(extension)).expect_body();
        }
    }
    host.get("example.com/one/@v/list").expect_body();
}

#[test]
fn the_state_folder_of_the_first_release_is_served_without_asking_anybody() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    harness::copy_folder(&folder(), &state);
    // The key of the harness's log is always the same; this upstream is never asked.
    let upstream = world();
    let host = HostOptions::new("B")
        .state(&state)
        .sumdb(&upstream.sumdb())
        .argument("--offline")
        .start();
    for module in &modules() {
        for (extension, bytes) in [
            ("info", None),
            ("mod", Some(module.go_mod())),
            ("zip", Some(module.zip())),
        ] {
            let answer = host.get(&module.url_path(extension));
            assert_eq!(answer.header("x-modmesh-source"), "store", "{extension}");
            let body = answer.expect_body();
            assert!(bytes.is_none_or(|bytes| bytes == body), "{extension}");
        }
        let shown = host.explain_file(&module.name(), "zip");
        assert_eq!(shown["here"]["scope"], "proven", "{shown:#}");
    }
    let zip = host.get(&unlisted().url_path("zip")).expect_body();
    assert_eq!(zip, unlisted().zip());
    let list = host.get("example.com/one/@v/list").expect_body();
    assert_eq!(list.trim_ascii(), b"v1.2.3");
    // And `go` proves it all, offline.
    let go = host.go(&upstream.sumdb());
    go.download("example.com/two@v1.2.3").expect_success();
    assert_eq!(upstream.requests().len(), 0);
    assert_eq!(host.status()["sumdb"][0]["records"], 2);
}

/// `MODMESH_FIXTURE=FOLDER cargo test -p modmesh-tests --test it fixture -- --ignored`, once for each form.
#[test]
#[ignore = "writes a fixture for later releases to read"]
fn a_state_folder_is_written_for_later_releases() {
    let to = PathBuf::from(std::env::var_os("MODMESH_FIXTURE").expect("MODMESH_FIXTURE"));
    assert!(!to.exists(), "{} is there already", to.display());
    let upstream = world();
    let mut host = online("A", &upstream).start();
    ask_for_all(&host);
    assert!(host.stop().success());
    fs::create_dir_all(&to).unwrap();
    for name in KEPT {
        let from = host.state().join(name);
        if from.is_dir() {
            harness::copy_folder(&from, &to.join(name));
        } else {
            fs::copy(&from, to.join(name)).unwrap();
        }
    }
}
