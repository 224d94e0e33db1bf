//! Who is named for a tile that several hosts wanted: this host's upstream, or somebody else's.

use std::sync::Arc;

use futures::future::BoxFuture;
use modmesh_protocol::log::TileCoordinate;
use modmesh_protocol::module::ModuleVersion;
use modmesh_protocol::peer_name::PeerName;

use super::{SharedTiles, UpstreamLog};
use crate::log::{AskError, LogSource, LookupAnswer, Part, TileBytes};
use crate::metrics::{Metrics, Source};
use crate::seldom::Seldom;

static FALSE_HEARSAY: Seldom = Seldom::new();

/// This host's upstream, for tiles that are held for others: a false one is held no longer.
#[derive(Debug)]
pub(super) struct FetchedHere {
    pub upstream: Arc<UpstreamLog>,
    pub shared: Arc<SharedTiles>,
}

impl LogSource for FetchedHere {
    fn name(&self) -> String {
        self.upstream.name()
    }

    fn source(&self) -> Source {
        self.upstream.source()
    }

    fn lookup<'a>(
        &'a self,
        of: &'a ModuleVersion,
    ) -> BoxFuture<'a, Result<LookupAnswer, AskError>> {
        self.upstream.lookup(of)
    }

    fn tiles<'a>(
        &'a self,
        coordinates: &'a [TileCoordinate],
    ) -> BoxFuture<'a, Vec<Result<TileBytes, AskError>>> {
        self.upstream.tiles(coordinates)
    }

    fn head(&self) -> BoxFuture<'_, Option<Vec<u8>>> {
        self.upstream.head()
    }

    fn latest(&self) -> BoxFuture<'_, Result<Vec<u8>, AskError>> {
        self.upstream.latest()
    }

    fn behind(&self) -> Option<Arc<dyn LogSource>> {
        self.upstream.behind()
    }

    fn blame(&self, part: Part<'_>, what: &str, evidence: &[u8]) {
        if let Part::Tiles(at) = part {
            self.shared.fresh.forget(at);
        }
        self.upstream.blame(part, what, evidence);
    }
}

/// A neighbour that hands on what its upstream gave it.
#[derive(Debug)]
pub(super) struct Hearsay {
    pub peer: PeerName,
    pub shared: Arc<SharedTiles>,
    pub metrics: Metrics,
}

impl LogSource for Hearsay {
    fn name(&self) -> String {
        format!("the upstream of neighbour {}", self.peer)
    }

    fn source(&self) -> Source {
        Source::Peer
    }

    fn lookup<'a>(&'a self, _: &'a ModuleVersion) -> BoxFuture<'a, Result<LookupAnswer, AskError>> {
        Box::pin(async { Err(AskError::Missing) })
    }

    fn tiles<'a>(
        &'a self,
        coordinates: &'a [TileCoordinate],
    ) -> BoxFuture<'a, Vec<Result<TileBytes, AskError>>> {
        let none = coordinates.iter().map(|_| Err(AskError::Missing));
        Box::pin(std::future::ready(none.collect()))
    }

    fn head(&self) -> BoxFuture<'_, Option<Vec<u8>>> {
        Box::pin(async { None })
    }

    fn latest(&self) -> BoxFuture<'_, Result<Vec<u8>, AskError>> {
        Box::pin(async { Err(AskError::Missing) })
    }

    fn behind(&self) -> Option<Arc<dyn LogSource>> {
        None
    }

    fn is_hearsay(&self) -> bool {
        true
    }

    fn blame(&self, _: Part<'_>, what: &str, _: &[u8]) {
        self.metrics.verification_failure(Source::Peer);
        self.shared.hear_no_more(&self.peer);
        if let Some(left_out) = FALSE_HEARSAY.turn() {
            tracing::warn!(
                peer = %self.peer,
                what,
                left_out,
                "a neighbour handed on a false part of the checksum database that nobody had proved; for a while it is not asked for such"
            );
        }
    }
}
