//! Hosts that this one is not connected to and knows by the word of its neighbours.
//!
//! A host keeps [`NEIGHBOURS_MAX`](crate::limits::NEIGHBOURS_MAX) connections at most. In a larger network each host is the neighbour of
//! some and an acquaintance of all others: whoever is connected to a host tells of it, so of each host some neighbours tell,
//! and no word travels further than that. So an acquaintance that has gone is told of by nobody any more, and forgotten.
//!
//! One word is none: an acquaintance counts when two tellers say that it is at the same place, when it was met there, or when it came
//! here itself. Nothing of what is told is proven until it was called: one that is not there is not called for a while, and who tells of too many such is not
//! listened to. What a liar gains is that some calls are made in vain, at addresses that the caller would call anyway.
//!
//! Pure: moments are durations since a start that the caller chooses, and they never go back. `P` is the name of a peer, `T` what tells
//! tellers apart, which must be worth more than a name (an address), and `A` where a host is.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::limits::{
    ACQUAINTANCE_KEPT, ACQUAINTANCE_RESTS, ACQUAINTANCE_RESTS_MAX, ACQUAINTANCES_KNOWN_MAX,
    ACQUAINTANCES_MAX, ACQUAINTANCES_MISSED_MAX, TELLER_RESTS, UNPROVEN_PER_ADDRESS_MAX,
};

/// Acquaintances of whom one teller alone has told: two answers full of them.
const UNSHARED_OF_ONE_MAX: usize = 2 * ACQUAINTANCES_MAX;
/// Words about one acquaintance that are remembered, each of another teller.
const WORDS_MAX: usize = 3;
/// Calls in a row that failed, after which it is not known whether anybody is there at all.
const ALL_MISSED: u32 = 3;

/// The table.
#[derive(Debug)]
pub struct Acquaintances<P, T, A> {
    known: HashMap<P, Known<T, A>>,
    tellers: HashMap<T, Teller>,
    /// Calls that failed since the last that did not; nothing before the first that did not.
    missed_in_a_row: Option<u32>,
}

/// One that somebody told of, or that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acquainted<P, A> {
    /// Who.
    pub peer: P,
    /// Where it is, as far as is known.
    pub place: A,
    /// Since when it is known.
    pub since: Duration,
    /// Whether it can be called.
    pub standing: Standing,
    /// Whether it was met, or came here.
    pub is_met: bool,
}

/// What is thought of an acquaintance; the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It counts as one that is there: two tellers agree, it was met there, or it came from there.
    Counts,
    /// One teller alone says so.
    OneWord,
    /// It was called in vain, and is not called for a while.
    Rests,
}

#[derive(Debug)]
struct Known<T, A> {
    since: Duration,
    /// When somebody told of it last, or it was met.
    told: Duration,
    /// Who says where it is, the latest word last; at most [`WORDS_MAX`].
    words: Vec<(T, A)>,
    /// Where it was met, or came from.
    met_at: Option<A>,
    /// Whether it was not missed there since.
    is_there: bool,
    /// The address from which it came here, when it was not met otherwise.
    came_from: Option<T>,
    /// Calls in a row that failed, and until when it is not called for that.
    failures: u32,
    rests_until: Duration,
}

/// How many of those it told of were not there, and until when it is not listened to.
#[derive(Debug, Default)]
struct Teller {
    missed: u32,
    rests_until: Duration,
}

impl<P, T, A> Default for Acquaintances<P, T, A> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            tellers: HashMap::new(),
            missed_in_a_row: None,
        }
    }
}

impl<T: Copy + Eq, A: Clone + PartialEq> Known<T, A> {
    fn new(now: Duration) -> Self {
        Self {
            since: now,
            told: now,
            words: Vec::new(),
            met_at: None,
            is_there: false,
            came_from: None,
            failures: 0,
            rests_until: Duration::ZERO,
        }
    }

    /// Where it is, as far as that counts.
    fn place(&self) -> Option<&A> {
        let met_at = self.met_at.as_ref().filter(|_| self.is_there);
        let told = || {
            let newest = self.words.iter().enumerate().rev();
            let mut agreed = newest.filter(|(at, (_, place))| {
                let mut others = self.words[..*at].iter();
                others.any(|(_, other)| other == place)
            });
            agreed.next().map(|(_, (_, place))| place)
        };
        met_at.or_else(told)
    }

    /// Where it is by the best word that there is.
    fn best_place(&self) -> Option<&A> {
        let last = || self.words.last().map(|(_, place)| place);
        self.place().or_else(last).or(self.met_at.as_ref())
    }

