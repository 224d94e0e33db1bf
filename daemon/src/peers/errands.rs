//! Errands: connections to hosts that are no neighbours, for as long as something is to be asked there.
//!
//! A network may have more hosts than anybody has neighbours. Who decides about a thing there, or has it, is called when it is
//! needed, and the connection ends when it has not been used for a while. Whoever calls on an errand says so in its first words: it
//! is no neighbour, is asked nothing and told of to nobody, and finds room where there is none for neighbours.
//!
//! The host that called ends the connection, and not while the other side takes something from it. The other side ends one that is
//! not used for three times as long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use modmesh_protocol::limits::{ERRAND_IDLE, NO_PROGRESS_MAX};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Command, PeerError, Shared, lock};

/// How long one that called on an errand may ask nothing.
const CALLER_IDLE: Duration = ERRAND_IDLE.saturating_mul(3);

/// The errands of this host, and those of others here.
#[derive(Debug, Default)]
pub(super) struct Errands(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    trips: HashMap<PeerId, Trip>,
    /// Those that called this host on errands, and when they asked something last.
    callers: HashMap<PeerId, Instant>,
    /// Of the trip that began last: an errand that ends is of the trip that it began with, and of no later one.
    serial: u64,
}

/// What this host has to do at one other.
#[derive(Debug)]
struct Trip {
    serial: u64,
    /// Whether a call is under way for it, or the connection is one that this host made for it.
    is_ours: bool,
    /// Those that wait for the call; nothing once it arrived.
    awaited_by: Option<Vec<oneshot::Sender<bool>>>,
    /// How many errands there are.
    running: usize,
    /// Since when there have been none.
    idle_since: Instant,
    /// Whether something was given to the other side when it was looked at last.
    was_held: bool,
}

/// Something that is to be asked of a host, which stays connected while this lives.
#[derive(Debug)]
pub(super) struct Errand {
    shared: Arc<Shared>,
    peer: PeerId,
    serial: u64,
}

impl Drop for Errand {
    fn drop(&mut self) {
        let errands = &self.shared.errands;
        errands.end(&self.peer, self.serial, Instant::now());
        // The swarm's task looks when the next connection is to end.
        self.shared.outbox.filled.notify_one();
    }
}

/// What somebody who wants to go on an errand has to do.
#[derive(Debug)]
enum Way {
    /// Ask: it is connected.
    Open,
    /// Wait for a call that is under way.
    Wait(oneshot::Receiver<bool>),
    /// Call, and wait.
    Call(oneshot::Receiver<bool>),
}

/// Sees to it that `peer` can be asked, which is no neighbour: calls it, unless this was done before and it is still there. To be kept while it
/// is asked. Nothing for a neighbour, which needs no call.
pub(super) async fn call_on(
    shared: &Arc<Shared>,
    peer: PeerId,
) -> Result<Option<Errand>, PeerError> {
    if shared.roster.is_neighbour(&peer) {
        return Ok(None);
    }
    let is_usable = shared.roster.is_usable(&peer);
    let most = shared.capacity.errands();
    let begun = shared.errands.begin(peer, is_usable, most);
    let (serial, way) = begun.ok_or(PeerError::LanesFull)?;
    // Ends the errand on every way out of here.
    let errand = Errand {
        shared: Arc::clone(shared),
        peer,
        serial,
    };
    let arrival = match way {
        Way::Open => return Ok(Some(errand)),
        Way::Wait(arrival) => arrival,
        Way::Call(arrival) => {
            let Some(at) = shared.where_to_call(&peer) else {
                shared.errands.failed(&peer);
                return Err(PeerError::Gone);
            };
            // Whoever asks may be gone before there was room; others wait for this call.
            if shared
                .commands
                .try_send(Command::CallOn { peer, at })
                .is_err()
            {
                shared.errands.failed(&peer);
                return Err(PeerError::LanesFull);
            }
            arrival
        }
    };
    match timeout(NO_PROGRESS_MAX, arrival).await {
        Ok(Ok(true)) if shared.roster.is_across(&peer) => Err(PeerError::Refused),
        Ok(Ok(true)) => Ok(Some(errand)),
        Ok(_) => Err(PeerError::Gone),
        Err(_) => Err(PeerError::Stalled),
    }
}

impl Errands {
    /// One more errand at `peer`, by the number of its trip; nothing where there are `most` trips.
    fn begin(&self, peer: PeerId, is_usable: bool, most: usize) -> Option<(u64, Way)> {
        let mut table = lock(&self.0);
        let is_new = !table.trips.contains_key(&peer);
        if is_new && table.trips.len() >= most {
            return None;
        }
        table.serial += u64::from(is_new);
        let serial = table.serial;
        let trip = table.trips.entry(peer).or_insert_with(|| Trip {
            serial,
            is_ours: false,
            awaited_by: None,
            running: 0,
            idle_since: Instant::now(),
            was_held: false,
        });
        trip.running += 1;
        if is_usable {
            // It may have called this host meanwhile.
            trip.arrive();
            return Some((trip.serial, Way::Open));
        }
        let is_called = trip.awaited_by.is_some();
        let (tell, arrival) = oneshot::channel();
        trip.awaited_by.get_or_insert_default().push(tell);
        let way = match is_called {
            true => Way::Wait(arrival),
            false => Way::Call(arrival),
        };
        Some((trip.serial, way))
    }

