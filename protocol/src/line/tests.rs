//! The line: each story, and then whatever may happen to messages.

mod loss;

use super::*;
use crate::lease::MemberId;

fn who(number: u8) -> MemberId {
    MemberId([number; 32])
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn load(small: u16, zips: u16) -> Load {
    Load { small, zips }
}

/// A gatekeeper that is asked, and the serials of those who ask.
#[derive(Default)]
struct Line {
    gatekeeper: Gatekeeper,
    serial: u64,
}

impl Line {
    fn asks(&mut self, at: u64, host: u8, most: u16, holds: Load, wants: Load) -> PlacesTold {
        self.asks_as(at, host, most, (holds, wants), Standing::First)
    }

    fn asks_as(
        &mut self,
        at: u64,
        host: u8,
        most: u16,
        (holds, wants): (Load, Load),
        standing: Standing,
    ) -> PlacesTold {
        self.serial += 1;
        let asked = PlacesAsked {
            serial: self.serial,
            most,
            holds,
            wants,
        };
        let told = self.gatekeeper.ask(ms(at), who(host), &asked, standing);
        told.unwrap()
    }
}

const NONE: Load = Load { small: 0, zips: 0 };

#[test]
fn the_places_of_zips_leave_one_to_small_answers() {
    let zips: Vec<u16> = (0..=9).map(zips_of).collect();
    assert_eq!(zips, [0, 1, 1, 2, 3, 4, 5, 6, 6, 7]);
    assert_eq!([share_of(8, 3), share_of(2, 6), share_of(2, 0)], [2, 1, 2]);
}

#[test]
fn one_host_alone_has_all_places() {
    let mut line = Line::default();
    assert_eq!(line.asks(0, 1, 4, NONE, load(9, 0)).may, load(4, 0));
    // It is to end three before zips come to them.
    assert_eq!(line.asks(10, 1, 4, load(4, 0), load(5, 9)).may, load(1, 0));
    assert_eq!(line.asks(15, 1, 4, load(1, 0), load(5, 9)).may, load(1, 3));
    assert_eq!(line.asks(20, 1, 4, NONE, load(0, 9)).may, load(0, 3));
    assert_eq!(line.asks(30, 1, 1, NONE, load(0, 9)).may, load(0, 1));
    assert_eq!(line.asks(40, 1, 1, NONE, load(1, 9)).may, load(1, 0));
}

#[test]
fn each_has_one_before_anybody_has_a_second() {
    let mut line = Line::default();
    // All four, while nobody else is there.
    assert_eq!(line.asks(0, 1, 4, NONE, load(9, 0)).may, load(4, 0));
    let told = line.asks(1, 2, 4, NONE, load(9, 0));
    assert_eq!(told.may, NONE);
    assert!(told.ask_again_ms <= 60 && told.hosts == 2);
    // The first is told to end two of them, and has ended one.
    assert_eq!(line.asks(2, 1, 4, load(4, 0), load(5, 0)).may, load(2, 0));
    assert_eq!(line.asks(50, 2, 4, NONE, load(9, 0)).may, NONE);
    assert_eq!(line.asks(60, 1, 4, load(3, 0), load(5, 0)).may, load(2, 0));
    assert_eq!(line.asks(70, 2, 4, NONE, load(9, 0)).may, load(1, 0));
    assert_eq!(line.asks(80, 1, 4, load(2, 0), load(5, 0)).may, load(2, 0));
    assert_eq!(line.asks(90, 2, 4, load(1, 0), load(8, 0)).may, load(2, 0));
}

#[test]
fn who_has_had_its_turn_goes_behind_those_that_wait() {
    let mut line = Line::default();
    assert_eq!(line.asks(0, 1, 1, NONE, load(5, 0)).may, load(1, 0));
    assert_eq!(line.asks(1, 2, 1, NONE, load(5, 0)).may, NONE);
    assert_eq!(line.asks(2, 3, 1, NONE, load(5, 0)).may, NONE);
    assert_eq!(line.asks(900, 1, 1, load(1, 0), load(4, 0)).may, load(1, 0));
    for (at, host) in [(901, 2), (902, 3)] {
        assert_eq!(line.asks(at, host, 1, NONE, load(5, 0)).may, NONE);
    }
    // Its second is over: it ends what it has and begins nothing.
    assert_eq!(line.asks(1000, 1, 1, load(1, 0), load(3, 0)).may, NONE);
    assert_eq!(line.asks(1010, 3, 1, NONE, load(5, 0)).may, NONE);
    assert_eq!(line.asks(1020, 1, 1, NONE, load(3, 0)).may, NONE);
    // The one that has waited longest, whoever asks first.
    assert_eq!(line.asks(1030, 3, 1, NONE, load(5, 0)).may, NONE);
    assert_eq!(line.asks(1040, 2, 1, NONE, load(5, 0)).may, load(1, 0));
    assert_eq!(line.asks(1050, 1, 1, NONE, load(3, 0)).may, NONE);
    assert_eq!(line.asks(1060, 2, 1, NONE, NONE).may, NONE);
    assert_eq!(line.asks(1070, 1, 1, NONE, load(3, 0)).may, NONE);
    assert_eq!(line.asks(1080, 3, 1, NONE, load(5, 0)).may, load(1, 0));
}

#[test]
fn zips_never_take_the_last_place_of_two() {
    let mut line = Line::default();
    assert_eq!(line.asks(0, 1, 2, NONE, load(0, 5)).may, load(0, 1));
    assert_eq!(line.asks(1, 2, 2, NONE, load(0, 5)).may, NONE);
    assert_eq!(line.asks(2, 3, 2, NONE, load(5, 0)).may, load(1, 0));
    assert_eq!(line.asks(3, 3, 2, NONE, NONE).may, NONE);
    // Where no zip is wanted small answers have them all.
    assert_eq!(line.asks(4, 1, 2, NONE, NONE).may, NONE);
    assert_eq!(line.asks(5, 2, 2, NONE, NONE).may, NONE);
    assert_eq!(line.asks(6, 3, 2, NONE, load(5, 0)).may, load(2, 0));
}

#[test]
fn the_smallest_cap_counts_while_its_host_is_in_the_line() {
    let mut line = Line::default();
    assert_eq!(line.asks(0, 1, 6, NONE, load(2, 0)).most, 6);
    let told = line.asks(1, 2, 3, NONE, load(9, 0));
    assert_eq!((told.may, told.most), (load(1, 0), 3));
    assert_eq!(line.asks(2, 1, 6, load(2, 0), load(4, 0)).may, load(2, 0));
    assert_eq!(line.asks(3, 2, 3, NONE, NONE).most, 3);
    // It has said that it wants nothing and is forgotten a moment later.
    assert_eq!(
        line.asks(1900, 1, 6, load(2, 0), load(9, 0)).may,
        load(6, 0)
    );
}

#[test]
fn the_places_of_one_that_has_died_come_back() {
    let mut line = Line::default();
    assert_eq!(line.asks(0, 1, 1, NONE, load(1, 0)).may, load(1, 0));
    for at in [100, 1500, 2900] {
        assert_eq!(line.asks(at, 2, 1, NONE, load(1, 0)).may, NONE, "{at}");
    }
    assert_eq!(line.asks(3000, 2, 1, NONE, load(1, 0)).may, load(1, 0));
    assert_eq!(line.gatekeeper.counts(ms(3000)), (1, 1));
    assert_eq!(line.gatekeeper.counts(ms(6000)), (0, 0));
}

#[test]
fn one_that_waits_and_has_died_holds_up_nobody() {
    let mut line = Line::default();
    assert_eq!(line.asks(0, 1, 1, NONE, load(1, 0)).may, load(1, 0));
    assert_eq!(line.asks(1, 2, 1, NONE, load(1, 0)).may, NONE);
    assert_eq!(line.asks(2, 3, 1, NONE, load(1, 0)).may, NONE);
    assert_eq!(line.asks(10, 1, 1, NONE, NONE).may, NONE);
    assert_eq!(line.asks(500, 3, 1, NONE, load(1, 0)).may, NONE);
    assert_eq!(line.asks(800, 3, 1, NONE, load(1, 0)).may, load(1, 0));
}

#[test]
fn who_follows_another_waits_for_those_that_hold_its_places() {
    let mut line = Line::default();
    let since = Standing::FirstSince(ms(10_000));
    let wants = (NONE, load(1, 0));
    let told = line.asks_as(10_100, 1, 2, wants, since);
    assert_eq!((told.may, told.ask_again_ms), (NONE, 1000));
    let holds = (load(1, 1), load(3, 0));
    assert_eq!(line.asks_as(11_000, 2, 2, holds, since).may, load(1, 1));
    assert_eq!(line.asks_as(12_600, 1, 2, wants, since).may, NONE);
    let one_ended = (load(0, 1), NONE);
    assert_eq!(line.asks_as(12_700, 2, 2, one_ended, since).may, load(0, 1));
    assert_eq!(line.asks_as(12_750, 1, 2, wants, since).may, load(1, 0));
}

#[test]
fn who_stands_in_settles_when_the_first_comes_to_it() {
    let mut line = Line::default();
    let stands_in = Standing::StandsIn;
    let wants = (NONE, load(1, 0));
    assert_eq!(line.asks_as(100, 1, 2, wants, stands_in).may, NONE);
    assert_eq!(line.asks_as(1100, 1, 2, wants, stands_in).may, NONE);
    assert_eq!(line.asks_as(2100, 1, 2, wants, stands_in).may, NONE);
    assert_eq!(line.asks_as(2600, 1, 2, wants, stands_in).may, load(1, 0));
    assert_eq!(line.asks_as(2601, 2, 2, wants, stands_in).may, load(1, 0));
}

#[test]
fn what_comes_late_counts_for_nothing() {
    let mut gatekeeper = Gatekeeper::default();
    let mut asks = |serial, holds, wants| {
        let asked = PlacesAsked {
            serial,
            most: 2,
            holds,
            wants,
        };
        let told = gatekeeper.ask(ms(serial), who(1), &asked, Standing::First);
        told.unwrap().may
    };
    assert_eq!(asks(7, load(1, 0), load(1, 0)), load(2, 0));
    assert_eq!(asks(6, NONE, NONE), load(2, 0));
    assert_eq!(asks(7, NONE, NONE), load(2, 0));
    assert_eq!(asks(8, load(2, 0), NONE), load(2, 0));
}

#[test]
fn numbers_that_cannot_be_are_no_trouble() {
    let mut line = Line::default();
    let all = load(u16::MAX, u16::MAX);
    for (at, host, most) in [(0, 1, 0), (1, 2, u16::MAX), (2, 3, 1)] {
        let told = line.asks(at, host, most, all, all);
        assert!(told.may.sum() <= PLACES_MAX, "{told:?}");
        assert!(told.most <= PLACES_MAX && told.most >= 1);
    }
    let mut guest = Guest::new(0, u64::from(u32::MAX));
    guest.wait(ms(0), Class::Zip);
    let asked = guest.ask(ms(0));
    let told = PlacesTold {
        may: all,
        ask_again_ms: u32::MAX,
        most: 0,
        hosts: 0,
    };
    guest.hear(ms(1), asked.serial, &told);
    assert!(guest.begin(ms(2), Class::Zip) && !guest.begin(ms(2), Class::Zip));
    assert!(!guest.begin(ms(2), Class::Small));
    assert!(guest.due(ms(2)).unwrap() <= ms(1002));
}

#[test]
fn more_hosts_than_can_be_remembered_are_told_nothing() {
    let mut gatekeeper = Gatekeeper::default();
    let asked = PlacesAsked {
        serial: 1,
        most: 2,
        holds: NONE,
        wants: load(1, 0),
    };
    let mut told = 0;
    for number in 0..2000_u16 {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&number.to_be_bytes());
        let answer = gatekeeper.ask(ms(1), MemberId(id), &asked, Standing::First);
        told += usize::from(answer.is_some());
    }
    assert_eq!(told, 1024);
    assert_eq!(gatekeeper.counts(ms(1)), (2, 1024));
}

