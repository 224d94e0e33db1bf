//! Gives the daemon what the project's go.sum says, so that it vouches there for what the database says nothing of.
//!
//! Which files these are is found out in `files`; one that is not there is given as an empty one, so that its earlier lines are
//! forgotten. What was built is not changed by any of it, so that what goes wrong is one line on stderr and no failure. A daemon of
//! the system, and one of an older release, take no go.sum, and nothing is said where it has a database that judges instead.

mod files;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use modmesh_protocol::control::{GoSumTaken, Status};

use crate::client::{Client, SocketClient, SocketError};
use crate::output::{count, plain};
use crate::settings::Gathered;
use files::There;

/// How long all of it may take; the command waits for it.
const DEADLINE: Duration = Duration::from_secs(5);

/// Where a go.sum would be the only judge, and there is no module to take it from.
const NO_MODULE: &str = "the checksum database is off at the daemon, and there is no go.mod in this folder or above it, so that no go.sum \
                         was given to the daemon and neighbours are asked for nothing: start `modmesh run` in the folder of the module \
                         (`go -C` and `cd` in a command come too late)";
/// The beginning of what is said where a go.sum would be the only judge, and the daemon does not take it.
const NOT_TAKEN: &str = "the checksum database is off at the daemon, and it does not take this project's go.sum, so that it asks \
                         neighbours for nothing";

/// Gives the files of the project in the current folder to the daemon of `client`. What a person should know of it.
pub(super) async fn give(client: &Client, gathered: &Gathered) -> Vec<String> {
    let Ok(folder) = std::env::current_dir() else {
        return Vec::new();
    };
    let go_work = gathered.variable("GOWORK").ok().flatten();
    let files = files::named(&folder, go_work.map(OsString::from).as_deref());
    let mut complaints = Vec::new();
    let giving = async {
        if let Some(status) = status(client).await {
            complaints.extend(give_all(&files, &status).await);
        }
    };
    if tokio::time::timeout(DEADLINE, giving).await.is_err() {
        let seconds = DEADLINE.as_secs();
        complaints.push(format!("the daemon did not take go.sum within {seconds} s"));
    }
    complaints
}

async fn status(client: &Client) -> Option<Status> {
    let body = client.get("/api/v1/status").await.ok()?;
    client.read(&body).ok()
}

/// Gives all files, over the socket in the folder that the daemon names.
async fn give_all(files: &[PathBuf], status: &Status) -> Vec<String> {
    // Where a database judges, a go.sum is worth less, and that there is none is said to nobody.
    let is_off = status.sumdb.is_empty();
    if files.is_empty() && is_off && status.go_sum.lines == 0 {
        return vec![NO_MODULE.to_owned()];
    }
    let daemon = SocketClient::new(Path::new(&status.state_dir));
    let mut complaints = Vec::new();
    for file in files {
        match give_one(&daemon, file).await {
            Ok(told) => complaints.extend(told),
            // Another user's daemon, one without a socket, one of an older release: it takes none of the others either.
            Err(error) if is_off => {
                complaints.push(format!("{NOT_TAKEN}: {}", why_not_taken(&error)));
                break;
            }
            Err(_) => break,
        }
    }
    complaints
}

/// What became of one file; an error when the daemon takes none at all.
async fn give_one(daemon: &SocketClient, file: &Path) -> Result<Vec<String>, SocketError> {
    let name = file.to_string_lossy();
    let not_given = |why: &dyn std::fmt::Display| {
        let name = plain(&name);
        Ok(vec![format!("{name} was not given to the daemon: {why}")])
    };
    let text = match files::look(file) {
        There::Text(text) => text,
        There::Nothing => Vec::new(),
        There::Unusable(why) => return not_given(&why),
    };
    let query = format!("/v1/gosum?name={}", percent_encoded(&name));
    let taken = daemon.post(&query, text).await;
    let taken = taken.and_then(|body| daemon.read::<GoSumTaken>(&body));
    match taken {
        Ok(taken) => Ok(complaints(&plain(&name), &taken)),
        Err(
            error @ (SocketError::NoDaemon(_)
            | SocketError::NotYours(_)
            | SocketError::TooLong(_)
            | SocketError::Status(_, 404, _)),
        ) => Err(error),
        Err(error) => not_given(&error),
    }
}

fn why_not_taken(error: &SocketError) -> &'static str {
    match error {
        SocketError::NotYours(_) => {
            "it is another user's; run one of your own: `modmesh up --listen 127.0.0.1:PORT`, and give --listen to this command too"
        }
        SocketError::NoDaemon(_) => "it has no control socket; its log says why",
        SocketError::TooLong(_) => {
            "the path of its state folder is too long for a control socket; give it a shorter one with --state"
        }
        _ => "it is of an older release; end it and start this one",
    }
}

/// What a person should know of a file that was taken.
fn complaints(name: &str, taken: &GoSumTaken) -> Vec<String> {
    let first = |named: &[String]| match named.first() {
        Some(line) => format!(", first {}", plain(line)),
        None => String::new(),
    };
    let mut complaints = Vec::new();
    if taken.contradicted > 0 {
        complaints.push(format!(
            "SECURITY: {} of {name} is not what the checksum database lists and was refused{}; find out who changed the file, or \
             what it was made from",
            count(taken.contradicted, "line"),
            first(&taken.contradicted_named)
        ));
    }
    if taken.contradictory > 0 {
        complaints.push(format!(
            "{name} has two hashes for {}{}; neither counts",
            count(taken.contradictory, "file"),
            first(&taken.contradictory_named)
        ));
    }
    if let Some(fault) = taken.faults_told.first() {
        complaints.push(format!(
            "{} of {name} cannot be read, first line {}: {}",
            count(taken.faults, "line"),
            fault.line,
            plain(&fault.reason)
        ));
    }
    complaints
}

/// A text as a value in a query.
fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_the_database_is_said_first() {
        let taken = GoSumTaken {
            lines: 3,
            contradicted: 1,
            contradicted_named: vec!["example.com/m v1.0.0".to_owned()],
            ..GoSumTaken::default()
        };
        let said = complaints("/p/go.sum", &taken);
        assert_eq!(said.len(), 1);
        assert!(
            said[0].starts_with("SECURITY: 1 line of /p/go.sum"),
            "{said:?}"
        );
        assert!(said[0].contains("first example.com/m v1.0.0"), "{said:?}");
        assert!(complaints("/p/go.sum", &GoSumTaken::default()).is_empty());
    }

    #[test]
    fn a_path_stands_in_a_query() {
        assert_eq!(percent_encoded("/a b/&=\u{e9}"), "/a%20b/%26%3D%C3%A9");
    }
}
