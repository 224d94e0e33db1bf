//! The wire form: for good, whole or refused, and never a reason to allocate.

mod inline;
mod line;

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::digest::hex;
use crate::lease::{Ask, Claim, MemberId, Progress, Word};
use crate::limits::FRAME_BYTES_MAX;

/// The bytes of each message as they are on every wire since the first release. A difference here is a broken mesh.
#[test]
fn the_bytes_of_each_message_are_for_good() {
    let (a, b) = ([0xaa; 32], [0xbb; 32]);
    let (aa, bb) = ("aa".repeat(32), "bb".repeat(32));
    let hello = Hello {
        release: "0.1.0".into(),
        capabilities: CAN_FETCH,
        membership: Some(vec![1, 2]),
        heads: vec![HeadSummary {
            database: a,
            size: 0x1_0000,
        }],
        up_ms: 7,
    };
    is(
        &hello,
        &format!("0000003201 05302e312e30 01 01020102 01{aa}fc00000100 07"),
    );
    let record = Some(RecordQuestion {
        database: a,
        key: b,
    });
    let file = Some(a);
    is(
        &Query::Locate { file, record },
        &format!("0000006301 00 01{aa} 01{aa}{bb}"),
    );
    let nothing = Query::Locate {
        file: None,
        record: None,
    };
    is(&nothing, "0000000301 00 00 00");
    let coordinates = vec![TileName {
        level: 1,
        index: 300,
        width: 256,
    }];
    let tiles = Query::Tiles {
        database: a,
        coordinates,
    };
    is(&tiles, &format!("0000002901 01{aa} 01 01 fb2c01 fb0001"));
    is(&Query::Head { database: b }, &format!("0000002101 02{bb}"));
    let versions = Query::Versions {
        database: a,
        key: b,
    };
    is(&versions, &format!("0000004101 03{aa}{bb}"));
    is(
        &Query::Acquaint { v4: 8485, v6: 0 },
        "0000000501 06 fb2521 00",
    );
    let name = Some("b-2".to_owned());
    is(&Query::Site { name }, "0000000601 09 01 03622d32");
    is(&Query::Site { name: None }, "0000000201 09 00");
    let site = Answer::Site(Some("b".into()));
    is(&site, "0000000401 0a 01 0162");
    is(&Answer::Site(None), "0000000201 0a 00");
    let acquaintances = Answer::Acquaintances(vec![Acquaintance {
        peer: "12D3".into(),
        address: vec![10, 0, 0, 7],
        port: 8485,
    }]);
    is(
        &acquaintances,
        "0000000f01 08 01 0431324433 040a000007 fb2521",
    );
    let located = Answer::Located {
        file: Some(FileSummary {
            blob: b,
            length: 250,
        }),
        record: Some(RecordAnswer {
            id: 251,
            text: "r\n".into(),
            head: "h".into(),
        }),
    };
    is(
        &located,
        &format!("0000002c01 00 01{bb}fa 01fbfb00 02720a 0168"),
    );
    let tiles = Answer::Tiles(vec![
        None,
        Some(TileBytes {
            width: 1,
            bytes: b.to_vec(),
        }),
    ]);
    is(&tiles, &format!("0000002601 01 02 00 01 01 20{bb}"));
    is(&Answer::Head(Some("h".into())), "0000000401 02 01 0168");
    is(&Answer::Head(None), "0000000201 02 00");
    is(
        &Answer::Busy {
            retry_after_ms: 250,
        },
        "0000000201 03 fa",
    );
    is(&Answer::Refused, "0000000101 04");
    let records = [(250, "r\n"), (251, "s\n")].map(|(id, text)| VersionRecord {
        id,
        text: text.into(),
    });
    let versions = Answer::Versions {
        head: "h".into(),
        records: records.to_vec(),
    };
    is(&versions, "0000000e01 05 0168 02 fa02720a fbfb0002730a");
    let none = Answer::Versions {
        head: String::new(),
        records: Vec::new(),
    };
    is(&none, "0000000301 05 00 00");
    is(&Query::Stated { file: a }, &format!("0000002101 04{aa}"));
    let path = "m/@v/list".into();
    is(&Query::Note { path }, "0000000b01 05 096d2f40762f6c697374");
    let stated = FileStatement {
        author: "A".into(),
        h1: a,
        blob: b,
        length: 250,
        signature: [5; 64],
    };
    let signature = "05".repeat(64);
    is(
        &Answer::Stated(Some(stated)),
        &format!("0000008501 06 01 0141{aa}{bb}fa{signature}"),
    );
    is(&Answer::Stated(None), "0000000201 06 00");
    let note = SharedNote {
        bytes: b"v".to_vec(),
        age_seconds: 251,
    };
    is(&Answer::Note(Some(note)), "0000000701 07 01 0176 fbfb00");
    is(&Answer::Note(None), "0000000201 07 00");
    let coordinates = vec![TileName {
        level: 1,
        index: 300,
        width: 256,
    }];
    let fresh = Query::FreshTiles {
        database: a,
        coordinates,
    };
    is(&fresh, &format!("0000002901 07{aa} 01 01 fb2c01 fb0001"));
    is(&Query::Said { key: b }, &format!("0000002101 08{bb}"));
    let said = SaidByUpstream {
        status: 404,
        bytes: b"no".to_vec(),
        age_ms: 250,
        at_seconds: 251,
        signature: [5; 64],
    };
    is(
        &Answer::Said(Some(said)),
        &format!("0000004c01 09 01 fb9401 026e6f fa fbfb00 {signature}"),
    );
    is(&Answer::Said(None), "0000000201 09 00");
    is(
        &FileRequest::Whole { file: a },
        &format!("0000002101 00{aa}"),
    );
    let here = FileAnswer::Here {
        blob: b,
        length: 1 << 32,
    };
    is(&here, &format!("0000002a01 00{bb} fd0000000001000000"));
    is(&FileAnswer::NotHere, "0000000101 01");
    let busy = FileAnswer::Busy {
        retry_after_ms: 1000,
    };
    is(&busy, "0000000401 02 fbe803");
    is(&FileAnswer::Refused, "0000000101 03");
    let have = Announcement::Have {
        files: vec![a, b],
        heads: vec![(a, "h".into())],
    };
    is(&have, &format!("0000006501 00 02{aa}{bb} 01{aa}0168"));
}

