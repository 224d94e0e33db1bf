//! The asker's side, story by story.

use super::*;

fn who(number: u8) -> MemberId {
    MemberId([number; 32])
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// An asker whose owners are 1, 2 and 3.
fn begin(can_fetch: bool) -> Asker {
    let mut owners = [None; OWNERS];
    for (owner, number) in owners.iter_mut().zip(1..=3) {
        *owner = Some(who(number));
    }
    let (asker, acts) = Asker::begin(
        ms(0),
        Circumstances {
            key: KeyHash([9; 32]),
            owners,
            can_fetch,
            round_trip: ms(1),
        },
    );
    assert_eq!(acts, [opens(0, can_fetch, Claim::Nothing)]);
    asker
}

fn opens(at: usize, can_fetch: bool, claim: Claim) -> Act {
    let key = [9; 32];
    let want = Ask::Want {
        key,
        can_fetch,
        claim,
    };
    Act::Open(at, want)
}

fn wait(holder: u8) -> Word {
    let holder = who(holder);
    Word::Wait { holder }
}

fn so_far(bytes: u64) -> Word {
    let total = Some(1_000_000);
    Word::Progress(Progress { bytes, total })
}

/// A road on which this host would need ten seconds for a million bytes.
fn road() -> Road {
    Road {
        pace: Some(100_000.0),
        first_byte: Some(ms(100)),
    }
}

/// What is first done in the ticks of this time, with the word that comes before each of them.
fn pass(
    asker: &mut Asker,
    from: u64,
    to: u64,
    word: impl Fn(u64) -> Option<Word>,
) -> Vec<(u64, Act)> {
    let mut done = Vec::new();
    for at in (from..to).step_by(200) {
        let mut acts = word(at).map_or_else(Vec::new, |word| asker.hear(ms(at), 0, word));
        acts.extend(asker.tick(ms(at), &road()));
        done.extend(acts.into_iter().map(|act| (at, act)));
        if !done.is_empty() {
            break;
        }
    }
    done
}

const FETCHING: Claim = Claim::Fetching(Progress {
    bytes: 0,
    total: None,
});

#[test]
fn who_gets_the_lease_shows_it_to_the_next_owner_and_tells_both_how_it_goes() {
    let mut asker = begin(true);
    let acts = asker.hear(ms(1), 0, Word::Fetch);
    assert_eq!(acts, [Act::Fetch, opens(1, true, FETCHING)]);
    let progress = Progress {
        bytes: 5,
        total: None,
    };
    assert_eq!(asker.fetched(ms(100), Fetched::SoFar(progress)), []);
    let told = asker.fetched(ms(201), Fetched::SoFar(progress));
    let say = |ask: Ask| [Act::Say(0, ask.clone()), Act::Say(1, ask)];
    assert_eq!(told, say(Ask::Progress(progress)));
    // Also while no byte comes.
    assert_eq!(asker.tick(ms(401), &road()), say(Ask::Progress(progress)));
    // What the second owner says to it changes nothing.
    assert_eq!(asker.hear(ms(402), 1, wait(7)), []);
    let mut acts = say(Ask::Done).to_vec();
    acts.extend([Act::Close(0), Act::Close(1)]);
    assert_eq!(asker.fetched(ms(500), Fetched::Here), acts);
    assert!(asker.is_over());
}

#[test]
fn silent_owners_are_passed_over_and_then_one_fetches_alone_and_says_so() {
    let mut asker = begin(true);
    assert_eq!(asker.tick(ms(99), &road()), []);
    let silent = |owner: u8| Claim::Silent(who(owner));
    let passed = |at: usize| [opens(at + 1, true, silent(at as u8 + 1))];
    assert_eq!(asker.tick(ms(100), &road()), passed(0));
    assert_eq!(asker.tick(ms(200), &road()), passed(1));
    let acts = asker.tick(ms(300), &road());
    let alone = [
        Act::Fetch,
        Act::Close(0),
        Act::Close(1),
        Act::Close(2),
        opens(0, true, FETCHING),
        opens(1, true, FETCHING),
    ];
    assert_eq!(acts, alone);
}

#[test]
fn an_owner_that_answers_late_counts_as_long_as_no_other_has_answered() {
    let asked_two = || {
        let mut asker = begin(true);
        asker.tick(ms(100), &road());
        asker
    };
    let mut asker = asked_two();
    assert_eq!(asker.hear(ms(150), 0, wait(5)), [Act::Close(1)]);
    assert_eq!(asker.hear(ms(160), 1, Word::Fetch), []);
    assert_eq!(asker.hear(ms(170), 0, so_far(10)), []);

    // The one that was asked too is told that there is a lease now.
    let mut asker = asked_two();
    let acts = asker.hear(ms(150), 0, Word::Fetch);
    assert_eq!(acts, [Act::Close(1), Act::Fetch, opens(1, true, FETCHING)]);

    // And so is the first, where it was another that gave the lease.
    let mut asker = asked_two();
    let acts = asker.hear(ms(150), 1, Word::Fetch);
    assert_eq!(acts, [Act::Close(0), Act::Fetch, opens(0, true, FETCHING)]);
    assert_eq!(asker.hear(ms(160), 0, wait(5)), []);

    // One that is busy is no reason to ask a third before the second has had its time.
    let mut asker = asked_two();
    assert_eq!(asker.hear(ms(150), 0, Word::Busy), [Act::Close(0)]);
    let claim = Claim::Silent(who(2));
    assert_eq!(asker.tick(ms(200), &road()), [opens(2, true, claim)]);
}

#[test]
fn who_cannot_fetch_asks_all_owners_and_gives_up() {
    let mut asker = begin(false);
    assert_eq!(asker.lost(ms(1), 0), [opens(1, false, Claim::Nothing)]);
    let acts = asker.hear(ms(2), 1, Word::Busy);
    assert_eq!(acts, [Act::Close(1), opens(2, false, Claim::Nothing)]);
    let acts = asker.hear(ms(3), 2, Word::Nobody);
    assert_eq!(acts, [Act::Close(2), Act::Nobody]);
    assert!(asker.is_over());
}

#[test]
fn a_holder_that_gets_on_is_waited_for_and_its_file_taken() {
    let mut asker = begin(true);
    assert_eq!(asker.hear(ms(1), 0, wait(5)), []);
    // At a third of our own pace, because many share the line; and nearly there when our own time is over.
    let done = pass(&mut asker, 200, 11_800, |at| Some(so_far(at * 70)));
    assert_eq!(done, []);
    let holders = vec![who(5), who(6)];
    let word = Word::Have {
        holders: holders.clone(),
    };
    assert_eq!(
        asker.hear(ms(12_000), 0, word.clone()),
        [Act::Take(holders.clone())]
    );
    let missed = Ask::Missed { holder: who(5) };
    assert_eq!(asker.taken(ms(12_100), false), [Act::Say(0, missed)]);
    assert_eq!(asker.hear(ms(12_200), 0, word), [Act::Take(holders)]);
    let acts = asker.taken(ms(12_300), true);
    assert_eq!(acts, [Act::Say(0, Ask::Done), Act::Close(0)]);
}

#[test]
fn waiting_ends_when_it_takes_longer_than_fetching_it_oneself_and_two_seconds() {
    let mut asker = begin(true);
    asker.hear(ms(1), 0, wait(5));
    let done = pass(&mut asker, 200, 20_000, |at| Some(so_far(at * 20)));
    let (at, _) = done[0];
    assert!((12_000..12_000 + 3_600).contains(&at), "{at}");
    let acts: Vec<Act> = done.into_iter().map(|(_, act)| act).collect();
    let next = opens(1, true, Claim::Nothing);
    assert_eq!(acts, [Act::Blame(who(1), who(5)), Act::Close(0), next]);
}

#[test]
fn a_holder_that_drips_is_left_within_four_seconds_whoever_names_it() {
    let mut asker = begin(true);
    asker.hear(ms(1), 0, wait(5));
    let done = pass(&mut asker, 200, 4_200, |at| Some(so_far(at)));
    let blame = |owner: u8| Act::Blame(who(owner), who(5));
    assert!(
        done.iter()
            .any(|(at, act)| *at <= 4_000 && *act == blame(1)),
        "{done:?}"
    );
    asker.hear(ms(4_300), 1, wait(5));
    let mut acts = Vec::new();
    for at in (4_400..8_600).step_by(200) {
        acts.extend(asker.hear(ms(at), 1, so_far(at)));
        acts.extend(asker.tick(ms(at), &road()));
    }
    assert_eq!(acts[0], blame(2));
    assert!(acts.contains(&Act::Fetch), "{acts:?}");
}

#[test]
fn an_owner_that_falls_silent_is_given_two_seconds_beside_the_next_one() {
    let mut asker = begin(true);
    asker.hear(ms(0), 0, wait(5));
    let done = pass(&mut asker, 0, 1_900, |_| None);
    let claim = Claim::WaitedFor(who(5));
    assert_eq!(done, [(600, opens(1, true, claim))]);
    // The next one knows of the holder: there is nothing to do but to wait on.
    assert_eq!(asker.hear(ms(1_900), 1, wait(5)), []);
    assert_eq!(asker.lost(ms(1_950), 0), []);
    assert_eq!(asker.hear(ms(2_000), 1, so_far(10)), []);
    assert_eq!(asker.tick(ms(2_200), &road()), []);

    let mut asker = begin(true);
    asker.hear(ms(0), 0, wait(5));
    pass(&mut asker, 0, 2_200, |_| None);
    let last: Vec<Act> = pass(&mut asker, 800, 2_200, |_| None)
        .into_iter()
        .map(|(_, act)| act)
        .collect();
    assert_eq!(last, [Act::Close(1), Act::Close(0), opens(2, true, claim)]);
}

#[test]
fn nothing_is_heard_of_an_owner_that_was_left() {
    let mut asker = begin(true);
    asker.hear(ms(100), 0, Word::Busy);
    assert_eq!(asker.hear(ms(101), 0, Word::Fetch), []);
    assert_eq!(asker.hear(ms(102), 7, Word::Fetch), []);
    assert_eq!(asker.lost(ms(103), 7), []);
    assert_eq!(asker.hear(ms(104), 1, Word::Fetch)[0], Act::Fetch);
}

#[test]
fn an_owner_that_names_one_after_the_other_that_do_not_have_it_is_passed_over() {
    let mut asker = begin(true);
    for miss in 1..=MISSES_MAX {
        let holders = vec![who(40 + miss)];
        let have = Word::Have {
            holders: holders.clone(),
        };
        assert_eq!(asker.hear(ms(1), 0, have), [Act::Take(holders)]);
        let acts = asker.taken(ms(2), false);
        let holder = who(40 + miss);
        if miss < MISSES_MAX {
            assert_eq!(acts, [Act::Say(0, Ask::Missed { holder })]);
        } else {
            assert_eq!(acts, [Act::Close(0), opens(1, true, Claim::Nothing)]);
        }
    }
}

#[test]
fn it_is_remembered_whom_one_waited_for_when_the_lease_comes_to_oneself() {
    let mut asker = begin(true);
    assert!(asker.waited_for().is_empty());
    asker.hear(ms(1), 0, wait(7));
    asker.hear(ms(2), 0, wait(7));
    asker.hear(ms(3), 0, Word::Queued);
    asker.hear(ms(4), 0, wait(8));
    let acts = asker.hear(ms(5), 0, Word::Fetch);
    assert!(acts.contains(&Act::Fetch));
    assert_eq!(asker.waited_for(), [who(7), who(8)]);
    // An owner that names one after the other fills nothing.
    let mut asker = begin(true);
    for holder in 10..200 {
        asker.hear(ms(1), 0, wait(holder));
    }
    assert_eq!(asker.waited_for(), [who(10), who(11), who(12)]);
}
