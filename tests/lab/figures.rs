//! What a row of equal measurements says.

use std::fmt;

use serde::Serialize;

/// Figures of one thing that was measured several times.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) p99: f64,
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
            values,
        }
    }

    pub(crate) fn print_header() {
        println!("{:<56}{:>10}{:>10}{:>10}", "", "min", "median", "p99");
    }

    pub(crate) fn print(&self) {
        let name = format!("{}, {}", self.name, self.unit);
        let Self {
            min, median, p99, ..
        } = self;
        println!("{name:<56}{min:>10.3}{median:>10.3}{p99:>10.3}");
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
