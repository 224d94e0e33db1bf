//! Hosts that this one is not connected to and knows by the word of its neighbours.
//!
//! A host keeps [`NEIGHBOURS_MAX`](crate::limits::NEIGHBOURS_MAX) connections at most. In a larger network each host is the neighbour of
//! some and an acquaintance of all others: whoever is connected to a host tells of it, so of each host some neighbour tells,
//! and no word travels further than that. So an acquaintance that has gone is told of by nobody any more, and forgotten.
//!
//! Nothing of it is proven until it was called: an acquaintance that is not where it was said to be is not called for a while, and
//! who tells of too many such is not listened to. What a liar gains is that some calls are made in vain, at addresses that the
//! caller would call anyway.
//!
//! Pure: moments are durations since a start that the caller chooses, and they never go back. `P` is the name of a peer, `A` what is
//! remembered of where it is.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::limits::{
    ACQUAINTANCE_KEPT, ACQUAINTANCE_RESTS, ACQUAINTANCE_RESTS_MAX, ACQUAINTANCES_KNOWN_MAX,
    ACQUAINTANCES_MAX, ACQUAINTANCES_MISSED_MAX, TELLER_RESTS,
};

/// Acquaintances of whom one neighbour alone has told and that nobody has met: two answers full of them.
const UNMET_OF_ONE_MAX: usize = 2 * ACQUAINTANCES_MAX;

/// The table.
#[derive(Debug)]
pub struct Acquaintances<P, A> {
    known: HashMap<P, Known<P, A>>,
    tellers: HashMap<P, Teller>,
}

/// One that can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acquainted<P, A> {
    /// Who.
    pub peer: P,
    /// Where.
    pub place: A,
    /// Since when it is known.
    pub since: Duration,
}

#[derive(Debug)]
struct Known<P, A> {
    place: A,
    since: Duration,
    /// When somebody told of it last.
    told: Duration,
    /// Who told of it first, while nobody has met it.
    unmet_by: Option<P>,
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

impl<P, A> Default for Acquaintances<P, A> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            tellers: HashMap::new(),
        }
    }
}

impl<P: Copy + Eq + Hash + Ord, A: Clone + PartialEq> Acquaintances<P, A> {
    /// `teller` is connected to these now. How many of them nobody had told of.
    pub fn tell(
        &mut self,
        now: Duration,
        teller: P,
        hosts: impl IntoIterator<Item = (P, A)>,
    ) -> usize {
        let rests = self.tellers.get(&teller).map(|teller| teller.rests_until);
        if rests.is_some_and(|until| now < until) {
            return 0;
        }
        self.known
            .retain(|_, known| now.saturating_sub(known.told) < ACQUAINTANCE_KEPT);
        let of_teller = |known: &&Known<P, A>| known.unmet_by == Some(teller);
        let mut unmet = self.known.values().filter(of_teller).count();
        let mut news = 0;
        for (peer, place) in hosts {
            if let Some(known) = self.known.get_mut(&peer) {
                known.told = now;
                // It has moved, or the one word is wrong: the next call shows which.
                if known.failures > 0 && known.place != place {
                    known.place = place;
                }
                continue;
            }
            if unmet >= UNMET_OF_ONE_MAX {
                break;
            }
            if self.known.len() >= ACQUAINTANCES_KNOWN_MAX {
                self.forget_one();
            }
            let known = Known {
                place,
                since: now,
                told: now,
                unmet_by: Some(teller),
                failures: 0,
                rests_until: Duration::ZERO,
            };
            self.known.insert(peer, known);
            unmet += 1;
            news += 1;
        }
        news
    }

    /// It was called and is who it was said to be.
    pub fn met(&mut self, peer: &P) {
        let Some(known) = self.known.get_mut(peer) else {
            return;
        };
        (known.failures, known.rests_until) = (0, Duration::ZERO);
        if let Some(teller) = known.unmet_by.take() {
            self.tellers.remove(&teller);
        }
    }

    /// It was called in vain: it rests for [`ACQUAINTANCE_RESTS`], and each time twice as long. Who told of
    /// [`ACQUAINTANCES_MISSED_MAX`] such in a row is not listened to for [`TELLER_RESTS`], and what nobody else showed of
    /// its word is forgotten.
    pub fn missed(&mut self, now: Duration, peer: &P) {
        let Some(known) = self.known.get_mut(peer) else {
            return;
        };
        let rest = ACQUAINTANCE_RESTS.saturating_mul(1 << known.failures.min(16));
        known.rests_until = now + rest.min(ACQUAINTANCE_RESTS_MAX);
        known.failures = known.failures.saturating_add(1);
        let Some(teller) = known.unmet_by.filter(|_| known.failures == 1) else {
            return;
        };
        let is_known = self.tellers.contains_key(&teller);
        if !is_known && self.tellers.len() >= ACQUAINTANCES_KNOWN_MAX {
            self.tellers.retain(|_, teller| now < teller.rests_until);
        }
        let told = self.tellers.entry(teller).or_default();
        told.missed += 1;
        if told.missed >= ACQUAINTANCES_MISSED_MAX {
            *told = Teller {
                missed: 0,
                rests_until: now + TELLER_RESTS,
            };
            self.known.retain(|_, known| known.unmet_by != Some(teller));
        }
    }

    /// Those that can be called now, in no order.
    pub fn known(&self, now: Duration) -> impl Iterator<Item = Acquainted<P, A>> {
        let fresh = self.known.iter().filter(move |(_, known)| {
            now >= known.rests_until && now.saturating_sub(known.told) < ACQUAINTANCE_KEPT
        });
        fresh.map(|(peer, known)| Acquainted {
            peer: *peer,
            place: known.place.clone(),
            since: known.since,
        })
    }

    /// Where it is, if it can be called now.
    pub fn place(&self, now: Duration, peer: &P) -> Option<A> {
        let known = self.known.get(peer)?;
        (now >= known.rests_until).then(|| known.place.clone())
    }

    /// How many there are, those that rest among them.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Forgets one: one that nobody met before the others, and of those the one that was not told of for longest.
    fn forget_one(&mut self) {
        let least = self
            .known
            .iter()
            .min_by_key(|(peer, known)| (known.unmet_by.is_none(), known.told, **peer));
        if let Some(least) = least.map(|(peer, _)| *peer) {
            self.known.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests;
