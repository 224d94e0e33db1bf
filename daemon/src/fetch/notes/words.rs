//! What stands in notes: whether an answer is one, and what can be said without upstream.

use bytes::Bytes;
use modmesh_protocol::module::Version;
use serde::Deserialize;

use super::NoteKey;
use crate::fetch::FetchError;

/// The only field of `.info` that is read here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InfoForm {
    version: String,
}

/// Refuses an answer that would break `go` for as long as it is kept: `.info` without its version, a list in HTML.
pub(super) fn check(key: &NoteKey, bytes: &[u8]) -> Result<(), FetchError> {
    let nonsense = |reason: &str| FetchError::Nonsense {
        what: key.url_path().into(),
        reason: reason.into(),
    };
    match key {
        NoteKey::Info(..) | NoteKey::Latest(_) => {
            let info: InfoForm = serde_json::from_slice(bytes)
                .map_err(|_| nonsense("it is not JSON with a Version"))?;
            match key.version() {
                Some(of) if of.version.as_str() != info.version => {
                    Err(nonsense("it speaks of another version"))
                }
                _ => Ok(()),
            }
        }
        NoteKey::List(_) => {
            let text = std::str::from_utf8(bytes).map_err(|_| nonsense("it is not text"))?;
            if text.trim_start().starts_with('<') {
                return Err(nonsense("it looks like a web page"));
            }
            Ok(())
        }
    }
}

/// The lines of `list`, and the tagged versions of `held` that it lacks. Pseudo-versions do not belong into a list.
pub(super) fn with_versions(list: &[u8], held: &[Version]) -> Bytes {
    let mut text = String::from_utf8_lossy(list).into_owned();
    for version in held.iter().filter(|version| !version.is_pseudo()) {
        let listed = text
            .lines()
            .any(|line| line.split_whitespace().next() == Some(version.as_str()));
        if !listed {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(version.as_str());
            text.push('\n');
        }
    }
    Bytes::from(text)
}

/// The version that `go` would take for the latest.
pub(super) fn newest(versions: &[Version]) -> Option<Version> {
    let by_preference = |version: &&Version| version.preference();
    versions.iter().max_by_key(by_preference).cloned()
}

/// The versions in a list, sorted; what is none is passed over.
pub(super) fn versions_in(list: &[u8]) -> Vec<Version> {
    let text = String::from_utf8_lossy(list);
    let words = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let mut versions: Vec<_> = words.filter_map(|word| Version::parse(word).ok()).collect();
    versions.sort();
    versions.dedup();
    versions
}

/// The version that an `.info` tells.
pub(super) fn version_in(info: &[u8]) -> Option<Version> {
    let info: InfoForm = serde_json::from_slice(info).ok()?;
    Version::parse(&info.version).ok()
}

pub(crate) fn info_of(version: &Version) -> Bytes {
    let mut info = serde_json::json!({ "Version": version.as_str() });
    if let Some(time) = version.pseudo_time() {
        info["Time"] = time.into();
    }
    Bytes::from(info.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use modmesh_protocol::module::{ModulePath, Revision};

    use super::*;

    fn versions(texts: &[&str]) -> Vec<Version> {
        let mut versions: Vec<_> = texts
            .iter()
            .map(|text| Version::parse(text).unwrap())
            .collect();
        versions.sort();
        versions
    }

    #[test]
    fn a_list_gains_the_tagged_versions_that_are_held() {
        let held = versions(&["v1.2.0", "v1.1.0", "v0.0.0-20180306012644-bacd9c7ef1dd"]);
        assert_eq!(
            with_versions(b"v1.1.0\nv1.0.0", &held),
            "v1.1.0\nv1.0.0\nv1.2.0\n"
        );
        assert_eq!(with_versions(b"", &[]), "");
    }

    #[test]
    fn what_a_list_and_an_info_name_is_read_back() {
        let list = b"v1.10.0\nv1.9.0 2024-01-02T03:04:05Z\n\nmain\nv1.9.0\n";
        assert_eq!(versions_in(list), versions(&["v1.9.0", "v1.10.0"]));
        let version = Version::parse("v1.9.0").unwrap();
        assert_eq!(version_in(&info_of(&version)), Some(version));
        assert_eq!(version_in(b"<html>"), None);
    }

    #[test]
    fn the_newest_is_chosen_as_go_chooses_it() {
        let pseudo = "v0.0.0-20180306012644-bacd9c7ef1dd";
        for (held, expected) in [
            (&["v1.2.0", "v1.3.0-rc.1", "v1.10.0"][..], Some("v1.10.0")),
            (&["v1.3.0-rc.1", pseudo], Some("v1.3.0-rc.1")),
            (&[pseudo], Some(pseudo)),
            (&[], None),
        ] {
            let newest = newest(&versions(held));
            assert_eq!(newest.as_ref().map(Version::as_str), expected);
        }
    }

    #[test]
    fn info_of_a_pseudo_version_carries_its_time() {
        let version = Version::parse("v0.0.0-20180306012644-bacd9c7ef1dd").unwrap();
        let info: serde_json::Value = serde_json::from_slice(&info_of(&version)).unwrap();
        assert_eq!(info["Time"], "2018-03-06T01:26:44Z");
        assert_eq!(info["Version"], version.as_str());
    }

    #[test]
    fn an_answer_that_is_none_is_refused() {
        let module = ModulePath::parse("example.com/m").unwrap();
        let info = NoteKey::Info(module.clone(), Revision::parse("v1.0.0").unwrap());
        assert!(check(&info, br#"{"Version":"v1.0.0"}"#).is_ok());
        assert!(check(&info, br#"{"Version":"v1.0.1"}"#).is_err());
        assert!(check(&info, b"<html>").is_err());
        assert!(check(&NoteKey::List(module.clone()), b"<html>").is_err());
        assert!(check(&NoteKey::List(module.clone()), b"").is_ok());
        let branch = NoteKey::Info(module, Revision::parse("master").unwrap());
        assert!(check(&branch, br#"{"Version":"v1.0.1"}"#).is_ok());
    }
}
