//! What is known of the checksum databases, for the daemon's own user; and following another log of one, because that user
//! says so.
//!
//! The order of the switch: the disk first, by one rename, and what a crash leaves behind it the next start finishes; then the
//! store, in which nothing of the old log is found any more; then the mirror. So no answer is made of both logs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use modmesh_protocol::control::rfc3339;
use modmesh_protocol::control::sumdb::{
    BegunAnew, Contradiction, Database, Databases, Head, Judges, Unjoined,
};
use modmesh_protocol::log::{SignedHead, VerifierKey};

use super::{Control, seconds_since};
use crate::log::{self, BeginError, Instead, short};

/// How long the answer waits for the accepted head to be proved, and then for the files to be judged again. What is not done
/// by then is done later, with the next lookup and in the next round.
const PROVED_WITHIN: Duration = Duration::from_secs(8);
const JUDGED_WITHIN: Duration = Duration::from_secs(8);

/// Why no other log is followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RefusedToBegin {
    #[error("no checksum database called {name} is mirrored here; there are: {known}")]
    Unknown { name: String, known: String },
    #[error(
        "{database} has not contradicted itself here, so there is nothing to settle; with --yes this host gives up what it knows of it all the same: the tree head of {size} records, by which a forged log would be found out, {records} records, and the proof of every file that rests on them until it is judged again"
    )]
    NothingToSettle {
        database: String,
        size: u64,
        records: u64,
    },
    #[error(
        "{0} is the public database, which is never rebuilt: if it contradicts itself, somebody is being deceived. Write to security@golang.org with the files of `modmesh sumdb show {0}` first; if they tell you to, repeat this with --yes"
    )]
    Public(String),
    #[error(transparent)]
    Begin(#[from] BeginError),
    #[error("the work ended without a result; see the daemon's log")]
    Crashed,
}

impl RefusedToBegin {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Unknown { .. } => StatusCode::NOT_FOUND,
            Self::NothingToSettle { .. }
            | Self::Public(_)
            | Self::Begin(BeginError::NothingRefused(_) | BeginError::NoSuchHead(..)) => {
                StatusCode::CONFLICT
            }
            Self::Begin(BeginError::Disk(_) | BeginError::Opening(_)) | Self::Crashed => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}

impl Control {
    /// What is known of every database. Reads some files.
    pub(super) fn known_databases(&self) -> Databases {
        let all = self.mirrors.all().iter();
        Databases {
            databases: all.map(|database| self.known_database(database)).collect(),
        }
    }

    fn known_database(&self, database: &log::Database) -> Database {
        let mirror = database.mirror();
        let is = |judge: Option<&log::Database>| {
            judge.is_some_and(|judge| judge.name() == database.name())
        };
        let contradictions = mirror.evidence().into_iter().map(|one| Contradiction {
            ours: head(&one.ours),
            other: head(&one.other),
            shown_by: one.shown_by,
            at: one.at.and_then(told_time),
            file: text(&one.file),
        });
        Database {
            name: database.name().to_owned(),
            key: mirror.key().as_str().to_owned(),
            judges: if is(self.mirrors.judge()) {
                Judges::Modules
            } else if is(self.mirrors.toolchain_judge()) {
                Judges::Toolchains
            } else {
                Judges::Nothing
            },
            log: mirror.log_number(),
            head: mirror.head().map(|current| head(&current)),
            head_age_seconds: mirror.head_written().and_then(seconds_since),
            accepted: mirror.accepted().map(|accepted| head(&accepted)),
            records: mirror.records(),
            missing_tiles: mirror.missing_tiles() as u64,
            asked: mirror.asked(),
            trouble: mirror.trouble().map(|trouble| trouble.to_string()),
            contradictions: contradictions.collect(),
            unjoined: mirror.unjoined().map(|one| Unjoined {
                theirs: head(&one.head),
                ours: one.ours,
                shown_by: one.from,
                at: told_time(one.at),
            }),
            showing_given_up: mirror.showing_given_up(),
            given_up: database.aside().iter().map(|folder| text(folder)).collect(),
        }
    }

    /// Gives up the log of the database `name` and follows another. Work that was begun goes on when nobody waits for it.
    pub(super) async fn begin_anew(
        self: &Arc<Self>,
        name: &str,
        instead: Instead,
        yes: bool,
    ) -> Result<BegunAnew, RefusedToBegin> {
        let database = self.to_be_begun(name, &instead, yes)?;
        let (control, switched) = (self.clone(), database.clone());
        let begun = tokio::task::spawn_blocking(move || {
            let store = &control.store;
            let begun = switched.begin_anew(&instead, |log| store.follow(switched.name(), log))?;
            let doubted = store.doubt().unwrap_or_else(|error| {
                tracing::warn!(%error, "files of the log that was given up could not be set apart; the next start does it");
                0
            });
            Ok::<_, BeginError>((begun, doubted))
        });
        let (begun, doubted) = begun.await.map_err(|_| RefusedToBegin::Crashed)??;
        let (mirror, fetcher) = (database.mirror(), self.fetcher.clone());
        let proving = mirror.clone();
        self.within(PROVED_WITHIN, "accepted tree head", async move {
            proving.begin_from_accepted().await;
        })
        .await;
        if doubted > 0 {
            self.within(JUDGED_WITHIN, "files judged again", async move {
                fetcher.judge_unsettled().await;
            })
            .await;
        }
        let waiting = self.store.unsettled().len() as u64;
        Ok(BegunAnew {
            name: name.to_owned(),
            log: begun.log,
            aside: text(&begun.aside),
            is_current: begun.accepted.is_some() && mirror.accepted().is_none(),
            accepted: begun.accepted.as_ref().map(head),
            doubted,
            waiting: waiting.min(doubted),
        })
    }

    fn to_be_begun(
        &self,
        name: &str,
        instead: &Instead,
        yes: bool,
    ) -> Result<log::Database, RefusedToBegin> {
        let Some(database) = self.mirrors.named(name) else {
            let known: Vec<_> = self.mirrors.all().iter().map(log::Database::name).collect();
            return Err(RefusedToBegin::Unknown {
                name: name.to_owned(),
                known: known.join(", "),
            });
        };
        let mirror = database.mirror();
        let settles_something = mirror.contradictions().is_some();
        let refused = !mirror.evidence().is_empty() || mirror.unjoined().is_some();
        if *instead != Instead::Any && !refused {
            return Err(BeginError::NothingRefused(name.to_owned()).into());
        }
        if !yes && !settles_something {
            return Err(RefusedToBegin::NothingToSettle {
                database: name.to_owned(),
                size: mirror.head().map_or(0, |head| head.size()),
                records: mirror.records(),
            });
        }
        if !yes && *mirror.key() == VerifierKey::sum_golang_org() {
            return Err(RefusedToBegin::Public(name.to_owned()));
        }
        Ok(database.clone())
    }

    /// Waits so long for work that is done to its end in any case.
    async fn within(
        &self,
        time: Duration,
        what: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let (done, waiting) = tokio::sync::oneshot::channel::<()>();
        let ending = self.shutdown.clone();
        self.shutdown.spawn(what, async move {
            tokio::select! {
                () = ending.requested() => {}
                () = work => {}
            }
            drop(done);
        });
        let _done_or_late = tokio::time::timeout(time, waiting).await;
    }
}

fn head(head: &SignedHead) -> Head {
    Head {
        name: short(head),
        size: head.size(),
        root: BASE64_STANDARD.encode(head.head().root),
    }
}

fn told_time(at: SystemTime) -> Option<String> {
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    Some(rfc3339(since.as_secs()))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
