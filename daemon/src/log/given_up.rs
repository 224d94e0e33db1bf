//! What a person gave up here (`modmesh sumdb accept`, `forget`): heads of earlier logs, which are known again when somebody shows
//! them. Who does is named and is no news.
//!
//! Two logs of one key begin alike where one is a fork of the other, so a head that was given up may be one of the log that
//! is followed now. Of all of them one is forgotten only when it was proved to be that; the others stay. A larger
//! head of an old log, which was never here, looks like one of any log. So until the log that is followed now is as large as
//! what was given up, or is known to be another one, the database alone moves it, where it can be asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use modmesh_protocol::log::SignedHead;

use super::files::{Files, Head, Memory};
use crate::seldom::Seldom;

static SHOWN: Seldom = Seldom::new();

/// How long it is told who showed a log that was given up here.
const SHOWN_FOR: Duration = Duration::from_secs(60 * 60);
/// Those of whom it is told.
const SHOWN_MAX: usize = 16;

/// What was given up before the log began that is followed now.
#[derive(Debug)]
pub(super) struct GivenUp {
    files: Arc<Files>,
    memory: Mutex<Memory>,
    /// Who showed one of the heads, and when.
    shown_by: Mutex<HashMap<String, Instant>>,
}

impl GivenUp {
    pub(super) fn new(files: Arc<Files>) -> Self {
        Self {
            memory: Mutex::new(files.given_up()),
            files,
            shown_by: Mutex::default(),
        }
    }

    /// Whether `head` was given up, and is not known to be one of the log that is followed now.
    pub(super) fn has(&self, head: &SignedHead) -> bool {
        self.memory().heads.contains(&plain(head))
    }

    /// `head` was proved to be one of the log that is followed now.
    pub(super) fn is_ours(&self, head: &SignedHead) {
        let mut memory = self.memory();
        if memory.heads.remove(&plain(head))
            && let Err(error) = self.files.write_given_up(&memory)
        {
            // It is proved again after the next start.
            tracing::debug!(%error, "what was given up could not be written down");
        }
    }

    /// Whether a larger head than that of `size` records may be one of an old log, as far as can be known.
    pub(super) fn may_go_on_above(&self, size: u64) -> bool {
        let memory = self.memory();
        !memory.is_apart && memory.heads.iter().any(|(given_up, _)| *given_up > size)
    }

    /// Whether something speaks against what was given up, but for that a person wanted to begin afresh.
    pub(super) fn was_contradicted(&self) -> bool {
        self.memory().was_contradicted
    }

    /// All of it.
    pub(super) fn all(&self) -> Memory {
        self.memory().clone()
    }

    /// `from` shows a head of a log that was given up here.
    pub(super) fn note_shown(&self, head: &SignedHead, from: &str) {
        let mut shown = self.shown_by();
        shown.retain(|_, at| at.elapsed() < SHOWN_FOR);
        if shown.len() < SHOWN_MAX || shown.contains_key(from) {
            shown.insert(from.to_owned(), Instant::now());
        }
        drop(shown);
        if let Some(left_out) = SHOWN.turn() {
            tracing::warn!(
                from,
                size = head.size(),
                left_out,
                "a tree head of the log that was given up here is still shown; nothing is believed of it"
            );
        }
    }

    /// Who showed one within the last hour.
    pub(super) fn shown_lately_by(&self) -> Vec<String> {
        let shown = self.shown_by();
        let lately = shown.iter().filter(|(_, at)| at.elapsed() < SHOWN_FOR);
        let mut names: Vec<_> = lately.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown_by(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.shown_by.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// What is known again in a log that begins now: all of this, with `heads` of the log that is given up. Where `accepted`
    /// contradicts that one, the new log is known to be another.
    pub(super) fn and(
        mut self,
        heads: impl IntoIterator<Item = Head>,
        accepted: Option<&SignedHead>,
        is_contradicted: bool,
    ) -> Self {
        let none_is_larger = |accepted: &SignedHead| {
            let mut sizes = self.heads.iter().map(|(size, _)| *size);
            sizes.all(|size| size <= accepted.size())
        };
        self.is_apart = is_contradicted && accepted.is_some_and(none_is_larger);
        self.was_contradicted |= is_contradicted;
        self.heads.extend(heads);
        if let Some(accepted) = accepted {
            self.heads.remove(&plain(accepted));
        }
        self
    }
}

/// A head without its signature.
pub(super) fn plain(head: &SignedHead) -> Head {
    (head.size(), head.head().root)
}
