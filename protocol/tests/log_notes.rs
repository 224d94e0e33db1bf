//! Keys, signed notes and tree heads: what is accepted, what is refused and as what. The cases are those of Go's own
//! tests for golang.org/x/mod/sumdb/note and tlog, restated, and those in which this crate is stricter.
#![allow(clippy::unwrap_used)]

use ed25519_dalek::{Signer, SigningKey};
use modmesh_protocol::log::{
    KeyError, NOTE_BYTES_MAX, NoteError, SUM_GOLANG_ORG, SignedHead, TREE_SIZE_MAX, TreeHead,
    VerifierKey, record_hash,
};

const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
const PETER_LINE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH_LINE: &str = "\u{2014} EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

#[test]
fn a_key_is_printed_as_it_was_read() {
    for text in [PETER, ENOCH, SUM_GOLANG_ORG] {
        let key = VerifierKey::parse(text).unwrap();
        assert_eq!(key.to_string(), text);
        assert_eq!(key.as_str(), text);
    }
    assert_eq!(VerifierKey::sum_golang_org().name(), "sum.golang.org");
}

#[test]
fn one_key_has_one_name_for_its_database_however_its_hash_is_spelled() {
    let upper = PETER.replace("c74f20a3", "C74F20A3");
    let (upper, lower) = (key(&upper), key(PETER));
    assert_eq!(upper.database_id(), lower.database_id());
    assert_ne!(lower.database_id(), key(ENOCH).database_id());
}

#[test]
fn no_part_of_a_key_is_a_key_and_no_character_can_be_changed() {
    for from in 0..PETER.len() {
        for to in from..=PETER.len() {
            if to - from < PETER.len() {
                assert!(VerifierKey::parse(&PETER[from..to]).is_err());
            }
        }
        let mut bytes = PETER.as_bytes().to_vec();
        bytes[from] += 1;
        let changed = String::from_utf8(bytes).unwrap();
        assert!(VerifierKey::parse(&changed).is_err(), "{changed}");
    }
}

#[test]
fn keys_are_refused_for_what_is_wrong_with_them() {
    let weak = VerifierKey::of_ed25519("weak", &{
        let mut point = [0; 32];
        point[0] = 1;
        point
    });
    assert_eq!(weak, Err(KeyError::Point));
    for (text, error) in [
        ("", KeyError::Malformed),
        ("name", KeyError::Malformed),
        ("name+c74f20a3", KeyError::Malformed),
        ("name+c74f20a3+", KeyError::Malformed),
        (
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            KeyError::Hash,
        ),
        // 37 bytes for a key, with the hash that belongs to them.
        (
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
            KeyError::Malformed,
        ),
        // Another algorithm, with the hash that belongs to it.
        (
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            KeyError::Algorithm,
        ),
    ] {
        assert_eq!(VerifierKey::parse(text), Err(error), "{text}");
    }
    for name in ["", "a b", "a+b", "a\u{2003}b", "a\n"] {
        assert_eq!(
            VerifierKey::of_ed25519(name, &[9; 32]),
            Err(KeyError::Malformed),
            "{name:?}"
        );
    }
}

#[test]
fn a_note_opens_for_each_of_those_who_signed_it() {
    let note = format!("{TEXT}\n{PETER_LINE}{ENOCH_LINE}");
    assert_eq!(key(PETER).open(note.as_bytes()), Ok(TEXT));
    assert_eq!(key(ENOCH).open(note.as_bytes()), Ok(TEXT));
    let unsigned = Err(NoteError::Unsigned(SUM_GOLANG_ORG.to_owned()));
    assert_eq!(
        VerifierKey::sum_golang_org().open(note.as_bytes()),
        unsigned
    );
}

#[test]
fn repeated_signatures_are_passed_over_and_false_ones_of_strangers_too() {
    let false_enoch = ENOCH_LINE.replace("5n2tiOHp", "5nABCD2tiOHp");
    let note = format!("{TEXT}\n{PETER_LINE}{PETER_LINE}{ENOCH_LINE}{ENOCH_LINE}{false_enoch}");
    assert_eq!(key(PETER).open(note.as_bytes()), Ok(TEXT));
    // As in Go, a second signature of our key is not tried once the first was good.
    assert_eq!(key(ENOCH).open(note.as_bytes()), Ok(TEXT));
}

#[test]
fn a_false_signature_in_our_name_fails_even_before_a_good_one() {
    let false_peter = PETER_LINE.replace("SffcvIAQ", "SffcvIAR");
    let false_signature = Err(NoteError::FalseSignature("PeterNeumann".to_owned()));
    for signatures in [
        false_peter.clone(),
        format!("{false_peter}{PETER_LINE}"),
        PETER_LINE.replace("9UG/SffcvIAQ", "9UG/ABCDSffcvIAQ"),
        "\u{2014} PeterNeumann x08gowA=\n".to_owned(),
    ] {
        let note = format!("{TEXT}\n{signatures}");
        assert_eq!(
            key(PETER).open(note.as_bytes()),
            false_signature,
            "{signatures}"
        );
    }
    let other_text = format!("{TEXT}More.\n\n{PETER_LINE}");
    assert_eq!(key(PETER).open(other_text.as_bytes()), false_signature);
}

#[test]
fn our_name_with_another_key_and_another_name_with_our_key_are_strangers() {
    let other_hash = PETER_LINE.replace("x08g", "xxxx");
    let other_name = PETER_LINE.replace("PeterNeumann", "CarmenSandiego");
    for line in [other_hash, other_name] {
        let opened = key(PETER).open(format!("{TEXT}\n{line}").as_bytes()).err();
        assert_eq!(opened, Some(NoteError::Unsigned(PETER.to_owned())));
    }
}

