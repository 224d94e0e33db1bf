//! The stories of the last fetches, one per file: in memory alone, so that names of modules are written nowhere for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use modmesh_protocol::artifact::ArtifactKey;
use modmesh_protocol::control;

use super::FetchError;
use super::story::Story;
use crate::metrics::Source;

/// Stories that are remembered: a large project's modules with all their files, some times over.
const STORIES_MAX: usize = 2_000;
/// What all of them may weigh together.
const STORIES_BYTES_MAX: u64 = 4 << 20;

/// What is remembered. The oldest go first.
#[derive(Debug, Default)]
pub(super) struct Stories {
    memory: Mutex<Memory>,
    bytes: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Each with its place in `order`.
    stories: HashMap<ArtifactKey, (u64, Story)>,
    order: BTreeMap<u64, ArtifactKey>,
    next: u64,
}

/// Sees to it that a story ends, whatever becomes of the work.
#[derive(Debug)]
pub(super) struct Telling(Story);

impl Stories {
    /// Begins the story of a fetch of `key`, which takes the place of an earlier one.
    pub(super) fn begin(&self, key: &ArtifactKey) -> Telling {
        let story = Story::begin(Arc::clone(&self.bytes));
        let mut memory = self.lock();
        memory.forget(key);
        while memory.stories.len() >= STORIES_MAX
            || self.bytes.load(Ordering::Relaxed) > STORIES_BYTES_MAX
        {
            let Some(oldest) = memory.order.values().next().cloned() else {
                break;
            };
            memory.forget(&oldest);
        }
        let place = memory.next;
        memory.next += 1;
        memory.order.insert(place, key.clone());
        memory.stories.insert(key.clone(), (place, story.clone()));
        Telling(story)
    }

    /// The story of `key`, to go on with it.
    pub(super) fn told(&self, key: &ArtifactKey) -> Option<Story> {
        let memory = self.lock();
        memory.stories.get(key).map(|(_, story)| story.clone())
    }

    /// The story of `key` as it is shown.
    pub(super) fn shown(&self, key: &ArtifactKey) -> Option<control::Story> {
        Some(self.told(key)?.shown())
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn forget(&mut self, key: &ArtifactKey) {
        if let Some((place, _)) = self.stories.remove(key) {
            self.order.remove(&place);
        }
    }
}

impl Telling {
    pub(super) fn story(&self) -> &Story {
        &self.0
    }

    /// The end of the story.
    pub(super) fn end(self, result: Result<Source, &FetchError>) {
        self.0.end(result);
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if !self.0.is_ended() {
            let why = match std::thread::panicking() {
                true => FetchError::Crashed,
                false => FetchError::GivenUp,
            };
            self.0.end(Err(&why));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Instant;

    use modmesh_protocol::artifact::FileKind;
    use modmesh_protocol::control::Outcome;
    use modmesh_protocol::module::ModuleVersion;

    use super::*;

    fn key(number: usize) -> ArtifactKey {
        ArtifactKey {
            of: ModuleVersion::parse(&format!("example.com/m@v1.0.{number}")).unwrap(),
            kind: FileKind::Mod,
        }
    }

    #[test]
    fn the_oldest_are_forgotten_when_there_are_too_many() {
        let stories = Stories::default();
        for number in 0..=STORIES_MAX {
            stories.begin(&key(number)).end(Err(&FetchError::Crashed));
        }
        assert!(stories.shown(&key(0)).is_none());
        assert!(stories.shown(&key(1)).is_some());
        assert_eq!(stories.lock().order.len(), STORIES_MAX);
        assert_eq!(stories.lock().stories.len(), STORIES_MAX);
    }

    #[test]
    fn the_oldest_are_forgotten_when_they_weigh_too_much() {
        let stories = Stories::default();
        let long = "x".repeat(1000);
        for number in 0..STORIES_MAX {
            let telling = stories.begin(&key(number));
            for _ in 0..10 {
                let failed = Err::<(), _>(&long);
                telling.story().tell_commit(Instant::now(), &failed);
            }
        }
        assert!(stories.shown(&key(0)).is_none());
        let last = stories.shown(&key(STORIES_MAX - 1)).unwrap();
        assert_eq!(last.steps.len(), 10);
        let one = 10 * 1200;
        assert!(stories.bytes.load(Ordering::Relaxed) <= STORIES_BYTES_MAX + one);
    }

    #[test]
    fn a_newer_story_takes_the_place_of_an_older_one_and_one_that_crashed_says_so() {
        let stories = Stories::default();
        stories.begin(&key(0)).end(Ok(Source::Peer));
        let telling = stories.begin(&key(0));
        assert_eq!(stories.shown(&key(0)).unwrap().outcome, None);
        drop(telling);
        let outcome = stories.shown(&key(0)).unwrap().outcome;
        assert!(matches!(outcome, Some(Outcome::Failed { .. })));
        assert_eq!(stories.lock().order.len(), 1);
    }
}
