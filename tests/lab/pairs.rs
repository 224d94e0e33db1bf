//! Pairs of runs and what they say together.

use std::fs;

use serde::Serialize;

use crate::Common;
use crate::figures::{Figures, Ratio};

/// What one run gave: its wall seconds, and further values, each with its name and unit.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) wall_seconds: f64,
    pub(crate) more: Vec<(&'static str, &'static str, f64)>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    what: &'a str,
    project: &'a str,
    go_sum: bool,
    pairs: usize,
    figures: Vec<Figures>,
    /// Wall seconds of the measured over those of the reference, pair by pair.
    ratio: Ratio,
}

/// Runs the reference and the measured in turn, prints what came out, and writes it where it was asked for.
pub(crate) fn measure(
    common: &Common,
    what: &str,
    (reference_name, mut reference): (&str, impl FnMut() -> Run),
    (measured_name, mut measured): (&str, impl FnMut() -> Run),
) -> Ratio {
    println!("{what}, {}", describe(common));
    let (mut of_reference, mut of_measured) = (Vec::new(), Vec::new());
    for pair in 0..common.pairs {
        // Who goes first changes, so that a machine that gets slower or faster favours nobody.
        if pair % 2 == 0 {
            of_reference.push(reference());
            of_measured.push(measured());
        } else {
            of_measured.push(measured());
            of_reference.push(reference());
        }
        println!(
            "pair {}: {reference_name} {:.3} s, {measured_name} {:.3} s",
            pair + 1,
            of_reference[pair].wall_seconds,
            of_measured[pair].wall_seconds
        );
    }
    let ratio = Ratio::of(
        of_measured
            .iter()
            .zip(&of_reference)
            .map(|(measured, reference)| measured.wall_seconds / reference.wall_seconds)
            .collect(),
    );
    let mut figures = figures(reference_name, &of_reference);
    figures.extend(self::figures(measured_name, &of_measured));
    println!();
    Figures::print_header();
    figures.iter().for_each(Figures::print);
    println!("{measured_name} over {reference_name}, pair by pair: {ratio}");
    if let Some(file) = &common.json {
        let report = Report {
            what,
            project: &common.project,
            go_sum: !common.without_sums,
            pairs: common.pairs,
            figures,
            ratio: ratio.clone(),
        };
        let text = serde_json::to_string_pretty(&report).expect("a report");
        fs::write(file, text).expect("the report's file");
    }
    ratio
}

fn describe(common: &Common) -> String {
    let sums = if common.without_sums {
        "without"
    } else {
        "with"
    };
    let on = std::env::temp_dir();
    format!(
        "{} {sums} go.sum, {} pairs, homes and stores in {}",
        common.project,
        common.pairs,
        on.display()
    )
}

fn figures(name: &str, runs: &[Run]) -> Vec<Figures> {
    let wall = runs.iter().map(|run| run.wall_seconds).collect();
    let mut figures = vec![Figures::of(name, "s", wall)];
    let columns = runs.first().map_or(0, |run| run.more.len());
    for column in 0..columns {
        let (what, unit, _) = runs[0].more[column];
        let values = runs.iter().map(|run| run.more[column].2).collect();
        figures.push(Figures::of(&format!("{name}: {what}"), unit, values));
    }
    figures
}
