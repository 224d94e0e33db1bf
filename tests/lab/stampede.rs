//! Many hosts want the same new files within a second, over one line to the upstream that they share.
//!
//! Every host is a daemon in a network namespace of its own; they find each other by multicast. The clients are plain HTTP, and ask for
//! the one zip, or of several modules for `.zip` and `.mod` of each, eight at a time. The reference is one host that knows nobody, over the same line, and what it
//! had from upstream, records and tiles included. Where somebody is to be killed, it is once a third of the first zip has come.

use std::thread;
use std::time::{Duration, Instant};

use harness::TestHost;
use harness::http::Request;
use harness::lab::Forbidden;
use serde::Serialize;

use crate::figures::{self, Figures};
use crate::town::{Mesh, Town, Wanted};

/// How long a client waits for its file.
const PATIENCE: Duration = Duration::from_secs(900);
/// Requests that one client has under way.
const AT_ONCE: usize = 8;
/// Runs whose files a host keeps, so that many runs of large files fit the memory of one machine.
const RUNS_KEPT: usize = 4;

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
    /// The hosts are members of one mesh; else the mesh is open.
    #[arg(long)]
    members: bool,
    /// Neighbours that each host has room for, as in `modmesh up --neighbours`.
    #[arg(long)]
    neighbours: Option<u8>,
    /// Bits a second of the line to the upstream.
    #[arg(long, default_value_t = 5_000_000)]
    bits_per_second: u64,
    /// Runs, each with a file of its own.
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// Who is killed when a third of the file has come.
    #[arg(long, value_enum)]
    kill: Option<Victim>,
    /// What the daemons log, as in `modmesh up --log`; shown of a run in which a file was fetched more than once.
    #[arg(long)]
    log: Option<String>,
    /// Writes all figures to this file.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Victim {
    /// Who fetches.
    Holder,
    /// Who has granted the lease; where that is the holder, another host, one that was shown the lease if there is one.
    Owner,
    /// A tenth of those that neither fetch nor own.
    Others,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
struct RunFigures {
    /// Of the file that was fetched most often.
    fetches: u64,
    /// When upstream was asked for the first file, in seconds after the first client asked.
    asked_upstream_at: Vec<f64>,
    upstream_bytes_of_one_alone: f64,
    last_of_one_alone: f64,
    last_more_seconds: f64,
    median_of_one_alone: f64,
    failures: usize,
}

#[derive(Debug, Serialize)]
struct Report {
    hosts: u8,
    modules: usize,
    bytes: usize,
    members: bool,
    neighbours: Option<u8>,
    bits_per_second: u64,
    kill: Option<Victim>,
    alone_seconds: f64,
    alone_bytes: u64,
    held: bool,
    runs: Vec<RunFigures>,
    figures: Vec<Figures>,
}

/// Whether all bounds held.
///
/// # Panics
/// When a host does not start.
pub(crate) fn measure(options: &Options) -> Result<bool, Forbidden> {
    let mut town = Town::new(options.hosts, 1)?;
    let count = usize::from(options.hosts);
    let limit = (options.modules * options.bytes * RUNS_KEPT).max(1 << 29);
    let mesh = Mesh::new(options.members);
    let limited = |host: harness::HostOptions| {
        let limit = format!("{}MB", limit / 1_000_000);
        let host = mesh.join(host.argument("--store-limit").argument(&limit));
        let host = match options.neighbours {
            Some(most) => host.argument("--neighbours").argument(&most.to_string()),
            None => host,
        };
        match &options.log {
            Some(filter) => host.argument("--log").argument(filter),
            None => host,
        }
    };
    let alone = limited(town.options(count)).start();
    town.start(count, limited);
    town.upstream.line(options.bits_per_second / 8);
    let mut stampede = Stampede { options, town };
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
        .map(|number| stampede.run(number, alone))
        .collect();
    Ok(stampede.report(alone, runs))
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
    town: Town,
}

/// What one host needs that is alone.
#[derive(Debug, Clone, Copy)]
struct Alone {
    seconds: f64,
    bytes: u64,
}

