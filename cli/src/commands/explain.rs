//! `modmesh explain M@V`: what is here of a module version, where it came from, who was asked and what each step took, and
//! why something is not here; or the daemon's own JSON.

use std::process::ExitCode;

use modmesh_protocol::control::{
    Did, Explanation, FileExplanation, FileHere, Neighbours, Outcome, RecordName, Step, Story,
    Treatment, WouldAsk,
};
use modmesh_protocol::module::ModuleVersion;

use super::Failure;
use crate::arguments::ExplainArguments;
use crate::client::SocketClient;
use crate::output::{self, bytes, count, number, plain};
use crate::settings::Gathered;

/// Explains one module version.
pub(crate) async fn explain(arguments: ExplainArguments) -> Result<ExitCode, Failure> {
    let of = ModuleVersion::parse_either(&arguments.of)?;
    let gathered = Gathered::under(arguments.layer(), arguments.config.as_deref())?;
    let client = SocketClient::new(&gathered.state_dir()?.value);
    // Neither holds a character that has a meaning in a query.
    let (module, version) = (of.module.escaped(), of.version.escaped());
    let body = client
        .get(&format!("/v1/explain?module={module}&version={version}"))
        .await?;
    if arguments.json {
        output::say(body.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let explanation: Explanation = client.read(&body)?;
    output::say(&text(&explanation));
    Ok(ExitCode::SUCCESS)
}

fn text(explanation: &Explanation) -> String {
    let treated = match explanation.treatment {
        Treatment::Judged => "the checksum database judges it",
        Treatment::Toolchain => "a toolchain, which the checksum database always judges",
        Treatment::Private => "private: no neighbour and no database hears of it",
        Treatment::Unjudged => "not judged, for the checksum database is off",
    };
    let (module, version) = (plain(&explanation.module), plain(&explanation.version));
    let mut lines = vec![format!("{module}@{version} ({treated})")];
    for file in &explanation.files {
        lines.push(String::new());
        lines.push(format!(".{}  {}", file.kind, headline(file)));
        let rows: Vec<[String; 2]> = rows(file)
            .into_iter()
            .map(|(what, value)| [format!("  {what}"), plain(&value)])
            .collect();
        lines.push(output::table(&rows));
        if let Some(story) = &file.last_fetch {
            lines.extend(steps(story));
        }
    }
    lines.join("\n")
}

fn headline(file: &FileExplanation) -> String {
    let Some(here) = &file.here else {
        return match file.last_fetch.as_ref().map(|story| &story.outcome) {
            Some(None) => "on its way".to_owned(),
            Some(Some(Outcome::Kept { .. })) => gone(file.put_aside).to_owned(),
            Some(Some(Outcome::Failed { .. })) | None => "not here".to_owned(),
        };
    };
    let length = bytes(here.length);
    let scope = here.scope.as_deref().map(plain);
    let mut parts = vec![match scope {
        Some(scope) => format!("here, {scope}, {length}"),
        None => format!("here, {length}"),
    }];
    if here.canonical == Some(false) {
        parts.push("not canonical".to_owned());
    }
    if here.scope.is_some() {
        let shared = if here.shareable { "may" } else { "may not" };
        parts.push(format!("neighbours {shared} have it"));
    }
    parts.join(", ")
}

/// What became of a file that was kept.
fn gone(put_aside: Option<bool>) -> &'static str {
    match put_aside {
        Some(true) => "was here, and was put aside because it was damaged",
        Some(false) => "was here, and was evicted: the store was at its limit, or the disk full",
        None => "was here and is gone: evicted, or put aside because it was damaged",
    }
}

fn rows(file: &FileExplanation) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(here) = &file.here {
        rows.extend(about(here));
    }
    rows.push(("neighbours", neighbours(&file.neighbours)));
    if let Some(would_ask) = &file.would_ask {
        rows.push(("would ask", whom(would_ask)));
    }
    // Its steps follow below the table.
    rows.push(("last fetch", last_fetch(file)));
    rows
}

fn about(here: &FileHere) -> Vec<(&'static str, String)> {
    let record = here.record.as_ref().map(named);
    [
        ("note", here.note.clone()),
        ("record", record),
        ("h1", here.h1.map(|h1| h1.to_string())),
        ("sha256", here.sha256.map(|sha256| sha256.to_string())),
        ("since", here.since.clone()),
    ]
    .into_iter()
    .filter_map(|(what, value)| Some((what, value?)))
    .collect()
}

fn named(record: &RecordName) -> String {
    format!("{} of {}", number(record.id), record.database)
}

fn last_fetch(file: &FileExplanation) -> String {
    let Some(story) = &file.last_fetch else {
        return match file.here {
            Some(_) => "not remembered: it was here before the daemon started, or long ago",
            None => "none since the daemon started, as far as it remembers",
        }
        .to_owned();
    };
    let took = story.took_ms.map_or_else(
        || "still under way".to_owned(),
        |ms| format!("took {}", span(ms)),
    );
    let ended = match &story.outcome {
        None => String::new(),
        Some(Outcome::Kept { from }) => match from.as_str() {
            "peer" => "from a neighbour, ".to_owned(),
            "none" => "made here, ".to_owned(),
            "store" => "was here already, ".to_owned(),
            from => format!("from {from}, "),
        },
        Some(Outcome::Failed { reason }) => return format!("failed at {}: {reason}", story.began),
    };
    format!("{ended}{}, {took}", story.began)
}

