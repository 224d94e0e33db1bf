//! What this host is in the line, and what it answers to the others.

use std::time::Duration;

use libp2p::PeerId;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::lease::MemberId;
use modmesh_protocol::line::{
    LineAnswer, LineQuestion, REST_HEARD_MAX, Standing, place_of_the_line,
};
use modmesh_protocol::wire::Answer;

use super::super::talk::owners_of;
use super::super::{Shared, Tiding, lock, name_of};
use super::{BUSY, First};

/// One that has been up for so much longer than this host may have known another keeper of the line.
const ELDER: Duration = Duration::from_secs(5);

/// A neighbour came, and may be the one that keeps the line from now on: this host follows it even if it is gone before the next look.
pub(in super::super) fn look(shared: &Shared) {
    if shared.line.guest.is_some() {
        standing(shared);
    }
}

/// What this host is among the owners of the line, as it is seen now and was before.
pub(super) fn standing(shared: &Shared) -> Standing {
    let candidates = shared.candidates();
    let ours = MemberId::of(&shared.name);
    let owners = owners_of(shared, &place_of_the_line(), &candidates);
    let first = owners.into_iter().flatten().next().map(|owner| owner.id);
    let first = first.unwrap_or(ours);
    let now = shared.line.now();
    let mut seen = lock(&shared.line.first);
    let is_new = seen.is_none_or(|seen| seen.id != first);
    if is_new {
        *seen = Some(First {
            id: first,
            since: now,
            follows: true,
            is_alone: false,
        });
    }
    if let Some(seen) = seen
        .as_mut()
        .filter(|seen| seen.is_alone && !candidates.is_empty())
    {
        (seen.is_alone, seen.since) = (false, now);
    }
    let up = shared.up_since.elapsed();
    let has_elders = candidates.iter().any(|one| one.member.up > up + ELDER);
    match *seen {
        _ if first != ours => Standing::StandsIn,
        Some(seen) if seen.follows || has_elders => Standing::FirstSince(seen.since),
        _ => Standing::First,
    }
}

/// The answer to a neighbour.
pub(in super::super) fn answer(shared: &Shared, peer: &PeerId, question: LineQuestion) -> Answer {
    match question {
        // Each site has a line of its own.
        LineQuestion::Places(_) if shared.roster.is_across(peer) => Answer::Refused,
        LineQuestion::Places(asked) => {
            let who = MemberId::of(&name_of(peer));
            match shared.line.ask_here(who, &asked, standing(shared)) {
                Some(told) => Answer::Line(LineAnswer::Places(told)),
                None => Answer::Busy {
                    retry_after_ms: u32::try_from(BUSY.as_millis()).unwrap_or(u32::MAX),
                },
            }
        }
        LineQuestion::Rest { entry, rest_ms } => {
            let is_ours = shared.members.is_closed()
                && shared.roster.is_member(peer)
                && !shared.roster.is_across(peer);
            if !is_ours {
                return Answer::Refused;
            }
            let rest = Duration::from_millis(rest_ms.into()).min(REST_HEARD_MAX);
            shared.tell(Tiding::Rest(name_of(peer), KeyHash(entry), rest));
            Answer::Line(LineAnswer::Heard)
        }
    }
}
