//! Which versions of a module are known here: those held, and those whose records are proved. Where upstream is gone
//! neighbours are asked for more of these; what they show counts when it is proved, so they can withhold and add nothing.

use modmesh_protocol::module::{ModulePath, ModuleVersion, Revision, Version};

use super::words::versions_in;
use super::{Fetcher, NoteKey};
use crate::metrics::Source;
use crate::policy::{Asker, Treatment};
use crate::trust::Scope;

/// Digits of a commit's hash by which `go` takes a word for one (`minHashDigits` in cmd/go/internal/modfetch/codehost).
const COMMIT_DIGITS_MIN: usize = 7;
/// Digits of the longest hash of a commit, a SHA-256.
const COMMIT_DIGITS_MAX: usize = 64;

impl Fetcher {
    /// The versions held here, as far as `asker` may know of them.
    pub(in crate::fetch) fn held(&self, module: &ModulePath, asker: Asker) -> Vec<Version> {
        let mut held = self.inner.store.versions(module);
        if asker == Asker::Anybody {
            held.retain(|version| {
                ModuleVersion::new(module.clone(), version.clone())
                    .is_ok_and(|of| self.inner.store.holds_version(&of, Scope::Proven))
            });
        }
        held
    }

    /// The versions that are held, or whose records are proved, sorted; and where they come from. Neighbours are asked for
    /// records, too, unless upstream has said that there are no versions.
    ///
    /// Where upstream ever gave a list, the latest is one of that list, or held here: neighbours add nothing to it. Pseudo-versions
    /// stand in no list.
    pub(super) async fn known(
        &self,
        key: &NoteKey,
        module: &ModulePath,
        asker: Asker,
    ) -> (Vec<Version>, Source) {
        let held = self.held(module, asker);
        let listed = match key {
            NoteKey::Latest(_) => self.listed(module, asker).await,
            _ => None,
        };
        let mut known = held.clone();
        known.extend(self.recorded(module).await);
        if let Some(listed) = &listed {
            known.retain(|version| version.is_pseudo() || held.contains(version));
            known.extend(listed.iter().cloned());
        }
        let known_before = sorted(&mut known);
        let may_add = listed.as_ref().is_none_or(Vec::is_empty);
        if may_add && self.said_before(&key.url_path(), asker).await.is_none() {
            self.ask_for_versions(module).await;
            let recorded = self.recorded(module).await.into_iter();
            known.extend(recorded.filter(|version| listed.is_none() || version.is_pseudo()));
        }
        let source = match sorted(&mut known) {
            more if more > known_before => Source::Peer,
            _ => Source::Store,
        };
        (known, source)
    }

    /// The versions of the last list that upstream gave.
    async fn listed(&self, module: &ModulePath, asker: Asker) -> Option<Vec<Version>> {
        let list = NoteKey::List(module.clone());
        let note = self.kept_note(&list, asker).await?;
        Some(versions_in(&note.bytes))
    }

    /// The versions whose records are proved here.
    async fn recorded(&self, module: &ModulePath) -> Vec<Version> {
        let treatment = self.inner.policy.treatment(module);
        let Some(judge) = self.judge_by(treatment).cloned() else {
            return Vec::new();
        };
        let module = module.clone();
        let read = tokio::task::spawn_blocking(move || judge.proved_versions(&module));
        read.await.unwrap_or_default()
    }

    async fn ask_for_versions(&self, module: &ModulePath) {
        let treatment = self.inner.policy.treatment(module);
        if treatment.asks_neighbours()
            && let Some(judge) = self.judge_by(treatment)
        {
            judge.ask_for_versions(module).await;
        }
    }

    /// Whether `of` stands for a release of Go that is known by the toolchain of another platform: wherever it runs, `go` asks
    /// by the `.info` of this one whether there is such a release, and fetches the toolchain of its own platform.
    pub(super) async fn is_known_toolchain(
        &self,
        of: &ModuleVersion,
        treatment: Treatment,
    ) -> bool {
        let (Treatment::Toolchain, Some(release)) = (treatment, go_release(&of.version)) else {
            return false;
        };
        if !of.version.as_str().ends_with(".linux-amd64") {
            return false;
        }
        let is_of_it = |versions: Vec<Version>| {
            let mut releases = versions.iter().map(go_release);
            releases.any(|other| other == Some(release))
        };
        if is_of_it(self.recorded(&of.module).await) {
            return true;
        }
        self.ask_for_versions(&of.module).await;
        is_of_it(self.recorded(&of.module).await)
    }
}

