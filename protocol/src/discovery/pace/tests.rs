//! A link in memory: whoever speaks is heard by all others a little later, and who hears somebody new has a neighbour more.

use std::collections::{BTreeMap, HashSet};

use super::*;

struct Link {
    hosts: Vec<Host>,
    delay: Duration,
    /// Packets on their way: when they arrive, and whose.
    under_way: BTreeMap<(Duration, usize), bool>,
    /// All packets: when and whose.
    said: Vec<(Duration, usize)>,
}

struct Host {
    pace: Pace,
    neighbours: HashSet<usize>,
    heard: HashSet<usize>,
    deaf: bool,
}

impl Link {
    fn new(hosts: usize, delay: Duration) -> Self {
        let host = |seed| Host {
            pace: Pace::new(Duration::ZERO, seed),
            neighbours: HashSet::new(),
            heard: HashSet::new(),
            deaf: false,
        };
        Self {
            hosts: (0..hosts as u64)
                .map(|n| host(n * 0x1234_5677 + 1))
                .collect(),
            delay,
            under_way: BTreeMap::new(),
            said: Vec::new(),
        }
    }

    fn run_until(&mut self, end: Duration) {
        loop {
            let first = self.hosts.iter().enumerate();
            let (at, who) = first
                .map(|(n, host)| (host.pace.next(), n))
                .min()
                .unwrap_or((end, 0));
            let arrives = self
                .under_way
                .first_key_value()
                .map(|(key, asks)| (*key, *asks));
            match arrives {
                Some(((now, from), asks)) if now <= at && now < end => {
                    self.under_way.remove(&(now, from));
                    self.deliver(now, from, asks);
                }
                _ if at >= end => return,
                _ => self.speak(at, who),
            }
        }
    }

    fn speak(&mut self, now: Duration, who: usize) {
        let host = &mut self.hosts[who];
        let company = Company {
            neighbours: host.neighbours.len(),
            heard: host.heard.len(),
        };
        host.pace.company(now, company);
        if let Some(speech) = host.pace.speak(now) {
            self.said.push((now, who));
            let asks = speech == Speech::Ask;
            self.under_way.insert((now + self.delay, who), asks);
        }
    }

    fn deliver(&mut self, now: Duration, from: usize, asks: bool) {
        for n in (0..self.hosts.len()).filter(|n| *n != from) {
            let host = &mut self.hosts[n];
            if host.deaf {
                continue;
            }
            host.pace.hear(now, asks);
            host.heard.insert(from);
            host.neighbours.insert(from);
            self.hosts[from].neighbours.insert(n);
        }
        for host in &mut self.hosts {
            let company = Company {
                neighbours: host.neighbours.len(),
                heard: host.heard.len(),
            };
            host.pace.company(now, company);
        }
    }

    /// The most packets in any one second.
    fn most_in_a_second(&self) -> usize {
        let second = Duration::from_secs(1);
        let from = |first: usize| {
            let start = self.said[first].0;
            let later = self.said[first..].iter();
            later.take_while(|(at, _)| *at < start + second).count()
        };
        (0..self.said.len()).map(from).max().unwrap_or_default()
    }

    fn spoke(&self) -> HashSet<usize> {
        self.said.iter().map(|(_, who)| *who).collect()
    }

