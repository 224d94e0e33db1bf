//! Telling each other to which site one belongs, when two hosts have greeted.
//!
//! It is a question of its own and not a part of the greeting: the form of that is for good, and a closed host says nothing to who
//! is not known to be a member. The dialler asks, and tells its own with it. Who does not know the question refuses it and has no
//! name; then the link decides, see [`is_across`](modmesh_protocol::site::is_across). What is said is believed: it decides about cost alone.

use std::time::Duration;

use libp2p::PeerId;
use modmesh_protocol::limits::NO_PROGRESS_MAX;
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::site::Site;
use modmesh_protocol::wire::{Answer, Query};
use tokio::time::sleep;

use super::crossing::OtherSite;
use super::locate::{self, Reach};
use super::streams::Purpose;
use super::{Haste, KeyHash, PeerError, Peers, Shared, Survey, ask, frames, peer_id_of};

/// How often one is asked that is busy or silent, and the pause between.
const ASKED_MAX: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// Asks a neighbour that was just greeted. Until it has answered, the link decides.
pub(super) async fn exchange(shared: &Shared, peer: PeerId) {
    for _ in 0..ASKED_MAX {
        match ask_one(shared, peer).await {
            Ok(()) => return,
            Err(PeerError::Busy { .. } | PeerError::Stalled) => sleep(PAUSE).await,
            Err(error) => {
                tracing::debug!(%peer, %error, "a neighbour does not tell its site");
                return;
            }
        }
    }
}

async fn ask_one(shared: &Shared, peer: PeerId) -> Result<(), PeerError> {
    let mut stream = ask::open(shared, &peer, Purpose::Query).await?;
    let question = Query::Site {
        name: name_of_ours(shared),
    };
    let sent = frames::write(&mut stream, &question, NO_PROGRESS_MAX).await?;
    shared.count_sent(&peer, sent);
    let (answer, bytes) = frames::read::<Answer>(&mut stream, NO_PROGRESS_MAX).await?;
    shared.count_received(&peer, bytes);
    match answer {
        Answer::Site(name) => {
            take_in(shared, &peer, name);
            Ok(())
        }
        Answer::Refused => Err(PeerError::Refused),
        Answer::Busy { .. } => Err(PeerError::Busy { retry_after: PAUSE }),
        _ => Err(PeerError::Protocol("another answer than a site")),
    }
}

/// The answer to a neighbour that asks, and told its own.
pub(super) fn answer(shared: &Shared, peer: &PeerId, name: Option<String>) -> Answer {
    take_in(shared, peer, name);
    Answer::Site(name_of_ours(shared))
}

/// What is no name is none.
fn take_in(shared: &Shared, peer: &PeerId, name: Option<String>) {
    let site = name.and_then(|name| name.parse::<Site>().ok());
    shared
        .roster
        .is_of(peer, site, shared.crossing.home.as_ref());
}

fn name_of_ours(shared: &Shared) -> Option<String> {
    shared.crossing.home.as_ref().map(Site::to_string)
}

/// Other sites.
impl Peers {
    /// Whether `peer` is of another site.
    pub fn is_across(&self, peer: &PeerName) -> bool {
        let id = peer_id_of(peer);
        id.is_some_and(|id| self.shared.roster.is_across(&id))
    }

    /// Whether other sites can be asked now, and what the best of them is worth; for `file`, where one is looked for.
    pub fn crossing(&self, file: Option<&KeyHash>) -> modmesh_protocol::site::Crossing {
        let shared = &self.shared;
        shared
            .crossing
            .look(&shared.roster, &shared.directory, file)
    }

    /// Whether other sites can be asked now.
    pub fn may_cross(&self) -> bool {
        let crossing = self.crossing(None);
        matches!(crossing, modmesh_protocol::site::Crossing::Open(_))
    }

    /// What was seen of the way to the site of `peer`.
    pub fn road_to(&self, peer: &PeerName) -> modmesh_protocol::lease::Road {
        let site = self.shared.other_site_of(peer);
        site.map(|site| self.shared.crossing.road(&site).0)
            .unwrap_or_default()
    }

    /// As [`Peers::survey`], of the neighbours of other sites, which get a second for the answer.
    pub async fn survey_across(
        &self,
        file: Option<KeyHash>,
        record: Option<(modmesh_protocol::log::DatabaseId, KeyHash)>,
        haste: Haste,
    ) -> Survey {
        let akin = file.as_slice();
        locate::locate(&self.shared, file, record, akin, haste, Reach::OtherSites).await
    }

    /// As [`Peers::survey`], of the neighbours of all sites, while the budget lasts.
    pub async fn survey_everywhere(&self, file: KeyHash, haste: Haste) -> Survey {
        let (akin, file) = ([file], Some(file));
        locate::locate(&self.shared, file, None, &akin, haste, Reach::Everybody).await
    }

    /// This host's site, and what went between it and others.
    pub fn site(&self) -> modmesh_protocol::control::SiteStatus {
        self.shared.crossing.status(&self.shared.roster)
    }
}

impl Shared {
    /// The site of `peer`, where that is another one.
    pub(super) fn other_site_of(&self, peer: &PeerName) -> Option<OtherSite> {
        self.roster.other_site_of(&peer_id_of(peer)?)
    }
}
