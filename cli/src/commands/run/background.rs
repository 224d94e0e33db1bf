//! Starts a daemon in the background, and waits until one serves.
//!
//! Two `run`s may do so in the same moment. Then one daemon gets the port and the other ends; both commands wait for
//! whichever answers, so a daemon of ours that ends early is a failure only when nobody else answers soon after.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::arguments::WhereArguments;
use crate::client::Client;
use crate::commands::Failure;
use crate::logging::background;
use crate::notify;
use crate::output;
use crate::settings::Gathered;

/// How long a daemon may take until it serves.
const READY_DEADLINE: Duration = Duration::from_secs(15);
/// How long somebody else may still take to answer after our own daemon ended.
const RIVAL_DEADLINE: Duration = Duration::from_secs(3);
/// How often it is asked whether it serves; there is no event for it between two processes.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// Minutes without a request after which the background daemon ends.
const IDLE_EXIT_MINUTES: &str = "10";
/// How much of the end of the log is shown when the daemon does not serve.
const TAIL_LINES: usize = 12;

/// Starts a daemon and waits until it serves.
pub(super) async fn start(
    where_to: &WhereArguments,
    gathered: &Gathered,
    client: &Client,
) -> Result<(), Failure> {
    let state_dir = gathered.state_dir()?.value;
    let log = Log::open(&state_dir)?;
    let mut daemon = spawn(where_to, &state_dir, &log)?;
    let began = Instant::now();
    let mut ended: Option<Instant> = None;
    while began.elapsed() < READY_DEADLINE {
        if client.is_ready().await {
            // It may be somebody else's, who was quicker.
            if ended.is_none() && matches!(daemon.try_wait(), Ok(None)) {
                output::complain(&format!(
                    "a daemon was started in the background (process {}); it ends after {IDLE_EXIT_MINUTES} minutes without a request",
                    daemon.id()
                ));
            }
            return Ok(());
        }
        if let Some(ended) = ended {
            if ended.elapsed() > RIVAL_DEADLINE {
                return Err(log.failure("the daemon in the background ended at once"));
            }
        } else if let Ok(Some(status)) = daemon.try_wait() {
            if status.code() == Some(2) {
                // It was refused, so it is not a rival that was quicker.
                return Err(log.failure("the daemon in the background could not be started"));
            }
            ended = Some(Instant::now());
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    let what = format!(
        "the daemon in the background does not serve after {} s",
        READY_DEADLINE.as_secs()
    );
    Err(log.failure(&what))
}

/// Waits until a daemon that is alive serves requests.
pub(super) async fn wait_until_ready(client: &Client) -> Result<(), Failure> {
    let ready = async {
        while !client.is_ready().await {
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    if tokio::time::timeout(READY_DEADLINE, ready).await.is_ok() {
        return Ok(());
    }
    Err(Failure::NotReady(format!(
        "the daemon at {} is there but does not serve after {} s; `modmesh status` may say why",
        client.base_url(),
        READY_DEADLINE.as_secs()
    )))
}

/// `modmesh up` in a process group of its own, so that neither ctrl-c nor the end of the terminal's session ends it.
fn spawn(where_to: &WhereArguments, state_dir: &Path, log: &Log) -> Result<Child, Failure> {
    let program = std::env::current_exe().map_err(Failure::Spawn)?;
    let mut command = Command::new(program);
    command.arg("up").arg("--state").arg(state_dir);
    command.args(["--idle-exit-minutes", IDLE_EXIT_MINUTES]);
    if let Some(listen) = &where_to.listen {
        command.args(["--listen", listen]);
    }
    if let Some(file) = &where_to.config {
        command.arg("--config").arg(file);
    }
    // A service manager that waits for `run` is not to hear of a daemon that is not its own.
    for variable in notify::VARIABLES {
        command.env_remove(variable);
    }
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
        .stdin(Stdio::null())
        .stdout(log.handle()?)
        .stderr(log.handle()?)
        .spawn()
        .map_err(Failure::Spawn)
}

/// The log of the background daemon, from where it ended before this start.
struct Log {
    path: PathBuf,
    file: File,
    begins_at: u64,
}

impl Log {
    fn open(state_dir: &Path) -> Result<Self, Failure> {
        let path = state_dir.join(background::NAME);
        match Self::open_at(&path, state_dir) {
            Ok((file, begins_at)) => Ok(Self {
                path,
                file,
                begins_at,
            }),
            Err(error) => Err(Failure::Log { path, error }),
        }
    }

    fn open_at(path: &Path, state_dir: &Path) -> io::Result<(File, u64)> {
        let mut folder = std::fs::DirBuilder::new();
        let mut options = std::fs::OpenOptions::new();
        #[cfg(unix)]
        {
            std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        folder.recursive(true).create(state_dir)?;
        let file = options.create(true).append(true).open(path)?;
        if file.metadata()?.len() > background::BYTES_MAX {
            file.set_len(0)?;
        }
        let begins_at = file.metadata()?.len();
        Ok((file, begins_at))
    }

    fn handle(&self) -> Result<Stdio, Failure> {
        match self.file.try_clone() {
            Ok(file) => Ok(file.into()),
            Err(error) => Err(Failure::Log {
                path: self.path.clone(),
                error,
            }),
        }
    }

    /// `what` went wrong, and the last lines the daemon wrote.
    fn failure(&self, what: &str) -> Failure {
        let written = self.written().unwrap_or_default();
        let lines: Vec<&str> = written.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(TAIL_LINES)..);
        let tail = tail.unwrap_or_default().join("\n  ");
        let path = self.path.display();
        Failure::NotReady(match tail.is_empty() {
            true => format!("{what}; it wrote nothing to {path}"),
            false => format!("{what}; the end of its log {path}:\n  {tail}"),
        })
    }

    fn written(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.begins_at))?;
        let mut bytes = Vec::new();
        file.take(background::BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