#[test]
fn the_bytes_of_the_words_about_leases_are_for_good() {
    let (a, b) = ([0xaa; 32], [0xbb; 32]);
    let (aa, bb) = ("aa".repeat(32), "bb".repeat(32));
    let want = |claim| Ask::Want {
        key: a,
        can_fetch: true,
        claim,
    };
    let progress = Progress {
        bytes: 7,
        total: Some(1000),
    };
    let id = MemberId(b);
    is(&want(Claim::Nothing), &format!("0000002301 00{aa}01 00"));
    is(
        &want(Claim::Fetching(progress)),
        &format!("0000002801 00{aa}01 01 07 01fbe803"),
    );
    is(
        &want(Claim::WaitedFor(id)),
        &format!("0000004301 00{aa}01 02{bb}"),
    );
    is(
        &want(Claim::Silent(id)),
        &format!("0000004301 00{aa}01 03{bb}"),
    );
    is(&Ask::Progress(progress), "0000000601 01 07 01fbe803");
    is(&Ask::Done, "0000000101 02");
    is(&Ask::Missed { holder: id }, &format!("0000002101 03{bb}"));
    is(&Ask::Failed { status: 404 }, "0000000401 04 fb9401");
    is(&Ask::NotForOthers, "0000000101 05");
    is(&Word::Fetch, "0000000101 00");
    is(&Word::Wait { holder: id }, &format!("0000002101 01{bb}"));
    let unknown = Progress::default();
    is(&Word::Progress(unknown), "0000000301 02 00 00");
    is(&Word::Queued, "0000000101 03");
    let holders = vec![id, MemberId(a)];
    is(
        &Word::Have { holders },
        &format!("0000004201 04 02{bb}{aa}"),
    );
    is(&Word::Nobody, "0000000101 05");
    is(&Word::Busy, "0000000101 06");
}

fn is<M: Message + PartialEq + Debug>(message: &M, expected: &str) {
    let frame = encode(message).unwrap();
    assert_eq!(hex(&frame), expected.replace(' ', ""), "{message:?}");
    assert_eq!(&decode::<M>(&frame).unwrap(), message);
    for cut in 0..frame.len() {
        assert!(
            decode::<M>(&frame[..cut]).is_err(),
            "{message:?} cut to {cut}"
        );
    }
    let mut trailing = frame.clone();
    trailing.push(0);
    assert_eq!(decode::<M>(&trailing), Err(CodecError::Length));
    // The same with a head that counts the byte: it is the message that does not use it.
    trailing[3] += 1;
    assert_eq!(
        decode::<M>(&trailing),
        Err(CodecError::Length),
        "{message:?}"
    );
}

