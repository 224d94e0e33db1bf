//! Answering neighbours: greetings, small questions, files.
//!
//! Every inbound stream gets an answer: what was asked, "refused" for what is not understood, or "busy" when the bounds of
//! the host or of the neighbour are reached. Only beyond a bound of refusals under way is a stream reset without a word.
//! Streams of strangers to a closed host never come here (`members.rs`).
//! What the shelf does not have is not looked for elsewhere: no question makes this host ask anybody else. A body that ends
//! early is cut (the stream is reset), never ended as if it were whole.
//!
//! What is sent keeps to the limit of this host: files wait for their turn, small answers are only counted. While uploads are paused
//! no file above 64 KiB is shown or begun.
//!
//! A file is hashed while it is sent, and its last bytes go out only when the hash is right: so a disk that fails under an
//! honest host looks like a cut and never like a lie.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::sync::Arc;

use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use libp2p::PeerId;
use libp2p::swarm::Stream;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::digest::{BlobId, Hasher};
use modmesh_protocol::lease::Word;
use modmesh_protocol::limits::{
    INLINE_FILE_BYTES_MAX, NO_PROGRESS_MAX, RECORD_TEXT_BYTES_MAX, RETRY_AFTER_MS, SEND_STALL_MAX,
    VERSIONS_RECORDS_MAX, VERSIONS_TEXT_BYTES_MAX,
};
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::wire::{
    Answer, FileAnswer, FileRequest, FileSummary, InlineAnswer, InlineFile, Query, TileBytes,
    VersionRecord, encode,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::counter::{Counter, Place};
use super::crossing::Reserved;
use super::frames::{self, FrameError};
use super::statements::{self, Signer};
use super::streams::{Inbound, Purpose};
use super::{Shared, Shelf, greeting, inline, line, office, sites};

/// Bytes of a file that are read and sent at a time: large enough that a hop between threads does not show.
const CHUNK_BYTES: usize = 256 * 1024;
/// Bytes that must be taken within [`SEND_STALL_MAX`]: a neighbour on a slow line may take much longer for a whole chunk.
const TIMED_BYTES: usize = 16 * 1024;
/// Files up to this size are given also while uploads are paused: what a frame takes costs a battery nothing.
pub(super) const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Chunks that are read ahead of the network.
const CHUNKS_AHEAD: usize = 2;

const BUSY: Answer = Answer::Busy {
    retry_after_ms: RETRY_AFTER_MS,
};
const FILE_BUSY: FileAnswer = FileAnswer::Busy {
    retry_after_ms: RETRY_AFTER_MS,
};

/// Answers one inbound stream in a task of its own. Never waits.
pub(super) fn take(shared: &Arc<Shared>, inbound: Inbound) {
    let Inbound {
        peer,
        purpose,
        stream,
    } = inbound;
    let counter = &shared.counter;
    if purpose == Purpose::Hello {
        if let Some(place) = counter.hello_place(peer, shared.roster.is_greeted(&peer)) {
            let work = greeting::answer(Arc::clone(shared), peer, stream);
            tokio::spawn(work.map(|()| drop(place)));
        }
        return;
    }
    if purpose == Purpose::Lease {
        let Some(stream) = shared.raw_door.pass(&peer, stream) else {
            return;
        };
        match counter.lease_place(peer) {
            Some(place) => {
                let shared = Arc::clone(shared);
                tokio::spawn(async move {
                    if let Err(error) = office::serve(&shared, peer, stream).await {
                        tracing::debug!(%peer, %error, "one that wants something was let go");
                    }
                    drop(place);
                });
            }
            None => turn_away(shared, peer, purpose, stream),
        }
        return;
    }
    if let Some(place) = counter.place(peer) {
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            match serve(&shared, peer, purpose, stream).await {
                Ok(stream) => see_off(&shared.counter, place, purpose, stream).await,
                Err(error) => tracing::debug!(
                    %peer, ?purpose, %error,
                    "a neighbour's question was not answered to its end"
                ),
            }
        });
        return;
    }
    turn_away(shared, peer, purpose, stream);
}

