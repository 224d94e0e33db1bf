//! Whatever becomes of messages: no more than the cap have a place at the same time, nobody is forgotten, and all come to their turn.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// One step of the clock.
const STEP_MS: u64 = 10;
/// After so many steps without an answer a question counts as lost.
const PATIENCE_STEPS: u64 = 30;

/// What befalls the questions of a host, one after the other.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Steps until it is heard, and until its answer is.
    Arrives(u64, u64),
    QuestionLost,
    AnswerLost,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => (0..4_u64, 0..4_u64).prop_map(|(there, back)| Fate::Arrives(there, back)),
        // Later than it is waited for: the next question overtakes it.
        1 => (25..80_u64, 0..4_u64).prop_map(|(there, back)| Fate::Arrives(there, back)),
        1 => Just(Fate::QuestionLost),
        1 => Just(Fate::AnswerLost),
    ]
}

/// What a host has to do: when it comes, of which class it is, and how many steps it takes.
type Work = (u64, Class, u64);

fn work() -> impl Strategy<Value = Work> {
    let class = prop_oneof![2 => Just(Class::Small), 1 => Just(Class::Zip)];
    (0..300_u64, class, 1..60_u64)
}

struct Host {
    guest: Guest,
    work: VecDeque<Work>,
    waiting: Vec<(Class, u64, u64)>,
    running: Vec<(Class, u64)>,
    asked: Option<(u64, u64)>,
    fates: Vec<Fate>,
    next_fate: usize,
    lost_in_a_row: u32,
}

enum Message {
    Question(usize, PlacesAsked, Option<u64>),
    Answer(usize, u64, PlacesTold),
}

impl Host {
    fn new(most: u16, mut work: Vec<Work>, fates: Vec<Fate>) -> Self {
        work.sort_by_key(|(comes, _, _)| *comes);
        Self {
            guest: Guest::new(most, 0),
            work: work.into(),
            waiting: Vec::new(),
            running: Vec::new(),
            asked: None,
            fates,
            next_fate: 0,
            lost_in_a_row: 0,
        }
    }

    /// Never more than four lost in a row, for a promise outlives no more.
    fn fate(&mut self) -> Fate {
        let fate = self.fates[self.next_fate % self.fates.len()];
        self.next_fate += 1;
        let arrives = matches!(fate, Fate::Arrives(there, back) if there + back < PATIENCE_STEPS);
        self.lost_in_a_row = if arrives { 0 } else { self.lost_in_a_row + 1 };
        match self.lost_in_a_row > 4 {
            true => {
                self.lost_in_a_row = 0;
                Fate::Arrives(0, 0)
            }
            false => fate,
        }
    }

    fn works(&mut self, step: u64) {
        let now = ms(step * STEP_MS);
        while let Some((_, class, takes)) = self.work.pop_front_if(|(comes, _, _)| *comes <= step) {
            self.guest.wait(now, class);
            self.waiting.push((class, step, takes));
        }
        let guest = &mut self.guest;
        self.running.retain(|(class, ends)| {
            if *ends <= step {
                guest.end(now, *class);
            }
            *ends > step
        });
        let (running, guest) = (&mut self.running, &mut self.guest);
        self.waiting.retain(|(class, _, takes)| {
            let begins = guest.begin(now, *class);
            if begins {
                guest.wait_no_more(*class);
                running.push((*class, step + takes));
            }
            !begins
        });
    }

    fn is_done(&self) -> bool {
        self.work.is_empty() && self.waiting.is_empty() && self.running.is_empty()
    }
}

