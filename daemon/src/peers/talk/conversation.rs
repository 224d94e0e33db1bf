//! The conversation itself: what the owners say and what the asker says are put to [`Asker`], and what it decides is done.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use modmesh_protocol::lease::{
    Act, Ask, Asker, Circumstances, Claim, Fetched, MemberId, OWNERS, Road,
};
use modmesh_protocol::peer_name::PeerName;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::super::{Shared, lock};
use super::clock::{Clock, LOOK_EVERY};
use super::count::Counted;
use super::owners::Owner;
use super::said::{Heard, Said};
use super::{About, FIRST_WORD_MAX, News, Told, Turn, WAITING_MAX};

/// A word after the first one, where that is waited for, takes so long at most; else its owner is looked at.
const NEXT_WORD_MAX: Duration = Duration::from_millis(500);
/// The longest time that owners are known to take for a first word and that is waited for, four times over.
const FAR: Duration = Duration::from_millis(250);
/// For so long after this host's start others may be starting too, and owners that are there take their time.
const ALL_START: Duration = Duration::from_secs(10);

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

pub(super) struct Conversation {
    shared: Arc<Shared>,
    counted: Counted,
    about: About,
    owners: [Option<Owner>; OWNERS],
    clock: Clock,
    lines: [Option<Line>; OWNERS],
    /// Of the line that was opened last: what comes from one before it to the same owner counts for nothing.
    serial: u64,
    words_in: mpsc::Sender<Heard>,
    news: mpsc::Sender<News>,
    waited_for: Arc<Mutex<Vec<PeerName>>>,
    /// How many of those that are waited for were told to the asker.
    waits_told: usize,
    /// Whether it came to a turn: from then on owners may have nothing to say.
    has_turned: bool,
}

impl Conversation {
    pub(super) fn new(
        shared: &Arc<Shared>,
        about: About,
        owners: [Option<Owner>; OWNERS],
        words_in: mpsc::Sender<Heard>,
        news: mpsc::Sender<News>,
        waited_for: Arc<Mutex<Vec<PeerName>>>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            counted: Counted::waits(shared),
            about,
            owners,
            clock: Clock::new(),
            lines: [const { None }; OWNERS],
            serial: 0,
            words_in,
            news,
            waited_for,
            waits_told: 0,
            has_turned: false,
        }
    }

    pub(super) async fn lead(
        mut self,
        mut words: mpsc::Receiver<Heard>,
        mut told: mpsc::Receiver<Told>,
        road: impl Fn() -> Road,
    ) {
        let circumstances = Circumstances {
            key: self.about.key,
            owners: self.owners.map(|owner| owner.map(|owner| owner.id)),
            bytes_max: self.about.bytes_max,
            can_fetch: self.about.can_fetch,
            round_trip: self.round_trip(),
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
                    Some(Told::Ended(how)) => {
                        let mut acts = self.so_far(&mut asker);
                        acts.extend(asker.fetched(self.now(), how));
                        acts
                    }
                    // Who asked is gone, and so is this host's place with the owners.
                    None => return,
                },
                _ = clock.tick() => {
                    let mut acts = self.so_far(&mut asker);
                    acts.extend(asker.tick(self.now(), &road()));
                    acts
                }
            };
            self.carry_out(&mut asker, acts);
        }
    }

    /// How long a word of an owner takes. While that is not known, or all may be starting, an owner that is there may be busy.
    fn round_trip(&self) -> Duration {
        match self.shared.owners_took.get() {
            Some(took) if self.shared.up_since.elapsed() >= ALL_START => took.min(FAR),
            _ => FAR,
        }
    }

    fn so_far(&mut self, asker: &mut Asker) -> Vec<Act> {
        let so_far = Fetched::SoFar(self.about.so_far.progress());
        asker.fetched(self.now(), so_far)
    }

    fn now(&mut self) -> Duration {
        self.clock.now()
    }

    fn carry_out(&mut self, asker: &mut Asker, acts: Vec<Act>) {
        self.tell_waits(asker);
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
                    self.turn(asker, Turn::Fetch);
                }
                Act::Nobody => self.turn(asker, Turn::Nobody),
                Act::Take(holders) => {
                    self.has_turned = true;
                    let known = self.known(&holders);
                    if known.is_empty() {
                        acts.extend(asker.taken(self.now(), false));
                    } else {
                        self.turn(asker, Turn::Take(known));
                    }
                }
                Act::Blame(owner, holder) => self.blame(owner, holder),
            }
        }
    }

    /// The asker takes one turn after the other, and waits for a few at most, so there is room; one that is gone needs none.
    fn turn(&self, asker: &Asker, turn: Turn) {
        *lock(&self.waited_for) = self.known(asker.waited_for());
        let _ = self.news.try_send(News::Turn(turn));
    }

    /// Says for whom this host has begun to wait.
    fn tell_waits(&mut self, asker: &Asker) {
        let begun = asker.waited_for().get(self.waits_told..);
        for holder in self.known(begun.unwrap_or_default()) {
            let _ = self.news.try_send(News::Waits(holder));
        }
        self.waits_told = asker.waited_for().len();
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
            self.shared.roster.waited_in_vain(&peer, holder);
            if let Some(holder) = self.known(&[holder]).first() {
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
