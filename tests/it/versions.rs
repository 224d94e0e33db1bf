//! Which versions there are, where nobody but a neighbour can be asked: those whose records prove themselves.

use harness::{FakeUpstream, GoHome, HostOptions, LyingPeer, Module, PeerLie, TestHost, TestLog};

use crate::scene::{neighbour_of, online};

const PSEUDO: &str = "v0.0.0-20240102030405-abcdefabcdef";

/// What the first host looks up, and the second is asked for.
fn modules() -> Vec<Module> {
    let tagged = ["v1.0.0", "v1.9.0", "v1.10.0", "v1.11.0-rc.1", PSEUDO];
    let tagged = tagged.map(|version| Module::package("example.com/tagged", version));
    tagged
        .into_iter()
        .chain([
            Module::package("example.com/untagged", PSEUDO),
            Module::package("example.com/untagged", "v0.0.0-20230102030405-abcdefabcdef"),
        ])
        .collect()
}

/// An upstream, a host that has fetched all of `modules` from it, and one that has that host for a neighbour and nobody else.
fn two_hosts(modules: &[Module], extensions: &[&str]) -> (FakeUpstream, TestHost, TestHost) {
    let upstream = FakeUpstream::start([]);
    upstream.log(|log| log.pad_to(300));
    for module in modules {
        upstream.publish(module);
        upstream.log(|log| log.pad_to(log.size() + 300));
    }
    let first = online("A", &upstream).start();
    for module in modules {
        for extension in extensions {
            first.get(&module.url_path(extension)).expect_body();
        }
    }
    upstream.close();
    let second = neighbour_of(&first, &upstream);
    (upstream, first, second)
}

#[test]
fn go_lists_and_gets_the_versions_that_a_neighbour_has_looked_up() {
    let (upstream, first, second) = two_hosts(&modules(), &["mod", "zip"]);
    let go = second.go(&upstream.sumdb());
    let listed = go.run(&["list", "-m", "-versions", "example.com/tagged"]);
    let listed = listed.expect_success();
    assert_eq!(
        listed.stdout.trim(),
        "example.com/tagged v1.0.0 v1.9.0 v1.10.0 v1.11.0-rc.1"
    );
    let project = go.project("project", &[("go.mod", "module example.com/project\n")]);
    for (query, version) in [
        ("example.com/tagged@latest", "v1.10.0"),
        ("example.com/tagged@v1.9", "v1.9.0"),
        ("example.com/untagged@latest", PSEUDO),
        // By its commit.
        ("example.com/tagged@abcdefabc", PSEUDO),
        ("example.com/untagged", PSEUDO),
    ] {
        go.run_in(&project, &["get", query]).expect_success();
        let go_mod = std::fs::read_to_string(project.join("go.mod")).unwrap();
        let module = query.split('@').next().unwrap();
        assert!(
            go_mod.contains(&format!("{module} {version}")),
            "{query}: {go_mod}"
        );
    }
    let list = second.get("example.com/tagged/@v/list");
    assert_eq!(list.header("age"), "0");
    // A path that is no module is none for the neighbour either.
    assert_eq!(second.get("example.com/@v/list").status, 404);
    // What was proved is kept, and needs no neighbour any more.
    let before = second.get("example.com/untagged/@latest").expect_body();
    drop(first);
    let mut second = second;
    second.restart();
    let after = second.get("example.com/untagged/@latest").expect_body();
    assert_eq!(before, after);
}

#[test]
fn without_upstream_go_gets_the_latest_version_that_can_be_had() {
    let versions = ["v1.0.0", "v1.9.0", "v1.10.0"];
    let modules = versions.map(|version| Module::package("example.com/tagged", version));
    let upstream = FakeUpstream::start(modules);
    let mut first = online("A", &upstream).start();
    let go = first.go(&upstream.sumdb());
    let project = |go: &GoHome, name: &str| {
        let main = "package main\n\nimport _ \"example.com/tagged\"\n\nfunc main() {}\n";
        let go_mod = "module example.com/project\n\ngo 1.21\n";
        go.project(name, &[("go.mod", go_mod), ("main.go", main)])
    };
    // As go does it: for what v1.10.0 retracts it takes that one's go.mod, and no zip.
    let at_home = project(&go, "project");
    go.run_in(&at_home, &["get", "example.com/tagged@v1.9.0"])
        .expect_success();
    let of_latest = first.explain_file("example.com/tagged@v1.10.0", "mod");
    assert!(!of_latest["here"].is_null(), "{of_latest:#}");
    upstream.close();
    let second = neighbour_of(&first, &upstream);
    let gets = |host: &TestHost, listed: &str| {
        let go = host.go(&upstream.sumdb());
        for (number, words) in [
            &["get", "example.com/tagged@latest"][..],
            &["get", "example.com/tagged@upgrade"],
            &["get", "example.com/tagged@v1"],
            &["get", "example.com/tagged@>v1.0.0"],
            &["get", "example.com/tagged@v1.9.0"],
            &["get", "-u", "./..."],
            &["mod", "tidy"],
        ]
        .into_iter()
        .enumerate()
        {
            let project = project(&go, &format!("project{number}"));
            go.run_in(&project, words).expect_success();
            let go_mod = std::fs::read_to_string(project.join("go.mod")).unwrap();
            let required = "example.com/tagged v1.9.0";
            assert!(go_mod.contains(required), "{words:?}: {go_mod}");
        }
        let list = host.get("example.com/tagged/@v/list");
        assert_eq!(list.text(), listed);
        assert_eq!(list.header("x-modmesh-newer"), "v1.10.0");
        let latest = host.get("example.com/tagged/@latest");
        assert!(latest.text().contains("\"v1.9.0\""), "{}", latest.text());
        assert_eq!(latest.header("x-modmesh-newer"), "v1.10.0");
        // Who asks for it by name is told what is known of it.
        assert_eq!(host.get("example.com/tagged/@v/v1.10.0.mod").status, 200);
        assert_eq!(host.get("example.com/tagged/@v/v1.10.0.zip").status, 404);
    };
    // From the neighbour, then from here.
    gets(&second, "v1.9.0\n");
    // And where upstream gave a list a moment ago.
    first.restart_with(|options| options.argument("--offline"));
    gets(&first, "v1.0.0\nv1.9.0\n");
}

