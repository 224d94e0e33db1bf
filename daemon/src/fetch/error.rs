//! What became of a request that got no file or note; the front door turns each variant into a status.

use std::io;
use std::sync::Arc;

use modmesh_protocol::artifact::ArtifactKey;

use super::not_here::NotHere;
use super::notes::SaidToMember;
use super::sources::Miss;
use crate::flight::Crashed;
use crate::peers::PeerError;
use crate::policy::Refusal;
use crate::store::{KeptRefusal, StoreError, remedy};
use crate::trust::Rejection;
use crate::upstream::UpstreamError;

/// Why there is no answer. Cheap to clone: followers of a flight share it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum FetchError {
    /// Upstream's own answer, which passes unchanged.
    #[error("{0}")]
    Upstream(Arc<UpstreamError>),
    /// Upstream is gone; this is what it said when it was there.
    #[error("{} (upstream cannot be reached now; it said so {} s ago)", .0.text.trim_end(), .0.age.as_secs())]
    SaidBefore(Arc<KeptRefusal>),
    /// A member has just asked the same upstream, and this is what that said.
    #[error("{} (upstream said so to member {} {} s ago)", .0.text.trim_end(), .0.member, .0.age.as_secs())]
    SaidToMember(Arc<SaidToMember>),
    /// Upstream cannot be reached, and nobody else has it.
    #[error("{what}, and upstream cannot be reached: {reason}")]
    Unreachable { what: NotHere, reason: Arc<str> },
    /// Upstream cannot be reached, but the path lies inside a module that is held or listed, so it is no module.
    #[error(
        "{0} lies inside a module that is known here, and upstream cannot be reached to ask for another one there"
    )]
    InsideHeld(Arc<str>),
    /// This host is to stay offline, and nobody has it.
    #[error("{0}, and this host is offline by its settings")]
    Offline(NotHere),
    /// What came is not what the checksum database lists, or no zip that Go would accept.
    #[error("refused: {0}")]
    Untrue(Arc<Rejection>),
    /// An answer of upstream that is no answer to the question.
    #[error("upstream answered {what} with something that is not one: {reason}")]
    Nonsense { what: Arc<str>, reason: Arc<str> },
    /// A neighbour has it and failed, and there was nobody else.
    #[error(
        "{what} is offered by a neighbour that could not give it now, and there is nobody else to ask: {reason}; try again"
    )]
    Neighbour { what: Arc<str>, reason: Arc<str> },
    /// Nobody of this site has it, other sites may not be asked any more today, and there is no upstream that could be.
    #[error(
        "{what} is not to be had at this site, no upstream answers, and the budget for bytes between sites is used up; try again later, or give more with --site-budget"
    )]
    OverBudget { what: Arc<str> },
    /// This client may not have it.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The store could not take it.
    #[error("{0}")]
    Store(Arc<StoreError>),
    /// It was fetched, and could not be opened once more for this client.
    #[error("{key} was fetched but could not be opened: {error}; {remedy}", remedy = remedy(error))]
    Lost {
        key: ArtifactKey,
        error: Arc<io::Error>,
    },
    /// Nobody waited for it any more, as for many others; so nobody is told, but for whoever asks what became of it.
    #[error("nobody waited for it any more, and it was given up; ask for it again")]
    GivenUp,
    /// A fault of ours.
    #[error("the work for this request ended without a result; see the daemon's log")]
    Crashed,
}

impl FetchError {
    /// The same, unless a neighbour has the file and its giving `failed`: then it is somewhere, and this host cannot say that
    /// it is not.
    pub(super) fn beside(self, failed: Option<Miss>) -> Self {
        let (what, miss) = match (self, failed) {
            (error, Some(miss)) if !matches!(miss, Miss::Peer(PeerError::NotHere)) => match error {
                Self::Unreachable { what, .. } | Self::Offline(what) => (what.name, miss),
                Self::InsideHeld(what) => (what, miss),
                error => return error,
            },
            (error, _) => return error,
        };
        match miss {
            Miss::Store(error) => error.into(),
            Miss::Peer(PeerError::OverBudget) => Self::OverBudget { what },
            miss => Self::Neighbour {
                what,
                reason: miss.to_string().into(),
            },
        }
    }

    /// Whether it says that upstream is gone, or none, as opposed to what upstream answered.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::InsideHeld(_) | Self::Offline(_)
        )
    }
}

impl From<StoreError> for FetchError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<io::Error> for FetchError {
    fn from(error: io::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<Rejection> for FetchError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Read { error, .. } => error.into(),
            lie => Self::Untrue(Arc::new(lie)),
        }
    }
}

impl From<Crashed> for FetchError {
    fn from(_: Crashed) -> Self {
        Self::Crashed
    }
}
