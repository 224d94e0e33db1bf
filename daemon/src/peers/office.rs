//! This host as an owner: what it tells those who want something that lies in its care, see [`modmesh_protocol::lease`].
//!
//! The desk decides; here are its clock, its streams and its bounds. It runs while somebody asks and for as long as the desk
//! remembers, so that a host that nobody asks does nothing. An asker that does not take what it is told is let go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::PeerId;
use libp2p::swarm::Stream;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::lease::{Ask, Claim, Desk, MemberId, Said, Ticket, Word};
use modmesh_protocol::limits::{NO_PROGRESS_MAX, PROGRESS_EVERY, SEND_STALL_MAX};
use modmesh_protocol::wire::CodecError;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::frames::{self, FrameError};
use super::probes::Lookout;
use super::serve::SMALL_FILE_BYTES_MAX;
use super::{Shared, lock, name_of, peer_id_of};

/// Words that wait to be sent to one asker: one a change, and one every 200 ms.
const WORDS_WAITING_MAX: usize = 16;
/// How long one asker may stay: longer than a transfer may take.
const STAY_MAX: Duration = Duration::from_secs(40 * 60);
/// Least time between two words that are taken from one asker: it has something to say five times a second.
const BETWEEN_ASKS: Duration = Duration::from_millis(20);

/// What this host decides as an owner.
#[derive(Debug)]
pub(super) struct Office {
    began: Instant,
    lookout: Lookout,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    desk: Desk,
    lines: HashMap<Ticket, Line>,
    last_ticket: u64,
    is_running: bool,
}

/// What is said to one asker.
#[derive(Debug)]
struct Line {
    words: mpsc::Sender<Word>,
    /// Nobody where this host itself asks.
    peer: Option<PeerId>,
}

/// One that asks something; gone when this is dropped.
#[derive(Debug)]
pub(super) struct Visit {
    office: Arc<Office>,
    ticket: Ticket,
}

impl Office {
    /// Has those looked at whose words it misses.
    pub(super) fn new(lookout: Lookout) -> Self {
        Self {
            began: Instant::now(),
            lookout,
            state: Mutex::default(),
        }
    }

    /// Somebody wants something, a neighbour or this host itself: who is there now, and what it is told. `known` are those that are
    /// known to have it.
    pub(super) fn want(
        self: &Arc<Self>,
        (who, peer): (MemberId, Option<PeerId>),
        want: (KeyHash, bool, Claim),
        known: &[MemberId],
    ) -> (Visit, mpsc::Receiver<Word>) {
        let (line, words_out) = mpsc::channel(WORDS_WAITING_MAX);
        let mut state = lock(&self.state);
        state.last_ticket += 1;
        let ticket = Ticket(state.last_ticket);
        let line = Line { words: line, peer };
        state.lines.insert(ticket, line);
        let said = state.desk.want(self.now(), ticket, who, want, known);
        state.pass_on(said);
        if !state.is_running && !state.desk.is_empty() {
            state.is_running = true;
            tokio::spawn(Arc::clone(self).run());
        }
        drop(state);
        let office = Arc::clone(self);
        (Visit { office, ticket }, words_out)
    }

    /// Leases in force and askers that wait, for people to see.
    pub(super) fn counts(&self) -> (usize, usize) {
        lock(&self.state).desk.counts()
    }

    async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PROGRESS_EVERY).await;
            let mut state = lock(&self.state);
            let now = self.now();
            for ticket in state.desk.unheard(now) {
                let line = state.lines.get(&ticket);
                if let Some(peer) = line.and_then(|line| line.peer) {
                    let is_mute = self.lookout.finds_mute(&peer);
                    state.desk.is_mute(ticket, is_mute);
                }
            }
            let said = state.desk.tick(now);
            state.pass_on(said);
            if state.desk.is_empty() {
                state.is_running = false;
                return;
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

impl State {
    /// Who does not take its words loses its line, which ends its visit; of how far a holder is the latest is enough.
    fn pass_on(&mut self, said: Said) {
        for (ticket, word) in said {
            let is_last = matches!(word, Word::Nobody | Word::Busy);
            let may_be_lost = matches!(word, Word::Progress(_));
            let sent = self
                .lines
                .get(&ticket)
                .map(|line| line.words.try_send(word));
            if is_last || matches!(sent, Some(Err(_))) && !may_be_lost {
                self.lines.remove(&ticket);
            }
        }
    }
}

impl Visit {
    /// The asker says something.
    pub(super) fn hear(&self, ask: &Ask) {
        let mut state = lock(&self.office.state);
        let said = state.desk.hear(self.office.now(), self.ticket, ask);
        state.pass_on(said);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = lock(&self.office.state);
        state.lines.remove(&self.ticket);
        let said = state.desk.gone(self.office.now(), self.ticket);
        state.pass_on(said);
    }
}

/// Answers a neighbour that wants something, until it has it or goes.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    peer: PeerId,
    stream: Stream,
) -> Result<(), FrameError> {
    let (mut reader, mut writer) = stream.split();
    let (want, bytes) = frames::read::<Ask>(&mut reader, NO_PROGRESS_MAX).await?;
    shared.count_received(&peer, bytes);
    let Ask::Want {
        key,
        can_fetch,
        claim,
    } = want
    else {
        return Err(CodecError::Bound("first word").into());
    };
    if shared.roster.is_across(&peer) {
        // Each site has its own owners. One that does not know of sites passes this one over.
        let bytes = frames::write(&mut writer, &Word::Busy, SEND_STALL_MAX).await?;
        shared.count_sent(&peer, bytes);
        let _ = timeout(SEND_STALL_MAX, writer.close()).await;
        return Ok(());
    }
    let who = MemberId::of(&name_of(&peer));
    let key = KeyHash(key);
    let known = known_holders(shared, key).await;
    let (visit, mut words) = shared
        .office
        .want((who, Some(peer)), (key, can_fetch, claim), &known);
    let hearing = async {
        loop {
            let (ask, bytes) = frames::read::<Ask>(&mut reader, STAY_MAX).await?;
            shared.count_received(&peer, bytes);
            if matches!(ask, Ask::Done) && shared.roster.on_errand(&peer) {
                shared.has_it_on_an_errand(&peer, key);
            }
            visit.hear(&ask);
            tokio::time::sleep(BETWEEN_ASKS).await;
        }
    };
    let saying = async {
        while let Some(word) = words.recv().await {
            let bytes = frames::write(&mut writer, &word, SEND_STALL_MAX).await?;
            shared.count_sent(&peer, bytes);
        }
        Ok(())
    };
    let ended: Result<(), FrameError> = tokio::select! {
        ended = hearing => ended,
        ended = saying => ended,
    };
    // That the asker closes its side is how an ordinary visit ends.
    let _ = timeout(SEND_STALL_MAX, writer.close()).await;
    match ended {
        Err(FrameError::Stream(_)) | Ok(()) => Ok(()),
        failed => failed,
    }
}