    /// `peer` calls on an errand. Whether it may: `most` others do at most.
    pub(super) fn comes(&self, peer: PeerId, most: usize, now: Instant) -> bool {
        let mut table = lock(&self.0);
        let may_come = table.callers.len() < most || table.callers.contains_key(&peer);
        if may_come {
            table.callers.insert(peer, now);
        }
        may_come
    }

    /// `peer` asks something.
    pub(super) fn asks(&self, peer: &PeerId, now: Instant) {
        if let Some(asked_at) = lock(&self.0).callers.get_mut(peer) {
            *asked_at = now;
        }
    }

    /// Whether a call to `peer` is waited for that is not under way: it was connected otherwise when it was to be made.
    pub(super) fn is_to_be_called(&self, peer: &PeerId) -> bool {
        let table = lock(&self.0);
        let trip = table.trips.get(peer);
        trip.is_some_and(|trip| trip.awaited_by.is_some() && !trip.is_ours)
    }

    /// Whether `peer` is being called on an errand.
    pub(super) fn is_calling(&self, peer: &PeerId) -> bool {
        let table = lock(&self.0);
        let trip = table.trips.get(peer);
        trip.is_some_and(|trip| trip.awaited_by.is_some() && trip.is_ours)
    }

    fn end(&self, peer: &PeerId, serial: u64, now: Instant) {
        let mut table = lock(&self.0);
        let trip = table.trips.get_mut(peer);
        if let Some(trip) = trip.filter(|trip| trip.serial == serial) {
            trip.running = trip.running.saturating_sub(1);
            trip.idle_since = now;
        }
    }

    /// `peer` is called: the connection is this host's to end.
    pub(super) fn called(&self, peer: &PeerId, now: Instant) {
        let mut table = lock(&self.0);
        let serial = table.serial;
        let trip = table.trips.entry(*peer).or_insert_with(|| Trip {
            serial,
            is_ours: true,
            awaited_by: None,
            running: 0,
            idle_since: now,
            was_held: false,
        });
        trip.is_ours = true;
    }

    /// `peer` has been greeted.
    pub(super) fn arrived(&self, peer: &PeerId) {
        if let Some(trip) = lock(&self.0).trips.get_mut(peer) {
            trip.arrive();
        }
    }

    /// `peer` cannot be called, or its connection ended. Whether somebody waited for it.
    pub(super) fn failed(&self, peer: &PeerId) -> bool {
        let mut table = lock(&self.0);
        table.callers.remove(peer);
        let trip = table.trips.remove(peer);
        drop(table);
        let awaited_by = trip.and_then(|trip| trip.awaited_by);
        let was_awaited = awaited_by.is_some();
        for tell in awaited_by.into_iter().flatten() {
            let _ = tell.send(false);
        }
        was_awaited
    }

    /// Connections to end: nothing has been asked there for [`ERRAND_IDLE`], and they are not held by what is given to the other side. The
    /// trips are forgotten.
    pub(super) fn take_idle(&self, now: Instant, is_held: impl Fn(&PeerId) -> bool) -> Vec<PeerId> {
        let mut idle = Vec::new();
        let mut table = lock(&self.0);
        table.trips.retain(|peer, trip| {
            if trip.ends_at().is_none_or(|at| now < at) {
                return true;
            }
            let is_held = is_held(peer);
            // The last bytes may still be on their way.
            if is_held || trip.was_held {
                (trip.idle_since, trip.was_held) = (now, is_held);
                return true;
            }
            if trip.is_ours {
                idle.push(*peer);
            }
            false
        });
        let Table { trips, callers, .. } = &mut *table;
        callers.retain(|peer, asked_at| {
            if now < *asked_at + CALLER_IDLE {
                return true;
            }
            if is_held(peer) || trips.contains_key(peer) {
                *asked_at = now;
                return true;
            }
            idle.push(*peer);
            false
        });
        idle
    }

    /// When [`Errands::take_idle`] is to be asked.
    pub(super) fn due(&self) -> Option<Instant> {
        let table = lock(&self.0);
        let trips = table.trips.values().filter_map(Trip::ends_at);
        let callers = table
            .callers
            .values()
            .map(|asked_at| *asked_at + CALLER_IDLE);
        trips.chain(callers).min()
    }

    /// Hosts that are called on errands now.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.0).trips.len()
    }
}

impl Trip {
    fn arrive(&mut self) {
        for tell in self.awaited_by.take().into_iter().flatten() {
            let _ = tell.send(true);
        }
    }

