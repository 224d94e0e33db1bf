//! The settings of good manners: limits, sites and what goes between them, and what is done on battery and on a metered line.

use std::fmt;

use modmesh_protocol::limits::{NEIGHBOURS_MAX, NEIGHBOURS_MIN};
use modmesh_protocol::line::PLACES_MAX;
use modmesh_protocol::rate::{self, Limit};
use modmesh_protocol::site::Site;

use super::value::parse_size;

/// What is done on battery, or on a metered line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sending {
    /// The same as ever.
    Share,
    /// No large file is sent to neighbours.
    #[default]
    Pause,
}

impl Sending {
    /// Reads the word for it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "share" => Ok(Self::Share),
            "pause" => Ok(Self::Pause),
            _ => Err(format!("{text:?} is neither share nor pause")),
        }
    }
}

impl fmt::Display for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Share => "share",
            Self::Pause => "pause",
        })
    }
}

/// A limit, and the words in which it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Limited {
    pub(crate) limit: Limit,
    pub(crate) text: String,
}

/// Reads a limit: a rate or `none`, and exceptions by the hour.
pub(super) fn parse_limit(text: &str) -> Result<Limited, String> {
    let words: Vec<_> = text.split_whitespace().collect();
    Ok(Limited {
        limit: rate::parse_limit(text)?,
        text: words.join(" "),
    })
}

/// Reads the name of a site.
pub(super) fn parse_site(text: &str) -> Result<Option<Site>, String> {
    text.trim()
        .parse()
        .map(Some)
        .map_err(|fault| format!("{text:?}: {fault}"))
}

/// Reads a budget for a day: a size, or `none`.
pub(super) fn parse_budget(text: &str) -> Result<Option<u64>, String> {
    if text.trim().eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let bytes = parse_size(text);
    bytes.map(Some).ok_or_else(|| {
        format!(
            "{text:?}: a size is expected, for 24 hours; write 2GiB, 500MB or a number of bytes, 0 for nothing at all, or none for no limit"
        )
    })
}

/// Reads a cap on requests: a number from 1 on, or `none`.
pub(super) fn parse_connections(text: &str) -> Result<Option<u16>, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let number = text.parse::<u16>().ok();
    let number = number.filter(|number| (1..=PLACES_MAX).contains(number));
    number.map(Some).ok_or_else(|| {
        format!("{text:?}: a number from 1 to {PLACES_MAX} is expected, or none for no cap")
    })
}

/// Reads how many neighbours there may be.
pub(super) fn parse_neighbours(text: &str) -> Result<usize, String> {
    let number = text.trim().parse::<usize>().ok();
    let number = number.filter(|number| (NEIGHBOURS_MIN..=NEIGHBOURS_MAX).contains(number));
    number.ok_or_else(|| {
        format!("{text:?}: a number from {NEIGHBOURS_MIN} to {NEIGHBOURS_MAX} is expected")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use modmesh_protocol::rate::Rate;

    use super::*;

    #[test]
    fn a_limit_is_a_rate_or_none_and_may_have_exceptions() {
        assert!(parse_limit("None").unwrap().limit.is_none());
        assert_eq!(
            parse_limit("2MB/s").unwrap().limit,
            Rate::new(2_000_000).into()
        );
        let by_hours = parse_limit("none,\n 2MB/s  sat 08:00-18:00").unwrap();
        assert_eq!(by_hours.text, "none, 2MB/s sat 08:00-18:00");
        assert!(by_hours.limit.is_by_hours());
        let refusal = parse_limit("0").unwrap_err();
        assert!(refusal.contains("none for no limit"), "{refusal}");
    }

    #[test]
    fn neighbours_are_a_number_within_bounds() {
        assert_eq!(parse_neighbours(" 4"), Ok(4));
        assert_eq!(parse_neighbours("128"), Ok(128));
        for wrong in ["3", "129", "-1", "none", ""] {
            let refusal = parse_neighbours(wrong).unwrap_err();
            assert!(refusal.contains("from 4 to 128"), "{refusal}");
        }
    }

    #[test]
    fn a_budget_is_a_size_or_none() {
        assert_eq!(parse_budget("none"), Ok(None));
        assert_eq!(parse_budget("2GiB"), Ok(Some(2 << 30)));
        assert_eq!(parse_budget("0"), Ok(Some(0)));
        let refusal = parse_budget("2GiB/day").unwrap_err();
        assert!(refusal.contains("for 24 hours"), "{refusal}");
    }

    #[test]
    fn a_cap_on_requests_is_a_number_or_none() {
        assert_eq!(parse_connections(" None"), Ok(None));
        assert_eq!(parse_connections("8"), Ok(Some(8)));
        for text in ["0", "-1", "8193", "two", ""] {
            let refusal = parse_connections(text).unwrap_err();
            assert!(refusal.contains("from 1 to 8192"), "{refusal}");
        }
    }

    #[test]
    fn a_site_is_a_short_name() {
        let site = parse_site(" Berlin ").unwrap().unwrap();
        assert_eq!(site.as_str(), "berlin");
        let refusal = parse_site("hall 3").unwrap_err();
        assert!(refusal.contains("' ' cannot be in a name"), "{refusal}");
    }

    #[test]
    fn sending_has_two_words() {
        for what in [Sending::Share, Sending::Pause] {
            assert_eq!(Sending::parse(&what.to_string().to_uppercase()), Ok(what));
        }
        assert!(Sending::parse("maybe").unwrap_err().contains("neither"));
    }
}
