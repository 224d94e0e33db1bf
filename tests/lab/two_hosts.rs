//! Two hosts on one link: A has fetched a project, B has nothing, no route to anywhere else, and finds A by itself.
//!
//! One run of a pair goes through A, all in its store; the other through a fresh B. B counts only when every byte came from
//! A: the figures of a run that touched the upstream would say something else.

use std::net::SocketAddr;
use std::time::Instant;

use clap::ValueEnum;
use harness::lab::{Forbidden, Lab, LabHost};
use harness::{HostOptions, Project, Replay, TestHost};

use crate::Common;
use crate::pairs::{self, Run};
use crate::peak::Peak;

/// B's wall over A's that is still good: the link and the second proof may cost half as much again.
const RATIO_MAX: f64 = 1.5;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// What is run.
    #[arg(long, value_enum, default_value_t = Command::Download)]
    command: Command,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Command {
    /// go mod download
    Download,
    /// go build ./...
    Build,
}

impl Command {
    /// The arguments of `go`; a project without go.sum is tidied first.
    fn arguments(self, with_sums: bool) -> Vec<&'static [&'static str]> {
        let command: &[&str] = match self {
            Self::Download => &["mod", "download"],
            Self::Build => &["build", "./..."],
        };
        if with_sums {
            vec![command]
        } else {
            vec![&["mod", "tidy"], command]
        }
    }
}

/// Whether the ratio is still good.
pub(crate) fn measure(options: &Options) -> Result<bool, Forbidden> {
    let common = &options.common;
    let project = common.project();
    let lab = Lab::with_upstream(2, &[0])?;
    let listen = SocketAddr::from((lab.upstream().address(), 80));
    let upstream = Replay::play_in(project.recording(), lab.upstream().place(), listen);
    let first = host("A", &project, lab.host(0))
        .upstream(&upstream.url())
        .start();
    let bench = Bench {
        options,
        project: &project,
        lab: &lab,
        first,
    };
    bench.timed(&bench.first);
    let asked = upstream.requests();
    let ratio = pairs::measure(
        common,
        "two hosts",
        ("A, warm", || bench.run_on_a()),
        ("B, first, from A", || bench.run_on_b()),
    );
    assert_eq!(upstream.requests(), asked, "somebody asked the upstream");
    let held = ratio.median <= RATIO_MAX;
    let verdict = if held { "held" } else { "missed" };
    println!("at most x{RATIO_MAX}: {verdict}; 0 requests to upstream");
    Ok(held)
}

struct Bench<'a> {
    options: &'a Options,
    project: &'a Project,
    lab: &'a Lab,
    first: TestHost,
}

impl Bench<'_> {
    fn run_on_a(&self) -> Run {
        let cpu = self.first.cpu_seconds();
        let peak = Peak::of(&self.first);
        let wall_seconds = self.timed(&self.first);
        Run {
            wall_seconds,
            more: vec![
                ("CPU of A's daemon", "s", self.first.cpu_seconds() - cpu),
                ("most memory of A's daemon", "MB", peak.megabytes()),
            ],
        }
    }

    fn run_on_b(&self) -> Run {
        let started = Instant::now();
        let second = host("B", self.project, self.lab.host(1)).start();
        second.wait_for_neighbours(1);
        let found_after = started.elapsed().as_secs_f64();
        let cpu = (self.first.cpu_seconds(), second.cpu_seconds());
        let peaks = (Peak::of(&self.first), Peak::of(&second));
        let wall_seconds = self.timed(&second);
        let received = second.metric("modmesh_peer_received_bytes_total", &[]);
        Run {
            wall_seconds,
            more: vec![
                ("CPU of A's daemon", "s", self.first.cpu_seconds() - cpu.0),
                ("CPU of B's daemon", "s", second.cpu_seconds() - cpu.1),
                ("most memory of A's daemon", "MB", peaks.0.megabytes()),
                ("most memory of B's daemon", "MB", peaks.1.megabytes()),
                ("A found after the start", "s", found_after),
                ("from A to B", "MB", received / 1e6),
            ],
        }
    }

    /// Wall seconds of the commands in a fresh home.
    fn timed(&self, on: &TestHost) -> f64 {
        let go = self.project.home(&on.url()).in_place(on.place());
        let with_sums = !self.options.common.without_sums;
        let copy = self.project.copy_into(&go, with_sums);
        let commands = self.options.command.arguments(with_sums);
        let walls = commands.into_iter().map(|command| {
            let output = go.run_in(&copy, command).expect_success();
            output.wall.as_secs_f64()
        });
        walls.sum()
    }
}

fn host(name: &str, project: &Project, on: &LabHost) -> HostOptions {
    HostOptions::new(name)
        .in_place(on.place())
        .sumdb(project.sumdb())
        .mdns()
        .peer_listen(&format!("{}:0", on.address()))
}