impl Stampede<'_> {
    fn files(&self, run: &str) -> Vec<Wanted> {
        let modules = 0..self.options.modules;
        let files = modules.flat_map(|number| {
            let path = format!("example.com/{run}/m{number}");
            self.town.publish(&path, self.options.bytes)
        });
        match self.options.modules {
            // One zip alone.
            1 => files.take(1).collect(),
            _ => files.collect(),
        }
    }

    /// Nobody asks for them any more, and they need not stay in memory.
    fn forget(&self, files: &[Wanted]) {
        for (path, _) in files {
            self.town.upstream.put(path, Vec::new());
        }
    }

    fn upstream_bytes(&self) -> u64 {
        self.town.upstream.traffic_of_all().bytes
    }

    fn alone(&self, host: &TestHost) -> Alone {
        let files = self.files("alone");
        let (began, before) = (Instant::now(), self.upstream_bytes());
        assert!(ask_for(&requests(host, &files)), "one alone got nothing");
        let seconds = began.elapsed().as_secs_f64();
        self.forget(&files);
        Alone {
            seconds,
            bytes: self.upstream_bytes() - before,
        }
    }

    fn run(&mut self, number: usize, alone: Alone) -> RunFigures {
        let files = self.files(&format!("run{number}"));
        let (began, before) = (Instant::now(), self.upstream_bytes());
        let gap = Duration::from_secs(1) / u32::from(self.options.hosts);
        let hosts = self.town.hosts.iter();
        let clients: Vec<_> = hosts
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
            Some(victim) => self.kill(victim, &files[0]),
            None => Vec::new(),
        };
        let ends: Vec<Option<f64>> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        let living = ends.iter().enumerate();
        let living = living.filter(|(turn, _)| !killed.contains(turn));
        let failures = living.clone().filter(|(_, end)| end.is_none()).count();
        let mut done: Vec<f64> = living.filter_map(|(_, end)| *end).collect();
        done.sort_by(f64::total_cmp);
        let last = done.last().copied().unwrap_or(f64::NAN);
        let asked = self.town.upstream.requests().into_iter();
        let asked = asked.filter(|seen| seen.path == files[0].0);
        let figures = RunFigures {
            asked_upstream_at: asked
                .map(|seen| seen.at.saturating_duration_since(began).as_secs_f64())
                .collect(),
            fetches: self.town.fetches(&files),
            upstream_bytes_of_one_alone: (self.upstream_bytes() - before) as f64
                / alone.bytes as f64,
            last_of_one_alone: last / alone.seconds,
            last_more_seconds: last - alone.seconds,
            median_of_one_alone: done.get(done.len() / 2).copied().unwrap_or(f64::NAN)
                / alone.seconds,
            failures,
        };
        println!("run {number}: {figures:?}");
        if figures.fetches > 1 {
            self.show(number);
        }
        self.forget(&files);
        for turn in killed {
            self.town.hosts[turn].restart();
        }
        self.town.meet();
        figures
    }

    /// What some of those say that fetched, and the logs that were asked for.
    fn show(&self, number: usize) {
        self.town
            .explain_fetches(&format!("example.com/run{number}/m0"));
        if self.options.log.is_some() {
            let hosts = self.town.hosts.iter();
            hosts.for_each(|host| println!("{}", host.log()));
        }
    }

    /// Kills once a third has come; which hosts it were.
    fn kill(&mut self, victim: Victim, (path, length): &Wanted) -> Vec<usize> {
        self.town
            .upstream
            .wait_for_bytes(path, *length as u64 / 3, PATIENCE);
        let hosts = &mut self.town.hosts;
        let count = |host: &TestHost, what: &str| host.status()["leases"][what].as_u64();
        let has = |turn: &usize, what: &str| count(&hosts[*turn], what) > Some(0);
        let holder = (0..hosts.len()).find(|turn| has(turn, "fetching"));
        let mut others = (0..hosts.len()).filter(|turn| Some(*turn) != holder);
        // Where the holder itself has granted its lease, one that is to follow it as the owner.
        let owner = others.clone().find(|turn| has(turn, "granted"));
        let owner = owner.or_else(|| others.next());
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

    fn report(&self, alone: Alone, runs: Vec<RunFigures>) -> bool {
        let of = |name: &str, unit, of: &dyn Fn(&RunFigures) -> f64| {
            Figures::of(name, unit, runs.iter().map(of).collect()).against(1.0)
        };
        let fetches = of("fetches from upstream", "", &|run| run.fetches as f64);
        let bytes = of("bytes from upstream", "of one alone", &|run| {
            run.upstream_bytes_of_one_alone
        });
        let last = of("the last host has it", "of one alone", &|run| {
            run.last_of_one_alone
        });
        let more: Vec<f64> = runs.iter().map(|run| run.last_more_seconds).collect();
        let more = Figures::of("the last host has it, after one alone would", "s", more);
        let bounded = match (self.options.kill, self.options.modules) {
            (Some(_), _) => [fetches.at_most(3.0), bytes, last, more.at_most(4.0)],
            (None, 1) => [
                fetches.at_most(1.0),
                bytes.at_most(1.02),
                last.at_most(1.5),
                more,
            ],
            (None, _) => [fetches.at_most(1.0), bytes.at_most(1.05), last, more],
        };
        let failures: Vec<f64> = runs.iter().map(|run| run.failures as f64).collect();
        let mut figures = Vec::from(bounded);
        figures.push(of("half of the hosts have it", "of one alone", &|run| {
            run.median_of_one_alone
        }));
        figures.push(Figures::of("clients that got nothing", "", failures).at_most(0.0));
        figures::print_all(&figures);
        let held = figures.iter().all(Figures::held);
        let report = Report {
            hosts: self.options.hosts,
            modules: self.options.modules,
            bytes: self.options.bytes,
            members: self.options.members,
            neighbours: self.options.neighbours,
            bits_per_second: self.options.bits_per_second,
            kill: self.options.kill,
            alone_seconds: alone.seconds,
            alone_bytes: alone.bytes,
            held,
            runs,
            figures,
        };
        figures::write(&report, self.options.json.as_ref());
        held
    }
}
