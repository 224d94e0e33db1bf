//! Tiles for clients: cut from what is here, or asked for and proved, or beyond the current head and passed through.

use std::sync::Arc;

use modmesh_protocol::log::{SignedHead, Tile, TileCoordinate};

use super::super::ask::{AskError, Part};
use super::super::finding::Trouble;
use super::super::sources::Sources;
use super::patience::neighbours_first;
use super::{Mirror, OVER};
use crate::metrics::Source;

/// The status of an answer that is none (RFC 9110, section 15.6.3).
const NO_ANSWER: u16 = 502;

/// What the front door gets for a tile.
#[derive(Debug)]
pub(crate) enum TileAnswer {
    /// Proved under the current head, and where it came from when it was asked for.
    Here(Vec<u8>, Source),
    /// Beyond the current head, as the upstream gave it: not proved, not kept, not shared.
    Passed(Vec<u8>),
    /// The tree of the current head has it, and nobody who could be asked gave it; the text is for a person.
    NotToBeHad(String),
    /// It lies beyond every head that could be learned of here, and nobody who was asked has it; the text is for a person.
    Beyond(String),
    /// It lies beyond these too, and whether there is such a tile could not be found out.
    Unknown(Trouble),
}

impl Mirror {
    /// The tile at `coordinate`, cut from a wider one where needed.
    pub(crate) async fn tile(&self, coordinate: TileCoordinate) -> TileAnswer {
        let answer = self.find_tile(coordinate).await;
        match answer {
            _ if self.is_over() => TileAnswer::NotToBeHad(OVER.to_owned()),
            TileAnswer::Beyond(_) if self.is_between_logs() => {
                TileAnswer::NotToBeHad(OVER.to_owned())
            }
            answer => answer,
        }
    }

    async fn find_tile(&self, coordinate: TileCoordinate) -> TileAnswer {
        let prover = &self.inner.prover;
        let _using = prover.using();
        let kept = prover
            .kept_tile(coordinate.level, coordinate.index)
            .and_then(|tile| tile.cut(coordinate.width));
        if let Some(tile) = kept {
            return TileAnswer::Here(tile.into_bytes(), Source::Store);
        }
        let mut head = self.head_above(coordinate);
        if head.is_none() {
            // The client is ahead of us: it has seen a larger tree elsewhere.
            self.serve_holders().await;
            self.catch_up().await;
            head = self.head_above(coordinate);
        }
        let Some(head) = &head else {
            return self.pass(coordinate).await;
        };
        let fetch = |sources| prover.fetch_tile(head, coordinate, sources);
        let surroundings = &self.inner.surroundings;
        let from_neighbours = fetch(Sources::new(surroundings.neighbours()));
        let from_upstream = surroundings
            .upstream()
            .map(|upstream| fetch(Sources::new([upstream]).with(surroundings.together())));
        match neighbours_first(from_neighbours, from_upstream).await {
            Ok(Some((tile, source))) => TileAnswer::Here(tile.into_bytes(), source),
            Ok(None) => TileAnswer::NotToBeHad(format!("no tile {}", coordinate.path())),
            Err(error) => TileAnswer::NotToBeHad(error.to_string()),
        }
    }

    /// The current head, if the tile is in its tree.
    fn head_above(&self, at: TileCoordinate) -> Option<Arc<SignedHead>> {
        let head = self.head()?;
        let there = TileCoordinate::in_tree(head.size(), at.level, at.index)?;
        (there.width >= at.width).then_some(head)
    }

    /// A tile that a client asks for because it has seen a larger tree than we can prove. It must at least continue the
    /// narrower form of it that is here.
    async fn pass(&self, coordinate: TileCoordinate) -> TileAnswer {
        let narrower = self
            .inner
            .prover
            .kept_tile(coordinate.level, coordinate.index);
        let mut upstream = Sources::new(self.inner.surroundings.upstream());
        loop {
            let (mut given, _) = upstream.tiles(vec![coordinate]).await;
            let given = given
                .pop()
                .and_then(|(tile, giver)| Some((tile.cut(coordinate.width)?, giver)));
            let Some((tile, giver)) = given else {
                return match upstream.last_word() {
                    None | Some(AskError::Missing | AskError::NotListed) => {
                        TileAnswer::Beyond(self.beyond(coordinate))
                    }
                    Some(error) => TileAnswer::Unknown(self.unknown(coordinate, error)),
                };
            };
            let continues = |kept: &Arc<Tile>| tile.bytes().starts_with(kept.bytes());
            if narrower.as_ref().is_none_or(continues) {
                return TileAnswer::Passed(tile.into_bytes());
            }
            let what = format!(
                "{} does not continue the narrower form of it that is proved",
                coordinate.path()
            );
            giver.blame(Part::Tiles(&[coordinate]), &what, tile.bytes());
            upstream.give_up(&giver);
            if upstream.is_empty() {
                let said = format!("{} gave one that is false", giver.name());
                let error = AskError::NoAnswer { said, status: None };
                return TileAnswer::Unknown(self.unknown(coordinate, &error));
            }
        }
    }

    /// What is told of a tile that nobody gave and that may be there all the same.
    fn unknown(&self, coordinate: TileCoordinate, error: &AskError) -> Trouble {
        let status = match error {
            AskError::NoAnswer { status, .. } => Some(status.unwrap_or(NO_ANSWER)),
            _ => None,
        };
        let reason = format!(
            "{}; upstream was asked for it: {error}",
            self.beyond(coordinate)
        );
        Trouble {
            reason: reason.into(),
            status,
        }
    }

    fn beyond(&self, coordinate: TileCoordinate) -> String {
        let size = self.tree_size();
        format!(
            "tile {} lies beyond the {size} records of {} that this host can prove; it needs the internet once to catch up",
            coordinate.path(),
            self.name()
        )
    }
}