fn neighbours(neighbours: &Neighbours) -> String {
    if let Some(why) = &neighbours.not_asked {
        return format!("not asked: {why}");
    }
    let asked = of_asked(
        neighbours.asked,
        neighbours.silent,
        neighbours.have_it.len(),
    );
    let names: Vec<&str> = neighbours
        .have_it
        .iter()
        .map(|name| name.as_str())
        .collect();
    match names.is_empty() {
        true => asked,
        false => format!("{asked}: {}", names.join(", ")),
    }
}

/// `2 of 3 asked have it, 1 silent`
fn of_asked(asked: u32, silent: u32, have_it: usize) -> String {
    let verb = if have_it == 1 { "has" } else { "have" };
    let silent = match silent {
        0 => String::new(),
        silent => format!(", {silent} silent"),
    };
    format!("{have_it} of {asked} asked {verb} it{silent}")
}

fn whom(would_ask: &WouldAsk) -> String {
    let neighbours = match would_ask.neighbours {
        0 => None,
        several => Some(count(u64::from(several), "neighbour")),
    };
    let upstream = would_ask
        .upstream
        .iter()
        .map(|entry| format!("{} ({})", entry.url, entry.state));
    let all: Vec<String> = neighbours.into_iter().chain(upstream).collect();
    match all.is_empty() {
        true => "nobody: no neighbour is connected, and upstream is off".to_owned(),
        false => all.join(", then "),
    }
}

fn steps(story: &Story) -> Vec<String> {
    let rows: Vec<[String; 3]> = story.steps.iter().map(row).collect();
    let mut lines: Vec<String> = output::table(&rows).lines().map(str::to_owned).collect();
    if story.steps_left_out > 0 {
        let left_out = count(u64::from(story.steps_left_out), "step");
        lines.insert(lines.len() / 2, format!("    ({left_out} left out)"));
    }
    lines
}

fn row(step: &Step) -> [String; 3] {
    let at = format!("    at {:>9}", span(step.at_ms));
    [
        at,
        format!("took {:>9}", span(step.took_ms)),
        plain(&done(&step.did)),
    ]
}

/// What was done, in words.
fn done(did: &Did) -> String {
    let ended = |failed: &Option<String>| match failed {
        None => String::new(),
        Some(why) => format!(": {why}"),
    };
    match did {
        Did::Locate {
            asked,
            silent,
            have_it,
        } => format!("neighbours: {}", of_asked(*asked, *silent, have_it.len())),
        Did::Record {
            from,
            record,
            reason,
        } => match (record, reason) {
            (Some(record), _) => format!("record {}, from {from}", named(record)),
            (None, Some(why)) if from == "go.sum" => format!("no record, but go.sum: {why}"),
            (None, Some(why)) => format!("no record, says {from}: {why}"),
            (None, None) => format!("no record, says {from}"),
        },
        Did::Transfer {
            peer,
            bytes: sent,
            failed,
        } => {
            format!("{} from neighbour {peer}{}", bytes(*sent), ended(failed))
        }
        Did::Upstream {
            url,
            status,
            bytes: sent,
            failed,
        } => {
            let url = url.as_deref().unwrap_or("upstream");
            let status = status.map_or_else(String::new, |status| format!(", status {status}"));
            format!("{} from {url}{status}{}", bytes(*sent), ended(failed))
        }
        Did::Wait => "waited for a busy neighbour".to_owned(),
        Did::Together { had_it } => match had_it.as_slice() {
            [] => "nobody else fetches it: this host does".to_owned(),
            [one, ..] => format!("waited for a neighbour that fetched it; {one} has it now"),
        },
        Did::Judge { scope, refused } => match (scope, refused) {
            (_, Some(why)) => format!("the gate refused it: {why}"),
            (Some(scope), None) => format!("passed the gate as {scope}"),
            (None, None) => "the gate".to_owned(),
        },
        Did::Commit { failed } => format!("put into the store{}", ended(failed)),
        Did::Other => "a step that this release of the command does not know".to_owned(),
    }
}

/// Milliseconds as a person would say them.
fn span(ms: f64) -> String {
    match ms {
        ms if ms < 1000.0 => format!("{ms:.1} ms"),
        ms => format!("{:.2} s", ms / 1000.0),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_file_is_told_as_far_as_it_is_known() {
        assert!(!gone(Some(true)).contains("evicted"));
        assert!(!gone(Some(false)).contains("damaged"));
        assert!(gone(None).contains("evicted, or put aside"));
    }

    #[test]
    fn a_module_is_explained_in_words() {
        let explanation: Explanation =
            serde_json::from_str(include_str!("explain/example.json")).unwrap();
        let expected = include_str!("explain/example.txt").trim_end();
        assert_eq!(text(&explanation), expected, "\n{}", text(&explanation));
    }
}
