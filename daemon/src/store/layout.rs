//! Where everything lies in the state folder.
//!
//! `store/` is a valid `file://` GOPROXY tree of proven modules, `apart/` one of local, unlisted and pending modules. A body
//! `V.mod` or `V.zip` counts only with its proof file beside it. Notes (`.info`, `list`, `@latest`) carry no proof and
//! lie under their own URL paths.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use modmesh_protocol::artifact::ArtifactKey;

use super::StoreError;
use crate::os;
use crate::trust::Scope;

/// The folders of one state folder.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
    /// The state folder's lock, which goes with the folder.
    lock: Option<Arc<File>>,
}

/// What the proof file of a body is called, after the body's own name.
pub(crate) const PROOF_SUFFIX: &str = ".proof";

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            lock: File::open(root.join("lock")).ok().map(Arc::new),
        }
    }

    /// Refuses to write when the folder is not the one that was opened and locked: a folder that is laid anew without its
    /// lock would not be known at the next start, and one that somebody else made may be in use.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match &self.lock {
            Some(held) if !os::leads_to(&self.root.join("lock"), held)? => {
                Err(StoreError::Gone(self.root.clone()))
            }
            _ => Ok(()),
        }
    }

    /// The tree that a file of `scope` lies in.
    pub(crate) fn tree(&self, scope: Scope) -> PathBuf {
        match scope {
            Scope::Proven => self.root.join("store"),
            Scope::Local | Scope::Unlisted | Scope::Pending => self.root.join("apart"),
        }
    }

    pub(crate) fn body(&self, scope: Scope, key: &ArtifactKey) -> PathBuf {
        self.tree(scope).join(key.url_path())
    }

    pub(crate) fn note(&self, scope: Scope, url_path: &str) -> PathBuf {
        self.tree(scope).join(url_path)
    }

    /// The first hashes of versions that nothing proves.
    pub(crate) fn first(&self) -> PathBuf {
        self.root.join("first-seen")
    }

    pub(crate) fn refusals(&self) -> PathBuf {
        self.root.join("refused")
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    /// Present while not every body has been hashed again after an unclean end of the machine.
    pub(crate) fn suspicion(&self) -> PathBuf {
        self.root.join("suspect")
    }
}

/// The proof file of `body`.
pub(crate) fn proof_of(body: &Path) -> PathBuf {
    let mut name = body.as_os_str().to_owned();
    name.push(PROOF_SUFFIX);
    PathBuf::from(name)
}
