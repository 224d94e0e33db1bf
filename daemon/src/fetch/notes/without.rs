//! What is said in upstream's place: what it said before, or what follows from what is held and proved.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};

use super::super::not_here::Sought;
use super::known::{at_commit, is_commit};
use super::words::{info_of, newest, version_in, versions_in, with_versions};
use super::{FetchError, Fetcher, NoteAnswer, NoteKey, keep};
use crate::metrics::Source;
use crate::policy::{Asker, Treatment};
use crate::trust::Scope;
use crate::upstream::{Upstream, UpstreamError};

/// Paths above one that are asked about, the nearest. Modules lie hardly deeper, and each may be a question to the neighbours.
const PREFIXES_MAX: usize = 6;

impl Fetcher {
    /// What can be said in the place of an upstream that failed with `error`.
    pub(super) async fn instead(
        &self,
        key: &NoteKey,
        asker: Asker,
        error: &UpstreamError,
    ) -> Option<NoteAnswer> {
        match error {
            // It has spoken; its word counts, whatever was here before.
            UpstreamError::NotFound(_) | UpstreamError::Refused(_) => None,
            UpstreamError::Unreachable { .. } => self.in_doubt(key, asker).await,
            _ if is_absence(error) => self.without_upstream(key, asker).await,
            // It is in trouble, not gone: what it said before is better than nothing, what is derived here is not.
            _ => {
                let note = self.kept_note(key, asker).await?;
                match note.provisional {
                    true => self.derived_answer(key, asker).await,
                    false => Some(stale(note.bytes.into(), note.age)),
                }
            }
        }
    }

    /// What can be said while upstream is gone: what it said before, else what follows from what is held.
    async fn without_upstream(&self, key: &NoteKey, asker: Asker) -> Option<NoteAnswer> {
        match self.kept_answer(key, asker).await {
            Some(answer) => Some(answer),
            None => self.derived_answer(key, asker).await,
        }
    }

    /// What can be said while upstream does not answer and may be there all the same: its line is slow, or only this answer
    /// broke off. A list or `@latest` made of what is held would hide what is newer, so that it is made only when upstream
    /// is known to be gone; an `.info` is the same whoever makes it.
    pub(super) async fn in_doubt(&self, key: &NoteKey, asker: Asker) -> Option<NoteAnswer> {
        if self.is_without_upstream(asker) || key.version().is_some() {
            self.without_upstream(key, asker).await
        } else {
            self.kept_answer(key, asker).await
        }
    }

    /// What upstream said before; of versions, while there is none to get them from, those that can be had.
    pub(super) async fn kept_answer(&self, key: &NoteKey, asker: Asker) -> Option<NoteAnswer> {
        let note = self.kept_note(key, asker).await?;
        if note.provisional {
            // It was derived here, and what it followed from may be given up by now.
            return None;
        }
        Some(match key {
            NoteKey::Info(..) if key.version().is_some() => NoteAnswer {
                bytes: note.bytes.into(),
                source: Source::Store,
                stale: None,
                newer: None,
            },
            NoteKey::Info(..) => stale(note.bytes.into(), note.age),
            NoteKey::Latest(module) => {
                let (mut known, said) = (self.held(module, asker), version_in(&note.bytes));
                known.extend(said.clone());
                known.sort();
                let spoken = self.spoken_of(module, known, asker).await;
                let is_to_be_had = said.is_none_or(|said| spoken.versions.contains(&said));
                let bytes = match newest(&spoken.versions) {
                    Some(instead) if !is_to_be_had => info_of(&instead),
                    _ => note.bytes.into(),
                };
                stale(bytes, note.age).beside(spoken.newer)
            }
            NoteKey::List(module) => {
                let mut list = with_versions(&note.bytes, &self.held(module, asker));
                let known = versions_in(&list);
                let known_count = known.len();
                let spoken = self.spoken_of(module, known, asker).await;
                if spoken.versions.len() < known_count {
                    list = with_versions(b"", &spoken.versions);
                }
                stale(list, note.age).beside(spoken.newer)
            }
        })
    }

    /// What follows from what is held.
    pub(super) async fn derived_answer(&self, key: &NoteKey, asker: Asker) -> Option<NoteAnswer> {
        match key {
            NoteKey::Info(module, revision) => match key.version() {
                Some(of) => self.synthesised_info(key, &of, asker).await,
                None if is_commit(revision) => {
                    let (known, source) = self.known(key, module, asker).await;
                    let version = at_commit(&known, revision)?;
                    Some(derived(info_of(version), source))
                }
                None => None,
            },
            NoteKey::List(module) => {
                let (known, source) = self.known(key, module, asker).await;
                let spoken = self.spoken_of(module, known, asker).await;
                let list = with_versions(b"", &spoken.versions);
                (!spoken.versions.is_empty()).then(|| derived(list, source).beside(spoken.newer))
            }
            NoteKey::Latest(module) => {
                let (known, source) = self.known(key, module, asker).await;
                let spoken = self.spoken_of(module, known, asker).await;
                let latest = info_of(&newest(&spoken.versions)?);
                Some(derived(latest, source).beside(spoken.newer))
            }
        }
    }

