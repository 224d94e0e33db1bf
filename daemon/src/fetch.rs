//! The corridor: from a key to a file of the store, or to an answer that says why not.
//!
//! Always in this order: the store, the neighbours, the upstream; one flight per file; every body through the gate; only
//! what the store has committed is handed out. The corridor decides in which order sources are asked and whom a lie is
//! laid to; how bytes are got is in [`sources`], what they must be in `trust`, and who may have them in `policy`.

mod again;
mod attempt;
mod counted_sink;
mod error;
mod gate;
mod go_sum;
mod inline;
mod listing;
mod members;
mod neighbours;
mod not_here;
mod notes;
mod outside;
mod pace;
mod race;
mod said;
mod sayings;
mod search;
mod sources;
mod stories;
mod story;
mod together;
mod told_sink;
mod turns;

use std::sync::Arc;
use std::time::{Duration, Instant};

use modmesh_protocol::artifact::ArtifactKey;
use modmesh_protocol::control;
use modmesh_protocol::module::ModulePath;

pub(crate) use error::FetchError;
pub(crate) use notes::{NoteAnswer, NoteKey, info_of};
pub(crate) use sayings::Sayings;
// The two doors speak to the corridor alone, in the words that the corridor's own signatures use.
pub(crate) use crate::policy::{Client, Treatment};
pub(crate) use crate::trust::Permanence;
pub(crate) use crate::upstream::UpstreamError;
use listing::Listing;
use members::Contradicted;
use neighbours::HOLDERS_MAX;
use not_here::Sought;
use notes::ZipsAsked;
use outside::NotGiven;
use pace::UpstreamPace;
use search::Search;
use sources::{Miss, Want};
use stories::Stories;
use story::Story;
use turns::Turns;

use crate::flight::Flights;
use crate::lately::Longest;
use crate::metrics::{Metrics, Source};
use crate::peers::{Haste, Peers};
use crate::policy::{Asker, Policy};
use crate::seldom::Seldom;
use crate::shutdown::Shutdown;
use crate::store::{Staged, Store, Stored};
use crate::trust::{Authority, Expected, Giver, GoSums, Scope};
use crate::upstream::Upstream;

/// How long a file is waited for that only busy neighbours have, from when the first of them said so.
const BUSY_PATIENCE: Duration = Duration::from_secs(15);

static FALSE_FILES: Seldom = Seldom::new();

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
    files: Flights<(ArtifactKey, Asker), Result<Landed, FetchError>>,
    notes: Flights<(NoteKey, Asker), Result<NoteAnswer, FetchError>>,
    upstream_pace: UpstreamPace,
    /// How long upstream took for notes.
    notes_took: Longest,
    zips_asked: ZipsAsked,
    /// What became of the last fetches.
    stories: Stories,
    judging: Turns,
    /// Who stated something else than what was seen first.
    contradicted: Contradicted,
}

/// What the corridor leads to.
pub(crate) struct Parts {
    pub store: Store,
    pub judges: Judges,
    pub policy: Policy,
    /// What this host's user gave of go.sum files.
    pub go_sums: GoSums,
    pub peers: Peers,
    /// Nothing when this host is to stay offline.
    pub upstream: Option<Upstream>,
    pub metrics: Metrics,
    /// What upstream said just now, for members to hear.
    pub sayings: Arc<Sayings>,
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

/// What a flight brings: the file, held open, for a store with a low limit may have let go of it before it is handed out.
#[derive(Debug, Clone)]
struct Landed {
    stored: Arc<Stored>,
    source: Source,
}

impl Landed {
    fn new(stored: Stored, source: Source) -> Self {
        let stored = Arc::new(stored);
        Self { stored, source }
    }
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
                notes_took: Longest::default(),
                zips_asked: ZipsAsked::default(),
                stories: Stories::default(),
                judging: Turns::of_this_machine(),
                contradicted: Contradicted::default(),
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
        let Some(held) = self.stored(key).await else {
            return self.fetch(key, client).await;
        };
        if self.is_doubted(&held.entry.proof)
            && let Ok(another) = self.fetch(key, client).await
        {
            return Ok(another);
        }
        self.hand_out(held, Source::Store, client)
    }

