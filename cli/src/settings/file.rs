//! The configuration file as a layer of settings: TOML, one key for each flag of `up`.
//!
//! A key that is not known is refused with the nearest one that is: a misspelt `private` that is silently ignored would
//! tell names to others. A file that was asked for must exist; the one at the usual place need not.

use std::io;
use std::path::{Path, PathBuf};

use super::environment::{CONFIG_VARIABLE, Environment};
use super::value::{Given, Layer, Name, Shape, Source, nearest};
use super::{SettingsError, is_absent};

/// The largest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Finds and reads the file: `asked` (the flag `--config`), else `MODMESH_CONFIG`, else `modmesh/config.toml` in the
/// configuration folder of the user.
pub(crate) fn layer(
    asked: Option<&Path>,
    environment: &Environment,
) -> Result<Layer, SettingsError> {
    let (path, must_exist) = match asked {
        Some(path) => (path.to_owned(), true),
        None => match environment.get(CONFIG_VARIABLE) {
            Some(path) => (PathBuf::from(path), true),
            None => match usual_place(environment) {
                Some(path) => (path, false),
                None => return Ok(Layer::new()),
            },
        },
    };
    match read(&path) {
        Ok(text) => parse(&text, &path),
        Err(error) if !must_exist && is_absent(&error) => Ok(Layer::new()),
        Err(error) => Err(SettingsError::FileUnreadable(path, error)),
    }
}

/// Reads the keys of a file's `text`; `path` is where it lies, for messages.
pub(crate) fn parse(text: &str, path: &Path) -> Result<Layer, SettingsError> {
    let table: toml::Table = toml::from_str(text).map_err(|error| syntax(text, path, &error))?;
    let mut layer = Layer::new();
    for (key, value) in &table {
        let name = Name::ALL.into_iter().find(|name| name.word() == key);
        let Some(name) = name else {
            let words = Name::ALL.iter().map(|name| name.word());
            return Err(SettingsError::UnknownKey {
                key: key.clone(),
                path: path.to_owned(),
                nearest: nearest(key, words),
            });
        };
        let Some(texts) = texts(name.shape(), value) else {
            return Err(SettingsError::WrongType {
                name,
                path: path.to_owned(),
                expected: expected(name.shape()),
            });
        };
        let source = Source::File(path.to_owned(), name);
        layer.insert(name, Given { texts, source });
    }
    Ok(layer)
}

/// `modmesh/config.toml` in `$XDG_CONFIG_HOME`, or in `~/.config` (XDG Base Directory Specification).
pub(super) fn usual_place(environment: &Environment) -> Option<PathBuf> {
    let folder = environment
        .absolute_path("XDG_CONFIG_HOME")
        .or_else(|| Some(environment.absolute_path("HOME")?.join(".config")))?;
    Some(folder.join("modmesh").join("config.toml"))
}

fn read(path: &Path) -> io::Result<String> {
    use io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it is larger than 1 MiB",
        ));
    }
    Ok(text)
}

fn syntax(text: &str, path: &Path, error: &toml::de::Error) -> SettingsError {
    let before = error.span().and_then(|span| text.get(..span.start));
    SettingsError::FileSyntax {
        path: path.to_owned(),
        line: before.map_or(1, |before| before.matches('\n').count() + 1),
        message: error.message().replace('\n', " "),
    }
}

/// The texts of a TOML value that fits `shape`.
fn texts(shape: Shape, value: &toml::Value) -> Option<Vec<String>> {
    match (shape, value) {
        (Shape::Switch, toml::Value::Boolean(on)) => Some(vec![on.to_string()]),
        (Shape::One | Shape::List, toml::Value::String(text)) => Some(vec![text.clone()]),
        (Shape::One, toml::Value::Integer(number)) => Some(vec![number.to_string()]),
        (Shape::List, toml::Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

fn expected(shape: Shape) -> &'static str {
    match shape {
        Shape::One => "a text in quotes",
        Shape::List => "an array of texts",
        Shape::Switch => "true or false",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Layer, String> {
        parse(text, Path::new("/c.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn every_shape_of_value_is_read() {
        let layer = parsed(
            "listen = ['127.0.0.1:1', '[::1]:2']\nstore-limit = '20GiB'\noffline = true\npeer = '/ip4/10.0.0.1/tcp/1'",
        )
        .unwrap();
        assert_eq!(layer[&Name::Listen].texts, ["127.0.0.1:1", "[::1]:2"]);
        assert_eq!(layer[&Name::StoreLimit].texts, ["20GiB"]);
        assert_eq!(layer[&Name::Offline].texts, ["true"]);
        assert_eq!(layer[&Name::Peer].texts, ["/ip4/10.0.0.1/tcp/1"]);
        assert_eq!(
            layer[&Name::Offline].source.to_string(),
            "key offline in /c.toml"
        );
        assert_eq!(
            parsed("store-limit = 4096").unwrap()[&Name::StoreLimit].texts,
            ["4096"]
        );
    }

    #[test]
    fn a_key_that_is_not_known_is_refused_with_the_nearest() {
        let refusal = parsed("privat = 'a.example'").unwrap_err();
        assert!(refusal.contains("privat"), "{refusal}");
        assert!(refusal.contains("did you mean `private`"), "{refusal}");
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let refusal = parsed("offline = 'yes'").unwrap_err();
        assert!(refusal.contains("true or false"), "{refusal}");
        let refusal = parsed("listen = [1]").unwrap_err();
        assert!(refusal.contains("an array of texts"), "{refusal}");
    }

    #[test]
    fn a_slip_in_the_syntax_names_its_line() {
        let refusal = parsed("offline = true\nlisten = [").unwrap_err();
        assert!(refusal.contains("/c.toml, line 2"), "{refusal}");
    }
}
