//! Many hosts that want the same file, in one thread and in no time: the state machines of [`modmesh_protocol::lease`] on a
//! network that delays, loses, parts and crashes as the seed says.
//!
//! What the hosts say to each other are the real messages, encoded, and their bytes are counted. The upstream line is
//! shared evenly by those who fetch, a holder's line by those who take from it. Nothing is proved here: a host that lies says false things as
//! an owner, or as a holder that never comes to an end.

#[cfg(test)]
mod tests;
mod world;

use std::time::Duration;

use world::World;

/// A network and what happens on it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Hosts, all of which want the file.
    pub hosts: usize,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes a second of the line to the upstream, which all share.
    pub upstream_rate: u64,
    /// Time until the upstream gives a first byte.
    pub upstream_delay: Duration,
    /// How long that was for other files, as far as the hosts know.
    pub delay_before: Duration,
    /// Bytes a second of each host's own line.
    pub link_rate: u64,
    /// The longest time that a message takes where it is not lost; the shortest is a tenth of it.
    pub delay_max: Duration,
    /// For how long in the beginning all hosts are too busy to answer at once, and how long a message takes then at most.
    pub busy_for: Duration,
    /// See [`Scenario::busy_for`].
    pub busy_delay_max: Duration,
    /// Messages of a thousand that are lost and come 200 ms later, as TCP sends them again.
    pub lost_per_thousand: usize,
    /// Within what time all ask.
    pub asked_within: Duration,
    /// What goes wrong.
    pub troubles: Vec<(Duration, Trouble)>,
    /// Whether the hosts know the pace of the upstream from before.
    pub knows_pace: bool,
    /// Of a thousand other hosts how many one does not know of.
    pub unknown_per_thousand: usize,
}

/// Something that goes wrong at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Who fetches at that moment is killed.
    HolderDies,
    /// The first owner is killed.
    OwnerDies,
    /// So many of a thousand of the others are killed.
    OthersDie(usize),
    /// The first owner's machine loses its power: nobody is told.
    OwnerFallsSilent,
    /// The first half of the hosts and the second do not hear each other any more.
    Parts,
    /// They do again.
    Heals,
    /// The first owner tells everybody to wait for an accomplice that says it is at it, for ever.
    OwnerLies,
}

/// How it went.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Fetches from upstream that were begun.
    pub fetches: usize,
    /// Bytes that came from upstream.
    pub upstream_bytes: u64,
    /// When each host that lived had the file, in the order in which they had it.
    pub done: Vec<Duration>,
    /// Hosts that lived and never had it.
    pub without: usize,
    /// Bytes of all messages.
    pub message_bytes: u64,
    /// How often an owner was blamed.
    pub blamed: usize,
}

impl Scenario {
    /// How long one host alone would take.
    pub fn alone(&self) -> Duration {
        let line = self.file_bytes as f64 / self.upstream_rate as f64;
        self.upstream_delay + Duration::from_secs_f64(line)
    }

    /// Runs it. The same seed gives the same outcome.
    pub fn run(&self, seed: u64) -> Outcome {
        let mut world = World::new(self, seed);
        world.run();
        world.outcome()
    }
}

/// A stampede as issue and research describe them: all want one file within a second.
pub fn stampede(hosts: usize, file_bytes: u64, upstream_bits: u64) -> Scenario {
    Scenario {
        hosts,
        file_bytes,
        upstream_rate: upstream_bits / 8,
        upstream_delay: Duration::from_millis(100),
        delay_before: Duration::from_millis(100),
        link_rate: 50_000_000,
        delay_max: Duration::from_millis(2),
        busy_for: Duration::ZERO,
        busy_delay_max: Duration::ZERO,
        lost_per_thousand: 1,
        asked_within: Duration::from_secs(1),
        troubles: Vec::new(),
        knows_pace: true,
        unknown_per_thousand: 0,
    }
}
