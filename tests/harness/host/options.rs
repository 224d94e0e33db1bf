//! How a host is started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use super::disk::Disk;
use super::{PATIENCE, TestHost, modmesh_binary, temporary};
use crate::place::Place;
use crate::process;
use crate::unheard::Unheard;

/// How a host is started.
#[derive(Debug, Clone)]
pub struct HostOptions {
    pub(super) name: String,
    upstream: String,
    sumdb: Vec<String>,
    peers: Vec<String>,
    mdns: bool,
    peer_listen: String,
    pub(super) place: Place,
    pub(super) disk: Option<Disk>,
    state: Option<PathBuf>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    takes_what_it_finds: bool,
}

impl HostOptions {
    /// A host without upstream and neighbours, whose database is off. `name` stands before each line of its output.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            upstream: "off".to_owned(),
            sumdb: Vec::new(),
            peers: Vec::new(),
            mdns: false,
            peer_listen: "127.0.0.1:0".to_owned(),
            place: Place::Here,
            disk: None,
            state: None,
            arguments: Vec::new(),
            variables: Vec::new(),
            takes_what_it_finds: false,
        }
    }

    /// A host that is given nothing but its state folder: addresses, upstream and database come from its variables and
    /// its `go env`.
    pub fn of_account(name: &str) -> Self {
        Self {
            takes_what_it_finds: true,
            ..Self::new(name)
        }
    }

    /// `--upstream`
    #[must_use]
    pub fn upstream(mut self, list: &str) -> Self {
        self.upstream = list.to_owned();
        self
    }

    /// `--sumdb`, once more.
    #[must_use]
    pub fn sumdb(mut self, setting: &str) -> Self {
        self.sumdb.push(setting.to_owned());
        self
    }

    /// `--peer`, once more.
    #[must_use]
    pub fn peer(mut self, address: &str) -> Self {
        self.peers.push(address.to_owned());
        self
    }

    /// `--sumdb`, and no other.
    #[must_use]
    pub fn only_sumdb(mut self, setting: &str) -> Self {
        self.sumdb = vec![setting.to_owned()];
        self
    }

    /// Finds its neighbours by mDNS, as it does by default outside of tests.
    #[must_use]
    pub fn mdns(mut self) -> Self {
        self.mdns = true;
        self
    }

    /// `--peer-listen`; without it, a free port of 127.0.0.1.
    #[must_use]
    pub fn peer_listen(mut self, address: &str) -> Self {
        self.peer_listen = address.to_owned();
        self
    }

    /// Runs in the given place.
    #[must_use]
    pub fn in_place(mut self, place: &Place) -> Self {
        self.place = place.clone();
        self
    }

    /// Uses this state folder instead of a new one.
    #[must_use]
    pub fn state(mut self, directory: &Path) -> Self {
        self.state = Some(directory.to_owned());
        self
    }

    /// One more argument of `modmesh up`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// One more environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the host and waits until it serves.
    ///
    /// # Panics
    /// When it ends or does not serve within 30 s; the message holds its output.
    #[track_caller]
    pub fn start(self) -> TestHost {
        let mut host = self.not_started();
        host.launch();
        host
    }

    /// As [`HostOptions::start`], for a start that may be refused: then how it ended, and what it said on standard error.
    ///
    /// # Panics
    /// When it neither serves nor ends within 30 s.
    #[track_caller]
    pub fn start_or_end(self) -> Result<TestHost, (ExitStatus, Vec<String>)> {
        let mut host = self.not_started();
        if host.begin() {
            host.wait_for_ready();
            return Ok(host);
        }
        let status = host.wait_for_end();
        Err((status, host.logged()))
    }

    fn not_started(self) -> TestHost {
        let home = temporary("modmesh-host-");
        let state = self
            .state
            .clone()
            .unwrap_or_else(|| home.path().join("state"));
        let (listen, port) = self.reserve("127.0.0.1:0");
        let (peer_listen, peer_port) = self.reserve(&self.peer_listen);
        TestHost {
            listen,
            peer_listen,
            _ports: port.into_iter().chain(peer_port).collect(),
            options: self,
            state,
            home,
            child: None,
            said: Arc::default(),
        }
    }

    /// The address with a port that nobody else is given while it is held, where `address` asks for any.
    fn reserve(&self, address: &str) -> (String, Option<Unheard>) {
        let wanted = address.parse().ok();
        let Some(wanted) = wanted.filter(|wanted: &SocketAddr| wanted.port() == 0) else {
            return (address.to_owned(), None);
        };
        let port = self.place.run(move || Unheard::at(wanted));
        let port = port.unwrap_or_else(|error| panic!("no free port at {address}: {error}"));
        (port.address().to_string(), Some(port))
    }

    /// Runs `modmesh up` to its end, for starts that must fail.
    pub fn run_to_end(self) -> process::Output {
        let home = temporary("modmesh-host-");
        let state = self
            .state
            .clone()
            .unwrap_or_else(|| home.path().join("state"));
        let mut command = self.command(home.path(), &state, "127.0.0.1:0", &self.peer_listen);
        process::run(&mut command, PATIENCE)
    }

    pub(super) fn command(
        &self,
        home: &Path,
        state: &Path,
        listen: &str,
        peer_listen: &str,
    ) -> Command {
        let mut command = match &self.disk {
            None => self.place.command(modmesh_binary()),
            Some(disk) => disk.command(state, modmesh_binary()),
        };
        command.env_clear().env("HOME", home).env("GOENV", "off");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.arg("up").arg("--state").arg(state);
        command.current_dir(home);
        if self.takes_what_it_finds {
            command.args(&self.arguments);
            command.envs(self.variables.iter().map(|(name, value)| (name, value)));
            return command;
        }
        let mut option = |name: &str, value: &str| {
            command.arg(name).arg(value);
        };
        if !self.arguments.iter().any(|argument| argument == "--listen") {
            option("--listen", listen);
        }
        option("--peer-listen", peer_listen);
        option("--upstream", &self.upstream);
        // The tests are the same on a laptop that runs on battery, or behind a telephone.
        option("--on-battery", "share");
        if !self.arguments.iter().any(|given| given == "--on-metered") {
            option("--on-metered", "share");
        }
        for peer in &self.peers {
            option("--peer", peer);
        }
        for setting in &self.sumdb {
            option("--sumdb", setting);
        }
        if self.sumdb.is_empty() {
            option("--sumdb", "off");
        }
        if !self.mdns {
            command.arg("--no-mdns");
        }
        command.args(&self.arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}
