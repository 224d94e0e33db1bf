//! What an entry said no to, for a short while: a file that is not there (404, 410) or not to be had (403), and an
//! entry that wants to be left alone (`Retry-After`).
//!
//! `go` probes every prefix of a path for a module, again in each of its processes; nearly all of these answers are 404.
//! Remembered ones cost nobody a round trip. They live so short that a version published now is found soon.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

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
    rest: Option<(Instant, ErrorAnswer)>,
}

impl Refusals {
    /// The remembered answer for `path`.
    pub(super) fn of(&self, path: &str) -> Option<ErrorAnswer> {
        if let Some((left, answer)) = self.resting() {
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

    /// For how long the entry still wants to be left alone, and what it answered; nothing when it may be asked.
    pub(super) fn resting(&self) -> Option<(Duration, ErrorAnswer)> {
        let memory = self.lock();
        let (until, answer) = memory.rest.as_ref()?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| (left, answer.clone()))
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

    /// The entry wants to be left alone for `pause`; everybody gets `answer` until then.
    pub(super) fn rest(&self, pause: Duration, answer: ErrorAnswer) {
        self.lock().rest = Some((Instant::now() + pause.min(REST_MAX), answer));
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
}
