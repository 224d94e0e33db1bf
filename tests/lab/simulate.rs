//! A stampede on a network that exists in memory only: thousands of runs, and the figures of all of them.

use std::time::Duration;

use harness::simulation::{Outcome, Scenario, Trouble, stampede};
use serde::Serialize;

use crate::figures::Figures;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Hosts that want the file.
    #[arg(long, default_value_t = 50)]
    hosts: usize,
    /// Bytes of the file.
    #[arg(long, default_value_t = 8_000_000)]
    bytes: u64,
    /// Bits a second of the line to the upstream.
    #[arg(long, default_value_t = 5_000_000)]
    bits_per_second: u64,
    /// Runs, each with the next seed.
    #[arg(long, default_value_t = 500)]
    runs: u64,
    /// Of a thousand other hosts how many one does not know of.
    #[arg(long, default_value_t = 0)]
    unknown: usize,
    /// What goes wrong, five seconds after the first has asked.
    #[arg(long, value_enum)]
    trouble: Vec<Which>,
    /// Milliseconds that a message takes at most in the first three seconds, while all hosts are busy.
    #[arg(long)]
    busy_ms: Option<u64>,
    /// Writes all figures to this file.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

/// Troubles by name.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Which {
    /// Who fetches is killed.
    Holder,
    /// The first owner is killed.
    Owner,
    /// The first owner loses its power.
    Silent,
    /// A tenth of the others is killed.
    Others,
    /// The network is parted for 25 s.
    Parted,
    /// The first owner lies from the beginning.
    Liar,
}

#[derive(Debug, Serialize)]
struct Report {
    hosts: usize,
    bytes: u64,
    bits_per_second: u64,
    runs: u64,
    runs_with_one_fetch: usize,
    hosts_without: usize,
    figures: Vec<Figures>,
}

pub(crate) fn measure(options: &Options) {
    let mut scenario = stampede(options.hosts, options.bytes, options.bits_per_second);
    if let Some(busy) = options.busy_ms {
        scenario.busy_for = Duration::from_secs(3);
        scenario.busy_delay_max = Duration::from_millis(busy);
    }
    scenario.unknown_per_thousand = options.unknown;
    scenario.troubles = options
        .trouble
        .iter()
        .flat_map(|which| which.troubles())
        .collect();
    let outcomes: Vec<Outcome> = (0..options.runs).map(|seed| scenario.run(seed)).collect();
    let report = report(options, &scenario, &outcomes);
    println!(
        "{} hosts want {} bytes within a second, over {} bits/s; {} runs",
        report.hosts, report.bytes, report.bits_per_second, report.runs
    );
    Figures::print_header();
    report.figures.iter().for_each(Figures::print);
    println!(
        "one fetch in {} of {} runs; hosts that lived and never had it: {}",
        report.runs_with_one_fetch, report.runs, report.hosts_without
    );
    if let Some(file) = &options.json {
        let json = serde_json::to_vec_pretty(&report).expect("a report");
        std::fs::write(file, json).expect("the file of the report");
    }
}

fn report(options: &Options, scenario: &Scenario, outcomes: &[Outcome]) -> Report {
    let alone = scenario.alone().as_secs_f64();
    let figures = |name: &str, unit, of: &dyn Fn(&Outcome) -> f64| {
        Figures::of(name, unit, outcomes.iter().map(of).collect())
    };
    let last = |outcome: &Outcome| outcome.done.last().map_or(f64::NAN, Duration::as_secs_f64);
    Report {
        hosts: options.hosts,
        bytes: options.bytes,
        bits_per_second: options.bits_per_second,
        runs: options.runs,
        runs_with_one_fetch: outcomes
            .iter()
            .filter(|outcome| outcome.fetches == 1)
            .count(),
        hosts_without: outcomes.iter().map(|outcome| outcome.without).sum(),
        figures: vec![
            figures("fetches from upstream", "", &|outcome| {
                outcome.fetches as f64
            }),
            figures("bytes from upstream", "of the file", &|outcome| {
                outcome.upstream_bytes as f64 / scenario.file_bytes as f64
            }),
            figures("the last host has it", "of one alone", &|outcome| {
                last(outcome) / alone
            }),
            figures("messages of a host", "bytes", &|outcome| {
                outcome.message_bytes as f64 / scenario.hosts as f64
            }),
        ],
    }
}

impl Which {
    fn troubles(self) -> Vec<(Duration, Trouble)> {
        let at = Duration::from_secs;
        match self {
            Self::Holder => vec![(at(5), Trouble::HolderDies)],
            Self::Owner => vec![(at(5), Trouble::OwnerDies)],
            Self::Silent => vec![(at(5), Trouble::OwnerFallsSilent)],
            Self::Others => vec![(at(5), Trouble::OthersDie(100))],
            Self::Parted => vec![(at(5), Trouble::Parts), (at(30), Trouble::Heals)],
            Self::Liar => vec![(at(0), Trouble::OwnerLies)],
        }
    }
}
