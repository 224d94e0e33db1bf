//! The owner's side: each story, and then whatever may happen.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const KEY: KeyHash = KeyHash([1; 32]);

fn who(number: u8) -> MemberId {
    MemberId([number; 32])
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A desk, with a ticket for each asker that has the asker's number.
#[derive(Default)]
struct Office {
    desk: Desk,
    known: Vec<MemberId>,
}

impl Office {
    fn wants(&mut self, at: u64, asker: u8, claim: Claim) -> Said {
        let want = (KEY, true, claim);
        let ticket = Ticket(asker.into());
        self.desk
            .want(ms(at), ticket, who(asker), want, &self.known)
    }

    fn says(&mut self, at: u64, asker: u8, ask: Ask) -> Said {
        self.desk.hear(ms(at), Ticket(asker.into()), &ask)
    }
}

fn progress(bytes: u64) -> Ask {
    let total = Some(100);
    Ask::Progress(Progress { bytes, total })
}

fn wait(holder: u8) -> Word {
    let holder = who(holder);
    Word::Wait { holder }
}

fn to(asker: u8, word: Word) -> (Ticket, Word) {
    (Ticket(asker.into()), word)
}

fn have(holders: &[u8]) -> Word {
    let holders = holders.iter().copied().map(who).collect();
    Word::Have { holders }
}

#[test]
fn a_holder_that_is_silent_to_everything_loses_its_lease_to_one_that_is_there() {
    let mut office = Office::default();
    assert_eq!(office.wants(0, 1, Claim::Nothing), [to(1, Word::Fetch)]);
    for asker in 2..=4 {
        let said = office.wants(0, asker, Claim::Nothing);
        assert_eq!(said, [to(asker, wait(1))]);
    }
    office.says(600, 1, progress(10));
    assert_eq!(office.desk.unheard(ms(1500)), []);
    // The network is parted: nobody hears the first two any more.
    assert_eq!(office.desk.unheard(ms(1600)), [1, 2, 3, 4].map(Ticket));
    for (asker, is_mute) in [(1, true), (2, true), (3, false), (4, false)] {
        office.desk.is_mute(Ticket(asker), is_mute);
    }
    let said = office.desk.tick(ms(1800));
    let told = [
        to(3, Word::Fetch),
        to(2, wait(3)),
        to(4, wait(3)),
        to(2, Word::Progress(Progress::default())),
    ];
    assert_eq!(said[..3], told[..3], "{said:?}");
    // Whoever says something is there.
    office.says(1900, 2, Ask::Missed { holder: who(9) });
    office.desk.is_mute(Ticket(3), true);
    office.desk.is_mute(Ticket(4), true);
    let said = office.desk.tick(ms(2000));
    assert!(said.contains(&to(2, Word::Fetch)), "{said:?}");
}

#[test]
fn a_silent_holder_is_not_expected_by_those_who_were_sent_here_by_another_owner_either() {
    let mut office = Office::default();
    let fetching = Claim::Fetching(Progress::default());
    office.wants(0, 1, fetching);
    let said = office.wants(1000, 2, Claim::WaitedFor(who(1)));
    assert_eq!(said, [to(2, wait(1))]);
    office.desk.is_mute(Ticket(1), true);
    assert!(office.desk.tick(ms(1600)).contains(&to(2, Word::Fetch)));
}

#[test]
fn of_some_that_are_all_silent_one_gets_the_lease_all_the_same() {
    let mut office = Office::default();
    office.wants(0, 1, Claim::Nothing);
    office.wants(0, 2, Claim::Nothing);
    for asker in [1, 2] {
        office.desk.is_mute(Ticket(asker), true);
    }
    assert!(!office.desk.tick(ms(1600)).contains(&to(2, Word::Fetch)));
    assert_eq!(office.desk.gone(ms(1700), Ticket(1)), [to(2, Word::Fetch)]);
}

#[test]
fn the_first_fetches_the_others_wait_and_then_have_it_from_the_first_and_from_each_other() {
    let mut office = Office::default();
    assert_eq!(office.wants(0, 1, Claim::Nothing), [to(1, Word::Fetch)]);
    for asker in 2..=4 {
        assert_eq!(office.wants(1, asker, Claim::Nothing), [to(asker, wait(1))]);
    }
    assert_eq!(office.desk.holder(&KEY), Some(who(1)));
    assert_eq!(office.desk.counts(), (1, 3));
    assert_eq!(office.says(100, 1, progress(50)), []);
    let told = Word::Progress(Progress {
        bytes: 50,
        total: Some(100),
    });
    let everybody = [2, 3, 4].map(|asker| to(asker, told.clone()));
    assert_eq!(office.desk.tick(ms(300)), everybody);
    // Two at a time are sent to one holder; the next when one of them is done, and to that one.
    let said = office.says(400, 1, Ask::Done);
    assert_eq!(
        said,
        [to(2, have(&[1])), to(3, have(&[1])), to(4, Word::Queued)]
    );
    assert_eq!(office.says(500, 2, Ask::Done), [to(4, have(&[2, 1]))]);
    assert_eq!(office.says(600, 3, Ask::Done), []);
    assert_eq!(office.says(700, 4, Ask::Done), []);
    assert!(!office.desk.is_empty());
    office.desk.tick(ms(700) + REMEMBERED + ms(1));
    assert!(office.desk.is_empty());
    assert_eq!(
        (office.desk.tickets.len(), office.desk.of_peer.len()),
        (0, 0)
    );
}

#[test]
fn a_lease_goes_on_to_the_next_when_its_holder_fails_is_gone_or_stands_still() {
    let failed = Ask::Failed { status: 404 };
    for how in ["fails", "is gone", "stands still"] {
        let mut office = Office::default();
        for asker in 1..=3 {
            office.wants(0, asker, Claim::Nothing);
        }
        office.says(100, 1, progress(10));
        let said = match how {
            "fails" => office.says(200, 1, failed.clone()),
            "is gone" => office.desk.gone(ms(200), Ticket(1)),
            _ => {
                // Words without bytes keep nothing once there were some.
                office.says(2000, 1, progress(10));
                assert_eq!(office.desk.holder(&KEY), Some(who(1)));
                office.desk.tick(ms(3100))
            }
        };
        assert_eq!(said[..2], [to(2, Word::Fetch), to(3, wait(2))], "{how}");
        // The one that stood still may come to an end all the same.
        let late = office.says(3200, 1, Ask::Done);
        let sent_there = late.iter().any(|said| *said == to(3, have(&[1])));
        assert_eq!(sent_there, how == "stands still", "{how}");
    }
}

#[test]
fn before_the_first_byte_the_word_of_the_holder_is_enough_for_a_while() {
    let mut office = Office::default();
    office.wants(0, 1, Claim::Nothing);
    office.wants(0, 2, Claim::Nothing);
    let mut at = 0;
    // It was last renewed a second before it could not be any more.
    while ms(at) < FIRST_BYTE_MAX + LEASE - ms(1000) {
        assert_eq!(office.desk.holder(&KEY), Some(who(1)), "{at}");
        at += 1000;
        office.says(at, 1, progress(0));
        office.desk.tick(ms(at));
    }
    assert_eq!(office.desk.holder(&KEY), Some(who(2)));
}

#[test]
fn who_cannot_fetch_gets_no_lease_and_is_told_when_nobody_can() {
    let mut office = Office::default();
    let cannot = |desk: &mut Desk, asker: u8| {
        let want = (KEY, false, Claim::Nothing);
        desk.want(ms(0), Ticket(asker.into()), who(asker), want, &[])
    };
    assert_eq!(cannot(&mut office.desk, 1), [to(1, Word::Nobody)]);
    assert!(office.desk.is_empty());
    office.wants(0, 2, Claim::Nothing);
    assert_eq!(cannot(&mut office.desk, 3), [to(3, wait(2))]);
    // A slow holder is better than none.
    assert!(
        office
            .desk
            .tick(ms(10_000))
            .iter()
            .all(|(_, word)| matches!(word, Word::Progress(_)))
    );
    let said = office.says(10_001, 2, Ask::Failed { status: 502 });
    assert_eq!(said, [to(3, Word::Nobody)]);
}

#[test]
fn one_that_fetches_already_is_waited_for_and_one_that_others_name_gets_time_to_come() {
    let mut office = Office::default();
    let fetching = Claim::Fetching(Progress::default());
    assert_eq!(office.wants(0, 1, fetching), [to(1, Word::Fetch)]);
    assert_eq!(
        office.wants(0, 2, Claim::WaitedFor(who(9))),
        [to(2, wait(1))]
    );

    let mut office = Office::default();
    assert_eq!(
        office.wants(0, 2, Claim::WaitedFor(who(1))),
        [to(2, wait(1))]
    );
    assert_eq!(office.wants(10, 3, Claim::Nothing), [to(3, wait(1))]);
    assert_eq!(office.wants(20, 1, fetching), [to(1, Word::Fetch)]);
    assert_eq!(office.desk.holder(&KEY), Some(who(1)));

    let mut office = Office::default();
    office.wants(0, 2, Claim::WaitedFor(who(1)));
    let grace = CLAIM_GRACE.as_millis() as u64;
    let leases = |said: Said| said.into_iter().any(|(_, word)| word == Word::Fetch);
    assert!(!leases(office.desk.tick(ms(grace - 1))));
    assert!(leases(office.desk.tick(ms(grace))));
}

#[test]
fn who_does_not_give_it_is_no_holder_any_more() {
    let mut office = Office {
        known: vec![who(8), who(9)],
        ..Office::default()
    };
    assert_eq!(office.wants(0, 1, Claim::Nothing), [to(1, have(&[8, 9]))]);
    // Somebody that was not sent there has nothing to say about it.
    assert_eq!(office.says(1, 1, Ask::Missed { holder: who(9) }), []);
    assert_eq!(
        office.says(2, 1, Ask::Missed { holder: who(8) }),
        [to(1, have(&[9]))]
    );
    assert_eq!(
        office.says(3, 1, Ask::Missed { holder: who(9) }),
        [to(1, Word::Fetch)]
    );
}

#[test]
fn a_queue_behind_holders_that_do_not_get_on_is_let_go_after_a_while() {
    let mut office = Office::default();
    for asker in 1..=5 {
        office.wants(0, asker, Claim::Nothing);
    }
    office.says(100, 1, Ask::Done);
    let place = PLACE_WAIT_MAX.as_millis() as u64;
    let sent = |said: &Said| {
        said.iter()
            .filter(|(_, word)| matches!(word, Word::Have { .. }))
            .count()
    };
    assert_eq!(sent(&office.desk.tick(ms(99 + place))), 0);
    assert_eq!(sent(&office.desk.tick(ms(100 + place))), 2);
}

/// A want of the thing with this number.
fn want(number: usize) -> (KeyHash, bool, Claim) {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&(number as u64).to_be_bytes());
    (KeyHash(key), true, Claim::Nothing)
}

