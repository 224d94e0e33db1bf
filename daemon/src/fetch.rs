//! The corridor: from a key to a file of the store, or to an answer that says why not.
//!
//! Always in this order: the store, the neighbours, the upstream; one flight per file; every body through the gate; only
//! what the store has committed is handed out. The corridor decides in which order sources are asked and whom a lie is
//! laid to; how bytes are got is in [`sources`], what they must be in `trust`, and who may have them in `policy`.

mod error;
mod notes;
mod sources;

use std::sync::Arc;
use std::time::{Duration, Instant};

use modmesh_protocol::artifact::{ArtifactKey, KeyHash};
use modmesh_protocol::module::ModuleVersion;

pub(crate) use error::FetchError;
pub(crate) use notes::{NoteAnswer, NoteKey};
// The front door speaks to the corridor alone, in the words that the corridor's own signatures use.
pub(crate) use crate::policy::Client;
pub(crate) use crate::upstream::UpstreamError;
use sources::{Holder, Miss, Want};

use crate::flight::Flights;
use crate::metrics::{Metrics, Source};
use crate::peers::{PeerError, Peers};
use crate::policy::{Policy, Treatment};
use crate::shutdown::Shutdown;
use crate::store::{Staged, Store, Stored};
use crate::trust::{Authority, Expected, Finding, Giver, Proof, Scope, judge};
use crate::upstream::Upstream;

/// How long all neighbours together may take to say whether they have a file (DESIGN section 7).
const LOCATE_DEADLINE: Duration = Duration::from_millis(100);
/// How many neighbours are tried for one file before the upstream is.
const HOLDERS_MAX: usize = 4;

/// How long a file is waited for that only busy neighbours have.
const BUSY_PATIENCE: Duration = Duration::from_secs(15);

