//! Which checksum databases the settings mean: what is mirrored, and what the first of them judges.

use std::collections::HashSet;
use std::path::Path;

use modmesh_protocol::log::{DatabaseSpec, SumdbSetting, VerifierKey};

use super::StartError;
use crate::config::Config;
use crate::log::{First, log_number};
use crate::trust::{FollowedLog, FollowedLogs};

/// The databases to mirror, each name once.
#[derive(Debug)]
pub(super) struct Databases {
    pub(super) specs: Vec<DatabaseSpec>,
    pub(super) first: First,
}

impl Databases {
    /// # Errors
    /// When two have one name: they would share a folder and a place in URLs.
    pub(super) fn of(config: &Config) -> Result<Self, StartError> {
        Self::of_settings(&config.databases)
    }

    fn of_settings(settings: &[SumdbSetting]) -> Result<Self, StartError> {
        let configured = settings.iter().filter_map(|setting| match setting {
            SumdbSetting::Database(spec) => Some(spec.clone()),
            SumdbSetting::Off => None,
        });
        let mut specs: Vec<DatabaseSpec> = configured.collect();
        let mut first = First::JudgesModules;
        if !matches!(settings.first(), Some(SumdbSetting::Database(_))) {
            // Toolchains are judged whatever the setting says, by the key that go has built in.
            let built_in = DatabaseSpec::sum_golang_org();
            match specs.iter().position(|spec| spec.key == built_in.key) {
                // Where it is named, perhaps with a URL, it is asked as it is named.
                Some(named) => {
                    let spec = specs.remove(named);
                    specs.insert(0, spec);
                    first = First::IsMirrored;
                }
                None => {
                    specs.insert(0, built_in);
                    first = First::IsThereForToolchains;
                }
            }
        }
        let mut names = HashSet::new();
        match specs.iter().find(|spec| !names.insert(spec.name())) {
            Some(twice) => Err(StartError::SameDatabase(twice.name().to_owned())),
            None => Ok(Self { specs, first }),
        }
    }

    /// Which log of each is followed in the state folder `state`, by name.
    pub(super) fn logs(&self, state: &Path) -> FollowedLogs {
        let followed = |key: &VerifierKey| FollowedLog {
            key: key.database_id(),
            number: log_number(state, key),
        };
        let specs = self.specs.iter();
        specs
            .map(|spec| (spec.name().to_owned(), followed(&spec.key)))
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const URL: &str = "https://mirror.example/sumdb";

    fn of(texts: &[&str]) -> Result<Databases, StartError> {
        let settings: Vec<_> = texts
            .iter()
            .map(|text| SumdbSetting::parse(text).unwrap())
            .collect();
        Databases::of_settings(&settings)
    }

    #[test]
    fn toolchains_are_judged_by_the_built_in_database_asked_as_it_is_named() {
        let alone = of(&["off"]).unwrap();
        assert_eq!(alone.specs, [DatabaseSpec::sum_golang_org()]);
        assert_eq!(alone.first, First::IsThereForToolchains);
        let named = of(&["off", &format!("sum.golang.org {URL}")]).unwrap();
        assert_eq!(named.specs.len(), 1);
        assert_eq!(named.specs[0].url.as_deref(), Some(URL));
        assert_eq!(named.first, First::IsMirrored);
        assert_eq!(of(&["sum.golang.org"]).unwrap().first, First::JudgesModules);
    }

    #[test]
    fn one_name_is_one_database() {
        let refused = of(&["sum.golang.org", "sum.golang.google.cn"]).unwrap_err();
        assert!(refused.to_string().contains("sum.golang.org"), "{refused}");
    }
}