#[test]
fn another_version_and_a_long_frame_are_told_by_the_head_alone() {
    let version = FrameHead::parse([0, 0, 0, 1, 2]);
    assert_eq!(version, Err(CodecError::Version(2)));
    let long = FrameHead::parse([0, 1, 0, 1, 1]);
    assert_eq!(long, Err(CodecError::TooLong(FRAME_BYTES_MAX + 1)));
    let full = FrameHead::parse([0, 1, 0, 0, 1]).unwrap();
    assert_eq!(full.payload_bytes, FRAME_BYTES_MAX);
    assert!(decode_payload::<Answer>(&vec![0; FRAME_BYTES_MAX + 1]).is_err());
}

#[test]
fn lists_and_texts_beyond_their_bounds_neither_leave_nor_enter() {
    let heads = |n| {
        let head = HeadSummary {
            database: [0; 32],
            size: 0,
        };
        vec![head; n]
    };
    let hello = |release: usize, membership: usize, n| Hello {
        release: "r".repeat(release),
        capabilities: u64::MAX,
        membership: Some(vec![0; membership]),
        heads: heads(n),
        up_ms: u64::MAX,
    };
    fits(&hello(64, 256, 8));
    exceeds(&hello(65, 256, 8), "release");
    exceeds(&hello(64, 257, 8), "membership");
    let path = "p".repeat(1025);
    exceeds(&Query::Note { path }, "path");
    let name = |bytes| Some("s".repeat(bytes));
    fits(&Query::Site { name: name(32) });
    exceeds(&Query::Site { name: name(33) }, "site");
    exceeds(&Answer::Site(name(33)), "site");
    let stated = FileStatement {
        author: "a".repeat(65),
        h1: [0; 32],
        blob: [0; 32],
        length: 0,
        signature: [0; 64],
    };
    exceeds(&Answer::Stated(Some(stated)), "author");
    let note = SharedNote {
        bytes: vec![0; 48 * 1024 + 1],
        age_seconds: 0,
    };
    exceeds(&Answer::Note(Some(note)), "note");
    exceeds(&hello(64, 256, 9), "heads");
    let coordinate = TileName {
        level: 63,
        index: u64::MAX,
        width: 256,
    };
    let query = |n| Query::Tiles {
        database: [0; 32],
        coordinates: vec![coordinate; n],
    };
    fits(&query(7));
    exceeds(&query(8), "coordinates");
    let tile = |bytes| {
        Some(TileBytes {
            width: 256,
            bytes: vec![0; bytes],
        })
    };
    fits(&Answer::Tiles(vec![tile(8192); 7]));
    exceeds(&Answer::Tiles(vec![None; 8]), "tiles");
    exceeds(&Answer::Tiles(vec![None, tile(8193)]), "tile");
    let record = |text, head| Answer::Located {
        file: None,
        record: Some(RecordAnswer {
            id: u64::MAX,
            text: "t".repeat(text),
            head: "h".repeat(head),
        }),
    };
    fits(&record(16384, 16384));
    exceeds(&record(16385, 0), "record text");
    exceeds(&record(0, 16385), "head");
    fits(&Answer::Head(Some("h".repeat(16384))));
    exceeds(&Answer::Head(Some("h".repeat(16385))), "head");
    let versions = |records, text: usize, head: usize| Answer::Versions {
        head: "h".repeat(head),
        records: vec![
            VersionRecord {
                id: u64::MAX,
                text: "t".repeat(text),
            };
            records
        ],
    };
    // All bounds at once fit a frame.
    fits(&versions(64, 512, 16384));
    exceeds(&versions(65, 0, 0), "records");
    fits(&versions(2, 16384, 0));
    exceeds(&versions(1, 16385, 0), "record text");
    exceeds(&versions(64, 513, 0), "record texts");
    exceeds(&versions(0, 0, 16385), "head");
    let said = |bytes| {
        Answer::Said(Some(SaidByUpstream {
            status: u16::MAX,
            bytes: vec![0; bytes],
            age_ms: u64::MAX,
            at_seconds: u64::MAX,
            signature: [0; 64],
        }))
    };
    fits(&said(48 * 1024));
    exceeds(&said(48 * 1024 + 1), "saying");
    let acquaintances = |count, name: usize, address| {
        let one = Acquaintance {
            peer: "n".repeat(name),
            address: vec![0; address],
            port: u16::MAX,
        };
        Answer::Acquaintances(vec![one; count])
    };
    fits(&acquaintances(128, 64, 16));
    exceeds(&acquaintances(129, 1, 4), "acquaintances");
    exceeds(&acquaintances(1, 65, 4), "name");
    exceeds(&acquaintances(1, 1, 17), "address");
    let have = |files, heads, note: usize| Announcement::Have {
        files: vec![[0; 32]; files],
        heads: vec![([0; 32], "h".repeat(note)); heads],
    };
    fits(&have(1024, 2, 8192));
    exceeds(&have(1025, 2, 8192), "files");
    exceeds(&have(1024, 3, 0), "heads");
    exceeds(&have(0, 1, 8193), "head");
    let silent = |count, name: usize| Announcement::Silent {
        peers: vec!["n".repeat(name); count],
    };
    fits(&silent(8, 64));
    exceeds(&silent(9, 1), "silent");
    exceeds(&silent(1, 65), "name");
}

