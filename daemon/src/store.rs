//! The cellar: bodies that passed the gate, each with its proof beside it, in a tree that is itself a valid `file://`
//! GOPROXY; and notes, which carry no proof.
//!
//! What always holds: [`Store::commit`] is the only way in for `.mod` and `.zip`; the proof file is renamed into place
//! last and is the commit point; a body without one is swept at the next start. Nothing is synced to disk one by one:
//! after the machine (not just this process) ended uncleanly, every body is hashed again before it is used, see
//! `docs/decisions/0003-no-fsync-per-file.md`. There is no way here to learn anything from the network.

mod catalog;
mod commit;
mod doubt;
mod evict;
mod first;
mod index;
mod layout;
mod look;
mod notes;
mod refusals;
mod scrub;
mod staging;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};
use tokio::sync::Semaphore;

pub(crate) use catalog::{Entry, Totals};
pub(crate) use first::{First, Remembered};
pub(crate) use look::Seen;
pub(crate) use notes::{NOTE_BYTES_MAX, Note};
pub(crate) use refusals::KeptRefusal;
pub(crate) use staging::{Room, Staged, Staging};

use crate::os;
use crate::seldom::Seldom;
use crate::trust::{FollowedLogs, MeasuredFile, Proof, Scope};
use catalog::Catalog;
use first::FirstSeen;
use index::Index;
use layout::{Layout, proof_of};

static UNOPENED: Seldom = Seldom::new();

/// A handle on the store; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    catalog: Catalog,
    index: Index,
    limit_bytes: u64,
    /// Held while a body and its proof are laid into a tree or taken out of one.
    laying: Mutex<()>,
    /// Which log of each database is followed; what rests on another one is not here for anybody.
    logs: RwLock<FollowedLogs>,
    /// When files were last let go of because the disk was full.
    made_room: Mutex<Option<Instant>>,
    /// False from the end on. Held for reading while something is laid into a tree, so that the end comes before or after it.
    open: RwLock<bool>,
    /// Space for bytes of neighbours that were not judged yet, in MiB.
    arriving: Arc<Semaphore>,
    /// The first hash of each version that nothing proves.
    first: FirstSeen,
    /// Whether neighbours are members, who may have what nothing proves.
    for_members: AtomicBool,
    evicted: AtomicU64,
    quarantined: AtomicU64,
}

/// A body of the store, open for reading.
#[derive(Debug)]
pub(crate) struct Stored {
    pub file: File,
    pub entry: Arc<Entry>,
}

/// Why something could not be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The disk refused; nothing that was kept before is harmed.
    #[error("cannot write to the store: {0}; {remedy}", remedy = remedy(.0))]
    Io(#[from] io::Error),
    /// Somebody took the state folder away, or put another in its place.
    #[error(
        "the state folder {} was removed or replaced while this daemon ran, so nothing can be kept: restart the daemon, which makes a new one",
        .0.display()
    )]
    Gone(PathBuf),
    /// The daemon ends, and what is kept is being made durable: whatever came later might not be on disk, and nobody would know.
    #[error("this daemon is ending, so nothing more is kept; ask again when it is back")]
    Ended,
    /// The proof is of other bytes than those that were staged.
    #[error("the proof is not of the staged bytes")]
    OtherBytes,
}

impl StoreError {
    /// Whether the disk has no room.
    pub(crate) fn is_full_disk(&self) -> bool {
        matches!(self, Self::Io(error) if os::is_full_disk(error))
    }

    /// Whether this process or machine is short of descriptors or memory, and the disk is not to blame.
    pub(crate) fn is_shortage(&self) -> bool {
        matches!(self, Self::Io(error) if os::is_shortage(error))
    }
}

impl Stored {
    /// The same body, open once more.
    ///
    /// # Errors
    /// When descriptors run out.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(Self {
            file: self.file.try_clone()?,
            entry: Arc::clone(&self.entry),
        })
    }
}

