//! Two hosts on one link: A has fetched a project, B has nothing, no route to anywhere else, and finds A by itself.
//!
//! One run of a pair is `go mod download` through A, all in its store; the other is the same through a fresh B. B counts
//! only when every byte came from A: the figures of a run that touched the upstream would say something else.

use std::fs;
use std::net::SocketAddr;
use std::time::Instant;

use harness::lab::{Forbidden, Lab, LabHost};
use harness::{HostOptions, Replay, TestHost};
use serde::Serialize;

use crate::TwoHosts;
use crate::figures::Figures;
use crate::project::{Project, SUMDB};

#[derive(Debug, Serialize)]
struct Report {
    project: String,
    pairs: usize,
    figures: Vec<Figures>,
    /// B's median wall over A's.
    ratio: f64,
}

/// What one `go mod download` took.
#[derive(Debug, Default)]
struct Run {
    wall_seconds: f64,
    cpu_seconds_a: f64,
    cpu_seconds_b: f64,
    bytes_from_a: f64,
    found_after_seconds: f64,
}

pub(crate) fn measure(options: &TwoHosts) -> Result<(), Forbidden> {
    let project = Project::prepare(&options.project, &options.recording);
    let lab = Lab::with_upstream(2, &[0])?;
    let listen = SocketAddr::from((lab.upstream().address(), 80));
    let upstream = Replay::play_in(&options.recording, lab.upstream().place(), listen);
    let first = host("A", lab.host(0)).upstream(&upstream.url()).start();
    for with_sums in [false, true] {
        warm(&first, &project, with_sums);
    }

    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for pair in 0..options.pairs {
        // Who goes first changes, so that a machine that gets slower or faster favours nobody.
        if pair % 2 == 0 {
            of_a.push(download_from_a(&first, &project));
            of_b.push(download_from_b(&first, &lab, &project, &upstream));
        } else {
            of_b.push(download_from_b(&first, &lab, &project, &upstream));
            of_a.push(download_from_a(&first, &project));
        }
        println!(
            "pair {}: A {:.3} s, B {:.3} s",
            pair + 1,
            of_a[pair].wall_seconds,
            of_b[pair].wall_seconds
        );
    }
    report(options, &of_a, &of_b);
    Ok(())
}

fn host(name: &str, on: &LabHost) -> HostOptions {
    HostOptions::new(name)
        .in_place(on.place())
        .sumdb(SUMDB)
        .mdns()
        .peer_listen(&format!("{}:0", on.address()))
}

fn warm(host: &TestHost, project: &Project, with_sums: bool) {
    let go = host.go(SUMDB).within(std::time::Duration::from_secs(600));
    let copy = project.copy_into(&go, with_sums);
    if !with_sums {
        go.run_in(&copy, &["mod", "tidy"]).expect_success();
    }
    go.run_in(&copy, &["mod", "download"]).expect_success();
    go.run_in(&copy, &["list", "-m", "all"]).expect_success();
}

fn download_from_a(first: &TestHost, project: &Project) -> Run {
    let cpu = first.cpu_seconds();
    let wall_seconds = timed_download(first, project);
    Run {
        wall_seconds,
        cpu_seconds_a: first.cpu_seconds() - cpu,
        ..Run::default()
    }
}

fn download_from_b(first: &TestHost, lab: &Lab, project: &Project, upstream: &Replay) -> Run {
    let asked = upstream.requests();
    let started = Instant::now();
    let second = host("B", lab.host(1)).start();
    second.wait_for_neighbours(1);
    let found_after_seconds = started.elapsed().as_secs_f64();
    let cpu = (first.cpu_seconds(), second.cpu_seconds());
    let wall_seconds = timed_download(&second, project);
    assert_eq!(upstream.requests(), asked, "somebody asked the upstream");
    Run {
        wall_seconds,
        cpu_seconds_a: first.cpu_seconds() - cpu.0,
        cpu_seconds_b: second.cpu_seconds() - cpu.1,
        bytes_from_a: second.metric("modmesh_peer_received_bytes_total", &[]),
        found_after_seconds,
    }
}

/// Wall seconds of `go mod download` in a fresh home.
fn timed_download(host: &TestHost, project: &Project) -> f64 {
    let go = host.go(SUMDB).within(std::time::Duration::from_secs(600));
    let copy = project.copy_into(&go, true);
    let output = go.run_in(&copy, &["mod", "download"]).expect_success();
    output.wall.as_secs_f64()
}

fn report(options: &TwoHosts, of_a: &[Run], of_b: &[Run]) {
    let column = |runs: &[Run], take: fn(&Run) -> f64| runs.iter().map(take).collect::<Vec<_>>();
    let wall_of_a = Figures::of("A, warm", "s", column(of_a, |run| run.wall_seconds));
    let wall_of_b = Figures::of(
        "B, first, from A",
        "s",
        column(of_b, |run| run.wall_seconds),
    );
    let ratio = wall_of_b.median / wall_of_a.median;
    let figures = vec![
        wall_of_a,
        wall_of_b,
        Figures::of(
            "CPU of A's daemon, A's run",
            "s",
            column(of_a, |run| run.cpu_seconds_a),
        ),
        Figures::of(
            "CPU of A's daemon, B's run",
            "s",
            column(of_b, |run| run.cpu_seconds_a),
        ),
        Figures::of(
            "CPU of B's daemon, B's run",
            "s",
            column(of_b, |run| run.cpu_seconds_b),
        ),
        Figures::of(
            "A found after B's start",
            "s",
            column(of_b, |run| run.found_after_seconds),
        ),
        Figures::of(
            "from A to B",
            "MB",
            column(of_b, |run| run.bytes_from_a / 1e6),
        ),
    ];
    println!();
    Figures::print_header();
    figures.iter().for_each(Figures::print);
    println!("ratio of the medians, B over A: {ratio:.2}");
    if let Some(file) = &options.json {
        let report = Report {
            project: options.project.clone(),
            pairs: options.pairs,
            figures,
            ratio,
        };
        let text = serde_json::to_string_pretty(&report).expect("a report");
        fs::write(file, text).expect("the report's file");
    }
}
