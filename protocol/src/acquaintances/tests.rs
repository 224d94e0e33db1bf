use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// Two that say the same.
const TELLERS: [u32; 2] = [1, 2];

fn told<T: Copy + Eq + std::hash::Hash>(
    table: &Acquaintances<u32, T, u32>,
    now: Duration,
) -> Vec<u32> {
    let mut peers: Vec<u32> = table.known(now).map(|one| one.peer).collect();
    peers.sort_unstable();
    peers
}

fn tell_by_two(
    table: &mut Acquaintances<u32, u32, u32>,
    now: Duration,
    hosts: impl Iterator<Item = (u32, u32)> + Clone,
) {
    for teller in TELLERS {
        table.tell(now, teller, hosts.clone());
    }
}

#[test]
fn of_whom_two_tell_is_known_until_nobody_tells_of_it_any_more() {
    let mut table = Acquaintances::default();
    assert_eq!(table.tell(SECOND, 1, [(10, 0), (11, 0)]), 2);
    assert!(told(&table, SECOND).is_empty());
    // The same one twice is one.
    table.tell(SECOND, 1, [(10, 0)]);
    assert!(told(&table, SECOND).is_empty());
    assert_eq!(table.tell(2 * SECOND, 2, [(11, 0), (10, 7), (12, 0)]), 1);
    assert_eq!(told(&table, 2 * SECOND), [11]);
    let since = |peer| table.known(9 * SECOND).find(|one| one.peer == peer);
    assert_eq!(since(11).map(|one| one.since), Some(SECOND));
    // A third word decides where it is.
    table.tell(3 * SECOND, 3, [(10, 7)]);
    assert_eq!(table.place(3 * SECOND, &10), Some(7));
    let later = 2 * SECOND + ACQUAINTANCE_KEPT;
    assert_eq!(told(&table, later), [10]);
    table.tell(later, 1, [(12, 0)]);
    assert_eq!((told(&table, later), table.len()), (vec![10], 2));
    assert!(told(&table, later + SECOND).is_empty());
    table.met(later, &10);
    assert_eq!(told(&table, later + SECOND), [10]);
    table.forget(&10);
    assert_eq!(table.place(later, &10), None);
}

#[test]
fn the_latest_two_that_agree_count() {
    let mut table = Acquaintances::default();
    for (teller, place) in [(1, 5), (2, 5), (3, 6), (4, 6), (5, 5)] {
        table.tell(SECOND, teller, [(10, place)]);
    }
    assert_eq!(table.place(SECOND, &10), Some(6));
    table.met(SECOND, &10);
    for teller in [1, 2] {
        table.tell(SECOND, teller, [(10, 5)]);
    }
    // Where it was met counts for more, until it is missed there.
    assert_eq!(table.place(SECOND, &10), Some(6));
    table.missed(SECOND, &10);
    assert_eq!(table.place(SECOND + ACQUAINTANCE_RESTS, &10), Some(5));
}

#[test]
fn who_is_called_in_vain_rests_longer_each_time_until_it_is_met() {
    let mut table = Acquaintances::default();
    tell_by_two(&mut table, SECOND, [(10, 5)].into_iter());
    let mut now = SECOND;
    let mut rests = Vec::new();
    for _ in 0..12 {
        table.missed(now, &10);
        assert_eq!((table.place(now, &10), told(&table, now)), (None, vec![]));
        let began = now;
        while table.place(now, &10).is_none() {
            now += SECOND;
        }
        rests.push(now - began);
        tell_by_two(&mut table, now, [(10, 5)].into_iter());
    }
    assert_eq!(rests[0], ACQUAINTANCE_RESTS);
    assert_eq!(rests[1], 2 * ACQUAINTANCE_RESTS);
    assert_eq!(rests[11], ACQUAINTANCE_RESTS_MAX);
    table.met(now, &10);
    table.declined(now, &10);
    assert_eq!(table.place(now, &10), None);
    assert_eq!(table.place(now + ACQUAINTANCE_RESTS, &10), Some(5));
}

#[test]
fn who_tells_of_hosts_that_are_not_there_is_not_listened_to_for_a_while() {
    let mut table = Acquaintances::default();
    tell_by_two(&mut table, SECOND, (10..60).map(|peer| (peer, 0)));
    table.tell(SECOND, 3, [(70, 0), (10, 0)]);
    table.met(SECOND, &59);
    // One that is there and is full is nobody's fault.
    (40..59).for_each(|peer| table.declined(SECOND, &peer));
    for peer in 10..10 + ACQUAINTANCES_MISSED_MAX {
        assert_eq!(table.tell(2 * SECOND, 1, [(11, 0)]), 0);
        // The same one in vain again says nothing new of who told of it.
        table.missed(2 * SECOND, &peer);
        table.missed(3 * SECOND, &peer);
    }
    assert_eq!(told(&table, 9 * SECOND), [59]);
    assert_eq!(table.len(), 3);
    assert_eq!(table.tell(9 * SECOND, 1, [(80, 0)]), 0);
    assert_eq!(table.tell(9 * SECOND, 3, [(80, 0)]), 1);
    assert_eq!(table.tell(3 * SECOND + TELLER_RESTS, 1, [(81, 0)]), 1);
}

