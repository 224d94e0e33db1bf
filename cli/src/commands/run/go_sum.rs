//! Gives the daemon what the project's go.sum says, so that it vouches there for what the database says nothing of.
//!
//! Which files these are is found out in `files`; one that is not there is given as an empty one, so that its earlier lines are
//! forgotten. What was built is not changed by any of it, so that what goes wrong is one line on stderr and no failure. A daemon of
//! the system, and one of an older release, take no go.sum, and nothing is said where it has a database that judges instead.

mod files;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use modmesh_protocol::control::{GoSumTaken, Status};

use crate::client::{Client, SocketClient, SocketError};
use crate::output::{count, plain};
use crate::settings::Gathered;
use files::There;

/// How long all of it may take; the command waits for it.
const DEADLINE: Duration = Duration::from_secs(5);

/// Gives the files of the project in the current folder to the daemon of `client`. What a person should know of it.
pub(super) async fn give(client: &Client, gathered: &Gathered) -> Vec<String> {
    let Ok(folder) = std::env::current_dir() else {
        return Vec::new();
    };
    let go_work = gathered.variable("GOWORK").ok().flatten();
    let files = files::named(&folder, go_work.map(OsString::from).as_deref());
    if files.is_empty() {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    let giving = async {
        let Some(daemon) = daemon(client).await else {
            return;
        };
        for file in &files {
            complaints.extend(give_one(&daemon, file).await);
        }
    };
    if tokio::time::timeout(DEADLINE, giving).await.is_err() {
        let seconds = DEADLINE.as_secs();
        complaints.push(format!("the daemon did not take go.sum within {seconds} s"));
    }
    complaints
}

/// The way to the daemon that takes files: the socket in the folder that it names.
async fn daemon(client: &Client) -> Option<SocketClient> {
    let body = client.get("/api/v1/status").await.ok()?;
    let status: Status = client.read(&body).ok()?;
    Some(SocketClient::new(Path::new(&status.state_dir)))
}

async fn give_one(daemon: &SocketClient, file: &Path) -> Vec<String> {
    let name = file.to_string_lossy();
    let not_given = |why: &dyn std::fmt::Display| {
        vec![format!(
            "{} was not given to the daemon: {why}",
            plain(&name)
        )]
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
        Ok(taken) => complaints(&plain(&name), &taken),
        // Another user's daemon, one without a socket, one of an older release.
        Err(
            SocketError::NoDaemon(_)
            | SocketError::NotYours(_)
            | SocketError::TooLong(_)
            | SocketError::Status(_, 404, _),
        ) => Vec::new(),
        Err(error) => not_given(&error),
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
