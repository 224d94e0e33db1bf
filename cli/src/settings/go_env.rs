//! What `go env` already knows: GOPROXY, GOSUMDB, GONOSUMDB, GOPRIVATE, and what `setup` and `doctor` look at besides.
//!
//! `go` is asked once, with a deadline, from the root folder, with GOTOOLCHAIN=local and without GOFLAGS: asking must
//! neither depend on the project somebody stands in nor download a toolchain, through us of all ways. `go env` itself
//! knows that GOPRIVATE is the default of GONOSUMDB and that its own file stands behind the environment.

use std::io;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::SettingsError;
use super::environment::Environment;
use super::value::{Given, Layer, Name, Source};

/// How long `go env` may take. It takes some ten milliseconds unless a disk or a wrapper script hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// The answer of `go env -json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE", default)]
pub(crate) struct GoEnv {
    pub(crate) goproxy: String,
    pub(crate) gosumdb: String,
    pub(crate) gonosumdb: String,
    pub(crate) goprivate: String,
    pub(crate) gonoproxy: String,
    pub(crate) goflags: String,
    pub(crate) goinsecure: String,
    /// Where go keeps what it builds and downloads; of several folders the first.
    pub(crate) gopath: String,
    /// The file of `go env -w`; empty, or `off`, when go keeps none.
    pub(crate) goenv: String,
}

/// A change of GOPROXY in go's own file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// `go env -w GOPROXY=LIST`
    Write(String),
    /// `go env -u GOPROXY`
    Unset,
}

/// Why `go env` gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GoEnvError {
    /// There is no `go` command on this host.
    #[error("the go command was not found on PATH")]
    Missing,
    #[error("go env could not be run: {0}")]
    NotRun(#[source] io::Error),
    #[error("go env gave no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("go env failed: {0}")]
    Failed(String),
    #[error("go env gave an answer that is no JSON: {0}")]
    Unreadable(#[source] serde_json::Error),
}

/// Asks `go env`.
pub(crate) async fn ask(deadline: Duration) -> Result<GoEnv, GoEnvError> {
    let arguments = [
        "-json",
        "GOPROXY",
        "GOSUMDB",
        "GONOSUMDB",
        "GOPRIVATE",
        "GONOPROXY",
        "GOFLAGS",
        "GOINSECURE",
        "GOPATH",
        "GOENV",
    ];
    let stdout = run(&arguments, deadline).await?;
    serde_json::from_slice(&stdout).map_err(GoEnvError::Unreadable)
}

/// Has `go env` change its own file.
pub(crate) async fn change(change: &Change, deadline: Duration) -> Result<(), GoEnvError> {
    let stdout = match change {
        Change::Write(list) => run(&["-w", &format!("GOPROXY={list}")], deadline).await,
        Change::Unset => run(&["-u", "GOPROXY"], deadline).await,
    };
    stdout.map(|_| ())
}

/// Runs `go env` with these arguments and returns what it printed.
async fn run(arguments: &[&str], deadline: Duration) -> Result<Vec<u8>, GoEnvError> {
    let running = tokio::process::Command::new("go")
        .arg("env")
        .args(arguments)
        .env("GOTOOLCHAIN", "local")
        .env_remove("GOFLAGS")
        .current_dir("/")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let answer = tokio::time::timeout(deadline, running)
        .await
        .map_err(|_| GoEnvError::TimedOut(deadline))?;
    let output = answer.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => GoEnvError::Missing,
        _ => GoEnvError::NotRun(error),
    })?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(GoEnvError::Failed(reason(&output))),
    }
}

