//! What a daemon may say about how `direct` is done.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::environment;

/// How `direct` is done.
#[derive(Clone)]
pub struct DirectOptions {
    /// The `go` command; without one `direct` fails with a text that says so.
    pub go: Option<PathBuf>,
    /// Where each run gets a folder of its own, which is removed with all that is in it. It must belong to this daemon
    /// alone: what an earlier one left there is swept at start. Without one `direct` cannot be used.
    pub folder: Option<PathBuf>,
    /// How long one answer may take, waiting for a turn included; then the whole process group is killed.
    pub deadline: Duration,
    /// Runs of `go` at a time. The others queue.
    pub runs_max: usize,
    /// The most bytes that a run's folder may grow to; it is looked at every second.
    pub folder_bytes_max: u64,
    /// The environment from which the known names are taken: that of the daemon.
    pub environment: Vec<(OsString, OsString)>,
}

impl Default for DirectOptions {
    /// The `go` on PATH, 5 minutes, 4 at a time, 4 GiB each, and this process's environment. The folder is left to the
    /// caller.
    fn default() -> Self {
        Self {
            go: environment::go_on_path(),
            folder: None,
            deadline: Duration::from_secs(5 * 60),
            runs_max: 4,
            folder_bytes_max: 4 << 30,
            environment: std::env::vars_os().collect(),
        }
    }
}

impl std::fmt::Debug for DirectOptions {
    /// Without the environment, which holds secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirectOptions")
            .field("go", &self.go)
            .field("folder", &self.folder)
            .field("deadline", &self.deadline)
            .field("runs_max", &self.runs_max)
            .field("folder_bytes_max", &self.folder_bytes_max)
            .finish_non_exhaustive()
    }
}
