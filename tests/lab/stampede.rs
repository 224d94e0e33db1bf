//! Many hosts want the same new files within a second, over one line to the upstream that they share.
//!
//! Every host is a daemon in a network namespace of its own; the clients are plain HTTP, and ask for the `.mod` and `.zip` of
//! each module, eight at a time. The reference is one host that is alone, over the same line, and what it had from upstream, records and tiles included.
//! Where somebody is to be killed, it is once a third of the first zip has come.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use harness::http::Request;
use harness::lab::{Forbidden, Lab, LabHost};
use harness::{FakeUpstream, HostOptions, Module, TestHost, TestLog};
use serde::Serialize;

use crate::figures::Figures;

/// How long a client waits for its file.
const PATIENCE: Duration = Duration::from_secs(900);
/// Requests that one client has under way.
const AT_ONCE: usize = 8;
/// The port of the neighbours in each namespace.
const PORT: u16 = 8485;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Hosts that want the file.
    #[arg(long, default_value_t = 12)]
    hosts: u8,
    /// Modules that each host wants.
    #[arg(long, default_value_t = 1)]
    modules: usize,
    /// Bytes of each module's zip.
    #[arg(long, default_value_t = 8_000_000)]
    bytes: usize,
    /// Bits a second of the line to the upstream.
    #[arg(long, default_value_t = 5_000_000)]
    bits_per_second: u64,
    /// Runs, each with a file of its own.
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// Who is killed when a third of the file has come.
    #[arg(long, value_enum)]
    kill: Option<Victim>,
    /// Writes all figures to this file.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Victim {
    /// Who fetches.
    Holder,
    /// Who has granted the lease; another host where that is the holder.
    Owner,
    /// A tenth of those that neither fetch nor own.
    Others,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
struct RunFigures {
    /// Of the file that was fetched most often.
    fetches: u64,
    upstream_bytes_of_one_alone: f64,
    last_of_one_alone: f64,
    median_of_one_alone: f64,
    failures: usize,
}

#[derive(Debug, Serialize)]
struct Report {
    hosts: u8,
    modules: usize,
    bytes: usize,
    bits_per_second: u64,
    kill: Option<Victim>,
    alone_seconds: f64,
    alone_bytes: u64,
    runs: Vec<RunFigures>,
    figures: Vec<Figures>,
}

/// # Panics
/// When a host does not start.
pub(crate) fn measure(options: &Options) -> Result<(), Forbidden> {
    let all: Vec<u8> = (0..=options.hosts).collect();
    let lab = Lab::with_upstream(options.hosts + 1, &all)?;
    let listen = SocketAddr::from((lab.upstream().address(), 80));
    let log = TestLog::new("sumdb.example.test");
    let upstream = FakeUpstream::start_in(lab.upstream().place(), listen, log);
    let (alone, others) = (lab.host(0), 1..=usize::from(options.hosts));
    let alone = host("alone", &upstream, alone, &[]).start();
    let mut hosts: Vec<TestHost> = Vec::new();
    let mut known: Vec<String> = Vec::new();
    for number in others {
        let on = lab.host(number);
        let options = host(&format!("host-{number}"), &upstream, on, &known);
        hosts.push(options.start());
        known.push(format!("/ip4/{}/tcp/{PORT}", on.address()));
    }
    let stampede = Stampede {
        options,
        upstream: &upstream,
    };
    stampede.wait_for_all(&hosts);
    upstream.line(options.bits_per_second / 8);
    let alone = stampede.alone(&alone);
    println!(
        "{} hosts want {} modules of {} bytes within a second, over {} bits/s; one alone takes {:.2} s and {} bytes; {} runs",
        options.hosts,
        options.modules,
        options.bytes,
        options.bits_per_second,
        alone.seconds,
        alone.bytes,
        options.runs
    );
    let runs: Vec<RunFigures> = (0..options.runs)
        .map(|number| stampede.run(number, &mut hosts, alone))
        .collect();
    stampede.report(alone, runs);
    Ok(())
}

fn host(name: &str, upstream: &FakeUpstream, on: &LabHost, known: &[String]) -> HostOptions {
    let options = HostOptions::new(name)
        .in_place(on.place())
        .upstream(&upstream.url())
        .sumdb(&upstream.sumdb())
        .peer_listen(&format!("{}:{PORT}", on.address()));
    known
        .iter()
        .fold(options, |options, peer| options.peer(peer))
}

/// Requests for these files on this host.
fn requests(host: &TestHost, files: &[Wanted]) -> Vec<(Request, usize)> {
    let requests = files.iter().map(|(path, length)| {
        let request = host.request(path).within(PATIENCE);
        (request, *length)
    });
    requests.collect()
}

/// Sends them, a few at a time; whether all were answered with as many bytes as there are.
fn ask_for(requests: &[(Request, usize)]) -> bool {
    let share = requests.len().div_ceil(AT_ONCE);
    thread::scope(|scope| {
        let clients: Vec<_> = requests
            .chunks(share)
            .map(|part| {
                scope.spawn(move || {
                    part.iter().all(|(request, length)| {
                        let answer = request.send();
                        answer.is_ok_and(|a| a.status == 200 && a.body.len() == *length)
                    })
                })
            })
            .collect();
        clients.into_iter().all(|client| client.join().unwrap())
    })
}

struct Stampede<'a> {
    options: &'a Options,
    upstream: &'a FakeUpstream,
}

/// What one host needs that is alone.
#[derive(Debug, Clone, Copy)]
struct Alone {
    seconds: f64,
    bytes: u64,
}

