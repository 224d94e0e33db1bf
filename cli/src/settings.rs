//! The settings of `modmesh up`, put in layers: flags, then `MODMESH_*`, then the file, then `go env`, then built-in.
//!
//! The strongest layer that names a setting gives all of it; lists are not merged across layers. Every value remembers
//! where it came from, because a person who is told that a value is wrong must be told where it is written. Gathering
//! the layers does I/O ([`Gathered`]); choosing and checking is one pure function over them ([`check::settings`]).
//! `go` is asked only when upstream, database or private patterns are named nowhere above it. Where its GOPROXY names
//! nobody but us, as after `modmesh setup --strict`, the upstream is what `setup` remembered.

mod check;
mod environment;
mod file;
pub(crate) mod go_env;
mod manners;
mod remembered;
mod value;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use modmesh_daemon::config::Config;
use modmesh_daemon::upstream;
use modmesh_protocol::goproxy::ProxyList;
use modmesh_protocol::log::SumdbSetting;
use modmesh_protocol::module::Patterns;
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::site::Site;
use tracing_subscriber::filter::Targets;

use crate::logging::LogFormat;
use crate::output;
pub(crate) use check::default_listen;
use environment::{CONFIG_VARIABLE, Environment};
use go_env::{GoEnv, GoEnvError};
pub(crate) use manners::Limited;
use manners::Sending;
pub(crate) use remembered::Remembered;
pub(crate) use value::{Given, Layer, Name, Source, Value, nearest};

/// Where Linux tells what feeds the machine.
const POWER_SUPPLIES: &str = "/sys/class/power_supply";

/// The command of NetworkManager, which knows of lines whether they are metered.
const NETWORK_MANAGER: &str = "nmcli";

/// Every setting, checked, with its source.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) listen: Value<Vec<SocketAddr>>,
    pub(crate) allow_hosts: Value<Vec<String>>,
    pub(crate) state_dir: Value<PathBuf>,
    pub(crate) store_limit_bytes: Value<u64>,
    pub(crate) upstream: Value<ProxyList>,
    pub(crate) databases: Value<Vec<SumdbSetting>>,
    pub(crate) go_sums: Value<Vec<PathBuf>>,
    pub(crate) private: Value<Patterns>,
    pub(crate) peer_listen: Value<Vec<SocketAddr>>,
    pub(crate) peers: Value<Vec<String>>,
    pub(crate) mesh_secret_file: Value<Option<PathBuf>>,
    pub(crate) members: Value<Vec<PeerName>>,
    pub(crate) no_mdns: Value<bool>,
    pub(crate) offline: Value<bool>,
    pub(crate) neighbours_max: Value<usize>,
    pub(crate) limit_upload: Value<Limited>,
    pub(crate) limit_download: Value<Limited>,
    pub(crate) limit_upstream: Value<Limited>,
    pub(crate) site: Value<Option<Site>>,
    pub(crate) limit_site: Value<Limited>,
    pub(crate) site_connections: Value<Option<u16>>,
    pub(crate) site_budget_bytes: Value<Option<u64>>,
    pub(crate) on_battery: Value<Sending>,
    pub(crate) on_metered: Value<Sending>,
    pub(crate) log: Value<Targets>,
    pub(crate) log_format: Value<LogFormat>,
    /// Where `go` keeps the tree heads that it holds: `GOPATH/pkg/sumdb`.
    pub(crate) client_sumdb_dirs: Vec<PathBuf>,
    /// GOPROXY as `go env` told it, when it was asked.
    pub(crate) goproxy: Option<String>,
}

/// The layers above `go env`, strongest first.
#[derive(Debug, Clone)]
pub(crate) struct Gathered {
    layers: Vec<Layer>,
    environment: Environment,
}

