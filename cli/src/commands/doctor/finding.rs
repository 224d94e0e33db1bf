//! One thing that was found: how bad it is, what it is, and what to do about it.

use serde::Serialize;

use crate::output::plain;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It works, and something is less than it could be.
    Warning,
    /// Something does not work.
    Problem,
}

/// One line of the doctor's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at: one word.
    pub(super) check: &'static str,
    pub(super) level: Level,
    /// What was found, one line.
    pub(super) text: String,
    /// What to do, where something is to be done.
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, text: impl AsRef<str>) -> Self {
        Self::new(check, Level::Ok, text, None)
    }

    pub(super) fn warning(check: &'static str, text: impl AsRef<str>, remedy: &str) -> Self {
        Self::new(check, Level::Warning, text, Some(remedy))
    }

    pub(super) fn problem(check: &'static str, text: impl AsRef<str>, remedy: &str) -> Self {
        Self::new(check, Level::Problem, text, Some(remedy))
    }

    /// One of somebody else's making, which holds its remedy.
    pub(super) fn told(check: &'static str, level: Level, text: impl AsRef<str>) -> Self {
        Self::new(check, level, text, None)
    }

    fn new(check: &'static str, level: Level, text: impl AsRef<str>, remedy: Option<&str>) -> Self {
        Self {
            check,
            level,
            text: plain(text.as_ref()),
            remedy: remedy.map(plain),
        }
    }

    /// The cells of its line.
    pub(super) fn row(&self) -> [String; 3] {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "PROBLEM",
        };
        let text = match &self.remedy {
            Some(remedy) => format!("{}: {remedy}", self.text),
            None => self.text.clone(),
        };
        [level.to_owned(), self.check.to_owned(), text]
    }
}
