//! The owner's side: who holds the lease of each thing, who waits for it, and who has it by now.
//!
//! At most one lease of a thing is in force. It ends when its holder says so, is gone, or makes no progress; the next who
//! can fetch gets it then. Everybody who asked is told something at once and again whenever it changes, so that an asker that
//! hears nothing knows that its owner is in trouble. What one holder after the other cannot get, or what turns out to be for its
//! holder alone, is not worth waiting for: it is free then, and everybody fetches their own. Files are handed on like rumours: few askers are sent to each holder at a time, and
//! each that is done is a holder for others.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::rank::MemberId;
use super::words::{Ask, Claim, Progress, Word};
use crate::artifact::KeyHash;
use crate::limits::{
    CLAIM_GRACE, FIRST_BYTE_MAX, HANDED_AT_ONCE_MAX, HOLDERS_NAMED_MAX, LEASE, OWNED_ASKERS_MAX,
    OWNED_ASKERS_PER_PEER_MAX, OWNED_THINGS_MAX, OWNED_THINGS_PER_PEER_MAX, PLACE_WAIT_MAX,
    PROGRESS_EVERY, SILENT_GRACE,
};

/// How long it is remembered who has a thing that nobody asks for any more, for announcements take no longer, and it is forgotten
/// sooner where there is no room for it; and how long a thing is free.
const REMEMBERED: Duration = Duration::from_secs(30);
/// After so many holders in a row whose upstreams did not give it a thing is free.
const FAILURES_MAX: u8 = 2;
/// How long a lease has no byte before one that waits may be given it, which asks for that.
const NO_BYTE: Duration = Duration::from_secs(2);
/// How long the holder of a lease may say nothing: five words. Then it is to be looked at, and those who wait for it as well, for they may
/// all be on the other side of a network that was parted.
const UNHEARD: Duration = Duration::from_secs(1);
/// How often a lease without a byte is handed over, and to nobody twice.
const HANDED_OVER_MAX: usize = 8;
/// How often what came may be of no use, so that it begins anew, and the lease stays.
const RESTARTS_MAX: u8 = 3;
/// How long a lease lasts at most, whatever is said of it: 500 MiB at 300 kB a second.
const LEASE_MAX: Duration = Duration::from_secs(30 * 60);
/// So many askers must have missed a thing at a holder that was said to have it; it is not believed again before it has fetched it.
const MISSED_BY: usize = 2;
/// Holders of one thing that were missed and are remembered.
const MISSED_MAX: usize = 16;

/// An asker's stream; the caller numbers them and uses no number again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What is to be said, and to whom.
pub type Said = Vec<(Ticket, Word)>;

/// The things that one host decides about.
#[derive(Debug, Default)]
pub struct Desk {
    things: HashMap<KeyHash, Thing>,
    tickets: HashMap<Ticket, (KeyHash, MemberId)>,
    of_peer: HashMap<MemberId, usize>,
}

/// Everything about one thing.
#[derive(Debug, Default)]
struct Thing {
    /// Who asked for it, as long as nobody else did.
    alone: Option<MemberId>,
    askers: BTreeMap<Ticket, Asking>,
    /// In the order in which they came.
    waiting: VecDeque<Ticket>,
    lease: Option<Lease>,
    /// Who has it, the latest last, at most [`HOLDERS_NAMED_MAX`].
    holders: VecDeque<MemberId>,
    /// Those that did not give it, the latest in front.
    missed: VecDeque<Missed>,
    /// Whom a lease that had no byte was handed over to.
    handed_over: Vec<MemberId>,
    /// Who had a lease and made no progress.
    straggled: VecDeque<MemberId>,
    /// Until when a holder that others name may come and say that it is at it.
    grace: Option<(MemberId, Duration)>,
    /// When somebody last became a holder.
    spread: Duration,
    /// When the last asker left.
    idle_since: Duration,
    /// Holders of the lease whose upstream did not give it.
    failures: u8,
    /// Since when everybody is to fetch their own.
    free_since: Option<Duration>,
}