#[test]
fn what_is_known_of_toolchains_is_enough_for_go_without_internet() {
    let toolchain = |version: &str| Module::package("golang.org/toolchain", version);
    let modules = [
        toolchain("v0.0.1-go1.98.1.linux-amd64"),
        toolchain("v0.0.1-go1.98.2.darwin-arm64"),
    ];
    // As go fetches a toolchain that it switches to.
    let (upstream, _first, second) = two_hosts(&modules, &["zip"]);
    let go = second.go(&upstream.sumdb());
    let listed = go.run(&["list", "-m", "-versions", "toolchain"]);
    let listed = listed.expect_success();
    for version in [" go1.98.1", " go1.98.2"] {
        assert!(listed.stdout.contains(version), "{}", listed.stdout);
    }
    for (query, found) in [
        ("toolchain@go1.98.1", "toolchain go1.98.1"),
        // Known by the toolchain of another platform.
        ("toolchain@go1.98.2", "toolchain go1.98.2"),
        ("toolchain@latest", "toolchain go1.98.2"),
        ("go@1.98.1", "go 1.98.1"),
    ] {
        let listed = go.run(&["list", "-m", query]);
        let listed = listed.expect_success();
        assert_eq!(listed.stdout.trim(), found, "{query}");
    }
    let info = |version: &str| second.get(&format!("golang.org/toolchain/@v/{version}.info"));
    assert_eq!(info("v0.0.1-go1.98.3.linux-amd64").status, 404);
    assert_eq!(info("v0.0.1-go1.98.2.linux-arm64").status, 404);
}

#[test]
fn a_list_that_upstream_gave_before_is_not_changed_by_neighbours() {
    let modules = modules();
    let (upstream, first, _) = two_hosts(&modules, &["mod"]);
    upstream.come_back();
    let second = online("B", &upstream).peer(&first.peer_address()).start();
    second.wait_for_neighbours(1);
    upstream.put("example.com/tagged/@v/list", b"v1.0.0\n".to_vec());
    assert_eq!(
        second.get("example.com/tagged/@v/list").expect_body(),
        b"v1.0.0\n"
    );
    upstream.close();
    second.wait_until("upstream is seen to be gone", |host| {
        host.get("example.com/untagged/@latest").status == 200
    });
    assert_eq!(
        second.get("example.com/tagged/@v/list").expect_body(),
        b"v1.0.0\n"
    );
}

#[test]
fn no_neighbour_is_asked_for_the_versions_of_a_private_module() {
    let modules = modules();
    let mut log = TestLog::new("sumdb.example.test");
    log.pad_to(300);
    modules.iter().for_each(|module| {
        log.append(module);
    });
    let neighbour = LyingPeer::start(&modules, &log, PeerLie::None);
    let host = HostOptions::new("B")
        .sumdb(&log.verifier_key())
        .argument("--private=example.com/tagged")
        .peer(&neighbour.peer_address())
        .start();
    host.wait_for_neighbours(1);
    assert_eq!(host.get("example.com/tagged/@v/list").status, 404);
    assert_eq!(host.get("example.com/tagged/@latest").status, 404);
    assert_eq!(neighbour.versions_given(), 0);
    assert_eq!(host.get("example.com/untagged/@v/list").status, 200);
    assert_eq!(host.get("example.com/untagged/@latest").status, 200);
    assert_eq!(neighbour.versions_given(), 1);
}