    fn standing(&self, now: Duration) -> Standing {
        match self.place() {
            _ if now < self.rests_until => Standing::Rests,
            Some(_) => Standing::Counts,
            None => Standing::OneWord,
        }
    }

    fn hear(&mut self, teller: T, place: A) {
        self.words.retain(|(other, _)| *other != teller);
        self.words.push((teller, place));
        if self.words.len() > WORDS_MAX {
            self.words.remove(0);
        }
    }

    fn is_fresh(&self, now: Duration) -> bool {
        now.saturating_sub(self.told) < ACQUAINTANCE_KEPT
    }

    fn is_of_one_alone(&self, teller: &T) -> bool {
        self.met_at.is_none() && self.words.iter().all(|(other, _)| other == teller)
    }

    /// Who says that it is where it was called.
    fn tellers_of<'a>(&'a self, place: &'a A) -> impl Iterator<Item = T> + 'a {
        let of_place = self.words.iter().filter(move |(_, told)| told == place);
        of_place.map(|(teller, _)| *teller)
    }
}

impl<P, T, A> Acquaintances<P, T, A>
where
    P: Copy + Eq + Hash + Ord,
    T: Copy + Eq + Hash,
    A: Clone + PartialEq,
{
    /// `teller` is connected to these now. How many of them nobody had told of.
    pub fn tell(
        &mut self,
        now: Duration,
        teller: T,
        hosts: impl IntoIterator<Item = (P, A)>,
    ) -> usize {
        let rests = self.tellers.get(&teller).map(|teller| teller.rests_until);
        if rests.is_some_and(|until| now < until) {
            return 0;
        }
        self.known.retain(|_, known| known.is_fresh(now));
        let alone = |known: &&Known<T, A>| known.is_of_one_alone(&teller);
        let mut unshared = self.known.values().filter(alone).count();
        let mut news = 0;
        for (peer, place) in hosts {
            if let Some(known) = self.known.get_mut(&peer) {
                known.told = now;
                known.hear(teller, place);
                continue;
            }
            if unshared >= UNSHARED_OF_ONE_MAX {
                break;
            }
            self.know(now, peer).hear(teller, place);
            unshared += 1;
            news += 1;
        }
        news
    }

    fn know(&mut self, now: Duration, peer: P) -> &mut Known<T, A> {
        if self.known.len() >= ACQUAINTANCES_KNOWN_MAX && !self.known.contains_key(&peer) {
            self.forget_one();
        }
        self.known.entry(peer).or_insert_with(|| Known::new(now))
    }

    /// `peer` came here, from the address `from`, proved its name, and says that it listens at `place`, which is at that address. A host that finds
    /// all others full is known by this alone. Of one address so many are known by it as there may be unproven neighbours of one; for one more the one that
    /// came longest ago is forgotten.
    pub fn came(&mut self, now: Duration, from: T, peer: P, place: A) {
        let is_known = |known: &Known<T, A>| known.met_at.is_some() && known.came_from.is_none();
        if !self.known.get(&peer).is_some_and(is_known) {
            self.forget_one_from(&from, &peer);
        }
        let known = self.know(now, peer);
        known.told = now;
        if !is_known(known) {
            known.came_from = Some(from);
        }
        // Who was missed there rests as long as it would have.
        (known.met_at, known.is_there) = (Some(place), true);
    }

    /// It was called, and is who it was said to be.
    pub fn met(&mut self, now: Duration, peer: &P) {
        self.missed_in_a_row = Some(0);
        let Some(known) = self.known.get_mut(peer) else {
            return;
        };
        let Some(place) = known.best_place().cloned() else {
            return;
        };
        (known.failures, known.rests_until) = (0, Duration::ZERO);
        (known.told, known.is_there, known.came_from) = (now, true, None);
        for teller in known.tellers_of(&place) {
            if let Some(teller) = self.tellers.get_mut(&teller) {
                teller.missed = teller.missed.saturating_sub(1);
            }
        }
        known.met_at = Some(place);
    }

    /// It is there and does not take this host in: it rests as one that was missed, and nobody is to blame.
    pub fn declined(&mut self, now: Duration, peer: &P) {
        if let Some(known) = self.known.get_mut(peer) {
            let rest = ACQUAINTANCE_RESTS.saturating_mul(1 << known.failures.min(16));
            known.rests_until = now + rest.min(ACQUAINTANCE_RESTS_MAX);
            known.failures = known.failures.saturating_add(1);
            known.is_there = false;
        }
    }

    /// It was called in vain: it rests for [`ACQUAINTANCE_RESTS`], and each time twice as long. Who told of
    /// [`ACQUAINTANCES_MISSED_MAX`] such more than of others that were there is not listened to for [`TELLER_RESTS`], and what nobody else
    /// told is forgotten.
    pub fn missed(&mut self, now: Duration, peer: &P) {
        self.missed_in_a_row = self.missed_in_a_row.map(|missed| missed.saturating_add(1));
        let Some(known) = self.known.get(peer) else {
            return;
        };
        let blamed: Vec<T> = match (known.failures, known.place()) {
            (0, Some(place)) if known.met_at.is_none() => known.tellers_of(place).collect(),
            _ => Vec::new(),
        };
        self.declined(now, peer);
        for teller in blamed {
            self.blame(now, teller);
        }
    }

    fn blame(&mut self, now: Duration, teller: T) {
        if !self.tellers.contains_key(&teller) && self.tellers.len() >= ACQUAINTANCES_KNOWN_MAX {
            self.tellers.retain(|_, teller| now < teller.rests_until);
        }
        let told = self.tellers.entry(teller).or_default();
        told.missed += 1;
        if told.missed >= ACQUAINTANCES_MISSED_MAX {
            *told = Teller {
                missed: 0,
                rests_until: now + TELLER_RESTS,
            };
            for known in self.known.values_mut() {
                known.words.retain(|(other, _)| *other != teller);
            }
            let is_known = |known: &Known<T, A>| known.met_at.is_some() || !known.words.is_empty();
            self.known.retain(|_, known| is_known(known));
        }
    }

    /// It was a neighbour and is gone: who is connected to it still will tell.
    pub fn forget(&mut self, peer: &P) {
        self.known.remove(peer);
    }

    /// Whether any of them is there, as far as is known: the last that were called were not all missed.
    pub fn is_anybody_there(&self) -> bool {
        self.missed_in_a_row
            .is_some_and(|missed| missed < ALL_MISSED)
    }

    /// All that were told of lately, in no order.
    pub fn all(&self, now: Duration) -> impl Iterator<Item = Acquainted<P, A>> {
        let fresh = self.known.iter();
        let fresh = fresh.filter(move |(_, known)| known.is_fresh(now));
        fresh.filter_map(move |(peer, known)| {
            Some(Acquainted {
                peer: *peer,
                place: known.best_place()?.clone(),
                since: known.since,
                standing: known.standing(now),
                is_met: known.met_at.is_some(),
            })
        })
    }

    /// Those that count, in no order.
    pub fn known(&self, now: Duration) -> impl Iterator<Item = Acquainted<P, A>> {
        let all = self.all(now);
        all.filter(|one| one.standing == Standing::Counts)
    }

    /// Keeps those alone that are said to be, or were, at a place that is to be kept.
    pub fn retain(&mut self, mut is_kept: impl FnMut(&A) -> bool) {
        self.known.retain(|_, known| {
            known.words.retain(|(_, place)| is_kept(place));
            known.met_at = known.met_at.take().filter(&mut is_kept);
            known.met_at.is_some() || !known.words.is_empty()
        });
    }

    /// Where it is, if it counts now.
    pub fn place(&self, now: Duration, peer: &P) -> Option<A> {
        let known = self.known.get(peer)?;
        let place = known.place()?;
        (now >= known.rests_until).then(|| place.clone())
    }

    /// Where it is by the best word that there is, if it does not rest.
    pub fn best_place(&self, now: Duration, peer: &P) -> Option<A> {
        let known = self.known.get(peer)?;
        let place = known.best_place()?;
        (now >= known.rests_until).then(|| place.clone())
    }

    /// How many there are, those that rest and those of whom one alone told among them.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Where as many came from one address as may be, and `peer` is another: forgets the one that came longest ago.
    fn forget_one_from(&mut self, from: &T, peer: &P) {
        let all = self.known.iter();
        let of_it = all.filter(|(other, known)| *other != peer && known.came_from == Some(*from));
        let of_it: Vec<(Duration, P)> = of_it.map(|(other, known)| (known.told, *other)).collect();
        if of_it.len() >= UNPROVEN_PER_ADDRESS_MAX
            && let Some((_, oldest)) = of_it.into_iter().min()
        {
            self.known.remove(&oldest);
        }
    }

    /// Forgets one: one of whom one alone told before the others, one that nobody met before those that were, and of those the one
    /// that was not told of for longest.
    fn forget_one(&mut self) {
        let least = self.known.iter().min_by_key(|(peer, known)| {
            let (is_met, is_shared) = (known.met_at.is_some(), known.place().is_some());
            (is_met, is_shared, known.told, **peer)
        });
        if let Some(least) = least.map(|(peer, _)| *peer) {
            self.known.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests;
