//! GOPRIVATE patterns: the table of `MatchPrefixPatterns` in golang.org/x/mod/module, restated as facts.

#![allow(clippy::unwrap_used)]

use modmesh_protocol::module::{ModuleError, ModulePath, PATTERNS_BYTES_MAX, Patterns};

fn matches(patterns: &str, path: &str) -> bool {
    let path = ModulePath::parse(path).unwrap();
    Patterns::parse(patterns).unwrap().matches(&path)
}

#[test]
fn a_glob_is_held_against_as_many_elements_as_it_has() {
    for (path, yes, no) in [
        (
            "rsc.io/quote",
            &[
                "*/quote",
                "*/quo??",
                "*/quo*",
                "rsc.io",
                "*.io",
                "rsc.io/",
                "rsc*",
                "*/*/*,,*/quote",
                ",,*/quote",
                "r[a-s]c.io",
                "rsc\\.io",
                "rsc.[^a]o",
            ][..],
            &[
                "",
                "/",
                "*/quo",
                "*quo*",
                "rsc",
                "*/*/*",
                "*/*/*/",
                "*/*/*,,",
                "rsc.io//",
                " rsc.io",
                "none",
                "r[^a-s]c.io",
            ][..],
        ),
        (
            "rsc.io/quote/v3",
            &[
                "rsc.io",
                "*/quote",
                "*/quote/",
                "*/quote/*",
                "*/quote/*/",
                "*/*/v3",
                "*/*/*",
                "*/*/*/",
            ],
            &["*/v3", "*/*/v", "*/*/*/*"],
        ),
    ] {
        for patterns in yes {
            assert!(matches(patterns, path), "{patterns:?} {path}");
        }
        for patterns in no {
            assert!(!matches(patterns, path), "{patterns:?} {path}");
        }
    }
}

#[test]
fn a_broken_glob_is_refused_because_it_would_keep_nothing_private() {
    for patterns in [
        "corp.example/[",
        "corp.example/[a,b]",
        "a.b,c\\",
        "a[]",
        "a[b-]",
    ] {
        let refused = Patterns::parse(patterns);
        assert!(
            matches!(refused, Err(ModuleError::Pattern(_))),
            "{patterns}"
        );
    }
}

#[test]
fn a_list_is_shown_as_it_counts() {
    let patterns = Patterns::parse(",corp.example/,,*.test").unwrap();
    assert_eq!(patterns.to_string(), "corp.example,*.test");
    assert!(!patterns.is_empty());
    assert!(Patterns::parse(",/,").unwrap().is_empty());
    // What is shown reads as the same list again, slashes at the end included.
    for list in ["a//", "a\\//"] {
        let patterns = Patterns::parse(list).unwrap();
        assert_eq!(Patterns::parse(&patterns.to_string()), Ok(patterns));
    }
}

#[test]
fn matching_stays_quick_for_hostile_patterns() {
    let stars = "*a".repeat(PATTERNS_BYTES_MAX / 2 - 1) + "*b";
    let path = format!("{}.c", "a".repeat(250));
    assert!(!matches(&stars, &path));
    let too_long = Patterns::parse(&"a".repeat(PATTERNS_BYTES_MAX + 1));
    assert_eq!(too_long, Err(ModuleError::PatternsTooLong));
}
