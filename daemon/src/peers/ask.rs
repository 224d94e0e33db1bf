//! Asking one neighbour: a question, tiles, heads, files.
//!
//! A neighbour that gives no byte for two seconds is left; so is one that drips. What comes back is checked for form
//! (numbers, widths, the promised length) and for nothing else: whether it is true is not decided here.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::AsyncReadExt;
use futures::stream::StreamExt;
use libp2p::PeerId;
use libp2p::core::upgrade::NegotiationError;
use libp2p::swarm::Stream;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::digest::BlobId;
use modmesh_protocol::limits::{
    NO_PROGRESS_MAX, PROGRESS_BYTES_MIN, RETRY_AFTER_MS, TILES_PER_QUERY_MAX,
};
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::wire::{
    Answer, FileAnswer, FileRequest, InlineAnswer, Query, SaidByUpstream, TileBytes, TileName,
};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::crossing::Reserved;
use super::frames::{self, FrameError};
use super::lanes::FileLane;
use super::streams::{OpenError, Purpose};
use super::{Command, Haste, PeerError, Shared, Tile, name_of};

/// Queries for tiles under way for one asker, so that other questions still find a lane.
const TILE_QUERIES_MAX: usize = 4;
/// How long a busy neighbour is asked again for a file: another holder or an upstream may be better than waiting.
const BUSY_FILE_WAIT: Duration = Duration::from_millis(300);
/// Bytes read from a stream at a time.
const CHUNK_BYTES: u64 = 256 * 1024;

/// A stream to `peer`.
pub(super) async fn open(
    shared: &Shared,
    peer: &PeerId,
    purpose: Purpose,
) -> Result<Stream, PeerError> {
    let (reply, answer) = oneshot::channel();
    let command = Command::Open {
        peer: *peer,
        purpose,
        reply,
    };
    let opening = async {
        shared
            .commands
            .send(command)
            .await
            .map_err(|_| PeerError::Gone)?;
        match answer.await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(OpenError::TooMany)) => Err(busy(RETRY_AFTER_MS)),
            Ok(Err(OpenError::Late)) => Err(PeerError::Stalled),
            Ok(Err(OpenError::Unsupported)) => Err(PeerError::Refused),
            Ok(Err(OpenError::Gone)) | Err(_) => Err(PeerError::Gone),
        }
    };
    timeout(NO_PROGRESS_MAX, opening)
        .await
        .unwrap_or(Err(PeerError::Stalled))
}

/// One question, one answer.
async fn query(shared: &Shared, peer: &PeerId, query: &Query) -> Result<Answer, PeerError> {
    let outcome = async {
        let _lane = shared.lanes.query(&shared.roster, peer).await?;
        let mut stream = open(shared, peer, Purpose::Query).await?;
        let sent = frames::write(&mut stream, query, NO_PROGRESS_MAX).await?;
        shared.count_sent(peer, sent);
        let (answer, bytes) = frames::read::<Answer>(&mut stream, NO_PROGRESS_MAX).await?;
        shared.count_received(peer, bytes);
        match answer {
            Answer::Busy { retry_after_ms } => Err(busy(retry_after_ms)),
            Answer::Refused => Err(PeerError::Refused),
            answer => Ok(answer),
        }
    };
    note_failure(shared, peer, outcome.await)
}

/// Like [`query`], but asks again while the neighbour is busy, for two seconds in all.
pub(super) async fn query_patiently(
    shared: &Shared,
    peer: &PeerId,
    question: &Query,
) -> Result<Answer, PeerError> {
    let give_up = Instant::now() + NO_PROGRESS_MAX;
    loop {
        match query(shared, peer, question).await {
            Err(PeerError::Busy { retry_after }) if Instant::now() + retry_after < give_up => {
                sleep(retry_after).await;
            }
            outcome => return outcome,
        }
    }
}

