//! The network of a scenario and its hosts: what happens one after the other, and what that brings about.

mod lines;
mod streams;
mod troubles;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::lease::{
    Act, Ask, Asker, Circumstances, Desk, Member, MemberId, OWNERS, Progress, Road, Ticket, Word,
    owners,
};
use modmesh_protocol::limits::{PROBE_GRACE, PROGRESS_EVERY};
use modmesh_protocol::wire;

use super::{Outcome, Scenario};
use crate::fuzz::Dice;

const KEY: KeyHash = KeyHash([7; 32]);
/// How often the lines are looked at.
const STEP: Duration = Duration::from_millis(20);
/// After this time it is over, however it stands.
const END: Duration = Duration::from_secs(600);
/// How long TCP takes to send again what was lost.
const AGAIN: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Asks(usize),
    /// A frame from an asker's stream to the owner, or back.
    ToOwner {
        ticket: u64,
        frame: Vec<u8>,
    },
    ToAsker {
        ticket: u64,
        frame: Vec<u8>,
    },
    /// The other end of a stream is gone.
    OwnerGone(u64),
    AskerGone(u64),
    Tick(usize),
    Lines,
    Trouble(usize),
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    asker: usize,
    owner: usize,
    /// Which of the asker's owners it is.
    at: usize,
    open: bool,
}

struct Host {
    alive: bool,
    has: Option<Duration>,
    desk: Desk,
    asker: Option<Asker>,
    knows: Vec<usize>,
    owners: [Option<usize>; OWNERS],
    streams: [Option<u64>; OWNERS],
    doing: Doing,
    lies: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Doing {
    Nothing,
    Fetching { since: Duration, bytes: f64 },
    Taking { from: usize, bytes: f64 },
}

pub(super) struct World<'a> {
    of: &'a Scenario,
    dice: Dice,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    next: u64,
    hosts: Vec<Host>,
    by_id: BTreeMap<MemberId, usize>,
    streams: BTreeMap<u64, Stream>,
    /// When the last frame of a stream arrives: what comes later may not overtake it.
    arrives: BTreeMap<(u64, bool), Duration>,
    is_parted: bool,
    result: Outcome,
}

impl<'a> World<'a> {
    pub(super) fn new(of: &'a Scenario, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let ids: Vec<MemberId> = (0..of.hosts).map(|_| id(&mut dice)).collect();
        let mut hosts = Vec::new();
        for me in 0..of.hosts {
            let mut knows =
                |other: &usize| *other == me || !dice.in_thousand(of.unknown_per_thousand);
            let knows: Vec<usize> = (0..of.hosts).filter(|other| knows(other)).collect();
            let up = Duration::from_secs(600);
            let members: Vec<Member> = knows
                .iter()
                .map(|who| Member { id: ids[*who], up })
                .collect();
            let named = owners(&KEY, &members);
            let at =
                |id: Option<MemberId>| id.and_then(|id| ids.iter().position(|other| *other == id));
            hosts.push(Host {
                alive: true,
                has: None,
                desk: Desk::default(),
                asker: None,
                knows,
                owners: named.map(at),
                streams: [None; OWNERS],
                doing: Doing::Nothing,
                lies: false,
            });
        }
        let mut world = Self {
            of,
            dice,
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            next: 0,
            hosts,
            by_id: ids.iter().copied().zip(0..).collect(),
            streams: BTreeMap::new(),
            arrives: BTreeMap::new(),
            is_parted: false,
            result: Outcome::default(),
        };
        for host in 0..of.hosts {
            let asks = world.up_to(of.asked_within);
            world.at(asks, Event::Asks(host));
            let tick = world.up_to(PROGRESS_EVERY);
            world.at(tick, Event::Tick(host));
        }
        world.at(STEP, Event::Lines);
        for (number, (when, _)) in of.troubles.iter().enumerate() {
            world.at(*when, Event::Trouble(number));
        }
        world
    }

    pub(super) fn run(&mut self) {
        while let Some(Reverse((when, _, event))) = self.events.pop() {
            self.now = when;
            let is_open = |host: &Host| host.alive && host.has.is_none() && !host.lies;
            if when > END || !self.hosts.iter().any(is_open) {
                return;
            }
            self.happens(event);
        }
    }

    pub(super) fn outcome(mut self) -> Outcome {
        let living = self.hosts.iter().filter(|host| host.alive && !host.lies);
        self.result.without = living.clone().filter(|host| host.has.is_none()).count();
        self.result.done = living.filter_map(|host| host.has).collect();
        self.result.done.sort_unstable();
        self.result
    }

