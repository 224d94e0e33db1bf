//! What is said of something that nobody gave: its name, and where it was looked for. `go` shows it to a person, who has to see what
//! to do from it.

use std::fmt;
use std::sync::Arc;

use modmesh_protocol::artifact::{ArtifactKey, FileKind};
use modmesh_protocol::module::{ModulePath, ModuleVersion, Revision, Version};

use super::{Fetcher, NoteKey};
use crate::policy::{Asker, Treatment};
use crate::trust::Scope;

/// What was asked for.
#[derive(Debug)]
pub(super) struct Sought<'a> {
    pub module: &'a ModulePath,
    /// Nothing where all versions were asked for, or the latest.
    pub revision: Option<Revision>,
    /// For whom.
    pub asker: Asker,
}

/// What is not here, and where it was looked for, in words.
#[derive(Debug, Clone)]
pub(crate) struct NotHere {
    /// The module, and the version where one was asked for.
    pub name: Arc<str>,
    looked: Arc<str>,
}

impl fmt::Display for NotHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.looked)
    }
}

impl<'a> Sought<'a> {
    pub(super) fn file(key: &'a ArtifactKey, asker: Asker) -> Self {
        Self {
            module: &key.of.module,
            revision: Some(key.of.version.clone().into()),
            asker,
        }
    }

    pub(super) fn note(key: &'a NoteKey, asker: Asker) -> Self {
        let (module, revision) = match key {
            NoteKey::Info(module, revision) => (module, Some(revision.clone())),
            NoteKey::List(module) | NoteKey::Latest(module) => (module, None),
        };
        Self {
            module,
            revision,
            asker,
        }
    }

    pub(super) fn name(&self) -> Arc<str> {
        match &self.revision {
            Some(revision) => format!("{}@{revision}", self.module).into(),
            None => self.module.as_str().into(),
        }
    }

    fn version(&self) -> Option<Version> {
        self.revision.as_ref()?.canonical()
    }
}

impl Fetcher {
    /// Says where `sought` was looked for and is not.
    pub(super) fn not_here(&self, sought: &Sought<'_>) -> NotHere {
        let looked = match &sought.revision {
            Some(revision) if sought.version().is_none() && !super::notes::is_commit(revision) => {
                "is no version but a branch, a tag or a query, and which version it stands for now upstream alone can tell"
                    .into()
            }
            _ => {
                let others = match self.another_held(sought) {
                    Some(version) => format!(" ({version} is)"),
                    None => String::new(),
                };
                format!("is not on this host{others}, {}", self.why_of_no_neighbour(sought)).into()
            }
        };
        NotHere {
            name: sought.name(),
            looked,
        }
    }

    /// The best version whose zip is here instead.
    fn another_held(&self, sought: &Sought<'_>) -> Option<Version> {
        let asked = sought.version()?;
        let mut held = self.held(sought.module, sought.asker);
        held.retain(|version| {
            let key = zip_of(sought.module, version);
            let scope = key.and_then(|key| self.inner.store.scope_of(&key));
            *version != asked
                && (scope == Some(Scope::Proven) || scope.is_some() && sought.asker == Asker::Owner)
        });
        held.into_iter().max_by_key(Version::preference)
    }

    fn why_of_no_neighbour(&self, sought: &Sought<'_>) -> &'static str {
        let treatment = self.treatment(sought.module);
        let may_ask = match sought
            .version()
            .and_then(|version| zip_of(sought.module, &version))
        {
            Some(zip) => self.may_ask_neighbours(&zip),
            None => treatment.asks_neighbours(),
        };
        match treatment {
            Treatment::Private => "neighbours are not asked, for it matches a private pattern",
            Treatment::Unjudged if !may_ask => {
                "neighbours are not asked, for the checksum database is off and no go.sum given here names it (`modmesh run` gives that of the module it is started in, `modmesh up --go-sum FILE` any)"
            }
            _ if self.inner.peers.connected() == 0 => "no neighbour is connected",
            _ => "no neighbour offers it",
        }
    }
}

fn zip_of(module: &ModulePath, version: &Version) -> Option<ArtifactKey> {
    let of = ModuleVersion::new(module.clone(), version.clone()).ok()?;
    let kind = FileKind::Zip;
    Some(ArtifactKey { of, kind })
}