/// Tiles by place; see [`super::Peers::tiles`].
pub(super) async fn tiles(
    shared: &Shared,
    peer: &PeerId,
    database: DatabaseId,
    coordinates: &[(u8, u64, u16)],
) -> Result<Vec<Option<Tile>>, PeerError> {
    let question = |coordinates| Query::Tiles {
        database: database.0,
        coordinates,
    };
    tiles_by(shared, peer, question, coordinates).await
}

/// See [`super::Peers::fresh_tiles`].
pub(super) async fn fresh_tiles(
    shared: &Shared,
    peer: &PeerId,
    database: DatabaseId,
    coordinates: &[(u8, u64, u16)],
) -> Result<Vec<Option<Tile>>, PeerError> {
    let question = |coordinates| Query::FreshTiles {
        database: database.0,
        coordinates,
    };
    tiles_by(shared, peer, question, coordinates).await
}

async fn tiles_by(
    shared: &Shared,
    peer: &PeerId,
    question: impl Fn(Vec<TileName>) -> Query,
    coordinates: &[(u8, u64, u16)],
) -> Result<Vec<Option<Tile>>, PeerError> {
    let queries = coordinates.chunks(TILES_PER_QUERY_MAX).map(|part| {
        let coordinates = part.iter().map(|&(level, index, width)| TileName {
            level,
            index,
            width,
        });
        let query = question(coordinates.collect());
        async move { check_tiles(part, query_patiently(shared, peer, &query).await?) }
    });
    // Boxed: the compiler cannot see through the closure's lifetimes otherwise.
    let queries: Vec<_> = queries.map(futures::FutureExt::boxed).collect();
    let mut answers = futures::stream::iter(queries).buffered(TILE_QUERIES_MAX);
    let mut tiles = Vec::with_capacity(coordinates.len());
    while let Some(answer) = answers.next().await {
        tiles.extend(answer?);
    }
    Ok(tiles)
}

fn check_tiles(asked: &[(u8, u64, u16)], answer: Answer) -> Result<Vec<Option<Tile>>, PeerError> {
    let Answer::Tiles(tiles) = answer else {
        return Err(PeerError::Protocol("another answer than tiles"));
    };
    if tiles.len() != asked.len() {
        return Err(PeerError::Protocol(
            "another number of tiles than asked for",
        ));
    }
    let fits = |tile: &TileBytes, least: u16| {
        (least..=256).contains(&tile.width) && tile.bytes.len() == usize::from(tile.width) * 32
    };
    let check = |(tile, &(_, _, least)): (Option<TileBytes>, &(u8, u64, u16))| match tile {
        Some(tile) if !fits(&tile, least) => Err(PeerError::Protocol("a tile of another width")),
        tile => Ok(tile.map(|tile| (tile.width, tile.bytes))),
    };
    tiles.into_iter().zip(asked).map(check).collect()
}

/// What the upstream of a member said; see [`super::Peers::said`].
pub(super) async fn said(
    shared: &Shared,
    peer: &PeerId,
    key: KeyHash,
) -> Result<Option<SaidByUpstream>, PeerError> {
    match query_patiently(shared, peer, &Query::Said { key: key.0 }).await? {
        Answer::Said(said) => Ok(said),
        _ => Err(PeerError::Protocol("another answer than a saying")),
    }
}

/// The signed head; see [`super::Peers::head`].
pub(super) async fn head(
    shared: &Shared,
    peer: &PeerId,
    database: DatabaseId,
) -> Result<Option<String>, PeerError> {
    let question = Query::Head {
        database: database.0,
    };
    match query_patiently(shared, peer, &question).await? {
        Answer::Head(note) => Ok(note),
        _ => Err(PeerError::Protocol("another answer than a head")),
    }
}