fn told(may: Load) -> PlacesTold {
    PlacesTold {
        may,
        ask_again_ms: 50,
        most: 4,
        hosts: 2,
    }
}

#[test]
fn a_guest_asks_when_something_waits_and_while_it_has_something() {
    let mut guest = Guest::new(4, 0);
    assert_eq!(guest.due(ms(0)), None);
    guest.wait(ms(5), Class::Small);
    assert!(!guest.begin(ms(5), Class::Small));
    assert_eq!(guest.due(ms(5)), Some(ms(5)));
    let asked = guest.ask(ms(5));
    assert_eq!((asked.holds, asked.wants), (NONE, load(1, 0)));
    assert_eq!(guest.due(ms(5)), None);
    guest.hear(ms(6), asked.serial, &told(NONE));
    assert_eq!(guest.due(ms(6)), Some(ms(56)));
    let asked = guest.ask(ms(56));
    guest.hear(ms(57), asked.serial, &told(load(1, 0)));
    assert!(guest.begin(ms(57), Class::Small));
    guest.wait_no_more(Class::Small);
    assert!(!guest.begin(ms(57), Class::Small) && !guest.begin(ms(57), Class::Zip));
    assert_eq!(guest.due(ms(57)), Some(ms(1056)));
    // One that ends is followed by the next without a question, within what was promised.
    guest.end(ms(100), Class::Small);
    assert!(guest.begin(ms(101), Class::Small));
    guest.end(ms(120), Class::Small);
    // What is not used for a moment is given back.
    assert_eq!(guest.due(ms(121)), Some(ms(170)));
    let asked = guest.ask(ms(170));
    guest.hear(ms(171), asked.serial, &told(NONE));
    assert_eq!(guest.due(ms(171)), None);
}