fn turn_away(shared: &Arc<Shared>, peer: PeerId, purpose: Purpose, stream: Stream) {
    shared.watch.busy();
    if let Ok(refusal) = Arc::clone(&shared.counter.refusals).try_acquire_owned() {
        let refusing = refuse(Arc::clone(shared), peer, purpose, stream);
        tokio::spawn(refusing.map(|()| drop(refusal)));
    } else {
        tracing::debug!(%peer, "too many refusals under way; a stream is reset");
    }
}

async fn serve(
    shared: &Shared,
    peer: PeerId,
    purpose: Purpose,
    mut stream: Stream,
) -> Result<Stream, FrameError> {
    match purpose {
        Purpose::Query => answer_query(shared, peer, &mut stream).await?,
        Purpose::File => answer_file(shared, peer, &mut stream).await?,
        // These two have doors of their own.
        Purpose::Hello | Purpose::Lease => {}
    }
    close(&mut stream).await?;
    Ok(stream)
}

/// Waits until the neighbour has taken the last byte of a file and lets go of the stream, for which it needs no place any
/// more: only then is the body finished, should this host be about to stop.
async fn see_off(counter: &Counter, place: Place, purpose: Purpose, mut stream: Stream) {
    let leaving = counter.leaving.try_acquire();
    drop(place);
    if purpose == Purpose::File && leaving.is_ok() {
        let _ = timeout(SEND_STALL_MAX, stream.read(&mut [0])).await;
    }
}

async fn refuse(shared: Arc<Shared>, peer: PeerId, purpose: Purpose, mut stream: Stream) {
    let refused = match purpose {
        Purpose::Query => frames::write(&mut stream, &BUSY, NO_PROGRESS_MAX).await,
        Purpose::File => frames::write(&mut stream, &FILE_BUSY, NO_PROGRESS_MAX).await,
        Purpose::Lease => frames::write(&mut stream, &Word::Busy, NO_PROGRESS_MAX).await,
        Purpose::Hello => return,
    };
    if let Ok(sent) = refused {
        shared.count_sent(&peer, sent);
        let _ = close(&mut stream).await;
    }
}

/// Ends the stream properly; one that is dropped without this is reset.
async fn close(stream: &mut Stream) -> Result<(), FrameError> {
    let closed = timeout(SEND_STALL_MAX, stream.close()).await;
    Ok(closed.map_err(|_| FrameError::Late)??)
}

async fn answer_query(
    shared: &Shared,
    peer: PeerId,
    stream: &mut Stream,
) -> Result<(), FrameError> {
    let answer = match frames::read::<Query>(stream, NO_PROGRESS_MAX).await {
        Ok((query, received)) => {
            shared.count_received(&peer, received);
            answer_to(shared, peer, query).await
        }
        Err(FrameError::Codec(_)) => Answer::Refused,
        Err(error) => return Err(error),
    };
    let sent = match frames::write(stream, &answer, SEND_STALL_MAX).await {
        // What the shelf gave does not fit a frame; the neighbour need not suffer for it.
        Err(FrameError::Codec(error)) => {
            tracing::warn!(%error, "an answer of this host breaks the bounds of the wire");
            frames::write(stream, &Answer::Refused, SEND_STALL_MAX).await?
        }
        other => other?,
    };
    shared.count_sent(&peer, sent);
    Ok(())
}

