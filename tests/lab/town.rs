//! Daemons in namespaces of their own on one switch, with an upstream that all of them reach over a line that they share.
//!
//! They find each other by multicast, as they do outside of tests, and start at the same time.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use harness::lab::{Forbidden, Lab};
use harness::{FakeUpstream, HostOptions, Module, TestHost, TestLog};
use modmesh_protocol::membership::Secret;
use tempfile::TempDir;

/// The port of the neighbours in each namespace.
pub(crate) const PORT: u16 = 8485;
/// How long daemons have to meet: fifty that start on two cores take a few seconds.
const MEETING_MAX: Duration = Duration::from_secs(120);
/// Hosts that explain how a file came that was fetched too often.
const EXPLAINED_MAX: usize = 6;

/// The hosts end before their networks do.
pub(crate) struct Town {
    pub(crate) hosts: Vec<TestHost>,
    pub(crate) upstream: FakeUpstream,
    pub(crate) lab: Lab,
}

impl Town {
    /// Namespaces for daemons, and `more` for others behind them; nothing is started yet but the upstream.
    ///
    /// # Errors
    /// When this system does not let us make namespaces.
    pub(crate) fn new(hosts: u8, more: u8) -> Result<Self, Forbidden> {
        let all: Vec<u8> = (0..hosts + more).collect();
        let lab = Lab::with_upstream(hosts + more, &all)?;
        lab.introduce_hosts()?;
        let listen = SocketAddr::from((lab.upstream().address(), 80));
        let log = TestLog::new("sumdb.example.test");
        let upstream = FakeUpstream::start_in(lab.upstream().place(), listen, log);
        Ok(Self {
            hosts: Vec::new(),
            upstream,
            lab,
        })
    }

    /// How the daemon in this namespace is started.
    pub(crate) fn options(&self, number: usize) -> HostOptions {
        let on = self.lab.host(number);
        HostOptions::new(&format!("host-{number}"))
            .in_place(on.place())
            .upstream(&self.upstream.url())
            .sumdb(&self.upstream.sumdb())
            .peer_listen(&format!("{}:{PORT}", on.address()))
    }

    /// Starts so many at once, in the first namespaces, and waits until each knows all others.
    ///
    /// # Panics
    /// When one does not start, or they do not meet.
    pub(crate) fn start(&mut self, count: usize, change: impl Fn(HostOptions) -> HostOptions) {
        let starting: Vec<JoinHandle<TestHost>> = (0..count)
            .map(|number| change(self.options(number).mdns()))
            .map(|options| std::thread::spawn(move || options.start()))
            .collect();
        let started = starting.into_iter().map(|one| one.join().expect("a host"));
        self.hosts = started.collect();
        self.meet();
    }

    /// Waits until each of the hosts knows all others; how long that took. Of more than a hundred a few may rest that were called
    /// before they were up: then 97 of a hundred are enough.
    ///
    /// # Panics
    /// When they do not.
    pub(crate) fn meet(&self) -> Duration {
        let began = Instant::now();
        let others = self.hosts.len() as u64 - 1;
        let enough = match others {
            0..=100 => others,
            many => many * 97 / 100,
        };
        for host in &self.hosts {
            host.wait_longer(MEETING_MAX, "it knows all others", |host| {
                known(host) >= enough
            });
        }
        began.elapsed()
    }

    /// A module with a zip of about so many bytes, at the upstream.
    pub(crate) fn publish(&self, path: &str, bytes: usize) -> Vec<Wanted> {
        let module = Module::package(path, "v1.0.0").bulk("noise.bin", bytes);
        self.upstream.publish(&module);
        let zip = (module.url_path("zip"), module.zip().len());
        vec![zip, (module.url_path("mod"), module.go_mod().len())]
    }

    /// How often the file that was fetched most often was.
    pub(crate) fn fetches(&self, files: &[Wanted]) -> u64 {
        let fetches = files.iter().map(|(path, _)| {
            let traffic = self.upstream.traffic_of(path);
            traffic.requests
        });
        fetches.max().unwrap_or_default()
    }

    /// Prints what some of those explain that asked the upstream for files of this module.
    pub(crate) fn explain_fetches(&self, module: &str) {
        let of = format!("{module}@v1.0.0");
        let hosts = self.hosts.iter();
        let said = hosts.map(|host| (host.name(), host.explained(&of).stdout));
        let bytes = [
            format!("B from {}", self.upstream.url()),
            "B from upstream".into(),
        ];
        let fetched = said.filter(|(_, said)| bytes.iter().any(|of| said.contains(of)));
        for (host, said) in fetched.take(EXPLAINED_MAX) {
            println!("{host} explains:\n{said}");
        }
    }
}

/// A mesh secret, where there is one, that makes hosts members.
pub(crate) struct Mesh(Option<TempDir>);

impl Mesh {
    /// One secret for all, or an open mesh.
    pub(crate) fn new(is_closed: bool) -> Self {
        let folder = is_closed.then(|| {
            let folder = tempfile::tempdir().expect("a folder for the secret");
            let file = folder.path().join("secret");
            fs::write(&file, Secret::new([7; 32]).to_line() + "\n").expect("the secret");
            fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("its mode");
            folder
        });
        Self(folder)
    }

    pub(crate) fn join(&self, host: HostOptions) -> HostOptions {
        match &self.0 {
            Some(folder) => {
                let file = folder.path().join("secret").display().to_string();
                host.argument("--mesh-secret-file").argument(&file)
            }
            None => host,
        }
    }
}

/// A file that is wanted: its path and length.
pub(crate) type Wanted = (String, usize);

/// How many neighbours can be asked by a host.
pub(crate) fn neighbours(host: &TestHost) -> u64 {
    let connected = host.status()["peers"]["connected"].as_u64();
    connected.unwrap_or_default()
}

/// As [`neighbours`], with those that it only knows.
fn known(host: &TestHost) -> u64 {
    let counts = host.status()["peers"].clone();
    let [connected, beyond] = ["connected", "beyond"].map(|of| counts[of].as_u64());
    connected.unwrap_or_default() + beyond.unwrap_or_default()
}

/// Whether the host gives the file within so long.
pub(crate) fn gives(host: &TestHost, wanted: &Wanted, within: Duration) -> bool {
    takes(host, wanted, within).is_ok()
}

/// As [`gives`]; what came in place of the file where it did not come.
pub(crate) fn takes(
    host: &TestHost,
    (path, length): &Wanted,
    within: Duration,
) -> Result<(), String> {
    let answer = host.request(path).within(within).send();
    let answer = answer.map_err(|failure| format!("{failure:?}"))?;
    match answer.status {
        200 if answer.complete && answer.body.len() == *length => Ok(()),
        200 => Err(format!("{} bytes for {length}", answer.body.len())),
        status => {
            let text = String::from_utf8_lossy(&answer.body);
            Err(format!("{status} {}", text.trim()))
        }
    }
}
