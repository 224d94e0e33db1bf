//! `direct`: modules from their own repositories, through the host's `go` command in a fence.
//!
//! What always holds: `go` gets an environment that is built name by name ([`environment`]), a module cache and a folder
//! for everything temporary that go when it ends ([`folder`]), no terminal and nobody to ask; it is the head of a process
//! group that is killed as a whole when it ends, at the deadline, when nobody waits for the answer any more, and when
//! the daemon ends ([`run`]). Its output, its folder, its time and how many of it run are bounded.
//!
//! `go` decides what a repository offers, and which tools it runs for that (GOVCS). Nothing of its answers is believed
//! here: they pass the gate like everything that upstream gives. Whether somebody may have this done for him is asked
//! before, in `fetch`: it is done with the keys and passwords of the user who runs the daemon.
//!
//! Deliberately absent: a cache between two runs. Each run clones anew, which costs time and leaves nothing behind.

mod environment;
mod folder;
mod options;
mod question;
mod run;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::folder::Folder;
use self::question::{Answered, Wanted};
use super::entry::Received;
use super::file_url::OpenFile;
use super::town::{Body, Question, Town};
use super::{ErrorAnswer, RequestKind, RoadState, UpstreamError};

pub(crate) use self::folder::sweep;
pub use self::options::DirectOptions;

/// How this entry is called, in a list and in messages.
const NAME: &str = "direct";
/// How long the end waits for runs to be killed and their folders removed.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// The last entry of a list, ready to be asked.
pub(super) struct Direct {
    fence: Result<Arc<Fence>, &'static str>,
    since: SystemTime,
    road: Mutex<RoadState>,
    places: Arc<Semaphore>,
    ending: CancellationToken,
    tasks: TaskTracker,
}

/// What all runs share.
struct Fence {
    go: PathBuf,
    folder: PathBuf,
    deadline: Duration,
    folder_bytes_max: u64,
    environment: Vec<(OsString, OsString)>,
}

/// An answer of `go`, with everything else that it left cleared away. A file is open and has no name any more.
enum Found {
    Text(String),
    File(File),
}

