//! The neighbours: the only room that knows libp2p.
//!
//! It finds neighbours (multicast, `--peer`), keeps connections to them, shows them what is on the [`Shelf`], and asks
//! them on behalf of others. It moves messages and bytes and decides nothing: nothing a neighbour says is believed here or
//! because of this room, and whether it was true is told back with [`Peers::proven`] and [`Peers::blame`].
//!
//! Always: only on-link and `--peer` addresses are talked to; everything is bounded; a neighbour's silence costs at most
//! two seconds; whatever goes wrong with a neighbour is an error of that call and of nothing else.
//!
//! In a network larger than this host's room for neighbours the others are known by their word, and called on errands (`beyond.rs`,
//! `errands.rs`).
//!
//! With a mesh secret or a list of members, there are no neighbours but members (`members.rs`).
//!
//! Not here: who is asked first (the corridor), what is true (the gate and the log), ranges (later messages).

mod acquaint;
mod answers;
mod ask;
mod beyond;
mod capacity;
mod company;
mod counter;
mod crossing;
mod distrust;
mod door;
mod driver;
mod earshot;
mod errands;
mod error;
mod evidence;
mod first_round;
mod frames;
mod given;
mod greeting;
mod hearsay;
mod identity;
mod inline;
mod lanes;
mod ledger;
mod line;
mod listen;
mod locate;
mod members;
mod multicast;
mod named;
mod office;
mod onlink;
mod outbox;
mod pings;
mod probes;
mod raw;
mod reason;
mod remembered;
mod roads;
mod roster;
mod sayings;
mod serve;
mod shared;
mod sites;
mod statements;
mod streams;
mod swarm;
mod talk;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod tips;

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::control::{CapStatus, Leases, Limits, OwnerName, PeerStatus, UnreachedPeer};
use modmesh_protocol::digest::BlobId;
use modmesh_protocol::lease::Road;
use modmesh_protocol::limits::UPLOADS_MAX;
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::rate::Minute;
use tokio::io::AsyncWrite;

pub use answers::{Haste, Lie, Located, ShownVersions, Survey, Tile};
pub use crossing::CrossingLimits;
pub use distrust::DistrustError;
pub use error::{PeerError, PeersError};
pub use given::{Listener, NeighbourEvent, PeersConfig, Shelf, Shelved, Watch};
pub use identity::IdentityError;
pub use inline::{Found, Given, GivenProof, WantedProof};
pub use listen::check_peer_name;
pub use members::Membership;
pub use named::check_peer_address;
pub use raw::{RawProtocol, RawStream};
pub use sayings::{SayingOfMember, ShelvedSaying};
pub use statements::{NoteOfMember, ShelvedStatement, StatedFile, Statements};
pub use talk::{About, SoFar, Talk, Turn};

use locate::Reach;
use roads::Unreached;
use shared::{Command, Shared, Tiding};

use crate::manners::Pause;

/// How long another machine with this host's identity is told of after it was heard: hosts that are content speak hourly.
const TWIN_REMEMBERED: Duration = Duration::from_secs(2 * 3600);
/// How often it is looked whether a first neighbour has come.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The handle to this host's neighbours.
#[derive(Debug, Clone)]
pub struct Peers {
    shared: Arc<Shared>,
}

impl Peers {
    /// Takes this host's identity, listens, and begins to look for neighbours. Returns when it can be reached.
    ///
    /// # Errors
    /// An identity file that cannot be used, a `--peer` that is no address, a socket that was asked for and is busy.
    pub async fn start(
        config: PeersConfig,
        shelf: Arc<dyn Shelf>,
        listener: Arc<dyn Listener>,
        watch: Arc<dyn Watch>,
    ) -> Result<Self, PeersError> {
        listen::start(config, shelf, listener, watch).await
    }

    /// This host's own name.
    pub fn name(&self) -> PeerName {
        self.shared.name.clone()
    }

    /// The multiaddresses this host can be reached at, with its name; those that work from other hosts first.
    pub fn addresses(&self) -> Vec<String> {
        lock(&self.shared.addresses).clone()
    }

    /// The default port, when another program had it at the start and any free one was taken.
    pub fn port_in_use(&self) -> Option<u16> {
        self.shared.port_in_use
    }

    /// The addresses of `--peer` whose last call failed, unless whoever should be there is connected some other way.
    pub fn unreached(&self) -> Vec<UnreachedPeer> {
        let unreached = lock(&self.shared.unreached).clone();
        let is_missed = |one: &Unreached| {
            let there = one.peer.as_ref();
            !there.is_some_and(|peer| self.shared.roster.is_usable(peer))
        };
        let missed = unreached.into_iter().filter(is_missed);
        let told = missed.map(|one| UnreachedPeer {
            address: one.address,
            reason: one.why,
        });
        told.collect()
    }

