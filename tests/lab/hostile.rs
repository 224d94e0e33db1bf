//! Neighbours that mean harm: owners that lie about who fetches, and one machine that floods another with names.
//!
//! What such a neighbour costs is compared with what the same takes without it, and who is left alone for it, and why, is told.

mod flood;
mod owners;

use harness::lab::Forbidden;
use serde::Serialize;

use crate::figures::{self, Figures};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Runs of each lie, each with new hosts; 0 for none.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Bytes of the zip that is lied about.
    #[arg(long, default_value_t = 1_200_000)]
    bytes: usize,
    /// Bytes a second of one download from the upstream.
    #[arg(long, default_value_t = 600_000)]
    pace: u32,
    /// Seconds that a machine floods another; 0 for no flood.
    #[arg(long, default_value_t = 60)]
    flood_seconds: u64,
    /// Names that flood at the same time.
    #[arg(long, default_value_t = 40)]
    names: usize,
    /// Connections without a handshake that are held open at the same time.
    #[arg(long, default_value_t = 200)]
    bare: usize,
    /// Writes all figures to this file.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    runs: usize,
    bytes: usize,
    pace: u32,
    flood_seconds: u64,
    held: bool,
    lies: Vec<owners::Told>,
    figures: Vec<Figures>,
}

/// Whether all bounds held.
///
/// # Panics
/// When hosts do not start.
pub(crate) fn measure(options: &Options) -> Result<bool, Forbidden> {
    let (lies, mut figures) = match options.runs {
        0 => (Vec::new(), Vec::new()),
        _ => owners::measure(options),
    };
    if options.flood_seconds > 0 {
        figures.extend(flood::measure(options)?);
    }
    figures::print_all(&figures);
    let held = figures.iter().all(Figures::held);
    let report = Report {
        runs: options.runs,
        bytes: options.bytes,
        pace: options.pace,
        flood_seconds: options.flood_seconds,
        held,
        lies,
        figures,
    };
    figures::write(&report, options.json.as_ref());
    Ok(held)
}
