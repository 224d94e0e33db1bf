//! Asking neighbours whom they know.
//!
//! By multicast a crowd that starts together is heard one after the other, seven a second. But everybody calls the first
//! that are heard, so these know everybody; asking them is quicker than waiting for the last. The first neighbours are asked
//! a moment after they were met, three once more a little later, and one every ten minutes for what was missed, all of this host's site. Who has a quarter as
//! many neighbours as it calls, or has heard of as many hosts, asks them all, one after the other and while they name hosts that nobody named before, or one that
//! one teller alone has named is still to be named by another: there may be more hosts than anybody has neighbours, and owners are found among all of them.
//!
//! In such a network a newcomer may find all others full and have few neighbours, or none. It asks hosts beyond them as well, on errands, and half a minute later
//! calls on as many as it lacks neighbours, for who is asked knows who asks: few others can tell of it.
//!
//! What they say is hearsay. It is followed only to addresses on this host's own links, by whose neighbours such a call
//! could be made as well, and only to hosts that prove the name; see [`Roads::named`](super::roads::Roads::named).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use modmesh_protocol::wire::Answer;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::tips::Tip;
use super::{Shared, ask, company, errands, peer_id_of};

/// Neighbours that are asked because they were met, until the next round.
const MET_ASKED_MAX: u32 = 8;
/// How long after: others meet them at the same time.
const AFTER_MEETING: Duration = Duration::from_millis(250);
/// When others are asked once more, after the first was met, and how many.
const ROUNDS: [Duration; 2] = [Duration::from_millis(1500), Duration::from_secs(4)];
const ASKED_IN_A_ROUND: usize = 3;
/// How often one is asked after that.
const EVERY: Duration = Duration::from_secs(600);
/// How long after there are many hosts all neighbours are asked: those of a network that starts together do not know
/// everybody yet when they are asked first.
const SWEEPS: [Duration; 5] = [
    Duration::from_millis(1500),
    Duration::from_secs(6),
    Duration::from_secs(30),
    Duration::from_secs(100),
    Duration::from_secs(300),
];
/// How many of the sweeps are left when those begin that are visits as well.
const VISITS_LEFT: usize = 3;
/// All are asked by a host that knows of this part of those that it calls: in a network that is larger than everybody's room a newcomer may
/// find all others full, and has few neighbours.
const MANY_PART: usize = 4;
/// Hosts that are enough to be told of all others, of two thousand with 128 neighbours each.
const TELLERS_ENOUGH: usize = 64;
/// How often one is asked for a host that was heard and that nobody has told of, where there are more hosts than neighbours.
const FOR_THE_MISSING: Duration = Duration::from_secs(20);
/// The pause between two of all neighbours, and how many in a row may name nobody new before the others are not asked.
const NEXT_OF_ALL: Duration = Duration::from_millis(250);
const FRUITLESS_MAX: u32 = 8;

/// Asking all neighbours.
#[derive(Debug)]
struct Sweep {
    /// Those that are asked while they name others, the next one last.
    left: Vec<PeerId>,
    /// Those that are asked after them in any case, to be known there.
    visits: Vec<PeerId>,
    next: Instant,
    /// How many hosts were known before, and how often in a row that has not changed.
    known: usize,
    fruitless: u32,
}

impl Sweep {
    /// `visits`: whether those are asked as well that are called for want of neighbours.
    fn begin(shared: &Shared, now: Instant, visits: bool) -> Self {
        let mut left = tellers(shared);
        left.reverse();
        let visits = match visits {
            true => for_want_of_neighbours(shared, shared.capacity.called()),
            false => Vec::new(),
        };
        Self {
            left,
            visits,
            next: now,
            known: 0,
            fruitless: 0,
        }
    }

    /// Whom to ask now, when that is due. So many hosts are `known` by now; `is_in_doubt`: of one more one teller alone has told, and another may.
    fn step(&mut self, now: Instant, known: usize, is_in_doubt: bool) -> Option<PeerId> {
        if now < self.next {
            return None;
        }
        self.next = now + NEXT_OF_ALL;
        self.fruitless = match known == self.known {
            true => self.fruitless + 1,
            false => 0,
        };
        self.known = known;
        if self.fruitless > FRUITLESS_MAX && !is_in_doubt {
            self.left.clear();
        }
        let next = self.left.pop().or_else(|| self.visits.pop());
        self.visits.retain(|peer| Some(*peer) != next);
        next
    }

    /// When the next one is asked; nothing at the end.
    fn due(&self) -> Option<Instant> {
        let is_over = self.left.is_empty() && self.visits.is_empty();
        (!is_over).then_some(self.next)
    }
}

