//! One fetch, step by step, as it is told to whoever asks why a file is here, or why it is not.
//!
//! A story only listens: nothing in the corridor is decided by it. A step is told when it ended. Everything has a bound, and what a story
//! weighs is known while it lives, so that [`super::stories`] can keep within its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use modmesh_protocol::control::{self, Did, Outcome, RecordName, Step, rfc3339};
use modmesh_protocol::peer_name::PeerName;

use super::FetchError;
use crate::metrics::Source;
use crate::peers::{Survey, Turn};
use crate::trust::{Expected, Proof};

/// Steps that a story tells; of more, those in the middle are left out. An ordinary fetch has five.
const STEPS_MAX: usize = 32;
/// Longest text within a step; an upstream's own may be 8 KiB.
const TEXT_BYTES_MAX: usize = 1024;
/// A shorter wait for a place is not told.
const WAIT_LEAST: Duration = Duration::from_millis(10);

/// A story that is being told; clones tell the same one.
#[derive(Debug, Clone)]
pub(crate) struct Story(Arc<Told>);

#[derive(Debug)]
struct Told {
    began: Instant,
    began_at: SystemTime,
    parts: Mutex<Parts>,
    /// What all stories weigh together.
    all_bytes: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Parts {
    steps: Vec<Step>,
    left_out: u32,
    end: Option<(Outcome, Duration)>,
    bytes: u64,
}

impl Story {
    /// A story that begins now and counts its weight in `all_bytes`.
    pub(super) fn begin(all_bytes: Arc<AtomicU64>) -> Self {
        let story = Self(Arc::new(Told {
            began: Instant::now(),
            began_at: SystemTime::now(),
            parts: Mutex::default(),
            all_bytes,
        }));
        story.weigh(&mut story.lock(), size_of::<Told>());
        story
    }

    /// A step that began at `since` ended now.
    pub(super) fn tell(&self, since: Instant, did: Did) {
        let step = Step {
            at_ms: ms(since.saturating_duration_since(self.0.began)),
            took_ms: ms(since.elapsed()),
            did,
        };
        let mut parts = self.lock();
        self.weigh(&mut parts, weight(&step.did));
        parts.steps.push(step);
        if parts.steps.len() > STEPS_MAX {
            parts.steps.remove(STEPS_MAX / 2);
            parts.left_out = parts.left_out.saturating_add(1);
        }
    }

    /// Neighbours were asked who has it.
    pub(super) fn tell_survey(&self, since: Instant, survey: &Survey) {
        self.tell_asked(since, survey, false);
    }

    /// Neighbours of other sites were.
    pub(super) fn tell_survey_across(&self, since: Instant, survey: &Survey) {
        self.tell_asked(since, survey, true);
    }

    fn tell_asked(&self, since: Instant, survey: &Survey, across: bool) {
        let holders = survey.found.iter().map(|located| located.peer.clone());
        let did = Did::Locate {
            asked: count(survey.asked),
            silent: count(survey.silent),
            have_it: holders.collect(),
            across,
        };
        self.tell(since, did);
    }

    /// What the database says was found out; `from` is who told it.
    pub(super) fn tell_record(&self, since: Instant, expected: &Expected, from: &str) {
        let (from, record, reason) = match expected {
            Expected::Listed(listed) => {
                let (database, id) = (listed.database.clone(), listed.id);
                (from, Some(RecordName { database, id }), None)
            }
            Expected::GoSum(vouched) => {
                let why = format!("{} lists it; {}", vouched.from, vouched.silence);
                ("go.sum", None, Some(cut(&why)))
            }
            Expected::Unlisted(why) => (from, None, Some(why.to_string())),
            Expected::Pending(reason) => ("nobody", None, Some(cut(reason))),
        };
        let from = from.to_owned();
        self.tell(
            since,
            Did::Record {
                from,
                record,
                reason,
            },
        );
    }

    /// The gate's verdict.
    pub(super) fn tell_verdict<E: ToString>(&self, since: Instant, verdict: &Result<Proof, E>) {
        let did = match verdict {
            Ok(proof) => Did::Judge {
                scope: Some(proof.scope().to_string()),
                refused: None,
            },
            Err(rejection) => Did::Judge {
                scope: None,
                refused: Some(cut(&rejection.to_string())),
            },
        };
        self.tell(since, did);
    }

    /// How the commit ended.
    pub(super) fn tell_commit<T, E: ToString>(&self, since: Instant, committed: &Result<T, E>) {
        let failed = committed.as_ref().err();
        let failed = failed.map(|error| cut(&error.to_string()));
        self.tell(since, Did::Commit { failed });
    }

