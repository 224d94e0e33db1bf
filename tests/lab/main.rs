//! Measurements: `lab two-hosts`, `warm`, `cold`, `dark`, `hot`, `load`, `soak`, `mirror-cost`, `discovery`, `ask`,
//! `stampede`, `idle`, `churn`, `hostile`, `branch`, `simulate`; attacks: `lab fuzz-http`, `lab fuzz-peer`.
//!
//! The upstream is a replay of what a real one answered once, so that runs differ in nothing but what is measured. Numbers
//! of one machine say little; pairs that were run one after the other, and their ratio, say more. Homes and stores lie where
//! `TMPDIR` says: on a disk it is the disk that is measured.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]

mod ask;
mod branch;
mod churn;
mod cold;
mod dark;
mod discovery;
mod figures;
mod fuzz;
mod hostile;
mod hot;
mod idle;
mod load;
mod mirror_cost;
mod nginx;
mod pairs;
mod peak;
mod simulate;
mod soak;
mod stampede;
mod town;
mod two_hosts;
mod warm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use harness::Project;
use harness::lab::Forbidden;

/// Measurements of modmesh, as pairs of runs: what it does against a reference, one right after the other.
#[derive(Debug, Parser)]
#[command(name = "lab")]
struct Arguments {
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Debug, Subcommand)]
enum Measurement {
    /// A command on a host whose store is warm, against the same on a new neighbour that has nothing but that host.
    TwoHosts(two_hosts::Options),
    /// `go mod download` from the upstream itself, against the same through a daemon that has nothing yet.
    Cold(cold::Options),
    /// `go mod download` from files (a file:// GOPROXY), against the same from a daemon that has everything.
    Warm(warm::Options),
    /// `go mod download` from the store while upstream is there, against the same while its packets are dropped.
    Dark(dark::Options),
    /// Small files of the store, alone and while many zips come from upstream.
    Hot(hot::Options),
    /// Many large zips at once, and the memory that takes.
    Load(load::Options),
    /// A long while of mixed load on two neighbours, with faults and restarts.
    Soak(soak::Options),
    /// What the mirror of the checksum database costs on disk and upstream, next to what `go` itself needs.
    MirrorCost(mirror_cost::Options),
    /// A small file from a warm neighbour, and the time until upstream is asked.
    Ask(ask::Options),
    /// Hosts that all want the same new file at once.
    Stampede(stampede::Options),
    /// Many daemons that start together, until they know each other; and what that costs the link.
    Discovery(discovery::Options),
    /// Many daemons that know each other and have nothing to do.
    Idle(idle::Options),
    /// Hosts that come and go, and a network that is parted and heals.
    Churn(churn::Options),
    /// Owners that lie, and one machine that floods another.
    Hostile(hostile::Options),
    /// A day of hosts behind one slow line.
    Branch(branch::Options),
    /// Hosts that all want the same file at once, in memory and in no time.
    Simulate(simulate::Options),
    /// Generated requests at the front door of a daemon with a healthy upstream.
    FuzzHttp(fuzz::HttpOptions),
    /// Generated frames at the neighbours' port of a daemon.
    FuzzPeer(fuzz::PeerOptions),
}

/// What every measurement takes.
#[derive(Debug, clap::Args)]
struct Common {
    /// `gin` for github.com/gin-gonic/gin v1.12.0, or a folder with a go.mod and a go.sum.
    #[arg(long, default_value = "gin")]
    project: String,
    /// Take the project's go.sum away first.
    #[arg(long)]
    without_sums: bool,
    /// Pairs of runs.
    #[arg(long, default_value_t = 10)]
    pairs: usize,
    /// Where the upstream's answers are kept; made from the real upstream of `go env GOPROXY` when incomplete.
    #[arg(long, default_value = "target/lab-recording")]
    recording: PathBuf,
    /// Writes all figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Common {
    fn project(&self) -> Project {
        if self.project == "gin" {
            Project::gin(&self.recording)
        } else {
            Project::folder(Path::new(&self.project), &self.recording)
        }
    }
}

fn main() -> ExitCode {
    harness::lab::become_able();
    match Arguments::parse().measurement {
        Measurement::TwoHosts(options) => return told(two_hosts::measure(&options)),
        Measurement::Cold(options) => cold::measure(&options),
        Measurement::Warm(options) => warm::measure(&options),
        Measurement::Dark(options) => return told(dark::measure(&options).map(|()| true)),
        Measurement::Hot(options) => hot::measure(&options),
        Measurement::Load(options) => load::measure(&options),
        Measurement::Soak(options) => soak::measure(&options),
        Measurement::MirrorCost(options) => mirror_cost::measure(&options),
        Measurement::Ask(options) => return told(ask::measure(&options)),
        Measurement::Stampede(options) => return told(stampede::measure(&options)),
        Measurement::Discovery(options) => return told(discovery::measure(&options)),
        Measurement::Idle(options) => return told(idle::measure(&options)),
        Measurement::Churn(options) => return told(churn::measure(&options)),
        Measurement::Hostile(options) => return told(hostile::measure(&options)),
        Measurement::Branch(options) => return told(branch::measure(&options)),
        Measurement::Simulate(options) => return told(Ok(simulate::measure(&options))),
        Measurement::FuzzHttp(options) => fuzz::http(&options),
        Measurement::FuzzPeer(options) => fuzz::peer(&options),
    }
    ExitCode::SUCCESS
}

/// Says why nothing was measured; fails also where a bound did not hold.
fn told(measured: Result<bool, Forbidden>) -> ExitCode {
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(forbidden) => {
            eprintln!("lab: no hosts can be made here: {forbidden}");
            ExitCode::FAILURE
        }
    }
}
