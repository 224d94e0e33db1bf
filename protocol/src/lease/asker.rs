//! The asker's side: whom to ask, whether to fetch, how long to wait for somebody else, and when to stop believing it.
//!
//! An owner that is silent is passed over for the next one, and so is one that says "wait" for longer than fetching it oneself would
//! take. Where no owner is left one fetches without a lease, and says so to the owners, so that others can wait for it.
//!
//! To leave an owner is no verdict: an upstream that is slow today is slow for its holder too. Only what this host's own fetch
//! shows afterwards, or how soon the thing was here from somebody else, tells one that lied.

mod vain;

use std::time::Duration;

use vain::{InVain, Vain, Waiting};

use super::rank::{MemberId, OWNERS};
use super::words::{Ask, Claim, Progress, Word};
use crate::artifact::KeyHash;
use crate::limits::PROGRESS_EVERY;

/// Owners that are shown a fetch without a lease.
const SHOWN: usize = 2;
/// How long an owner may say nothing at all while one waits for its word, before the next is asked too.
const SILENCE: Duration = Duration::from_millis(500);
/// How long the two may say nothing before both are passed over.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// Least time in which a first answer is expected.
const ANSWER_MIN: Duration = Duration::from_millis(100);
/// Holders of one thing that one after the other are waited for.
const HOLDERS_MAX: u8 = 3;
/// Who is waited for where the owner names nobody yet.
const NOBODY: MemberId = MemberId([0; 32]);
/// How often an owner may name holders that do not give it, before the next owner is asked.
const OFFERS_MAX: u8 = 4;
/// How often an owner whose holder has no byte yet is asked once more, before this host fetches it without a lease: of all who wait
/// for a slow upstream one is to try for itself, and not each.
const ASKED_AGAIN_MAX: u8 = 3;

/// What the asker has to know of its host.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// The thing that is wanted.
    pub key: KeyHash,
    /// The owners, the first one in front; one may be the host itself.
    pub owners: [Option<MemberId>; OWNERS],
    /// Bytes that such a thing can have at most: who says to fetch more of it does not.
    pub bytes_max: u64,
    /// Whether the host has an upstream that is not known to be down.
    pub can_fetch: bool,
    /// The 99th percentile of round trips to neighbours.
    pub round_trip: Duration,
}

/// What this host's own road to the upstream is worth at the moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Road {
    /// Bytes a second of one fetch: of those under way now, or else the slowest of late; nothing where none is known.
    pub pace: Option<f64>,
    /// The longest of late until the first byte; nothing where none is known.
    pub first_byte: Option<Duration>,
}

/// What is to be done. Owners are numbers, `0` is the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Open a stream to this owner and say this, which is a want.
    Open(usize, Ask),
    /// Say this on the stream to this owner.
    Say(usize, Ask),
    /// Close the stream to this owner.
    Close(usize),
    /// Fetch it from outside, and tell [`Asker::fetched`] how far it is and how it ended.
    Fetch,
    /// Take it from the first of these that is known and gives it, and tell [`Asker::taken`] how that ended.
    Take(Vec<MemberId>),
    /// Nobody has it, and this host cannot fetch it.
    Nobody,
    /// The owner said to wait for this holder, in vain. Who does that again and again is not asked any more.
    Blame(MemberId, MemberId),
}

/// One host that wants one thing.
#[derive(Debug)]
pub struct Asker {
    of: Circumstances,
    stage: Stage,
    /// The streams that are open, by owner.
    open: [bool; OWNERS],
    /// Owners that gave no answer, were busy or are gone.
    lost: [bool; OWNERS],
    progress_told: Duration,
    progress: Progress,
    /// How often a holder took too long.
    late: u32,
    /// A holder that was far too slow.
    drips: Option<MemberId>,
    /// How often an owner was asked once more, and for which holder the last time.
    asked_again: (u8, Option<MemberId>),
    /// Owners that were left, on which there is no verdict yet.
    in_vain: Vec<InVain>,
    /// When this host began to fetch, and when the first byte came.
    began: Duration,
    first_byte: Option<Duration>,
    /// How often each owner said that somebody has it.
    offers: [u8; OWNERS],
    /// Holders that it waited for, the first in front.
    waited_for: Vec<MemberId>,
}

