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

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, join_all};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::lease::{Fetched, Road};
use modmesh_protocol::limits::NEIGHBOURS_MAX;
use modmesh_protocol::log::TileCoordinate;
use modmesh_protocol::module::ModuleVersion;
use modmesh_protocol::peer_name::PeerName;
use tokio::time::timeout;

use super::log_sources::{AroundUs, UpstreamLog};
use crate::flight::Flights;
use crate::lately::Longest;
use crate::log::{AskError, LogSource, LookupAnswer, Part, TileBytes, TileOf, Together};
use crate::metrics::{Metrics, Source};
use crate::peers::{About, Haste, Peers, SoFar, Turn};
use crate::seldom::Seldom;
use crate::shutdown::Shutdown;

/// Tiles that are held for others, of one database: 1 MiB at most.
const FRESH_TILES_MAX: usize = 128;
/// How long: an owner remembers for as long who has one.
const FRESH_FOR: Duration = Duration::from_secs(30);
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

static FALSE_HEARSAY: Seldom = Seldom::new();

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

/// Tiles as this host's upstream gave them just now, for those who wait for them.
#[derive(Debug, Default)]
pub(crate) struct FreshTiles(Mutex<HashMap<(u8, u64), (TileBytes, Instant)>>);

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

impl FreshTiles {
    /// The tile, if one at least as wide came of late.
    pub(super) fn get(&self, level: u8, index: u64, width_min: u16) -> Option<TileBytes> {
        let fresh = lock(&self.0);
        let (tile, came) = fresh.get(&(level, index))?;
        (tile.0 >= width_min && came.elapsed() < FRESH_FOR).then(|| tile.clone())
    }

    /// Keeps one that came, in the place of a narrower or older one; the oldest goes where there is no room.
    fn put(&self, at: TileCoordinate, tile: &TileBytes) {
        let (mut fresh, place) = (lock(&self.0), (at.level, at.index));
        fresh.retain(|_, (_, came)| came.elapsed() < FRESH_FOR);
        if fresh.len() >= FRESH_TILES_MAX && !fresh.contains_key(&place) {
            let oldest = fresh.iter().min_by_key(|(_, (_, came))| *came);
            if let Some(oldest) = oldest.map(|(place, _)| *place) {
                fresh.remove(&oldest);
            }
        }
        if fresh.get(&place).is_none_or(|(held, _)| held.0 <= tile.0) {
            fresh.insert(place, (tile.clone(), Instant::now()));
        }
    }

    fn forget(&self, at: &[TileCoordinate]) {
        let mut fresh = lock(&self.0);
        for at in at {
            fresh.remove(&(at.level, at.index));
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
        neighbours.retain(|peer| !self.peers.is_slow(peer));
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

/// This host's upstream, for tiles that are held for others: a false one is held no longer.
#[derive(Debug)]
struct FetchedHere {
    upstream: Arc<UpstreamLog>,
    shared: Arc<SharedTiles>,
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
struct Hearsay {
    peer: PeerName,
    shared: Arc<SharedTiles>,
    metrics: Metrics,
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(index: u64, width: u16) -> TileCoordinate {
        TileCoordinate {
            level: 0,
            index,
            width,
        }
    }

    fn tile(width: u16) -> TileBytes {
        (width, vec![7; usize::from(width) * 32])
    }

    #[test]
    fn a_fresh_tile_is_had_where_it_is_wide_enough() {
        let fresh = FreshTiles::default();
        fresh.put(at(3, 100), &tile(100));
        assert_eq!(fresh.get(0, 3, 100), Some(tile(100)));
        assert_eq!(fresh.get(0, 3, 101), None);
        assert_eq!(fresh.get(1, 3, 1), None);
        fresh.put(at(3, 200), &tile(256));
        fresh.put(at(3, 100), &tile(100));
        assert_eq!(fresh.get(0, 3, 200), Some(tile(256)));
        fresh.forget(&[at(3, 200)]);
        assert_eq!(fresh.get(0, 3, 1), None);
    }

    #[test]
    fn the_oldest_gives_way() {
        let fresh = FreshTiles::default();
        for index in 0..=FRESH_TILES_MAX as u64 {
            fresh.put(at(index, 1), &tile(1));
        }
        assert_eq!(lock(&fresh.0).len(), FRESH_TILES_MAX);
        assert_eq!(fresh.get(0, 0, 1), None);
        assert!(fresh.get(0, FRESH_TILES_MAX as u64, 1).is_some());
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
