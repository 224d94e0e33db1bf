//! One neighbour as a source.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use modmesh_protocol::limits::NO_PROGRESS_MAX;
use modmesh_protocol::log::{DatabaseId, HASH_BYTES, TileCoordinate};
use modmesh_protocol::module::ModuleVersion;
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::{PlacedTile, RecordAnswer};
use tokio::time::timeout;

use crate::log::{AskError, LogSource, LookupAnswer, Part, TileBytes};
use crate::metrics::{Metrics, Source};
use crate::peers::{Lie, PeerError, Peers};

/// Who takes longer to give tiles counts as silent for a while: its answer came in time, and too late to be worth waiting for
/// again where somebody else can be asked.
const WAITED_FOR_TILES_MAX: Duration = Duration::from_secs(1);
/// Who takes longer to say that it has none of them does so too: to look takes some milliseconds.
const WAITED_FOR_NOTHING_MAX: Duration = Duration::from_millis(250);

/// One neighbour, with the record it said it has.
#[derive(Debug)]
pub(super) struct NeighbourLog {
    pub(super) peers: Peers,
    pub(super) peer: PeerName,
    pub(super) database: DatabaseId,
    pub(super) record: Option<LookupAnswer>,
    /// The head that it has just shown.
    pub(super) head: Option<Vec<u8>>,
    /// Tiles that came with the record, in whatever form.
    pub(super) pocket: Vec<PlacedTile>,
    pub(super) metrics: Metrics,
}

impl LogSource for NeighbourLog {
    fn name(&self) -> String {
        format!("neighbour {}", self.peer)
    }

    fn source(&self) -> Source {
        Source::Peer
    }

    fn lookup<'a>(&'a self, _: &'a ModuleVersion) -> BoxFuture<'a, Result<LookupAnswer, AskError>> {
        Box::pin(async move { self.record.clone().ok_or(AskError::Missing) })
    }

    fn tiles<'a>(
        &'a self,
        coordinates: &'a [TileCoordinate],
    ) -> BoxFuture<'a, Vec<Result<TileBytes, AskError>>> {
        Box::pin(async move {
            // What came with the record need not be asked for.
            let at_hand: Vec<_> = coordinates.iter().map(|at| self.in_pocket(at)).collect();
            let is_no_tile = |(width, bytes): &TileBytes| {
                !(1..=256).contains(width) || bytes.len() != usize::from(*width) * HASH_BYTES
            };
            if at_hand.iter().flatten().any(is_no_tile) {
                let what = PeerError::Protocol("a tile of another width");
                self.blame(Part::Tiles(coordinates), &what.to_string(), &[]);
                let error = AskError::Unreachable(what.to_string());
                return coordinates.iter().map(|_| Err(error.clone())).collect();
            }
            let wanting = coordinates.iter().zip(&at_hand);
            let wanting = wanting.filter(|(_, at_hand)| at_hand.is_none());
            let wanting: Vec<_> = wanting.map(|(at, _)| *at).collect();
            let mut asked_for = match wanting.is_empty() {
                true => Vec::new(),
                false => self.ask_for(&wanting).await,
            }
            .into_iter();
            let answers = at_hand.into_iter().map(|at_hand| match at_hand {
                Some(tile) => Ok(tile),
                None => asked_for.next().unwrap_or(Err(AskError::Missing)),
            });
            answers.collect()
        })
    }

    fn head(&self) -> BoxFuture<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            match &self.head {
                Some(note) => Some(note.clone()),
                None => self.latest().await.ok(),
            }
        })
    }

    fn latest(&self) -> BoxFuture<'_, Result<Vec<u8>, AskError>> {
        Box::pin(async move {
            let asking = self.peers.head(&self.peer, self.database);
            match timeout(NO_PROGRESS_MAX, asking).await {
                Ok(Ok(note)) => Ok(note.ok_or(AskError::Missing)?.into_bytes()),
                Ok(Err(error)) => Err(AskError::Unreachable(error.to_string())),
                Err(_) => Err(AskError::Unreachable(PeerError::Stalled.to_string())),
            }
        })
    }

    fn behind(&self) -> Option<Arc<dyn LogSource>> {
        None
    }

    fn blame(&self, _: Part<'_>, what: &str, evidence: &[u8]) {
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

pub(super) fn as_lookup(record: RecordAnswer) -> LookupAnswer {
    LookupAnswer {
        id: record.id,
        text: record.text,
        note: record.head.into_bytes(),
    }
}

impl NeighbourLog {
    /// The tile at `asked` that came with the record, when it is as wide.
    fn in_pocket(&self, asked: &TileCoordinate) -> Option<TileBytes> {
        let place = |placed: &&PlacedTile| {
            (placed.level, placed.index) == (asked.level, asked.index)
                && placed.tile.width >= asked.width
        };
        let tile = &self.pocket.iter().find(place)?.tile;
        Some((tile.width, tile.bytes.clone()))
    }

    /// Asks for `coordinates` over the wire. Two seconds for the whole answer, however many streams it takes.
    async fn ask_for(&self, coordinates: &[TileCoordinate]) -> Vec<Result<TileBytes, AskError>> {
        let asked: Vec<_> = coordinates
            .iter()
            .map(|coordinate| (coordinate.level, coordinate.index, coordinate.width))
            .collect();
        let (asking, began) = (
            self.peers.tiles(&self.peer, self.database, &asked),
            Instant::now(),
        );
        let error = match timeout(NO_PROGRESS_MAX, asking).await {
            Ok(Ok(tiles)) => {
                let is_worth_it = match tiles.iter().any(Option::is_some) {
                    true => began.elapsed() < WAITED_FOR_TILES_MAX,
                    false => began.elapsed() < WAITED_FOR_NOTHING_MAX,
                };
                if !is_worth_it {
                    self.peers.was_slow(&self.peer);
                }
                let or_missing = |tile: Option<_>| tile.ok_or(AskError::Missing);
                return tiles.into_iter().map(or_missing).collect();
            }
            // No accident makes this of a message that came whole.
            Ok(Err(error @ PeerError::Protocol(_))) => {
                self.blame(Part::Tiles(coordinates), &error.to_string(), &[]);
                error
            }
            Ok(Err(error)) => error,
            Err(_) => {
                self.peers.was_slow(&self.peer);
                PeerError::Stalled
            }
        };
        let error = AskError::Unreachable(error.to_string());
        coordinates.iter().map(|_| Err(error.clone())).collect()
    }
}