fn run(most: u16, mut hosts: Vec<Host>) -> Result<(), TestCaseError> {
    let mut gatekeeper = Gatekeeper::default();
    let mut under_way: Vec<(u64, Message)> = Vec::new();
    for step in 0.. {
        let now = ms(step * STEP_MS);
        let mut due = under_way
            .extract_if(.., |(at, _)| *at <= step)
            .collect::<Vec<_>>();
        while let Some((_, message)) = due.pop() {
            match message {
                Message::Question(from, asked, back) => {
                    let from_id = who(from as u8);
                    let told = gatekeeper.ask(now, from_id, &asked, Standing::First);
                    if let (Some(told), Some(back)) = (told, back) {
                        let answer = Message::Answer(from, asked.serial, told);
                        under_way.push((step + back, answer));
                    }
                }
                Message::Answer(to, serial, told) => {
                    let host = &mut hosts[to];
                    if host.asked.take_if(|(asked, _)| *asked == serial).is_some() {
                        host.guest.hear(now, serial, &told);
                    }
                }
            }
        }
        for (index, host) in hosts.iter_mut().enumerate() {
            host.works(step);
            if let Some((serial, _)) = host.asked.take_if(|(_, at)| step >= *at + PATIENCE_STEPS) {
                host.guest.lost(serial);
            }
            if host.guest.due(now).is_some_and(|due| due <= now) {
                let asked = host.guest.ask(now);
                host.asked = Some((asked.serial, step));
                let (there, back) = match host.fate() {
                    Fate::Arrives(there, back) => (there, Some(back)),
                    Fate::AnswerLost => (0, None),
                    Fate::QuestionLost => continue,
                };
                under_way.push((step + there, Message::Question(index, asked, back)));
            }
        }
        let running = |class| {
            let all = hosts.iter().flat_map(|host| &host.running);
            all.filter(|(one, _)| *one == class).count()
        };
        let (small, zips) = (running(Class::Small), running(Class::Zip));
        prop_assert!(small + zips <= most.into(), "{small} and {zips} at {now:?}");
        prop_assert!(zips <= zips_of(most).into(), "{zips} zips at {now:?}");
        let waits = hosts.iter().flat_map(|host| &host.waiting);
        let longest = waits.map(|(_, since, _)| step - since).max();
        prop_assert!(longest.unwrap_or(0) < 60_000, "one waits for ever");
        if hosts.iter().all(Host::is_done) {
            return Ok(());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_more_than_the_cap_have_a_place_and_all_come_to_their_turn(
        most in 1..6_u16,
        hosts in proptest::collection::vec(
            (
                0..4_u16,
                proptest::collection::vec(work(), 0..12),
                proptest::collection::vec(fate(), 1..20),
            ),
            1..7,
        ),
    ) {
        let mut hosts: Vec<_> = hosts
            .into_iter()
            .map(|(more, work, fates)| Host::new(most + more, work, fates))
            .collect();
        // One at least has the smallest cap and stays in the line.
        hosts.push(Host::new(most, vec![(0, Class::Small, 1)], vec![Fate::Arrives(0, 0)]));
        // The others keep to their own, so all have the same where it is to be seen.
        for host in &mut hosts {
            host.guest = Guest::new(most, 0);
        }
        run(most, hosts)?;
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Hosts with work without end: after half a minute none has had more than twice as many places as another.
    #[test]
    fn turns_are_shared(most in 1..4_u16, takes in 5..40_u64, hosts in 2..7_usize) {
        let work: Vec<Work> = (0..1500).map(|_| (0, Class::Small, takes)).collect();
        let fates = vec![Fate::Arrives(0, 0)];
        let mut hosts: Vec<_> = (0..hosts).map(|_| Host::new(most, work.clone(), fates.clone())).collect();
        let mut gatekeeper = Gatekeeper::default();
        let mut begun = vec![0_u64; hosts.len()];
        for step in 0..3000 {
            let now = ms(step * STEP_MS);
            for (index, host) in hosts.iter_mut().enumerate() {
                let before = host.waiting.len() + host.work.len();
                host.works(step);
                begun[index] += (before - host.waiting.len() - host.work.len()) as u64 * takes;
                if host.guest.due(now).is_some_and(|due| due <= now) {
                    let asked = host.guest.ask(now);
                    let told = gatekeeper.ask(now, who(index as u8), &asked, Standing::First);
                    host.guest.hear(now, asked.serial, &told.unwrap());
                }
            }
        }
        let (least, most_had) = (begun.iter().min().unwrap(), begun.iter().max().unwrap());
        prop_assert!(most_had <= &(2 * least), "{begun:?}");
        // And the places are mostly used.
        let used: u64 = begun.iter().sum();
        prop_assert!(used * 100 >= 3000 * u64::from(most) * 70, "{used} of {}", 3000 * most);
    }
}
