//! Owners that lie about who fetches a file, who has it, and for how long to wait.
//!
//! Each lie meets hosts that have downloaded something before, so that they know what their own way takes, and that take the liar for
//! the owner of two files. The first file is lied about; whether the liar is asked about the second shows whether it is left alone.

use std::thread;
use std::time::Instant;

use harness::{FakeUpstream, Fault, HostOptions, LyingPeer, Module, OwnerLie, PeerLie, TestHost};
use modmesh_protocol::lease::MemberId;
use serde::Serialize;

use super::Options;
use crate::figures::Figures;

/// What a liar may cost beyond the time that a host's own way takes.
const BEYOND_SECONDS: f64 = 2.0;
/// Bytes a second that an accomplice gets on by, who drips.
const DRIP: u64 = 20_000;
/// Modules of which each liar owns two.
const MODULES: usize = 48;

/// The lies, by name: the liar's accomplice, and one whom nobody knows.
type MakeLie = fn(MemberId, MemberId) -> OwnerLie;

/// Name, lie, whether whoever tells it is not asked any more, and how many hosts want the file at once.
const LIES: [(&str, MakeLie, bool, usize); 7] = [
    ("wait for ever", |friend, _| OwnerLie::Wait(friend), true, 1),
    (
        "wait for one that drips",
        |friend, _| OwnerLie::WaitForDrip(friend, DRIP),
        true,
        1,
    ),
    (
        "wait for one that says to be done",
        |friend, _| OwnerLie::WaitForDone(friend, 1_000_000),
        true,
        1,
    ),
    (
        "wait for a stranger",
        |_, stranger| OwnerLie::Wait(stranger),
        true,
        1,
    ),
    (
        "strangers have it",
        |_, stranger| OwnerLie::Have(vec![stranger]),
        false,
        1,
    ),
    ("a lease for everybody", |_, _| OwnerLie::FetchAll, false, 2),
    ("silence", |_, _| OwnerLie::Silence, false, 1),
];

/// What one lie came to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Told {
    lie: &'static str,
    /// How long the file took, with the lie and without.
    seconds: Vec<f64>,
    own_seconds: Vec<f64>,
    /// The same for the next file of that owner.
    next_seconds: Vec<f64>,
    fetches: Vec<f64>,
    /// How often the liar was asked about the first file, and about the next.
    asked: Vec<u64>,
    asked_again: Vec<u64>,
    /// Calls at the door of the stranger.
    strangers_called: usize,
    /// What the host says of the liar: why it is not asked as an owner any more, what went wrong last.
    passed_over: Option<serde_json::Value>,
    last_error: Option<String>,
    banned: bool,
}

pub(super) fn measure(options: &Options) -> (Vec<Told>, Vec<Figures>) {
    let upstream = FakeUpstream::start([]);
    let modules: Vec<String> = (0..MODULES)
        .map(|number| format!("example.com/hostile/m{number}"))
        .collect();
    let file = |path: &str| Module::package(path, "v1.0.0").bulk("noise.bin", options.bytes);
    modules
        .iter()
        .for_each(|path| upstream.publish(&file(path)));
    upstream.publish(&file("example.com/first"));
    upstream.fault("*.zip", Fault::Trickle(options.pace));
    let mut figures = Vec::new();
    let mut all = Vec::new();
    for (name, lie, is_left_alone, hosts) in LIES {
        let mut told = Told {
            lie: name,
            ..Told::default()
        };
        for _ in 0..options.runs {
            let scene = Scene::new(&upstream, hosts);
            scene.run(&upstream, &modules, lie, &mut told);
        }
        figures.extend(told.figures(is_left_alone));
        let passed_over = told.passed_over.as_ref().map(ToString::to_string);
        let passed_over = passed_over.unwrap_or_else(|| "no".to_owned());
        let error = told.last_error.as_deref().unwrap_or("none");
        println!(
            "{name}: not asked as an owner: {passed_over}; error: {error}; banned: {}",
            told.banned
        );
        all.push(told);
    }
    (all, figures)
}

