//! The command line: which words there are, and what is said about them.
//!
//! Values stay texts here; they are checked in `settings`, where a refusal can say whether a text came from a flag, a
//! variable, the file or `go env`. A wrong word is one line on stderr and exit code 2.

mod examples;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::output;
use crate::settings::{Given, Layer, Name, Source};
use examples::{
    CONFIG_EXAMPLES, DISTRUST_EXAMPLES, DOCTOR_EXAMPLES, EXAMPLES, EXPLAIN_EXAMPLES,
    PEERS_EXAMPLES, RUN_EXAMPLES, SECRET_EXAMPLES, SETUP_EXAMPLES, STATUS_EXAMPLES, SUMDB_EXAMPLES,
    UP_EXAMPLES,
};

/// Reads the arguments of this process. Help and release are printed here; the exit code says how that ended.
pub(crate) fn read() -> Result<Command, ExitCode> {
    Arguments::try_parse()
        .map(|arguments| arguments.command)
        .map_err(|error| refuse(&error))
}

/// A Go module cache shared with the neighbours: what one host downloaded, the others have, each byte proven.
#[derive(Debug, Parser)]
#[command(name = "modmesh", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve this host's go command, and its neighbours
    #[command(after_help = UP_EXAMPLES)]
    Up(UpArguments),
    /// Run a command with GOPROXY pointing at modmesh
    #[command(after_help = RUN_EXAMPLES, override_usage = "modmesh run [OPTIONS] -- <COMMAND>...")]
    Run(RunArguments),
    /// Show what the daemon has and does
    #[command(after_help = STATUS_EXAMPLES)]
    Status(AskArguments),
    /// Show the neighbours
    #[command(after_help = PEERS_EXAMPLES)]
    Peers(AskArguments),
    /// Tell what is here of a module version, where it came from, and why not
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArguments),
    /// Show the checksum databases, and settle it when one has signed two logs
    #[command(after_help = SUMDB_EXAMPLES)]
    Sumdb(SumdbArguments),
    /// Take back all that rests on the word of one neighbour, and leave it alone
    #[command(after_help = DISTRUST_EXAMPLES)]
    Distrust(DistrustArguments),
    /// Make the secret that makes hosts members of one mesh
    #[command(after_help = SECRET_EXAMPLES)]
    Secret(SecretArguments),
    /// Show every setting and where it comes from
    #[command(after_help = CONFIG_EXAMPLES)]
    Config(ConfigArguments),
    /// Make go use modmesh, or take that back
    #[command(after_help = SETUP_EXAMPLES)]
    Setup(SetupArguments),
    /// Find out whether it works, and why not
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArguments),
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    #[command(flatten)]
    pub(crate) settings: SettingArguments,
    /// End after so many minutes without a request
    #[arg(long, hide = true, value_name = "MINUTES")]
    pub(crate) idle_exit_minutes: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) where_to: WhereArguments,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct AskArguments {
    #[command(flatten)]
    pub(crate) where_to: WhereArguments,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// What to explain, such as golang.org/x/text@v0.14.0
    #[arg(value_name = "MODULE@VERSION")]
    pub(crate) of: String,
    /// The daemon's state folder, where it is asked [default: $XDG_STATE_HOME/modmesh]
    #[arg(long, value_name = "DIR")]
    state: Option<String>,
    /// Configuration file [default: modmesh/config.toml in $XDG_CONFIG_HOME]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SumdbArguments {
    #[command(subcommand)]
    pub(crate) action: Option<SumdbAction>,
    /// The daemon's state folder, where it is asked [default: $XDG_STATE_HOME/modmesh]
    #[arg(long, value_name = "DIR", global = true)]
    state: Option<String>,
    /// Configuration file [default: modmesh/config.toml in $XDG_CONFIG_HOME]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Print the daemon's answer as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SumdbAction {
    /// Show the databases, or one: its tree head, and what contradicts it
    #[command(after_help = SUMDB_EXAMPLES)]
    Show {
        /// Its name, as in GOSUMDB
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Follow the log of the tree head that was refused, and no third one
    #[command(after_help = SUMDB_EXAMPLES)]
    Accept {
        /// Its name, as in GOSUMDB
        #[arg(value_name = "NAME")]
        name: String,
        /// Which refused head, as `sumdb show` names it [default: the largest]
        #[arg(long, value_name = "SIZE.ROOT")]
        head: Option<String>,
        /// Do it for the public database too, and for a head that could not be joined to this host's
        #[arg(long)]
        yes: bool,
    },
    /// Begin afresh with a database, and follow the log that it shows first
    #[command(after_help = SUMDB_EXAMPLES)]
    Forget {
        /// Its name, as in GOSUMDB
        #[arg(value_name = "NAME")]
        name: String,
        /// Do it where nothing contradicts its log, and for the public database too
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DistrustArguments {
    /// Its name, as `modmesh peers` shows it
    #[arg(value_name = "PEER-ID")]
    pub(crate) peer: String,
    /// Speak to it again
    #[arg(long)]
    pub(crate) undo: bool,
    /// The daemon's state folder, where it is asked [default: $XDG_STATE_HOME/modmesh]
    #[arg(long, value_name = "DIR")]
    state: Option<String>,
    /// Configuration file [default: modmesh/config.toml in $XDG_CONFIG_HOME]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SecretArguments {
    #[command(subcommand)]
    pub(crate) action: SecretAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretAction {
    /// Write a new secret into a file that nobody else can read; nothing is ever overwritten
    #[command(after_help = SECRET_EXAMPLES)]
    New {
        /// The file [default: modmesh/mesh-secret in $XDG_CONFIG_HOME]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    #[command(flatten)]
    pub(crate) settings: SettingArguments,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SetupArguments {
    #[command(flatten)]
    pub(crate) where_to: WhereArguments,
    /// Let go ask modmesh alone, and nobody when it is down
    #[arg(long, conflicts_with = "undo")]
    pub(crate) strict: bool,
    /// Put back what GOPROXY was before
    #[arg(long)]
    pub(crate) undo: bool,
    /// Show what would be changed, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    pub(crate) where_to: WhereArguments,
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a command finds the daemon.
#[derive(Debug, Args)]
pub(crate) struct WhereArguments {
    /// Where the daemon serves go [default: 127.0.0.1:8484; but a daemon that GOPROXY leads to on loopback is asked there]
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) listen: Option<String>,
    /// Configuration file [default: modmesh/config.toml in $XDG_CONFIG_HOME]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// The settings of the daemon. Each also has a variable and a key in the file.
#[derive(Debug, Args)]
pub(crate) struct SettingArguments {
    /// Where to serve go; may be repeated [default: 127.0.0.1:8484]
    #[arg(long, value_name = "IP:PORT")]
    listen: Vec<String>,
    /// A further host name that requests may be addressed to; may be repeated
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// Folder for store, log and identity [default: $XDG_STATE_HOME/modmesh]
    #[arg(long, value_name = "DIR")]
    state: Option<String>,
    /// Most bytes the store may take, such as 20GiB or 500MB [default: a fifth of the disk, at most 20GiB]
    // A size below zero is refused as a size, and not as a word that nobody knows.
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    store_limit: Option<String>,
    /// Whom to ask for what no neighbour has, as in GOPROXY; `off` for nobody [default: go env GOPROXY without us]
    #[arg(long, value_name = "LIST")]
    upstream: Option<String>,
    /// Checksum database, as in GOSUMDB; repeated ones are mirrored too [default: go env GOSUMDB]
    #[arg(long, value_name = "GOSUMDB")]
    sumdb: Vec<String>,
    /// A go.sum that vouches, for this host alone, for what the database says nothing of; may be repeated
    #[arg(long, value_name = "FILE")]
    go_sum: Vec<String>,
    /// Modules whose names stay on this host, as in GOPRIVATE [default: go env GONOSUMDB]
    #[arg(long, value_name = "PATTERNS")]
    private: Vec<String>,
    // No doc comment: rustdoc would take the address for a link.
    #[arg(
        long,
        value_name = "IP:PORT",
        help = "Where neighbours reach this host; may be repeated [default: 0.0.0.0:8485 and [::]:8485]"
    )]
    peer_listen: Vec<String>,
    /// A neighbour to call, also on another link, such as /ip4/10.0.0.7/tcp/8485; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    peer: Vec<String>,
    /// Do not look for neighbours by multicast
    #[arg(long)]
    no_mdns: bool,
    /// The secret that makes hosts members (see `modmesh secret`): nobody else is dealt with
    #[arg(long, value_name = "FILE")]
    mesh_secret_file: Option<String>,
    /// A neighbour that is a member by its name alone, if it names this host too; may be repeated: nobody else is dealt with
    #[arg(long, value_name = "PEER-ID")]
    member: Vec<String>,
    /// The site this host belongs to, such as berlin: hosts of one name share as on one link [default: the link]
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Never ask the upstream or the checksum database
    #[arg(long)]
    offline: bool,
    /// Most neighbours that are connected at the same time, 4 to 128; hosts beyond them are called when they are needed
    /// [default: 128]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    neighbours: Option<String>,
    /// Most that is sent to all neighbours together, such as 2MiB/s or 20Mbit/s, or by the hour:
    /// 'none, 20Mbit/s mon-fri 08:00-18:00' [default: none]
    // A rate below zero is refused as a rate, and not as a word that nobody knows.
    #[arg(long, value_name = "LIMIT", allow_hyphen_values = true)]
    limit_upload: Option<String>,
    /// Most that is taken from all neighbours together [default: none]
    #[arg(long, value_name = "LIMIT", allow_hyphen_values = true)]
    limit_download: Option<String>,
    /// Most that is taken from the upstream [default: none]
    #[arg(long, value_name = "LIMIT", allow_hyphen_values = true)]
    limit_upstream: Option<String>,
    /// Most that goes to other sites, and most that comes from them [default: none]
    #[arg(long, value_name = "LIMIT", allow_hyphen_values = true)]
    limit_site: Option<String>,
    /// Most that goes to and comes from other sites in 24 hours, such as 2GiB [default: none]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    site_budget: Option<String>,
    /// Most requests to the upstream that all hosts of this site have under way together [default: none]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    site_connections: Option<String>,
    /// What to do on battery: pause sending files above 64 KiB to neighbours, or share [default: pause]
    #[arg(long, value_name = "WHAT")]
    on_battery: Option<String>,
    /// What to do on a line that is metered: pause sending files above 64 KiB to neighbours, or share [default: pause]
    #[arg(long, value_name = "WHAT")]
    on_metered: Option<String>,
    /// Configuration file [default: modmesh/config.toml in $XDG_CONFIG_HOME]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What to log on stderr, such as info or modmesh_daemon=debug,warn [default: warn]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How to log: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl SettingArguments {
    /// What the flags give.
    pub(crate) fn layer(&self) -> Layer {
        let one = |text: &Option<String>| text.iter().cloned().collect::<Vec<_>>();
        let switch = |on: bool| if on { vec!["true".into()] } else { Vec::new() };
        layer([
            (Name::Listen, self.listen.clone()),
            (Name::AllowHost, self.allow_host.clone()),
            (Name::State, one(&self.state)),
            (Name::StoreLimit, one(&self.store_limit)),
            (Name::Upstream, one(&self.upstream)),
            (Name::Sumdb, self.sumdb.clone()),
            (Name::GoSum, self.go_sum.clone()),
            (Name::Private, self.private.clone()),
            (Name::PeerListen, self.peer_listen.clone()),
            (Name::Peer, self.peer.clone()),
            (Name::NoMdns, switch(self.no_mdns)),
            (Name::MeshSecretFile, one(&self.mesh_secret_file)),
            (Name::Member, self.member.clone()),
            (Name::Site, one(&self.site)),
            (Name::Offline, switch(self.offline)),
            (Name::Neighbours, one(&self.neighbours)),
            (Name::LimitUpload, one(&self.limit_upload)),
            (Name::LimitDownload, one(&self.limit_download)),
            (Name::LimitUpstream, one(&self.limit_upstream)),
            (Name::LimitSite, one(&self.limit_site)),
            (Name::SiteConnections, one(&self.site_connections)),
            (Name::SiteBudget, one(&self.site_budget)),
            (Name::OnBattery, one(&self.on_battery)),
            (Name::OnMetered, one(&self.on_metered)),
            (Name::Log, one(&self.log)),
            (Name::LogFormat, one(&self.log_format)),
        ])
    }
}

impl WhereArguments {
    /// What the flags give.
    pub(crate) fn layer(&self) -> Layer {
        layer([(Name::Listen, self.listen.iter().cloned().collect())])
    }
}

impl ExplainArguments {
    /// What the flags give.
    pub(crate) fn layer(&self) -> Layer {
        layer([(Name::State, self.state.iter().cloned().collect())])
    }
}

impl DistrustArguments {
    /// What the flags give.
    pub(crate) fn layer(&self) -> Layer {
        layer([(Name::State, self.state.iter().cloned().collect())])
    }
}

impl SumdbArguments {
    /// The state folder, as it was given.
    pub(crate) fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// What the flags give.
    pub(crate) fn layer(&self) -> Layer {
        layer([(Name::State, self.state.iter().cloned().collect())])
    }
}

fn layer<const N: usize>(flags: [(Name, Vec<String>); N]) -> Layer {
    flags
        .into_iter()
        .filter(|(_, texts)| !texts.is_empty())
        .map(|(name, texts)| {
            let source = Source::Flag(name);
            (name, Given { texts, source })
        })
        .collect()
}

/// Prints what the parser has to say: help and release as they are, a refusal as one line.
fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            output::complain(&refusal(error));
            ExitCode::from(2)
        }
    }
}

fn refusal(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let first: Vec<&str> = rendered
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .map(str::trim)
        .collect();
    let mut text = first.join(" ");
    if let Some(rest) = text.strip_prefix("error: ") {
        text = rest.to_owned();
    }
    let suggested = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(word)) => Some(word.clone()),
        Some(ContextValue::Strings(words)) => words.first().cloned(),
        _ => None,
    };
    match suggested {
        Some(word) => format!("{text}; did you mean `{word}`?"),
        None => {
            let words = std::env::args_os().skip(1);
            let command = helped(words.filter_map(|word| word.into_string().ok()));
            format!("{text}; see `modmesh {command}--help`")
        }
    }
}

/// The command whose help is of use, with a space behind it; nothing where none was given.
fn helped(mut words: impl Iterator<Item = String>) -> String {
    let definition = Arguments::command();
    let (mut command, mut path) = (&definition, String::new());
    while let Some(below) = words.next().and_then(|word| command.find_subcommand(word)) {
        command = below;
        path.push_str(&format!("{} ", below.get_name()));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_setting_has_a_flag() {
        let command = Arguments::command();
        let up = command.find_subcommand("up");
        for name in Name::ALL {
            let has_flag = |up: &clap::Command| {
                up.get_arguments()
                    .any(|flag| flag.get_long() == Some(name.word()))
            };
            assert!(up.is_some_and(has_flag), "{}", name.word());
        }
    }
}
