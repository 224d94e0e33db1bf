//! What clients may ask for when nobody else can be asked: the closure of the current head.
//!
//! A client proves every head that it is given a continuation of the one that it holds, and every record by its path. So
//! these must be here, at the widths of the current head: the right edge of the current head, the right edge of every head
//! that a client may hold, and the path of every record. For heads that were current here this follows by induction (see
//! `heads.rs`). Three things are outside of it and are seen to here: heads that a client got elsewhere, heads that were
//! current and whose tiles were lost with the machine, and whatever the disk lost since.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use modmesh_protocol::log::{Authenticated, Goals, SignedHead, tiles_needed};
use modmesh_protocol::module::ModuleVersion;

use super::super::sources::{ShownBy, Sources};
use super::super::tiles::{Place, unkept};
use super::{ProveError, Prover};

/// Heads that are owed; each costs a few tiles with every advance until it is paid.
const OWED_MAX: usize = 64;
/// Records or heads that are proved at a time while everything is checked: a few milliseconds of one core.
const CHECKED_AT_ONCE: usize = 32;

/// Heads that clients hold and whose right edges are not all here.
#[derive(Debug, Default)]
pub(super) struct Owed(Mutex<Vec<Arc<SignedHead>>>);

/// What a check of everything found.
#[derive(Debug, Default)]
pub(in super::super) struct Checked {
    /// Tiles that are not here and that nobody who could be asked has.
    pub missing: usize,
    /// Kept records that do not stand in the log; they are forgotten.
    pub false_records: Vec<ModuleVersion>,
}

impl Owed {
    pub(super) fn new(heads: Vec<SignedHead>) -> Self {
        let heads = heads.into_iter().take(OWED_MAX).map(Arc::new).collect();
        Self(Mutex::new(heads))
    }

    /// Those that a tree of `size` records can pay.
    pub(super) fn below(&self, size: u64) -> Vec<Arc<SignedHead>> {
        let heads = self.heads();
        let below = heads.iter().filter(|head| head.size() <= size);
        below.cloned().collect()
    }

    /// These are not owed any more.
    pub(super) fn paid(&self, heads: &[Arc<SignedHead>]) {
        self.heads().retain(|owed| !heads.contains(owed));
    }

    fn add(&self, head: Arc<SignedHead>) {
        let mut heads = self.heads();
        if !heads.contains(&head) && heads.len() < OWED_MAX {
            heads.push(head);
        }
    }

    fn heads(&self) -> std::sync::MutexGuard<'_, Vec<Arc<SignedHead>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Prover {
    /// A head that a client of this host holds: what continues it up to the current head is fetched and kept, and if it is
    /// larger it becomes current. Where that cannot be done now it is owed, and tried again with every advance.
    ///
    /// # Errors
    /// It contradicts ours; or what is needed is not to be had now.
    pub(in super::super) async fn serve_holder(
        self: &Arc<Self>,
        held: SignedHead,
        mut sources: Sources,
    ) -> Result<(), ProveError> {
        let _using = self.using();
        let held = Arc::new(held);
        if held.size() == 0 {
            return Ok(());
        }
        let current = self.head().filter(|head| head.size() >= held.size());
        let served = match &current {
            None => self
                .merge(Arc::clone(&held), &ShownBy::ThisHost, None, &mut sources)
                .await
                .map(|_| ()),
            Some(current) => {
                let kept = self
                    .keep_edge_of(&held, &ShownBy::ThisHost, current, &mut sources)
                    .await;
                kept.inspect(|()| self.write_head(&held))
            }
        };
        match &served {
            Ok(()) => self.owed.paid(std::slice::from_ref(&held)),
            Err(ProveError::Contradiction { .. } | ProveError::GivenUp(_) | ProveError::Over) => {}
            Err(_) => self.owed.add(held),
        }
        served
    }

