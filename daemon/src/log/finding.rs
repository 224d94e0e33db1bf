//! What the mirror finds out about a module version, and the trait through which the gate asks it.

use std::sync::Arc;

use futures::future::BoxFuture;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::log::{DatabaseId, HeldTiles, Sums};
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::{PlacedTile, RecordAnswer};

use super::ask::LogSource;
use crate::metrics::Source;

/// A record of the checksum database whose Merkle proof this host checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedRecord {
    /// Name of the database, as in its verifier key.
    pub database: String,
    /// The key that proved it; nothing where an earlier release did not write it down.
    pub key: Option<DatabaseId>,
    /// Which log of that key it is in: 0 is the first that this host followed, and each that it was told to follow instead
    /// (`modmesh sumdb accept`, `forget`) is one more.
    pub log: u64,
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
    /// It could not be asked, or what was said is no answer.
    Unreachable(Trouble),
}

/// Why a database could not be asked, or did not answer.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// For a person.
    pub reason: Arc<str>,
    /// The HTTP error that whoever was asked last answered with; never 404 or 410, which would be the database's word.
    pub status: Option<u16>,
}

impl Trouble {
    /// Nobody answered.
    pub(crate) fn silence(reason: impl Into<Arc<str>>) -> Self {
        Self {
            reason: reason.into(),
            status: None,
        }
    }
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
    pub(crate) fn by_nobody(trouble: Trouble) -> Self {
        Self::new(Finding::Unreachable(trouble), "nobody", Source::None)
    }

    fn new(finding: Finding, by: impl Into<Arc<str>>, source: Source) -> Self {
        Self {
            finding,
            by: by.into(),
            source,
        }
    }
}

/// What is asked of a neighbour together with a file: a record that is not here, and what is here of what would prove it.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    pub database: DatabaseId,
    /// The hash under which neighbours know the record.
    pub key: KeyHash,
    /// Records in the tree of the current head; 0 before the first one.
    pub size: u64,
    /// Full tiles at hand.
    pub held: HeldTiles,
}

/// A record that a neighbour gave of its own, with a head and tiles; nothing in it is believed yet.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub by: PeerName,
    pub record: RecordAnswer,
    pub tiles: Vec<PlacedTile>,
}

/// Somebody who knows what the checksum database says.
pub(crate) trait Authority: Send + Sync {
    /// What the database says of `of`. What was offered is looked at first.
    fn find<'a>(&'a self, of: &'a ModuleVersion, offer: Option<Arc<Offer>>) -> BoxFuture<'a, Told>;

    /// What a neighbour is to be asked for, so that its answer tells what the database says of `of`; nothing where that is known
    /// here.
    fn missing(&self, of: &ModuleVersion) -> Option<Missing>;

    /// The versions of `module` whose records were proved here, sorted; there may be others. Blocks while it reads.
    fn proved_versions(&self, module: &ModulePath) -> Vec<Version>;

    /// Has the neighbours asked for records of `module` that are not here, and keeps those that prove themselves. For where
    /// nobody can be asked who knows all versions.
    fn ask_for_versions<'a>(&'a self, module: &'a ModulePath) -> BoxFuture<'a, ()>;
}
