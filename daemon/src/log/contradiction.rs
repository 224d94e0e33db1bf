//! Two signed heads that cannot belong to one log: the database, or whoever has its key, shows different logs.
//!
//! It is the one thing here that no source is to blame for, and that a person must see: both heads are kept as they were
//! signed, which is all that is needed to convict the database, and until somebody decides which log this host is to follow
//! (`modmesh sumdb accept`, `forget`) `status` tells of them. Who shows a log that was given up here is named and is no news.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use modmesh_protocol::digest::hex;
use modmesh_protocol::log::{Hash, SignedHead, VerifierKey};

use super::ask::Surroundings;
use super::files::{Files, Head};
use super::prove::ProveError;
use crate::seldom::Seldom;

static GIVEN_UP_SHOWN: Seldom = Seldom::new();

/// Contradictions that are told of one by one in each run; each further one is counted and nothing else.
const TOLD_MAX: usize = 16;
/// How long it is told who showed a log that was given up here.
const SHOWN_FOR: Duration = Duration::from_secs(60 * 60);
/// Those of whom it is told.
const SHOWN_MAX: usize = 16;
/// How a note of a head begins.
const NOTE_BEGINS: &str = "go.sum database tree\n";
const OURS: &str = "\nours: ";
const SHOWN_BY: &str = "\nshown by: ";

/// The contradictions of one log.
#[derive(Debug)]
pub(super) struct Contradictions {
    database: String,
    files: Arc<Files>,
    surroundings: Arc<dyn Surroundings>,
    told: Mutex<HashSet<(Hash, Hash)>>,
    /// Heads of logs that were given up before this one was begun.
    given_up: Mutex<HashSet<Head>>,
    /// Who showed one of them, and when.
    shown_by: Mutex<HashMap<String, Instant>>,
    /// This log is given up itself: what is still found out about it is told to nobody.
    is_over: AtomicBool,
}

/// A contradiction as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Evidence {
    /// The head of the log that this host follows.
    pub ours: SignedHead,
    /// The one that was refused.
    pub other: SignedHead,
    /// Who showed it; nothing in what an earlier release kept.
    pub shown_by: Option<String>,
    /// When that was.
    pub at: Option<SystemTime>,
    /// Both heads as they were signed.
    pub file: PathBuf,
}

