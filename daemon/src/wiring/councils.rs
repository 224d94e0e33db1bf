//! The owners of a record, as the mirror consults them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::lease::{Fetched, Road};
use modmesh_protocol::limits::RECORD_TEXT_BYTES_MAX;
use modmesh_protocol::module::ModuleVersion;

use super::AroundUs;
use crate::lately::Longest;
use crate::log::{Advice, Council};
use crate::peers::{About, Peers, SoFar, Talk, Turn};

/// How long a lookup is taken to need of which nothing was measured: a proxy that asks the database itself.
const LOOKUP_ASSUMED: Duration = Duration::from_secs(4);
/// Bytes of a record's answer, about: what is told of one that has come.
pub(super) const LOOKUP_BYTES: u64 = 1024;

/// What this host's own way to the database is worth, by how long lookups took.
fn road(lookups: &Longest) -> Road {
    Road {
        pace: None,
        first_byte: Some(lookups.get().unwrap_or(LOOKUP_ASSUMED)),
    }
}

/// The conversation about one record.
pub(super) struct RecordCouncil {
    talk: Talk,
    around: AroundUs,
    peers: Peers,
    key: KeyHash,
    so_far: Arc<SoFar>,
    /// When the upstream was begun to be asked.
    asked: Option<Instant>,
}

impl RecordCouncil {
    /// Nothing where there is no neighbour of this site.
    pub(super) fn about(around: &AroundUs, of: &ModuleVersion) -> Option<Self> {
        let peers = around.peers.get()?.clone();
        let key = KeyHash::of_record(&around.name, of);
        let so_far = Arc::new(SoFar::default());
        let about = About {
            key,
            place: KeyHash::of_place(&of.module),
            bytes_max: RECORD_TEXT_BYTES_MAX as u64,
            can_fetch: !around.is_alone() || peers.may_cross(),
            so_far: Arc::clone(&so_far),
        };
        let lookups = Arc::clone(&around.lookups_took);
        let talk = peers.talk(about, move || road(&lookups))?;
        Some(Self {
            talk,
            around: around.clone(),
            peers,
            key,
            so_far,
            asked: None,
        })
    }
}

impl Council for RecordCouncil {
    fn next(&mut self) -> BoxFuture<'_, Advice> {
        Box::pin(async move {
            while let Turn::Take(holders) = self.talk.next().await {
                let record = Some((self.around.database, self.key));
                let survey = self.peers.locate_among(&holders, None, record).await;
                let givers = self.around.with_records(&self.peers, survey.found);
                if !givers.is_empty() {
                    return Advice::Take(givers);
                }
                self.talk.taken(false).await;
            }
            self.asked = Some(Instant::now());
            Advice::Ask
        })
    }

    fn taken(&mut self, is_here: bool) -> BoxFuture<'_, ()> {
        Box::pin(self.talk.taken(is_here))
    }

    fn end(self: Box<Self>, is_here: bool) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let how = if is_here {
                if let Some(asked) = self.asked {
                    self.around.lookups_took.measured(asked.elapsed());
                }
                self.so_far.came(LOOKUP_BYTES);
                Fetched::Here
            } else {
                Fetched::Failed { status: 404 }
            };
            self.talk.end(how).await;
        })
    }
}
