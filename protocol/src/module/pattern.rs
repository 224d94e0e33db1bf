//! Private patterns: the syntax of GOPRIVATE, GONOPROXY and GONOSUMDB.
//!
//! A list of globs with commas between them; a glob of N elements is held against the first N elements of a module path.
//! The rules are `module.MatchPrefixPatterns` in golang.org/x/mod/module and `path.Match` in Go's standard library. One
//! difference is deliberate: Go passes over a broken glob in silence, and we refuse it, because whoever wrote it wanted
//! names kept on this host.

use std::fmt;

use super::{ModuleError, ModulePath, excerpt};

/// The longest list of patterns, in bytes. It comes from a setting of the user or from a local request, and is held
/// against every path: this bounds that work.
pub const PATTERNS_BYTES_MAX: usize = 16 * 1024;

/// A list of private patterns, read once and matched often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Vec<Glob>);

impl Patterns {
    /// Reads a list with commas. Empty globs, and one slash at the end of a glob, do not count.
    pub fn parse(list: &str) -> Result<Self, ModuleError> {
        if list.len() > PATTERNS_BYTES_MAX {
            return Err(ModuleError::PatternsTooLong);
        }
        list.split(',')
            .map(|glob| glob.strip_suffix('/').unwrap_or(glob))
            .filter(|glob| !glob.is_empty())
            .map(|glob| Glob::parse(glob).ok_or_else(|| ModuleError::Pattern(excerpt(glob))))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether one of the globs matches the path or the beginning of it that has as many elements.
    pub fn matches(&self, module: &ModulePath) -> bool {
        self.0.iter().any(|glob| glob.matches(module.as_str()))
    }

    /// Whether one of the globs matches whatever there is: `*`, of one element.
    pub fn matches_everything(&self) -> bool {
        let matches_all = |glob: &Glob| glob.text.bytes().all(|byte| byte == b'*');
        self.0.iter().any(matches_all)
    }

    /// Whether there is no glob at all, so that nothing matches.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, glob) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Reading takes one slash from the end, so a glob that ends with another one is written with both.
            let slash = if glob.text.ends_with('/') { "/" } else { "" };
            write!(f, "{comma}{}{slash}", glob.text)?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Patterns {
    type Err = ModuleError;

    fn from_str(list: &str) -> Result<Self, ModuleError> {
        Self::parse(list)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// Any characters, but no slash.
    Star,
    /// One character, but no slash.
    Any,
    One(char),
    /// One character in, or with `negated` outside, the ranges; a slash is not special here.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    fn parse(text: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            tokens.push(match c {
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => Token::One(rest.next()?),
                '[' => class(&mut rest)?,
                c => Token::One(c),
            });
        }
        Some(Self {
            text: text.to_owned(),
            tokens,
        })
    }

    fn matches(&self, path: &str) -> bool {
        // Go counts the slashes of the glob's text, also those in brackets.
        let slashes = self.text.matches('/').count();
        match path.match_indices('/').nth(slashes) {
            Some((end, _)) => self.matches_all(&path[..end]),
            None => path.matches('/').count() == slashes && self.matches_all(path),
        }
    }

    /// `path.Match`. Where it fails, only the last star may take more: an earlier one has settled, as it has in Go, so
    /// the work is bounded by the two lengths multiplied.
    fn matches_all(&self, name: &str) -> bool {
        let mut tokens = self.tokens.as_slice();
        let mut rest = name;
        let mut last_star: Option<(&[Token], &str)> = None;
        loop {
            if let [Token::Star, after @ ..] = tokens {
                last_star = Some((after, rest));
                tokens = after;
                continue;
            }
            let mut characters = rest.chars();
            match (tokens, characters.next()) {
                ([], None) => return true,
                ([token, after @ ..], Some(c)) if token.matches(c) => {
                    tokens = after;
                    rest = characters.as_str();
                    continue;
                }
                _ => {}
            }
            let Some((after, taken)) = last_star else {
                return false;
            };
            let mut characters = taken.chars();
            if characters.next().is_none_or(|c| c == '/') {
                return false;
            }
            (tokens, rest) = (after, characters.as_str());
            last_star = Some((after, rest));
        }
    }
}

