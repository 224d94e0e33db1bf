//! An upstream of our own: it serves modules and a checksum database, counts what it is asked, and fails on command.
//!
//! It runs on one thread with a runtime of its own, so that tests need none, and can stand in the network of any
//! [`Place`]. Faults are matched against the path of a request and can be put and taken at any time, also while bodies
//! are under way. Nothing is cached and nothing is redirected unless a fault says so.

mod fault;
mod serve;
mod shelf;
mod tally;

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::log::{HeadPolicy, TestLog};
use crate::module::Module;
use crate::place::Place;

pub use fault::{Fault, Held};
pub use tally::{Kind, Seen, Traffic};

use fault::Faults;
use shelf::Shelf;
use tally::Tally;

/// A Go proxy with a checksum database, on a port of its own.
#[derive(Debug)]
pub struct FakeUpstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the threads of the test and the thread of the server both see.
#[derive(Debug)]
struct Shared {
    shelf: Mutex<Shelf>,
    faults: Faults,
    tally: Tally,
    reach: watch::Sender<Reach>,
    /// Whether the port is listened on, set by the thread of the server.
    listening: Switch,
    stop: CancellationToken,
    line: Line,
}

/// The line that all bodies share, where it has a bound.
#[derive(Debug, Default)]
struct Line(Mutex<Option<Rate>>);

#[derive(Debug, Clone, Copy)]
struct Rate {
    bytes_per_second: u64,
    /// When the line is free again.
    free: tokio::time::Instant,
}

impl Line {
    /// When so many bytes are through.
    fn through(&self, bytes: usize) -> Option<tokio::time::Instant> {
        let mut rate = self.0.lock().expect("the line");
        let rate = rate.as_mut()?;
        let time = Duration::from_secs_f64(bytes as f64 / rate.bytes_per_second as f64);
        rate.free = rate.free.max(tokio::time::Instant::now()) + time;
        Some(rate.free)
    }
}

/// A truth that one thread sets and others wait for.
#[derive(Debug)]
struct Switch {
    on: Mutex<bool>,
    changed: Condvar,
}

impl Switch {
    fn set(&self, on: bool) {
        *self.on.lock().expect("the switch") = on;
        self.changed.notify_all();
    }

    fn wait(&self, on: bool) {
        let now = self.on.lock().expect("the switch");
        drop(self.changed.wait_while(now, |now| *now != on));
    }
}

/// Whether clients get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Up,
    /// As if packets were dropped: connections open, and nothing ever comes.
    Dark,
    /// Connections are refused.
    Closed,
}

impl FakeUpstream {
    /// Serves the modules on a free port of 127.0.0.1, with a log named `sumdb.example.test` that lists them.
    pub fn start(modules: impl IntoIterator<Item = Module>) -> Self {
        let upstream = Self::with_log(TestLog::new("sumdb.example.test"));
        for module in modules {
            upstream.publish(&module);
        }
        upstream
    }

    /// Serves a given log, and no modules yet, on a free port of 127.0.0.1.
    pub fn with_log(log: TestLog) -> Self {
        Self::start_in(&Place::Here, SocketAddr::from(([127, 0, 0, 1], 0)), log)
    }

    /// Serves a given log, and no modules yet, on an address of a place.
    ///
    /// # Panics
    /// When the address cannot be listened on.
    pub fn start_in(place: &Place, listen: SocketAddr, log: TestLog) -> Self {
        let shared = Arc::new(Shared {
            shelf: Mutex::new(Shelf::new(log)),
            faults: Faults::default(),
            tally: Tally::default(),
            reach: watch::Sender::new(Reach::Up),
            listening: Switch {
                on: Mutex::new(true),
                changed: Condvar::new(),
            },
            stop: CancellationToken::new(),
            line: Line::default(),
        });
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let server = Arc::clone(&shared);
        let thread = place.spawn(move || serve::run(listen, &server, &tell));
        let address = told
            .recv()
            .expect("the upstream ended before it listened")
            .unwrap_or_else(|error| panic!("the upstream cannot listen on {listen}: {error}"));
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, for GOPROXY or `--upstream`. The same is served below `/base/`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The database's verifier key, for GOSUMDB or `--sumdb`: the database is then asked through the proxy.
    pub fn sumdb(&self) -> String {
        self.shelf().log.verifier_key()
    }

    /// The database's verifier key and its own URL, for GOSUMDB or `--sumdb`.
    pub fn sumdb_with_url(&self) -> String {
        let shelf = self.shelf();
        let (key, name) = (shelf.log.verifier_key(), shelf.log.name());
        format!("{key} {}/sumdb/{name}", self.url())
    }
}

/// What it serves.
impl FakeUpstream {
    /// Serves a module and lists it in the log.
    pub fn publish(&self, module: &Module) {
        let mut shelf = self.shelf();
        shelf.log.append(module);
        shelf.add(module);
    }

    /// Serves a module that the log does not list: the database says 404 for it.
    pub fn publish_unlisted(&self, module: &Module) {
        self.shelf().add(module);
    }

