//! Looking at what is here without asking for it: whoever only wants to know moves nothing in the order of eviction.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::module::ModuleVersion;

use super::scrub::place_aside;
use super::{Entry, Store};
use crate::trust::{ListedRecord, Scope};

/// A body as it lies there.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub entry: Arc<Entry>,
    /// When its bytes were written; nothing when the file system does not say.
    pub since: Option<SystemTime>,
    /// Why the next request may not get it as it is.
    pub doubt: Option<&'static str>,
}

impl Store {
    /// Whether a body of `key` was put aside as damaged and lies there still. Blocks shortly.
    pub(crate) fn was_put_aside(&self, key: &ArtifactKey) -> bool {
        let layout = &self.inner.layout;
        [Scope::Proven, Scope::Local, Scope::Unlisted, Scope::Pending]
            .into_iter()
            .any(|scope| place_aside(layout, &layout.body(scope, key)).exists())
    }

    /// What is here of `key`. Blocks shortly; nothing is hashed.
    pub(crate) fn look(&self, key: &ArtifactKey) -> Option<Seen> {
        let entry = self.inner.catalog.get(KeyHash::of_file(key))?;
        let body = self.inner.layout.body(entry.proof.scope(), key);
        let metadata = std::fs::metadata(body).ok();
        let length = metadata.as_ref().map(std::fs::Metadata::len);
        let doubt = if length != Some(entry.proof.measured().length) {
            Some("its body is gone or cut, and will be fetched anew when it is asked for")
        } else if entry.suspect.load(Ordering::Acquire) {
            Some("it must be hashed again before it is used, since it may have changed")
        } else {
            None
        };
        Some(Seen {
            entry,
            since: metadata.and_then(|metadata| metadata.modified().ok()),
            doubt,
        })
    }

    /// In which scope `key` is here; nothing when it is not.
    pub(crate) fn scope_of(&self, key: &ArtifactKey) -> Option<Scope> {
        let entry = self.followed(KeyHash::of_file(key))?;
        Some(entry.proof.scope())
    }

    /// The record on which a file of `of` that is here rests.
    pub(crate) fn record_of(&self, of: &ModuleVersion) -> Option<ListedRecord> {
        [FileKind::Mod, FileKind::Zip].into_iter().find_map(|kind| {
            let of = of.clone();
            let key = ArtifactKey { of, kind };
            self.followed(KeyHash::of_file(&key))?
                .proof
                .record()
                .cloned()
        })
    }
}
