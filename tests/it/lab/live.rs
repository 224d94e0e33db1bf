//! A real project from the real upstream, with the real checksum database. It asks what `go` itself would ask.

use std::path::Path;
use std::time::Duration;

use harness::lab::Forbidden;
use harness::replay::real_upstream;
use harness::{GoHome, HostOptions, TestHost};

use crate::LabTest;

pub(crate) const TESTS: &[(&str, LabTest)] = &[
    (
        "live_a_project_of_35_modules_downloads_with_the_database_on",
        live_a_project_of_35_modules_downloads_with_the_database_on,
    ),
    (
        "live_a_toolchain_comes_from_the_neighbour_of_a_host_without_internet",
        live_a_toolchain_comes_from_the_neighbour_of_a_host_without_internet,
    ),
];

const SUMDB: &str = "sum.golang.org";

fn live_a_project_of_35_modules_downloads_with_the_database_on() -> Result<(), Forbidden> {
    let upstream = real_upstream().expect("an http upstream in `go env GOPROXY`");
    let host = HostOptions::new("A")
        .upstream(&upstream)
        .sumdb(SUMDB)
        .start();
    let workload = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/35-modules");
    let read = |name: &str| std::fs::read_to_string(workload.join(name)).unwrap();
    let (go_mod, go_sum) = (read("go.mod"), read("go.sum"));
    let download = |files: &[(&str, &str)]| {
        let go = GoHome::new(&host.url(), SUMDB).within(Duration::from_secs(300));
        let project = go.project("project", files);
        let output = go.run_in(&project, &["mod", "download", "-json"]);
        let output = output.expect_success();
        println!("go mod download: {:.2?}", output.wall);
        output.stdout.matches("\"Zip\":").count()
    };
    // Without go.sum it is the database's answers, passed by us, that `go` holds the files against.
    assert!(download(&[("go.mod", &go_mod)]) >= 35);
    let asked = host.metric("modmesh_upstream_requests_total", &[]);
    println!("requests to upstream: {asked}");
    assert!(download(&[("go.mod", &go_mod), ("go.sum", &go_sum)]) >= 35);
    let again = host.metric("modmesh_upstream_requests_total", &[]);
    assert_eq!(again, asked, "what is here is not asked for again");
    assert_eq!(host.metric("modmesh_pending_served_total", &[]), 0.0);
    assert_eq!(host.metric("modmesh_verification_failures_total", &[]), 0.0);
    assert!(host.status()["sumdb"][0]["records"].as_u64() >= Some(35));
    Ok(())
}

/// A toolchain that nobody has installed where this is run, or an older one than is installed: `go` switches to both.
const TOOLCHAIN: &str = "go1.26.2";

fn live_a_toolchain_comes_from_the_neighbour_of_a_host_without_internet() -> Result<(), Forbidden> {
    let upstream = real_upstream().expect("an http upstream in `go env GOPROXY`");
    let first = HostOptions::new("A")
        .upstream(&upstream)
        .sumdb(SUMDB)
        .start();
    let switched = |host: &TestHost| {
        let go = GoHome::new(&host.url(), SUMDB)
            .variable("GOTOOLCHAIN", TOOLCHAIN)
            .within(Duration::from_secs(300));
        let program =
            "package main\n\nimport \"runtime\"\n\nfunc main() { println(runtime.Version()) }\n";
        let files = [
            ("go.mod", "module example.com/program\n"),
            ("a.go", program),
        ];
        let project = go.project("program", &files);
        let version = go.run_in(&project, &["version"]).expect_success();
        println!("{}: switched in {:.2?}", host.name(), version.wall);
        assert!(version.stdout.contains(TOOLCHAIN), "{}", version.stdout);
        let ran = go.run_in(&project, &["run", "."]).expect_success();
        assert_eq!(ran.stderr.trim(), TOOLCHAIN);
    };
    switched(&first);

    let second = HostOptions::new("B")
        .sumdb(SUMDB)
        .peer(&first.peer_address())
        .argument("--offline")
        .start();
    second.wait_for_neighbours(1);
    switched(&second);
    let from_a = second.metric("modmesh_peer_received_bytes_total", &[]);
    println!("from A to B: {:.1} MB", from_a / 1e6);
    assert!(from_a > 50e6, "{from_a} bytes are no toolchain");
    assert_eq!(second.metric("modmesh_upstream_requests_total", &[]), 0.0);
    assert_eq!(second.metric("modmesh_pending_served_total", &[]), 0.0);
    assert_eq!(
        second.metric("modmesh_verification_failures_total", &[]),
        0.0
    );
    assert_eq!(second.status()["sumdb"][0]["records"], 1);
    Ok(())
}