async fn answer_to(shared: &Shared, peer: PeerId, query: Query) -> Answer {
    // It would have to be paid for. Of which site it is may be asked all the same: that decides whether it would.
    if !matches!(query, Query::Site { .. }) && shared.is_out_of_budget(&peer) {
        return Answer::Refused;
    }
    shared.watch.asked(kind_of(&query));
    match query {
        Query::Acquaint { v4, v6 } => {
            shared.has_come(&peer, (v4, v6));
            let roster = &shared.roster;
            let may_be_told = |other: &PeerId| roster.is_neighbour(other);
            shared.company.answer(&peer, (v4, v6), may_be_told)
        }
        Query::Site { name } => sites::answer(shared, &peer, name),
        Query::Line(question) => line::answer(shared, &peer, question),
        query => answer_from_shelf(shared, peer, query).await,
    }
}

async fn answer_from_shelf(shared: &Shared, peer: PeerId, query: Query) -> Answer {
    let (shelf, signer) = (Arc::clone(&shared.shelf), shared.members.signer.clone());
    let is_paused = shared.are_uploads_paused();
    // Where our own limit is used up, files wait for their turn on streams of their own; to another site all do.
    let may_go =
        shared.up.has_room_for(INLINE_FILE_BYTES_MAX as u64) && !shared.roster.is_across(&peer);
    let file_bytes_max = if may_go { INLINE_FILE_BYTES_MAX } else { 0 };
    let looked = tokio::task::spawn_blocking(move || match query {
        Query::Inline(question) => {
            Answer::Inline(inline::answer(&*shelf, question, file_bytes_max))
        }
        query => look_up(&*shelf, signer.as_deref(), query),
    });
    let mut answer = looked.await.unwrap_or(Answer::Refused);
    let is_shown = |file: &FileSummary| !is_paused || file.length <= SMALL_FILE_BYTES_MAX;
    match &mut answer {
        Answer::Located { file, .. } => drop(file.take_if(|file| !is_shown(file))),
        Answer::Inline(InlineAnswer { file, .. }) => {
            if matches!(file, InlineFile::Large(summary) if !is_shown(summary)) {
                *file = InlineFile::NotHere;
            }
        }
        _ => {}
    }
    answer
}

/// The word for a question in the counters.
fn kind_of(query: &Query) -> &'static str {
    match query {
        Query::Locate { .. } => "locate",
        Query::Tiles { .. } => "tiles",
        Query::Head { .. } => "head",
        Query::Versions { .. } => "versions",
        Query::Stated { .. } => "stated",
        Query::Note { .. } => "note",
        Query::Acquaint { .. } => "acquaint",
        Query::FreshTiles { .. } => "fresh_tiles",
        Query::Said { .. } => "said",
        Query::Site { .. } => "site",
        Query::Inline(_) => "inline",
        Query::Line(_) => "line",
    }
}

/// `signer` is that of a closed host, whose neighbours are all members.
fn look_up(shelf: &dyn Shelf, signer: Option<&Signer>, query: Query) -> Answer {
    match query {
        Query::Locate { file, record } => Answer::Located {
            file: file
                .and_then(|key| shelf.summary(KeyHash(key)))
                .map(|(blob, length)| FileSummary {
                    blob: blob.0,
                    length,
                }),
            record: record.and_then(|question| {
                let database = DatabaseId(question.database);
                shelf.record(database, KeyHash(question.key))
            }),
        },
        Query::Tiles {
            database,
            coordinates,
        } => {
            let tile = |c: modmesh_protocol::wire::TileName| {
                let (width, bytes) = shelf.tile(DatabaseId(database), c.level, c.index, c.width)?;
                (width >= c.width).then_some(TileBytes { width, bytes })
            };
            Answer::Tiles(coordinates.into_iter().map(tile).collect())
        }
        Query::FreshTiles {
            database,
            coordinates,
        } => {
            let database = DatabaseId(database);
            let tile = |c: modmesh_protocol::wire::TileName| {
                let proved = shelf.tile(database, c.level, c.index, c.width);
                let (width, bytes) =
                    proved.or_else(|| shelf.fresh_tile(database, c.level, c.index, c.width))?;
                (width >= c.width).then_some(TileBytes { width, bytes })
            };
            Answer::Tiles(coordinates.into_iter().map(tile).collect())
        }
        Query::Said { key } => match signer {
            Some(signer) => signer.said(shelf, KeyHash(key)),
            None => Answer::Said(None),
        },
        // Answered before.
        Query::Acquaint { .. } | Query::Site { .. } | Query::Inline(_) | Query::Line(_) => {
            Answer::Refused
        }
        Query::Head { database } => Answer::Head(shelf.head(DatabaseId(database))),
        Query::Versions { database, key } => {
            let database = DatabaseId(database);
            let shown = shelf.versions(database, KeyHash(key));
            let (head, records) = shown.unwrap_or_default();
            let records = as_many_as_fit(records);
            let head = if records.is_empty() {
                String::new()
            } else {
                head
            };
            Answer::Versions { head, records }
        }
        Query::Stated { file } => match signer {
            Some(signer) => signer.state(shelf, KeyHash(file)),
            None => Answer::Stated(None),
        },
        Query::Note { path } => match signer {
            Some(_) => statements::note(shelf, &path),
            None => Answer::Note(None),
        },
    }
}

