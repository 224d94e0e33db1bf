//! A file in staging that the upstream writes into, and the story that hears of every entry of the list that was asked.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::io::AsyncWrite;

use super::attempt::Attempt;
use super::pace::UpstreamPace;
use super::story::Story;
use crate::peers::SoFar;
use crate::store::Staging;
use crate::upstream::{Downloaded, Sink, UpstreamError};

/// Bytes go through as they are.
#[derive(Debug)]
pub(super) struct ToldSink<'a> {
    staging: Staging,
    story: &'a Story,
    /// The entry that is asked now, if any is.
    attempt: Attempt,
    /// Whether an entry has missed, so that an error of the whole list says nothing new.
    has_missed: bool,
    so_far: &'a SoFar,
    pace: &'a UpstreamPace,
    /// When upstream was asked; nothing once the first byte has come.
    asked: Option<Instant>,
}

impl<'a> ToldSink<'a> {
    pub(super) fn new(
        staging: Staging,
        story: &'a Story,
        so_far: &'a SoFar,
        pace: &'a UpstreamPace,
    ) -> Self {
        so_far.restarted();
        Self {
            so_far,
            pace,
            asked: Some(Instant::now()),
            attempt: story.upstream(staging.received()),
            staging,
            story,
            has_missed: false,
        }
    }

    /// The whole list ended so, or was ended in the middle because it `ran_late`; gives the file back.
    pub(super) fn end(
        self,
        downloaded: &Result<Downloaded, UpstreamError>,
        ran_late: bool,
    ) -> Staging {
        match downloaded {
            Ok(downloaded) => self.attempt.brought_it(Some(&downloaded.url)),
            // These no entry missed for: whoever was asked then has not been told of.
            Err(error) if ran_late || matches!(error, UpstreamError::Sink(_)) => {
                self.attempt.refused(error);
            }
            Err(_) if self.has_missed => self.attempt.never_was(),
            Err(error) => self.attempt.refused(error),
        }
        self.staging
    }
}

impl Sink for ToldSink<'_> {
    fn restart(&mut self) -> BoxFuture<'_, io::Result<()>> {
        self.so_far.restarted();
        Box::pin(self.staging.rewind())
    }

    fn missed(&mut self, error: &UpstreamError) {
        self.has_missed = true;
        let next = self.story.upstream(self.staging.received());
        std::mem::replace(&mut self.attempt, next).refused(error);
    }

    fn stood_in_line(&mut self, waited: Duration, in_vain: bool) {
        self.story.tell_line(waited, in_vain);
        // It is no time that the upstream took.
        self.asked = self.asked.map(|_| Instant::now());
    }

    fn announced(&mut self, bytes: u64) {
        self.so_far.announced(bytes);
    }
}

impl AsyncWrite for ToldSink<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(asked) = self.asked.take() {
            self.pace.began(asked.elapsed());
        }
        let written = Pin::new(&mut self.staging).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.so_far.came(count as u64);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.staging).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.staging).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use modmesh_protocol::control::Did;

    use std::collections::HashMap;

    use super::*;
    use crate::store::Store;

    fn unreachable(url: &str) -> UpstreamError {
        UpstreamError::Unreachable {
            url: url.to_owned(),
            reason: "no route".to_owned(),
        }
    }

    /// Whom the story names after one entry has missed and the list then ended with `error`.
    async fn told(error: UpstreamError, ran_late: bool) -> Vec<Option<String>> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1 << 30, false, HashMap::new()).unwrap();
        let story = Story::begin(Arc::default());
        let (so_far, pace) = (SoFar::default(), UpstreamPace::default());
        let mut sink = ToldSink::new(store.stage().unwrap(), &story, &so_far, &pace);
        sink.missed(&unreachable("https://first"));
        drop(sink.end(&Err(error), ran_late));
        let steps = story.shown().steps.into_iter();
        steps
            .map(|step| match step.did {
                Did::Upstream { url, .. } => url,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[tokio::test]
    async fn the_last_attempt_is_told_unless_it_never_was() {
        let first = Some("https://first".to_owned());
        // The list's own word repeats what its entries said.
        let repeated = told(unreachable("all"), false).await;
        assert_eq!(repeated, std::slice::from_ref(&first));
        let late = Some("second".to_owned());
        assert_eq!(
            told(unreachable("second"), true).await,
            [first.clone(), late]
        );
        let full = UpstreamError::Sink(io::ErrorKind::StorageFull.into());
        assert_eq!(told(full, false).await, [first, None]);
    }
}