    /// Whether of each two hosts one has heard the other.
    fn all_met(&self) -> bool {
        let others = self.hosts.len() - 1;
        self.hosts
            .iter()
            .all(|host| host.neighbours.len() == others)
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn the_rate_is_bounded_whatever_the_number_of_hosts() {
    for hosts in [1, 2, 5, 20, 50, 100, 500, 2000] {
        let mut link = Link::new(hosts, milliseconds(1));
        link.run_until(seconds(20));
        let most = link.most_in_a_second();
        assert!(most <= 10, "{hosts} hosts: {most} packets in a second");
    }
}

#[test]
fn three_neighbours_each_within_two_seconds_and_all_of_twenty_within_five() {
    for hosts in [4, 20, 50, 100, 2000] {
        let mut link = Link::new(hosts, milliseconds(1));
        link.run_until(milliseconds(1700));
        let least = link.hosts.iter().map(|host| host.neighbours.len()).min();
        assert!(least >= Some(3), "{hosts} hosts: {least:?}");
    }
    let mut link = Link::new(20, milliseconds(1));
    link.run_until(seconds(5));
    assert!(link.all_met());
}

#[test]
fn a_crowd_speaks_in_turn_and_nobody_twice_before_the_last() {
    let mut link = Link::new(100, milliseconds(1));
    link.run_until(seconds(15));
    assert!(link.all_met(), "{} spoke", link.spoke().len());
    let first_hundred: HashSet<usize> = link.said.iter().take(90).map(|(_, who)| *who).collect();
    assert!(first_hundred.len() >= 85, "{}", first_hundred.len());
}

#[test]
fn slow_links_raise_the_rate_a_little_and_not_in_the_long_run() {
    // Some access points hold multicast back for as long as a beacon, 100 ms.
    for delay in [5, 20, 50, 100] {
        let mut link = Link::new(200, milliseconds(delay));
        link.run_until(seconds(20));
        let mean = link.said.len() as f64 / 20.0;
        assert!(mean <= 8.0, "{delay} ms: {mean} packets a second");
    }
}

#[test]
fn a_link_that_has_settled_is_quiet() {
    for (hosts, packets_a_day) in [(2, 8_000), (50, 10_000), (300, 10_000)] {
        let mut link = Link::new(hosts, milliseconds(1));
        link.run_until(seconds(3600));
        let in_the_first_hour = link.said.len();
        link.run_until(seconds(7200));
        let an_hour = link.said.len() - in_the_first_hour;
        assert!(
            an_hour * 24 <= packets_a_day,
            "{hosts} hosts: {an_hour} packets an hour"
        );
    }
}

#[test]
fn a_host_alone_speaks_again_and_again_and_ever_more_seldom() {
    let mut link = Link::new(1, milliseconds(1));
    link.run_until(seconds(3600));
    let times: Vec<f64> = link.said.iter().map(|(at, _)| at.as_secs_f64()).collect();
    assert!(times[0] <= 0.6, "{times:?}");
    let pause = |n: usize| times[n + 1] - times[n];
    for (n, about) in [
        (0, 1.0),
        (1, 2.0),
        (2, 4.0),
        (3, 8.0),
        (4, 16.0),
        (30, 16.0),
        (45, 60.0),
    ] {
        let pause = pause(n);
        assert!(
            (0.7 * about..1.3 * about + 0.8).contains(&pause),
            "{n}: {pause}"
        );
    }
}

#[test]
fn a_newcomer_is_heard_at_once_on_a_quiet_link() {
    let mut link = Link::new(21, milliseconds(1));
    link.hosts[20].pace = Pace::new(seconds(600), 77);
    link.hosts[20].deaf = true;
    link.run_until(seconds(600));
    link.hosts[20].deaf = false;
    let before = link.said.len();
    link.run_until(seconds(602));
    let newcomer = link.said[before..].iter().find(|(_, who)| *who == 20);
    assert!(newcomer.is_some_and(|(at, _)| *at < milliseconds(600_700)));
}

#[test]
fn a_question_is_answered_by_four() {
    let mut link = Link::new(50, milliseconds(1));
    link.run_until(seconds(100));
    let before = link.said.len();
    let now = seconds(100);
    for host in &mut link.hosts {
        host.pace.hear(now, true);
    }
    link.run_until(milliseconds(102_000));
    let answers = link.said.len() - before;
    assert!((4..=6).contains(&answers), "{answers}");
}

#[test]
fn who_loses_half_of_its_neighbours_speaks_soon() {
    let mut pace = Pace::new(Duration::ZERO, 5);
    let company = |neighbours| Company {
        neighbours,
        heard: 30,
    };
    pace.company(seconds(1), company(20));
    assert!(pace.speak(pace.next().max(seconds(1))).is_some());
    pace.company(seconds(2), company(11));
    assert!(pace.next() > seconds(10));
    pace.company(seconds(3), company(9));
    assert!(pace.next() < seconds(5));
    // The greatest number is not remembered for ever.
    pace.company(seconds(700), company(9));
    assert!(pace.next() > seconds(710));
}

#[test]
fn a_flood_delays_and_ends_with_its_last_packet() {
    let mut pace = Pace::new(Duration::ZERO, 9);
    for n in 0..10_000 {
        pace.hear(milliseconds(n), false);
        assert_eq!(pace.speak(milliseconds(n)), None);
    }
    assert!(pace.next() <= milliseconds(10_000) + TAKEN_MAX + CONTENTION_MAX);
    let mut at = Duration::ZERO;
    let mut pace = Pace::new(at, 9);
    while pace.speak(at).is_none() {
        pace.hear(at, false);
        at += milliseconds(10);
        assert!(at <= PATIENCE + seconds(3), "a flood silences for ever");
    }
    assert!(at >= PATIENCE);
}
