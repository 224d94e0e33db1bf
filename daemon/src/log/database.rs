//! One checksum database, whichever of its logs this host follows.
//!
//! A [`Mirror`] follows one log from its first head on, and can do nothing else. When a person gives that log up, another mirror
//! takes its place here. Whoever answers a request takes the mirror once and uses it to the end, so that no answer is made of
//! both; and a mirror that was replaced meanwhile says so instead of answering.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use modmesh_protocol::log::{DatabaseId, SignedHead, VerifierKey};
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Mirror;
use super::ask::Surroundings;
use super::contradiction::short;
use super::files::{aside_of, folder_aside};
use super::finding::{Authority, Missing, Offer, Told, Trouble};
use super::mirror::OVER;
use crate::shutdown::Shutdown;

/// How often a question is put again because the log was given up while it was being answered.
const ASKED_AGAIN_MAX: usize = 3;
/// How long it is waited for the next log to be opened: some files are read.
const OPENED_WITHIN: Duration = Duration::from_secs(2);

/// A handle on one database; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    opening: Opening,
    current: watch::Sender<Mirror>,
    /// Held while one log is exchanged for another.
    changing: Mutex<()>,
}

/// What a mirror is opened with.
#[derive(Debug)]
pub(crate) struct Opening {
    /// The state folder.
    pub state: PathBuf,
    pub key: VerifierKey,
    /// Clients keep the heads that they hold below these (`GOPATH/pkg/sumdb`).
    pub client_folders: Vec<PathBuf>,
    pub surroundings: Arc<dyn Surroundings>,
    pub shutdown: Shutdown,
}

/// Which log is to be followed instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Instead {
    /// Whichever the database shows first.
    Any,
    /// That of the refused head with this name (`SIZE.ROOT`), or without a name of the largest. Where none was refused, that of
    /// the head that could not be joined to ours.
    Refused(Option<String>),
}

/// A log that was begun.
#[derive(Debug, Clone)]
pub(crate) struct BegunAnew {
    /// Its number.
    pub log: u64,
    /// Where the log before it is kept; nothing where nothing was known of it.
    pub aside: Option<PathBuf>,
    /// The head that it must lead to.
    pub accepted: Option<SignedHead>,
}

/// Why no other log was begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    /// No refused head is on record.
    #[error(
        "there is nothing to accept: no tree head of {0} that contradicts this host's is known; `modmesh sumdb show {0}` tells what is"
    )]
    NothingRefused(String),
    /// One was accepted, and what proves it did not come yet.
    #[error(
        "the tree head {1} of {0} is accepted already, and no other log is followed; what proves it comes with the next lookup for which the database can be asked"
    )]
    Accepted(String, String),
    /// None of the refused heads is called that.
    #[error("no refused tree head of {0} is called {1}; there are: {2}")]
    NoSuchHead(String, String, String),
    /// The disk refused.
    #[error("nothing was changed, for the disk refused it: {0}")]
    Disk(#[source] io::Error),
    /// The switch was made, and what comes after it failed.
    #[error(
        "the log was given up, but the next one cannot be opened: {0}; mend the disk and restart the daemon, which goes on with it"
    )]
    Opening(#[source] io::Error),
}

impl Database {
    /// Opens the log that this host follows. Blocks while it reads.
    pub(crate) fn open(opening: Opening) -> io::Result<Self> {
        let current = watch::Sender::new(opening.mirror()?);
        Ok(Self {
            inner: Arc::new(Inner {
                opening,
                current,
                changing: Mutex::default(),
            }),
        })
    }

    /// The mirror of the log that is followed now: to be taken once for each answer.
    pub(crate) fn mirror(&self) -> Mirror {
        self.inner.current.borrow().clone()
    }

    pub(crate) fn name(&self) -> &str {
        self.inner.opening.key.name()
    }

    pub(crate) fn database_id(&self) -> DatabaseId {
        self.inner.opening.key.database_id()
    }

    /// Logs that were given up and are kept, the newest first.
    pub(crate) fn aside(&self) -> Vec<PathBuf> {
        let opening = &self.inner.opening;
        let kept = aside_of(&opening.state, &opening.key);
        kept.into_iter().map(|(_, folder)| folder).collect()
    }

