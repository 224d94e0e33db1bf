//! A connection that ends when its client takes nothing of what is sent to it.
//!
//! A client that asks and never reads would keep its place, an open file and the buffers of its answer for ever. Only
//! waiting for the client counts: a connection with nothing to send is the business of the deadline for heads.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// What a client must take while it is waited for, in bytes: less is a drip that would hold its place.
const PROGRESS_BYTES: usize = 16 << 10;

/// A stream whose other side must take what it is sent.
#[derive(Debug)]
pub(super) struct Outgoing<S> {
    stream: S,
    patience: Duration,
    /// Runs while the client is waited for.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Bytes that it took since then.
    taken: usize,
}

impl<S> Outgoing<S> {
    /// `patience` is how long the client may take for [`PROGRESS_BYTES`], or for all there is.
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            waiting: None,
            taken: 0,
        }
    }

    fn judge(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.taken = self.taken.saturating_add(bytes);
                if self.taken >= PROGRESS_BYTES {
                    self.waiting = None;
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                if self.waiting.is_none() {
                    self.taken = 0;
                }
                let patience = self.patience;
                let waiting = self
                    .waiting
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                if waiting.as_mut().poll(context).is_ready() {
                    let reason = "the client does not take what is sent to it";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)));
                }
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Outgoing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Outgoing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whoever flushes has nothing left to write.
        self.waiting = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, sleep};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(120);

    fn pair() -> (Outgoing<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1024);
        (Outgoing::new(ours, PATIENCE), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_left() {
        let (mut ours, _theirs) = pair();
        let began = Instant::now();
        let error = ours.write_all(&[7; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_drip_is_left() {
        let (mut ours, mut theirs) = pair();
        let dripping = tokio::spawn(async move {
            let mut drip = [0; 100];
            while theirs.read_exact(&mut drip).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let error = ours.write_all(&[7; 1 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(ours);
        dripping.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_gets_all_of_it_however_long_it_takes() {
        let (mut ours, mut theirs) = pair();
        let sending = tokio::spawn(async move {
            ours.write_all(&[7; 256 << 10]).await.unwrap();
            ours.flush().await.unwrap();
            // Between two answers nobody is waited for, and a new one has its full time.
            sleep(PATIENCE * 10).await;
            ours.write_all(&[8; 4096]).await
        });
        let mut piece = [0; 1024];
        let began = Instant::now();
        for _ in 0..256 {
            theirs.read_exact(&mut piece).await.unwrap();
            sleep(Duration::from_secs(2)).await;
        }
        assert!(began.elapsed() > PATIENCE * 4);
        sleep(PATIENCE * 10).await;
        for _ in 0..4 {
            theirs.read_exact(&mut piece).await.unwrap();
        }
        assert!(sending.await.unwrap().is_ok());
    }
}
