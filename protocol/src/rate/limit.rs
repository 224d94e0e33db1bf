//! A limit as people write it: a rate, or one with exceptions by the hours of the week.
//!
//! `none, 5Mbit/s mon-fri 08:00-18:00, 1MiB/s sat 22:00-06:00`: what holds otherwise, then the exceptions, of which the first that
//! contains a minute holds in it.

use std::fmt;

use super::hours::{self, Hours};
use super::{Minute, Rate, parse_rate};

/// Exceptions that a limit may have: two for each day of the week, and two more.
pub const EXCEPTIONS_MAX: usize = 16;

/// How an exception is written, for refusals.
const WRITTEN: &str = "an exception is a rate or none, then days (mon, tue, wed, thu, fri, sat, sun) where it is not every day, then hours: 5Mbit/s mon-fri 08:00-18:00";

/// A limit by the hours of the week; that of [`Default`] never limits anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limit {
    otherwise: Option<Rate>,
    /// At most [`EXCEPTIONS_MAX`].
    exceptions: Vec<Exception>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Exception {
    rate: Option<Rate>,
    hours: Hours,
}

impl Limit {
    /// The rate that holds in this minute; nothing where there is none.
    pub fn at(&self, minute: Minute) -> Option<Rate> {
        let mut exceptions = self.exceptions.iter();
        let exception = exceptions.find(|exception| exception.hours.contain(minute));
        exception.map_or(self.otherwise, |exception| exception.rate)
    }

    /// The next minute after this one in which another rate holds; nothing where the same always does.
    pub fn changes_after(&self, minute: Minute) -> Option<Minute> {
        let now = self.at(minute);
        let edges = self.exceptions.iter().flat_map(|one| one.hours.edges());
        let changes = edges.filter(|edge| self.at(*edge) != now);
        changes.min_by_key(|change| minute.until(*change))
    }

    /// Whether what holds depends on the hour.
    pub fn is_by_hours(&self) -> bool {
        !self.exceptions.is_empty()
    }

    /// Whether nothing is limited at any time.
    pub fn is_none(&self) -> bool {
        self.otherwise.is_none() && self.exceptions.iter().all(|one| one.rate.is_none())
    }
}

/// The same rate at all times.
impl From<Option<Rate>> for Limit {
    fn from(rate: Option<Rate>) -> Self {
        Self {
            otherwise: rate,
            exceptions: Vec::new(),
        }
    }
}

/// As [`parse_limit`] reads it.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", OrNone(self.otherwise))?;
        let mut exceptions = self.exceptions.iter();
        exceptions.try_for_each(|one| write!(f, ", {} {}", OrNone(one.rate), one.hours))
    }
}

struct OrNone(Option<Rate>);

impl fmt::Display for OrNone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(rate) => rate.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// Reads a limit: a rate or `none`, and up to [`EXCEPTIONS_MAX`] exceptions after commas, each a rate or `none`, the days on which it
/// holds (none for every day), and its hours. Hours that end before they begin run past midnight.
///
/// # Errors
/// What is wrong and what would be right, as one line.
pub fn parse_limit(text: &str) -> Result<Limit, String> {
    let mut items = text.split(',').map(str::trim);
    let first = items.next().unwrap_or_default();
    if first
        .split_whitespace()
        .last()
        .is_some_and(looks_like_hours)
    {
        return Err(format!(
            "{first:?}: what holds at all other hours comes first, such as in: none, 5Mbit/s mon-fri 08:00-18:00"
        ));
    }
    let otherwise = rate_or_none(first)?;
    let mut exceptions = Vec::new();
    for item in items {
        if exceptions.len() == EXCEPTIONS_MAX {
            return Err(format!("a limit has {EXCEPTIONS_MAX} exceptions at most"));
        }
        let exception = exception(item);
        exceptions.push(exception.map_err(|fault| format!("{item:?}: {fault}; {WRITTEN}"))?);
    }
    Ok(Limit {
        otherwise,
        exceptions,
    })
}

fn exception(item: &str) -> Result<Exception, String> {
    let words: Vec<_> = item.split_whitespace().collect();
    let (first, others, last) = match words.as_slice() {
        [first, others @ .., last] if looks_like_hours(last) => (first, others, last),
        [.., last] if looks_like_hours(last) => return Err("a rate is missing".to_owned()),
        _ => return Err("hours are missing at its end".to_owned()),
    };
    // A rate may stand apart from its unit.
    let is_number = first.bytes().all(|byte| byte.is_ascii_digit());
    let (rate, days) = match others {
        [unit, days @ ..] if is_number && !hours::is_day(unit) => (format!("{first} {unit}"), days),
        days => ((*first).to_owned(), days),
    };
    Ok(Exception {
        rate: rate_or_none(&rate)?,
        hours: Hours::parse(days, last)?,
    })
}

fn rate_or_none(text: &str) -> Result<Option<Rate>, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    parse_rate(text)
        .map(Some)
        .map_err(|fault| format!("{fault}; or none for no limit"))
}

