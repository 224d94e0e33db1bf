//! Arbitrary text against every parser of names: none panics, and what it takes reads back as it was written.
//!
//! Plain `cargo test` runs a bounded number of inputs; `cargo bolero test` goes on from there.

#![allow(clippy::unwrap_used)]

use modmesh_protocol::module::{
    ModulePath, ModuleVersion, Patterns, Revision, Version, check_file_path,
};

const ITERATIONS: usize = 20_000;

/// Runs `check` on texts made of bytes that these grammars care about, and on raw ones.
fn for_any_text(name: &str, check: impl Fn(&str) + std::panic::RefUnwindSafe) {
    const ALPHABET: &[u8] =
        b"v0129.-+~!/@*?[]^\\,aZxcongopkg.in/v2-unstable+incompatible \x00\xc3\xa9";
    bolero::check!(name = name)
        .with_iterations(ITERATIONS)
        .for_each(|bytes: &[u8]| {
            let spelled: Vec<u8> = bytes
                .iter()
                .map(|byte| ALPHABET[usize::from(*byte) % ALPHABET.len()])
                .collect();
            check(&String::from_utf8_lossy(&spelled));
            check(&String::from_utf8_lossy(bytes));
        });
}

#[test]
fn any_text_as_a_module_path() {
    for_any_text("any_text_as_a_module_path", |text| {
        // A domain in front lets more of the texts through the first rule.
        for text in [text, &format!("x.y/{text}"), &format!("gopkg.in/{text}")] {
            if let Ok(path) = ModulePath::parse(text) {
                assert_eq!(path.as_str(), text);
                assert_eq!(ModulePath::from_escaped(&path.escaped()), Ok(path));
                assert!(check_file_path(text).is_ok());
            }
            if let Ok(path) = ModulePath::from_escaped(text) {
                assert_eq!(path.escaped(), text);
            }
        }
    });
}

#[test]
fn any_text_as_a_version_or_revision() {
    for_any_text("any_text_as_a_version_or_revision", |text| {
        for text in [text, &format!("v1.0.0-{text}"), &format!("v{text}")] {
            let version = Version::parse(text);
            if let Ok(revision) = Revision::parse(text) {
                assert_eq!(revision.as_str(), text);
                assert_eq!(revision.canonical(), version.clone().ok());
                assert_eq!(Revision::from_escaped(&revision.escaped()), Ok(revision));
            }
            if let Ok(version) = version {
                assert!(Revision::parse(text).is_ok());
                assert!(version.pseudo_time().is_none() || version.is_pseudo());
                assert_eq!(Version::from_escaped(&version.escaped()), Ok(version));
            }
            if let Ok(version) = Version::from_escaped(text) {
                assert_eq!(version.escaped(), text);
            }
            if let Ok(both) = ModuleVersion::parse(&format!("x.y@{text}")) {
                assert_eq!(both.to_string(), format!("x.y@{text}"));
            }
        }
    });
}

#[test]
fn any_text_as_patterns() {
    let paths = ["x.y", "x.y/z", "gopkg.in/yaml.v2"].map(|path| ModulePath::parse(path).unwrap());
    for_any_text("any_text_as_patterns", |text| {
        if let Ok(patterns) = Patterns::parse(text) {
            let again = Patterns::parse(&patterns.to_string()).unwrap();
            for path in &paths {
                assert_eq!(patterns.matches(path), again.matches(path));
            }
        }
    });
}

#[test]
fn any_text_as_a_file_path() {
    for_any_text("any_text_as_a_file_path", |text| {
        if check_file_path(text).is_ok() {
            assert!(!text.starts_with('/') && !text.ends_with('/'));
            assert!(
                text.split('/')
                    .all(|element| !matches!(element, "" | "." | ".."))
            );
        }
    });
}