/// A file; see [`super::Peers::fetch`].
pub(super) async fn fetch(
    shared: &Shared,
    peer: &PeerId,
    file: KeyHash,
    bytes_max: u64,
    haste: Haste,
    sink: &mut (dyn AsyncWrite + Unpin + Send),
) -> Result<(BlobId, u64), PeerError> {
    // Before the lane: who waits for a share of our own limits is in nobody's way, and who waits for one across not on the link.
    let _crossing = match shared.roster.is_across(peer) {
        true => shared.crossing.down.place().await,
        false => None,
    };
    let _place = shared.down.place().await;
    // Kept while the neighbour is busy: who has waited for it does not go to the end of the queue again.
    let lane = shared.lanes.file(&shared.roster, peer, haste).await?;
    let give_up = Instant::now() + BUSY_FILE_WAIT;
    loop {
        match fetch_once(shared, peer, file, bytes_max, &lane, sink).await {
            Err(PeerError::Busy { retry_after }) if Instant::now() + retry_after < give_up => {
                sleep(retry_after).await;
            }
            outcome => return outcome,
        }
    }
}

async fn fetch_once(
    shared: &Shared,
    peer: &PeerId,
    file: KeyHash,
    bytes_max: u64,
    lane: &FileLane,
    sink: &mut (dyn AsyncWrite + Unpin + Send),
) -> Result<(BlobId, u64), PeerError> {
    let began = Instant::now();
    let outcome = async {
        let mut stream = open(shared, peer, Purpose::File).await?;
        let request = FileRequest::Whole { file: file.0 };
        let sent = frames::write(&mut stream, &request, NO_PROGRESS_MAX).await?;
        shared.count_sent(peer, sent);
        let (answer, bytes) = frames::read::<FileAnswer>(&mut stream, NO_PROGRESS_MAX).await?;
        shared.count_received(peer, bytes);
        let (blob, length) = match answer {
            FileAnswer::Here { blob, length } => (BlobId(blob), length),
            FileAnswer::NotHere => return Err(PeerError::NotHere),
            FileAnswer::Busy { retry_after_ms } => return Err(busy(retry_after_ms)),
            FileAnswer::Refused => return Err(PeerError::Refused),
        };
        if length > bytes_max {
            return Err(PeerError::TooLarge {
                bytes: length,
                bytes_max,
            });
        }
        let first_byte = began.elapsed();
        let Ok(mut reserved) = shared.reserve(peer, length) else {
            return Err(PeerError::OverBudget);
        };
        let site = shared.roster.other_site_of(peer);
        receive(shared, peer, &mut stream, length, lane, sink, &mut reserved).await?;
        if let Some(site) = site {
            let crossing = &shared.crossing;
            crossing.saw(site, length, first_byte, began.elapsed());
        }
        Ok((blob, length))
    };
    note_failure(shared, peer, outcome.await)
}

/// Moves exactly `length` bytes into `sink`, no faster than our own limit allows. Time spent for that and in `sink` is not held
/// against the neighbour.
async fn receive(
    shared: &Shared,
    peer: &PeerId,
    stream: &mut Stream,
    length: u64,
    lane: &FileLane,
    sink: &mut (dyn AsyncWrite + Unpin + Send),
    reserved: &mut Option<Reserved<'_>>,
) -> Result<(), PeerError> {
    let mut buffer = vec![0; length.min(CHUNK_BYTES) as usize];
    let mut left = length;
    let (mut patience, mut progress) = (NO_PROGRESS_MAX, 0);
    while left > 0 {
        let room = left.min(CHUNK_BYTES) as usize;
        let started = Instant::now();
        let read = timeout(patience, stream.read(&mut buffer[..room])).await;
        let received = read.map_err(|_| PeerError::Stalled)?.map_err(broken)?;
        if received == 0 {
            return Err(PeerError::Short {
                received: length - left,
                promised: length,
            });
        }
        patience = patience.saturating_sub(started.elapsed());
        progress += received as u64;
        if progress >= PROGRESS_BYTES_MIN {
            (patience, progress) = (NO_PROGRESS_MAX, 0);
        }
        left -= received as u64;
        shared.note_received(peer, received as u64);
        let mut came = shared.down.came(received as u64);
        let crossing = &shared.crossing.down;
        let mut crossed = reserved.as_mut().map(|reserved| {
            reserved.passed(received as u64);
            crossing.came(received as u64)
        });
        let part_bytes = match crossed {
            Some(_) => shared.down.part_bytes().min(crossing.part_bytes()),
            None => shared.down.part_bytes(),
        };
        for part in buffer[..received].chunks(part_bytes) {
            came.pass(part.len() as u64).await;
            if let Some(crossed) = &mut crossed {
                crossed.pass(part.len() as u64).await;
            }
            lane.moved(part.len() as u64);
            sink.write_all(part).await.map_err(PeerError::Sink)?;
        }
    }
    sink.flush().await.map_err(PeerError::Sink)
}

