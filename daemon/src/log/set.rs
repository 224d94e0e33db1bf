//! The databases this host mirrors: the first judges modules, the others are only served.

use modmesh_protocol::log::DatabaseId;

use super::Mirror;

/// All mirrors, and which of them judges what.
#[derive(Debug, Clone)]
pub(crate) struct Mirrors {
    all: Vec<Mirror>,
    first: First,
}

/// What the first database does besides judging toolchains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// It judges modules, too.
    JudgesModules,
    /// Nothing judges modules (the setting begins with `off`), and the settings name it among those to be mirrored.
    IsMirrored,
    /// Nothing judges modules, and the settings do not name it.
    IsThereForToolchains,
}

impl Mirrors {
    /// `all` must hold at least one mirror.
    pub(crate) fn new(all: Vec<Mirror>, first: First) -> Self {
        Self { all, first }
    }

    /// The database that modules are judged by; nothing when it is `off`.
    pub(crate) fn judge(&self) -> Option<&Mirror> {
        let judges = self.first == First::JudgesModules;
        self.all.first().filter(|_| judges)
    }

    /// The database that toolchains are judged by, always.
    pub(crate) fn toolchain_judge(&self) -> Option<&Mirror> {
        self.all.first()
    }

    /// The mirror that serves `/sumdb/NAME/`; nothing for a database that is not configured.
    pub(crate) fn served(&self, name: &str) -> Option<&Mirror> {
        self.all.iter().find(|mirror| mirror.name() == name)
    }

    /// The mirror with this id.
    pub(crate) fn by_id(&self, id: DatabaseId) -> Option<&Mirror> {
        self.all.iter().find(|mirror| mirror.database_id() == id)
    }

    /// The databases that the settings name: without the one that is there for toolchains alone.
    pub(crate) fn configured(&self) -> &[Mirror] {
        match self.first {
            First::JudgesModules | First::IsMirrored => &self.all,
            First::IsThereForToolchains => self.all.get(1..).unwrap_or_default(),
        }
    }

    pub(crate) fn all(&self) -> &[Mirror] {
        &self.all
    }
}
