//! Who is a member: this host's secrets and list, the verdict on each neighbour, and what is said of those turned away.
//!
//! A host with a secret or a list is *closed*: from the first words on it deals with members alone, and nothing but the
//! greeting is said to or heard from anybody else. The rules are in [`modmesh_protocol::membership`]; here they meet
//! connections. Being turned away is nobody's lie: there is no ban and no evidence, and the pauses between calls grow as after
//! any call that leads to nothing.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use libp2p::PeerId;
use libp2p::identity::Keypair;
use modmesh_protocol::control::MembershipStatus;
use modmesh_protocol::limits::{NO_PROGRESS_MAX, REMEMBERED_PEERS_MAX};
use modmesh_protocol::membership::{Refusal, Role, Rules, Secrets, Verdict};
use modmesh_protocol::peer_name::PeerName;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::roster::Roster;
use super::statements::Signer;
use super::streams::{Inbound, Purpose};
use super::{Command, PeerError, Peers, PeersError, Shared, lock, name_of, serve};

/// Neighbours turned away that are warned of in the log; what is said of the others is below a warning, for a stranger can
/// come under any number of names.
const WARNED_MAX: usize = 16;

/// Streams that wait for the verdict on who opened them: in the moment between the two sides' verdicts a member asks some
/// questions, and a stranger that this host has called may ask as many as it likes.
const WAITING_MAX: usize = 64;

/// By what this host knows its members; by default it is open.
#[derive(Debug, Clone, Default)]
pub struct Membership {
    /// The mesh secrets.
    pub secrets: Secrets,
    /// The peer ids of members that need no secret.
    pub list: Vec<PeerName>,
}

/// The rules and what came of them.
#[derive(Debug)]
pub(super) struct Members {
    ours: PeerName,
    /// Signs what a closed host states; nothing on an open one.
    pub(super) signer: Option<Arc<Signer>>,
    list: HashSet<PeerId>,
    secrets: RwLock<Arc<Secrets>>,
    /// Those whom this host has called and whose answer it waits for, with the number of greetings.
    greeting: Mutex<HashMap<PeerId, usize>>,
    /// Raised when somebody became a member, or a greeting ended.
    changed: watch::Sender<()>,
    /// Of whom it was said why they are turned away.
    told: Mutex<HashMap<PeerId, Refusal>>,
    /// What is wrong with the file of the secrets.
    trouble: Mutex<Option<String>>,
    /// Places for streams of those whom this host has called and not heard yet.
    waiting: Arc<Semaphore>,
}

/// What a member said when it was taken for one: kept to judge it again when the secrets change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) role: Role,
    pub(super) words: Option<Vec<u8>>,
}

/// A greeting of this host that waits for its answer, until it is dropped.
#[derive(Debug)]
pub(super) struct Greeting<'a>(&'a Members, PeerId);

impl Members {
    /// The rules of the host that has `key`.
    ///
    /// # Errors
    /// A name on the list that is no peer id.
    pub(super) fn new(key: Keypair, rules: Membership) -> Result<Self, PeersError> {
        let id = |name: &PeerName| {
            let wrong = |_| PeersError::Member(name.clone());
            name.as_str().parse::<PeerId>().map_err(wrong)
        };
        let is_closed = !rules.list.is_empty() || !rules.secrets.is_empty();
        Ok(Self {
            ours: name_of(&key.public().to_peer_id()),
            signer: is_closed.then(|| Arc::new(Signer::new(key))),
            list: rules.list.iter().map(id).collect::<Result<_, _>>()?,
            secrets: RwLock::new(Arc::new(rules.secrets)),
            greeting: Mutex::default(),
            changed: watch::Sender::new(()),
            told: Mutex::default(),
            trouble: Mutex::default(),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        })
    }

    /// Whether this host deals with members alone. It does not change in its life.
    pub(super) fn is_closed(&self) -> bool {
        self.signer.is_some()
    }

    /// What this host says to `peer` in the field of its hello.
    pub(super) fn words(&self, peer: &PeerId, role: Role, verdict: Verdict) -> Option<Vec<u8>> {
        let secrets = self.secrets();
        let rules = self.rules(&secrets, peer);
        let words = rules.words(role, verdict, &self.ours, &name_of(peer));
        words.map(|words| words.encode())
    }

    /// Judges what `peer` said from the side `role`. Whom a closed host takes for a member is one from here on.
    pub(super) fn judge(
        &self,
        roster: &Roster,
        peer: &PeerId,
        role: Role,
        words: Option<Vec<u8>>,
    ) -> Result<(), Refusal> {
        let said = Said { role, words };
        self.judge_words(peer, &said)?;
        if self.is_closed() {
            roster.is_a_member_by(peer, said.clone());
            // The secrets may have been changed since, by one who did not see this member yet.
            self.judge_words(peer, &said)?;
            self.changed.send_replace(());
        }
        lock(&self.told).remove(peer);
        Ok(())
    }