#[derive(Debug)]
enum Stage {
    /// Nobody has answered yet; this is the owner that was asked last.
    Asking {
        at: usize,
        since: Duration,
    },
    /// This owner said to wait.
    Waiting(Waiting),
    Fetching,
    /// From the first of these that gives it.
    Taking {
        at: usize,
        holders: Vec<MemberId>,
    },
    Over,
}

impl Asker {
    /// Begins: the first owner is asked, or, where there is none, one fetches.
    pub fn begin(now: Duration, of: Circumstances) -> (Self, Vec<Act>) {
        let mut asker = Self {
            of,
            stage: Stage::Over,
            open: [false; OWNERS],
            lost: [false; OWNERS],
            progress_told: now,
            progress: Progress::default(),
            late: 0,
            drips: None,
            asked_again: (0, None),
            in_vain: Vec::new(),
            began: now,
            first_byte: None,
            offers: [0; OWNERS],
            waited_for: Vec::new(),
        };
        let mut acts = Vec::new();
        asker.ask_next(now, Claim::Nothing, &mut acts);
        (asker, acts)
    }

    /// An owner has said something.
    pub fn hear(&mut self, now: Duration, at: usize, word: Word) -> Vec<Act> {
        let mut acts = Vec::new();
        if !self.open.get(at).copied().unwrap_or(false) {
            return acts;
        }
        match &mut self.stage {
            Stage::Asking { .. } | Stage::Waiting(_) => self.decide(now, at, word, &mut acts),
            // The owner sends us elsewhere, or takes back what it said about who has it.
            Stage::Taking { at: of, .. } if *of == at => self.decide(now, at, word, &mut acts),
            // That somebody else has it, or fetches it too, is no reason to stop what is under way.
            Stage::Taking { .. } | Stage::Fetching | Stage::Over => {}
        }
        acts
    }

    /// The stream to an owner has ended, or could not be opened.
    pub fn lost(&mut self, now: Duration, at: usize) -> Vec<Act> {
        let mut acts = Vec::new();
        let (Some(open), Some(lost)) = (self.open.get_mut(at), self.lost.get_mut(at)) else {
            return acts;
        };
        *open = false;
        *lost = true;
        match &mut self.stage {
            Stage::Asking { at: of, .. } if *of == at => {
                self.ask_next(now, Claim::Nothing, &mut acts);
            }
            Stage::Waiting(waiting) if waiting.other == Some(at) => waiting.other = None,
            Stage::Waiting(waiting) if waiting.at == at => {
                let claim = Claim::WaitedFor(waiting.holder);
                match waiting.other.take() {
                    Some(other) => waiting.at = other,
                    None => self.ask_next(now, claim, &mut acts),
                }
            }
            // Who asks the next owner is to wait for this fetch too.
            Stage::Fetching => {
                if let Some(next) = self.next_owner() {
                    self.open(next, Claim::Fetching(self.progress), &mut acts);
                }
            }
            _ => {}
        }
        acts
    }

    /// The fetch from outside: how far it is, or how it ended.
    pub fn fetched(&mut self, now: Duration, how: Fetched) -> Vec<Act> {
        let mut acts = Vec::new();
        if !matches!(self.stage, Stage::Fetching) {
            return acts;
        }
        let ask = match how {
            Fetched::SoFar(progress) => {
                self.progress = progress;
                if progress.bytes > 0 {
                    self.first_byte.get_or_insert(now);
                }
                if now.saturating_sub(self.progress_told) < PROGRESS_EVERY {
                    return acts;
                }
                self.progress_told = now;
                Ask::Progress(progress)
            }
            Fetched::Here => Ask::Done,
            Fetched::ForItself => Ask::NotForOthers,
            Fetched::Failed { status } => Ask::Failed { status },
        };
        self.say_to_all(&ask, &mut acts);
        if !matches!(how, Fetched::SoFar(_)) {
            self.judge_by_own_fetch(now, &mut acts);
            self.end(&mut acts);
        }
        acts
    }