/// A setting that cannot be used: wrong usage, exit code 2.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("{} cannot be used (it comes from {source_of_value}): {fault}", .name.word())]
    Unusable {
        name: Name,
        source_of_value: Source,
        fault: String,
    },
    #[error("{0} cannot be used: it is not Unicode")]
    NotUnicode(String),
    #[error("the configuration file {} cannot be read: {}; name one that can with --config FILE or {CONFIG_VARIABLE}, or leave both out", .0.display(), .1)]
    FileUnreadable(PathBuf, #[source] io::Error),
    #[error("the configuration file {}, line {line}, is not TOML: {message}", .path.display())]
    FileSyntax {
        path: PathBuf,
        line: usize,
        message: String,
    },
    #[error("the key `{key}` in {} is not known: {}", .path.display(), hint(*.nearest))]
    UnknownKey {
        key: String,
        path: PathBuf,
        nearest: Option<&'static str>,
    },
    #[error("{word} cannot be used (it comes from key {word} in {}): {expected} is expected", .path.display(), word = .name.word())]
    WrongType {
        name: Name,
        path: PathBuf,
        expected: &'static str,
    },
    #[error("{0}, so these are unknown: {1}; repair it, or give them (see `modmesh up --help`)")]
    GoEnv(#[source] GoEnvError, String),
    #[error(
        "upstream is not known, for {why}: give --upstream LIST in the syntax of GOPROXY (or MODMESH_UPSTREAM, or the \
         key upstream in the configuration file); `off` asks neighbours only"
    )]
    NoUpstream { why: &'static str },
    #[error(
        "upstream cannot be used (it comes from {0}): it names nobody but this daemon; give --upstream LIST (`off` asks \
         neighbours only), or write it behind our address: go env -w GOPROXY=\"{1}|LIST\""
    )]
    OnlyUs(Source, String),
    #[error(
        "cannot read what `modmesh setup` remembered of GOPROXY, {}: {error}; repair the file or take it away, and \
         give --upstream LIST",
        .path.display()
    )]
    Remembered { path: PathBuf, error: io::Error },
    #[error(
        "there is no home folder to keep the state in: set MODMESH_STATE to a folder for it (`up` and `explain` take --state DIR, too)"
    )]
    NoStateFolder,
}

impl Gathered {
    /// Reads environment and file and puts them under `flags`. `config_file` is the flag `--config`.
    pub(crate) fn under(flags: Layer, config_file: Option<&Path>) -> Result<Self, SettingsError> {
        let environment = Environment::of_process();
        for (variable, meant) in environment.misspelt() {
            output::complain(&format!(
                "warning: the variable {variable} is not known and does nothing: did you mean {meant}?"
            ));
        }
        let layers = vec![
            flags,
            environment.layer()?,
            file::layer(config_file, &environment)?,
        ];
        Ok(Self {
            layers,
            environment,
        })
    }

    /// Asks `go env` where that is needed, and checks everything.
    pub(crate) async fn settings(mut self) -> Result<Settings, SettingsError> {
        let open: Vec<&str> = [Name::Upstream, Name::Sumdb, Name::Private]
            .into_iter()
            .filter(|name| value::winner(&self.layers, *name).is_none())
            .map(Name::word)
            .collect();
        let mut goproxy = None;
        let mut gopath = self.environment.text("GOPATH")?.unwrap_or_default();
        let mut go_is_missing = false;
        if !open.is_empty() {
            let answer = match go_env::ask(go_env::DEADLINE).await {
                Ok(answer) => {
                    goproxy = Some(answer.goproxy.clone());
                    answer
                }
                Err(GoEnvError::Missing) => {
                    go_is_missing = true;
                    GoEnv::of_environment(&self.environment)?
                }
                // Going on without GOPRIVATE could tell a private name to others.
                Err(error) => return Err(SettingsError::GoEnv(error, open.join(", "))),
            };
            if !answer.gopath.is_empty() {
                gopath.clone_from(&answer.gopath);
            }
            self.layers.push(answer.layer());
        }
        let client_sumdb_dirs = self.client_sumdb_dirs(&gopath);
        let built_in = check::BuiltIn {
            go_is_missing,
            remembered: self.remembered(),
            ..self.built_in()
        };
        let checked = check::settings(&self.layers, &built_in)?;
        Ok(Settings {
            client_sumdb_dirs,
            goproxy,
            ..checked
        })
    }

    /// `pkg/sumdb` of the first folder of GOPATH, which is `~/go` when nothing is said.
    fn client_sumdb_dirs(&self, gopath: &str) -> Vec<PathBuf> {
        let home = || {
            let home = self.environment.absolute_path("HOME");
            Some(home.or_else(std::env::home_dir)?.join("go"))
        };
        let first = std::env::split_paths(gopath)
            .next()
            .filter(|path| path.is_absolute());
        let folder = first.or_else(home);
        folder
            .map(|folder| folder.join("pkg").join("sumdb"))
            .into_iter()
            .collect()
    }

    /// Where `go` is served, for the commands that ask a daemon.
    pub(crate) fn listen(&self) -> Result<Value<Vec<SocketAddr>>, SettingsError> {
        check::listen(&self.layers)
    }

    /// Has the daemon at `address` be the one that is asked, where nothing names another.
    pub(crate) fn ask_at(&mut self, address: SocketAddr) {
        let given = Given {
            texts: vec![address.to_string()],
            source: Source::GoEnv("GOPROXY"),
        };
        self.layers.push(Layer::from([(Name::Listen, given)]));
    }

    /// The state folder alone.
    pub(crate) fn state_dir(&self) -> Result<Value<PathBuf>, SettingsError> {
        check::state_dir(&self.layers, &self.built_in())
    }