/// The first of `records`, as far as one answer takes them.
fn as_many_as_fit(records: Vec<(u64, String)>) -> Vec<VersionRecord> {
    let mut bytes_left = VERSIONS_TEXT_BYTES_MAX;
    let mut fits = |text: &str| match bytes_left.checked_sub(text.len()) {
        Some(left) if text.len() <= RECORD_TEXT_BYTES_MAX => {
            bytes_left = left;
            true
        }
        _ => false,
    };
    let fitting = records.into_iter().filter(|(_, text)| fits(text));
    fitting
        .take(VERSIONS_RECORDS_MAX)
        .map(|(id, text)| VersionRecord { id, text })
        .collect()
}

async fn answer_file(shared: &Shared, peer: PeerId, stream: &mut Stream) -> Result<(), FrameError> {
    let refusal = match frames::read::<FileRequest>(stream, NO_PROGRESS_MAX).await {
        Ok((FileRequest::Whole { file }, received)) => {
            shared.count_received(&peer, received);
            shared.watch.asked("file");
            let upload = shared.counter.uploads.take_now();
            // A small limit between sites is shared by few, and not waited for: nobody waits longer than two seconds for a byte.
            let crossing = match shared.roster.is_across(&peer) {
                true => shared.crossing.up.place_now(),
                false => Some(None),
            };
            if let (Some(_upload), Some(_crossing)) = (upload, crossing) {
                return send_file(shared, peer, stream, KeyHash(file)).await;
            }
            shared.watch.busy();
            FILE_BUSY
        }
        Err(FrameError::Codec(_)) => FileAnswer::Refused,
        Err(error) => return Err(error),
    };
    let sent = frames::write(stream, &refusal, SEND_STALL_MAX).await?;
    shared.count_sent(&peer, sent);
    Ok(())
}

/// A file that was taken from the shelf, with its first bytes and their hash so far.
pub(super) struct Taken {
    file: File,
    blob: BlobId,
    pub(super) length: u64,
    pub(super) first: Vec<u8>,
    hasher: Hasher,
}

