use super::*;

const SEEDS: u64 = 12;

fn twelve() -> Scenario {
    stampede(12, 70_000_000, 20_000_000)
}

fn fifty() -> Scenario {
    stampede(50, 8_000_000, 5_000_000)
}

/// Runs it with some seeds; everybody that lives must have the file in the end.
#[track_caller]
fn runs(scenario: &Scenario) -> Vec<Outcome> {
    let outcomes: Vec<Outcome> = (0..SEEDS).map(|seed| scenario.run(seed)).collect();
    for (seed, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.without, 0, "seed {seed}: {outcome:?}");
    }
    outcomes
}

/// At a moment of the fetch, in seconds.
fn with(mut scenario: Scenario, troubles: &[(u64, Trouble)]) -> Scenario {
    let at = |(seconds, trouble): &(u64, Trouble)| (Duration::from_secs(*seconds), *trouble);
    scenario.troubles = troubles.iter().map(at).collect();
    scenario
}

#[test]
fn the_same_seed_gives_the_same_outcome() {
    let scenario = with(fifty(), &[(4, Trouble::HolderDies)]);
    let seen = |seed| format!("{:?}", scenario.run(seed));
    assert_eq!(seen(3), seen(3));
    assert_ne!(seen(3), seen(4));
}

#[test]
fn one_host_fetches_and_all_others_have_it_from_it() {
    for scenario in [twelve(), fifty()] {
        for outcome in runs(&scenario) {
            assert_eq!(outcome.fetches, 1);
            assert_eq!(outcome.blamed, 0);
            let last = outcome.done.last().unwrap().as_secs_f64();
            let alone = scenario.alone().as_secs_f64();
            assert!(last < 1.5 * alone, "{last} s, alone {alone} s");
        }
    }
}

#[test]
fn it_is_one_fetch_too_where_nobody_knows_the_pace_and_where_messages_are_lost() {
    let unknown = Scenario {
        knows_pace: false,
        ..fifty()
    };
    assert!(runs(&unknown).iter().all(|outcome| outcome.fetches == 1));
    let lossy = Scenario {
        lost_per_thousand: 20,
        ..fifty()
    };
    let worst = runs(&lossy).iter().map(|outcome| outcome.fetches).max();
    assert!(worst <= Some(3), "{worst:?}");
}

#[test]
fn it_is_one_fetch_too_where_all_hosts_are_busy_at_first_and_answer_late() {
    let busy = Scenario {
        busy_for: Duration::from_secs(3),
        busy_delay_max: Duration::from_millis(200),
        ..fifty()
    };
    let fetches: Vec<usize> = runs(&busy).iter().map(|outcome| outcome.fetches).collect();
    assert!(fetches.iter().all(|fetches| *fetches == 1), "{fetches:?}");
}

#[test]
fn who_dies_costs_one_more_fetch_and_no_client_its_file() {
    let all = [
        (4, Trouble::HolderDies),
        (6, Trouble::OwnerDies),
        (8, Trouble::OthersDie(100)),
    ];
    for troubles in [
        &[(5, Trouble::HolderDies)][..],
        &[(5, Trouble::OwnerDies)],
        &[(5, Trouble::OwnerFallsSilent)],
        &[(5, Trouble::OthersDie(100))],
        &all,
    ] {
        let worst = runs(&with(fifty(), troubles));
        let worst = worst.iter().map(|outcome| outcome.fetches).max();
        assert!(worst <= Some(3), "{troubles:?}: {worst:?}");
    }
}

#[test]
fn an_owner_that_says_wait_for_ever_costs_as_long_as_one_would_take_oneself_and_two_seconds() {
    let scenario = with(fifty(), &[(0, Trouble::OwnerLies)]);
    for outcome in runs(&scenario) {
        assert!(outcome.fetches <= 2 && outcome.blamed > 0, "{outcome:?}");
        // Then comes what is the case without a liar.
        let alone = scenario.alone().as_secs_f64();
        let last = outcome.done.last().unwrap().as_secs_f64();
        assert!(
            last < alone + 2.0 + 1.5 * alone,
            "{last} s, alone {alone} s"
        );
    }
}

#[test]
fn either_side_of_a_partition_fetches_once_as_long_as_it_has_an_owner() {
    for parts in [0, 5] {
        let scenario = with(fifty(), &[(parts, Trouble::Parts), (30, Trouble::Heals)]);
        let outcomes: Vec<Outcome> = (0..SEEDS).map(|seed| scenario.run(seed)).collect();
        let few = outcomes.iter().filter(|o| o.fetches <= 4).count();
        // Where all six owners are on one side, each host of the other is on its own.
        assert!(few >= 8, "{few} of {SEEDS}");
    }
}

#[test]
fn two_thousand_hosts_are_no_more_trouble_than_fifty() {
    let scenario = Scenario {
        hosts: 2000,
        ..fifty()
    };
    let outcome = scenario.run(1);
    assert_eq!((outcome.fetches, outcome.without), (1, 0));
    assert!(
        outcome.message_bytes / 2000 < 4000,
        "{}",
        outcome.message_bytes
    );
}

#[test]
fn an_upstream_that_is_slow_to_begin_for_once_is_tried_by_few_and_costs_no_owner_its_name() {
    for (seconds, fetches_max) in [(4, 1), (10, 6)] {
        let cold = Scenario {
            upstream_delay: Duration::from_secs(seconds),
            ..fifty()
        };
        for outcome in runs(&cold) {
            assert!(outcome.fetches <= fetches_max, "{seconds} s: {outcome:?}");
            assert_eq!(outcome.blamed, 0, "{seconds} s: {outcome:?}");
        }
    }
}
