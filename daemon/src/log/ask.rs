//! How the mirror asks the outside: two small traits, with adapters over upstream and neighbours in `wiring`.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use modmesh_protocol::log::{Record, TileCoordinate};
use modmesh_protocol::module::{ModulePath, ModuleVersion};

use super::finding::Offer;
use crate::metrics::Source;

/// A lookup as a source gave it; nothing in it is believed yet.
#[derive(Debug, Clone)]
pub(crate) struct LookupAnswer {
    pub id: u64,
    pub text: String,
    /// The signed note of the head that the answer came with.
    pub note: Vec<u8>,
}

/// What a neighbour says to know of the versions of a module; nothing in it is believed yet.
#[derive(Debug, Clone)]
pub(crate) struct VersionsAnswer {
    /// Who.
    pub source: Arc<dyn LogSource>,
    /// The signed note of its head.
    pub note: Vec<u8>,
    /// Records of versions.
    pub records: Vec<Record>,
}

/// Why a source gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    /// The database itself says that it has no such record.
    #[error("the checksum database has no such record")]
    NotListed,
    /// This source does not have it; another may.
    #[error("not there")]
    Missing,
    /// The source answered, and what it said is no answer.
    #[error("{said}")]
    NoAnswer {
        /// What, for a person.
        said: String,
        /// Its HTTP status, where that is an error other than "not found".
        status: Option<u16>,
    },
    /// The source could not be asked.
    #[error("{0}")]
    Unreachable(String),
}

/// A tile as a source gave it: its width, which may be larger than was asked for, and its bytes.
pub(crate) type TileBytes = (u16, Vec<u8>);

