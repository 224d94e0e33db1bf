//! Arbitrary texts as a limit: nothing panics, a refusal is one line, and what was read reads back as it is printed.
#![allow(clippy::unwrap_used)]

use modmesh_protocol::rate::{Minute, WEEK_MINUTES, parse_limit};

const ITERATIONS: usize = 10_000;

fn check(text: &str) {
    match parse_limit(text) {
        Ok(limit) => {
            assert_eq!(parse_limit(&limit.to_string()), Ok(limit.clone()));
            let minute = Minute::new(0, text.len() as u16 % WEEK_MINUTES);
            let change = limit.changes_after(minute);
            assert!(change.is_none_or(|change| limit.at(change) != limit.at(minute)));
        }
        Err(refusal) => assert!(!refusal.contains('\n'), "{refusal}"),
    }
}

#[test]
fn any_text_as_a_limit() {
    const WORDS: [&str; 24] = [
        "none",
        "5Mbit/s",
        "2",
        "MiB",
        "65536",
        "99999999999999999999",
        ",",
        ", ",
        " ",
        "mon",
        "sat-mon",
        "Sun",
        "-",
        ":",
        "08:00-18:00",
        "22:00-06:00",
        "00:00-24:00",
        "24:00-24:00",
        "08",
        "00",
        "\n",
        "é",
        "/s",
        "kbit",
    ];
    const WHOLE: &str = "none, 5Mbit/s mon-fri 08:00-18:00, 1MiB/s sat 22:00-06:00";
    bolero::check!(name = "any_text_as_a_limit")
        .with_iterations(ITERATIONS)
        .for_each(|bytes: &[u8]| {
            check(&String::from_utf8_lossy(bytes));
            let words = bytes
                .iter()
                .map(|byte| WORDS[usize::from(*byte) % WORDS.len()]);
            check(&words.collect::<String>());
            // One that is right but for one byte.
            if let [at, by, ..] = bytes {
                let mut limit = WHOLE.as_bytes().to_vec();
                let at = usize::from(*at) % limit.len();
                limit[at] ^= by;
                check(&String::from_utf8_lossy(&limit));
            }
        });
}
