//! Who owns a thing, of the hosts that this one can ask.

use libp2p::PeerId;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::control::OwnerName;
use modmesh_protocol::lease::{Member, MemberId, OWNERS, owners};

use super::super::roster::Settled;
use super::super::{Shared, name_of};

/// An owner: this host itself, a neighbour, or one beyond them.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Owner {
    pub(in super::super) id: MemberId,
    /// Nothing for this host.
    pub(in super::super) peer: Option<PeerId>,
}

/// Who would be asked about a thing at `place` now, the first one in front; nobody where this host has no neighbours.
pub(in super::super) fn owner_names(shared: &Shared, place: &KeyHash) -> Vec<OwnerName> {
    let candidates = shared.candidates();
    if candidates.is_empty() {
        return Vec::new();
    }
    let owners = owners_of(shared, place, &candidates);
    let named = owners.into_iter().flatten().map(|owner| OwnerName {
        peer_id: owner
            .peer
            .map_or(shared.name.clone(), |peer| name_of(&peer)),
        is_this_host: owner.peer.is_none(),
    });
    named.collect()
}

/// Who owns what lies at `place`, of this host and those; the first one in front.
pub(in super::super) fn owners_of(
    shared: &Shared,
    place: &KeyHash,
    candidates: &[Settled],
) -> [Option<Owner>; OWNERS] {
    let ours = MemberId::of(&shared.name);
    let mut members: Vec<_> = candidates.iter().map(|one| one.member).collect();
    members.push(Member {
        id: ours,
        up: shared.up_since.elapsed(),
    });
    owners(place, &members).map(|id| {
        let id = id?;
        let neighbour = candidates.iter().find(|one| one.member.id == id);
        let peer = neighbour.map(|one| one.peer);
        (peer.is_some() || id == ours).then_some(Owner { id, peer })
    })
}
