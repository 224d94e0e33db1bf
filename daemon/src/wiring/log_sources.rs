//! The mirror's sources: the upstream and the neighbours, seen as holders of parts of the log.

mod neighbour;
mod upstream;

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures::future::BoxFuture;
use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::lease::Road;
use modmesh_protocol::log::{DatabaseId, Record};
use modmesh_protocol::module::{ModulePath, ModuleVersion};
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::site::{First, Upstream as Own, way_out};

use super::councils::{LOOKUP_BYTES, RecordCouncil};
use super::shared_tiles::{SharedTiles, TilesTogether};
use crate::lately::Longest;
use crate::log::{
    Council, LogSource, LookupAnswer, Offer, Surroundings, TileBytes, Together, VersionsAnswer,
};
use crate::metrics::Metrics;
use crate::peers::{Haste, Located, Peers};
use neighbour::{NeighbourLog, as_lookup};

pub(crate) use upstream::{UpstreamLog, Way};

/// Neighbours that are asked in turn for tiles that a record's giver lacks.
const ASKED_FOR_TILES_MAX: usize = 4;

/// Everything around one mirror. The neighbours are handed in when they are up.
#[derive(Debug, Clone)]
pub(crate) struct AroundUs {
    pub name: String,
    pub database: DatabaseId,
    pub peers: Arc<OnceLock<Peers>>,
    pub upstream: Option<Arc<UpstreamLog>>,
    pub metrics: Metrics,
    /// Until then a host that has no upstream waits for a first neighbour.
    pub settled_at: Instant,
    pub lookups_took: Arc<Longest>,
    pub tiles: Arc<SharedTiles>,
}

impl AroundUs {
    /// The neighbour `peer` as a source; nothing while others are better: it is slow, or of another site.
    pub(crate) fn quick_neighbour(&self, peer: &PeerName) -> Option<Arc<dyn LogSource>> {
        let peers = self.peers.get().filter(|peers| !peers.is_slow(peer))?;
        // To follow the heads of another site costs bytes across, and the upstream gives the same.
        if peers.is_across(peer) && !self.is_alone() {
            return None;
        }
        Some(self.neighbour(peers, peer.clone(), None, None))
    }

    /// Whether there is nobody but neighbours to ask.
    pub(super) fn is_alone(&self) -> bool {
        self.upstream
            .as_ref()
            .is_none_or(|log| log.upstream.is_down())
    }

    /// The neighbours, if there are any, and how long they may think. Shortly after the start a host that has nobody else
    /// waits for a first one.
    async fn somebody(&self) -> Option<(&Peers, Haste)> {
        let peers = self.peers.get()?;
        let haste = if self.is_alone() {
            peers.somebody_by(self.settled_at).await;
            Haste::NobodyElse
        } else {
            Haste::OthersWait
        };
        (peers.connected() > 0).then_some((peers, haste))
    }

    /// Those of `located` that have the record.
    pub(super) fn with_records(
        &self,
        peers: &Peers,
        located: Vec<Located>,
    ) -> Vec<Arc<dyn LogSource>> {
        let sources = located.into_iter().filter_map(|located| {
            let answer = as_lookup(located.record?);
            let head = Some(answer.note.clone());
            Some(self.neighbour(peers, located.peer, Some(answer), head))
        });
        sources.collect()
    }

    /// The neighbour `peer` as a source of tiles that it has proved.
    pub(super) fn known_neighbour(&self, peers: &Peers, peer: PeerName) -> Arc<dyn LogSource> {
        self.neighbour(peers, peer, None, None)
    }

    /// A tile as the upstream gave it just now, for those who wait for it.
    pub(super) fn fresh_tile(&self, level: u8, index: u64, width_min: u16) -> Option<TileBytes> {
        self.tiles.fresh().get(level, index, width_min)
    }

    fn neighbour(
        &self,
        peers: &Peers,
        peer: PeerName,
        record: Option<LookupAnswer>,
        head: Option<Vec<u8>>,
    ) -> Arc<dyn LogSource> {
        Arc::new(NeighbourLog {
            peers: peers.clone(),
            peer,
            database: self.database,
            record,
            head,
            pocket: Vec::new(),
            metrics: self.metrics.clone(),
        })
    }
}

