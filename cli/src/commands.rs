//! The commands, one file each, and the ways in which they fail.

pub(crate) mod config;
mod database_url;
pub(crate) mod distrust;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod peers;
pub(crate) mod run;
pub(crate) mod secret;
pub(crate) mod setup;
pub(crate) mod status;
pub(crate) mod sumdb;
pub(crate) mod up;

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::addresses::reachable;
use crate::arguments::WhereArguments;
use crate::client::{Client, ClientError, SocketClient, SocketError};
use crate::ours::{Judge, Purpose};
use crate::output::plain;
use crate::settings::{Gathered, Layer, SettingsError, Source, default_listen, go_env, nearest};
use modmesh_daemon::StartError;
use modmesh_protocol::control::{Status, UnreachedPeer};
use modmesh_protocol::goproxy::{ProxyEntry, ProxyList, Scheme};
use modmesh_protocol::module::ModuleError;

/// How long it may take to find out where `go` asks first, and whether a modmesh is there.
const FIND_DEADLINE: Duration = Duration::from_secs(2);

/// The commands there are.
const COMMANDS: [&str; 11] = [
    "up", "run", "status", "peers", "explain", "sumdb", "distrust", "secret", "config", "setup",
    "doctor",
];
/// The commands that are named and not built yet.
const COMMANDS_TO_COME: [&str; 7] = ["warm", "export", "import", "verify", "gc", "pin", "unpin"];

/// Why a command failed: one line with what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("`{0}` is not in this release yet; see `modmesh --help` for what is")]
    NotYet(String),
    #[error("unknown command `{0}`; {1}")]
    NoSuchCommand(String, String),
    #[error(
        "port 0 of --listen tells no port to ask: name the daemon's address with --listen IP:PORT"
    )]
    AnyPort,
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("{0}; name what is to be explained as MODULE@VERSION")]
    Module(#[from] ModuleError),
    #[error("{0:?}: {1}")]
    NoPeer(String, String),
    #[error("no checksum database called {0} is mirrored here; there are: {1}")]
    NoSuchDatabase(String, String),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(
        "cannot write the log of the background daemon, {}: {error}; name a folder of yours with MODMESH_STATE",
        .path.display()
    )]
    Log { path: PathBuf, error: io::Error },
    #[error("cannot start a daemon in the background: {0}")]
    Spawn(#[source] io::Error),
    #[error(transparent)]
    Setup(#[from] setup::SetupError),
    #[error(transparent)]
    Secret(#[from] secret::SecretError),
    #[error("{0}")]
    NotReady(String),
    #[error("no command given: write it behind `--`, as in `modmesh run -- go build ./...`")]
    NothingToRun,
    #[error("cannot run {}: {error}{}", .program.display(), hint_on(error))]
    Command { program: OsString, error: io::Error },
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Failure {
    /// The exit code: 1 failed, 2 wrong usage; a command that `run` cannot run has the code a shell would give.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Settings(_)
            | Self::NotYet(_)
            | Self::NoSuchCommand(..)
            | Self::AnyPort
            | Self::Module(_)
            | Self::NoPeer(..)
            | Self::NothingToRun => 2,
            Self::Command { error, .. } if error.kind() == io::ErrorKind::NotFound => 127,
            Self::Command { .. } => 126,
            _ => 1,
        }
    }
}

/// What to do about a command that cannot be run.
fn hint_on(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; install it, or put its folder on PATH",
        io::ErrorKind::PermissionDenied => "; make it executable (chmod +x)",
        _ => "",
    }
}

/// What to say to a first word that is no command of this release.
pub(crate) fn not_a_command(words: &[OsString]) -> Failure {
    let word = words
        .first()
        .map(OsString::as_os_str)
        .map(OsStr::to_string_lossy);
    let word = word.unwrap_or_default().into_owned();
    if COMMANDS_TO_COME.contains(&word.as_str()) {
        return Failure::NotYet(word);
    }
    let hint = match nearest(&word, COMMANDS) {
        Some(command) => format!("did you mean `{command}`?"),
        None => format!("the commands are {}", COMMANDS.join(", ")),
    };
    Failure::NoSuchCommand(word, hint)
}

/// The first address at which a daemon is to be asked.
fn address_to_ask(gathered: &Gathered) -> Result<SocketAddr, Failure> {
    let listen = gathered.listen()?.value;
    match listen.iter().find(|address| address.port() != 0) {
        Some(address) => Ok(*address),
        None => Err(Failure::AnyPort),
    }
}

/// A client of the daemon that `arguments` name, to look at it.
async fn client(arguments: &WhereArguments) -> Result<Client, Failure> {
    let gathered = gather(arguments, Purpose::Look).await?;
    client_for(&gathered, Purpose::Look)
}

/// A way to the daemon of the state folder that the settings name. Where they name none, of the daemon that `status` asks, if
/// one answers that may be looked at; else of the folder that is built in.
async fn socket_client(flags: Layer, config: Option<&Path>) -> Result<SocketClient, Failure> {
    let gathered = Gathered::under(flags, config)?;
    let folder = gathered.state_dir()?;
    if folder.source != Source::BuiltIn {
        return Ok(SocketClient::new(&folder.value));
    }
    let told = async {
        let gathered = lead_by_go(gathered, Purpose::Look).await?;
        let client = client_for(&gathered, Purpose::Look)?;
        let status: Status = client.read(&client.get("/api/v1/status").await?)?;
        Ok::<_, Failure>(PathBuf::from(status.state_dir))
    };
    match told.await {
        Ok(told) if told.is_absolute() => Ok(SocketClient::new(&told)),
        _ => Ok(SocketClient::new(&folder.value)),
    }
}

