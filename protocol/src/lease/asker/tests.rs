//! The asker's side, story by story.

use proptest::prelude::*;

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
            bytes_max: 2_000_000,
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
fn who_fetches_and_loses_its_owners_shows_it_to_the_next() {
    let mut asker = begin(true);
    asker.hear(ms(1), 0, Word::Fetch);
    let progress = Progress {
        bytes: 5,
        total: None,
    };
    asker.fetched(ms(100), Fetched::SoFar(progress));
    let shown = Claim::Fetching(progress);
    assert_eq!(asker.lost(ms(200), 0), [opens(2, true, shown)]);
    assert_eq!(asker.lost(ms(201), 1), []);
    let done = [Act::Say(2, Ask::Done), Act::Close(2)];
    assert_eq!(asker.fetched(ms(300), Fetched::Here), done);
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
    assert_eq!(acts, [Act::Close(0), opens(1, true, Claim::Nothing)]);
    // Its own upstream gives it in the time that it was thought to take: so it would have given it to the holder.
    asker.hear(ms(at), 1, Word::Fetch);
    let acts = asker.fetched(ms(at + 11_000), Fetched::Here);
    assert!(acts.contains(&Act::Blame(who(1), who(5))), "{acts:?}");
}

/// An asker that left the first owner because not a byte came, and at what time.
fn left_without_a_byte() -> (Asker, u64) {
    let mut asker = begin(true);
    asker.hear(ms(1), 0, wait(5));
    let done = pass(&mut asker, 200, 20_000, |_| Some(none_yet()));
    let acts: Vec<Act> = done.iter().map(|(_, act)| act.clone()).collect();
    assert_eq!(acts, [Act::Close(0), opens(1, true, Claim::Nothing)]);
    (asker, done[0].0)
}

fn none_yet() -> Word {
    Word::Progress(Progress::default())
}

#[test]
fn an_owner_is_blamed_when_the_own_upstream_gives_at_once_what_its_holder_had_nothing_of() {
    let begun = ms(1000);
    for (first_byte, is_blamed) in [(50, true), (1000, false)] {
        let (mut asker, left) = left_without_a_byte();
        assert!((2_200..2_600).contains(&left), "{left}");
        asker.hear(ms(left), 1, Word::Fetch);
        let progress = Progress {
            bytes: 1,
            total: None,
        };
        asker.fetched(ms(left + first_byte), Fetched::SoFar(progress));
        let acts = asker.fetched(ms(left + first_byte) + begun, Fetched::Here);
        let blamed = acts.contains(&Act::Blame(who(1), who(5)));
        assert_eq!(blamed, is_blamed, "{first_byte} ms: {acts:?}");
    }
    // And when it is here at once from another that was not waited for.
    for (after, named, is_blamed) in [
        (200, [8, 9], true),
        (1000, [8, 9], false),
        (200, [8, 5], false),
    ] {
        let (mut asker, left) = left_without_a_byte();
        let holders = named.map(who).to_vec();
        asker.hear(ms(left + 10), 1, Word::Have { holders });
        let acts = asker.taken(ms(left + after), true);
        let blamed = acts.contains(&Act::Blame(who(1), who(5)));
        assert_eq!(blamed, is_blamed, "{after} ms: {acts:?}");
    }
}

#[test]
fn of_those_who_wait_for_an_upstream_that_gives_nothing_yet_each_asks_whether_it_is_to_try() {
    let (mut asker, left) = left_without_a_byte();
    asker.hear(ms(left), 1, wait(5));
    let mut acts = Vec::new();
    let mut at = left;
    while acts.is_empty() {
        at += 200;
        acts.extend(asker.hear(ms(at), 1, none_yet()));
        acts.extend(asker.tick(ms(at), &road()));
    }
    let again = |holder: u8| [Act::Close(1), opens(1, true, Claim::WaitedFor(who(holder)))];
    assert_eq!(acts, again(5));
    // Another tries: that one is waited for, as long as the first.
    assert_eq!(asker.hear(ms(at + 1), 1, wait(6)), []);
    for later in (200..2_200).step_by(200) {
        asker.hear(ms(at + later), 1, none_yet());
        assert_eq!(asker.tick(ms(at + later), &road()), [], "{later} ms");
    }
    asker.hear(ms(at + 2_300), 1, none_yet());
    assert_eq!(asker.tick(ms(at + 2_300), &road()), again(6));
    // Nobody else does: this host fetches, and blames nobody before it knows better.
    let acts = asker.hear(ms(at + 2_400), 1, wait(6));
    assert!(acts.contains(&Act::Fetch), "{acts:?}");
    let is_blame = |act: &Act| matches!(act, Act::Blame(..));
    assert!(!acts.iter().any(is_blame), "{acts:?}");
}

