//! Whom one request asks for tiles.
//!
//! Who could not be asked, or gave something false, is asked no more by the same request: so a silent source costs it one
//! silence, however many tiles are needed. Where a proxy said something that is no tile, the database behind it is asked.
//! Before the upstream is asked, the hosts are that may want the same at this moment ([`Together`]), until something false came: what
//! one of them has just fetched nobody has proved, and the upstream's own word is the better one then.

use std::sync::Arc;

use modmesh_protocol::log::{Tile, TileCoordinate};

use super::ask::{AskError, LogSource, TileBytes, TileOf, Together};
use crate::metrics::Source as Kind;

/// The sources that are left, best first.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    left: Vec<Arc<dyn LogSource>>,
    word: Option<AskError>,
    together: Option<Arc<dyn Together>>,
}

/// Who shows a head.
#[derive(Debug, Clone)]
pub(super) enum ShownBy {
    Source(Arc<dyn LogSource>),
    /// It lies on this host: in its own files, or go's.
    ThisHost,
}

/// A tile, and who gave it.
pub(super) type Given = (Tile, Arc<dyn LogSource>);

impl Sources {
    pub(super) fn new(sources: impl IntoIterator<Item = Arc<dyn LogSource>>) -> Self {
        Self {
            left: sources.into_iter().collect(),
            word: None,
            together: None,
        }
    }

    /// The same, and `together` before the upstream.
    pub(super) fn with(self, together: Option<Arc<dyn Together>>) -> Self {
        Self { together, ..self }
    }

