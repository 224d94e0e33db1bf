//! Bodies of answers: a few bytes, or a file of the store.
//!
//! A file is read in pieces of [`PIECE_BYTES`]. What is in the page cache is read at once; what is not is read on a thread
//! that may wait for the disk. When a read fails, the connection is cut before the body's end, so that no client takes a
//! part for the whole, and the store hears of it. Bytes are counted when they are taken for sending, whatever they are of.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use crate::metrics::{Source, UnderWay};
use crate::os;

/// How much of a file is read at a time.
const PIECE_BYTES: u64 = 256 << 10;

/// What an answer consists of.
#[derive(Debug)]
pub(crate) enum Content {
    Bytes(Option<Bytes>),
    File(Box<FileBody>),
}

/// What follows the head of an answer, counted as it is sent. The request is under way until this is gone.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    content: Content,
    source: Source,
    under_way: UnderWay,
}

/// Who hears of a read that failed.
pub(crate) type OnFailure = Box<dyn FnOnce(&io::Error) + Send + Sync>;

/// A range of a file on its way to a client.
pub(crate) struct FileBody {
    file: Arc<File>,
    at: u64,
    end: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    on_failure: Option<OnFailure>,
}

type Piece = Poll<Option<Result<Frame<Bytes>, io::Error>>>;

impl std::fmt::Debug for FileBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileBody")
            .field("at", &self.at)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl AnswerBody {
    pub(crate) fn new(content: Content, source: Source, under_way: UnderWay) -> Self {
        Self {
            content,
            source,
            under_way,
        }
    }
}

impl Content {
    pub(crate) fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::Bytes(Some(bytes.into()))
    }

    pub(crate) fn empty() -> Self {
        Self::Bytes(None)
    }
}

impl FileBody {
    /// The bytes of `file` from `start` up to `end`.
    pub(crate) fn new(file: File, (start, end): (u64, u64), on_failure: OnFailure) -> Self {
        Self {
            file: Arc::new(file),
            at: start,
            end,
            reading: None,
            on_failure: Some(on_failure),
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Piece {
        if self.at >= self.end {
            return Poll::Ready(None);
        }
        let reading = match &mut self.reading {
            Some(reading) => reading,
            None => {
                let length = (self.end - self.at).min(PIECE_BYTES);
                let mut piece = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
                if let Some(read) = os::read_cached(&self.file, &mut piece, self.at) {
                    piece.truncate(read);
                    return self.give(piece.into());
                }
                let (file, at) = (self.file.clone(), self.at);
                self.reading.insert(tokio::task::spawn_blocking(move || {
                    file.read_exact_at(&mut piece, at)?;
                    Ok(piece.into())
                }))
            }
        };
        let read = std::task::ready!(Pin::new(reading).poll(context));
        self.reading = None;
        match read.map_err(io::Error::other).flatten() {
            Ok(piece) => self.give(piece),
            Err(error) => self.fail(error),
        }
    }

    fn give(&mut self, piece: Bytes) -> Piece {
        self.at += piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn fail(&mut self, error: io::Error) -> Piece {
        self.at = self.end;
        if let Some(on_failure) = self.on_failure.take() {
            on_failure(&error);
        }
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Piece {
        let piece = match &mut self.content {
            Content::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::File(file) => file.poll_piece(context),
        };
        if let Poll::Ready(Some(Ok(frame))) = &piece
            && let Some(bytes) = frame.data_ref()
        {
            self.under_way.sent(self.source, bytes.len() as u64);
        }
        piece
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Bytes(bytes) => bytes.is_none(),
            Content::File(file) => file.at >= file.end,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.content {
            Content::Bytes(bytes) => bytes.as_ref().map_or(0, Bytes::len) as u64,
            Content::File(file) => file.end.saturating_sub(file.at),
        })
    }
}
