//! Whether a pass is what the document says it is.

use crate::known::{Known, Listed};
use crate::outcome::{Outcome, Verdict};

/// Classes of failures in which `go` asks a checksum database past the daemon, or the daemon was made for a proxy that
/// fails for the database: there, and only there, a sum that cannot be checked is what the script is about.
const SUMS_ARE_THE_POINT: [&str; 2] = ["past the daemon", "about upstream"];

/// What passes directly must pass through the daemon, but for what is listed; and what is listed must fail.
pub(crate) fn through_the_daemon(direct: &Outcome, daemon: &Outcome, known: &Known) -> Vec<String> {
    let mut findings = Vec::new();
    for script in direct.names(Verdict::Pass) {
        let listed = known.cannot_pass.get(script).is_some();
        match (daemon.of(script), listed) {
            (Some(Verdict::Pass), false) | (Some(Verdict::Fail), true) => {}
            (Some(Verdict::Pass), true) => findings.push(format!(
                "{script} passes through the daemon, but docs/conformance.md says that no proxy can pass it"
            )),
            (Some(Verdict::Fail), false) => findings.push(format!(
                "{script} passes directly and fails through the daemon:\n{}",
                daemon.evidence(script)
            )),
            (Some(Verdict::Skip) | None, _) => {
                findings.push(format!("{script} passes directly and is not run through the daemon"));
            }
        }
    }
    findings
}

/// With the origin gone every failure is listed with its class, none is a sum that was known before, and what is listed
/// as always failing fails.
pub(crate) fn origin_gone(direct: &Outcome, dark: &Outcome, known: &Known) -> Vec<String> {
    let listed = &known.without_origin;
    let mut findings = sums("origin gone", direct, dark, listed);
    for script in failures(direct, dark) {
        if listed.get(script).is_none() && known.cannot_pass.get(script).is_none() {
            let evidence = dark.evidence(script);
            findings.push(format!(
                "origin gone: {script} fails and is not listed:\n{evidence}"
            ));
        }
    }
    for (script, entry) in listed.iter() {
        if entry.always && dark.of(script) == Some(Verdict::Pass) {
            let class = &entry.class;
            findings.push(format!(
                "origin gone: {script} passes, but is listed as `{class}`"
            ));
        }
    }
    findings
}

/// On a host that has only a neighbour no failure is a sum that was known before. Which scripts fail depends on what
/// others fetched before them, so a failure that is not listed is told and no more.
pub(crate) fn neighbour_only(direct: &Outcome, neighbour: &Outcome, known: &Known) -> Vec<String> {
    let listed = &known.neighbour_only;
    for script in failures(direct, neighbour) {
        if listed.get(script).is_none() && known.cannot_pass.get(script).is_none() {
            let evidence = neighbour.evidence(script);
            println!("neighbour only: {script} fails and is not listed:\n{evidence}");
        }
    }
    for (script, entry) in listed.iter() {
        if entry.always && neighbour.of(script) == Some(Verdict::Pass) {
            println!(
                "neighbour only: {script} passes, listed as `{}`",
                entry.class
            );
        }
    }
    sums("neighbour only", direct, neighbour, listed)
}

/// Failures by a sum: in the passes before, everything was looked up.
fn sums(pass: &str, direct: &Outcome, outcome: &Outcome, listed: &Listed) -> Vec<String> {
    let mut findings = Vec::new();
    for script in failures(direct, outcome) {
        let class = listed.get(script).map(|entry| &*entry.class);
        let the_point = class.is_some_and(|class| SUMS_ARE_THE_POINT.contains(&class));
        let evidence = outcome.evidence(script);
        if evidence.is_about_sums() && !the_point {
            findings.push(format!(
                "{pass}: {script} fails by a sum that was looked up before:\n{evidence}"
            ));
        }
    }
    findings
}

/// What passes directly and fails in another pass.
fn failures<'a>(direct: &'a Outcome, other: &'a Outcome) -> impl Iterator<Item = &'a str> {
    let failed = |script: &&str| other.of(script) == Some(Verdict::Fail);
    direct.names(Verdict::Pass).filter(failed)
}
