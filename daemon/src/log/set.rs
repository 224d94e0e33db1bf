//! The databases this host mirrors: the first judges modules, the others are only served.

use modmesh_protocol::log::DatabaseId;

use super::Mirror;

/// All mirrors, and which of them judges what.
#[derive(Debug, Clone)]
pub(crate) struct Mirrors {
    all: Vec<Mirror>,
    judges_modules: bool,
}

impl Mirrors {
    /// `all` must hold at least one mirror: the first judges toolchains in any case, and modules if `judges_modules`
    /// (it does not when the database is configured `off`).
    pub(crate) fn new(all: Vec<Mirror>, judges_modules: bool) -> Self {
        Self {
            all,
            judges_modules,
        }
    }

    /// The database that modules are judged by; nothing when it is `off`.
    pub(crate) fn judge(&self) -> Option<&Mirror> {
        self.all.first().filter(|_| self.judges_modules)
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
        if self.judges_modules {
            &self.all
        } else {
            self.all.get(1..).unwrap_or_default()
        }
    }

    pub(crate) fn all(&self) -> &[Mirror] {
        &self.all
    }
}