/// `asker` fetches the thing with this number, and has it a millisecond later. What it was told first.
fn fetched(desk: &mut Desk, at: Duration, asker: u8, number: usize) -> Word {
    let ticket = Ticket(10_000 + number as u64);
    let said = desk.want(at, ticket, who(asker), want(number), &[]);
    desk.hear(at + ms(1), ticket, &Ask::Done);
    said[0].1.clone()
}

#[test]
fn what_one_asked_for_alone_takes_no_more_room_than_its_share() {
    let mut desk = Desk::default();
    let of = |desk: &Desk, peer: u8| {
        let alone = |thing: &&Thing| thing.alone == Some(who(peer));
        desk.things.values().filter(alone).count()
    };
    // One that asks for ever more has its own oldest ones forgotten, and nothing else.
    let others = 10 * OWNED_THINGS_MAX;
    assert_eq!(fetched(&mut desk, ms(0), 2, others), Word::Fetch);
    for number in 0..2 * OWNED_THINGS_MAX {
        let at = ms(1 + number as u64);
        assert_eq!(fetched(&mut desk, at, 1, number), Word::Fetch, "{number}");
        assert!(of(&desk, 1) <= OWNED_THINGS_PER_PEER_MAX);
    }
    assert_eq!(desk.things.len(), 1 + OWNED_THINGS_PER_PEER_MAX);
    let is_kept = |number: usize| desk.things.contains_key(&want(number).0);
    assert!(is_kept(others) && is_kept(2 * OWNED_THINGS_MAX - 1));
    assert!(!is_kept(
        2 * OWNED_THINGS_MAX - OWNED_THINGS_PER_PEER_MAX - 1
    ));

    // What somebody else wants as well is its own no more, and makes room in its share.
    let latest = 2 * OWNED_THINGS_MAX - 1;
    let at = ms(10_000);
    let said = desk.want(at, Ticket(1), who(3), want(latest), &[]);
    assert_eq!(said, [to(1, have(&[1]))]);
    assert_eq!(
        (of(&desk, 1), of(&desk, 3)),
        (OWNED_THINGS_PER_PEER_MAX - 1, 0)
    );
    desk.gone(at, Ticket(1));
    // Asked for again by the first it does not become its own again.
    desk.want(at, Ticket(2), who(1), want(latest), &[]);
    assert_eq!(of(&desk, 1), OWNED_THINGS_PER_PEER_MAX - 1);
}

