//! Whose zip is hashed now, and by how many threads: the cores are shared with everything else that this host does, so
//! zips that arrive together do not get a set of threads each.

use modmesh_protocol::artifact::FileKind;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Zips that are judged at the same time, so that a large one does not stop the small ones behind it.
const ZIPS_MAX: usize = 4;
/// Threads that hash one zip, at most.
const THREADS_MAX: usize = 4;
/// Zips from this size on are hashed on several threads; below it, starting them costs more than it saves.
const PARALLEL_FROM_BYTES: u64 = 1 << 20;

/// Gives out turns.
#[derive(Debug)]
pub(super) struct Turns {
    zips: Semaphore,
    /// Threads beside the one of each turn.
    helpers: Semaphore,
}

/// Until it is dropped, a file may be judged, by this many threads.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub threads: usize,
    _permits: [Option<SemaphorePermit<'a>>; 2],
}

impl Turns {
    pub(super) fn of_this_machine() -> Self {
        Self::for_cores(std::thread::available_parallelism().map_or(1, |cores| cores.get()))
    }

    fn for_cores(cores: usize) -> Self {
        Self {
            zips: Semaphore::new(ZIPS_MAX),
            helpers: Semaphore::new(cores.saturating_sub(1)),
        }
    }

    /// Waits for a turn to judge a file of this many bytes. A go.mod is hashed in no time and does not wait for zips.
    pub(super) async fn wait(&self, kind: FileKind, bytes: u64) -> Turn<'_> {
        if kind != FileKind::Zip {
            return Turn {
                threads: 1,
                _permits: [None, None],
            };
        }
        // Neither semaphore is ever closed.
        let zip = self.zips.acquire().await.ok();
        let helpers = if bytes < PARALLEL_FROM_BYTES {
            0
        } else {
            self.helpers.available_permits().min(THREADS_MAX - 1)
        };
        // Another turn may have taken some in between: then this one does without.
        let helpers = self.helpers.try_acquire_many(helpers as u32).ok();
        Turn {
            threads: 1 + helpers.as_ref().map_or(0, SemaphorePermit::num_permits),
            _permits: [zip, helpers],
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const LARGE_BYTES: u64 = 50 << 20;

    #[tokio::test]
    async fn zips_that_arrive_together_share_the_cores() {
        let turns = Turns::for_cores(8);
        let zip = |bytes| turns.wait(FileKind::Zip, bytes);
        let small = zip(PARALLEL_FROM_BYTES - 1).await;
        let (first, second, third) = (
            zip(LARGE_BYTES).await,
            zip(LARGE_BYTES).await,
            zip(LARGE_BYTES).await,
        );
        let threads = [&small, &first, &second, &third].map(|turn| turn.threads);
        assert_eq!(threads, [1, 4, 4, 2]);
        assert!(zip(1).now_or_never().is_none(), "a fifth zip");
        let go_mod = turns.wait(FileKind::Mod, 1).now_or_never();
        assert_eq!(go_mod.map(|turn| turn.threads), Some(1));
        drop(first);
        let next = zip(LARGE_BYTES).now_or_never();
        assert_eq!(next.map(|turn| turn.threads), Some(4));
    }

    #[tokio::test]
    async fn with_one_core_there_is_one_thread_to_a_zip() {
        let turns = Turns::for_cores(1);
        assert_eq!(turns.wait(FileKind::Zip, LARGE_BYTES).await.threads, 1);
    }
}
