//! Taking back what rests on the word of one neighbour, and leaving it alone, because this host's user says so.

use std::sync::Arc;

use http::StatusCode;
use modmesh_protocol::control::TakenBack;
use modmesh_protocol::peer_name::PeerName;

use super::Control;
use crate::peers::DistrustError;

/// Why a neighbour's word was not taken back.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTakenBack {
    #[error(transparent)]
    Distrust(#[from] DistrustError),
    #[error("{0} is this host itself")]
    Ourselves(PeerName),
    #[error(
        "it is left alone from now on, and what rests on its word could not be taken back to the end: {0}; repeat it when the disk is writable again"
    )]
    Disk(#[from] std::io::Error),
    #[error("the work on it ended without a result; see the daemon's log")]
    Crashed,
}

impl NotTakenBack {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Distrust(DistrustError::NoPeer) | Self::Ourselves(_) => StatusCode::BAD_REQUEST,
            Self::Distrust(DistrustError::TooMany) => StatusCode::CONFLICT,
            Self::Distrust(DistrustError::Write { .. }) | Self::Disk(_) | Self::Crashed => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}

impl Control {
    /// Leaves `peer` alone and drops what rests on its word; or, with `undo`, speaks to it again.
    pub(super) async fn distrust(
        self: &Arc<Self>,
        peer: PeerName,
        undo: bool,
    ) -> Result<TakenBack, NotTakenBack> {
        if peer == self.peers.name() {
            return Err(NotTakenBack::Ourselves(peer));
        }
        let control = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || -> Result<_, NotTakenBack> {
            control.peers.distrust(&peer, !undo)?;
            let (files, memories) = match undo {
                true => (0, 0),
                // Nobody gives anything on its word any more, so that nothing comes behind this.
                false => control.fetcher.take_back(&peer)?,
            };
            tracing::warn!(%peer, undo, files, memories, "this host's user said whom to distrust");
            Ok(TakenBack {
                peer_id: peer,
                is_distrusted: !undo,
                files,
                memories,
            })
        });
        work.await.unwrap_or(Err(NotTakenBack::Crashed))
    }
}
