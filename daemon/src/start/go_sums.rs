//! The go.sum files that the settings name: read at the start, and again when they have changed.
//!
//! One that cannot be read at the start is refused there: somebody counts on it. One that cannot be read later leaves what it
//! said before, for an editor may be at work.

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
    /// When one cannot be used, or all of them together have too many lines.
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
            lines += says.sums.len();
            if lines > GO_SUM_LINES_MAX {
                let reason = format!("with it they have more than {GO_SUM_LINES_MAX} lines");
                return Err(refused(reason));
            }
            files.push(Named {
                path: path.clone(),
                look,
                says: Some(says),
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
            for file in &mut self.0 {
                let now = look(&file.path);
                if now.is_none() || now == file.look {
                    continue;
                }
                match parse(file.path.clone()).await {
                    Ok(says) => {
                        file.look = now;
                        file.says = Some(says);
                    }
                    // It is tried again, whether it changes again or not.
                    Err(reason) => {
                        if UNUSABLE.turn().is_none() {
                            continue;
                        }
                        let go_sum = file.path.display();
                        tracing::warn!(%go_sum, reason, "a go.sum file has changed and cannot be used; what it said before holds");
                    }
                }
            }
            self.give(&fetcher).await;
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

async fn parse(path: PathBuf) -> Result<GoSum, String> {
    let work = tokio::task::spawn_blocking(move || {
        let text = read(&path).map_err(|error| error.to_string())?;
        let says = GoSum::parse(&text).map_err(|error| error.to_string())?;
        let go_sum = path.display();
        for fault in &says.faults_told {
            let (line, reason) = (fault.line, &fault.reason);
            tracing::warn!(%go_sum, line, reason, "a line of go.sum cannot be read");
        }
        Ok(says)
    });
    work.await.unwrap_or_else(|error| Err(error.to_string()))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    // One byte more than it may have, so that it is seen to be too large.
    let most = GO_SUM_BYTES_MAX as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut text)?;
    Ok(text)
}

fn look(path: &Path) -> Look {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}
