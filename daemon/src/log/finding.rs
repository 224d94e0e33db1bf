//! What the mirror finds out about a module version, and the trait through which the gate asks it.

use std::sync::Arc;

use futures::future::BoxFuture;
use modmesh_protocol::log::Sums;
use modmesh_protocol::module::ModuleVersion;

use super::ask::LogSource;
use crate::metrics::Source;

/// A record of the checksum database whose Merkle proof this host checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedRecord {
    /// Name of the database, as in its verifier key.
    pub database: String,
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

/// A finding, and who told it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub finding: Finding,
    /// `store`, `memory`, `upstream`, `the database itself`, `neighbour NAME` or `nobody`: a word for people.
    pub by: Arc<str>,
    /// Where the record came from when it was asked for.
    pub source: Source,
}

impl Told {
    /// The record was here.
    pub(crate) fn kept(record: Arc<ListedRecord>) -> Self {
        Self::new(Finding::Listed(record), "store", Source::Store)
    }

    /// That there is no record was said a moment ago.
    pub(crate) fn remembered_unlisted() -> Self {
        Self::new(Finding::Unlisted, "memory", Source::None)
    }

    /// `source` said it.
    pub(crate) fn by(source: &dyn LogSource, finding: Finding) -> Self {
        Self::new(finding, source.name(), source.source())
    }

    /// Nobody could say it.
    pub(crate) fn by_nobody(reason: Arc<str>) -> Self {
        Self::new(Finding::Unreachable(reason), "nobody", Source::None)
    }

    fn new(finding: Finding, by: impl Into<Arc<str>>, source: Source) -> Self {
        Self {
            finding,
            by: by.into(),
            source,
        }
    }
}

/// Somebody who knows what the checksum database says.
pub(crate) trait Authority: Send + Sync {
    /// What the database says of `of`.
    fn find<'a>(&'a self, of: &'a ModuleVersion) -> BoxFuture<'a, Told>;
}
