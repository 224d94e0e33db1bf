//! Starting a daemon: in front with `up`, in the background with `run`.

use std::io::{BufRead, BufReader, Lines, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::host::{GO_ENV, Host};
use crate::unheard::Unheard;

/// Flags with which a daemon keeps to itself.
const ALONE: [&str; 5] = [
    "up",
    "--no-mdns",
    "--peer-listen",
    "127.0.0.1:0",
    "--offline",
];
const LIMITED: [&str; 2] = ["--store-limit", "1GiB"];

struct Up {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Up {
    fn start(host: &Host, flags: &[&str]) -> Self {
        Self::start_as(host, &[&ALONE[..], &LIMITED, flags].concat())
    }

    fn start_as(host: &Host, arguments: &[&str]) -> Self {
        let mut command = host.command(arguments);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The lines up to the one with `word`.
    fn until(&mut self, word: &str) -> Vec<String> {
        let mut seen = Vec::new();
        for line in self.lines.by_ref() {
            seen.push(line.unwrap());
            if seen.last().is_some_and(|line| line.contains(word)) {
                return seen;
            }
        }
        let mut stderr = String::new();
        let _ = self
            .child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr);
        panic!("{word} was not said: {seen:?} {stderr}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(pid(self.child.id()), signal).unwrap();
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.try_into().unwrap()).unwrap()
}

fn listens_on(lines: &[String]) -> String {
    let line = lines
        .iter()
        .find(|line| line.contains("listens on"))
        .unwrap();
    line.split_whitespace().last().unwrap().to_owned()
}

#[test]
fn up_says_in_a_few_lines_what_a_person_needs() {
    let host = Host::new();
    let mut up = Up::start(&host, &["--listen", "127.0.0.1:0"]);
    let said = up.until("go env -w");
    let us = listens_on(&said);
    let setup = format!(
        "`modmesh setup --listen {}`",
        us.trim_start_matches("http://")
    );
    assert!(said.iter().any(|line| line.contains(&setup)), "{said:?}");
    assert!(said.len() <= 12, "{said:?}");
    let last = said.last().unwrap().trim();
    assert_eq!(
        last,
        format!("go env -w GOPROXY=\"{us}|$(go env GOPROXY)\"")
    );
    let state = host.path(".local/state/modmesh");
    assert!(
        said.iter()
            .any(|line| line.contains(state.to_str().unwrap()))
    );

    up.signal(Signal::TERM);
    up.until("ending");
    assert_eq!(up.child.wait().unwrap().code(), Some(0));
}

#[test]
fn up_says_so_when_go_comes_here_already() {
    let unheard = Unheard::new();
    let address = unheard.address();
    let go_env = GO_ENV.replace("https://proxy.example", &format!("http://{address}|off"));
    let host = Host::with_go(&format!("echo '{go_env}'"));
    let mut up = Up::start(&host, &["--listen", &address.to_string()]);
    up.until("go uses it already");
}

#[test]
fn a_port_in_use_is_refused_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let host = Host::new();
    host.modmesh(&[&ALONE[..], &["--listen", &address]].concat())
        .refused(1, &[&address, "--listen"]);
}

#[test]
fn an_address_that_the_host_does_not_have_is_said_to_be_none() {
    // For documentation (RFC 5737).
    let host = Host::new();
    host.modmesh(&[&ALONE[..], &["--listen", "192.0.2.1:4000"]].concat())
        .refused(1, &["192.0.2.1:4000", "has no such address"]);
}

#[test]
fn an_open_front_door_is_told_and_warned_of_once() {
    let host = Host::new();
    let mut up = Up::start(&host, &["--listen", "0.0.0.0:0"]);
    let said = up.until("go env -w");
    let told = said
        .iter()
        .find(|line| line.contains("listens on"))
        .unwrap();
    assert!(
        told.contains("0.0.0.0:") && told.contains("every host"),
        "{told}"
    );
    up.signal(Signal::TERM);
    assert_eq!(up.child.wait().unwrap().code(), Some(0));
    let mut stderr = String::new();
    let mut pipe = up.child.stderr.take().unwrap();
    pipe.read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr.matches("can use").count(), 1, "{stderr}");
}

#[test]
fn settings_under_which_nothing_is_kept_or_shared_are_told() {
    let host = Host::new();
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--store-limit",
        "20",
        "--private",
        "*",
    ];
    let mut up = Up::start_as(&host, &[&ALONE[..], &flags].concat());
    let said = up.until("go env -w").join("\n");
    assert!(said.contains("--store-limit"), "{said}");
    assert!(said.contains("match every module"), "{said}");
}