    /// `.info` from what is proved: the version itself, and for a pseudo-version the time that stands in it. Kept, so
    /// that the store stays a whole `file://` GOPROXY, until upstream gives its own.
    async fn synthesised_info(
        &self,
        key: &NoteKey,
        of: &ModuleVersion,
        asker: Asker,
    ) -> Option<NoteAnswer> {
        let treatment = self.inner.policy.treatment(&of.module);
        let listed = self.is_listed(of, treatment).await;
        let holds = |scope| self.inner.store.holds_version(of, scope);
        let for_owner = || {
            let apart = [Scope::Local, Scope::Unlisted, Scope::Pending];
            self.is_in_go_sum(of) || apart.into_iter().any(holds)
        };
        let known = listed
            || asker == Asker::Owner && for_owner()
            || self.is_known_toolchain(of, treatment).await;
        if !known {
            return None;
        }
        let bytes = info_of(&of.version);
        if listed {
            let (store, path, bytes) = (self.inner.store.clone(), key.url_path(), bytes.clone());
            keep(key, move || store.note_provisionally(&path, &bytes)).await;
        }
        Some(NoteAnswer {
            bytes,
            source: Source::None,
            stale: None,
            newer: None,
        })
    }

    /// What an error of upstream means for whoever asked for a note. `go` probes each path below a module together with the
    /// module, and a 5xx on a longer one ends it, so that what the database tells of the shorter ones counts here.
    pub(super) async fn note_error(
        &self,
        key: &NoteKey,
        asker: Asker,
        error: UpstreamError,
    ) -> FetchError {
        if matches!(error, UpstreamError::Unreachable { .. })
            && let Some(no) = self.said_before(&key.url_path(), asker).await
        {
            return no;
        }
        let error = self.upstream_error(&Sought::note(key, asker), error);
        if matches!(error, FetchError::Unreachable { .. })
            && self.is_upstream_gone()
            && let Some(of) = key.version()
            && self.is_inside_listed(&of).await
        {
            return FetchError::InsideHeld(key.module().as_str().into());
        }
        error
    }

    /// Whether the database lists this very version of a shorter path: then the path of `of` is hardly a module itself. Of a private
    /// module the paths above it and its versions are no less private, and nobody is asked about them.
    async fn is_inside_listed(&self, of: &ModuleVersion) -> bool {
        if self.inner.policy.treatment(&of.module) == Treatment::Private {
            return false;
        }
        let shorter = prefixes(of.module.as_str()).filter_map(|path| {
            let module = ModulePath::parse(path).ok()?;
            ModuleVersion::new(module, of.version.clone()).ok()
        });
        let listed = shorter.take(PREFIXES_MAX).map(|of| async move {
            let treatment = self.inner.policy.treatment(&of.module);
            self.is_listed(&of, treatment).await
        });
        join_all(listed).await.contains(&true)
    }

    /// What an error of upstream means for whoever asked.
    pub(in crate::fetch) fn upstream_error(
        &self,
        sought: &Sought<'_>,
        error: UpstreamError,
    ) -> FetchError {
        let module = sought.module.as_str();
        match error {
            UpstreamError::Off => FetchError::Offline(self.not_here(sought)),
            UpstreamError::Unreachable { .. } if self.is_inside_held(module) => {
                FetchError::InsideHeld(module.into())
            }
            UpstreamError::Unreachable { .. } => FetchError::Unreachable {
                what: self.not_here(sought),
                reason: error.to_string().into(),
            },
            other => FetchError::Upstream(Arc::new(other)),
        }
    }

    /// Whether upstream is gone and the path of `module` lies inside a module that is held, and so is hardly one itself.
    fn is_inside_held(&self, module: &str) -> bool {
        self.is_upstream_gone() && self.inner.store.is_below_held(module)
    }

    fn is_upstream_gone(&self) -> bool {
        let upstream = self.inner.upstream.as_ref();
        upstream.is_none_or(Upstream::is_down)
    }
}

/// The paths that `path` lies below, the longest first.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let slashes = path.rmatch_indices('/');
    slashes.filter_map(move |(at, _)| path.get(..at))
}

/// Whether an `error` other than that no answer came speaks of upstream being gone or being none, as opposed to its answer. That `go` said no by `direct`
/// may mean either, so what is here counts.
fn is_absence(error: &UpstreamError) -> bool {
    matches!(
        error,
        UpstreamError::Off
            | UpstreamError::DirectRefused(_)
            | UpstreamError::DirectFailed { .. }
            | UpstreamError::DirectNotYours
    )
}

fn derived(bytes: Bytes, source: Source) -> NoteAnswer {
    NoteAnswer {
        source,
        ..stale(bytes, Duration::ZERO)
    }
}

fn stale(bytes: Bytes, age: Duration) -> NoteAnswer {
    NoteAnswer {
        bytes,
        source: Source::Store,
        stale: Some(age),
        newer: None,
    }
}

impl NoteAnswer {
    /// The same, and what is newer and cannot be had.
    fn beside(self, newer: Option<Version>) -> Self {
        Self { newer, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::prefixes;

    #[test]
    fn the_paths_above_a_path_come_longest_first() {
        let above: Vec<_> = prefixes("example.com/a/b").collect();
        assert_eq!(above, ["example.com/a", "example.com"]);
        assert_eq!(prefixes("example.com").count(), 0);
    }
}
