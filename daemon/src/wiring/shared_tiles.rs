//! Tiles that several hosts of this network want at the same moment: one asks the upstream, and the others have them from it.
//!
//! Two hosts that prove different records at once need some of the same tiles, and each may ask for one that the other waits for. So
//! nobody who fetches a tile waits for anything else: it has the tile when the upstream has answered, whether its own proof comes
//! about or not, and gives it to those who wait ([`FreshTiles`]). They prove it themselves, as they would have had to if their own
//! upstream had given it.
//!
//! What nobody has proved is hearsay. If it is false, whoever handed it on may have been deceived by its upstream, or be a liar: it is no
//! evidence, nobody is banned for it, and that host's hearsay is not asked for again for a while. The tiles are then asked of this host's own
//! upstream, as if there were no neighbours.

mod fresh;
mod givers;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, join_all};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::lease::{Fetched, Road};
use modmesh_protocol::limits::{NEIGHBOURS_MAX, TILE_BYTES_MAX};
use modmesh_protocol::log::TileCoordinate;
use modmesh_protocol::peer_name::PeerName;
use tokio::time::timeout;

use self::fresh::FreshTiles;
use self::givers::{FetchedHere, Hearsay};
use super::log_sources::{AroundUs, UpstreamLog};
use crate::flight::Flights;
use crate::lately::Longest;
use crate::log::{AskError, LogSource, TileBytes, TileOf, Together};
use crate::peers::{About, Haste, Peers, SoFar, Turn};
use crate::shutdown::Shutdown;

/// How long a host whose hearsay was false is not asked for more.
const UNHEARD_FOR: Duration = Duration::from_secs(10 * 60);
/// How long a tile is taken to need of which nothing was measured.
const TILE_ASSUMED: Duration = Duration::from_secs(1);
/// How long one neighbour may take for what it has proved, before somebody else is asked.
const PROVED_WAIT_MAX: Duration = Haste::OthersWait.deadline();
/// How long a holder may take for one tile.
const HANDED_WAIT_MAX: Duration = Duration::from_secs(1);
/// Holders of a tile that are tried for one word of an owner.
const HOLDERS_MAX: usize = 2;

/// What is known of tiles that are wanted here, of one database.
#[derive(Debug)]
pub(crate) struct SharedTiles {
    flights: Flights<TileCoordinate, Got>,
    fresh: FreshTiles,
    unheard: Mutex<HashMap<PeerName, Instant>>,
    took: Longest,
    turn: RandomState,
}

/// How asking for one tile ended.
#[derive(Debug, Clone)]
enum Got {
    /// It came, or why it did not: from this host's upstream, which was asked.
    FromUpstream(Result<TileBytes, AskError>),
    /// A neighbour has proved it.
    Proved(PeerName, TileBytes),
    /// A neighbour's upstream gave it, and nobody has proved it.
    Heard(PeerName, TileBytes),
    /// Nobody was found, and the upstream was not asked.
    Nothing,
}

impl SharedTiles {
    pub(crate) fn new(shutdown: &Shutdown) -> Self {
        Self {
            flights: Flights::new("tile", shutdown.clone()),
            fresh: FreshTiles::default(),
            unheard: Mutex::default(),
            took: Longest::default(),
            turn: RandomState::new(),
        }
    }

    pub(super) fn fresh(&self) -> &FreshTiles {
        &self.fresh
    }

    fn is_heard(&self, peer: &PeerName) -> bool {
        let unheard = lock(&self.unheard);
        unheard
            .get(peer)
            .is_none_or(|since| since.elapsed() >= UNHEARD_FOR)
    }

    fn hear_no_more(&self, peer: &PeerName) {
        let mut unheard = lock(&self.unheard);
        unheard.retain(|_, since| since.elapsed() < UNHEARD_FOR);
        if unheard.len() < NEIGHBOURS_MAX {
            unheard.insert(peer.clone(), Instant::now());
        }
    }

    /// What this host's own way to the upstream is worth, for a tile.
    fn road(&self) -> Road {
        Road {
            pace: None,
            first_byte: Some(self.took.get().unwrap_or(TILE_ASSUMED)),
        }
    }
}

/// The neighbours of one mirror that may want the same tiles.
#[derive(Debug, Clone)]
pub(super) struct TilesTogether {
    around: AroundUs,
    upstream: Arc<UpstreamLog>,
    peers: Peers,
}

impl TilesTogether {
    /// Nothing where there is no neighbour, or no upstream that could be asked.
    pub(super) fn of(around: &AroundUs) -> Option<Self> {
        let peers = around.peers.get().filter(|peers| peers.connected() > 0)?;
        let upstream = around.upstream.clone().filter(|_| !around.is_alone())?;
        Some(Self {
            around: around.clone(),
            upstream,
            peers: peers.clone(),
        })
    }

