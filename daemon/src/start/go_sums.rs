//! The go.sum files that the settings name: read at the start, and again when they have changed.
//!
//! One that is there and cannot be used is refused at the start: somebody counts on it. One that is not there says nothing, as one
//! that was deleted says nothing any more, and is read when it comes: a service must not stay down because a project was moved.
//! One that cannot be read later leaves what it said before, for an editor may be at work.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use modmesh_protocol::go_sum::{GO_SUM_BYTES_MAX, GO_SUM_LINES_MAX, GoSum};

use super::StartError;
use crate::fetch::{Fetcher, Permanence};
use crate::seldom::Seldom;

static UNUSABLE: Seldom = Seldom::new();

/// Files that settings may name: one less than are held, so that there is room for that of `modmesh run`.
const FILES_NAMED_MAX: usize = 63;
/// How often it is looked whether one has changed. What depends on it soon is given by `modmesh run`.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The files.
#[derive(Debug)]
pub(super) struct GoSumFiles(Vec<Named>);

/// A file that a setting names.
#[derive(Debug)]
struct Named {
    path: PathBuf,
    look: Look,
    /// What it says, until that is given on.
    says: Option<GoSum>,
}

/// By what it is seen that a file has changed: its length, and when it was written.
type Look = Option<(u64, SystemTime)>;

impl GoSumFiles {
    /// Reads all of them.
    ///
    /// # Errors
    /// When one is there and cannot be used, or all of them together have too many lines.
    pub(super) async fn read(paths: &[PathBuf]) -> Result<Self, StartError> {
        let (mut files, mut lines) = (Vec::new(), 0);
        if let Some(path) = paths.get(FILES_NAMED_MAX) {
            let reason = format!("at most {FILES_NAMED_MAX} files can be named");
            let path = path.clone();
            return Err(StartError::GoSum { path, reason });
        }
        for path in paths {
            let look = look(path);
            let read = parse(path.clone()).await;
            let refused = |reason| {
                let path = path.clone();
                StartError::GoSum { path, reason }
            };
            let says = read.map_err(refused)?;
            if says.is_none() {
                tracing::warn!(go_sum = %path.display(), "a go.sum file that the settings name is not there, so nothing is vouched for by it until it is");
            }
            lines += says.as_ref().map_or(0, |says| says.sums.len());
            if lines > GO_SUM_LINES_MAX {
                let reason = format!("with it they have more than {GO_SUM_LINES_MAX} lines");
                return Err(refused(reason));
            }
            files.push(Named {
                path: path.clone(),
                look,
                says,
            });
        }
        Ok(Self(files))
    }

    /// Gives what was read to the corridor.
    pub(super) async fn give(&mut self, fetcher: &Fetcher) {
        for file in &mut self.0 {
            if let Some(says) = file.says.take() {
                give(&file.path, says, fetcher).await;
            }
        }
    }

    /// Gives what changes, for as long as it is polled.
    pub(super) async fn watch(mut self, fetcher: Fetcher) {
        while !self.0.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look_again().await;
            self.give(&fetcher).await;
        }
    }

    /// Reads what has changed, came or went since the last look.
    async fn look_again(&mut self) {
        for file in &mut self.0 {
            let now = look(&file.path);
            if now == file.look {
                continue;
            }
            let go_sum = file.path.display();
            match parse(file.path.clone()).await {
                Ok(Some(says)) => {
                    file.look = now;
                    file.says = Some(says);
                }
                Ok(None) => {
                    tracing::warn!(%go_sum, "a go.sum file that the settings name is gone; what it said counts no more");
                    file.look = None;
                    file.says = Some(GoSum::default());
                }
                // It is tried again, whether it changes again or not.
                Err(reason) => {
                    if UNUSABLE.turn().is_some() {
                        tracing::warn!(%go_sum, reason, "a go.sum file has changed and cannot be used; what it said before holds");
                    }
                }
            }
        }
    }
}

async fn give(path: &Path, says: GoSum, fetcher: &Fetcher) {
    let (name, fetcher) = (path.display().to_string(), fetcher.clone());
    let work = tokio::task::spawn_blocking(move || {
        if let Err(error) = fetcher.take_go_sum(&name, Permanence::Stays, &says) {
            tracing::warn!(go_sum = name, %error, "a go.sum file cannot be held; what it said before holds");
        }
    });
    if work.await.is_err() {
        tracing::warn!(go_sum = %path.display(), "the work on a go.sum file ended without a result");
    }
}

