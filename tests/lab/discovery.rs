//! Daemons that start together on one link, until they know each other.
//!
//! Each host is a namespace with an address, no upstream and no database, and finds the others by multicast alone. When a
//! daemon met a neighbour is read from its own log, so that looking costs it nothing; one more host on the switch counts the
//! multicast packets. Times count from the moment at which the last of the daemons was ready; those that met before that
//! count as 0.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use harness::lab::{Forbidden, Lab, LabHost};
use harness::multicast::{MulticastCounter, most_in_a_second, seconds_of_now};
use harness::{HostOptions, TestHost};
use serde::Serialize;

use crate::figures::Figures;

/// Neighbours that are enough to begin with.
const ENOUGH: usize = 3;
/// What is good: seconds until every host has that many, until every host has all, and packets in any second.
const ENOUGH_SECONDS: f64 = 2.0;
const ALL_SECONDS: f64 = 5.0;
const PACKETS_MAX: f64 = 10.0;
/// The most hosts of which all must know all within [`ALL_SECONDS`].
const ALL_HOSTS_MAX: usize = 50;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Daemons that start together; several numbers are measured one after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [20, 50, 100])]
    hosts: Vec<u8>,
    /// Starts of each number.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// How long it is looked, in seconds, after the last daemon is ready.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Writes all figures to this file.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

/// What one number of hosts showed.
#[derive(Debug, Serialize)]
struct Report {
    hosts: u8,
    runs: usize,
    held: bool,
    figures: Vec<Figures>,
}

/// One start.
#[derive(Debug)]
struct Run {
    /// When each host had enough neighbours, in seconds after the last was ready; infinite when it never had.
    enough: Vec<f64>,
    /// When each host had all others.
    all: Vec<f64>,
    /// How many neighbours each host had at the end.
    neighbours: Vec<f64>,
    /// From the first start to the last daemon that was ready.
    starting: f64,
    /// Packets of ours in the second that had most of them.
    packets_in_a_second: f64,
    /// Packets a second over the time from the first packet to the last.
    packets_a_second: f64,
    /// CPU seconds of each daemon.
    cpu: Vec<f64>,
    /// Memory of each daemon, in MB.
    memory: Vec<f64>,
}

/// Whether all that was looked at is good.
pub(crate) fn measure(options: &Options) -> Result<bool, Forbidden> {
    let mut reports = Vec::new();
    for hosts in &options.hosts {
        let runs: Result<Vec<Run>, Forbidden> =
            (0..options.runs).map(|_| run(options, *hosts)).collect();
        let report = report(*hosts, &runs?);
        println!("{hosts} daemons that start together, {} runs", report.runs);
        Figures::print_header();
        report.figures.iter().for_each(Figures::print);
        let verdict = if report.held { "held" } else { "missed" };
        println!(
            "{ENOUGH} neighbours each within {ENOUGH_SECONDS} s, all within {ALL_SECONDS} s up to {ALL_HOSTS_MAX} hosts, at most {PACKETS_MAX} packets in a second: {verdict}\n"
        );
        reports.push(report);
    }
    if let Some(file) = &options.json {
        let json = serde_json::to_vec_pretty(&reports).expect("a report");
        std::fs::write(file, json).expect("the file of the report");
    }
    Ok(reports.iter().all(|report| report.held))
}

fn run(options: &Options, count: u8) -> Result<Run, Forbidden> {
    let lab = Lab::new(count + 1)?;
    lab.introduce_hosts()?;
    let counter = MulticastCounter::start(lab.host(usize::from(count)));
    let began = Instant::now();
    let starting: Vec<JoinHandle<(TestHost, f64)>> = (0..usize::from(count))
        .map(|number| {
            let options = host(number, lab.host(number));
            std::thread::spawn(move || {
                let host = options.start();
                (host, seconds_of_now())
            })
        })
        .collect();
    let started = starting.into_iter().map(|one| one.join().expect("a host"));
    let (hosts, ready): (Vec<TestHost>, Vec<f64>) = started.unzip();
    let starting = began.elapsed().as_secs_f64();
    let ready = ready.into_iter().fold(0.0, f64::max);
    std::thread::sleep(Duration::from_secs(options.seconds));
    let packets = counter.stop();
    let met: Vec<Vec<f64>> = hosts.iter().map(|host| meetings(host, ready)).collect();
    let others = usize::from(count) - 1;
    let nth = |n: usize| met.iter().map(move |times| time_of(times, n)).collect();
    let span = packets.last().zip(packets.first());
    let span = span.map_or(0.0, |(last, first)| last - first);
    Ok(Run {
        enough: nth(ENOUGH.min(others)),
        all: nth(others),
        neighbours: met.iter().map(|times| times.len() as f64).collect(),
        starting,
        packets_in_a_second: most_in_a_second(&packets) as f64,
        packets_a_second: packets.len() as f64 / span.max(1.0),
        cpu: hosts.iter().map(TestHost::cpu_seconds).collect(),
        memory: hosts
            .iter()
            .map(|host| host.memory_bytes("VmRSS") as f64 / 1e6)
            .collect(),
    })
}