    /// What is not here, or not believed.
    async fn fetch(&self, key: &ArtifactKey, client: &dyn Client) -> Result<Fetched, FetchError> {
        self.may_be_fetched_for(key, client).await?;
        let asker = self.asker_of_file(client);
        let landed = self
            .inner
            .files
            .join((key.clone(), asker), || {
                self.clone().obtain(key.clone(), asker)
            })
            .await??;
        match landed.stored.again() {
            Ok(stored) => self.hand_out(stored, landed.source, client),
            Err(error) => Err(FetchError::Lost {
                key: key.clone(),
                error: Arc::new(error),
            }),
        }
    }

    /// Whether `module` matches a private pattern of this host, so that its name must not leave it.
    pub(crate) fn is_private(&self, module: &ModulePath) -> bool {
        self.inner.policy.treatment(module) == Treatment::Private
    }

    /// How a module is treated, for whoever explains it.
    pub(crate) fn treatment(&self, module: &ModulePath) -> Treatment {
        self.inner.policy.treatment(module)
    }

    /// What became of the last fetch of `key`, as far as it is remembered.
    pub(crate) fn last_fetch(&self, key: &ArtifactKey) -> Option<control::Story> {
        self.inner.stories.shown(key)
    }

    /// Puts a body aside that failed while it was read, so that the next request fetches it anew.
    pub(crate) fn quarantine(&self, fetched: &Arc<crate::store::Entry>, reason: &str) {
        self.inner.store.quarantine(fetched, reason);
    }

    /// For whom a file is fetched. Only `direct` makes a difference, so without it all share one flight.
    fn asker_of_file(&self, client: &dyn Client) -> Asker {
        match &self.inner.upstream {
            Some(upstream) if upstream.has_direct() => Asker::of(client),
            _ => Asker::Anybody,
        }
    }