impl Store {
    /// Opens the store in the state folder `root`: sweeps what a crash left behind and reads every proof file.
    /// `suspicious` says that the machine ended uncleanly. What rests on another log of a database than the one in `logs` is
    /// set apart, to be judged again. Blocks while it reads.
    ///
    /// A store that was used before needs no byte of the disk to be opened, and what is over the limit goes: so a start with
    /// a lower limit makes room on a full disk.
    pub(crate) fn open(
        root: &Path,
        limit_bytes: u64,
        suspicious: bool,
        logs: FollowedLogs,
    ) -> Result<Self, StoreError> {
        let layout = Layout::new(root);
        for folder in [
            layout.tree(Scope::Proven),
            layout.tree(Scope::Unlisted),
            layout.quarantine(),
        ] {
            fs::create_dir_all(folder)?;
        }
        scrub::empty_staging(&layout)?;
        if suspicious {
            scrub::drop_torn_notes(&layout);
        }
        let suspect = suspicious || layout.suspicion().exists();
        let first = FirstSeen::open(layout.first());
        let (index, remembered) = Index::open(&layout.index());
        let catalog = scrub::read_trees(&layout, &remembered, suspect, &logs);
        let store = Self {
            inner: Arc::new(Inner {
                layout,
                catalog,
                index,
                limit_bytes,
                laying: Mutex::new(()),
                made_room: Mutex::default(),
                logs: RwLock::new(logs),
                open: RwLock::new(true),
                arriving: Arc::new(Semaphore::new(arriving_mib(limit_bytes))),
                first,
                for_members: AtomicBool::new(false),
                evicted: AtomicU64::new(0),
                quarantined: AtomicU64::new(0),
            }),
        };
        store.evict(None);
        if suspicious {
            // Last, when there is room for it: the caller does not forget before how the last session ended.
            scrub::mark_suspicion(&store)?;
        }
        Ok(store)
    }

    /// The body of `key`, if it is here and whole. Blocks shortly; a suspect body is hashed first.
    ///
    /// A body that is missing, cut or damaged is taken out, so that the caller fetches it anew.
    pub(crate) fn get(&self, key: &ArtifactKey) -> Option<Stored> {
        self.open_entry(self.followed(KeyHash::of_file(key))?)
    }

    /// From now on all neighbours are members, who may have what nothing proves as well.
    pub(crate) fn show_to_members(&self) {
        self.inner.for_members.store(true, Ordering::Release);
    }

    /// Whether a neighbour may have the body of `proof`.
    pub(crate) fn is_shown(&self, proof: &Proof) -> bool {
        let for_members = self.inner.for_members.load(Ordering::Acquire);
        proof.is_shareable() || for_members && proof.is_for_members()
    }

    /// The body that a neighbour asks for by the hash of its key, if it may have it.
    pub(crate) fn get_shareable(&self, hash: KeyHash) -> Option<Stored> {
        let entry = self.followed(hash)?;
        if !self.is_shown(&entry.proof) {
            return None;
        }
        self.open_entry(entry)
    }

    /// A body that members may have although nothing proves it.
    pub(crate) fn for_members(&self, hash: KeyHash) -> Option<Arc<Entry>> {
        let entry = self.followed(hash)?;
        let settled = !entry.suspect.load(Ordering::Acquire);
        let is_it = !entry.proof.is_shareable() && self.is_shown(&entry.proof);
        (is_it && settled).then_some(entry)
    }

    /// What `get_shareable` would open, without opening it.
    pub(crate) fn shareable_summary(&self, hash: KeyHash) -> Option<MeasuredFile> {
        let entry = self.followed(hash)?;
        let settled = !entry.suspect.load(Ordering::Acquire);
        (entry.proof.is_shareable() && settled).then(|| entry.proof.measured())
    }

    /// Keys of everything that neighbours may have.
    pub(crate) fn shareable(&self) -> Vec<KeyHash> {
        self.inner.catalog.shown(|proof| self.is_shown(proof))
    }

    /// Waits until there is room for `bytes` more bytes that nobody has judged yet. Who gives them decides how many they are,
    /// so that all of them together are bounded; upstream's, which this host chose itself, are not counted.
    pub(crate) async fn room_for(&self, bytes: u64) -> Room {
        let all = arriving_mib(self.inner.limit_bytes);
        let mib = usize::try_from(bytes.div_ceil(1 << 20))
            .unwrap_or(all)
            .min(all);
        let room = Arc::clone(&self.inner.arriving);
        Room(room.acquire_many_owned(mib as u32).await.ok())
    }

    /// A place for bytes on their way in; nothing lies on the disk before they come.
    pub(crate) fn stage(&self) -> Result<Staging, StoreError> {
        self.inner.layout.check()?;
        Ok(Staging::new(self.inner.layout.staging()))
    }

