//! Members: hosts with one secret share, and have nothing to do with anybody else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use harness::{FakeUpstream, HostOptions, LyingPeer, PeerLie, TestHost};
use modmesh_protocol::membership::Secret;
use tempfile::TempDir;

use crate::scene::{hello, online};

/// A file with the given lines, each a secret of one byte, that nobody else can read.
fn write_secrets(file: &Path, bytes: &[u8]) {
    let line = |byte: &u8| Secret::new([*byte; 32]).to_line() + "\n";
    // As an editor does it: another file takes the place of the old one.
    let new = file.with_extension("new");
    fs::write(&new, bytes.iter().map(line).collect::<String>()).unwrap();
    fs::set_permissions(&new, PermissionsExt::from_mode(0o600)).unwrap();
    fs::rename(new, file).unwrap();
}

/// Files of secrets.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The line of the secret that is made of one byte.
    pub(crate) fn secret_line(byte: u8) -> String {
        Secret::new([byte; 32]).to_line()
    }

    /// The host, with the same secret for all.
    pub(crate) fn member(&self, host: HostOptions) -> HostOptions {
        with_secret(host, &self.secret("mesh", &[1]))
    }

    fn secret(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let file = self.0.path().join(name);
        write_secrets(&file, bytes);
        file
    }
}

fn with_secret(host: HostOptions, file: &Path) -> HostOptions {
    host.argument("--mesh-secret-file")
        .argument(file.to_str().unwrap())
}

/// A host that has no upstream and calls `other`.
fn beside(name: &str, other: &TestHost, upstream: &FakeUpstream) -> HostOptions {
    HostOptions::new(name)
        .sumdb(&upstream.sumdb())
        .peer(&other.peer_address())
}

/// Waits until the host has turned somebody away, and returns what it shows of its one neighbour.
#[track_caller]
fn turned_away(host: &TestHost) -> String {
    host.wait_until("somebody is turned away", |host| {
        host.metric("modmesh_strangers_turned_away_total", &[]) >= 1.0
    });
    let peers = host.peers();
    assert_eq!(peers.as_array().map(Vec::len), Some(1), "{peers:#}");
    let peer = &peers[0];
    assert_eq!(peer["connected"], false, "{peer:#}");
    assert_eq!(peer["member"], false, "{peer:#}");
    assert!(peer["banned_until"].is_null(), "{peer:#}");
    assert_eq!(peer["evidence"].as_array().map(Vec::len), Some(0));
    assert_eq!(host.status()["peers"]["connected"], 0);
    peer["last_error"].as_str().unwrap_or_default().to_owned()
}

fn times_logged(host: &TestHost, text: &str) -> usize {
    host.logged()
        .iter()
        .filter(|line| line.contains(text))
        .count()
}

#[test]
fn hosts_with_the_same_secret_share_what_is_proven() {
    let files = Files::new();
    let upstream = FakeUpstream::start([hello()]);
    let file = files.secret("mesh", &[1]);
    let first = with_secret(online("A", &upstream), &file).start();
    first
        .go(&upstream.sumdb())
        .download("example.com/hello@v1.0.0")
        .expect_success();
    let second = with_secret(beside("B", &first, &upstream), &file).start();
    second.wait_for_neighbours(1);
    upstream.forget();
    second
        .go(&upstream.sumdb())
        .download("example.com/hello@v1.0.0")
        .expect_success();
    assert_eq!(upstream.traffic_of_all().requests, 0);
    for host in [&first, &second] {
        assert_eq!(host.status()["peers"]["members"], 1);
        assert_eq!(host.peers()[0]["member"], true);
        assert_eq!(host.metric("modmesh_members", &[]), 1.0);
    }
    let shown = second.modmesh(&["peers"]);
    assert!(shown.stdout.contains("connected, member"), "{shown}");
    let shown = second.modmesh(&["status"]);
    assert!(shown.stdout.contains("1 connected, 1 member"), "{shown}");
}

