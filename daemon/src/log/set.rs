//! The databases this host mirrors: the first judges modules, the others are only served.

use modmesh_protocol::log::DatabaseId;

use super::{Database, Mirror};

/// All databases, and which of them judges what.
#[derive(Debug, Clone)]
pub(crate) struct Mirrors {
    all: Vec<Database>,
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
    /// `all` must hold at least one database.
    pub(crate) fn new(all: Vec<Database>, first: First) -> Self {
        Self { all, first }
    }

    /// The database that modules are judged by; nothing when it is `off`.
    pub(crate) fn judge(&self) -> Option<&Database> {
        let judges = self.first == First::JudgesModules;
        self.all.first().filter(|_| judges)
    }

    /// The database that toolchains are judged by, always.
    pub(crate) fn toolchain_judge(&self) -> Option<&Database> {
        self.all.first()
    }

    /// The mirror that serves `/sumdb/NAME/`; nothing for a database that is not configured.
    pub(crate) fn served(&self, name: &str) -> Option<Mirror> {
        self.named(name).map(Database::mirror)
    }

    /// The database of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Database> {
        self.all.iter().find(|database| database.name() == name)
    }

    /// The mirror with this id.
    pub(crate) fn by_id(&self, id: DatabaseId) -> Option<Mirror> {
        let with_id = |database: &&Database| database.database_id() == id;
        self.all.iter().find(with_id).map(Database::mirror)
    }

    /// The databases that the settings name: without the one that is there for toolchains alone.
    pub(crate) fn configured(&self) -> &[Database] {
        match self.first {
            First::JudgesModules | First::IsMirrored => &self.all,
            First::IsThereForToolchains => self.all.get(1..).unwrap_or_default(),
        }
    }

    pub(crate) fn all(&self) -> &[Database] {
        &self.all
    }
}