    /// The upstream, as far as it may be asked for `asker`.
    fn upstream_for(&self, asker: Asker) -> Option<Upstream> {
        let upstream = self.inner.upstream.as_ref()?;
        Some(match asker {
            Asker::Owner => upstream.with_direct(),
            Asker::Anybody => upstream.clone(),
        })
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

    /// Has the store let go of what nobody asked for lately; false when there was nothing.
    async fn make_room(&self) -> bool {
        let store = self.inner.store.clone();
        let made = tokio::task::spawn_blocking(move || store.make_room());
        made.await.unwrap_or(false)
    }

    fn hand_out(
        &self,
        stored: Stored,
        source: Source,
        client: &dyn Client,
    ) -> Result<Fetched, FetchError> {
        match stored.entry.proof.scope() {
            Scope::Proven => {}
            Scope::Local if stored.entry.proof.unlisted().is_none() => {
                self.inner.policy.may_have_pending(client)?;
            }
            Scope::Local | Scope::Unlisted => {
                let treatment = self.treatment(&stored.entry.proof.key().of.module);
                self.inner.policy.may_have_unproven(client, treatment)?;
            }
            Scope::Pending => {
                self.inner.policy.may_have_pending(client)?;
                self.inner.metrics.pending_served();
            }
        }
        Ok(Fetched { stored, source })
    }

    /// The leader's work, and its story.
    async fn obtain(self, key: ArtifactKey, asker: Asker) -> Result<Landed, FetchError> {
        // Somebody else may have landed between the caller's look and this flight.
        if let Some(stored) = self.stored(&key).await
            && !self.is_doubted(&stored.entry.proof)
        {
            return Ok(Landed::new(stored, Source::Store));
        }
        let telling = self.inner.stories.begin(&key);
        let mut obtained = self.gather(&key, asker, telling.story()).await;
        if matches!(&obtained, Err(FetchError::Store(error)) if error.is_full_disk())
            && self.make_room().await
        {
            obtained = self.gather(&key, asker, telling.story()).await;
        }
        let obtained = match obtained {
            Ok(landed) => Ok(landed),
            Err(error) => Err(self.told_of(&key.url_path(), asker, error).await),
        };
        telling.end(obtained.as_ref().map(|landed| landed.source));
        obtained
    }

    /// Gets the file from whoever has it, through the gate, into the store.
    async fn gather(
        &self,
        key: &ArtifactKey,
        asker: Asker,
        story: &Story,
    ) -> Result<Landed, FetchError> {
        let treatment = self.inner.policy.treatment(&key.of.module);
        let want = Want::new(key.clone(), asker, story.clone());
        tracing::debug!(%key, ?treatment, priority = ?want.priority, "fetching");
        let (mut patience, mut refused, mut somewhere) = (None, None, None);
        let mut haste = self.haste(asker);
        loop {
            let alone = self.inner.peers.connected() == 0;
            let mut search = Search::default();
            let taken = self.ask_neighbours(&want, treatment, haste, &mut search);
            if let Some(landed) = taken.await? {
                return Ok(landed);
            }
            let expected = &mut search.expected;
            let of_member = self.ask_members(&want, treatment, haste, expected, &[]);
            if let Some(landed) = of_member.await? {
                return Ok(landed);
            }
            if let Some(refused) = refused {
                return Err(refused);
            }
            if self.inner.peers.first_round().await {
                // Others have been met that may have it, or are about to fetch it.
                continue;
            }
            let retry_after = search.retry_after;
            let asked = self.ask_outside(&want, treatment, search).await;
            let NotGiven { error, failed } = match asked {
                Ok(landed) => return Ok(landed),
                Err(not_given) => not_given,
            };
            if !error.is_absence() {
                let is_a_no =
                    matches!(error, FetchError::Upstream(_) | FetchError::SaidToMember(_));
                if alone || haste == Haste::NobodyElse || !is_a_no {
                    return Err(error);
                }
                // Its no does not stop a neighbour that has it and needed more than a moment to say so.
                (haste, refused) = (Haste::NobodyElse, Some(error));
                continue;
            }
            let mut error = error.beside(failed);
            if error.is_absence() {
                // A neighbour that had it in an earlier round may be gone by now: it is not nowhere for that.
                error = somewhere.clone().unwrap_or(error);
            } else {
                somewhere = Some(error.clone());
            }
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
                    Some(pause) if now + pause < until => want.pause(pause).await,
                    _ => return Err(error),
                }
            }
        }
    }

    /// Asks upstream from where `list` stands, and at the same time the database unless it has answered already. A neighbour that has the
    /// file before the upstream has given it may be quicker.
    async fn ask_upstream(
        &self,
        want: &Want,
        treatment: Treatment,
        mut expected: Option<Expected>,
        mut list: Listing,
    ) -> Result<Landed, FetchError> {
        loop {
            let staging = self.inner.store.stage()?;
            let download = self.download(list.begin, want, staging);
            let already = expected.take();
            let asked = async {
                match already {
                    Some(known) => (known, download.await),
                    None => tokio::join!(self.expected_of(want, treatment), download),
                }
            };
            let (known, downloaded) = tokio::select! {
                asked = asked => asked,
                landed = self.taken_meanwhile(want, treatment) => return Ok(landed),
            };
            let (staged, from) = match downloaded {
                Ok(downloaded) => downloaded,
                Err(miss) => return Err(list.refused.unwrap_or_else(|| self.missed(want, miss))),
            };
            match self.keep_from_upstream(staged, want, &known).await {
                Err(error @ FetchError::Untrue(_)) => list.gave_false(&from, error),
                settled => return settled.map(|stored| Landed::new(stored, Source::Upstream)),
            }
            expected = Some(known);
        }
    }

    async fn keep_from_upstream(
        &self,
        staged: Staged,
        want: &Want,
        expected: &Expected,
    ) -> Result<Stored, FetchError> {
        let kept = self.keep(staged, want, expected, Giver::Upstream).await;
        let kept = kept.map_err(|not_kept| not_kept.error);
        if let Err(FetchError::Untrue(rejection)) = &kept {
            self.inner.metrics.verification_failure(Source::Upstream);
            if let Some(left_out) = FALSE_FILES.turn() {
                tracing::warn!(key = %want.key, %rejection, left_out, "upstream gave a false file");
            }
        }
        kept
    }

    fn missed(&self, want: &Want, miss: Miss) -> FetchError {
        match miss {
            Miss::Store(error) => error.into(),
            Miss::Upstream(error) => {
                self.upstream_error(&Sought::file(&want.key, want.asker), error)
            }
            miss @ (Miss::Peer(_) | Miss::Unproved(_)) => FetchError::Neighbour {
                what: want.key.of.to_string().into(),
                reason: miss.to_string().into(),
            },
        }
    }
}
