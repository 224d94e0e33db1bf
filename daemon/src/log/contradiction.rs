//! Two signed heads that cannot belong to one log: the database, or whoever has its key, shows different logs.
//!
//! It is the one thing here that no source is to blame for, and that a person must see: both heads are kept as they were
//! signed, which is all that is needed to convict the database, and until somebody decides which log this host is to follow
//! (`modmesh sumdb accept`, `forget`) `status` tells of them. Who shows a log that was given up here is no news (`given_up.rs`).

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use modmesh_protocol::digest::hex;
use modmesh_protocol::log::{Hash, SignedHead, VerifierKey};

use super::ask::Surroundings;
use super::files::{Files, Memory};
use super::given_up::{GivenUp, plain};
use super::prove::ProveError;

/// Contradictions that are told of one by one in each run; each further one is counted and nothing else.
const TOLD_MAX: usize = 16;
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
    given_up: GivenUp,
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
            given_up: GivenUp::new(Arc::clone(&files)),
            files,
            surroundings,
            told: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Tells that `other`, which `from` showed, was proved to contradict `ours`, a head of the log that is followed here, keeps
    /// both, and makes an error of them.
    pub(super) fn show(&self, ours: &SignedHead, other: &SignedHead, from: &str) -> ProveError {
        if self.given_up.has(other) {
            return self.given_up_shown(other, from);
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
            let name = format!("{}-{}", short(older), short(newer));
            let shown_by = from.replace(char::is_control, " ");
            let text = format!(
                "{}\n{}{OURS}{}{SHOWN_BY}{shown_by}\n",
                older.note(),
                newer.note(),
                whole(ours)
            );
            // What the line in the log leads to is there before it.
            if let Err(error) = self.files.write_contradiction(&name, &text) {
                tracing::warn!(%error, "the two tree heads could not be kept");
            }
            tracing::error!(
                database = self.database,
                older = older.note(),
                newer = newer.note(),
                ours = ours.size(),
                other = other.size(),
                from,
                "SECURITY: two signed tree heads of the checksum database contradict each other: the smaller log is not a prefix of the larger one; `modmesh sumdb show` tells what to do"
            );
        }
        error
    }

    /// What was given up before this log.
    pub(super) fn given_up(&self) -> &GivenUp {
        &self.given_up
    }

    /// `from` shows a head of a log that was given up here.
    pub(super) fn given_up_shown(&self, head: &SignedHead, from: &str) -> ProveError {
        self.given_up.note_shown(head, from);
        ProveError::GivenUp(head.size())
    }

    /// What is to be known again when this log is given up for that of `accepted`, or for whichever comes. `unjoined` says that
    /// it is not known whether a smaller log belongs to it.
    pub(super) fn to_give_up(
        &self,
        key: &VerifierKey,
        current: Option<&SignedHead>,
        accepted: Option<&SignedHead>,
        unjoined: bool,
    ) -> Memory {
        let kept = self.files.heads();
        let kept = kept.filter_map(|note| SignedHead::open(note.as_bytes(), key).ok());
        let evidence = self.evidence(key, None);
        let is_refused = |accepted: &SignedHead| {
            let mut refused = evidence.iter().map(|one| plain(&one.other));
            refused.any(|refused| refused == plain(accepted))
        };
        let is_contradicted = match accepted {
            Some(accepted) => is_refused(accepted),
            None => !evidence.is_empty(),
        };
        let heads: HashSet<_> = kept
            .map(|head| plain(&head))
            .chain(current.map(plain))
            .chain(evidence.iter().map(|one| plain(&one.ours)))
            .collect();
        let mut memory = self.given_up.all().and(heads, accepted, is_contradicted);
        memory.was_contradicted |= unjoined || !evidence.is_empty();
        memory
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