/// A file that is wanted: its path and length.
type Wanted = (String, usize);

impl Stampede<'_> {
    fn files(&self, run: &str) -> Vec<Wanted> {
        let modules = (0..self.options.modules).map(|number| {
            let path = format!("example.com/{run}/m{number}");
            let module = Module::package(&path, "v1.0.0").bulk("noise.bin", self.options.bytes);
            self.upstream.publish(&module);
            let zip = (module.url_path("zip"), module.zip().len());
            [zip, (module.url_path("mod"), module.go_mod().len())]
        });
        modules.flatten().collect()
    }

    fn wait_for_all(&self, hosts: &[TestHost]) {
        let others = u64::from(self.options.hosts) - 1;
        hosts
            .iter()
            .for_each(|host| host.wait_for_neighbours(others));
    }

    fn upstream_bytes(&self) -> u64 {
        self.upstream.traffic_of_all().bytes
    }

    fn alone(&self, host: &TestHost) -> Alone {
        let files = self.files("alone");
        let (began, before) = (Instant::now(), self.upstream_bytes());
        assert!(ask_for(&requests(host, &files)), "one alone got nothing");
        Alone {
            seconds: began.elapsed().as_secs_f64(),
            bytes: self.upstream_bytes() - before,
        }
    }

    fn run(&self, number: usize, hosts: &mut [TestHost], alone: Alone) -> RunFigures {
        let files = self.files(&format!("run{number}"));
        let (began, before) = (Instant::now(), self.upstream_bytes());
        let gap = Duration::from_secs(1) / u32::from(self.options.hosts);
        let clients: Vec<_> = hosts
            .iter()
            .map(|host| requests(host, &files))
            .zip(0u32..)
            .map(|(requests, turn)| {
                thread::spawn(move || {
                    thread::sleep(gap * turn);
                    ask_for(&requests).then(|| began.elapsed().as_secs_f64())
                })
            })
            .collect();
        let killed = match self.options.kill {
            Some(victim) => self.kill(victim, &files[0], hosts),
            None => Vec::new(),
        };
        let ends: Vec<Option<f64>> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        let living = ends.iter().enumerate();
        let living = living.filter(|(turn, _)| !killed.contains(turn));
        let failures = living.clone().filter(|(_, end)| end.is_none()).count();
        let mut done: Vec<f64> = living.filter_map(|(_, end)| *end).collect();
        done.sort_by(f64::total_cmp);
        let fetches = files
            .iter()
            .map(|(path, _)| self.upstream.traffic_of(path).requests);
        let figures = RunFigures {
            fetches: fetches.max().unwrap_or_default(),
            upstream_bytes_of_one_alone: (self.upstream_bytes() - before) as f64
                / alone.bytes as f64,
            last_of_one_alone: done.last().copied().unwrap_or(f64::NAN) / alone.seconds,
            median_of_one_alone: done.get(done.len() / 2).copied().unwrap_or(f64::NAN)
                / alone.seconds,
            failures,
        };
        println!("run {number}: {figures:?}");
        for turn in killed {
            hosts[turn].restart();
        }
        self.wait_for_all(hosts);
        figures
    }

    /// Kills once a third has come; which hosts it were.
    fn kill(&self, victim: Victim, (path, length): &Wanted, hosts: &mut [TestHost]) -> Vec<usize> {
        self.upstream
            .wait_for_bytes(path, *length as u64 / 3, PATIENCE);
        let count = |host: &TestHost, what: &str| host.status()["leases"][what].as_u64();
        let who = |what: &str| hosts.iter().position(|host| count(host, what) > Some(0));
        let (holder, owner) = (who("fetching"), who("granted"));
        let victims: Vec<usize> = match victim {
            Victim::Holder => holder.into_iter().collect(),
            Victim::Owner => owner.into_iter().collect(),
            Victim::Others => (0..hosts.len())
                .filter(|turn| Some(*turn) != holder && Some(*turn) != owner)
                .take(hosts.len().div_ceil(10))
                .collect(),
        };
        assert!(!victims.is_empty(), "nobody to be killed");
        victims.iter().for_each(|turn| hosts[*turn].kill());
        victims
    }

    fn report(&self, alone: Alone, runs: Vec<RunFigures>) {
        let of = |name: &str, unit, of: &dyn Fn(&RunFigures) -> f64| {
            Figures::of(name, unit, runs.iter().map(of).collect())
        };
        let figures = vec![
            of("fetches from upstream", "", &|run| run.fetches as f64),
            of("bytes from upstream", "of one alone", &|run| {
                run.upstream_bytes_of_one_alone
            }),
            of("the last host has it", "of one alone", &|run| {
                run.last_of_one_alone
            }),
            of("half of the hosts have it", "of one alone", &|run| {
                run.median_of_one_alone
            }),
            of("clients that got nothing", "", &|run| run.failures as f64),
        ];
        Figures::print_header();
        figures.iter().for_each(Figures::print);
        let report = Report {
            hosts: self.options.hosts,
            modules: self.options.modules,
            bytes: self.options.bytes,
            bits_per_second: self.options.bits_per_second,
            kill: self.options.kill,
            alone_seconds: alone.seconds,
            alone_bytes: alone.bytes,
            runs,
            figures,
        };
        if let Some(file) = &self.options.json {
            let json = serde_json::to_vec_pretty(&report).expect("a report");
            std::fs::write(file, json).expect("the file of the report");
        }
    }
}
