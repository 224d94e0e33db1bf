//! Where the corridor meets the gate: what a file must be, and the way of its bytes through the gate into the store.

use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::module::ModuleVersion;

use super::sources::Want;
use super::{FetchError, Fetcher};
use crate::metrics::Source;
use crate::policy::Treatment;
use crate::store::{Staged, Stored};
use crate::trust::{Expected, Finding, Giver, Proof, judge};

impl Fetcher {
    /// Judges every pending file again, now that the database may answer: promotes it or drops it.
    pub(crate) async fn judge_pending(&self) {
        for entry in self.inner.store.pending() {
            let key = entry.proof.key().clone();
            let treatment = self.inner.policy.treatment(&key.of.module);
            let expected = self.expected(&key.of, treatment).await;
            if matches!(expected, Expected::Pending(_)) {
                return;
            }
            let store = self.inner.store.clone();
            let (name, metrics) = (key.clone(), self.inner.metrics.clone());
            let judged = tokio::task::spawn_blocking(move || {
                let staged = store.take_back(&entry)?;
                let proof = judge(
                    staged.open()?,
                    staged.measured(),
                    &key,
                    &expected,
                    Giver::Upstream,
                )
                .inspect_err(|_| metrics.verification_failure(Source::Store))?;
                store.commit(staged, proof).map_err(FetchError::from)
            })
            .await;
            match judged {
                Ok(Ok(stored)) => {
                    self.announce(&stored.entry.proof);
                    tracing::info!(key = %name, scope = %stored.entry.proof.scope(), "a pending file was judged");
                }
                Ok(Err(error)) => tracing::warn!(key = %name, %error, "a pending file was dropped"),
                Err(error) => {
                    tracing::warn!(key = %name, %error, "a pending file could not be judged")
                }
            }
        }
    }

    /// Through the gate and into the store.
    pub(super) async fn keep(
        &self,
        staged: Staged,
        want: &Want,
        expected: &Expected,
        giver: Giver,
    ) -> Result<(), FetchError> {
        match expected {
            Expected::Listed(_) => {}
            Expected::Unlisted(reason) => {
                tracing::debug!(key = %want.key, %reason, "kept apart, for this host alone");
            }
            Expected::Pending(reason) => {
                tracing::info!(key = %want.key, %reason, "kept apart until the checksum database can be asked");
            }
        }
        let (store, key, expected) = (self.inner.store.clone(), want.key.clone(), expected.clone());
        let kept = tokio::task::spawn_blocking(move || -> Result<Stored, FetchError> {
            let proof = judge(staged.open()?, staged.measured(), &key, &expected, giver)?;
            Ok(store.commit(staged, proof)?)
        })
        .await
        .map_err(|_| FetchError::Crashed)??;
        self.announce(&kept.entry.proof);
        Ok(())
    }

    /// What the files of `of` must be.
    pub(super) async fn expected(&self, of: &ModuleVersion, treatment: Treatment) -> Expected {
        let judges = &self.inner.judges;
        let authority = match treatment {
            Treatment::Private => {
                return Expected::Unlisted("it matches a private pattern of this host".into());
            }
            Treatment::Judged => judges.modules.as_ref(),
            Treatment::Toolchain => judges.toolchains.as_ref(),
            Treatment::Unjudged => None,
        };
        let Some(authority) = authority else {
            return Expected::Unlisted("the checksum database is off on this host".into());
        };
        match authority.find(of).await {
            Finding::Listed(record) => Expected::Listed(record),
            Finding::Unlisted => {
                Expected::Unlisted("the checksum database has no record of it".into())
            }
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
