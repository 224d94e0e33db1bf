//! Whether a false tile is a lie.
//!
//! Tiles are asked for by place alone, so a neighbour that was shown another log than this host gives tiles that are false
//! here and true there. Before somebody is blamed it is asked for the signed head of its own log: do the very tiles that
//! it gave stand under it, then two signed heads contradict each other, and the database is what lies.
//!
//! Only a head of the log that is followed here convicts anybody. What does not fit a head that somebody else just showed may be
//! the truth, and that head another log's; so it stays a doubt ([`Doubts`]) until it is known which of both it is.

use std::sync::Arc;

use modmesh_protocol::log::{
    Authenticated, Goals, Record, SignedHead, Tile, Untrue, VerifierKey, authenticate, tiles_needed,
};
use modmesh_protocol::module::ModuleVersion;

use super::ask::{LogSource, Part};
use super::contradiction::Contradictions;
use super::sources::{Given, Sources, is_same};

/// What did not fit a head while something was to be proved under it.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Tiles that are not true together and that one source alone gave, source by source.
    pub alone: Vec<Doubt>,
    /// Tiles of several sources among which a false one was.
    pub parts: Vec<Given>,
}

/// Tiles that are not true together under a head, all of them from one source.
#[derive(Debug)]
pub(super) struct Doubt {
    pub source: Arc<dyn LogSource>,
    pub untrue: Untrue,
    pub given: Vec<Given>,
}

/// Who judges what the sources gave.
#[derive(Debug)]
pub(super) struct Verdicts {
    key: VerifierKey,
    contradictions: Arc<Contradictions>,
}

impl Doubts {
    pub(super) fn add(&mut self, source: &Arc<dyn LogSource>, untrue: &Untrue, given: Vec<Given>) {
        self.parts.retain(|(_, other)| !is_same(other, source));
        self.alone.push(Doubt {
            source: Arc::clone(source),
            untrue: untrue.clone(),
            given,
        });
    }
}

impl Verdicts {
    pub(super) fn new(key: VerifierKey, contradictions: Arc<Contradictions>) -> Self {
        Self {
            key,
            contradictions,
        }
    }

    /// Judges what came while something was to be proved under `head`, which is of the log that is followed here. `proved` is what
    /// was, in the end.
    pub(super) async fn settle(
        &self,
        doubts: Doubts,
        head: &SignedHead,
        proved: Option<&Authenticated>,
    ) {
        for doubt in &doubts.alone {
            self.judge(doubt, head).await;
        }
        let Some(proved) = proved else { return };
        let mut judged: Vec<Arc<dyn LogSource>> = Vec::new();
        for (tile, source) in doubts.parts {
            let is_judged = judged.iter().any(|known| is_same(known, &source));
            if !is_judged && stands_in(proved, &tile) == Some(false) {
                judged.push(Arc::clone(&source));
                let doubt = Doubt {
                    untrue: Untrue::Tile(tile.coordinate()),
                    given: vec![(tile, Arc::clone(&source))],
                    source,
                };
                self.judge(&doubt, head).await;
            }
        }
    }

    async fn judge(&self, doubt: &Doubt, head: &SignedHead) {
        let Doubt { source, .. } = doubt;
        match self.other_log(doubt, head).await {
            Some(own) => {
                self.contradictions.show(head, &own, &source.name());
            }
            None => match self.own_head(source).await {
                // What it has of that log it need not have whole.
                Some(own) if self.contradictions.given_up().has(&own) => {
                    self.contradictions.given_up_shown(&own, &source.name());
                }
                _ => Self::blame(doubt, head),
            },
        }
    }

    /// Blames the source of `doubt` for what is not true under `head`.
    pub(super) fn blame(doubt: &Doubt, head: &SignedHead) {
        let Doubt {
            source,
            untrue,
            given,
        } = doubt;
        let at: Vec<_> = given.iter().map(|(tile, _)| tile.coordinate()).collect();
        source.blame(
            Part::Tiles(&at),
            &untrue.to_string(),
            &evidence(head, given),
        );
    }

    /// Judges `source`, whose `record` of `of` does not stand in the log of `head`, which is followed here.
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

    /// The signed head of the log that the source of `doubt` shows, if it is another than `head` and all that it gave
    /// stands in it: then the two contradict each other.
    pub(super) async fn other_log(&self, doubt: &Doubt, head: &SignedHead) -> Option<SignedHead> {
        let goals = Goals {
            records: Vec::new(),
            heads: doubt
                .given
                .iter()
                .map(|(tile, _)| head_ending_in(tile))
                .collect(),
        };
        let (own, proved) = self.proved_by_own(&doubt.source, head, &goals).await?;
        let mut given = doubt.given.iter();
        let all_stand = given.all(|(tile, _)| stands_in(&proved, tile) == Some(true));
        all_stand.then_some(own)
    }

    /// What `source` proves of `goals` by tiles of its own under the signed head of its own log, if that is another than `head`.
    async fn proved_by_own(
        &self,
        source: &Arc<dyn LogSource>,
        head: &SignedHead,
        goals: &Goals,
    ) -> Option<(SignedHead, Authenticated)> {
        let own = self.own_head(source).await?;
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

    async fn own_head(&self, source: &Arc<dyn LogSource>) -> Option<SignedHead> {
        SignedHead::open(&source.head().await?, &self.key).ok()
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

/// The size of a head whose right edge begins with the first hash of the tile: it needs this tile and those above it, and none below,
/// for who gave a tile need not have what lies under it.
fn head_ending_in(tile: &Tile) -> u64 {
    let at = tile.coordinate();
    let hashes = at.index.saturating_mul(256).saturating_add(1);
    hashes
        .checked_shl(8 * u32::from(at.level))
        .unwrap_or(u64::MAX)
}
