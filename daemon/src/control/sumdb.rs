//! What is known of the checksum databases, for the daemon's own user; and following another log of one, because that user
//! says so.
//!
//! The order of the switch: the disk first, by one rename, and what a crash leaves behind it the next start finishes; then the
//! store, in which nothing of the old log is found any more, and the lines of go.sum; then the mirror. So no answer is made of
//! both logs.
//!
//! The switch and what follows it are one task of the daemon's, which goes on when whoever asked is gone: a store of very many files
//! takes longer than a conversation.

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
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use super::{Control, seconds_since};
use crate::log::{self, BeginError, Instead, Mirror, short};

/// How long after it was asked the answer waits for what follows the switch: that the accepted head is proved, and the files are
/// judged again. What is not done by then is done all the same, and what cannot be done now with the next lookup and in the next
/// round.
const TOLD_WITHIN: Duration = Duration::from_secs(12);
/// How long the answer waits for the switch: less than a conversation may last.
const SWITCHED_WITHIN: Duration = Duration::from_secs(24);

/// One log is begun at a time, until its files have been judged once: who asks and hangs up again and again leaves no heap of work.
static BEGINNING: Semaphore = Semaphore::const_new(1);

/// Why no other log is followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RefusedToBegin {
    #[error("no checksum database called {name} is mirrored here; there are: {known}")]
    Unknown { name: String, known: String },
    #[error("{database} {public}{what}, and this host gives up what it knows of it: {lost}")]
    NothingToSettle {
        database: String,
        /// Why, and what --yes does.
        what: String,
        /// Says so where it is the public one.
        public: &'static str,
        lost: String,
    },
    #[error("nothing is known of {0} here, so there is nothing to forget")]
    NothingToForget(String),
    #[error(
        "{0} is the public database, which is never rebuilt: if it contradicts itself, somebody is being deceived. Write to security@golang.org with the files of `modmesh sumdb show {0}` first; if they tell you to, repeat this with --yes"
    )]
    Public(String),
    #[error(transparent)]
    Begin(#[from] BeginError),
    #[error(
        "this host is still at work with another log that it began just now; ask again in a minute"
    )]
    Busy,
    #[error(
        "the log of {0} is being given up, which takes longer than an answer may, and goes on by itself; `modmesh sumdb show {0}` tells when it is done"
    )]
    UnderWay(String),
    #[error("the work ended without a result; see the daemon's log")]
    Crashed,
}

impl RefusedToBegin {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Unknown { .. } => StatusCode::NOT_FOUND,
            Self::NothingToSettle { .. }
            | Self::NothingToForget(_)
            | Self::Public(_)
            | Self::Begin(
                BeginError::NothingRefused(_)
                | BeginError::Accepted(..)
                | BeginError::NoSuchHead(..),
            ) => StatusCode::CONFLICT,
            Self::Busy | Self::UnderWay(_) => StatusCode::SERVICE_UNAVAILABLE,
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

    /// Gives up the log of the database `name` and follows another. What was begun is done to its end, whether somebody waits for
    /// the answer or not.
    pub(super) async fn begin_anew(
        self: &Arc<Self>,
        name: &str,
        instead: Instead,
        yes: bool,
    ) -> Result<BegunAnew, RefusedToBegin> {
        let asked = Instant::now();
        self.to_be_begun(name, &instead, yes)?;
        let place = timeout_at(asked + SWITCHED_WITHIN, BEGINNING.acquire());
        let place = place.await.map_err(|_| RefusedToBegin::Busy)?;
        let place = place.map_err(|_| RefusedToBegin::Busy)?;
        // Whoever was before may have settled it.
        let database = self.to_be_begun(name, &instead, yes)?;
        let mirror = database.mirror();
        let was_contradicted = mirror.contradictions().is_some() || mirror.unjoined().is_some();
        let (tell, switched) = oneshot::channel();
        let (done, all_is_done) = oneshot::channel::<()>();
        let (control, ending) = (Arc::clone(self), self.shutdown.clone());
        let work = database.clone();
        self.shutdown.spawn("another log", async move {
            let switch = control.switch(&work, instead).await;
            let doubted = switch.as_ref().ok().map(|(_, doubted)| *doubted);
            let _nobody_waits = tell.send(switch);
            if let Some(doubted) = doubted {
                tokio::select! {
                    () = ending.requested() => {}
                    () = control.settle_after(&work, doubted) => {}
                }
            }
            drop((done, place));
        });
        let switched = timeout_at(asked + SWITCHED_WITHIN, switched).await;
        let switched = switched.map_err(|_| RefusedToBegin::UnderWay(name.to_owned()))?;
        let (begun, doubted) = switched.map_err(|_| RefusedToBegin::Crashed)??;
        let _done_or_late = timeout_at(asked + TOLD_WITHIN, all_is_done).await;
        let waiting = self.store.unsettled().len() as u64 + self.store.of_another_log();
        Ok(BegunAnew {
            name: name.to_owned(),
            log: begun.log,
            aside: begun.aside.as_deref().map(text),
            was_contradicted,
            is_current: begun.accepted.is_some() && database.mirror().accepted().is_none(),
            accepted: begun.accepted.as_ref().map(head),
            doubted,
            waiting: waiting.min(doubted),
        })
    }

