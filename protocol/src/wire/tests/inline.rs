//! A small file and its proof in one answer: its bytes, its bounds, and that any of them fits a frame.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::limits::{INLINE_ANSWER_BYTES_MAX, INLINE_FILE_BYTES_MAX, INLINE_TILES_MAX};
use crate::log::HELD_BYTES_MAX;

fn placed(bytes: usize) -> PlacedTile {
    PlacedTile {
        level: 7,
        index: u64::MAX,
        tile: TileBytes {
            width: 256,
            bytes: vec![3; bytes],
        },
    }
}

fn answer(file: InlineFile, text: usize, head: usize, tiles: Vec<PlacedTile>) -> Answer {
    let record = RecordAnswer {
        id: u64::MAX,
        text: "t".repeat(text),
        head: "h".repeat(head),
    };
    Answer::Inline(InlineAnswer {
        file,
        record: Some(record),
        tiles,
    })
}

#[test]
fn the_bytes_of_a_small_file_and_its_proof_are_for_good() {
    let (a, b) = ([0xaa; 32], [0xbb; 32]);
    let (aa, bb) = ("aa".repeat(32), "bb".repeat(32));
    let question = InlineQuestion {
        file: a,
        record: Some(RecordQuestion {
            database: a,
            key: b,
        }),
        size: 300,
        held: vec![1, 2],
    };
    is(
        &Query::Inline(question),
        &format!("0000006801 0a{aa} 01{aa}{bb} fb2c01 020102"),
    );
    let file_alone = InlineQuestion {
        file: b,
        record: None,
        size: 0,
        held: vec![],
    };
    is(
        &Query::Inline(file_alone),
        &format!("0000002401 0a{bb} 00 00 00"),
    );
    let nothing = InlineAnswer {
        file: InlineFile::NotHere,
        record: None,
        tiles: vec![],
    };
    is(&Answer::Inline(nothing), "0000000401 0b 00 00 00");
    let summary = FileSummary {
        blob: b,
        length: 300,
    };
    let large = InlineAnswer {
        file: InlineFile::Large(summary),
        record: None,
        tiles: vec![],
    };
    is(
        &Answer::Inline(large),
        &format!("0000002701 0b 01{bb}fb2c01 00 00"),
    );
    let whole = InlineAnswer {
        file: InlineFile::Whole(b"go\n".to_vec()),
        record: Some(RecordAnswer {
            id: 251,
            text: "r\n".into(),
            head: "h".into(),
        }),
        tiles: vec![PlacedTile {
            level: 1,
            index: 7,
            tile: TileBytes {
                width: 1,
                bytes: b.to_vec(),
            },
        }],
    };
    is(
        &Answer::Inline(whole),
        &format!("0000003401 0b 0203676f0a 01fbfb00 02720a 0168 01 01 07 01 20{bb}"),
    );
}

#[test]
fn what_is_more_than_agreed_neither_leaves_nor_enters() {
    let question = |held| {
        Query::Inline(InlineQuestion {
            file: [0; 32],
            record: None,
            size: u64::MAX,
            held: vec![0; held],
        })
    };
    fits(&question(HELD_BYTES_MAX));
    exceeds(&question(HELD_BYTES_MAX + 1), "held tiles");
    let whole = |bytes| InlineFile::Whole(vec![7; bytes]);
    fits(&answer(whole(INLINE_FILE_BYTES_MAX), 400, 400, vec![]));
    exceeds(
        &answer(whole(INLINE_FILE_BYTES_MAX + 1), 0, 0, vec![]),
        "file",
    );
    exceeds(
        &answer(InlineFile::NotHere, 16385, 0, vec![]),
        "record text",
    );
    exceeds(&answer(InlineFile::NotHere, 0, 16385, vec![]), "head");
    let tiles = |count, bytes| answer(InlineFile::NotHere, 0, 0, vec![placed(bytes); count]);
    fits(&tiles(INLINE_TILES_MAX, 8192));
    exceeds(&tiles(INLINE_TILES_MAX + 1, 32), "tiles");
    exceeds(&tiles(1, 8193), "tile");
}

/// What a holder puts together by this bound is never refused for its length.
#[test]
fn what_keeps_to_the_bound_of_an_answer_fits_a_frame() {
    for tiles in 0..=INLINE_TILES_MAX {
        for (text, head) in [(0, 0), (400, 250), (16384, 100), (16384, 16384)] {
            let rest = INLINE_ANSWER_BYTES_MAX.checked_sub(tiles * 8192 + text + head);
            let Some(rest) = rest else { continue };
            let file = InlineFile::Whole(vec![7; rest.min(INLINE_FILE_BYTES_MAX)]);
            fits(&answer(file, text, head, vec![placed(8192); tiles]));
        }
    }
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let claim = b"\xfd\xff\xff\xff\xff\xff\xff\xff\x7f";
    let behind = |head: &[u8]| [head, claim].concat();
    let question = [&[10][..], &[1; 32], &[0, 0]].concat();
    assert!(decode_payload::<Query>(&behind(&question)).is_err());
    assert!(decode_payload::<Answer>(&behind(b"\x0b\x02")).is_err());
    assert!(decode_payload::<Answer>(&behind(b"\x0b\x00\x00")).is_err());
    assert!(decode_payload::<Answer>(&behind(b"\x0b\x00\x00\x01\x00\x00\x01")).is_err());
    assert!(decode_payload::<Answer>(b"\x0b\x03\x00\x00").is_err());
}

fn any_question() -> impl Strategy<Value = Query> {
    let record = option::of((hash(), hash()));
    let parts = (
        hash(),
        record,
        any::<u64>(),
        vec(any::<u8>(), 0..=HELD_BYTES_MAX),
    );
    parts.prop_map(|(file, record, size, held)| {
        Query::Inline(InlineQuestion {
            file,
            record: record.map(|(database, key)| RecordQuestion { database, key }),
            size,
            held,
        })
    })
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let large = (hash(), any::<u64>());
    let file = prop_oneof![
        Just(InlineFile::NotHere),
        large.prop_map(|(blob, length)| InlineFile::Large(FileSummary { blob, length })),
        vec(any::<u8>(), 0..=4096).prop_map(InlineFile::Whole),
    ];
    let record = option::of((any::<u64>(), ".{0,200}", ".{0,200}"));
    let tile = (any::<(u8, u64, u16)>(), vec(any::<u8>(), 0..=8192));
    let tiles = vec(tile, 0..=6);
    (file, record, tiles).prop_map(|(file, record, tiles)| {
        let tiles = tiles.into_iter().map(|((level, index, width), bytes)| {
            let tile = TileBytes { width, bytes };
            PlacedTile { level, index, tile }
        });
        Answer::Inline(InlineAnswer {
            file,
            record: record.map(|(id, text, head)| RecordAnswer { id, text, head }),
            tiles: tiles.collect(),
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn they_come_back_as_they_went(question in any_question(), answer in any_answer()) {
        fits(&question);
        fits(&answer);
    }
}
