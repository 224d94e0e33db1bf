//! What the daemon counts. Prometheus text at `/metrics`, the same numbers in `status`.
//!
//! Sums that always hold: `modmesh_http_requests_total` over all labels is every request that the front door answered;
//! `traffic.from_store_bytes + from_peers_bytes + from_upstream_bytes` of `status` is the bytes of bodies sent to clients,
//! records and tiles included, by where each body came from when it was asked for. What this host says on its own account
//! is of no source, and is not among them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use modmesh_protocol::control::Leases;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// A shorter wait for a place among the requests of the site counts as none.
const WAITED_LEAST: Duration = Duration::from_millis(10);

/// A handle on the daemon's counters; clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Histogram,
    begun: AtomicU64,
    under_way: AtomicU64,
    upstream_requests: Family<UpstreamLabels, Counter>,
    upstream_received: Counter,
    peer_received: Counter,
    peer_sent: Counter,
    crossed: [Counter; 2],
    budget_left: Gauge,
    upstream_places: Family<HowLabels, Counter>,
    upstream_rests: Family<HowLabels, Counter>,
    peers: Gauge,
    leases: Family<LeaseLabels, Gauge>,
    members: Gauge,
    strangers: Counter,
    statements_contradicted: Counter,
    peer_questions: Family<QuestionLabels, Counter>,
    peers_told_busy: Counter,
    verification_failures: Family<FailureLabels, Counter>,
    pending_served: Counter,
    tiles_passed: Counter,
    contradictions: Family<DatabaseLabels, Counter>,
    store_bytes: Gauge,
    store_evicted: Counter,
    store_quarantined: Counter,
    store_blobs: Gauge,
    tree_size: Family<DatabaseLabels, Gauge>,
    served: [AtomicU64; 3],
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HowLabels {
    how: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    kind: &'static str,
    source: &'static str,
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct UpstreamLabels {
    kind: &'static str,
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FailureLabels {
    from: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DatabaseLabels {
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LeaseLabels {
    what: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct QuestionLabels {
    kind: &'static str,
}

/// Where an answer's body came from when it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Store,
    Peer,
    Upstream,
    None,
}

impl Source {
    /// The word for it in `X-Modmesh-Source` and in labels.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Peer => "peer",
            Self::Upstream => "upstream",
            Self::None => "none",
        }
    }
}

/// A request from its head to the end of its answer's body, or to the end of its connection.
#[derive(Debug)]
pub(crate) struct UnderWay(Metrics);

/// What is going on at the front door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Activity {
    /// Requests that began since the start.
    pub begun: u64,
    /// Requests whose answers were not sent to their ends yet.
    pub under_way: u64,
}

impl UnderWay {
    /// The answer's head is made.
    pub(crate) fn answered(&self, kind: &'static str, source: Source, code: u16, took: Duration) {
        let labels = RequestLabels {
            kind,
            source: source.as_str(),
            code,
        };
        let metrics = &self.0.inner;
        metrics.requests.get_or_create(&labels).inc();
        metrics.durations.observe(took.as_secs_f64());
    }

    /// Bytes of the answer's body were taken for sending.
    pub(crate) fn sent(&self, source: Source, bytes: u64) {
        let index = match source {
            Source::Store => 0,
            Source::Peer => 1,
            Source::Upstream => 2,
            Source::None => return,
        };
        self.0.inner.served[index].fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.inner.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("modmesh");
        let requests = Family::default();
        let durations = Histogram::new([
            0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            30.0,
        ]);
        let (upstream_requests, verification_failures) = (Family::default(), Family::default());
        let (upstream_received, peer_received, peer_sent) =
            (Counter::default(), Counter::default(), Counter::default());
        let (pending_served, tiles_passed, peers_told_busy) =
            (Counter::default(), Counter::default(), Counter::default());
        let (peers, store_bytes, store_blobs) =
            (Gauge::default(), Gauge::default(), Gauge::default());
        let (tree_size, leases) = (Family::default(), Family::<LeaseLabels, Gauge>::default());
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "From the request's head to the answer's head",
            durations.clone(),
        );
        registry.register(
            "upstream_requests",
            "Requests put to upstream; code 0 means no answer",
            upstream_requests.clone(),
        );
        registry.register(
            "upstream_received_bytes",
            "Bytes of bodies received from upstream",
            upstream_received.clone(),
        );
        registry.register(
            "peer_received_bytes",
            "Bytes received from neighbours",
            peer_received.clone(),
        );
        registry.register(
            "peer_sent_bytes",
            "Bytes sent to neighbours",
            peer_sent.clone(),
        );
        let crossed: [Counter; 2] = Default::default();
        let [crossed_in, crossed_out] = crossed.clone();
        registry.register(
            "site_received_bytes",
            "Bytes received from neighbours of other sites",
            crossed_in,
        );
        registry.register(
            "site_sent_bytes",
            "Bytes sent to neighbours of other sites",
            crossed_out,
        );
        let budget_left = Gauge::default();
        registry.register(
            "site_budget_left_bytes",
            "Bytes that may go between sites now; -1 where there is no budget",
            budget_left.clone(),
        );
        let upstream_places = Family::<HowLabels, Counter>::default();
        // Whoever looks for what never happened finds that it did not.
        for how in ["at_once", "waited", "in_vain"] {
            drop(upstream_places.get_or_create(&HowLabels { how }));
        }
        registry.register(
            "upstream_places",
            "Places among the upstream requests of the site: at_once, waited for, or gone ahead in_vain",
            upstream_places.clone(),
        );
        let upstream_rests = Family::<HowLabels, Counter>::default();
        for how in ["told", "heard", "overruled"] {
            drop(upstream_rests.get_or_create(&HowLabels { how }));
        }
        registry.register(
            "upstream_rests",
            "Rests of an upstream (Retry-After) told to members, heard from them and followed, or overruled by an answer",
            upstream_rests.clone(),
        );
        registry.register("peers", "Neighbours connected", peers.clone());
        let (members, strangers) = (Gauge::default(), Counter::default());
        registry.register(
            "members",
            "Neighbours connected that have shown that they are members of this host's mesh",
            members.clone(),
        );
        registry.register(
            "strangers_turned_away",
            "Greetings of neighbours that this host has nothing to do with, for one of the two is a member and the other is not",
            strangers.clone(),
        );
        let statements_contradicted = Counter::default();
        registry.register(
            "statements_contradicted",
            "Files that nothing proves of which another hash was given than the one seen first",
            statements_contradicted.clone(),
        );
        registry.register(
            "leases",
            "Downloads that several hosts want",
            leases.clone(),
        );
        let peer_questions = Family::<QuestionLabels, Counter>::default();
        // Whoever looks for one that was never asked finds that it was not.
        for kind in ["inline", "locate", "tiles", "file"] {
            drop(peer_questions.get_or_create(&QuestionLabels { kind }));
        }
        registry.register(
            "peer_questions",
            "Questions of neighbours that this host answered",
            peer_questions.clone(),
        );
        registry.register(
            "peers_told_busy",
            "Neighbours that were told to come back later",
            peers_told_busy.clone(),
        );
        registry.register(
            "verification_failures",
            "Files and proofs that did not pass the gate",
            verification_failures.clone(),
        );
        registry.register(
            "pending_served",
            "Files served to this host's go although the checksum database could not be asked",
            pending_served.clone(),
        );
        registry.register(
            "sumdb_tiles_passed",
            "Tiles beyond the current tree head, passed through from upstream unproved",
            tiles_passed.clone(),
        );
        let contradictions = Family::default();
        registry.register(
            "sumdb_contradictions",
            "Signed tree heads of a checksum database that were found to contradict each other",
            contradictions.clone(),
        );
        registry.register("store_bytes", "Bytes of bodies kept", store_bytes.clone());
        let (store_evicted, store_quarantined) = (Counter::default(), Counter::default());
        registry.register(
            "store_evicted",
            "Bodies evicted to keep to the size limit",
            store_evicted.clone(),
        );
        registry.register(
            "store_quarantined",
            "Bodies put aside because they were damaged",
            store_quarantined.clone(),
        );
        registry.register("store_blobs", "Bodies kept", store_blobs.clone());
        registry.register(
            "sumdb_tree_size",
            "Records under the current tree head",
            tree_size.clone(),
        );
        Self {
            inner: Arc::new(Inner {
                registry,
                requests,
                durations,
                begun: AtomicU64::new(0),
                under_way: AtomicU64::new(0),
                upstream_requests,
                upstream_received,
                peer_received,
                peer_sent,
                crossed,
                budget_left,
                peers,
                leases,
                members,
                strangers,
                upstream_places,
                upstream_rests,
                statements_contradicted,
                peer_questions,
                peers_told_busy,
                verification_failures,
                pending_served,
                tiles_passed,
                contradictions,
                store_bytes,
                store_evicted,
                store_quarantined,
                store_blobs,
                tree_size,
                served: Default::default(),
            }),
        }
    }

    /// A request begins; it is under way until what is returned is gone.
    pub(crate) fn begin(&self) -> UnderWay {
        self.inner.begun.fetch_add(1, Ordering::Relaxed);
        self.inner.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    /// What is going on at the front door.
    pub(crate) fn activity(&self) -> Activity {
        Activity {
            begun: self.inner.begun.load(Ordering::Relaxed),
            under_way: self.inner.under_way.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn upstream_request(&self, kind: &'static str, code: u16) {
        self.inner
            .upstream_requests
            .get_or_create(&UpstreamLabels { kind, code })
            .inc();
    }

    pub(crate) fn upstream_received(&self, bytes: u64) {
        self.inner.upstream_received.inc_by(bytes);
    }

    pub(crate) fn peer_received(&self, bytes: u64) {
        self.inner.peer_received.inc_by(bytes);
    }

    pub(crate) fn peer_sent(&self, bytes: u64) {
        self.inner.peer_sent.inc_by(bytes);
    }

    pub(crate) fn crossed_in(&self, bytes: u64) {
        let [received, _] = &self.inner.crossed;
        received.inc_by(bytes);
    }

    pub(crate) fn crossed_out(&self, bytes: u64) {
        let [_, sent] = &self.inner.crossed;
        sent.inc_by(bytes);
    }

    /// Nothing where there is no budget.
    pub(crate) fn budget_left(&self, bytes: Option<u64>) {
        let left = bytes.map_or(-1, |left| i64::try_from(left).unwrap_or(i64::MAX));
        self.inner.budget_left.set(left);
    }

    pub(crate) fn peers(&self, connected: usize) {
        self.inner
            .peers
            .set(i64::try_from(connected).unwrap_or(i64::MAX));
    }

    pub(crate) fn leases(&self, leases: &Leases) {
        let counts = [
            ("granted", leases.granted),
            ("waiting", leases.waiting),
            ("fetching", leases.fetching),
            ("waits", leases.waits),
        ];
        for (what, count) in counts {
            let gauge = self.inner.leases.get_or_create(&LeaseLabels { what });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn verification_failure(&self, from: Source) {
        self.inner
            .verification_failures
            .get_or_create(&FailureLabels {
                from: from.as_str(),
            })
            .inc();
    }

    pub(crate) fn pending_served(&self) {
        self.inner.pending_served.inc();
    }

    pub(crate) fn tile_passed(&self) {
        self.inner.tiles_passed.inc();
    }

    pub(crate) fn sumdb_contradicted(&self, name: &str) {
        let labels = DatabaseLabels {
            name: name.to_owned(),
        };
        self.inner.contradictions.get_or_create(&labels).inc();
    }

    /// Takes over the store's own numbers.
    pub(crate) fn store(&self, bytes: u64, blobs: u64, (evicted, quarantined): (u64, u64)) {
        self.inner
            .store_evicted
            .inner()
            .store(evicted, Ordering::Relaxed);
        self.inner
            .store_quarantined
            .inner()
            .store(quarantined, Ordering::Relaxed);
        self.inner
            .store_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.inner
            .store_blobs
            .set(i64::try_from(blobs).unwrap_or(i64::MAX));
    }

    pub(crate) fn tree_size(&self, name: &str, size: u64) {
        let labels = DatabaseLabels {
            name: name.to_owned(),
        };
        // An alarm on a counter works only when the counter is there before it counts.
        drop(self.inner.contradictions.get_or_create(&labels));
        self.inner
            .tree_size
            .get_or_create(&labels)
            .set(i64::try_from(size).unwrap_or(i64::MAX));
    }

    /// Bytes of bodies sent to clients that came from the store, from neighbours, from upstream.
    pub(crate) fn served_bytes(&self) -> [u64; 3] {
        let [store, peers, upstream] = &self.inner.served;
        [store, peers, upstream].map(|bytes| bytes.load(Ordering::Relaxed))
    }

    pub(crate) fn peer_sent_bytes(&self) -> u64 {
        self.inner.peer_sent.get()
    }

    pub(crate) fn members(&self, connected: usize) {
        let members = i64::try_from(connected).unwrap_or(i64::MAX);
        self.inner.members.set(members);
    }

    pub(crate) fn stranger(&self) {
        self.inner.strangers.inc();
    }

    /// A request got a place among those of the site.
    pub(crate) fn stood_in_line(&self, waited: Duration, in_vain: bool) {
        let how = match in_vain {
            true => "in_vain",
            false if waited < WAITED_LEAST => "at_once",
            false => "waited",
        };
        let places = &self.inner.upstream_places;
        places.get_or_create(&HowLabels { how }).inc();
    }

    /// A rest of an upstream was told, heard or overruled.
    pub(crate) fn upstream_rest(&self, how: &'static str) {
        let rests = &self.inner.upstream_rests;
        rests.get_or_create(&HowLabels { how }).inc();
    }

    pub(crate) fn statement_contradicted(&self) {
        self.inner.statements_contradicted.inc();
    }

    /// A neighbour asked a question of this kind.
    pub(crate) fn peer_asked(&self, kind: &'static str) {
        let asked = &self.inner.peer_questions;
        asked.get_or_create(&QuestionLabels { kind }).inc();
    }

    pub(crate) fn peer_told_busy(&self) {
        self.inner.peers_told_busy.inc();
    }

    /// Everything, as Prometheus text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string fails only when a metric's own encoder does, and then the rest is still of use.
        let _partial_on_error = text::encode(&mut text, &self.inner.registry);
        text
    }
}
