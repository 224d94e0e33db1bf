//! What is thought of the neighbours: who is believed first, who is left alone, who may own a download.
//!
//! Bans count on the monotonic clock and do not survive a restart: a liar that lies again is caught again.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use libp2p::PeerId;
use modmesh_protocol::lease::{Member, MemberId};
use modmesh_protocol::limits::{BAN, PROBE_GRACE, PROBE_MAX, PROBE_REST};
use modmesh_protocol::peer_name::PeerName;

use super::Roster;
use super::neighbour::{Neighbour, Probe};
use crate::peers::{lock, name_of};

/// How long a neighbour that was silent for two seconds is asked last, or not at all where somebody else can be asked; and
/// how long one comes after others that said it has a file and did not give it.
const SLOW: Duration = Duration::from_secs(30);
/// An owner had this host wait for one that turns out to be gone within so long: then that was no lie, so often an hour.
const EXCUSED_WITHIN: Duration = Duration::from_secs(10);
const EXCUSED_MAX: u8 = 3;
/// Lies that are listed per neighbour; the files of older ones stay in the ring.
const LISTED_LIES_MAX: usize = 16;

/// How much the word of a neighbour counts that says it has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::peers) enum Rank {
    Proven,
    Stranger,
    Doubtful,
}

/// One that can be asked as an owner.
#[derive(Debug, Clone, Copy)]
pub(in crate::peers) struct Settled {
    pub(in crate::peers) peer: PeerId,
    pub(in crate::peers) member: Member,
}

impl Roster {
    /// In which order those are asked for a small file with its proof that can be: who delivered before comes first, then the nearest.
    /// Nothing for one that is not asked so.
    pub(in crate::peers) fn inline_rank(&self, peer: &PeerName) -> Option<(Rank, Duration)> {
        let now = Instant::now();
        let able = |n: &mut Neighbour| {
            let is_plain = n.plain_until.is_some_and(|until| now < until);
            let far = n.round_trip.unwrap_or(Duration::MAX);
            (n.gives_inline && !is_plain).then_some(far)
        };
        let far = self.named(peer, able).flatten()?;
        match self.rank(peer) {
            Rank::Doubtful => None,
            rank => Some((rank, far)),
        }
    }

    /// `peer` gave such an answer too slowly: it is not asked so for a while.
    pub(in crate::peers) fn is_slow_inline(&self, peer: &PeerId) {
        self.change(peer, |n| n.plain_until = Some(Instant::now() + SLOW));
    }

    /// `peer` did not understand such a question: it is not asked so before it says hello again.
    pub(in crate::peers) fn gives_no_inline(&self, peer: &PeerId) {
        self.change(peer, |n| n.gives_inline = false);
    }

    /// Whether it is left alone for a lie.
    pub(in crate::peers) fn is_banned(&self, peer: &PeerId) -> bool {
        let now = Instant::now();
        lock(&self.0).get(peer).is_some_and(|n| n.is_banned(now))
    }

    /// Leaves `peer` alone for an hour, and remembers the lie with the file that keeps its bytes.
    pub(in crate::peers) fn ban(&self, peer: &PeerId, what: &str, file: Option<PathBuf>) {
        self.change(peer, |n| {
            n.banned_until = Some(Instant::now() + BAN);
            n.last_error = Some(what.to_owned());
            n.lies.push((SystemTime::now(), what.to_owned(), file));
            if n.lies.len() > LISTED_LIES_MAX {
                n.lies.remove(0);
            }
        });
    }

    /// Leaves `peer` alone until that is taken back. It is no lie of its own, and a ban for one neither shortens it nor ends with it.
    pub(in crate::peers) fn distrust(&self, peer: &PeerId, why: &str) {
        self.change(peer, |n| {
            n.is_distrusted = true;
            n.last_error = Some(why.to_owned());
        });
    }

    /// The user takes that back.
    pub(in crate::peers) fn trust_again(&self, peer: &PeerId) {
        self.change(peer, |n| {
            n.is_distrusted = false;
            n.last_error = n.lies.last().map(|(_, what, _)| what.clone());
        });
    }

    /// `peer` delivered bytes that were proven.
    pub(in crate::peers) fn proven(&self, peer: &PeerId) {
        self.change(peer, |n| n.proven = true);
    }

    /// Whether it ever delivered bytes that were proven.
    pub(in crate::peers) fn is_proven(&self, peer: &PeerId) -> bool {
        lock(&self.0).get(peer).is_some_and(|n| n.proven)
    }

    /// Notes what went wrong last.
    pub(in crate::peers) fn failed(&self, peer: &PeerId, error: String) {
        self.change(peer, |n| n.last_error = Some(error));
    }

    /// `peer` was silent for as long as anybody may be.
    pub(in crate::peers) fn was_slow(&self, peer: &PeerName) {
        self.named(peer, |n| n.slow_until = Some(Instant::now() + SLOW));
    }

    /// Whether it was silent lately.
    pub(in crate::peers) fn is_slow(&self, peer: &PeerName) -> bool {
        let now = Instant::now();
        let slow = |n: &mut Neighbour| n.slow_until.is_some_and(|until| now < until);
        self.named(peer, slow).unwrap_or_default()
    }

    /// `peer` came on a new connection. That it was silent before may have been the network's doing, and is forgotten: once in so long, so
    /// that one that comes again and again is waited for at most twice as often as one that stays.
    pub(super) fn comes_anew(n: &mut Neighbour, now: Instant) {
        let is_over = |until: Option<Instant>| until.is_none_or(|until| until <= now);
        if !is_over(n.slow_until) && is_over(n.unexcused_until) {
            n.slow_until = None;
            n.unexcused_until = Some(now + SLOW);
        }
    }

