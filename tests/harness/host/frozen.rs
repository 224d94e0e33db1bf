//! A host that is stopped where it stands: it runs no more, says nothing, and its connections are as they were.

use std::fs;
use std::thread;
use std::time::Instant;

use rustix::process::Signal;

use super::{LOOK_EVERY, PATIENCE, TestHost};
use crate::process;

/// As long as this is held, the host is stopped; it goes on when this is dropped, also where the test fails.
#[derive(Debug)]
#[must_use]
pub struct Frozen<'a>(&'a TestHost);

impl TestHost {
    /// Stops it as `kill -STOP` does, and returns when it stands still.
    ///
    /// # Panics
    /// When it does not run, or still moves after 30 s.
    #[track_caller]
    pub fn freeze(&self) -> Frozen<'_> {
        let frozen = Frozen(self);
        frozen.signal(Signal::STOP);
        let deadline = Instant::now() + PATIENCE;
        while !self.stands_still() {
            assert!(Instant::now() < deadline, "{} goes on", self.name());
            thread::sleep(LOOK_EVERY);
        }
        frozen
    }

    /// Whether all of its threads are stopped by a signal, from `/proc`.
    fn stands_still(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("its threads");
        threads.flatten().all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The second field is a name in brackets that may hold anything.
            let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
            state == Some(Some('T'))
        })
    }
}

impl Frozen<'_> {
    fn signal(&self, signal: Signal) {
        let child = self.0.child.as_ref().expect("a host that runs");
        process::signal(child, signal);
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
    }
}
