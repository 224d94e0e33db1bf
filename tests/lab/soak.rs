//! A long while of mixed load on two neighbours, with faults and restarts: no wrong byte, and nothing that grows.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::http::Request;
use harness::{FakeUpstream, Fault, HostOptions, Module, TestHost};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Minutes that it lasts.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Minutes between two restarts of a host; every second one is a kill -9.
    #[arg(long, default_value_t = 10.0)]
    restart_every: f64,
    /// Clients of each host.
    #[arg(long, default_value_t = 4)]
    clients: usize,
}

const MODULES: usize = 200;
/// A store limit that makes the hosts evict all the time.
const STORE_LIMIT: &str = "20MB";
const BREATH: Duration = Duration::from_millis(5);
/// The first part of a life between restarts, in which caches fill; slopes are taken from what follows.
const WARMING: Duration = Duration::from_secs(60);

fn module(number: usize) -> Module {
    Module::package(&format!("example.com/soak{number}"), "v1.0.0").bulk("noise.bin", 150_000)
}

/// One look at a host: seconds since its start, anonymous memory in MB, open descriptors.
type Sample = (f64, f64, f64);

/// What the clients saw.
#[derive(Default)]
struct Counts {
    right: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    wrong: AtomicU64,
}

pub(crate) fn measure(options: &Options) {
    let modules: Vec<Module> = (0..MODULES).map(module).collect();
    let upstream = FakeUpstream::start(modules.iter().cloned());
    upstream.offer_ranges(true);
    let host = |name: &str| {
        HostOptions::new(name)
            .sumdb(&upstream.sumdb())
            .argument("--store-limit")
            .argument(STORE_LIMIT)
    };
    let first = host("A").upstream(&upstream.url()).start();
    let second = host("B")
        .upstream(&upstream.url())
        .peer(&first.peer_address())
        .start();
    let urls = [first.url(), second.url()];
    let hosts = [Mutex::new(first), Mutex::new(second)];
    let (over, counts) = (AtomicBool::new(false), Counts::default());
    let truth: Vec<[(String, Vec<u8>); 3]> = modules
        .iter()
        .map(|m| {
            let file = |extension: &str, bytes| (m.url_path(extension), bytes);
            [
                file("info", m.info()),
                file("mod", m.go_mod()),
                file("zip", m.zip()),
            ]
        })
        .collect();
    let lives = thread::scope(|scope| {
        for client in 0..options.clients * 2 {
            let (url, truth, counts, over) = (&urls[client % 2], &truth, &counts, &over);
            scope.spawn(move || ask_until(over, url, truth, counts, client as u64));
        }
        let lives = run(options, &hosts, &upstream);
        over.store(true, Ordering::Relaxed);
        upstream.heal();
        lives
    });
    report(&counts, &lives);
}

/// Puts faults, restarts hosts, and looks at them; returns the samples of each life.
fn run(
    options: &Options,
    hosts: &[Mutex<TestHost>; 2],
    upstream: &FakeUpstream,
) -> Vec<Vec<Sample>> {
    let (began, all) = (
        Instant::now(),
        Duration::from_secs_f64(options.minutes * 60.0),
    );
    let life = Duration::from_secs_f64(options.restart_every * 60.0);
    let (mut lives, mut turn) = (Vec::new(), 0_usize);
    let mut born = [Instant::now(); 2];
    let mut samples = [Vec::new(), Vec::new()];
    while began.elapsed() < all {
        thread::sleep(Duration::from_secs(1));
        turn += 1;
        put_faults(upstream, turn);
        for number in 0..2 {
            let mut host = hosts[number].lock().expect("a host");
            samples[number].push(look(&host, born[number].elapsed()));
            // The second host's restarts fall between those of the first.
            let due = life.mul_f64(1.0 + 0.5 * number as f64);
            if born[number].elapsed() > due {
                if turn.is_multiple_of(2) {
                    host.kill();
                } else {
                    assert!(host.stop().success(), "a clean end");
                }
                host.restart();
                born[number] = Instant::now();
                lives.push(std::mem::take(&mut samples[number]));
            }
        }
    }
    lives.extend(samples);
    lives
}