impl Surroundings for AroundUs {
    fn neighbours_with<'a>(
        &'a self,
        of: &'a ModuleVersion,
    ) -> BoxFuture<'a, Vec<Arc<dyn LogSource>>> {
        Box::pin(async move {
            let Some((peers, haste)) = self.somebody().await else {
                return Vec::new();
            };
            let key = KeyHash::of_record(&self.name, of);
            // Who has a file of the version had to prove its record.
            let akin = [FileKind::Mod, FileKind::Zip].map(|kind| {
                let of = of.clone();
                KeyHash::of_file(&ArtifactKey { of, kind })
            });
            let located = peers.locate_record(self.database, key, &akin, haste).await;
            self.with_records(peers, located)
        })
    }

    fn is_across_first(&self) -> Option<bool> {
        let crossing = self.peers.get()?.crossing(None);
        let upstream = match &self.upstream {
            None => Own::Off,
            Some(log) if log.upstream.is_down() => Own::Down,
            Some(_) => Own::Up(Road {
                pace: None,
                first_byte: self.lookups_took.get(),
            }),
        };
        let way = way_out(upstream, crossing, LOOKUP_BYTES);
        way.may_cross.then_some(way.first == First::Across)
    }

    fn across_with<'a>(&'a self, of: &'a ModuleVersion) -> BoxFuture<'a, Vec<Arc<dyn LogSource>>> {
        Box::pin(async move {
            let Some(peers) = self.peers.get() else {
                return Vec::new();
            };
            let haste = match self.is_alone() {
                true => Haste::NobodyElse,
                false => Haste::OthersWait,
            };
            let record = Some((self.database, KeyHash::of_record(&self.name, of)));
            let survey = peers.survey_across(None, record, haste).await;
            self.with_records(peers, survey.found)
        })
    }

    fn offering(&self, offer: &Offer) -> Option<Arc<dyn LogSource>> {
        let answer = as_lookup(offer.record.clone());
        Some(Arc::new(NeighbourLog {
            peers: self.peers.get()?.clone(),
            peer: offer.by.clone(),
            database: self.database,
            head: Some(answer.note.clone()),
            record: Some(answer),
            pocket: offer.tiles.clone(),
            metrics: self.metrics.clone(),
        }))
    }

    fn council(&self, of: &ModuleVersion) -> Option<Box<dyn Council>> {
        let council = RecordCouncil::about(self, of)?;
        Some(Box::new(council))
    }

    fn versions_at_neighbours<'a>(
        &'a self,
        module: &'a ModulePath,
    ) -> BoxFuture<'a, Option<Vec<VersionsAnswer>>> {
        Box::pin(async move {
            let (peers, haste) = self.somebody().await?;
            let key = KeyHash::of_versions(&self.name, module);
            let shown = peers.versions(self.database, key, haste).await;
            let answers = shown.into_iter().map(|shown| {
                let note = shown.head.into_bytes();
                let records = shown.records.into_iter().map(|record| Record {
                    id: record.id,
                    text: record.text,
                });
                VersionsAnswer {
                    source: self.neighbour(peers, shown.peer, None, Some(note.clone())),
                    note,
                    records: records.collect(),
                }
            });
            Some(answers.collect())
        })
    }

    fn neighbours(&self) -> Vec<Arc<dyn LogSource>> {
        let Some(peers) = self.peers.get() else {
            return Vec::new();
        };
        let mut neighbours = peers.neighbours();
        if self.is_alone() {
            let may_cross = peers.may_cross();
            neighbours.retain(|peer| may_cross || !peers.is_across(peer));
            neighbours.sort_by_key(|peer| (peers.is_slow(peer), peers.is_across(peer)));
        } else {
            neighbours.retain(|peer| !peers.is_slow(peer) && !peers.is_across(peer));
        }
        neighbours
            .into_iter()
            .take(ASKED_FOR_TILES_MAX)
            .map(|peer| self.neighbour(peers, peer, None, None))
            .collect()
    }

    fn within_reach(&self) -> HashSet<String> {
        let upstream = self.upstream.iter().filter(|log| !log.upstream.is_down());
        let neighbours = self.neighbours().into_iter().map(|one| one.name());
        neighbours
            .chain(upstream.map(|upstream| upstream.name()))
            .collect()
    }

    fn advanced(&self, note: &str) {
        if let Some(peers) = self.peers.get() {
            peers.announce_head(self.database, note.to_owned());
        }
    }

    fn contradicted(&self) {
        self.metrics.sumdb_contradicted(&self.name);
    }

    fn together(&self) -> Option<Arc<dyn Together>> {
        let together = TilesTogether::of(self)?;
        Some(Arc::new(together))
    }

    fn upstream(&self) -> Option<Arc<dyn LogSource>> {
        let upstream = self.upstream.clone()?;
        Some(upstream)
    }
}
