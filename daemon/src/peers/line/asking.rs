//! This host as a guest in the line: whom it asks for places, and when.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use modmesh_protocol::lease::MemberId;
use modmesh_protocol::limits::NO_PROGRESS_MAX;
use modmesh_protocol::line::{
    Guest, LineAnswer, LineQuestion, PlacesAsked, PlacesTold, SILENT_AFTER, Standing,
    place_of_the_line, share_of,
};
use modmesh_protocol::wire::{Answer, Query};
use tokio::time::{sleep, timeout};

use super::super::streams::Purpose;
use super::super::talk::owners_of;
use super::super::{PeerError, Shared, ask, errands, frames, lock, peer_id_of};
use super::standing::standing;
use super::{BUSY, IN_VAIN, KeptBy};

/// For how long one that was silent is not asked; twice as long each time that it is again.
const SILENT: Duration = Duration::from_secs(10);
/// How often it is looked who keeps the line, besides when a neighbour comes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Asks for places when that is due, and knows who keeps the line. Nothing to do where this host has no cap.
pub(in super::super) async fn keep(shared: Arc<Shared>) {
    let line = &shared.line;
    let Some(guest) = &line.guest else { return };
    let mut looked_at = Instant::now();
    loop {
        let mut to_ask = std::pin::pin!(line.to_ask.notified());
        to_ask.as_mut().enable();
        if looked_at.elapsed() >= LOOK_EVERY {
            looked_at = Instant::now();
            standing(&shared);
        }
        let now = line.now();
        let due = lock(guest).due(now);
        if due.is_some_and(|due| due <= now) {
            ask_one(&shared, guest).await;
            line.freed.notify_waiters();
            continue;
        }
        let wait = due.map_or(LOOK_EVERY, |due| (due - now).min(LOOK_EVERY));
        tokio::select! {
            () = to_ask => {}
            () = sleep(wait) => {}
            () = shared.commands.closed() => return,
        }
    }
}

/// Puts one question to whoever keeps the line.
async fn ask_one(shared: &Arc<Shared>, guest: &Mutex<Guest>) {
    let line = &shared.line;
    let asked = lock(guest).ask(line.now());
    let hear = |told: &PlacesTold| lock(guest).hear(line.now(), asked.serial, told);
    let candidates = shared.candidates();
    let owners = owners_of(shared, &place_of_the_line(), &candidates);
    let mut owners = owners.into_iter().flatten();
    let here = peer_id_of(&shared.name);
    let next = owners.find(|owner| {
        let peer = owner.peer.or(here);
        peer.is_none_or(|peer| !line.is_passed_over(&peer))
    });
    let outcome = match next.map(|owner| (owner.id, owner.peer)) {
        Some((ours, None)) => {
            *lock(&line.kept_by) = KeptBy::ThisHost;
            line.ask_here(ours, &asked, standing(shared)).ok_or(None)
        }
        Some((_, Some(peer))) => {
            *lock(&line.kept_by) = KeptBy::Neighbour(peer);
            let told = ask_host(shared, peer, asked).await;
            if told.is_ok() {
                line.trust(&peer);
            }
            told.map_err(|error| Some((peer, error)))
        }
        None => {
            *lock(&line.kept_by) = KeptBy::Nobody;
            let share = PlacesAsked {
                most: share_of(asked.most, candidates.len() + 1),
                ..asked
            };
            let ours = MemberId::of(&shared.name);
            let told = lock(&line.by_share).ask(line.now(), ours, &share, Standing::First);
            told.ok_or(None)
        }
    };
    match outcome {
        Ok(told) => hear(&told),
        Err(trouble) => {
            lock(guest).lost(asked.serial);
            match trouble {
                Some((_, PeerError::Busy { .. })) | None => sleep(BUSY).await,
                Some((peer, error)) => {
                    tracing::debug!(%peer, %error, "one that keeps the line for the upstream did not answer");
                    let pause = match error {
                        PeerError::Refused | PeerError::Protocol(_) => IN_VAIN,
                        _ => SILENT,
                    };
                    line.pass_over(peer, pause);
                }
            }
        }
    }
}

/// The time that a call takes to one that is no neighbour is not counted against it.
async fn ask_host(
    shared: &Arc<Shared>,
    peer: PeerId,
    asked: PlacesAsked,
) -> Result<PlacesTold, PeerError> {
    let _errand = errands::call_on(shared, peer).await?;
    let asking = ask_about(shared, &peer, LineQuestion::Places(asked));
    let told = timeout(SILENT_AFTER, asking).await;
    match told.unwrap_or(Err(PeerError::Stalled))? {
        LineAnswer::Places(told) => Ok(told),
        LineAnswer::Heard => Err(PeerError::Protocol("another answer than places")),
    }
}

/// One question about the upstream, one answer.
pub(super) async fn ask_about(
    shared: &Shared,
    peer: &PeerId,
    question: LineQuestion,
) -> Result<LineAnswer, PeerError> {
    let mut stream = ask::open(shared, peer, Purpose::Query).await?;
    let sent = frames::write(&mut stream, &Query::Line(question), NO_PROGRESS_MAX).await?;
    shared.count_sent(peer, sent);
    let (answer, bytes) = frames::read::<Answer>(&mut stream, NO_PROGRESS_MAX).await?;
    shared.count_received(peer, bytes);
    match answer {
        Answer::Line(answer) => Ok(answer),
        Answer::Busy { .. } => Err(PeerError::Busy { retry_after: BUSY }),
        Answer::Refused => Err(PeerError::Refused),
        _ => Err(PeerError::Protocol("another answer than about the line")),
    }
}