    fn at(&mut self, when: Duration, event: Event) {
        self.next += 1;
        self.events.push(Reverse((when, self.next, event)));
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Asks(host) => self.asks(host),
            Event::ToOwner { ticket, frame } => self.owner_hears(ticket, &frame),
            Event::ToAsker { ticket, frame } => self.asker_hears(ticket, &frame),
            Event::OwnerGone(ticket) => self.owner_gone(ticket),
            Event::AskerGone(ticket) => self.asker_gone(ticket),
            Event::Tick(host) => self.tick(host),
            Event::Lines => self.lines(),
            Event::Trouble(number) => self.trouble(self.of.troubles[number].1),
        }
    }

    fn asks(&mut self, host: usize) {
        if !self.hosts[host].alive {
            return;
        }
        let id_of = |who: usize| {
            *self
                .by_id
                .iter()
                .find(|(_, other)| **other == who)
                .unwrap()
                .0
        };
        let of = Circumstances {
            key: KEY,
            owners: self.hosts[host].owners.map(|owner| owner.map(id_of)),
            bytes_max: 10 * self.of.file_bytes,
            can_fetch: true,
            round_trip: 2 * self.of.delay_max,
        };
        let (asker, acts) = Asker::begin(self.now, of);
        self.hosts[host].asker = Some(asker);
        self.carry_out(host, acts);
    }

    fn carry_out(&mut self, host: usize, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Open(at, ask) => self.open(host, at, &ask),
                Act::Say(at, ask) => {
                    if let Some(ticket) = self.hosts[host].streams[at] {
                        self.send(ticket, true, encode(&ask));
                    }
                }
                Act::Close(at) => self.close(host, at),
                Act::Fetch => {
                    self.result.fetches += 1;
                    let since = self.now;
                    self.hosts[host].doing = Doing::Fetching { since, bytes: 0.0 };
                }
                Act::Take(holders) => {
                    let known = holders.iter().filter_map(|id| self.by_id.get(id).copied());
                    let mut known = known.filter(|who| self.hosts[host].knows.contains(who));
                    match known.find(|who| self.gives(*who, host)) {
                        Some(from) => self.hosts[host].doing = Doing::Taking { from, bytes: 0.0 },
                        None => self.taken(host, false),
                    }
                }
                Act::Nobody => self.hosts[host].doing = Doing::Nothing,
                Act::Blame(..) => self.result.blamed += 1,
            }
        }
    }

    fn gives(&self, from: usize, to: usize) -> bool {
        let holder = &self.hosts[from];
        holder.alive && holder.has.is_some() && !self.is_between(from, to)
    }

    fn taken(&mut self, host: usize, is_here: bool) {
        self.hosts[host].doing = Doing::Nothing;
        if is_here {
            self.hosts[host].has = Some(self.now);
        }
        let now = self.now;
        let acts = self.hosts[host]
            .asker
            .as_mut()
            .map(|asker| asker.taken(now, is_here));
        self.carry_out(host, acts.unwrap_or_default());
    }

    fn owner_hears(&mut self, ticket: u64, frame: &[u8]) {
        let Some(stream) = self.streams.get(&ticket).copied() else {
            return;
        };
        let owner = stream.owner;
        if !self.hosts[owner].alive {
            return;
        }
        let ask: Ask = wire::decode(frame).expect("a frame of our own");
        if self.hosts[owner].lies {
            return self.lie(ticket, owner);
        }
        let (now, who) = (self.now, self.id_of(stream.asker));
        let me = self.id_of(owner);
        let known: Vec<MemberId> = self.hosts[owner].has.map(|_| me).into_iter().collect();
        let desk = &mut self.hosts[owner].desk;
        let said = match &ask {
            Ask::Want {
                key,
                can_fetch,
                claim,
            } => {
                let want = (KeyHash(*key), *can_fetch, *claim);
                desk.want(now, Ticket(ticket), who, want, &known)
            }
            more => desk.hear(now, Ticket(ticket), more),
        };
        self.say(said);
    }

    fn say(&mut self, said: Vec<(Ticket, Word)>) {
        for (ticket, word) in said {
            self.send(ticket.0, false, encode(&word));
        }
    }

    /// A liar's word: wait for one that does not exist, which gets on as fast as the upstream gives.
    fn lie(&mut self, ticket: u64, owner: usize) {
        let holder = self.id_of((owner + 1) % self.hosts.len());
        self.send(ticket, false, encode(&Word::Wait { holder }));
    }

    fn asker_hears(&mut self, ticket: u64, frame: &[u8]) {
        let Some(stream) = self
            .streams
            .get(&ticket)
            .copied()
            .filter(|stream| stream.open)
        else {
            return;
        };
        if !self.hosts[stream.asker].alive {
            return;
        }
        let word: Word = wire::decode(frame).expect("a frame of our own");
        let now = self.now;
        let asker = self.hosts[stream.asker].asker.as_mut();
        let acts = asker.map(|asker| asker.hear(now, stream.at, word));
        self.carry_out(stream.asker, acts.unwrap_or_default());
    }

    fn owner_gone(&mut self, ticket: u64) {
        let Some(stream) = self.streams.remove(&ticket).filter(|stream| stream.open) else {
            return;
        };
        let host = &mut self.hosts[stream.asker];
        if host.streams[stream.at] == Some(ticket) {
            host.streams[stream.at] = None;
        }
        if host.alive {
            let now = self.now;
            let acts = host.asker.as_mut().map(|asker| asker.lost(now, stream.at));
            self.carry_out(stream.asker, acts.unwrap_or_default());
        }
    }

    fn asker_gone(&mut self, ticket: u64) {
        if let Some(stream) = self.streams.remove(&ticket)
            && self.hosts[stream.owner].alive
            && !self.hosts[stream.owner].lies
        {
            let said = self.hosts[stream.owner].desk.gone(self.now, Ticket(ticket));
            self.say(said);
        }
    }

    fn tick(&mut self, host: usize) {
        let known = self.of.knows_pace;
        let road = Road {
            pace: known.then_some(self.of.upstream_rate as f64),
            first_byte: known.then_some(self.of.delay_before),
        };
        if !self.hosts[host].alive {
            return;
        }
        let now = self.now;
        if self.hosts[host].lies {
            let mine: Vec<u64> = self.streams_of_owner(host);
            for ticket in mine {
                let waited = now.as_millis() as u64;
                let total = Some(self.of.file_bytes);
                let bytes = waited * self.of.upstream_rate / 1000;
                self.send(
                    ticket,
                    false,
                    encode(&Word::Progress(Progress { bytes, total })),
                );
            }
        } else {
            self.look_out(host);
            let said = self.hosts[host].desk.tick(now);
            self.say(said);
        }
        let acts = self.hosts[host]
            .asker
            .as_mut()
            .map(|asker| asker.tick(now, &road));
        self.carry_out(host, acts.unwrap_or_default());
        self.at(now + PROGRESS_EVERY, Event::Tick(host));
    }

    /// An owner has those looked at whose words it misses, and knows after the grace of a probe who is silent.
    fn look_out(&mut self, owner: usize) {
        let unheard = self.hosts[owner]
            .desk
            .unheard(self.now.saturating_sub(PROBE_GRACE));
        for ticket in unheard {
            let asker = self.streams.get(&ticket.0).map(|stream| stream.asker);
            let is_silent =
                |asker: usize| !self.hosts[asker].alive || self.is_between(asker, owner);
            let is_mute = asker.is_some_and(is_silent);
            self.hosts[owner].desk.is_mute(ticket, is_mute);
        }
    }

    fn all(&self, is: impl Fn(&Host) -> bool) -> Vec<usize> {
        let hosts = self.hosts.iter().enumerate();
        hosts
            .filter(|(_, host)| host.alive && is(host))
            .map(|(at, _)| at)
            .collect()
    }

    fn id_of(&self, host: usize) -> MemberId {
        let found = self.by_id.iter().find(|(_, at)| **at == host);
        *found.expect("a host of this world").0
    }

    /// A moment up to this one, of the dice.
    fn up_to(&mut self, longest: Duration) -> Duration {
        let part = self.dice.below(1_000_001) as f64 / 1e6;
        longest.mul_f64(part)
    }
}

fn id(dice: &mut Dice) -> MemberId {
    let mut id = [0; 32];
    for part in id.chunks_mut(8) {
        part.copy_from_slice(&dice.bits().to_be_bytes());
    }
    MemberId(id)
}

fn encode<M: wire::Message>(message: &M) -> Vec<u8> {
    wire::encode(message).expect("a message within its bounds")
}
