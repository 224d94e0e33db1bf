//! Paths in Rust source, found without a parser: comments, texts and characters are skipped, `use` trees are spread out,
//! and `super` is followed to the module it means.
//!
//! It errs towards finding too much: a path inside a macro's body counts like any other.

/// A path as written, with the line it begins on and the number of inline modules around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) names: Vec<String>,
    pub(crate) line: usize,
    pub(crate) inline_modules: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Name(String),
    /// `::`
    Sep,
    Other(char),
}

/// Every path of `text`.
pub(crate) fn mentions(text: &str) -> Vec<Mention> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut inline: Vec<usize> = Vec::new();
    let (mut depth, mut at) = (0, 0);
    while let Some((token, line)) = tokens.get(at) {
        match token {
            Token::Other('{') => {
                let names_before = |back: usize, word: &str| {
                    at.checked_sub(back)
                        .and_then(|before| tokens.get(before))
                        .is_some_and(|(token, _)| *token == Token::Name(word.to_owned()))
                };
                depth += 1;
                if names_before(2, "mod") {
                    inline.push(depth);
                }
            }
            Token::Other('}') => {
                if inline.last() == Some(&depth) {
                    inline.pop();
                }
                depth = depth.saturating_sub(1);
            }
            Token::Name(_) => {
                let mut paths = Vec::new();
                at = path(&tokens, at, &mut Vec::new(), &mut paths);
                // Another name for something opens all of it.
                let renamed = tokens.get(at).map(|(token, _)| token);
                if renamed == Some(&Token::Name("as".to_owned()))
                    && let [names] = paths.as_mut_slice()
                {
                    names.push("*".to_owned());
                }
                found.extend(paths.into_iter().map(|names| Mention {
                    names,
                    line: *line,
                    inline_modules: inline.len(),
                }));
                continue;
            }
            Token::Sep | Token::Other(_) => {}
        }
        at += 1;
    }
    found
}

/// Reads one path that begins at `at`, spreading out `{..}` behind `::`; returns where it ends.
fn path(
    tokens: &[(Token, usize)],
    mut at: usize,
    before: &mut Vec<String>,
    paths: &mut Vec<Vec<String>>,
) -> usize {
    let kept = before.len();
    let token = |at: usize| tokens.get(at).map(|(token, _)| token);
    while let Some(Token::Name(name)) = token(at) {
        before.push(name.clone());
        at += 1;
        if token(at) != Some(&Token::Sep) {
            break;
        }
        match token(at + 1) {
            Some(Token::Name(_)) => at += 1,
            Some(Token::Other('{')) => {
                at = branches(tokens, at + 2, before, paths);
                before.truncate(kept);
                return at;
            }
            Some(Token::Other('*')) => {
                before.push("*".to_owned());
                at += 2;
                break;
            }
            _ => {
                at += 1;
                break;
            }
        }
    }
    paths.push(before.clone());
    before.truncate(kept);
    at
}

fn branches(
    tokens: &[(Token, usize)],
    mut at: usize,
    before: &mut Vec<String>,
    paths: &mut Vec<Vec<String>>,
) -> usize {
    while let Some((token, _)) = tokens.get(at) {
        match token {
            Token::Other('}') => return at + 1,
            Token::Name(name) if name == "as" => at += 2,
            Token::Name(_) => at = path(tokens, at, before, paths),
            Token::Other('*') => {
                let mut glob = before.clone();
                glob.push("*".to_owned());
                paths.push(glob);
                at += 1;
            }
            Token::Sep | Token::Other(_) => at += 1,
        }
    }
    at
}

fn tokens(text: &str) -> Vec<(Token, usize)> {
    let letters: Vec<char> = text.chars().collect();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let is = |at: usize, letter: char| letters.get(at) == Some(&letter);
    while let Some(letter) = letters.get(at).copied() {
        let began = at;
        if letter == '/' && is(at + 1, '/') {
            at = skip_while(&letters, at, |letter| letter != '\n');
        } else if letter == '/' && is(at + 1, '*') {
            at = skip_comment(&letters, at + 2);
        } else if let Some(end) = skip_text(&letters, at) {
            at = end;
        } else if is_name(letter) {
            at = skip_while(&letters, at, is_name);
            tokens.push((Token::Name(letters[began..at].iter().collect()), line));
        } else if letter == ':' && is(at + 1, ':') {
            tokens.push((Token::Sep, line));
            at += 2;
        } else {
            if !letter.is_whitespace() {
                tokens.push((Token::Other(letter), line));
            }
            at += 1;
        }
        line += letters[began..at].iter().filter(|l| **l == '\n').count();
    }
    tokens
}

