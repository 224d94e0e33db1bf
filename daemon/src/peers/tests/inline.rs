//! A small file with its proof in one question: what is given, to whom it is put, and what becomes of odd answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::AsyncWriteExt;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::limits::INLINE_FILE_BYTES_MAX;
use modmesh_protocol::log::HeldTiles;
use modmesh_protocol::wire::{
    Answer, FileSummary, GIVES_INLINE, InlineAnswer, InlineFile, PlacedTile, Query, RecordAnswer,
    TileBytes, decode_payload, encode,
};

use super::super::streams::Purpose;
use super::super::{Found, Haste, WantedProof, lock, name_of};
use super::host::{DATABASE, Host};
use super::rogue::{Rogue, after_hello_of, read_frame};

const FILE: KeyHash = KeyHash([1; 32]);
const RECORD: KeyHash = KeyHash([9; 32]);
/// A head of 300 records; whether it is signed nobody looks at here.
const HEAD: &str = "go.sum database tree\n300\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

fn wanted(size: u64, held: HeldTiles) -> Option<WantedProof> {
    Some(WantedProof {
        database: DATABASE,
        record: RECORD,
        size,
        held,
    })
}

/// A host with record 7 of a log of 300, and all its tiles.
fn fill(host: &Host) {
    lock(&host.shelf.records).insert(RECORD, (7, "a record\n".to_owned()));
    *lock(&host.shelf.head) = Some((300, HEAD.to_owned()));
    let tile = |width: u16| (width, vec![width as u8; usize::from(width) * 32]);
    let mut tiles = lock(&host.shelf.tiles);
    tiles.insert((0, 0), tile(256));
    tiles.insert((0, 1), tile(44));
    tiles.insert((1, 0), tile(1));
}