async fn send_file(
    shared: &Shared,
    peer: PeerId,
    stream: &mut Stream,
    key: KeyHash,
) -> Result<(), FrameError> {
    let shelf = Arc::clone(&shared.shelf);
    let taken = tokio::task::spawn_blocking(move || take_from_shelf(&*shelf, key)).await;
    let Some(taken) = taken.ok().flatten() else {
        let sent = frames::write(stream, &FileAnswer::NotHere, SEND_STALL_MAX).await?;
        shared.count_sent(&peer, sent);
        return Ok(());
    };
    if taken.length > SMALL_FILE_BYTES_MAX && shared.are_uploads_paused() {
        shared.watch.busy();
        let sent = frames::write(stream, &FILE_BUSY, SEND_STALL_MAX).await?;
        shared.count_sent(&peer, sent);
        return Ok(());
    }
    let Ok(mut reserved) = shared.reserve(&peer, taken.length) else {
        let sent = frames::write(stream, &FileAnswer::Refused, SEND_STALL_MAX).await?;
        shared.count_sent(&peer, sent);
        return Ok(());
    };
    let header = FileAnswer::Here {
        blob: taken.blob.0,
        length: taken.length,
    };
    let mut head_and_first = encode(&header)?;
    head_and_first.extend_from_slice(&taken.first);
    send(shared, &peer, stream, &head_and_first, &mut reserved).await?;
    if taken.length == taken.first.len() as u64 {
        return Ok(());
    }
    let (chunks, mut ready) = mpsc::channel(CHUNKS_AHEAD);
    let shelf = Arc::clone(&shared.shelf);
    let reading = tokio::task::spawn_blocking(move || {
        read_ahead(taken, &chunks).inspect_err(|error| {
            if error.kind() == ErrorKind::InvalidData {
                shelf.damaged(key);
            }
        })
    });
    while let Some(chunk) = ready.recv().await {
        send(shared, &peer, stream, &chunk, &mut reserved).await?;
    }
    match reading.await {
        Ok(read) => Ok(read?),
        Err(_) => Err(FrameError::Stream(ErrorKind::Other.into())),
    }
}

async fn send(
    shared: &Shared,
    peer: &PeerId,
    stream: &mut Stream,
    bytes: &[u8],
    reserved: &mut Option<Reserved<'_>>,
) -> Result<(), FrameError> {
    for part in bytes.chunks(TIMED_BYTES) {
        shared.up.pass(part.len() as u64).await;
        if let Some(reserved) = reserved {
            shared.crossing.up.pass(part.len() as u64).await;
            reserved.passed(part.len() as u64);
        }
        let sending = timeout(SEND_STALL_MAX, stream.write_all(part)).await;
        sending.map_err(|_| FrameError::Late)??;
        shared.note_sent(peer, part.len() as u64);
    }
    Ok(())
}

/// Blocks on the disk: the file's first chunk, which for most files is all of it, and then its hash is the right one.
pub(super) fn take_from_shelf(shelf: &dyn Shelf, key: KeyHash) -> Option<Taken> {
    let mut shelved = shelf.file(key)?;
    let first_bytes = shelved.length.min(CHUNK_BYTES as u64) as usize;
    let mut first = vec![0; first_bytes];
    if let Err(error) = shelved.file.read_exact(&mut first) {
        tracing::warn!(%error, "a file of the store cannot be read; it is not offered");
        return None;
    }
    let mut hasher = Hasher::new();
    hasher.update(&first);
    let (blob, length) = (shelved.blob, shelved.length);
    if length == first.len() as u64 && BlobId(hasher.clone().finish()) != blob {
        shelf.damaged(key);
        return None;
    }
    Some(Taken {
        file: shelved.file,
        blob,
        length,
        first,
        hasher,
    })
}

/// Blocks on the disk: hands over the rest of the file in chunks, or fails. The last chunk is held back until all bytes
/// have the hash that was promised. Ends early when nobody takes them.
fn read_ahead(mut taken: Taken, chunks: &mpsc::Sender<Vec<u8>>) -> std::io::Result<()> {
    let mut left = taken.length - taken.first.len() as u64;
    while left > 0 {
        let mut chunk = vec![0; left.min(CHUNK_BYTES as u64) as usize];
        taken.file.read_exact(&mut chunk)?;
        taken.hasher.update(&chunk);
        left -= chunk.len() as u64;
        if left == 0 && BlobId(taken.hasher.clone().finish()) != taken.blob {
            return Err(std::io::Error::new(
                ErrorKind::InvalidData,
                "a file of the store has changed",
            ));
        }
        if chunks.blocking_send(chunk).is_err() {
            return Err(ErrorKind::BrokenPipe.into());
        }
    }
    Ok(())
}