/// One that was said to have it, and did not give it.
#[derive(Debug)]
struct Missed {
    holder: MemberId,
    /// By whom it was missed first.
    by: MemberId,
    /// How often, by others too.
    count: usize,
}

#[derive(Debug)]
struct Asking {
    who: MemberId,
    can_fetch: bool,
    /// Whether it is silent to everything.
    is_mute: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waits for the lease's holder.
    Waiting,
    /// Waits for a place at a holder, since then.
    Queued(Duration),
    /// Fetches from outside, by our lease or without.
    Fetching,
    /// Had the lease, made no progress, and may come to an end all the same.
    Straggling,
    /// Was sent to this holder.
    Taking(MemberId),
}

#[derive(Debug)]
struct Lease {
    ticket: Ticket,
    holder: MemberId,
    granted: Duration,
    /// When its holder last said anything.
    heard: Duration,
    /// When it last got further.
    renewed: Duration,
    progress: Progress,
    /// Whether its holder has said, after [`NO_BYTE`], that it has nothing yet.
    has_nothing_yet: bool,
    /// How often it began anew.
    restarts: u8,
    /// When those who wait were last told.
    told: Duration,
}

impl Desk {
    /// Somebody wants something. `known` are those who are known to have it: this host itself and those who announced it.
    pub fn want(
        &mut self,
        now: Duration,
        ticket: Ticket,
        who: MemberId,
        want: (KeyHash, bool, Claim),
        known: &[MemberId],
    ) -> Said {
        let (key, can_fetch, claim) = want;
        let mine = self.of_peer.get(&who).copied().unwrap_or(0);
        let is_new = !self.things.contains_key(&key);
        if mine >= OWNED_ASKERS_PER_PEER_MAX
            || self.tickets.len() >= OWNED_ASKERS_MAX
            || is_new && !self.make_room(who)
        {
            return vec![(ticket, Word::Busy)];
        }
        *self.of_peer.entry(who).or_default() += 1;
        self.tickets.insert(ticket, (key, who));
        let thing = self.things.entry(key).or_default();
        thing.alone = Some(who).filter(|who| is_new || thing.alone == Some(*who));
        for holder in known.iter().rev() {
            if !thing.is_missed(holder) {
                thing.add_holder(*holder);
            }
        }
        // Who wants it has it no more, whatever it said before.
        thing.holders.retain(|holder| *holder != who);
        let asking = Asking {
            who,
            can_fetch,
            is_mute: false,
            stage: Stage::Waiting,
        };
        thing.askers.insert(ticket, asking);
        thing.waiting.push_back(ticket);
        let mut said = Said::new();
        match claim {
            Claim::Fetching(progress) => thing.fetches(now, ticket, progress),
            Claim::WaitedFor(holder) if can_fetch && thing.may_take_over(who, holder) => {
                thing.handed_over.push(who);
                thing.takes_over(now, ticket, Progress::default(), &mut said);
                said.push((ticket, Word::Fetch));
            }
            Claim::WaitedFor(holder) if holder != who && thing.grace.is_none() => {
                thing.grace = Some((holder, now + CLAIM_GRACE));
            }
            Claim::Silent(owner) if owner != who && thing.is_new() => {
                thing.grace = Some((owner, now + SILENT_GRACE));
            }
            Claim::WaitedFor(_) | Claim::Silent(_) | Claim::Nothing => {}
        }
        thing.settle(now, &mut said);
        if !said.iter().any(|(told, _)| *told == ticket) {
            said.extend(thing.standing(ticket).map(|word| (ticket, word)));
        }
        self.clean(key, now);
        said
    }