    /// `peer` said that it has a file and did not give it.
    pub(in crate::peers) fn broke_its_word(&self, peer: &PeerId) {
        self.change(peer, |n| n.doubted_until = Some(Instant::now() + SLOW));
    }

    /// In which order those that say they have something are believed: who delivered before comes first, strangers next,
    /// and last who lately was silent or did not give what it said it has.
    pub(in crate::peers) fn rank(&self, peer: &PeerName) -> Rank {
        let now = Instant::now();
        let lately = |until: Option<Instant>| until.is_some_and(|until| now < until);
        let rank = |n: &mut Neighbour| match n.proven {
            _ if lately(n.slow_until) || lately(n.doubted_until) => Rank::Doubtful,
            true => Rank::Proven,
            false => Rank::Stranger,
        };
        self.named(peer, rank).unwrap_or(Rank::Stranger)
    }

    /// Those that can be asked as owners now: of this site, so that each site has its own.
    pub(in crate::peers) fn settled(&self) -> Vec<Settled> {
        let now = Instant::now();
        let peers = lock(&self.0);
        let able = peers.iter().filter(|(_, n)| {
            let is_passed_over = n.vain(now).is_some() || n.mute(now).is_some();
            n.is_usable(now) && !n.across && !is_passed_over
        });
        let settled = able.map(|(peer, n)| {
            let (at, up) = n.up_before;
            let member = Member {
                id: MemberId::of(&n.name),
                up: up.saturating_add(now.saturating_duration_since(at)),
            };
            Settled {
                peer: *peer,
                member,
            }
        });
        settled.collect()
    }

    /// `peer`, as an owner, said to wait for `holder`, in vain. That is no lie where the holder is gone, for the owner could not know.
    pub(in crate::peers) fn waited_in_vain(&self, peer: &PeerId, holder: MemberId) {
        let now = Instant::now();
        let named = {
            let peers = lock(&self.0);
            let mut named = peers.values();
            let named = named.find(|n| MemberId::of(&n.name) == holder);
            named.map(|n| (n.name.clone(), !n.is_usable(now) || n.mute(now).is_some()))
        };
        let is_gone = named.as_ref().is_some_and(|(_, is_gone)| *is_gone);
        let holder = named.map_or("a stranger".to_owned(), |(name, _)| name.to_string());
        let is_excused = self.change(peer, |n| {
            n.vain_until = Some((now + BAN, holder.clone()));
            is_gone && excuse(n, now)
        });
        if is_excused {
            tracing::debug!(%peer, holder, "an owner had this host wait in vain for one that is gone");
        } else {
            tracing::info!(%peer, holder, "an owner had this host wait in vain; it is not asked for a while");
        }
    }

    /// `holder` is gone: owners that had this host wait for it did not lie.
    pub(in crate::peers) fn excuse_those_who_named(&self, holder: &PeerId) {
        let (now, holder) = (Instant::now(), name_of(holder));
        for n in lock(&self.0).values_mut() {
            let is_named = n.vain_until.as_ref().is_some_and(|(until, named)| {
                let since = BAN.saturating_sub(until.saturating_duration_since(now));
                named == holder.as_str() && since < EXCUSED_WITHIN
            });
            if is_named {
                excuse(n, now);
            }
        }
    }

    /// `peer` was silent to a question. Whether it is to be probed: it is connected, and is not being probed and was not just now.
    pub(in crate::peers) fn suspect(&self, peer: &PeerId) -> bool {
        let now = Instant::now();
        let mut peers = lock(&self.0);
        let Some(n) = peers.get_mut(peer).filter(|n| n.is_usable(now)) else {
            return false;
        };
        let is_due = match n.probe {
            None => true,
            Some(Probe::Answered(until)) => until <= now,
            Some(Probe::Asked | Probe::Mute(_)) => false,
        };
        if is_due {
            n.probe = Some(Probe::Asked);
        }
        is_due
    }

    /// `peer`, which is probed, has not answered yet: it is no owner until it does.
    pub(in crate::peers) fn is_mute(&self, peer: &PeerId) {
        let until = Instant::now() + PROBE_MAX.saturating_sub(PROBE_GRACE);
        self.change(peer, |n| {
            if matches!(n.probe, Some(Probe::Asked)) {
                n.probe = Some(Probe::Mute(until));
            }
        });
        self.excuse_those_who_named(peer);
    }

    /// Whether `peer` is probed and has not answered for a while.
    pub(in crate::peers) fn is_mute_now(&self, peer: &PeerId) -> bool {
        let now = Instant::now();
        lock(&self.0)
            .get(peer)
            .is_some_and(|n| n.mute(now).is_some())
    }

    /// `peer` answered a probe.
    pub(in crate::peers) fn answered_the_probe(&self, peer: &PeerId) {
        let until = Instant::now() + PROBE_REST;
        self.change(peer, |n| n.probe = Some(Probe::Answered(until)));
    }

    /// Whether one more announcement of it may be taken now.
    pub(in crate::peers) fn may_announce(&self, peer: &PeerId) -> bool {
        let now = Instant::now();
        let mut peers = lock(&self.0);
        let neighbour = peers.get_mut(peer).filter(|n| n.is_here_to_stay(now));
        neighbour.is_some_and(|n| n.announcements.take(now))
    }
}

/// Takes back that this owner had this host wait in vain; whether that was done.
fn excuse(n: &mut Neighbour, now: Instant) -> bool {
    let (since, count) = n.vain_excused;
    let (since, count) = match now.saturating_duration_since(since) < BAN {
        true => (since, count),
        false => (now, 0),
    };
    let is_excused = count < EXCUSED_MAX;
    if is_excused {
        n.vain_until = None;
        n.vain_excused = (since, count + 1);
    }
    is_excused
}