/// When all are asked.
#[derive(Debug, Default)]
struct Sweeps {
    /// What is left of [`SWEEPS`]; nothing while there are few hosts.
    begin: Option<Vec<Instant>>,
    current: Option<Sweep>,
}

impl Sweeps {
    /// Whom to ask now, when that is due.
    fn step(&mut self, shared: &Shared, now: Instant) -> Option<PeerId> {
        let told_of = shared.acquainted_count();
        let hosts = told_of.max(shared.roster.usable_count());
        let (named_beyond, is_in_doubt) = shared.named_beyond_count();
        let hosts = hosts.max(named_beyond);
        let many = shared.capacity.called() / MANY_PART;
        if self.begin.is_none() && hosts >= many {
            self.begin = Some(SWEEPS.map(|wait| now + wait).into());
        } else if self.begin.is_some() && hosts < many / 2 {
            // It is another network by now.
            *self = Self::default();
        }
        let begin = self.begin.as_mut()?;
        let waiting = begin.len();
        begin.retain(|at| *at > now);
        if begin.len() < waiting {
            // By then a host has those neighbours that have room for it.
            let visits = begin.len() < VISITS_LEFT;
            self.current = Some(Sweep::begin(shared, now, visits));
        }
        let known = told_of + shared.beyond_count();
        self.current.as_mut()?.step(now, known, is_in_doubt)
    }

    /// When the next one is asked.
    fn due(&self) -> impl Iterator<Item = Instant> {
        let begin = self.begin.iter().flatten().copied();
        begin.chain(self.current.as_ref().and_then(Sweep::due))
    }
}

/// Asks until nobody wants to know any more.
pub(super) async fn run(shared: Arc<Shared>, tips: mpsc::Sender<Tip>) {
    let mut due: Vec<(Instant, PeerId)> = Vec::new();
    let mut rounds: Vec<(Instant, usize)> = vec![(Instant::now() + EVERY, 1)];
    let mut asked = 0;
    let mut asked_at: HashMap<PeerId, Instant> = HashMap::new();
    let mut sweeps = Sweeps::default();
    let mut ask_for_the_missing_at = Instant::now();
    loop {
        let moments = due.iter().map(|(at, _)| *at);
        let moments = moments.chain(rounds.iter().map(|(at, _)| *at));
        let moments = moments.chain(sweeps.due());
        let is_missing = sweeps.begin.is_some() && shared.company.is_missing_somebody();
        let moments = moments.chain(is_missing.then_some(ask_for_the_missing_at));
        let next = moments.min().unwrap_or_else(|| Instant::now() + EVERY);
        tokio::select! {
            () = tips.closed() => return,
            () = shared.company.somebody_met.notified() => {
                let now = Instant::now();
                for peer in shared.company.take_met() {
                    if asked == 0 {
                        rounds.extend(ROUNDS.map(|wait| (now + wait, ASKED_IN_A_ROUND)));
                    }
                    if asked < MET_ASKED_MAX {
                        due.push((now + AFTER_MEETING, peer));
                    }
                    asked = asked.saturating_add(1);
                }
            }
            () = sleep_until(next.into()) => {}
        }
        let now = Instant::now();
        if let Some(peer) = sweeps.step(&shared, now) {
            ask_one(&shared, peer, &tips);
        }
        if is_missing && ask_for_the_missing_at <= now {
            ask_for_the_missing_at = now + FOR_THE_MISSING;
            shared.company.asks_for_the_missing();
            // Of the neighbours alone: it is asked often, and who is called on an errand stays connected for a while.
            for peer in longest_unasked(neighbours_of(&shared), &mut asked_at, 1, now) {
                ask_one(&shared, peer, &tips);
            }
        }
        for (_, peer) in due.extract_if(.., |(at, _)| *at <= now) {
            ask_one(&shared, peer, &tips);
        }
        for (_, count) in rounds
            .extract_if(.., |(at, _)| *at <= now)
            .collect::<Vec<_>>()
        {
            for peer in longest_unasked(tellers(&shared), &mut asked_at, count, now) {
                ask_one(&shared, peer, &tips);
            }
            if rounds.is_empty() {
                asked = 0;
                rounds.push((now + EVERY, 1));
            }
        }
    }
}

/// Those of this host's site: of others nobody is called by hearsay, and to ask there costs.
pub(super) fn neighbours_of(shared: &Shared) -> Vec<PeerId> {
    let neighbours = shared.roster.usable_here();
    neighbours.iter().filter_map(peer_id_of).collect()
}

