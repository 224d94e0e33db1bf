//! One machine that floods a daemon: names without end, and connections that never come to a handshake.
//!
//! Meanwhile a neighbour of that daemon asks it for file after file, its own client for others that come from upstream, and a third
//! daemon comes to the link. A file that the neighbour has to fetch from upstream is one that the daemon did not give in time.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::lab::{Forbidden, LabHost};
use harness::{LyingPeer, PeerLie, TestHost, TestLog};
use modmesh_protocol::limits::UNPROVEN_PER_ADDRESS_MAX;

use super::Options;
use crate::figures::Figures;
use crate::peak::Peak;
use crate::town::{PORT, Town, Wanted, gives, neighbours};

/// Time between two files that the neighbour wants.
const EVERY: Duration = Duration::from_millis(250);
/// How long a client waits.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of each zip.
const BYTES: usize = 100_000;
/// How long a name floods before another takes its place.
const NAME_LASTS: Duration = Duration::from_secs(3);
/// Anonymous memory that a daemon may have, as when it is idle, in MB.
const MEMORY_MB: f64 = 67.1;
/// Files that are asked for before the flood begins.
const BEFORE: usize = 40;

/// What the flood came to.
#[derive(Default)]
struct Sent {
    names: AtomicU64,
    bare: AtomicU64,
    bare_refused: AtomicU64,
}

/// What the neighbour saw.
#[derive(Default)]
struct Seen {
    took_ms: Vec<f64>,
    errors: f64,
    from_upstream: f64,
}

pub(super) fn measure(options: &Options) -> Result<Vec<Figures>, Forbidden> {
    let mut town = Town::new(3, 1)?;
    town.start(2, |host| host);
    let (flooded, neighbour) = (&town.hosts[0], &town.hosts[1]);
    let questions = options.flood_seconds as usize * 1000 / EVERY.as_millis() as usize;
    let files: Vec<Vec<Wanted>> = (0..BEFORE + questions)
        .map(|number| {
            let file = town.publish(&format!("example.com/flood/m{number}"), BYTES);
            assert!(gives(flooded, &file[0], PATIENCE), "no file to give");
            file
        })
        .collect();
    let (before, during) = files.split_at(BEFORE);
    let calm = ask(&town, neighbour, before);
    let (over, sent) = (AtomicBool::new(false), Sent::default());
    let attacker = town.lab.host(3);
    let log = town.upstream.log(|log| log.clone());
    let peak = Peak::of(flooded);
    let most_of_attacker = AtomicU64::new(0);
    let (seen, came, own_errors) = thread::scope(|scope| {
        for _ in 0..options.names {
            scope.spawn(|| flood_with_names(attacker, flooded, &log, &over, &sent));
        }
        scope.spawn(|| hold_open(options.bare, attacker, town.lab.host(0), &over, &sent));
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let now = connected_from(flooded, attacker.address());
                most_of_attacker.fetch_max(now, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(200));
            }
        });
        let own_client = scope.spawn(|| own_files(&town, flooded, &over));
        let newcomer = scope.spawn(|| {
            thread::sleep(Duration::from_secs(options.flood_seconds) / 4);
            let host = town.options(2).mdns().start();
            let began = Instant::now();
            let met = (0..600).any(|_| {
                thread::sleep(Duration::from_millis(50));
                neighbours(&host) >= 2
            });
            met.then(|| began.elapsed().as_secs_f64())
        });
        let seen = ask(&town, neighbour, during);
        let came = newcomer.join().expect("the newcomer");
        over.store(true, Ordering::Relaxed);
        (seen, came, own_client.join().expect("the client"))
    });
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "a flood of {} s: {} names, {} connections without a handshake, of which {} were refused or cut",
        options.flood_seconds,
        of(&sent.names),
        of(&sent.bare),
        of(&sent.bare_refused)
    );
    let median = Figures::of("", "", calm.took_ms.clone()).median;
    let row = |name: &str, unit, value| Figures::of(name, unit, vec![value]);
    Ok(vec![
        Figures::of(
            "before the flood, a file of the flooded",
            "ms",
            calm.took_ms,
        ),
        Figures::of("flood: a file of the flooded", "ms", seen.took_ms).against(median),
        row(
            "flood: files it did not give in time",
            "",
            seen.from_upstream,
        ),
        row("flood: the neighbour's errors", "", seen.errors).at_most(0.0),
        row("flood: its own client's errors", "", own_errors).at_most(0.0),
        row(
            "flood: neighbours of the flooder's address",
            "",
            of(&most_of_attacker) as f64,
        )
        .at_most(UNPROVEN_PER_ADDRESS_MAX as f64),
        row(
            "flood: a newcomer knows both",
            "s",
            came.unwrap_or(f64::INFINITY),
        )
        .at_most(30.0),
        row("flood: anonymous memory", "MB", peak.megabytes()).at_most(MEMORY_MB),
    ])
}

