//! Where the corridor meets the gate: what a file must be, and the way of its bytes through the gate into the store.

use std::io::Read;

use modmesh_protocol::artifact::{FileKind, KeyHash};
use modmesh_protocol::limits::EVIDENCE_BYTES_MAX;
use modmesh_protocol::module::ModuleVersion;

use super::sources::Want;
use super::{FetchError, Fetcher};
use crate::metrics::Source;
use crate::policy::Treatment;
use crate::store::{Staged, Stored};
use crate::trust::{Expected, Finding, Giver, Proof, Rejection, Unlisted, judge};

/// Why a file was not kept.
pub(super) struct NotKept {
    pub error: FetchError,
    /// The beginning of a file that is a lie; nothing otherwise.
    pub evidence: Vec<u8>,
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
        for entry in self.inner.store.unsettled() {
            let key = entry.proof.key().clone();
            let treatment = self.inner.policy.treatment(&key.of.module);
            let may_ask = matches!(treatment, Treatment::Judged | Treatment::Toolchain);
            if !may_ask && !entry.is_pending() {
                continue;
            }
            let expected = self.expected(&key.of, treatment).await;
            if matches!(expected, Expected::Pending(_)) {
                return;
            }
            let store = self.inner.store.clone();
            let (name, metrics) = (key.clone(), self.inner.metrics.clone());
            // Where it lies: it stays there, and is served, until another proof stands in its place.
            let judged = tokio::task::spawn_blocking(move || -> Result<_, FetchError> {
                let Some(file) = store.reopen(&entry) else {
                    return Ok(None);
                };
                let measured = entry.proof.measured();
                match judge(file, measured, &key, &expected, Giver::Upstream) {
                    Ok(proof) => Ok(store.settle(&entry, proof)?),
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

    /// Through the gate and into the store. What is refused leaves its first bytes as evidence.
    pub(super) async fn keep(
        &self,
        staged: Staged,
        want: &Want,
        expected: &Expected,
        giver: Giver,
    ) -> Result<(), NotKept> {
        match expected {
            Expected::Listed(_) => {}
            Expected::Unlisted(why) => {
                tracing::debug!(key = %want.key, %why, "kept apart, for this host alone");
            }
            Expected::Pending(reason) => {
                tracing::info!(key = %want.key, %reason, "kept apart until the checksum database can be asked");
            }
        }
        let (store, key, expected) = (self.inner.store.clone(), want.key.clone(), expected.clone());
        // A zip keeps several cores busy for as long as it is hashed; a go.mod must not wait for that.
        let _turn = match want.key.kind {
            FileKind::Zip => Some(self.inner.judging.acquire().await),
            FileKind::Mod | FileKind::Info => None,
        };
        let kept = tokio::task::spawn_blocking(move || -> Result<Stored, NotKept> {
            let judged = judge(staged.open()?, staged.measured(), &key, &expected, giver);
            match judged {
                Ok(proof) => Ok(store.commit(staged, proof)?),
                Err(rejection) => Err(NotKept {
                    evidence: first_bytes(&staged, &rejection),
                    error: rejection.into(),
                }),
            }
        })
        .await
        .unwrap_or_else(|_| Err(FetchError::Crashed.into()))?;
        self.announce(&kept.entry.proof);
        Ok(())
    }

    /// What the files of `of` must be.
    pub(super) async fn expected(&self, of: &ModuleVersion, treatment: Treatment) -> Expected {
        let judges = &self.inner.judges;
        let authority = match treatment {
            Treatment::Private => {
                return Expected::Unlisted(Unlisted::Private);
            }
            Treatment::Judged => judges.modules.as_ref(),
            Treatment::Toolchain => judges.toolchains.as_ref(),
            Treatment::Unjudged => None,
        };
        let Some(authority) = authority else {
            return Expected::Unlisted(Unlisted::DatabaseOff);
        };
        match authority.find(of).await {
            Finding::Listed(record) => Expected::Listed(record),
            Finding::Unlisted => Expected::Unlisted(Unlisted::NoRecord),
            Finding::Unreachable(reason) => Expected::Pending(reason),
        }
    }

    fn announce(&self, proof: &Proof) {
        if proof.is_shareable() {
            self.inner
                .peers
                .announce(vec![KeyHash::of_file(proof.key())]);
        }
    }
}
