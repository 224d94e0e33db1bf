//! The corridor: from a key to a file of the store, or to an answer that says why not.
//!
//! Always in this order: the store, the neighbours, the upstream; one flight per file; every body through the gate; only
//! what the store has committed is handed out. The corridor decides in which order sources are asked and whom a lie is
//! laid to; how bytes are got is in [`sources`], what they must be in `trust`, and who may have them in `policy`.

mod error;
mod gate;
mod neighbours;
mod notes;
mod pace;
mod race;
mod sources;

use std::sync::Arc;
use std::time::{Duration, Instant};

use modmesh_protocol::artifact::ArtifactKey;
use modmesh_protocol::module::ModulePath;
use tokio::sync::Semaphore;

pub(crate) use error::FetchError;
pub(crate) use notes::{NoteAnswer, NoteKey};
// The front door speaks to the corridor alone, in the words that the corridor's own signatures use.
pub(crate) use crate::policy::Client;
pub(crate) use crate::upstream::UpstreamError;
use neighbours::Asked;
use pace::UpstreamPace;
use sources::{Miss, Want};

use crate::flight::Flights;
use crate::metrics::{Metrics, Source};
use crate::peers::{Haste, Peers};
use crate::policy::{Policy, Treatment};
use crate::shutdown::Shutdown;
use crate::store::{Staged, Store, Stored};
use crate::trust::{Authority, Expected, Giver, Scope};
use crate::upstream::Upstream;

/// Zips that are judged at the same time; each is hashed on several cores.
const JUDGED_AT_ONCE_MAX: usize = 4;
/// How long a file is waited for that only busy neighbours have, from when the first of them said so.
const BUSY_PATIENCE: Duration = Duration::from_secs(15);

/// Who judges: one database for modules, or none, and one for toolchains in any case.
#[derive(Clone)]
pub(crate) struct Judges {
    pub modules: Option<Arc<dyn Authority>>,
    pub toolchains: Option<Arc<dyn Authority>>,
}

/// A handle on the corridor; clones share it.
#[derive(Clone)]
pub(crate) struct Fetcher {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    files: Flights<ArtifactKey, Result<Source, FetchError>>,
    notes: Flights<NoteKey, Result<NoteAnswer, FetchError>>,
    upstream_pace: UpstreamPace,
    /// Zips that are judged at the same time.
    judging: Semaphore,
}

/// What the corridor leads to.
pub(crate) struct Parts {
    pub store: Store,
    pub judges: Judges,
    pub policy: Policy,
    pub peers: Peers,
    /// Nothing when this host is to stay offline.
    pub upstream: Option<Upstream>,
    pub metrics: Metrics,
    /// Until then a host that has no upstream waits for a first neighbour.
    pub settled_at: Instant,
}

impl std::ops::Deref for Inner {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// A file to hand out, and where it came from for this request.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub stored: Stored,
    pub source: Source,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}

impl Fetcher {
    pub(crate) fn new(parts: Parts, shutdown: &Shutdown) -> Self {
        Self {
            inner: Arc::new(Inner {
                parts,
                files: Flights::new("file", shutdown.clone()),
                notes: Flights::new("note", shutdown.clone()),
                upstream_pace: UpstreamPace::default(),
                judging: Semaphore::new(JUDGED_AT_ONCE_MAX),
            }),
        }
    }

    /// The `.mod` or `.zip` of `key`, for `client`.
    ///
    /// # Errors
    /// A [`FetchError`] says what a client can make of it.
    pub(crate) async fn file(
        &self,
        key: &ArtifactKey,
        client: &dyn Client,
    ) -> Result<Fetched, FetchError> {
        if let Some(stored) = self.stored(key).await {
            return self.hand_out(stored, Source::Store, client);
        }
        let source = self
            .inner
            .files
            .join(key.clone(), || self.clone().obtain(key.clone()))
            .await??;
        match self.stored(key).await {
            Some(stored) => self.hand_out(stored, source, client),
            None => Err(FetchError::Lost(key.clone())),
        }
    }

    /// Whether `module` matches a private pattern of this host, so that its name must not leave it.
    pub(crate) fn is_private(&self, module: &ModulePath) -> bool {
        self.inner.policy.treatment(module) == Treatment::Private
    }

    /// Puts a body aside that failed while it was read, so that the next request fetches it anew.
    pub(crate) fn quarantine(&self, fetched: &Arc<crate::store::Entry>, reason: &str) {
        self.inner.store.quarantine(fetched, reason);
    }