    /// Serves other bytes for a path (without leading slash).
    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        self.shelf().put(path, bytes);
    }

    /// Looks at the log or changes it.
    pub fn log<T>(&self, work: impl FnOnce(&mut TestLog) -> T) -> T {
        work(&mut self.shelf().log)
    }

    /// Chooses the heads that go with lookups; at first it is always the current one.
    pub fn send_heads(&self, policy: HeadPolicy) {
        self.shelf().heads = policy;
    }

    /// Answers tiles of partial width with 404 wherever the full tile exists, as mirrors do that drop them.
    pub fn only_full_tiles(&self, only: bool) {
        self.shelf().only_full_tiles = only;
    }

    /// Answers `Range: bytes=N-` with the rest; at first it gives the whole, as many proxies do.
    pub fn offer_ranges(&self, offered: bool) {
        self.shelf().offers_ranges = offered;
    }

    /// Answers `/sumdb/` with 404, as proxies do that offer no checksum database.
    pub fn offer_sumdb(&self, offered: bool) {
        self.shelf().offers_sumdb = offered;
    }
}

/// What goes wrong.
impl FakeUpstream {
    /// All bodies together go out at this many bytes in a second.
    pub fn line(&self, bytes_per_second: u64) {
        let free = tokio::time::Instant::now();
        *self.shared.line.0.lock().expect("the line") = Some(Rate {
            bytes_per_second,
            free,
        });
    }

    /// From now on requests whose path matches `pattern` meet with `fault`. In a pattern, `*` stands for any text; paths
    /// have no leading slash. The fault put last wins.
    pub fn fault(&self, pattern: &str, fault: Fault) {
        self.shared.faults.put(pattern, fault, None);
    }

    /// As [`FakeUpstream::fault`], for the next `times` requests only.
    pub fn fault_times(&self, pattern: &str, fault: Fault, times: u32) {
        self.shared.faults.put(pattern, fault, Some(times));
    }

    /// Holds requests whose path matches back until they are released.
    pub fn hold(&self, pattern: &str) -> Held {
        self.shared.faults.hold(pattern)
    }

    /// Takes all faults away and releases what was held.
    pub fn heal(&self) {
        self.shared.faults.clear();
    }

    /// As if the line were cut: connections are accepted and nothing comes any more, also in the middle of bodies.
    pub fn go_dark(&self) {
        self.shared.reach.send_replace(Reach::Dark);
    }

    /// Refuses connections and cuts those that are open.
    pub fn close(&self) {
        self.shared.reach.send_replace(Reach::Closed);
        self.shared.listening.wait(false);
    }

    /// Is there again, on the same address.
    pub fn come_back(&self) {
        self.shared.reach.send_replace(Reach::Up);
        self.shared.listening.wait(true);
    }
}

/// What it saw.
impl FakeUpstream {
    /// Requests and body bytes of a kind.
    pub fn traffic(&self, kind: Kind) -> Traffic {
        self.shared.tally.sum(|seen| seen.kind == kind)
    }

    /// Requests and body bytes of everything.
    pub fn traffic_of_all(&self) -> Traffic {
        self.shared.tally.sum(|_| true)
    }

    /// Requests and body bytes of the paths that match a pattern.
    pub fn traffic_of(&self, pattern: &str) -> Traffic {
        self.shared
            .tally
            .sum(|seen| fault::matches(pattern, &seen.path))
    }

    /// Every request so far, in the order of their coming.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.tally.all()
    }

    /// The most requests that were under way at the same time: from their heads until the last byte of their answers was handed over.
    pub fn most_at_once(&self) -> usize {
        self.shared.tally.most_under_way()
    }

    /// Forgets what it saw.
    pub fn forget(&self) {
        self.shared.tally.clear();
    }

    /// Waits until at least `count` requests have come whose path matches.
    ///
    /// # Panics
    /// When they have not come within `deadline`.
    #[track_caller]
    pub fn wait_for(&self, pattern: &str, count: u64, deadline: Duration) {
        let came = self.shared.tally.wait(deadline, |all| {
            let matching = all
                .iter()
                .filter(|seen| fault::matches(pattern, &seen.path))
                .count();
            matching as u64 >= count
        });
        assert!(
            came,
            "{count} requests for `{pattern}` were expected within {deadline:?}; there were: {:#?}",
            self.requests()
        );
    }

    /// Waits until at least `bytes` bytes of bodies have gone out under the paths that match.
    ///
    /// # Panics
    /// When they have not within `deadline`.
    #[track_caller]
    pub fn wait_for_bytes(&self, pattern: &str, bytes: u64, deadline: Duration) {
        let came = self.shared.tally.wait(deadline, |all| {
            let matching = all
                .iter()
                .filter(|seen| fault::matches(pattern, &seen.path));
            matching.map(Seen::bytes).sum::<u64>() >= bytes
        });
        assert!(
            came,
            "{bytes} bytes of `{pattern}` were expected within {deadline:?}; there were: {:#?}",
            self.requests()
        );
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shared.shelf()
    }
}

impl Shared {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().expect("the shelf")
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