fn fits<M: Message + PartialEq + Debug>(message: &M) {
    assert_eq!(&decode::<M>(&encode(message).unwrap()).unwrap(), message);
}

fn exceeds<M: Message + PartialEq + Debug>(message: &M, name: &'static str) {
    assert_eq!(encode(message), Err(CodecError::Bound(name)));
    let bytes = codec::encode_unchecked(message);
    assert_eq!(decode_payload::<M>(&bytes), Err(CodecError::Bound(name)));
}

/// Nine bytes that claim a list of 2^63 elements, and smaller claims that still exceed what a frame may cost.
#[test]
fn a_claimed_length_allocates_nothing() {
    let claims: [&[u8]; 5] = [
        b"\xfd\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\xfd\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xfd\x00\x00\x00\x00\x01\x00\x00\x00",
        b"\xfc\xff\xff\xff\x7f",
        b"\xfc\x01\x00\x01\x00",
    ];
    for claim in claims {
        let behind = |head: &[u8]| [head, claim].concat();
        let database = [1; 32].to_vec();
        assert!(decode_payload::<Hello>(claim).is_err());
        assert!(decode_payload::<Hello>(&behind(b"\x00\x00\x01")).is_err());
        assert!(decode_payload::<Hello>(&behind(b"\x00\x00\x00")).is_err());
        let tiles = [&[1][..], &database].concat();
        assert!(decode_payload::<Query>(&behind(&tiles)).is_err());
        assert!(decode_payload::<Answer>(&behind(b"\x01")).is_err());
        assert!(decode_payload::<Answer>(&behind(b"\x01\x01\x01\x01")).is_err());
        assert!(decode_payload::<Answer>(&behind(b"\x02\x01")).is_err());
        assert!(decode_payload::<Answer>(&behind(b"\x00\x00\x01\x00")).is_err());
        assert!(decode_payload::<Answer>(&behind(b"\x05")).is_err());
        assert!(decode_payload::<Answer>(&behind(b"\x05\x00")).is_err());
        assert!(decode_payload::<Answer>(&behind(b"\x05\x00\x01\x00")).is_err());
        assert!(decode_payload::<Announcement>(&behind(b"\x00")).is_err());
        assert!(decode_payload::<Announcement>(&behind(b"\x00\x00")).is_err());
        assert!(decode_payload::<Announcement>(&behind(b"\x01")).is_err());
    }
}

#[test]
fn unknown_variants_and_broken_texts_are_malformed() {
    assert_eq!(decode_payload::<Query>(b"\x04"), Err(CodecError::Malformed));
    assert_eq!(
        decode_payload::<Answer>(b"\x06"),
        Err(CodecError::Malformed)
    );
    assert_eq!(
        decode_payload::<FileRequest>(b"\x01"),
        Err(CodecError::Malformed)
    );
    assert_eq!(
        decode_payload::<FileAnswer>(b"\x04"),
        Err(CodecError::Malformed)
    );
    for unknown in [b"\x01", b"\x02"] {
        let read = decode_payload::<Announcement>(unknown);
        assert_eq!(read, Err(CodecError::Malformed));
    }
    let not_utf8 = decode_payload::<Answer>(b"\x02\x01\x01\xff");
    assert_eq!(not_utf8, Err(CodecError::Malformed));
}

#[test]
fn any_bytes_are_a_message_or_an_error() {
    bolero::check!().for_each(|bytes: &[u8]| {
        try_all(bytes);
        // A right head lets the rest be tried as a payload.
        let length = (bytes.len() as u32).to_be_bytes();
        let frame = [&length[..], &[WIRE_VERSION], bytes].concat();
        try_one::<Hello>(&frame);
        try_one::<Query>(&frame);
        try_one::<Answer>(&frame);
        try_one::<FileRequest>(&frame);
        try_one::<FileAnswer>(&frame);
        try_one::<Announcement>(&frame);
    });
}

fn try_all(bytes: &[u8]) {
    try_one::<Hello>(bytes);
    try_one::<Answer>(bytes);
    try_one::<Announcement>(bytes);
}

