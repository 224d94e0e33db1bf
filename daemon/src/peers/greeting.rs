//! The first words on a connection.
//!
//! Who dialled opens a hello stream and speaks first, the other side answers. A peer that says nothing intelligible, or
//! nothing within the time, is put out again: it is another program, or another release whose wire differs. The hello also
//! tells how far the other side's mirrors go; when that is further than ours, its head is asked for at once.

use std::sync::Arc;

use futures::AsyncWriteExt;
use libp2p::PeerId;
use libp2p::swarm::Stream;
use modmesh_protocol::limits::{HELLO_HEADS_MAX, HELLO_WAIT_MAX};
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::wire::{CAN_FETCH, HeadSummary, Hello};
use tokio::time::timeout;

use super::frames::{self, FrameError};
use super::streams::Purpose;
use super::{NeighbourEvent, Shared, Tiding, ask, name_of};

/// Speaks first, on a connection that this host made.
pub(super) async fn speak(shared: Arc<Shared>, peer: PeerId) {
    let spoken = async {
        let stream = ask::open(&shared, &peer, Purpose::Hello).await;
        let mut stream = stream.map_err(|error| error.to_string())?;
        let ours = hello(&shared);
        let theirs = exchange_as_dialler(&mut stream, &ours).await;
        theirs.map_err(|error| error.to_string())
    };
    let outcome = timeout(HELLO_WAIT_MAX, spoken).await;
    settle(
        &shared,
        peer,
        outcome.unwrap_or_else(|_| Err("no hello in time".into())),
    );
}

/// Answers on a connection that the other side made.
pub(super) async fn answer(shared: Arc<Shared>, peer: PeerId, mut stream: Stream) {
    let ours = hello(&shared);
    let theirs = exchange_as_listener(&mut stream, &ours).await;
    settle(&shared, peer, theirs.map_err(|error| error.to_string()));
}

async fn exchange_as_dialler(stream: &mut Stream, ours: &Hello) -> Result<Hello, FrameError> {
    frames::write(stream, ours, HELLO_WAIT_MAX).await?;
    let (theirs, _) = frames::read(stream, HELLO_WAIT_MAX).await?;
    let _ = stream.close().await;
    Ok(theirs)
}

async fn exchange_as_listener(stream: &mut Stream, ours: &Hello) -> Result<Hello, FrameError> {
    let (theirs, _) = frames::read(stream, HELLO_WAIT_MAX).await?;
    frames::write(stream, ours, HELLO_WAIT_MAX).await?;
    let _ = timeout(HELLO_WAIT_MAX, stream.close()).await;
    Ok(theirs)
}

fn hello(shared: &Shared) -> Hello {
    let heads = shared.shelf.heads().into_iter().take(HELLO_HEADS_MAX);
    let summary = |(database, size): (DatabaseId, u64)| HeadSummary {
        database: database.0,
        size,
    };
    Hello {
        release: shared.release.clone(),
        capabilities: shared.capabilities,
        membership: None,
        heads: heads.map(summary).collect(),
        up_ms: u64::try_from(shared.up_since.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

fn settle(shared: &Arc<Shared>, peer: PeerId, outcome: Result<Hello, String>) {
    let theirs = match outcome {
        Ok(theirs) => theirs,
        // The connection may have been greeted on another stream, or be gone; only a peer without any hello is put out.
        Err(_) if shared.roster.is_greeted(&peer) => return,
        Err(error) => {
            tracing::debug!(%peer, error, "no hello; the connection is ended");
            shared.roster.failed(&peer, format!("no hello: {error}"));
            shared.outbox.disconnect(peer);
            return;
        }
    };
    let Some(found_by) = shared.roster.greeted(&peer, theirs.up()) else {
        return;
    };
    let name = name_of(&peer);
    tracing::info!(neighbour = %name, found_by = found_by.as_str(), release = %theirs.release.escape_debug(), "a neighbour came");
    shared.watch.neighbours(shared.roster.usable_count());
    shared.tell(Tiding::Neighbour(NeighbourEvent::Came {
        peer: name,
        found_by,
    }));
    catch_up(shared, peer, &theirs);
}

/// Asks for the heads of those databases whose mirror reaches further at the other side, or less far: who can fetch may get
/// what the other side lacks to follow.
fn catch_up(shared: &Arc<Shared>, peer: PeerId, theirs: &Hello) {
    let (ours, can_fetch) = (shared.shelf.heads(), shared.capabilities & CAN_FETCH != 0);
    for (database, size) in ours {
        let is_news = |theirs: u64| theirs > size || theirs > 0 && theirs < size && can_fetch;
        let of_it = |h: &&HeadSummary| h.database == database.0;
        if !theirs.heads.iter().filter(of_it).any(|h| is_news(h.size)) {
            continue;
        }
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            if let Ok(Some(note)) = ask::head(&shared, &peer, database).await {
                let from = name_of(&peer);
                shared.tell(Tiding::Head(from, database, note));
            }
        });
    }
}
