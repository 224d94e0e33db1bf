//! A branch office: hosts behind one slow line, and a day of theirs in some minutes.
//!
//! Everybody builds both projects whose go.sum files lie in `tests/workloads`, as `go mod download` with an empty module cache asks:
//! the `.mod` of each line and `.info` and `.zip` of those that are compiled, eight at a time. In the morning a third of the hosts builds
//! the first project at the same moment, and later another third the second; all else is at moments that the seed says. The modules
//! are made here: those of the two files by name, with zips of sizes that are spread as those of modules are and have the true sum. What
//! crosses the line is compared with what crosses it when nothing does twice: files, records and tiles.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use harness::fuzz::Dice;
use harness::lab::Forbidden;
use harness::upstream::Kind;
use harness::{Module, TestHost};
use serde::Serialize;

use crate::figures::{self, Figures};
use crate::town::{Mesh, Town, Wanted, takes};

/// What is good: bytes across the line, of those that are different.
const ACROSS: f64 = 1.05;
/// How long a client waits for one file.
const PATIENCE: Duration = Duration::from_secs(900);
/// Requests that one client has under way.
const AT_ONCE: usize = 8;
/// Records of other modules between two of ours: each lies under a tile of its own, as in a database of millions.
const RECORDS_BETWEEN: u64 = 256;
/// The projects, and the bytes that their zips have together.
const PROJECTS: [(&str, f64); 2] = [("35-modules", 36e6), ("250-modules", 281e6)];
const ZIP_BYTES_MIN: f64 = 5e3;
const ZIP_BYTES_MAX: f64 = 40e6;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Hosts of the branch.
    #[arg(long, default_value_t = 20)]
    hosts: u8,
    /// Bits a second of the line.
    #[arg(long, default_value_t = 20_000_000)]
    bits_per_second: u64,
    /// Minutes that the day takes here, from the first build to the last one that begins.
    #[arg(long, default_value_t = 8.0)]
    minutes: f64,
    /// Zips of so many times fewer bytes than in truth.
    #[arg(long, default_value_t = 1.0)]
    smaller: f64,
    /// The hosts are members of one mesh; else the mesh is open.
    #[arg(long)]
    members: bool,
    /// The seed of sizes and times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes all figures to this file.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    hosts: u8,
    bits_per_second: u64,
    minutes: f64,
    smaller: f64,
    members: bool,
    seed: u64,
    unique_bytes: u64,
    /// Paths that were asked for more than once, and how often; the most frequent ones.
    twice: Vec<(String, u64)>,
    held: bool,
    figures: Vec<Figures>,
}

/// One host builds one project.
#[derive(Debug, Clone, Copy)]
struct Build {
    at: Duration,
    host: usize,
    project: usize,
}

