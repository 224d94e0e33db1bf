//! Tiles for clients: cut from what is here, or asked for and proved, or beyond the current head and passed through.

use modmesh_protocol::log::TileCoordinate;

use super::super::sources::Sources;
use super::Mirror;
use super::patience::neighbours_first;

/// What the front door gets for a tile.
#[derive(Debug)]
pub(crate) enum TileAnswer {
    /// Proved under the current head.
    Here(Vec<u8>),
    /// Beyond the current head, as the upstream gave it: not proved, not kept, not shared.
    Passed(Vec<u8>),
    /// The tree of the current head has it, and nobody who could be asked gave it; the text is for a person.
    NotToBeHad(String),
    /// It lies beyond every head that could be learned of here; the text is for a person.
    Beyond(String),
}

impl Mirror {
    /// The tile at `coordinate`, cut from a wider one where needed.
    pub(crate) async fn tile(&self, coordinate: TileCoordinate) -> TileAnswer {
        let prover = &self.inner.prover;
        let kept = prover
            .kept_tile(coordinate.level, coordinate.index)
            .and_then(|tile| tile.cut(coordinate.width));
        if let Some(tile) = kept {
            return TileAnswer::Here(tile.into_bytes());
        }
        let Some(head) = self.head() else {
            return self.pass(coordinate, 0).await;
        };
        let under_head = TileCoordinate::in_tree(head.size(), coordinate.level, coordinate.index);
        if under_head.is_none_or(|there| there.width < coordinate.width) {
            return self.pass(coordinate, head.size()).await;
        }
        let fetch = |sources| prover.fetch_tile(&head, coordinate, sources);
        let surroundings = &self.inner.surroundings;
        let from_neighbours = fetch(Sources::new(surroundings.neighbours()));
        let from_upstream = surroundings
            .upstream()
            .map(|upstream| fetch(Sources::new([upstream])));
        match neighbours_first(from_neighbours, from_upstream).await {
            Ok(Some(tile)) => TileAnswer::Here(tile.into_bytes()),
            Ok(None) => TileAnswer::NotToBeHad(format!("no tile {}", coordinate.path())),
            Err(error) => TileAnswer::NotToBeHad(error.to_string()),
        }
    }

    /// A tile that a client asks for because it has seen a larger tree than we have.
    async fn pass(&self, coordinate: TileCoordinate, size: u64) -> TileAnswer {
        let mut upstream = Sources::new(self.inner.surroundings.upstream());
        let (mut given, _) = upstream.tiles(vec![coordinate]).await;
        match given.pop().and_then(|(tile, _)| tile.cut(coordinate.width)) {
            Some(tile) => TileAnswer::Passed(tile.into_bytes()),
            None => TileAnswer::Beyond(format!(
                "tile {} lies beyond the {size} records of {} that this host can prove; it needs the internet once to catch up",
                coordinate.path(),
                self.name()
            )),
        }
    }
}