/// What came of asking the neighbours.
enum Asked {
    /// One gave the file, and it is in the store.
    Kept,
    /// None did.
    Nothing {
        /// What the file must be, if that was found out on the way.
        expected: Option<Expected>,
        /// How long to wait before asking again, when one of them has it and is busy.
        retry_after: Option<Duration>,
    },
}

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

    /// Puts a body aside that failed while it was read, so that the next request fetches it anew.
    pub(crate) fn quarantine(&self, fetched: &Arc<crate::store::Entry>, reason: &str) {
        self.inner.store.quarantine(fetched, reason);
    }

    /// Judges every pending file again, now that the database may answer: promotes it or drops it.
    pub(crate) async fn judge_pending(&self) {
        for entry in self.inner.store.pending() {
            let key = entry.proof.key().clone();
            let treatment = self.inner.policy.treatment(&key.of.module);
            let expected = self.expected(&key.of, treatment).await;
            if matches!(expected, Expected::Pending(_)) {
                return;
            }
            let store = self.inner.store.clone();
            let (name, metrics) = (key.clone(), self.inner.metrics.clone());
            let judged = tokio::task::spawn_blocking(move || {
                let staged = store.take_back(&entry)?;
                let proof = judge(
                    staged.open()?,
                    staged.measured(),
                    &key,
                    &expected,
                    Giver::Upstream,
                )
                .inspect_err(|_| metrics.verification_failure(Source::Store))?;
                store.commit(staged, proof).map_err(FetchError::from)
            })
            .await;
            match judged {
                Ok(Ok(stored)) => {
                    self.announce(&stored.entry.proof);
                    tracing::info!(key = %name, scope = %stored.entry.proof.scope(), "a pending file was judged");
                }
                Ok(Err(error)) => tracing::warn!(key = %name, %error, "a pending file was dropped"),
                Err(error) => {
                    tracing::warn!(key = %name, %error, "a pending file could not be judged")
                }
            }
        }
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
        let patience = Instant::now() + BUSY_PATIENCE;
        loop {
            let asked = self.ask_neighbours(&want, treatment).await?;
            let (expected, retry_after) = match asked {
                Asked::Kept => return Ok(Source::Peer),
                Asked::Nothing {
                    expected,
                    retry_after,
                } => (expected, retry_after),
            };
            let error = match self.ask_upstream(&want, treatment, expected).await {
                Ok(()) => return Ok(Source::Upstream),
                Err(error) => error,
            };
            if error.is_absence() && self.a_neighbour_came().await {
                continue;
            }
            match retry_after {
                // A neighbour has it and is busy, and there is nobody else: then it is worth waiting for.
                Some(pause) if error.is_absence() && Instant::now() + pause < patience => {
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// For a host that was alone when it looked: whether a first neighbour came since, for which it waits only shortly
    /// after its start.
    async fn a_neighbour_came(&self) -> bool {
        let alone = self.inner.peers.connected() == 0;
        alone && self.inner.peers.somebody_by(self.inner.settled_at).await
    }

    /// Neighbours that say they have the file.
    async fn holders(&self, key: &ArtifactKey, treatment: Treatment) -> Vec<Holder> {
        let may_ask = matches!(treatment, Treatment::Judged | Treatment::Toolchain);
        if !may_ask || self.inner.peers.connected() == 0 {
            return Vec::new();
        }
        let hash = KeyHash::of_file(key);
        let mut holders: Vec<_> = self
            .inner
            .peers
            .locate(Some(hash), None, LOCATE_DEADLINE)
            .await
            .into_iter()
            .filter_map(Holder::of)
            .collect();
        holders.truncate(HOLDERS_MAX);
        holders
    }

    /// Tries the neighbours that have the file, one after the other. An error is one that no other source can mend.
    async fn ask_neighbours(&self, want: &Want, treatment: Treatment) -> Result<Asked, FetchError> {
        let (mut expected, mut retry_after) = (None, None);
        for holder in self.holders(&want.key, treatment).await {
            let staging = self.inner.store.stage().await?;
            let obtained = holder.obtain(&self.inner.peers, want, staging);
            let staged = if expected.is_some() {
                obtained.await
            } else {
                // The proof and the bytes travel at the same time; nothing is used before both are here.
                let known = self.expected(&want.key.of, treatment);
                let (known, staged) = tokio::join!(known, obtained);
                expected = Some(known);
                staged
            };
            let Some(listed @ Expected::Listed(_)) = &expected else {
                // Without a listed hash a neighbour's bytes are worth nothing.
                break;
            };
            match staged {
                Ok(staged) => match self.keep(staged, want, listed, Giver::Neighbour).await {
                    Ok(()) => {
                        self.inner.peers.proven(&holder.peer);
                        return Ok(Asked::Kept);
                    }
                    Err(FetchError::Untrue(rejection)) => {
                        self.inner.metrics.verification_failure(Source::Peer);
                        holder.blame(&self.inner.peers, want, &rejection);
                    }
                    Err(error) => return Err(error),
                },
                Err(Miss::Store(error)) => return Err(error.into()),
                Err(miss) => {
                    if let Miss::Peer(PeerError::Busy { retry_after: pause }) = &miss {
                        retry_after = Some(retry_after.map_or(*pause, |least| *pause.min(&least)));
                    }
                    tracing::debug!(key = %want.key, peer = %holder.peer, %miss, "a neighbour did not give a file");
                }
            }
        }
        Ok(Asked::Nothing {
            expected,
            retry_after,
        })
    }

    /// Asks upstream, and at the same time the database unless it has answered already.
    async fn ask_upstream(
        &self,
        want: &Want,
        treatment: Treatment,
        expected: Option<Expected>,
    ) -> Result<(), FetchError> {
        let staging = self.inner.store.stage().await?;
        let download = sources::from_upstream(self.inner.upstream.as_ref(), want, staging);
        let (expected, staged) = match expected {
            Some(expected) => (expected, download.await),
            None => tokio::join!(self.expected(&want.key.of, treatment), download),
        };
        let staged = staged.map_err(|miss| self.missed(want, miss))?;
        let kept = self.keep(staged, want, &expected, Giver::Upstream).await;
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
            Miss::Peer(error) => FetchError::Neighbour(error.to_string().into()),
        }
    }

    /// Through the gate and into the store.
    async fn keep(
        &self,
        staged: Staged,
        want: &Want,
        expected: &Expected,
        giver: Giver,
    ) -> Result<(), FetchError> {
        match expected {
            Expected::Listed(_) => {}
            Expected::Unlisted(reason) => {
                tracing::debug!(key = %want.key, %reason, "kept apart, for this host alone");
            }
            Expected::Pending(reason) => {
                tracing::info!(key = %want.key, %reason, "kept apart until the checksum database can be asked");
            }
        }
        let (store, key, expected) = (self.inner.store.clone(), want.key.clone(), expected.clone());
        let kept = tokio::task::spawn_blocking(move || -> Result<Stored, FetchError> {
            let proof = judge(staged.open()?, staged.measured(), &key, &expected, giver)?;
            Ok(store.commit(staged, proof)?)
        })
        .await
        .map_err(|_| FetchError::Crashed)??;
        self.announce(&kept.entry.proof);
        Ok(())
    }

    fn announce(&self, proof: &Proof) {
        if proof.is_shareable() {
            self.inner
                .peers
                .announce(vec![KeyHash::of_file(proof.key())]);
        }
    }

    /// What the files of `of` must be.
    async fn expected(&self, of: &ModuleVersion, treatment: Treatment) -> Expected {
        let judges = &self.inner.judges;
        let authority = match treatment {
            Treatment::Private => {
                return Expected::Unlisted("it matches a private pattern of this host".into());
            }
            Treatment::Judged => judges.modules.as_ref(),
            Treatment::Toolchain => judges.toolchains.as_ref(),
            Treatment::Unjudged => None,
        };
        let Some(authority) = authority else {
            return Expected::Unlisted("the checksum database is off on this host".into());
        };
        match authority.find(of).await {
            Finding::Listed(record) => Expected::Listed(record),
            Finding::Unlisted => {
                Expected::Unlisted("the checksum database has no record of it".into())
            }
            Finding::Unreachable(reason) => Expected::Pending(reason),
        }
    }
}