    /// Somebody that wants something says more. What does not fit (a second want, a word of one that is gone) is ignored.
    pub fn hear(&mut self, now: Duration, ticket: Ticket, ask: &Ask) -> Said {
        let Some((key, who)) = self.tickets.get(&ticket).copied() else {
            return Said::new();
        };
        let Some(thing) = self.things.get_mut(&key) else {
            return Said::new();
        };
        let mut said = Said::new();
        thing.is_heard(now, ticket);
        match ask {
            Ask::Want { .. } => return said,
            Ask::Progress(progress) => thing.progress(now, ticket, *progress, &mut said),
            Ask::Done => {
                thing.missed.retain(|missed| missed.holder != who);
                thing.add_holder(who);
                thing.failures = 0;
                thing.free_since = None;
                thing.spread = now;
                thing.leaves(now, ticket);
                self.forget_ticket(ticket);
            }
            Ask::Missed { holder } => thing.missed(ticket, *holder),
            Ask::Failed { .. } => {
                thing.failed(now, ticket, false);
                self.forget_ticket(ticket);
            }
            Ask::NotForOthers => {
                thing.failed(now, ticket, true);
                self.forget_ticket(ticket);
            }
        }
        if let Some(thing) = self.things.get_mut(&key) {
            thing.settle(now, &mut said);
            let is_told = said.iter().any(|(told, _)| *told == ticket);
            if matches!(ask, Ask::Missed { .. }) && !is_told {
                said.extend(thing.standing(ticket).map(|word| (ticket, word)));
            }
        }
        self.clean(key, now);
        said
    }

    /// A stream has ended, whoever ended it.
    pub fn gone(&mut self, now: Duration, ticket: Ticket) -> Said {
        let Some((key, _)) = self.tickets.get(&ticket).copied() else {
            return Said::new();
        };
        self.forget_ticket(ticket);
        let mut said = Said::new();
        if let Some(thing) = self.things.get_mut(&key) {
            thing.leaves(now, ticket);
            thing.settle(now, &mut said);
        }
        self.clean(key, now);
        said
    }

    /// Time has passed: to be called every [`PROGRESS_EVERY`] while [`Desk::is_empty`] is false.
    pub fn tick(&mut self, now: Duration) -> Said {
        let mut said = Said::new();
        for thing in self.things.values_mut() {
            thing.settle(now, &mut said);
            thing.tell_progress(now, &mut said);
        }
        self.things.retain(|_, thing| !thing.is_over(now));
        said
    }

    /// Those that are to be looked at: holders of leases that have said nothing for a second, and who waits for them.
    pub fn unheard(&self, now: Duration) -> Vec<Ticket> {
        let of = |thing: &Thing| {
            let lease = thing.lease.as_ref();
            let holder = lease.filter(|lease| now.saturating_sub(lease.heard) >= UNHEARD);
            let holder = holder.map(|lease| lease.ticket);
            let waiting = holder.iter().flat_map(|_| thing.waiting.iter().copied());
            holder.into_iter().chain(waiting).collect::<Vec<_>>()
        };
        self.things.values().flat_map(of).collect()
    }

    /// Whether one that was looked at is silent to everything: then nobody waits for it, and it gets no lease while there are others.
    pub fn is_mute(&mut self, ticket: Ticket, is_mute: bool) {
        let key = self.tickets.get(&ticket).map(|(key, _)| *key);
        let thing = key.and_then(|key| self.things.get_mut(&key));
        if let Some(asking) = thing.and_then(|thing| thing.askers.get_mut(&ticket)) {
            asking.is_mute = is_mute;
        }
    }

    /// Whether there is nothing to decide about.
    pub fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    /// Who holds the lease of a thing.
    pub fn holder(&self, key: &KeyHash) -> Option<MemberId> {
        let lease = self.things.get(key)?.lease.as_ref()?;
        Some(lease.holder)
    }

