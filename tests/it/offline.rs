//! The line is cut: packets vanish, the host is restarted, and the same project still downloads with the database on.

use std::path::Path;

use harness::{FakeUpstream, Fault, GoHome, HeadPolicy, HostOptions, Module, TestHost};

use crate::scene::{neighbour_of, online};

const GO_MOD: &str = "module example.com/project\n\ngo 1.21\n\nrequire example.com/hello v1.0.0\n";
const SOURCE: &str = "package project\n\nimport _ \"example.com/hello\"\n";

fn world() -> FakeUpstream {
    let upstream = FakeUpstream::start([]);
    upstream.log(|log| log.pad_to(250));
    upstream.publish(&Module::package("example.com/word", "v1.1.0"));
    upstream.log(|log| log.pad_to(600));
    upstream.publish(
        &Module::package("example.com/hello", "v1.0.0")
            .requires("example.com/word", "v1.1.0")
            .file("use.go", "package hello\n\nimport _ \"example.com/word\"\n"),
    );
    upstream.log(|log| log.pad_to(1000));
    // Every lookup comes with another head, as those of a cached database do.
    upstream.send_heads(HeadPolicy::Cached(7));
    upstream
}

fn run_all(go: &GoHome, project: &Path, commands: &[&[&str]]) {
    for command in commands {
        go.run_in(project, command).expect_success();
    }
}

#[test]
fn a_project_that_was_here_before_needs_no_upstream_any_more() {
    // The vendor folder comes last: go lists no modules where there is one.
    const WITH_SUMS: &[&[&str]] = &[
        &["mod", "download"],
        &["build", "./..."],
        &["list", "-m", "all"],
        &["mod", "vendor"],
    ];
    const WITHOUT: &[&[&str]] = &[
        &["mod", "download"],
        &["mod", "tidy"],
        &["build", "./..."],
        &["list", "-m", "all"],
        &["mod", "vendor"],
    ];
    let upstream = world();
    let mut host = online("A", &upstream).start();
    let go = host.go(&upstream.sumdb());
    let project = go.project("project", &[("go.mod", GO_MOD), ("a.go", SOURCE)]);
    run_all(&go, &project, WITHOUT);
    let go_mod = std::fs::read_to_string(project.join("go.mod")).unwrap();
    let go_sum = std::fs::read_to_string(project.join("go.sum")).unwrap();

    upstream.go_dark();
    host.restart();
    let go = host.go(&upstream.sumdb());
    let project = go.project(
        "with",
        &[("go.mod", &go_mod), ("go.sum", &go_sum), ("a.go", SOURCE)],
    );
    run_all(&go, &project, WITH_SUMS);
    let go = host.go(&upstream.sumdb());
    let project = go.project("without", &[("go.mod", &go_mod), ("a.go", SOURCE)]);
    run_all(&go, &project, WITHOUT);
}

#[test]
fn a_host_started_offline_asks_nobody_and_says_what_it_does_not_have() {
    let upstream = world();
    let mut host = online("A", &upstream).start();
    let module = Module::package("example.com/word", "v1.1.0");
    host.get(&module.url_path("zip")).expect_body();
    upstream.forget();
    host.restart_with(|options| options.argument("--offline"));
    assert_eq!(
        host.get(&module.url_path("zip")).expect_body(),
        module.zip()
    );
    let missing = host.get("example.com/hello/@v/v1.0.0.zip");
    assert_eq!(missing.status, 404, "{}", missing.text());
    assert!(missing.header("content-type").starts_with("text/plain"));
    assert_eq!(upstream.traffic_of_all().requests, 0);
}

