//! Gives the daemon what the project's go.sum says, so that it vouches there for what the database says nothing of.
//!
//! The files are found as `go` finds them, without asking it: the go.sum of the module that the folder lies in; of a workspace
//! go.work.sum and the go.sum of each of its modules. What was built is not changed by any of it, so that what goes wrong is one
//! line on stderr and no failure; a daemon of the system, and one of an older release, take no go.sum, and nothing is said.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use modmesh_protocol::control::{GoSumTaken, Status};
use modmesh_protocol::go_sum::{GO_SUM_BYTES_MAX, GoSumError};

use crate::client::{Client, SocketClient, SocketError};
use crate::output::{count, plain};
use crate::settings::Gathered;

/// Files that are given; a workspace may have more modules.
const FILES_MAX: usize = 32;
/// Largest go.work that is read.
const GO_WORK_BYTES_MAX: u64 = 256 << 10;
/// How long all of it may take; the command waits for it.
const DEADLINE: Duration = Duration::from_secs(5);

/// Gives the files of the project in the current folder to the daemon of `client`. What a person should know of it.
pub(super) async fn give(client: &Client, gathered: &Gathered) -> Vec<String> {
    let Ok(folder) = std::env::current_dir() else {
        return Vec::new();
    };
    let go_work = gathered.variable("GOWORK").ok().flatten();
    let files = files(&folder, go_work.map(OsString::from).as_deref());
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
    let text = match read(file, GO_SUM_BYTES_MAX as u64) {
        Ok(Some(text)) => text,
        Ok(None) => return not_given(&GoSumError::TooLarge),
        Err(error) => return not_given(&error),
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

/// The files that `go` would read in `folder` with this GOWORK, as far as they are there.
fn files(folder: &Path, go_work: Option<&OsStr>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let above = |name: &str| {
        let mut paths = folder.ancestors().map(|folder| folder.join(name));
        paths.find(|path| path.is_file())
    };
    files.extend(above("go.mod").map(|path| path.with_file_name("go.sum")));
    let go_work = match go_work {
        Some(off) if off == "off" => None,
        Some(path) if !path.is_empty() => Some(folder.join(path)),
        _ => above("go.work"),
    };
    if let Some(go_work) = go_work {
        let mut sums = go_work.clone().into_os_string();
        sums.push(".sum");
        files.push(sums.into());
        let text = read(&go_work, GO_WORK_BYTES_MAX).ok().flatten();
        let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
        let root = go_work.parent().unwrap_or(folder);
        files.extend(used(&text).map(|module| root.join(module).join("go.sum")));
    }
    let mut seen = Vec::new();
    for file in files {
        let file = std::fs::canonicalize(&file).unwrap_or(file);
        if file.is_file() && !seen.contains(&file) && seen.len() < FILES_MAX {
            seen.push(file);
        }
    }
    seen
}

/// The folders that the `use` lines of a go.work name. What is written in a way that `go work use` does not write is passed
/// over: then that module's file is not given.
fn used(go_work: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    go_work.lines().filter_map(move |line| {
        let line = line.split("//").next().unwrap_or_default().trim();
        let folder = match (in_block, line) {
            (true, ")") => {
                in_block = false;
                return None;
            }
            (true, folder) => folder,
            (false, line) => {
                let rest = line.strip_prefix("use")?;
                let ends = |c: char| c.is_whitespace() || c == '(';
                let rest = rest.starts_with(ends).then(|| rest.trim())?;
                if rest == "(" {
                    in_block = true;
                    return None;
                }
                rest
            }
        };
        let folder = folder.trim_matches(['"', '`']);
        (!folder.is_empty()).then_some(folder)
    })
}

/// The bytes of a file; nothing when it has more than `bytes_max`.
fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= bytes_max).then_some(bytes))
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

    fn write(root: &Path, names: &[&str]) {
        for name in names {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
    }

    #[test]
    fn the_files_are_those_that_go_reads() {
        let root = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(root.path()).unwrap();
        let found = |folder: &str, go_work: Option<&str>| -> Vec<String> {
            let files = files(&root.join(folder), go_work.map(OsStr::new));
            let name = |path: PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
            files.into_iter().map(name).collect()
        };
        write(
            &root,
            &[
                "a/go.mod",
                "a/go.sum",
                "a/deep/er/x.go",
                "b/go.mod",
                "c/go.mod",
                "c/go.sum",
            ],
        );
        assert_eq!(found("a/deep/er", None), ["a/go.sum"]);
        assert!(found("b", None).is_empty());
        write(&root, &["go.work.sum", "other/my.work.sum"]);
        std::fs::write(
            root.join("go.work"),
            "go 1.21\n\nuse (\n\t./a // first\n\t\"./c\"\n)\nuse ./b\n",
        )
        .unwrap();
        std::fs::write(root.join("other/my.work"), "use ../c").unwrap();
        assert_eq!(found("a", None), ["a/go.sum", "go.work.sum", "c/go.sum"]);
        assert_eq!(found("a", Some("off")), ["a/go.sum"]);
        assert_eq!(
            found("b", Some("../other/my.work")),
            ["other/my.work.sum", "c/go.sum"]
        );
    }

    #[test]
    fn the_folders_of_a_workspace_are_read_as_go_writes_them() {
        let text = "go 1.21\nuse ./one\nuse (\n\t./two\n\n\t`./three` // why\n)\nuses ./no\nuse./no\nreplace x => ./no\n";
        assert_eq!(
            used(text).collect::<Vec<_>>(),
            ["./one", "./two", "./three"]
        );
        assert_eq!(used("use(\n./a\n)").collect::<Vec<_>>(), ["./a"]);
    }

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