/// Half a minute of health, then one trouble after the other.
fn put_faults(upstream: &FakeUpstream, second: usize) {
    match second % 60 {
        0 => upstream.heal(),
        30 => upstream.fault("*", Fault::status(503, "for a while")),
        36 => {
            upstream.heal();
            upstream.fault("*.zip", Fault::Cut(60_000));
        }
        42 => {
            upstream.heal();
            upstream.go_dark();
        }
        48 => {
            upstream.come_back();
            upstream.fault("*", Fault::Drop);
        }
        54 => {
            upstream.heal();
            upstream.fault("*.zip", Fault::html());
        }
        _ => {}
    }
}

fn look(host: &TestHost, age: Duration) -> Sample {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", host.pid())).map_or(0, Iterator::count);
    let memory = host.memory_bytes("RssAnon") as f64 / 1e6;
    (age.as_secs_f64(), memory, descriptors as f64)
}

fn ask_until(
    over: &AtomicBool,
    url: &str,
    truth: &[[(String, Vec<u8>); 3]],
    counts: &Counts,
    seed: u64,
) {
    let mut dice = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    while !over.load(Ordering::Relaxed) {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let (path, bytes) = &truth[dice as usize % truth.len()][(dice >> 32) as usize % 3];
        let asked = Request::get(&format!("{url}/{path}"))
            .within(Duration::from_secs(60))
            .send();
        let count = match asked {
            Ok(answer) if answer.status == 200 && !answer.complete => &counts.cut,
            // What is derived is true as well.
            Ok(answer) if answer.status == 200 && path.ends_with(".info") => &counts.right,
            Ok(answer) if answer.status == 200 && answer.body == *bytes => &counts.right,
            Ok(answer) if answer.status == 200 => &counts.wrong,
            Ok(_) => &counts.refused,
            Err(_) => &counts.cut,
        };
        count.fetch_add(1, Ordering::Relaxed);
        thread::sleep(BREATH);
    }
}

fn report(counts: &Counts, lives: &[Vec<Sample>]) {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{} right answers, {} refusals, {} connections cut, {} wrong answers",
        of(&counts.right),
        of(&counts.refused),
        of(&counts.cut),
        of(&counts.wrong)
    );
    println!(
        "each life between restarts, after its first minute: most memory, slope of memory and of descriptors"
    );
    for life in lives {
        let settled: Vec<&Sample> = life
            .iter()
            .filter(|s| s.0 > WARMING.as_secs_f64())
            .collect();
        if settled.len() < 60 {
            continue;
        }
        let most = settled.iter().map(|s| s.1).fold(0.0, f64::max);
        let slope = |value: fn(&Sample) -> f64| slope(&settled, value) * 60.0;
        println!(
            "{:>6} s  {most:>8.1} MB  {:>8.3} MB/min  {:>8.3} descriptors/min",
            settled.len(),
            slope(|s| s.1),
            slope(|s| s.2)
        );
    }
    assert_eq!(of(&counts.wrong), 0, "wrong bytes were served");
}

/// Least squares, per second.
fn slope(samples: &[&Sample], value: fn(&Sample) -> f64) -> f64 {
    let n = samples.len() as f64;
    let mean_time = samples.iter().map(|s| s.0).sum::<f64>() / n;
    let mean = samples.iter().map(|s| value(s)).sum::<f64>() / n;
    let (mut covariance, mut variance) = (0.0, 0.0);
    for sample in samples {
        covariance += (sample.0 - mean_time) * (value(sample) - mean);
        variance += (sample.0 - mean_time).powi(2);
    }
    covariance / variance.max(f64::MIN_POSITIVE)
}
