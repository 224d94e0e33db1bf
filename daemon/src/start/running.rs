//! A daemon that serves: what can be seen of it, and how it ends.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use modmesh_protocol::control::FoundBy;
use modmesh_protocol::peer_name::PeerName;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::control::Control;
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::shutdown::{END_DEADLINE, Shutdown};
use crate::state::State;
use crate::store::Store;

/// How often it is looked whether a daemon that ends when idle is idle.
const IDLE_LOOK_EVERY: Duration = Duration::from_secs(1);

/// A daemon that serves.
#[derive(Debug)]
pub struct Running {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) control: Arc<Control>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) peers: Peers,
    pub(super) store: Store,
    pub(super) state: State,
    pub(super) shutdown: Shutdown,
    pub(super) idle_exit: Option<Duration>,
    pub(super) metrics: Metrics,
}

/// Something a person may want to see as it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A neighbour can be asked from now on.
    NeighbourCame {
        /// Its name.
        name: PeerName,
        /// How it was met.
        found_by: FoundBy,
    },
    /// A neighbour is gone.
    NeighbourWent {
        /// Its name.
        name: PeerName,
    },
}

impl Running {
    /// Where the front door listens, with real ports.
    pub fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// This host's name in the mesh.
    pub fn peer_name(&self) -> PeerName {
        self.peers.name()
    }

    /// Where neighbours can reach this host.
    pub fn peer_addresses(&self) -> Vec<String> {
        self.peers.addresses()
    }

    /// Lines for a person, each with its remedy.
    pub fn notices(&self) -> Vec<String> {
        self.control.notices()
    }

    /// Neighbours as they come and go, from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Serves until `shutdown` completes (or its user says so over the control socket, or nobody has asked for the
    /// configured idle time and nothing is being sent), then ends cleanly: answers under way are finished, or cut before their end when the deadline passes.
    pub async fn wait(self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.shutdown.wished() => tracing::info!("told to end over the control socket"),
            () = idle(self.idle_exit, &self.metrics) => tracing::info!("nobody has asked for a while; ending"),
        }
        self.end().await;
    }

    /// Completes when the end begins, whoever wished for it: for whoever has to see to it that it ends in time.
    pub fn ending(&self) -> impl Future<Output = ()> + Send + 'static {
        self.shutdown.clone().requested_owned()
    }

    async fn end(self) {
        tracing::info!("ending");
        let runs = async {
            if let Some(upstream) = &self.control.upstream {
                upstream.end().await;
            }
        };
        if !tokio::join!(self.shutdown.end(END_DEADLINE), runs).0 {
            tracing::warn!("some work did not end in time and is cut");
        }
        self.peers.stop(Duration::from_secs(1)).await;
        let (store, state) = (self.store, self.state);
        let closed = tokio::task::spawn_blocking(move || {
            store.end();
            state.end();
        });
        if closed.await.is_err() {
            tracing::warn!(
                "the state folder could not be closed; it will be checked at the next start"
            );
        }
        tracing::info!("ended");
    }
}

/// Completes when no request began and none was under way for as long as `limit` says.
async fn idle(limit: Option<Duration>, metrics: &Metrics) {
    let Some(limit) = limit else {
        return std::future::pending().await;
    };
    let (mut begun, mut since) = (metrics.activity().begun, Instant::now());
    while since.elapsed() < limit {
        tokio::time::sleep(IDLE_LOOK_EVERY.min(limit)).await;
        let now = metrics.activity();
        if now.begun != begun || now.under_way > 0 {
            (begun, since) = (now.begun, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_sends_for_a_long_time_is_not_idle() {
        const LIMIT: Duration = Duration::from_secs(60);
        let metrics = Metrics::new();
        let began = Instant::now();
        let asking = async {
            tokio::time::sleep(LIMIT / 2).await;
            let long = metrics.begin();
            tokio::time::sleep(LIMIT * 3).await;
            drop(long);
            tokio::time::sleep(LIMIT / 2).await;
            // One that begins and ends between two looks.
            drop(metrics.begin());
            Instant::now()
        };
        let ((), last) = tokio::join!(idle(Some(LIMIT), &metrics), asking);
        assert!(last - began >= LIMIT * 4);
        let after = Instant::now() - last;
        assert!(
            after >= LIMIT && after < LIMIT + IDLE_LOOK_EVERY * 3,
            "{after:?}"
        );
    }
}
