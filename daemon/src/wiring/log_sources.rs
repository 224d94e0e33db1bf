//! The mirror's sources: the upstream and the neighbours, seen as holders of parts of the log.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures::future::{BoxFuture, join_all};
use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::log::{DatabaseId, Record, TileCoordinate};
use modmesh_protocol::module::ModuleVersion;
use modmesh_protocol::peer_name::PeerName;

use crate::log::{AskError, LogSource, LookupAnswer, Surroundings, TileBytes};
use crate::metrics::{Metrics, Source};
use crate::peers::{Haste, Lie, Peers};
use crate::upstream::{SumdbAddress, Upstream, UpstreamError};

/// Neighbours that are asked in turn for tiles that a record's giver lacks.
const ASKED_FOR_TILES_MAX: usize = 4;
/// Largest lookup answer and tile; the protocol bounds both more closely.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// A database as the upstream offers it.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamLog {
    pub upstream: Upstream,
    pub address: SumdbAddress,
    pub metrics: Metrics,
}

/// Everything around one mirror. The neighbours are handed in when they are up.
#[derive(Debug)]
pub(crate) struct AroundUs {
    pub name: String,
    pub database: DatabaseId,
    pub peers: Arc<OnceLock<Peers>>,
    pub upstream: Option<Arc<UpstreamLog>>,
    pub metrics: Metrics,
    /// Until then a host that has no upstream waits for a first neighbour.
    pub settled_at: Instant,
}

/// One neighbour, with the record it said it has.
#[derive(Debug)]
struct NeighbourLog {
    peers: Peers,
    peer: PeerName,
    database: DatabaseId,
    record: Option<LookupAnswer>,
    metrics: Metrics,
}

impl LogSource for UpstreamLog {
    fn name(&self) -> String {
        "upstream".to_owned()
    }

    fn lookup<'a>(
        &'a self,
        of: &'a ModuleVersion,
    ) -> BoxFuture<'a, Result<LookupAnswer, AskError>> {
        Box::pin(async move {
            let path = format!("lookup/{}@{}", of.module.escaped(), of.version.escaped());
            let asked = self
                .upstream
                .sumdb(&self.address, &path, ANSWER_BYTES_MAX)
                .await;
            let body = match asked {
                Ok(answer) => answer.body,
                // A proxy's word that there is no record is not the database's: a hostile one could make any module
                // look private with it.
                Err(UpstreamError::NotFound(_)) => self.lookup_itself(&path).await?,
                Err(error) => return Err(AskError::Unreachable(error.to_string())),
            };
            let (record, note) = Record::parse_lookup(&body).map_err(|error| {
                AskError::Unreachable(format!("upstream's lookup answer is not one: {error}"))
            })?;
            Ok(LookupAnswer {
                id: record.id,
                text: record.text,
                note: note.to_vec(),
            })
        })
    }

    fn tiles<'a>(
        &'a self,
        coordinates: &'a [TileCoordinate],
    ) -> BoxFuture<'a, Vec<Result<TileBytes, AskError>>> {
        Box::pin(join_all(
            coordinates.iter().map(|coordinate| self.tile(*coordinate)),
        ))
    }

    fn blame(&self, what: &str, _evidence: &[u8]) {
        self.metrics.verification_failure(Source::Upstream);
        tracing::warn!(
            database = self.address.name,
            what,
            "upstream gave a false part of the checksum database"
        );
    }
}

impl UpstreamLog {
    async fn lookup_itself(&self, path: &str) -> Result<bytes::Bytes, AskError> {
        match self
            .upstream
            .sumdb_itself(&self.address, path, ANSWER_BYTES_MAX)
            .await
        {
            Ok(answer) => Ok(answer.body),
            Err(UpstreamError::NotFound(_)) => Err(AskError::NotListed),
            Err(error) => Err(AskError::Unreachable(error.to_string())),
        }
    }

