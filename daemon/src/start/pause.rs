//! Sends no large file to neighbours while this machine runs on battery, or a line of it is metered, where its user wants that.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::manners::Pause;
use crate::os;
use crate::peers::Peers;
use crate::store::Store;
use crate::upstream::Upstream;

/// How often it is looked what feeds the machine: a plug is seen to before anybody wonders, and a few small files are read.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often it is asked whether a line is metered: a command is run for it, and lines change seldom.
const ASK_EVERY: Duration = Duration::from_secs(60);

/// What decides whether uploads are paused.
pub(super) struct PauseWatch {
    /// Where the power supplies are told of; nothing where a battery is no reason.
    pub(super) supplies: Option<PathBuf>,
    /// The command that knows whether a line is metered; nothing where that is no reason.
    pub(super) network_manager: Option<PathBuf>,
    pub(super) upstream: Option<Upstream>,
    pub(super) peers: Peers,
    pub(super) store: Store,
}

impl PauseWatch {
    /// Looks, again and again.
    pub(super) async fn keep_looking(self) {
        let mut asked = None;
        let mut is_metered = false;
        loop {
            if asked.is_none_or(|asked: Instant| asked.elapsed() >= ASK_EVERY) {
                is_metered = self.is_metered().await;
                asked = Some(Instant::now());
            }
            let pause = match self.is_on_battery().await {
                true => Some(Pause::Battery),
                false => is_metered.then_some(Pause::Metered),
            };
            self.decide(pause);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn decide(&self, pause: Option<Pause>) {
        // Who cannot reach an upstream himself has neighbours who cannot either: they may have nobody else.
        let others_can_fetch = self.upstream.as_ref().is_some_and(|up| !up.is_down());
        let pause = pause.filter(|_| others_can_fetch);
        if pause == self.peers.paused() {
            return;
        }
        self.peers.pause_uploads(pause);
        match pause {
            Some(pause) => {
                let why = pause.why();
                tracing::info!("{why}: no file above 64 KiB is sent to neighbours");
            }
            None => {
                tracing::info!("files are sent to neighbours again");
                // They were told that what they asked for is not here.
                self.peers.announce(self.store.shareable());
            }
        }
    }

    async fn is_on_battery(&self) -> bool {
        let Some(folder) = self.supplies.clone() else {
            return false;
        };
        let looked = tokio::task::spawn_blocking(move || os::is_on_battery(&folder)).await;
        looked.unwrap_or(false)
    }

    async fn is_metered(&self) -> bool {
        match &self.network_manager {
            Some(command) => os::is_metered(command).await,
            None => false,
        }
    }
}
