//! Lookup answers and records: how they are taken apart, and from where alone the hashes of a module come. The cases of
//! Go's own tests for golang.org/x/mod/sumdb/tlog are restated here.
#![allow(clippy::unwrap_used)]

use modmesh_protocol::digest::H1;
use modmesh_protocol::log::{LOOKUP_BYTES_MAX, RECORD_BYTES_MAX, Record, RecordError};
use modmesh_protocol::module::ModuleVersion;

/// CVE-2026-42501: a lookup answer without a line for the module was taken for consent.
#[test]
fn cve_2026_42501_a_record_that_does_not_list_the_module_is_refused() {
    for text in [
        "example.com/other v1.0.0 h1:TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=\n",
        "example.com/m v1.0.1 h1:TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=\n",
        "example.com/m v1.0.0-pre h1:TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=\n",
        "example.com/m/v1.0.0 h1:TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=\n",
        "example.com/M v1.0.0 h1:TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=\n",
        " example.com/m v1.0.0 h1:TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=\n",
        "example.com/m v1.0.0\n",
        "example.com/m v1.0.0 h2:TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=\n",
        "hello, world\n",
        "\n",
    ] {
        let refused = RecordError::NotListed("example.com/m@v1.0.0".to_owned());
        assert_eq!(record(text).sums(&module()), Err(refused), "{text}");
    }
}

/// CVE-2026-56864: hash lines were read from the whole answer, so that a line in the note counted.
#[test]
fn cve_2026_56864_lines_outside_the_record_do_not_count() {
    let line = format!("example.com/m v1.0.0 {}\n", h1(1));
    let in_note = format!(
        "7\nexample.com/good v1.0.0 {}\n\ngo.sum database tree\n8\nroot\n{line}\n\u{2014} name sig\n",
        h1(2)
    );
    let (record, note) = Record::parse_lookup(in_note.as_bytes()).unwrap();
    assert!(note.windows(line.len()).any(|part| part == line.as_bytes()));
    assert!(matches!(
        record.sums(&module()),
        Err(RecordError::NotListed(_))
    ));
    // A second paragraph before the note is no part of the record either: it goes where only a signed head can stand.
    let second = format!("7\nhello\n\n{line}\ngo.sum database tree\n");
    let (record, note) = Record::parse_lookup(second.as_bytes()).unwrap();
    assert_eq!(record.text, "hello\n");
    assert!(note.starts_with(line.as_bytes()));
    assert!(record.sums(&module()).is_err());
}

#[test]
fn a_record_gives_the_hashes_of_the_module_asked_for_and_of_no_other() {
    let text = format!(
        "example.com/m v1.0.0 {}\nexample.com/m v1.0.0/go.mod {}\nexample.com/m2 v1.0.0 {}\n",
        h1(1),
        h1(2),
        h1(3)
    );
    let sums = record(&text).sums(&module()).unwrap();
    assert_eq!((sums.zip, sums.go_mod), (Some(h1(1)), Some(h1(2))));
}

#[test]
fn one_of_the_two_lines_is_enough_and_says_only_its_part() {
    let zip = record(&format!("example.com/m v1.0.0 {}\n", h1(1)));
    let sums = zip.sums(&module()).unwrap();
    assert_eq!((sums.zip, sums.go_mod), (Some(h1(1)), None));
    let go_mod = record(&format!("example.com/m v1.0.0/go.mod {}\n", h1(1)));
    let sums = go_mod.sums(&module()).unwrap();
    assert_eq!((sums.zip, sums.go_mod), (None, Some(h1(1))));
}

#[test]
fn a_record_says_which_version_it_is_about() {
    let about = |text: &str| record(text).about().map(|of| of.to_string());
    let named = Some("example.com/M@v1.2.0".to_owned());
    let (zip, go_mod) = (h1(1), h1(2));
    let both = format!("example.com/M v1.2.0 {zip}\nexample.com/M v1.2.0/go.mod {go_mod}\n");
    assert_eq!(about(&both), named);
    assert_eq!(
        about(&format!("example.com/M v1.2.0/go.mod {zip}\n")),
        named
    );
    for nothing in [
        "\n",
        "words\n",
        "example.com/M\n",
        "example.com/!m v1.2.0 h1:\n",
        "example.com/M v1.2 h1:\n",
        "example.com/M/v2 v1.2.0 h1:\n",
        "  example.com/M v1.2.0 h1:\n",
    ] {
        assert_eq!(about(nothing), None, "{nothing:?}");
    }
}