/// What a file says; nothing when there is none.
async fn parse(path: PathBuf) -> Result<Option<GoSum>, String> {
    let work = tokio::task::spawn_blocking(move || {
        let Some(text) = read(&path)? else {
            return Ok(None);
        };
        let says = GoSum::parse(&text).map_err(|error| error.to_string())?;
        for complaint in complaints(&says) {
            tracing::warn!(go_sum = %path.display(), "{complaint}");
        }
        Ok(Some(says))
    });
    work.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// What a person should know of a go.sum.
fn complaints(says: &GoSum) -> Vec<String> {
    let mut complaints = Vec::new();
    if let Some(first) = says.faults_told.first() {
        let (faults, line, reason) = (says.faults, first.line, &first.reason);
        complaints.push(format!(
            "lines of a go.sum that cannot be read: {faults}, the first is line {line}: {reason}"
        ));
    }
    if let Some(first) = says.contradictory.first() {
        let files = says.contradictory.len();
        complaints.push(format!(
            "files for which a go.sum has two hashes, of which neither counts: {files}, the first is {first}"
        ));
    }
    if says.sums.is_empty() {
        complaints.push("not one line of it counts: is it a go.sum?".to_owned());
    }
    complaints
}

/// The bytes of a file; nothing when there is none. What is no regular file might never end, and is not opened.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match std::fs::metadata(path) {
        Ok(there) if there.is_file() => {}
        Ok(there) if there.is_dir() => return Err("it is a folder".to_owned()),
        Ok(_) => return Err("it is no regular file".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    }
    // One byte more than it may have, so that it is seen to be too large.
    let (mut text, most) = (Vec::new(), GO_SUM_BYTES_MAX as u64 + 1);
    let opened = File::open(path);
    let read = opened.and_then(|file| file.take(most).read_to_end(&mut text));
    read.map_err(|error| error.to_string())?;
    Ok(Some(text))
}

fn look(path: &Path) -> Look {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LINE: &str = "example.com/m v1.0.0 h1:w5fcysjrx7yqtD/aO+QwRjYZOKnaM9Uh2b40tElTs3Y=\n";
    const OTHER: &str = "example.com/m v1.0.0 h1:oIVLrDGHiiR7i1z4r8nDPoJXoiHvhnUqfy3LDBQ7XBw=\n";

    #[tokio::test]
    async fn a_file_that_comes_or_goes_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("go.sum");
        let mut files = GoSumFiles::read(std::slice::from_ref(&path)).await.unwrap();
        let said = |files: &mut GoSumFiles| files.0[0].says.take().map(|says| says.sums.len());
        assert_eq!(said(&mut files), None);
        files.look_again().await;
        assert_eq!(said(&mut files), None);
        std::fs::write(&path, LINE).unwrap();
        files.look_again().await;
        assert_eq!(said(&mut files), Some(1));
        files.look_again().await;
        assert_eq!(said(&mut files), None);
        std::fs::remove_file(&path).unwrap();
        files.look_again().await;
        assert_eq!(said(&mut files), Some(0));
        files.look_again().await;
        assert_eq!(said(&mut files), None);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_is_no_file_is_refused_and_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        for (path, why) in [
            (fifo.as_path(), "it is no regular file"),
            (Path::new("/dev/zero"), "it is no regular file"),
            (folder.path(), "it is a folder"),
        ] {
            let refused = GoSumFiles::read(&[path.to_owned()]).await.unwrap_err();
            assert!(refused.to_string().contains(why), "{refused}");
        }
    }

    #[test]
    fn what_does_not_count_is_told_in_a_line_for_each_kind() {
        let said = |text: &str| complaints(&GoSum::parse(text.as_bytes()).unwrap()).join("; ");
        assert_eq!(said(LINE), "");
        let two = said(&format!("{LINE}{OTHER}"));
        assert!(two.contains("two hashes") && two.contains(": 1, "), "{two}");
        assert!(two.contains("example.com/m"), "{two}");
        let go_mod = said("module example.com/m\n\ngo 1.21\n");
        assert!(go_mod.contains("cannot be read: 2, "), "{go_mod}");
        assert!(go_mod.contains("is it a go.sum?"), "{go_mod}");
    }
}
