//! Notes: `.info`, `list`, `@latest` and branch answers. No hash covers them, so they come from upstream alone, byte for
//! byte; they age; and when upstream is gone they are served stale or derived from what is proved.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use modmesh_protocol::module::{ModulePath, ModuleVersion, Revision, Version};
use serde::Deserialize;

use super::{FetchError, Fetcher};
use crate::metrics::Source;
use crate::policy::{Client, Treatment};
use crate::store::Note;
use crate::trust::{Expected, Scope};
use crate::upstream::UpstreamError;

/// How long `list`, `@latest` and branch answers are served without asking upstream again; the public Go proxy's own
/// cache holds them as long.
const TIME_TO_LIVE: Duration = Duration::from_secs(60);
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

/// The only field of `.info` that is read here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InfoForm {
    version: String,
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
        self.inner
            .notes
            .join(key.clone(), || self.clone().obtain_note(key.clone()))
            .await?
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
        let kept = tokio::task::spawn_blocking(move || store.read_note(&path))
            .await
            .ok()??;
        // Damage that shows is as good as absence; no hash tells the rest.
        check(key, &kept.bytes).is_ok().then_some(kept)
    }

    async fn obtain_note(self, key: NoteKey) -> Result<NoteAnswer, FetchError> {
        let asked = match &self.inner.upstream {
            Some(upstream) => upstream.get(&key.url_path(), NOTE_BYTES_MAX).await,
            None => Err(UpstreamError::Off),
        };
        let error = match asked {
            Ok(answer) => {
                check(&key, &answer.body)?;
                self.keep_note(&key, answer.body.clone()).await;
                return Ok(NoteAnswer {
                    bytes: answer.body,
                    source: Source::Upstream,
                    stale: None,
                });
            }
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

    /// A note that cannot be kept is still an answer.
    async fn keep_note(&self, key: &NoteKey, bytes: Bytes) {
        let private = self.inner.policy.treatment(key.module()) == Treatment::Private;
        let (store, path) = (self.inner.store.clone(), key.url_path());
        let kept = tokio::task::spawn_blocking(move || store.note(&path, &bytes, private)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(note = key.url_path(), %error, "an answer could not be kept");
        }
    }

    /// What can be said while upstream is gone.
    async fn without_upstream(&self, key: &NoteKey) -> Option<NoteAnswer> {
        let kept = self.kept_note(key).await;
        match key {
            NoteKey::Info(..) => match (key.version(), kept) {
                (Some(_), Some(note)) => Some(NoteAnswer {
                    bytes: note.bytes.into(),
                    source: Source::Store,
                    stale: None,
                }),
                (Some(of), None) => self.synthesised_info(key, &of).await,
                (None, kept) => kept.map(|note| stale(note.bytes.into(), note.age)),
            },
            NoteKey::List(module) => {
                let held = self.inner.store.versions(module);
                match kept {
                    Some(note) => Some(stale(with_versions(&note.bytes, &held), note.age)),
                    None if !held.is_empty() => {
                        Some(stale(with_versions(b"", &held), Duration::ZERO))
                    }
                    None => None,
                }
            }
            NoteKey::Latest(module) => match kept {
                Some(note) => Some(stale(note.bytes.into(), note.age)),
                None => {
                    let newest = newest(&self.inner.store.versions(module))?;
                    Some(stale(info_of(&newest), Duration::ZERO))
                }
            },
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

/// Refuses an answer that would break `go` for as long as it is kept: `.info` without its version, a list in HTML.
fn check(key: &NoteKey, bytes: &[u8]) -> Result<(), FetchError> {
    let nonsense = |reason: &str| FetchError::Nonsense {
        what: key.url_path().into(),
        reason: reason.into(),
    };
    match key {
        NoteKey::Info(..) | NoteKey::Latest(_) => {
            let info: InfoForm = serde_json::from_slice(bytes)
                .map_err(|_| nonsense("it is not JSON with a Version"))?;
            match key.version() {
                Some(of) if of.version.as_str() != info.version => {
                    Err(nonsense("it speaks of another version"))
                }
                _ => Ok(()),
            }
        }
        NoteKey::List(_) => {
            let text = std::str::from_utf8(bytes).map_err(|_| nonsense("it is not text"))?;
            if text.trim_start().starts_with('<') {
                return Err(nonsense("it looks like a web page"));
            }
            Ok(())
        }
    }
}

/// The lines of `list`, and the tagged versions of `held` that it lacks. Pseudo-versions do not belong into a list.
fn with_versions(list: &[u8], held: &[Version]) -> Bytes {
    let mut text = String::from_utf8_lossy(list).into_owned();
    for version in held.iter().filter(|version| !version.is_pseudo()) {
        let listed = text
            .lines()
            .any(|line| line.split_whitespace().next() == Some(version.as_str()));
        if !listed {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(version.as_str());
            text.push('\n');
        }
    }
    Bytes::from(text)
}

/// As `go` chooses the latest: the highest release, else the highest pre-release, else the newest pseudo-version.
fn newest(versions: &[Version]) -> Option<Version> {
    let highest =
        |wanted: &dyn Fn(&Version) -> bool| versions.iter().rfind(|version| wanted(version));
    highest(&|version| !version.is_prerelease())
        .or_else(|| highest(&|version| !version.is_pseudo()))
        .or_else(|| versions.iter().max_by_key(|version| version.pseudo_time()))
        .cloned()
}

fn info_of(version: &Version) -> Bytes {
    let mut info = serde_json::json!({ "Version": version.as_str() });
    if let Some(time) = version.pseudo_time() {
        info["Time"] = time.into();
    }
    Bytes::from(info.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn versions(texts: &[&str]) -> Vec<Version> {
        let mut versions: Vec<_> = texts
            .iter()
            .map(|text| Version::parse(text).unwrap())
            .collect();
        versions.sort();
        versions
    }

    #[test]
    fn a_list_gains_the_tagged_versions_that_are_held() {
        let held = versions(&["v1.2.0", "v1.1.0", "v0.0.0-20180306012644-bacd9c7ef1dd"]);
        assert_eq!(
            with_versions(b"v1.1.0\nv1.0.0", &held),
            "v1.1.0\nv1.0.0\nv1.2.0\n"
        );
        assert_eq!(with_versions(b"", &[]), "");
    }

    #[test]
    fn the_newest_is_chosen_as_go_chooses_it() {
        let pseudo = "v0.0.0-20180306012644-bacd9c7ef1dd";
        for (held, expected) in [
            (&["v1.2.0", "v1.3.0-rc.1", "v1.10.0"][..], Some("v1.10.0")),
            (&["v1.3.0-rc.1", pseudo], Some("v1.3.0-rc.1")),
            (&[pseudo], Some(pseudo)),
            (&[], None),
        ] {
            let newest = newest(&versions(held));
            assert_eq!(newest.as_ref().map(Version::as_str), expected);
        }
    }

    #[test]
    fn info_of_a_pseudo_version_carries_its_time() {
        let version = Version::parse("v0.0.0-20180306012644-bacd9c7ef1dd").unwrap();
        let info: serde_json::Value = serde_json::from_slice(&info_of(&version)).unwrap();
        assert_eq!(info["Time"], "2018-03-06T01:26:44Z");
        assert_eq!(info["Version"], version.as_str());
    }

    #[test]
    fn an_answer_that_is_none_is_refused() {
        let module = ModulePath::parse("example.com/m").unwrap();
        let info = NoteKey::Info(module.clone(), Revision::parse("v1.0.0").unwrap());
        assert!(check(&info, br#"{"Version":"v1.0.0"}"#).is_ok());
        assert!(check(&info, br#"{"Version":"v1.0.1"}"#).is_err());
        assert!(check(&info, b"<html>").is_err());
        assert!(check(&NoteKey::List(module.clone()), b"<html>").is_err());
        assert!(check(&NoteKey::List(module.clone()), b"").is_ok());
        let branch = NoteKey::Info(module, Revision::parse("master").unwrap());
        assert!(check(&branch, br#"{"Version":"v1.0.1"}"#).is_ok());
    }
}
