//! Pseudo-versions: versions that `go` makes for commits without a tag, such as `v0.0.0-20060102150405-abcdef123456`.
//!
//! The five forms are those of golang.org/x/mod/module/pseudo.go. Only reading is here; `go` is the one who makes them.

use super::semver;

/// Whether `version` has the form of a pseudo-version (`module.IsPseudoVersion`). Its time may still be no time.
pub(super) fn is_pseudo(version: &str) -> bool {
    timestamp(version).is_some()
}

/// The commit time in a pseudo-version as RFC 3339 in UTC, `2006-01-02T15:04:05Z`; nothing when `version` is no
/// pseudo-version or its 14 digits are no time (`module.PseudoVersionTime`).
pub(super) fn time(version: &str) -> Option<String> {
    let digits = timestamp(version)?;
    let (year, month, day) = (&digits[..4], &digits[4..6], &digits[6..8]);
    let (hour, minute, second) = (&digits[8..10], &digits[10..12], &digits[12..]);
    let value = |digits: &str| digits.parse::<u16>().ok();
    let holds = (1..=days_in_month(value(year)?, value(month)?)).contains(&value(day)?)
        && value(hour)? < 24
        && value(minute)? < 60
        && value(second)? < 60;
    holds.then(|| format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// The 14 digits of a pseudo-version's time.
///
/// With the prerelease taken apart at its last dash into what holds the time and a commit, the time stands alone after
/// `vX.0.0-`, or after a `0` that is an identifier of its own.
fn timestamp(version: &str) -> Option<&str> {
    const DIGITS: usize = 14;
    let parts = semver::parse(version)?;
    let (timed, commit) = parts.prerelease.strip_prefix('-')?.rsplit_once('-')?;
    let (base, digits) = timed.split_at_checked(timed.len().checked_sub(DIGITS)?)?;
    let first = base.is_empty() && parts.minor == "0" && parts.patch == "0";
    let after_tag = base == "0." || base.ends_with(".0.");
    let holds = (first || after_tag)
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !commit.is_empty()
        && commit.bytes().all(|byte| byte.is_ascii_alphanumeric());
    holds.then_some(digits)
}

/// Days of a month in the Gregorian calendar, 0 for what is no month.
fn days_in_month(year: u16, month: u16) -> u16 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 0,
    }
}
