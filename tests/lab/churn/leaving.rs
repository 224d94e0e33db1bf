//! Hosts that go and come back, while clients ask through those that are up.
//!
//! A client that got nothing counts when its host was up all the while: somebody whose daemon was killed has no complaint.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::TestHost;
use harness::fuzz::Dice;
use harness::http::Request;
use harness::lab::Forbidden;

use super::Options;
use crate::figures::Figures;
use crate::town::{Town, Wanted};

/// How long a client waits.
const PATIENCE: Duration = Duration::from_secs(120);

/// A host, and what clients know of it.
struct Guest {
    host: Mutex<TestHost>,
    /// Requests for any path of it; its address stays over restarts.
    url: Request,
    up: AtomicBool,
    /// How often it went.
    went: AtomicU64,
}

#[derive(Default)]
struct Counts {
    right: AtomicUsize,
    of_hosts_that_went: AtomicUsize,
    errors: AtomicUsize,
    took: Mutex<Vec<f64>>,
}

pub(super) fn measure(options: &Options) -> Result<Vec<Figures>, Forbidden> {
    let mut town = Town::new(options.hosts, 0)?;
    town.start(usize::from(options.hosts), |host| {
        host.argument("--store-limit").argument("512MB")
    });
    town.upstream.line(options.bits_per_second / 8);
    let guests: Vec<Guest> = std::mem::take(&mut town.hosts)
        .into_iter()
        .map(|host| Guest {
            url: host.request("").within(PATIENCE),
            host: Mutex::new(host),
            up: AtomicBool::new(true),
            went: AtomicU64::new(0),
        })
        .collect();
    let (counts, over) = (Counts::default(), AtomicBool::new(false));
    let waves = thread::scope(|scope| {
        scope.spawn(|| come_and_go(options, &guests, &over));
        let waves = ask(options, &town, &guests, &counts);
        over.store(true, Ordering::Relaxed);
        waves
    });
    let went: u64 = guests
        .iter()
        .map(|guest| guest.went.load(Ordering::Relaxed))
        .sum();
    let fetches: Vec<f64> = waves
        .iter()
        .map(|files| town.fetches(&files[..1]) as f64)
        .collect();
    let all: f64 = fetches.iter().sum();
    let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    println!(
        "{went} times a host went within {} minutes; {} files, {all} fetches; {} right answers, {} cut with their host, {} errors",
        options.minutes,
        waves.len(),
        of(&counts.right),
        of(&counts.of_hosts_that_went),
        of(&counts.errors)
    );
    let took = counts.took.into_inner().expect("the times");
    let errors = of(&counts.errors) as f64;
    Ok(vec![
        Figures::of("churn: fetches of a file", "", fetches).against(1.0),
        Figures::of("churn: a client has its file", "s", took),
        Figures::of("churn: clients that got an error", "", vec![errors]).at_most(0.0),
    ])
}

/// A file after the other, each of which every client wants; all of them.
fn ask(options: &Options, town: &Town, guests: &[Guest], counts: &Counts) -> Vec<Vec<Wanted>> {
    let (began, every) = (Instant::now(), Duration::from_millis(options.every_ms));
    let all = Duration::from_secs_f64(options.minutes * 60.0);
    let mut waves: Vec<Vec<Wanted>> = Vec::new();
    thread::scope(|scope| {
        while began.elapsed() < all {
            let number = waves.len() as u32;
            let file = town.publish(&format!("example.com/churn/m{number}"), options.bytes);
            for (turn, guest) in (0u64..).zip(guests) {
                let mut dice = Dice::new(options.seed).child((u64::from(number) << 16) | turn);
                let wait = every.mul_f64(dice.below(1000) as f64 / 1000.0);
                let wanted = file[0].clone();
                scope.spawn(move || {
                    thread::sleep(wait);
                    guest.ask(&wanted, counts);
                });
            }
            waves.push(file);
            thread::sleep((every * (number + 1)).saturating_sub(began.elapsed()));
        }
    });
    waves
}

/// Has one host after the other go and come back.
fn come_and_go(options: &Options, guests: &[Guest], over: &AtomicBool) {
    let mut dice = Dice::new(options.seed);
    let a_minute = guests.len() as f64 * options.percent_a_minute / 100.0;
    let every = Duration::from_secs_f64(60.0 / a_minute.max(0.01));
    let began = Instant::now();
    thread::scope(|scope| {
        for turn in 1.. {
            while began.elapsed() < every * turn {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
            let up: Vec<&Guest> = guests.iter().filter(|guest| guest.is_up()).collect();
            let guest = up[dice.below(up.len())];
            guest.up.store(false, Ordering::SeqCst);
            guest.went.fetch_add(1, Ordering::SeqCst);
            let down = Duration::from_secs_f64(options.down_seconds);
            scope.spawn(move || {
                let mut host = guest.host.lock().expect("the host");
                match turn % 2 {
                    0 => host.kill(),
                    _ => drop(host.stop()),
                }
                thread::sleep(down);
                host.restart();
                guest.up.store(true, Ordering::SeqCst);
            });
        }
    });
}

impl Guest {
    fn is_up(&self) -> bool {
        self.up.load(Ordering::SeqCst)
    }

    fn ask(&self, (path, length): &Wanted, counts: &Counts) {
        let (went, began) = (self.went.load(Ordering::SeqCst), Instant::now());
        if !self.is_up() {
            return;
        }
        let answer = self.url.clone().at(path).send();
        let right = answer
            .as_ref()
            .is_ok_and(|a| a.status == 200 && a.complete && a.body.len() == *length);
        if right {
            counts.right.fetch_add(1, Ordering::Relaxed);
            let took = began.elapsed().as_secs_f64();
            counts.took.lock().expect("the times").push(took);
        } else if self.went.load(Ordering::SeqCst) != went {
            counts.of_hosts_that_went.fetch_add(1, Ordering::Relaxed);
        } else {
            counts.errors.fetch_add(1, Ordering::Relaxed);
            match answer {
                Ok(answer) => println!("{path}: {} {}", answer.status, answer.text().trim()),
                Err(failure) => println!("{path}: {failure}"),
            }
        }
    }
}
