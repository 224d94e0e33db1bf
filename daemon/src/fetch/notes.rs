//! Notes: `.info`, `list`, `@latest` and branch answers. No hash covers them, so they come from upstream alone, byte for
//! byte; they age; and when upstream is gone they are served stale or derived from what is proved.

mod words;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use modmesh_protocol::module::{ModulePath, ModuleVersion, Revision};
use tokio::time::timeout;

use self::words::{check, info_of, newest, with_versions};
use super::{FetchError, Fetcher};
use crate::metrics::Source;
use crate::policy::{Client, Treatment};
use crate::store::Note;
use crate::trust::{Expected, Scope};
use crate::upstream::{Answer, Begin, Upstream, UpstreamError};

/// How long `list`, `@latest` and branch answers are served without asking upstream again; the public Go proxy's own
/// cache holds them as long.
const TIME_TO_LIVE: Duration = Duration::from_secs(60);
/// How long upstream is waited for when what it said before is here.
const PATIENCE_WITH_KEPT: Duration = Duration::from_millis(800);
/// How much longer, when there is only what can be derived: by then a scout knows whether upstream is slow or gone.
const PATIENCE_WITH_DERIVED: Duration = Duration::from_millis(800);
/// Largest note that is taken from upstream.
const NOTE_BYTES_MAX: u64 = 4 << 20;

/// A note that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum NoteKey {
    /// `M/@v/REVISION.info`
    Info(ModulePath, Revision),
    /// `M/@v/list`
    List(ModulePath),
    /// `M/@latest`
    Latest(ModulePath),
}

/// A note to hand out.
#[derive(Debug, Clone)]
pub(crate) struct NoteAnswer {
    pub bytes: Bytes,
    pub source: Source,
    /// How old it is, when it is older than its time to live or derived while upstream was gone.
    pub stale: Option<Duration>,
}

impl NoteKey {
    /// The path below a GOPROXY's base.
    pub(crate) fn url_path(&self) -> String {
        match self {
            Self::Info(module, revision) => {
                format!("{}/@v/{}.info", module.escaped(), revision.escaped())
            }
            Self::List(module) => format!("{}/@v/list", module.escaped()),
            Self::Latest(module) => format!("{}/@latest", module.escaped()),
        }
    }

    pub(crate) fn module(&self) -> &ModulePath {
        match self {
            Self::Info(module, _) | Self::List(module) | Self::Latest(module) => module,
        }
    }

    /// The version of a note that never changes: the `.info` of a canonical version.
    fn version(&self) -> Option<ModuleVersion> {
        match self {
            Self::Info(module, revision) => {
                ModuleVersion::new(module.clone(), revision.canonical()?).ok()
            }
            Self::List(_) | Self::Latest(_) => None,
        }
    }
}

impl Fetcher {
    /// The note of `key`, for `client`.
    pub(crate) async fn note(
        &self,
        key: &NoteKey,
        client: &dyn Client,
    ) -> Result<NoteAnswer, FetchError> {
        if self.inner.policy.treatment(key.module()) == Treatment::Private {
            self.inner.policy.may_have_unproven(client)?;
        }
        if let Some(answer) = self.fresh(key).await {
            return Ok(answer);
        }
        // An upstream that is gone, or that owes an answer already, is not waited for where there is something to say.
        if self.is_in_doubt()
            && let Some(answer) = self.without_upstream(key).await
        {
            return Ok(answer);
        }
        let obtained = self
            .inner
            .notes
            .join(key.clone(), || self.clone().obtain_note(key.clone()));
        // The flight goes on when it is not waited for, and what it brings is fresh for whoever asks next.
        let mut obtained = std::pin::pin!(obtained);
        if let Ok(in_time) = timeout(PATIENCE_WITH_KEPT, obtained.as_mut()).await {
            return in_time?;
        }
        if let Some(answer) = self.kept_answer(key).await {
            return Ok(answer);
        }
        if let Ok(in_time) = timeout(PATIENCE_WITH_DERIVED, obtained.as_mut()).await {
            return in_time?;
        }
        if self.is_in_doubt()
            && let Some(answer) = self.derived_answer(key).await
        {
            return Ok(answer);
        }
        obtained.await?
    }

    fn is_in_doubt(&self) -> bool {
        let upstream = self.inner.upstream.as_ref();
        upstream.is_some_and(Upstream::is_in_doubt)
    }

    async fn fresh(&self, key: &NoteKey) -> Option<NoteAnswer> {
        let note = self.kept_note(key).await?;
        let is_fresh = match key.version() {
            Some(_) => !note.provisional,
            None => note.age < TIME_TO_LIVE,
        };
        is_fresh.then(|| NoteAnswer {
            bytes: note.bytes.into(),
            source: Source::Store,
            stale: None,
        })
    }

    async fn kept_note(&self, key: &NoteKey) -> Option<Note> {
        let (store, path) = (self.inner.store.clone(), key.url_path());
        tokio::task::spawn_blocking(move || store.read_note(&path))
            .await
            .ok()?
    }

    async fn obtain_note(self, key: NoteKey) -> Result<NoteAnswer, FetchError> {
        let error = match self.ask_for_note(&key).await {
            Ok(Ok(answer)) => {
                self.keep_note(&key, answer.body.clone()).await;
                return Ok(NoteAnswer {
                    bytes: answer.body,
                    source: Source::Upstream,
                    stale: None,
                });
            }
            Ok(Err(nonsense)) => return Err(nonsense),
            Err(error) => error,
        };
        let instead = match &error {
            // Upstream has spoken; its word counts, whatever was here before.
            UpstreamError::NotFound(_) | UpstreamError::Refused(_) => None,
            _ if is_absence(&error) => self.without_upstream(&key).await,
            // It is in trouble, not gone: what it said before is better than nothing, what is derived here is not.
            _ => self
                .kept_note(&key)
                .await
                .map(|note| stale(note.bytes.into(), note.age)),
        };
        instead.ok_or_else(|| self.upstream_error(key.module().as_str(), error))
    }

