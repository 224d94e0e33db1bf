//! A stampede on a network that exists in memory only: thousands of runs, and the figures of all of them.

use std::time::Duration;

use harness::simulation::{Outcome, Scenario, Trouble, stampede};
use serde::Serialize;

use crate::figures::{self, Figures};

/// The share of the runs without trouble in which there is one fetch.
const ONE_FETCH_SHARE: f64 = 0.99;
/// When the last host has it, of the time that one alone takes, in every run without trouble.
const LAST_OF_ALONE_MAX: f64 = 1.5;
/// Fetches in every run in which somebody goes.
const FETCHES_IN_TROUBLE_MAX: f64 = 3.0;

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
    held: bool,
    figures: Vec<Figures>,
}

/// Whether all bounds held.
///
/// # Panics
/// When the report cannot be written.
pub(crate) fn measure(options: &Options) -> bool {
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
    figures::print_all(&report.figures);
    println!(
        "one fetch in {} of {} runs; hosts that lived and never had it: {}",
        report.runs_with_one_fetch, report.runs, report.hosts_without
    );
    figures::write(&report, options.json.as_ref());
    report.held
}

fn report(options: &Options, scenario: &Scenario, outcomes: &[Outcome]) -> Report {
    let alone = scenario.alone().as_secs_f64();
    let figures = |name: &str, unit, of: &dyn Fn(&Outcome) -> f64| {
        Figures::of(name, unit, outcomes.iter().map(of).collect())
    };
    let last = |outcome: &Outcome| outcome.done.last().map_or(f64::NAN, Duration::as_secs_f64);
    let without = figures("hosts that lived and never had it", "", &|outcome| {
        outcome.without as f64
    });
    let fetches = figures("fetches from upstream", "", &|outcome| {
        outcome.fetches as f64
    });
    let bytes = figures("bytes from upstream", "of the file", &|outcome| {
        outcome.upstream_bytes as f64 / scenario.file_bytes as f64
    });
    let last = figures("the last host has it", "of one alone", &|outcome| {
        last(outcome) / alone
    });
    let messages = figures("messages of a host", "bytes", &|outcome| {
        outcome.message_bytes as f64 / scenario.hosts as f64
    });
    let [fetches, bytes, last] = [fetches, bytes, last].map(|figures| figures.against(1.0));
    let [fetches, last, without] = options.judge([fetches, last, without]);
    let figures = vec![fetches, bytes, last, messages, without];
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
        held: figures.iter().all(Figures::held),
        figures,
    }
}

impl Options {
    /// Fetches, the last host and those that never had it, next to what they may be. There is no bound where hosts do not know each other,
    /// a network is parted, or an owner lies.
    fn judge(&self, [fetches, last, without]: [Figures; 3]) -> [Figures; 3] {
        let somebody_goes = self.trouble.iter().all(Which::is_that_somebody_goes);
        match (self.unknown, self.trouble.is_empty()) {
            (0, true) => [
                fetches.quantile_at_most(ONE_FETCH_SHARE, 1.0),
                last.at_most(LAST_OF_ALONE_MAX),
                without.at_most(0.0),
            ],
            (0, false) if somebody_goes => [
                fetches.at_most(FETCHES_IN_TROUBLE_MAX),
                last,
                without.at_most(0.0),
            ],
            _ => [fetches, last, without],
        }
    }
}

impl Which {
    fn is_that_somebody_goes(&self) -> bool {
        matches!(
            self,
            Self::Holder | Self::Owner | Self::Silent | Self::Others
        )
    }

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
