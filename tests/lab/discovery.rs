//! Daemons that start together on one link, until they know each other.
//!
//! Each host is a namespace with an address, no upstream and no database, and finds the others by multicast alone. With `--ask` there is
//! an upstream, and every host wants the same file as soon as it is ready, whomever it knows by then. When a daemon met a neighbour is read from its own log, so that looking costs it nothing; one more host on the switch counts the
//! multicast packets. Times count from the moment at which the last of the daemons was ready; those that met before that
//! count as 0.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use harness::lab::{Forbidden, Lab, LabHost};
use harness::multicast::{MulticastCounter, most_in_a_second, seconds_of_now};
use harness::{FakeUpstream, HostOptions, Module, TestHost, TestLog};
use serde::Serialize;

use crate::figures::{self, Figures};
use crate::town::{Wanted, gives};

/// Neighbours that are enough to begin with.
const ENOUGH: usize = 3;
/// What is good: seconds until every host has that many, until every host has all, and packets in any second.
const ENOUGH_SECONDS: f64 = 2.0;
const ALL_SECONDS: f64 = 5.0;
const PACKETS_MAX: f64 = 10.0;
/// What all want with `--ask`, and the line it comes over: 1.6 s.
const FILE_BYTES: usize = 1_000_000;
const LINE_BYTES_PER_SECOND: u64 = 625_000;
/// How long a client waits for it.
const PATIENCE: Duration = Duration::from_secs(120);
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
    /// Every host asks for the same file as soon as it is ready.
    #[arg(long)]
    ask: bool,
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
    /// How often the file was fetched from upstream, with `--ask`; and the clients that did not get it.
    fetches: f64,
    errors: f64,
}

/// Whether all that was looked at is good.
pub(crate) fn measure(options: &Options) -> Result<bool, Forbidden> {
    let mut reports = Vec::new();
    for hosts in &options.hosts {
        let runs: Result<Vec<Run>, Forbidden> =
            (0..options.runs).map(|_| run(options, *hosts)).collect();
        let mut report = report(*hosts, &runs?, options.ask);
        report.held &= report.figures.iter().all(Figures::held);
        println!("{hosts} daemons that start together, {} runs", report.runs);
        figures::print_all(&report.figures);
        let verdict = if report.held { "held" } else { "missed" };
        println!(
            "{ENOUGH} neighbours each within {ENOUGH_SECONDS} s, all within {ALL_SECONDS} s up to {ALL_HOSTS_MAX} hosts, at most {PACKETS_MAX} packets in a second: {verdict}\n"
        );
        reports.push(report);
    }
    figures::write(&reports, options.json.as_ref());
    Ok(reports.iter().all(|report| report.held))
}

fn run(options: &Options, count: u8) -> Result<Run, Forbidden> {
    let all: Vec<u8> = (0..count).collect();
    let lab = match options.ask {
        true => Lab::with_upstream(count + 1, &all)?,
        false => Lab::new(count + 1)?,
    };
    lab.introduce_hosts()?;
    let wanted = options.ask.then(|| upstream(&lab));
    let counter = MulticastCounter::start(lab.host(usize::from(count)));
    let began = seconds_of_now();
    let starting: Vec<JoinHandle<((TestHost, f64), bool)>> = (0..usize::from(count))
        .map(|number| {
            let mut options = host(number, lab.host(number));
            if let Some((upstream, _)) = &wanted {
                options = options.upstream(&upstream.url()).sumdb(&upstream.sumdb());
            }
            let file = wanted.as_ref().map(|(_, file)| file.clone());
            std::thread::spawn(move || {
                let host = options.start();
                let ready = seconds_of_now();
                let got = file.is_none_or(|file| gives(&host, &file, PATIENCE));
                ((host, ready), got)
            })
        })
        .collect();
    let started = starting.into_iter().map(|one| one.join().expect("a host"));
    let (started, got): (Vec<(TestHost, f64)>, Vec<bool>) = started.unzip();
    let (hosts, ready): (Vec<TestHost>, Vec<f64>) = started.into_iter().unzip();
    let ready = ready.into_iter().fold(0.0, f64::max);
    let starting = ready - began;
    std::thread::sleep(Duration::from_secs(options.seconds));
    let packets = counter.stop();
    let met: Vec<Vec<f64>> = hosts.iter().map(|host| meetings(host, ready)).collect();
    let others = usize::from(count) - 1;
    let nth = |n: usize| met.iter().map(move |times| time_of(times, n)).collect();
    let fetches = wanted.as_ref().map_or(0, |(upstream, (path, _))| {
        upstream.traffic_of(path).requests
    });
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
        fetches: fetches as f64,
        errors: got.iter().filter(|got| !**got).count() as f64,
    })
}

/// An upstream with the file that all want.
fn upstream(lab: &Lab) -> (FakeUpstream, Wanted) {
    let listen = SocketAddr::from((lab.upstream().address(), 80));
    let log = TestLog::new("sumdb.example.test");
    let upstream = FakeUpstream::start_in(lab.upstream().place(), listen, log);
    let module = Module::package("example.com/all", "v1.0.0").bulk("noise.bin", FILE_BYTES);
    upstream.publish(&module);
    upstream.line(LINE_BYTES_PER_SECOND);
    (upstream, (module.url_path("zip"), module.zip().len()))
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

fn report(hosts: u8, runs: &[Run], asked: bool) -> Report {
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
    let mut figures = Vec::new();
    if asked {
        let fetches = each(|run| run.fetches);
        figures.push(Figures::of("fetches of what all want at once", "", fetches).against(1.0));
        let errors = each(|run| run.errors);
        figures.push(Figures::of("clients that got nothing", "", errors).at_most(0.0));
    }
    figures.extend(vec![
        Figures::of(
            "from the first start to the last ready",
            "s",
            each(|run| run.starting),
        ),
        Figures::of("a host has three neighbours", "s", all(|run| &run.enough)),
        Figures::of("every host has three neighbours", "s", enough).at_most(ENOUGH_SECONDS),
        Figures::of("a host has all others", "s", all(|run| &run.all)),
        Figures::of("every host has all others", "s", everybody),
        Figures::of(
            "neighbours of a host at the end",
            "",
            all(|run| &run.neighbours),
        ),
        Figures::of("multicast packets in the busiest second", "", packets).at_most(PACKETS_MAX),
        Figures::of(
            "multicast packets a second",
            "",
            each(|run| run.packets_a_second),
        ),
        Figures::of("CPU of a daemon", "s", all(|run| &run.cpu)),
        Figures::of("memory of a daemon", "MB", all(|run| &run.memory)),
    ]);
    Report {
        hosts,
        runs: runs.len(),
        held,
        figures,
    }
}
