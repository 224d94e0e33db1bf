//! The cellar: bodies that passed the gate, each with its proof beside it, in a tree that is itself a valid `file://`
//! GOPROXY; and notes, which carry no proof.
//!
//! What always holds: [`Store::commit`] is the only way in for `.mod` and `.zip`; the proof file is renamed into place
//! last and is the commit point; a body without one is swept at the next start. Nothing is synced to disk one by one:
//! after the machine (not just this process) ended uncleanly, every body is hashed again before it is used, see
//! `docs/decisions/0003-no-fsync-per-file.md`. There is no way here to learn anything from the network.

mod catalog;
mod evict;
mod index;
mod layout;
mod look;
mod notes;
mod scrub;
mod staging;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};

pub(crate) use catalog::{Entry, Totals};
pub(crate) use look::Seen;
pub(crate) use notes::Note;
pub(crate) use staging::{Staged, Staging};

use crate::state::rename_over;
use crate::trust::{MeasuredFile, Proof, Scope};
use catalog::Catalog;
use index::Index;
use layout::{Layout, proof_of};

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
    /// The proof is of other bytes than those that were staged.
    #[error("the proof is not of the staged bytes")]
    OtherBytes,
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
    /// `suspicious` says that the machine ended uncleanly. Blocks while it reads.
    pub(crate) fn open(
        root: &Path,
        limit_bytes: u64,
        suspicious: bool,
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
            fs::write(layout.suspicion(), b"")?;
            scrub::drop_torn_notes(&layout);
        }
        let suspect = layout.suspicion().exists();
        let (index, remembered) = Index::open(&layout.index());
        let catalog = scrub::read_trees(&layout, &remembered, suspect);
        Ok(Self {
            inner: Arc::new(Inner {
                layout,
                catalog,
                index,
                limit_bytes,
                evicted: AtomicU64::new(0),
                quarantined: AtomicU64::new(0),
            }),
        })
    }

    /// The body of `key`, if it is here and whole. Blocks shortly; a suspect body is hashed first.
    ///
    /// A body that is missing, cut or damaged is taken out, so that the caller fetches it anew.
    pub(crate) fn get(&self, key: &ArtifactKey) -> Option<Stored> {
        self.open_entry(self.inner.catalog.get(KeyHash::of_file(key))?)
    }

    /// The body that a neighbour asks for by the hash of its key, if it may have it.
    pub(crate) fn get_shareable(&self, hash: KeyHash) -> Option<Stored> {
        let entry = self.inner.catalog.get(hash)?;
        if !entry.proof.is_shareable() {
            return None;
        }
        self.open_entry(entry)
    }

    /// What `get_shareable` would open, without opening it.
    pub(crate) fn shareable_summary(&self, hash: KeyHash) -> Option<MeasuredFile> {
        let entry = self.inner.catalog.get(hash)?;
        let settled = !entry.suspect.load(Ordering::Acquire);
        (entry.proof.is_shareable() && settled).then(|| entry.proof.measured())
    }

    /// Keys of everything that neighbours may have.
    pub(crate) fn shareable(&self) -> Vec<KeyHash> {
        self.inner.catalog.shareable()
    }

    /// A place for bytes on their way in.
    pub(crate) async fn stage(&self) -> Result<Staging, StoreError> {
        self.inner.layout.check()?;
        Ok(Staging::create(&self.inner.layout.staging()).await?)
    }

    /// Keeps `staged` under the key of `proof` and opens it. Blocks shortly.
    ///
    /// The order makes a crash harmless: an older proof goes first, then the body takes its place, then the new proof.
    pub(crate) fn commit(&self, staged: Staged, proof: Proof) -> Result<Stored, StoreError> {
        if staged.measured() != proof.measured() {
            return Err(StoreError::OtherBytes);
        }
        let layout = &self.inner.layout;
        layout.check()?;
        let body = layout.body(proof.scope(), proof.key());
        let proof_path = proof_of(&body);
        if let Some(folder) = body.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = staged.open()?;
        remove_if_there(&proof_path)?;
        rename_over(staged.path(), &body)?;
        staged.taken();
        let written = layout.staging().join(format!(
            "proof-{}-{}",
            std::process::id(),
            KeyHash::of_file(proof.key())
        ));
        fs::write(&written, proof.to_file())
            .and_then(|()| rename_over(&written, &proof_path))
            .inspect_err(|_| {
                let _swept_at_the_next_start = fs::remove_file(&written);
                let _same = fs::remove_file(&body);
            })?;
        if proof.scope() == Scope::Proven {
            // What was set apart while the database could not be asked has been promoted.
            self.drop_apart(proof.key());
        }
        let hash = KeyHash::of_file(proof.key());
        let now = now_ms();
        let entry = Entry::new(proof, now, false);
        entry.notice_change(&file.metadata()?);
        let entry = self.inner.catalog.insert(entry);
        self.inner.index.touch(hash, now);
        self.evict(&entry);
        Ok(Stored { file, entry })
    }

    /// Takes a body out of the store and back into staging, to be judged again. Blocks shortly.
    pub(crate) fn take_back(&self, entry: &Arc<Entry>) -> Result<Staged, StoreError> {
        let key = entry.proof.key();
        let body = self.inner.layout.body(entry.proof.scope(), key);
        self.inner.catalog.remove(entry);
        self.inner.index.forget(KeyHash::of_file(key));
        remove_if_there(&proof_of(&body))?;
        let staged = self
            .inner
            .layout
            .staging()
            .join(format!("back-{}", KeyHash::of_file(key)));
        fs::rename(&body, &staged)?;
        Ok(Staged::measured_before(staged, entry.proof.measured()))
    }

    /// Puts a body aside that could not be read as it was written, and forgets it.
    pub(crate) fn quarantine(&self, entry: &Arc<Entry>, reason: &str) {
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
            self.inner
                .catalog
                .get(KeyHash::of_file(&key))
                .is_some_and(|entry| entry.proof.scope() == scope)
        })
    }

    /// Whether `path` names something inside a module that is held.
    pub(crate) fn is_below_held(&self, path: &str) -> bool {
        self.inner.catalog.is_below_held(path)
    }

    /// Versions of `module` that are held, in Go's order.
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

    /// Makes the order of requests durable; the bodies are made durable by the state folder's end.
    pub(crate) fn end(&self) {
        self.inner.index.end();
    }

    fn open_entry(&self, entry: Arc<Entry>) -> Option<Stored> {
        let key = entry.proof.key();
        let path = self.inner.layout.body(entry.proof.scope(), key);
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((now, file)) if now.is_file() && now.len() == entry.proof.measured().length => {
                if entry.notice_change(&now) {
                    entry.suspect.store(true, Ordering::Release);
                }
                if entry.suspect.load(Ordering::Acquire) && !self.clear_suspicion(&entry, &file) {
                    return None;
                }
                let now = now_ms();
                entry.last_request_ms.store(now, Ordering::Relaxed);
                self.inner.index.touch(KeyHash::of_file(key), now);
                Some(Stored { file, entry })
            }
            Ok(_) => {
                self.quarantine(&entry, "its length is not the one in its proof");
                None
            }
            Err(error) if is_shortage(&error) => {
                tracing::warn!(%key, %error, "a kept file could not be opened");
                None
            }
            Err(error) => {
                self.quarantine(&entry, &error.to_string());
                None
            }
        }
    }

    fn drop_apart(&self, key: &ArtifactKey) {
        let body = self.inner.layout.body(Scope::Pending, key);
        let _was_never_apart = fs::remove_file(proof_of(&body));
        let _same = fs::remove_file(body);
    }
}

/// What a person can do about an error of the disk.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "its disk is mounted read-only: mount it writable again"
        }
        io::ErrorKind::PermissionDenied => "give the state folder back to the user of this daemon",
        _ => "if the disk is full, free some space (or inodes) or lower --store-limit",
    }
}

/// Whether an error speaks of this process or machine being short of something rather than of the file.
fn is_shortage(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [
        rustix::io::Errno::MFILE,
        rustix::io::Errno::NFILE,
        rustix::io::Errno::NOMEM,
    ]
    .iter()
    .any(|shortage| code == Some(shortage.raw_os_error()))
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