#[test]
fn what_is_only_remembered_makes_room_for_what_is_asked_for() {
    let mut desk = Desk::default();
    for number in 0..OWNED_THINGS_MAX {
        let asker = 1 + (number / OWNED_THINGS_PER_PEER_MAX) as u8;
        fetched(&mut desk, ms(number as u64), asker, number);
    }
    assert_eq!(desk.things.len(), OWNED_THINGS_MAX);
    let at = ms(OWNED_THINGS_MAX as u64);
    assert_eq!(fetched(&mut desk, at, 9, OWNED_THINGS_MAX), Word::Fetch);
    assert_eq!(desk.things.len(), OWNED_THINGS_MAX);
    assert!(!desk.things.contains_key(&want(0).0) && desk.things.contains_key(&want(1).0));
}

#[test]
fn what_is_for_its_holder_alone_or_fails_twice_everybody_fetches_at_once() {
    let mut office = Office::default();
    office.wants(0, 1, Claim::Nothing);
    for asker in 2..=4 {
        office.wants(1, asker, Claim::Nothing);
    }
    let all = [2, 3, 4].map(|asker| to(asker, Word::Fetch));
    assert_eq!(office.says(10, 1, Ask::NotForOthers), all);
    assert_eq!(office.wants(20, 5, Claim::Nothing), [to(5, Word::Fetch)]);
    // Not for ever: what is for one alone today may be proven tomorrow.
    for asker in 2..=5u8 {
        office.desk.gone(ms(30), Ticket(asker.into()));
    }
    office.desk.tick(ms(40) + REMEMBERED);
    assert!(office.desk.is_empty());

    let mut office = Office::default();
    for asker in 1..=4 {
        office.wants(0, asker, Claim::Nothing);
    }
    let failed = Ask::Failed { status: 404 };
    let said = office.says(10, 1, failed.clone());
    assert_eq!(said, [to(2, Word::Fetch), to(3, wait(2)), to(4, wait(2))]);
    // Of one that was not waited for it says nothing.
    assert_eq!(office.says(15, 4, failed.clone()), []);
    assert_eq!(office.says(20, 2, failed), [to(3, Word::Fetch)]);
    assert_eq!(office.wants(25, 5, Claim::Nothing), [to(5, Word::Fetch)]);
    // Somebody got it after all.
    assert_eq!(office.says(30, 3, Ask::Done), []);
    assert_eq!(office.wants(40, 6, Claim::Nothing), [to(6, have(&[3]))]);
}