    async fn tile(&self, at: TileCoordinate) -> Option<TileOf> {
        let flight = self.shared().flights.join(at, || self.clone().gather(at));
        let (answer, giver): TileOf = match flight.await.unwrap_or(Got::Nothing) {
            Got::FromUpstream(answer) => {
                let giver = FetchedHere {
                    upstream: Arc::clone(&self.upstream),
                    shared: Arc::clone(self.shared()),
                };
                (answer, Arc::new(giver))
            }
            Got::Proved(peer, tile) => {
                let giver = self.around.known_neighbour(&self.peers, peer);
                (Ok(tile), giver)
            }
            Got::Heard(peer, tile) => {
                let giver = Hearsay {
                    peer,
                    shared: Arc::clone(self.shared()),
                    metrics: self.around.metrics.clone(),
                };
                (Ok(tile), Arc::new(giver))
            }
            Got::Nothing => return None,
        };
        Some((answer, giver))
    }

    async fn gather(self, at: TileCoordinate) -> Got {
        if let Some(tile) = self.shared().fresh.get(at.level, at.index, at.width) {
            return Got::FromUpstream(Ok(tile));
        }
        if let Some(proved) = self.proved_by_one(at).await {
            return proved;
        }
        let so_far = Arc::new(SoFar::default());
        let key = KeyHash::of_tile(self.around.database, at);
        let about = About {
            key,
            place: key,
            bytes_max: TILE_BYTES_MAX as u64,
            can_fetch: true,
            so_far: Arc::clone(&so_far),
        };
        let shared = Arc::clone(self.shared());
        let Some(mut talk) = self.peers.talk(about, move || shared.road()) else {
            return Got::Nothing;
        };
        loop {
            let holders = match talk.next().await {
                Turn::Take(holders) => holders,
                Turn::Fetch => break,
                Turn::Nobody => return Got::Nothing,
            };
            // It is not said to be a holder then: the tile is there when it is proved, and not before.
            if let Some(heard) = self.handed_on(at, &holders).await {
                return heard;
            }
            talk.taken(false).await;
        }
        let began = Instant::now();
        let answer = self.upstream.tile(at).await;
        let how = match &answer {
            Ok(tile) => {
                self.shared().took.measured(began.elapsed());
                self.shared().fresh.put(at, tile);
                so_far.came(tile.1.len() as u64);
                Fetched::Here
            }
            Err(_) => Fetched::Failed { status: 404 },
        };
        talk.end(how).await;
        Got::FromUpstream(answer)
    }

    /// The upper tiles are few and most hosts have proved them; of the lowest ones every host has others.
    async fn proved_by_one(&self, at: TileCoordinate) -> Option<Got> {
        let mut neighbours = self.peers.neighbours();
        neighbours.retain(|peer| !self.peers.is_slow(peer) && !self.peers.is_across(peer));
        if at.level == 0 || neighbours.is_empty() {
            return None;
        }
        let turn = self.shared().turn.hash_one(at) as usize % neighbours.len();
        let peer = neighbours.swap_remove(turn);
        let asked = [(at.level, at.index, at.width)];
        let asking = self.peers.tiles(&peer, self.around.database, &asked);
        let tiles = timeout(PROVED_WAIT_MAX, asking).await.ok()?.ok()?;
        let tile = tiles.into_iter().next().flatten()?;
        Some(Got::Proved(peer, tile))
    }

    async fn handed_on(&self, at: TileCoordinate, holders: &[PeerName]) -> Option<Got> {
        let heard = holders.iter().filter(|peer| self.shared().is_heard(peer));
        for peer in heard.take(HOLDERS_MAX) {
            let asked = [(at.level, at.index, at.width)];
            let asking = self.peers.fresh_tiles(peer, self.around.database, &asked);
            let Ok(Ok(tiles)) = timeout(HANDED_WAIT_MAX, asking).await else {
                continue;
            };
            if let Some(tile) = tiles.into_iter().next().flatten() {
                return Some(Got::Heard(peer.clone(), tile));
            }
        }
        None
    }

    fn shared(&self) -> &Arc<SharedTiles> {
        &self.around.tiles
    }
}

impl Together for TilesTogether {
    fn upstream(&self) -> Arc<dyn LogSource> {
        Arc::<UpstreamLog>::clone(&self.upstream)
    }

    fn tiles<'a>(
        &'a self,
        coordinates: &'a [TileCoordinate],
    ) -> BoxFuture<'a, Vec<Option<TileOf>>> {
        Box::pin(join_all(coordinates.iter().map(|at| self.tile(*at))))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Part;
    use crate::metrics::Metrics;

    fn at(index: u64, width: u16) -> TileCoordinate {
        TileCoordinate {
            level: 0,
            index,
            width,
        }
    }

    #[tokio::test]
    async fn whose_hearsay_was_false_is_not_heard() {
        let shared = Arc::new(SharedTiles::new(&Shutdown::new()));
        let peer = PeerName::nameless();
        assert!(shared.is_heard(&peer));
        let hearsay = Hearsay {
            peer: peer.clone(),
            shared: Arc::clone(&shared),
            metrics: Metrics::new(),
        };
        hearsay.blame(Part::Tiles(&[at(0, 1)]), "false", &[]);
        assert!(!shared.is_heard(&peer));
        // It shows no head, so that nothing it gave is weighed against it as a log of its own.
        assert_eq!(hearsay.head().await, None);
    }
}