    /// Fetches and keeps what continues `held`, which `by` holds, up to `current`, which is not smaller.
    ///
    /// # Errors
    /// It contradicts ours; or what is needed is not to be had now.
    pub(in super::super) async fn keep_edge_of(
        &self,
        held: &SignedHead,
        by: &ShownBy,
        current: &SignedHead,
        sources: &mut Sources,
    ) -> Result<(), ProveError> {
        let goals = Goals {
            records: Vec::new(),
            heads: vec![held.size()],
        };
        let proof = self.tiles.prove(current, &goals, sources).await?;
        if proof.proved.root_of(held.size()) != Some(held.head().root) {
            return Err(self.contradictions.show(current, held, &by.name()));
        }
        self.contradictions.given_up().is_ours(held);
        self.tiles.keep(&proof);
        Ok(())
    }

    /// Writes a head, unless tiles that it rests on are not on the disk yet.
    pub(super) fn write_head(&self, head: &SignedHead) {
        if self.tiles.write_unwritten() {
            self.files
                .write_head(head.size(), head.note())
                .unwrap_or_else(|error| unkept(&error));
        }
    }

    /// Goes through all that the closure needs, asking `sources` for what is not here, and writes what could not be written
    /// before.
    pub(in super::super) async fn check(
        &self,
        records: Vec<ModuleVersion>,
        sources: &Sources,
    ) -> Checked {
        let Some(current) = self.head() else {
            return Checked::default();
        };
        let mut checked = Checked::default();
        let mut missing = HashSet::new();
        let heads: Vec<SignedHead> = self
            .files
            .heads()
            .filter_map(|note| SignedHead::open(note.as_bytes(), &self.key).ok())
            .filter(|head| head.size() <= current.size())
            .collect();
        for some in heads.chunks(CHECKED_AT_ONCE) {
            let goals = Goals {
                records: Vec::new(),
                heads: some.iter().map(SignedHead::size).collect(),
            };
            let Some(proved) = self.mend(&current, &goals, sources, &mut missing).await else {
                continue;
            };
            for head in some {
                if proved.root_of(head.size()) != Some(head.head().root) {
                    let held = ShownBy::ThisHost.name();
                    self.contradictions.show(&current, head, &held);
                }
            }
        }
        for some in records.chunks(CHECKED_AT_ONCE) {
            let kept: Vec<_> = some
                .iter()
                .filter_map(|of| Some((of, self.files.record(of)?)))
                .filter(|(_, record)| record.id < current.size())
                .collect();
            let goals = Goals {
                records: kept.iter().map(|(_, record)| record.id).collect(),
                heads: Vec::new(),
            };
            let Some(proved) = self.mend(&current, &goals, sources, &mut missing).await else {
                continue;
            };
            for (of, record) in kept {
                if proved.leaf(record.id) != Some(record.leaf_hash()) {
                    tracing::warn!(%of, "a kept record does not stand in the log; it is forgotten");
                    self.files.forget_record(of);
                    checked.false_records.push(of.clone());
                }
            }
        }
        if self.files.head_written(current.size()).is_none() {
            self.write_head(&current);
        }
        checked.missing = missing.len();
        checked
    }

    /// Proves `goals` under `head` and keeps what was not here; what nobody has is added to `missing`.
    async fn mend(
        &self,
        head: &SignedHead,
        goals: &Goals,
        sources: &Sources,
        missing: &mut HashSet<Place>,
    ) -> Option<Authenticated> {
        match self.tiles.prove(head, goals, &mut sources.clone()).await {
            Ok(proof) => {
                self.tiles.keep(&proof);
                Some(proof.proved)
            }
            Err(_) => {
                missing.extend(self.missing(head, goals));
                None
            }
        }
    }

    /// The places of those tiles for `goals` that are not here.
    fn missing(&self, head: &SignedHead, goals: &Goals) -> Vec<Place> {
        let needed = tiles_needed(head.size(), goals).unwrap_or_default();
        let is_here = |level, index, width| {
            let kept = self.tiles.kept(level, index);
            kept.is_some_and(|tile| tile.coordinate().width >= width)
        };
        needed
            .into_iter()
            .filter(|at| !is_here(at.level, at.index, at.width))
            .map(|at| (at.level, at.index))
            .collect()
    }
}
