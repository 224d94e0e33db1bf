//! What is held, what counts, and what goes.

use modmesh_protocol::artifact::FileKind;
use modmesh_protocol::log::Sums;
use modmesh_protocol::module::ModuleVersion;

use super::*;

fn key(of: &str) -> ArtifactKey {
    ArtifactKey {
        of: ModuleVersion::parse(of).unwrap(),
        kind: FileKind::Zip,
    }
}

fn sums(lines: &[(&ArtifactKey, u8)]) -> HashMap<KeyHash, H1> {
    let line = |(key, sum): &(&ArtifactKey, u8)| (KeyHash::of_file(key), H1([*sum; 32]));
    lines.iter().map(line).collect()
}

fn many(count: usize, first: usize) -> HashMap<KeyHash, H1> {
    let hash = |number: usize| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&(number as u64).to_le_bytes());
        KeyHash(hash)
    };
    (first..first + count)
        .map(|number| (hash(number), H1([0; 32])))
        .collect()
}

const MAY_GO: Permanence = Permanence::MayGo;

fn none() -> RefusedLines {
    RefusedLines::default()
}

/// A record of log `log`.
fn record(log: u64) -> ListedRecord {
    ListedRecord {
        database: "sum.example".to_owned(),
        key: None,
        log,
        id: 7,
        text: String::new(),
        sums: Sums {
            zip: None,
            go_mod: None,
        },
    }
}

fn counts(held: &GoSums) -> (u64, u64) {
    let totals = held.totals();
    (totals.lines, totals.refused)
}

#[test]
fn a_file_that_is_given_again_says_what_it_says_now() {
    let (held, m) = (GoSums::default(), key("example.com/m@v1.0.0"));
    let mut refused = none();
    refused.add(KeyHash([9; 32]), H1([9; 32]), &record(0));
    held.give("/a/go.sum", MAY_GO, sums(&[(&m, 1)]), refused)
        .unwrap();
    assert_eq!(counts(&held), (1, 1));
    assert_eq!(held.line(&m).unwrap(), (H1([1; 32]), "/a/go.sum".into()));
    held.give("/a/go.sum", MAY_GO, sums(&[(&m, 2)]), none())
        .unwrap();
    assert_eq!(held.line(&m).unwrap().0, H1([2; 32]));
    held.give("/a/go.sum", MAY_GO, HashMap::new(), none())
        .unwrap();
    assert!(held.line(&m).is_none());
    let totals = held.totals();
    assert_eq!((totals.files, totals.lines, totals.refused), (1, 0, 0));
}

#[test]
fn a_file_that_is_forgotten_leaves_its_place_unless_a_setting_names_it() {
    let (held, m) = (GoSums::default(), key("example.com/m@v1.0.0"));
    for (permanence, files_left) in [(MAY_GO, 0), (Permanence::Stays, 1)] {
        held.give("/a/go.sum", permanence, sums(&[(&m, 1)]), none())
            .unwrap();
        held.forget("/b/go.sum");
        assert!(held.line(&m).is_some());
        held.forget("/a/go.sum");
        assert!(held.line(&m).is_none());
        let totals = held.totals();
        let left = (totals.files, totals.lines, totals.refused);
        assert_eq!(left, (files_left, 0, 0));
    }
}

#[test]
fn files_that_contradict_each_other_vouch_for_nothing_until_they_agree() {
    let (held, m) = (GoSums::default(), key("example.com/m@v1.0.0"));
    held.give("/a/go.sum", MAY_GO, sums(&[(&m, 1)]), none())
        .unwrap();
    held.give("/b/go.sum", MAY_GO, sums(&[(&m, 2)]), none())
        .unwrap();
    assert!(held.line(&m).is_none());
    held.give("/b/go.sum", MAY_GO, sums(&[(&m, 1)]), none())
        .unwrap();
    assert_eq!(held.line(&m).unwrap(), (H1([1; 32]), "/b/go.sum".into()));
}