    fn judge_words(&self, peer: &PeerId, said: &Said) -> Result<(), Refusal> {
        let secrets = self.secrets();
        let rules = self.rules(&secrets, peer);
        rules.judge(said.words.as_deref(), said.role, &name_of(peer), &self.ours)
    }

    /// This host has called `peer` and will judge its answer.
    pub(super) fn greets(&self, peer: PeerId) -> Greeting<'_> {
        *lock(&self.greeting).entry(peer).or_default() += 1;
        Greeting(self, peer)
    }

    /// Whether `peer` may have more than a greeting. Whom this host has called and has not heard yet is waited for: the other
    /// side may know already that both are members, and ask at once.
    async fn admits(&self, roster: &Roster, peer: &PeerId) -> bool {
        if !self.is_closed() {
            return true;
        }
        let mut changed = self.changed.subscribe();
        let judged = async {
            loop {
                if roster.is_member(peer) {
                    return true;
                }
                if !self.is_greeting(peer) || changed.changed().await.is_err() {
                    return false;
                }
            }
        };
        timeout(NO_PROGRESS_MAX, judged).await.unwrap_or(false)
    }

    /// By what members are known, in numbers; nothing of an open host.
    pub(super) fn status(&self) -> Option<MembershipStatus> {
        let status = MembershipStatus {
            secrets: self.secrets().len() as u64,
            listed: self.list.len() as u64,
        };
        (status != MembershipStatus::default()).then_some(status)
    }

    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    pub(super) fn tell_trouble(&self, trouble: Option<String>) {
        *lock(&self.trouble) = trouble;
    }

    fn is_greeting(&self, peer: &PeerId) -> bool {
        lock(&self.greeting).contains_key(peer)
    }

    fn secrets(&self) -> Arc<Secrets> {
        let secrets = self.secrets.read();
        Arc::clone(&secrets.unwrap_or_else(PoisonError::into_inner))
    }

    fn rules<'a>(&self, secrets: &'a Secrets, peer: &PeerId) -> Rules<'a> {
        Rules {
            secrets,
            has_list: !self.list.is_empty(),
            is_listed: self.list.contains(peer),
        }
    }

    /// Whether it is new that `peer` is turned away for this reason, and how many others are.
    fn is_news(&self, peer: PeerId, refusal: Refusal) -> Option<usize> {
        let mut told = lock(&self.told);
        if told.len() >= REMEMBERED_PEERS_MAX {
            told.clear();
        }
        (told.insert(peer, refusal) != Some(refusal)).then(|| told.len() - 1)
    }
}

impl Drop for Greeting<'_> {
    fn drop(&mut self) {
        let mut greeting = lock(&self.0.greeting);
        if let Some(under_way) = greeting.get_mut(&self.1) {
            *under_way -= 1;
            if *under_way == 0 {
                greeting.remove(&self.1);
            }
        }
        drop(greeting);
        self.0.changed.send_replace(());
    }
}

/// Has a stream answered, when its peer may have more than a greeting. Those of strangers are reset unread. Never waits.
pub(super) fn let_in(shared: &Arc<Shared>, inbound: Inbound) {
    let (members, peer, purpose) = (&shared.members, inbound.peer, inbound.purpose);
    if purpose == Purpose::Hello || !members.is_closed() || shared.roster.is_member(&peer) {
        return serve::take(shared, inbound);
    }
    let place = Arc::clone(&members.waiting).try_acquire_owned();
    let (true, Ok(place)) = (members.is_greeting(&peer), place) else {
        tracing::debug!(%peer, ?purpose, "a stream of who is no member is reset");
        return;
    };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let is_member = shared.members.admits(&shared.roster, &peer).await;
        drop(place);
        if is_member {
            serve::take(&shared, inbound);
        }
    });
}

impl Peers {
    /// Neighbours that can be asked now and have shown that they are members.
    pub fn members(&self) -> usize {
        self.shared.roster.member_count()
    }

    /// By what this host knows its members; nothing where it deals with everybody.
    pub fn membership(&self) -> Option<MembershipStatus> {
        self.shared.members.status()
    }

    /// Takes the mesh secrets `secrets` in the place of those before. Who is no member by them goes, and who was turned away
    /// is called again. There must be one at least, and have been one before: a host is closed for life, or never.
    ///
    /// # Errors
    /// [`PeerError::Gone`] at the end of the room.
    pub async fn take_secrets(&self, secrets: Secrets) -> Result<(), PeerError> {
        self.shared.take_secrets(secrets).await
    }

