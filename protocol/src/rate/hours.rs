//! Hours of the week, as people write them: `mon-fri 08:00-18:00`, `sat 22:00-06:00`.
//!
//! The week is a circle of minutes by the wall clock of a place, and begins on Monday. Which minute it is must be asked again and again:
//! where the clock is put forward or back, minutes are left out or come twice, and nobody here knows when.

use std::fmt;

/// Minutes of a day.
pub const DAY_MINUTES: u16 = 24 * 60;
/// Minutes of a week.
pub const WEEK_MINUTES: u16 = 7 * DAY_MINUTES;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A minute of the week, below [`WEEK_MINUTES`]; the first is that of midnight at the beginning of Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Minute(u16);

/// A span of time on some days of every week; never empty, and at most a day long from each beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hours {
    days: Days,
    /// The minute of the day.
    begins: u16,
    /// Minutes, from 1 to [`DAY_MINUTES`]; what is past midnight belongs to the day on which it began.
    lasts: u16,
}

/// At least one day: Monday is the lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Days(u8);

impl Minute {
    /// The minute of a day, both counted from 0; the day after Sunday is Monday.
    pub const fn new(days_after_monday: u8, minute_of_day: u16) -> Self {
        let day = days_after_monday as u32 * DAY_MINUTES as u32;
        Self::round(day + minute_of_day as u32)
    }

    /// How many minutes after this one `later` comes, less than a week.
    pub fn until(self, later: Self) -> u16 {
        let week = u32::from(WEEK_MINUTES);
        Self::round(week + u32::from(later.0) - u32::from(self.0)).0
    }

    fn after(self, minutes: u16) -> Self {
        Self::round(u32::from(self.0) + u32::from(minutes))
    }

    const fn round(minutes: u32) -> Self {
        Self((minutes % WEEK_MINUTES as u32) as u16)
    }
}

impl Hours {
    /// Reads days, of which there may be none for every day, and hours.
    ///
    /// # Errors
    /// Which word is wrong, and why.
    pub(super) fn parse(days: &[&str], hours: &str) -> Result<Self, String> {
        let days = match days {
            [] => Days::ALL,
            some => some.iter().try_fold(Days(0), |all, word| {
                let more = Days::parse(word).ok_or_else(|| format!("{word:?} is no day"))?;
                Ok::<_, String>(Days(all.0 | more.0))
            })?,
        };
        let times = hours.split_once('-').and_then(|(begins, ends)| {
            let begins = minute_of_day(begins).filter(|begins| *begins < DAY_MINUTES)?;
            Some((begins, minute_of_day(ends)?))
        });
        let (begins, ends) = times.ok_or_else(|| format!("{hours:?} are no hours"))?;
        let lasts = match ends.checked_sub(begins) {
            Some(0) => {
                return Err(format!(
                    "{hours:?} ends as it begins; write 00:00-24:00 for all hours"
                ));
            }
            Some(lasts) => lasts,
            None => ends + DAY_MINUTES - begins,
        };
        Ok(Self {
            days,
            begins,
            lasts,
        })
    }

    /// Whether it is among them.
    pub(super) fn contain(&self, minute: Minute) -> bool {
        let mut beginnings = self.beginnings();
        beginnings.any(|begins| begins.until(minute) < self.lasts)
    }

    /// The minutes with which it begins or is over.
    pub(super) fn edges(&self) -> impl Iterator<Item = Minute> {
        let lasts = self.lasts;
        self.beginnings()
            .flat_map(move |begins| [begins, begins.after(lasts)])
    }

    fn beginnings(&self) -> impl Iterator<Item = Minute> {
        let begins = self.begins;
        self.days.each().map(move |day| Minute::new(day, begins))
    }
}

/// Whether a word is a day, or several.
pub(super) fn is_day(word: &str) -> bool {
    Days::parse(word).is_some()
}

impl Days {
    const ALL: Self = Self(0b111_1111);

    /// `sat`, or `fri-mon`, which goes round the end of the week.
    fn parse(word: &str) -> Option<Self> {
        let day = |name: &str| {
            let mut days = (0..7_u8).zip(DAYS);
            days.find_map(|(day, other)| name.eq_ignore_ascii_case(other).then_some(day))
        };
        let (first, last) = match word.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(word)?, day(word)?),
        };
        let more = (last + 7 - first) % 7;
        let days = (0..=more).map(|more| 1 << ((first + more) % 7));
        Some(Self(days.fold(0, |all, day: u8| all | day)))
    }

    fn each(self) -> impl Iterator<Item = u8> {
        (0..7).filter(move |day| self.has(*day))
    }

    fn has(self, day: u8) -> bool {
        self.0 & (1 << day) != 0
    }
}

/// `08:00`, up to `24:00`.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, most: u16| {
        let is_two_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_two_digits.then(|| text.parse::<u16>().ok()).flatten();
        number.filter(|number| *number <= most)
    };
    let minute = number(hour, 24)? * 60 + number(minute, 59)?;
    (minute <= DAY_MINUTES).then_some(minute)
}

/// A day and a time, such as `fri 18:00`.
impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = DAYS.get(usize::from(self.0 / DAY_MINUTES));
        let day = day.copied().unwrap_or_default();
        write!(f, "{day} {}", Time(self.0 % DAY_MINUTES))
    }
}

