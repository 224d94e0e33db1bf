//! The walk on a real link: A downloads a project, its neighbour finds A by itself and has no route to anywhere else; then
//! A's own line is cut.
//!
//! Each story is told twice: with a small project that is made here, and with gin, whose answers are recorded from the real
//! upstream (`MODMESH_LIVE=1`).

use std::net::SocketAddr;
use std::path::Path;

use harness::lab::{Forbidden, Lab, LabHost};
use harness::project::{WITH_SUMS, WITHOUT_SUMS};
use harness::{HostOptions, Project, Replay, TestHost};

use crate::LabTest;

pub(crate) const TESTS: &[(&str, LabTest)] = &[
    (
        "a_host_without_any_route_builds_from_the_neighbour_it_finds",
        || the_neighbour_builds(&Project::small()),
    ),
    (
        "a_host_whose_line_is_cut_still_builds_what_it_built_before",
        || the_line_is_cut(&Project::small()),
    ),
    (
        "live_gin_is_built_on_a_host_without_any_route_from_the_neighbour_it_finds",
        || the_neighbour_builds(&gin()),
    ),
    (
        "live_gin_is_still_built_on_a_host_whose_line_is_cut",
        || the_line_is_cut(&gin()),
    ),
];

/// What B runs where go.sum is missing.
const TIDY_FIRST: &[&[&str]] = &[&["mod", "tidy"], &["mod", "download"], &["build", "./..."]];

fn gin() -> Project {
    Project::gin(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("recording"))
}

/// A has run everything while its upstream was there.
struct Scene<'p> {
    project: &'p Project,
    lab: Lab,
    upstream: Replay,
    first: TestHost,
}

impl<'p> Scene<'p> {
    fn new(project: &'p Project) -> Result<Self, Forbidden> {
        let lab = Lab::with_upstream(2, &[0])?;
        let listen = SocketAddr::from((lab.upstream().address(), 80));
        let upstream = Replay::play_in(project.recording(), lab.upstream().place(), listen);
        let first = host(project, "A", lab.host(0))
            .upstream(&upstream.url())
            .start();
        let scene = Self {
            project,
            lab,
            upstream,
            first,
        };
        scene.expect_all(
            &scene.first,
            true,
            &[&["mod", "download"], &["list", "-m", "all"]],
        );
        scene.expect_all(&scene.first, false, WITHOUT_SUMS);
        Ok(scene)
    }

    /// Each command succeeds in a home of its own, with go.sum.
    fn expect_each(&self, host: &TestHost, commands: &[&[&str]]) {
        for command in commands {
            let go = self.project.home(&host.url()).in_place(host.place());
            let copy = self.project.copy_into(&go, true);
            let took = go.run_in(&copy, command).expect_success().wall;
            println!("{}: go {}: {took:.2?}", host.name(), command.join(" "));
        }
    }

    /// The commands succeed one after the other in one home.
    fn expect_all(&self, host: &TestHost, with_sums: bool, commands: &[&[&str]]) {
        let go = self.project.home(&host.url()).in_place(host.place());
        let copy = self.project.copy_into(&go, with_sums);
        for command in commands {
            let took = go.run_in(&copy, command).expect_success().wall;
            let first = if with_sums {
                ""
            } else {
                " (go.sum was missing)"
            };
            println!(
                "{}: go {}{first}: {took:.2?}",
                host.name(),
                command.join(" ")
            );
        }
    }
}

fn host(project: &Project, name: &str, on: &LabHost) -> HostOptions {
    HostOptions::new(name)
        .in_place(on.place())
        .sumdb(project.sumdb())
        .mdns()
        .peer_listen(&format!("{}:0", on.address()))
}

fn the_neighbour_builds(project: &Project) -> Result<(), Forbidden> {
    let scene = Scene::new(project)?;
    let asked = scene.upstream.requests();

    let second = host(project, "B", scene.lab.host(1)).start();
    second.get(&project.any_go_mod()).expect_body();
    scene.expect_each(&second, &[&["mod", "download"], &["build", "./..."]]);
    expect_all_from_the_neighbour(&second, &scene.first);
    drop(second);

    // Another host that never saw the project: nothing of it helps the commands that need the records.
    let third = host(project, "B", scene.lab.host(1)).start();
    scene.expect_all(&third, false, TIDY_FIRST);
    expect_all_from_the_neighbour(&third, &scene.first);
    assert_eq!(
        scene.upstream.requests(),
        asked,
        "A asked its upstream again"
    );
    Ok(())
}

fn the_line_is_cut(project: &Project) -> Result<(), Forbidden> {
    let mut scene = Scene::new(project)?;
    scene.lab.cut(scene.lab.upstream());
    scene.first.restart();
    scene.expect_each(&scene.first, WITH_SUMS);
    scene.expect_all(&scene.first, false, WITHOUT_SUMS);
    Ok(())
}

/// Nothing came from anywhere else than A, and whatever B keeps has crossed the link.
fn expect_all_from_the_neighbour(second: &TestHost, first: &TestHost) {
    assert_eq!(second.metric("modmesh_upstream_requests_total", &[]), 0.0);
    let received = second.metric("modmesh_peer_received_bytes_total", &[]);
    let kept = second.metric("modmesh_store_bytes", &[]);
    assert!(kept > 0.0 && received >= kept, "{received} of {kept} bytes");
    let sent = first.metric("modmesh_peer_sent_bytes_total", &[]);
    assert!(sent >= received, "{sent} sent, {received} received");
    let zip_from = |source| {
        let labels = [("kind", "zip"), ("source", source), ("code", "200")];
        second.metric("modmesh_http_requests_total", &labels)
    };
    assert!(zip_from("peer") > 0.0);
    assert_eq!(zip_from("upstream"), 0.0);
    assert_eq!(second.status()["traffic"]["from_upstream_bytes"], 0);
}
