//! The scout: looks whether an entry that is down, or owes an answer, answers again.
//!
//! One for an entry at a time, and only as long as there is doubt. It asks what `go` itself asks first of every proxy,
//! and any answer will do. When the upstream whose entry it looks at is gone, it ends at its next look, a minute later at most.

use std::sync::{Arc, Weak};

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::entry::Entry;
use super::town::Town;

/// A scout under way; it is called back when this is dropped.
pub(super) type Scout = AbortOnDropHandle<()>;

/// Sends a scout to `entry`.
pub(super) fn send(entry: &Arc<Entry>, town: &Arc<Town>) -> Scout {
    let (entry, town) = (Arc::downgrade(entry), Arc::downgrade(town));
    AbortOnDropHandle::new(tokio::spawn(look_until_it_answers(entry, town)))
}

async fn look_until_it_answers(entry: Weak<Entry>, town: Weak<Town>) {
    loop {
        let (Some(entry), Some(town)) = (entry.upgrade(), town.upgrade()) else {
            return;
        };
        let Some(pause) = entry.health().next_look() else {
            return;
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = entry.health().knocked() => {}
        }
        let since = Instant::now();
        let seen = entry.answers(&town).await;
        match &seen {
            Ok(()) => tracing::info!(upstream = %entry.url(), "upstream answers"),
            Err(reason) => {
                tracing::debug!(upstream = %entry.url(), reason, "upstream does not answer");
            }
        }
        entry.health().looked(since, seen, town.pauses);
    }
}