/// No rate and no day has a colon.
fn looks_like_hours(word: &str) -> bool {
    word.contains(':')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::hours::{DAY_MINUTES, WEEK_MINUTES};
    use super::*;
    use proptest::prelude::*;

    const WORK: &str = "none, 5Mbit/s mon-fri 08:00-18:00, 1MiB/s sat 22:00-06:00";

    fn limit(text: &str) -> Limit {
        parse_limit(text).unwrap()
    }

    fn at(day: u8, hour: u16, minute: u16) -> Minute {
        Minute::new(day, hour * 60 + minute)
    }

    fn bytes(rate: Option<Rate>) -> u64 {
        rate.map_or(0, Rate::bytes_per_second)
    }

    #[test]
    fn a_rate_alone_always_holds() {
        for (text, bytes_per_second) in [("none", 0), (" None ", 0), ("2 MiB/s", 2 << 20)] {
            let limit = limit(text);
            assert!(!limit.is_by_hours());
            assert_eq!(limit.is_none(), bytes_per_second == 0);
            assert_eq!(bytes(limit.at(at(3, 12, 0))), bytes_per_second);
            assert_eq!(limit.changes_after(at(3, 12, 0)), None);
        }
        assert_eq!(Limit::default(), limit("none"));
        assert_eq!(Limit::from(Rate::new(2 << 20)), limit("2MiB/s"));
    }

    #[test]
    fn an_exception_holds_in_its_hours_and_the_rest_holds_otherwise() {
        let limit = limit(WORK);
        assert!(limit.is_by_hours() && !limit.is_none());
        for (minute, rate, changes) in [
            (at(0, 7, 59), 0, at(0, 8, 0)),
            (at(0, 8, 0), 625_000, at(0, 18, 0)),
            (at(4, 17, 59), 625_000, at(4, 18, 0)),
            (at(4, 18, 0), 0, at(5, 22, 0)),
            (at(5, 22, 0), 1 << 20, at(6, 6, 0)),
            (at(6, 5, 59), 1 << 20, at(6, 6, 0)),
            (at(6, 6, 0), 0, at(0, 8, 0)),
        ] {
            assert_eq!(bytes(limit.at(minute)), rate, "{minute}");
            assert_eq!(limit.changes_after(minute), Some(changes), "{minute}");
        }
    }

    #[test]
    fn the_first_exception_that_matches_wins() {
        let limit =
            limit("1MiB/s, none sun 00:00-24:00, 2MiB/s 12:00-13:00, 3MiB/s mon 12:30-14:00");
        assert_eq!(bytes(limit.at(at(6, 12, 30))), 0);
        assert_eq!(bytes(limit.at(at(0, 12, 30))), 2 << 20);
        assert_eq!(bytes(limit.at(at(0, 13, 0))), 3 << 20);
        assert_eq!(bytes(limit.at(at(1, 13, 0))), 1 << 20);
        // A beginning at which nothing changes is no change.
        assert_eq!(limit.changes_after(at(0, 12, 15)), Some(at(0, 13, 0)));
    }

    #[test]
    fn what_is_the_same_at_all_hours_never_changes() {
        for text in [
            "none, 64KiB/s 00:00-24:00",
            "1MiB/s, 1048576 mon 08:00-18:00",
            "none, none 08:00-18:00",
            "none, 1MiB/s mon-sat 06:00-06:01, 1MiB/s 06:01-06:00, 1MiB/s 06:00-06:01",
        ] {
            let limit = limit(text);
            for minute in (0..WEEK_MINUTES).step_by(7) {
                assert_eq!(limit.changes_after(Minute::new(0, minute)), None, "{text}");
            }
        }
        assert_eq!(
            bytes(limit("none, 64KiB/s 00:00-24:00").at(at(6, 23, 59))),
            65_536
        );
        assert!(limit("none, none 08:00-18:00").is_none());
    }

    #[test]
    fn a_limit_is_told_as_it_would_be_read() {
        for (text, told) in [
            (WORK, WORK),
            (
                "NONE,2 mib SAT sun 09:00-10:00",
                "none, 2MiB/s sat-sun 09:00-10:00",
            ),
            ("65537, none 22:00-00:00", "65537B/s, none 22:00-24:00"),
            ("500kB", "4Mbit/s"),
            (
                "100 kB/s, 70000 tue 00:00-12:00",
                "100kB/s, 70kB/s tue 00:00-12:00",
            ),
        ] {
            assert_eq!(limit(text).to_string(), told);
        }
    }

    #[test]
    fn what_is_no_limit_is_refused_with_what_would_be_one() {
        for (text, words) in [
            ("", ["a rate is expected", "none for no limit"]),
            ("0", ["below 64KiB/s", "none for no limit"]),
            (
                "5Mbit/s mon-fri 08:00-18:00",
                ["comes first", "none, 5Mbit/s"],
            ),
            ("08:00-18:00", ["comes first", "none, 5Mbit/s"]),
            ("none,", ["hours are missing", WRITTEN]),
            ("none, 5Mbit/s", ["hours are missing", WRITTEN]),
            ("none, 5Mbit/s mon-fri", ["hours are missing", WRITTEN]),
            ("none, 08:00-18:00", ["a rate is missing", WRITTEN]),
            (
                "none, mon-fri 08:00-18:00",
                ["\"mon-fri\": a rate is expected", WRITTEN],
            ),
            ("none, 5Mb/s 08:00-18:00", ["bits or bytes", WRITTEN]),
            ("none, 5 Mb/s 08:00-18:00", ["bits or bytes", WRITTEN]),
            ("none, 5 mon 08:00-18:00", ["below 64KiB/s", WRITTEN]),
            (
                "none, 5Mbit/s mond 08:00-18:00",
                ["\"mond\" is no day", WRITTEN],
            ),
            (
                "none, 5Mbit/s 08:00-18:00 20:00-22:00",
                ["\"08:00-18:00\" is no day", WRITTEN],
            ),
            (
                "none, 5Mbit/s 8:00-18:00",
                ["\"8:00-18:00\" are no hours", WRITTEN],
            ),
            (
                "none, 5Mbit/s 18:00-18:00",
                ["00:00-24:00 for all hours", WRITTEN],
            ),
            (
                "none, 5Mbit/s 08:00-18:00, fast",
                ["\"fast\": hours are missing", WRITTEN],
            ),
        ] {
            let refusal = parse_limit(text).unwrap_err();
            for word in words {
                assert!(refusal.contains(word), "{text}: {refusal}");
            }
        }
        let exception = ", none 08:00-18:00";
        let most = format!("none{}", exception.repeat(EXCEPTIONS_MAX));
        assert!(parse_limit(&most).is_ok());
        let refusal = parse_limit(&format!("{most}{exception}")).unwrap_err();
        assert_eq!(refusal, "a limit has 16 exceptions at most");
    }

    fn rate() -> impl Strategy<Value = Option<Rate>> {
        prop_oneof![
            Just(None),
            (1_u64..4).prop_map(|mebibytes| Rate::new(mebibytes << 20)),
            (Rate::LEAST..).prop_map(Rate::new),
        ]
    }

    prop_compose! {
        fn written()(
            rate in rate(),
            days in prop::collection::vec((0_usize..7, 0_usize..7), 0..3),
            begins in 0..DAY_MINUTES,
            lasts in 1..=DAY_MINUTES,
        ) -> String {
            const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
            let days: String = days.iter().map(|(from, to)| format!("{}-{} ", NAMES[*from], NAMES[*to])).collect();
            let ends = match begins + lasts {
                ends if ends > DAY_MINUTES => ends - DAY_MINUTES,
                ends => ends,
            };
            // From noon to noon would end as it begins.
            let (begins, ends) = if begins == ends { (0, DAY_MINUTES) } else { (begins, ends) };
            let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
            format!("{} {days}{}-{}", OrNone(rate), time(begins), time(ends))
        }
    }

    prop_compose! {
        fn any_limit()(
            otherwise in rate(),
            exceptions in prop::collection::vec(written(), 0..=EXCEPTIONS_MAX),
        ) -> Limit {
            let exceptions: String = exceptions.iter().map(|one| format!(", {one}")).collect();
            limit(&format!("{}{exceptions}", OrNone(otherwise)))
        }
    }

    proptest! {
        #[test]
        fn what_is_told_reads_back(limit in any_limit()) {
            prop_assert_eq!(parse_limit(&limit.to_string()), Ok(limit));
        }

        #[test]
        fn it_changes_when_it_says_and_not_before(limit in any_limit(), minute in 0..WEEK_MINUTES) {
            let now = Minute::new(0, minute);
            let later = (1..WEEK_MINUTES).map(|later| Minute::new(0, (minute + later) % WEEK_MINUTES));
            let change = later.into_iter().find(|later| limit.at(*later) != limit.at(now));
            prop_assert_eq!(limit.changes_after(now), change);
        }

        #[test]
        fn one_exception_holds_as_long_as_its_hours_on_each_of_its_days(
            day in 0_usize..7, begins in 0..DAY_MINUTES, ends in 0..=DAY_MINUTES,
        ) {
            prop_assume!(begins != ends);
            const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
            let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
            let limit = limit(&format!("none, 1MiB/s {} {}-{}", NAMES[day], time(begins), time(ends)));
            let lasts = if ends > begins { ends - begins } else { ends + DAY_MINUTES - begins };
            let begins = day as u16 * DAY_MINUTES + begins;
            for after in 0..WEEK_MINUTES {
                let minute = Minute::new(0, (begins + after) % WEEK_MINUTES);
                prop_assert_eq!(limit.at(minute).is_some(), after < lasts);
            }
        }
    }
}