    /// From the store, if it is there. Hashing a suspect body is left to a thread that may wait.
    async fn stored(&self, key: &ArtifactKey) -> Option<Stored> {
        if !self.inner.store.must_be_hashed(key) {
            return self.inner.store.get(key);
        }
        let (store, key) = (self.inner.store.clone(), key.clone());
        tokio::task::spawn_blocking(move || store.get(&key))
            .await
            .ok()?
    }

    fn hand_out(
        &self,
        stored: Stored,
        source: Source,
        client: &dyn Client,
    ) -> Result<Fetched, FetchError> {
        match stored.entry.proof.scope() {
            Scope::Proven => {}
            Scope::Unlisted => self.inner.policy.may_have_unproven(client)?,
            Scope::Pending => {
                self.inner.policy.may_have_unproven(client)?;
                self.inner.metrics.pending_served();
            }
        }
        Ok(Fetched { stored, source })
    }

    /// The leader's work: gets the file from whoever has it, through the gate, into the store.
    async fn obtain(self, key: ArtifactKey) -> Result<Source, FetchError> {
        // Somebody else may have landed between the caller's look and this flight.
        if self.stored(&key).await.is_some() {
            return Ok(Source::Store);
        }
        let treatment = self.inner.policy.treatment(&key.of.module);
        let want = Want::new(key.clone());
        tracing::debug!(%key, ?treatment, priority = ?want.priority, "fetching");
        let mut patience = None;
        let mut haste = self.haste();
        loop {
            let alone = self.inner.peers.connected() == 0;
            let asked = self.ask_neighbours(&want, treatment, haste).await?;
            let (expected, retry_after, failed) = match asked {
                Asked::Kept(source) => return Ok(source),
                Asked::Nothing {
                    expected,
                    retry_after,
                    failed,
                } => (expected, retry_after, failed),
            };
            let error = match self.ask_upstream(&want, treatment, expected).await {
                Ok(()) => return Ok(Source::Upstream),
                Err(error) => error,
            };
            if !error.is_absence() {
                return Err(error);
            }
            let error = error.beside(failed);
            if alone {
                // Shortly after the start a first neighbour may still come.
                if !self.inner.peers.somebody_by(self.inner.settled_at).await {
                    return Err(error);
                }
            } else if haste == Haste::OthersWait {
                // Upstream is gone, so that the neighbours are worth waiting for.
                haste = Haste::NobodyElse;
            } else {
                // A neighbour has it and is busy, and there is nobody else: then it is worth waiting for, too.
                let now = Instant::now();
                let until = *patience.get_or_insert(now + BUSY_PATIENCE);
                match retry_after {
                    Some(pause) if now + pause < until => {
                        tokio::time::sleep(pause).await;
                    }
                    _ => return Err(error),
                }
            }
        }
    }

    /// Asks upstream, and at the same time the database unless it has answered already.
    async fn ask_upstream(
        &self,
        want: &Want,
        treatment: Treatment,
        expected: Option<Expected>,
    ) -> Result<(), FetchError> {
        let staging = self.inner.store.stage().await?;
        let download = self.download(want, staging);
        let (expected, staged) = match expected {
            Some(expected) => (expected, download.await),
            None => tokio::join!(self.expected(&want.key.of, treatment), download),
        };
        let staged = staged.map_err(|miss| self.missed(want, miss))?;
        self.keep_from_upstream(staged, want, &expected).await
    }

    async fn keep_from_upstream(
        &self,
        staged: Staged,
        want: &Want,
        expected: &Expected,
    ) -> Result<(), FetchError> {
        let kept = self.keep(staged, want, expected, Giver::Upstream).await;
        let kept = kept.map_err(|not_kept| not_kept.error);
        if let Err(FetchError::Untrue(rejection)) = &kept {
            self.inner.metrics.verification_failure(Source::Upstream);
            tracing::warn!(key = %want.key, %rejection, "upstream gave a false file");
        }
        kept
    }

    fn missed(&self, want: &Want, miss: Miss) -> FetchError {
        match miss {
            Miss::Store(error) => error.into(),
            Miss::Upstream(error) => self.upstream_error(want.key.of.module.as_str(), error),
            miss @ (Miss::Peer(_) | Miss::Unproved(_)) => FetchError::Neighbour {
                what: want.key.of.module.as_str().into(),
                reason: miss.to_string().into(),
            },
        }
    }
}
