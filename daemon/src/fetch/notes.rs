//! Notes: `.info`, `list`, `@latest` and branch answers. No hash covers them, so they come from upstream alone, byte for
//! byte; they age; and when upstream is gone they are served stale or derived from what is proved. What `direct` gave was
//! got with the owner's own access and is kept apart: the owner alone may have it.

mod known;
mod obtainable;
mod of_members;
mod together;
mod without;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use modmesh_protocol::artifact::{ArtifactKey, FileKind};
use modmesh_protocol::module::{ModulePath, ModuleVersion, Revision, Version};
use tokio::time::timeout;

pub(super) use self::known::is_commit;
pub(super) use self::obtainable::ZipsAsked;
pub(crate) use self::together::SaidToMember;
use self::words::check;
pub(crate) use self::words::info_of;
use super::stories::Telling;
use super::story::Story;
use super::{FetchError, Fetcher};
use crate::metrics::Source;
use crate::policy::{Asker, Client, Treatment};
use crate::seldom::Seldom;
use crate::store::{NOTE_BYTES_MAX, Note, StoreError};
use crate::upstream::{Answer, Begin, Upstream, UpstreamError};

/// How long `list`, `@latest` and branch answers are served without asking upstream again; the public Go proxy's own
/// cache holds them as long.
const TIME_TO_LIVE: Duration = Duration::from_secs(60);
/// How long upstream is waited for when what it said before is here.
const PATIENCE_WITH_KEPT: Duration = Duration::from_millis(800);
/// How much longer, when there is only what can be derived: by then a scout knows whether upstream is slow or gone.
const PATIENCE_WITH_DERIVED: Duration = Duration::from_millis(800);

static UNKEPT: Seldom = Seldom::new();

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
    /// What is newer than what it tells, and known of, and cannot be had while no upstream answers.
    pub newer: Option<Version>,
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
    pub(crate) fn version(&self) -> Option<ModuleVersion> {
        match self {
            Self::Info(module, revision) => {
                ModuleVersion::new(module.clone(), revision.canonical()?).ok()
            }
            Self::List(_) | Self::Latest(_) => None,
        }
    }
}

impl NoteKey {
    /// The file that the note is, when it belongs to a version for good.
    fn file(&self) -> Option<ArtifactKey> {
        let (of, kind) = (self.version()?, FileKind::Info);
        Some(ArtifactKey { of, kind })
    }
}

impl Fetcher {
    /// The note of `key`, for `client`.
    pub(crate) async fn note(
        &self,
        key: &NoteKey,
        client: &dyn Client,
    ) -> Result<NoteAnswer, FetchError> {
        let treatment = self.inner.policy.treatment(key.module());
        if treatment == Treatment::Private {
            self.inner.policy.may_have_unproven(client, treatment)?;
        }
        if let Some(answer) = self.fresh(key, Asker::Anybody).await {
            return Ok(answer);
        }
        let asker = Asker::of(client);
        if asker == Asker::Owner
            && let Some(answer) = self.fresh(key, asker).await
        {
            return Ok(answer);
        }
        // An upstream that is gone, or that owes an answer already, is not waited for where there is something to say.
        if self.is_in_doubt(asker)
            && let Some(answer) = self.in_doubt(key, asker).await
        {
            return Ok(answer);
        }
        if let Some(no) = self.said_before(&key.url_path(), asker).await {
            return Err(no);
        }
        let obtained = self.inner.notes.join((key.clone(), asker), || {
            self.clone().obtain_note(key.clone(), asker)
        });
        // The flight goes on when it is not waited for, and what it brings is fresh for whoever asks next.
        let mut obtained = std::pin::pin!(obtained);
        if let Ok(in_time) = timeout(PATIENCE_WITH_KEPT, obtained.as_mut()).await {
            return in_time?;
        }
        if let Some(answer) = self.kept_answer(key, asker).await {
            return Ok(answer);
        }
        if let Ok(in_time) = timeout(PATIENCE_WITH_DERIVED, obtained.as_mut()).await {
            return in_time?;
        }
        if self.is_in_doubt(asker)
            && let Some(answer) = self.derived_answer(key, asker).await
        {
            return Ok(answer);
        }
        obtained.await?
    }

    fn is_in_doubt(&self, asker: Asker) -> bool {
        let upstream = self.upstream_for(asker);
        upstream.as_ref().is_some_and(Upstream::is_in_doubt)
    }

    async fn fresh(&self, key: &NoteKey, asker: Asker) -> Option<NoteAnswer> {
        let note = self.kept_note(key, asker).await?;
        let is_fresh = match key.version() {
            Some(_) => !note.provisional,
            None => note.age < TIME_TO_LIVE && !self.may_mislead(key, asker),
        };
        is_fresh.then(|| NoteAnswer {
            bytes: note.bytes.into(),
            source: Source::Store,
            stale: None,
            newer: None,
        })
    }

