//! A database as the upstream offers it, or itself.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{BoxFuture, join_all};
use modmesh_protocol::log::{Record, TileCoordinate};
use modmesh_protocol::module::ModuleVersion;

use super::super::givers::Givers;
use crate::log::{AskError, LogSource, LookupAnswer, Part, TileBytes};
use crate::metrics::{Metrics, Source};
use crate::seldom::Seldom;
use crate::upstream::{SumdbAddress, SumdbAnswer, Upstream, UpstreamError};

/// Where a database tells its newest head.
const LATEST: &str = "latest";
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
    pub(in super::super) async fn tile(
        &self,
        coordinate: TileCoordinate,
    ) -> Result<TileBytes, AskError> {
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
