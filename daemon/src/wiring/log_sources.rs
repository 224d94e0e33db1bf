//! The mirror's sources: the upstream and the neighbours, seen as holders of parts of the log.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, join_all};
use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::lease::Road;
use modmesh_protocol::limits::NO_PROGRESS_MAX;
use modmesh_protocol::log::{DatabaseId, HASH_BYTES, Record, TileCoordinate};
use modmesh_protocol::module::{ModulePath, ModuleVersion};
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::site::{First, Upstream as Own, way_out};
use modmesh_protocol::wire::{PlacedTile, RecordAnswer};
use tokio::time::timeout;

use super::councils::{LOOKUP_BYTES, RecordCouncil};
use super::givers::Givers;
use super::shared_tiles::{SharedTiles, TilesTogether};
use crate::lately::Longest;
use crate::log::{
    AskError, Council, LogSource, LookupAnswer, Offer, Part, Surroundings, TileBytes, Together,
    VersionsAnswer,
};
use crate::metrics::{Metrics, Source};
use crate::peers::{Haste, Lie, Located, PeerError, Peers};
use crate::seldom::Seldom;
use crate::upstream::{SumdbAddress, SumdbAnswer, Upstream, UpstreamError};

/// Where a database tells its newest head.
const LATEST: &str = "latest";
/// Neighbours that are asked in turn for tiles that a record's giver lacks.
const ASKED_FOR_TILES_MAX: usize = 4;
/// Who takes longer to give tiles counts as silent for a while: its answer came in time, and too late to be worth waiting for
/// again where somebody else can be asked.
const WAITED_FOR_TILES_MAX: Duration = Duration::from_secs(1);
/// Who takes longer to say that it has none of them does so too: to look takes some milliseconds.
const WAITED_FOR_NOTHING_MAX: Duration = Duration::from_millis(250);
/// Largest lookup answer and tile; the protocol bounds both more closely.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

static FALSE_PARTS: Seldom = Seldom::new();
static NO_TILES: Seldom = Seldom::new();

/// A database as the upstream offers it, or itself.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamLog {
    pub upstream: Upstream,
    pub address: SumdbAddress,
    pub metrics: Metrics,
    pub way: Way,
    /// The signed note that came with the last lookup: the newest thing known of the log that it shows.
    pub last_note: Arc<Mutex<Option<Vec<u8>>>>,
    /// Who of the list gave what, to name the right one when it is false.
    pub givers: Arc<Mutex<Givers>>,
}

/// How a database is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through the proxies, where one offers it. What they say about it is not the database's word.
    Proxies,
    /// Itself.
    Straight,
}

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

/// One neighbour, with the record it said it has.
#[derive(Debug)]
struct NeighbourLog {
    peers: Peers,
    peer: PeerName,
    database: DatabaseId,
    record: Option<LookupAnswer>,
    /// The head that it has just shown.
    head: Option<Vec<u8>>,
    /// Tiles that came with the record, in whatever form.
    pocket: Vec<PlacedTile>,
    metrics: Metrics,
}

impl LogSource for UpstreamLog {
    fn name(&self) -> String {
        match self.way {
            Way::Proxies => "upstream".to_owned(),
            Way::Straight => "the database itself".to_owned(),
        }
    }

    fn source(&self) -> Source {
        Source::Upstream
    }

    fn road(&self) -> String {
        let (name, itself) = (&self.address.name, &self.address.direct_base);
        match self.address.bypass_proxies {
            true => format!("{itself}, and no proxy, as the setting says"),
            false => format!("the upstream's /sumdb/{name}/, and {itself} where there is none"),
        }
    }

