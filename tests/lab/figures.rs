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
    /// What no value may exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<f64>,
    /// What a share of the values may not exceed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quantiles: Vec<Quantile>,
    /// Whether all of these hold; nothing where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<bool>,
    pub(crate) values: Vec<f64>,
}

/// What a share of the values may not exceed.
#[derive(Debug, Clone, Copy, Serialize)]
struct Quantile {
    /// More than 0, and 1 at most.
    share: f64,
    most: f64,
    held: bool,
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
            quantiles: Vec::new(),
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
        let held = self.keeps_to(most);
        self.judged(held)
    }

    /// The same, next to what a share of the values may not exceed; more than 0, and 1 at most.
    pub(crate) fn quantile_at_most(mut self, share: f64, most: f64) -> Self {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        // What is no number is at the end, and at most nothing.
        let held = quantile(&sorted, share) <= most;
        self.quantiles.push(Quantile { share, most, held });
        self.judged(held)
    }

    fn keeps_to(&self, most: f64) -> bool {
        self.values.iter().all(|value| *value <= most)
    }

    fn judged(mut self, held: bool) -> Self {
        self.held = Some(self.held() && held);
        self
    }

    /// Whether the values keep to all that was set for them.
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
        let verdict = self.verdict();
        println!("{name:<56}{min:>10.3}{median:>10.3}{p99:>10.3}{of_ideal:>10}{verdict}");
    }

    /// Each bound with whether it held; nothing where there are none.
    fn verdict(&self) -> String {
        let told = |what: &str, most: f64, held: bool| {
            let held = if held { "held" } else { "missed" };
            format!("  {what}at most {}: {held}", short(most))
        };
        let of_all = self.most.map(|most| told("", most, self.keeps_to(most)));
        let of_some = self.quantiles.iter().map(|of| {
            let what = format!("p{} ", short(of.share * 100.0));
            told(&what, of.most, of.held)
        });
        of_all.into_iter().chain(of_some).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(values: impl IntoIterator<Item = f64>) -> Figures {
        Figures::of("a thing", "ms", values.into_iter().collect())
    }

    /// 1, 2, and so on up to 100.
    fn hundred() -> Figures {
        figures((1..=100).map(f64::from))
    }

    #[test]
    fn without_a_bound_everything_holds_and_nothing_is_said() {
        let none = hundred().against(50.0);
        assert!(none.held() && none.verdict().is_empty());
        assert_eq!((none.held, none.of_ideal), (None, Some(1.0)));
    }

    #[test]
    fn one_value_beyond_is_enough_to_miss_what_all_must_keep_to() {
        assert!(hundred().at_most(100.0).held());
        let missed = hundred().at_most(99.0);
        assert!(!missed.held());
        assert_eq!(missed.verdict(), "  at most 99: missed");
    }

    #[test]
    fn a_share_may_keep_to_what_not_all_do() {
        for (share, most, held) in [
            (0.5, 50.0, true),
            (0.5, 49.0, false),
            (0.99, 99.0, true),
            (0.99, 98.0, false),
            (1.0, 99.0, false),
        ] {
            let judged = hundred().quantile_at_most(share, most);
            assert_eq!(judged.held(), held, "{share} {most}");
        }
    }

    #[test]
    fn one_run_of_a_hundred_may_miss_and_two_may_not() {
        let missing = |count: usize| {
            let runs = (0..100).map(|run| if run < count { 2.0 } else { 1.0 });
            figures(runs).quantile_at_most(0.99, 1.0)
        };
        assert!(missing(0).held() && missing(1).held());
        assert!(!missing(2).held());
    }

    #[test]
    fn a_bound_that_holds_makes_good_for_none_that_was_missed() {
        let bounds = [(0.5, 49.0, "missed"), (0.99, 99.0, "held")];
        for [first, second] in [[0, 1], [1, 0]].map(|order| order.map(|at: usize| bounds[at])) {
            let judged = hundred().quantile_at_most(first.0, first.1);
            let judged = judged.quantile_at_most(second.0, second.1);
            assert!(!judged.held());
            let told = |(share, most, held): (f64, f64, &str)| {
                format!("  p{} at most {most}: {held}", share * 100.0)
            };
            assert_eq!(judged.verdict(), told(first) + &told(second));
        }
        assert!(!hundred().quantile_at_most(0.5, 49.0).at_most(100.0).held());
        assert!(!hundred().at_most(99.0).quantile_at_most(0.5, 50.0).held());
    }

    #[test]
    fn what_is_no_number_keeps_to_nothing() {
        let with_one = || figures([1.0, f64::NAN]);
        assert!(!with_one().at_most(9.0).held());
        assert!(!with_one().quantile_at_most(0.99, 9.0).held());
        assert!(with_one().quantile_at_most(0.5, 9.0).held());
    }

    #[test]
    fn the_report_tells_each_bound_and_leaves_out_those_that_are_not_set() {
        let json = serde_json::to_value(hundred().quantile_at_most(0.5, 60.0)).unwrap();
        assert_eq!(json["held"], true);
        assert_eq!(
            json["quantiles"],
            serde_json::json!([{"share": 0.5, "most": 60.0, "held": true}])
        );
        assert_eq!(json.get("most"), None);
        let json = serde_json::to_value(hundred()).unwrap();
        assert_eq!((json.get("quantiles"), json.get("held")), (None, None));
    }
}