#[test]
fn what_is_not_here_is_told_with_its_version_and_where_it_was_looked_for() {
    let upstream = world();
    let mut first = online("A", &upstream).start();
    let module = Module::package("example.com/word", "v1.1.0");
    for extension in ["mod", "zip"] {
        first.get(&module.url_path(extension)).expect_body();
    }
    first.restart_with(|options| options.argument("--offline"));
    let told = |host: &TestHost, path: &str| {
        let answer = host.get(path);
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        answer.text()
    };
    let another = told(&first, "example.com/word/@v/v1.2.0.zip");
    assert!(
        another.starts_with("example.com/word@v1.2.0 is not on this host (v1.1.0 is), no neighbour is connected, and"),
        "{another}"
    );
    let branch = told(&first, "example.com/word/@v/master.info");
    assert!(
        branch.contains("word@master is no version but a branch"),
        "{branch}"
    );
    let second = neighbour_of(&first, &upstream);
    let nowhere = told(&second, "example.com/other/@v/v1.2.0.zip");
    assert!(
        nowhere.contains("@v1.2.0 is not on this host, no neighbour offers it, and"),
        "{nowhere}"
    );
    // Nobody could say what it must be, so that nobody is asked for it.
    let off = HostOptions::new("C").peer(&first.peer_address()).start();
    off.wait_for_neighbours(1);
    for extension in ["mod", "zip", "info"] {
        let unasked = told(&off, &module.url_path(extension));
        assert!(
            unasked.contains("no go.sum given here names it"),
            "{unasked}"
        );
        assert!(unasked.contains("`modmesh run`"), "{unasked}");
    }
}

#[test]
fn while_the_line_is_cut_what_is_here_is_served_and_what_is_not_is_no_404() {
    let upstream = world();
    let host = online("A", &upstream).start();
    let module = Module::package("example.com/word", "v1.1.0");
    host.get(&module.url_path("zip")).expect_body();
    upstream.close();
    assert_eq!(
        host.get(&module.url_path("zip")).expect_body(),
        module.zip()
    );
    let missing = host.get("example.com/hello/@v/v1.0.0.zip");
    assert!(
        missing.status >= 500,
        "{}: {}",
        missing.status,
        missing.text()
    );
    // Go probes the prefixes of the paths of modules; what lies below a module that is here is known not to be one.
    let below = host.get("example.com/word/part/@v/v1.1.0.info");
    assert_eq!(below.status, 404, "{}", below.text());
}

#[test]
fn a_version_of_which_only_the_zip_is_here_is_known_offline() {
    let (zip_alone, both) = (
        Module::package("example.com/word", "v1.1.0"),
        Module::package("example.com/word", "v1.2.0"),
    );
    let upstream = FakeUpstream::start([zip_alone.clone(), both.clone()]);
    let mut host = online("A", &upstream).start();
    // As `go` fetches a toolchain that it switches to.
    host.get(&zip_alone.url_path("zip")).expect_body();
    for extension in ["mod", "zip"] {
        host.get(&both.url_path(extension)).expect_body();
    }
    host.restart_with(|options| options.argument("--offline"));
    let list = host.get("example.com/word/@v/list").expect_body();
    assert_eq!(list, b"v1.1.0\nv1.2.0\n");
    let info = host.get(&zip_alone.url_path("info")).expect_body();
    assert_eq!(info, br#"{"Version":"v1.1.0"}"#);
}

#[test]
fn while_the_line_is_cut_a_path_inside_a_module_of_a_neighbour_is_known_to_be_none() {
    let upstream = world();
    let first = online("A", &upstream).start();
    let module = Module::package("example.com/word", "v1.1.0");
    for extension in ["info", "mod", "zip"] {
        first.get(&module.url_path(extension)).expect_body();
    }
    upstream.close();
    let second = online("B", &upstream).peer(&first.peer_address()).start();
    second.wait_for_neighbours(1);
    let probe = |path: &str| second.get(&format!("{path}/@v/v1.1.0.info"));
    // Asked first, while nothing of the module is here.
    let below = probe("example.com/word/part/deep");
    assert_eq!(below.status, 404, "{}", below.text());
    assert_eq!(probe("example.com/word").status, 200);
    assert_eq!(probe("example.com/other").status, 504);
}

#[test]
fn what_upstream_said_is_no_module_is_none_while_the_line_is_cut_also_after_a_restart() {
    let upstream = world();
    let mut host = online("A", &upstream).start();
    let module = Module::package("example.com/word", "v1.1.0");
    for extension in ["info", "mod", "zip"] {
        host.get(&module.url_path(extension)).expect_body();
    }
    upstream.fault("internal.example/*", Fault::status(403, "not for you"));
    let probes = [
        ("example.com/@v/list", 404),
        ("example.com/@v/v1.1.0.info", 404),
        ("internal.example/a/@latest", 403),
    ];
    for (path, status) in probes {
        assert_eq!(host.get(path).status, status, "{path}");
    }
    upstream.close();
    host.restart();
    // Nobody knows yet that upstream is gone.
    assert_eq!(host.get("example.com/never/@v/list").status, 504);
    for (path, status) in probes {
        let answer = host.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.header("age").parse::<u64>().is_ok(), "{path}");
        assert!(answer.text().contains("upstream cannot be reached"));
    }
    assert_eq!(host.get("example.com/never/@latest").status, 504);
    // Its new word counts as soon as it is back.
    upstream.heal();
    let published = Module::package("internal.example/a", "v1.0.0");
    upstream.publish(&published);
    upstream.come_back();
    host.wait_until("upstream is seen to be back", |host| {
        host.get("internal.example/a/@v/list").status == 200
    });
    assert_eq!(host.get("internal.example/a/@latest").status, 200);
}

