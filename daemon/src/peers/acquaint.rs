//! Asking neighbours whom they know.
//!
//! By multicast a crowd that starts together is heard one after the other, seven a second. But everybody calls the first
//! that are heard, so these know everybody; asking them is quicker than waiting for the last. The first neighbours are asked
//! a moment after they were met, three once more a little later, and one every ten minutes for what was missed.
//!
//! What they say is hearsay. It is followed only to addresses on this host's own links, by whose neighbours such a call
//! could be made as well, and only to hosts that prove the name; see [`Roads::named`](super::roads::Roads::named).

use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use modmesh_protocol::wire::Answer;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::tips::Tip;
use super::{Shared, ask, company, peer_id_of};

/// Neighbours that are asked because they were met, until the next round.
const MET_ASKED_MAX: u32 = 8;
/// How long after: others meet them at the same time.
const AFTER_MEETING: Duration = Duration::from_millis(250);
/// When others are asked once more, after the first was met, and how many.
const ROUNDS: [Duration; 2] = [Duration::from_millis(1500), Duration::from_secs(4)];
const ASKED_IN_A_ROUND: usize = 3;
/// How often one is asked after that.
const EVERY: Duration = Duration::from_secs(600);

/// Asks until nobody wants to know any more.
pub(super) async fn run(shared: Arc<Shared>, tips: mpsc::Sender<Tip>) {
    let mut due: Vec<(Instant, PeerId)> = Vec::new();
    let mut rounds: Vec<(Instant, usize)> = vec![(Instant::now() + EVERY, 1)];
    let mut asked = 0;
    loop {
        let moments = due.iter().map(|(at, _)| *at);
        let moments = moments.chain(rounds.iter().map(|(at, _)| *at));
        let next = moments.min().unwrap_or_else(|| Instant::now() + EVERY);
        tokio::select! {
            () = tips.closed() => return,
            () = shared.company.somebody_met.notified() => {
                let now = Instant::now();
                for peer in shared.company.take_met() {
                    if asked == 0 {
                        rounds.extend(ROUNDS.map(|wait| (now + wait, ASKED_IN_A_ROUND)));
                    }
                    if asked < MET_ASKED_MAX {
                        due.push((now + AFTER_MEETING, peer));
                    }
                    asked = asked.saturating_add(1);
                }
            }
            () = sleep_until(next.into()) => {}
        }
        let now = Instant::now();
        for (_, peer) in due.extract_if(.., |(at, _)| *at <= now) {
            ask_one(&shared, peer, &tips);
        }
        for (_, count) in rounds
            .extract_if(.., |(at, _)| *at <= now)
            .collect::<Vec<_>>()
        {
            let neighbours = shared.roster.usable();
            // In the order of a hash map, which is another one in each process.
            let some = neighbours.iter().filter_map(peer_id_of).take(count);
            some.for_each(|peer| ask_one(&shared, peer, &tips));
            if rounds.is_empty() {
                asked = 0;
                rounds.push((now + EVERY, 1));
            }
        }
    }
}

fn ask_one(shared: &Arc<Shared>, peer: PeerId, tips: &mpsc::Sender<Tip>) {
    let (shared, tips) = (Arc::clone(shared), tips.clone());
    tokio::spawn(async move {
        let question = shared.company.question();
        let answer = ask::query_patiently(&shared, &peer, &question).await;
        let Ok(Answer::Acquaintances(told)) = answer else {
            tracing::debug!(%peer, "a neighbour does not tell whom it knows");
            return;
        };
        let hosts = told.iter().filter_map(company::read).collect();
        let tip = Tip::Named { by: peer, hosts };
        if tips.try_send(tip).is_err() {
            tracing::debug!("too many hints at once; one is left out");
        }
    });
}