fn skip_while(letters: &[char], mut at: usize, wanted: impl Fn(char) -> bool) -> usize {
    while letters.get(at).is_some_and(|letter| wanted(*letter)) {
        at += 1;
    }
    at
}

/// The end of a block comment, which may hold others.
fn skip_comment(letters: &[char], mut at: usize) -> usize {
    let mut open = 1;
    while at < letters.len() && open > 0 {
        match letters.get(at..at + 2) {
            Some(['/', '*']) => (open, at) = (open + 1, at + 2),
            Some(['*', '/']) => (open, at) = (open - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

/// The end of the text or character that begins at `at`, if one does.
fn skip_text(letters: &[char], at: usize) -> Option<usize> {
    let starts_name = |at: usize| {
        at.checked_sub(1)
            .and_then(|before| letters.get(before))
            .is_none_or(|before| !before.is_alphanumeric() && *before != '_')
    };
    match letters.get(at)? {
        '"' => Some(skip_quoted(letters, at + 1, '"')),
        'r' | 'b' | 'c' if starts_name(at) => {
            let after = skip_while(letters, at, |letter| matches!(letter, 'r' | 'b' | 'c'));
            let quote = skip_while(letters, after, |letter| letter == '#');
            let (hashes, is_raw) = (quote - after, letters[at..after].contains(&'r'));
            match letters.get(quote)? {
                '"' if is_raw => Some(skip_raw(letters, quote + 1, hashes)),
                '"' if hashes == 0 => Some(skip_quoted(letters, quote + 1, '"')),
                '\'' if hashes == 0 && letters[at..after] == ['b'] => {
                    Some(skip_quoted(letters, quote + 1, '\''))
                }
                _ => None,
            }
        }
        // A lifetime has no closing quote right behind its first letter.
        '\'' if letters.get(at + 1) == Some(&'\\') || letters.get(at + 2) == Some(&'\'') => {
            Some(skip_quoted(letters, at + 1, '\''))
        }
        _ => None,
    }
}

fn skip_quoted(letters: &[char], mut at: usize, quote: char) -> usize {
    while let Some(letter) = letters.get(at) {
        match letter {
            '\\' => at += 2,
            letter if *letter == quote => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn skip_raw(letters: &[char], mut at: usize, hashes: usize) -> usize {
    while at < letters.len() {
        let closes = letters[at] == '"'
            && letters[at + 1..].iter().take_while(|l| **l == '#').count() >= hashes;
        if closes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    at
}

#[test]
fn paths_are_found_however_they_are_written() {
    let text = r##"
        //! crate::comment::no
        use crate::{a::X, b::{self, Y as Z}, c::*};
        /* crate::block::no /* crate::nested::no */ crate::still::no */
        fn f<'a>(x: &'a str) -> char { crate::d::g(r#"crate::text::no"#, "crate::t::no\"", b'"', '"') }
        mod tests { use super::super::e; }
        fn h() { $crate::i::j::<crate::k::L>() }
    "##;
    let found: Vec<_> = mentions(text)
        .into_iter()
        .filter(|mention| mention.names.len() > 1)
        .map(|mention| (mention.names.join("::"), mention.inline_modules))
        .collect();
    let expected = [
        ("crate::a::X", 0),
        ("crate::b::self", 0),
        ("crate::b::Y", 0),
        ("crate::c::*", 0),
        ("crate::d::g", 0),
        ("super::super::e", 1),
        ("crate::i::j", 0),
        ("crate::k::L", 0),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(path, inline)| (path.to_owned(), inline))
        .collect();
    assert_eq!(found, expected);
}
