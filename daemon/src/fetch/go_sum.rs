//! The lines of go.sum files that this host's user gave: taking them in, and what they say of a file.
//!
//! They are asked after the database, never in its place: see [`crate::trust::GoSums`].

use std::collections::HashMap;
use std::sync::Arc;

use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::digest::H1;
use modmesh_protocol::go_sum::GoSum;
use modmesh_protocol::log::Sums;
use modmesh_protocol::module::ModuleVersion;

use super::Fetcher;
use crate::policy::Treatment;
use crate::trust::{
    Expected, GoSumTotals, ListedRecord, NoRoom, Permanence, Proof, RefusedLines, Silence, Vouched,
};

/// What became of the lines of a go.sum.
#[derive(Debug, Default)]
pub(crate) struct TakenGoSum {
    /// Lines that are held.
    pub lines: u64,
    /// Files for which it has another hash than the database, sorted.
    pub contradicted: Vec<ArtifactKey>,
}

/// Lines of one file that are told of one by one when the database contradicts them.
const TOLD_MAX: usize = 16;

impl Fetcher {
    /// Takes what a go.sum called `name` says in the place of what it said before. Lines that contradict what is proved and kept
    /// here are refused now, the others when a record comes that they contradict. Blocks for as long as hashing the names
    /// of its lines takes. One that says nothing, as that of a project without a go.sum is given, takes no place.
    ///
    /// # Errors
    /// When there is no room for its lines; then nothing changes.
    pub(crate) fn take_go_sum(
        &self,
        name: &str,
        permanence: Permanence,
        go_sum: &GoSum,
    ) -> Result<TakenGoSum, NoRoom> {
        if permanence == Permanence::MayGo && *go_sum == GoSum::default() {
            self.inner.go_sums.forget(name);
            return Ok(TakenGoSum::default());
        }
        let (mut sums, mut refused) = (HashMap::new(), RefusedLines::default());
        let mut contradicted = Vec::new();
        for (key, sum) in &go_sum.sums {
            if self.treatment(&key.of.module) == Treatment::Toolchain {
                // `go` insists on the database for them, and so does this host.
                continue;
            }
            let record = self.inner.store.record_of(&key.of);
            let overruled = record.filter(|record| {
                sum_of(&record.sums, key.kind).is_some_and(|proved| proved != *sum)
            });
            match overruled {
                Some(record) => {
                    if contradicted.len() < TOLD_MAX {
                        tell_contradiction(key, name, &record);
                    }
                    refused.add(KeyHash::of_file(key), *sum, &record);
                    contradicted.push(key.clone());
                }
                None => {
                    sums.insert(KeyHash::of_file(key), *sum);
                }
            }
        }
        if contradicted.len() > TOLD_MAX {
            let more = contradicted.len() - TOLD_MAX;
            tracing::error!(
                go_sum = name,
                more,
                "SECURITY: more lines of it contradict the checksum database and are refused"
            );
        }
        contradicted.sort();
        let lines = sums.len() as u64;
        self.inner.go_sums.give(name, permanence, sums, refused)?;
        Ok(TakenGoSum {
            lines,
            contradicted,
        })
    }

    /// From now on log `number` of `database` is followed, and lines that only an earlier one contradicted count again, until a
    /// record of this one says otherwise.
    pub(crate) fn follow(&self, database: &str, number: u64) {
        let lines = self.inner.go_sums.follow(database, number);
        if lines > 0 {
            tracing::info!(
                database,
                lines,
                "lines of go.sum files that the log contradicted that was given up count again"
            );
        }
    }

    /// How many lines are held.
    pub(crate) fn go_sums(&self) -> GoSumTotals {
        self.inner.go_sums.totals()
    }

    /// Whether neighbours may be asked for `key`: what they give can be judged, and its name is no secret.
    pub(crate) fn may_ask_neighbours(&self, key: &ArtifactKey) -> bool {
        let treatment = self.inner.policy.treatment(&key.of.module);
        let by_go_sum = treatment == Treatment::Unjudged && self.inner.go_sums.line(key).is_some();
        treatment.asks_neighbours() || by_go_sum
    }

    /// Whether a go.sum names this version.
    pub(super) fn is_in_go_sum(&self, of: &ModuleVersion) -> bool {
        [FileKind::Mod, FileKind::Zip].into_iter().any(|kind| {
            let of = of.clone();
            self.inner.go_sums.line(&ArtifactKey { of, kind }).is_some()
        })
    }

    /// Whether a go.sum has another hash for a file that is kept and that the database does not vouch for. Which of the two is
    /// true nobody knows here, so that it is fetched anew, and handed out where that fails.
    pub(super) fn is_doubted(&self, proof: &Proof) -> bool {
        let is_other = |(sum, _)| sum != proof.h1();
        proof.record().is_none() && self.inner.go_sums.line(proof.key()).is_some_and(is_other)
    }

    /// What a file must be of which the database says nothing: what a go.sum says, if one does.
    pub(super) fn by_go_sum(&self, key: &ArtifactKey, silence: Silence) -> Expected {
        if let Some((sum, from)) = self.inner.go_sums.line(key) {
            return Expected::GoSum(Arc::new(Vouched { sum, from, silence }));
        }
        match silence {
            Silence::Unlisted(why) => Expected::Unlisted(why),
            Silence::Pending(reason) => Expected::Pending(reason),
        }
    }

    /// The database lists `of`: lines that say otherwise are refused.
    pub(super) fn overrule(&self, of: &ModuleVersion, record: &ListedRecord) {
        for kind in [FileKind::Mod, FileKind::Zip] {
            let Some(sum) = sum_of(&record.sums, kind) else {
                continue;
            };
            let of = of.clone();
            let key = ArtifactKey { of, kind };
            for name in self.inner.go_sums.overruled(&key, sum, record) {
                tell_contradiction(&key, &name, record);
            }
        }
    }
}

fn sum_of(sums: &Sums, kind: FileKind) -> Option<H1> {
    match kind {
        FileKind::Mod => sums.go_mod,
        FileKind::Zip => sums.zip,
        FileKind::Info => None,
    }
}

fn tell_contradiction(key: &ArtifactKey, name: &str, record: &ListedRecord) {
    tracing::error!(
        %key,
        go_sum = name,
        database = record.database,
        record = record.id,
        "SECURITY: a line of go.sum contradicts the checksum database and is refused; either the file was changed, or what it was made from was not what others have"
    );
}
