//! `direct`: modules that no proxy has, from their own git repositories, through the host's `go` in a fence.

use std::fs;
use std::time::{Duration, Instant};

use harness::git::{path_with, script};
use harness::{FakeUpstream, GitRepository, HostOptions, Module, TestHost};

use crate::scene::neighbour_of;

const ADDRESS: &str = "git.example.test/repo";

/// A repository with `v1.0.0`, `v1.1.0` (retracted by nobody), a module in `sub`, and a branch `feature` beyond them.
fn repository() -> (GitRepository, String) {
    let repository = GitRepository::new(ADDRESS);
    let module = repository.module();
    let go_mod = format!("module {module}\n\ngo 1.21\n");
    repository.commit(&[("go.mod", &go_mod), ("repo.go", "package repo\n")]);
    repository.tag("v1.0.0");
    let sub = format!("module {module}/sub\n\ngo 1.21\n");
    repository.commit(&[("sub/go.mod", &sub), ("sub/sub.go", "package sub\n")]);
    repository.tag("v1.1.0");
    repository.tag("sub/v1.0.0");
    repository.branch("feature");
    let commit = repository.commit(&[("new.go", "package repo\n")]);
    (repository, commit)
}

/// A host with this list that reaches the repository.
fn host(list: &str, repository: &GitRepository) -> HostOptions {
    let home = repository.home();
    HostOptions::new("A")
        .upstream(list)
        .variable("HOME", home.to_str().unwrap())
}

#[track_caller]
fn expect_nothing_left(host: &TestHost) {
    let folder = host.state().join("direct");
    host.wait_until("the folders of go are gone", |_| {
        fs::read_dir(&folder).map_or(0, Iterator::count) == 0
    });
}

#[test]
fn a_tag_a_branch_a_commit_and_a_module_in_a_folder_come_from_git() {
    let (repository, commit) = repository();
    let module = repository.module();
    // What is set for the user's own work with go must not reach the daemon's.
    let host = host("direct", &repository)
        .variable("GOFLAGS", "-mod=vendor -modfile=/nowhere/go.mod")
        .variable("GOPROXY", "off")
        .variable("GO111MODULE", "off")
        .variable("GOWORK", "/nowhere/go.work")
        .variable("GOTOOLCHAIN", "go1.99.0")
        .variable("GIT_DIR", "/nowhere")
        .start();
    assert_eq!(host.status()["upstream"][0]["state"], "untried");
    let list = host.get(&format!("{module}/@v/list")).expect_body();
    assert_eq!(String::from_utf8(list).unwrap(), "v1.0.0\nv1.1.0\n");
    let latest = host.get(&format!("{module}/@latest")).expect_body();
    let latest: serde_json::Value = serde_json::from_slice(&latest).unwrap();
    assert_eq!(latest["Version"], "v1.1.0");
    assert_eq!(latest["Origin"]["VCS"], "git");
    let branch = host.get(&format!("{module}/@v/feature.info")).expect_body();
    let branch: serde_json::Value = serde_json::from_slice(&branch).unwrap();
    let pseudo = format!("v1.1.1-0.20260102030405-{}", &commit[..12]);
    assert_eq!(branch["Version"], pseudo);

    let go = host.go("off");
    for wanted in [
        format!("{module}@v1.0.0"),
        format!("{module}@feature"),
        format!("{module}@{commit}"),
        format!("{module}@{pseudo}"),
        format!("{module}/sub@v1.0.0"),
        format!("{module}/sub@latest"),
    ] {
        let output = go.download(&wanted).expect_success();
        assert!(output.stdout.contains("\"Sum\": \"h1:"), "{output}");
    }
    let sub = go
        .downloaded(&format!("{module}/sub/@v/v1.0.0.mod"))
        .unwrap();
    assert!(sub.starts_with(format!("module {module}/sub\n").as_bytes()));
    assert!(
        host.state()
            .join(format!("apart/{module}/@v/v1.0.0.zip"))
            .exists()
    );
    assert_eq!(host.status()["upstream"][0]["state"], "up");
    let zips = [("kind", "zip"), ("code", "200")];
    assert_eq!(host.metric("modmesh_upstream_requests_total", &zips), 3.0);
    expect_nothing_left(&host);

    // Kept as everything is: the second go needs no git, and none is asked.
    drop(repository);
    host.go("off")
        .download(&format!("{module}@v1.0.0"))
        .expect_success();
}

