//! What nothing proves, among members: files on the word of the member that gives them. Notes are in `notes/of_members.rs`.
//!
//! Members are asked for a file when the database has no word on it (it is off, has no record, or the module is private) and before the
//! upstream is. The first hash that was seen of a file is remembered; who states another one is not believed, and that is told
//! as a matter of security. Two members who contradict each other about a file that nobody here has seen are both not believed.
//! Such files are for the daemon's own user alone, as if upstream had given them.

use std::time::Instant;

use modmesh_protocol::artifact::{ArtifactKey, KeyHash};
use modmesh_protocol::control::Did;
use modmesh_protocol::digest::H1;
use modmesh_protocol::peer_name::PeerName;

use super::gate::NotKept;
use super::sources::{Holder, Want};
use super::{FetchError, Fetcher, Landed};
use crate::metrics::Source;
use crate::peers::{Haste, StatedFile};
use crate::policy::Treatment;
use crate::store::{First, Remembered, Staged, Stored};
use crate::trust::{Expected, OnMember, Proof, judge_stated};

/// How many members are tried for one file before the upstream is.
const HOLDERS_MAX: usize = 4;
/// Members that are named as having contradicted what was seen; more are counted with the last.
const NAMED_MAX: usize = 16;

/// Who stated something else than what was seen first, and how often.
#[derive(Debug, Default)]
pub(super) struct Contradicted(std::sync::Mutex<Vec<(PeerName, u64)>>);