    /// Whether what upstream said may lead `go` to what cannot be had.
    fn may_mislead(&self, key: &NoteKey, asker: Asker) -> bool {
        !matches!(key, NoteKey::Info(..)) && self.is_without_upstream(asker)
    }

    async fn kept_note(&self, key: &NoteKey, asker: Asker) -> Option<Note> {
        let (store, path) = (self.inner.store.clone(), key.url_path());
        let apart_too = asker == Asker::Owner;
        let kept = tokio::task::spawn_blocking(move || store.read_note(&path, apart_too))
            .await
            .ok()??;
        // Damage that shows is as good as absence; no hash tells the rest.
        check(key, &kept.bytes).is_ok().then_some(kept)
    }

    /// The leader's work, and the story of it if it is about a file of a version.
    async fn obtain_note(self, key: NoteKey, asker: Asker) -> Result<NoteAnswer, FetchError> {
        let telling = key.file().map(|file| self.inner.stories.begin(&file));
        let story = telling.as_ref().map(Telling::story);
        let obtained = self.gather_note(&key, asker, story).await;
        if let Some(telling) = telling {
            telling.end(obtained.as_ref().map(|answer| answer.source));
        }
        obtained
    }

    async fn gather_note(
        &self,
        key: &NoteKey,
        asker: Asker,
        story: Option<&Story>,
    ) -> Result<NoteAnswer, FetchError> {
        if let Some(answer) = self.info_of_member(key, asker).await {
            return Ok(answer);
        }
        let mut consultation = self.consult(key, asker);
        if let Some(consultation) = &mut consultation
            && let Some(told) = self.told_to_member(consultation, key, story).await
        {
            return told;
        }
        let asked = self.ask_for_note(key, asker, story).await;
        if let Ok(Ok(answer)) = &asked {
            self.keep_note(key, answer.body.clone(), answer.by_direct)
                .await;
        }
        if let Some(consultation) = consultation {
            self.tell_members(consultation, &asked).await;
        }
        let error = match asked {
            Ok(Ok(answer)) => {
                return Ok(NoteAnswer {
                    bytes: answer.body,
                    source: Source::Upstream,
                    stale: None,
                    newer: None,
                });
            }
            Ok(Err(nonsense)) => return Err(nonsense),
            Err(error) => error,
        };
        self.keep_refusal(&key.url_path(), asker, &error).await;
        let is_absent = matches!(
            error,
            UpstreamError::Off | UpstreamError::Unreachable { .. }
        );
        if is_absent && let Some(answer) = self.note_of_members(key, asker).await {
            return Ok(answer);
        }
        let instead = self.instead(key, asker, &error).await;
        match instead {
            Some(answer) => Ok(answer),
            None => Err(self.note_error(key, asker, error).await),
        }
    }

    /// Upstream's answer; nonsense is passed over where the list goes on, and told where it does not.
    async fn ask_for_note(
        &self,
        key: &NoteKey,
        asker: Asker,
        story: Option<&Story>,
    ) -> Result<Result<Answer, FetchError>, UpstreamError> {
        let upstream = self.upstream_for(asker);
        let (mut begin, mut nonsense) = (Begin::First, None);
        loop {
            let asked = self.ask_from(begin, upstream.as_ref(), key, story).await;
            let answer = match asked {
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

    /// One walk along the list, told in the story.
    async fn ask_from(
        &self,
        begin: Begin,
        upstream: Option<&Upstream>,
        key: &NoteKey,
        story: Option<&Story>,
    ) -> Result<Answer, UpstreamError> {
        let received = Arc::new(AtomicU64::new(0));
        let attempt = story.map(|story| story.upstream(Arc::clone(&received)));
        let asked = match upstream {
            Some(upstream) => {
                let path = key.url_path();
                upstream.get_from(begin, &path, NOTE_BYTES_MAX).await
            }
            None => Err(UpstreamError::Off),
        };
        match (attempt, &asked) {
            (Some(attempt), Ok(answer)) => {
                received.store(answer.body.len() as u64, Ordering::Relaxed);
                attempt.brought_it(Some(&answer.url));
            }
            (Some(attempt), Err(error)) => attempt.refused(error),
            (None, _) => {}
        }
        asked
    }

    /// A note that cannot be kept is still an answer.
    async fn keep_note(&self, key: &NoteKey, bytes: Bytes, by_direct: bool) {
        let apart = by_direct || self.inner.policy.treatment(key.module()) == Treatment::Private;
        let (store, path) = (self.inner.store.clone(), key.url_path());
        keep(key, move || store.note(&path, &bytes, apart)).await;
    }
}

/// Writes a note on a thread that may wait for the disk. One that is not kept is asked for again, and nothing else.
pub(super) async fn keep(
    key: &NoteKey,
    write: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
) {
    if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await
        && let Some(left_out) = UNKEPT.turn()
    {
        tracing::warn!(note = key.url_path(), %error, left_out, "an answer could not be kept");
    }
}
