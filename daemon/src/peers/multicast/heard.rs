//! Who was heard on one link. Pure: moments come in as values.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use modmesh_protocol::limits::HEARD_HOSTS_MAX;

/// Packets of one address that are looked at in a second: many daemons on one machine, or one host that means no good, which
/// so cannot take all of the link's time.
const PACKETS_PER_SECOND_MAX: u32 = 4;
/// Addresses that are counted in one second; a link that has more is flooded, and nobody new is heard in that second.
const ADDRESSES_MAX: usize = 1024;
/// How long a host counts as being there after it was heard: twice the longest pause.
const REMEMBERED: Duration = Duration::from_secs(7200);
/// How soon after each other two runs must be heard in turn to be two machines, and not one that restarts.
const TWO_AT_ONCE: Duration = Duration::from_secs(7200);

/// Whose word a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// One host's.
    OfOne,
    /// Of two machines that have the same name: a run that had been replaced by another speaks again.
    OfTwo,
}

/// Hosts that were heard, and how much each address said in this second.
#[derive(Debug, Default)]
pub(super) struct HeardHosts {
    hosts: HashMap<PeerId, Host>,
    second: Option<Instant>,
    said: HashMap<IpAddr, u32>,
}

#[derive(Debug)]
struct Host {
    run: u64,
    /// The run before, and when it was heard last.
    before: Option<(u64, Instant)>,
    at: Instant,
}

impl HeardHosts {
    /// Whether one more packet of this address is looked at.
    pub(super) fn may_speak(&mut self, from: IpAddr, now: Instant) -> bool {
        let same_second = |at| now.saturating_duration_since(at) < Duration::from_secs(1);
        if !self.second.is_some_and(same_second) {
            self.second = Some(now);
            self.said.clear();
        }
        if self.said.len() >= ADDRESSES_MAX && !self.said.contains_key(&from) {
            return false;
        }
        let said = self.said.entry(from).or_default();
        *said = said.saturating_add(1);
        *said <= PACKETS_PER_SECOND_MAX
    }

    /// `peer` was heard in its run `run`.
    pub(super) fn heard(&mut self, peer: PeerId, run: u64, now: Instant) -> Word {
        if !self.hosts.contains_key(&peer) && self.hosts.len() >= HEARD_HOSTS_MAX {
            let oldest = self.hosts.iter().min_by_key(|(_, host)| host.at);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.hosts.remove(&oldest);
            }
        }
        let host = self.hosts.entry(peer).or_insert(Host {
            run,
            before: None,
            at: now,
        });
        let at = std::mem::replace(&mut host.at, now);
        if host.run == run {
            return Word::OfOne;
        }
        let lately = |at: Instant| now.saturating_duration_since(at) < TWO_AT_ONCE;
        let again = host
            .before
            .is_some_and(|(before, at)| before == run && lately(at));
        host.before = Some((host.run, at));
        host.run = run;
        if again { Word::OfTwo } else { Word::OfOne }
    }

    /// Hosts that were heard lately.
    pub(super) fn count(&mut self, now: Instant) -> usize {
        let lately = |host: &Host| now.saturating_duration_since(host.at) < REMEMBERED;
        self.hosts.retain(|_, host| lately(host));
        self.hosts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_heard_only_so_often() {
        let mut hosts = HeardHosts::default();
        let now = Instant::now();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let heard = (0..100).filter(|_| hosts.may_speak(one, now)).count();
        assert_eq!(heard, PACKETS_PER_SECOND_MAX as usize);
        assert!(hosts.may_speak(other, now));
        assert!(hosts.may_speak(one, now + Duration::from_secs(1)));
        for n in 0..2 * ADDRESSES_MAX as u32 {
            hosts.may_speak(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(hosts.said.len() <= ADDRESSES_MAX);
    }

    #[test]
    fn a_restart_is_one_machine_and_two_runs_in_turn_are_two() {
        let mut hosts = HeardHosts::default();
        let (peer, now) = (PeerId::random(), Instant::now());
        let runs = [1, 1, 2, 2, 3];
        let words = runs.map(|run| hosts.heard(peer, run, now));
        assert_eq!(words, [Word::OfOne; 5]);
        assert_eq!(hosts.heard(peer, 2, now), Word::OfTwo);
        assert_eq!(hosts.heard(peer, 3, now), Word::OfTwo);
        assert_eq!(hosts.heard(peer, 3, now), Word::OfOne);
    }

    #[test]
    fn hosts_are_bounded_and_forgotten() {
        let mut hosts = HeardHosts::default();
        let now = Instant::now();
        for _ in 0..HEARD_HOSTS_MAX + 10 {
            hosts.heard(PeerId::random(), 1, now);
        }
        assert_eq!(hosts.count(now), HEARD_HOSTS_MAX);
        assert_eq!(hosts.count(now + REMEMBERED), 0);
    }
}