impl Token {
    fn matches(&self, c: char) -> bool {
        match self {
            Self::Star => false,
            Self::Any => c != '/',
            Self::One(own) => *own == c,
            Self::Class { negated, ranges } => {
                let inside = ranges
                    .iter()
                    .any(|&(first, last)| (first..=last).contains(&c));
                inside != *negated
            }
        }
    }
}

/// Reads a class behind its `[`, to its `]`: one range at least, where `-` and `]` stand for themselves only behind `\`.
fn class(rest: &mut std::str::Chars<'_>) -> Option<Token> {
    fn bound(rest: &mut std::str::Chars<'_>) -> Option<char> {
        match rest.next()? {
            '-' | ']' => None,
            '\\' => rest.next(),
            c => Some(c),
        }
    }
    let negated = rest.as_str().starts_with('^');
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && rest.as_str().starts_with(']') {
            rest.next();
            return Some(Token::Class { negated, ranges });
        }
        let first = bound(rest)?;
        let mut last = first;
        if rest.as_str().starts_with('-') {
            rest.next();
            last = bound(rest)?;
        }
        ranges.push((first, last));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Glob, Patterns};

    /// `path.Match` with a name that need not be a module path.
    fn matches(glob: &str, name: &str) -> bool {
        Glob::parse(glob).unwrap().matches_all(name)
    }

    #[test]
    fn a_lone_star_matches_everything() {
        let all = |list: &str| Patterns::parse(list).unwrap().matches_everything();
        assert!(all("*") && all("corp.example,**"));
        assert!(!all("") && !all("none") && !all("*.example") && !all("*/*"));
    }

    #[test]
    fn globs_match_as_in_path_match_of_go() {
        for (glob, name) in [
            ("abc", "abc"),
            ("*", "abc"),
            ("*c", "abc"),
            ("a*", "a"),
            ("a*", "abc"),
            ("a*/b", "abc/b"),
            ("a*b*c*d*e*/f", "axbxcxdxe/f"),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f"),
            ("a*b?c*x", "abxbbxdbxebxczzx"),
            ("ab[c]", "abc"),
            ("ab[b-d]", "abc"),
            ("ab[^e-g]", "abc"),
            ("a\\*b", "a*b"),
            ("a?b", "a☺b"),
            ("a[^a]b", "a☺b"),
            ("[a-ζ]*", "α"),
            ("[\\]a]", "]"),
            ("[\\-]", "-"),
            ("[x\\-]", "x"),
            ("[x\\-]", "-"),
            ("[\\-x]", "x"),
            ("[\\-x]", "-"),
            ("*x", "xxx"),
            ("[^a]", "/"),
        ] {
            assert!(matches(glob, name), "{glob:?} {name:?}");
        }
        for (glob, name) in [
            ("a*", "ab/c"),
            ("a*/b", "a/c/b"),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f"),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff"),
            ("a*b?c*x", "abxbbxdbxebxczzy"),
            ("ab[e-g]", "abc"),
            ("ab[^c]", "abc"),
            ("ab[^b-d]", "abc"),
            ("a\\*b", "ab"),
            ("a???b", "a☺b"),
            ("a[^a][^a][^a]b", "a☺b"),
            ("*[a-ζ]", "A"),
            ("a?b", "a/b"),
            ("a*b", "a/b"),
            ("[x\\-]", "z"),
            ("[\\-x]", "a"),
            // The first star has settled for nothing when the class takes `x`, and takes no more when the second fails.
            ("*[^a]*b", "xy/b"),
        ] {
            assert!(!matches(glob, name), "{glob:?} {name:?}");
        }
    }

    #[test]
    fn globs_that_go_calls_bad_are_bad() {
        for glob in [
            "[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "a/b[",
        ] {
            assert_eq!(Glob::parse(glob), None, "{glob:?}");
        }
    }
}
