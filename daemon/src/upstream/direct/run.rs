//! One run of `go`: started as the head of a process group, watched, and ended with all that it started.
//!
//! The group is killed before its head is waited for: as long as nobody has done that, the number of the group belongs
//! to it and to nobody else.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::folder::Folder;
use crate::os::ProcessGroup;

/// The longest JSON that is read: the versions of the longest lists are below a tenth of it.
const STDOUT_BYTES_MAX: usize = 8 << 20;
/// What is kept of the messages, from their beginning.
const STDERR_BYTES_KEPT: usize = 64 << 10;
/// Who says more than this is out of control.
const STDERR_BYTES_MAX: usize = 4 << 20;
/// How long after the end of `go` its pipes are read, for what was in them; and how long the killed may take to die.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How often the size of the folder is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What to run.
pub(super) struct Order<'a> {
    pub(super) go: &'a Path,
    pub(super) arguments: &'a [OsString],
    pub(super) environment: &'a [(OsString, OsString)],
    pub(super) folder: &'a Folder,
    pub(super) folder_bytes_max: u64,
}

/// For how long.
pub(super) struct Within<'a> {
    pub(super) deadline: Instant,
    /// The whole time that was allowed, for the message.
    pub(super) allowed: Duration,
    /// Nobody waits any more.
    pub(super) given_up: &'a CancellationToken,
}

/// What a run that ended by itself left behind.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) is_success: bool,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// Why there is no answer of `go`.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("the go command {0} cannot be started: {1}")]
    Start(String, io::Error),
    #[error(
        "go was not done after {0} s and was ended; its repository may be slow or may ask for a password"
    )]
    Deadline(u64),
    #[error("go or a tool that it started said more than is read, and was ended")]
    Flood,
    #[error("the repository needs more than the {0} bytes that a fetch may take on disk")]
    TooLarge(u64),
    #[error("the folder for it cannot be used: {0}")]
    Folder(io::Error),
    #[error(
        "it was ended before it was done, since this daemon ends or nobody waits for it any more"
    )]
    Cut,
}

/// Runs `go` to its end, or to the first bound that it meets.
pub(super) async fn run(order: &Order<'_>, within: &Within<'_>) -> Result<Said, RunError> {
    let mut child = start(order)?;
    let group = ProcessGroup::headed_by(child.id());
    let outcome = tokio::select! {
        outcome = listen(&mut child, &group) => outcome,
        () = outgrown(order) => Err(RunError::TooLarge(order.folder_bytes_max)),
        () = tokio::time::sleep_until(within.deadline) => Err(RunError::Deadline(within.allowed.as_secs())),
        () = within.given_up.cancelled() => Err(RunError::Cut),
    };
    group.kill();
    // Only now: the number is free from here on.
    let status = tokio::time::timeout(LAST_WORDS, child.wait()).await;
    group.is_over();
    let (stdout, stderr) = outcome?;
    let is_success = matches!(status, Ok(Ok(status)) if status.success());
    Ok(Said {
        is_success,
        stdout,
        stderr,
    })
}

fn start(order: &Order<'_>) -> Result<Child, RunError> {
    let mut command = Command::new(order.go);
    command
        .args(order.arguments)
        .env_clear()
        .envs(order.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(order.folder.work())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    command
        .spawn()
        .map_err(|error| RunError::Start(order.go.display().to_string(), error))
}

/// Reads what is said until `go` has ended. A child that it left behind does not keep the answer.
async fn listen(child: &mut Child, group: &ProcessGroup) -> Result<(Vec<u8>, Vec<u8>), RunError> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let reading = async {
        tokio::try_join!(
            keep(out, &mut stdout, STDOUT_BYTES_MAX, STDOUT_BYTES_MAX),
            keep(err, &mut stderr, STDERR_BYTES_KEPT, STDERR_BYTES_MAX),
        )?;
        // Both pipes are closed, which `go` does by ending.
        head_has_ended(group).await;
        Ok(())
    };
    let ended = async {
        head_has_ended(group).await;
        group.kill();
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        read = reading => read?,
        // Somebody outside the group holds a pipe. What came is what `go` said.
        () = ended => {}
    }
    Ok((stdout, stderr))
}

async fn head_has_ended(group: &ProcessGroup) {
    let wait = group.wait_for_head();
    let _over_in_any_case = tokio::task::spawn_blocking(wait).await;
}

/// Reads to the end, keeps the first `kept_max` bytes in `kept`, and fails past `bytes_max`.
async fn keep(
    pipe: Option<impl AsyncRead + Unpin>,
    kept: &mut Vec<u8>,
    kept_max: usize,
    bytes_max: usize,
) -> Result<(), RunError> {
    let Some(mut pipe) = pipe else {
        return Ok(());
    };
    let (mut piece, mut bytes) = (vec![0; 16 << 10], 0_usize);
    // A pipe that cannot be read says no more.
    while let Ok(read) = pipe.read(&mut piece).await
        && read > 0
    {
        bytes = bytes.saturating_add(read);
        if bytes > bytes_max {
            return Err(RunError::Flood);
        }
        let room = kept_max.saturating_sub(kept.len());
        kept.extend(piece.iter().take(read.min(room)));
    }
    Ok(())
}

/// Returns when the folder has become too large.
async fn outgrown(order: &Order<'_>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if order.folder.bytes().await > order.folder_bytes_max {
            return;
        }
    }
}
