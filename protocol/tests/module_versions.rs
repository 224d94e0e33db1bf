//! The tables of golang.org/x/mod about versions (semver/semver_test.go, module/pseudo_test.go), restated as facts.

#![allow(clippy::unwrap_used)]

use std::cmp::Ordering;

use modmesh_protocol::module::{Revision, Version};
use proptest::prelude::*;

/// Canonical versions in ascending order.
const ASCENDING: &[&str] = &[
    "v0.0.0-20060102150405-hash",
    "v0.0.0",
    "v0.0.1-0.20060102150405-hash",
    "v0.0.1",
    "v1.0.0-1",
    "v1.0.0-alpha",
    "v1.0.0-alpha.1",
    "v1.0.0-alpha.beta",
    "v1.0.0-beta",
    "v1.0.0-beta.2",
    "v1.0.0-beta.11",
    "v1.0.0-rc.1",
    "v1.0.0",
    "v1.2.0",
    "v1.2.3-456",
    "v1.2.3-456.789",
    "v1.2.3-456-789",
    "v1.2.3-456a",
    "v1.2.3-pre",
    "v1.2.3-pre.0.20060102150405-hash",
    "v1.2.3-pre.1",
    "v1.2.3-zzz",
    "v1.2.3",
    "v1.2.10",
    "v2.0.0",
    "v2.0.0+incompatible",
    "v10.0.0",
    "v99999999999999999999999.0.0",
    "v100000000000000000000000.0.0",
];

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

#[test]
fn versions_come_in_the_order_of_semantic_versioning() {
    for (i, left) in ASCENDING.iter().enumerate() {
        for (j, right) in ASCENDING.iter().enumerate() {
            assert_eq!(
                version(left).cmp(&version(right)),
                i.cmp(&j),
                "{left} {right}"
            );
        }
    }
}

