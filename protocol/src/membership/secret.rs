//! The mesh secret and its text: `modmesh-secret-1:` and the base64url of 32 bytes, one line for each secret of a file.
//!
//! Neither a secret nor a line that was meant to be one is ever printed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bytes of a secret: as many as guessing needs to be hopeless, and the width of the hash that proves it.
pub const SECRET_BYTES: usize = 32;
/// What a line with a secret begins with.
pub const SECRET_PREFIX: &str = "modmesh-secret-1:";
/// Secrets of one host at the same time: the one before, the present one and the next are three.
pub const SECRETS_MAX: usize = 4;
/// Bytes of a file of secrets: four lines take 250, the rest is for comments.
pub const SECRET_FILE_BYTES_MAX: usize = 16 * 1024;

/// What all hosts of a mesh know and nobody else does.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

/// The secrets of one host, each of which makes a member; more than one while they are being exchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets(Vec<Secret>);

/// Why a text gives no secrets. Lines are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// No line has a secret.
    #[error("it holds no secret; `modmesh secret new FILE` makes one")]
    Empty,
    /// A line that begins with something else.
    #[error(
        "line {0} is no secret: `{SECRET_PREFIX}` and 43 characters are expected, as `modmesh secret new FILE` writes them"
    )]
    NotASecret(usize),
    /// A line whose end is not the base64url of 32 bytes.
    #[error(
        "line {0} is a damaged secret: 43 characters of base64url are expected behind `{SECRET_PREFIX}`; copy the line again"
    )]
    Damaged(usize),
    /// More lines than anybody needs.
    #[error("it holds more than {SECRETS_MAX} secrets; take out those that no host needs any more")]
    TooMany,
    /// The same secret twice.
    #[error("line {0} repeats a secret; take it out")]
    Twice(usize),
}

impl Secret {
    /// A secret of these bytes, which must come from a source that nobody can guess.
    pub fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// The line that stands in a file, without its end. Whoever has it is a member.
    pub fn to_line(&self) -> String {
        format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }

    pub(super) fn bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secrets {
    /// Reads the text of a file: one secret a line; empty lines and those that begin with `#` do not count.
    ///
    /// # Errors
    /// A [`SecretsError`], which repeats nothing of the text.
    pub fn parse(text: &str) -> Result<Self, SecretsError> {
        let mut secrets = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let (line, number) = (line.trim(), index + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let encoded = line.strip_prefix(SECRET_PREFIX);
            let encoded = encoded.ok_or(SecretsError::NotASecret(number))?;
            let bytes = URL_SAFE_NO_PAD.decode(encoded);
            let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
            let secret = Secret(bytes.ok_or(SecretsError::Damaged(number))?);
            if secrets.contains(&secret) {
                return Err(SecretsError::Twice(number));
            }
            if secrets.len() >= SECRETS_MAX {
                return Err(SecretsError::TooMany);
            }
            secrets.push(secret);
        }
        match secrets.is_empty() {
            true => Err(SecretsError::Empty),
            false => Ok(Self(secrets)),
        }
    }

    /// Whether there is none: those of a host without a mesh secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(byte: u8) -> Secret {
        Secret::new([byte; SECRET_BYTES])
    }

    #[test]
    fn a_file_holds_one_secret_a_line_and_comments() {
        let (old, new) = (secret(1).to_line(), secret(2).to_line());
        let text = format!("# of the mesh in hall 3\r\n\n  {new} \r\n# until Friday\n{old}");
        let secrets = Secrets::parse(&text).unwrap();
        assert_eq!(secrets.0, [secret(2), secret(1)]);
        assert_eq!((secrets.len(), secrets.is_empty()), (2, false));
        assert!(Secrets::default().is_empty());
    }

    #[test]
    fn what_is_no_secret_is_refused_with_its_line_and_not_repeated() {
        let good = secret(1).to_line();
        let short = &good[..good.len() - 1];
        // The last character of 43 carries two bits that must be zero.
        let stray = format!("{short}B");
        for (text, error) in [
            (String::new(), SecretsError::Empty),
            ("\n# nothing\n".into(), SecretsError::Empty),
            ("hunter2".into(), SecretsError::NotASecret(1)),
            (format!("{good}\nhunter2"), SecretsError::NotASecret(2)),
            (good.replace("-1:", "-2:"), SecretsError::NotASecret(1)),
            (short.into(), SecretsError::Damaged(1)),
            (format!("{good}A"), SecretsError::Damaged(1)),
            (format!("{good}="), SecretsError::Damaged(1)),
            (stray, SecretsError::Damaged(1)),
            (SECRET_PREFIX.into(), SecretsError::Damaged(1)),
            (format!("{good}\n{good}"), SecretsError::Twice(2)),
            (
                (0..5).map(|n| secret(n).to_line() + "\n").collect(),
                SecretsError::TooMany,
            ),
        ] {
            assert_eq!(Secrets::parse(&text), Err(error), "{text:?}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn a_secret_is_not_printed_by_accident() {
        let secrets = Secrets::parse(&secret(7).to_line()).unwrap();
        assert_eq!(format!("{secrets:?}"), "Secrets([Secret(..)])");
    }

    proptest! {
        #[test]
        fn a_line_gives_the_secret_it_was_made_of(bytes in any::<[u8; SECRET_BYTES]>()) {
            let line = Secret::new(bytes).to_line();
            prop_assert_eq!(line.len(), SECRET_PREFIX.len() + 43);
            prop_assert_eq!(Secrets::parse(&line).unwrap().0, [Secret::new(bytes)]);
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = Secrets::parse(&text);
        }
    }
}
