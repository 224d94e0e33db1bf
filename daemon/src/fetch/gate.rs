//! Where the corridor meets the gate: what a file must be, and the way of its bytes through the gate into the store.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use modmesh_protocol::artifact::{ArtifactKey, KeyHash};
use modmesh_protocol::limits::EVIDENCE_BYTES_MAX;
use modmesh_protocol::module::ModuleVersion;

use super::sources::Want;
use super::{FetchError, Fetcher};
use crate::metrics::Source;
use crate::policy::{Client, Treatment};
use crate::store::{Staged, Stored};
use crate::trust::{
    Authority, Expected, Finding, Giver, ListedRecord, Offer, Proof, Rejection, Silence, Unlisted,
    judge,
};

/// How long one round goes on with files that the database cannot be asked about.
const ROUND_MAX: Duration = Duration::from_secs(20);

/// Why a file was not kept.
pub(super) struct NotKept {
    pub error: FetchError,
    /// The beginning of a file that is a lie; nothing otherwise.
    pub evidence: Vec<u8>,
}

impl NotKept {
    /// What was `staged` did not pass the gate.
    pub(super) fn of(staged: &Staged, rejection: Rejection) -> Self {
        Self {
            evidence: first_bytes(staged, &rejection),
            error: rejection.into(),
        }
    }
}

impl<E: Into<FetchError>> From<E> for NotKept {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            evidence: Vec::new(),
        }
    }
}

/// The bytes that show the lie; where they cannot be read there are none.
fn first_bytes(staged: &Staged, rejection: &Rejection) -> Vec<u8> {
    let mut bytes = Vec::new();
    if rejection.is_lie()
        && let Ok(file) = staged.open()
        && let Err(error) = file.take(EVIDENCE_BYTES_MAX as u64).read_to_end(&mut bytes)
    {
        tracing::debug!(%error, "the evidence of a lie could not be read back");
    }
    bytes
}

impl Fetcher {
    /// Judges every file again that the database could not be asked about, or was not because of a setting that has
    /// changed since: promotes it or drops it.
    pub(crate) async fn judge_unsettled(&self) {
        let began = Instant::now();
        for entry in self.inner.store.unsettled() {
            let key = entry.proof.key().clone();
            let treatment = self.inner.policy.treatment(&key.of.module);
            let may_ask = matches!(treatment, Treatment::Judged | Treatment::Toolchain);
            if !may_ask && !entry.is_pending() {
                continue;
            }
            let expected = self.expected(&key, treatment).await;
            if stays_as_it_is(&entry.proof, &expected) {
                // One that cannot be judged (its proxy says 404, the database itself is out of reach) stops no other.
                if began.elapsed() > ROUND_MAX {
                    return;
                }
                continue;
            }
            let store = self.inner.store.clone();
            let (name, metrics) = (key.clone(), self.inner.metrics.clone());
            // How it came here stays the beginning of its story.
            let story = self.inner.stories.told(&key);
            // Where it lies: it stays there, and is served, until another proof stands in its place.
            let judged = tokio::task::spawn_blocking(move || -> Result<_, FetchError> {
                let Some(file) = store.reopen(&entry) else {
                    return Ok(None);
                };
                let (measured, began) = (entry.proof.measured(), Instant::now());
                let verdict = judge(file, measured, &key, &expected, Giver::Upstream, 1);
                if let Some(story) = story {
                    story.tell_verdict(began, &verdict);
                }
                match verdict {
                    Ok(proof) => Ok(store.settle(&entry, proof.in_the_place_of(&entry.proof))?),
                    Err(rejection) => {
                        if rejection.is_lie() {
                            metrics.verification_failure(Source::Store);
                            store.drop_false(&entry);
                        }
                        Err(rejection.into())
                    }
                }
            })
            .await;
            match judged {
                Ok(Ok(Some(entry))) => {
                    self.announce(&entry.proof);
                    tracing::info!(key = %name, scope = %entry.proof.scope(), "a file was judged again");
                }
                Ok(Ok(None)) => {}
                Ok(Err(error @ FetchError::Untrue(_))) => {
                    tracing::warn!(key = %name, %error, "a file was judged again and dropped");
                }
                Ok(Err(error)) => {
                    tracing::warn!(key = %name, %error, "a file was to be judged again and stays as it is");
                }
                Err(error) => {
                    tracing::warn!(key = %name, %error, "a file could not be judged again")
                }
            }
        }
    }

    /// Refuses a client before anybody is asked for a file that it could not have: another user cannot make this host fetch,
    /// with its rights and onto its disk, what is for its own user alone.
    pub(super) async fn may_be_fetched_for(
        &self,
        key: &ArtifactKey,
        client: &dyn Client,
    ) -> Result<(), FetchError> {
        let policy = &self.inner.policy;
        let treatment = policy.treatment(&key.of.module);
        let Err(refusal) = policy.may_have_unproven(client, treatment) else {
            return Ok(());
        };
        // Nothing comes from outside, so nothing is fetched; what there is to say is better said by the corridor.
        let offline = self.inner.upstream.is_none();
        match self.database_says(&key.of, treatment, None).await.0 {
            Ok(_) => Ok(()),
            Err(Silence::Pending(_)) if offline => Ok(()),
            Err(Silence::Pending(_)) => Ok(policy.may_have_pending(client)?),
            Err(Silence::Unlisted(_)) => Err(refusal.into()),
        }
    }

