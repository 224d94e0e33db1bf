//! Two halves that do not hear each other, each with the upstream, and what they know of each other after they do again.
//!
//! Files that one half fetches while the network is parted are asked for in the other half afterwards: one that is fetched again from
//! upstream shows that somebody did not know yet who has it.

use std::thread;
use std::time::{Duration, Instant};

use harness::lab::Forbidden;

use super::Options;
use crate::figures::Figures;
use crate::town::{Town, Wanted, gives, neighbours};

/// How long a client waits.
const PATIENCE: Duration = Duration::from_secs(120);
/// Within this time after the network has healed everybody must know again who has what.
const HEALED_MAX: Duration = Duration::from_secs(30);
/// Fetches of a file that all want: each half has its own.
const FETCHES_MAX: u64 = 2;
/// Questions a second while it heals, each for a file that only the other half has.
const QUESTIONS_A_SECOND: u32 = 4;
/// How often it is looked whether hosts know each other.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the partitions showed, one value of each.
#[derive(Default)]
struct Seen {
    /// Until each half knows of itself alone.
    noticed: Vec<f64>,
    /// Fetches of a file that all wanted when the network was parted in the midst of it.
    midway: Vec<f64>,
    /// Fetches of a file that all wanted while the network was parted.
    apart: Vec<f64>,
    /// Until all know all again.
    met: Vec<f64>,
    /// The last time that something was fetched which the other half had.
    again: Vec<f64>,
    fetched_while_healing: Vec<f64>,
    /// Fetched again after it should all be known.
    fetched_later: Vec<f64>,
    errors: Vec<f64>,
}

pub(super) fn measure(options: &Options) -> Result<Vec<Figures>, Forbidden> {
    let mut town = Town::new(options.hosts, 0)?;
    town.start(usize::from(options.hosts), |host| host);
    town.upstream.line(options.bits_per_second / 8);
    let mut seen = Seen::default();
    for number in 0..options.partitions {
        let partition = Partition {
            town: &town,
            bytes: options.bytes,
            number,
        };
        partition.run(&mut seen);
    }
    let halves = format!("2 x {}", options.hosts / 2);
    let row = |name: &str, unit, values: Vec<f64>| {
        Figures::of(&format!("{halves}: {name}"), unit, values)
    };
    Ok(vec![
        row("until each half knows", "s", seen.noticed),
        row("fetches, parted in the midst", "", seen.midway)
            .against(1.0)
            .at_most(FETCHES_MAX as f64),
        row("fetches while parted", "", seen.apart)
            .against(FETCHES_MAX as f64)
            .at_most(FETCHES_MAX as f64),
        row("until all know all again", "s", seen.met).at_most(HEALED_MAX.as_secs_f64()),
        row("last unneeded fetch after", "s", seen.again).at_most(HEALED_MAX.as_secs_f64()),
        row(
            "unneeded fetches while healing",
            "",
            seen.fetched_while_healing,
        ),
        row("unneeded fetches later", "", seen.fetched_later).at_most(0.0),
        row("clients that got an error", "", seen.errors).at_most(0.0),
    ])
}

struct Partition<'a> {
    town: &'a Town,
    bytes: usize,
    number: usize,
}

