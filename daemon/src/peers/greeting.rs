//! The first words on a connection.
//!
//! Who dialled opens a hello stream and speaks first, the other side answers. In these words members show that they are
//! members; who has nothing to do with the other ends the connection, and both know why (`members.rs`). A peer that says nothing intelligible, or
//! nothing within the time, is put out again: it is another program, or another release whose wire differs. The hello also
//! tells how far the other side's mirrors go; when that is further than ours, its head is asked for at once.

use std::sync::Arc;
use std::time::Instant;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::PeerId;
use libp2p::swarm::Stream;
use modmesh_protocol::limits::{HELLO_HEADS_MAX, HELLO_WAIT_MAX, NO_PROGRESS_MAX};
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::membership::{Refusal, Role, Verdict};
use modmesh_protocol::wire::{CAN_FETCH, HeadSummary, Hello, ON_ERRAND};
use tokio::time::timeout;

use super::frames::{self, FrameError};
use super::streams::Purpose;
use super::{NeighbourEvent, Shared, Tiding, ask, line, name_of, sites};

/// What the other side said, and whether this host has to do with it.
type Greeted = (Hello, Result<(), Refusal>);

/// Speaks first, on a connection that this host made, for an errand or to have a neighbour.
pub(super) async fn speak(shared: Arc<Shared>, peer: PeerId, is_errand: bool) {
    let greeting = shared.members.greets(peer);
    let spoken = async {
        let stream = ask::open(&shared, &peer, Purpose::Hello).await;
        let mut stream = stream.map_err(|error| error.to_string())?;
        let mut ours = hello(&shared, &peer, Role::Dials, Verdict::Open);
        if is_errand {
            ours.capabilities |= ON_ERRAND;
        }
        let theirs = exchange_as_dialler(&mut stream, &ours).await;
        theirs.map_err(|error| error.to_string())
    };
    let outcome = timeout(HELLO_WAIT_MAX, spoken).await;
    let outcome = outcome.unwrap_or_else(|_| Err("no hello in time".into()));
    let outcome = outcome.map(|theirs| {
        let judged = judge(&shared, &peer, Role::Answers, &theirs);
        (theirs, judged)
    });
    drop(greeting);
    settle(&shared, peer, Role::Answers, outcome);
    if shared.roster.is_usable(&peer) {
        if is_errand {
            shared.was_met(&peer);
        }
        sites::exchange(&shared, peer).await;
        shared.errands.arrived(&peer);
    }
}

/// Answers on a connection that the other side made.
pub(super) async fn answer(shared: Arc<Shared>, peer: PeerId, mut stream: Stream) {
    let outcome = answer_as_listener(&shared, &peer, &mut stream).await;
    settle(&shared, peer, Role::Dials, outcome);
    if shared.roster.is_usable(&peer) {
        shared.errands.arrived(&peer);
    }
}

async fn exchange_as_dialler(stream: &mut Stream, ours: &Hello) -> Result<Hello, FrameError> {
    frames::write(stream, ours, HELLO_WAIT_MAX).await?;
    let (theirs, _) = frames::read(stream, HELLO_WAIT_MAX).await?;
    let _ = stream.close().await;
    Ok(theirs)
}

async fn answer_as_listener(
    shared: &Shared,
    peer: &PeerId,
    stream: &mut Stream,
) -> Result<Greeted, String> {
    let theirs = frames::read::<Hello>(stream, HELLO_WAIT_MAX).await;
    let (theirs, _) = theirs.map_err(|error| error.to_string())?;
    // Before the answer: when the dialler has it, it may ask at once.
    let judged = judge(shared, peer, Role::Dials, &theirs);
    if judged.is_ok() && !has_room(shared, peer, &theirs) {
        return Err("there are as many as there may be".into());
    }
    let verdict = match judged {
        Ok(()) => Verdict::Member,
        Err(_) => Verdict::Stranger,
    };
    let ours = hello(shared, peer, Role::Answers, verdict);
    let written = frames::write(stream, &ours, HELLO_WAIT_MAX).await;
    written.map_err(|error| error.to_string())?;
    let _ = timeout(HELLO_WAIT_MAX, stream.close()).await;
    if judged.is_err() {
        // The connection ends when the other side has read why, and not before.
        let _ = timeout(NO_PROGRESS_MAX, stream.read(&mut [0])).await;
    }
    Ok((theirs, judged))
}