fn places(found: &Found) -> Vec<(u8, u64, u16)> {
    let given = found.given.as_ref().unwrap();
    let tiles = &given.proof.as_ref().unwrap().tiles;
    let form = |placed: &PlacedTile| {
        assert_eq!(placed.tile.bytes.len(), usize::from(placed.tile.width) * 32);
        (placed.level, placed.index, placed.tile.width)
    };
    tiles.iter().map(form).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_comes_with_its_record_and_the_tiles_that_are_not_there() {
    let (a, b) = Host::pair().await;
    let (key, _) = a.put(1, b"module m\n");
    fill(&a);
    let find = |size, held| b.peers.find(key, wanted(size, held), Haste::NobodyElse);
    let found = find(0, HeldTiles::default()).await;
    let given = found.given.clone().unwrap();
    assert_eq!(given.peer, a.peers.name());
    assert_eq!(given.file.as_deref(), Some(&b"module m\n"[..]));
    let record = RecordAnswer {
        id: 7,
        text: "a record\n".to_owned(),
        head: HEAD.to_owned(),
    };
    assert_eq!(given.proof.as_ref().unwrap().record, record);
    assert_eq!(places(&found), [(1, 0, 1), (0, 0, 256), (0, 1, 44)]);
    // Who gave it is named, and has nothing more.
    assert_eq!(found.survey.found.len(), 1);
    assert_eq!(found.survey.found[0].file, None);
    assert_eq!((found.survey.asked, found.survey.silent), (1, 0));
    // Who has the head has its edge, and says what else it has.
    assert_eq!(
        places(&find(300, HeldTiles::default()).await),
        [(0, 0, 256)]
    );
    assert_eq!(places(&find(300, HeldTiles::of([(0, 0)])).await), []);
    // A tree that cannot be needs nothing.
    assert_eq!(places(&find(u64::MAX, HeldTiles::default()).await), []);
    // The file alone, where the record is here.
    let found = b.peers.find(key, None, Haste::NobodyElse).await;
    assert_eq!(found.given.unwrap().proof, None);
    // The record alone, where the file is not there.
    let found = b.peers.find(
        KeyHash([2; 32]),
        wanted(300, HeldTiles::default()),
        Haste::NobodyElse,
    );
    let given = found.await.given.unwrap();
    assert_eq!((given.file, given.proof.unwrap().record.id), (None, 7));
    let nothing = b
        .peers
        .find(KeyHash([2; 32]), None, Haste::NobodyElse)
        .await;
    assert_eq!((nothing.given, nothing.survey.found), (None, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_named_and_left_out() {
    let (a, b) = Host::pair().await;
    fill(&a);
    let find = |key| {
        b.peers
            .find(key, wanted(0, HeldTiles::default()), Haste::NobodyElse)
    };
    let (key, _) = a.put(1, &vec![7; INLINE_FILE_BYTES_MAX]);
    let found = find(key).await;
    let given = found.given.clone().unwrap();
    assert_eq!(given.file.unwrap().len(), INLINE_FILE_BYTES_MAX);
    // The small tile above, and not the large one.
    assert_eq!(places(&found), [(1, 0, 1)]);
    let (key, blob) = a.put(1, &vec![7; INLINE_FILE_BYTES_MAX + 1]);
    let found = find(key).await;
    assert_eq!(found.survey.found[0].file, Some((blob, 61_441)));
    assert_eq!(found.given.as_ref().unwrap().file, None);
    assert_eq!(places(&found).len(), 3);
    // A record that leaves no room.
    let (key, blob) = a.put(1, &vec![7; INLINE_FILE_BYTES_MAX]);
    lock(&a.shelf.records).insert(RECORD, (7, "t".repeat(16 << 10)));
    let found = find(key).await;
    assert_eq!(found.survey.found[0].file, Some((blob, 61_440)));
    assert!(found.given.unwrap().proof.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_those_that_were_kept_are_not_given() {
    let (a, b) = Host::pair().await;
    let (key, _) = a.put(1, b"module m\n");
    let (path, ..) = lock(&a.shelf.files)[&key].clone();
    std::fs::write(path, b"module n\n").unwrap();
    let found = b.peers.find(key, None, Haste::NobodyElse).await;
    assert_eq!((found.given, found.survey.found), (None, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_the_one_that_announced_it_is_asked_for_it_and_the_others_whether_they_have_it()
{
    let mut hosts = Vec::new();
    for _ in 0..3 {
        hosts.push(Host::start(&[]).await);
    }
    let addresses: Vec<_> = hosts
        .iter()
        .flat_map(|host| host.peers.addresses())
        .collect();
    let host = Host::start(&addresses).await;
    super::host::until("all are neighbours", || host.peers.connected() == 3).await;
    for (number, holder) in hosts.iter().enumerate() {
        let key = KeyHash([number as u8 + 1; 32]);
        holder.put(number as u8 + 1, b"module m\n");
        lock(&host.peers.shared.directory).announce(&holder.peers.name(), [key]);
        let found = host.peers.find(key, None, Haste::NobodyElse).await;
        assert_eq!(found.given.unwrap().peer, holder.peers.name());
        assert_eq!((found.survey.asked, found.survey.silent), (3, 0));
    }
}

/// A neighbour that says it can do this, answers inline questions with these bytes and says to others that it has the file.
async fn odd(capabilities: u64, inline: Vec<u8>) -> (Rogue, Arc<AtomicUsize>) {
    let asked: Arc<AtomicUsize> = Arc::default();
    let counts = Arc::clone(&asked);
    let rogue = Rogue::start(after_hello_of(capabilities, move |purpose, mut stream| {
        let (inline, counts) = (inline.clone(), Arc::clone(&counts));
        async move {
            if purpose != Purpose::Query {
                return;
            }
            let located = Answer::Located {
                file: Some(FileSummary {
                    blob: [0; 32],
                    length: 9,
                }),
                record: None,
            };
            let answer = match decode_payload(&read_frame(&mut stream).await) {
                Ok(Query::Inline(_)) => {
                    counts.fetch_add(1, Ordering::Relaxed);
                    inline
                }
                _ => encode(&located).unwrap(),
            };
            let _ = stream.write_all(&answer).await;
            let _ = stream.close().await;
        }
    }))
    .await;
    (rogue, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_the_question_is_asked_as_ever_and_once_at_most() {
    let refused = encode(&Answer::Refused).unwrap();
    // A host of an earlier release says that it cannot do it; one that says it can and cannot is believed once.
    for (capabilities, times) in [(0, 0), (GIVES_INLINE, 1)] {
        let (rogue, asked) = odd(capabilities, refused.clone()).await;
        let mut host = Host::start(std::slice::from_ref(&rogue.address)).await;
        assert_eq!(host.came().await, name_of(&rogue.id));
        for _ in 0..2 {
            let found = host.peers.find(FILE, None, Haste::NobodyElse).await;
            assert_eq!(found.survey.found.len(), 1);
            assert_eq!(found.given, None);
        }
        assert_eq!(asked.load(Ordering::Relaxed), times);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_is_none_and_the_neighbour_is_asked_as_ever() {
    let whole = |bytes: usize| {
        let tile = TileBytes {
            width: 256,
            bytes: vec![1; 8192],
        };
        let placed = PlacedTile {
            level: 0,
            index: 0,
            tile,
        };
        Answer::Inline(InlineAnswer {
            file: InlineFile::Whole(vec![7; bytes]),
            record: None,
            tiles: vec![placed],
        })
    };
    let mut too_long = encode(&whole(40_000)).unwrap();
    // The frame says that it is longer than any may be.
    too_long[..4].copy_from_slice(&[0, 1, 0, 1]);
    let mut file_too_long = encode(&whole(INLINE_FILE_BYTES_MAX - 10_000)).unwrap();
    // The length of the file, behind its variant.
    file_too_long[8..10].copy_from_slice(&u16::MAX.to_le_bytes());
    let head = encode(&Answer::Head(None)).unwrap();
    for answer in [too_long, file_too_long, head] {
        let (rogue, _) = odd(GIVES_INLINE, answer).await;
        let mut host = Host::start(std::slice::from_ref(&rogue.address)).await;
        assert_eq!(host.came().await, name_of(&rogue.id));
        let found = host.peers.find(FILE, None, Haste::NobodyElse).await;
        assert_eq!(found.given, None);
        assert_eq!(found.survey.found.len(), 1);
        assert_eq!(host.peers.connected(), 1);
    }
}

/// A neighbour whose whole answer comes in two halves, this long apart.
async fn halting(pause: Duration) -> (Rogue, Arc<AtomicUsize>) {
    let asked: Arc<AtomicUsize> = Arc::default();
    let counts = Arc::clone(&asked);
    let rogue = Rogue::start(after_hello_of(GIVES_INLINE, move |_, mut stream| {
        let counts = Arc::clone(&counts);
        async move {
            let Ok(Query::Inline(_)) = decode_payload(&read_frame(&mut stream).await) else {
                return;
            };
            counts.fetch_add(1, Ordering::Relaxed);
            let answer = Answer::Inline(InlineAnswer {
                file: InlineFile::Whole(b"module m\n".to_vec()),
                record: None,
                tiles: vec![],
            });
            let answer = encode(&answer).unwrap();
            let (first, second) = answer.split_at(answer.len() / 2);
            let _ = stream.write_all(first).await;
            let _ = stream.flush().await;
            tokio::time::sleep(pause).await;
            let _ = stream.write_all(second).await;
            let _ = stream.close().await;
        }
    }))
    .await;
    (rogue, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_on_its_way_is_waited_for() {
    let (rogue, _) = halting(Duration::from_millis(400)).await;
    let mut host = Host::start(std::slice::from_ref(&rogue.address)).await;
    assert_eq!(host.came().await, name_of(&rogue.id));
    let found = host.peers.find(FILE, None, Haste::OthersWait).await;
    assert_eq!(found.given.unwrap().file.unwrap(), b"module m\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_end_its_answer_within_two_seconds_is_left_and_asked_as_ever() {
    let (rogue, asked) = halting(Duration::from_secs(3600)).await;
    let mut host = Host::start(std::slice::from_ref(&rogue.address)).await;
    let name = host.came().await;
    for _ in 0..2 {
        let began = Instant::now();
        let found = host.peers.find(FILE, None, Haste::OthersWait).await;
        assert_eq!(found.given, None);
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // Its line is slow, and it is not silent.
    assert!(!host.peers.is_slow(&name));
}
