//! modmesh under a service manager: what it tells it, and the unit files that come with it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use harness::host::modmesh_binary;
use harness::{HostOptions, http, process};

const PATIENCE: Duration = Duration::from_secs(30);

/// The next datagram, as text; nothing when none comes.
fn hear(socket: &UnixDatagram, patience: Duration) -> Option<String> {
    socket.set_read_timeout(Some(patience)).unwrap();
    let mut bytes = [0; 4096];
    let length = socket.recv(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

/// Datagrams until one has this line.
fn hear_of(socket: &UnixDatagram, line: &str) -> Vec<String> {
    let mut heard = Vec::new();
    while let Some(message) = hear(socket, PATIENCE) {
        let is_it = message.lines().any(|said| said == line);
        heard.push(message);
        if is_it {
            return heard;
        }
    }
    panic!("{line} was not said: {heard:?}");
}

#[test]
fn a_service_manager_hears_when_it_serves_that_it_lives_and_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let name = format!("modmesh-test-{}", std::process::id());
    let hidden = SocketAddr::from_abstract_name(&name).unwrap();
    for (variable, socket) in [
        (
            path.display().to_string(),
            UnixDatagram::bind(&path).unwrap(),
        ),
        (
            format!("@{name}"),
            UnixDatagram::bind_addr(&hidden).unwrap(),
        ),
    ] {
        // Asked in the moment in which it says so, it serves.
        let listening = thread::spawn(move || {
            let ready = hear_of(&socket, "READY=1");
            assert_eq!(ready.len(), 1, "{ready:?}");
            let (_, url) = ready[0].split_once("STATUS=serves go on ").unwrap();
            let status = http::get(&format!("{}/readyz", url.trim())).status;
            (socket, status)
        });
        let mut host = HostOptions::new("service")
            .variable("NOTIFY_SOCKET", &variable)
            .variable("WATCHDOG_USEC", "100000")
            .start();
        let (socket, status) = listening.join().unwrap();
        assert_eq!(status, 200);
        for _ in 0..3 {
            hear_of(&socket, "WATCHDOG=1");
        }
        assert!(host.stop().success());
        let last = hear_of(&socket, "STOPPING=1");
        assert!(last.iter().all(|said| !said.contains("READY")), "{last:?}");
    }
}

#[test]
fn a_start_that_fails_is_never_said_to_serve() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    HostOptions::new("service")
        .variable("NOTIFY_SOCKET", &path.display().to_string())
        .argument("--listen")
        .argument(&taken.local_addr().unwrap().to_string())
        .run_to_end()
        .expect_failure();
    assert_eq!(hear(&socket, Duration::from_millis(1)), None);
}

#[test]
fn a_manager_that_is_not_there_harms_nothing() {
    for nobody in ["/nowhere/notify", "@modmesh-nobody", "vsock:2:1"] {
        let host = HostOptions::new("service")
            .variable("NOTIFY_SOCKET", nobody)
            .start();
        assert_eq!(host.get("readyz").status, 200, "{nobody}");
    }
}

/// The unit files, each with the option that tells systemd's tools which manager it is for.
const UNITS: [(&str, &str); 2] = [("system", "--system"), ("user", "--user")];

fn unit(kind: &str) -> String {
    let path = format!("../examples/systemd/{kind}/modmesh.service");
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The values of a key, as the file has them.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    lines
        .filter(|(found, _)| *found == key)
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn the_unit_files_start_what_there_is_and_wait_until_it_serves() {
    let help = Command::new(modmesh_binary())
        .args(["up", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for (kind, _) in UNITS {
        let unit = unit(kind);
        let [start] = values(&unit, "ExecStart")[..] else {
            panic!("one command in {unit}");
        };
        let mut words = start.split(' ');
        assert!(words.next().unwrap().ends_with("/modmesh"), "{start}");
        assert_eq!(words.next(), Some("up"));
        for flag in words.filter(|word| word.starts_with('-')) {
            assert!(help.contains(flag), "{flag} in {start}");
        }
        for (key, value) in [
            ("Type", "notify"),
            ("Restart", "on-failure"),
            ("NoNewPrivileges", "yes"),
            (
                "RestrictAddressFamilies",
                "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
            ),
        ] {
            assert_eq!(values(&unit, key), [value], "{kind}: {key}");
        }
        for key in ["MemoryMax", "LimitNOFILE", "WatchdogSec"] {
            assert_eq!(values(&unit, key).len(), 1, "{kind}: {key}");
        }
        // The daemon could not tell other users apart.
        assert!(values(&unit, "PrivateUsers").is_empty());
    }
    for key in [
        "ProtectSystem",
        "PrivateTmp",
        "DynamicUser",
        "StateDirectory",
    ] {
        assert_eq!(values(&unit("system"), key).len(), 1, "{key}");
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_files() {
    let is_there = Command::new("systemd-analyze").arg("--version").output();
    if is_there.is_err() {
        // Without systemd's own tool the test above is all that can be said.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (kind, manager) in UNITS {
        let file: PathBuf = folder.path().join("modmesh.service");
        let text = unit(kind);
        let [start] = values(&text, "ExecStart")[..] else {
            panic!("one command in {text}");
        };
        // It looks whether the program is there.
        let program = start.split(' ').next().unwrap();
        let here = modmesh_binary().display().to_string();
        std::fs::write(&file, text.replace(program, &here)).unwrap();
        let mut verify = Command::new("systemd-analyze");
        verify
            .args([manager, "verify", "--man=no", "--generators=no"])
            .arg(&file)
            .env("XDG_RUNTIME_DIR", folder.path());
        let verdict = process::run(&mut verify, PATIENCE).expect_success();
        assert!(!verdict.stderr.contains("modmesh.service"), "{verdict}");
    }
    // The sandbox of the system's unit, by systemd's own measure: 2.5 of 10, less is better.
    let file = folder.path().join("modmesh.service");
    std::fs::write(&file, unit("system")).unwrap();
    let mut measure = Command::new("systemd-analyze");
    measure
        .args(["security", "--offline=true", "--threshold=25", "--no-pager"])
        .arg(&file);
    process::run(&mut measure, PATIENCE).expect_success();
}