#[test]
fn the_desk_is_bounded() {
    let mut desk = Desk::default();
    let mut said = Vec::new();
    for number in 0..=OWNED_ASKERS_PER_PEER_MAX {
        said = desk.want(ms(0), Ticket(number as u64), who(1), want(number), &[]);
    }
    assert_eq!(said[0].1, Word::Busy);
    for number in OWNED_ASKERS_PER_PEER_MAX..=OWNED_THINGS_MAX {
        let asker = who(2 + (number / OWNED_ASKERS_PER_PEER_MAX) as u8);
        said = desk.want(
            ms(0),
            Ticket(1000 + number as u64),
            asker,
            want(number),
            &[],
        );
    }
    assert_eq!(said[0].1, Word::Busy);
    assert_eq!(desk.things.len(), OWNED_THINGS_MAX);
}

#[test]
fn a_lease_without_a_byte_goes_to_one_that_asks_for_it_and_back_to_the_first_that_has_something() {
    let mut office = Office::default();
    for asker in 1..=4 {
        office.wants(0, asker, Claim::Nothing);
    }
    // Too soon, for another holder.
    let leave = |office: &mut Office, asker: u8| {
        office.desk.gone(ms(1), Ticket(asker.into()));
    };
    leave(&mut office, 2);
    let waited = Claim::WaitedFor(who(1));
    assert_eq!(office.wants(1900, 2, waited), [to(2, wait(1))]);
    leave(&mut office, 2);
    assert_eq!(
        office.wants(2000, 2, Claim::WaitedFor(who(9))),
        [to(2, wait(1))]
    );
    leave(&mut office, 2);
    // Of whom nothing is heard for want of time, nobody knows that.
    assert_eq!(office.wants(2100, 2, waited), [to(2, wait(1))]);
    leave(&mut office, 2);
    let empty = Ask::Progress(Progress::default());
    office.says(2100, 1, empty.clone());
    let said = office.wants(2200, 2, waited);
    assert_eq!(said, [to(3, wait(2)), to(4, wait(2)), to(2, Word::Fetch)]);
    // The same one is not given it again, and another one not before its time.
    leave(&mut office, 3);
    assert_eq!(office.wants(2200, 3, waited), [to(3, wait(2))]);
    // The one that had it first has a byte first: it is waited for.
    assert_eq!(office.says(2300, 2, empty), []);
    assert_eq!(
        office.says(2400, 1, progress(5)),
        [to(4, wait(1)), to(3, wait(1))]
    );
    assert_eq!(office.desk.holder(&KEY), Some(who(1)));
    // Then nobody gets it any more that asks for it.
    leave(&mut office, 4);
    assert_eq!(office.wants(9000, 4, waited), [to(4, wait(1))]);
}

