//! What neighbours see of this host, and what they tell it on their own account.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::Method;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::digest::BlobId;
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::RecordAnswer;
use tokio::sync::broadcast;

use crate::Event;
use crate::fetch::{Sayings, info_of};
use crate::log::Mirrors;
use crate::metrics::Metrics;
use crate::peers::{NeighbourEvent, Shelf, Shelved, ShelvedSaying, ShelvedStatement};
use crate::proxy::{Route, parse_route};
use crate::store::Store;
use crate::trust::Scope;
use crate::upstream::Upstream;

use super::AroundUs;

/// The store and the log, as far as anybody may have them.
#[derive(Debug)]
pub(crate) struct OpenShelf {
    pub store: Store,
    pub mirrors: Mirrors,
    pub around: HashMap<DatabaseId, Arc<AroundUs>>,
    pub sayings: Arc<Sayings>,
}

impl Shelf for OpenShelf {
    fn file(&self, key: KeyHash) -> Option<Shelved> {
        let stored = self.store.get_shareable(key)?;
        let measured = stored.entry.proof.measured();
        Some(Shelved {
            file: stored.file,
            blob: measured.blob,
            length: measured.length,
        })
    }

    fn damaged(&self, key: KeyHash) {
        if let Some(stored) = self.store.get_shareable(key) {
            self.store
                .quarantine(&stored.entry, "its bytes are not those that were kept");
        }
    }

    fn summary(&self, key: KeyHash) -> Option<(BlobId, u64)> {
        let measured = self.store.shareable_summary(key)?;
        Some((measured.blob, measured.length))
    }

    fn holds(&self, key: KeyHash) -> bool {
        let is_record = || {
            let all = self.mirrors.all();
            let mut mirrors = all.iter().map(|database| database.mirror());
            mirrors.any(|mirror| mirror.kept_record_of(key).is_some())
        };
        let is_saying = || self.sayings.get(key).is_some();
        self.store.shareable_summary(key).is_some() || is_saying() || is_record()
    }

    fn statement(&self, key: KeyHash) -> Option<ShelvedStatement> {
        let entry = self.store.for_members(key)?;
        let (measured, by) = (entry.proof.measured(), entry.proof.by_member());
        Some(ShelvedStatement {
            h1: entry.proof.h1(),
            blob: measured.blob,
            length: measured.length,
            by: by.map(|by| (by.author.clone(), by.signature)),
        })
    }

    fn note(&self, path: &str) -> Option<(Vec<u8>, Duration)> {
        // The path comes from outside, and only one that this host's own door would take leads into the store.
        let Ok(Route::Note(key)) = parse_route(&Method::GET, &format!("/{path}")) else {
            return None;
        };
        let kept = self.store.read_note(&key.url_path(), true);
        if let Some(note) = kept.filter(|note| !note.provisional) {
            return Some((note.bytes, note.age));
        }
        let of = key.version()?;
        let is_here = [Scope::Proven, Scope::Local, Scope::Unlisted]
            .into_iter()
            .any(|scope| self.store.holds_version(&of, scope));
        is_here.then(|| (info_of(&of.version).to_vec(), Duration::ZERO))
    }

    fn record(&self, database: DatabaseId, key: KeyHash) -> Option<RecordAnswer> {
        // Record and head of one log.
        let mirror = self.mirrors.by_id(database)?;
        let record = mirror.kept_record_of(key)?;
        let head = mirror.head()?.note().to_owned();
        let (id, text) = (record.id, record.text);
        Some(RecordAnswer { id, text, head })
    }

    fn versions(&self, database: DatabaseId, key: KeyHash) -> Option<(String, Vec<(u64, String)>)> {
        // Of one log; and the records first: the head must cover them all, and only grows.
        let mirror = self.mirrors.by_id(database)?;
        let records = mirror.versions_to_show(key).into_iter();
        let records = records.map(|record| (record.id, record.text)).collect();
        Some((mirror.head()?.note().to_owned(), records))
    }

    fn tile(
        &self,
        database: DatabaseId,
        level: u8,
        index: u64,
        width_min: u16,
    ) -> Option<(u16, Vec<u8>)> {
        let tile = self.mirrors.by_id(database)?.kept_tile(level, index)?;
        let width = tile.coordinate().width;
        (width >= width_min).then(|| (width, tile.bytes().to_vec()))
    }

    fn saying(&self, key: KeyHash) -> Option<ShelvedSaying> {
        let (said, age) = self.sayings.get(key)?;
        Some(ShelvedSaying {
            status: said.status,
            bytes: said.bytes.to_vec(),
            age,
            at: said.at.duration_since(UNIX_EPOCH).unwrap_or_default(),
        })
    }

    fn fresh_tile(
        &self,
        database: DatabaseId,
        level: u8,
        index: u64,
        width_min: u16,
    ) -> Option<(u16, Vec<u8>)> {
        let around = self.around.get(&database)?;
        around.fresh_tile(level, index, width_min)
    }

    fn head(&self, database: DatabaseId) -> Option<String> {
        Some(self.mirrors.by_id(database)?.head()?.note().to_owned())
    }

    fn heads(&self) -> Vec<(DatabaseId, u64)> {
        self.mirrors
            .all()
            .iter()
            .map(|database| {
                let size = database.mirror().tree_size();
                (database.database_id(), size)
            })
            .collect()
    }
}

/// Hears what neighbours announce.
#[derive(Debug)]
pub(crate) struct NeighbourNews {
    pub mirrors: Mirrors,
    pub around: HashMap<DatabaseId, Arc<AroundUs>>,
    pub events: broadcast::Sender<Event>,
    pub upstream: Option<Upstream>,
    pub metrics: Metrics,
}

impl crate::peers::Listener for NeighbourNews {
    fn head(&self, from: PeerName, database: DatabaseId, note: String) {
        let around = self.around.get(&database);
        let source = around.and_then(|around| around.quick_neighbour(&from));
        if let (Some(mirror), Some(source)) = (self.mirrors.by_id(database), source) {
            mirror.offer_head(&note, source);
        }
    }

    fn neighbour(&self, event: NeighbourEvent) {
        let event = match event {
            NeighbourEvent::Came { peer, found_by } => Event::NeighbourCame {
                name: peer,
                found_by,
            },
            NeighbourEvent::Went { peer } => Event::NeighbourWent { name: peer },
        };
        let _nobody_listens = self.events.send(event);
    }

    fn upstream_rests(&self, from: PeerName, entry: KeyHash, rest: Duration) {
        if let Some(upstream) = &self.upstream
            && upstream.heard_rest(&from, entry, rest)
        {
            tracing::info!(%from, ?rest, "a member says that an upstream wants to be left alone");
            self.metrics.upstream_rest("heard");
        }
    }
}
