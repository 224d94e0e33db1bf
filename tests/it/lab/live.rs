//! A real project from the real upstream, with the real checksum database. It asks what `go` itself would ask.

use std::path::Path;
use std::time::Duration;

use harness::lab::Forbidden;
use harness::replay::real_upstream;
use harness::{GoHome, HostOptions};

use crate::LabTest;

pub(crate) const TESTS: &[(&str, LabTest)] = &[(
    "live_a_project_of_35_modules_downloads_with_the_database_on",
    live_a_project_of_35_modules_downloads_with_the_database_on,
)];

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