    /// Gives up the log that is followed and begins another. `switched` is called with its number when nothing of the old
    /// one is used here any more, and before anything of the new one is. Blocks for some files.
    ///
    /// # Errors
    /// A [`BeginError`]; nothing is changed, unless it says so.
    pub(crate) fn begin_anew(
        &self,
        instead: &Instead,
        switched: impl FnOnce(u64),
    ) -> Result<BegunAnew, BeginError> {
        let changing = self.inner.changing.lock();
        let _one_at_a_time = changing.unwrap_or_else(PoisonError::into_inner);
        let (old, opening) = (self.mirror(), &self.inner.opening);
        let accepted = match instead {
            Instead::Any => None,
            Instead::Refused(named) => Some(refused(&old, named.as_deref())?),
        };
        let log = old.give_up(accepted.as_ref()).map_err(BeginError::Disk)?;
        switched(log);
        let next = opening.mirror().map_err(BeginError::Opening)?;
        self.inner.current.send_replace(next);
        tracing::warn!(
            database = self.name(),
            accepted = accepted.as_ref().map(SignedHead::note),
            "this host follows another log of the checksum database from now on, for its user said so"
        );
        Ok(BegunAnew {
            log,
            aside: Some(folder_aside(&opening.state, &opening.key, old.log_number()))
                .filter(|aside| aside.is_dir()),
            accepted,
        })
    }

    /// Keeps the log whole that is followed, whichever it is. Works until the future is dropped.
    pub(crate) async fn keep_whole(self) {
        let mut current = self.inner.current.subscribe();
        loop {
            let mirror = current.borrow_and_update().clone();
            tokio::select! {
                () = mirror.keep_whole() => {}
                changed = current.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// The head that is to be accepted.
///
/// # Errors
/// There is none, or none of that name.
pub(crate) fn refused(mirror: &Mirror, named: Option<&str>) -> Result<SignedHead, BeginError> {
    let database = || mirror.name().to_owned();
    let mut heads: Vec<_> = mirror.evidence().into_iter().map(|one| one.other).collect();
    heads.sort_by_key(SignedHead::size);
    if heads.is_empty() {
        heads.extend(mirror.unjoined().map(|one| (*one.head).clone()));
    }
    if let (true, Some(accepted)) = (heads.is_empty(), mirror.accepted()) {
        return Err(BeginError::Accepted(database(), short(&accepted)));
    }
    let Some(name) = named else {
        let largest = heads.pop();
        return largest.ok_or_else(|| BeginError::NothingRefused(database()));
    };
    if heads.is_empty() {
        return Err(BeginError::NothingRefused(database()));
    }
    let names: Vec<_> = heads.iter().map(short).collect();
    let called = heads.into_iter().find(|head| short(head) == name);
    called.ok_or_else(|| BeginError::NoSuchHead(database(), name.to_owned(), names.join(", ")))
}

impl Opening {
    fn mirror(&self) -> io::Result<Mirror> {
        Mirror::open(
            &self.state,
            self.key.clone(),
            &self.client_folders,
            Arc::clone(&self.surroundings),
            &self.shutdown,
        )
    }
}

impl Authority for Database {
    fn find<'a>(&'a self, of: &'a ModuleVersion, offer: Option<Arc<Offer>>) -> BoxFuture<'a, Told> {
        Box::pin(async move {
            let mut current = self.inner.current.subscribe();
            for _ in 0..ASKED_AGAIN_MAX {
                let mirror = current.borrow_and_update().clone();
                let told = mirror.find(of, offer.clone()).await;
                if !mirror.is_over() {
                    return told;
                }
                // The next one takes its place when its folder has been opened.
                let _in_time = timeout(OPENED_WITHIN, current.changed()).await;
            }
            Told::by_nobody(Trouble::silence(OVER))
        })
    }

    fn missing(&self, of: &ModuleVersion) -> Option<Missing> {
        self.mirror().missing(of)
    }

    fn proved_versions(&self, module: &ModulePath) -> Vec<Version> {
        self.mirror().proved_versions(module)
    }

    fn ask_for_versions<'a>(&'a self, module: &'a ModulePath) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.mirror().ask_for_versions(module).await })
    }
}