    /// Where another machine with this host's identity was heard in the last two hours: a copied disk, say.
    pub fn twin(&self) -> Option<IpAddr> {
        let twin = *lock(&self.shared.twin);
        let (at, heard) = twin?;
        (heard.elapsed() < TWIN_REMEMBERED).then_some(at)
    }

    /// Neighbours that can be asked now.
    pub fn connected(&self) -> usize {
        self.shared.roster.usable_count()
    }

    /// Hosts of this site that are known by the word of neighbours, and no neighbours; they are called when something is to be asked
    /// of them. Nobody where all there are could be neighbours.
    pub fn beyond(&self) -> usize {
        self.shared.beyond_count()
    }

    /// Returns when there is a neighbour that can be asked, or at the deadline; says which.
    pub async fn somebody_by(&self, deadline: Instant) -> bool {
        loop {
            if self.connected() > 0 {
                return true;
            }
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_AGAIN.min(deadline - now)).await;
        }
    }

    /// Shortly after the start: waits until the first round of discovery is over, and says whether that was needed, so that who was
    /// asked before is asked again. A host alone waits 300 ms, one in company 1.5 s, both from the start on.
    pub async fn first_round(&self) -> bool {
        first_round::is_awaited(&self.shared).await
    }

    /// Their names.
    pub fn neighbours(&self) -> Vec<PeerName> {
        self.shared.roster.usable()
    }

    /// Asks "who has it" within this host's site: all neighbours up to 16, of more those that announced the file and some others, and where there is
    /// nobody else and these have nothing, 16 more every 100 ms. Returns when all answered or at the deadline: those that
    /// delivered proven files first, those last that were silent lately or did not give what they said they have, and among
    /// equals the quickest answer first. Neighbours that have neither are not listed.
    pub async fn locate(
        &self,
        file: Option<KeyHash>,
        record: Option<(DatabaseId, KeyHash)>,
        haste: Haste,
    ) -> Vec<Located> {
        self.survey(file, record, haste).await.found
    }

    /// As [`Peers::locate`], and says how many were asked.
    pub async fn survey(
        &self,
        file: Option<KeyHash>,
        record: Option<(DatabaseId, KeyHash)>,
        haste: Haste,
    ) -> Survey {
        let akin = file.as_slice();
        locate::locate(&self.shared, file, record, akin, haste, Reach::OwnSite).await
    }

    /// Asks every neighbour of this host's site who has the file, as whoever fetches it for all does before; nothing where [`Peers::survey`]
    /// asked them all. What a neighbour announced before it met this host is found by this alone.
    pub async fn survey_everybody(&self, file: KeyHash) -> Option<Survey> {
        locate::locate_everybody(&self.shared, file).await
    }

    /// As [`Peers::locate`], for a record alone: who announced one of the files `akin` that it covers is likely to have it.
    pub async fn locate_record(
        &self,
        database: DatabaseId,
        record: KeyHash,
        akin: &[KeyHash],
        haste: Haste,
    ) -> Vec<Located> {
        let record = Some((database, record));
        let reach = Reach::OwnSite;
        let survey = locate::locate(&self.shared, None, record, akin, haste, reach);
        survey.await.found
    }

    /// Asks, like [`Peers::locate`], of which versions of a module the neighbours have records; `key` is
    /// [`KeyHash::of_versions`]. Neighbours that have none are not listed.
    pub async fn versions(
        &self,
        database: DatabaseId,
        key: KeyHash,
        haste: Haste,
    ) -> Vec<ShownVersions> {
        locate::versions(&self.shared, database, key, haste).await
    }

    /// Tiles by level, index and least width, in the order asked; nothing where the neighbour has none that wide.
    ///
    /// # Errors
    /// When any part fails; a busy neighbour is asked again for two seconds.
    pub async fn tiles(
        &self,
        peer: &PeerName,
        database: DatabaseId,
        coordinates: &[(u8, u64, u16)],
    ) -> Result<Vec<Option<Tile>>, PeerError> {
        let id = self.usable(peer)?;
        ask::tiles(&self.shared, &id, database, coordinates).await
    }

    /// As [`Peers::tiles`], and among them may be what the neighbour's upstream gave just now and nobody has proved.
    ///
    /// # Errors
    /// As [`Peers::tiles`].
    pub async fn fresh_tiles(
        &self,
        peer: &PeerName,
        database: DatabaseId,
        coordinates: &[(u8, u64, u16)],
    ) -> Result<Vec<Option<Tile>>, PeerError> {
        let id = self.usable(peer)?;
        ask::fresh_tiles(&self.shared, &id, database, coordinates).await
    }

    /// The neighbour's signed head.
    ///
    /// # Errors
    /// As [`Peers::tiles`].
    pub async fn head(
        &self,
        peer: &PeerName,
        database: DatabaseId,
    ) -> Result<Option<String>, PeerError> {
        let id = self.usable(peer)?;
        ask::head(&self.shared, &id, database).await
    }

    /// Moves a file into `sink` and flushes it. At most eight files come from one neighbour at the same time, more wait for
    /// their turn: two seconds, or where there is nobody else as long as the eight move. A busy neighbour is asked again for
    /// 300 ms. The SHA-256 is the neighbour's word; that as many bytes came as it promised is checked.
    ///
    /// # Errors
    /// `sink` may hold any part of the file then. Two seconds with less than 16 KiB are [`PeerError::Stalled`].
    pub async fn fetch(
        &self,
        peer: &PeerName,
        file: KeyHash,
        bytes_max: u64,
        haste: Haste,
        sink: &mut (dyn AsyncWrite + Unpin + Send),
    ) -> Result<(BlobId, u64), PeerError> {
        let id = self.usable(peer)?;
        let outcome = ask::fetch(&self.shared, &id, file, bytes_max, haste, sink).await;
        if matches!(outcome, Err(PeerError::NotHere)) {
            lock(&self.shared.directory).missed(peer, &file);
        }
        if outcome.as_ref().is_err_and(PeerError::breaks_a_word) {
            self.shared.roster.broke_its_word(&id);
        }
        outcome
    }

    /// Asks the owners of a thing whether to fetch it or to wait for somebody who does. `road` says what this host's own way to the
    /// upstream is worth. Nothing where there are no neighbours.
    pub fn talk(
        &self,
        about: About,
        road: impl Fn() -> Road + Send + Sync + 'static,
    ) -> Option<Talk> {
        talk::begin(&self.shared, about, road)
    }

    /// Who would be asked now which host fetches a file of the module at `place` ([`KeyHash::of_place`]), the first one in front;
    /// nobody where there are no neighbours.
    pub fn owners(&self, place: &KeyHash) -> Vec<OwnerName> {
        talk::owner_names(&self.shared, place)
    }

    /// As [`Peers::locate`], of those alone that are named.
    pub async fn locate_among(
        &self,
        peers: &[PeerName],
        file: Option<KeyHash>,
        record: Option<(DatabaseId, KeyHash)>,
    ) -> Survey {
        locate::locate_among(&self.shared, peers, file, record).await
    }

    /// What this host decides as an owner, and what it does by the word of others.
    pub fn leases(&self) -> Leases {
        let (granted, waiting) = self.shared.office.counts();
        let talks = &self.shared.talks;
        Leases {
            granted: granted as u64,
            waiting: waiting as u64,
            fetching: talks.fetching.load(Ordering::Relaxed),
            waits: talks.waiting.load(Ordering::Relaxed),
        }
    }

    /// The limits that are kept to here, and what they are worth now.
    pub fn limits(&self) -> Limits {
        let shared = &self.shared;
        let capacity = shared.capacity;
        let (neighbours, errands) = (
            shared.roster.admitted_count(),
            shared.roster.on_errand_count(),
        );
        let mut caps = vec![
            CapStatus::new("neighbours", neighbours, capacity.neighbours()),
            CapStatus::new("errands", errands, 2 * capacity.errands()),
        ];
        caps.extend(shared.counter.caps());
        let site = &shared.crossing;
        caps.extend(shared.down.cap("downloads"));
        caps.extend(site.up.cap("site_uploads"));
        caps.extend(site.down.cap("site_downloads"));
        Limits {
            rates: vec![
                shared.up.status(),
                shared.down.status(),
                site.up.status(),
                site.down.status(),
            ],
            caps,
            uploads_paused: self.paused().map(|pause| pause.why().to_owned()),
            line: self.line(),
        }
    }

    /// It is this minute of the week: limits by the hour are those of it from now on. Who has a place keeps it.
    pub fn it_is(&self, minute: Minute) {
        let shared = &self.shared;
        let site = &shared.crossing;
        for throttle in [&shared.up, &shared.down, &site.up, &site.down] {
            throttle.it_is(minute);
        }
        let uploads = shared.up.shares(UPLOADS_MAX);
        shared.counter.uploads.set_most(uploads);
    }

    /// For how long, since the start, this host's own limits have held up files that come from neighbours such as `peer`.
    pub(crate) fn held_back(&self, peer: &PeerName) -> Duration {
        let held = self.shared.down.held();
        match self.is_across(peer) {
            true => held + self.shared.crossing.down.held(),
            false => held,
        }
    }

    /// Sends no file above 64 KiB any more, or does so again. `why` is told to people.
    pub(crate) fn pause_uploads(&self, why: Option<Pause>) {
        *lock(&self.shared.paused) = why;
    }

    /// Why no file above 64 KiB is sent at the moment.
    pub(crate) fn paused(&self) -> Option<Pause> {
        *lock(&self.shared.paused)
    }

    /// Whether no file above 64 KiB is sent at the moment.
    pub fn are_uploads_paused(&self) -> bool {
        self.shared.are_uploads_paused()
    }

    /// Tells the neighbours that this host has `files` now. They are gathered for 100 ms; nobody need be there.
    pub fn announce(&self, files: Vec<KeyHash>) {
        self.shared.outbox.files(files);
    }

    /// Tells the neighbours this host's signed head; only the latest one of a database is told.
    pub fn announce_head(&self, database: DatabaseId, note: String) {
        self.shared.outbox.head(database, note);
    }

    /// `peer` delivered something that was proven: it keeps its place when many strangers come.
    pub fn proven(&self, peer: &PeerName) {
        if let Some(id) = peer_id_of(peer) {
            self.shared.roster.proven(&id);
        }
    }

    /// A file of `peer` would have come too late and was left: for a while it is asked last, or not at all where somebody
    /// else can be asked.
    pub fn overtaken(&self, peer: &PeerName) {
        if let Some(id) = peer_id_of(peer) {
            let slow = PeerError::Overtaken.to_string();
            self.shared.roster.failed(&id, slow);
            self.shared.roster.was_slow(peer);
        }
    }

    /// A file of `peer` was refused on the word of this host's user alone, who may be mistaken: no lie, but for a while it is
    /// asked last.
    pub fn doubted(&self, peer: &PeerName, what: String) {
        if let Some(id) = peer_id_of(peer) {
            self.shared.roster.failed(&id, what);
            self.shared.roster.broke_its_word(&id);
        }
    }

    /// `peer` alone said something untrue: it is put out and left alone for an hour, and its words are kept for people.
    pub fn blame(&self, peer: &PeerName, lie: Lie) {
        self.shared.blame(peer, lie);
    }

    /// All neighbours of this run, present ones first. Reads the disk a little: it looks which evidence is still there.
    pub fn snapshot(&self) -> Vec<PeerStatus> {
        self.shared.roster.snapshot()
    }

    /// Serves what is being served, takes nothing new, ends all connections; returns at the deadline at the latest.
    pub async fn stop(&self, deadline: Duration) {
        let shared = &self.shared;
        let ending = async {
            // Half of the time at most goes to bodies that are on their way.
            let _ = tokio::time::timeout(deadline / 2, shared.counter.close()).await;
            let _ = shared.commands.send(Command::Stop).await;
            shared.commands.closed().await;
        };
        if tokio::time::timeout(deadline, ending).await.is_err() {
            tracing::warn!("the connections to neighbours did not end in time");
        }
        if let Some(budget) = shared.crossing.budget.clone() {
            let writing = tokio::task::spawn_blocking(move || budget.write());
            // What a crash there costs are the last seconds.
            let _crashed = writing.await;
        }
    }

    fn usable(&self, peer: &PeerName) -> Result<PeerId, PeerError> {
        let id = peer_id_of(peer).filter(|id| self.shared.roster.is_usable(id));
        id.ok_or(PeerError::Gone)
    }
}

/// Who was silent lately.
impl Peers {
    /// Whether `peer` was silent, half a minute ago or less, for as long as anybody may be.
    pub fn is_slow(&self, peer: &PeerName) -> bool {
        self.shared.roster.is_slow(peer)
    }

    /// `peer` was left because its answer took too long.
    pub fn was_slow(&self, peer: &PeerName) {
        self.shared.roster.was_slow(peer);
        self.shared.suspect_named(peer);
    }
}

/// The text of a peer id. Every peer id of a connection has one that fits; should a later library change that, the
/// neighbour is nameless and cannot be asked, which is harmless.
fn name_of(peer: &PeerId) -> PeerName {
    let text = peer.to_base58();
    text.parse().unwrap_or_else(|_| PeerName::nameless())
}

fn peer_id_of(name: &PeerName) -> Option<PeerId> {
    name.as_str().parse().ok()
}

fn is_loopback(address: &libp2p::Multiaddr) -> bool {
    onlink::ip_of(address).is_some_and(|ip| ip.is_loopback())
}

/// Locks, also after a panic elsewhere: the tables behind these locks are whole after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