    /// What is wrong with the file of the mesh secrets since it was read last, in one line.
    pub fn secret_trouble(&self) -> Option<String> {
        self.shared.members.trouble()
    }

    /// Something is wrong with the file of the mesh secrets, or nothing any more.
    pub fn tell_secret_trouble(&self, trouble: Option<String>) {
        self.shared.members.tell_trouble(trouble);
    }

    /// Whether this host deals with members alone.
    pub fn is_closed(&self) -> bool {
        self.shared.members.is_closed()
    }
}

impl Shared {
    /// Has nothing to do with `peer`, says why for people to see, once in the log, and ends its connections.
    pub(super) fn turn_away(&self, peer: PeerId, refusal: Refusal) {
        self.roster.failed(&peer, refusal.to_string());
        self.watch.stranger();
        if let Some(others) = self.members.is_news(peer, refusal) {
            let name = name_of(&peer);
            // Hosts of an open mesh on the same link are nothing that somebody must act on.
            if refusal == Refusal::NoMember || others >= WARNED_MAX {
                tracing::info!(neighbour = %name, reason = %refusal, "a neighbour is turned away");
            } else {
                tracing::warn!(neighbour = %name, reason = %refusal, "a neighbour is turned away");
            }
        }
        self.outbox.disconnect(peer);
    }

    /// Takes `secrets` in the place of those before. Who is no member by what it said is to greet anew, for it may know the new
    /// secret by now; who was turned away is called again.
    pub(super) async fn take_secrets(&self, secrets: Secrets) -> Result<(), PeerError> {
        *self
            .members
            .secrets
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(secrets);
        lock(&self.members.told).clear();
        for (peer, said) in self.roster.members() {
            if self.members.judge_words(&peer, &said).is_err() {
                tracing::debug!(%peer, "a member that was known by another secret has to greet anew");
                self.outbox.disconnect(peer);
            }
        }
        let called = self.commands.send(Command::CallAgain).await;
        called.map_err(|_| PeerError::Gone)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use libp2p::PeerId;
    use modmesh_protocol::control::FoundBy;
    use modmesh_protocol::membership::Secret;

    use super::*;

    fn members(byte: u8) -> (Members, PeerId) {
        let key = Keypair::generate_ed25519();
        let ours = key.public().to_peer_id();
        let secrets = Secrets::parse(&Secret::new([byte; 32]).to_line()).unwrap();
        let list = Vec::new();
        let rules = Membership { secrets, list };
        (Members::new(key, rules).unwrap(), ours)
    }

    #[tokio::test]
    async fn whom_we_called_is_waited_for_and_nobody_else() {
        let ((ours, our_id), (theirs, their_id)) = (members(1), members(1));
        let roster = Roster::default();
        roster.connected(&their_id, String::new(), FoundBy::Inbound);
        assert!(!ours.admits(&roster, &their_id).await);
        let greeting = ours.greets(their_id);
        let answer = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let words = theirs.words(&our_id, Role::Answers, Verdict::Member);
            ours.judge(&roster, &their_id, Role::Answers, words)
        };
        let (admitted, judged) = tokio::join!(ours.admits(&roster, &their_id), answer);
        assert_eq!((admitted, judged), (true, Ok(())));
        drop(greeting);
        assert!(ours.admits(&roster, &their_id).await);
        // What was proven on a connection that ended counts for no other.
        roster.disconnected(&their_id, 0);
        roster.connected(&their_id, String::new(), FoundBy::Inbound);
        assert!(!ours.admits(&roster, &their_id).await);
    }

    #[tokio::test]
    async fn a_greeting_that_fails_ends_the_waiting() {
        let ((ours, _), other) = (members(1), PeerId::random());
        let roster = Roster::default();
        let greeting = ours.greets(other);
        let failing = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(greeting);
        };
        let waiting = timeout(Duration::from_secs(1), ours.admits(&roster, &other));
        let (admitted, ()) = tokio::join!(waiting, failing);
        assert_eq!(admitted, Ok(false));
    }

    #[test]
    fn the_same_reason_is_told_once_and_the_memory_is_bounded() {
        let (ours, _) = members(1);
        let peer = PeerId::random();
        assert_eq!(ours.is_news(peer, Refusal::AnotherSecret), Some(0));
        assert_eq!(ours.is_news(peer, Refusal::AnotherSecret), None);
        assert_eq!(ours.is_news(peer, Refusal::NotWanted), Some(0));
        for _ in 0..2 * REMEMBERED_PEERS_MAX {
            ours.is_news(PeerId::random(), Refusal::NoMember);
        }
        assert!(lock(&ours.told).len() <= REMEMBERED_PEERS_MAX);
    }
}