#[test]
fn only_canonical_versions_are_versions() {
    for text in [
        "bad",
        "",
        "v",
        "1.0.0",
        "V1.0.0",
        "v1",
        "v1.0",
        "v1.2",
        "v1.2.3.4",
        "v01.2.3",
        "v1.2.03",
        "v1.2.-3",
        "v1-alpha.beta.gamma",
        "v1-pre",
        "v1+meta",
        "v1-pre+meta",
        "v1.2-pre",
        "v1.2+meta",
        "v1.2-pre+meta",
        "v1.2.3-",
        "v1.2.3-a..b",
        "v1.2.3-01",
        "v1.2.3-a_b",
        "v1.2.3-pre+meta",
        "v1.2.3+meta",
        "v1.2.3+meta-pre",
        "v1.2.3+meta-pre.sha.256a",
        "v1.2.3+",
        "v1.2.3+incompatible.1",
        "v1.2.3+incompatible+incompatible",
        "v1.2.3 ",
        "v1.2.3/go.mod",
        "v1.2.\u{663}",
    ] {
        assert!(Version::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn prereleases_and_incompatible_versions_know_themselves() {
    assert!(version("v1.0.0-rc.1").is_prerelease());
    assert!(version("v0.0.0-20060102150405-hash").is_prerelease());
    assert!(!version("v2.0.0+incompatible").is_prerelease());
    assert!(version("v2.0.0+incompatible").is_incompatible());
    assert!(version("v2.3.0-pre+incompatible").is_prerelease());
    assert!(!version("v1.0.0").is_incompatible());
}

#[test]
fn the_forms_of_pseudo_versions_carry_their_time() {
    for text in [
        "v0.0.0-20060102150405-hash",
        "v1.0.0-20060102150405-hash",
        "v2.0.0-20060102150405-hash",
        "v0.0.1-0.20060102150405-hash",
        "v1.2.4-0.20060102150405-hash",
        "v1.2.100000000000000000-0.20060102150405-hash",
        "v1.2.3-pre.0.20060102150405-hash",
        "v1.3.0-pre.0.20060102150405-hash",
        "v0.0.0--.0.20060102150405-hash",
        "v2.0.1-0.20060102150405-hash+incompatible",
        "v2.3.0-pre.0.20060102150405-hash+incompatible",
        // No tag lies before these, yet Go takes them for pseudo-versions.
        "v0.0.0-0.20060102150405-hash",
        "v0.0.0-20060102150405-hash+incompatible",
    ] {
        assert!(version(text).is_pseudo(), "{text}");
        let time = version(text).pseudo_time();
        assert_eq!(time.as_deref(), Some("2006-01-02T15:04:05Z"), "{text}");
    }
}

#[test]
fn other_versions_are_no_pseudo_versions() {
    for text in [
        "v0.0.0",
        "v1.2.3",
        "v1.2.99999999999999999",
        "v1.2.3-pre",
        "v0.0.0--",
        "v2.0.0+incompatible",
        "v2.3.0-pre+incompatible",
        "v1.2.3-20060102150405-hash",
        "v0.0.0-2006010215040-hash",
        "v0.0.0-120060102150405-hash",
        "v0.0.0-20060102150405",
        "v0.0.0-20060102150405-",
        "v0.0.0-20060102150405-ha.sh",
        "v1.2.3-pre.1.20060102150405-hash",
        "v1.2.3-pre0.20060102150405-hash",
        "v0.0.1-go1.26.8.linux-amd64",
    ] {
        assert!(!version(text).is_pseudo(), "{text}");
        assert_eq!(version(text).pseudo_time(), None, "{text}");
    }
}

#[test]
fn digits_that_are_no_time_give_none() {
    let time = |digits: &str| version(&format!("v0.0.0-{digits}-abcdef123456")).pseudo_time();
    assert_eq!(
        time("00010101000000").as_deref(),
        Some("0001-01-01T00:00:00Z")
    );
    assert_eq!(
        time("20240229235959").as_deref(),
        Some("2024-02-29T23:59:59Z")
    );
    assert_eq!(
        time("20000229000000").as_deref(),
        Some("2000-02-29T00:00:00Z")
    );
    for digits in [
        "20230229000000",
        "19000229000000",
        "20241301000000",
        "20240001000000",
        "20240100000000",
        "20240431000000",
        "20240101240000",
        "20240101006000",
        "20240101000060",
    ] {
        assert_eq!(time(digits), None, "{digits}");
    }
}

#[test]
fn a_revision_is_any_text_that_is_safe_as_a_file_name() {
    for text in [
        "main",
        "v1",
        "v1.2.3+meta",
        "HEAD",
        "-x",
        "a@b",
        "abcdef1",
        ".x",
        "latest",
    ] {
        assert!(Revision::parse(text).is_ok(), "{text:?}");
    }
    for text in [
        "", ".", "..", "a/b", "x!", "\u{e9}", "x.", "nul", "a\\b", "a:b", "\n",
    ] {
        assert!(Revision::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_revision_is_a_version_only_when_it_is_canonical() {
    for text in [
        "v1.2.3",
        "v2.0.0+incompatible",
        "v0.0.0-20060102150405-hash",
    ] {
        let revision = Revision::parse(text).unwrap();
        assert_eq!(revision.canonical(), Some(version(text)));
        assert_eq!(Revision::from(version(text)), revision);
    }
    for text in ["main", "v1", "v1.2", "v1.2.3+meta"] {
        assert_eq!(Revision::parse(text).unwrap().canonical(), None, "{text}");
    }
}

#[test]
fn releases_come_before_pre_releases_and_these_before_pseudo_versions() {
    let in_order = [
        "v1.10.0",
        "v1.9.0",
        "v0.1.0",
        "v2.0.0-rc.1",
        "v1.0.0-beta",
        "v0.0.0-20250101000000-bacd9c7ef1dd",
        "v1.0.1-0.20240101000000-bacd9c7ef1dd",
    ];
    let mut versions = in_order.map(version);
    versions.sort();
    versions.sort_by_cached_key(|version| std::cmp::Reverse(version.preference()));
    assert_eq!(versions.map(|version| version.to_string()), in_order);
}

fn any_version() -> impl Strategy<Value = Version> {
    let number = "(0|[1-9][0-9]{0,2})";
    let text = format!("v{number}\\.{number}\\.{number}(-[a-b0-2.-]{{1,6}})?(\\+incompatible)?");
    proptest::string::string_regex(&text)
        .unwrap()
        .prop_filter_map("not canonical", |text| Version::parse(&text).ok())
}

proptest! {
    #[test]
    fn the_order_is_total(a in any_version(), b in any_version(), c in any_version()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
    }

    #[test]
    fn every_version_is_a_revision(version in any_version()) {
        let revision = Revision::parse(version.as_str()).unwrap();
        prop_assert_eq!(revision.canonical(), Some(version.clone()));
        prop_assert_eq!(Version::from_escaped(&version.escaped()), Ok(version));
    }
}