impl Contradicted {
    fn by(&self, peer: &PeerName) {
        let mut all = self.lock();
        let known = all.iter().position(|(name, _)| name == peer);
        if known.is_none() && all.len() < NAMED_MAX {
            all.push((peer.clone(), 1));
        } else if let Some((_, times)) = all.get_mut(known.unwrap_or(NAMED_MAX - 1)) {
            *times += 1;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(PeerName, u64)>> {
        let locked = self.0.lock();
        locked.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Fetcher {
    /// Members whose word contradicted what was seen first, and how often; nothing of those that are distrusted by now.
    pub(crate) fn contradicted(&self) -> Vec<(PeerName, u64)> {
        let distrusted = self.inner.peers.distrusted();
        let mut all = self.inner.contradicted.lock().clone();
        all.retain(|(name, _)| !distrusted.contains(name));
        all
    }

    /// The file on the word of a member, if nothing can prove it and one has it. `expected` is what is known of it so far, and
    /// `named` are those that were said to have it.
    pub(super) async fn ask_members(
        &self,
        want: &Want,
        treatment: Treatment,
        haste: Haste,
        expected: &mut Option<Expected>,
        named: &[PeerName],
    ) -> Result<Option<Landed>, FetchError> {
        let peers = &self.inner.peers;
        let is_settled = matches!(expected, Some(Expected::Listed(_) | Expected::Pending(_)));
        if !peers.is_closed() || treatment == Treatment::Toolchain || is_settled {
            return Ok(None);
        }
        if peers.connected() == 0 {
            return Ok(None);
        }
        let (file, began) = (KeyHash::of_file(&want.key), Instant::now());
        let mut stated = peers.stated(file, haste, named).await;
        let distrusted = peers.distrusted();
        // Their word counts no more when others hand it on.
        stated.found.retain(|one| !distrusted.contains(&one.author));
        let did = Did::Locate {
            asked: stated.asked as u32,
            silent: stated.silent as u32,
            have_it: stated.found.iter().map(|one| one.giver.clone()).collect(),
            across: false,
        };
        want.story.tell(began, did);
        if stated.found.is_empty() {
            return Ok(None);
        }
        let known = match expected.take() {
            Some(known) => known,
            None => self.expected_of(want, treatment).await,
        };
        let known = &*expected.insert(known);
        let believed = match known {
            Expected::Unlisted(_) => self.believed(&want.key, stated.found),
            // Nobody else's word is needed.
            Expected::GoSum(vouched) => {
                let is_it = |one: &StatedFile| one.statement.h1 == vouched.sum;
                stated.found.into_iter().filter(is_it).collect()
            }
            Expected::Listed(_) | Expected::Pending(_) => Vec::new(),
        };
        for one in believed.into_iter().take(HOLDERS_MAX) {
            if let Some(stored) = self.take_stated(one, want, haste, known).await? {
                return Ok(Some(Landed::new(stored, Source::Peer)));
            }
        }
        Ok(None)
    }

    /// Those of the statements about `key` that may be believed.
    fn believed(&self, key: &ArtifactKey, stated: Vec<StatedFile>) -> Vec<StatedFile> {
        let first = match self.inner.store.first(KeyHash::of_file(key)) {
            Remembered::This(first) => first.h1,
            Remembered::Full => {
                tracing::warn!(%key, "no more first hashes can be remembered, so no member is believed about it");
                return Vec::new();
            }
            Remembered::Nothing => {
                let mut all = stated.iter().map(|one| one.statement.h1);
                let first = all.next();
                if all.any(|h1| Some(h1) != first) {
                    for one in &stated {
                        self.contradicts(key, one, None);
                    }
                    return Vec::new();
                }
                return stated;
            }
        };
        let (believed, other): (Vec<_>, Vec<_>) = stated
            .into_iter()
            .partition(|one| one.statement.h1 == first);
        for one in &other {
            self.contradicts(key, one, Some(first));
        }
        believed
    }

    /// A member states something else than what was seen first, or than another member where nothing was seen.
    fn contradicts(&self, key: &ArtifactKey, stated: &StatedFile, first: Option<H1>) {
        self.inner.metrics.statement_contradicted();
        self.inner.contradicted.by(&stated.giver);
        let (peer, author, h1) = (&stated.giver, &stated.author, stated.statement.h1);
        match first {
            Some(first) => tracing::error!(
                %key, %peer, %author, stated = %h1, %first,
                "SECURITY: a member gives another file under a version that was seen here before; it is not believed"
            ),
            None => tracing::error!(
                %key, %peer, %author, stated = %h1,
                "SECURITY: members give different files under one version, and none of them is believed"
            ),
        }
    }

    /// Has the file sent by the member that made the statement, through the gate into the store.
    async fn take_stated(
        &self,
        one: StatedFile,
        want: &Want,
        haste: Haste,
        expected: &Expected,
    ) -> Result<Option<Stored>, FetchError> {
        let (peers, store) = (&self.inner.peers, &self.inner.store);
        let holder = Holder {
            peer: one.giver.clone(),
            length: one.statement.length,
        };
        let obtained = holder
            .obtain(peers, store, want, haste, store.stage()?)
            .await;
        let staged = match obtained {
            Ok(staged) => staged,
            Err(miss) => {
                tracing::debug!(key = %want.key, peer = %holder.peer, %miss, "a member did not give a file");
                return Ok(None);
            }
        };
        match self.keep_stated(staged, want, expected, one).await {
            Ok(stored) => {
                let by = stored.entry.proof.by_member();
                let distrusted = peers.distrusted();
                if let Some(peer) = distrusted
                    .iter()
                    .find(|peer| by.is_some_and(|by| by.is_of(peer)))
                {
                    // Its word was taken back while the file was on its way.
                    let (fetcher, peer) = (self.clone(), peer.clone());
                    let work = tokio::task::spawn_blocking(move || fetcher.take_back(&peer));
                    let _told_when_it_was_taken_back = work.await;
                    return Ok(None);
                }
                peers.proven(&holder.peer);
                Ok(Some(stored))
            }
            Err(NotKept {
                error: FetchError::Untrue(rejection),
                evidence,
            }) => {
                self.inner.metrics.verification_failure(Source::Peer);
                holder.blame(peers, &rejection, evidence);
                Ok(None)
            }
            Err(not_kept) => Err(not_kept.error),
        }
    }

    async fn keep_stated(
        &self,
        staged: Staged,
        want: &Want,
        expected: &Expected,
        one: StatedFile,
    ) -> Result<Stored, NotKept> {
        let (store, key, expected) = (self.inner.store.clone(), want.key.clone(), expected.clone());
        let (story, measured) = (want.story.clone(), staged.measured());
        let turn = self.inner.judging.wait(key.kind, measured.length).await;
        let threads = turn.threads;
        let by = OnMember {
            author: one.author,
            giver: one.giver,
            signature: one.signature,
        };
        let stated = one.statement.h1;
        let kept = tokio::task::spawn_blocking(move || -> Result<Stored, NotKept> {
            let (began, file) = (Instant::now(), staged.open()?);
            let judged = judge_stated(file, measured, &key, &expected, stated, by, threads);
            story.tell_verdict(began, &judged);
            let began = Instant::now();
            match judged {
                Ok(proof) => {
                    let committed = store.commit(staged, proof);
                    story.tell_commit(began, &committed);
                    Ok(committed?)
                }
                Err(rejection) => Err(NotKept::of(&staged, rejection)),
            }
        });
        let kept = kept.await;
        let kept = kept.unwrap_or_else(|_| Err(FetchError::Crashed.into()))?;
        self.landed(&kept).await;
        Ok(kept)
    }

    /// Whether the first hash of such a file is remembered.
    pub(super) fn is_remembered(&self, proof: &Proof) -> bool {
        self.inner.peers.is_closed() && proof.unlisted().is_some()
    }

    /// Remembers the first hash of a file that nothing proves. What this host got by itself counts, whatever a member said before;
    /// that they differ is told all the same. Blocks shortly.
    pub(super) fn remember(&self, proof: &Proof) {
        let store = &self.inner.store;
        let (file, h1) = (KeyHash::of_file(proof.key()), proof.h1());
        let now = First::of(h1, proof.by_member());
        match store.first(file) {
            Remembered::Nothing => store.remember_first(file, now),
            Remembered::This(first) if first.h1 != h1 && proof.by_member().is_none() => {
                self.inner.metrics.statement_contradicted();
                if let Some((_, giver)) = &first.by {
                    self.inner.contradicted.by(giver);
                }
                tracing::error!(
                    key = %proof.key(), first = %first.h1, now = %h1, on_the_word_of = ?first.by,
                    "SECURITY: upstream gives another file under a version that was seen here before; upstream's is kept from now on"
                );
                store.remember_first(file, now);
            }
            Remembered::This(_) | Remembered::Full => {}
        }
    }

    /// Takes back all that rests on the word of `peer`: how many files, and how many memories of files that are gone.
    pub(crate) fn take_back(&self, peer: &PeerName) -> std::io::Result<(u64, u64)> {
        self.inner.store.drop_word_of(peer)
    }
}
