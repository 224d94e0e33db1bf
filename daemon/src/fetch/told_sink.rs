//! A file in staging that the upstream writes into, and the story that hears of every entry of the list that was asked.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::io::AsyncWrite;

use super::attempt::Attempt;
use super::story::Story;
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
}

impl<'a> ToldSink<'a> {
    pub(super) fn new(staging: Staging, story: &'a Story) -> Self {
        Self {
            attempt: story.upstream(staging.received()),
            staging,
            story,
            has_missed: false,
        }
    }

    /// The whole list ended so; gives the file back.
    pub(super) fn end(self, downloaded: &Result<Downloaded, UpstreamError>) -> Staging {
        match downloaded {
            Ok(downloaded) => self.attempt.brought_it(Some(&downloaded.url)),
            Err(_) if self.has_missed => self.attempt.never_was(),
            Err(error) => self.attempt.refused(error),
        }
        self.staging
    }
}

impl Sink for ToldSink<'_> {
    fn restart(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(self.staging.rewind())
    }

    fn missed(&mut self, error: &UpstreamError) {
        self.has_missed = true;
        let next = self.story.upstream(self.staging.received());
        std::mem::replace(&mut self.attempt, next).refused(error);
    }
}

impl AsyncWrite for ToldSink<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.staging).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.staging).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.staging).poll_shutdown(context)
    }
}
