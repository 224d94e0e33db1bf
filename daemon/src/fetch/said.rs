//! What upstream said no to, files and notes alike: remembered, and said again while upstream is gone.

use std::sync::Arc;

use super::{FetchError, Fetcher};
use crate::policy::Asker;
use crate::upstream::{Upstream, UpstreamError};

impl Fetcher {
    /// What a client is told whose file nobody gave, with `error` as the outcome. Upstream's no is kept, for when it is
    /// gone; while it is gone, its own word of an earlier time says more than that it is.
    pub(super) async fn told_of(&self, path: &str, asker: Asker, error: FetchError) -> FetchError {
        match &error {
            FetchError::Upstream(no) => {
                self.keep_refusal(path, asker, no).await;
                error
            }
            FetchError::Unreachable { .. } | FetchError::InsideHeld(_) => {
                self.said_before(path, asker).await.unwrap_or(error)
            }
            _ => error,
        }
    }

    /// Upstream's own no of an earlier time to the URL path `path`, while it is gone.
    pub(super) async fn said_before(&self, path: &str, asker: Asker) -> Option<FetchError> {
        let upstream = self.upstream_for(asker)?;
        if !upstream.is_down() {
            return None;
        }
        let (store, name) = (self.inner.store.clone(), self.refusal_name(path, asker));
        let read = tokio::task::spawn_blocking(move || store.read_refusal(&name)).await;
        Some(FetchError::SaidBefore(Arc::new(read.ok()??)))
    }

    /// Keeps that upstream said no to the URL path `path`, for when it is gone.
    pub(super) async fn keep_refusal(&self, path: &str, asker: Asker, error: &UpstreamError) {
        let Some(answer) = error.answer() else {
            return;
        };
        let (status, text) = (answer.status, answer.text.clone());
        if !matches!(status, 403 | 404 | 410) {
            return;
        }
        let text = text.unwrap_or_else(|| error.to_string());
        let (store, name) = (self.inner.store.clone(), self.refusal_name(path, asker));
        let kept = tokio::task::spawn_blocking(move || store.keep_refusal(&name, status, &text));
        if let Ok(Err(error)) = kept.await {
            tracing::debug!(path, %error, "a refusal could not be kept");
        }
    }

    /// Under what name a refusal is kept. Where `direct` is asked for the owner alone, it is also refused to him alone.
    fn refusal_name(&self, path: &str, asker: Asker) -> String {
        let upstream = self.inner.upstream.as_ref();
        let by_direct = upstream.is_some_and(Upstream::has_direct) && asker == Asker::Owner;
        let whose = if by_direct { "direct " } else { "" };
        format!("{whose}{path}")
    }
}
