//! The budget for bytes between sites, and the small file in the state folder by which it outlives a restart: a daemon that is started
//! for each build, or every morning, would else begin anew each time.
//!
//! The file says how many bytes passed in which hour since 1970, by this host's clock, in lines of `HOUR BYTES`. One that cannot be read
//! is none, and says so. Hours that a wrong clock puts into the future count as this one.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use modmesh_protocol::rate::{BUDGET_HOURS, Budget};

use super::lock;
use crate::state::write_whole;

/// How often it is looked whether there is something to be written: what passed since then is lost to a crash.
const WRITTEN_EVERY: Duration = Duration::from_secs(5);
/// Bytes of the file: several times what the hours of a day take.
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// The clock of the budget begins so late that there are hours before the start.
const BEFORE: Duration = Duration::from_secs(BUDGET_HOURS * 3600);

/// A budget that outlives a restart.
#[derive(Debug)]
pub(super) struct Ledger {
    budget: Mutex<Budget>,
    began: Instant,
    file: PathBuf,
    written: Mutex<String>,
}

impl Ledger {
    /// Of so many bytes in 24 hours, less what the file says to have passed. Blocks shortly.
    pub(super) fn open(bytes_a_day: u64, file: PathBuf) -> Self {
        let text = match read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "what passed between sites before is not known; the budget begins anew");
                String::new()
            }
        };
        let mut budget = Budget::new(bytes_a_day);
        let now_hour = unix_hour();
        for line in text.lines() {
            let parsed = line.split_once(' ');
            let parsed =
                parsed.and_then(|(hour, bytes)| Some((hour.parse().ok()?, bytes.parse().ok()?)));
            let Some((hour, bytes)) = parsed else {
                tracing::warn!(file = %file.display(), "a line of what passed between sites cannot be read");
                continue;
            };
            // It may have been at the end of that hour.
            let hours_ago = now_hour.saturating_sub(hour).saturating_sub(1);
            budget.took_before(BEFORE, hours_ago, bytes);
        }
        Self {
            budget: Mutex::new(budget),
            began: Instant::now(),
            file,
            written: Mutex::new(text),
        }
    }

    pub(super) fn bytes_a_day(&self) -> u64 {
        lock(&self.budget).bytes_a_day()
    }

    /// Bytes that may pass now.
    pub(super) fn left(&self) -> u64 {
        lock(&self.budget).left(self.now())
    }

    /// Takes `bytes` when all of them are there.
    pub(super) fn reserve(&self, bytes: u64) -> bool {
        lock(&self.budget).reserve(self.now(), bytes)
    }

    /// Takes `bytes` that passed.
    pub(super) fn take(&self, bytes: u64) {
        lock(&self.budget).take(self.now(), bytes);
    }

    /// Gives `bytes` back that were reserved and did not pass.
    pub(super) fn give_back(&self, bytes: u64) {
        lock(&self.budget).give_back(self.now(), bytes);
    }

    /// Writes it down, if anything has passed since the last time. Blocks.
    pub(super) fn write(&self) {
        let taken = lock(&self.budget).taken(self.now());
        let now_hour = unix_hour();
        let lines = taken.into_iter().map(|(hours_ago, bytes)| {
            let hour = now_hour.saturating_sub(hours_ago);
            format!("{hour} {bytes}\n")
        });
        let text: String = lines.collect();
        let mut written = lock(&self.written);
        if *written == text {
            return;
        }
        match write_whole(&self.file, text.as_bytes()) {
            Ok(()) => *written = text,
            Err(error) => {
                tracing::debug!(%error, file = %self.file.display(), "what passed between sites is not written down");
            }
        }
    }

    fn now(&self) -> Duration {
        BEFORE + self.began.elapsed()
    }
}

/// Writes the ledger down now and then, for as long as there is one.
pub(super) async fn keep(ledger: Weak<Ledger>) {
    loop {
        tokio::time::sleep(WRITTEN_EVERY).await;
        let Some(ledger) = ledger.upgrade() else {
            return;
        };
        let writing = tokio::task::spawn_blocking(move || ledger.write());
        // A crash there is told by the runtime, and costs what is written the next time.
        let _crashed = writing.await;
    }
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let opened = std::fs::File::open(file)?;
    opened.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn unix_hour() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs() / 3600)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_passed_is_known_after_a_restart_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site-budget");
        let ledger = Ledger::open(1000, file.clone());
        assert!(ledger.reserve(600));
        ledger.take(50);
        ledger.give_back(100);
        ledger.write();
        let ledger = Ledger::open(1000, file.clone());
        assert_eq!(ledger.left(), 450);
        assert!(ledger.reserve(50));
        ledger.write();
        drop(ledger);
        assert_eq!(Ledger::open(1000, file.clone()).left(), 400);
        // Another budget, and the same hours.
        assert_eq!(Ledger::open(500, file.clone()).left(), 0);
        let old = unix_hour() - BUDGET_HOURS - 1;
        std::fs::write(&file, format!("{old} 600\n{} 300\n", old + 3)).unwrap();
        assert_eq!(Ledger::open(1000, file).left(), 700);
    }

    #[test]
    fn a_file_that_is_damaged_or_from_the_future_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site-budget");
        for (text, left) in [
            ("", 1000),
            ("nonsense\n\n-1 5\n5 -1\n", 1000),
            ("18446744073709551615 300\n", 700),
            (&format!("{} {}\n", unix_hour(), u64::MAX), 0),
            (&"9 9\n".repeat(10_000), 1000),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(Ledger::open(1000, file.clone()).left(), left, "{left}");
        }
        std::fs::write(&file, [0xff, 0xfe]).unwrap();
        assert_eq!(Ledger::open(1000, file).left(), 1000);
    }
}
