//! Semantic versions as Go reads them: a `v` in front, numbers of any length, `v1` and `v1.2` as short forms.
//!
//! The rules are those of golang.org/x/mod/semver. Numbers are compared as digits and never become integers, so no version
//! is too large. Nothing here allocates but [`canonical`].

use std::cmp::Ordering;

/// A semantic version taken apart. All parts borrow from the text, except zeros that a short form leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) major: &'a str,
    pub(super) minor: &'a str,
    pub(super) patch: &'a str,
    /// With its `-`, or empty.
    pub(super) prerelease: &'a str,
    /// With its `+`, or empty.
    pub(super) build: &'a str,
}

/// Takes a version apart, or returns nothing for what is none.
pub(super) fn parse(text: &str) -> Option<Parts<'_>> {
    let mut parts = Parts {
        major: "0",
        minor: "0",
        patch: "0",
        prerelease: "",
        build: "",
    };
    let mut rest = text.strip_prefix('v')?;
    (parts.major, rest) = number(rest)?;
    if rest.is_empty() {
        return Some(parts);
    }
    (parts.minor, rest) = number(rest.strip_prefix('.')?)?;
    if rest.is_empty() {
        return Some(parts);
    }
    (parts.patch, rest) = number(rest.strip_prefix('.')?)?;
    let plus = rest.find('+').unwrap_or(rest.len());
    (parts.prerelease, parts.build) = rest.split_at(plus);
    let identifiers_hold = |part: &str, sign: char, may_be: fn(&str) -> bool| {
        part.is_empty()
            || part
                .strip_prefix(sign)
                .is_some_and(|identifiers| identifiers.split('.').all(may_be))
    };
    let holds = identifiers_hold(parts.prerelease, '-', |identifier| {
        is_identifier(identifier) && !is_padded_number(identifier)
    }) && identifiers_hold(parts.build, '+', is_identifier);
    holds.then_some(parts)
}

/// The full form of a version, without build metadata, except that `+incompatible` stays, as `module.CanonicalVersion` has
/// it. Nothing for what is no version.
pub(super) fn canonical(text: &str) -> Option<String> {
    let parts = parse(text)?;
    let Parts {
        major,
        minor,
        patch,
        prerelease,
        build,
    } = parts;
    let kept = if build == INCOMPATIBLE { build } else { "" };
    Some(format!("v{major}.{minor}.{patch}{prerelease}{kept}"))
}

/// The mark of a version `v2` or higher of a module from before modules, whose path does not say its major version.
pub(super) const INCOMPATIBLE: &str = "+incompatible";

/// Precedence as in Semantic Versioning 2.0.0: build metadata does not enter it. What is no version comes first.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    match (parse(left), parse(right)) {
        (Some(left), Some(right)) => compare_numbers(left.major, right.major)
            .then_with(|| compare_numbers(left.minor, right.minor))
            .then_with(|| compare_numbers(left.patch, right.patch))
            .then_with(|| compare_prereleases(left.prerelease, right.prerelease)),
        (left, right) => left.is_some().cmp(&right.is_some()),
    }
}

/// Splits off a decimal number without leading zeros.
fn number(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (!digits.is_empty() && !is_padded_number(digits)).then_some((digits, rest))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_padded_number(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && is_number(text)
}

/// By value, without a limit on size: without leading zeros, more digits mean a larger number.
fn compare_numbers(left: &str, right: &str) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

fn compare_prereleases(left: &str, right: &str) -> Ordering {
    match (left.strip_prefix('-'), right.strip_prefix('-')) {
        // A release stands above all its prereleases.
        (None, right) => right.is_some().cmp(&false),
        (Some(_), None) => Ordering::Less,
        (Some(left), Some(right)) => {
            let (mut left, mut right) = (left.split('.'), right.split('.'));
            loop {
                match (left.next(), right.next()) {
                    (Some(left), Some(right)) => match compare_identifiers(left, right) {
                        Ordering::Equal => {}
                        decided => return decided,
                    },
                    (left, right) => return left.is_some().cmp(&right.is_some()),
                }
            }
        }
    }
}

fn compare_identifiers(left: &str, right: &str) -> Ordering {
    match (is_number(left), is_number(right)) {
        (true, true) => compare_numbers(left, right),
        (false, false) => left.cmp(right),
        // Numbers stand below words.
        (left_is_number, right_is_number) => right_is_number.cmp(&left_is_number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of semver_test.go, in ascending order: a text and its canonical form, empty for what is no version.
    const TABLE: [(&str, &str); 32] = [
        ("bad", ""),
        ("v1-alpha.beta.gamma", ""),
        ("v1-pre", ""),
        ("v1+meta", ""),
        ("v1-pre+meta", ""),
        ("v1.2-pre", ""),
        ("v1.2+meta", ""),
        ("v1.2-pre+meta", ""),
        ("v1.0.0-alpha", "v1.0.0-alpha"),
        ("v1.0.0-alpha.1", "v1.0.0-alpha.1"),
        ("v1.0.0-alpha.beta", "v1.0.0-alpha.beta"),
        ("v1.0.0-beta", "v1.0.0-beta"),
        ("v1.0.0-beta.2", "v1.0.0-beta.2"),
        ("v1.0.0-beta.11", "v1.0.0-beta.11"),
        ("v1.0.0-rc.1", "v1.0.0-rc.1"),
        ("v1", "v1.0.0"),
        ("v1.0", "v1.0.0"),
        ("v1.0.0", "v1.0.0"),
        ("v1.2", "v1.2.0"),
        ("v1.2.0", "v1.2.0"),
        ("v1.2.3-456", "v1.2.3-456"),
        ("v1.2.3-456.789", "v1.2.3-456.789"),
        ("v1.2.3-456-789", "v1.2.3-456-789"),
        ("v1.2.3-456a", "v1.2.3-456a"),
        ("v1.2.3-pre", "v1.2.3-pre"),
        ("v1.2.3-pre+meta", "v1.2.3-pre"),
        ("v1.2.3-pre.1", "v1.2.3-pre.1"),
        ("v1.2.3-zzz", "v1.2.3-zzz"),
        ("v1.2.3", "v1.2.3"),
        ("v1.2.3+meta", "v1.2.3"),
        ("v1.2.3+meta-pre", "v1.2.3"),
        ("v1.2.3+meta-pre.sha.256a", "v1.2.3"),
    ];

    #[test]
    fn a_version_has_one_canonical_form() {
        for (text, wanted) in TABLE {
            assert_eq!(canonical(text).unwrap_or_default(), wanted, "{text}");
        }
        assert_eq!(
            canonical("v2.0.0-a+incompatible").as_deref(),
            Some("v2.0.0-a+incompatible")
        );
    }

    #[test]
    fn precedence_looks_at_the_canonical_form_alone() {
        for (i, (left, left_form)) in TABLE.iter().enumerate() {
            for (j, (right, right_form)) in TABLE.iter().enumerate() {
                let wanted = match left_form == right_form {
                    true => Ordering::Equal,
                    false => i.cmp(&j),
                };
                assert_eq!(compare(left, right), wanted, "{left} {right}");
            }
        }
    }
}