    /// How taking it from a holder ended.
    pub fn taken(&mut self, now: Duration, is_here: bool) -> Vec<Act> {
        let mut acts = Vec::new();
        let Stage::Taking { at, holders } = &self.stage else {
            return acts;
        };
        let (at, holder) = (*at, holders.first().copied().unwrap_or(NOBODY));
        if is_here {
            let soon_here = |one: &&InVain| one.was_soon_here(now, holders);
            let liars = self.in_vain.iter().filter(soon_here);
            acts.extend(liars.map(InVain::blame));
            self.say_to_all(&Ask::Done, &mut acts);
            self.end(&mut acts);
            return acts;
        }
        if self.offers[at] >= OFFERS_MAX {
            self.stage = Stage::Asking { at, since: now };
            self.pass_over(now, at, Claim::Nothing, &mut acts);
        } else if self.open[at] {
            acts.push(Act::Say(at, Ask::Missed { holder }));
            self.stage = Stage::Asking { at, since: now };
        } else {
            self.ask_next(now, Claim::Nothing, &mut acts);
        }
        acts
    }

    /// Time has passed: to be called at least every [`PROGRESS_EVERY`].
    pub fn tick(&mut self, now: Duration, road: &Road) -> Vec<Act> {
        let mut acts = Vec::new();
        match &mut self.stage {
            Stage::Asking { at, since } => {
                let (at, answer_max) = (*at, ANSWER_MIN.max(4 * self.of.round_trip));
                if now.saturating_sub(*since) >= answer_max {
                    let silent = self.of.owners[at].map_or(Claim::Nothing, Claim::Silent);
                    // It may be busy only: its answer counts as long as no other has given one.
                    self.ask_next(now, silent, &mut acts);
                }
            }
            Stage::Waiting(waiting) => {
                let silent = now.saturating_sub(waiting.heard);
                let (at, other) = (waiting.at, waiting.other);
                let claim = Claim::WaitedFor(waiting.holder);
                let patience = 1 + self.late;
                if let Some(vain) = waiting.is_in_vain(now, road, patience, self.of.bytes_max) {
                    let (holder, since) = (waiting.holder, waiting.since);
                    self.leave(now, at, holder, (vain, since), &mut acts);
                } else if silent >= SILENCE_MAX {
                    if let Some(other) = other {
                        self.forsake(other, &mut acts);
                    }
                    self.pass_over(now, at, claim, &mut acts);
                } else if silent >= SILENCE
                    && other.is_none()
                    && let Some(next) = self.next_owner()
                {
                    self.open(next, claim, &mut acts);
                    if let Stage::Waiting(waiting) = &mut self.stage {
                        waiting.other = Some(next);
                    }
                }
            }
            Stage::Fetching => {
                if now.saturating_sub(self.progress_told) >= PROGRESS_EVERY {
                    self.progress_told = now;
                    let progress = Ask::Progress(self.progress);
                    self.say_to_all(&progress, &mut acts);
                }
            }
            Stage::Taking { .. } | Stage::Over => {}
        }
        acts
    }

    /// Whom it waited for, the first in front, a few at most: they know why they did not get it.
    pub fn waited_for(&self) -> &[MemberId] {
        &self.waited_for
    }

