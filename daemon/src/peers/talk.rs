//! Asking the owners of a thing whether to fetch it, to wait for somebody who does, or to take it from one that has it.
//!
//! What to do is decided by [`Asker`]; here are its clock, its streams and its end. One task leads the conversation and tells its
//! asker in turns; each owner has a stream and a task of its own. A name that an owner says counts only when this host knows it without
//! that: nobody is called at an address that an owner named.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::PeerId;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::control::OwnerName;
use modmesh_protocol::lease::{
    Act, Ask, Asker, Circumstances, Claim, Fetched, MemberId, OWNERS, Progress, Road, Word, owners,
};
use modmesh_protocol::limits::{NO_PROGRESS_MAX, SEND_STALL_MAX};
use modmesh_protocol::peer_name::PeerName;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout, timeout_at};

use super::errands::{self, Errand};
use super::frames::{self, FrameError};
use super::office::{Visit, known_holders};
use super::roster::Settled;
use super::streams::Purpose;
use super::{PeerError, Shared, ask, lock, name_of, peer_id_of};

/// An owner that gave no first word for so long, or no other one while it is waited for, is looked at.
const FIRST_WORD_MAX: Duration = Duration::from_millis(100);
const NEXT_WORD_MAX: Duration = Duration::from_millis(500);
/// How often the conversation's clock is looked at: a first answer is expected within 100 ms.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Words and turns that wait to be looked at.
const WAITING_MAX: usize = 16;
/// How long a word of an owner is waited for; that one is silent is noticed by the conversation much earlier.
const WORD_WAIT_MAX: Duration = Duration::from_secs(40 * 60);
/// The longest time that owners are known to take for a first word and that is waited for, four times over.
const FAR: Duration = Duration::from_millis(250);
/// How long a stream is tried to be opened to an owner to whom too many are being opened already.
const OPEN_WAIT_MAX: Duration = NO_PROGRESS_MAX;

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

/// How many conversations are at which point, for people to see.
#[derive(Debug, Default)]
pub(super) struct Talks {
    pub(super) fetching: AtomicU64,
    pub(super) waiting: AtomicU64,
}

/// One conversation among them.
struct Counted {
    shared: Arc<Shared>,
    is_fetching: bool,
}

