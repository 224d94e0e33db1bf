//! How far the search for one file is, from its neighbours to the upstream: what was learnt by asking one is known when the next is asked.

use std::time::Duration;

use modmesh_protocol::peer_name::PeerName;

use super::Listing;
use super::sources::Miss;
use crate::trust::Expected;

/// What is known of a file that is not here yet.
#[derive(Default)]
pub(super) struct Search {
    /// What it must be, if that was found out on the way.
    pub expected: Option<Expected>,
    /// Those that did not give it, and were not just busy.
    pub useless: Vec<PeerName>,
    /// Where upstream's list stands, if it overtook a neighbour and gave a false file.
    pub list: Listing,
    /// What went wrong with the last neighbour that has it.
    pub failed: Option<Miss>,
    /// How long to wait before asking again those that were asked last, when one of them has it and is busy.
    pub retry_after: Option<Duration>,
}