    /// The value of a variable of `go` in the environment, where it comes before what `go env -w` writes.
    pub(crate) fn variable(&self, name: &str) -> Result<Option<String>, SettingsError> {
        self.environment.text(name)
    }

    /// Whether a layer above `go env` names the upstream.
    pub(crate) fn names_upstream(&self) -> bool {
        value::winner(&self.layers, Name::Upstream).is_some()
    }

    /// The folder and the contents of what `modmesh setup` remembered.
    fn remembered(&self) -> check::FromSetup {
        let Ok(state_dir) = self.state_dir() else {
            return check::FromSetup::default();
        };
        check::FromSetup {
            path: Remembered::path(&state_dir.value),
            upstream: Remembered::load(&state_dir.value).map(|found| found?.upstream),
        }
    }

    fn built_in(&self) -> check::BuiltIn {
        let home = self
            .environment
            .absolute_path("HOME")
            .or_else(std::env::home_dir);
        let state_home = self
            .environment
            .absolute_path("XDG_STATE_HOME")
            .or_else(|| Some(home.as_ref()?.join(".local").join("state")));
        check::BuiltIn {
            state_dir: state_home.map(|folder| folder.join("modmesh")),
            home,
            disk_bytes,
            go_is_missing: false,
            remembered: check::FromSetup::default(),
        }
    }
}

impl Settings {
    /// What the daemon is started with.
    pub(crate) fn to_config(&self, idle_exit: Option<Duration>) -> Config {
        Config {
            listen: self.listen.value.clone(),
            allow_hosts: self.allow_hosts.value.clone(),
            state_dir: self.state_dir.value.clone(),
            store_limit_bytes: self.store_limit_bytes.value,
            upstream: self.upstream.value.clone(),
            databases: self.databases.value.clone(),
            client_sumdb_dirs: self.client_sumdb_dirs.clone(),
            go_sums: self.go_sums.value.clone(),
            private: self.private.value.clone(),
            peer_listen: self.peer_listen.value.clone(),
            peer_listen_asked: self.peer_listen.source != Source::BuiltIn,
            peers: self.peers.value.clone(),
            mesh_secret_file: self.mesh_secret_file.value.clone(),
            members: self.members.value.clone(),
            mdns: !self.no_mdns.value,
            site: self.site.value.clone(),
            offline: self.offline.value,
            neighbours_max: self.neighbours_max.value,
            limit_upload: self.limit_upload.value.limit.clone(),
            limit_download: self.limit_download.value.limit.clone(),
            limit_site: self.limit_site.value.limit.clone(),
            local_minute: None,
            site_connections: self.site_connections.value,
            site_budget_bytes: self.site_budget_bytes.value,
            pause_on_battery: match self.on_battery.value {
                Sending::Share => None,
                Sending::Pause => Some(PathBuf::from(POWER_SUPPLIES)),
            },
            pause_on_metered: match self.on_metered.value {
                Sending::Share => None,
                Sending::Pause => Some(PathBuf::from(NETWORK_MANAGER)),
            },
            idle_exit,
            road: upstream::Options {
                limit: self.limit_upstream.value.limit.clone(),
                ..upstream::Options::default()
            },
        }
    }
}

/// Where `modmesh secret new` puts a mesh secret when no file is named: beside the configuration file.
pub(crate) fn usual_secret_file() -> Option<PathBuf> {
    let config = file::usual_place(&Environment::of_process())?;
    Some(config.with_file_name("mesh-secret"))
}

/// Whether there simply is no such file.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The size of the disk that `path`, or the nearest folder above it that exists, lies on.
#[cfg(unix)]
fn disk_bytes(path: &Path) -> Option<u64> {
    let disk = path
        .ancestors()
        .find_map(|folder| rustix::fs::statvfs(folder).ok())?;
    disk.f_blocks.checked_mul(disk.f_frsize)
}

#[cfg(not(unix))]
fn disk_bytes(_path: &Path) -> Option<u64> {
    None
}

fn hint(nearest: Option<&'static str>) -> String {
    match nearest {
        Some(word) => format!("did you mean `{word}`?"),
        None => {
            let words: Vec<&str> = Name::ALL.iter().map(|name| name.word()).collect();
            format!("the keys are {}", words.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_keeps_its_tree_heads_below_the_first_folder_of_gopath() {
        let gathered = Gathered {
            layers: Vec::new(),
            environment: Environment::from([("HOME", "/home/somebody")]),
        };
        for (gopath, folder) in [
            ("/first:/second", "/first/pkg/sumdb"),
            ("", "/home/somebody/go/pkg/sumdb"),
            ("not/absolute", "/home/somebody/go/pkg/sumdb"),
        ] {
            assert_eq!(gathered.client_sumdb_dirs(gopath), [PathBuf::from(folder)]);
        }
    }
}