fn host(number: usize, on: &LabHost) -> HostOptions {
    HostOptions::new(&format!("host {number}"))
        .in_place(on.place())
        .mdns()
        .argument("--log")
        .argument("warn,modmesh_daemon::peers=info")
        .peer_listen(&format!("{}:0", on.address()))
}

/// When the host met each neighbour for the first time, sorted, in seconds after `ready`.
fn meetings(host: &TestHost, ready: f64) -> Vec<f64> {
    let mut met = std::collections::BTreeMap::new();
    for line in host.logged() {
        let Some((_, rest)) = line.split_once("a neighbour came") else {
            continue;
        };
        let name = rest.split_whitespace().find(|word| word.contains("12D3"));
        if let (Some(at), Some(name)) = (seconds_of_line(&line), name) {
            met.entry(name.to_owned()).or_insert((at - ready).max(0.0));
        }
    }
    let mut times: Vec<f64> = met.into_values().collect();
    times.sort_by(f64::total_cmp);
    times
}

fn time_of(times: &[f64], n: usize) -> f64 {
    n.checked_sub(1)
        .and_then(|last| times.get(last).copied())
        .unwrap_or(f64::INFINITY)
}

/// The time at the head of a line of a log, `2006-01-02T15:04:05.000000Z`, as seconds since midnight.
fn seconds_of_line(line: &str) -> Option<f64> {
    let (_, time) = line.split_once('T')?;
    let (time, _) = time.split_once('Z')?;
    let mut parts = time.split(':').map(str::parse::<f64>);
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    Some(hours.ok()? * 3600.0 + minutes.ok()? * 60.0 + seconds.ok()?)
}

fn report(hosts: u8, runs: &[Run]) -> Report {
    let all = |of: fn(&Run) -> &Vec<f64>| -> Vec<f64> {
        runs.iter()
            .flat_map(|run| of(run).iter().copied())
            .collect()
    };
    let each = |of: fn(&Run) -> f64| -> Vec<f64> { runs.iter().map(of).collect() };
    let last = |of: fn(&Run) -> &Vec<f64>| -> Vec<f64> {
        let last = |run| of(run).iter().copied().fold(0.0, f64::max);
        runs.iter().map(last).collect()
    };
    let within = |values: &[f64], most: f64| values.iter().all(|value| *value <= most);
    let enough = last(|run| &run.enough);
    let everybody = last(|run| &run.all);
    let packets = each(|run| run.packets_in_a_second);
    let must_know_all = usize::from(hosts) <= ALL_HOSTS_MAX;
    let held = within(&enough, ENOUGH_SECONDS)
        && within(&packets, PACKETS_MAX)
        && (!must_know_all || within(&everybody, ALL_SECONDS));
    Report {
        hosts,
        runs: runs.len(),
        held,
        figures: vec![
            Figures::of(
                "from the first start to the last ready",
                "s",
                each(|run| run.starting),
            ),
            Figures::of("a host has three neighbours", "s", all(|run| &run.enough)),
            Figures::of("every host has three neighbours", "s", enough),
            Figures::of("a host has all others", "s", all(|run| &run.all)),
            Figures::of("every host has all others", "s", everybody),
            Figures::of(
                "neighbours of a host at the end",
                "",
                all(|run| &run.neighbours),
            ),
            Figures::of("multicast packets in the busiest second", "", packets),
            Figures::of(
                "multicast packets a second",
                "",
                each(|run| run.packets_a_second),
            ),
            Figures::of("CPU of a daemon", "s", all(|run| &run.cpu)),
            Figures::of("memory of a daemon", "MB", all(|run| &run.memory)),
        ],
    }
}
