//! The budget for bytes between sites, and the small file in the state folder by which it outlives a restart: a daemon that is started
//! for each build, or every morning, would else begin anew each time.
//!
//! The file says how many bytes passed in which hour since 1970, by this host's clock, in lines of `HOUR BYTES`. One that cannot be read
//! is none, and says so. Hours that a wrong clock puts into the future count as this one.
//!
//! The budget's hours are those of the file: both turn at the same moment. So what passed in an hour is as old after a restart as before,
//! and is free again when that hour is a day past, however often the daemon was started since.

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
const HOUR_SECONDS: u64 = 3600;
/// The clock of the budget begins so late that there are hours before the start.
const BEFORE: Duration = Duration::from_secs(BUDGET_HOURS * HOUR_SECONDS);

/// A budget that outlives a restart.
#[derive(Debug)]
pub(super) struct Ledger {
    budget: Mutex<Budget>,
    began: Instant,
    /// When that was, since 1970, by this host's clock.
    began_at: Duration,
    file: PathBuf,
    written: Mutex<String>,
}

impl Ledger {
    /// Of so many bytes in 24 hours, less what the file says to have passed. Blocks shortly.
    pub(super) fn open(bytes_a_day: u64, file: PathBuf) -> Self {
        Self::open_at(bytes_a_day, file, since_1970())
    }

    /// As [`Ledger::open`], at this moment by this host's clock.
    fn open_at(bytes_a_day: u64, file: PathBuf, now: Duration) -> Self {
        let text = match read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "what passed between sites before is not known; the budget begins anew");
                String::new()
            }
        };
        let mut budget = Budget::new(bytes_a_day);
        let now_hour = hour_of(now);
        for line in text.lines() {
            let parsed = line.split_once(' ');
            let parsed =
                parsed.and_then(|(hour, bytes)| Some((hour.parse().ok()?, bytes.parse().ok()?)));
            let Some((hour, bytes)) = parsed else {
                tracing::warn!(file = %file.display(), "a line of what passed between sites cannot be read");
                continue;
            };
            budget.took_before(BEFORE, now_hour.saturating_sub(hour), bytes);
        }
        Self {
            budget: Mutex::new(budget),
            began: Instant::now(),
            began_at: now,
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
        self.write_at(since_1970());
    }

    /// As [`Ledger::write`], at this moment by this host's clock.
    fn write_at(&self, wall: Duration) {
        let now = self.now();
        let taken = lock(&self.budget).taken(now);
        let this_hour = self.hour_in_file(now, wall);
        let lines = taken.into_iter().map(|(hours_ago, bytes)| {
            let hour = this_hour.saturating_sub(hours_ago);
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

    /// The budget's clock, which nobody sets: it begins as far inside an hour as this host's does.
    fn now(&self) -> Duration {
        let into_hour = self.began_at.saturating_sub(hours(hour_of(self.began_at)));
        BEFORE + into_hour + self.began.elapsed()
    }

    /// What the file calls the hour that runs at `now` of the budget's clock, when this host's says `wall`.
    fn hour_in_file(&self, now: Duration, wall: Duration) -> u64 {
        let passed = hour_of(now).saturating_sub(BUDGET_HOURS);
        let counted = hour_of(self.began_at).saturating_add(passed);
        match hour_of(wall) {
            same if same == counted => same,
            // The clock was set, or the machine slept: its hours turn at other moments now, and nothing may be free too early.
            other => other.saturating_add(1),
        }
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

/// By this host's clock; nothing before that.
fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

fn hour_of(clock: Duration) -> u64 {
    clock.as_secs() / HOUR_SECONDS
}

fn hours(count: u64) -> Duration {
    Duration::from_secs(count.saturating_mul(HOUR_SECONDS))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Any hour, far enough from 1970.
    const HOUR: u64 = 500_000;

    fn unix_hour() -> u64 {
        hour_of(since_1970())
    }

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(count * 60)
    }

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
    #[test]
    fn restarts_make_no_hour_younger() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site-budget");
        let now = hours(HOUR) + minutes(30);
        std::fs::write(&file, format!("{} 300\n", HOUR - 10)).unwrap();
        for restart in 1..=5 {
            let ledger = Ledger::open_at(1000, file.clone(), now);
            ledger.take(1);
            ledger.write_at(now);
            let text = std::fs::read_to_string(&file).unwrap();
            assert_eq!(text, format!("{HOUR} {restart}\n{} 300\n", HOUR - 10));
        }
    }

    #[test]
    fn what_passed_is_free_a_day_later_over_many_restarts_and_not_before() {
        for minute in [1, 30, 58] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("site-budget");
            let ledger = Ledger::open_at(1000, file.clone(), hours(HOUR) + minutes(minute));
            assert!(ledger.reserve(600));
            ledger.write_at(hours(HOUR) + minutes(minute));
            // Twice in each hour, until the last one that counts is nearly over.
            for half in 2..2 * BUDGET_HOURS {
                let now = hours(HOUR) + minutes(30 * half + 1);
                let ledger = Ledger::open_at(1000, file.clone(), now);
                assert_eq!(ledger.left(), 400 - (half - 2), "{half}");
                ledger.take(1);
                ledger.write_at(now);
            }
            let now = hours(HOUR + BUDGET_HOURS);
            let ones = 2 * BUDGET_HOURS - 2;
            assert_eq!(Ledger::open_at(1000, file, now).left(), 1000 - ones);
        }
    }

    #[test]
    fn a_clock_that_is_set_frees_nothing_too_early() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site-budget");
        let now = hours(HOUR) + minutes(30);
        for (set_to, in_file) in [
            (now, HOUR),
            // Back, forward, and before 1970.
            (hours(HOUR - 9), HOUR - 8),
            (hours(HOUR + 9), HOUR + 10),
            (Duration::ZERO, 1),
        ] {
            std::fs::write(&file, "").unwrap();
            let ledger = Ledger::open_at(1000, file.clone(), now);
            ledger.take(300);
            ledger.write_at(set_to);
            let text = std::fs::read_to_string(&file).unwrap();
            assert_eq!(text, format!("{in_file} 300\n"));
            let next = Ledger::open_at(1000, file.clone(), set_to + hours(24));
            assert_eq!(next.left(), 700, "{in_file}");
            // By the same clock, it is free an hour later than else at most.
            let next = Ledger::open_at(1000, file.clone(), set_to + hours(BUDGET_HOURS + 1));
            assert_eq!(next.left(), 1000, "{in_file}");
        }
    }
}