#[test]
fn a_holder_that_says_to_be_complete_or_begins_again_and_again_does_not_keep_its_lease() {
    let total = Some(100);
    for (what, bytes) in [
        ("complete", [100, 101, 102, 103].repeat(20)),
        ("anew", [10, 20, 10, 20].repeat(20)),
    ] {
        let mut office = Office::default();
        office.wants(0, 1, Claim::Nothing);
        office.wants(0, 2, Claim::Nothing);
        let mut granted_at = None;
        for (at, bytes) in (200..).step_by(500).zip(bytes) {
            let mut said = office.says(at, 1, Ask::Progress(Progress { bytes, total }));
            said.extend(office.desk.tick(ms(at)));
            if said.contains(&to(2, Word::Fetch)) {
                granted_at.get_or_insert(at);
            }
        }
        assert!(
            granted_at.is_some_and(|at| at < 9_000),
            "{what}: {granted_at:?}"
        );
    }
    // Whatever is said, not for ever.
    let mut office = Office::default();
    office.wants(0, 1, Claim::Nothing);
    office.wants(0, 2, Claim::Nothing);
    let total = None;
    let last = (LEASE_MAX + LEASE).as_millis() as u64 + 1000;
    for at in (0..last).step_by(1000) {
        let bytes = at;
        office.says(at, 1, Ask::Progress(Progress { bytes, total }));
        office.desk.tick(ms(at));
    }
    assert_eq!(office.desk.holder(&KEY), Some(who(2)));
}

#[test]
fn who_stood_still_gets_a_lease_again_only_where_nobody_else_can() {
    let mut office = Office::default();
    for asker in 1..=2 {
        office.wants(0, asker, Claim::Nothing);
    }
    office.says(100, 1, progress(10));
    assert_eq!(office.desk.tick(ms(3100)), [to(2, Word::Fetch)]);
    // It comes back on another stream, before others do.
    let again = (KEY, true, Claim::Nothing);
    office.desk.want(ms(3200), Ticket(11), who(1), again, &[]);
    office.wants(3300, 3, Claim::Nothing);
    office.desk.gone(ms(3400), Ticket(1));
    let said = office.desk.gone(ms(3500), Ticket(2));
    assert!(said.contains(&to(3, Word::Fetch)), "{said:?}");
}

#[test]
fn what_two_have_missed_at_a_holder_nobody_else_is_sent_there_for() {
    let mut office = Office {
        known: vec![who(8)],
        ..Office::default()
    };
    let missed = Ask::Missed { holder: who(8) };
    assert_eq!(office.wants(0, 1, Claim::Nothing), [to(1, have(&[8]))]);
    assert_eq!(office.says(100, 1, missed.clone()), [to(1, Word::Fetch)]);
    // One alone may have reasons of its own. Who missed it too waits for the lease that is in force.
    assert_eq!(office.wants(200, 2, Claim::Nothing), [to(2, have(&[8]))]);
    assert_eq!(office.says(300, 2, missed), [to(2, wait(1))]);
    assert_eq!(office.wants(400, 3, Claim::Nothing), [to(3, wait(1))]);
    // Until it has fetched it itself.
    assert_eq!(office.wants(500, 8, Claim::Nothing), [to(8, wait(1))]);
    let said = office.says(600, 8, Ask::Done);
    assert_eq!(said, [to(2, have(&[8])), to(3, have(&[8]))]);
}

