//! Measurements on hosts with networks of their own: `lab two-hosts`.
//!
//! The upstream is a replay of what a real one answered once, so that runs differ in nothing but what is measured. Numbers
//! of one machine say little; pairs that were run one after the other, and their ratio, say more.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]

mod figures;
mod project;
mod two_hosts;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measurements of modmesh on hosts that are network namespaces.
#[derive(Debug, Parser)]
#[command(name = "lab")]
struct Arguments {
    #[command(subcommand)]
    command: Measurement,
}

#[derive(Debug, Subcommand)]
enum Measurement {
    /// `go mod download` on a host whose cache is warm, against the first one on a neighbour that has nothing but it.
    TwoHosts(TwoHosts),
}

#[derive(Debug, clap::Args)]
struct TwoHosts {
    /// A folder with a go.mod, or `gin` for github.com/gin-gonic/gin v1.12.0.
    #[arg(long, default_value = "gin")]
    project: String,
    /// Pairs of runs.
    #[arg(long, default_value_t = 10)]
    pairs: usize,
    /// Where the upstream's answers are kept; made from the real upstream of `go env GOPROXY` when empty.
    #[arg(long, default_value = "target/lab-recording")]
    recording: PathBuf,
    /// Writes all figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    harness::lab::become_able();
    let Measurement::TwoHosts(options) = Arguments::parse().command;
    match two_hosts::measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(forbidden) => {
            eprintln!("lab: no hosts can be made here: {forbidden}");
            ExitCode::FAILURE
        }
    }
}