/// As [`Hours::parse`] reads them.
impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != Days::ALL {
            write!(f, "{} ", self.days)?;
        }
        let ends = match self.begins + self.lasts {
            ends if ends > DAY_MINUTES => ends - DAY_MINUTES,
            ends => ends,
        };
        write!(f, "{}-{}", Time(self.begins), Time(ends))
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut days: Vec<String> = Vec::new();
        let mut run: Option<u8> = None;
        for day in 0..=7_u8 {
            match (run, day < 7 && self.has(day)) {
                (None, true) => run = Some(day),
                (Some(first), false) => {
                    let name = |day: u8| DAYS.get(usize::from(day)).copied().unwrap_or_default();
                    days.push(match day - first {
                        1 => name(first).to_owned(),
                        _ => format!("{}-{}", name(first), name(day - 1)),
                    });
                    run = None;
                }
                _ => {}
            }
        }
        f.write_str(&days.join(" "))
    }
}

/// A minute of the day, as a clock shows it.
struct Time(u16);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hours(text: &str) -> Hours {
        let words: Vec<_> = text.split(' ').collect();
        let (hours, days) = words.split_last().unwrap();
        Hours::parse(days, hours).unwrap()
    }

    fn at(day: u8, hour: u16, minute: u16) -> Minute {
        Minute::new(day, hour * 60 + minute)
    }

    #[test]
    fn hours_hold_from_their_first_minute_until_before_their_last() {
        let work = hours("mon-fri 08:00-18:00");
        for day in 0..5 {
            assert!(!work.contain(at(day, 7, 59)));
            assert!(work.contain(at(day, 8, 0)) && work.contain(at(day, 17, 59)));
            assert!(!work.contain(at(day, 18, 0)));
        }
        assert!(!work.contain(at(5, 12, 0)) && !work.contain(at(6, 12, 0)));
    }

    #[test]
    fn what_runs_past_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = hours("sun 22:00-06:00");
        assert!(!night.contain(at(6, 5, 59)) && !night.contain(at(6, 21, 59)));
        assert!(night.contain(at(6, 22, 0)) && night.contain(at(6, 23, 59)));
        // The week has ended, the night has not.
        assert!(night.contain(at(0, 0, 0)) && night.contain(at(0, 5, 59)));
        assert!(!night.contain(at(0, 6, 0)));
    }

    #[test]
    fn a_day_is_as_long_as_it_is() {
        let all = hours("00:00-24:00");
        assert!((0..7).all(|day| all.contain(at(day, 0, 0)) && all.contain(at(day, 23, 59))));
        let tuesday = hours("tue 00:00-24:00");
        let minutes = (0..WEEK_MINUTES).filter(|minute| tuesday.contain(Minute(*minute)));
        assert_eq!(minutes.count(), usize::from(DAY_MINUTES));
        assert!(tuesday.contain(at(1, 0, 0)) && !tuesday.contain(at(2, 0, 0)));
    }

    #[test]
    fn days_are_single_or_from_one_to_another_round_the_week() {
        for (text, days, told) in [
            ("wed", 0b000_0100, "wed"),
            ("Mon-FRI", 0b001_1111, "mon-fri"),
            ("sat-sun", 0b110_0000, "sat-sun"),
            ("sun-mon", 0b100_0001, "mon sun"),
            ("fri-mon", 0b111_0001, "mon fri-sun"),
            ("tue-tue", 0b000_0010, "tue"),
            ("mon-sun", 0b111_1111, "mon-sun"),
            ("thu-wed", 0b111_1111, "mon-sun"),
        ] {
            let read = Days::parse(text).unwrap();
            assert_eq!(read, Days(days), "{text}");
            assert_eq!(read.to_string(), told);
        }
        let several = Hours::parse(&["mon", "wed-thu", "sun"], "08:00-09:00").unwrap();
        assert_eq!(several.to_string(), "mon wed-thu sun 08:00-09:00");
        for wrong in ["", "monday", "mon-", "-fri", "mon-fri-sun", "1", "mo"] {
            assert_eq!(Days::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_are_no_hours_is_refused() {
        for wrong in [
            "",
            "08:00",
            "8:00-18:00",
            "08-18",
            "08:00-18:60",
            "08:00-25:00",
            "08:00-24:01",
            "24:00-06:00",
            "08:00-18:00-20:00",
            "+8:00-18:00",
            "08:00–18:00",
            "-08:00",
            "0é:00-18:00",
        ] {
            let refusal = Hours::parse(&[], wrong).unwrap_err();
            assert!(refusal.contains("are no hours"), "{refusal}");
        }
        let refusal = Hours::parse(&[], "08:00-08:00").unwrap_err();
        assert!(refusal.contains("00:00-24:00"), "{refusal}");
        let refusal = Hours::parse(&["mond"], "08:00-18:00").unwrap_err();
        assert_eq!(refusal, "\"mond\" is no day");
        // Until midnight can be said in two ways.
        assert_eq!(hours("22:00-00:00"), hours("22:00-24:00"));
    }

    #[test]
    fn a_minute_is_told_as_a_clock_would() {
        assert_eq!(Minute::default().to_string(), "mon 00:00");
        assert_eq!(at(4, 18, 5).to_string(), "fri 18:05");
        assert_eq!(at(7, 1, 0), at(0, 1, 0));
        assert_eq!(at(6, 23, 0).until(at(0, 1, 0)), 120);
        assert_eq!(at(0, 1, 0).until(at(0, 1, 0)), 0);
        assert_eq!(at(0, 1, 0).until(at(0, 0, 59)), WEEK_MINUTES - 1);
    }
}