impl Counted {
    fn waits(shared: &Arc<Shared>) -> Self {
        shared.talks.waiting.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: Arc::clone(shared),
            is_fetching: false,
        }
    }

    fn fetches(&mut self) {
        if !std::mem::replace(&mut self.is_fetching, true) {
            let talks = &self.shared.talks;
            talks.waiting.fetch_sub(1, Ordering::Relaxed);
            talks.fetching.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let talks = &self.shared.talks;
        let counter = match self.is_fetching {
            true => &talks.fetching,
            false => &talks.waiting,
        };
        counter.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is to be talked about.
#[derive(Debug, Clone)]
pub struct About {
    /// The file or record.
    pub key: KeyHash,
    /// [`KeyHash::of_place`] of its module.
    pub place: KeyHash,
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
    turns: mpsc::Receiver<Turn>,
    waited_for: Arc<Mutex<Vec<PeerName>>>,
    told: mpsc::Sender<Told>,
    /// To holders that are no neighbours.
    errands: Vec<Errand>,
}

#[derive(Debug)]
enum Told {
    Taken(bool),
    Ended(Fetched),
}

impl Talk {
    /// What to do next. Takes as long as the owners say that somebody fetches it, within the bounds of [`Asker`].
    pub async fn next(&mut self) -> Turn {
        loop {
            let turn = self.turns.recv().await.unwrap_or(Turn::Nobody);
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

    /// Neighbours that this host waited for before it was told to fetch it itself, the first in front, three at most: they know why
    /// they did not get it.
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
    let (turns_in, turns) = mpsc::channel(WAITING_MAX);
    let (told, told_in) = mpsc::channel(WAITING_MAX);
    let (words_in, words) = mpsc::channel(WAITING_MAX);
    let waited_for = Arc::default();
    let conversation = Conversation {
        waited_for: Arc::clone(&waited_for),
        owners: owners_of(shared, &about.place, &candidates),
        counted: Counted::waits(shared),
        shared: Arc::clone(shared),
        about,
        clock: Clock::new(),
        lines: [const { None }; OWNERS],
        serial: 0,
        words_in,
        turns: turns_in,
        has_turned: false,
    };
    tokio::spawn(conversation.lead(words, told_in, road));
    Some(Talk {
        shared: Arc::clone(shared),
        turns,
        waited_for,
        told,
        errands: Vec::new(),
    })
}

/// An owner: this host itself, a neighbour, or one beyond them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) id: MemberId,
    /// Nothing for this host.
    pub(super) peer: Option<PeerId>,
}

/// Who would be asked about a thing at `place` now, the first one in front; nobody where this host has no neighbours.
pub(super) fn owner_names(shared: &Shared, place: &KeyHash) -> Vec<OwnerName> {
    let candidates = shared.candidates();
    if candidates.is_empty() {
        return Vec::new();
    }
    let owners = owners_of(shared, place, &candidates);
    let named = owners.into_iter().flatten().map(|owner| OwnerName {
        peer_id: owner
            .peer
            .map_or(shared.name.clone(), |peer| name_of(&peer)),
        is_this_host: owner.peer.is_none(),
    });
    named.collect()
}

/// Who owns what lies at `place`, of this host and those; the first one in front.
pub(super) fn owners_of(
    shared: &Shared,
    place: &KeyHash,
    candidates: &[Settled],
) -> [Option<Owner>; OWNERS] {
    let ours = MemberId::of(&shared.name);
    let mut members: Vec<_> = candidates.iter().map(|one| one.member).collect();
    members.push(modmesh_protocol::lease::Member {
        id: ours,
        up: shared.up_since.elapsed(),
    });
    owners(place, &members).map(|id| {
        let id = id?;
        let neighbour = candidates.iter().find(|one| one.member.id == id);
        let peer = neighbour.map(|one| one.peer);
        (peer.is_some() || id == ours).then_some(Owner { id, peer })
    })
}

/// The time of one conversation. It stands still while this host does: one that waits for its processor, or was asleep, must not
/// take others for silent whose words it has not read yet.
#[derive(Debug)]
pub(super) struct Clock {
    looked_at: Instant,
    now: Duration,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            looked_at: Instant::now(),
            now: Duration::ZERO,
        }
    }

    /// To be asked at least every [`LOOK_EVERY`].
    pub(super) fn now(&mut self) -> Duration {
        let looked_at = std::mem::replace(&mut self.looked_at, Instant::now());
        self.now += (self.looked_at - looked_at).min(LOOK_EVERY * 3 / 2);
        self.now
    }
}

/// The stream to one owner, as the conversation sees it.
#[derive(Debug)]
struct Line {
    serial: u64,
    asks: mpsc::Sender<Ask>,
    /// Whether it was asked anything, and not only told.
    is_asked: bool,
    /// Since when a first word is waited for; nothing once it has come.
    opened: Option<Instant>,
    /// When its last word came.
    heard: Instant,
}

/// A word of the owner, or that its stream has ended.
type Heard = (usize, u64, Option<Word>);

struct Conversation {
    shared: Arc<Shared>,
    counted: Counted,
    about: About,
    owners: [Option<Owner>; OWNERS],
    clock: Clock,
    lines: [Option<Line>; OWNERS],
    /// Of the line that was opened last: what comes from one before it to the same owner counts for nothing.
    serial: u64,
    words_in: mpsc::Sender<Heard>,
    turns: mpsc::Sender<Turn>,
    waited_for: Arc<Mutex<Vec<PeerName>>>,
    /// Whether it came to a turn: from then on owners may have nothing to say.
    has_turned: bool,
}

impl Conversation {
    async fn lead(
        mut self,
        mut words: mpsc::Receiver<Heard>,
        mut told: mpsc::Receiver<Told>,
        road: impl Fn() -> Road,
    ) {
        let circumstances = Circumstances {
            key: self.about.key,
            owners: self.owners.map(|owner| owner.map(|owner| owner.id)),
            can_fetch: self.about.can_fetch,
            round_trip: self.shared.owners_took.get().unwrap_or_default().min(FAR),
        };
        let (mut asker, acts) = Asker::begin(Duration::ZERO, circumstances);
        self.carry_out(&mut asker, acts);
        let mut clock = interval(LOOK_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !asker.is_over() {
            let acts = tokio::select! {
                Some((at, serial, word)) = words.recv() => {
                    let line = self.lines.get_mut(at).and_then(Option::as_mut);
                    let Some(line) = line.filter(|line| line.serial == serial) else {
                        continue;
                    };
                    line.heard = Instant::now();
                    if let (Some(opened), true) = (line.opened.take(), word.is_some()) {
                        self.shared.owners_took.measured(opened.elapsed());
                    }
                    match word {
                        Some(word) => asker.hear(self.now(), at, word),
                        None => {
                            self.lines[at] = None;
                            asker.lost(self.now(), at)
                        }
                    }
                }
                told = told.recv() => match told {
                    Some(Told::Taken(is_here)) => asker.taken(self.now(), is_here),
                    Some(Told::Ended(how)) => asker.fetched(self.now(), how),
                    // Who asked is gone, and so is this host's place with the owners.
                    None => return,
                },
                _ = clock.tick() => {
                    let so_far = Fetched::SoFar(self.about.so_far.progress());
                    let now = self.now();
                    let mut acts = asker.fetched(now, so_far);
                    acts.extend(asker.tick(now, &road()));
                    acts
                }
            };
            self.carry_out(&mut asker, acts);
        }
    }

    fn now(&mut self) -> Duration {
        self.clock.now()
    }

    fn carry_out(&mut self, asker: &mut Asker, acts: Vec<Act>) {
        let mut acts = VecDeque::from(acts);
        while let Some(act) = acts.pop_front() {
            match act {
                Act::Open(at, want) => {
                    (0..OWNERS).for_each(|other| self.suspect_if_silent(other));
                    self.open(at, want);
                }
                Act::Say(at, ask) => {
                    if let Some(line) = self.lines.get(at).and_then(Option::as_ref) {
                        // Of how far it is the next word tells as well; others find room, for there are few.
                        let _ = line.asks.try_send(ask);
                    }
                }
                Act::Close(at) => {
                    self.suspect_if_silent(at);
                    if let Some(line) = self.lines.get_mut(at) {
                        *line = None;
                    }
                }
                Act::Fetch => {
                    self.has_turned = true;
                    self.counted.fetches();
                    *lock(&self.waited_for) = self.known(asker.waited_for());
                    self.turn(Turn::Fetch);
                }
                Act::Nobody => self.turn(Turn::Nobody),
                Act::Take(holders) => {
                    self.has_turned = true;
                    let known = self.known(&holders);
                    if known.is_empty() {
                        acts.extend(asker.taken(self.now(), false));
                    } else {
                        self.turn(Turn::Take(known));
                    }
                }
                Act::Blame(owner, holder) => self.blame(owner, holder),
            }
        }
    }

    /// The asker takes one turn after the other, so there is room; one that is gone needs none.
    fn turn(&self, turn: Turn) {
        let _ = self.turns.try_send(turn);
    }

    /// Those of `holders` that this host knows and that are of its site: what others have is asked for outside.
    fn known(&self, holders: &[MemberId]) -> Vec<PeerName> {
        self.shared.known_by(holders)
    }

    /// Has the owner looked at whose line this is, where it owes a word for longer than one may that is well.
    fn suspect_if_silent(&self, at: usize) {
        let line = self.lines.get(at).and_then(Option::as_ref);
        let owner = self.owners.get(at).copied().flatten();
        if let (Some(line), Some(peer)) = (line, owner.and_then(|owner| owner.peer)) {
            let is_silent = match line.opened {
                Some(_) => line.is_asked && line.heard.elapsed() >= FIRST_WORD_MAX,
                None => !self.has_turned && line.heard.elapsed() >= NEXT_WORD_MAX,
            };
            if is_silent {
                self.shared.suspect(&peer);
            }
        }
    }

    fn blame(&self, owner: MemberId, holder: MemberId) {
        let blamed = self.owners.iter().flatten().find(|one| one.id == owner);
        if let Some(peer) = blamed.and_then(|one| one.peer) {
            let known = self.known(&[holder]);
            let holder = known.first().map_or("a stranger", PeerName::as_str);
            tracing::info!(%peer, holder, "an owner had this host wait in vain; it is not asked for a while");
            self.shared.roster.waited_in_vain(&peer, holder);
            if let Some(holder) = known.first() {
                self.shared.suspect_named(holder);
            }
        }
    }

    fn open(&mut self, at: usize, want: Ask) {
        let Some(owner) = self.owners.get(at).copied().flatten() else {
            return;
        };
        self.serial += 1;
        let (asks, asks_in) = mpsc::channel(WAITING_MAX);
        self.lines[at] = Some(Line {
            serial: self.serial,
            asks,
            is_asked: !matches!(
                want,
                Ask::Want {
                    claim: Claim::Fetching(_),
                    ..
                }
            ),
            opened: Some(Instant::now()),
            heard: Instant::now(),
        });
        let said = Said {
            shared: Arc::clone(&self.shared),
            want,
            asks: asks_in,
            words: self.words_in.clone(),
            at,
            serial: self.serial,
        };
        match owner.peer {
            Some(peer) => drop(tokio::spawn(said.with_neighbour(peer))),
            None => drop(tokio::spawn(said.with_ourselves(owner.id))),
        }
    }
}

/// What is said to one owner, in a task of its own.
struct Said {
    shared: Arc<Shared>,
    want: Ask,
    asks: mpsc::Receiver<Ask>,
    words: mpsc::Sender<Heard>,
    at: usize,
    serial: u64,
}

impl Said {
    async fn with_neighbour(mut self, peer: PeerId) {
        if let Err(error) = self.speak_to(peer).await {
            tracing::debug!(%peer, %error, "a conversation with an owner ended early");
            if matches!(error, PeerError::Stalled) {
                self.shared.suspect(&peer);
            }
        }
        let _ = self.words.send((self.at, self.serial, None)).await;
    }

    async fn speak_to(&mut self, peer: PeerId) -> Result<(), PeerError> {
        let _errand = errands::call_on(&self.shared, peer).await?;
        let stream = self.open(peer).await?;
        let (mut reader, mut writer) = stream.split();
        let bytes = frames::write(&mut writer, &self.want, NO_PROGRESS_MAX).await?;
        self.shared.count_sent(&peer, bytes);
        let hearing = async {
            loop {
                let (word, bytes) = frames::read::<Word>(&mut reader, WORD_WAIT_MAX).await?;
                self.shared.count_received(&peer, bytes);
                let heard = (self.at, self.serial, Some(word));
                if self.words.send(heard).await.is_err() {
                    return Ok(());
                }
            }
        };
        let saying = async {
            while let Some(ask) = self.asks.recv().await {
                let bytes = frames::write(&mut writer, &ask, NO_PROGRESS_MAX).await?;
                self.shared.count_sent(&peer, bytes);
            }
            Ok(())
        };
        let ended: Result<(), FrameError> = tokio::select! {
            biased;
            ended = saying => ended,
            ended = hearing => ended,
        };
        let _ = timeout(SEND_STALL_MAX, writer.close()).await;
        Ok(ended?)
    }

    /// A host that asks for many things at once opens a few streams after the others.
    async fn open(&self, peer: PeerId) -> Result<libp2p::swarm::Stream, PeerError> {
        let give_up = Instant::now() + OPEN_WAIT_MAX;
        loop {
            match ask::open(&self.shared, &peer, Purpose::Lease).await {
                Err(PeerError::Busy { retry_after }) if Instant::now() + retry_after < give_up => {
                    sleep(retry_after.min(LOOK_EVERY)).await;
                }
                opened => return opened,
            }
        }
    }

    async fn with_ourselves(mut self, ours: MemberId) {
        let Ask::Want {
            key,
            can_fetch,
            claim,
        } = self.want
        else {
            return;
        };
        let want: (KeyHash, bool, Claim) = (KeyHash(key), can_fetch, claim);
        let known = known_holders(&self.shared, want.0).await;
        let (visit, mut words): (Visit, _) = self.shared.office.want(ours, want, &known);
        loop {
            tokio::select! {
                biased;
                ask = self.asks.recv() => match ask {
                    Some(ask) => visit.hear(&ask),
                    None => break,
                },
                word = words.recv() => {
                    let Some(word) = word else { break };
                    let heard = (self.at, self.serial, Some(word));
                    if self.words.send(heard).await.is_err() {
                        break;
                    }
                }
            }
        }
        let _ = self.words.send((self.at, self.serial, None)).await;
    }
}