/// Whether all bounds held.
///
/// # Panics
/// When the hosts do not start.
pub(crate) fn measure(options: &Options) -> Result<bool, Forbidden> {
    let mut town = Town::new(options.hosts, 0)?;
    let projects = publish(&town, options);
    let mesh = Mesh::new(options.members);
    town.start(usize::from(options.hosts), |host| mesh.join(host));
    town.upstream.forget();
    town.upstream.line(options.bits_per_second / 8);
    let (began, took, errors) = (
        Instant::now(),
        Mutex::new(Vec::new()),
        Mutex::new(Vec::new()),
    );
    thread::scope(|scope| {
        for build in day(options) {
            let (town, projects, took, errors) = (&town, &projects, &took, &errors);
            scope.spawn(move || {
                thread::sleep(build.at);
                let asked = Instant::now();
                let missing = download(&town.hosts[build.host], &projects[build.project]);
                let seconds = asked.elapsed().as_secs_f64();
                took.lock()
                    .expect("the times")
                    .push((build.project, seconds));
                errors.lock().expect("the errors").extend(missing);
            });
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let took = took.into_inner().expect("the times");
    let errors = errors.into_inner().expect("the errors");
    Ok(report(options, &town, seconds, &took, &errors))
}

/// Serves the modules of both projects; what each of them wants.
fn publish(town: &Town, options: &Options) -> Vec<Vec<Wanted>> {
    let mut dice = Dice::new(options.seed);
    let mut lines: BTreeMap<(String, String), f64> = BTreeMap::new();
    let mut wanted = Vec::new();
    for (project, bytes) in PROJECTS {
        let (mods, zips) = go_sum(project);
        let shares: Vec<f64> = zips.iter().map(|_| heavy_tail(&mut dice)).collect();
        let scale = bytes / shares.iter().sum::<f64>();
        for (zip, share) in zips.iter().zip(shares) {
            let size = (share * scale).clamp(ZIP_BYTES_MIN, ZIP_BYTES_MAX) / options.smaller;
            lines.entry(zip.clone()).or_insert(size);
        }
        for line in &mods {
            lines.entry(line.clone()).or_insert(100.0);
        }
        wanted.push((mods, zips));
    }
    let mut served: BTreeMap<&(String, String), [Wanted; 3]> = BTreeMap::new();
    for (line, size) in &lines {
        town.upstream
            .log(|log| log.pad_to(log.size() + RECORDS_BETWEEN));
        let module = Module::new(&line.0, &line.1).bulk("noise.bin", *size as usize);
        town.upstream.publish(&module);
        let file = |extension: &str, length| (module.url_path(extension), length);
        let files = [
            file("mod", module.go_mod().len()),
            file("info", module.info().len()),
            file("zip", module.zip().len()),
        ];
        served.insert(line, files);
    }
    let files = wanted.iter().map(|(mods, zips)| {
        let mods = mods.iter().map(|line| served[line][0].clone());
        let zips = zips.iter().flat_map(|line| served[line][1..].to_vec());
        mods.chain(zips).collect()
    });
    files.collect()
}

/// The lines of a go.sum: of go.mod files, and of zips.
#[allow(clippy::type_complexity)]
fn go_sum(project: &str) -> (Vec<(String, String)>, Vec<(String, String)>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/workloads");
    let text = std::fs::read_to_string(format!("{folder}/{project}/go.sum")).expect("a go.sum");
    let (mut mods, mut zips) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(path), Some(version)) = (words.next(), words.next()) else {
            continue;
        };
        match version.strip_suffix("/go.mod") {
            Some(version) => mods.push((path.to_owned(), version.to_owned())),
            None => zips.push((path.to_owned(), version.to_owned())),
        }
    }
    (mods, zips)
}

/// One of many numbers of which few are as large as all others together: log-normal, with a deviation of 1.8.
fn heavy_tail(dice: &mut Dice) -> f64 {
    // Twelve even numbers make one that is nearly normal.
    let normal: f64 = (0..12)
        .map(|_| dice.below(1 << 20) as f64 / f64::from(1 << 20))
        .sum();
    (1.8 * (normal - 6.0)).exp()
}

/// Who builds what, and when.
fn day(options: &Options) -> Vec<Build> {
    let mut dice = Dice::new(options.seed ^ 0xDA1);
    let all = Duration::from_secs_f64(options.minutes * 60.0);
    let mut builds = Vec::new();
    for host in 0..usize::from(options.hosts) {
        for project in 0..PROJECTS.len() {
            let together = host % 3 == project;
            let at = match (together, project) {
                (true, 0) => Duration::ZERO,
                (true, _) => all / 3,
                (false, _) => all.mul_f64(dice.below(1000) as f64 / 1000.0),
            };
            builds.push(Build { at, host, project });
        }
    }
    builds
}

/// Downloads a project. The files that did not come, each with what came instead.
fn download(host: &TestHost, files: &[Wanted]) -> Vec<String> {
    let next = Mutex::new(files.iter());
    thread::scope(|scope| {
        let clients: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    let take = || next.lock().expect("the files").next();
                    std::iter::from_fn(take)
                        .filter_map(|file| {
                            let why = takes(host, file, PATIENCE).err()?;
                            Some(format!("{}: {why}", file.0))
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    })
}

fn report(
    options: &Options,
    town: &Town,
    seconds: f64,
    took: &[(usize, f64)],
    errors: &[String],
) -> bool {
    let mut paths: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut kinds: HashMap<Kind, u64> = HashMap::new();
    let requests = town.upstream.requests();
    for seen in &requests {
        let (times, most) = paths.entry(seen.path.clone()).or_default();
        *times += 1;
        let before = std::mem::replace(most, seen.bytes().max(*most));
        // Of what crossed before this is once more.
        let again = if *times > 1 {
            seen.bytes().min(before)
        } else {
            0
        };
        *kinds.entry(seen.kind).or_default() += again;
    }
    let across = requests
        .iter()
        .map(harness::upstream::Seen::bytes)
        .sum::<u64>();
    let unique = paths.values().map(|(_, most)| most).sum::<u64>();
    let zips: Vec<f64> = paths
        .iter()
        .filter(|(path, _)| path.ends_with(".zip"))
        .map(|(_, (times, _))| *times as f64)
        .collect();
    let of_project = |project: usize| -> Vec<f64> {
        let of = took.iter().filter(|(of, _)| *of == project);
        of.map(|(_, seconds)| *seconds).collect()
    };
    let one = |name: &str, unit, value| Figures::of(name, unit, vec![value]);
    let mut figures = vec![
        one(
            "bytes across the line",
            "of unique",
            across as f64 / unique as f64,
        )
        .against(1.0)
        .at_most(ACROSS),
        one(
            "requests across the line",
            "of unique",
            requests.len() as f64 / paths.len() as f64,
        )
        .against(1.0),
        Figures::of("fetches of a zip", "", zips).against(1.0),
        one("the whole day", "s", seconds).against(options.minutes * 60.0),
        one("unique bytes", "MB", unique as f64 / 1e6),
        one("files that did not come", "", errors.len() as f64).at_most(0.0),
    ];
    for kind in [Kind::Zip, Kind::Mod, Kind::Info, Kind::Lookup, Kind::Tile] {
        let again = kinds.get(&kind).copied().unwrap_or_default();
        let name = format!("bytes that crossed again, {kind:?}");
        figures.push(one(&name, "of unique", again as f64 / unique as f64));
    }
    for (project, (name, _)) in PROJECTS.iter().enumerate() {
        figures.push(Figures::of(
            &format!("a build of {name}"),
            "s",
            of_project(project),
        ));
    }
    println!(
        "{} hosts behind {} bits/s, a day of {} minutes, seed {}",
        options.hosts, options.bits_per_second, options.minutes, options.seed
    );
    figures::print_all(&figures);
    errors
        .iter()
        .take(20)
        .for_each(|error| println!("    {error}"));
    let mut twice: Vec<(String, u64)> = paths
        .into_iter()
        .filter(|(_, (times, _))| *times > 1)
        .map(|(path, (times, _))| (path, times))
        .collect();
    twice.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    println!("{} paths crossed more than once", twice.len());
    twice.truncate(20);
    twice
        .iter()
        .for_each(|(path, times)| println!("    {times} {path}"));
    let held = figures.iter().all(Figures::held);
    let report = Report {
        hosts: options.hosts,
        bits_per_second: options.bits_per_second,
        minutes: options.minutes,
        smaller: options.smaller,
        members: options.members,
        seed: options.seed,
        unique_bytes: unique,
        twice,
        held,
        figures,
    };
    figures::write(&report, options.json.as_ref());
    held
}
