//! Asking the owners of a thing whether to fetch it, to wait for somebody who does, or to take it from one that has it.
//!
//! What to do is decided by [`Asker`](modmesh_protocol::lease::Asker); here are its clock, its streams and its end. One task leads the conversation and tells its
//! asker in turns; each owner has a stream and a task of its own. A name that an owner says counts only when this host knows it without
//! that: nobody is called at an address that an owner named.

mod clock;
mod conversation;
mod count;
mod owners;
mod said;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::lease::{Fetched, Progress, Road};
use modmesh_protocol::peer_name::PeerName;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

pub(super) use clock::{Clock, LOOK_EVERY};
use conversation::Conversation;
pub(super) use count::Talks;
pub(super) use owners::{owner_names, owners_of};

use super::errands::{self, Errand};
use super::{Shared, lock, peer_id_of};

/// An owner that gave no first word for so long is looked at; others that may have a thing are waited for so long once one is there.
const FIRST_WORD_MAX: Duration = Duration::from_millis(100);
/// Words and news that wait to be looked at.
const WAITING_MAX: usize = 16;

/// How far a fetch from outside is. Counted by whoever fetches, told to those who wait.
#[derive(Debug, Default)]
pub struct SoFar {
    bytes: AtomicU64,
    /// 0 while it is not known.
    total: AtomicU64,
}

impl SoFar {
    /// More came.
    pub fn came(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The whole has this many bytes.
    pub fn announced(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// What came is of no use; it begins anew.
    pub fn restarted(&self) {
        self.bytes.store(0, Ordering::Relaxed);
        self.total.store(0, Ordering::Relaxed);
    }

    fn progress(&self) -> Progress {
        let total = self.total.load(Ordering::Relaxed);
        Progress {
            bytes: self.bytes.load(Ordering::Relaxed),
            total: (total > 0).then_some(total),
        }
    }
}

/// What is to be talked about.
#[derive(Debug, Clone)]
pub struct About {
    /// The file or record.
    pub key: KeyHash,
    /// [`KeyHash::of_place`] of its module.
    pub place: KeyHash,
    /// Bytes that it can have at most.
    pub bytes_max: u64,
    /// Whether this host has an upstream that is not known to be down.
    pub can_fetch: bool,
    /// How far the fetch is, once there is one.
    pub so_far: Arc<SoFar>,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Fetch it from outside, and say how that ended: [`Talk::end`].
    Fetch,
    /// Take it from one of these, and say whether it is here: [`Talk::taken`].
    Take(Vec<PeerName>),
    /// Nobody has it, and this host cannot fetch it.
    Nobody,
}

/// A conversation with the owners of one thing. Dropping it ends it, as if this host had gone.
#[derive(Debug)]
pub struct Talk {
    shared: Arc<Shared>,
    news: mpsc::Receiver<News>,
    waited_for: Arc<Mutex<Vec<PeerName>>>,
    told: mpsc::Sender<Told>,
    /// To holders that are no neighbours.
    errands: Vec<Errand>,
}

/// What the conversation tells its asker.
#[derive(Debug)]
enum News {
    Turn(Turn),
    /// It waits for this one.
    Waits(PeerName),
}

#[derive(Debug)]
enum Told {
    Taken(bool),
    Ended(Fetched),
}

impl Talk {
    /// What to do next. Takes as long as the owners say that somebody fetches it, within the bounds of
    /// [`Asker`](modmesh_protocol::lease::Asker).
    pub async fn next(&mut self) -> Turn {
        self.next_with(|_| ()).await
    }

    /// As [`Talk::next`]; hears of each neighbour for which the owners have this host wait, when that begins.
    pub async fn next_with(&mut self, mut waits_for: impl FnMut(PeerName)) -> Turn {
        loop {
            let turn = match self.news.recv().await {
                Some(News::Turn(turn)) => turn,
                Some(News::Waits(holder)) => {
                    waits_for(holder);
                    continue;
                }
                None => Turn::Nobody,
            };
            let Turn::Take(holders) = turn else {
                return turn;
            };
            let there = self.call_on(holders).await;
            if !there.is_empty() {
                return Turn::Take(there);
            }
            self.taken(false).await;
        }
    }

    /// Those of `holders` that are there; who is no neighbour is called and stays connected until this conversation ends.
    async fn call_on(&mut self, holders: Vec<PeerName>) -> Vec<PeerName> {
        let shared = &self.shared;
        let calls = holders.into_iter().enumerate();
        let calls = calls.map(async |(turn, holder)| {
            let called = errands::call_on(shared, peer_id_of(&holder)?).await;
            if let Err(error) = &called {
                tracing::debug!(%holder, %error, "one that has it was not reached");
            }
            Some((turn, holder, called.ok()?))
        });
        let mut calls: FuturesUnordered<_> = calls.collect();
        let mut there = Vec::new();
        let mut give_up = None;
        while let Some(call) = match give_up {
            None => calls.next().await,
            // One of them is enough; the others may swallow the call.
            Some(at) => timeout_at(at, calls.next()).await.ok().flatten(),
        } {
            there.extend(call);
            if !there.is_empty() {
                give_up.get_or_insert(tokio::time::Instant::now() + FIRST_WORD_MAX);
            }
        }
        drop(calls);
        there.sort_by_key(|(turn, ..)| *turn);
        let there = there.into_iter().map(|(_, holder, errand)| {
            self.errands.extend(errand);
            holder
        });
        there.collect()
    }

    /// Those that this host waited for until the last turn, the first in front, three at most. Where it was told to fetch it itself
    /// they know why they did not get it.
    pub fn waited_for(&self) -> Vec<PeerName> {
        lock(&self.waited_for).clone()
    }

    /// Whether it is here now from one of those that were named.
    pub async fn taken(&self, is_here: bool) {
        let _ = self.told.send(Told::Taken(is_here)).await;
    }

    /// How fetching it ended.
    pub async fn end(self, how: Fetched) {
        let _ = self.told.send(Told::Ended(how)).await;
    }
}

/// Begins a conversation. `road` says what this host's own way to the upstream is worth. Nothing where this host has no neighbours.
pub(super) fn begin(
    shared: &Arc<Shared>,
    about: About,
    road: impl Fn() -> Road + Send + Sync + 'static,
) -> Option<Talk> {
    let candidates = shared.candidates();
    if candidates.is_empty() {
        return None;
    }
    let (news_in, news) = mpsc::channel(WAITING_MAX);
    let (told, told_in) = mpsc::channel(WAITING_MAX);
    let (words_in, words) = mpsc::channel(WAITING_MAX);
    let waited_for = Arc::default();
    let owners = owners_of(shared, &about.place, &candidates);
    let conversation = Conversation::new(
        shared,
        about,
        owners,
        words_in,
        news_in,
        Arc::clone(&waited_for),
    );
    tokio::spawn(conversation.lead(words, told_in, road));
    Some(Talk {
        shared: Arc::clone(shared),
        news,
        waited_for,
        told,
        errands: Vec::new(),
    })
}
