//! Bytes on their way: from the upstream, whose line is shared, and from holders.

use std::collections::BTreeMap;

use modmesh_protocol::lease::{Fetched, Progress};

use super::{Doing, Event, STEP, World};

impl World<'_> {
    /// Bytes move on all lines.
    pub(super) fn lines(&mut self) {
        let step = STEP.as_secs_f64();
        let fetching: Vec<usize> = self.all(|host| {
            matches!(host.doing, Doing::Fetching { since, .. } if self.now >= since + self.of.upstream_delay)
        });
        let share = self.of.upstream_rate as f64 * step / fetching.len().max(1) as f64;
        for host in fetching {
            if let Doing::Fetching { since, bytes } = self.hosts[host].doing {
                let left = self.of.file_bytes as f64 - bytes;
                self.result.upstream_bytes += share.min(left) as u64;
                let bytes = bytes + share;
                self.hosts[host].doing = Doing::Fetching { since, bytes };
                self.got_on(host, bytes);
            }
        }
        let taking: Vec<usize> = self.all(|host| matches!(host.doing, Doing::Taking { .. }));
        let mut givers: BTreeMap<usize, usize> = BTreeMap::new();
        for host in &taking {
            if let Doing::Taking { from, .. } = self.hosts[*host].doing {
                *givers.entry(from).or_default() += 1;
            }
        }
        for host in taking {
            if let Doing::Taking { from, bytes } = self.hosts[host].doing {
                let share = self.of.link_rate as f64 * step / givers[&from] as f64;
                let bytes = bytes + share;
                self.hosts[host].doing = Doing::Taking { from, bytes };
                if !self.gives(from, host) {
                    self.taken(host, false);
                } else if bytes >= self.of.file_bytes as f64 {
                    self.taken(host, true);
                }
            }
        }
        self.at(self.now + STEP, Event::Lines);
    }

    fn got_on(&mut self, host: usize, bytes: f64) {
        let total = self.of.file_bytes;
        let how = if bytes >= total as f64 {
            self.hosts[host].doing = Doing::Nothing;
            self.hosts[host].has = Some(self.now);
            Fetched::Here
        } else {
            Fetched::SoFar(Progress {
                bytes: bytes as u64,
                total: Some(total),
            })
        };
        let now = self.now;
        let acts = self.hosts[host]
            .asker
            .as_mut()
            .map(|asker| asker.fetched(now, how));
        self.carry_out(host, acts.unwrap_or_default());
    }
}
