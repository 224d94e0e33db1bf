//! What is told of the databases, as text for people.

use std::time::Duration;

use modmesh_protocol::control::sumdb::{Contradiction, Database, Databases, Judges, Unjoined};

use super::go_forgets;
use crate::output::{self, count, number, plain, span};

/// The database that `go` has built in.
const PUBLIC: &str = "sum.golang.org";

/// The daemon that is asked, as the commands name it that are told of.
#[derive(Debug, Default)]
pub(super) struct Here {
    /// ` --state DIR`, where the folder was given so.
    state: String,
}

impl Here {
    pub(super) fn of(state: Option<&str>) -> Self {
        let quoted = |dir: &str| format!(" --state '{}'", dir.replace('\'', r"'\''"));
        Self {
            state: state.map_or_else(String::new, quoted),
        }
    }

    /// `modmesh sumdb` with these words.
    fn command(&self, words: &str) -> String {
        plain(&format!("modmesh sumdb {words}{}", self.state))
    }
}

/// What is told of all of them.
pub(super) fn texts(databases: &Databases, here: &Here) -> String {
    let texts: Vec<_> = databases
        .databases
        .iter()
        .map(|database| text(database, here))
        .collect();
    texts.join("\n\n")
}

fn text(database: &Database, here: &Here) -> String {
    let name = plain(&database.name);
    let judges = match database.judges {
        Judges::Modules => "judges modules and toolchains",
        Judges::Toolchains => "judges toolchains alone",
        Judges::Nothing => "is only mirrored",
    };
    let rows: Vec<[String; 2]> = rows(database)
        .into_iter()
        .map(|(what, value)| [format!("  {what}"), plain(&value)])
        .collect();
    let mut lines = vec![format!("{name} ({judges})"), output::table(&rows)];
    if !database.contradictions.is_empty() {
        lines.extend(told_contradictions(&name, &database.contradictions, here));
    }
    if let Some(unjoined) = &database.unjoined {
        lines.push(told_unjoined(&name, unjoined, here));
    }
    if !database.showing_given_up.is_empty() {
        let who: Vec<_> = database
            .showing_given_up
            .iter()
            .map(|who| plain(who))
            .collect();
        lines.push(format!(
            "note: the log that was given up here is still shown by {}; the step has to be taken there too: modmesh sumdb accept {name}; and where go holds it: {}",
            who.join(", "),
            go_forgets(&name)
        ));
    }
    lines.join("\n")
}

fn rows(database: &Database) -> Vec<(&'static str, String)> {
    let age = database.head_age_seconds.map(Duration::from_secs);
    let age = age.map_or(String::new(), |age| format!(", got {} ago", span(age)));
    let mut rows = vec![("key", database.key.clone())];
    rows.push((
        "tree head",
        match &database.head {
            Some(head) => format!(
                "{} ({} records, root {}){age}",
                head.name,
                number(head.size),
                head.root
            ),
            None => "none yet; it comes with the first lookup".to_owned(),
        },
    ));
    if let Some(accepted) = &database.accepted {
        let what = format!(
            "{}, not proved yet; no other log is followed",
            accepted.name
        );
        rows.push(("accepted", what));
    }
    rows.push((
        "here",
        format!(
            "{}, {} missing",
            count(database.records, "record"),
            count(database.missing_tiles, "tile")
        ),
    ));
    let asked = database.asked.clone();
    rows.push((
        "asked",
        asked.unwrap_or_else(|| "neighbours alone".to_owned()),
    ));
    if let Some(trouble) = &database.trouble {
        rows.push(("trouble", trouble.clone()));
    }
    let given_up = database.given_up.iter().cloned();
    rows.extend(given_up.map(|folder| ("given up", folder)));
    rows
}