    /// Puts a body aside that could not be read as it was written, and forgets it.
    pub(crate) fn quarantine(&self, entry: &Arc<Entry>, reason: &str) {
        let _turn = self.turn();
        if !self.inner.catalog.remove(entry) {
            return;
        }
        let key = entry.proof.key();
        self.inner.quarantined.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%key, reason, "a kept file is damaged; it is put aside and will be fetched anew");
        let body = self.inner.layout.body(entry.proof.scope(), key);
        self.inner.index.forget(KeyHash::of_file(key));
        let _gone_already = fs::remove_file(proof_of(&body));
        scrub::put_aside(&self.inner.layout, &body);
    }

    /// Whether the body of `key` is here but must be hashed before it is used, which may take a while.
    pub(crate) fn must_be_hashed(&self, key: &ArtifactKey) -> bool {
        self.inner
            .catalog
            .get(KeyHash::of_file(key))
            .is_some_and(|entry| entry.suspect.load(Ordering::Acquire))
    }

    /// Whether any file of `of` is here in `scope`.
    pub(crate) fn holds_version(&self, of: &ModuleVersion, scope: Scope) -> bool {
        [FileKind::Mod, FileKind::Zip].into_iter().any(|kind| {
            let key = ArtifactKey {
                of: of.clone(),
                kind,
            };
            self.followed(KeyHash::of_file(&key))
                .is_some_and(|entry| entry.proof.scope() == scope)
        })
    }

    /// Whether `path` names something inside a module that is held.
    pub(crate) fn is_below_held(&self, path: &str) -> bool {
        self.inner.catalog.is_below_held(path)
    }

    /// Versions of `module` of which a file is held, in Go's order.
    pub(crate) fn versions(&self, module: &ModulePath) -> Vec<Version> {
        self.inner.catalog.versions(module)
    }

    /// Every body about which the database may have something to say that was not asked yet.
    pub(crate) fn unsettled(&self) -> Vec<Arc<Entry>> {
        let mut entries = self.inner.catalog.all();
        entries.retain(|entry| entry.proof.is_unsettled());
        entries
    }

    pub(crate) fn totals(&self) -> Totals {
        self.inner.catalog.totals()
    }

    /// Why nothing can be kept, when the state folder is not there any more.
    pub(crate) fn trouble(&self) -> Option<StoreError> {
        self.inner.layout.check().err()
    }

    pub(crate) fn limit_bytes(&self) -> u64 {
        self.inner.limit_bytes
    }

    /// Waits for what is being kept at this moment, keeps nothing from then on, and makes the order of requests durable; the
    /// bodies are made durable by the state folder's end.
    pub(crate) fn end(&self) {
        let mut open = self
            .inner
            .open
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *open = false;
        drop(open);
        self.inner.index.end();
    }

    /// While it is held, the end waits.
    ///
    /// # Errors
    /// After the end.
    fn keeping(&self) -> Result<RwLockReadGuard<'_, bool>, StoreError> {
        let open = self
            .inner
            .open
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if *open {
            Ok(open)
        } else {
            Err(StoreError::Ended)
        }
    }

    fn open_entry(&self, entry: Arc<Entry>) -> Option<Stored> {
        let file = self.open_body(&entry)?;
        let now = now_ms();
        entry.last_request_ms.store(now, Ordering::Relaxed);
        let hash = KeyHash::of_file(entry.proof.key());
        self.inner.index.touch(hash, now);
        Some(Stored { file, entry })
    }

    /// Opens a body, if it is whole. One that is missing, cut or damaged is taken out.
    fn open_body(&self, entry: &Arc<Entry>) -> Option<File> {
        let key = entry.proof.key();
        let path = self.inner.layout.body(entry.proof.scope(), key);
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((now, file)) if now.is_file() && now.len() == entry.proof.measured().length => {
                if entry.notice_change(&now) {
                    entry.suspect.store(true, Ordering::Release);
                }
                let whole =
                    !entry.suspect.load(Ordering::Acquire) || self.clear_suspicion(entry, &file);
                whole.then_some(file)
            }
            Ok(_) => {
                self.quarantine(entry, "its length is not the one in its proof");
                None
            }
            Err(error) if os::is_shortage(&error) => {
                if let Some(left_out) = UNOPENED.turn() {
                    tracing::warn!(%key, %error, left_out, "a kept file could not be opened");
                }
                None
            }
            Err(error) => {
                self.quarantine(entry, &error.to_string());
                None
            }
        }
    }
}

/// What a person can do about an error of the disk or the machine.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "its disk is mounted read-only: mount it writable again"
        }
        io::ErrorKind::PermissionDenied => "give the state folder back to the user of this daemon",
        _ if os::is_shortage(error) => {
            "it is short of file descriptors or memory: try again, and if that lasts raise its limits (ulimit -n, LimitNOFILE, MemoryMax)"
        }
        _ => {
            "if the disk is full, free some space (or inodes); `modmesh doctor` tells whether a lower --store-limit would help"
        }
    }
}

/// How many MiB of neighbours may wait to be judged: a quarter of the store, at least the largest zip, at most four of them.
fn arriving_mib(limit_bytes: u64) -> usize {
    let mib = (limit_bytes / 4) >> 20;
    usize::try_from(mib.clamp(512, 2048)).unwrap_or(512)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => fs::remove_dir_all(path),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
