//! Puts generated requests to a host, on many connections, several at a time on each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::raw::{RawAnswer, RawConnection};

use super::http::{Made, Manner, Requests};
use super::{Dice, World};

/// Requests that are under way on one connection.
const AT_ONCE: usize = 24;
/// Pause between the pieces of a slow request.
const DAWDLE: Duration = Duration::from_millis(3);
/// Heads that are begun and left open for as long as the attack lasts.
const LEFT_OPEN: usize = 16;

/// What an attack saw.
#[derive(Debug, Default)]
pub struct Report {
    /// Requests sent.
    pub requests: u64,
    /// How many answers had which status.
    pub statuses: BTreeMap<u16, u64>,
    /// Connections that were begun.
    pub connections: u64,
    /// From the first to the last.
    pub wall: Duration,
}

/// Sends `requests` requests on `connections` connections.
///
/// # Panics
/// When an answer is 5xx, lacks what every answer has, holds other bytes than the true file, or does not come.
pub fn attack(world: &World, requests: u64, connections: u64, seed: u64) -> Report {
    let address = world.host.url().trim_start_matches("http://").to_owned();
    let made = Requests::new(&address, &world.modules);
    let (began, left, dice) = (Instant::now(), AtomicU64::new(requests), Dice::new(seed));
    let open: Vec<RawConnection> = (0..LEFT_OPEN)
        .map(|number| {
            let mut connection = RawConnection::open(&address);
            connection.send(&b"GET /healthz HTTP/1.1\r\nHost:"[..number + 8]);
            connection
        })
        .collect();
    let mut report = thread::scope(|threads| {
        let attackers: Vec<_> = (0..connections)
            .map(|number| {
                let attacker = Attacker {
                    requests: &made,
                    address: &address,
                    dice: dice.child(number),
                    report: Report::default(),
                };
                let left = &left;
                threads.spawn(move || attacker.run(left))
            })
            .collect();
        // What the fake saw is of no use here, and there is much of it.
        while left.load(Ordering::Relaxed) > 0 && attackers.iter().any(|one| !one.is_finished()) {
            world.upstream.forget();
            thread::sleep(Duration::from_millis(200));
        }
        let mut all = Report::default();
        for attacker in attackers {
            match attacker.join() {
                Ok(report) => all.add(report),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    drop(open);
    report.wall = began.elapsed();
    report
}

impl Report {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.connections += other.connections;
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
    }
}

struct Attacker<'a> {
    requests: &'a Requests,
    address: &'a str,
    dice: Dice,
    report: Report,
}

impl Attacker<'_> {
    fn run(mut self, left: &AtomicU64) -> Report {
        let take = |left: u64| left.checked_sub(1);
        let mut connection = self.connect();
        loop {
            let (mut batch, mut odd) = (Vec::new(), None);
            while batch.len() < AT_ONCE && odd.is_none() {
                if left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                    .is_err()
                {
                    break;
                }
                self.report.requests += 1;
                let made = self.requests.make(&mut self.dice);
                match made.manner {
                    Manner::Good => batch.push(made),
                    _ => odd = Some(made),
                }
            }
            if batch.is_empty() && odd.is_none() {
                return self.report;
            }
            let bytes: Vec<u8> = batch.iter().flat_map(|made| made.bytes.clone()).collect();
            connection.send(&bytes);
            for made in &batch {
                let answer = connection.answer_to(made.is_head);
                let answer = answer.unwrap_or_else(|| panic!("no answer to {}", shown(made)));
                self.judge(made, &answer);
                assert_ne!(answer.header("x-modmesh-source"), "", "{}", shown(made));
                assert_ne!(answer.header("connection"), "close", "{}", shown(made));
            }
            if let Some(made) = odd {
                self.put_oddly(connection, &made);
                connection = self.connect();
            }
        }
    }

    fn connect(&mut self) -> RawConnection {
        self.report.connections += 1;
        RawConnection::open(self.address)
    }

    /// The last request of a connection. What it is answered with, and whether, is up to the host.
    fn put_oddly(&mut self, mut connection: RawConnection, made: &Made) {
        match made.manner {
            Manner::Leaving => {
                connection.send(&made.bytes);
                return;
            }
            Manner::Slow => {
                for piece in made.bytes.chunks(made.bytes.len() / 4 + 1) {
                    connection.send(piece);
                    thread::sleep(DAWDLE);
                }
            }
            Manner::Good | Manner::Risky => {
                connection.send(&made.bytes);
            }
        }
        connection.send_no_more();
        // Where one answer ends only the host knows: what it took for HEAD need not have been sent as such.
        for answer in connection.all_to_the_end().split(|byte| *byte == b'\n') {
            let Some(status) = answer
                .strip_prefix(b"HTTP/1.1 ")
                .and_then(|rest| rest.get(..3))
            else {
                continue;
            };
            let status: u16 = String::from_utf8_lossy(status).parse().unwrap_or_default();
            self.count(made, status);
        }
    }

    fn count(&mut self, made: &Made, status: u16) {
        *self.report.statuses.entry(status).or_default() += 1;
        assert!(status < 500, "{status} for {}", shown(made));
    }

    fn judge(&mut self, made: &Made, answer: &RawAnswer) {
        self.count(made, answer.status);
        for (name, _) in &answer.headers {
            assert!(!name.starts_with("access-control-"), "{}", shown(made));
        }
        if let (Some(path), 200) = (&made.whole, answer.status) {
            let is_true = self.requests.file(path) == Some(&answer.body);
            assert!(is_true, "other bytes for {}", shown(made));
        }
    }
}

fn shown(made: &Made) -> String {
    let text: String = made.bytes.escape_ascii().to_string();
    text.chars().take(2000).collect()
}
