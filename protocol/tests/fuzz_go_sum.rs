//! Arbitrary bytes as a go.sum: nothing panics, every line is read, blank, without meaning here or told as a fault, and what
//! was read reads back as it is printed.
#![allow(clippy::unwrap_used)]

use modmesh_protocol::artifact::{ArtifactKey, FileKind};
use modmesh_protocol::digest::H1;
use modmesh_protocol::go_sum::{FAULTS_TOLD_MAX, GoSum};
use modmesh_protocol::module::ModuleVersion;
use proptest::prelude::*;

const ITERATIONS: usize = 10_000;

fn line(key: &ArtifactKey, sum: &H1) -> String {
    let suffix = match key.kind {
        FileKind::Mod => "/go.mod",
        FileKind::Info | FileKind::Zip => "",
    };
    format!("{} {}{suffix} {sum}\n", key.of.module, key.of.version)
}

fn check(text: &[u8]) {
    let read = GoSum::parse(text).unwrap();
    assert!(read.faults_told.len() <= FAULTS_TOLD_MAX);
    assert!(read.faults_told.len() as u64 <= read.faults);
    let lines = text.split(|&byte| byte == b'\n').count() as u64;
    assert!(read.faults + read.sums.len() as u64 + read.contradictory.len() as u64 <= lines);
    assert!(read.faults_told.iter().all(|fault| fault.line <= lines));
    let printed: String = read.sums.iter().map(|(key, sum)| line(key, sum)).collect();
    let again = GoSum::parse(printed.as_bytes()).unwrap();
    assert_eq!((again.faults, &again.sums), (0, &read.sums));
}

#[test]
fn any_bytes_as_a_go_sum() {
    const ALPHABET: &[u8] = b"v01.-/ \nxgo.mod h1:AB=\t\r\xc3\xa9";
    const WHOLE: &str = "rsc.io/quote v1.5.2 h1:w5fcysjrx7yqtD/aO+QwRjYZOKnaM9Uh2b40tElTs3Y=";
    bolero::check!(name = "any_bytes_as_a_go_sum")
        .with_iterations(ITERATIONS)
        .for_each(|bytes: &[u8]| {
            check(bytes);
            let spelled: Vec<u8> = bytes
                .iter()
                .map(|byte| ALPHABET[usize::from(*byte) % ALPHABET.len()])
                .collect();
            check(&spelled);
            // A line that is right but for one byte.
            if let [at, by, ..] = bytes {
                let mut line = WHOLE.as_bytes().to_vec();
                let at = usize::from(*at) % line.len();
                line[at] ^= by;
                check(&line);
            }
        });
}

fn key() -> impl Strategy<Value = ArtifactKey> {
    let kind = prop_oneof![Just(FileKind::Mod), Just(FileKind::Zip)];
    (0u8..6, 0u8..3, kind).prop_map(|(module, patch, kind)| {
        let of = ModuleVersion::parse(&format!("x.example/m{module}@v1.0.{patch}")).unwrap();
        ArtifactKey { of, kind }
    })
}

proptest! {
    /// Every line counts in whatever order they stand, and no hash of a file counts where another one was given.
    #[test]
    fn a_file_has_the_one_hash_that_all_its_lines_give(
        lines in proptest::collection::vec((key(), 0u8..2), 0..40)
    ) {
        let text: String = lines.iter().map(|(key, sum)| line(key, &H1([*sum; 32]))).collect();
        let read = GoSum::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(read.faults, 0);
        for (key, _) in &lines {
            let given = |sum: u8| lines.iter().any(|(other, given)| other == key && *given == sum);
            let expected = match (given(0), given(1)) {
                (true, true) => None,
                (true, false) => Some(H1([0; 32])),
                _ => Some(H1([1; 32])),
            };
            prop_assert_eq!(read.sums.get(key).copied(), expected);
            prop_assert_eq!(read.contradictory.contains(key), expected.is_none());
        }
    }
}