#[test]
fn what_is_not_there_is_a_404_with_the_words_of_go() {
    let (repository, _) = repository();
    let module = repository.module();
    let host = host("direct", &repository).start();
    for (path, words) in [
        (
            format!("{module}/@v/v1.9.9.info"),
            "unknown revision v1.9.9",
        ),
        (format!("{module}/@v/v1.9.9.zip"), "unknown revision v1.9.9"),
        (
            format!("{module}/@v/nothing.info"),
            "unknown revision nothing",
        ),
        (format!("{module}/nothing/@latest"), "no matching versions"),
    ] {
        let answer = host.get(&path);
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        assert!(answer.text().contains(words), "{path}: {}", answer.text());
        assert!(answer.header("content-type").starts_with("text/plain"));
        assert!(!answer.text().contains(host.state().to_str().unwrap()));
    }
    // That lets go find the module among the prefixes of a package's path.
    let go = host.go("off");
    let user = go.project(
        "user",
        &[("go.mod", "module example.test/user\n\ngo 1.21\n")],
    );
    go.run_in(&user, &["get", &format!("{module}/sub")])
        .expect_success();
    expect_nothing_left(&host);
}

#[test]
fn direct_is_asked_behind_a_proxy_that_has_it_not() {
    let (repository, _) = repository();
    let file = format!("{}/@v/v1.0.0.mod", repository.module());
    let upstream = FakeUpstream::start([]);
    let host = host(&format!("{},direct", upstream.url()), &repository).start();
    host.get(&file).expect_body();
    assert_eq!(upstream.traffic_of("*.mod").requests, 1);
}

#[test]
fn the_database_is_asked_itself_and_what_it_proves_is_for_the_neighbours() {
    let repository = GitRepository::new(ADDRESS);
    let module = Module::new(&repository.module(), "v1.0.0").file("repo.go", "package repo\n");
    let go_mod = String::from_utf8(module.go_mod()).unwrap();
    repository.commit(&[("go.mod", &go_mod), ("repo.go", "package repo\n")]);
    repository.tag("v1.0.0");
    let upstream = FakeUpstream::start([module.clone()]);
    let host = host("direct", &repository)
        .sumdb(&upstream.sumdb_with_url())
        .start();
    let go = host.go(&upstream.sumdb());
    go.download(&module.name()).expect_success();
    assert!(
        host.state()
            .join("store")
            .join(module.url_path("zip"))
            .exists()
    );
    assert_eq!(upstream.traffic_of("*.zip").requests, 0);
    assert!(upstream.traffic_of("*lookup*").requests >= 1);

    let neighbour = neighbour_of(&host, &upstream);
    let zip = neighbour.get(&module.url_path("zip"));
    assert_eq!(zip.header("x-modmesh-source"), "peer");
    zip.expect_body();
}

#[test]
fn a_module_that_the_database_lists_otherwise_is_refused() {
    let repository = GitRepository::new(ADDRESS);
    let module = Module::new(&repository.module(), "v1.0.0").file("repo.go", "package repo\n");
    let go_mod = String::from_utf8(module.go_mod()).unwrap();
    repository.commit(&[("go.mod", &go_mod), ("repo.go", "package moved\n")]);
    repository.tag("v1.0.0");
    let upstream = FakeUpstream::start([module.clone()]);
    let host = host("direct", &repository)
        .sumdb(&upstream.sumdb_with_url())
        .start();
    let answer = host.get(&module.url_path("zip"));
    assert_eq!(answer.status, 502, "{}", answer.text());
}

#[test]
fn the_daemon_ends_in_time_and_takes_a_git_that_hangs_with_it() {
    let (repository, _) = repository();
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let hang = format!(
        "echo $$ >> {0}\nsleep 1000 &\necho $! >> {0}\nsleep 1000",
        pids.display()
    );
    let git = script("git", &hang);
    let mut host = host("direct", &repository)
        .variable("PATH", &path_with(git.path()))
        .start();
    let request = host.request(&format!("{}/@v/list", repository.module()));
    let asking = std::thread::spawn(move || request.send().map(|answer| answer.status));
    let written = || fs::read_to_string(&pids).unwrap_or_default();
    host.wait_until("git runs", |_| written().lines().count() >= 2);
    let began = Instant::now();
    assert!(host.stop().success());
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(asking.join().unwrap().ok(), Some(504));
    for pid in written().lines() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    }
    assert_eq!(
        fs::read_dir(host.state().join("direct")).unwrap().count(),
        0
    );
}

#[test]
fn what_a_killed_daemon_left_is_swept() {
    let (repository, _) = repository();
    let mut host = host("direct", &repository).start();
    host.kill();
    let left = host.state().join("direct/1-0/modules");
    fs::create_dir_all(&left).unwrap();
    host.restart();
    assert!(!left.exists());
}

#[test]
fn without_go_on_the_host_the_answer_says_so() {
    let (repository, _) = repository();
    let empty = tempfile::tempdir().unwrap();
    let host = host("direct", &repository)
        .variable("PATH", empty.path().to_str().unwrap())
        .start();
    let answer = host.get(&format!("{}/@v/list", repository.module()));
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("no go command"), "{}", answer.text());
    assert_eq!(host.status()["upstream"][0]["state"], "down");
}