#[test]
fn a_guest_begins_nothing_new_while_it_is_not_known_what_it_may_have() {
    let mut guest = Guest::new(4, 0);
    for _ in 0..3 {
        guest.wait(ms(0), Class::Small);
    }
    let asked = guest.ask(ms(0));
    guest.hear(ms(1), asked.serial, &told(load(3, 0)));
    assert!(guest.begin(ms(1), Class::Small));
    let asked = guest.ask(ms(500));
    assert!(!guest.begin(ms(500), Class::Small));
    // In the place of one that ended it may.
    guest.end(ms(501), Class::Small);
    assert!(guest.begin(ms(501), Class::Small));
    guest.lost(asked.serial);
    assert!(!guest.begin(ms(502), Class::Small));
    // An answer that comes too late is none.
    guest.hear(ms(503), asked.serial, &told(load(3, 0)));
    assert!(!guest.begin(ms(503), Class::Small));
    assert_eq!(guest.due(ms(503)), Some(ms(510)));
    // Nor is a promise that is over, counted from the question.
    let asked = guest.ask(ms(600));
    guest.hear(ms(1599), asked.serial, &told(load(3, 0)));
    assert_eq!(guest.load(ms(3349)).2, load(3, 0));
    assert_eq!(guest.load(ms(3350)).2, NONE);
}

#[test]
fn nobody_waits_longer_than_is_written_down() {
    let mut guest = Guest::new(1, 0);
    for (class, most) in [(Class::Small, 10_000), (Class::Zip, 30_000)] {
        guest.wait(ms(500), class);
        assert_eq!(guest.in_vain_at(class), Some(ms(500 + most)));
        assert!(!guest.begin_in_vain(ms(499 + most), class));
        assert!(guest.begin_in_vain(ms(500 + most), class));
        // The next waits as long once more.
        assert!(!guest.begin_in_vain(ms(500 + most), class));
        guest.wait_no_more(class);
        assert_eq!(guest.in_vain_at(class), None);
    }
    assert_eq!(guest.load(ms(40_000)).0, load(1, 1));
}