    /// Whether nothing more is to be done.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// This owner had this host wait for that holder, since then, in vain.
    fn leave(
        &mut self,
        now: Duration,
        at: usize,
        holder: MemberId,
        (vain, since): (Vain, Duration),
        acts: &mut Vec<Act>,
    ) {
        if let Some(owner) = self.of.owners[at] {
            let one = InVain {
                owner,
                holder,
                vain,
                since,
                left: now,
            };
            if !self.of.can_fetch {
                // Nothing will tell, and who cannot fetch loses nothing but its place in a line.
                acts.push(one.blame());
            } else if self.in_vain.iter().all(|other| other.owner != owner) {
                self.in_vain.push(one);
            }
        }
        // A second owner that names the same one is no reason to believe it longer.
        let is_enough = match vain {
            Vain::NoByte { .. } | Vain::Slow { .. } => self.late > 0,
            Vain::Drips { .. } => self.drips == Some(holder),
        };
        match vain {
            Vain::NoByte { .. } | Vain::Slow { .. } => self.late += 1,
            Vain::Drips { .. } => self.drips = Some(holder),
        }
        let (asked_again, _) = self.asked_again;
        if !is_enough || !self.of.can_fetch {
            self.pass_over(now, at, Claim::Nothing, acts);
        } else if matches!(vain, Vain::NoByte { .. })
            && self.open[at]
            && asked_again < ASKED_AGAIN_MAX
        {
            self.asked_again = (asked_again + 1, Some(holder));
            self.open[at] = false;
            acts.push(Act::Close(at));
            self.open(at, Claim::WaitedFor(holder), acts);
            self.stage = Stage::Asking { at, since: now };
        } else {
            self.fetch_alone(now, acts);
        }
    }

    /// Who lied, as this host's own fetch shows, which has ended now.
    fn judge_by_own_fetch(&self, now: Duration, acts: &mut Vec<Act>) {
        let first_byte = self.first_byte.unwrap_or(now);
        let own = vain::Own {
            first_byte: first_byte.saturating_sub(self.began),
            took: now.saturating_sub(self.began),
            bytes: self.progress.bytes,
        };
        let liars = self.in_vain.iter().filter(|one| one.was_a_lie(&own));
        acts.extend(liars.map(InVain::blame));
    }

    /// What an owner's word means for one that has not begun to fetch.
    fn decide(&mut self, now: Duration, at: usize, word: Word, acts: &mut Vec<Act>) {
        match word {
            Word::Fetch => {
                // Others that were asked have a want that waits; a new one says what it is.
                self.close_others(at, acts);
                self.fetch(now, acts);
                // The next owner is shown the lease of this one, so that it outlives it; and the first one that of another.
                if let Some(next) = self.next_owner() {
                    self.open(next, Claim::Fetching(Progress::default()), acts);
                }
            }
            // It was asked once more because of this one, and has nothing else to say.
            Word::Wait { holder }
                if self.asked_again.1 == Some(holder)
                    && matches!(self.stage, Stage::Asking { .. }) =>
            {
                self.fetch_alone(now, acts);
            }
            Word::Wait { holder } => {
                self.choose(at, acts);
                self.wait(now, at, holder);
            }
            Word::Progress(progress) => {
                if let Stage::Waiting(waiting) = &mut self.stage
                    && waiting.at == at
                {
                    waiting.heard = now;
                    waiting.progress = progress;
                }
            }
            Word::Queued => {
                self.choose(at, acts);
                if !matches!(self.stage, Stage::Waiting(_)) {
                    self.wait(now, at, NOBODY);
                }
                if let Stage::Waiting(waiting) = &mut self.stage {
                    waiting.is_queued(now, at);
                }
            }
            // One that takes its offers back has them counted all the same.
            Word::Have { holders } if holders.is_empty() || self.offers[at] >= OFFERS_MAX => {
                self.pass_over(now, at, Claim::Nothing, acts);
            }
            Word::Have { holders } => {
                self.offers[at] += 1;
                self.close_others(at, acts);
                acts.push(Act::Take(holders.clone()));
                self.stage = Stage::Taking { at, holders };
            }
            Word::Nobody | Word::Busy => self.pass_over(now, at, Claim::Nothing, acts),
        }
    }

    /// This owner is the first that has answered: the others need not any more.
    fn choose(&mut self, at: usize, acts: &mut Vec<Act>) {
        if matches!(self.stage, Stage::Asking { .. }) {
            self.close_others(at, acts);
        }
    }

