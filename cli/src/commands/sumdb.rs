//! `modmesh sumdb`: what the daemon knows of its checksum databases, and the two ways out when one has signed logs that
//! contradict each other. Nothing is asked: what must not be done lightly is refused without `--yes`.

mod told;

use std::fmt::Write;
use std::process::ExitCode;

use modmesh_protocol::control::sumdb::{BegunAnew, Databases};

use self::told::Here;
use super::Failure;
use crate::arguments::{SumdbAction, SumdbArguments};
use crate::client::SocketClient;
use crate::output::{self, count, number, plain};

/// Shows the databases, or has another log of one followed.
pub(crate) async fn sumdb(arguments: SumdbArguments) -> Result<ExitCode, Failure> {
    let client = super::socket_client(arguments.layer(), arguments.config.as_deref()).await?;
    let here = Here::of(arguments.state());
    let said = match arguments.action {
        None => show(&client, None, arguments.json, &here).await?,
        Some(SumdbAction::Show { name }) => show(&client, name, arguments.json, &here).await?,
        Some(SumdbAction::Forget { name, yes }) => {
            let path = format!("/v1/sumdb/forget?name={}", encoded(named(&name)));
            begin_anew(&client, path, yes, arguments.json).await?
        }
        Some(SumdbAction::Accept { name, head, yes }) => {
            let mut path = format!("/v1/sumdb/accept?name={}", encoded(named(&name)));
            if let Some(head) = head {
                path = format!("{path}&head={}", encoded(&head));
            }
            begin_anew(&client, path, yes, arguments.json).await?
        }
    };
    output::say(&said);
    Ok(ExitCode::SUCCESS)
}

async fn show(
    client: &SocketClient,
    name: Option<String>,
    json: bool,
    here: &Here,
) -> Result<String, Failure> {
    let body = client.get("/v1/sumdb").await?;
    let mut databases: Databases = client.read(&body)?;
    let Some(name) = name else {
        return Ok(match json {
            true => body.trim_end().to_owned(),
            false => told::texts(&databases, here),
        });
    };
    let name = named(&name).to_owned();
    let known: Vec<_> = databases
        .databases
        .iter()
        .map(|one| plain(&one.name))
        .collect();
    databases.databases.retain(|one| one.name == name);
    match databases.databases.is_empty() {
        true => Err(Failure::NoSuchDatabase(name, known.join(", "))),
        false if json => Ok(serde_json::to_string_pretty(&databases)?),
        false => Ok(told::texts(&databases, here)),
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

/// The name of a database, where its whole key was given: no name has a plus sign in it.
fn named(text: &str) -> &str {
    text.split('+').next().unwrap_or(text)
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
    if let Some(aside) = &begun.aside {
        lines.push(format!("  the log before it is kept in {}", plain(aside)));
    }
    if begun.doubted > 0 {
        let files = count(begun.doubted, "file");
        lines.push(match begun.waiting {
            0 => format!("  {files} rested on it and were judged again; the daemon's log names what was dropped"),
            waiting => format!(
                "  {files} rested on it; {} still to be judged again, which is tried every 30 s",
                number(waiting)
            ),
        });
    }
    if begun.was_contradicted {
        lines.push(format!(
            "  do the same on each host of the network, and where go saw the old log: {}",
            go_forgets(&name)
        ));
    }
    lines.join("\n")
}

/// `go` keeps the head that it saw, and tiles and records, outside of its module cache's reach of `go clean`.
fn go_forgets(name: &str) -> String {
    format!(
        "rm -rf \"$(go env GOPATH)/pkg/sumdb/{name}\" \"$(go env GOMODCACHE)/cache/download/sumdb/{name}\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_value_of_a_query() {
        assert_eq!(
            encoded("sum.example:80/a&yes=1"),
            "sum.example%3A80/a%26yes%3D1"
        );
    }

    #[test]
    fn a_key_is_understood_as_the_name_in_it() {
        assert_eq!(
            named("sum.example/a+a1b2c3d4+AcS0p2pVdHl5"),
            "sum.example/a"
        );
        assert_eq!(named("sum.example/a"), "sum.example/a");
    }
}