impl GoEnv {
    /// What the environment alone says on a host without `go`. GOPROXY is left out: without `go` the upstream must be
    /// named for modmesh itself, while patterns that somebody set to keep names private are kept in any case.
    pub(crate) fn of_environment(environment: &Environment) -> Result<Self, SettingsError> {
        let text = |variable| Ok(environment.text(variable)?.unwrap_or_default());
        let goprivate: String = text("GOPRIVATE")?;
        let gonosumdb: String = text("GONOSUMDB")?;
        Ok(Self {
            goproxy: String::new(),
            gosumdb: text("GOSUMDB")?,
            gopath: text("GOPATH")?,
            gonosumdb: if gonosumdb.is_empty() {
                goprivate.clone()
            } else {
                gonosumdb
            },
            goprivate,
            ..Self::default()
        })
    }

    /// The file that `go env -w` writes, when there is one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let is_kept = !matches!(self.goenv.as_str(), "" | "off");
        is_kept.then(|| PathBuf::from(&self.goenv))
    }

    /// The patterns of modules that `go` asks for itself, past every proxy. `none` is what people write for no pattern.
    pub(crate) fn bypassed(&self) -> Option<String> {
        let patterns = match self.gonoproxy.trim() {
            "" => &self.goprivate,
            _ => &self.gonoproxy,
        };
        let patterns = patterns.split(',').map(str::trim);
        let named: Vec<&str> = patterns
            .filter(|one| !matches!(*one, "" | "none"))
            .collect();
        (!named.is_empty()).then(|| named.join(","))
    }

    /// The settings that follow from it. Empty values say nothing.
    pub(crate) fn layer(&self) -> Layer {
        let patterns_from = if self.gonosumdb == self.goprivate {
            "GOPRIVATE"
        } else {
            "GONOSUMDB"
        };
        [
            (Name::Upstream, &self.goproxy, "GOPROXY"),
            (Name::Sumdb, &self.gosumdb, "GOSUMDB"),
            (Name::Private, &self.gonosumdb, patterns_from),
        ]
        .into_iter()
        .filter(|(_, text, _)| !text.trim().is_empty())
        .map(|(name, text, variable)| {
            let texts = vec![text.clone()];
            let source = Source::GoEnv(variable);
            (name, Given { texts, source })
        })
        .collect()
    }
}

/// The first line `go` wrote on stderr, or its exit status.
fn reason(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    match stderr.lines().find(|line| !line.trim().is_empty()) {
        Some(line) => line.trim().to_owned(),
        None => output.status.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_that_keep_names_from_the_database_are_the_private_ones() {
        let by_default = GoEnv {
            gonosumdb: "corp.example".into(),
            goprivate: "corp.example".into(),
            ..GoEnv::default()
        };
        let given = &by_default.layer()[&Name::Private];
        assert_eq!(given.texts, ["corp.example"]);
        assert_eq!(given.source, Source::GoEnv("GOPRIVATE"));

        let own = GoEnv {
            gonosumdb: "none".into(),
            ..by_default
        };
        let given = &own.layer()[&Name::Private];
        assert_eq!(given.texts, ["none"]);
        assert_eq!(given.source, Source::GoEnv("GONOSUMDB"));
    }

    #[test]
    fn none_is_no_pattern() {
        let bypassed = |gonoproxy: &str, goprivate: &str| {
            let answer = GoEnv {
                gonoproxy: gonoproxy.into(),
                goprivate: goprivate.into(),
                ..GoEnv::default()
            };
            answer.bypassed()
        };
        assert_eq!(bypassed("none", "corp.example"), None);
        assert_eq!(bypassed("", ""), None);
        assert_eq!(
            bypassed("", "corp.example").as_deref(),
            Some("corp.example")
        );
        let several = bypassed(" a.example, none,b.example", "corp.example");
        assert_eq!(several.as_deref(), Some("a.example,b.example"));
    }

    #[test]
    fn a_host_without_go_keeps_private_what_its_environment_says() {
        let environment = Environment::from([
            ("GOPRIVATE", "corp.example"),
            ("GOPROXY", "https://a.example"),
        ]);
        let layer = GoEnv::of_environment(&environment).unwrap().layer();
        assert_eq!(layer[&Name::Private].texts, ["corp.example"]);
        assert!(!layer.contains_key(&Name::Upstream));
    }
}
