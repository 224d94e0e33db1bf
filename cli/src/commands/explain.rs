//! `modmesh explain M@V`: what is here of a module version, where it came from, who was asked and what each step took, and
//! why something is not here; or the daemon's own JSON.

use std::process::ExitCode;

use modmesh_protocol::artifact::FileKind;
use modmesh_protocol::control::{
    Did, Explanation, FileExplanation, FileHere, Neighbours, Outcome, OwnerName, RecordName, Step,
    Story, Treatment, WouldAsk,
};
use modmesh_protocol::module::ModuleVersion;
use modmesh_protocol::peer_name::PeerName;

use super::Failure;
use crate::arguments::ExplainArguments;
use crate::output::{self, bytes, count, number, plain};

/// Explains one module version.
pub(crate) async fn explain(arguments: ExplainArguments) -> Result<ExitCode, Failure> {
    let of = ModuleVersion::parse_either(&arguments.of)?;
    let client = super::socket_client(arguments.layer(), arguments.config.as_deref()).await?;
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
        Treatment::Private if explanation.among_members => {
            "private: nobody but members hears of it"
        }
        Treatment::Private => "private: no neighbour and no database hears of it",
        Treatment::Unjudged => "not judged, for the checksum database is off",
    };
    let (module, version) = (plain(&explanation.module), plain(&explanation.version));
    let mut lines = vec![format!("{module}@{version} ({treated})")];
    if !explanation.owners.is_empty() {
        lines.push(format!(
            "who fetches it for all is decided by {}",
            owners(&explanation.owners)
        ));
    }
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

/// The first owner, and who stands behind it.
fn owners(owners: &[OwnerName]) -> String {
    let name = |owner: &OwnerName| match owner.is_this_host {
        true => "this host".to_owned(),
        false => owner.peer_id.to_string(),
    };
    let names: Vec<String> = owners.iter().map(name).collect();
    names.join(", or where that is silent by ")
}