/// One question for a small file and what proves it. `begun` is set when its answer has begun to come: who gives one at all is not
/// silent, whatever its line takes for the rest: where somebody else can be asked two seconds, else as long as it moves.
pub(super) async fn inline(
    shared: &Shared,
    peer: &PeerId,
    question: &Query,
    haste: Haste,
    begun: &AtomicBool,
) -> Result<InlineAnswer, PeerError> {
    let outcome = async {
        let _lane = shared.lanes.query(&shared.roster, peer).await?;
        let mut stream = open(shared, peer, Purpose::Query).await?;
        let sent = frames::write(&mut stream, question, NO_PROGRESS_MAX).await?;
        shared.count_sent(peer, sent);
        let begin = || begun.store(true, Ordering::Relaxed);
        let reading = frames::read_in_pieces::<Answer>(&mut stream, NO_PROGRESS_MAX, begin);
        let read = match haste {
            Haste::OthersWait => timeout(NO_PROGRESS_MAX, reading).await,
            Haste::NobodyElse => Ok(reading.await),
        };
        let read = read.unwrap_or(Err(FrameError::Late));
        if matches!(read, Err(FrameError::Late)) && begun.load(Ordering::Relaxed) {
            shared.roster.is_slow_inline(peer);
            return Err(PeerError::Overtaken);
        }
        let (answer, bytes) = read?;
        shared.count_received(peer, bytes);
        match answer {
            Answer::Inline(answer) => Ok(answer),
            Answer::Busy { retry_after_ms } => Err(busy(retry_after_ms)),
            Answer::Refused => {
                shared.roster.gives_no_inline(peer);
                Err(PeerError::Refused)
            }
            _ => Err(PeerError::Protocol("another answer than a small file")),
        }
    };
    note_failure(shared, peer, outcome.await)
}

/// "Busy", as the neighbour says it, or the swarm's task when too many streams wait to be opened.
fn busy(retry_after_ms: u32) -> PeerError {
    // A neighbour may not send us to sleep for longer than it may be silent.
    let retry_after = Duration::from_millis(retry_after_ms.into()).min(NO_PROGRESS_MAX);
    PeerError::Busy { retry_after }
}

/// A stream error is the end of this stream, not of the neighbour: a reset looks the same as a closed connection. A protocol that the
/// other side does not speak shows when its answer is read.
fn broken(error: io::Error) -> PeerError {
    let inner = error.get_ref();
    match inner.is_some_and(|inner| inner.is::<NegotiationError>()) {
        true => PeerError::Refused,
        false => PeerError::Gone,
    }
}

impl From<FrameError> for PeerError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Late => Self::Stalled,
            FrameError::Stream(error) => broken(error),
            FrameError::Codec(error) => Self::Message(error),
        }
    }
}

/// Remembers what went wrong with a neighbour, for people to see, and who was silent, so that it is looked at and nobody waits for
/// it again at once; being busy or not having a file is not wrong.
fn note_failure<T>(
    shared: &Shared,
    peer: &PeerId,
    outcome: Result<T, PeerError>,
) -> Result<T, PeerError> {
    match &outcome {
        Ok(_)
        | Err(
            PeerError::LanesFull
            | PeerError::Busy { .. }
            | PeerError::NotHere
            | PeerError::OverBudget
            | PeerError::Sink(_),
        ) => {}
        Err(error) => {
            shared.roster.failed(peer, error.to_string());
            if matches!(error, PeerError::Stalled) {
                shared.roster.was_slow(&name_of(peer));
                shared.suspect(peer);
            }
        }
    }
    outcome
}
