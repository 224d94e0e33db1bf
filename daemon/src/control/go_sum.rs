//! Taking a go.sum that came through the back door.

use bytes::Bytes;
use modmesh_protocol::artifact::{ArtifactKey, FileKind};
use modmesh_protocol::control::{GO_SUM_NAMED_MAX, GoSumFault, GoSumTaken};
use modmesh_protocol::go_sum::GoSum;

use super::Control;
use crate::fetch::Permanence;

impl Control {
    /// Takes the lines of the go.sum `name`, and says what became of them.
    ///
    /// # Errors
    /// Why none was taken, as a lowercase fragment.
    pub(super) async fn take_go_sum(
        &self,
        name: String,
        text: Bytes,
    ) -> Result<GoSumTaken, String> {
        let fetcher = self.fetcher.clone();
        let work = tokio::task::spawn_blocking(move || {
            let read = GoSum::parse(&text).map_err(|error| error.to_string())?;
            let taken = fetcher
                .take_go_sum(&name, Permanence::MayGo, &read)
                .map_err(|error| error.to_string())?;
            tracing::info!(
                go_sum = name,
                lines = taken.lines,
                faults = read.faults,
                contradicted = taken.contradicted.len(),
                "lines of a go.sum were taken"
            );
            Ok(GoSumTaken {
                lines: taken.lines,
                faults: read.faults,
                faults_told: read
                    .faults_told
                    .iter()
                    .map(|fault| GoSumFault {
                        line: fault.line,
                        reason: fault.reason.clone(),
                    })
                    .collect(),
                contradictory: read.contradictory.len() as u64,
                contradictory_named: named(&read.contradictory),
                contradicted: taken.contradicted.len() as u64,
                contradicted_named: named(&taken.contradicted),
            })
        });
        work.await
            .unwrap_or_else(|_| Err("the work on it ended without a result".to_owned()))
    }
}

/// The first of `keys`, as their lines begin.
fn named(keys: &[ArtifactKey]) -> Vec<String> {
    let name = |key: &ArtifactKey| match key.kind {
        FileKind::Mod => format!("{} {}/go.mod", key.of.module, key.of.version),
        FileKind::Info | FileKind::Zip => format!("{} {}", key.of.module, key.of.version),
    };
    keys.iter().take(GO_SUM_NAMED_MAX).map(name).collect()
}
