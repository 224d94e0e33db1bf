//! Whether a false tile is a lie.
//!
//! Tiles are asked for by place alone, so a neighbour that was shown another log than this host gives tiles that are false
//! here and true there. Before somebody is blamed it is asked for the signed head of its own log: do the very tiles that
//! it gave stand under it, then two signed heads contradict each other, and the database is what lies.

use std::sync::Arc;

use modmesh_protocol::log::{
    Authenticated, Goals, Record, SignedHead, Tile, Untrue, VerifierKey, authenticate, tiles_needed,
};
use modmesh_protocol::module::ModuleVersion;

use super::ask::{LogSource, Part};
use super::contradiction::Contradictions;
use super::sources::{Given, Sources, is_same};

/// Who judges what the sources gave.
#[derive(Debug)]
pub(super) struct Verdicts {
    key: VerifierKey,
    contradictions: Arc<Contradictions>,
}

impl Verdicts {
    pub(super) fn new(key: VerifierKey, contradictions: Arc<Contradictions>) -> Self {
        Self {
            key,
            contradictions,
        }
    }

    /// `given` are tiles that are not true together under `head`, all of them from `source`.
    pub(super) async fn judge(
        &self,
        source: &Arc<dyn LogSource>,
        head: &SignedHead,
        what: &Untrue,
        given: &[Given],
    ) {
        match self.other_log(source, head, given).await {
            Some(own) => {
                self.contradictions.show(head, &own, &source.name());
            }
            None => {
                let at: Vec<_> = given.iter().map(|(tile, _)| tile.coordinate()).collect();
                let evidence = evidence(head, given);
                source.blame(Part::Tiles(&at), &what.to_string(), &evidence);
            }
        }
    }

    /// Judges `source`, whose `record` of `of` does not stand in the log of `head`.
    pub(super) async fn judge_record(
        &self,
        source: &Arc<dyn LogSource>,
        of: &ModuleVersion,
        head: &SignedHead,
        record: &Record,
        what: &str,
        evidence: &[u8],
    ) {
        let goals = Goals {
            records: vec![record.id],
            heads: Vec::new(),
        };
        match self.proved_by_own(source, head, &goals).await {
            Some((own, proved)) if proved.leaf(record.id) == Some(record.leaf_hash()) => {
                self.contradictions.show(head, &own, &source.name());
            }
            _ => source.blame(Part::Record(of), what, evidence),
        }
    }

    /// Judges those of whose tiles one is another than what was `proved` under `head` with the help of others.
    pub(super) async fn convict(
        &self,
        suspects: &[Given],
        head: &SignedHead,
        proved: &Authenticated,
    ) {
        let mut judged: Vec<&Arc<dyn LogSource>> = Vec::new();
        for suspect in suspects {
            let (tile, source) = suspect;
            let is_judged = judged.iter().any(|known| is_same(known, source));
            if !is_judged && stands_in(proved, tile) == Some(false) {
                judged.push(source);
                let untrue = Untrue::Tile(tile.coordinate());
                let given = std::slice::from_ref(suspect);
                self.judge(source, head, &untrue, given).await;
            }
        }
    }

    /// The signed head of the log that `source` shows, if it is another than that of `head` and all of `given` stand in it.
    async fn other_log(
        &self,
        source: &Arc<dyn LogSource>,
        head: &SignedHead,
        given: &[Given],
    ) -> Option<SignedHead> {
        let goals = Goals {
            records: given
                .iter()
                .map(|(tile, _)| first_record_below(tile))
                .collect(),
            heads: Vec::new(),
        };
        let (own, proved) = self.proved_by_own(source, head, &goals).await?;
        let all_stand = given
            .iter()
            .all(|(tile, _)| stands_in(&proved, tile) == Some(true));
        all_stand.then_some(own)
    }

    /// What `source` proves of `goals` by tiles of its own under the signed head of its own log, if that is another than `head`.
    async fn proved_by_own(
        &self,
        source: &Arc<dyn LogSource>,
        head: &SignedHead,
        goals: &Goals,
    ) -> Option<(SignedHead, Authenticated)> {
        let own = SignedHead::open(&source.head().await?, &self.key).ok()?;
        if own.head() == head.head() {
            return None;
        }
        let needed = tiles_needed(own.size(), goals).ok()?;
        let (tiles, _) = Sources::new([Arc::clone(source)]).tiles(needed).await;
        let tiles = tiles
            .into_iter()
            .map(|(tile, _)| ((tile.coordinate().level, tile.coordinate().index), tile))
            .collect();
        let proved = authenticate(own.head(), goals, &tiles).ok()?;
        Some((own, proved))
    }
}

/// The signed head, and the tiles that are not true together under it: each its place and its bytes.
fn evidence(head: &SignedHead, given: &[Given]) -> Vec<u8> {
    let mut bytes = format!("{}\n", head.note()).into_bytes();
    for (tile, _) in given {
        bytes.extend_from_slice(format!("{}\n", tile.coordinate().path()).as_bytes());
        bytes.extend_from_slice(tile.bytes());
    }
    bytes
}

/// Whether `tile` is what stands at its place in the log of `proved`; nothing where that log is too short to tell.
fn stands_in(proved: &Authenticated, tile: &Tile) -> Option<bool> {
    let at = tile.coordinate();
    let place = |other: &&Tile| {
        let other = other.coordinate();
        (other.level, other.index) == (at.level, at.index)
    };
    let there = proved.tiles().find(place)?.cut(at.width)?;
    Some(there.bytes() == tile.bytes())
}

/// The path of this record to the root leads through the tile.
fn first_record_below(tile: &Tile) -> u64 {
    let at = tile.coordinate();
    let below = 8 * (u32::from(at.level) + 1);
    at.index.checked_shl(below).unwrap_or(u64::MAX)
}
