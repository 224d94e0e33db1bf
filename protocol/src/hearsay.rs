//! What neighbours say of neighbours that are silent to them, and what is made of it.
//!
//! Each host asks most of its neighbours seldom whether they are there. Whoever finds one gone tells the others; nobody believes
//! it, but a host that has the same neighbour looks for itself, and tells on what it found unless enough others have said so. Thus nearly
//! all who knew a host that lost its power miss it within seconds of the first of them; one that has no neighbour in common with another of
//! them waits for its own pings.
//!
//! A liar gains little: it has others ask a question of a hundred bytes, so often only as this host allows one teller, and of
//! one neighbour no more often than it is asked after whoever tells.
//!
//! Pure: moments are durations since a start that the caller chooses, and they never go back. `P` is the name of a peer.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::limits::{
    HEARSAY_LOOK_EVERY, HEARSAY_LOOKS_BURST_MAX, HEARSAY_REST, HEARSAY_TELLERS_ENOUGH,
    NEIGHBOURS_MAX,
};

/// Peers of whom anything is remembered, in each of two tables: those that are neighbours, and as many that were.
const KNOWN_MAX: usize = 2 * NEIGHBOURS_MAX;

/// What was said lately.
#[derive(Debug)]
pub struct Hearsay<P> {
    /// Looks that each teller has caused and that count against it, and since when.
    tellers: HashMap<P, (u32, Duration)>,
    subjects: HashMap<P, Subject<P>>,
}

#[derive(Debug)]
struct Subject<P> {
    since: Duration,
    /// Who said so since then; at most as many as are enough.
    told_by: Vec<P>,
    /// Whether this host has said so since then.
    has_told: bool,
}

impl<P> Default for Hearsay<P> {
    fn default() -> Self {
        Self {
            tellers: HashMap::new(),
            subjects: HashMap::new(),
        }
    }
}

impl<P: Copy + Eq + Hash> Hearsay<P> {
    /// `teller` says that `subject`, a neighbour of this host, is silent. Whether this host is to look at it now: once in
    /// [`HEARSAY_REST`] for each subject, and for one teller so often as its allowance is.
    pub fn hears(&mut self, now: Duration, teller: P, subject: P) -> bool {
        if teller == subject {
            return false;
        }
        let is_new = !self.is_fresh(now, &subject);
        if is_new && !(self.has_room(now) && self.allows(now, teller)) {
            return false;
        }
        let subject = self.fresh(now, subject);
        if subject.told_by.len() < HEARSAY_TELLERS_ENOUGH && !subject.told_by.contains(&teller) {
            subject.told_by.push(teller);
        }
        is_new
    }

    /// This host has found `subject` gone. Whether it is to tell its neighbours: not again within [`HEARSAY_REST`], and not
    /// where [`HEARSAY_TELLERS_ENOUGH`] others have told it.
    pub fn is_to_tell(&mut self, now: Duration, subject: P) -> bool {
        if !self.is_fresh(now, &subject) && !self.has_room(now) {
            return false;
        }
        let subject = self.fresh(now, subject);
        let is_known = subject.told_by.len() >= HEARSAY_TELLERS_ENOUGH;
        !std::mem::replace(&mut subject.has_told, true) && !is_known
    }

    fn is_fresh(&self, now: Duration, subject: &P) -> bool {
        let known = self.subjects.get(subject);
        known.is_some_and(|known| now < known.since + HEARSAY_REST)
    }

    fn fresh(&mut self, now: Duration, subject: P) -> &mut Subject<P> {
        let new = || Subject {
            since: now,
            told_by: Vec::new(),
            has_told: false,
        };
        let known = self.subjects.entry(subject).or_insert_with(new);
        if now >= known.since + HEARSAY_REST {
            *known = new();
        }
        known
    }

    fn has_room(&mut self, now: Duration) -> bool {
        if self.subjects.len() >= KNOWN_MAX {
            self.subjects
                .retain(|_, known| now < known.since + HEARSAY_REST);
        }
        self.subjects.len() < KNOWN_MAX
    }

    fn allows(&mut self, now: Duration, teller: P) -> bool {
        let left = |(used, since): (u32, Duration)| {
            let passed = now.saturating_sub(since).as_millis() / HEARSAY_LOOK_EVERY.as_millis();
            let passed = u32::try_from(passed).unwrap_or(u32::MAX);
            let since = if used > passed {
                since + HEARSAY_LOOK_EVERY * passed
            } else {
                now
            };
            (used.saturating_sub(passed), since)
        };
        if self.tellers.len() >= KNOWN_MAX && !self.tellers.contains_key(&teller) {
            self.tellers.retain(|_, used| left(*used).0 > 0);
        }
        if self.tellers.len() >= KNOWN_MAX && !self.tellers.contains_key(&teller) {
            return false;
        }
        let used = self.tellers.entry(teller).or_insert((0, now));
        *used = left(*used);
        let allows = used.0 < HEARSAY_LOOKS_BURST_MAX;
        used.0 += u32::from(allows);
        allows
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
