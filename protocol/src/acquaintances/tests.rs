use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn told(table: &Acquaintances<u32, u32>, now: Duration) -> Vec<u32> {
    let mut peers: Vec<u32> = table.known(now).map(|one| one.peer).collect();
    peers.sort_unstable();
    peers
}

#[test]
fn who_is_told_of_is_known_until_nobody_tells_of_it_any_more() {
    let mut table = Acquaintances::default();
    assert_eq!(table.tell(SECOND, 1, [(10, 0), (11, 0)]), 2);
    assert_eq!(table.tell(2 * SECOND, 2, [(11, 0), (12, 0)]), 1);
    assert_eq!(told(&table, 2 * SECOND), [10, 11, 12]);
    let since = |peer| table.known(9 * SECOND).find(|one| one.peer == peer);
    assert_eq!(since(11).map(|one| one.since), Some(SECOND));
    let later = SECOND + ACQUAINTANCE_KEPT;
    assert_eq!(told(&table, later), [11, 12]);
    table.tell(later, 1, [(12, 0)]);
    assert_eq!((told(&table, later), table.len()), (vec![11, 12], 2));
    assert_eq!(told(&table, later + SECOND), [12]);
}

#[test]
fn who_is_called_in_vain_rests_longer_each_time_until_it_is_met() {
    let mut table = Acquaintances::default();
    table.tell(SECOND, 1, [(10, 5)]);
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
        table.tell(now, 1, [(10, 5)]);
    }
    assert_eq!(rests[0], ACQUAINTANCE_RESTS);
    assert_eq!(rests[1], 2 * ACQUAINTANCE_RESTS);
    assert_eq!(rests[11], ACQUAINTANCE_RESTS_MAX);
    // What is told of where it was missed may be where it is now.
    table.tell(now, 2, [(10, 6)]);
    assert_eq!(table.place(now, &10), Some(6));
    table.met(&10);
    table.tell(now, 2, [(10, 7)]);
    assert_eq!(table.place(now, &10), Some(6));
    table.missed(now, &10);
    assert_eq!(table.place(now + ACQUAINTANCE_RESTS, &10), Some(6));
}

#[test]
fn who_tells_of_hosts_that_are_not_there_is_not_listened_to_for_a_while() {
    let mut table = Acquaintances::default();
    table.tell(SECOND, 1, (10..60).map(|peer| (peer, 0)));
    table.tell(SECOND, 2, [(70, 0), (10, 0)]);
    table.met(&59);
    for peer in 10..10 + ACQUAINTANCES_MISSED_MAX {
        // The same one in vain again says nothing new of who told of it.
        table.missed(2 * SECOND, &peer);
        table.missed(3 * SECOND, &peer);
    }
    assert_eq!(told(&table, 9 * SECOND), [59, 70]);
    assert_eq!(table.tell(9 * SECOND, 1, [(80, 0)]), 0);
    assert_eq!(table.tell(9 * SECOND, 2, [(10, 0)]), 1);
    assert_eq!(table.tell(3 * SECOND + TELLER_RESTS, 1, [(80, 0)]), 1);
}

#[test]
fn one_that_is_met_clears_who_told_of_it() {
    let mut table = Acquaintances::default();
    table.tell(SECOND, 1, (0..200).map(|peer| (peer, 0)));
    for round in 0..10 {
        for peer in 0..ACQUAINTANCES_MISSED_MAX - 1 {
            table.missed(SECOND, &(round * 10 + peer));
        }
        table.met(&(round * 10 + 9));
    }
    assert_eq!(table.len(), 200);
}

#[test]
fn the_table_is_bounded() {
    let mut table = Acquaintances::default();
    let many = |from: usize| (from..from + 10_000).map(|peer| (peer, ()));
    assert_eq!(table.tell(SECOND, 1, many(0)), UNMET_OF_ONE_MAX);
    table.met(&0);
    for teller in 2..100 {
        table.tell(
            SECOND * teller,
            teller as usize,
            many(10_000 * teller as usize),
        );
    }
    assert_eq!(table.len(), ACQUAINTANCES_KNOWN_MAX);
    // Who was met outlasts what was only said.
    assert!(table.known(100 * SECOND).any(|one| one.peer == 0));
    for teller in 0..10_000 {
        table.tell(SECOND, 1_000_000 + teller, [(2_000_000 + teller, ())]);
        table.missed(SECOND, &(2_000_000 + teller));
    }
    assert!(table.tellers.len() <= ACQUAINTANCES_KNOWN_MAX);
}
