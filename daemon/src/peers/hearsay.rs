//! Telling the neighbours of one that is gone without a word, and looking when they say so.
//!
//! That word is never believed: it only has this host look for itself, so often as [`Hearsay`](modmesh_protocol::hearsay::Hearsay) allows.

use libp2p::PeerId;
use modmesh_protocol::limits::ANNOUNCED_SILENT_MAX;
use modmesh_protocol::wire::{Announcement, encode};

use super::driver::Driver;
use super::name_of;

impl Driver {
    /// Tells of neighbours that were found gone since the last time, of [`ANNOUNCED_SILENT_MAX`] at most.
    pub(super) fn tell_of_the_gone(&mut self) {
        let now = self.shared.up_since.elapsed();
        let gone = self.shared.outbox.take_gone();
        let mut told: Vec<PeerId> = gone
            .into_iter()
            .filter(|peer| self.hearsay.is_to_tell(now, *peer))
            .collect();
        told.truncate(ANNOUNCED_SILENT_MAX);
        if told.is_empty() {
            return;
        }
        let peers = told.iter().map(|peer| name_of(peer).to_string()).collect();
        match encode(&Announcement::Silent { peers }) {
            Ok(frame) => self.gossip(frame),
            Err(error) => tracing::warn!(%error, "an announcement breaks the bounds of the wire"),
        }
    }

    /// `teller` says that these are silent.
    pub(super) fn hear_of_silent(&mut self, teller: PeerId, peers: &[String]) {
        let now = self.shared.up_since.elapsed();
        let peers = peers.iter().filter_map(|peer| peer.parse::<PeerId>().ok());
        for peer in peers {
            if self.shared.roster.is_neighbour(&peer) && self.hearsay.hears(now, teller, peer) {
                self.shared.suspect(&peer);
            }
        }
    }
}