    /// The best of them.
    pub(super) fn first(&self) -> Option<&Arc<dyn LogSource>> {
        self.left.first()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Why the last of those who gave nothing gave nothing. Who could not be asked does not take the word of who answered.
    pub(super) fn last_word(&self) -> Option<&AskError> {
        self.word.as_ref()
    }

    /// Which of `some` stands first here; before them who does not stand here, and gave what it had from others.
    pub(super) fn best_of(&self, some: &[Arc<dyn LogSource>]) -> Option<Arc<dyn LogSource>> {
        let is_left = |one: &Arc<dyn LogSource>| self.left.iter().any(|other| is_same(other, one));
        if let Some(hearsay) = some.iter().find(|one| one.is_hearsay() && !is_left(one)) {
            return Some(Arc::clone(hearsay));
        }
        let among = |source: &&Arc<dyn LogSource>| some.iter().any(|one| is_same(one, source));
        self.left.iter().find(among).or(some.first()).cloned()
    }

    /// Asks `source` no more; who stands behind it takes its place. Nor is anybody asked any more for what was not proved.
    pub(super) fn give_up(&mut self, source: &Arc<dyn LogSource>) {
        self.together = None;
        if let Some(place) = self.left.iter().position(|one| is_same(one, source)) {
            self.left.splice(place..=place, source.behind());
        } else {
            // It was asked in the place of the one before it.
            self.left
                .retain(|one| one.behind().is_none_or(|behind| !is_same(&behind, source)));
        }
    }

    /// Asks one after the other for what is still missing. Returns what came, and what nobody has.
    pub(super) async fn tiles(
        &mut self,
        mut missing: Vec<TileCoordinate>,
    ) -> (Vec<Given>, Vec<TileCoordinate>) {
        let mut given = Vec::new();
        let mut turn = 0;
        while let Some(source) = self.left.get(turn).cloned() {
            if missing.is_empty() {
                break;
            }
            let together = self.together.as_ref();
            let together = together.filter(|together| is_same(&together.upstream(), &source));
            let answer = ask(&source, together, missing).await;
            given.extend(answer.tiles);
            missing = answer.unanswered;
            self.note(answer.why);
            if !answer.no_tiles.is_empty() {
                match source.behind() {
                    Some(behind) => {
                        let answer = ask(&behind, None, answer.no_tiles).await;
                        given.extend(answer.tiles);
                        missing.extend(answer.unanswered);
                        missing.extend(answer.no_tiles);
                        self.note(answer.why);
                    }
                    None => missing.extend(answer.no_tiles),
                }
            }
            if answer.is_out_of_reach {
                self.left.remove(turn);
            } else {
                turn += 1;
            }
        }
        (given, missing)
    }

    fn note(&mut self, word: Option<AskError>) {
        let is_silence =
            |word: &Option<AskError>| matches!(word, None | Some(AskError::Unreachable(_)));
        if is_silence(&self.word) || !is_silence(&word) {
            self.word = word.or(self.word.take());
        }
    }
}

/// What one source said.
struct Said {
    tiles: Vec<Given>,
    /// It was not reached for these.
    unanswered: Vec<TileCoordinate>,
    /// What it said about these is no tile.
    no_tiles: Vec<TileCoordinate>,
    /// It was not reached at all.
    is_out_of_reach: bool,
    /// Why one of those did not come.
    why: Option<AskError>,
}

async fn ask(
    source: &Arc<dyn LogSource>,
    together: Option<&Arc<dyn Together>>,
    missing: Vec<TileCoordinate>,
) -> Said {
    let answers = answers(source, together, &missing).await;
    let mut said = Said {
        tiles: Vec::new(),
        unanswered: Vec::new(),
        no_tiles: Vec::new(),
        is_out_of_reach: false,
        why: None,
    };
    for (index, asked) in missing.into_iter().enumerate() {
        match answers.get(index) {
            Some((Err(silence @ AskError::Unreachable(_)), _)) => {
                said.why = Some(silence.clone());
                said.unanswered.push(asked);
            }
            None => said.unanswered.push(asked),
            Some((answer, giver)) => match as_tile(asked, answer) {
                Ok(tile) => said.tiles.push((tile, Arc::clone(giver))),
                Err(why) => {
                    said.why = Some(why);
                    said.no_tiles.push(asked);
                }
            },
        }
    }
    said.is_out_of_reach = said.tiles.is_empty() && said.no_tiles.is_empty();
    said
}

/// What is answered to each of `missing`, and by whom, in their order.
async fn answers(
    source: &Arc<dyn LogSource>,
    together: Option<&Arc<dyn Together>>,
    missing: &[TileCoordinate],
) -> Vec<TileOf> {
    let mut before = match together {
        Some(together) => together.tiles(missing).await,
        None => Vec::new(),
    };
    before.resize_with(missing.len(), || None);
    let left = missing.iter().zip(&before);
    let left: Vec<_> = left
        .filter_map(|(at, answer)| answer.is_none().then_some(*at))
        .collect();
    let mut given = match left.is_empty() {
        true => Vec::new().into_iter(),
        false => source.tiles(&left).await.into_iter(),
    };
    let or_given =
        |answer: Option<TileOf>| answer.or_else(|| Some((given.next()?, Arc::clone(source))));
    before.into_iter().map_while(or_given).collect()
}

/// A tile as a source gave it, if it has the form of one that is wide enough.
fn as_tile(asked: TileCoordinate, answer: &Result<TileBytes, AskError>) -> Result<Tile, AskError> {
    let (width, bytes) = answer.as_ref().map_err(AskError::clone)?;
    let coordinate = TileCoordinate {
        width: *width,
        ..asked
    };
    let tile = Tile::new(coordinate, bytes.clone()).ok();
    tile.filter(|_| *width >= asked.width)
        .ok_or_else(|| AskError::NoAnswer {
            said: format!("what came is no tile {}", asked.path()),
            status: None,
        })
}

impl ShownBy {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Source(source) => source.name(),
            Self::ThisHost => "this host itself (its own files, or go's)".to_owned(),
        }
    }

    /// Whether it is the database's own word.
    pub(super) fn is_the_database(&self) -> bool {
        matches!(self, Self::Source(source) if source.source() == Kind::Upstream)
    }

    pub(super) fn is(&self, other: &Arc<dyn LogSource>) -> bool {
        matches!(self, Self::Source(source) if is_same(source, other))
    }

    /// To be asked for the tiles of that head, and nobody else.
    pub(super) fn alone(&self) -> Sources {
        Sources::new(match self {
            Self::Source(source) => Some(Arc::clone(source)),
            Self::ThisHost => None,
        })
    }
}

pub(super) fn is_same(one: &Arc<dyn LogSource>, other: &Arc<dyn LogSource>) -> bool {
    one.name() == other.name()
}
