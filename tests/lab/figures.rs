//! What a row of equal measurements says.

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
        println!("{:<44}{:>10}{:>10}{:>10}", "", "min", "median", "p99");
    }

    pub(crate) fn print(&self) {
        let name = format!("{}, {}", self.name, self.unit);
        let Self {
            min, median, p99, ..
        } = self;
        println!("{name:<44}{min:>10.3}{median:>10.3}{p99:>10.3}");
    }
}

/// The value at or above a share `q` of the sorted values (nearest rank); 0 of none.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}