    /// What the owners said to do, and whom this host had waited for until then.
    pub(super) fn tell_turn(&self, since: Instant, turn: &Turn, waited_for: Vec<PeerName>) {
        let had_it = match turn {
            Turn::Take(holders) => holders.clone(),
            Turn::Fetch | Turn::Nobody => Vec::new(),
        };
        let did = Did::Together {
            had_it,
            may_fetch: *turn == Turn::Fetch,
            waited_for,
        };
        self.tell(since, did);
    }

    /// A place among the upstream requests of the site came after so long, or did not come.
    pub(super) fn tell_line(&self, waited: Duration, in_vain: bool) {
        if waited >= WAIT_LEAST {
            let now = Instant::now();
            self.tell(
                now.checked_sub(waited).unwrap_or(now),
                Did::Line { in_vain },
            );
        }
    }

    /// How it ended.
    pub(super) fn end(&self, result: Result<Source, &FetchError>) {
        let outcome = match result {
            Ok(source) => Outcome::Kept {
                from: source.as_str().to_owned(),
            },
            Err(error) => Outcome::Failed {
                reason: cut(&error.to_string()),
            },
        };
        self.lock().end = Some((outcome, self.0.began.elapsed()));
    }

    pub(super) fn is_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    /// As it is shown.
    pub(super) fn shown(&self) -> control::Story {
        let began_at = self.0.began_at.duration_since(UNIX_EPOCH);
        let parts = self.lock();
        let (outcome, took) = parts.end.clone().unzip();
        control::Story {
            began: rfc3339(began_at.unwrap_or_default().as_secs()),
            took_ms: took.map(ms),
            outcome,
            steps: parts.steps.clone(),
            steps_left_out: parts.left_out,
        }
    }

    fn weigh(&self, parts: &mut Parts, bytes: usize) {
        parts.bytes += bytes as u64;
        self.0.all_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        self.0.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let parts = self.parts.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.all_bytes.fetch_sub(parts.bytes, Ordering::Relaxed);
    }
}

/// What a step weighs, in bytes.
fn weight(did: &Did) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let inside = match did {
        Did::Locate { have_it, .. } => have_it.len() * size_of::<PeerName>(),
        Did::Record {
            from,
            record,
            reason,
        } => {
            let record = record.as_ref().map_or(0, |record| record.database.len());
            from.len() + record + text(reason)
        }
        Did::Transfer { failed, .. } | Did::Commit { failed } => text(failed),
        Did::Upstream { url, failed, .. } => text(url) + text(failed),
        Did::Judge { scope, refused } => text(scope) + text(refused),
        Did::Way { why, .. } => why.len(),
        Did::Together {
            had_it, waited_for, ..
        } => (had_it.len() + waited_for.len()) * size_of::<PeerName>(),
        Did::Wait | Did::ToldToWait { .. } | Did::Line { .. } | Did::Other => 0,
    };
    size_of::<Step>() + inside
}

/// `text`, or its beginning.
pub(super) fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    format!("{}...", text.get(..end).unwrap_or_default())
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn ms(span: Duration) -> f64 {
    // Finer than a microsecond says nothing.
    span.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_story_keeps_its_beginning_and_its_end() {
        let story = Story::begin(Arc::default());
        let told = STEPS_MAX as u32 + 10;
        for asked in 0..told {
            let (silent, have_it) = (0, Vec::new());
            story.tell(
                Instant::now(),
                Did::Locate {
                    asked,
                    silent,
                    have_it,
                    across: false,
                },
            );
        }
        let shown = story.shown();
        assert_eq!((shown.steps.len(), shown.steps_left_out), (STEPS_MAX, 10));
        let asked = |step: Option<&Step>| match step.map(|step| &step.did) {
            Some(Did::Locate { asked, .. }) => *asked,
            other => panic!("{other:?}"),
        };
        assert_eq!(asked(shown.steps.first()), 0);
        assert_eq!(asked(shown.steps.last()), told - 1);
    }

    #[test]
    fn what_a_story_weighs_is_known_until_it_is_gone() {
        let all = Arc::new(AtomicU64::new(0));
        let story = Story::begin(all.clone());
        let empty = all.load(Ordering::Relaxed);
        let text = "x".repeat(100 * TEXT_BYTES_MAX);
        let failed = Err::<(), _>(&text);
        story.tell_commit(Instant::now(), &failed);
        let told = all.load(Ordering::Relaxed) - empty;
        assert!((TEXT_BYTES_MAX as u64..2 * TEXT_BYTES_MAX as u64).contains(&told));
        drop(story);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