/// What decodes says the same thing when it is encoded and decoded again.
fn try_one<M: Message + PartialEq + Debug>(frame: &[u8]) {
    if let Ok(message) = decode::<M>(frame) {
        assert_eq!(decode::<M>(&encode(&message).unwrap()).unwrap(), message);
    }
}

fn hash() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

fn hello() -> impl Strategy<Value = Hello> {
    let head = (hash(), any::<u64>()).prop_map(|(database, size)| HeadSummary { database, size });
    let membership = option::of(vec(any::<u8>(), 0..=256));
    let numbers = (any::<u64>(), any::<u64>());
    let parts = ("[ -~]{0,64}", numbers, membership, vec(head, 0..=8));
    parts.prop_map(
        |(release, (capabilities, up_ms), membership, heads)| Hello {
            release,
            capabilities,
            membership,
            heads,
            up_ms,
        },
    )
}

fn query() -> impl Strategy<Value = Query> {
    let record = (hash(), hash()).prop_map(|(database, key)| RecordQuestion { database, key });
    let locate = (option::of(hash()), option::of(record));
    let name = any::<(u8, u64, u16)>();
    let name = name.prop_map(|(level, index, width)| TileName {
        level,
        index,
        width,
    });
    let fresh = name.clone();
    prop_oneof![
        locate.prop_map(|(file, record)| Query::Locate { file, record }),
        (hash(), vec(name, 0..=7)).prop_map(|(database, coordinates)| Query::Tiles {
            database,
            coordinates
        }),
        hash().prop_map(|database| Query::Head { database }),
        (hash(), hash()).prop_map(|(database, key)| Query::Versions { database, key }),
        hash().prop_map(|file| Query::Stated { file }),
        "[ -~]{0,1024}".prop_map(|path| Query::Note { path }),
        any::<(u16, u16)>().prop_map(|(v4, v6)| Query::Acquaint { v4, v6 }),
        (hash(), vec(fresh, 0..=7)).prop_map(|(database, coordinates)| Query::FreshTiles {
            database,
            coordinates
        }),
        hash().prop_map(|key| Query::Said { key }),
        option::of("[ -~]{0,32}").prop_map(|name| Query::Site { name }),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let file = (hash(), any::<u64>()).prop_map(|(blob, length)| FileSummary { blob, length });
    let record = (any::<u64>(), ".{0,200}", ".{0,200}");
    let record = record.prop_map(|(id, text, head)| RecordAnswer { id, text, head });
    let version = (any::<u64>(), ".{0,100}");
    let version = version.prop_map(|(id, text)| VersionRecord { id, text });
    let statement = (
        "[ -~]{0,64}",
        hash(),
        hash(),
        any::<u64>(),
        any::<[u8; 64]>(),
    );
    let statement = statement.prop_map(|(author, h1, blob, length, signature)| FileStatement {
        author,
        h1,
        blob,
        length,
        signature,
    });
    let note = (vec(any::<u8>(), 0..=48 * 1024), any::<u64>());
    let note = note.prop_map(|(bytes, age_seconds)| SharedNote { bytes, age_seconds });
    let said = (
        any::<(u16, u64, u64)>(),
        vec(any::<u8>(), 0..=48 * 1024),
        any::<[u8; 64]>(),
    );
    let said = said.prop_map(
        |((status, age_ms, at_seconds), bytes, signature)| SaidByUpstream {
            status,
            bytes,
            age_ms,
            at_seconds,
            signature,
        },
    );
    let tile = (any::<u16>(), vec(any::<u8>(), 0..=8192));
    let tile = tile.prop_map(|(width, bytes)| TileBytes { width, bytes });
    prop_oneof![
        (option::of(file), option::of(record))
            .prop_map(|(file, record)| Answer::Located { file, record }),
        vec(option::of(tile), 0..=7).prop_map(Answer::Tiles),
        option::of(".{0,200}").prop_map(Answer::Head),
        any::<u32>().prop_map(|retry_after_ms| Answer::Busy { retry_after_ms }),
        Just(Answer::Refused),
        (".{0,200}", vec(version, 0..=64))
            .prop_map(|(head, records)| Answer::Versions { head, records }),
        option::of(statement).prop_map(Answer::Stated),
        option::of("[ -~]{0,32}").prop_map(Answer::Site),
        option::of(note).prop_map(Answer::Note),
        option::of(said).prop_map(Answer::Said),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_come_back_as_they_went(
        hello in hello(),
        query in query(),
        answer in answer(),
        files in vec(hash(), 0..=1024),
        heads in vec((hash(), ".{0,200}"), 0..=2),
    ) {
        fits(&hello);
        fits(&query);
        fits(&answer);
        fits(&Announcement::Have { files, heads });
    }
}