impl Direct {
    pub(super) fn new(options: &DirectOptions) -> Self {
        let fence = Fence::new(options).map(Arc::new);
        let since = SystemTime::now();
        let road = match &fence {
            Ok(_) => RoadState::Untried,
            Err(reason) => RoadState::Down {
                since,
                reason: (*reason).to_owned(),
            },
        };
        Self {
            fence,
            since,
            road: Mutex::new(road),
            places: Arc::new(Semaphore::new(
                options.runs_max.clamp(1, Semaphore::MAX_PERMITS),
            )),
            ending: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Whether there is a `go` to run at all.
    pub(super) fn is_usable(&self) -> bool {
        self.fence.is_ok()
    }

    /// What the last run said about the way.
    pub(super) fn state(&self) -> RoadState {
        self.road
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks the module's own repository, and writes the answer into `body`.
    pub(super) async fn ask(
        &self,
        town: &Town,
        question: Question<'_>,
        body: &mut Body<'_>,
    ) -> Result<Received, UpstreamError> {
        let kind = RequestKind::of(question.path);
        let found = self.found(question.path).await;
        let code = match &found {
            Ok(_) => 200,
            Err(UpstreamError::DirectRefused(answer)) => answer.status,
            Err(_) => 0,
        };
        town.watch.request(kind, code);
        let bytes = match found? {
            Found::Text(text) => {
                within(text.len() as u64, question)?;
                town.watch.received_bytes(text.len() as u64);
                body.write(text.as_bytes()).await?;
                text.len() as u64
            }
            Found::File(file) => self.pass_on(town, question, file, body).await?,
        };
        body.finish().await?;
        Ok(Received {
            bytes,
            content_type: None,
            url: NAME.to_owned(),
            resumed: false,
        })
    }

    /// Kills what runs, and returns when its folders are gone or some seconds have passed.
    pub(super) async fn end(&self) {
        self.ending.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(END_PATIENCE, self.tasks.wait()).await;
        if ended.is_err() {
            tracing::warn!("a go command for `direct` could not be ended in time");
        }
    }

    async fn found(&self, path: &str) -> Result<Found, UpstreamError> {
        let fence = match &self.fence {
            Ok(fence) => Arc::clone(fence),
            Err(reason) => return Err(failed(*reason)),
        };
        let wanted =
            Wanted::parse(path).ok_or_else(|| refused(path, "no such question".to_owned()))?;
        let deadline = Instant::now() + fence.deadline;
        let place = self.place(deadline, &fence).await?;
        // When the asker goes, the run is ended; the task lives on until its folder is gone.
        let given_up = self.ending.child_token();
        let _asker = given_up.clone().drop_guard();
        let run = fence.answer(wanted, deadline, given_up, place);
        let answered = match self.tasks.spawn(run).await {
            Ok(answered) => answered,
            Err(_) => Err(run::RunError::Cut),
        };
        self.note(&answered);
        match answered {
            Ok(Answered::Found(found)) => Ok(found),
            Ok(Answered::No(text)) => Err(refused(path, text)),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    async fn place(
        &self,
        deadline: Instant,
        fence: &Fence,
    ) -> Result<OwnedSemaphorePermit, UpstreamError> {
        let waiting = tokio::time::timeout_at(deadline, Arc::clone(&self.places).acquire_owned());
        tokio::select! {
            () = self.ending.cancelled() => Err(failed(run::RunError::Cut.to_string())),
            // The semaphore is never closed.
            place = waiting => place.ok().and_then(Result::ok).ok_or_else(|| {
                failed(format!(
                    "other runs of go have taken all places for {} s; try again",
                    fence.deadline.as_secs()
                ))
            }),
        }
    }

    /// A run that ended by itself shows that the way is there, whatever it said.
    fn note<T>(&self, outcome: &Result<T, run::RunError>) {
        let state = match outcome {
            Err(run::RunError::Cut) => return,
            Ok(_) => RoadState::Up,
            Err(error) => RoadState::Down {
                since: match self.state() {
                    RoadState::Down { since, .. } => since,
                    _ => SystemTime::now().max(self.since),
                },
                reason: error.to_string(),
            },
        };
        *self.road.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    async fn pass_on(
        &self,
        town: &Town,
        question: Question<'_>,
        file: File,
        body: &mut Body<'_>,
    ) -> Result<u64, UpstreamError> {
        let mut file = OpenFile::of(file);
        let mut bytes = 0;
        loop {
            let piece = file.piece().await;
            let Some(piece) = piece.map_err(|error| failed(error.to_string()))? else {
                return Ok(bytes);
            };
            town.watch.received_bytes(piece.len() as u64);
            bytes += piece.len() as u64;
            within(bytes, question)?;
            body.write(&piece).await?;
        }
    }
}

impl Fence {
    fn new(options: &DirectOptions) -> Result<Self, &'static str> {
        let go = options.go.clone().ok_or(
            "there was no go command on PATH when this daemon was started; install go and start it anew, or let the list end with the URL of a module proxy",
        )?;
        let folder = options
            .folder
            .as_deref()
            .and_then(|folder| std::path::absolute(folder).ok())
            .ok_or("this daemon was given no folder for it")?;
        Ok(Self {
            go,
            folder,
            deadline: options.deadline,
            folder_bytes_max: options.folder_bytes_max,
            environment: environment::kept(&options.environment),
        })
    }

    /// One run, from making its folder to removing it.
    async fn answer(
        self: Arc<Self>,
        wanted: Wanted,
        deadline: Instant,
        given_up: CancellationToken,
        place: OwnedSemaphorePermit,
    ) -> Result<Answered<Found>, run::RunError> {
        let folder = Folder::make(self.folder.clone())
            .await
            .map_err(run::RunError::Folder)?;
        let ran = self.run(&wanted, &folder, deadline, &given_up).await;
        let answered = match ran {
            Ok(said) => wanted
                .read(&said, folder.path())
                .map_err(run::RunError::Folder),
            Err(error) => Err(error),
        };
        folder.remove().await;
        drop(place);
        answered
    }

    async fn run(
        &self,
        wanted: &Wanted,
        folder: &Folder,
        deadline: Instant,
        given_up: &CancellationToken,
    ) -> Result<run::Said, run::RunError> {
        let mut environment = self.environment.clone();
        environment.extend(environment::fixed(folder.path()));
        let order = run::Order {
            go: &self.go,
            arguments: &wanted.arguments(),
            environment: &environment,
            folder,
            folder_bytes_max: self.folder_bytes_max,
        };
        tracing::debug!(arguments = ?order.arguments, "running go for `direct`");
        let within = run::Within {
            deadline,
            allowed: self.deadline,
            given_up,
        };
        let said = run::run(&order, &within).await;
        if let Err(error) = &said {
            tracing::debug!(arguments = ?order.arguments, %error, "go gave no answer");
        }
        said
    }
}

fn within(bytes: u64, question: Question<'_>) -> Result<(), UpstreamError> {
    if bytes > question.bytes_max {
        return Err(UpstreamError::TooLarge {
            url: NAME.to_owned(),
            bytes_max: question.bytes_max,
        });
    }
    Ok(())
}

/// `go` ran and said no.
fn refused(path: &str, text: String) -> UpstreamError {
    UpstreamError::DirectRefused(ErrorAnswer {
        status: 404,
        text: Some(text),
        url: format!("{NAME} ({path})"),
        retry_after: None,
    })
}

/// `go` could not say anything.
fn failed(reason: impl Into<String>) -> UpstreamError {
    UpstreamError::DirectFailed {
        reason: reason.into(),
    }
}

/// Where a run keeps its modules, below its folder.
fn module_cache(folder: &Path) -> PathBuf {
    folder.join("modules")
}