    /// Leases in force, and askers that wait.
    pub fn counts(&self) -> (usize, usize) {
        let things = self.things.values();
        things.fold((0, 0), |(leases, waiting), thing| {
            (
                leases + usize::from(thing.lease.is_some()),
                waiting + thing.waiting.len(),
            )
        })
    }

    /// Makes room for one more thing that `who` asks for, where need be by forgetting the one that nobody has asked for the
    /// longest. False when all are still asked for.
    fn make_room(&mut self, who: MemberId) -> bool {
        let is_its_own = |thing: &Thing| thing.alone == Some(who);
        let its_own = self.things.values().filter(|thing| is_its_own(thing));
        let has_its_share = its_own.count() >= OWNED_THINGS_PER_PEER_MAX;
        if !has_its_share && self.things.len() < OWNED_THINGS_MAX {
            return true;
        }
        let idle = self
            .things
            .iter()
            .filter(|(_, thing)| thing.askers.is_empty() && (is_its_own(thing) || !has_its_share));
        let longest = idle.min_by_key(|(_, thing)| thing.idle_since);
        let Some(key) = longest.map(|(key, _)| *key) else {
            return false;
        };
        self.things.remove(&key).is_some()
    }

    fn forget_ticket(&mut self, ticket: Ticket) {
        if let Some((_, who)) = self.tickets.remove(&ticket)
            && let Some(count) = self.of_peer.get_mut(&who)
        {
            *count -= 1;
            if *count == 0 {
                self.of_peer.remove(&who);
            }
        }
    }

    /// What nobody has and nobody asks for is not kept. Askers that were told that there is nobody are off the books.
    fn clean(&mut self, key: KeyHash, now: Duration) {
        let Some(thing) = self.things.get_mut(&key) else {
            return;
        };
        if thing.askers.is_empty() {
            thing.idle_since = now;
            if thing.holders.is_empty() && !thing.is_free(now) {
                self.things.remove(&key);
            }
        }
    }
}

impl Thing {
    fn is_over(&self, now: Duration) -> bool {
        self.askers.is_empty() && now.saturating_sub(self.idle_since) > REMEMBERED
    }

    /// Whether nobody but the one that has just come wants it, and nobody has it.
    fn is_new(&self) -> bool {
        self.askers.len() == 1 && self.holders.is_empty() && self.grace.is_none()
    }

    /// Whether it is not worth waiting for.
    fn is_free(&self, now: Duration) -> bool {
        self.free_since
            .is_some_and(|since| now.saturating_sub(since) < REMEMBERED)
    }

    /// This asker's upstream does not give it, or gave what is for the asker alone. Only of those whom others wait for does that say
    /// anything.
    fn failed(&mut self, now: Duration, ticket: Ticket, is_for_itself: bool) {
        let lease = self.lease.as_ref();
        if lease.is_some_and(|lease| lease.ticket == ticket) {
            self.failures = self.failures.saturating_add(1);
            if is_for_itself || self.failures >= FAILURES_MAX {
                self.free_since = Some(now);
                self.failures = 0;
            }
        }
        self.leaves(now, ticket);
    }

    /// This asker has said something.
    fn is_heard(&mut self, now: Duration, ticket: Ticket) {
        if let Some(asking) = self.askers.get_mut(&ticket) {
            asking.is_mute = false;
        }
        let lease = self.lease.as_mut();
        if let Some(lease) = lease.filter(|lease| lease.ticket == ticket) {
            lease.heard = now;
        }
    }

    fn add_holder(&mut self, who: MemberId) {
        self.holders.retain(|holder| *holder != who);
        self.holders.push_back(who);
        if self.holders.len() > HOLDERS_NAMED_MAX {
            self.holders.pop_front();
        }
    }