    /// Upstream's answer; nonsense is passed over where the list goes on, and told where it does not.
    async fn ask_for_note(
        &self,
        key: &NoteKey,
    ) -> Result<Result<Answer, FetchError>, UpstreamError> {
        let upstream = self.inner.upstream.as_ref().ok_or(UpstreamError::Off)?;
        let path = key.url_path();
        let (mut begin, mut nonsense) = (Begin::First, None);
        loop {
            let answer = match upstream.get_from(begin, &path, NOTE_BYTES_MAX).await {
                Ok(answer) => answer,
                Err(error) => return nonsense.map(Err).ok_or(error),
            };
            match check(key, &answer.body) {
                Ok(()) => return Ok(Ok(answer)),
                Err(error) => {
                    begin = Begin::After(answer.entry);
                    nonsense = nonsense.or(Some(error));
                }
            }
        }
    }

    /// A note that cannot be kept is still an answer.
    async fn keep_note(&self, key: &NoteKey, bytes: Bytes) {
        let private = self.inner.policy.treatment(key.module()) == Treatment::Private;
        let (store, path) = (self.inner.store.clone(), key.url_path());
        let kept = tokio::task::spawn_blocking(move || store.note(&path, &bytes, private)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(note = key.url_path(), %error, "an answer could not be kept");
        }
    }

    /// What can be said while upstream is gone: what it said before, else what follows from what is held.
    async fn without_upstream(&self, key: &NoteKey) -> Option<NoteAnswer> {
        match self.kept_answer(key).await {
            Some(answer) => Some(answer),
            None => self.derived_answer(key).await,
        }
    }

    /// What upstream said before.
    async fn kept_answer(&self, key: &NoteKey) -> Option<NoteAnswer> {
        let note = self.kept_note(key).await?;
        Some(match key {
            NoteKey::Info(..) if key.version().is_some() => NoteAnswer {
                bytes: note.bytes.into(),
                source: Source::Store,
                stale: None,
            },
            NoteKey::Info(..) | NoteKey::Latest(_) => stale(note.bytes.into(), note.age),
            NoteKey::List(module) => {
                let held = self.inner.store.versions(module);
                stale(with_versions(&note.bytes, &held), note.age)
            }
        })
    }

    /// What follows from what is held.
    async fn derived_answer(&self, key: &NoteKey) -> Option<NoteAnswer> {
        match key {
            NoteKey::Info(..) => self.synthesised_info(key, &key.version()?).await,
            NoteKey::List(module) => {
                let held = self.inner.store.versions(module);
                (!held.is_empty()).then(|| stale(with_versions(b"", &held), Duration::ZERO))
            }
            NoteKey::Latest(module) => {
                let newest = newest(&self.inner.store.versions(module))?;
                Some(stale(info_of(&newest), Duration::ZERO))
            }
        }
    }

    /// `.info` from what is proved: the version itself, and for a pseudo-version the time that stands in it. Kept, so
    /// that the store stays a whole `file://` GOPROXY, until upstream gives its own.
    async fn synthesised_info(&self, key: &NoteKey, of: &ModuleVersion) -> Option<NoteAnswer> {
        let treatment = self.inner.policy.treatment(&of.module);
        let listed = matches!(self.expected(of, treatment).await, Expected::Listed(_));
        let known = listed
            || self.inner.store.holds_version(of, Scope::Unlisted)
            || self.inner.store.holds_version(of, Scope::Pending);
        if !known {
            return None;
        }
        let bytes = info_of(&of.version);
        if listed {
            let (store, path, bytes) = (self.inner.store.clone(), key.url_path(), bytes.clone());
            let kept =
                tokio::task::spawn_blocking(move || store.note_provisionally(&path, &bytes)).await;
            if let Ok(Err(error)) = kept {
                tracing::warn!(note = key.url_path(), %error, "an answer could not be kept");
            }
        }
        Some(NoteAnswer {
            bytes,
            source: Source::None,
            stale: None,
        })
    }

    /// What an error of upstream means for whoever asked for `module`.
    pub(super) fn upstream_error(&self, module: &str, error: UpstreamError) -> FetchError {
        let what: Arc<str> = module.into();
        match error {
            UpstreamError::Off => FetchError::Offline(what),
            UpstreamError::Unreachable { .. } if self.inner.store.is_below_held(module) => {
                FetchError::InsideHeld(what)
            }
            UpstreamError::Unreachable { .. } => FetchError::Unreachable {
                what,
                reason: error.to_string().into(),
            },
            other => FetchError::Upstream(Arc::new(other)),
        }
    }
}

/// Whether `error` speaks of upstream being gone or being none, as opposed to its answer.
fn is_absence(error: &UpstreamError) -> bool {
    matches!(
        error,
        UpstreamError::Off | UpstreamError::Unreachable { .. } | UpstreamError::DirectOnly { .. }
    )
}

fn stale(bytes: Bytes, age: Duration) -> NoteAnswer {
    NoteAnswer {
        bytes,
        source: Source::Store,
        stale: Some(age),
    }
}