#[test]
fn hosts_with_other_secrets_do_not_share_and_each_says_so_once() {
    const SAID: &str = "its mesh secret is another than this host's";
    let files = Files::new();
    let upstream = FakeUpstream::start([hello()]);
    let (one, other) = (files.secret("one", &[1]), files.secret("other", &[2]));
    let first = with_secret(online("A", &upstream), &one).start();
    first.get(&hello().url_path("mod")).expect_body();
    let second = with_secret(beside("B", &first, &upstream), &other).start();
    for host in [&first, &second] {
        assert!(turned_away(host).contains(SAID));
        host.wait_for_line(SAID);
    }
    // It calls again and again, with growing pauses.
    second.wait_until("it has called again", |host| {
        host.metric("modmesh_strangers_turned_away_total", &[]) >= 3.0
    });
    for host in [&first, &second] {
        assert_eq!(times_logged(host, SAID), 1, "{}", host.log());
    }
    assert_eq!(second.get(&hello().url_path("mod")).status, 404);
    let shown = second.modmesh(&["peers"]);
    assert!(shown.stdout.contains(SAID), "{shown}");
}

#[test]
fn a_host_without_a_secret_is_told_that_the_others_are_members() {
    let files = Files::new();
    let upstream = FakeUpstream::start([hello()]);
    let file = files.secret("mesh", &[1]);
    let member = with_secret(online("A", &upstream), &file).start();
    member.get(&hello().url_path("mod")).expect_body();
    let open = beside("B", &member, &upstream).start();
    let said = turned_away(&open);
    assert!(said.contains("a member of a mesh with a secret"), "{said}");
    open.wait_for_line("a member of a mesh with a secret");
    let said = turned_away(&member);
    assert!(said.contains("it has no mesh secret"), "{said}");
    assert_eq!(open.get(&hello().url_path("mod")).status, 404);
    // Short answers are counted too.
    assert_eq!(member.metric("modmesh_peer_sent_bytes_total", &[]), 0.0);
}

#[test]
fn nobody_is_asked_who_is_no_member() {
    let files = Files::new();
    let upstream = FakeUpstream::start([hello()]);
    let stranger = upstream.log(|log| LyingPeer::start(&[hello()], log, PeerLie::None));
    let host = HostOptions::new("A")
        .sumdb(&upstream.sumdb())
        .peer(&stranger.peer_address());
    let host = with_secret(host, &files.secret("mesh", &[1])).start();
    let said = turned_away(&host);
    assert!(said.contains("it has no mesh secret"), "{said}");
    assert_eq!(host.get(&hello().url_path("zip")).status, 404);
    let asked = stranger.files_given() + stranger.records_given() + stranger.tiles_given();
    assert_eq!((asked, stranger.connected()), (0, 0));
}

#[test]
fn a_secret_is_exchanged_without_a_restart() {
    let files = Files::new();
    let upstream = FakeUpstream::start([hello()]);
    let (one, two) = (files.secret("one", &[1]), files.secret("two", &[1]));
    let first = with_secret(online("A", &upstream), &one).start();
    let second = with_secret(beside("B", &first, &upstream), &two).start();
    second.wait_for_neighbours(1);
    write_secrets(&one, &[2, 1]);
    let secrets = |host: &TestHost| host.status()["membership"]["secrets"].clone();
    first.wait_until("it has both", |host| secrets(host) == 2);
    assert_eq!(first.status()["peers"]["members"], 1);
    write_secrets(&two, &[2]);
    // What the other said before was said with the old secret alone.
    second.wait_for_line("neighbour went");
    second.wait_until("it is a member by the new secret", |host| {
        host.status()["peers"]["members"] == 1
    });
    // A file that is broken later, or gone, opens nothing.
    fs::remove_file(&two).unwrap();
    let problem = |host: &TestHost| host.status()["notices"].to_string();
    second.wait_until("the trouble is told", |host| {
        problem(host).contains("PROBLEM: the mesh secret in")
    });
    assert_eq!(second.status()["peers"]["members"], 1);
    write_secrets(&two, &[2]);
    second.wait_until("the trouble is over", |host| {
        !problem(host).contains("the mesh secret in")
    });
}

#[test]
fn hosts_that_name_each_other_are_members() {
    let upstream = FakeUpstream::start([hello()]);
    let mut first = online("A", &upstream).start();
    let second = beside("B", &first, &upstream)
        .argument("--member")
        .argument(&first.peer_id())
        .start();
    let said = turned_away(&second);
    assert!(said.contains("it has no mesh secret"), "{said}");
    let name = second.peer_id();
    first.restart_with(|host| host.variable("MODMESH_MEMBER", &name));
    second.wait_for_neighbours(1);
    first.wait_for_neighbours(1);
    assert_eq!(first.peers()[0]["member"], true);
    assert_eq!(second.peers()[0]["member"], true);
}