    /// The switch itself, and how many files rest on the log that was given up.
    async fn switch(
        self: &Arc<Self>,
        database: &log::Database,
        instead: Instead,
    ) -> Result<(log::BegunAnew, u64), RefusedToBegin> {
        let (control, database) = (Arc::clone(self), database.clone());
        let switch = tokio::task::spawn_blocking(move || {
            let name = database.name();
            let begun = database.begin_anew(&instead, |log| {
                control.store.follow(name, log);
                control.fetcher.follow(name, log);
            })?;
            Ok((begun, control.store.of_another_log()))
        });
        switch.await.map_err(|_| RefusedToBegin::Crashed)?
    }

    /// What follows the switch: the accepted head is proved while the files are set apart that rested on the old log, and then
    /// they are judged again.
    async fn settle_after(&self, database: &log::Database, doubted: u64) {
        let (store, mirror) = (self.store.clone(), database.mirror());
        let setting_apart = tokio::task::spawn_blocking(move || store.doubt());
        let (set_apart, ()) = tokio::join!(setting_apart, mirror.begin_from_accepted());
        let left_out = match set_apart {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = left_out {
            tracing::warn!(%error, "files of the log that was given up could not be set apart; the next start does it");
        }
        if doubted > 0 {
            self.fetcher.judge_unsettled().await;
        }
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
        let is_public = *mirror.key() == VerifierKey::sum_golang_org();
        // What cannot be done is said before what would be lost by it.
        let what = match instead {
            Instead::Refused(named) => {
                let head = short(&log::refused(&mirror, named.as_deref())?);
                format!(
                    "has shown the log of {head}, and nobody could tell whether it is another one than this host's; with --yes it is followed"
                )
            }
            Instead::Any if is_blank(&mirror) => {
                return Err(RefusedToBegin::NothingToForget(name.to_owned()));
            }
            Instead::Any => "has not contradicted itself here, so there is nothing to settle; with --yes it is begun afresh all the same".to_owned(),
        };
        if !yes && mirror.contradictions().is_none() {
            return Err(RefusedToBegin::NothingToSettle {
                database: name.to_owned(),
                public: match is_public {
                    true => "is the public database, which is never rebuilt, and ",
                    false => "",
                },
                what,
                lost: to_be_lost(&mirror),
            });
        }
        if !yes && is_public {
            return Err(RefusedToBegin::Public(name.to_owned()));
        }
        Ok(database.clone())
    }
}

/// Whether nothing is known of the log that is followed.
fn is_blank(mirror: &Mirror) -> bool {
    let is_known = mirror.head().is_some() || mirror.records() > 0;
    !is_known && mirror.accepted().is_none() && mirror.contradictions().is_none()
}

/// What goes with the log, for a person.
fn to_be_lost(mirror: &Mirror) -> String {
    let mut lost = Vec::new();
    if let Some(accepted) = mirror.accepted() {
        lost.push(format!(
            "the tree head {}, which was accepted and is not proved yet",
            short(&accepted)
        ));
    }
    if let Some(head) = mirror.head() {
        lost.push(format!(
            "the tree head of {} records, by which a forged log would be found out",
            separated(head.size())
        ));
    }
    lost.push(format!("{} records", separated(mirror.records())));
    lost.push("and the proof of every file that rests on them until it is judged again".to_owned());
    lost.join(", ")
}

/// `12345` as `12,345`.
fn separated(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
