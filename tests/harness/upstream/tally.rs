//! What an upstream saw: every request, with the bytes of its body that were handed to the connection.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `.info`, also of branches and commits.
    Info,
    /// `.mod`
    Mod,
    /// `.zip`
    Zip,
    /// `/@v/list`
    List,
    /// `/@latest`
    Latest,
    /// `/sumdb/NAME/supported`
    Supported,
    /// `/sumdb/NAME/lookup/`
    Lookup,
    /// `/sumdb/NAME/tile/`
    Tile,
    /// Anything else.
    Other,
}

/// Requests and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Number of requests.
    pub requests: u64,
    /// Bytes of bodies; headers do not count.
    pub bytes: u64,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its path as it came, without leading slash.
    pub path: String,
    /// What it asked for.
    pub kind: Kind,
    /// Its method.
    pub method: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// When it came.
    pub at: Instant,
    bytes: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    all: Mutex<Vec<Seen>>,
    came: Condvar,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

/// A request that is not answered to its end yet.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<super::Shared>);

impl UnderWay {
    pub(super) fn begin(shared: &Arc<super::Shared>) -> Self {
        let tally = &shared.tally;
        let now = tally.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        tally.most_under_way.fetch_max(now, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.tally.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Kind {
    pub(super) fn of(path: &str) -> Self {
        if path.starts_with("sumdb/") {
            return match path
                .split('/')
                .find(|part| matches!(*part, "supported" | "lookup" | "tile"))
            {
                Some("supported") => Kind::Supported,
                Some("lookup") => Kind::Lookup,
                Some("tile") => Kind::Tile,
                _ => Kind::Other,
            };
        }
        match path.rsplit_once('/') {
            Some((_, "@latest")) => Kind::Latest,
            Some((_, "list")) => Kind::List,
            Some((_, file)) if file.ends_with(".info") => Kind::Info,
            Some((_, file)) if file.ends_with(".mod") => Kind::Mod,
            Some((_, file)) if file.ends_with(".zip") => Kind::Zip,
            _ => Kind::Other,
        }
    }
}

impl Seen {
    /// Bytes of the body so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn new(path: &str, method: &str, headers: Vec<(String, String)>) -> Self {
        Self {
            path: path.to_owned(),
            kind: Kind::of(path),
            method: method.to_owned(),
            headers,
            at: Instant::now(),
            bytes: Arc::default(),
        }
    }

    pub(super) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Tally {
    pub(super) fn note(&self, seen: Seen) {
        self.lock().push(seen);
        self.came.notify_all();
    }

    /// Wakes those who wait for bytes.
    pub(super) fn progressed(&self) {
        self.came.notify_all();
    }

    pub(super) fn sum(&self, filter: impl Fn(&Seen) -> bool) -> Traffic {
        let mut traffic = Traffic::default();
        for seen in self.lock().iter().filter(|seen| filter(seen)) {
            traffic.requests += 1;
            traffic.bytes += seen.bytes();
        }
        traffic
    }

    pub(super) fn all(&self) -> Vec<Seen> {
        self.lock().clone()
    }

    pub(super) fn most_under_way(&self) -> usize {
        self.most_under_way.load(Ordering::SeqCst)
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
        let now = self.under_way.load(Ordering::SeqCst);
        self.most_under_way.store(now, Ordering::SeqCst);
    }

    /// Waits until `enough` is true, or `deadline` is over; says which.
    pub(super) fn wait(&self, deadline: Duration, enough: impl Fn(&[Seen]) -> bool) -> bool {
        let (_all, timeout) = self
            .came
            .wait_timeout_while(self.lock(), deadline, |all| !enough(all))
            .expect("the tally");
        !timeout.timed_out()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Seen>> {
        self.all.lock().expect("the tally")
    }
}
