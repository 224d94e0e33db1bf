use proptest::prelude::*;

use super::super::secret::{SECRET_BYTES, Secret};
use super::*;

/// A host of a story: its secrets, by one byte each, and the names on its list.
struct Host {
    name: PeerName,
    secrets: Secrets,
    list: Vec<PeerName>,
}

fn host(name: &str, secrets: &[u8], list: &[&str]) -> Host {
    let line = |byte: &u8| Secret::new([*byte; SECRET_BYTES]).to_line() + "\n";
    let text: String = secrets.iter().map(line).collect();
    Host {
        name: name.parse().unwrap(),
        secrets: Secrets::parse(&text).unwrap_or_default(),
        list: list.iter().map(|name| name.parse().unwrap()).collect(),
    }
}

impl Host {
    fn rules(&self, other: &Host) -> Rules<'_> {
        Rules {
            secrets: &self.secrets,
            has_list: !self.list.is_empty(),
            is_listed: self.list.contains(&other.name),
        }
    }

    fn says(&self, role: Role, verdict: Verdict, to: &Host) -> Option<Vec<u8>> {
        let rules = self.rules(to);
        let words = rules.words(role, verdict, &self.name, &to.name);
        words.map(|words| words.encode())
    }

    fn judges(&self, said: Option<&[u8]>, role: Role, of: &Host) -> Result<(), Refusal> {
        self.rules(of).judge(said, role, &of.name, &self.name)
    }
}

/// What the dialler and the side that answers make of each other.
fn meet(dials: &Host, answers: &Host) -> (Result<(), Refusal>, Result<(), Refusal>) {
    let first = dials.says(Role::Dials, Verdict::Open, answers);
    let of_dialler = answers.judges(first.as_deref(), Role::Dials, dials);
    let verdict = match of_dialler {
        Ok(()) => Verdict::Member,
        Err(_) => Verdict::Stranger,
    };
    let second = answers.says(Role::Answers, verdict, dials);
    let of_answerer = dials.judges(second.as_deref(), Role::Answers, answers);
    (of_answerer, of_dialler)
}

#[test]
fn who_are_members_of_each_other_and_what_the_others_are_told() {
    use Refusal::{AnotherSecret, NoMember, NotListed, NotWanted, TheyHaveAList, TheyHaveASecret};
    let open = || host("D", &[], &[]);
    // The dialler is D, the other A; the outcomes are what D makes of A, and A of D.
    for (dials, answers, outcome) in [
        (open(), host("A", &[], &[]), (Ok(()), Ok(()))),
        (host("D", &[1], &[]), host("A", &[1], &[]), (Ok(()), Ok(()))),
        (
            host("D", &[2, 1], &[]),
            host("A", &[1], &[]),
            (Ok(()), Ok(())),
        ),
        (
            host("D", &[1], &[]),
            host("A", &[3, 2, 1], &[]),
            (Ok(()), Ok(())),
        ),
        (
            host("D", &[], &["A"]),
            host("A", &[], &["D"]),
            (Ok(()), Ok(())),
        ),
        (
            host("D", &[1], &["A"]),
            host("A", &[], &["D"]),
            (Ok(()), Ok(())),
        ),
        (
            host("D", &[1], &["A"]),
            host("A", &[2], &["D"]),
            (Ok(()), Ok(())),
        ),
        (
            host("D", &[1], &["A"]),
            host("A", &[1], &["X"]),
            (Ok(()), Ok(())),
        ),
        (
            host("D", &[1], &[]),
            host("A", &[2], &[]),
            (Err(AnotherSecret), Err(AnotherSecret)),
        ),
        (
            open(),
            host("A", &[1], &[]),
            (Err(TheyHaveASecret), Err(NoMember)),
        ),
        (
            host("D", &[1], &[]),
            host("A", &[], &[]),
            (Err(NoMember), Err(TheyHaveASecret)),
        ),
        (
            open(),
            host("A", &[], &["X"]),
            (Err(TheyHaveAList), Err(NoMember)),
        ),
        (
            open(),
            host("A", &[], &["D"]),
            (Err(TheyHaveAList), Err(NoMember)),
        ),
        (
            host("D", &[], &["X"]),
            host("A", &[], &["D"]),
            (Err(NotListed), Ok(())),
        ),
        (
            host("D", &[], &["A"]),
            host("A", &[], &["X"]),
            (Err(NotWanted), Err(NotListed)),
        ),
        (
            host("D", &[1], &[]),
            host("A", &[], &["X"]),
            (Err(NotWanted), Err(NotListed)),
        ),
        (
            host("D", &[1], &[]),
            host("A", &[], &["D"]),
            (Err(NoMember), Ok(())),
        ),
        (
            host("D", &[], &["A"]),
            host("A", &[1], &[]),
            (Err(NotWanted), Err(NoMember)),
        ),
        (
            host("D", &[1], &["A"]),
            host("A", &[2], &[]),
            (Err(NotWanted), Err(AnotherSecret)),
        ),
    ] {
        let about = (&dials.secrets, &dials.list, &answers.secrets, &answers.list);
        assert_eq!(meet(&dials, &answers), outcome, "{about:?}");
    }
}

