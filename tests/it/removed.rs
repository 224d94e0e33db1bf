//! A state folder that is taken away under a running daemon: it says so, serves nothing false, and makes no folder that the
//! next start would not know.

use std::fs;
use std::path::Path;

use harness::{FakeUpstream, Module, TestHost};

use crate::scene::{hello, online, stored};

fn other() -> Module {
    Module::package("example.com/other", "v1.0.0")
}

/// A host that has one module of the two.
fn world() -> (FakeUpstream, TestHost) {
    let upstream = FakeUpstream::start([hello(), other()]);
    let host = online("A", &upstream).start();
    for extension in ["mod", "zip"] {
        host.get(&hello().url_path(extension)).expect_body();
    }
    (upstream, host)
}

/// Files cannot be had and the answer says why; what needs no folder is answered.
#[track_caller]
fn expect_told(host: &TestHost) {
    for module in [hello(), other()] {
        for extension in ["mod", "zip"] {
            let answer = host.get(&module.url_path(extension));
            assert_eq!(answer.status, 507, "{}", answer.text());
            let text = answer.text();
            assert!(
                text.contains("was removed or replaced") && text.contains("restart"),
                "{text}"
            );
            assert_eq!(text.lines().count(), 1, "{text}");
        }
        let info = host.get(&module.url_path("info")).expect_body();
        assert_eq!(info, module.info());
    }
    let lookup = "sumdb/sumdb.example.test/lookup/example.com/other@v1.0.0";
    host.get(lookup).expect_body();
    let notices = host.status()["notices"].to_string();
    assert!(notices.contains("was removed or replaced"), "{notices}");
    assert_eq!(host.panics(), 0, "{}", host.log());
}

#[track_caller]
fn expect_whole(host: &TestHost) {
    for module in [hello(), other()] {
        assert_eq!(
            host.get(&module.url_path("zip")).expect_body(),
            module.zip()
        );
        assert_eq!(
            host.get(&module.url_path("mod")).expect_body(),
            module.go_mod()
        );
    }
    assert_eq!(host.status()["notices"], serde_json::json!([]));
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_folder_that_is_removed_is_not_laid_anew_and_a_restart_makes_one() {
    let (_upstream, mut host) = world();
    fs::remove_dir_all(host.state()).unwrap();
    expect_told(&host);
    assert!(!host.state().exists(), "{:?}", names_in(host.state()));
    assert!(host.stop().success(), "{}", host.log());
    assert!(!host.state().exists());
    host.restart();
    expect_whole(&host);
}

#[test]
fn a_folder_that_is_emptied_stays_so_and_a_restart_fills_it() {
    let (_upstream, mut host) = world();
    for name in names_in(host.state()) {
        let path = host.state().join(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    expect_told(&host);
    let left = names_in(host.state());
    assert!(left.iter().all(|name| name == "index"), "{left:?}");
    host.restart();
    expect_whole(&host);
}

#[test]
fn a_folder_that_another_daemon_made_in_its_place_is_left_to_that_one() {
    let (upstream, host) = world();
    fs::remove_dir_all(host.state()).unwrap();
    let second = online("B", &upstream).state(host.state()).start();
    expect_whole(&second);
    let before = names_in(host.state());
    // What the other one has is whole and true, and nothing is added to it.
    let zip = host.get(&hello().url_path("zip"));
    assert!([200, 507].contains(&zip.status), "{}", zip.text());
    if zip.status == 200 {
        assert_eq!(zip.expect_body(), hello().zip());
    }
    assert_eq!(host.get(&other().url_path("zip")).status, 507);
    assert_eq!(names_in(host.state()), before);
    expect_whole(&second);
}

#[test]
fn parts_that_are_removed_are_laid_anew() {
    let (_upstream, host) = world();
    for part in ["staging", "store", "quarantine", "sumdb"] {
        fs::remove_dir_all(host.state().join(part)).unwrap();
    }
    expect_whole(&host);
    assert!(stored(&host, &hello(), "zip").exists());
    assert_eq!(host.panics(), 0, "{}", host.log());
}
