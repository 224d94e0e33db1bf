//! Traffic of the rooms that must not know the counters, counted.

use crate::metrics::Metrics;
use crate::upstream::RequestKind;

/// Counts what upstream and the neighbours move.
#[derive(Debug, Clone)]
pub(crate) struct Counting(pub Metrics);

impl crate::upstream::Watch for Counting {
    fn request(&self, kind: RequestKind, code: u16) {
        self.0.upstream_request(kind.as_str(), code);
    }

    fn received_bytes(&self, bytes: u64) {
        self.0.upstream_received(bytes);
    }
}

impl crate::peers::Watch for Counting {
    fn received(&self, bytes: u64) {
        self.0.peer_received(bytes);
    }

    fn sent(&self, bytes: u64) {
        self.0.peer_sent(bytes);
    }

    fn crossed_in(&self, bytes: u64) {
        self.0.crossed_in(bytes);
    }

    fn crossed_out(&self, bytes: u64) {
        self.0.crossed_out(bytes);
    }

    fn neighbours(&self, neighbours: usize) {
        self.0.peers(neighbours);
    }

    fn stranger(&self) {
        self.0.stranger();
    }

    fn asked(&self, kind: &'static str) {
        self.0.peer_asked(kind);
    }

    fn busy(&self) {
        self.0.peer_told_busy();
    }
}