    /// An asker is at it already. Where a lease is in force it is one more that fetches, and no reason to end the lease.
    fn fetches(&mut self, now: Duration, ticket: Ticket, progress: Progress) {
        self.waiting.retain(|waiting| *waiting != ticket);
        let Some(asking) = self.askers.get_mut(&ticket) else {
            return;
        };
        asking.stage = Stage::Fetching;
        if self.lease.is_none() {
            self.grace = None;
            self.lease = Some(Lease {
                ticket,
                holder: asking.who,
                granted: now,
                heard: now,
                renewed: now,
                progress,
                has_nothing_yet: false,
                restarts: 0,
                told: now,
            });
        }
    }

    /// Whether `who`, which waited for that holder, may be given the lease: not a byte of it has come.
    fn may_take_over(&self, who: MemberId, holder: MemberId) -> bool {
        // By its own word: where this owner has no time to listen, nobody is to fetch for that.
        let has_no_byte = |lease: &Lease| lease.holder == holder && lease.has_nothing_yet;
        let is_given = self.handed_over.len() >= HANDED_OVER_MAX || self.handed_over.contains(&who);
        who != holder && !is_given && self.lease.as_ref().is_some_and(has_no_byte)
    }

    /// The lease is this asker's from now on; whoever had it fetches on without. Who waits is told.
    fn takes_over(&mut self, now: Duration, ticket: Ticket, progress: Progress, said: &mut Said) {
        self.lease = None;
        self.fetches(now, ticket, progress);
        self.tell_holder(said);
    }

    /// Tells those who wait for whom.
    fn tell_holder(&self, said: &mut Said) {
        if let Some(holder) = self.lease.as_ref().map(|lease| lease.holder) {
            let word = |ticket: &Ticket| (*ticket, Word::Wait { holder });
            said.extend(self.waiting.iter().map(word));
        }
    }

    fn progress(&mut self, now: Duration, ticket: Ticket, progress: Progress, said: &mut Said) {
        let Some(lease) = self.lease.as_mut() else {
            return;
        };
        if lease.ticket == ticket {
            return lease.gets_on(now, progress);
        }
        // Of several that are at it the one is worth waiting for that has something.
        let asking = self.askers.get(&ticket);
        let is_at_it = asking.is_some_and(|asking| asking.stage == Stage::Fetching);
        if is_at_it && lease.progress.bytes == 0 && progress.bytes > 0 {
            self.takes_over(now, ticket, progress, said);
        }
    }

    fn is_missed(&self, holder: &MemberId) -> bool {
        let mut missed = self.missed.iter();
        missed.any(|missed| missed.holder == *holder && missed.count >= MISSED_BY)
    }

    fn missed(&mut self, ticket: Ticket, holder: MemberId) {
        let Some(asking) = self.askers.get_mut(&ticket) else {
            return;
        };
        // Who was not sent there has nothing to say about it.
        if asking.stage != Stage::Taking(holder) {
            return;
        }
        asking.stage = Stage::Waiting;
        let who = asking.who;
        self.holders.retain(|other| *other != holder);
        self.waiting.push_front(ticket);
        match self
            .missed
            .iter_mut()
            .find(|missed| missed.holder == holder)
        {
            // One alone may have reasons of its own.
            Some(missed) => missed.count += usize::from(missed.by != who),
            None => {
                self.missed.truncate(MISSED_MAX - 1);
                let (by, count) = (who, 1);
                self.missed.push_front(Missed { holder, by, count });
            }
        }
    }

    fn leaves(&mut self, now: Duration, ticket: Ticket) {
        self.askers.remove(&ticket);
        self.waiting.retain(|waiting| *waiting != ticket);
        if self
            .lease
            .as_ref()
            .is_some_and(|lease| lease.ticket == ticket)
        {
            self.lease = None;
        }
        if self.askers.is_empty() {
            self.idle_since = now;
        }
    }

