//! A host of a test: the real `modmesh` binary as a child process, with a state folder of its own.
//!
//! A host listens on ports that are its own from before its start until it is dropped, also while it does not run. It is
//! killed when it is dropped. Its output is kept and is
//! shown when the test panics. The environment is empty but for what the test gives: no `go env` of the machine leaks in.

mod back_door;
mod binary;
mod disk;
mod frozen;
mod options;
mod said;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::go::GoHome;
use crate::http::{Failure, Request, Response};
use crate::place::Place;
use crate::process;
use crate::unheard::Unheard;

pub use binary::modmesh_binary;
pub use disk::copy as copy_folder;
pub use frozen::Frozen;
pub use options::HostOptions;

use said::{Pipe, Said};

/// Time that a host has to start, to become ready, or to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks at something that tells nobody when it changes.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running host, or one that was stopped and can be started again.
#[derive(Debug)]
pub struct TestHost {
    options: HostOptions,
    home: TempDir,
    state: PathBuf,
    child: Option<Child>,
    said: Arc<Said>,
    listen: String,
    peer_listen: String,
    /// What keeps these ports from others while the host does not run.
    _ports: Vec<Unheard>,
}

/// Its life.
impl TestHost {
    /// Kills it as `kill -9` does; a power cut of the process.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends it as service managers do, by SIGTERM, and says how it ended.
    ///
    /// # Panics
    /// When it has not ended within 30 s.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.wait_for_end()
    }

    /// Sends it SIGTERM.
    pub fn ask_to_end(&self) {
        let child = self.child.as_ref().expect("a host that runs");
        process::signal(child, Signal::TERM);
    }

    /// Waits until it has ended, and says how.
    ///
    /// # Panics
    /// When it has not within 30 s.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a host that runs");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("the end of the host") {
                return status;
            }
            if Instant::now() >= deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{} did not end:\n{}", self.name(), self.log());
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Starts it again on the same state and the same ports, with the same options. What still runs is killed first.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    /// As [`TestHost::restart`], with other options; state, ports and place stay.
    #[track_caller]
    pub fn restart_with(&mut self, change: impl FnOnce(HostOptions) -> HostOptions) {
        self.kill();
        self.options = change(self.options.clone());
        self.launch();
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a host that runs").id()
    }

    /// CPU seconds that the process has used, in user and system mode, from `/proc`.
    pub fn cpu_seconds(&self) -> f64 {
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // Fields 14 and 15; the second is a name in brackets that may hold spaces.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks: f64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<f64>().unwrap())
            .sum();
        ticks / TICKS_PER_SECOND
    }

    /// The value of a line of `/proc/PID/status` in bytes, such as `RssAnon` or `VmHWM`.
    pub fn memory_bytes(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let kibibytes = status
            .lines()
            .find_map(|text| text.strip_prefix(line)?.strip_prefix(':'))
            .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        kibibytes.expect("a line of the process's status") * 1024
    }
}

/// What it says.
impl TestHost {
    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Where it runs.
    pub fn place(&self) -> &Place {
        &self.options.place
    }

    /// Where its state lies.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Its URL, for GOPROXY.
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Everything it printed, the last lines of it.
    pub fn log(&self) -> String {
        self.said.text(self.name())
    }

    /// How many panics it told of since its last start.
    pub fn panics(&self) -> u64 {
        self.said.panics()
    }

    /// The lines that it printed on standard output since its last start.
    pub fn printed(&self) -> Vec<String> {
        self.said.lines(Pipe::Stdout)
    }

    /// The lines that it logged, on standard error, since its last start.
    pub fn logged(&self) -> Vec<String> {
        self.said.lines(Pipe::Stderr)
    }