/// A client of the daemon of `gathered`, which is asked if it may be for `purpose`.
fn client_for(gathered: &Gathered, purpose: Purpose) -> Result<Client, Failure> {
    let address = address_to_ask(gathered)?;
    // GOPROXY names an address, and not whose daemon is meant.
    let source = gathered.listen()?.source;
    let is_named = !matches!(source, Source::BuiltIn | Source::GoEnv(_));
    Ok(Client::new(&address, Judge { purpose, is_named }))
}

/// The settings of a command that asks a daemon. Where they name no address, it is the one of loopback that `go` asks
/// first, if a modmesh that may be asked answers there; else the built-in one.
async fn gather(arguments: &WhereArguments, purpose: Purpose) -> Result<Gathered, Failure> {
    let gathered = Gathered::under(arguments.layer(), arguments.config.as_deref())?;
    lead_by_go(gathered, purpose).await
}

async fn lead_by_go(mut gathered: Gathered, purpose: Purpose) -> Result<Gathered, Failure> {
    if gathered.listen()?.source == Source::BuiltIn {
        let is_named = false;
        let answering = async {
            let answer = go_env::ask(FIND_DEADLINE).await.ok()?;
            let address = asked_first(&answer.goproxy)?;
            let client = Client::new(&address, Judge { purpose, is_named });
            matches!(client.is_alive().await, Ok(true)).then_some(address)
        };
        if let Ok(Some(address)) = tokio::time::timeout(FIND_DEADLINE, answering).await {
            gathered.ask_at(address);
        }
    }
    Ok(gathered)
}

/// The address of loopback that `go` with this GOPROXY asks first, when it is not the built-in one.
fn asked_first(goproxy: &str) -> Option<SocketAddr> {
    let list = ProxyList::parse(goproxy).ok()?;
    let ProxyEntry::Url(url) = list.entries().next()? else {
        return None;
    };
    let ip = match url.is_localhost() {
        true => Ipv4Addr::LOCALHOST.into(),
        false => url.host_ip()?,
    };
    let address = SocketAddr::new(ip, url.port()?);
    let is_plain = url.scheme() == Scheme::Http && url.path().is_empty();
    (is_plain && ip.is_loopback() && address != default_listen()).then_some(address)
}

/// What makes `go` use the daemon that listens on `address`.
fn setup_line(address: SocketAddr) -> String {
    match reachable(address) {
        address if address == default_listen() => "modmesh setup".to_owned(),
        address => format!("modmesh setup --listen {address}"),
    }
}

/// An address of `--peer` at which nobody is, in one line.
fn unreached(peer: &UnreachedPeer) -> String {
    format!(
        "{} (--peer) cannot be reached: {}; is modmesh up there?",
        plain(&peer.address),
        plain(&peer.reason)
    )
}

/// Whether `go`, with this GOPROXY, asks the daemon of `settings` first.
fn goes_through_us(goproxy: &str, listen: &[SocketAddr]) -> bool {
    ProxyList::parse(goproxy)
        .is_ok_and(|list| list.without(listen).entries().next() != list.entries().next())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_command_is_answered_with_one_that_is() {
        let said = |word: &str| not_a_command(&[word.into()]).to_string();
        assert!(said("stauts").contains("did you mean `status`"));
        assert!(said("warm").contains("not in this release yet"));
        assert!(said("frobnicate").contains("the commands are up, run"));
        assert_eq!(not_a_command(&["gc".into()]).code(), 2);
    }

    #[test]
    fn go_leads_to_a_daemon_on_loopback_alone() {
        let found = |list: &str| asked_first(list).map(|address| address.to_string());
        for list in ["http://127.0.0.1:8486|direct", "http://localhost:8486"] {
            assert_eq!(found(list).as_deref(), Some("127.0.0.1:8486"), "{list}");
        }
        for list in [
            "http://127.0.0.1:8484",
            "http://10.0.0.1:8486",
            "https://127.0.0.1:8486",
            "http://127.0.0.1:8486/go",
            "https://a.example|http://127.0.0.1:8486",
            "direct",
            "",
        ] {
            assert_eq!(found(list), None, "{list}");
        }
    }

    #[test]
    fn go_goes_through_us_when_we_are_its_first_proxy() {
        let listen = ["127.0.0.1:8484".parse().unwrap()];
        for list in [
            "http://127.0.0.1:8484|https://a.example",
            "http://localhost:8484",
        ] {
            assert!(goes_through_us(list, &listen), "{list}");
        }
        for list in [
            "https://a.example,direct",
            "https://a.example|http://127.0.0.1:8484",
            "http://127.0.0.1:9|direct",
            "off",
            "",
        ] {
            assert!(!goes_through_us(list, &listen), "{list}");
        }
    }
}