/// Those that can be asked whom they know: the neighbours, and where these are few in a network that is large, because all others have
/// as many as they may, some of those beyond.
fn tellers(shared: &Shared) -> Vec<PeerId> {
    let mut tellers = neighbours_of(shared);
    tellers.extend(for_want_of_neighbours(shared, TELLERS_ENOUGH));
    tellers
}

/// Of the hosts beyond the neighbours as many as there are neighbours less than `enough`.
fn for_want_of_neighbours(shared: &Shared, enough: usize) -> Vec<PeerId> {
    let missing = enough.saturating_sub(shared.roster.usable_count());
    if missing == 0 {
        return Vec::new();
    }
    let mut beyond = shared.callable_beyond();
    beyond.truncate(missing);
    beyond
}

/// Those that were asked longest ago, or never; of these in the order in which they come, the order of a hash map, which is another
/// one in each process. Notes that they are asked now.
fn longest_unasked(
    mut neighbours: Vec<PeerId>,
    asked_at: &mut HashMap<PeerId, Instant>,
    count: usize,
    now: Instant,
) -> Vec<PeerId> {
    asked_at.retain(|peer, _| neighbours.contains(peer));
    neighbours.sort_by_key(|peer| asked_at.get(peer).copied());
    neighbours.truncate(count);
    asked_at.extend(neighbours.iter().map(|peer| (*peer, now)));
    neighbours
}

fn ask_one(shared: &Arc<Shared>, peer: PeerId, tips: &mpsc::Sender<Tip>) {
    // Who was met, or is one of all, may have told since that it is of another site.
    if shared.roster.is_across(&peer) {
        return;
    }
    let (shared, tips) = (Arc::clone(shared), tips.clone());
    tokio::spawn(async move {
        let Ok(_errand) = errands::call_on(&shared, peer).await else {
            return;
        };
        let question = shared.company.question();
        let answer = ask::query_patiently(&shared, &peer, &question).await;
        let Ok(Answer::Acquaintances(told)) = answer else {
            tracing::debug!(%peer, "a neighbour does not tell whom it knows");
            return;
        };
        let hosts = told.iter().filter_map(company::read).collect();
        let tip = Tip::Named { by: peer, hosts };
        if tips.try_send(tip).is_err() {
            tracing::debug!("too many hints at once; one is left out");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_neighbour_has_its_turn() {
        let neighbours: Vec<PeerId> = (0..20).map(|_| PeerId::random()).collect();
        let (mut asked_at, mut now) = (HashMap::new(), Instant::now());
        let mut next = |of: &[PeerId], count| {
            now += EVERY;
            longest_unasked(of.to_vec(), &mut asked_at, count, now)
        };
        let mut asked = next(&neighbours, 3);
        for _ in 0..17 {
            asked.extend(next(&neighbours, 1));
        }
        let first = asked.clone();
        asked.sort();
        asked.dedup();
        assert_eq!(asked.len(), 20);
        assert!(first[..3].contains(&next(&neighbours, 1)[0]));
        // A newcomer comes first, and who has gone is forgotten.
        let newcomer = PeerId::random();
        assert_eq!(next(&[neighbours[0], newcomer], 1), [newcomer]);
        assert_eq!(asked_at.len(), 2);
    }

    #[test]
    fn all_are_asked_while_they_name_others() {
        let start = Instant::now();
        let new = || Sweep {
            left: (0..100).map(|_| PeerId::random()).collect(),
            visits: Vec::new(),
            next: start,
            known: 0,
            fruitless: 0,
        };
        let walk_in_doubt = |mut sweep: Sweep, known: &dyn Fn(usize) -> usize, doubtful: usize| {
            let mut asked = 0;
            while let Some(due) = sweep.due() {
                assert!(due <= start + 200 * NEXT_OF_ALL);
                let next = sweep.step(due, known(asked), asked < doubtful);
                asked += usize::from(next.is_some());
            }
            asked
        };
        let walk = |sweep: Sweep, known: &dyn Fn(usize) -> usize| walk_in_doubt(sweep, known, 0);
        assert_eq!(walk(new(), &|asked| 10 + asked), 100);
        assert_eq!(walk(new(), &|_| 10), 1 + FRUITLESS_MAX as usize);
        assert_eq!(walk(new(), &|asked| 10 + asked / 8), 100);
        assert_eq!(walk_in_doubt(new(), &|_| 10, 60), 60);
        // Who is called for want of neighbours is called though it names nobody new, and once.
        let mut visiting = new();
        visiting.visits = (0..30).map(|_| PeerId::random()).collect();
        visiting.visits.push(visiting.left[99]);
        assert_eq!(walk(visiting, &|_| 10), 1 + FRUITLESS_MAX as usize + 30);
        assert_eq!(new().step(start - NEXT_OF_ALL, 1, false), None);
    }
}
