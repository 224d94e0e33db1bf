//! What the mirror finds out about a module version, and the trait through which the gate asks it.

use std::sync::Arc;

use futures::future::BoxFuture;
use modmesh_protocol::log::{DatabaseId, Sums};
use modmesh_protocol::module::ModuleVersion;

/// A record of the checksum database whose Merkle proof this host checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedRecord {
    /// Name of the database, as in its verifier key.
    pub database: String,
    /// The key that proved it; nothing where an earlier release did not write it down.
    pub key: Option<DatabaseId>,
    /// Number of the record in the log.
    pub id: u64,
    /// The record as it was hashed into the log.
    pub text: String,
    /// The lines of `text` for the module version that was asked for.
    pub sums: Sums,
}

/// What the checksum database says of a module version.
#[derive(Debug, Clone)]
pub(crate) enum Finding {
    /// It lists the version, and we hold the proof.
    Listed(Arc<ListedRecord>),
    /// The database itself, not a proxy, says that there is no such record.
    Unlisted,
    /// It could not be asked; the reason is for a person.
    Unreachable(Arc<str>),
}

/// A finding, and who told it: `store`, `memory`, `upstream` or `neighbour NAME`; a word for people.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub finding: Finding,
    pub by: Arc<str>,
}

impl Told {
    pub(crate) fn new(finding: Finding, by: impl Into<Arc<str>>) -> Self {
        Self {
            finding,
            by: by.into(),
        }
    }
}

/// Somebody who knows what the checksum database says.
pub(crate) trait Authority: Send + Sync {
    /// What the database says of `of`.
    fn find<'a>(&'a self, of: &'a ModuleVersion) -> BoxFuture<'a, Told>;
}
