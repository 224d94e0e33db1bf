//! Arbitrary bytes through every parser of the log: nothing panics, and what is accepted is spelled in one way only.
#![allow(clippy::unwrap_used)]

use modmesh_protocol::log::{
    Goals, Record, SignedHead, SumdbSetting, Tile, TileCoordinate, TreeHead, VerifierKey,
    authenticate, tiles_needed,
};
use modmesh_protocol::module::ModuleVersion;

const ITERATIONS: usize = 5_000;

#[test]
fn arbitrary_notes_are_refused_without_a_panic() {
    let key = VerifierKey::sum_golang_org();
    bolero::check!()
        .with_iterations(ITERATIONS)
        .for_each(|bytes: &[u8]| {
            assert!(SignedHead::open(bytes, &key).is_err());
            let signed_by_us = [
                b"go.sum database tree\n\n\xe2\x80\x94 sum.golang.org ".as_slice(),
                bytes,
                b"\n",
            ];
            assert!(SignedHead::open(&signed_by_us.concat(), &key).is_err());
        });
}

#[test]
fn a_head_that_is_accepted_has_one_spelling() {
    bolero::check!()
        .with_iterations(ITERATIONS)
        .for_each(|bytes: &[u8]| {
            let tail = String::from_utf8_lossy(bytes);
            for text in [tail.to_string(), format!("go.sum database tree\n{tail}")] {
                if let Ok(head) = TreeHead::parse(&text) {
                    assert!(text.starts_with(&head.text()));
                }
            }
        });
}

#[test]
fn a_lookup_answer_that_is_accepted_reads_back_as_it_came() {
    let of = ModuleVersion::parse("rsc.io/quote@v1.5.2").unwrap();
    bolero::check!()
        .with_iterations(ITERATIONS)
        .for_each(|bytes: &[u8]| {
            let prefixes = [b"".as_slice(), b"942\n", b"942\nrsc.io/quote v1.5.2 h1:"];
            for body in prefixes.map(|prefix| [prefix, bytes].concat()) {
                if let Ok((record, note)) = Record::parse_lookup(&body) {
                    let mut again = record.lookup_body("").into_bytes();
                    again.extend_from_slice(note);
                    assert_eq!(again, body);
                    assert!(record.sums(&of).is_err());
                    if let Some(of) = record.about() {
                        let (module, version) = (of.module.as_str(), of.version.as_str());
                        let begin = format!("{module} {version}");
                        assert!(record.text.starts_with(&begin));
                    }
                }
            }
        });
}

#[test]
fn a_tile_path_that_is_accepted_has_one_spelling() {
    const ALPHABET: &[u8; 16] = b"0123456789x/.p0/";
    bolero::check!()
        .with_iterations(ITERATIONS)
        .for_each(|bytes: &[u8]| {
            let likely: String = bytes
                .iter()
                .map(|byte| ALPHABET[usize::from(byte % 16)] as char)
                .collect();
            for path in [
                String::from_utf8_lossy(bytes).to_string(),
                format!("tile/8/{likely}"),
                format!("tile/8/0/{likely}"),
                format!("tile/8/0/000.p/{likely}"),
            ] {
                if let Ok(coordinate) = TileCoordinate::parse_path(&path) {
                    assert_eq!(coordinate.path(), path);
                    assert!(Tile::new(coordinate, vec![0; coordinate.bytes()]).is_ok());
                }
            }
        });
}

#[test]
fn a_setting_that_is_accepted_reads_back_as_it_is_printed() {
    bolero::check!()
        .with_iterations(ITERATIONS)
        .for_each(|bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            for text in [
                text.to_string(),
                format!("sum.golang.org {text}"),
                format!("sum.golang.org https://{text}"),
                format!("{text}+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"),
            ] {
                if let Ok(setting) = SumdbSetting::parse(&text) {
                    assert_eq!(setting.to_string().parse(), Ok(setting));
                }
            }
        });
}

#[test]
fn goals_of_any_numbers_are_planned_or_refused() {
    bolero::check!()
        .with_iterations(ITERATIONS)
        .with_type::<(u64, Vec<u64>, Vec<u64>)>()
        .cloned()
        .for_each(|(size, records, heads)| {
            let goals = Goals { records, heads };
            let head = TreeHead {
                size,
                root: [0; 32],
            };
            if let Ok(needed) = tiles_needed(size, &goals) {
                assert!(needed.iter().all(|tile| {
                    TileCoordinate::in_tree(size, tile.level, tile.index) == Some(*tile)
                }));
            }
            assert!(authenticate(&head, &goals, &Default::default()).is_err());
        });
}
