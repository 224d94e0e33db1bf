//! `modmesh sumdb`: what the daemon knows of its checksum databases, and the two ways out when one has signed logs that
//! contradict each other. Nothing is asked: what must not be done lightly is refused without `--yes`.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use modmesh_protocol::control::sumdb::{
    BegunAnew, Contradiction, Database, Databases, Judges, Unjoined,
};

use super::Failure;
use crate::arguments::{SumdbAction, SumdbArguments};
use crate::client::SocketClient;
use crate::output::{self, count, number, plain, span};
use crate::settings::Gathered;

/// The database that `go` has built in.
const PUBLIC: &str = "sum.golang.org";

/// Shows the databases, or has another log of one followed.
pub(crate) async fn sumdb(arguments: SumdbArguments) -> Result<ExitCode, Failure> {
    let gathered = Gathered::under(arguments.layer(), arguments.config.as_deref())?;
    let client = SocketClient::new(&gathered.state_dir()?.value);
    let said = match arguments.action {
        None => show(&client, None, arguments.json).await?,
        Some(SumdbAction::Show { name }) => show(&client, name, arguments.json).await?,
        Some(SumdbAction::Forget { name, yes }) => {
            let path = format!("/v1/sumdb/forget?name={}", encoded(&name));
            begin_anew(&client, path, yes, arguments.json).await?
        }
        Some(SumdbAction::Accept { name, head, yes }) => {
            let mut path = format!("/v1/sumdb/accept?name={}", encoded(&name));
            if let Some(head) = head {
                path = format!("{path}&head={}", encoded(&head));
            }
            begin_anew(&client, path, yes, arguments.json).await?
        }
    };
    output::say(&said);
    Ok(ExitCode::SUCCESS)
}

async fn show(client: &SocketClient, name: Option<String>, json: bool) -> Result<String, Failure> {
    let body = client.get("/v1/sumdb").await?;
    let mut databases: Databases = client.read(&body)?;
    let Some(name) = name else {
        return Ok(match json {
            true => body.trim_end().to_owned(),
            false => texts(&databases),
        });
    };
    let known: Vec<_> = databases
        .databases
        .iter()
        .map(|one| plain(&one.name))
        .collect();
    databases.databases.retain(|one| one.name == name);
    match databases.databases.is_empty() {
        true => Err(Failure::NoSuchDatabase(name, known.join(", "))),
        false if json => Ok(serde_json::to_string_pretty(&databases)?),
        false => Ok(texts(&databases)),
    }
}

async fn begin_anew(
    client: &SocketClient,
    mut path: String,
    yes: bool,
    json: bool,
) -> Result<String, Failure> {
    if yes {
        path.push_str("&yes=1");
    }
    let body = client.change(&path).await?;
    if json {
        return Ok(body.trim_end().to_owned());
    }
    Ok(begun(&client.read(&body)?))
}

/// Percent-encoded, but for what means the same in a query everywhere.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

fn begun(begun: &BegunAnew) -> String {
    let name = plain(&begun.name);
    let mut lines = vec![match (&begun.accepted, begun.is_current) {
        (Some(head), true) => format!(
            "{name}: the log of {} is followed from now on",
            plain(&head.name)
        ),
        (Some(head), false) => format!(
            "{name}: the log of {} is followed from now on, and no other; what proves it comes with the next lookup",
            plain(&head.name)
        ),
        (None, _) => format!("{name}: begun afresh; the log that it shows first is followed"),
    }];
    lines.push(format!(
        "  the log before it is kept in {}",
        plain(&begun.aside)
    ));
    if begun.doubted > 0 {
        let files = count(begun.doubted, "file");
        lines.push(match begun.waiting {
            0 => format!("  {files} rested on it and were judged again; `modmesh status` and the log tell what came of them"),
            waiting => format!(
                "  {files} rested on it; {} still to be judged again, which is tried every 30 s",
                number(waiting)
            ),
        });
    }
    lines.push(format!(
        "  do the same on each host of the network, and where go saw the old log: {}",
        go_forgets(&name)
    ));
    lines.join("\n")
}

/// `go` keeps the head that it saw, and tiles and records, outside of its module cache's reach of `go clean`.
fn go_forgets(name: &str) -> String {
    format!(
        "rm -rf \"$(go env GOPATH)/pkg/sumdb/{name}\" \"$(go env GOMODCACHE)/cache/download/sumdb/{name}\""
    )
}

fn texts(databases: &Databases) -> String {
    let texts: Vec<_> = databases.databases.iter().map(text).collect();
    texts.join("\n\n")
}

fn text(database: &Database) -> String {
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
        lines.extend(told_contradictions(&name, &database.contradictions));
    }
    if let Some(unjoined) = &database.unjoined {
        lines.push(told_unjoined(&name, unjoined));
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

fn told_contradictions(name: &str, contradictions: &[Contradiction]) -> Vec<String> {
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
        lines.push(format!("Only if they tell you to: modmesh sumdb accept {name} --yes (follows the refused head), modmesh sumdb forget {name} --yes (follows what is shown first)"));
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
    lines.push(format!("  they did:      modmesh sumdb accept {name}   follows {largest} and what continues it, and no third log{choose}"));
    lines.push(format!("           or    modmesh sumdb forget {name}   begins afresh, with whatever log is shown first"));
    lines.push("  they did not:  do neither, for somebody has their key. Tell them, and send them these files. This host goes on with the log that it followed.".to_owned());
    lines.push(format!(
        "  The step is to be taken on each host of the network, and where go saw the old log: {}",
        go_forgets(name)
    ));
    lines
}

fn told_unjoined(name: &str, unjoined: &Unjoined) -> String {
    let (theirs, ours) = (number(unjoined.theirs.size), number(unjoined.ours));
    let at = unjoined
        .at
        .as_deref()
        .map_or_else(String::new, |at| format!(" at {at}"));
    let mut told = format!(
        "note: the log of {theirs} records that {} showed{at} ends where this host's of {ours} goes on, and nobody could be asked for the tile that joins them, so it may be the same log or another. Let either host reach the database once",
        unjoined.shown_by
    );
    if name != PUBLIC {
        told.push_str(&format!(
            "; only if those who run {name} say that they began it anew: modmesh sumdb accept {name} --yes (follows the log of {}), or modmesh sumdb forget {name} --yes",
            unjoined.theirs.name
        ));
    }
    plain(&told)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn example() -> Databases {
        serde_json::from_str(include_str!("sumdb/example.json")).unwrap()
    }

    #[test]
    fn databases_are_told_of_in_words() {
        let told = texts(&example());
        let expected = include_str!("sumdb/example.txt").trim_end();
        assert_eq!(told, expected, "\n{told}");
    }

    #[test]
    fn the_public_database_is_not_to_be_accepted_lightly() {
        let mut database = example().databases.remove(0);
        database.name = PUBLIC.to_owned();
        let told = text(&database);
        for words in ["security@golang.org", "Only if they tell you to", "--yes"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(!told.contains("they did:"), "{told}");
    }

    #[test]
    fn a_name_is_one_value_of_a_query() {
        assert_eq!(
            encoded("sum.example:80/a&yes=1"),
            "sum.example%3A80/a%26yes%3D1"
        );
    }
}