    /// Ends what has run out, and gives everybody who waits what there is by now.
    fn settle(&mut self, now: Duration, said: &mut Said) {
        let is_mute = |ticket: &Ticket| {
            let asking = self.askers.get(ticket);
            asking.is_some_and(|asking| asking.is_mute)
        };
        let ran_out = |lease: &Lease| lease.has_run_out(now) || is_mute(&lease.ticket);
        let other_can_fetch = || self.waiting.iter().any(|ticket| self.can_fetch(ticket));
        // Where nobody else could fetch it, a slow holder is better than none.
        if self.lease.as_ref().is_some_and(ran_out) && other_can_fetch() {
            let ended = self.lease.take().map(|lease| lease.ticket);
            if let Some(asking) = ended.and_then(|ticket| self.askers.get_mut(&ticket)) {
                asking.stage = Stage::Straggling;
                if asking.is_mute {
                    self.grace = self.grace.filter(|(holder, _)| *holder != asking.who);
                }
                self.straggled.truncate(MISSED_MAX - 1);
                self.straggled.push_front(asking.who);
            }
        }
        if self.grace.is_some_and(|(_, until)| now >= until) {
            self.grace = None;
        }
        self.hand_out(now, said);
        if self.holders.is_empty() && self.is_free(now) {
            self.set_free(said);
        } else if self.holders.is_empty() && self.lease.is_none() && self.grace.is_none() {
            self.grant(now, said);
        }
    }

    /// Whether this asker could fetch it now, as far as is known.
    fn can_fetch(&self, ticket: &Ticket) -> bool {
        let asking = self.askers.get(ticket);
        asking.is_some_and(|asking| asking.can_fetch && !asking.is_mute)
    }

    /// Sends those who wait to those who have it, a few to each.
    fn hand_out(&mut self, now: Duration, said: &mut Said) {
        while let Some(ticket) = self.waiting.front().copied() {
            let Some((holder, load)) = self.least_loaded(ticket) else {
                return;
            };
            let Some(asking) = self.askers.get_mut(&ticket) else {
                self.waiting.pop_front();
                continue;
            };
            let queued = match asking.stage {
                Stage::Queued(since) => now.saturating_sub(since.max(self.spread)),
                _ => Duration::ZERO,
            };
            if load >= HANDED_AT_ONCE_MAX && queued < PLACE_WAIT_MAX {
                return self.queue(now, said);
            }
            asking.stage = Stage::Taking(holder);
            self.waiting.pop_front();
            let mut holders = vec![holder];
            holders.extend(
                self.holders
                    .iter()
                    .rev()
                    .copied()
                    .filter(|other| *other != holder),
            );
            said.push((ticket, Word::Have { holders }));
        }
    }

    /// Tells those who wait that somebody has it by now.
    fn queue(&mut self, now: Duration, said: &mut Said) {
        for ticket in &self.waiting {
            if let Some(asking) = self.askers.get_mut(ticket)
                && asking.stage == Stage::Waiting
            {
                asking.stage = Stage::Queued(now);
                said.push((*ticket, Word::Queued));
            }
        }
    }

    /// The holder that the fewest are sent to, and how many those are. The asker itself is one only where nobody else is:
    /// it has what it asks for on another stream.
    fn least_loaded(&self, ticket: Ticket) -> Option<(MemberId, usize)> {
        let who = self.askers.get(&ticket).map(|asking| asking.who);
        let load = |holder: &MemberId| {
            let askers = self.askers.values();
            let taking = askers.filter(|asking| asking.stage == Stage::Taking(*holder));
            taking.count()
        };
        let holders = self.holders.iter().rev();
        let loads = holders.map(|holder| (*holder, load(holder)));
        loads.min_by_key(|(holder, load)| (Some(*holder) == who, *load))
    }

