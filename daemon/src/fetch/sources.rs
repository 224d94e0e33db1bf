//! Ways to get bytes: every one turns a [`Want`] and an empty [`Staging`] into a [`Staged`] file or a [`Miss`].
//!
//! These are thin adapters over the neighbours and the upstream, which themselves only write into an `AsyncWrite`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::control::Did;
use modmesh_protocol::peer_name::PeerName;

use super::counted_sink::CountedSink;
use super::pace::UpstreamPace;
use super::story::Story;
use super::told_sink::ToldSink;
use crate::peers::{Haste, Lie, Located, PeerError, Peers, SoFar};
use crate::policy::Asker;
use crate::store::{Staged, Staging, Store, StoreError};
use crate::trust::{GO_MOD_BYTES_MAX, Rejection, ZIP_BYTES_MAX};
use crate::upstream::{Begin, Downloaded, Upstream, UpstreamError};

/// How long a whole transfer from one source may take; progress has shorter deadlines of its own.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// How urgent a file is; a client waits for it now. Fetching ahead will add more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    Client,
}

/// A file that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub key: ArtifactKey,
    pub bytes_max: u64,
    pub priority: Priority,
    /// For whom; what is fetched ahead is fetched for anybody.
    pub asker: Asker,
    /// How long each source may take, counted from when it is asked: none uses up the time of the next.
    pub patience: Duration,
    /// Hears what is done for it.
    pub story: Story,
    /// How much of it has come from outside, for those who wait for it.
    pub so_far: Arc<SoFar>,
}

/// Why a source gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Miss {
    #[error(transparent)]
    Peer(PeerError),
    #[error(transparent)]
    Upstream(UpstreamError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file came, and what it must be could not be found out.
    #[error("the file came, but not the proof from the checksum database: {0}")]
    Unproved(Arc<str>),
}

impl Want {
    /// `key`, for a client that waits for it.
    pub(crate) fn new(key: ArtifactKey, asker: Asker, story: Story) -> Self {
        let bytes_max = match key.kind {
            FileKind::Zip => ZIP_BYTES_MAX,
            FileKind::Mod | FileKind::Info => GO_MOD_BYTES_MAX,
        };
        Self {
            key,
            bytes_max,
            priority: Priority::Client,
            asker,
            patience: TRANSFER_DEADLINE,
            story,
            so_far: Arc::default(),
        }
    }

    /// Waits until a busy neighbour may be asked again.
    pub(super) async fn pause(&self, pause: Duration) {
        let began = Instant::now();
        tokio::time::sleep(pause).await;
        self.story.tell(began, Did::Wait);
    }

    async fn within_deadline<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.patience, work).await.ok()
    }
}

/// A neighbour that says it has the file.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub peer: PeerName,
    /// How long it says the file is, in bytes; by this its pace is measured, so more is not taken.
    pub length: u64,
}

impl Holder {
    /// The neighbour of `located`, if it has the file.
    pub(crate) fn of(located: Located) -> Option<Self> {
        let (_, length) = located.file?;
        Some(Self {
            peer: located.peer,
            length,
        })
    }

    /// Has the file sent into `staging`. What fails here is this source's miss and no more: whether the store is to blame,
    /// the next source will show.
    pub(crate) async fn obtain(
        &self,
        peers: &Peers,
        store: &Store,
        want: &Want,
        haste: Haste,
        staging: Staging,
    ) -> Result<Staged, Miss> {
        let across = peers.is_across(&self.peer);
        let attempt = want.story.transfer(&self.peer, across, staging.received());
        match self.receive(peers, store, want, haste, staging).await {
            Ok(staged) => {
                attempt.brought_it(None);
                Ok(staged)
            }
            Err(miss) => {
                attempt.missed(&miss);
                Err(miss)
            }
        }
    }

    async fn receive(
        &self,
        peers: &Peers,
        store: &Store,
        want: &Want,
        haste: Haste,
        mut staging: Staging,
    ) -> Result<Staged, Miss> {
        let hash = KeyHash::of_file(&want.key);
        let bytes_max = want.bytes_max.min(self.length);
        let transfer = async {
            // A go.mod is small, and waits for no zip.
            if want.key.kind == FileKind::Zip {
                staging.take_room(store.room_for(bytes_max).await);
            }
            if !peers.is_across(&self.peer) {
                let sink = &mut staging;
                return peers.fetch(&self.peer, hash, bytes_max, haste, sink).await;
            }
            let mut sink = CountedSink::new(&mut staging, &want.so_far, self.length);
            peers
                .fetch(&self.peer, hash, bytes_max, haste, &mut sink)
                .await
        };
        let fetched = want.within_deadline(transfer).await.unwrap_or_else(|| {
            peers.overtaken(&self.peer);
            Err(PeerError::Stalled)
        });
        match fetched {
            Ok(_) => Ok(staging.close().await.map_err(StoreError::from)?),
            Err(PeerError::Sink(error)) => Err(StoreError::from(error).into()),
            Err(error) => Err(Miss::Peer(error)),
        }
    }

    /// The file that it gave did not pass the gate.
    pub(crate) fn blame(&self, peers: &Peers, rejection: &Arc<Rejection>, evidence: Vec<u8>) {
        let what = rejection.to_string();
        if rejection.convicts() {
            peers.blame(&self.peer, Lie { what, evidence });
        } else if rejection.is_lie() {
            tracing::warn!(peer = %self.peer, what, "a neighbour's file was refused");
            peers.doubted(&self.peer, what);
        }
    }
}

/// Downloads the file into `staging`, and says where it came from.
pub(crate) async fn from_upstream(
    upstream: Option<&Upstream>,
    begin: Begin,
    want: &Want,
    staging: Staging,
    pace: &UpstreamPace,
) -> Result<(Staged, Downloaded), Miss> {
    let Some(upstream) = upstream else {
        let off = Miss::Upstream(UpstreamError::Off);
        want.story.upstream(staging.received()).missed(&off);
        return Err(off);
    };
    let mut sink = ToldSink::new(staging, &want.story, &want.so_far, pace);
    let path = want.key.url_path();
    let in_time = want
        .within_deadline(upstream.download(begin, &path, want.bytes_max, &mut sink))
        .await;
    let ran_late = in_time.is_none();
    let downloaded = in_time.unwrap_or_else(|| {
        Err(UpstreamError::Unreachable {
            url: path.clone(),
            reason: format!(
                "not done after {} minutes",
                TRANSFER_DEADLINE.as_secs() / 60
            ),
        })
    });
    let staging = sink.end(&downloaded, ran_late);
    match downloaded {
        Ok(downloaded) => {
            let staged = staging.close().await.map_err(StoreError::from)?;
            Ok((staged, downloaded))
        }
        Err(UpstreamError::Sink(error)) => Err(StoreError::from(error).into()),
        Err(error) => Err(Miss::Upstream(error)),
    }
}
