//! What is said to one owner, and what it says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::PeerId;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::lease::{Ask, Claim, MemberId, Word};
use modmesh_protocol::limits::{NO_PROGRESS_MAX, SEND_STALL_MAX};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::super::frames::{self, FrameError};
use super::super::office::{Visit, known_holders};
use super::super::streams::Purpose;
use super::super::{PeerError, Shared, ask, errands};
use super::clock::LOOK_EVERY;

/// How long a word of an owner is waited for; that one is silent is noticed by the conversation much earlier.
const WORD_WAIT_MAX: Duration = Duration::from_secs(40 * 60);
/// How long a stream is tried to be opened to an owner to whom too many are being opened already.
const OPEN_WAIT_MAX: Duration = NO_PROGRESS_MAX;

/// The owner that it is of, of which of its streams, and its word; nothing where that stream has ended.
pub(super) type Heard = (usize, u64, Option<Word>);

/// What is said to one owner, in a task of its own.
pub(super) struct Said {
    pub(super) shared: Arc<Shared>,
    pub(super) want: Ask,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) words: mpsc::Sender<Heard>,
    pub(super) at: usize,
    pub(super) serial: u64,
}

impl Said {
    pub(super) async fn with_neighbour(mut self, peer: PeerId) {
        if let Err(error) = self.speak_to(peer).await {
            tracing::debug!(%peer, %error, "a conversation with an owner ended early");
            if matches!(error, PeerError::Stalled) {
                self.shared.suspect(&peer);
            }
        }
        let _ = self.words.send((self.at, self.serial, None)).await;
    }

    async fn speak_to(&mut self, peer: PeerId) -> Result<(), PeerError> {
        let _errand = errands::call_on(&self.shared, peer).await?;
        let stream = self.open(peer).await?;
        let (mut reader, mut writer) = stream.split();
        let bytes = frames::write(&mut writer, &self.want, NO_PROGRESS_MAX).await?;
        self.shared.count_sent(&peer, bytes);
        let hearing = async {
            loop {
                let (word, bytes) = frames::read::<Word>(&mut reader, WORD_WAIT_MAX).await?;
                self.shared.count_received(&peer, bytes);
                let heard = (self.at, self.serial, Some(word));
                if self.words.send(heard).await.is_err() {
                    return Ok(());
                }
            }
        };
        let saying = async {
            while let Some(ask) = self.asks.recv().await {
                let bytes = frames::write(&mut writer, &ask, NO_PROGRESS_MAX).await?;
                self.shared.count_sent(&peer, bytes);
            }
            Ok(())
        };
        let ended: Result<(), FrameError> = tokio::select! {
            biased;
            ended = saying => ended,
            ended = hearing => ended,
        };
        let _ = timeout(SEND_STALL_MAX, writer.close()).await;
        Ok(ended?)
    }

    /// A host that asks for many things at once opens a few streams after the others.
    async fn open(&self, peer: PeerId) -> Result<libp2p::swarm::Stream, PeerError> {
        let give_up = Instant::now() + OPEN_WAIT_MAX;
        loop {
            match ask::open(&self.shared, &peer, Purpose::Lease).await {
                Err(PeerError::Busy { retry_after }) if Instant::now() + retry_after < give_up => {
                    sleep(retry_after.min(LOOK_EVERY)).await;
                }
                opened => return opened,
            }
        }
    }

    pub(super) async fn with_ourselves(mut self, ours: MemberId) {
        let Ask::Want {
            key,
            can_fetch,
            claim,
        } = self.want
        else {
            return;
        };
        let want: (KeyHash, bool, Claim) = (KeyHash(key), can_fetch, claim);
        let known = known_holders(&self.shared, want.0).await;
        let (visit, mut words): (Visit, _) = self.shared.office.want((ours, None), want, &known);
        loop {
            tokio::select! {
                biased;
                ask = self.asks.recv() => match ask {
                    Some(ask) => visit.hear(&ask),
                    None => break,
                },
                word = words.recv() => {
                    let Some(word) = word else { break };
                    let heard = (self.at, self.serial, Some(word));
                    if self.words.send(heard).await.is_err() {
                        break;
                    }
                }
            }
        }
        let _ = self.words.send((self.at, self.serial, None)).await;
    }
}
