//! Who decides about a module: the members that rank highest for it (rendezvous hashing, Thaler and Ravishankar 1998).

use std::fmt;
use std::time::Duration;

use crate::artifact::KeyHash;
use crate::digest::{Hasher, hex};
use crate::peer_name::PeerName;
use crate::wire::{Decode, Encode};

/// A member of the network by the hash of its name: names nobody to those who do not know it already, so that a host that is named
/// by another can be found among those it knows and in no other way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct MemberId(pub [u8; 32]);

impl MemberId {
    /// The id of who is called so.
    pub fn of(name: &PeerName) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(b"modmesh/1\0member\0");
        hasher.update(name.as_str().as_bytes());
        Self(hasher.finish())
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0)[..8])
    }
}

/// A host that may own something, as it is seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub id: MemberId,
    /// For how long it has been up, by its own word.
    pub up: Duration,
}

/// A host that has been up for this long owns its share, whoever else has been up for longer.
pub const SETTLED: Duration = Duration::from_secs(30);

/// How many owners a thing has: the first decides, and the others where those before them are silent. Of six one is on each
/// side of 97 of 100 partitions into halves.
pub const OWNERS: usize = 6;

/// The owners of what lies at `place`, the first one in front: of the members that are settled, and where these are too few
/// of the others.
///
/// A host that has just come up comes after all that are settled, so that one that comes and goes moves nothing; but hosts that
/// power on together own at once: settled is who has been up for [`SETTLED`], or came up no later than that after the eldest. So
/// which hosts are settled does not change while a farm starts. One that says to be the eldest, and lies, is first everywhere until
/// the others are settled, and is passed over like any other that is silent.
pub fn owners(place: &KeyHash, members: &[Member]) -> [Option<MemberId>; OWNERS] {
    let eldest = members.iter().map(|member| member.up).max();
    let least = eldest.map_or(SETTLED, |eldest| {
        SETTLED.min(eldest.saturating_sub(SETTLED))
    });
    let mut ranked: [Option<(bool, [u8; 32], MemberId)>; OWNERS] = [None; OWNERS];
    for member in members {
        let is_settled = member.up >= least;
        let candidate = Some((is_settled, weight(place, &member.id), member.id));
        if ranked.contains(&candidate) {
            continue;
        }
        if let Some(at) = ranked.iter().position(|owner| candidate > *owner) {
            ranked[at..].rotate_right(1);
            ranked[at] = candidate;
        }
    }
    ranked.map(|owner| owner.map(|(_, _, id)| id))
}

/// How high a member ranks for a place.
fn weight(place: &KeyHash, member: &MemberId) -> [u8; 32] {
    let mut hasher = Hasher::new();
    hasher.update(b"modmesh/1\0owner\0");
    hasher.update(&place.0);
    hasher.update(&member.0);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u16, seconds: u64) -> Member {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&number.to_be_bytes());
        Member {
            id: MemberId(id),
            up: Duration::from_secs(seconds),
        }
    }

    fn place(number: u16) -> KeyHash {
        KeyHash(member(number, 0).id.0)
    }

    #[test]
    fn everybody_who_sees_the_same_members_names_the_same_owners() {
        let mut members: Vec<Member> = (0..20).map(|number| member(number, 100)).collect();
        let named = owners(&place(7), &members);
        assert!(named[0].is_some() && named[1].is_some() && named[0] != named[1]);
        members.reverse();
        assert_eq!(owners(&place(7), &members), named);
        members.extend_from_within(..);
        assert_eq!(owners(&place(7), &members), named);
        assert_eq!(owners(&place(7), &[]), [None; OWNERS]);
        let alone = member(3, 0);
        assert_eq!(
            owners(&place(7), &[alone]),
            [Some(alone.id), None, None, None, None, None]
        );
    }

    #[test]
    fn when_one_leaves_only_its_own_places_move_and_they_move_to_the_second() {
        let members: Vec<Member> = (0..50).map(|number| member(number, 100)).collect();
        let gone = members[17];
        let fewer: Vec<Member> = members.iter().copied().filter(|m| *m != gone).collect();
        let mut owned = 0;
        for number in 0..2000 {
            let (before, after) = (
                owners(&place(number), &members),
                owners(&place(number), &fewer),
            );
            if before[0] == Some(gone.id) {
                owned += 1;
                assert_eq!(after[0], before[1]);
            } else {
                assert_eq!(after[0], before[0]);
            }
        }
        assert!(
            (20..=65).contains(&owned),
            "{owned} of 2000 among 50 members"
        );
    }

    #[test]
    fn who_has_just_come_up_owns_nothing_unless_all_have() {
        let old: Vec<Member> = (0..10).map(|number| member(number, 1000)).collect();
        let mut with_new = old.clone();
        with_new.extend((10..20).map(|number| member(number, 29)));
        let mut young = Vec::new();
        young.extend((0..20).map(|number| member(number, 3 + u64::from(number % 3))));
        let mut settled = with_new.clone();
        settled
            .iter_mut()
            .for_each(|member| member.up += Duration::from_secs(1));
        let mut moved = 0;
        for number in 0..200 {
            assert_eq!(
                owners(&place(number), &with_new),
                owners(&place(number), &old)
            );
            moved += usize::from(owners(&place(number), &settled) != owners(&place(number), &old));
            let named = owners(&place(number), &young);
            assert!(named[0].is_some() && named[1].is_some());
        }
        assert!(moved > 100, "{moved}");
        // Who claims to be older than all others is the first, and not the only one.
        young.push(member(99, 1_000_000));
        let named = owners(&place(1), &young);
        assert_eq!(named[0], Some(member(99, 0).id));
        assert!(named.iter().all(Option::is_some));
        young.pop();
        let first = owners(&place(1), &young)[0];
        assert!((2..200).any(|number| owners(&place(number), &young)[0] != first));
    }
}