impl Partition<'_> {
    fn run(&self, seen: &mut Seen) {
        let count = self.town.hosts.len();
        let second: Vec<usize> = (count / 2..count).collect();
        let (mut errors, began) = (0, Instant::now());

        // A file that takes a few seconds, and the line breaks meanwhile.
        let large = self.publish("midway", self.bytes * 25);
        thread::scope(|scope| {
            let asking = scope.spawn(|| self.all_ask(&large));
            let path = &large[0].0;
            self.town
                .upstream
                .wait_for_bytes(path, self.bytes as u64, PATIENCE);
            self.town.lab.part(&second);
            errors += asking.join().expect("the clients");
        });
        let fetches = self.town.fetches(&large[..1]);
        if fetches > FETCHES_MAX {
            self.explain("midway", "parted in the midst");
        }
        seen.midway.push(fetches as f64);
        let parted = Instant::now();
        self.wait_until_few(count as u64 / 2);
        seen.noticed.push(parted.elapsed().as_secs_f64());

        let file = self.publish("apart", self.bytes);
        errors += self.all_ask(&file);
        let fetches = self.town.fetches(&file[..1]);
        if fetches > FETCHES_MAX {
            self.explain("apart", "parted");
        }
        seen.apart.push(fetches as f64);
        let only_there = self.fill(&mut errors);

        self.town.lab.heal(&second);
        let healed = Instant::now();
        let (mut last, mut unneeded, mut later) = (0.0, 0, 0);
        let mut met = None;
        let everybody = count as u64 - 1;
        for (turn, (host, file)) in (0..).zip(&only_there) {
            let due = Duration::from_secs(1) / QUESTIONS_A_SECOND * turn;
            while healed.elapsed() < due {
                thread::sleep(LOOK_EVERY.min(due.saturating_sub(healed.elapsed())));
                if met.is_none() && self.town.hosts.iter().all(|h| neighbours(h) >= everybody) {
                    met = Some(healed.elapsed().as_secs_f64());
                }
            }
            let at = healed.elapsed();
            errors += usize::from(!gives(&self.town.hosts[*host], &file[0], PATIENCE));
            if self.town.fetches(&file[..1]) > 1 {
                last = at.as_secs_f64();
                let when = format!("{last:.1} s after it healed");
                self.explain(&format!("only{turn}"), &when);
                match at <= HEALED_MAX {
                    true => unneeded += 1,
                    false => later += 1,
                }
            }
        }
        let met = met.unwrap_or_else(|| {
            self.town.meet();
            healed.elapsed().as_secs_f64()
        });
        seen.met.push(met);
        seen.again.push(last);
        seen.fetched_while_healing.push(f64::from(unneeded));
        seen.fetched_later.push(f64::from(later));
        seen.errors.push(errors as f64);
        let (number, seconds) = (self.number, began.elapsed().as_secs_f64());
        println!(
            "partition {number}, {seconds:.0} s: all know all {met:.1} s after it healed; {unneeded} unneeded fetches, the last after {last:.1} s, {later} later; {errors} errors"
        );
    }

    fn publish(&self, name: &str, bytes: usize) -> Vec<Wanted> {
        self.town.publish(&self.module(name), bytes)
    }

    fn module(&self, name: &str) -> String {
        format!("example.com/parted{}/{name}", self.number)
    }

    /// Has hosts explain how a file came that was fetched too often.
    fn explain(&self, name: &str, when: &str) {
        println!("{}, {when}:", self.module(name));
        self.town.explain_fetches(&self.module(name));
    }

    /// Everybody wants the zip within a second; how many did not get it.
    fn all_ask(&self, file: &[Wanted]) -> usize {
        let hosts = &self.town.hosts;
        let gap = Duration::from_secs(1) / hosts.len() as u32;
        thread::scope(|scope| {
            let clients: Vec<_> = (0u32..)
                .zip(hosts)
                .map(|(turn, host)| {
                    scope.spawn(move || {
                        thread::sleep(gap * turn);
                        gives(host, &file[0], PATIENCE)
                    })
                })
                .collect();
            let ends = clients.into_iter().map(|client| client.join().unwrap());
            ends.filter(|got| !got).count()
        })
    }

    /// Has one host of either half fetch files; with each file a host of the other half, that asks for it later.
    fn fill(&self, errors: &mut usize) -> Vec<(usize, Vec<Wanted>)> {
        let half = self.town.hosts.len() / 2;
        let questions = (HEALED_MAX.as_secs() as usize + 10) * QUESTIONS_A_SECOND as usize;
        let files: Vec<_> = (0..questions)
            .map(|turn| {
                let (giver, asker) = (turn % half, turn / 2 % half);
                let (giver, asker) = match turn % 2 {
                    0 => (giver, half + asker),
                    _ => (half + giver, asker),
                };
                let file = self.publish(&format!("only{turn}"), 20_000);
                *errors += usize::from(!gives(&self.town.hosts[giver], &file[0], PATIENCE));
                (asker, file)
            })
            .collect();
        files
    }

    /// Waits until everybody has less than so many neighbours.
    fn wait_until_few(&self, most: u64) {
        for host in &self.town.hosts {
            host.wait_longer(PATIENCE, "it knows that the others are gone", |host| {
                neighbours(host) < most
            });
        }
    }
}