    /// Partial tiles of old heads are served only by luck; the full one, where there is one by now, holds them.
    async fn tile(&self, coordinate: TileCoordinate) -> Result<TileBytes, AskError> {
        let full = TileCoordinate {
            width: 256,
            ..coordinate
        };
        let mut wanted = vec![coordinate];
        if coordinate != full {
            wanted.push(full);
        }
        let mut missing = AskError::Missing;
        for coordinate in wanted {
            match self
                .upstream
                .sumdb(&self.address, &coordinate.path(), ANSWER_BYTES_MAX)
                .await
            {
                Ok(answer) => return Ok((coordinate.width, answer.body.to_vec())),
                Err(UpstreamError::NotFound(_)) => {}
                Err(error) => missing = AskError::Unreachable(error.to_string()),
            }
        }
        Err(missing)
    }
}

impl LogSource for NeighbourLog {
    fn name(&self) -> String {
        format!("neighbour {}", self.peer)
    }

    fn lookup<'a>(&'a self, _: &'a ModuleVersion) -> BoxFuture<'a, Result<LookupAnswer, AskError>> {
        Box::pin(async move { self.record.clone().ok_or(AskError::Missing) })
    }

    fn tiles<'a>(
        &'a self,
        coordinates: &'a [TileCoordinate],
    ) -> BoxFuture<'a, Vec<Result<TileBytes, AskError>>> {
        Box::pin(async move {
            let asked: Vec<_> = coordinates
                .iter()
                .map(|coordinate| (coordinate.level, coordinate.index, coordinate.width))
                .collect();
            match self.peers.tiles(&self.peer, self.database, &asked).await {
                Ok(tiles) => tiles
                    .into_iter()
                    .map(|tile| tile.ok_or(AskError::Missing))
                    .collect(),
                Err(error) => {
                    let error = AskError::Unreachable(error.to_string());
                    coordinates.iter().map(|_| Err(error.clone())).collect()
                }
            }
        })
    }

    fn blame(&self, what: &str, evidence: &[u8]) {
        self.metrics.verification_failure(Source::Peer);
        self.peers.blame(
            &self.peer,
            Lie {
                what: what.to_owned(),
                evidence: evidence.to_vec(),
            },
        );
    }
}

impl AroundUs {
    fn neighbour(
        &self,
        peers: &Peers,
        peer: PeerName,
        record: Option<LookupAnswer>,
    ) -> Arc<dyn LogSource> {
        Arc::new(NeighbourLog {
            peers: peers.clone(),
            peer,
            database: self.database,
            record,
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
            let Some(peers) = self.peers.get() else {
                return Vec::new();
            };
            let alone = self
                .upstream
                .as_ref()
                .is_none_or(|log| log.upstream.is_down());
            let haste = if alone {
                peers.somebody_by(self.settled_at).await;
                Haste::NobodyElse
            } else {
                Haste::OthersWait
            };
            if peers.connected() == 0 {
                return Vec::new();
            }
            let key = KeyHash::of_record(&self.name, of);
            // Who has a file of the version had to prove its record.
            let akin = [FileKind::Mod, FileKind::Zip].map(|kind| {
                let of = of.clone();
                KeyHash::of_file(&ArtifactKey { of, kind })
            });
            let located = peers.locate_record(self.database, key, &akin, haste).await;
            located
                .into_iter()
                .filter_map(|located| {
                    let record = located.record?;
                    let answer = LookupAnswer {
                        id: record.id,
                        text: record.text,
                        note: record.head.into_bytes(),
                    };
                    Some(self.neighbour(peers, located.peer, Some(answer)))
                })
                .collect()
        })
    }

    fn neighbours(&self) -> Vec<Arc<dyn LogSource>> {
        let Some(peers) = self.peers.get() else {
            return Vec::new();
        };
        peers
            .neighbours()
            .into_iter()
            .take(ASKED_FOR_TILES_MAX)
            .map(|peer| self.neighbour(peers, peer, None))
            .collect()
    }

    fn advanced(&self, note: &str) {
        if let Some(peers) = self.peers.get() {
            peers.announce_head(self.database, note.to_owned());
        }
    }

    fn upstream(&self) -> Option<Arc<dyn LogSource>> {
        let upstream = self.upstream.clone()?;
        Some(upstream)
    }
}