#[test]
fn what_upstream_said_no_to_is_a_no_while_it_is_gone_and_until_it_says_otherwise() {
    let upstream = world();
    upstream.fault("*/v1.9.7.zip", Fault::status(403, "not for you"));
    let mut host = online("A", &upstream).start();
    let of = |version: &str, extension: &str| format!("example.com/hello/@v/{version}.{extension}");
    let refused = [
        ("v1.9.9", "info", 404),
        ("v1.9.9", "mod", 404),
        ("v1.9.9", "zip", 404),
        ("v1.9.7", "zip", 403),
    ];
    for (version, extension, status) in refused {
        let answer = host.get(&of(version, extension));
        assert_eq!(answer.status, status, "{extension}: {}", answer.text());
    }
    upstream.close();
    host.restart();
    for (version, extension, status) in refused {
        let answer = host.get(&of(version, extension));
        assert_eq!(answer.status, status, "{extension}: {}", answer.text());
        assert!(answer.text().contains("it said so"), "{}", answer.text());
        assert!(answer.header("age").parse::<u64>().is_ok());
    }
    let unknown = host.get(&of("v1.9.8", "zip"));
    assert!(unknown.status >= 500, "{}", unknown.text());
    upstream.publish(&Module::package("example.com/hello", "v1.9.9"));
    upstream.come_back();
    host.wait_until("upstream's newer word counts", |host| {
        host.get(&of("v1.9.9", "zip")).status == 200
    });
}

#[test]
fn of_a_tile_beyond_the_tree_a_client_is_told_what_upstream_said() {
    let upstream = world();
    let mut host = online("A", &upstream).start();
    let module = Module::package("example.com/word", "v1.1.0");
    host.get(&module.url_path("zip")).expect_body();
    let told = |host: &TestHost, tile: &str| {
        let answer = host.get(&format!("sumdb/sumdb.example.test/tile/8/0/{tile}"));
        assert!(answer.text().contains("lies beyond"), "{}", answer.text());
        answer.status
    };
    assert_eq!(told(&host, "007.p/5"), 404);
    upstream.fault("*/tile/8/0/008*", Fault::status(503, "come later"));
    assert_eq!(told(&host, "008.p/5"), 503);
    upstream.close();
    assert_eq!(told(&host, "009.p/5"), 504);
    host.restart_with(|options| options.argument("--offline"));
    assert_eq!(told(&host, "009.p/5"), 404);
}
