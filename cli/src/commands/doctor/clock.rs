//! Is the clock sane? A wrong one never stops modmesh, but certificates look expired or not yet valid by it.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modmesh_protocol::control::rfc3339;

use super::finding::Finding;

/// No clock of a host that runs this release is before it: 2026-01-01.
const EARLIEST_UNIX_SECONDS: u64 = 1_767_225_600;
/// Thirty years later: nobody's certificate is valid there.
const LATEST_UNIX_SECONDS: u64 = EARLIEST_UNIX_SECONDS + 30 * 365 * 86_400;
/// Files that are newer than now by more than this were written by another clock.
const AHEAD_MAX: Duration = Duration::from_secs(86_400);

/// When the state folder was last written, by its files.
pub(super) fn last_written(state_dir: &Path) -> Option<SystemTime> {
    ["lock", "session", "format", "index"]
        .into_iter()
        .filter_map(|name| {
            std::fs::metadata(state_dir.join(name))
                .ok()?
                .modified()
                .ok()
        })
        .max()
}

pub(super) fn judge(now: SystemTime, last_written: Option<SystemTime>) -> Finding {
    const CHECK: &str = "clock";
    const REMEDY: &str = "set it, by NTP for example: certificates are judged by it";
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let shown = rfc3339(seconds);
    if !(EARLIEST_UNIX_SECONDS..LATEST_UNIX_SECONDS).contains(&seconds) {
        return Finding::problem(CHECK, format!("it says {shown}"), REMEDY);
    }
    let ahead = last_written.and_then(|written| written.duration_since(now).ok());
    match ahead.is_some_and(|ahead| ahead > AHEAD_MAX) {
        true => Finding::warning(
            CHECK,
            format!("it says {shown}, but the state folder was written later than that"),
            REMEDY,
        ),
        false => Finding::ok(CHECK, format!("it says {shown}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_clock_is_judged_by_its_year_and_by_what_was_written_before() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let day = 86_400;
        let now = EARLIEST_UNIX_SECONDS + 400 * day;
        for (now, written, level) in [
            (now, None, Level::Ok),
            (now, Some(now - day), Level::Ok),
            (now, Some(now + day / 2), Level::Ok),
            (now, Some(now + 2 * day), Level::Warning),
            (0, None, Level::Problem),
            (EARLIEST_UNIX_SECONDS - 1, None, Level::Problem),
            (LATEST_UNIX_SECONDS, None, Level::Problem),
        ] {
            assert_eq!(
                judge(at(now), written.map(at)).level,
                level,
                "{now} {written:?}"
            );
        }
        assert_eq!(
            judge(UNIX_EPOCH - Duration::from_secs(1), None).level,
            Level::Problem
        );
    }
}