#[test]
fn a_named_neighbour_that_is_not_there_is_told_by_peers_status_and_doctor() {
    let host = Host::new();
    let unheard = Unheard::new();
    let peer = format!("/ip4/127.0.0.1/tcp/{}", unheard.address().port());
    let mut up = Up::start(&host, &["--listen", "127.0.0.1:0", "--peer", &peer]);
    let us = listens_on(&up.until("listens on"));
    up.until("go env -w");
    let us = us.trim_start_matches("http://");
    let expected = format!("{peer} (--peer) cannot be reached: connection refused");
    // The first call is made at the start, and is heard of when the system has refused it.
    let told = (0..500).any(|_| {
        let shown = host.modmesh(&["peers", "--listen", us]);
        shown.stdout.contains(&expected)
    });
    assert!(told);
    for command in ["status", "doctor"] {
        let shown = host.modmesh(&[command, "--listen", us]);
        assert!(shown.stdout.contains(&expected), "{shown:?}");
    }
    // The port was chosen, so nobody took the usual one from it.
    let shown = host.modmesh(&["doctor", "--listen", us]);
    assert!(!shown.stdout.contains("was taken"), "{shown:?}");
}

#[test]
fn a_daemon_that_go_asks_first_is_found_without_being_named() {
    let unheard = Unheard::new();
    let address = unheard.address().to_string();
    let go_env = GO_ENV.replace("https://proxy.example", &format!("http://{address}|off"));
    let host = Host::with_go(&format!("echo '{go_env}'"));
    // Where nobody answers there, the usual address is asked.
    let shown = host.modmesh(&["status"]);
    assert!(!shown.stderr.contains(&address), "{shown:?}");
    let mut up = Up::start(&host, &["--listen", &address]);
    up.until("go uses it already");
    let shown = host.modmesh(&["status"]);
    assert!(shown.stdout.contains(&address), "{shown:?}");
    let shown = host.modmesh(&["doctor"]);
    assert!(
        shown.stdout.contains("GOPROXY begins with modmesh"),
        "{shown:?}"
    );
    assert!(
        shown
            .stdout
            .contains(&format!("serves at http://{address}")),
        "{shown:?}"
    );
}

/// The background daemon of a test, found by the state folder in its arguments; ended when the test is.
struct Background<'a>(&'a Path);

impl Drop for Background<'_> {
    fn drop(&mut self) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let id = entry.file_name().to_string_lossy().parse::<u32>();
            let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&arguments).into_owned();
            if let (Ok(id), true) = (id, arguments.contains(self.0.to_str().unwrap())) {
                let _ = kill_process(pid(id), Signal::KILL);
            }
        }
    }
}

/// What a background daemon is told by variables to keep to itself.
fn alone(listen: &SocketAddr) -> Vec<(&'static str, String)> {
    vec![
        ("MODMESH_LISTEN", listen.to_string()),
        ("MODMESH_NO_MDNS", "true".into()),
        ("MODMESH_PEER_LISTEN", "127.0.0.1:0".into()),
        ("MODMESH_OFFLINE", "true".into()),
        ("MODMESH_STORE_LIMIT", "1GiB".into()),
    ]
}

#[test]
#[cfg(target_os = "linux")]
fn run_starts_a_daemon_where_none_answers_and_finds_it_again() {
    let unheard = Unheard::new();
    let address = unheard.address();
    let host = Host::new();
    host.script("show", "echo $GOPROXY");
    let state = host.path(".local/state/modmesh");
    let _background = Background(&state);
    for is_started in [true, false] {
        let output = host
            .command(&["run", "--", "show"])
            .envs(alone(&address))
            .output()
            .unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(stdout.trim(), format!("http://{address}"), "{output:?}");
        assert!(output.status.success());
        let stderr = String::from_utf8_lossy(&output.stderr);
        let told = stderr.contains("started in the background (process ");
        assert_eq!(told, is_started, "{stderr}");
    }
    let log = std::fs::read_to_string(state.join("background.log")).unwrap();
    assert_eq!(log.matches("is up").count(), 1, "{log}");
}

#[test]
fn a_background_daemon_that_cannot_start_shows_why() {
    let unheard = Unheard::new();
    let address = unheard.address();
    let host = Host::without_go();
    let mut variables = alone(&address);
    variables.push(("MODMESH_PRIVATE", "[a".into()));
    let output = host
        .command(&["run", "--", "show"])
        .envs(variables)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("MODMESH_PRIVATE"), "{stderr}");
}