impl Shared {
    /// A host on an errand has `key` now. It is no neighbour, so no announcement of it is heard.
    fn has_it_on_an_errand(&self, peer: &PeerId, key: KeyHash) {
        let name = name_of(peer);
        let mut said = lock(&self.said_on_errands);
        if !said.hears(&name) {
            said.forget_eldest();
        }
        said.announce(&name, [key]);
    }
}

/// Those of this site that are known here to have `key`: this host itself, and those that announced it.
pub(super) async fn known_holders(shared: &Arc<Shared>, key: KeyHash) -> Vec<MemberId> {
    let shelf = Arc::clone(&shared.shelf);
    let is_paused = shared.are_uploads_paused();
    let is_closed = shared.members.is_closed();
    let gives = move || {
        let stated = || is_closed.then(|| shelf.statement(key)).flatten();
        let length = shelf.summary(key).map(|(_, length)| length);
        match length.or_else(|| stated().map(|stated| stated.length)) {
            Some(length) => !is_paused || length <= SMALL_FILE_BYTES_MAX,
            None => shelf.holds(key),
        }
    };
    let is_here = tokio::task::spawn_blocking(gives).await;
    let mut known = Vec::new();
    if is_here.unwrap_or(false) {
        known.push(MemberId::of(&shared.name));
    }
    let mut announced = lock(&shared.directory).holders(&key);
    let on_errands = lock(&shared.said_on_errands).holders(&key);
    for name in on_errands {
        if !announced.contains(&name) {
            announced.push(name);
        }
    }
    let reachable = announced.into_iter().filter(|name| {
        let id = peer_id_of(name).filter(|id| !shared.roster.is_across(id));
        id.is_some_and(|id| shared.roster.is_usable(&id) || shared.where_is(&id).is_some())
    });
    known.extend(reachable.map(|name| MemberId::of(&name)));
    known
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use modmesh_protocol::lease::Progress;

    use super::*;

    const KEY: KeyHash = KeyHash([7; 32]);

    fn who(number: u8) -> MemberId {
        MemberId([number; 32])
    }

    #[tokio::test]
    async fn the_second_waits_for_the_first_and_has_its_place_when_that_one_goes() {
        let office = Arc::new(Office::new(Lookout::default()));
        let want = (KEY, true, Claim::Nothing);
        let (first, mut to_first) = office.want((who(1), None), want, &[]);
        assert_eq!(to_first.recv().await, Some(Word::Fetch));
        let (second, mut to_second) = office.want((who(2), None), want, &[]);
        assert_eq!(to_second.recv().await, Some(Word::Wait { holder: who(1) }));
        assert_eq!(office.counts(), (1, 1));
        let progress = Progress {
            bytes: 5,
            total: Some(9),
        };
        first.hear(&Ask::Progress(progress));
        while to_second.recv().await != Some(Word::Progress(progress)) {}
        drop(first);
        while to_second.recv().await != Some(Word::Fetch) {}
        drop(second);
        assert_eq!(office.counts(), (0, 0));
        assert!(lock(&office.state).lines.is_empty());
    }

    #[tokio::test]
    async fn who_does_not_take_its_words_is_let_go() {
        let office = Arc::new(Office::new(Lookout::default()));
        let (_visit, mut words) = office.want((who(1), None), (KEY, false, Claim::Nothing), &[]);
        assert_eq!(words.recv().await, Some(Word::Nobody));
        // The line ends with the last word.
        assert_eq!(words.recv().await, None);
        let (idle, _unread) = office.want((who(2), None), (KEY, true, Claim::Nothing), &[]);
        for _ in 0..2 * WORDS_WAITING_MAX {
            lock(&office.state).pass_on(vec![(idle.ticket, Word::Queued)]);
        }
        assert!(lock(&office.state).lines.is_empty());
    }
}
