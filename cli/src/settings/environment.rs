//! The environment as a layer of settings: `MODMESH_<NAME>`, lists with commas.
//!
//! The variables are read once, into a value, so that everything after it can be tested with an environment of its own.
//! A variable set to nothing counts as not set, as it does for `go`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::SettingsError;
use super::value::{Given, Layer, Name, Shape, Source, nearest};

/// The variable that names the configuration file.
pub(crate) const CONFIG_VARIABLE: &str = "MODMESH_CONFIG";

/// A snapshot of the process's variables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// The variables of this process. A variable whose name is no Unicode cannot be one of ours.
    pub(crate) fn of_process() -> Self {
        let named = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        Self(named)
    }

    /// The value of `variable`, when it is set to something.
    pub(crate) fn get(&self, variable: &str) -> Option<&OsString> {
        self.0.get(variable).filter(|value| !value.is_empty())
    }

    /// The value of `variable` as text.
    pub(crate) fn text(&self, variable: &str) -> Result<Option<String>, SettingsError> {
        let Some(value) = self.get(variable) else {
            return Ok(None);
        };
        match value.to_str() {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(SettingsError::NotUnicode(variable.to_owned())),
        }
    }

    /// The value of `variable` when it is an absolute path; the XDG specification says to ignore any other.
    pub(crate) fn absolute_path(&self, variable: &str) -> Option<PathBuf> {
        self.get(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    }

    /// What the variables give.
    pub(crate) fn layer(&self) -> Result<Layer, SettingsError> {
        let mut layer = Layer::new();
        for name in Name::ALL {
            let variable = name.variable();
            if let Some(text) = self.text(&variable)? {
                let texts = match name.shape() {
                    Shape::List => items(&text),
                    Shape::One | Shape::Switch => vec![text],
                };
                let source = Source::Variable(variable);
                layer.insert(name, Given { texts, source });
            }
        }
        Ok(layer)
    }

    /// Variables that look like a misspelt one of ours, each with the one that was probably meant.
    pub(crate) fn misspelt(&self) -> Vec<(String, String)> {
        let known: Vec<String> = Name::ALL.map(Name::variable).into();
        let words = || Name::ALL.iter().map(|name| name.word()).chain(["config"]);
        self.0
            .keys()
            .filter(|name| *name != CONFIG_VARIABLE && !known.contains(name))
            .filter_map(|name| {
                let word = nearest(name.strip_prefix("MODMESH_")?, words())?;
                let meant = word.to_uppercase().replace('-', "_");
                Some((name.clone(), format!("MODMESH_{meant}")))
            })
            .collect()
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(
            variables
                .map(|(name, value)| (name.to_owned(), value.into()))
                .into(),
        )
    }
}

/// The items of a list with commas.
fn items(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_commas_and_empty_variables_do_not_count() {
        let environment = Environment::from([
            ("MODMESH_LISTEN", "127.0.0.1:1, [::1]:2"),
            ("MODMESH_UPSTREAM", "https://a.example,direct"),
            ("MODMESH_STATE", ""),
        ]);
        let layer = environment.layer().unwrap();
        assert_eq!(layer[&Name::Listen].texts, ["127.0.0.1:1", "[::1]:2"]);
        assert_eq!(layer[&Name::Upstream].texts, ["https://a.example,direct"]);
        assert!(!layer.contains_key(&Name::State));
    }

    #[test]
    fn a_misspelt_variable_is_noticed() {
        let environment = Environment::from([
            ("MODMESH_STORE_LIMT", "1GB"),
            ("MODMESH_LIVE", "1"),
            ("HOME", "/"),
        ]);
        let meant = ("MODMESH_STORE_LIMT".into(), "MODMESH_STORE_LIMIT".into());
        assert_eq!(environment.misspelt(), [meant]);
    }

    #[test]
    fn variables_of_tests_and_tools_are_not_taken_for_misspelt_ones() {
        let environment = Environment::from(
            [
                "MODMESH_LIVE",
                "MODMESH_LAB_REQUIRED",
                "MODMESH_LAB_NESTED",
                "MODMESH_JUDGE",
                "MODMESH_ROUNDS",
                "MODMESH_SEED",
                "MODMESH_BIN",
                "MODMESH_SCRIPTS_GOPROXY",
                "MODMESH_CONFIG",
            ]
            .map(|name| (name, "1")),
        );
        assert_eq!(environment.misspelt(), []);
    }
}