/// Its author took a version back, or the last of them.
#[test]
fn the_latest_is_one_of_the_list_that_upstream_once_gave() {
    let mut modules: Vec<_> = ["v1.0.0", "v1.9.0", "v1.99.9"]
        .map(|version| Module::package("example.com/tagged", version))
        .into();
    modules.push(Module::package("example.com/untagged", PSEUDO));
    for (list, latest) in [("v1.0.0\nv1.9.0\n", Some("v1.9.0")), ("", None)] {
        let upstream = FakeUpstream::start([]);
        modules.iter().for_each(|module| upstream.publish(module));
        upstream.put("example.com/tagged/@v/list", list.into());
        let neighbour = upstream.log(|log| LyingPeer::start(&modules, log, PeerLie::None));
        let host = online("B", &upstream)
            .peer(&neighbour.peer_address())
            .start();
        host.wait_for_neighbours(1);
        let listed = host.get("example.com/tagged/@v/list").expect_body();
        assert_eq!(listed, list.as_bytes());
        upstream.close();
        host.wait_until("upstream is seen to be gone", |host| {
            host.get("example.com/untagged/@latest").status == 200
        });
        let answer = host.get("example.com/tagged/@latest");
        match latest {
            Some(latest) => assert!(answer.text().contains(latest), "{}", answer.text()),
            None => assert_ne!(answer.status, 200, "{}", answer.text()),
        }
    }
}

/// A module in a folder of repositories, of which all but the folder itself are private.
#[test]
fn nobody_is_asked_about_the_paths_above_a_private_module() {
    let above = Module::package("git.example/corp", "v1.7.3");
    let mut log = TestLog::new("sumdb.example.test");
    log.append(&above);
    log.pad_to(300);
    let database = FakeUpstream::with_log(log.clone());
    let upstream = FakeUpstream::start([]);
    upstream.close();
    let neighbour = LyingPeer::start(&[above], &log, PeerLie::None);
    let own_url = format!("{} {}", log.verifier_key(), database.url());
    for setting in [log.verifier_key(), own_url] {
        let host = HostOptions::new("A")
            .upstream(&upstream.url())
            .sumdb(&setting)
            .argument("--private=git.example/corp/*")
            .peer(&neighbour.peer_address())
            .start();
        host.wait_for_neighbours(1);
        let given = neighbour.records_given();
        // The first question finds out that upstream is gone.
        for _ in 0..3 {
            let answer = host.get("git.example/corp/secret/@v/v1.7.3.info");
            assert_eq!(answer.status, 504, "{}", answer.text());
        }
        assert_eq!(neighbour.records_given(), given);
        assert!(database.requests().is_empty(), "{:?}", database.requests());
        // It is asked about the path itself.
        host.get("git.example/corp/@v/v1.7.3.info").expect_body();
    }
}

#[test]
fn while_upstream_answers_no_neighbour_is_asked_for_versions() {
    let modules = modules();
    let upstream = FakeUpstream::start([]);
    modules.iter().for_each(|module| upstream.publish(module));
    let neighbour = upstream.log(|log| LyingPeer::start(&modules, log, PeerLie::None));
    let host = online("B", &upstream)
        .peer(&neighbour.peer_address())
        .start();
    host.wait_for_neighbours(1);
    for path in ["tagged/@v/list", "untagged/@v/list", "untagged/@latest"] {
        let answer = host.get(&format!("example.com/{path}"));
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("x-modmesh-source"), "upstream", "{path}");
    }
    // What it says that there is not, there is not.
    assert_eq!(host.get("example.com/never/@v/list").status, 404);
    assert_eq!(neighbour.versions_given(), 0);
}

#[test]
fn of_a_neighbour_that_lies_about_versions_nothing_is_kept_and_it_is_named() {
    let modules = modules();
    let mut log = TestLog::new("sumdb.example.test");
    log.pad_to(700);
    modules.iter().for_each(|module| {
        log.append(module);
    });
    log.pad_to(70_000);
    for lie in [
        PeerLie::Record,
        PeerLie::Tile,
        PeerLie::Head,
        PeerLie::HeadOfTrueTree,
        PeerLie::OtherRecord,
        PeerLie::Lines,
        PeerLie::TileWidth,
    ] {
        let liar = LyingPeer::start(&modules, &log, lie);
        let host = HostOptions::new("B")
            .sumdb(&log.verifier_key())
            .peer(&liar.peer_address())
            .start();
        let list = host.get("example.com/tagged/@v/list");
        assert_eq!(list.status, 404, "{lie:?}: {}", list.text());
        assert_eq!(
            host.get("example.com/tagged/@latest").status,
            404,
            "{lie:?}"
        );
        host.wait_until("the liar is named", |host| {
            let peers = host.peers();
            let mut peers = peers.as_array().unwrap().iter();
            peers.any(|peer| peer["peer_id"] == *liar.peer_id() && !peer["banned_until"].is_null())
        });
        let records = host.state().join("sumdb").join(log.name()).join("record");
        assert_eq!(std::fs::read_dir(records).unwrap().count(), 0, "{lie:?}");
    }
}