#[test]
fn a_hundred_signatures_are_accepted_and_one_more_is_not() {
    let note = |count| format!("{TEXT}\n{}", PETER_LINE.repeat(count));
    assert_eq!(key(PETER).open(note(100).as_bytes()), Ok(TEXT));
    for key in [key(PETER), key(ENOCH)] {
        let opened = key.open(note(101).as_bytes()).err();
        assert!(
            matches!(opened, Some(NoteError::Malformed(_))),
            "{opened:?}"
        );
    }
}

#[test]
fn notes_of_another_form_are_refused() {
    let unended = PETER_LINE.trim_end();
    for note in [
        String::new(),
        TEXT.to_owned(),
        format!("{TEXT}\n"),
        format!("{TEXT}{PETER_LINE}"),
        format!("{TEXT}\n{unended}"),
        format!("\u{1}{TEXT}\n{PETER_LINE}"),
        format!("{TEXT}\r\n{PETER_LINE}"),
        format!("{TEXT}\n{PETER_LINE}Unexpected line.\n"),
        format!("{TEXT}\n{PETER_LINE}\n"),
        format!("{TEXT}\n{}", PETER_LINE.replace("\u{2014}", "-")),
        format!("{TEXT}\n{}", PETER_LINE.replace("PeterNeumann", "Bad Name")),
        format!("{TEXT}\n{}", PETER_LINE.replace("PeterNeumann", "Bad+Name")),
        format!("{TEXT}\n\u{2014} PeterNeumann\n"),
        format!("{TEXT}\n\u{2014} PeterNeumann \n"),
        format!("{TEXT}\n\u{2014} PeterNeumann x08gow==\n"),
        // Stray bits in the last digit, which Go ignores.
        format!("{TEXT}\n{}", PETER_LINE.replace("wJnAM=", "wJnAN=")),
    ] {
        let opened = key(PETER).open(note.as_bytes()).err();
        assert!(
            matches!(opened, Some(NoteError::Malformed(_))),
            "{note:?}: {opened:?}"
        );
    }
    let not_utf8 = [b"\xff", TEXT.as_bytes(), b"\n", PETER_LINE.as_bytes()].concat();
    assert!(matches!(
        key(PETER).open(&not_utf8),
        Err(NoteError::Malformed(_))
    ));
    let long = format!("{}{TEXT}\n{PETER_LINE}", "a".repeat(NOTE_BYTES_MAX));
    assert_eq!(key(PETER).open(long.as_bytes()), Err(NoteError::TooLong));
}

#[test]
fn a_head_reads_back_as_it_was_printed() {
    let head = TreeHead {
        size: 123_456_789_012,
        root: record_hash(b"hello world"),
    };
    let text = "go.sum database tree\n123456789012\nTszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=\n";
    assert_eq!(head.text(), text);
    for tail in ["", "JOE", "JOE\n", &"JOE\n".repeat(1000)] {
        assert_eq!(TreeHead::parse(&format!("{text}{tail}")), Ok(head));
    }
    let largest = TreeHead {
        size: TREE_SIZE_MAX,
        ..head
    };
    assert_eq!(TreeHead::parse(&largest.text()), Ok(largest));
}

#[test]
fn texts_that_are_no_head_are_refused() {
    const ROOT: &str = "TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=";
    for text in [
        String::new(),
        format!("not-go.sum database tree\n1\n{ROOT}\n"),
        format!("go.sum database tree v2\n1\n{ROOT}\n"),
        format!("go.sum database tree\n1\n{ROOT}"),
        "go.sum database tree\n1".to_owned(),
        "go.sum database tree\n1\nTszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBTOOBIG=\n".to_owned(),
        "go.sum database tree\n1\n\n".to_owned(),
        // CVE-2026-56864: old clients take these for lines of the record that the head comes with.
        format!("go.sum database tree\n1\n{ROOT}\nexample.com/m v1.0.0 h1:{ROOT}\n"),
        format!("go.sum database tree\n1\n{ROOT}\nJOE\nexample.com/m v1.0.0/go.mod h1:{ROOT}\n"),
    ] {
        assert!(
            matches!(TreeHead::parse(&text), Err(NoteError::NotAHead(_))),
            "{text:?}"
        );
    }
    for size in [
        "",
        "0xabcdef",
        "01",
        "00",
        "+1",
        "-1",
        " 1",
        "1 ",
        "1_0",
        "9223372036854775808",
    ] {
        let text = format!("go.sum database tree\n{size}\n{ROOT}\n");
        assert!(TreeHead::parse(&text).is_err(), "{size:?}");
    }
}

#[test]
fn a_log_of_ones_own_is_signed_with_the_text_forms() {
    let signer = SigningKey::from_bytes(&[7; 32]);
    let key = VerifierKey::of_ed25519("sum.example", signer.verifying_key().as_bytes()).unwrap();
    let key = VerifierKey::parse(key.as_str()).unwrap();
    let head = TreeHead {
        size: 3,
        root: [5; 32],
    };
    let sign = |text: &str| key.signed_note(text, &signer.sign(text.as_bytes()).to_bytes());
    let note = sign(&head.text());
    let signed = SignedHead::open(note.as_bytes(), &key).unwrap();
    assert_eq!(
        (signed.head(), signed.size(), signed.note()),
        (&head, 3, &*note)
    );
    let no_head = SignedHead::open(sign("something else\n").as_bytes(), &key);
    assert!(matches!(no_head, Err(NoteError::NotAHead(_))));
}

fn key(text: &str) -> VerifierKey {
    VerifierKey::parse(text).unwrap()
}