fn told_contradictions(name: &str, contradictions: &[Contradiction], here: &Here) -> Vec<String> {
    let mut lines =
        vec!["SECURITY: it has signed tree heads that contradict each other:".to_owned()];
    for one in contradictions {
        let (ours, other) = (&one.ours, &one.other);
        let shown_by = one
            .shown_by
            .as_deref()
            .map_or_else(String::new, |who| format!(" by {who}"));
        let at = one
            .at
            .as_deref()
            .map_or_else(String::new, |at| format!(" at {at}"));
        for row in [
            format!(
                "  followed  {} ({} records, root {})",
                ours.name,
                number(ours.size),
                ours.root
            ),
            format!(
                "  refused   {} ({} records, root {}), shown{shown_by}{at}",
                other.name,
                number(other.size),
                other.root
            ),
            format!("  both are in {}", one.file),
        ] {
            lines.push(plain(&row));
        }
    }
    lines.push("What it means: no honest log has both. Either the database was begun anew with its old key, or somebody who has that key shows a forged log, here or there.".to_owned());
    if name == PUBLIC {
        lines.push("What to do: nothing below. The public database is never rebuilt. Write to security@golang.org with these files, and take no new modules until they have answered. This host goes on with the log that it followed.".to_owned());
        lines.push(format!(
            "Only if they tell you to: {} (follows the refused head), {} (follows what is shown first)",
            here.command(&format!("accept {name} --yes")),
            here.command(&format!("forget {name} --yes"))
        ));
        return lines;
    }
    let largest = contradictions.iter().map(|one| &one.other);
    let largest = largest.max_by_key(|head| head.size);
    let largest = largest.map_or_else(String::new, |head| plain(&head.name));
    let choose = match contradictions.len() {
        1 => "",
        _ => "; --head SIZE.ROOT names another one",
    };
    lines.push(format!(
        "What to do: ask those who run {name}, not over this network, whether they began it anew."
    ));
    let accept = here.command(&format!("accept {name}"));
    let forget = here.command(&format!("forget {name}"));
    lines.push(format!("  they did:      {accept}   follows {largest} and what continues it, and no third log{choose}"));
    lines.push(format!(
        "           or    {forget}   begins afresh, with whatever log the database shows first"
    ));
    lines.push("  they did not:  do neither, for somebody has their key. Tell them, and send them these files. This host goes on with the log that it followed.".to_owned());
    lines.push(format!(
        "  The step is to be taken on each host of the network (by `forget {name} --yes` where the other head was not seen), and where go saw the old log: {}",
        go_forgets(name)
    ));
    lines
}

fn told_unjoined(name: &str, unjoined: &Unjoined, here: &Here) -> String {
    let (theirs, ours) = (number(unjoined.theirs.size), number(unjoined.ours));
    let at = unjoined
        .at
        .as_deref()
        .map_or_else(String::new, |at| format!(" at {at}"));
    let mut told = format!(
        "note: the log of {theirs} records that {} showed{at} ends where this host's of {ours} goes on, and nobody could be asked for the tile that joins them, so it may be the same log or another",
        unjoined.shown_by
    );
    if unjoined.shown_by.starts_with("neighbour") {
        told.push_str(". Let either host reach the database once");
    }
    if name != PUBLIC {
        told.push_str(&format!(
            "; only if those who run {name} say that they began it anew: {} (follows the log of {}), or {}",
            here.command(&format!("accept {name} --yes")),
            unjoined.theirs.name,
            here.command(&format!("forget {name} --yes"))
        ));
    }
    plain(&told)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn example() -> Databases {
        serde_json::from_str(include_str!("example.json")).unwrap()
    }

    #[test]
    fn databases_are_told_of_in_words() {
        let told = texts(&example(), &Here::default());
        let expected = include_str!("example.txt").trim_end();
        assert_eq!(told, expected, "\n{told}");
    }

    #[test]
    fn the_public_database_is_not_to_be_accepted_lightly() {
        let mut database = example().databases.remove(0);
        database.name = PUBLIC.to_owned();
        let told = text(&database, &Here::default());
        for words in ["security@golang.org", "Only if they tell you to", "--yes"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(!told.contains("they did:"), "{told}");
    }

    #[test]
    fn commands_name_the_daemon_that_was_asked() {
        let told = texts(&example(), &Here::of(Some("/tmp/a b")));
        let command = "modmesh sumdb accept sum.example/internal --state '/tmp/a b'";
        assert!(told.contains(command), "{told}");
    }
}