fn headline(file: &FileExplanation) -> String {
    let Some(here) = &file.here else {
        return match file.last_fetch.as_ref().map(|story| &story.outcome) {
            Some(None) => "on its way".to_owned(),
            Some(Some(Outcome::Kept { from })) => gone(file, from),
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

/// What became of a file that was got, and is not here.
fn gone(file: &FileExplanation, from: &str) -> String {
    if file.kind == FileKind::Info && from == "none" {
        return "not kept: it is made here whenever it is asked for".to_owned();
    }
    if let Some(why) = refused_at_last(file) {
        return format!(
            "was here, and was dropped when it was judged again: {}",
            plain(why)
        );
    }
    match file.put_aside {
        Some(true) => "was here, and was put aside because it was damaged",
        Some(false) => "was here, and was evicted: the store was at its limit, or the disk full",
        None => "was here and is gone: evicted, or put aside because it was damaged",
    }
    .to_owned()
}

/// Why the gate refused it, if its last verdict was that: a file that was kept is judged again when the database has more to say.
fn refused_at_last(file: &FileExplanation) -> Option<&str> {
    let steps = file.last_fetch.as_ref()?.steps.iter().rev();
    let mut verdicts = steps.filter_map(|step| match &step.did {
        Did::Judge { refused, .. } => Some(refused.as_deref()),
        _ => None,
    });
    verdicts.next()?
}

fn rows(file: &FileExplanation) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(here) = &file.here {
        rows.extend(about(here));
    }
    rows.push(("neighbours", neighbours(&file.neighbours)));
    if let Some(would_ask) = &file.would_ask {
        rows.push(("would ask", whom(file, would_ask)));
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

fn whom(file: &FileExplanation, would_ask: &WouldAsk) -> String {
    let neighbours = match would_ask.neighbours {
        0 => None,
        several => Some(count(u64::from(several), "neighbour")),
    };
    let upstream = would_ask
        .upstream
        .iter()
        .map(|entry| format!("{} ({})", entry.url, entry.state));
    let all: Vec<String> = neighbours.into_iter().chain(upstream).collect();
    if !all.is_empty() {
        return all.join(", then ");
    }
    let neighbours = match file.neighbours.not_asked {
        Some(_) => "neighbours are not asked",
        None => "no neighbour is connected",
    };
    let instead = match file.kind {
        FileKind::Info => "; it is made here where the version's record is found",
        FileKind::Mod | FileKind::Zip => "",
    };
    format!("nobody: {neighbours}, and upstream is off{instead}")
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
            across,
        } => {
            let of = if *across { " of other sites" } else { "" };
            let asked = of_asked(*asked, *silent, have_it.len());
            format!("neighbours{of}: {asked}")
        }
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
            across,
            bytes: sent,
            failed,
        } => {
            let of = if *across { " of another site" } else { "" };
            let sent = bytes(*sent);
            format!("{sent} from neighbour {peer}{of}{}", ended(failed))
        }
        Did::Upstream {
            url,
            status,
            bytes: sent,
            failed,
        } => {
            if let (None, None, 0, Some(why)) = (url, status, sent, failed) {
                return why.clone();
            }
            let url = url.as_deref().unwrap_or("upstream");
            let status = status.map_or_else(String::new, |status| format!(", status {status}"));
            format!("{} from {url}{status}{}", bytes(*sent), ended(failed))
        }
        Did::Wait => "waited for a busy neighbour".to_owned(),
        Did::Together {
            had_it,
            may_fetch,
            waited_for,
        } => together(had_it.first(), *may_fetch, waited_for),
        Did::ToldToWait { fetches } => format!("told to wait: {fetches} fetches it"),
        Did::Line { in_vain: false } => {
            "waited for its turn among the hosts that ask the upstream".to_owned()
        }
        Did::Line { in_vain: true } => {
            "waited in vain for its turn among the hosts that ask the upstream, and asked"
                .to_owned()
        }
        Did::Way { across, why } => {
            let first = match across {
                true => "other sites are asked",
                false => "the upstream is asked first",
            };
            format!("{first}: {why}")
        }
        Did::Judge { scope, refused } => match (scope, refused) {
            (_, Some(why)) => format!("the gate refused it: {why}"),
            (Some(scope), None) => format!("passed the gate as {scope}"),
            (None, None) => "the gate".to_owned(),
        },
        Did::Commit { failed } => format!("put into the store{}", ended(failed)),
        Did::Other => "a step that this release of the command does not know".to_owned(),
    }
}

/// What the owners said to do, and whom this host waited for until then.
fn together(has_it: Option<&PeerName>, may_fetch: bool, waited_for: &[PeerName]) -> String {
    let names: Vec<&str> = waited_for.iter().map(PeerName::as_str).collect();
    let names = names.join(", then for ");
    match (has_it, waited_for) {
        (Some(has_it), []) => format!("a neighbour has it: {has_it}"),
        (Some(has_it), [one]) if one == has_it => format!("waited for {one}, which has it now"),
        (Some(has_it), _) => format!("waited for {names}; {has_it} has it now"),
        (None, []) if may_fetch => "nobody else fetches it: this host does".to_owned(),
        (None, []) => "nobody has it, and this host cannot fetch it for others".to_owned(),
        (None, _) if may_fetch => format!("waited in vain for {names}: this host fetches it"),
        (None, _) => format!(
            "waited in vain for {names}: nobody has it, and this host cannot fetch it for others"
        ),
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

    fn file(json: serde_json::Value) -> FileExplanation {
        let mut file = serde_json::json!({
            "kind": "zip", "here": null, "last_fetch": null, "would_ask": null,
            "neighbours": {"asked": 0, "silent": 0, "have_it": [], "not_asked": null},
        });
        for (name, value) in json.as_object().unwrap() {
            file[name] = value.clone();
        }
        serde_json::from_value(file).unwrap()
    }

    fn kept(from: &str, steps: serde_json::Value) -> serde_json::Value {
        serde_json::json!({
            "began": "2026-11-22T10:00:00Z", "took_ms": 1.0, "steps": steps, "steps_left_out": 0,
            "outcome": {"result": "kept", "from": from},
        })
    }

    #[test]
    fn what_became_of_a_file_is_told_as_far_as_it_is_known() {
        let passed = serde_json::json!({"at_ms": 0, "took_ms": 1, "step": "judge", "scope": "pending", "refused": null});
        let refused = serde_json::json!({"at_ms": 9, "took_ms": 1, "step": "judge", "scope": null, "refused": "another h1"});
        let told = |put_aside: Option<bool>, steps: serde_json::Value| {
            headline(&file(serde_json::json!({
                "put_aside": put_aside, "last_fetch": kept("upstream", steps),
            })))
        };
        let once = serde_json::json!([passed]);
        assert!(!told(Some(true), once.clone()).contains("evicted"));
        assert!(!told(Some(false), once.clone()).contains("damaged"));
        assert!(told(None, once).contains("evicted, or put aside"));
        let dropped = told(Some(false), serde_json::json!([passed, refused]));
        assert_eq!(
            dropped,
            "was here, and was dropped when it was judged again: another h1"
        );
        // A liar's file was refused before the true one came.
        let evicted = told(Some(false), serde_json::json!([refused, passed]));
        assert!(evicted.contains("evicted"), "{evicted}");
        let info = headline(&file(serde_json::json!({
            "kind": "info", "last_fetch": kept("none", serde_json::json!([])),
        })));
        assert!(info.starts_with("not kept: it is made here"), "{info}");
    }

    #[test]
    fn that_nobody_would_be_asked_has_its_true_reason() {
        let nobody = serde_json::json!({"neighbours": 0, "upstream": []});
        let told = |kind: &str, not_asked: Option<&str>| {
            let file = file(serde_json::json!({
                "kind": kind, "would_ask": nobody,
                "neighbours": {"asked": 0, "silent": 0, "have_it": [], "not_asked": not_asked},
            }));
            whom(&file, file.would_ask.as_ref().unwrap())
        };
        assert_eq!(
            told("zip", None),
            "nobody: no neighbour is connected, and upstream is off"
        );
        let unproved = told("zip", Some("nothing of theirs could be proved"));
        assert_eq!(
            unproved,
            "nobody: neighbours are not asked, and upstream is off"
        );
        let info = told("info", Some("no hash covers .info"));
        assert!(
            info.ends_with("it is made here where the version's record is found"),
            "{info}"
        );
        let upstream = Did::Upstream {
            url: None,
            status: None,
            bytes: 0,
            failed: Some("upstream is off".to_owned()),
        };
        assert_eq!(done(&upstream), "upstream is off");
    }

    #[test]
    fn who_hears_of_a_private_module_depends_on_whether_its_neighbours_are_members() {
        let first_line = |among_members: bool| {
            let explanation = serde_json::from_value(serde_json::json!({
                "module": "git.corp.example/secret", "version": "v1.0.0", "treatment": "private",
                "among_members": among_members, "files": [],
            }));
            let text = text(&explanation.unwrap());
            text.lines().next().unwrap_or_default().to_owned()
        };
        assert!(first_line(false).contains("no neighbour and no database hears of it"));
        assert!(first_line(true).contains("nobody but members hears of it"));
    }

    #[test]
    fn what_the_owners_said_is_told_as_they_meant_it() {
        const ONE: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        const OTHER: &str = "12D3KooWSahP5pFRCEfaziPEba7urXGeif6T1y8jmodzdFUvzBHj";
        let told = |had_it: &[&str], may_fetch: bool, waited_for: &[&str]| {
            let did = serde_json::from_value(serde_json::json!({
                "step": "together", "had_it": had_it, "may_fetch": may_fetch, "waited_for": waited_for,
            }));
            done(&did.unwrap())
        };
        let fetches = "nobody else fetches it: this host does";
        assert_eq!(told(&[], true, &[]), fetches);
        assert_eq!(
            told(&[], true, &[ONE]),
            format!("waited in vain for {ONE}: this host fetches it")
        );
        let nobody = "nobody has it, and this host cannot fetch it for others";
        assert_eq!(told(&[], false, &[]), nobody);
        assert_eq!(
            told(&[], false, &[ONE, OTHER]),
            format!("waited in vain for {ONE}, then for {OTHER}: {nobody}")
        );
        assert_eq!(
            told(&[ONE, OTHER], false, &[]),
            format!("a neighbour has it: {ONE}")
        );
        assert_eq!(
            told(&[ONE], false, &[ONE]),
            format!("waited for {ONE}, which has it now")
        );
        assert_eq!(
            told(&[OTHER], false, &[ONE]),
            format!("waited for {ONE}; {OTHER} has it now")
        );
        // An older daemon says no more than this.
        let older = serde_json::json!({"step": "together", "had_it": []});
        assert_eq!(done(&serde_json::from_value(older).unwrap()), fetches);
        let waits = serde_json::json!({"step": "told-to-wait", "fetches": ONE});
        assert_eq!(
            done(&serde_json::from_value(waits).unwrap()),
            format!("told to wait: {ONE} fetches it")
        );
    }

    #[test]
    fn a_module_is_explained_in_words() {
        let explanation: Explanation =
            serde_json::from_str(include_str!("explain/example.json")).unwrap();
        let expected = include_str!("explain/example.txt").trim_end();
        assert_eq!(text(&explanation), expected, "\n{}", text(&explanation));
    }
}
