//! What a row of equal measurements says.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Figures of one thing that was measured several times.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) p99: f64,
    /// What it would be if nothing were lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    ideal: Option<f64>,
    /// The median of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_ideal: Option<f64>,
    /// What no value may exceed, and whether none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<bool>,
    pub(crate) values: Vec<f64>,
}

impl Figures {
    pub(crate) fn of(name: &str, unit: &'static str, values: Vec<f64>) -> Self {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        Self {
            name: name.to_owned(),
            unit,
            min: quantile(&sorted, 0.0),
            median: quantile(&sorted, 0.5),
            p99: quantile(&sorted, 0.99),
            ideal: None,
            of_ideal: None,
            most: None,
            held: None,
            values,
        }
    }

    /// The same, next to what it would be if nothing were lost; more than 0.
    pub(crate) fn against(mut self, ideal: f64) -> Self {
        self.ideal = Some(ideal);
        self.of_ideal = Some(self.median / ideal);
        self
    }

    /// The same, next to what no value may exceed.
    pub(crate) fn at_most(mut self, most: f64) -> Self {
        self.most = Some(most);
        self.held = Some(self.values.iter().all(|value| *value <= most));
        self
    }

    /// Whether no value exceeds what it may.
    pub(crate) fn held(&self) -> bool {
        self.held.unwrap_or(true)
    }

    pub(crate) fn print_header() {
        println!(
            "{:<56}{:>10}{:>10}{:>10}{:>10}",
            "", "min", "median", "p99", "of ideal"
        );
    }

    pub(crate) fn print(&self) {
        let name = match self.unit {
            "" => self.name.clone(),
            unit => format!("{}, {unit}", self.name),
        };
        let Self {
            min, median, p99, ..
        } = self;
        let of_ideal = self.of_ideal.map_or(String::new(), |of| format!("{of:.3}"));
        let verdict = match (self.most, self.held) {
            (Some(most), Some(true)) => format!("  at most {}: held", short(most)),
            (Some(most), _) => format!("  at most {}: missed", short(most)),
            _ => String::new(),
        };
        println!("{name:<56}{min:>10.3}{median:>10.3}{p99:>10.3}{of_ideal:>10}{verdict}");
    }
}

/// A number with no more places than it needs, two at most.
fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Prints a table.
pub(crate) fn print_all(figures: &[Figures]) {
    Figures::print_header();
    figures.iter().for_each(Figures::print);
}

/// Writes a report, where somebody wants it.
///
/// # Panics
/// When the file cannot be written.
pub(crate) fn write(report: &impl Serialize, file: Option<&PathBuf>) {
    if let Some(file) = file {
        let json = serde_json::to_vec_pretty(report).expect("a report");
        std::fs::write(file, json).expect("the file of the report");
    }
}

/// Ratios of equal pairs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ratio {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Ratio {
    pub(crate) fn of(mut ratios: Vec<f64>) -> Self {
        ratios.sort_by(f64::total_cmp);
        Self {
            min: quantile(&ratios, 0.0),
            median: quantile(&ratios, 0.5),
            max: quantile(&ratios, 1.0),
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, median, max } = self;
        write!(f, "x{median:.2} [{min:.2}-{max:.2}]")
    }
}

/// The value at or above a share `q` of the sorted values (nearest rank); 0 of none.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}
