//! What a process says, line by line, from both of its pipes and in the order of its coming.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// Lines that are kept; the oldest go first.
const LINES_KEPT: usize = 2000;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pipe {
    Stdout,
    Stderr,
}

/// What one process said.
#[derive(Debug, Default)]
pub(super) struct Said {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<(Pipe, String)>,
    open_pipes: u8,
    panics: u64,
}

impl Said {
    /// Reads a pipe to its end, on a thread of its own.
    pub(super) fn follow(self: &Arc<Self>, of: Pipe, pipe: Option<impl Read + Send + 'static>) {
        let Some(pipe) = pipe else { return };
        let said = Arc::clone(self);
        said.lines.lock().expect("the lines").open_pipes += 1;
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let mut lines = said.lines.lock().expect("the lines");
                if lines.kept.len() == LINES_KEPT {
                    lines.kept.pop_front();
                }
                let line = String::from_utf8_lossy(&line).into_owned();
                lines.panics += u64::from(line.contains("panicked at"));
                lines.kept.push_back((of, line));
                said.more.notify_all();
            }
            said.lines.lock().expect("the lines").open_pipes -= 1;
            said.more.notify_all();
        });
    }

    /// Waits until some line gives what is looked for, or the process has closed its pipes.
    pub(super) fn wait_for<T>(
        &self,
        deadline: Duration,
        look: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let lines = self.lines.lock().expect("the lines");
        let found = |lines: &Lines| lines.kept.iter().find_map(|(_, line)| look(line));
        let (lines, _) = self
            .more
            .wait_timeout_while(lines, deadline, |lines| {
                lines.open_pipes > 0 && found(lines).is_none()
            })
            .expect("the lines");
        found(&lines)
    }

    /// Lines that tell of a panic, also of those that are not kept any more.
    pub(super) fn panics(&self) -> u64 {
        self.lines.lock().expect("the lines").panics
    }

    /// The lines of one pipe.
    pub(super) fn lines(&self, of: Pipe) -> Vec<String> {
        let lines = self.lines.lock().expect("the lines");
        let of_pipe = lines.kept.iter().filter(|(pipe, _)| *pipe == of);
        of_pipe.map(|(_, line)| line.clone()).collect()
    }

    /// All lines, each with `name` before it.
    pub(super) fn text(&self, name: &str) -> String {
        let lines = self.lines.lock().expect("the lines");
        lines
            .kept
            .iter()
            .fold(String::new(), |mut text, (_, line)| {
                let _ = writeln!(text, "{name}: {line}");
                text
            })
    }
}
