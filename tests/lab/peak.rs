//! The most memory that a process had of its own while something went on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use harness::TestHost;

/// Looks at a process's anonymous memory (`RssAnon`, which pages of files are not part of) a hundred times a second.
#[derive(Debug)]
pub(crate) struct Peak {
    bytes: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peak {
    pub(crate) fn of(host: &TestHost) -> Self {
        let (bytes, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (seen, stop, status) = (
            Arc::clone(&bytes),
            Arc::clone(&over),
            format!("/proc/{}/status", host.pid()),
        );
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if let Some(now) = anonymous_bytes(&status) {
                    seen.fetch_max(now, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self {
            bytes,
            over,
            thread: Some(thread),
        }
    }

    /// The most that was seen, in MB.
    pub(crate) fn megabytes(mut self) -> f64 {
        self.end();
        self.bytes.load(Ordering::Relaxed) as f64 / 1e6
    }

    fn end(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.end();
    }
}

fn anonymous_bytes(status: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}
