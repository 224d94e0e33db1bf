//! A short memory of whether an entry can be reached, so that only one request finds out that it cannot.
//!
//! The first request to an entry goes alone, the others wait for it to be connected: they then share its connection,
//! or its failure, instead of each waiting for the same deadline. After a failure everybody fails at once with the
//! remembered reason, while a scout of its own (`probe.rs`) looks with growing pauses whether the entry is back. No
//! failure, not even the scout's, is believed over an answer that came after it began: that answer is the newer word. An
//! entry that owes an answer for a while and has answered nobody since is *suspect*: the scout goes at once, and who
//! has something to fall back on need not wait. Whatever is answered, even a 500, lifts all that.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::RoadState;

/// How long a request is held that comes when the scout goes because of it.
const KNOCK_PATIENCE: Duration = Duration::from_secs(1);

/// What is remembered of one entry.
#[derive(Debug, Default)]
pub(super) struct Health {
    memory: Mutex<Memory>,
    changed: Notify,
    knocked: Notify,
}

/// The permission to ask. Dropping it without a word (the request was given up) lets the next one go instead.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    health: &'a Health,
    role: Role,
    started: Instant,
}

/// How a request failed to get an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no connection.
    Connect,
    /// There is one, and no answer came over it. A proxy may take its time for one file.
    Silence,
}

/// The pauses between the scout's looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    pub(super) first: Duration,
    pub(super) max: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// One of many on a known road.
    Ordinary,
    /// The one that others wait for.
    First,
}

#[derive(Debug, Default)]
struct Memory {
    road: Road,
    first_is_out: bool,
    answered: Option<Instant>,
    suspect: bool,
    /// Whether there is a scout.
    scouted: bool,
}

#[derive(Debug, Default)]
enum Road {
    #[default]
    Untried,
    Up,
    Down(Down),
}

#[derive(Debug)]
struct Down {
    since: SystemTime,
    reason: String,
    pause: Duration,
    looked_at: Instant,
}

enum Admission {
    Go(Role),
    Wait,
    Refuse(String),
}