/// Sorts them and drops what is there twice; how many they are.
fn sorted(versions: &mut Vec<Version>) -> usize {
    versions.sort();
    versions.dedup();
    versions.len()
}

/// Whether `revision` may be the beginning of a commit's hash, of a length for which `go` takes it.
pub(in crate::fetch) fn is_commit(revision: &Revision) -> bool {
    let text = revision.as_str();
    (COMMIT_DIGITS_MIN..=COMMIT_DIGITS_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// The version of `known` that stands for the commit: a pseudo-version carries the first digits of its hash. Of several for one
/// commit, which differ by the tag that they follow, the highest; where two commits fit, none.
pub(super) fn at_commit<'a>(known: &'a [Version], revision: &Revision) -> Option<&'a Version> {
    let asked = revision.as_str();
    let fits = |digits: &&str| digits.starts_with(asked) || asked.starts_with(digits);
    let digits = |version: &'a Version| commit_digits(version).filter(fits);
    let mut commits: Vec<_> = known.iter().filter_map(digits).collect();
    commits.sort_unstable();
    commits.dedup();
    let [_the_only] = commits.as_slice() else {
        return None;
    };
    known
        .iter()
        .filter(|version| digits(version).is_some())
        .max()
}

/// The digits of the commit in a pseudo-version.
fn commit_digits(version: &Version) -> Option<&str> {
    let text = version.is_pseudo().then(|| version.as_str())?;
    let text = text.strip_suffix("+incompatible").unwrap_or(text);
    Some(text.rsplit_once('-')?.1)
}

/// The release of Go in the version of a toolchain: `go1.27.3` of `v0.0.1-go1.27.3.linux-amd64`.
fn go_release(version: &Version) -> Option<&str> {
    let name = version.as_str().strip_prefix("v0.0.1-")?;
    let (release, platform) = name.rsplit_once('.')?;
    platform.contains('-').then_some(release)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_found_by_the_pseudo_version_that_carries_its_digits() {
        let known = [
            "v0.0.0-20180306012644-bacd9c7ef1dd",
            "v1.0.1-0.20180306012644-bacd9c7ef1dd",
            "v2.0.1-0.20180306012644-7307b307f4f0+incompatible",
            "v1.0.1-0.20180306012644-bacd9caaaaaa",
            "v1.2.0",
        ];
        let mut known = known.map(|text| Version::parse(text).unwrap());
        known.sort();
        for (asked, found) in [
            ("bacd9c7", Some("v1.0.1-0.20180306012644-bacd9c7ef1dd")),
            (
                "bacd9c7ef1dd34c9b4c8b6a7a3c3a6a2a1a0f0e0",
                Some("v1.0.1-0.20180306012644-bacd9c7ef1dd"),
            ),
            (
                "7307b307f4f0",
                Some("v2.0.1-0.20180306012644-7307b307f4f0+incompatible"),
            ),
            ("bacd9c7ef1de", None),
            ("1234567", None),
        ] {
            let asked = Revision::parse(asked).unwrap();
            assert!(is_commit(&asked), "{asked}");
            let version = at_commit(&known, &asked);
            assert_eq!(version.map(Version::as_str), found, "{asked}");
        }
        // Two commits fit; no question for a commit is as short.
        assert_eq!(at_commit(&known, &Revision::parse("bacd9c").unwrap()), None);
        for no_commit in ["bacd9c", "master", "BACD9C7", "v1", "0123456789abcdefg"] {
            let revision = Revision::parse(no_commit).unwrap();
            assert!(!is_commit(&revision), "{no_commit}");
        }
    }

    #[test]
    fn the_release_of_a_toolchain_stands_before_its_platform() {
        for (version, release) in [
            ("v0.0.1-go1.27.3.linux-amd64", Some("go1.27.3")),
            ("v0.0.1-go1.21rc2.darwin-arm64", Some("go1.21rc2")),
            ("v0.0.1-go1.27.3", None),
            ("v0.0.2-go1.27.3.linux-amd64", None),
        ] {
            let version = Version::parse(version).unwrap();
            assert_eq!(go_release(&version), release);
        }
    }
}