#[derive(Debug, Clone)]
enum Step {
    Want(u8, bool, u8),
    Say(u8, Ask),
    Gone(u8),
    Tick(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let ask = prop_oneof![
        (0..200u64).prop_map(progress),
        Just(Ask::Done),
        (0..10u8).prop_map(|holder| Ask::Missed {
            holder: who(holder)
        }),
        Just(Ask::Failed { status: 404 }),
        Just(Ask::NotForOthers),
    ];
    prop_oneof![
        4 => (0..6u8, any::<bool>(), 0..8u8).prop_map(|(a, can, claim)| Step::Want(a, can, claim)),
        4 => (0..40u8, ask).prop_map(|(ticket, ask)| Step::Say(ticket, ask)),
        2 => (0..40u8).prop_map(Step::Gone),
        3 => (1..4000u64).prop_map(Step::Tick),
    ]
}

proptest! {
    /// Whatever is said: who asks is answered at once; a lease is granted only when none is in force, unless the thing is free; who is told to wait waits for
    /// somebody; and when all are gone nothing is left.
    #[test]
    fn a_thing_has_one_lease_and_nobody_is_forgotten(steps in prop::collection::vec(step(), 0..80)) {
        let mut desk = Desk::default();
        let (mut now, mut next) = (Duration::ZERO, 0u64);
        // Tickets that are open, and those among them that are told that they may fetch.
        let mut open: BTreeMap<u64, u8> = BTreeMap::new();
        let mut told: BTreeSet<u64> = BTreeSet::new();
        for step in steps {
            now += ms(1);
            let before = desk.holder(&KEY);
            let mut claims = false;
            let said = match step {
                Step::Want(asker, can_fetch, claim) => {
                    let claim = match claim {
                        0 => Claim::Fetching(Progress::default()),
                        1 => Claim::WaitedFor(who((asker + 1) % 6)),
                        2 => Claim::Silent(who(7)),
                        _ => Claim::Nothing,
                    };
                    claims = matches!(claim, Claim::Fetching(_) | Claim::WaitedFor(_));
                    open.insert(next, asker);
                    let want = (KEY, can_fetch, claim);
                    // Those that are said to have it, truly or not.
                    let known = [who(8), who(9)];
                    let known = &known[..usize::from(asker % 3)];
                    let said = desk.want(now, Ticket(next), who(asker), want, known);
                    prop_assert!(said.iter().any(|(ticket, _)| ticket.0 == next), "no answer");
                    next += 1;
                    said
                }
                Step::Say(ticket, ask) => {
                    let said = desk.hear(now, Ticket(ticket.into()), &ask);
                    if matches!(ask, Ask::Done | Ask::Failed { .. } | Ask::NotForOthers) {
                        open.remove(&ticket.into());
                        told.remove(&ticket.into());
                    }
                    said
                }
                Step::Gone(ticket) => {
                    open.remove(&ticket.into());
                    told.remove(&ticket.into());
                    desk.gone(now, Ticket(ticket.into()))
                }
                Step::Tick(by) => {
                    now += ms(by);
                    desk.tick(now)
                }
            };
            let mut granted = 0;
            for (ticket, word) in said {
                prop_assert!(open.contains_key(&ticket.0), "a word for {ticket:?}, which is closed");
                match word {
                    Word::Fetch if told.insert(ticket.0) && !claims => granted += 1,
                    Word::Have { holders } => {
                        prop_assert!(!holders.is_empty() && holders.len() <= HOLDERS_NAMED_MAX);
                    }
                    Word::Nobody => {
                        open.remove(&ticket.0);
                        desk.gone(now, ticket);
                    }
                    _ => {}
                }
            }
            let is_free = desk.things.get(&KEY).is_some_and(|thing| thing.is_free(now));
            prop_assert!(granted <= 1 || is_free, "{granted} leases at once");
            if granted == 1 && before.is_some() && !is_free {
                prop_assert!(desk.holder(&KEY).is_some());
            }
            let (leases, waiting) = desk.counts();
            prop_assert!(leases <= 1 && waiting <= open.len());
            prop_assert_eq!(desk.tickets.len(), open.len());
        }
        for ticket in open.into_keys() {
            desk.gone(now, Ticket(ticket));
        }
        desk.tick(now + REMEMBERED + ms(1));
        prop_assert!(desk.is_empty() && desk.tickets.is_empty() && desk.of_peer.is_empty());
    }
}