#[test]
fn what_the_database_says_takes_out_what_contradicts_it_and_nothing_else() {
    let held = GoSums::default();
    let (m, n) = (key("example.com/m@v1.0.0"), key("example.com/n@v1.0.0"));
    let lines = sums(&[(&m, 1), (&n, 1)]);
    held.give("/true/go.sum", MAY_GO, lines, none()).unwrap();
    held.give("/false/go.sum", MAY_GO, sums(&[(&m, 2)]), none())
        .unwrap();
    assert_eq!(
        held.overruled(&m, H1([1; 32]), &record(0)),
        ["/false/go.sum".into()]
    );
    assert!(held.overruled(&m, H1([1; 32]), &record(0)).is_empty());
    assert_eq!(held.line(&m).unwrap().0, H1([1; 32]));
    assert_eq!(held.line(&n).unwrap().0, H1([1; 32]));
    let totals = held.totals();
    assert_eq!((totals.files, totals.lines, totals.refused), (2, 2, 1));
}

#[test]
fn what_a_log_contradicted_counts_again_when_that_log_is_given_up_and_no_sooner() {
    let (held, m) = (GoSums::default(), key("example.com/m@v1.0.0"));
    held.give("/p/go.sum", MAY_GO, sums(&[(&m, 2)]), none())
        .unwrap();
    let says = |log, sum| !held.overruled(&m, H1([sum; 32]), &record(log)).is_empty();
    assert!(says(0, 1));
    assert_eq!(held.follow("sum.other", 1), 0);
    assert_eq!((counts(&held), held.line(&m).is_none()), ((0, 1), true));
    assert_eq!(held.follow("sum.example", 1), 1);
    assert_eq!(counts(&held), (1, 0));
    assert_eq!(held.line(&m).unwrap().0, H1([2; 32]));
    // A record of the log that was given up, from a question that was under way, says nothing any more.
    assert!(!says(0, 1));
    assert!(!says(1, 2));
    assert!(says(1, 3));
    assert_eq!(counts(&held), (0, 1));
    // Nor does one with which a file was compared that was just being given.
    let mut refused = none();
    refused.add(KeyHash::of_file(&m), H1([2; 32]), &record(0));
    held.give("/p/go.sum", MAY_GO, sums(&[]), refused).unwrap();
    assert_eq!(counts(&held), (1, 0));
}

#[test]
fn lines_that_are_refused_take_room_too() {
    let held = GoSums::default();
    let mut refused = none();
    for (hash, sum) in many(LINES_HELD_MAX, 0) {
        refused.add(hash, sum, &record(0));
    }
    held.give("/setting", Permanence::Stays, sums(&[]), refused)
        .unwrap();
    assert_eq!(counts(&held), (0, LINES_HELD_MAX as u64));
    let one_more = held.give("/more", MAY_GO, many(1, LINES_HELD_MAX), none());
    assert_eq!(one_more, Err(NoRoom));
}

#[test]
fn what_was_given_longest_ago_goes_first_and_what_a_setting_names_never() {
    let held = GoSums::default();
    let half = LINES_HELD_MAX / 2;
    held.give("/setting", Permanence::Stays, many(half, 0), none())
        .unwrap();
    held.give("/old", MAY_GO, many(half / 2, half), none())
        .unwrap();
    held.give("/new", MAY_GO, many(half / 2, 2 * half), none())
        .unwrap();
    held.give("/newest", MAY_GO, many(1, 4 * half), none())
        .unwrap();
    let names: Vec<_> = held.read().files.iter().map(|f| f.name.clone()).collect();
    assert_eq!(names, ["/setting".into(), "/new".into(), "/newest".into()]);
    let refused = held.give("/large", MAY_GO, many(half + 1, 5 * half), none());
    assert_eq!(refused, Err(NoRoom));
    assert_eq!(held.totals().files, 3);
    for number in 0..2 * FILES_MAX {
        held.give(&number.to_string(), MAY_GO, many(1, number), none())
            .unwrap();
    }
    assert_eq!(held.totals().files, FILES_MAX as u64);
    assert_eq!(&*held.read().files[0].name, "/setting");
    // Nor when somebody gives it again.
    held.give("/setting", MAY_GO, many(1, 0), none()).unwrap();
    for number in 0..2 * FILES_MAX {
        held.give(&number.to_string(), MAY_GO, many(1, number), none())
            .unwrap();
    }
    let names: Vec<_> = held.read().files.iter().map(|f| f.name.clone()).collect();
    assert!(names.contains(&"/setting".into()));
}
