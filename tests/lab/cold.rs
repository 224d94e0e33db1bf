//! Cold: the first download of a project, from the upstream itself and through a daemon that has nothing yet.

use std::time::Duration;

use harness::line::Quality;
use harness::{HostOptions, Line, Project, Replay};

use crate::Common;
use crate::pairs::{self, Run};
use crate::peak::Peak;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Put a line of 100 Mbit/s and 30 ms there and back between this machine and the upstream.
    #[arg(long)]
    line: bool,
}

pub(crate) fn measure(options: &Options) {
    let project = options.common.project();
    let replay = Replay::play(project.recording());
    let line = options.line.then(|| {
        let quality = Quality {
            bits_per_second: 100_000_000,
            round_trip: Duration::from_millis(30),
        };
        Line::start(replay.address(), quality)
    });
    let upstream = line.as_ref().map_or_else(|| replay.url(), Line::url);
    let what = if options.line {
        "cold over 100 Mbit/s and 30 ms"
    } else {
        "cold"
    };
    let bench = Bench {
        options,
        project: &project,
        replay: &replay,
        upstream,
    };
    pairs::measure(
        &options.common,
        what,
        ("direct", || bench.direct()),
        ("modmesh", || bench.through_a_daemon()),
    );
    println!("questions that were never recorded: {}", replay.missing());
}

struct Bench<'a> {
    options: &'a Options,
    project: &'a Project,
    replay: &'a Replay,
    upstream: String,
}

impl Bench<'_> {
    fn direct(&self) -> Run {
        let asked = (self.replay.requests(), self.replay.bytes());
        let wall_seconds = self.download(&self.upstream);
        Run {
            wall_seconds,
            more: self.asked_since(asked),
        }
    }

    fn through_a_daemon(&self) -> Run {
        let host = HostOptions::new("A")
            .upstream(&self.upstream)
            .sumdb(self.project.sumdb())
            .start();
        let asked = (self.replay.requests(), self.replay.bytes());
        let cpu = host.cpu_seconds();
        let peak = Peak::of(&host);
        let wall_seconds = self.download(&host.url());
        let mut more = self.asked_since(asked);
        more.push(("CPU of the daemon", "s", host.cpu_seconds() - cpu));
        more.push(("most memory of the daemon", "MB", peak.megabytes()));
        Run { wall_seconds, more }
    }

    fn download(&self, proxy: &str) -> f64 {
        let go = self.project.home(proxy);
        let copy = self
            .project
            .copy_into(&go, !self.options.common.without_sums);
        let output = go.run_in(&copy, &["mod", "download"]).expect_success();
        output.wall.as_secs_f64()
    }

    fn asked_since(&self, (requests, bytes): (u64, u64)) -> Vec<(&'static str, &'static str, f64)> {
        let megabytes = (self.replay.bytes() - bytes) as f64 / 1e6;
        let requests = (self.replay.requests() - requests) as f64;
        vec![
            ("requests to upstream", "n", requests),
            ("from upstream", "MB", megabytes),
        ]
    }
}
