//! Whom this host's user distrusts: names in a file, one a line, that are left alone for good.
//!
//! Unlike a ban for a lie this outlives a restart, for it is a person's word and only a person takes it back.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use modmesh_protocol::peer_name::PeerName;

use super::roster::Roster;
use super::{Peers, lock, peer_id_of};
use crate::state::rename_over;

/// Names that are kept: a person names each.
const NAMES_MAX: usize = 256;
/// What people see of them.
const WHY: &str =
    "distrusted by this host's user; `modmesh distrust --undo` and its name takes that back";

/// Why a name was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DistrustError {
    /// Not a peer id.
    #[error("not a peer id; `modmesh peers` shows those of neighbours")]
    NoPeer,
    /// More than anybody needs.
    #[error("{NAMES_MAX} names are distrusted already; take one back first")]
    TooMany,
    /// The disk.
    #[error("cannot write {}: {error}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// The names.
#[derive(Debug)]
pub(super) struct Distrusted {
    file: PathBuf,
    names: Mutex<Vec<PeerName>>,
}

impl Distrusted {
    /// Reads the file; what is no name in it is passed over.
    pub(super) fn read(file: PathBuf) -> Self {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let names = text.lines().filter_map(|line| line.trim().parse().ok());
        let names = names.take(NAMES_MAX).collect();
        Self {
            file,
            names: Mutex::new(names),
        }
    }

    pub(super) fn names(&self) -> Vec<PeerName> {
        lock(&self.names).clone()
    }

    fn change(&self, peer: &PeerName, is_distrusted: bool) -> Result<(), DistrustError> {
        let mut names = lock(&self.names);
        let mut changed = names.clone();
        changed.retain(|name| name != peer);
        if is_distrusted {
            changed.push(peer.clone());
        }
        if changed.len() > NAMES_MAX {
            return Err(DistrustError::TooMany);
        }
        let text: String = changed.iter().map(|name| format!("{name}\n")).collect();
        let written = self.file.with_extension("new");
        let write = || {
            fs::write(&written, text)?;
            rename_over(&written, &self.file)
        };
        write().map_err(|error| DistrustError::Write {
            path: self.file.clone(),
            error,
        })?;
        *names = changed;
        Ok(())
    }
}

impl Peers {
    /// Leaves `peer` alone for good, on the word of this host's user; or takes that back. Blocks shortly.
    ///
    /// # Errors
    /// A [`DistrustError`]; then nothing changes.
    pub fn distrust(&self, peer: &PeerName, is_distrusted: bool) -> Result<(), DistrustError> {
        let id = peer_id_of(peer).ok_or(DistrustError::NoPeer)?;
        self.shared.distrusted.change(peer, is_distrusted)?;
        match is_distrusted {
            true => {
                self.shared.roster.distrust(&id, WHY);
                lock(&self.shared.directory).forget(peer);
                lock(&self.shared.said_on_errands).forget(peer);
                self.shared.outbox.disconnect(id);
                self.shared
                    .watch
                    .neighbours(self.shared.roster.usable_count());
            }
            false => self.shared.roster.trust_again(&id),
        }
        Ok(())
    }

    /// Whom this host's user distrusts.
    pub fn distrusted(&self) -> Vec<PeerName> {
        self.shared.distrusted.names()
    }
}

impl Distrusted {
    /// Has those of earlier runs left alone.
    pub(super) fn apply(&self, roster: &Roster) {
        for id in self.names().iter().filter_map(peer_id_of) {
            roster.distrust(&id, WHY);
        }
    }
}