/// Asks the neighbour for one file after the other, none of which it has yet.
fn ask(town: &Town, neighbour: &TestHost, files: &[Vec<Wanted>]) -> Seen {
    let (began, mut seen) = (Instant::now(), Seen::default());
    for (turn, file) in (0u32..).zip(files) {
        thread::sleep((EVERY * turn).saturating_sub(began.elapsed()));
        let asked = Instant::now();
        match gives(neighbour, &file[0], PATIENCE) {
            true => seen.took_ms.push(asked.elapsed().as_secs_f64() * 1000.0),
            false => seen.errors += 1.0,
        }
        if town.fetches(&file[..1]) > 1 {
            seen.from_upstream += 1.0;
        }
    }
    seen
}

/// The flooded daemon's own client, with files from upstream; how many it did not get.
fn own_files(town: &Town, flooded: &TestHost, over: &AtomicBool) -> f64 {
    let mut errors = 0.0;
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let file = town.publish(&format!("example.com/own/m{number}"), BYTES);
        errors += f64::from(u8::from(!gives(flooded, &file[0], PATIENCE)));
        thread::sleep(EVERY);
    }
    errors
}

/// One name after the other that calls the daemon and stays for a while.
fn flood_with_names(
    attacker: &LabHost,
    flooded: &TestHost,
    log: &TestLog,
    over: &AtomicBool,
    sent: &Sent,
) {
    let listen = SocketAddr::from((attacker.address(), 0));
    let dial = [flooded.peer_address()];
    while !over.load(Ordering::Relaxed) {
        let place = attacker.place();
        let name = LyingPeer::start_in(place, listen, &[], log, PeerLie::None, &dial, false);
        sent.names.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        while began.elapsed() < NAME_LASTS && !over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100));
        }
        drop(name);
    }
}

/// Keeps so many connections open that say nothing, and opens others where these are cut.
fn hold_open(count: usize, attacker: &LabHost, at: &LabHost, over: &AtomicBool, sent: &Sent) {
    attacker.place().enter().expect("the flooder's namespace");
    let address = SocketAddr::from((at.address(), PORT));
    let mut held: Vec<TcpStream> = Vec::new();
    while !over.load(Ordering::Relaxed) {
        held.retain(|stream| {
            let is_open = match stream.peek(&mut [0]) {
                Ok(came) => came > 0,
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            };
            sent.bare_refused
                .fetch_add(u64::from(!is_open), Ordering::Relaxed);
            is_open
        });
        while held.len() < count && !over.load(Ordering::Relaxed) {
            let patience = Duration::from_millis(200);
            let Ok(stream) = TcpStream::connect_timeout(&address, patience) else {
                sent.bare_refused.fetch_add(1, Ordering::Relaxed);
                break;
            };
            sent.bare.fetch_add(1, Ordering::Relaxed);
            let _ = stream.set_nonblocking(true);
            held.push(stream);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Neighbours of the daemon that come from this address.
fn connected_from(host: &TestHost, address: Ipv4Addr) -> u64 {
    let (peers, address) = (host.peers(), format!("/ip4/{address}/"));
    let entries = peers.as_array().cloned().unwrap_or_default();
    let from_there = entries.iter().filter(|entry| {
        let addresses = entry["addrs"].as_array().cloned().unwrap_or_default();
        let mut addresses = addresses.iter().filter_map(|one| one.as_str());
        entry["connected"] == true && addresses.any(|one| one.starts_with(&address))
    });
    from_there.count() as u64
}
