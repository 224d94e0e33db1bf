//! What goes wrong.

use std::collections::BTreeMap;

use super::{Doing, Event, Stream, World};
use crate::simulation::Trouble;

impl World<'_> {
    pub(super) fn trouble(&mut self, trouble: Trouble) {
        let owner = self.first_owner();
        match trouble {
            Trouble::HolderDies => {
                let fetching = self.all(|host| matches!(host.doing, Doing::Fetching { .. }));
                fetching.into_iter().for_each(|host| self.kill(host));
            }
            Trouble::OwnerDies => self.kill(owner),
            Trouble::OthersDie(per_thousand) => {
                for host in 0..self.hosts.len() {
                    let idle = !matches!(self.hosts[host].doing, Doing::Fetching { .. });
                    if idle && host != owner && self.dice.in_thousand(per_thousand) {
                        self.kill(host);
                    }
                }
            }
            Trouble::OwnerFallsSilent => self.hosts[owner].alive = false,
            Trouble::Parts => self.is_parted = true,
            Trouble::Heals => self.is_parted = false,
            Trouble::OwnerLies => self.hosts[owner].lies = true,
        }
    }

    /// The owner that most hosts name.
    fn first_owner(&self) -> usize {
        let mut named: BTreeMap<usize, usize> = BTreeMap::new();
        for owner in self.hosts.iter().filter_map(|host| host.owners[0]) {
            *named.entry(owner).or_default() += 1;
        }
        named
            .into_iter()
            .max_by_key(|(_, count)| *count)
            .map_or(0, |(owner, _)| owner)
    }

    /// kill -9: the system closes what the process had open, and the others hear of it.
    fn kill(&mut self, host: usize) {
        self.hosts[host].alive = false;
        let when = self.now + self.of.delay_max;
        let mine: Vec<(u64, Stream)> = self
            .streams
            .iter()
            .map(|(ticket, s)| (*ticket, *s))
            .collect();
        for (ticket, stream) in mine {
            if self.is_between(stream.asker, stream.owner) {
                continue;
            }
            if stream.owner == host {
                self.at(when, Event::OwnerGone(ticket));
            } else if stream.asker == host {
                self.at(when, Event::AskerGone(ticket));
            }
        }
    }
}