    /// Gives the lease to the first that can fetch and tells all others to wait for it; where nobody can, says so.
    fn grant(&mut self, now: Duration, said: &mut Said) {
        let at = |stage: Stage, may_be_mute: bool| {
            let mut askers = self.askers.iter();
            let found = askers
                .find(|(_, asking)| asking.stage == stage && (may_be_mute || !asking.is_mute));
            found.map(|(ticket, _)| *ticket)
        };
        let able = |ticket: &&Ticket| self.can_fetch(ticket);
        let mute = |ticket: &&Ticket| {
            let asking = self.askers.get(ticket);
            asking.is_some_and(|asking| asking.can_fetch && asking.is_mute)
        };
        let is_new = |ticket: &&Ticket| {
            let asking = self.askers.get(ticket);
            asking.is_some_and(|asking| !self.straggled.contains(&asking.who))
        };
        let mut able_and_new = self.waiting.iter().filter(able).filter(is_new);
        // One that fetches without our lease holds it as well as anybody.
        let heir = at(Stage::Fetching, false)
            .or_else(|| able_and_new.next().copied())
            .or_else(|| self.waiting.iter().find(able).copied())
            .or_else(|| at(Stage::Straggling, false))
            .or_else(|| at(Stage::Fetching, true))
            .or_else(|| self.waiting.iter().find(mute).copied())
            .or_else(|| at(Stage::Straggling, true));
        let Some(heir) = heir else {
            for ticket in std::mem::take(&mut self.waiting) {
                said.push((ticket, Word::Nobody));
                self.askers.remove(&ticket);
            }
            return;
        };
        self.fetches(now, heir, Progress::default());
        said.push((heir, Word::Fetch));
        self.tell_holder(said);
    }

    /// Has everybody who waits fetch their own; who cannot is told that nobody has it.
    fn set_free(&mut self, said: &mut Said) {
        for ticket in std::mem::take(&mut self.waiting) {
            match self.askers.get_mut(&ticket) {
                Some(asking) if asking.can_fetch => {
                    asking.stage = Stage::Fetching;
                    said.push((ticket, Word::Fetch));
                }
                _ => {
                    self.askers.remove(&ticket);
                    said.push((ticket, Word::Nobody));
                }
            }
        }
    }

    /// What an asker that has come just now is told where nothing has changed for the others.
    fn standing(&self, ticket: Ticket) -> Option<Word> {
        let asking = self.askers.get(&ticket)?;
        if matches!(asking.stage, Stage::Fetching | Stage::Straggling) {
            return Some(Word::Fetch);
        }
        let graced = self.grace.map(|(holder, _)| holder);
        let holder = self.lease.as_ref().map(|lease| lease.holder).or(graced)?;
        Some(Word::Wait { holder })
    }

    fn tell_progress(&mut self, now: Duration, said: &mut Said) {
        let progress = match self.lease.as_mut() {
            Some(lease) if now.saturating_sub(lease.told) < PROGRESS_EVERY => return,
            Some(lease) => {
                lease.told = now;
                lease.progress
            }
            None => Progress::default(),
        };
        said.extend(
            self.waiting
                .iter()
                .map(|ticket| (*ticket, Word::Progress(progress))),
        );
    }
}

impl Lease {
    /// How far it is. What is complete gets on no more, and what begins anew again and again does not either.
    fn gets_on(&mut self, now: Duration, progress: Progress) {
        let age = now.saturating_sub(self.granted);
        let bytes = progress.bytes.min(progress.total.unwrap_or(u64::MAX));
        if bytes < self.progress.bytes {
            self.restarts = self.restarts.saturating_add(1);
        }
        let begins = bytes == 0 && age < FIRST_BYTE_MAX;
        let is_further = bytes > self.progress.bytes && self.restarts <= RESTARTS_MAX;
        if (is_further || begins) && age < LEASE_MAX {
            self.renewed = now;
        }
        self.has_nothing_yet = bytes == 0 && age >= NO_BYTE;
        self.progress = Progress { bytes, ..progress };
    }

    fn has_run_out(&self, now: Duration) -> bool {
        now.saturating_sub(self.renewed) >= LEASE
    }
}

#[cfg(test)]
mod tests;
