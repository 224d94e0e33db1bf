//! A small file with all that proves it, in one question: asking for it, and answering.
//!
//! One neighbour is asked for the thing itself, where one is likelier than others to have it, while the others are asked whether they have it: so what
//! comes twice is a few bytes. Whoever answers puts into one frame what fits: the record and its head first, then the file, then the
//! tiles that the asker seems to lack. What is left out is asked for as ever. Nothing of it is believed here.

use std::sync::atomic::{AtomicBool, Ordering};

use libp2p::PeerId;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::digest::BlobId;
use modmesh_protocol::limits::{
    INLINE_ANSWER_BYTES_MAX, INLINE_FILE_BYTES_MAX, INLINE_TILES_MAX, NOTE_BYTES_MAX,
    RECORD_TEXT_BYTES_MAX,
};
use modmesh_protocol::log::{DatabaseId, HASH_BYTES, HeldTiles, TreeHead, tiles_lacking};
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::{
    Answer, FileSummary, InlineAnswer, InlineFile, InlineQuestion, PlacedTile, Query, RecordAnswer,
    RecordQuestion, TileBytes,
};

use super::roster::Rank;
use super::serve::take_from_shelf;
use super::{Haste, PeerError, Peers, Shared, Shelf, Survey, ask, locate, lock};

/// A record that is not here, and what is here of what would prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedProof {
    /// Its database.
    pub database: DatabaseId,
    /// The hash of its key.
    pub record: KeyHash,
    /// Records in the tree that is here, with its right edge.
    pub size: u64,
    /// Full tiles that are here.
    pub held: HeldTiles,
}

/// What came of looking for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Who was asked, and who has it. Who gave it at once is named without a file that could be fetched from it.
    pub survey: Survey,
    /// What one of them gave at once.
    pub given: Option<Given>,
}

/// What one neighbour gave at once; nothing of it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Who.
    pub peer: PeerName,
    /// The file, at most 60 KiB.
    pub file: Option<Vec<u8>>,
    /// The record that was wanted, and its proof.
    pub proof: Option<GivenProof>,
}

/// A record with its head, and tiles that may prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenProof {
    /// The record.
    pub record: RecordAnswer,
    /// Tiles in whatever form they came.
    pub tiles: Vec<PlacedTile>,
}

impl Peers {
    /// As [`Peers::survey`], for a file that may be small, and the record that proves it where that is not here: the neighbour that is
    /// likeliest to have them is asked to give both at once. Returns as soon as a file came so. One whose answer is on its way at the
    /// deadline has two seconds more, and where nobody else can be asked as long as it moves.
    pub async fn find(&self, file: KeyHash, proof: Option<WantedProof>, haste: Haste) -> Found {
        locate::find(&self.shared, file, proof, haste).await
    }
}

/// The words in which both are asked for.
pub(super) fn question(file: KeyHash, proof: Option<WantedProof>) -> InlineQuestion {
    let record = proof.as_ref().map(|proof| RecordQuestion {
        database: proof.database.0,
        key: proof.record.0,
    });
    let (size, held) = proof.map_or_else(Default::default, |proof| (proof.size, proof.held));
    InlineQuestion {
        file: file.0,
        record,
        size,
        held: held.bytes().to_vec(),
    }
}

/// What `peer` gave, if it gave something, and what it says to have of the file.
pub(super) fn sift(peer: &PeerName, answer: InlineAnswer) -> (Option<FileSummary>, Option<Given>) {
    let InlineAnswer {
        file,
        record,
        tiles,
    } = answer;
    let (has, file) = match file {
        InlineFile::NotHere => (None, None),
        InlineFile::Large(summary) => (Some(summary), None),
        InlineFile::Whole(bytes) => (None, Some(bytes)),
    };
    let proof = record.map(|record| GivenProof { record, tiles });
    let given = (file.is_some() || proof.is_some()).then(|| Given {
        peer: peer.clone(),
        file,
        proof,
    });
    (has, given)
}

/// The neighbour that is asked for the thing itself.
pub(super) struct Likeliest {
    pub(super) peer: PeerName,
    query: Query,
    /// Whether its answer has begun to come.
    begun: AtomicBool,
}

impl Likeliest {
    /// Of those that are asked, the one that is likeliest to have the file: who announced it, or else who delivered before; of several
    /// the nearest. Of a single neighbour that one. Nothing where nobody is likelier than others.
    pub(super) fn of(
        shared: &Shared,
        candidates: &[PeerName],
        question: &InlineQuestion,
    ) -> Option<Self> {
        let announced = lock(&shared.directory).holders(&KeyHash(question.file));
        let rank = |peer: &&PeerName| {
            let (rank, far) = shared.roster.inline_rank(peer)?;
            let is_announced = announced.contains(peer);
            let is_likely = is_announced || rank == Rank::Proven || candidates.len() == 1;
            is_likely.then_some((!is_announced, rank, far))
        };
        let ranked = candidates
            .iter()
            .filter_map(|peer| Some((rank(&peer)?, peer)));
        let (_, peer) = ranked.min_by(|(a, _), (b, _)| a.cmp(b))?;
        Some(Self {
            peer: peer.clone(),
            query: Query::Inline(question.clone()),
            begun: AtomicBool::new(false),
        })
    }