    /// Waits until it has printed or logged a line with `text`, and returns that line.
    ///
    /// # Panics
    /// When it does not within 30 s.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str) -> String {
        let found = |line: &str| line.contains(text).then(|| line.to_owned());
        match self.said.wait_for(PATIENCE, found) {
            Some(line) => line,
            None => panic!("{} does not say `{text}`:\n{}", self.name(), self.log()),
        }
    }

    /// Runs another command of the binary, such as `status`, which asks this host.
    pub fn modmesh(&self, arguments: &[&str]) -> process::Output {
        let mut command = self.options.place.command(modmesh_binary());
        command.env_clear().env("HOME", self.home.path());
        command.args(arguments).args(["--listen", &self.listen]);
        process::run(command.current_dir(self.home.path()), PATIENCE)
    }

    /// A request for a path (without leading slash) from the host itself.
    pub fn request(&self, path: &str) -> Request {
        Request::get(&format!("{}/{path}", self.url())).from_place(&self.options.place)
    }

    /// Gets a path from the host itself.
    ///
    /// # Panics
    /// When no answer comes.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        match self.request(path).send() {
            Ok(response) => response,
            Err(failure) => panic!("{}: {failure}\n{}", self.name(), self.log()),
        }
    }

    /// `/api/v1/status`
    #[track_caller]
    pub fn status(&self) -> Value {
        self.json("api/v1/status")
    }

    /// `/api/v1/peers`
    #[track_caller]
    pub fn peers(&self) -> Value {
        self.json("api/v1/peers")
    }

    /// The sum of all samples of a metric that carry all the given labels; 0 where there is none.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = self.get("metrics").text();
        text.lines()
            .filter_map(|line| sample(line, name, labels))
            .sum()
    }

    /// The address that other hosts take as `--peer`: the first one it listens on.
    #[track_caller]
    pub fn peer_address(&self) -> String {
        let status = self.status();
        let address = status["peer_addrs"][0].as_str();
        let address = address.unwrap_or_else(|| panic!("no peer address in {status:#}"));
        match status["peer_id"].as_str() {
            Some(id) if !address.contains("/p2p/") => format!("{address}/p2p/{id}"),
            _ => address.to_owned(),
        }
    }

    /// Its peer id.
    #[track_caller]
    pub fn peer_id(&self) -> String {
        let status = self.status();
        status["peer_id"].as_str().unwrap_or_default().to_owned()
    }

    /// A fresh `go` whose GOPROXY is this host alone.
    pub fn go(&self, sumdb: &str) -> GoHome {
        GoHome::new(&self.url(), sumdb).in_place(&self.options.place)
    }

    /// Waits until it has at least `count` neighbours that can be asked.
    #[track_caller]
    pub fn wait_for_neighbours(&self, count: u64) {
        self.wait_until("it has its neighbours", |host| {
            host.status()["peers"]["connected"].as_u64() >= Some(count)
        });
    }

    /// Looks again and again until `truth` holds.
    ///
    /// # Panics
    /// When it does not within 30 s.
    #[track_caller]
    pub fn wait_until(&self, what: &str, truth: impl Fn(&Self) -> bool) {
        self.wait_longer(PATIENCE, what, truth);
    }

    /// As [`TestHost::wait_until`], for what may take `patience`.
    ///
    /// # Panics
    /// When it takes longer.
    #[track_caller]
    pub fn wait_longer(&self, patience: Duration, what: &str, truth: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + patience;
        while !truth(self) {
            assert!(
                Instant::now() < deadline,
                "{}: in vain waited until {what}; status: {:#}",
                self.name(),
                self.status()
            );
            thread::sleep(LOOK_EVERY);
        }
    }

    #[track_caller]
    fn json(&self, path: &str) -> Value {
        let body = self.get(path).expect_body();
        serde_json::from_slice(&body)
            .unwrap_or_else(|error| panic!("{path}: {error}: {}", String::from_utf8_lossy(&body)))
    }
}

impl TestHost {
    #[track_caller]
    fn launch(&mut self) {
        assert!(
            self.begin(),
            "{} does not say where it listens:\n{}",
            self.name(),
            self.log()
        );
        self.wait_for_ready();
    }

    /// Starts the process and waits until it says where it listens; false when it ends before.
    #[track_caller]
    fn begin(&mut self) -> bool {
        let mut command = self.options.command(
            self.home.path(),
            &self.state,
            &self.listen,
            &self.peer_listen,
        );
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the modmesh binary");
        self.said = Arc::default();
        self.said.follow(Pipe::Stdout, child.stdout.take());
        self.said.follow(Pipe::Stderr, child.stderr.take());
        self.child = Some(child);
        let address = self.said.wait_for(PATIENCE, printed_address);
        if let Some(address) = address {
            self.listen = address.to_string();
        }
        address.is_some()
    }

    #[track_caller]
    fn wait_for_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready() {
            assert!(
                Instant::now() < deadline,
                "{} does not become ready:\n{}",
                self.name(),
                self.log()
            );
            thread::sleep(LOOK_EVERY);
        }
    }

    fn is_ready(&self) -> bool {
        let answer: Result<Response, Failure> =
            self.request("readyz").within(Duration::from_secs(2)).send();
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

impl Drop for TestHost {
    // The one way of a test to show what its processes said.
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- output of {}\n{}", self.name(), self.log());
        }
    }
}

/// The first address of a line that has the form `http://IP:PORT`.
fn printed_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest
        .find(|c: char| !(c.is_ascii_hexdigit() || "[].:".contains(c)))
        .unwrap_or(rest.len());
    rest[..end]
        .parse()
        .ok()
        .filter(|a: &SocketAddr| a.port() != 0)
}

/// The value of a line of Prometheus text when it is a sample of the metric with all the labels.
fn sample(line: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    let (own, value) = match rest.strip_prefix('{') {
        Some(rest) => rest.split_once('}')?,
        None => ("", rest.strip_prefix(' ')?),
    };
    let carries = |(label, value): &(&str, &str)| own.contains(&format!("{label}=\"{value}\""));
    labels
        .iter()
        .all(carries)
        .then(|| value.trim().parse().ok())?
}

fn temporary(prefix: &str) -> TempDir {
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir()
        .expect("a directory for the host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_name_and_labels() {
        let line = r#"modmesh_http_requests_total{kind="zip",source="peer",code="200"} 3"#;
        let name = "modmesh_http_requests_total";
        assert_eq!(sample(line, name, &[("kind", "zip")]), Some(3.0));
        assert_eq!(sample(line, name, &[("kind", "mod")]), None);
        assert_eq!(sample(line, "modmesh_http", &[]), None);
        assert_eq!(sample("modmesh_peers 2", "modmesh_peers", &[]), Some(2.0));
    }

    #[test]
    fn the_address_is_read_from_what_the_host_prints() {
        let address = printed_address("  go env -w GOPROXY=\"http://127.0.0.1:4321|direct\"");
        assert_eq!(address, "127.0.0.1:4321".parse().ok());
        assert_eq!(printed_address("upstream http://proxy.test/"), None);
    }
}
