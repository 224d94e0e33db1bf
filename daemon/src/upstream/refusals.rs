//! What an entry said no to, for a short while: a file that is not there (404, 410) or not to be had (403), and an
//! entry that wants to be left alone (`Retry-After`).
//!
//! `go` probes every prefix of a path for a module, again in each of its processes; nearly all of these answers are 404.
//! Remembered ones cost nobody a round trip. They live so short that a version published now is found soon.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use modmesh_protocol::line::REST_HEARD_MAX;
use modmesh_protocol::peer_name::PeerName;

use super::{ErrorAnswer, UpstreamError};

/// How long a refusal of one file is remembered.
const REFUSAL_LIFETIME: Duration = Duration::from_secs(30);
/// Refusals remembered for an entry; their texts are bounded at 8 KiB each.
const REFUSALS_MAX: usize = 4096;
/// Longest text that is worth remembering, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// The longest that an entry is left alone because it asks for it.
const REST_MAX: Duration = Duration::from_secs(300);

/// What one entry refuses.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    files: HashMap<String, (Instant, ErrorAnswer)>,
    rest: Option<Rest>,
    /// Whether a member's word of a rest was followed, and the entry has not answered this host since.
    follows: bool,
}

/// For how long the entry is left alone, and why.
#[derive(Debug)]
struct Rest {
    until: Instant,
    answer: ErrorAnswer,
    /// The member that said so; nothing where the entry did.
    heard_from: Option<PeerName>,
}

impl Refusals {
    /// The remembered answer for `path`.
    pub(super) fn of(&self, path: &str) -> Option<ErrorAnswer> {
        if let Some((left, answer, _)) = self.resting() {
            return Some(ErrorAnswer {
                retry_after: Some(left),
                ..answer
            });
        }
        let now = Instant::now();
        let memory = self.lock();
        let (until, answer) = memory.files.get(path)?;
        (now < *until).then(|| answer.clone())
    }