impl Contradictions {
    pub(super) fn new(
        database: &str,
        files: Arc<Files>,
        surroundings: Arc<dyn Surroundings>,
    ) -> Self {
        Self {
            database: database.to_owned(),
            given_up: Mutex::new(files.given_up()),
            files,
            surroundings,
            told: Mutex::default(),
            shown_by: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Tells that `other`, which somebody showed, was shown to contradict `ours`, keeps both, and makes an error of them.
    pub(super) fn show(&self, ours: &SignedHead, other: &SignedHead, from: &str) -> ProveError {
        if self.is_given_up(other) {
            return self.given_up_shown(other, from);
        }
        if self.is_given_up(ours) {
            return ProveError::GivenUp(ours.size());
        }
        let (older, newer) = if ours.size() <= other.size() {
            (ours, other)
        } else {
            (other, ours)
        };
        let error = ProveError::Contradiction {
            database: self.database.clone(),
            older: older.size(),
            newer: newer.size(),
        };
        if self.is_over.load(Ordering::Acquire) {
            return error;
        }
        self.surroundings.contradicted();
        if self.is_news(older, newer) {
            tracing::error!(
                database = self.database,
                older = older.note(),
                newer = newer.note(),
                ours = ours.size(),
                other = other.size(),
                from,
                "SECURITY: two signed tree heads of the checksum database contradict each other: the smaller log is not a prefix of the larger one; `modmesh sumdb show` tells what to do"
            );
            let name = format!("{}-{}", short(older), short(newer));
            let from = from.replace(char::is_control, " ");
            let text = format!(
                "{}\n{}{OURS}{}{SHOWN_BY}{from}\n",
                older.note(),
                newer.note(),
                whole(ours)
            );
            if let Err(error) = self.files.write_contradiction(&name, &text) {
                tracing::warn!(%error, "the two tree heads could not be kept");
            }
        }
        error
    }

    /// Whether `head` is known to be of a log that was given up.
    pub(super) fn is_given_up(&self, head: &SignedHead) -> bool {
        self.all_given_up()
            .contains(&(head.size(), head.head().root))
    }

    /// Whether a log was given up before this one.
    pub(super) fn is_any_given_up(&self) -> bool {
        !self.all_given_up().is_empty()
    }

    /// The log that was given up is the one that the database shows after all.
    pub(super) fn nothing_is_given_up(&self) {
        self.all_given_up().clear();
        self.files.forget_given_up();
    }

    /// `from` shows a head of a log that was given up here.
    pub(super) fn given_up_shown(&self, head: &SignedHead, from: &str) -> ProveError {
        let mut shown = self.shown();
        shown.retain(|_, at| at.elapsed() < SHOWN_FOR);
        if shown.len() < SHOWN_MAX || shown.contains_key(from) {
            shown.insert(from.to_owned(), Instant::now());
        }
        drop(shown);
        if let Some(left_out) = GIVEN_UP_SHOWN.turn() {
            tracing::warn!(
                database = self.database,
                from,
                size = head.size(),
                left_out,
                "a tree head of the log that was given up here is still shown; nothing is believed of it"
            );
        }
        ProveError::GivenUp(head.size())
    }

    /// Who showed a log within the last hour that was given up here.
    pub(super) fn showing_given_up(&self) -> Vec<String> {
        let shown = self.shown();
        let lately = shown.iter().filter(|(_, at)| at.elapsed() < SHOWN_FOR);
        let mut names: Vec<_> = lately.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// The heads that are given up with this log and were before: to be known again.
    pub(super) fn heads_to_give_up(&self, key: &VerifierKey) -> HashSet<Head> {
        let mut heads = self.all_given_up().clone();
        let kept = self.files.heads();
        let kept = kept.filter_map(|note| SignedHead::open(note.as_bytes(), key).ok());
        heads.extend(kept.map(|head| (head.size(), head.head().root)));
        heads.extend(self.evidence(key, None).into_iter().map(|one| {
            let ours = one.ours.head();
            (ours.size, ours.root)
        }));
        heads
    }

    /// From now on nothing is told.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// What is kept, in the order in which it came. An earlier release did not write down which head was its own: it was
    /// `current`, or else the smaller one.
    pub(super) fn evidence(
        &self,
        key: &VerifierKey,
        current: Option<&SignedHead>,
    ) -> Vec<Evidence> {
        let kept = self.files.read_contradictions().into_iter();
        kept.filter_map(|(at, file, text)| {
            let (one, other, rest) = notes(&text)?;
            let one = SignedHead::open(one.as_bytes(), key).ok()?;
            let other = SignedHead::open(other.as_bytes(), key).ok()?;
            let ours = rest
                .lines()
                .find_map(|line| line.strip_prefix(OURS.trim_start()));
            let ours = ours.map(str::to_owned).or_else(|| current.map(whole));
            let (ours, other) = match ours.is_some_and(|ours| ours == whole(&other)) {
                true => (other, one),
                false => (one, other),
            };
            let shown_by = rest
                .lines()
                .find_map(|line| line.strip_prefix(SHOWN_BY.trim_start()));
            Some(Evidence {
                ours,
                other,
                shown_by: shown_by.map(str::to_owned),
                at,
                file,
            })
        })
        .collect()
    }

    fn is_news(&self, older: &SignedHead, newer: &SignedHead) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < TOLD_MAX && told.insert((older.head().root, newer.head().root))
    }

    fn all_given_up(&self) -> std::sync::MutexGuard<'_, HashSet<Head>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.shown_by.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The two notes of a file, and the lines behind them.
fn notes(text: &str) -> Option<(&str, &str, &str)> {
    let second = 1 + text.get(1..)?.find(NOTE_BEGINS)?;
    let (first, rest) = text.split_at_checked(second)?;
    let end = rest.find(OURS).unwrap_or(rest.len());
    let (second, rest) = rest.split_at_checked(end)?;
    Some((first.strip_suffix('\n')?, second, rest))
}

/// A head's size and the beginning of its root: its name for people.
pub(crate) fn short(head: &SignedHead) -> String {
    let [a, b, c, d, ..] = head.head().root;
    format!("{}.{}", head.size(), hex(&[a, b, c, d]))
}

fn whole(head: &SignedHead) -> String {
    format!("{}.{}", head.size(), hex(&head.head().root))
}
