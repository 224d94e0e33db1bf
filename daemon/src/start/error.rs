//! The ways in which a daemon does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::os;
use crate::peers::PeersError;
use crate::state::StateError;
use crate::upstream;

/// Why a daemon did not start: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The listen address cannot be had.
    #[error("cannot listen on {address}: {error}; {remedy}", remedy = os::listen_remedy(error, "--listen"))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The store cannot be opened.
    #[error("cannot open the store in {folder}: {reason}")]
    Store {
        /// The state folder.
        folder: String,
        /// What went wrong.
        reason: String,
    },
    /// Two databases share a name, and so a folder and a place in URLs.
    #[error("two checksum databases are called {0}: name one of them only")]
    SameDatabase(String),
    /// A file of the setting `go-sum` cannot be used.
    #[error(
        "the go.sum file {} cannot be used: {reason}; mend it, or take it out of --go-sum",
        .path.display()
    )]
    GoSum {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file of the mesh secrets cannot be used. Nobody is let in instead of members.
    #[error(
        "the mesh secret in {} cannot be used: {reason}",
        .path.display()
    )]
    MeshSecret {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The upstream cannot be used.
    #[error("the upstream cannot be used: {0}")]
    Upstream(#[from] upstream::StartError),
    /// The neighbours' side cannot be started.
    #[error(transparent)]
    Peers(#[from] PeersError),
}