#[test]
fn a_line_may_be_repeated_but_not_contradicted() {
    let line = |number| format!("example.com/m v1.0.0 {}\n", h1(number));
    let repeated = record(&format!("{}{}", line(1), line(1)));
    assert_eq!(repeated.sums(&module()).unwrap().zip, Some(h1(1)));
    let contradicted = record(&format!("{}{}", line(1), line(2)));
    assert!(matches!(
        contradicted.sums(&module()),
        Err(RecordError::Contradiction(_))
    ));
}

#[test]
fn a_malformed_hash_for_the_module_is_an_error() {
    for hash in [
        "h1:",
        "h1:AAAA",
        "h1:TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0= ",
        "h1:TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb1=",
    ] {
        let sums = record(&format!("example.com/m v1.0.0 {hash}\n")).sums(&module());
        assert!(matches!(sums, Err(RecordError::BadHash(_))), "{hash}");
    }
}

#[test]
fn an_answer_is_taken_apart_at_its_first_blank_line() {
    let rest = b"junk on end\x01\xff".as_slice();
    let body = [b"123456789012\nhello, world\n\n", rest].concat();
    let (record, note) = Record::parse_lookup(&body).unwrap();
    assert_eq!(
        (record.id, &*record.text),
        (123_456_789_012, "hello, world\n")
    );
    assert_eq!(note, rest);
    let (same, note) = Record::parse_lookup(b"123456789012\nhello, world\n\n").unwrap();
    assert_eq!((same, note), (record, [].as_slice()));
}

#[test]
fn an_answer_reads_back_as_it_was_printed() {
    let record = Record::new(5, "hello, world\n".to_owned()).unwrap();
    let body = record.lookup_body("a note\n");
    assert_eq!(body, "5\nhello, world\n\na note\n");
    assert_eq!(
        Record::parse_lookup(body.as_bytes()),
        Ok((record, b"a note\n".as_slice()))
    );
}

#[test]
fn answers_of_another_form_are_refused() {
    for body in [
        b"".as_slice(),
        b"123",
        b"123\n",
        b"123\n\n",
        b"not-123\nhello\n\n",
        b"123\nhello\x01world\n\n",
        b"123\nhello\xffworld\n\n",
        b"123\nhello\rworld\n\n",
        b"123\nhello world\n",
        b"0x123\nhello world\n\n",
        b"-1\nhello world\n\n",
        b"+1\nhello world\n\n",
        b"01\nhello world\n\n",
        b" 1\nhello world\n\n",
        b"\nhello world\n\n",
        b"9223372036854775808\nhello world\n\n",
        b"99999999999999999999999\nhello world\n\n",
    ] {
        let parsed = Record::parse_lookup(body);
        assert!(
            matches!(parsed, Err(RecordError::Malformed(_))),
            "{:?}",
            String::from_utf8_lossy(body)
        );
    }
}

#[test]
fn answers_and_records_that_are_too_long_are_refused() {
    let body = vec![b'1'; LOOKUP_BYTES_MAX + 1];
    assert_eq!(Record::parse_lookup(&body), Err(RecordError::TooLong));
    let text = "a".repeat(RECORD_BYTES_MAX) + "\n";
    assert_eq!(Record::new(1, text), Err(RecordError::TooLong));
}

#[test]
fn texts_that_no_record_has_are_refused() {
    for text in ["", "hello\nworld", "hello\n\nworld\n", "hello\x01world\n"] {
        let record = Record::new(1, text.to_owned());
        assert!(matches!(record, Err(RecordError::Malformed(_))), "{text:?}");
    }
}

fn record(text: &str) -> Record {
    Record::new(1, text.to_owned()).unwrap()
}

fn module() -> ModuleVersion {
    ModuleVersion::parse("example.com/m@v1.0.0").unwrap()
}

fn h1(number: u8) -> H1 {
    H1([number; 32])
}
