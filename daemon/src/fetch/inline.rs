//! A small file that comes whole with the answer to "who has it", and its proof with it.
//!
//! The neighbour that is likeliest to have it is asked for both at once, see [`Peers::find`](crate::peers::Peers::find). What comes
//! goes the way of everything that comes: the record is proved, the bytes are staged, judged and committed, and a lie is laid
//! to whoever gave it. Whatever did not come so is got as ever.

use std::sync::Arc;
use std::time::Instant;

use modmesh_protocol::artifact::{FileKind, KeyHash};
use modmesh_protocol::peer_name::PeerName;

use super::sources::{Holder, Miss, Want};
use super::{Fetcher, HOLDERS_MAX};
use crate::peers::{Given, Haste, WantedProof};
use crate::policy::Treatment;
use crate::store::{Staged, Staging, Store, StoreError};
use crate::trust::Offer;

/// What neighbours have of a file.
#[derive(Debug, Default)]
pub(super) struct Supply {
    /// Those that say they have it, best first.
    pub holders: Vec<Holder>,
    /// The file itself.
    pub small: Option<Small>,
    /// Its record, with what may prove it.
    pub offer: Option<Arc<Offer>>,
}

/// A whole file that nobody has looked at.
#[derive(Debug)]
pub(super) struct Small {
    pub peer: PeerName,
    bytes: Vec<u8>,
}

impl Supply {
    pub(super) fn of(holders: Vec<Holder>) -> Self {
        Self {
            holders,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.holders.is_empty() && self.small.is_none()
    }
}

impl Fetcher {
    /// Asks the neighbours who has the file, and one of them for it.
    pub(super) async fn look_around(
        &self,
        want: &Want,
        treatment: Treatment,
        haste: Haste,
    ) -> Supply {
        if !self.may_ask_neighbours(&want.key) || self.inner.peers.connected() == 0 {
            return Supply::default();
        }
        let judge = self.judge_by(treatment);
        let missing = judge.and_then(|judge| judge.missing(&want.key.of));
        let proof = missing.map(|missing| WantedProof {
            database: missing.database,
            record: missing.key,
            size: missing.size,
            held: missing.held,
        });
        let (hash, began) = (KeyHash::of_file(&want.key), Instant::now());
        let found = self.inner.peers.find(hash, proof, haste).await;
        want.story.tell_survey(began, &found.survey);
        let holders = found.survey.found.into_iter().filter_map(Holder::of);
        let mut supply = Supply::of(holders.take(HOLDERS_MAX).collect());
        if let Some(Given { peer, file, proof }) = found.given {
            supply.offer = proof.map(|proof| {
                Arc::new(Offer {
                    by: peer.clone(),
                    record: proof.record,
                    tiles: proof.tiles,
                })
            });
            supply.small = file.map(|bytes| Small { peer, bytes });
        }
        supply
    }
}

impl Small {
    /// Who gave it, as one that has it.
    pub(super) fn holder(&self) -> Holder {
        Holder {
            peer: self.peer.clone(),
            length: self.bytes.len() as u64,
        }
    }

    /// Lays it into `staging`.
    pub(super) async fn lay(
        self,
        store: &Store,
        want: &Want,
        mut staging: Staging,
    ) -> Result<Staged, Miss> {
        // Nobody of another site is asked so.
        let attempt = want.story.transfer(&self.peer, false, staging.received());
        if want.key.kind == FileKind::Zip {
            staging.take_room(store.room_for(self.bytes.len() as u64).await);
        }
        let laid = tokio::task::spawn_blocking(move || staging.fill(&self.bytes)).await;
        match laid.map_err(std::io::Error::other).flatten() {
            Ok(staged) => {
                attempt.brought_it(None);
                Ok(staged)
            }
            Err(error) => {
                let miss = Miss::Store(StoreError::from(error));
                attempt.missed(&miss);
                Err(miss)
            }
        }
    }
}