/// Whether there is room for `peer`, which called: among the neighbours, or among those on errands.
fn has_room(shared: &Shared, peer: &PeerId, theirs: &Hello) -> bool {
    if theirs.capabilities & ON_ERRAND == 0 {
        return shared.roster.admit(peer, shared.capacity);
    }
    let most = shared.capacity.errands();
    let may_come = shared.errands.comes(*peer, most, Instant::now());
    if may_come {
        shared.roster.is_on_an_errand(peer);
    }
    may_come
}

fn judge(shared: &Shared, peer: &PeerId, role: Role, theirs: &Hello) -> Result<(), Refusal> {
    let (members, roster) = (&shared.members, &shared.roster);
    members.judge(roster, peer, role, theirs.membership.clone())
}

/// What this host says to `peer`. Of a closed host nobody hears how far its mirrors go before it is known to be a member.
fn hello(shared: &Shared, peer: &PeerId, role: Role, verdict: Verdict) -> Hello {
    let heads = match shared.members.is_closed() && verdict != Verdict::Member {
        true => Vec::new(),
        false => shared.shelf.heads(),
    };
    let heads = heads.into_iter().take(HELLO_HEADS_MAX);
    let summary = |(database, size): (DatabaseId, u64)| HeadSummary {
        database: database.0,
        size,
    };
    Hello {
        release: shared.release.clone(),
        capabilities: shared.capabilities,
        membership: shared.members.words(peer, role, verdict),
        heads: heads.map(summary).collect(),
        up_ms: u64::try_from(shared.up_since.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// Ends the greeting in which `peer` spoke from the side `role`.
fn settle(shared: &Arc<Shared>, peer: PeerId, role: Role, outcome: Result<Greeted, String>) {
    let theirs = match outcome {
        Ok((theirs, Ok(()))) => theirs,
        Ok((_, Err(refusal))) => return shared.turn_away(peer, refusal),
        // The connection may have been greeted on another stream, or be gone; only a peer without any hello is put out.
        Err(_) if shared.roster.is_greeted(&peer) => return,
        Err(error) => {
            tracing::debug!(%peer, error, "no hello; the connection is ended");
            shared.roster.failed(&peer, format!("no hello: {error}"));
            shared.outbox.disconnect(peer);
            return;
        }
    };
    shared.roster.can_do(&peer, theirs.capabilities);
    let name = name_of(&peer);
    let Some(found_by) = shared.roster.greeted(&peer, theirs.up()) else {
        tracing::debug!(host = %name, "a host on an errand, or a neighbour once more");
        return;
    };
    // What the gossip holds back of a new neighbour is let go by the swarm's task.
    shared.outbox.filled.notify_one();
    shared.company.met(peer);
    line::look(shared);
    tracing::info!(neighbour = %name, found_by = found_by.as_str(), release = %theirs.release.escape_debug(), "a neighbour came");
    shared.watch.neighbours(shared.roster.usable_count());
    shared.tell(Tiding::Neighbour(NeighbourEvent::Came {
        peer: name,
        found_by,
    }));
    catch_up(shared, peer, role, &theirs);
}

/// Asks for the heads of those databases whose mirror reaches further at the other side, or less far: who can fetch may get
/// what the other side lacks to follow. A member that dialled has told nothing of its mirrors, and is asked for all. Nothing is asked
/// of another site when the budget for that is used up.
fn catch_up(shared: &Arc<Shared>, peer: PeerId, role: Role, theirs: &Hello) {
    if shared.is_out_of_budget(&peer) {
        return;
    }
    let is_untold = shared.members.is_closed() && role == Role::Dials;
    let (ours, can_fetch) = (shared.shelf.heads(), shared.capabilities & CAN_FETCH != 0);
    for (database, size) in ours {
        let is_news = |theirs: u64| theirs > size || theirs > 0 && theirs < size && can_fetch;
        let of_it = |h: &&HeadSummary| h.database == database.0;
        let is_told = theirs.heads.iter().filter(of_it).any(|h| is_news(h.size));
        if !is_told && !is_untold {
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
