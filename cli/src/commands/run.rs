//! `modmesh run -- COMMAND...`: the command with GOPROXY set to the daemon's address alone.
//!
//! Where no daemon answers, one is started in the background; where something else answers, or another user's daemon,
//! nothing is run, because `go` would be sent to a stranger. The command gets no other variable: GOFLAGS, GONOSUMDB and the rest are its
//! owner's. Modmesh stays beside the command until it ends: it hands on SIGTERM and SIGHUP, leaves ctrl-c to the
//! terminal (which sends it to both), gives the daemon the go.sum of the project it stands in (`go_sum`), keeps a background daemon from ending for idleness, and ends with the command's
//! exit code.

mod background;
mod go_sum;

use std::process::ExitCode;
use std::time::Duration;

use tokio::process::Child;

use super::Failure;
use crate::arguments::RunArguments;
use crate::client::{Client, ClientError};
use crate::ours::Purpose;
use crate::output;

/// How often a daemon is asked for its health while a command runs, so that it does not end for idleness.
const KEEP_AWAKE_EVERY: Duration = Duration::from_secs(60);

/// Runs the command.
pub(crate) async fn run(arguments: RunArguments) -> Result<ExitCode, Failure> {
    let where_to = &arguments.where_to;
    let (program, words) = arguments
        .command
        .split_first()
        .ok_or(Failure::NothingToRun)?;
    let gathered = super::gather(where_to, Purpose::SendGo).await?;
    let client = super::client_for(&gathered, Purpose::SendGo)?;
    match client.is_alive().await {
        Ok(false) => background::start(where_to, &gathered, &client).await?,
        // A daemon that starts has its port before it can answer there.
        Ok(true) | Err(ClientError::TimedOut(_)) => background::wait_until_ready(&client).await?,
        Err(error) => return Err(error.into()),
    }
    for complaint in go_sum::give(&client, &gathered).await {
        output::complain(&complaint);
    }
    let failed = |error| Failure::Command {
        program: program.clone(),
        error,
    };
    let child = tokio::process::Command::new(program)
        .args(words)
        .env("GOPROXY", client.base_url())
        .spawn()
        .map_err(failed)?;
    let awake = tokio::spawn(keep_awake(client));
    let ended = wait(child).await;
    awake.abort();
    Ok(ExitCode::from(code(ended.map_err(failed)?)))
}

async fn keep_awake(client: Client) {
    loop {
        tokio::time::sleep(KEEP_AWAKE_EVERY).await;
        // Whether it is still there is for the command to find out.
        let _ = client.is_ready().await;
    }
}

/// Waits for the command, handing on what this process is told to do.
#[cfg(unix)]
async fn wait(mut child: Child) -> std::io::Result<std::process::ExitStatus> {
    use rustix::process::{Pid, Signal, kill_process};
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    // Taken so that ctrl-c ends the command and not this process before it.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    loop {
        let handed_on = tokio::select! {
            status = child.wait() => return status,
            _ = terminate.recv() => Some(Signal::TERM),
            _ = hang_up.recv() => Some(Signal::HUP),
            _ = interrupt.recv() => None,
            _ = quit.recv() => None,
        };
        if let (Some(pid), Some(signal)) = (pid, handed_on) {
            // It fails only when the command has just ended, which the next turn sees.
            let _ = kill_process(pid, signal);
        }
    }
}

#[cfg(not(unix))]
async fn wait(mut child: Child) -> std::io::Result<std::process::ExitStatus> {
    child.wait().await
}

/// The exit code of the command; 128 and the signal's number when a signal ended it, as shells say it.
fn code(status: std::process::ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(1);
    }
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1)
}
