//! A file in staging that a neighbour of another site writes into, and those of this site who wait for it and hear how far it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use crate::peers::SoFar;
use crate::store::Staging;

/// Bytes go through as they are.
#[derive(Debug)]
pub(super) struct CountedSink<'a> {
    staging: &'a mut Staging,
    so_far: &'a SoFar,
}

impl<'a> CountedSink<'a> {
    /// Of a file that is said to have so many bytes.
    pub(super) fn new(staging: &'a mut Staging, so_far: &'a SoFar, length: u64) -> Self {
        so_far.restarted();
        so_far.announced(length);
        Self { staging, so_far }
    }
}

impl AsyncWrite for CountedSink<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.staging).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.so_far.came(count as u64);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.staging).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.staging).poll_shutdown(context)
    }
}
