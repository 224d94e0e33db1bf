//! The escaped form of names, in which `!a` stands for `A`: the form in URLs and on disk, where case may get lost.
//!
//! The rule is `escapeString` and `unescapeString` in golang.org/x/mod/module/module.go. The two functions only translate;
//! what may be in a name is for its type to say.

/// The escaped form of an ASCII text without `!`. The types that call this hold no other text.
pub(super) fn escape(plain: &str) -> String {
    let mut escaped = String::with_capacity(escaped_length(plain));
    for c in plain.chars() {
        if c.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(c.to_ascii_lowercase());
    }
    escaped
}

/// How many bytes [`escape`] makes of `plain`.
pub(super) fn escaped_length(plain: &str) -> usize {
    plain.len() + plain.bytes().filter(u8::is_ascii_uppercase).count()
}

/// The text that `escaped` stands for, or nothing when it is no escaped form: it holds an upper-case letter, a character
/// beyond ASCII, or a `!` without a lower-case letter behind it. Each text has one escaped form at most.
pub(super) fn unescape(escaped: &str) -> Option<String> {
    let mut plain = String::with_capacity(escaped.len());
    let mut characters = escaped.chars();
    while let Some(c) = characters.next() {
        plain.push(match c {
            '!' => characters
                .next()
                .filter(char::is_ascii_lowercase)?
                .to_ascii_uppercase(),
            c if c.is_ascii_uppercase() || !c.is_ascii() => return None,
            c => c,
        });
    }
    Some(plain)
}