    fn ends_at(&self) -> Option<Instant> {
        (self.running == 0).then(|| self.idle_since + ERRAND_IDLE)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MOST: usize = 3;

    fn begin(errands: &Errands, peer: PeerId, is_usable: bool) -> Way {
        errands.begin(peer, is_usable, MOST).unwrap().1
    }

    fn arrival(way: Way) -> oneshot::Receiver<bool> {
        match way {
            Way::Call(arrival) | Way::Wait(arrival) => arrival,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_call_serves_all_that_wait_for_it_and_those_that_come_later() {
        let (errands, peer) = (Errands::default(), PeerId::random());
        let first = begin(&errands, peer, false);
        let second = begin(&errands, peer, false);
        assert!(matches!((&first, &second), (Way::Call(_), Way::Wait(_))));
        errands.arrived(&peer);
        assert_eq!(arrival(first).blocking_recv(), Ok(true));
        assert_eq!(arrival(second).blocking_recv(), Ok(true));
        assert!(matches!(begin(&errands, peer, true), Way::Open));
    }

    #[test]
    fn who_waits_for_a_call_in_vain_is_told_and_the_next_calls_again() {
        let (errands, peer) = (Errands::default(), PeerId::random());
        let first = begin(&errands, peer, false);
        assert!(errands.failed(&peer));
        assert_eq!(arrival(first).blocking_recv(), Ok(false));
        assert!(!errands.failed(&peer));
        assert!(matches!(begin(&errands, peer, false), Way::Call(_)));
        // What ends late is of the trip before.
        errands.end(&peer, 1, Instant::now());
        assert_eq!(errands.due(), None);
        // Who is connected by a call of its own need not be called.
        let other = PeerId::random();
        assert!(matches!(begin(&errands, other, true), Way::Open));
    }

    #[test]
    fn an_errand_ends_when_nothing_was_asked_for_a_while_and_nothing_is_taken() {
        let (errands, peer) = (Errands::default(), PeerId::random());
        let start = Instant::now();
        drop(begin(&errands, peer, false));
        drop(begin(&errands, peer, false));
        errands.called(&peer, start);
        errands.arrived(&peer);
        errands.end(&peer, 1, start);
        assert_eq!(errands.due(), None);
        assert!(
            errands
                .take_idle(start + 9 * ERRAND_IDLE, |_| false)
                .is_empty()
        );
        errands.end(&peer, 1, start);
        let due = start + ERRAND_IDLE;
        assert_eq!(errands.due(), Some(due));
        let before = due - Duration::from_millis(1);
        assert!(errands.take_idle(before, |_| false).is_empty());
        assert!(errands.take_idle(due, |_| true).is_empty());
        assert_eq!(errands.due(), Some(due + ERRAND_IDLE));
        // Its last bytes may be on their way when nothing is given to it any more.
        let due = due + ERRAND_IDLE;
        assert!(errands.take_idle(due, |_| false).is_empty());
        assert_eq!(errands.take_idle(due + ERRAND_IDLE, |_| false), [peer]);
        assert_eq!((errands.count(), errands.due()), (0, None));
        // What the other side called for is its own to end.
        drop(begin(&errands, peer, true));
        errands.end(&peer, 2, start);
        assert!(errands.take_idle(due, |_| false).is_empty());
        assert_eq!(errands.count(), 0);
        // A call that nobody waits for any more is to be ended all the same.
        errands.called(&peer, start);
        assert_eq!(errands.take_idle(start + ERRAND_IDLE, |_| false), [peer]);
    }

    #[test]
    fn a_trip_whose_connection_went_unseen_is_called_again() {
        let (errands, peer) = (Errands::default(), PeerId::random());
        assert!(matches!(begin(&errands, peer, true), Way::Open));
        assert!(matches!(begin(&errands, peer, false), Way::Call(_)));
        assert!(errands.is_to_be_called(&peer));
        errands.called(&peer, Instant::now());
        assert!(!errands.is_to_be_called(&peer));
        assert!(matches!(begin(&errands, peer, false), Way::Wait(_)));
    }

    #[test]
    fn those_that_call_are_bounded_and_go_when_they_ask_nothing() {
        let (errands, start) = (Errands::default(), Instant::now());
        let callers: Vec<PeerId> = (0..MOST).map(|_| PeerId::random()).collect();
        for caller in &callers {
            assert!(errands.comes(*caller, MOST, start));
        }
        assert!(errands.comes(callers[0], MOST, start));
        assert!(!errands.comes(PeerId::random(), MOST, start));
        let later = start + CALLER_IDLE;
        assert_eq!(errands.due(), Some(later));
        errands.asks(&callers[0], later);
        let idle = errands.take_idle(later, |peer| *peer == callers[1]);
        assert_eq!(idle, [callers[2]]);
        errands.failed(&callers[0]);
        assert!(errands.comes(PeerId::random(), MOST, later));
    }

    #[test]
    fn there_are_only_so_many_errands() {
        let errands = Errands::default();
        for _ in 0..MOST {
            assert!(matches!(begin(&errands, PeerId::random(), true), Way::Open));
        }
        assert!(errands.begin(PeerId::random(), true, MOST).is_none());
    }
}
