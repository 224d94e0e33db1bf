//! Sends no large file to neighbours while this machine runs on battery, where its user wants that.

use std::path::PathBuf;
use std::time::Duration;

use crate::os;
use crate::peers::Peers;
use crate::store::Store;
use crate::upstream::Upstream;

/// How often it is looked what feeds the machine: a plug is seen to before anybody wonders, and a few small files are read.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What decides whether uploads are paused.
pub(super) struct PowerWatch {
    /// Where the power supplies are told of.
    pub(super) folder: PathBuf,
    pub(super) upstream: Option<Upstream>,
    pub(super) peers: Peers,
    pub(super) store: Store,
}

impl PowerWatch {
    /// Looks, again and again.
    pub(super) async fn keep_looking(self) {
        loop {
            self.look().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&self) {
        // Who cannot reach an upstream himself has neighbours who cannot either: they may have nobody else.
        let others_can_fetch = self.upstream.as_ref().is_some_and(|up| !up.is_down());
        let folder = self.folder.clone();
        let looked = tokio::task::spawn_blocking(move || os::is_on_battery(&folder)).await;
        let pauses = others_can_fetch && looked.unwrap_or(false);
        if pauses == self.peers.are_uploads_paused() {
            return;
        }
        if pauses {
            tracing::info!("on battery: no file above 64 KiB is sent to neighbours");
            let why = "this host runs on battery (on-battery is pause)";
            self.peers.pause_uploads(Some(why.to_owned()));
        } else {
            tracing::info!("files are sent to neighbours again");
            self.peers.pause_uploads(None);
            // They were told that what they asked for is not here.
            self.peers.announce(self.store.shareable());
        }
    }
}