impl Told {
    fn figures(&self, is_left_alone: bool) -> Vec<Figures> {
        let pairs = |times: &[f64]| -> Vec<f64> {
            let own = self.own_seconds.iter();
            times
                .iter()
                .zip(own)
                .map(|(with, own)| with - own)
                .collect()
        };
        let own = self.own_seconds.iter().copied().fold(0.0, f64::max);
        let called = self.strangers_called as f64;
        let again = self.asked_again.iter().map(|times| *times as f64).collect();
        let again = Figures::of(&format!("{}: asked again", self.lie), "", again);
        let row = |what: &str, values| Figures::of(&format!("{}: {what}", self.lie), "s", values);
        vec![
            row("costs", pairs(&self.seconds)).at_most(own + BEYOND_SECONDS),
            row("costs the next time", pairs(&self.next_seconds)),
            match is_left_alone {
                true => again.at_most(0.0),
                false => again,
            },
            Figures::of(&format!("{}: strangers called", self.lie), "", vec![called]).at_most(0.0),
        ]
    }
}

/// A liar with its accomplice, somebody whom nobody knows, and the hosts that are lied to.
struct Scene {
    hosts: Vec<TestHost>,
    liar: LyingPeer,
    friend: LyingPeer,
    stranger: LyingPeer,
}

impl Scene {
    fn new(upstream: &FakeUpstream, count: usize) -> Self {
        let log = upstream.log(|log| log.clone());
        let peer = || LyingPeer::start(&[], &log, PeerLie::None);
        let (liar, friend, stranger) = (peer(), peer(), peer());
        let mut hosts: Vec<TestHost> = Vec::new();
        for number in 0..count {
            let options = HostOptions::new(&format!("host-{number}"))
                .upstream(&upstream.url())
                .sumdb(&upstream.sumdb())
                .peer(&liar.peer_address())
                .peer(&friend.peer_address());
            let others = hosts.iter().map(TestHost::peer_address);
            let options = others.fold(options, |options, other| options.peer(&other));
            hosts.push(options.start());
        }
        let neighbours = count as u64 + 1;
        hosts
            .iter()
            .for_each(|host| host.wait_for_neighbours(neighbours));
        Self {
            hosts,
            liar,
            friend,
            stranger,
        }
    }

    fn run(&self, upstream: &FakeUpstream, modules: &[String], lie: MakeLie, told: &mut Told) {
        // Each for itself, so that each knows its own way.
        let own: Vec<f64> = self
            .hosts
            .iter()
            .map(|host| {
                let path = "example.com/first".to_owned();
                let began = Instant::now();
                host.get(&Module::new(&path, "v1.0.0").url_path("zip"))
                    .expect_body();
                began.elapsed().as_secs_f64()
            })
            .collect();
        let first = own[0];
        let mut owned = modules.iter().filter(|path| self.is_owned_by_liar(path));
        let mut next = || owned.next().expect("a module that the liar owns");
        self.liar
            .lie_as_owner(lie(self.friend.member_id(), self.stranger.member_id()));
        upstream.forget();
        let path = next();
        told.seconds.push(self.all_ask(path));
        told.own_seconds.push(first);
        told.fetches
            .push(upstream.traffic_of("*.zip").requests as f64);
        let asked = self.liar.asked_as_owner();
        told.asked.push(asked);
        told.next_seconds.push(self.all_ask(next()));
        told.asked_again.push(self.liar.asked_as_owner() - asked);
        told.strangers_called += self.stranger.connected();
        let peers = self.hosts[0].peers();
        let entries = peers.as_array().cloned().unwrap_or_default();
        let name = self.liar.peer_id();
        if let Some(entry) = entries
            .iter()
            .find(|entry| entry["peer_id"] == name.as_str())
        {
            let passed_over = &entry["passed_over"];
            told.passed_over = (!passed_over.is_null()).then(|| passed_over.clone());
            told.last_error = entry["last_error"].as_str().map(str::to_owned);
            told.banned |= !entry["banned_until"].is_null();
        }
    }

    /// All hosts want the zip at the same moment; how long the last of them waits.
    fn all_ask(&self, path: &str) -> f64 {
        let zip = Module::new(path, "v1.0.0").url_path("zip");
        let began = Instant::now();
        thread::scope(|scope| {
            for host in &self.hosts {
                scope.spawn(|| drop(host.get(&zip).expect_body()));
            }
        });
        began.elapsed().as_secs_f64()
    }

    fn is_owned_by_liar(&self, path: &str) -> bool {
        let others = self.hosts.iter().map(TestHost::peer_id);
        self.liar.owns(path, others.chain([self.friend.peer_id()]))
    }
}