#[test]
fn no_claim_of_progress_is_waited_for_without_end() {
    type Claimed = fn(u64) -> (u64, Option<u64>);
    let claims: [(&str, Claimed); 4] = [
        ("complete", |_| (1_000_000, Some(1_000_000))),
        ("more than there is", |at| (at * 100, Some(1_000_000))),
        ("nobody knows how much", |at| (at * 10, None)),
        ("more than such a thing can have", |at| {
            (at * 100, Some(3_000_000))
        }),
    ];
    for (claim, progress) in claims {
        let mut asker = begin(true);
        asker.hear(ms(1), 0, wait(5));
        let done = pass(&mut asker, 200, 60_000, |at| {
            let (bytes, total) = progress(at);
            Some(Word::Progress(Progress { bytes, total }))
        });
        let (at, _) = done
            .first()
            .unwrap_or_else(|| panic!("{claim}: waits for ever"));
        // Four times what a million bytes take, at most, and two looks at the pace.
        assert!(*at < 50_000, "{claim}: {at}");
    }
    // One that does not say how much it is and is as fast as this host is waited for.
    let mut asker = begin(true);
    asker.hear(ms(1), 0, wait(5));
    let fast = |at: u64| {
        let (bytes, total) = (at * 100, None);
        Some(Word::Progress(Progress { bytes, total }))
    };
    assert_eq!(pass(&mut asker, 200, 19_000, fast), []);
}

#[test]
fn an_upstream_that_takes_its_time_to_begin_is_no_drip() {
    let mut asker = begin(true);
    asker.hear(ms(0), 0, wait(5));
    let unknown = Road::default();
    for at in (0..20_000u64).step_by(200) {
        // Nothing for ten seconds, and then as much as goes over a line.
        let bytes = at.saturating_sub(10_000) * 99;
        let total = Some(1_000_000);
        let mut acts = asker.hear(ms(at), 0, Word::Progress(Progress { bytes, total }));
        acts.extend(asker.tick(ms(at), &unknown));
        assert_eq!(acts, [], "{at} ms");
    }
}

#[test]
fn a_holder_that_fetches_after_others_had_no_place_is_given_its_time() {
    let mut asker = begin(true);
    asker.hear(ms(1), 0, wait(5));
    asker.hear(ms(100), 0, Word::Queued);
    asker.hear(ms(200), 0, wait(6));
    let done = pass(&mut asker, 400, 14_000, |at| Some(so_far(at * 70)));
    assert_eq!(done, []);
}

#[test]
fn a_holder_that_drips_is_left_within_four_seconds_whoever_names_it() {
    let mut asker = begin(true);
    asker.hear(ms(1), 0, wait(5));
    let done = pass(&mut asker, 200, 4_200, |at| Some(so_far(at)));
    let next = opens(1, true, Claim::Nothing);
    assert!(
        done.iter().any(|(at, act)| *at <= 4_000 && *act == next),
        "{done:?}"
    );
    asker.hear(ms(4_300), 1, wait(5));
    let mut acts = Vec::new();
    for at in (4_400..8_600).step_by(200) {
        acts.extend(asker.hear(ms(at), 1, so_far(at)));
        acts.extend(asker.tick(ms(at), &road()));
    }
    assert!(acts.contains(&Act::Fetch), "{acts:?}");
    // Its own upstream is much faster than that.
    let (bytes, total) = (1_000_000, Some(1_000_000));
    asker.fetched(ms(18_000), Fetched::SoFar(Progress { bytes, total }));
    let acts = asker.fetched(ms(18_000), Fetched::Here);
    for owner in [1, 2] {
        assert!(acts.contains(&Act::Blame(who(owner), who(5))), "{acts:?}");
    }
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
    for miss in 1..=OFFERS_MAX {
        let holders = vec![who(40 + miss)];
        let have = Word::Have {
            holders: holders.clone(),
        };
        assert_eq!(asker.hear(ms(1), 0, have), [Act::Take(holders)]);
        let acts = asker.taken(ms(2), false);
        let holder = who(40 + miss);
        if miss < OFFERS_MAX {
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

/// What owners may say, true or not.
fn any_word() -> impl Strategy<Value = Word> {
    let holder = || (4..10u8).prop_map(who);
    let total = || prop_oneof![Just(None), (0..3_000_000u64).prop_map(Some)];
    let progress = (0..3_000_000u64, total());
    prop_oneof![
        4 => holder().prop_map(|holder| Word::Wait { holder }),
        6 => progress.prop_map(|(bytes, total)| Word::Progress(Progress { bytes, total })),
        2 => Just(Word::Queued),
        1 => prop::collection::vec(holder(), 0..3).prop_map(|holders| Word::Have { holders }),
        1 => Just(Word::Busy),
    ]
}

proptest! {
    /// Whatever owners say, again and again: who can fetch does so in the end. Of two million bytes, which take this host twenty seconds, each of
    /// three owners can name three holders, and each of these buys some times as long.
    #[test]
    fn no_words_keep_a_host_from_fetching(
        script in prop::collection::vec((0..3usize, any_word()), 1..20),
        grows in any::<bool>(),
    ) {
        let mut asker = begin(true);
        let mut now = Duration::ZERO;
        let mut words = script.iter().cycle();
        let mut grown = 0;
        for _ in 0..8_000 {
            now += ms(200);
            let mut acts = Vec::new();
            for (at, word) in words.by_ref().take(4) {
                grown += 3_000;
                let word = match word {
                    Word::Progress(progress) if grows => Word::Progress(Progress {
                        bytes: grown % 2_000_000,
                        ..*progress
                    }),
                    other => other.clone(),
                };
                acts.extend(asker.hear(now, *at, word));
            }
            acts.extend(asker.tick(now, &road()));
            let mut acts = std::collections::VecDeque::from(acts);
            while let Some(act) = acts.pop_front() {
                match act {
                    Act::Fetch => return Ok(()),
                    Act::Take(_) => acts.extend(asker.taken(now, false)),
                    _ => {}
                }
            }
        }
        prop_assert!(false, "it waits after {now:?}");
    }
}
