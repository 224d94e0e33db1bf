//! Streams between askers and owners: who hears what, and when.

use std::time::Duration;

use modmesh_protocol::lease::Ask;

use super::{AGAIN, Event, Stream, World, encode};

impl World<'_> {
    pub(super) fn open(&mut self, host: usize, at: usize, ask: &Ask) {
        let Some(owner) = self.hosts[host].owners[at] else {
            return;
        };
        self.next += 1;
        let ticket = self.next;
        self.hosts[host].streams[at] = Some(ticket);
        let stream = Stream {
            asker: host,
            owner,
            at,
            open: true,
        };
        self.streams.insert(ticket, stream);
        if self.hosts[owner].alive {
            self.send(ticket, true, encode(ask));
        } else if !self.is_between(host, owner) {
            let when = self.now + self.of.delay_max;
            self.at(when, Event::OwnerGone(ticket));
        }
    }

    /// The asker closes its stream; the owner hears of it.
    pub(super) fn close(&mut self, host: usize, at: usize) {
        if let Some(ticket) = self.hosts[host].streams[at].take()
            && let Some(stream) = self.streams.get_mut(&ticket)
        {
            stream.open = false;
            let stream = *stream;
            let when = self.arrival(ticket, true);
            if !self.is_between(stream.asker, stream.owner) {
                self.at(when, Event::AskerGone(ticket));
            }
        }
    }

    pub(super) fn send(&mut self, ticket: u64, to_owner: bool, frame: Vec<u8>) {
        let Some(stream) = self.streams.get(&ticket).copied() else {
            return;
        };
        let is_home = stream.asker == stream.owner;
        if self.is_between(stream.asker, stream.owner) {
            return;
        }
        if !is_home {
            self.result.message_bytes += frame.len() as u64;
        }
        let when = if is_home {
            self.now
        } else {
            self.arrival(ticket, to_owner)
        };
        let event = match to_owner {
            true => Event::ToOwner { ticket, frame },
            false => Event::ToAsker { ticket, frame },
        };
        self.at(when, event);
    }

    fn arrival(&mut self, ticket: u64, to_owner: bool) -> Duration {
        let delay_max = match self.now < self.of.busy_for {
            true => self.of.busy_delay_max,
            false => self.of.delay_max,
        };
        let delay = delay_max / 10 + self.up_to(delay_max * 9 / 10);
        let lost = self.dice.in_thousand(self.of.lost_per_thousand);
        let when = self.now + delay + if lost { AGAIN } else { Duration::ZERO };
        let last = self.arrives.entry((ticket, to_owner)).or_default();
        *last = when.max(*last);
        *last
    }

    pub(super) fn streams_of_owner(&self, owner: usize) -> Vec<u64> {
        let mine = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.owner == owner && stream.open);
        mine.map(|(ticket, _)| *ticket).collect()
    }

    pub(super) fn is_between(&self, a: usize, b: usize) -> bool {
        let half = self.hosts.len() / 2;
        self.is_parted && (a < half) != (b < half)
    }
}
