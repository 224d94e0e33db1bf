//! How many conversations are at which point.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::Shared;

/// How many conversations are at which point, for people to see.
#[derive(Debug, Default)]
pub(in super::super) struct Talks {
    pub(in super::super) fetching: AtomicU64,
    pub(in super::super) waiting: AtomicU64,
}

/// One conversation among them.
pub(super) struct Counted {
    shared: Arc<Shared>,
    is_fetching: bool,
}

impl Counted {
    pub(super) fn waits(shared: &Arc<Shared>) -> Self {
        shared.talks.waiting.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: Arc::clone(shared),
            is_fetching: false,
        }
    }

    pub(super) fn fetches(&mut self) {
        if !std::mem::replace(&mut self.is_fetching, true) {
            let talks = &self.shared.talks;
            talks.waiting.fetch_sub(1, Ordering::Relaxed);
            talks.fetching.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let talks = &self.shared.talks;
        let counter = match self.is_fetching {
            true => &talks.fetching,
            false => &talks.waiting,
        };
        counter.fetch_sub(1, Ordering::Relaxed);
    }
}