impl Health {
    /// Waits until the entry may be asked.
    ///
    /// # Errors
    /// The reason why it is known to be down.
    pub(super) async fn admit(&self) -> Result<Ticket<'_>, String> {
        loop {
            // Registered before the look, so that a change right after it is not missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let started = Instant::now();
            // Bound first: a guard inside the match would be held while waiting.
            let admission = self.lock().admit();
            match admission {
                Admission::Go(role) => {
                    return Ok(Ticket {
                        health: self,
                        role,
                        started,
                    });
                }
                Admission::Refuse(reason) => return Err(reason),
                Admission::Wait => changed.await,
            }
        }
    }

    /// For `status`.
    pub(super) fn state(&self) -> RoadState {
        match &self.lock().road {
            Road::Untried => RoadState::Untried,
            Road::Up => RoadState::Up,
            Road::Down(down) => RoadState::Down {
                since: down.since,
                reason: down.reason.clone(),
            },
        }
    }

    /// Why it is down; nothing while it is not.
    pub(super) fn down(&self) -> Option<String> {
        match &self.lock().road {
            Road::Down(down) => Some(down.reason.clone()),
            Road::Untried | Road::Up => None,
        }
    }

    /// Whether it is down, or owes an answer for longer than it should.
    pub(super) fn is_in_doubt(&self) -> bool {
        let memory = self.lock();
        memory.suspect || matches!(memory.road, Road::Down(_))
    }

    /// Completes with the reason when it is down.
    pub(super) async fn downfall(&self) -> String {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(reason) = self.down() {
                return reason;
            }
            changed.await;
        }
    }

    /// Takes note that a request which began at `since` waits long for its answer. True when a scout is to go.
    pub(super) fn owes_an_answer(&self, since: Instant) -> bool {
        let mut memory = self.lock();
        if memory.was_answered_after(since) || matches!(memory.road, Road::Down(_)) {
            return false;
        }
        memory.doubt()
    }

    /// Has the scout look now, unless it looked within the first pause. True when it goes.
    pub(super) fn knock(&self, pauses: Pauses) -> bool {
        let mut memory = self.lock();
        let Road::Down(down) = &mut memory.road else {
            return false;
        };
        let goes = down.looked_at.elapsed() >= pauses.first;
        if goes {
            down.looked_at = Instant::now();
            self.knocked.notify_one();
        }
        goes
    }

    /// Waits a little for the scout's word. True when the entry is back.
    pub(super) async fn back_after_knock(&self) -> bool {
        let back = async {
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                if self.down().is_none() {
                    return;
                }
                changed.await;
            }
        };
        timeout(KNOCK_PATIENCE, back).await.is_ok()
    }

    /// When the scout is to look next; nothing when its work is done.
    pub(super) fn next_look(&self) -> Option<Duration> {
        let mut memory = self.lock();
        let next = match &memory.road {
            Road::Down(down) => Some(down.pause.saturating_sub(down.looked_at.elapsed())),
            Road::Untried | Road::Up if memory.suspect => Some(Duration::ZERO),
            Road::Untried | Road::Up => None,
        };
        memory.scouted = next.is_some();
        next
    }

    /// Completes when somebody knocks.
    pub(super) async fn knocked(&self) {
        self.knocked.notified().await;
    }

    /// What the scout saw that left at `since`: an answer, or why there was none.
    pub(super) fn looked(&self, since: Instant, seen: Result<(), String>, pauses: Pauses) {
        let mut memory = self.lock();
        match seen {
            Ok(()) => memory.answer(),
            Err(_) if memory.was_answered_after(since) => {}
            Err(reason) => memory.fail(true, &reason, pauses),
        }
        drop(memory);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    /// When the request began.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// A connection stands. Those who wait for the first request may follow it.
    pub(super) fn connected(&mut self) {
        if self.role != Role::First {
            return;
        }
        self.role = Role::Ordinary;
        let mut memory = self.health.lock();
        memory.first_is_out = false;
        if matches!(memory.road, Road::Untried) {
            memory.road = Road::Up;
        }
        drop(memory);
        self.health.changed.notify_waiters();
    }

    /// The entry answered with a redirect, which is followed.
    pub(super) fn redirected(&mut self) {
        self.connected();
        self.health.lock().answer();
        self.health.changed.notify_waiters();
    }

    /// An answer came.
    pub(super) fn answered(self) {
        self.health.lock().answer();
    }

    /// No answer came. True when a scout is to go.
    pub(super) fn failed(self, failure: Failure, reason: &str, pauses: Pauses) -> bool {
        let mut memory = self.health.lock();
        if memory.was_answered_after(self.started) {
            // One connection among many that stand may fail; the scout will know.
            let is_down = matches!(memory.road, Road::Down(_));
            return failure == Failure::Connect && !is_down && memory.doubt();
        }
        memory.fail(false, reason, pauses);
        !mem::replace(&mut memory.scouted, true)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.role != Role::Ordinary {
            self.health.lock().first_is_out = false;
        }
        self.health.changed.notify_waiters();
    }
}

impl Memory {
    fn admit(&mut self) -> Admission {
        match &self.road {
            Road::Up => Admission::Go(Role::Ordinary),
            Road::Down(down) => Admission::Refuse(down.reason.clone()),
            Road::Untried if self.first_is_out => Admission::Wait,
            Road::Untried => {
                self.first_is_out = true;
                Admission::Go(Role::First)
            }
        }
    }

    fn answer(&mut self) {
        self.answered = Some(Instant::now());
        self.suspect = false;
        self.road = Road::Up;
    }

    /// Whether somebody was answered later than that.
    fn was_answered_after(&self, since: Instant) -> bool {
        self.answered.is_some_and(|at| at > since)
    }

    /// Takes note that there is reason for doubt. True when a scout is to go.
    fn doubt(&mut self) -> bool {
        self.suspect = true;
        !mem::replace(&mut self.scouted, true)
    }

    fn fail(&mut self, by_scout: bool, reason: &str, pauses: Pauses) {
        self.suspect = false;
        let (since, pause) = match mem::take(&mut self.road) {
            Road::Down(down) if by_scout => (down.since, (down.pause * 2).min(pauses.max)),
            // Those who were under way when it went down tell nothing new.
            Road::Down(down) => {
                self.road = Road::Down(down);
                return;
            }
            Road::Untried | Road::Up => (SystemTime::now(), pauses.first),
        };
        self.road = Road::Down(Down {
            since,
            reason: reason.to_owned(),
            pause,
            looked_at: Instant::now(),
        });
    }
}

#[cfg(test)]
mod tests;