#[test]
fn words_of_another_host_or_side_make_no_member() {
    let (a, b, thief) = (
        host("A", &[1], &[]),
        host("B", &[1], &[]),
        host("T", &[], &[]),
    );
    let said = a.says(Role::Dials, Verdict::Open, &b).unwrap();
    assert_eq!(b.judges(Some(&said), Role::Dials, &a), Ok(()));
    // The thief dials with the words of another, or sends the dialler's own words back to it.
    let stolen = b.judges(Some(&said), Role::Dials, &thief);
    assert_eq!(stolen, Err(Refusal::AnotherSecret));
    let back = a.judges(Some(&said), Role::Answers, &b);
    assert_eq!(back, Err(Refusal::NotUnderstood));
    let mut back = said;
    back[1] = 1;
    let back = a.judges(Some(&back), Role::Answers, &b);
    assert_eq!(back, Err(Refusal::AnotherSecret));
    // A verdict that nobody has asked for.
    let early = a.says(Role::Dials, Verdict::Member, &b).unwrap();
    let early = b.judges(Some(&early), Role::Dials, &a);
    assert_eq!(early, Err(Refusal::NotUnderstood));
}

#[test]
fn a_stranger_is_given_no_proof() {
    let (a, b) = (host("A", &[1, 2], &[]), host("B", &[3], &[]));
    let said = a.says(Role::Answers, Verdict::Stranger, &b).unwrap();
    assert_eq!(said, [1, 2, 1]);
    let said = a.says(Role::Answers, Verdict::Member, &b).unwrap();
    assert_eq!(said.len(), 3 + 2 * PROOF_BYTES);
}

#[test]
fn what_is_not_understood_is_refused() {
    for bytes in [
        vec![],
        vec![1, 0],
        vec![2, 0, 1],
        vec![1, 3, 1],
        vec![1, 0, 1, 7],
        vec![1; 256],
        [vec![1, 0, 1], vec![0; 5 * PROOF_BYTES]].concat(),
    ] {
        assert_eq!(Words::decode(&bytes), None, "{bytes:?}");
        let (a, b) = (host("A", &[1], &[]), host("B", &[1], &[]));
        let judged = a.judges(Some(&bytes), Role::Dials, &b);
        assert_eq!(judged, Err(Refusal::NotUnderstood));
        let judged = host("P", &[], &[]).judges(Some(&bytes), Role::Dials, &b);
        assert_eq!(judged, Err(Refusal::TheyHaveASecret));
    }
    let words = Words::decode(&[1, 0, 0xfe]).unwrap();
    assert!(!words.has_secret && words.proofs.is_empty());
}

fn any_words() -> impl Strategy<Value = Words> {
    let verdict = prop_oneof![
        Just(Verdict::Open),
        Just(Verdict::Member),
        Just(Verdict::Stranger)
    ];
    let proofs = proptest::collection::vec(any::<Proof>(), 0..=SECRETS_MAX);
    (verdict, any::<bool>(), proofs).prop_map(|(verdict, has_secret, proofs)| Words {
        verdict,
        has_secret,
        proofs,
    })
}

proptest! {
    #[test]
    fn words_are_read_as_they_were_written(words in any_words()) {
        let bytes = words.encode();
        prop_assert!(bytes.len() <= MEMBERSHIP_BYTES_MAX);
        prop_assert_eq!(Words::decode(&bytes), Some(words));
    }

    #[test]
    fn any_bytes_are_judged_and_make_no_member(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        dials in any::<bool>(),
    ) {
        let role = if dials { Role::Dials } else { Role::Answers };
        let (a, b) = (host("A", &[1], &[]), host("B", &[], &[]));
        prop_assert!(a.judges(Some(&bytes), role, &b).is_err());
        prop_assert!(b.judges(Some(&bytes), role, &a).is_err());
    }

    #[test]
    fn both_or_neither_are_usable(
        ours in proptest::collection::btree_set(0..4u8, 0..3),
        theirs in proptest::collection::btree_set(0..4u8, 0..3),
        list in any::<bool>(),
        their_list in any::<bool>(),
    ) {
        let bytes = |set: std::collections::BTreeSet<u8>| set.into_iter().collect::<Vec<_>>();
        let d = host("D", &bytes(ours), if list { &["A"] } else { &[] });
        let a = host("A", &bytes(theirs), if their_list { &["D"] } else { &[] });
        let (of_a, of_d) = meet(&d, &a);
        // The dialler has the last word, and hears a refusal of the other side in any case.
        prop_assert!(of_d.is_ok() || of_a.is_err());
    }
}
