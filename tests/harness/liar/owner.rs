//! A neighbour that lies as an owner: where it should say who fetches a thing, it says what it likes.
//!
//! No word of it names an address, so the lies are about who fetches, who has it, and for how long to wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use modmesh_daemon::peers::{Peers, RawStream};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::lease::{Member, MemberId, Progress, Word, owners};
use modmesh_protocol::limits::PROGRESS_EVERY;
use modmesh_protocol::module::ModulePath;
use modmesh_protocol::wire::{FRAME_HEAD_BYTES, FrameHead, encode};

/// Time for each step of a stream.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it keeps at its lie: longer than anybody believes it.
const LIE_MAX: Duration = Duration::from_secs(600);

/// What an owner says to everybody, whatever they want.
#[derive(Debug, Clone)]
pub enum OwnerLie {
    /// "Wait" for this one, again and again, and never how far it is.
    Wait(MemberId),
    /// "Wait" for this one, which gets on by so many bytes a second.
    WaitForDrip(MemberId, u64),
    /// "Wait" for this one, which has all of so many bytes, and never is one that has it.
    WaitForDone(MemberId, u64),
    /// "The lease is yours".
    FetchAll,
    /// "These have it".
    Have(Vec<MemberId>),
    /// Nothing.
    Silence,
}

/// Whether the first of these hosts, by their peer ids, is the first owner of a module when all are settled.
///
/// # Panics
/// When a name or the path is none.
pub(super) fn owns(names: &[String], path: &str) -> bool {
    let id = |name: &String| MemberId::of(&name.parse().expect("a peer id"));
    let up = Duration::ZERO;
    let members: Vec<Member> = names
        .iter()
        .map(|name| Member { id: id(name), up })
        .collect();
    let module = ModulePath::parse(path).expect("a module path");
    let first = owners(&KeyHash::of_place(&module), &members)[0];
    first.is_some() && first == names.first().map(id)
}

/// Lies to all who ask until `peers` ends; `asked` counts them.
pub(super) async fn lie(peers: Peers, lie: OwnerLie, asked: Arc<AtomicU64>) {
    let mut conversations = peers.take_conversations();
    while let Some((_, stream)) = conversations.recv().await {
        asked.fetch_add(1, Ordering::Relaxed);
        let lie = lie.clone();
        tokio::spawn(async move { answer(stream, lie).await });
    }
}

/// Goes on until the asker has had enough.
async fn answer(mut stream: RawStream, lie: OwnerLie) -> Option<()> {
    let began = Instant::now();
    hear(&mut stream).await?;
    match lie {
        OwnerLie::Silence => {
            tokio::time::sleep(LIE_MAX).await;
        }
        OwnerLie::FetchAll => {
            say(&mut stream, &Word::Fetch).await?;
            // It reads what its askers say, as an owner does.
            while hear(&mut stream).await.is_some() {}
        }
        OwnerLie::Have(holders) => loop {
            let holders = holders.clone();
            say(&mut stream, &Word::Have { holders }).await?;
            // "It is not to be had there", and it says the same again.
            hear(&mut stream).await?;
        },
        OwnerLie::Wait(holder) => {
            while began.elapsed() < LIE_MAX {
                say(&mut stream, &Word::Wait { holder }).await?;
                tokio::time::sleep(PROGRESS_EVERY).await;
            }
        }
        OwnerLie::WaitForDone(holder, bytes) => {
            say(&mut stream, &Word::Wait { holder }).await?;
            while began.elapsed() < LIE_MAX {
                let total = Some(bytes);
                say(&mut stream, &Word::Progress(Progress { bytes, total })).await?;
                tokio::time::sleep(PROGRESS_EVERY).await;
            }
        }
        OwnerLie::WaitForDrip(holder, pace) => {
            say(&mut stream, &Word::Wait { holder }).await?;
            while began.elapsed() < LIE_MAX {
                let bytes = (began.elapsed().as_secs_f64() * pace as f64) as u64;
                let total = None;
                say(&mut stream, &Word::Progress(Progress { bytes, total })).await?;
                tokio::time::sleep(PROGRESS_EVERY).await;
            }
        }
    }
    Some(())
}

async fn say(stream: &mut RawStream, word: &Word) -> Option<()> {
    let frame = encode(word).expect("a word within the bounds");
    stream.send(&frame, PATIENCE).await.ok()
}

/// Reads one frame, whatever is in it.
async fn hear(stream: &mut RawStream) -> Option<()> {
    let head = stream.read_exactly(FRAME_HEAD_BYTES, LIE_MAX).await.ok()?;
    let head = FrameHead::parse(*head.first_chunk()?).ok()?;
    let payload = stream.read_exactly(head.payload_bytes, PATIENCE).await;
    payload.ok().map(drop)
}
