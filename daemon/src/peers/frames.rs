//! Frames on a stream: one message in, one message out, each with a deadline.
//!
//! Nothing is read beyond the frame, since raw bytes may follow. A deadline covers the whole frame: a neighbour that sends
//! it byte by byte gains nothing.

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use modmesh_protocol::limits::PROGRESS_BYTES_MIN;
use modmesh_protocol::wire::{
    CodecError, FRAME_HEAD_BYTES, FrameHead, Message, decode_payload, encode,
};
use tokio::time::timeout;

/// Why no frame came or went.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The deadline passed.
    #[error("no answer in time")]
    Late,
    /// The stream ended or failed.
    #[error("the stream ended: {0}")]
    Stream(#[from] io::Error),
    /// The bytes are no message.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Reads one message; also the bytes it took on the wire.
pub(super) async fn read<M: Message>(
    stream: &mut (impl AsyncRead + Unpin),
    within: Duration,
) -> Result<(M, u64), FrameError> {
    let reading = async {
        let mut head = [0; FRAME_HEAD_BYTES];
        stream.read_exact(&mut head).await?;
        let mut payload = vec![0; FrameHead::parse(head)?.payload_bytes];
        stream.read_exact(&mut payload).await?;
        let bytes = FRAME_HEAD_BYTES + payload.len();
        Ok((decode_payload(&payload)?, bytes as u64))
    };
    timeout(within, reading)
        .await
        .unwrap_or(Err(FrameError::Late))
}

/// The same of a long message, each piece of which has its own deadline, as those of a file have; calls `begun` when it has begun to
/// come.
pub(super) async fn read_in_pieces<M: Message>(
    stream: &mut (impl AsyncRead + Unpin),
    within: Duration,
    begun: impl FnOnce(),
) -> Result<(M, u64), FrameError> {
    let late = |_| FrameError::Late;
    let mut head = [0; FRAME_HEAD_BYTES];
    let reading = timeout(within, stream.read_exact(&mut head));
    reading.await.map_err(late)??;
    begun();
    let mut payload = vec![0; FrameHead::parse(head)?.payload_bytes];
    for piece in payload.chunks_mut(PROGRESS_BYTES_MIN as usize) {
        let reading = timeout(within, stream.read_exact(piece));
        reading.await.map_err(late)??;
    }
    let bytes = FRAME_HEAD_BYTES + payload.len();
    Ok((decode_payload(&payload)?, bytes as u64))
}

/// Writes one message and hands it to the network; the bytes it took on the wire.
pub(super) async fn write<M: Message>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &M,
    within: Duration,
) -> Result<u64, FrameError> {
    let frame = encode(message)?;
    let writing = async {
        stream.write_all(&frame).await?;
        stream.flush().await?;
        Ok(frame.len() as u64)
    };
    timeout(within, writing)
        .await
        .unwrap_or(Err(FrameError::Late))
}
