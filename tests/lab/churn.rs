//! Hosts that come and go, and a network that is parted and heals: whether anybody gets an error, how often a file is fetched, and
//! how soon everybody knows again who has what.

mod leaving;
mod parted;

use harness::lab::Forbidden;
use serde::Serialize;

use crate::figures::{self, Figures};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Hosts, an even number.
    #[arg(long, default_value_t = 20)]
    hosts: u8,
    /// Partitions into two halves; 0 for none.
    #[arg(long, default_value_t = 3)]
    partitions: usize,
    /// Minutes in which hosts come and go; 0 for none.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// How many of a hundred hosts go in a minute, every second one by kill -9.
    #[arg(long, default_value_t = 30.0)]
    percent_a_minute: f64,
    /// Seconds after which a host that went is started again.
    #[arg(long, default_value_t = 5.0)]
    down_seconds: f64,
    /// Bytes of each zip.
    #[arg(long, default_value_t = 200_000)]
    bytes: usize,
    /// Milliseconds between two files, each of which everybody wants within that time.
    #[arg(long, default_value_t = 1000)]
    every_ms: u64,
    /// Bits a second of the line to the upstream.
    #[arg(long, default_value_t = 20_000_000)]
    bits_per_second: u64,
    /// The seed of who goes and who asks when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes all figures to this file.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    hosts: u8,
    partitions: usize,
    minutes: f64,
    percent_a_minute: f64,
    bytes: usize,
    seed: u64,
    held: bool,
    figures: Vec<Figures>,
}

/// Whether all bounds held.
///
/// # Panics
/// When hosts do not start, or do not meet.
pub(crate) fn measure(options: &Options) -> Result<bool, Forbidden> {
    let mut figures = Vec::new();
    if options.partitions > 0 {
        figures.extend(parted::measure(options)?);
    }
    if options.minutes > 0.0 {
        figures.extend(leaving::measure(options)?);
    }
    figures::print_all(&figures);
    let held = figures.iter().all(Figures::held);
    let report = Report {
        hosts: options.hosts,
        partitions: options.partitions,
        minutes: options.minutes,
        percent_a_minute: options.percent_a_minute,
        bytes: options.bytes,
        seed: options.seed,
        held,
        figures,
    };
    figures::write(&report, options.json.as_ref());
    Ok(held)
}
