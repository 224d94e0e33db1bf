//! The end of the daemon: one token that says "stop", one tracker that knows who has not stopped yet.
//!
//! Every task that outlives a request is spawned here with a name, so that a task that does not end can be named.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::{
    CancellationToken, WaitForCancellationFuture, WaitForCancellationFutureOwned,
};
use tokio_util::task::TaskTracker;

/// How long answers and tasks under way may take to end before they are cut. SIGTERM ends the process within 10 s, and after
/// this the neighbours (1 s) and the index (2 s) have their turns; what is left is for the disk.
pub(crate) const END_DEADLINE: Duration = Duration::from_secs(5);

/// A handle on the daemon's end; clones speak of the same end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shutdown {
    token: CancellationToken,
    wish: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// A daemon that has not been asked to end.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Spawns work that belongs to the daemon, not to the request that caused it.
    pub(crate) fn spawn<F>(&self, name: &'static str, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(async move {
            let output = work.await;
            tracing::trace!(task = name, "task ended");
            output
        })
    }

    /// Wishes that the daemon ends, from inside: whoever runs it hears of that by [`Shutdown::wished`].
    pub(crate) fn wish(&self) {
        self.wish.cancel();
    }

    /// Completes when the end is wished for.
    pub(crate) fn wished(&self) -> WaitForCancellationFuture<'_> {
        self.wish.cancelled()
    }

    /// Completes when the daemon was asked to end.
    pub(crate) fn requested(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    /// As [`Shutdown::requested`], for whoever is not part of the daemon.
    pub(crate) fn requested_owned(self) -> WaitForCancellationFutureOwned {
        self.token.cancelled_owned()
    }

    /// Whether the daemon was asked to end.
    pub(crate) fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Asks every task to end and waits for them until `deadline`; false when some were still running then.
    pub(crate) async fn end(&self, deadline: Duration) -> bool {
        self.token.cancel();
        self.tasks.close();
        tokio::time::timeout(deadline, self.tasks.wait())
            .await
            .is_ok()
    }
}
