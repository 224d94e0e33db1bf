//! Daemons that know each other and have nothing to do: what that costs a processor, memory and the network.
//!
//! Real ones in namespaces of their own are watched for a while after they have met. For a network that is too large for one machine
//! the rest is computed: its multicast packets by the pace of [`modmesh_protocol::discovery`] over a day, the questions whom a neighbour
//! knows as they are encoded, and pings over as many connections as a host keeps. On the wire, with the headers of all layers and
//! acknowledgements, a connection takes what one of the real ones took.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use harness::TestHost;
use harness::lab::Forbidden;
use modmesh_protocol::discovery::{Announcement, Company, Pace, Speech};
use modmesh_protocol::limits::{ACQUAINTANCES_MAX, NEIGHBOURS_MAX, PING_BYTES, PINGS};
use modmesh_protocol::wire::{Acquaintance, Answer, Query, encode};
use serde::Serialize;

use crate::figures::{self, Figures};
use crate::town::Town;

/// What is good: CPU in percent of a core, memory in MiB, bytes a day of a host.
const CPU_PERCENT: f64 = 0.5;
const MEMORY_MIB: f64 = 64.0;
const DAY_MB: f64 = 35.0;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Ethernet, IPv4 and UDP around the payload of a multicast packet.
const HEADERS_BYTES: usize = 14 + 20 + 8;
/// How often a neighbour is asked whom it knows.
const ACQUAINT_EVERY: Duration = Duration::from_secs(600);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Daemons that are real.
    #[arg(long, default_value_t = 50)]
    hosts: u8,
    /// Seconds after they have met before it is looked.
    #[arg(long, default_value_t = 90)]
    settle_seconds: u64,
    /// Seconds that it is looked.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Hosts of the network that is computed.
    #[arg(long, default_value_t = 2000)]
    simulated_hosts: usize,
    /// Writes all figures to this file.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    hosts: u8,
    seconds: f64,
    simulated_hosts: usize,
    held: bool,
    figures: Vec<Figures>,
}

/// What the system knows of one daemon, and of its network card.
#[derive(Debug, Clone, Copy)]
struct Look {
    cpu: f64,
    memory: f64,
    wire: Wire,
}

#[derive(Debug, Clone, Copy)]
struct Wire {
    bytes: f64,
    packets: f64,
}

/// Whether all bounds held.
///
/// # Panics
/// When the daemons do not start, or do not meet.
pub(crate) fn measure(options: &Options) -> Result<bool, Forbidden> {
    let mut town = Town::new(options.hosts, 0)?;
    town.start(usize::from(options.hosts), |host| host);
    println!("{} daemons have met", options.hosts);
    std::thread::sleep(Duration::from_secs(options.settle_seconds));
    let (began, before) = (Instant::now(), look(&town));
    std::thread::sleep(Duration::from_secs(options.seconds));
    let (seconds, after) = (began.elapsed().as_secs_f64(), look(&town));
    let pairs = before.iter().zip(&after);
    let cpu = pairs
        .clone()
        .map(|(b, a)| (a.cpu - b.cpu) / seconds * 100.0);
    let day = DAY.as_secs_f64() / seconds;
    let bytes: Vec<f64> = pairs
        .clone()
        .map(|(b, a)| (a.wire.bytes - b.wire.bytes) * day / 1e6)
        .collect();
    let packets = pairs.map(|(b, a)| (a.wire.packets - b.wire.packets) / seconds);
    let (cpu, packets): (Vec<f64>, Vec<f64>) = (cpu.collect(), packets.collect());
    let memory = after.iter().map(|look| look.memory).collect();
    let real = format!("a daemon among {}", options.hosts);
    let mut figures = vec![
        Figures::of(&format!("CPU of {real}"), "% of a core", cpu).at_most(CPU_PERCENT),
        Figures::of(&format!("memory of {real}"), "MiB", memory).at_most(MEMORY_MIB),
        Figures::of(&format!("packets of {real}"), "a second", packets),
        Figures::of(&format!("bytes of {real}"), "MB a day", bytes.clone()),
    ];
    figures.extend(computed(options, &bytes));
    println!(
        "{} idle daemons over {seconds:.0} s; {} hosts computed",
        options.hosts, options.simulated_hosts
    );
    figures::print_all(&figures);
    let held = figures.iter().all(Figures::held);
    let report = Report {
        hosts: options.hosts,
        seconds,
        simulated_hosts: options.simulated_hosts,
        held,
        figures,
    };
    figures::write(&report, options.json.as_ref());
    Ok(held)
}

fn look(town: &Town) -> Vec<Look> {
    let looks = town.hosts.iter().map(|host| Look {
        cpu: host.cpu_seconds(),
        memory: host.memory_bytes("VmRSS") as f64 / f64::from(1 << 20),
        wire: wire(host),
    });
    looks.collect()
}

