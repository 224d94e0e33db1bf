//! Sites: hosts between which bytes cost next to nothing, and what it means that a neighbour belongs to another one.
//!
//! A site is a link, or a name that a person gives to hosts on several links. What is wanted is looked for within the site first;
//! one host of it asks outside, and there the own upstream and the other sites are held against each other ([`way_out`]). Nothing
//! of it decides what is true: a host that lies about its site costs bytes, and no more than any neighbour may.

mod way;

use std::fmt;
use std::str::FromStr;

pub use way::{
    Across, Crossing, Decision, First, SMALL_BYTES, Upstream, Why, is_worth_it, way_out,
};

use crate::limits::SITE_NAME_BYTES_MAX;

/// The name of a site: letters, digits, `.`, `-` and `_`, at most 32 of them, the first one a letter or digit. Letters are taken
/// as small ones, so that `Berlin` and `berlin` are one site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site(Box<str>);

/// Why a text is no name of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// There is none.
    #[error("a name is expected, such as berlin or hall-3")]
    Empty,
    /// It is too long.
    #[error("a name of at most {SITE_NAME_BYTES_MAX} letters is expected")]
    Long,
    /// It begins with something else than a letter or a digit.
    #[error("a name begins with a letter or a digit (a to z, 0 to 9)")]
    Beginning,
    /// A character that it may not have.
    #[error("{0:?} cannot be in a name: letters, digits, '.', '-' and '_' can (a to z, 0 to 9)")]
    Letter(char),
}

impl Site {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Site {
    type Err = SiteError;

    fn from_str(text: &str) -> Result<Self, SiteError> {
        let first = text.chars().next().ok_or(SiteError::Empty)?;
        if text.len() > SITE_NAME_BYTES_MAX {
            return Err(SiteError::Long);
        }
        let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if let Some(other) = text.chars().find(|c| !is_inner(*c)) {
            return Err(SiteError::Letter(other));
        }
        if !first.is_ascii_alphanumeric() {
            return Err(SiteError::Beginning);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a neighbour belongs to another site than this host. Where both have a name that decides; else a neighbour on a link of
/// this host belongs to its site, and one that was reached over a router does not.
pub fn is_across(ours: Option<&Site>, theirs: Option<&Site>, is_on_link: bool) -> bool {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => ours != theirs,
        _ => !is_on_link,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn site(text: &str) -> Site {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_is_short_and_printable() {
        for (text, name) in [
            ("berlin", "berlin"),
            ("Hall-3", "hall-3"),
            ("3rd.floor_east", "3rd.floor_east"),
            (&"x".repeat(32), &"x".repeat(32)),
        ] {
            assert_eq!(site(text).as_str(), name);
            assert_eq!(site(text).to_string(), name);
        }
        for (text, why) in [
            ("", SiteError::Empty),
            (&"x".repeat(33), SiteError::Long),
            ("-a", SiteError::Beginning),
            (".", SiteError::Beginning),
            ("a b", SiteError::Letter(' ')),
            ("a\n", SiteError::Letter('\n')),
            ("münchen", SiteError::Letter('ü')),
        ] {
            assert_eq!(text.parse::<Site>(), Err(why), "{text:?}");
        }
    }

    #[test]
    fn two_names_decide_and_else_the_link() {
        let (a, b) = (site("a"), site("b"));
        for on_link in [true, false] {
            assert!(!is_across(Some(&a), Some(&a), on_link));
            assert!(is_across(Some(&a), Some(&b), on_link));
            for (ours, theirs) in [(None, None), (Some(&a), None), (None, Some(&b))] {
                assert_eq!(is_across(ours, theirs, on_link), !on_link);
            }
        }
        assert!(!is_across(
            Some(&site("Berlin")),
            Some(&site("berlin")),
            false
        ));
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_short_printable_and_read_back_as_itself(text in any::<String>()) {
            if let Ok(site) = text.parse::<Site>() {
                prop_assert!(site.as_str().len() <= SITE_NAME_BYTES_MAX);
                prop_assert!(site.as_str().bytes().all(|b| b.is_ascii_graphic()));
                prop_assert_eq!(site.to_string().parse(), Ok(site));
            }
        }
    }
}