    /// Whether its answer is on its way.
    pub(super) fn is_answering(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Asks it, and where it gives no such answer `instead`, as everybody else.
    pub(super) async fn ask(
        &self,
        shared: &Shared,
        peer: &PeerId,
        haste: Haste,
        instead: &Query,
    ) -> Result<Answer, PeerError> {
        let answer = ask::inline(shared, peer, &self.query, haste, &self.begun).await;
        self.begun.store(false, Ordering::Relaxed);
        match answer {
            Ok(answer) => Ok(Answer::Inline(answer)),
            Err(error @ (PeerError::Gone | PeerError::Stalled)) => Err(error),
            Err(_) => ask::query_patiently(shared, peer, instead).await,
        }
    }
}

/// Whether this is a whole file.
pub(super) fn is_whole(answer: &Answer) -> bool {
    matches!(answer, Answer::Inline(answer) if matches!(answer.file, InlineFile::Whole(_)))
}

/// What the shelf has for `question`; of a file at most `file_bytes_max`. Blocks on the disk.
pub(super) fn answer(
    shelf: &dyn Shelf,
    question: InlineQuestion,
    file_bytes_max: usize,
) -> InlineAnswer {
    let fits = |record: &RecordAnswer| {
        record.text.len() <= RECORD_TEXT_BYTES_MAX && record.head.len() <= NOTE_BYTES_MAX
    };
    let asked = question.record;
    let record = asked
        .and_then(|asked| shelf.record(DatabaseId(asked.database), KeyHash(asked.key)))
        .filter(fits);
    let mut left = INLINE_ANSWER_BYTES_MAX;
    if let Some(record) = &record {
        left = left.saturating_sub(record.text.len() + record.head.len());
    }
    let file = small_file(
        shelf,
        KeyHash(question.file),
        file_bytes_max.min(left).min(INLINE_FILE_BYTES_MAX),
    );
    if let InlineFile::Whole(bytes) = &file {
        left = left.saturating_sub(bytes.len());
    }
    let tiles = match (asked, &record) {
        (Some(asked), Some(record)) => {
            let held = HeldTiles::from_bytes(question.held);
            tiles(shelf, asked, record, question.size, &held, left)
        }
        _ => Vec::new(),
    };
    InlineAnswer {
        file,
        record,
        tiles,
    }
}

/// The file, whole where it has at most `bytes_max` bytes, and where they are still those that were kept.
fn small_file(shelf: &dyn Shelf, key: KeyHash, bytes_max: usize) -> InlineFile {
    let is_small = |length: u64| length <= bytes_max as u64;
    match shelf.summary(key) {
        None => InlineFile::NotHere,
        Some((BlobId(blob), length)) if !is_small(length) => {
            InlineFile::Large(FileSummary { blob, length })
        }
        Some((BlobId(blob), length)) => match take_from_shelf(shelf, key) {
            Some(taken) if is_small(taken.length) => InlineFile::Whole(taken.first),
            // Another one has taken its place since.
            Some(_) => InlineFile::Large(FileSummary { blob, length }),
            None => InlineFile::NotHere,
        },
    }
}

/// The tiles that the asker seems to lack, as far as `left` bytes take them.
fn tiles(
    shelf: &dyn Shelf,
    asked: RecordQuestion,
    record: &RecordAnswer,
    size: u64,
    held: &HeldTiles,
    mut left: usize,
) -> Vec<PlacedTile> {
    // The head that goes with the record says how far the tree goes that is told of here.
    let Ok(head) = TreeHead::parse(&record.head) else {
        return Vec::new();
    };
    let mut given = Vec::new();
    for at in tiles_lacking(record.id, size, head.size, held) {
        let bytes = usize::from(at.width) * HASH_BYTES;
        if given.len() == INLINE_TILES_MAX || bytes > left {
            break;
        }
        let kept = shelf.tile(DatabaseId(asked.database), at.level, at.index, at.width);
        let Some((width, mut kept)) = kept.filter(|(width, _)| *width >= at.width) else {
            continue;
        };
        // A wider one serves as well, and only what is asked for is sent of one that has the right form.
        let width = if kept.len() == usize::from(width) * HASH_BYTES {
            kept.truncate(bytes);
            at.width
        } else {
            width
        };
        left -= bytes;
        given.push(PlacedTile {
            level: at.level,
            index: at.index,
            tile: TileBytes { width, bytes: kept },
        });
    }
    given
}