/// What went through the host's card on the switch, both ways, with the headers of Ethernet.
fn wire(host: &TestHost) -> Wire {
    let text = host.place().run(|| {
        let file = "/proc/thread-self/net/dev";
        std::fs::read_to_string(file).expect("the cards of the host")
    });
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("eth0:"));
    let numbers: Vec<f64> = line
        .expect("the host's card")
        .split_whitespace()
        .map(|number| number.parse().expect("a number"))
        .collect();
    Wire {
        bytes: numbers[0] + numbers[8],
        packets: numbers[1] + numbers[9],
    }
}

/// A day of one host of a large network, in MB.
fn computed(options: &Options, real: &[f64]) -> Vec<Figures> {
    let hosts = options.simulated_hosts;
    let packet = announcement_bytes() as f64 / 1e6;
    let mut sorted = real.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let one_way = |hosts: usize| packets_of_a_day(hosts) as f64 * packet;
    let connections = f64::from(options.hosts) - 1.0;
    let one = (median - one_way(usize::from(options.hosts))).max(0.0) / connections.max(1.0);
    let neighbours = (hosts - 1).min(NEIGHBOURS_MAX) as f64;
    let multicast = one_way(hosts);
    let acquaint = acquaint_bytes() * (DAY.as_secs_f64() / ACQUAINT_EVERY.as_secs_f64()) / 1e6;
    let pings = ping_bytes((hosts - 1).min(NEIGHBOURS_MAX)) / 1e6;
    let messages = multicast + acquaint + pings;
    let row = |name: &str, value| Figures::of(name, "MB a day", vec![value]);
    let of = format!("of {hosts} hosts");
    vec![
        row("one connection, as measured", one),
        row(&format!("multicast {of}"), multicast),
        row(&format!("questions whom a neighbour knows, {of}"), acquaint),
        row(&format!("pings over {neighbours} connections"), pings),
        row(&format!("messages of a host {of}"), messages).at_most(DAY_MB),
        row(
            &format!("on the wire, a host {of}"),
            multicast + acquaint + one * neighbours,
        ),
    ]
}

/// Packets on a link in a day, after the hosts have come to rest: what each of them hears.
fn packets_of_a_day(hosts: usize) -> u64 {
    let company = Company {
        neighbours: hosts.saturating_sub(1).min(NEIGHBOURS_MAX),
        heard: hosts,
    };
    let rest = Duration::from_secs(3 * 3600);
    let mut paces: Vec<Pace> = (0..hosts as u64)
        .map(|seed| Pace::new(Duration::ZERO, seed))
        .collect();
    let mut next: BinaryHeap<Reverse<(Duration, usize)>> = BinaryHeap::new();
    for (number, pace) in paces.iter_mut().enumerate() {
        pace.company(Duration::ZERO, company);
        next.push(Reverse((pace.next(), number)));
    }
    let mut packets = 0;
    while let Some(Reverse((now, number))) = next.pop() {
        if now > rest + DAY {
            break;
        }
        // What was heard meanwhile has put it off.
        if paces[number].next() > now {
            next.push(Reverse((paces[number].next(), number)));
            continue;
        }
        paces[number].company(now, company);
        if let Some(speech) = paces[number].speak(now) {
            packets += u64::from(now > rest);
            let asks = speech == Speech::Ask;
            let others = paces.iter_mut().enumerate();
            for (_, other) in others.filter(|(other, _)| *other != number) {
                other.hear(now, asks);
            }
        }
        next.push(Reverse((paces[number].next(), number)));
    }
    packets
}

fn announcement_bytes() -> usize {
    let announcement = Announcement {
        peer: a_name().parse().expect("a peer id"),
        port: 8485,
        run: u64::MAX,
        mesh: None,
        asks: false,
    };
    announcement.encode().expect("an announcement").len() + HEADERS_BYTES
}

/// Of a day: the host's own pings over so many connections and what answers them, and as many of the others, who are such hosts too.
fn ping_bytes(connections: usize) -> f64 {
    let mut left = connections;
    let own = PINGS.iter().map(|(every, most)| {
        let here = left.min(*most);
        left -= here;
        here as f64 * DAY.as_secs_f64() / every.as_secs_f64()
    });
    own.sum::<f64>() * 2.0 * 2.0 * PING_BYTES as f64
}

/// One question and its answer, from a neighbour with as many as there may be.
fn acquaint_bytes() -> f64 {
    let question = Query::Acquaint { v4: 8485, v6: 8485 };
    let one = Acquaintance {
        peer: a_name().to_owned(),
        address: vec![10, 77, 0, 1],
        port: 8485,
    };
    let answer = Answer::Acquaintances(vec![one; ACQUAINTANCES_MAX]);
    let sizes = [encode(&question), encode(&answer)];
    let bytes = sizes
        .into_iter()
        .map(|frame| frame.expect("a message").len());
    // Asked and answering, each once.
    2.0 * bytes.sum::<usize>() as f64
}

fn a_name() -> &'static str {
    "12D3KooWGRUVh4cXYUEEPxjXhX8Xxf7vfLy8ZHMvVvXKx2bqYVSF"
}