    /// This owner says to wait for that holder.
    fn wait(&mut self, now: Duration, at: usize, holder: MemberId) {
        let is_new = holder != NOBODY && !self.waited_for.contains(&holder);
        if is_new && self.waited_for.len() < usize::from(HOLDERS_MAX) {
            self.waited_for.push(holder);
        }
        if let Stage::Waiting(waiting) = &mut self.stage {
            waiting.is_named(now, at, holder);
            return;
        }
        self.stage = Stage::Waiting(Waiting::begin(now, at, holder));
    }

    /// This owner is of no use for this thing: the next is asked.
    fn pass_over(&mut self, now: Duration, at: usize, claim: Claim, acts: &mut Vec<Act>) {
        self.forsake(at, acts);
        match &mut self.stage {
            Stage::Waiting(waiting) if waiting.at != at => waiting.other = None,
            // The next was asked already, and has not answered yet.
            Stage::Asking { at: asked, .. } if *asked != at => {}
            _ => self.ask_next(now, claim, acts),
        }
    }

    fn forsake(&mut self, at: usize, acts: &mut Vec<Act>) {
        self.lost[at] = true;
        if std::mem::take(&mut self.open[at]) {
            acts.push(Act::Close(at));
        }
    }

    /// The first owner that is neither lost nor asked.
    fn next_owner(&self) -> Option<usize> {
        (0..OWNERS).find(|at| self.of.owners[*at].is_some() && !self.lost[*at] && !self.open[*at])
    }

    /// Asks the next owner. Where there is none this host acts alone.
    fn ask_next(&mut self, now: Duration, claim: Claim, acts: &mut Vec<Act>) {
        if let Some(at) = self.next_owner() {
            self.open(at, claim, acts);
            self.stage = Stage::Asking { at, since: now };
        } else if self.of.can_fetch {
            self.fetch_alone(now, acts);
        } else {
            self.end(acts);
            acts.push(Act::Nobody);
        }
    }

    fn open(&mut self, at: usize, claim: Claim, acts: &mut Vec<Act>) {
        self.open[at] = true;
        let want = Ask::Want {
            key: self.of.key.0,
            can_fetch: self.of.can_fetch,
            claim,
        };
        acts.push(Act::Open(at, want));
    }

    fn close_others(&mut self, at: usize, acts: &mut Vec<Act>) {
        for other in (0..OWNERS).filter(|other| *other != at) {
            if std::mem::take(&mut self.open[other]) {
                acts.push(Act::Close(other));
            }
        }
    }

    fn fetch(&mut self, now: Duration, acts: &mut Vec<Act>) {
        self.stage = Stage::Fetching;
        self.progress_told = now;
        self.began = now;
        acts.push(Act::Fetch);
    }

    /// Fetches without a lease, and says so to the first two owners, and to the next where one of them is gone: who asks
    /// them may wait for this host.
    fn fetch_alone(&mut self, now: Duration, acts: &mut Vec<Act>) {
        self.fetch(now, acts);
        for at in 0..OWNERS {
            // A word on the stream of a want that waits would be a progress; a new want says what it is.
            self.forsake(at, acts);
        }
        self.lost = [false; OWNERS];
        for at in (0..OWNERS).take(SHOWN) {
            if self.of.owners[at].is_some() {
                self.open(at, Claim::Fetching(Progress::default()), acts);
            }
        }
    }

    fn say_to_all(&self, ask: &Ask, acts: &mut Vec<Act>) {
        let open = (0..OWNERS).filter(|at| self.open[*at]);
        acts.extend(open.map(|at| Act::Say(at, ask.clone())));
    }

    fn end(&mut self, acts: &mut Vec<Act>) {
        for at in 0..OWNERS {
            if std::mem::take(&mut self.open[at]) {
                acts.push(Act::Close(at));
            }
        }
        self.stage = Stage::Over;
    }
}

/// How a fetch from outside goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// This far.
    SoFar(Progress),
    /// It is here, and was found true.
    Here,
    /// It is here, and nothing proves it to others.
    ForItself,
    /// It is not to be had, and what the client is told.
    Failed {
        /// The status of HTTP.
        status: u16,
    },
}

#[cfg(test)]
mod tests;
