//! The way in: a body and its proof are laid into a tree, in an order that makes a crash harmless.
//!
//! The proof is renamed into place last and is the commit point. Bodies are laid and taken away one at a time, so that a body never
//! stands beside the proof of another that came at the same moment, and none goes in the name of one that was there before.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use modmesh_protocol::artifact::{ArtifactKey, KeyHash};

use super::catalog::Entry;
use super::layout::{Layout, proof_of};
use super::staging::{self, Staged};
use super::{Store, StoreError, Stored, now_ms, remove_if_there};
use crate::state::rename_over;
use crate::trust::{Proof, Scope};

impl Store {
    /// Keeps `staged` under the key of `proof` and opens it. Blocks shortly.
    pub(crate) fn commit(&self, staged: Staged, proof: Proof) -> Result<Stored, StoreError> {
        if staged.measured() != proof.measured() {
            return Err(StoreError::OtherBytes);
        }
        let _keeping = self.keeping()?;
        self.inner.layout.check()?;
        let file = staged.open()?;
        let entry = {
            let _turn = self.turn();
            let proof = self.followed_or_doubted(proof);
            let entry = self.lay(proof, now_ms(), |body| rename_over(staged.path(), body))?;
            staged.taken();
            entry
        };
        self.evict(Some(&entry));
        Ok(Stored { file, entry })
    }

    /// The body of `entry`, to be judged again where it lies; that counts as no request for it. Blocks shortly.
    pub(crate) fn reopen(&self, entry: &Arc<Entry>) -> Option<File> {
        self.open_body(entry)
    }

    /// `entry` was judged again and `proof` is what came of it: it takes the place of the old one, the body stays or moves to
    /// the tree where it belongs now. At every moment one of the two stands with its body. Nothing when the entry is gone.
    pub(crate) fn settle(
        &self,
        entry: &Arc<Entry>,
        proof: Proof,
    ) -> Result<Option<Arc<Entry>>, StoreError> {
        if entry.proof.measured() != proof.measured() {
            return Err(StoreError::OtherBytes);
        }
        let _keeping = self.keeping()?;
        let _turn = self.turn();
        if !self.inner.catalog.holds(entry) {
            return Ok(None);
        }
        let proof = self.followed_or_doubted(proof);
        let layout = &self.inner.layout;
        layout.check()?;
        let from = layout.body(entry.proof.scope(), entry.proof.key());
        let last = entry.last_request_ms.load(Ordering::Relaxed);
        if layout.body(proof.scope(), proof.key()) == from {
            write_proof(layout, &proof, &proof_of(&from))?;
            return Ok(Some(self.enter(proof, last, &from)?));
        }
        let moved = self.lay(proof, last, |body| {
            remove_if_there(body)?;
            fs::hard_link(&from, body)
        });
        Ok(Some(moved?))
    }

    /// `entry` was judged again and is false: it goes.
    pub(crate) fn drop_false(&self, entry: &Arc<Entry>) {
        let _turn = self.turn();
        if self.inner.catalog.remove(entry) {
            let key = entry.proof.key();
            self.inner.index.forget(KeyHash::of_file(key));
            remove_with_proof(&self.inner.layout.body(entry.proof.scope(), key));
        }
    }

    /// The log may have been given up while the file was on its way.
    fn followed_or_doubted(&self, proof: Proof) -> Proof {
        match self.is_of_another_log(&proof) {
            true => proof.doubted(),
            false => proof,
        }
    }

    /// An older proof goes first, then the body is laid, then the new proof, and then what was set apart of the same file.
    fn lay(
        &self,
        proof: Proof,
        last_request_ms: u64,
        lay_body: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<Arc<Entry>, StoreError> {
        let layout = &self.inner.layout;
        let body = layout.body(proof.scope(), proof.key());
        let proof_path = proof_of(&body);
        if let Some(folder) = body.parent() {
            fs::create_dir_all(folder)?;
        }
        remove_if_there(&proof_path)?;
        lay_body(&body)?;
        write_proof(layout, &proof, &proof_path).inspect_err(|_| {
            let _swept_at_the_next_start = fs::remove_file(&body);
        })?;
        if proof.scope() == Scope::Proven {
            // What was set apart while the database could not be asked has been promoted.
            drop_apart(layout, proof.key());
        }
        Ok(self.enter(proof, last_request_ms, &body)?)
    }

    fn enter(&self, proof: Proof, last_request_ms: u64, body: &Path) -> io::Result<Arc<Entry>> {
        let hash = KeyHash::of_file(proof.key());
        let entry = Entry::new(proof, last_request_ms, false);
        entry.notice_change(&fs::metadata(body)?);
        let entry = self.inner.catalog.insert(entry);
        self.inner.index.touch(hash, last_request_ms);
        Ok(entry)
    }

    /// Held while the files of a body come or go.
    pub(super) fn turn(&self) -> std::sync::MutexGuard<'_, ()> {
        self.inner
            .laying
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces the proof file at `path`, as a whole or not at all.
fn write_proof(layout: &Layout, proof: &Proof, path: &Path) -> io::Result<()> {
    let written = staging::new_path(&layout.staging(), "proof-");
    fs::write(&written, proof.to_file())
        .and_then(|()| rename_over(&written, path))
        .inspect_err(|_| {
            let _swept_at_the_next_start = fs::remove_file(&written);
        })
}

/// Sets a proven file apart that must be judged again: it is linked to its new place and pending there before its proof and
/// then the body go. At every moment one of the two stands with its body, and doing it twice does no harm.
pub(super) fn set_apart(layout: &Layout, proof: &Proof) -> io::Result<Proof> {
    let pending = proof.doubted();
    let from = layout.body(proof.scope(), proof.key());
    let body = layout.body(pending.scope(), pending.key());
    if let Some(folder) = body.parent() {
        fs::create_dir_all(folder)?;
    }
    remove_if_there(&proof_of(&body))?;
    remove_if_there(&body)?;
    fs::hard_link(&from, &body)?;
    write_proof(layout, &pending, &proof_of(&body))?;
    fs::remove_file(proof_of(&from))?;
    let _swept_at_the_next_start = fs::remove_file(&from);
    Ok(pending)
}

/// Removes what was set apart of a file that is proven now.
pub(super) fn drop_apart(layout: &Layout, key: &ArtifactKey) {
    remove_with_proof(&layout.body(Scope::Pending, key));
}

/// The proof first: a crash in between leaves a body that the next start sweeps.
pub(super) fn remove_with_proof(body: &Path) {
    let _gone = fs::remove_file(proof_of(body));
    let _gone = fs::remove_file(body);
}
