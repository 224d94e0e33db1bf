//! Two signed heads that cannot belong to one log: the database, or whoever has its key, shows different logs.
//!
//! It is the one thing here that no source is to blame for, and that a person must see: both heads are kept as they were
//! signed, which is all that is needed to convict the database, and until somebody takes them away `status` tells of them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use modmesh_protocol::digest::hex;
use modmesh_protocol::log::{Hash, SignedHead};

use super::ask::Surroundings;
use super::files::Files;
use super::prove::ProveError;

/// Contradictions that are told of one by one in each run; each further one is counted and nothing else.
const TOLD_MAX: usize = 16;

/// The contradictions of one database.
#[derive(Debug)]
pub(super) struct Contradictions {
    database: String,
    files: Arc<Files>,
    surroundings: Arc<dyn Surroundings>,
    told: Mutex<HashSet<(Hash, Hash)>>,
}

impl Contradictions {
    pub(super) fn new(
        database: &str,
        files: Arc<Files>,
        surroundings: Arc<dyn Surroundings>,
    ) -> Self {
        Self {
            database: database.to_owned(),
            files,
            surroundings,
            told: Mutex::default(),
        }
    }

    /// Tells of two heads that were shown to contradict each other, keeps them, and makes an error of them.
    pub(super) fn show(&self, one: &SignedHead, other: &SignedHead) -> ProveError {
        let (older, newer) = if one.size() <= other.size() {
            (one, other)
        } else {
            (other, one)
        };
        self.surroundings.contradicted();
        if self.is_news(older, newer) {
            tracing::error!(
                database = self.database,
                older = older.note(),
                newer = newer.note(),
                "SECURITY: two signed tree heads of the checksum database contradict each other: the smaller log is not a prefix of the larger one"
            );
            let name = format!("{}-{}", short(older), short(newer));
            let text = format!("{}\n{}", older.note(), newer.note());
            if let Err(error) = self.files.write_contradiction(&name, &text) {
                tracing::warn!(%error, "the two tree heads could not be kept");
            }
        }
        ProveError::Contradiction {
            database: self.database.clone(),
            older: older.size(),
            newer: newer.size(),
        }
    }

    fn is_news(&self, older: &SignedHead, newer: &SignedHead) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < TOLD_MAX && told.insert((older.head().root, newer.head().root))
    }
}

/// A head's size and the beginning of its root.
fn short(head: &SignedHead) -> String {
    let [a, b, c, d, ..] = head.head().root;
    format!("{}.{}", head.size(), hex(&[a, b, c, d]))
}