    /// For how long the entry still wants to be left alone, what it answered, and which member said so, if one did; nothing when it
    /// may be asked.
    pub(super) fn resting(&self) -> Option<(Duration, ErrorAnswer, Option<PeerName>)> {
        let memory = self.lock();
        let rest = memory.rest.as_ref()?;
        let left = rest.until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| (left, rest.answer.clone(), rest.heard_from.clone()))
    }

    /// Remembers that `path` was refused, if `error` is a refusal of that file.
    pub(super) fn remember(&self, path: &str, error: &UpstreamError) {
        let (UpstreamError::NotFound(answer) | UpstreamError::Refused(answer)) = error else {
            return;
        };
        let is_long = answer
            .text
            .as_ref()
            .is_some_and(|text| text.len() > TEXT_BYTES_MAX);
        if !matches!(answer.status, 403 | 404 | 410) || is_long {
            return;
        }
        let now = Instant::now();
        let mut memory = self.lock();
        if memory.files.len() >= REFUSALS_MAX {
            memory.files.retain(|_, (until, _)| now < *until);
        }
        if memory.files.len() < REFUSALS_MAX {
            let remembered = (now + REFUSAL_LIFETIME, answer.clone());
            memory.files.insert(path.to_owned(), remembered);
        }
    }

    /// The entry wants to be left alone for `pause`; everybody gets `answer` until then. True unless it has said so already.
    pub(super) fn rest(&self, pause: Duration, answer: ErrorAnswer) -> bool {
        let now = Instant::now();
        let mut memory = self.lock();
        memory.follows = false;
        let said = |rest: &Rest| now < rest.until && rest.heard_from.is_none();
        let is_known = memory.rest.as_ref().is_some_and(said);
        memory.rest = Some(Rest {
            until: now + pause.min(REST_MAX),
            answer,
            heard_from: None,
        });
        !is_known
    }

    /// A member says that the entry wants to be left alone. It is followed once, until the entry has answered this host again, and
    /// changes nothing of what the entry told this host itself. True when it is followed.
    pub(super) fn heard_rest(&self, pause: Duration, from: &PeerName, url: &str) -> bool {
        let now = Instant::now();
        let mut memory = self.lock();
        let rests = memory.rest.as_ref().is_some_and(|rest| now < rest.until);
        if rests || memory.follows {
            return false;
        }
        memory.follows = true;
        memory.rest = Some(Rest {
            until: now + pause.min(REST_HEARD_MAX),
            answer: ErrorAnswer {
                status: 429,
                text: Some(format!("it told the member {from} to leave it alone")),
                url: url.to_owned(),
                retry_after: None,
            },
            heard_from: Some(from.clone()),
        });
        true
    }

    /// A member says that the entry answers again: what members said before is forgotten.
    pub(super) fn heard_answer(&self) {
        let mut memory = self.lock();
        memory.rest.take_if(|rest| rest.heard_from.is_some());
    }

    /// The entry answered this host. True when a member had said that it rests, and it gave what it was asked for.
    pub(super) fn answered(&self, is_good: bool) -> bool {
        let now = Instant::now();
        let mut memory = self.lock();
        memory.follows = false;
        let heard = |rest: &mut Rest| rest.heard_from.is_some();
        let overruled = memory.rest.take_if(|rest| is_good && heard(rest));
        overruled.is_some_and(|rest| now < rest.until)
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(status: u16) -> ErrorAnswer {
        ErrorAnswer {
            status,
            text: None,
            url: "https://a.example".to_owned(),
            retry_after: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_of_a_file_is_remembered_for_a_short_while() {
        let refusals = Refusals::default();
        for (path, status) in [("a", 404), ("b", 410), ("c", 403)] {
            refusals.remember(path, &UpstreamError::of_status(answer(status)));
            assert_eq!(refusals.of(path).unwrap().status, status);
        }
        for status in [400, 401, 429, 500, 503] {
            refusals.remember("d", &UpstreamError::of_status(answer(status)));
            assert_eq!(refusals.of("d"), None, "{status}");
        }
        tokio::time::advance(REFUSAL_LIFETIME).await;
        assert_eq!(refusals.of("a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_is_bounded_and_gives_room_to_what_is_newer() {
        let refusals = Refusals::default();
        let not_found = UpstreamError::of_status(answer(404));
        for index in 0..=REFUSALS_MAX {
            refusals.remember(&index.to_string(), &not_found);
        }
        assert!(refusals.of("0").is_some());
        assert_eq!(refusals.of(&REFUSALS_MAX.to_string()), None);
        tokio::time::advance(REFUSAL_LIFETIME).await;
        refusals.remember("new", &not_found);
        assert!(refusals.of("new").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_that_rests_is_left_alone_and_says_for_how_long() {
        let refusals = Refusals::default();
        refusals.rest(Duration::from_secs(60), answer(429));
        tokio::time::advance(Duration::from_secs(20)).await;
        let told = refusals.of("anything").unwrap();
        assert_eq!(
            (told.status, told.retry_after),
            (429, Some(Duration::from_secs(40)))
        );
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(refusals.of("anything"), None);
        refusals.rest(Duration::from_secs(86_400), answer(503));
        tokio::time::advance(REST_MAX).await;
        assert_eq!(refusals.of("anything"), None);
    }

    const LONG: Duration = Duration::from_secs(3600);

    fn heard(refusals: &Refusals, pause: Duration) -> Option<Duration> {
        let from: PeerName = "12D3KooWMember".parse().unwrap();
        refusals.heard_rest(pause, &from, "https://a.example");
        refusals.resting().map(|(left, _, _)| left)
    }

    #[tokio::test(start_paused = true)]
    async fn the_word_of_a_member_is_followed_once_for_a_minute_at_most_until_the_entry_answers() {
        let refusals = Refusals::default();
        assert_eq!(heard(&refusals, LONG), Some(REST_HEARD_MAX));
        let (_, told, from) = refusals.resting().unwrap();
        assert_eq!(told.status, 429);
        assert_eq!(from.unwrap().as_str(), "12D3KooWMember");
        tokio::time::advance(REST_HEARD_MAX / 2).await;
        assert_eq!(heard(&refusals, LONG), Some(REST_HEARD_MAX / 2));
        tokio::time::advance(REST_HEARD_MAX / 2).await;
        // First this host asks the entry itself.
        assert_eq!(heard(&refusals, LONG), None);
        assert!(!refusals.answered(false));
        assert!(heard(&refusals, LONG).is_some());
        // A refusal of something says nothing about the rest, an answer does.
        assert!(!refusals.answered(false) && refusals.resting().is_some());
        assert!(refusals.answered(true) && refusals.resting().is_none());
        assert!(!refusals.answered(true));
        assert!(heard(&refusals, LONG).is_some());
        refusals.heard_answer();
        assert!(refusals.resting().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_entry_said_itself_no_member_changes() {
        let refusals = Refusals::default();
        refusals.rest(Duration::from_secs(20), answer(503));
        assert_eq!(heard(&refusals, LONG), Some(Duration::from_secs(20)));
        refusals.heard_answer();
        assert!(!refusals.answered(true) && refusals.resting().is_some());
        // And what it says counts more than what a member said.
        let refusals = Refusals::default();
        assert!(heard(&refusals, LONG).is_some());
        refusals.rest(Duration::from_secs(100), answer(503));
        let (left, told, from) = refusals.resting().unwrap();
        assert_eq!((left, told.status), (Duration::from_secs(100), 503));
        assert_eq!(from, None);
    }
}