    /// Through the gate and into the store. What is refused leaves its first bytes as evidence.
    pub(super) async fn keep(
        &self,
        staged: Staged,
        want: &Want,
        expected: &Expected,
        giver: Giver,
    ) -> Result<Stored, NotKept> {
        match expected {
            Expected::Listed(_) => {}
            Expected::GoSum(vouched) => {
                let (from, why) = (&vouched.from, &vouched.silence);
                tracing::debug!(key = %want.key, %from, %why, "kept for this host alone, by a go.sum");
            }
            Expected::Unlisted(why) => {
                tracing::debug!(key = %want.key, %why, "kept apart, for this host alone");
            }
            Expected::Pending(reason) => {
                tracing::info!(key = %want.key, %reason, "kept apart until the checksum database can be asked");
            }
        }
        let (store, key, expected) = (self.inner.store.clone(), want.key.clone(), expected.clone());
        let story = want.story.clone();
        let measured = staged.measured();
        let turn = self.inner.judging.wait(key.kind, measured.length).await;
        let threads = turn.threads;
        let kept = tokio::task::spawn_blocking(move || -> Result<Stored, NotKept> {
            let began = Instant::now();
            let judged = judge(staged.open()?, measured, &key, &expected, giver, threads);
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
        })
        .await
        .unwrap_or_else(|_| Err(FetchError::Crashed.into()))?;
        self.landed(&kept).await;
        Ok(kept)
    }

    /// What the file that is wanted must be, told in its story.
    pub(super) async fn expected_of(&self, want: &Want, treatment: Treatment) -> Expected {
        self.expected_by(want, treatment, None).await
    }

    /// The same, by the record that a neighbour gave, if that proves itself.
    pub(super) async fn expected_by(
        &self,
        want: &Want,
        treatment: Treatment,
        offer: Option<Arc<Offer>>,
    ) -> Expected {
        let began = Instant::now();
        let (expected, by) = self.find_out(&want.key, treatment, offer).await;
        want.story.tell_record(began, &expected, &by);
        expected
    }

    /// What the file `key` must be.
    async fn expected(&self, key: &ArtifactKey, treatment: Treatment) -> Expected {
        self.find_out(key, treatment, None).await.0
    }

    /// Whether the database lists `of`.
    pub(super) async fn is_listed(&self, of: &ModuleVersion, treatment: Treatment) -> bool {
        self.database_says(of, treatment, None).await.0.is_ok()
    }

    /// What the file `key` must be, and who told what the database says: that comes first, and where it says nothing a
    /// go.sum may.
    async fn find_out(
        &self,
        key: &ArtifactKey,
        treatment: Treatment,
        offer: Option<Arc<Offer>>,
    ) -> (Expected, Arc<str>) {
        let (said, by) = self.database_says(&key.of, treatment, offer).await;
        match said {
            Ok(record) => {
                self.overrule(&key.of, &record);
                (Expected::Listed(record), by)
            }
            Err(silence) => (self.by_go_sum(key, silence), by),
        }
    }

    /// The database's record of `of`, or why there is none; and who told it.
    async fn database_says(
        &self,
        of: &ModuleVersion,
        treatment: Treatment,
        offer: Option<Arc<Offer>>,
    ) -> (Result<Arc<ListedRecord>, Silence>, Arc<str>) {
        let Some(authority) = self.judge_by(treatment) else {
            let why = match treatment {
                Treatment::Private => Unlisted::Private,
                _ => Unlisted::DatabaseOff,
            };
            return (Err(Silence::Unlisted(why)), "settings".into());
        };
        let told = authority.find(of, offer).await;
        let said = match told.finding {
            Finding::Listed(record) => Ok(record),
            Finding::Unlisted => Err(Silence::Unlisted(Unlisted::NoRecord)),
            Finding::Unreachable(trouble) => Err(Silence::Pending(trouble.reason)),
        };
        (said, told.by)
    }

    /// Who judges what is treated so; nobody where the settings judge.
    pub(super) fn judge_by(&self, treatment: Treatment) -> Option<&Arc<dyn Authority>> {
        let judges = &self.inner.judges;
        match treatment {
            Treatment::Judged => judges.modules.as_ref(),
            Treatment::Toolchain => judges.toolchains.as_ref(),
            Treatment::Private | Treatment::Unjudged => None,
        }
    }

    /// A file is kept now.
    pub(super) async fn landed(&self, kept: &Stored) {
        let (fetcher, entry) = (self.clone(), Arc::clone(&kept.entry));
        if self.is_remembered(&entry.proof) {
            let work = tokio::task::spawn_blocking(move || fetcher.remember(&entry.proof));
            // A crash there is told by the runtime, and costs the memory of this one file.
            let _crashed = work.await;
        }
        self.announce(&kept.entry.proof);
    }

    fn announce(&self, proof: &Proof) {
        if self.inner.store.is_shown(proof) {
            self.inner
                .peers
                .announce(vec![KeyHash::of_file(proof.key())]);
        }
    }
}

/// Whether a file about which the database could not say anything keeps the proof that it has. A go.sum settles what has
/// its hash; it takes nothing away.
fn stays_as_it_is(proof: &Proof, expected: &Expected) -> bool {
    match expected {
        Expected::Pending(_) => true,
        Expected::GoSum(vouched) => {
            let says_the_same =
                proof.go_sum().is_some() && proof.unlisted() == vouched.silence.unlisted();
            says_the_same || vouched.sum != proof.h1()
        }
        Expected::Listed(_) | Expected::Unlisted(_) => false,
    }
}
