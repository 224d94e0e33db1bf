//! Child processes with a deadline, whose output is kept.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// What a process left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// Standard error; likewise.
    pub stderr: String,
    /// From start to end.
    pub wall: Duration,
    /// Whether it was ended because its time was over.
    pub timed_out: bool,
}

/// Copies a program, so that anybody can run it at once.
///
/// A child does the writing: the system runs no file that somebody has open for writing (ETXTBSY), and what one thread of a
/// test has open is for a moment open in every child that another thread starts.
pub fn install(from: &std::path::Path, to: &std::path::Path) {
    let mut command = Command::new("install");
    command.args(["-m", "755"]).arg(from).arg(to);
    run(&mut command, Duration::from_secs(60)).expect_success();
}

/// Runs a command to its end; when `deadline` is over, it and its children are killed.
pub fn run(command: &mut Command, deadline: Duration) -> Output {
    let started = Instant::now();
    let text = describe(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start `{text}`: {error}"));
    let pid = child.id();
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let (ended, end) = mpsc::sync_channel(1);
    thread::spawn(move || ended.send(child.wait()));
    let mut timed_out = false;
    let status = end.recv_timeout(deadline).unwrap_or_else(|_| {
        timed_out = true;
        kill_group(pid);
        end.recv().expect("the waiting thread ended early")
    });
    Output {
        command: text,
        status: status.unwrap_or_else(|_| ExitStatus::from_raw(9)),
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
        wall: started.elapsed(),
        timed_out,
    }
}

impl Output {
    /// Goes on when the process succeeded.
    ///
    /// # Panics
    /// When it did not; the message holds everything that it said.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// Goes on when the process ended by itself with an exit code other than 0.
    ///
    /// # Panics
    /// When it succeeded or had to be killed.
    #[track_caller]
    pub fn expect_failure(self) -> Self {
        assert!(!self.status.success() && !self.timed_out, "{self}");
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "`{}` ended with {}", self.command, self.status)?;
        if self.timed_out {
            writeln!(f, "it was killed: its time was over")?;
        }
        writeln!(f, "after {:?}", self.wall)?;
        writeln!(
            f,
            "--- stdout\n{}\n--- stderr\n{}",
            self.stdout, self.stderr
        )
    }
}

/// Sends a signal to a process; one that is gone already is left in peace.
pub fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
        let _ = kill_process(pid, signal);
    }
}

fn kill_group(pid: u32) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