    fn lookup<'a>(
        &'a self,
        of: &'a ModuleVersion,
    ) -> BoxFuture<'a, Result<LookupAnswer, AskError>> {
        Box::pin(async move {
            let path = lookup_path(of);
            let body = self
                .ask(&path)
                .await
                .map_err(|error| match (error, self.way) {
                    // A proxy's word that there is no record is not the database's: a hostile one could make any module
                    // look private with it.
                    (UpstreamError::NotFound(_), Way::Straight) => AskError::NotListed,
                    (error @ UpstreamError::NotFound(_), Way::Proxies) => {
                        let said = error.to_string();
                        AskError::NoAnswer { said, status: None }
                    }
                    (error, _) => as_ask_error(&error),
                })?;
            let (record, note) = Record::parse_lookup(&body).map_err(|error| {
                let giver = self.givers().of(&[path]);
                let said = format!("the answer of {giver} is none: {error}");
                AskError::NoAnswer { said, status: None }
            })?;
            let note = note.to_vec();
            *self.last_note() = Some(note.clone());
            Ok(LookupAnswer {
                id: record.id,
                text: record.text,
                note,
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

    fn head(&self) -> BoxFuture<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            let last = self.last_note().clone();
            match last {
                Some(note) => Some(note),
                None => self.latest().await.ok(),
            }
        })
    }

    fn latest(&self) -> BoxFuture<'_, Result<Vec<u8>, AskError>> {
        Box::pin(async move {
            let answer = self.ask(LATEST).await;
            Ok(answer.map_err(|error| as_ask_error(&error))?.to_vec())
        })
    }

    fn behind(&self) -> Option<Arc<dyn LogSource>> {
        let itself = Self {
            way: Way::Straight,
            last_note: Arc::default(),
            givers: Arc::default(),
            ..self.clone()
        };
        (self.way == Way::Proxies).then(|| Arc::new(itself) as Arc<dyn LogSource>)
    }

    fn blame(&self, part: Part<'_>, what: &str, _evidence: &[u8]) {
        self.metrics.verification_failure(Source::Upstream);
        let paths = match part {
            Part::Record(of) => vec![lookup_path(of)],
            // Upstream is not asked for these.
            Part::Versions => Vec::new(),
            Part::Tiles(at) => at.iter().map(|at| widest_path(*at)).collect(),
            Part::Head => vec![LATEST.to_owned()],
        };
        if let Some(left_out) = FALSE_PARTS.turn() {
            tracing::warn!(
                database = self.address.name,
                from = self.givers().of(&paths),
                what,
                left_out,
                "upstream gave a false part of the checksum database"
            );
        }
    }
}

impl UpstreamLog {
    fn last_note(&self) -> std::sync::MutexGuard<'_, Option<Vec<u8>>> {
        self.last_note
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, path: &str) -> Result<bytes::Bytes, UpstreamError> {
        let (upstream, address) = (&self.upstream, &self.address);
        let answer: SumdbAnswer = match self.way {
            Way::Proxies => upstream.sumdb(address, path, ANSWER_BYTES_MAX).await?,
            Way::Straight => {
                upstream
                    .sumdb_itself(address, path, ANSWER_BYTES_MAX)
                    .await?
            }
        };
        self.givers().note(path, answer.url);
        Ok(answer.body)
    }

    fn givers(&self) -> std::sync::MutexGuard<'_, Givers> {
        self.givers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Partial tiles of old heads are served only by luck; the full one, where there is one by now, holds them.
    pub(super) async fn tile(&self, coordinate: TileCoordinate) -> Result<TileBytes, AskError> {
        let full = coordinate.with_width(256);
        let mut wanted = vec![coordinate];
        if coordinate != full {
            wanted.push(full);
        }
        let mut missing = AskError::Missing;
        for coordinate in wanted {
            match self.ask(&coordinate.path()).await {
                Ok(body) if body.len() == coordinate.bytes() => {
                    return Ok((coordinate.width, body.to_vec()));
                }
                Ok(body) => missing = self.no_tile(coordinate, body.len()),
                Err(UpstreamError::NotFound(_)) => {}
                Err(error) => {
                    missing = as_ask_error(&error);
                    if matches!(missing, AskError::Unreachable(_)) {
                        break;
                    }
                }
            }
        }
        Err(missing)
    }

    /// What came in the place of a tile, such as a web page: nobody's lie for certain, and yet somebody must be told.
    fn no_tile(&self, at: TileCoordinate, bytes: usize) -> AskError {
        let (giver, path) = (self.givers().of(&[widest_path(at)]), at.path());
        if let Some(left_out) = NO_TILES.turn() {
            tracing::warn!(
                database = self.address.name,
                from = giver,
                path,
                bytes,
                left_out,
                "upstream answered with something that is no tile"
            );
        }
        let said = format!("the answer of {giver} is no tile {path}");
        AskError::NoAnswer { said, status: None }
    }
}

fn lookup_path(of: &ModuleVersion) -> String {
    format!("lookup/{}@{}", of.module.escaped(), of.version.escaped())
}

fn widest_path(at: TileCoordinate) -> String {
    at.with_width(256).path()
}

/// Whether somebody answered.
fn as_ask_error(error: &UpstreamError) -> AskError {
    match error {
        UpstreamError::NotFound(_) => AskError::Missing,
        UpstreamError::Refused(_) | UpstreamError::Failed(_) | UpstreamError::TooLarge { .. } => {
            let status = error.answer().map(|answer| answer.status);
            AskError::NoAnswer {
                said: error.to_string(),
                // A status that is no error would make a failure look like an answer.
                status: status.filter(|status| (400..=599).contains(status)),
            }
        }
        UpstreamError::Unreachable { .. }
        | UpstreamError::Off
        | UpstreamError::DirectRefused(_)
        | UpstreamError::DirectFailed { .. }
        | UpstreamError::DirectNotYours
        | UpstreamError::Sink(_) => AskError::Unreachable(error.to_string()),
    }
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

fn as_lookup(record: RecordAnswer) -> LookupAnswer {
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
