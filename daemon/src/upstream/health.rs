//! A short memory of whether an entry can be reached, so that only one request finds out that it cannot.
//!
//! The first request to an entry goes alone, the others wait for it to be connected: they then share its connection,
//! or its failure, instead of each waiting for the same deadline. After a failure the entry is left alone for a pause
//! that doubles up to a limit; then one probe at a time may go, and everybody else fails at once with the remembered
//! reason. Whatever is answered, even a 500, lifts all that. This is no circuit breaker: answers are not judged here.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::RoadState;

/// What is remembered of one entry.
#[derive(Debug, Default)]
pub(super) struct Health {
    memory: Mutex<Memory>,
    changed: Notify,
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
    /// There is one, and no answer came over it. Only when nobody else was answered meanwhile is the entry down: a
    /// proxy may take its time for one file.
    Silence,
}

/// The pauses after failures.
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
    /// The one that looks whether the entry is back.
    Probe,
}

#[derive(Debug, Default)]
struct Memory {
    road: Road,
    /// Whether a first request or a probe is under way.
    scout_is_out: bool,
    answered: Option<Instant>,
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
    again_at: Instant,
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
            let admission = self.lock().admit(started);
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

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    /// A connection stands. Those who wait for the first request may follow it; a probe must get an answer.
    pub(super) fn connected(&mut self) {
        if self.role != Role::First {
            return;
        }
        self.role = Role::Ordinary;
        let mut memory = self.health.lock();
        memory.scout_is_out = false;
        if matches!(memory.road, Road::Untried) {
            memory.road = Road::Up;
        }
        drop(memory);
        self.health.changed.notify_waiters();
    }

    /// An answer came.
    pub(super) fn answered(self) {
        let mut memory = self.health.lock();
        memory.answered = Some(Instant::now());
        memory.road = Road::Up;
    }

    /// No answer came.
    pub(super) fn failed(self, failure: Failure, reason: &str, pauses: Pauses) {
        let now = Instant::now();
        let mut memory = self.health.lock();
        let others_were_answered = memory.answered.is_some_and(|at| at > self.started);
        if failure == Failure::Connect || !others_were_answered {
            memory.fail(self.role, reason, pauses, now);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.role != Role::Ordinary {
            self.health.lock().scout_is_out = false;
        }
        self.health.changed.notify_waiters();
    }
}

impl Memory {
    fn admit(&mut self, now: Instant) -> Admission {
        match &self.road {
            Road::Up => Admission::Go(Role::Ordinary),
            Road::Untried if self.scout_is_out => Admission::Wait,
            Road::Down(down) if self.scout_is_out || now < down.again_at => {
                Admission::Refuse(down.reason.clone())
            }
            Road::Untried => {
                self.scout_is_out = true;
                Admission::Go(Role::First)
            }
            Road::Down(_) => {
                self.scout_is_out = true;
                Admission::Go(Role::Probe)
            }
        }
    }

    fn fail(&mut self, role: Role, reason: &str, pauses: Pauses, now: Instant) {
        let (since, pause) = match mem::take(&mut self.road) {
            Road::Down(down) if role == Role::Probe => {
                (down.since, (down.pause * 2).min(pauses.max))
            }
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
            again_at: now + pause,
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PAUSES: Pauses = Pauses {
        first: Duration::from_secs(5),
        max: Duration::from_secs(60),
    };

    #[tokio::test]
    async fn those_who_come_while_the_first_connects_share_its_failure() {
        let health = Health::default();
        let first = health.admit().await.unwrap();
        let mut second = std::pin::pin!(health.admit());
        assert!(futures::poll!(second.as_mut()).is_pending());
        first.failed(Failure::Connect, "no route", PAUSES);
        assert_eq!(second.await.unwrap_err(), "no route");
        assert_eq!(health.admit().await.unwrap_err(), "no route");
    }

    #[tokio::test]
    async fn those_who_come_while_the_first_connects_follow_it_when_it_is_connected() {
        let health = Health::default();
        let mut first = health.admit().await.unwrap();
        let mut second = std::pin::pin!(health.admit());
        assert!(futures::poll!(second.as_mut()).is_pending());
        first.connected();
        second.await.unwrap().answered();
        assert_eq!(health.state(), RoadState::Up);
    }

    #[tokio::test]
    async fn a_first_request_that_is_given_up_lets_the_next_one_go() {
        let health = Health::default();
        let first = health.admit().await.unwrap();
        let mut second = std::pin::pin!(health.admit());
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        assert_eq!(second.await.unwrap().role, Role::First);
    }

    #[test]
    fn the_pause_doubles_with_each_probe_up_to_its_limit_and_only_one_probe_goes() {
        let mut memory = Memory::default();
        let mut now = Instant::now();
        memory.fail(Role::First, "gone", PAUSES, now);
        for pause in [5, 10, 20, 40, 60, 60] {
            now += Duration::from_secs(pause) - Duration::from_millis(1);
            assert!(matches!(memory.admit(now), Admission::Refuse(_)), "{pause}");
            now += Duration::from_millis(1);
            assert!(matches!(memory.admit(now), Admission::Go(Role::Probe)));
            assert!(matches!(memory.admit(now), Admission::Refuse(_)));
            memory.fail(Role::Ordinary, "old news", PAUSES, now);
            memory.fail(Role::Probe, "gone", PAUSES, now);
            memory.scout_is_out = false;
        }
    }

    #[tokio::test]
    async fn silence_about_one_file_is_no_silence_when_others_are_answered() {
        let health = Health::default();
        let mut slow = health.admit().await.unwrap();
        slow.connected();
        health.admit().await.unwrap().answered();
        slow.failed(Failure::Silence, "no answer", PAUSES);
        assert_eq!(health.state(), RoadState::Up);
        let alone = health.admit().await.unwrap();
        tokio::task::yield_now().await;
        alone.failed(Failure::Silence, "no answer", PAUSES);
        assert_eq!(health.state().as_str(), "down");
    }
}
