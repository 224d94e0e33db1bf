//! Whether a neighbour that was silent to a question is still there: it is asked at once, and put out when it is not.
//!
//! The question is for the head of a database that nobody has, which every release answers, whether it is open to all or to members
//! alone, and which costs its host nothing. Whatever comes is a sign of life, "busy" and a broken stream as well. Of each
//! neighbour there is one probe at a time, so that there are at most as many as hosts that are connected.
//!
//! The time of a probe is that in which this host was running: one that waits for its processor, or was asleep, must not take others
//! for dead whose words it has not read yet.

use std::sync::Arc;
use std::time::Duration;

use libp2p::PeerId;
use modmesh_protocol::limits::{PROBE_GRACE, PROBE_MAX};
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::{Answer, Query};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::frames;
use super::outbox::Outbox;
use super::roster::Roster;
use super::streams::Purpose;
use super::talk::{Clock, LOOK_EVERY};
use super::{PeerError, Shared, ask, peer_id_of};

/// How often it is asked.
const TRIES: u32 = 2;
/// Longer than any probe, even where this host runs a tenth of the time only.
const WAIT: Duration = PROBE_MAX.saturating_mul(10);
/// What `modmesh peers` says of one that was put out.
const SILENT: &str = "it did not answer for four seconds, and its connection was closed";

/// Has neighbours looked at that were silent.
#[derive(Debug, Clone, Default)]
pub(super) struct Lookout {
    pub(super) roster: Arc<Roster>,
    pub(super) outbox: Arc<Outbox>,
}

impl Lookout {
    fn suspect(&self, peer: &PeerId) {
        if self.roster.suspect(peer) {
            self.outbox.suspect(*peer);
        }
    }

    /// Has `peer` looked at; whether it is silent to that too, as far as is known by now.
    pub(super) fn finds_mute(&self, peer: &PeerId) -> bool {
        self.suspect(peer);
        self.roster.is_mute_now(peer)
    }
}

impl Shared {
    /// `peer` was silent to a question: it is looked at.
    pub(super) fn suspect(&self, peer: &PeerId) {
        self.lookout.suspect(peer);
    }

    /// The same.
    pub(super) fn suspect_named(&self, peer: &PeerName) {
        if let Some(peer) = peer_id_of(peer) {
            self.suspect(&peer);
        }
    }
}

/// Looks whether `peer` is still there; returns within [`PROBE_MAX`] of this host's running time.
pub(super) async fn probe(shared: Arc<Shared>, peer: PeerId) {
    if is_there(&shared, &peer).await {
        shared.roster.answered_the_probe(&peer);
    } else {
        tracing::info!(%peer, "a neighbour is silent; its connection is closed");
        shared.roster.failed(&peer, SILENT.to_owned());
        shared.outbox.disconnect(peer);
        shared.outbox.gone(peer);
    }
}

async fn is_there(shared: &Shared, peer: &PeerId) -> bool {
    let mut clock = Clock::new();
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in 1..=TRIES {
        let asking = ask_until_it_answers(shared, peer);
        tokio::pin!(asking);
        let until = PROBE_MAX * turn / TRIES;
        loop {
            tokio::select! {
                biased;
                () = &mut asking => return true,
                _ = ticks.tick() => {
                    let now = clock.now();
                    if now >= PROBE_GRACE {
                        shared.roster.is_mute(peer);
                    }
                    if now >= until {
                        break;
                    }
                }
            }
        }
    }
    false
}

/// Returns with the first sign of life. Waits that are measured by another clock than the probe's do not count.
async fn ask_until_it_answers(shared: &Shared, peer: &PeerId) {
    loop {
        match ask_once(shared, peer).await {
            Err(PeerError::Stalled) => {}
            // Said here, of too many streams that wait to be opened.
            Err(PeerError::Busy { retry_after }) => sleep(retry_after).await,
            _ => return,
        }
    }
}

async fn ask_once(shared: &Shared, peer: &PeerId) -> Result<(), PeerError> {
    // No lane of those for questions: silent ones may be in all of them.
    let mut stream = ask::open(shared, peer, Purpose::Query).await?;
    let question = Query::Head { database: [0; 32] };
    let bytes = frames::write(&mut stream, &question, WAIT).await?;
    shared.count_sent(peer, bytes);
    let (_, bytes) = frames::read::<Answer>(&mut stream, WAIT).await?;
    shared.count_received(peer, bytes);
    Ok(())
}