/// What somebody gave.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'a> {
    /// The answer to a lookup of this: the record, and the head that came with it.
    Record(&'a ModuleVersion),
    /// Records of versions of one module, with one head.
    Versions,
    /// The tiles at these coordinates, in whatever width they came.
    Tiles(&'a [TileCoordinate]),
    /// A head on its own.
    Head,
}

/// Somebody who may have parts of the log. Every call ends within a time that the source sets itself.
pub(crate) trait LogSource: Send + Sync + fmt::Debug {
    /// Who this is, for log lines; no two sources have the same.
    fn name(&self) -> String;

    /// What it is counted as.
    fn source(&self) -> Source;

    /// Whether it hands on what others' upstreams gave it, which it has not proved: no reason to call it a liar.
    fn is_hearsay(&self) -> bool {
        false
    }

    /// How it is asked, for people.
    fn road(&self) -> String {
        self.name()
    }

    /// The record of `of`.
    fn lookup<'a>(&'a self, of: &'a ModuleVersion)
    -> BoxFuture<'a, Result<LookupAnswer, AskError>>;

    /// The tiles at `coordinates`, one answer each, in their order.
    fn tiles<'a>(
        &'a self,
        coordinates: &'a [TileCoordinate],
    ) -> BoxFuture<'a, Vec<Result<TileBytes, AskError>>>;

    /// The signed note of the head of its log, where it has one of its own: who shows another log than ours is no liar.
    fn head(&self) -> BoxFuture<'_, Option<Vec<u8>>>;

    /// The signed note of the newest head that it knows of, asked for anew.
    fn latest(&self) -> BoxFuture<'_, Result<Vec<u8>, AskError>>;

    /// Who stands behind it, to be asked once when what this one says is no answer or false, and not when it cannot be
    /// asked: the database behind a proxy.
    fn behind(&self) -> Option<Arc<dyn LogSource>>;

    /// What it gave was shown to be false, and nobody else had a hand in it.
    fn blame(&self, part: Part<'_>, what: &str, evidence: &[u8]);
}

/// What is to be done about a record that no neighbour was found to have.
#[derive(Debug)]
pub(crate) enum Advice {
    /// The upstream is to be asked, and others may wait for what it says: see [`Council::end`].
    Ask,
    /// These have it by now; whether one of them gave it is told with [`Council::taken`].
    Take(Vec<Arc<dyn LogSource>>),
}

/// The owners of one record, who know whether somebody asks the upstream for it already. Dropping it tells them that this host
/// does not any more.
pub(crate) trait Council: Send {
    /// What to do next; takes as long as somebody else asks, within bounds.
    fn next(&mut self) -> BoxFuture<'_, Advice>;

    /// Whether the record is here now from one of those that were named.
    fn taken(&mut self, is_here: bool) -> BoxFuture<'_, ()>;

    /// How asking the upstream ended: whether the record is here, and proved.
    fn end(self: Box<Self>, is_here: bool) -> BoxFuture<'static, ()>;
}

/// The answer of one source about one tile, and who is to be named for it.
pub(crate) type TileOf = (Result<TileBytes, AskError>, Arc<dyn LogSource>);

/// The hosts of this network that may want the same tiles at the same moment, of which one asks the upstream.
pub(crate) trait Together: Send + Sync + fmt::Debug {
    /// The upstream that each of them would ask.
    fn upstream(&self) -> Arc<dyn LogSource>;

    /// The tiles at `coordinates`, in their order: of the upstream, asked here or by another host, or of a neighbour that has proved
    /// it. Nothing where the upstream is still to be asked. What another host's upstream gave nobody has proved; it comes from a source
    /// that is not blamed as a liar would be. Ends within the time that this host's own way to the upstream takes, and two seconds.
    fn tiles<'a>(&'a self, coordinates: &'a [TileCoordinate])
    -> BoxFuture<'a, Vec<Option<TileOf>>>;
}

/// Who can be asked, best first.
pub(crate) trait Surroundings: Send + Sync + fmt::Debug {
    /// The neighbours of this site that have the record of `of`, quickest first; none is asked twice for it.
    fn neighbours_with<'a>(
        &'a self,
        of: &'a ModuleVersion,
    ) -> BoxFuture<'a, Vec<Arc<dyn LogSource>>>;

    /// Whether other sites are to be asked before the upstream; nothing where they are not to be asked at all.
    fn is_across_first(&self) -> Option<bool> {
        None
    }

    /// The neighbours of other sites that have the record of `of`.
    fn across_with<'a>(&'a self, _: &'a ModuleVersion) -> BoxFuture<'a, Vec<Arc<dyn LogSource>>> {
        Box::pin(async { Vec::new() })
    }

    /// The neighbour that made an offer, as one that has what it offered; nothing where there are no neighbours.
    fn offering(&self, offer: &Offer) -> Option<Arc<dyn LogSource>>;

    /// Whom to consult before the upstream is asked for the record of `of`; nothing where nobody else could want it.
    fn council(&self, of: &ModuleVersion) -> Option<Box<dyn Council>>;

    /// What each neighbour knows of the versions of `module`, quickest first; nothing when there is no neighbour to ask.
    fn versions_at_neighbours<'a>(
        &'a self,
        module: &'a ModulePath,
    ) -> BoxFuture<'a, Option<Vec<VersionsAnswer>>>;

    /// A few neighbours, for tiles; where somebody else can be asked, none that was silent lately or is of another site.
    fn neighbours(&self) -> Vec<Arc<dyn LogSource>>;

    /// The names of those who can be asked for tiles now, as far as that is known: [`Surroundings::neighbours`], and the
    /// upstream while it is not down.
    fn within_reach(&self) -> HashSet<String>;

    /// A larger tree head was proved and is current from now on; `note` is its signed text.
    fn advanced(&self, note: &str);

    /// Two signed tree heads of the database were found to contradict each other.
    fn contradicted(&self);

    /// Whom to consult before the upstream is asked for tiles; nothing where nobody else could want them.
    fn together(&self) -> Option<Arc<dyn Together>> {
        None
    }

    /// The database through the upstream; nothing when this host is to stay offline.
    fn upstream(&self) -> Option<Arc<dyn LogSource>>;
}