#[test]
fn one_that_is_met_makes_up_for_one_that_is_missed_and_no_more() {
    let mut table = Acquaintances::default();
    tell_by_two(&mut table, SECOND, (0..200).map(|peer| (peer, 0)));
    for peer in 0..100 {
        table.missed(SECOND, &(2 * peer));
        table.met(SECOND, &(2 * peer + 1));
    }
    assert_eq!(table.len(), 200);
    let mut table = Acquaintances::default();
    tell_by_two(&mut table, SECOND, (0..70).map(|peer| (peer, 0)));
    for peer in 0..70 {
        match peer % 7 {
            6 => table.met(SECOND, &peer),
            _ => table.missed(SECOND, &peer),
        }
    }
    assert!(table.len() < 20, "{}", table.len());
}

#[test]
fn the_table_is_bounded() {
    let mut table = Acquaintances::default();
    let many = |from: u32| (from..from + 10_000).map(|peer| (peer, 0));
    assert_eq!(table.tell(SECOND, 1, many(0)), UNSHARED_OF_ONE_MAX);
    table.tell(SECOND, 2, [(0, 0)]);
    table.met(SECOND, &0);
    for teller in 2..100 {
        table.tell(SECOND * teller, teller, many(10_000 * teller));
    }
    assert_eq!(table.len(), ACQUAINTANCES_KNOWN_MAX);
    // Who was met outlasts what was only said.
    assert_eq!(told(&table, 100 * SECOND), [0]);
    for teller in 0..10_000 {
        let peer = 2_000_000 + teller;
        for other in [1_000_000, 5_000_000] {
            table.tell(SECOND, other + teller, [(peer, 0)]);
        }
        table.missed(SECOND, &peer);
    }
    assert!(table.tellers.len() <= ACQUAINTANCES_KNOWN_MAX + 1);
}

#[test]
fn who_rests_is_counted_and_who_is_in_another_network_is_forgotten() {
    let mut table = Acquaintances::default();
    tell_by_two(&mut table, SECOND, [(10, 5), (11, 5), (12, 6)].into_iter());
    table.met(SECOND, &11);
    table.declined(SECOND, &10);
    let resting = |now| {
        let rests = |one: &Acquainted<_, _>| one.standing == Standing::Rests;
        table.all(now).filter(rests).count()
    };
    assert_eq!(resting(SECOND), 1);
    assert_eq!(resting(SECOND + ACQUAINTANCE_RESTS), 0);
    // One that is said to be at two places is still said to be at the other.
    table.tell(SECOND, 3, [(11, 6)]);
    table.retain(|place| *place == 6);
    assert_eq!((told(&table, SECOND), table.len()), (vec![12], 2));
    table.retain(|_| false);
    assert!(table.is_empty());
}

#[test]
fn who_comes_itself_counts_until_it_is_missed_where_it_says_to_listen() {
    let mut table = Acquaintances::default();
    table.tell(SECOND, 1, [(10, 5)]);
    let standing = |table: &Acquaintances<u32, u32, u32>, now| {
        let of_it = table.all(now).find(|one| one.peer == 10);
        of_it.map(|one| (one.place, one.standing, one.is_met))
    };
    assert_eq!(
        standing(&table, SECOND),
        Some((5, Standing::OneWord, false))
    );
    assert_eq!(table.place(SECOND, &10), None);
    assert_eq!(table.best_place(SECOND, &10), Some(5));
    table.came(SECOND, 7, 10, 6);
    assert_eq!(standing(&table, SECOND), Some((6, Standing::Counts, true)));
    assert_eq!(table.place(SECOND, &10), Some(6));
    // Nobody is to blame when it is missed there.
    for now in [SECOND, 2 * SECOND] {
        table.missed(now, &10);
        table.came(now, 7, 10, 6);
        assert_eq!(standing(&table, now).map(|it| it.1), Some(Standing::Rests));
    }
    assert!(table.tellers.is_empty());
    let later = 2 * SECOND + 2 * ACQUAINTANCE_RESTS;
    assert_eq!(table.best_place(later - SECOND, &10), None);
    assert_eq!(table.place(later, &10), Some(6));
}

#[test]
fn of_one_address_only_so_many_are_known_by_coming() {
    let mut table = Acquaintances::default();
    let many = 10 * UNPROVEN_PER_ADDRESS_MAX as u32;
    table.came(SECOND, 2, 5000, 5);
    table.came(SECOND, 1, 0, 1);
    table.met(SECOND, &0);
    for peer in 1..many {
        table.came(SECOND * peer, 1, peer, 1);
        table.came(SECOND * peer, 1, peer, 1);
    }
    assert_eq!(table.len(), 2 + UNPROVEN_PER_ADDRESS_MAX);
    let now = SECOND * many;
    assert!(told(&table, now).starts_with(&[0, many - UNPROVEN_PER_ADDRESS_MAX as u32]));
    // Who was met when it was called is one of them no more, nor is it when it comes again.
    table.came(now, 1, 0, 1);
    assert_eq!(table.len(), 2 + UNPROVEN_PER_ADDRESS_MAX);
}

#[test]
fn somebody_is_there_until_the_last_few_were_all_missed() {
    let mut table = Acquaintances::default();
    tell_by_two(&mut table, SECOND, (0..20).map(|peer| (peer, 0)));
    table.missed(SECOND, &0);
    assert!(!table.is_anybody_there());
    table.met(SECOND, &1);
    for peer in 2..2 + ALL_MISSED {
        assert!(table.is_anybody_there());
        table.missed(SECOND, &peer);
    }
    assert!(!table.is_anybody_there());
    table.met(SECOND, &9);
    assert!(table.is_anybody_there());
}
