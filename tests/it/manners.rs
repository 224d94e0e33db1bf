//! Limits are kept to by real hosts, and cost nobody anything but time.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use harness::http::Request;
use harness::{FakeUpstream, HostOptions, Module, TestHost};
use modmesh_daemon::Daemon;
use modmesh_protocol::rate::{Minute, parse_limit};
use serde_json::Value;
use tempfile::TempDir;

use crate::scene::{neighbour_of, online};
use crate::trouble::daemon;

/// A zip of 1 MB and some more.
fn large() -> Module {
    Module::package("example.com/large", "v1.0.0").bulk("noise.bin", 1_000_000)
}

/// A megabyte at 500 kB/s, less what the bucket holds at first.
const TWO_SECONDS_LESS_A_QUARTER: Duration = Duration::from_millis(1750);

fn rate(host: &TestHost, class: &str, direction: &str) -> Value {
    let status = host.status();
    let rates = status["limits"]["rates"].as_array().unwrap();
    let found = rates
        .iter()
        .find(|rate| rate["class"] == class && rate["direction"] == direction);
    found.unwrap_or_else(|| panic!("{status:#}")).clone()
}

/// How many there can be now; null where it is not told.
fn most(host: &TestHost, what: &str) -> Value {
    let status = host.status();
    let caps = status["limits"]["caps"].as_array().unwrap();
    let cap = caps.iter().find(|cap| cap["what"] == what);
    cap.map_or(Value::Null, |cap| cap["most"].clone())
}

fn took(host: &TestHost, module: &Module) -> Duration {
    let began = Instant::now();
    let got = host.get(&module.url_path("zip")).expect_body();
    assert!(got == module.zip(), "another zip");
    began.elapsed()
}

#[test]
fn a_host_sends_no_faster_than_its_limit() {
    let upstream = FakeUpstream::start([large()]);
    let holder = online("A", &upstream)
        .argument("--limit-upload")
        .argument("500kB/s")
        .start();
    took(&holder, &large());
    let host = neighbour_of(&holder, &upstream);
    let took = took(&host, &large());
    assert!(took >= TWO_SECONDS_LESS_A_QUARTER, "{took:?}");
    let up = rate(&holder, "link", "up");
    assert_eq!(up["limit_bytes_per_second"], 500_000);
    assert!(up["held_ms"].as_u64().unwrap() >= 1_500, "{up}");
    assert!(up["bytes_per_second"].as_u64().unwrap() > 0, "{up}");
    let shown = holder.modmesh(&["status"]).stdout;
    assert!(shown.contains("of at most 488.3 KiB/s"), "{shown}");
    assert!(shown.contains(" of 15 files sent"), "{shown}");
}

#[test]
fn a_neighbour_is_not_taken_for_slow_because_of_our_own_limit() {
    // At 250 kB/s this takes eight seconds, of which an upstream of which nothing is known is taken to need two.
    let module = Module::package("example.com/larger", "v1.0.0").bulk("noise.bin", 2_000_000);
    let upstream = FakeUpstream::start([module.clone()]);
    let holder = online("A", &upstream).start();
    took(&holder, &module);
    upstream.forget();
    let host = online("B", &upstream)
        .peer(&holder.peer_address())
        .argument("--limit-download")
        .argument("2Mbit/s")
        .start();
    host.wait_for_neighbours(1);
    let took = took(&host, &module);
    assert!(took >= Duration::from_secs(7), "{took:?}");
    assert!(rate(&host, "link", "down")["held_ms"].as_u64().unwrap() >= 6_000);
    assert_eq!(upstream.traffic_of("*.zip").requests, 0);
    let source = [("kind", "zip"), ("source", "peer")];
    assert_eq!(host.metric("modmesh_http_requests_total", &source), 1.0);
    let peers = host.peers();
    assert!(peers[0]["last_error"].is_null(), "{peers:#}");
}

#[test]
fn upstream_is_asked_no_faster_than_the_limit_and_small_answers_go_ahead() {
    let upstream = FakeUpstream::start([large()]);
    let host = online("A", &upstream)
        .argument("--limit-upstream")
        .argument("500kB/s")
        .start();
    let took = took(&host, &large());
    assert!(took >= TWO_SECONDS_LESS_A_QUARTER, "{took:?}");
    let down = rate(&host, "upstream", "down");
    assert_eq!(down["limit_bytes_per_second"], 500_000);
    assert!(down["held_ms"].as_u64().unwrap() >= 1_500, "{down}");
    assert_eq!(upstream.traffic_of("*.zip").requests, 1);
    assert_eq!(most(&host, "upstream"), 64);
    assert_eq!(most(&host, "upstream_zips"), 15);
    assert_eq!(most(&host, "neighbours"), 128);
    assert_eq!(most(&host, "uploads"), 32);
}

#[test]
fn how_many_share_a_limit_is_shown_in_each_direction() {
    let upstream = FakeUpstream::start([large()]);
    let host = online("A", &upstream)
        .argument("--limit-download")
        .argument("500kB/s")
        .argument("--limit-site")
        .argument("250kB/s")
        .start();
    assert_eq!(most(&host, "downloads"), 15);
    assert_eq!(most(&host, "site_uploads"), 7);
    assert_eq!(most(&host, "site_downloads"), 7);
    assert_eq!(most(&host, "uploads"), 32);
    let shown = host.modmesh(&["status"]).stdout;
    assert!(
        shown.contains("0 of 15 files fetched from neighbours"),
        "{shown}"
    );
    assert!(
        shown.contains("0 of 7 files sent to other sites"),
        "{shown}"
    );
    // Without a limit as many run as want to.
    let without = online("B", &upstream).start();
    for what in ["downloads", "site_uploads", "site_downloads"] {
        assert_eq!(most(&without, what), Value::Null, "{what}");
    }
}

#[test]
fn a_limit_of_all_hours_is_one() {
    let upstream = FakeUpstream::start([large()]);
    let host = online("A", &upstream)
        .variable("MODMESH_LIMIT_UPSTREAM", "none, 500kB/s 00:00-24:00")
        .start();
    let took = took(&host, &large());
    assert!(took >= TWO_SECONDS_LESS_A_QUARTER, "{took:?}");
    let down = rate(&host, "upstream", "down");
    assert_eq!(down["limit_bytes_per_second"], 500_000);
    assert!(down["until"].is_null(), "{down}");
    let shown = host.modmesh(&["status"]).stdout;
    assert!(shown.contains("of at most 488.3 KiB/s\n"), "{shown}");
}

/// The minute of the week as the daemon of the one test that moves it is told.
static MINUTE: AtomicU16 = AtomicU16::new(8 * 60 - 1);

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_begins_and_ends_with_its_hours_while_a_daemon_runs() {
    let upstream = FakeUpstream::start([large()]);
    let folder = tempfile::tempdir().unwrap();
    let mut config = daemon(&upstream.url(), &upstream.sumdb(), &folder);
    let by_hours = parse_limit("none, 500kB/s mon-fri 08:00-18:00").unwrap();
    config.limit_upload = by_hours.clone();
    config.road.limit = by_hours;
    config.local_minute = Some(|| Minute::new(0, MINUTE.load(Ordering::Relaxed)));
    let daemon = Daemon::start(config).await.unwrap();
    let url = format!("http://{}/api/v1/status", daemon.listen()[0]);
    for (minute, until, limit, uploads, zips) in [
        (8 * 60 - 1, "mon 08:00", Value::Null, 32, 48),
        (8 * 60, "mon 18:00", 500_000.into(), 15, 15),
        (18 * 60, "tue 08:00", Value::Null, 32, 48),
        // Somebody set the clock back.
        (17 * 60, "mon 18:00", 500_000.into(), 15, 15),
    ] {
        MINUTE.store(minute, Ordering::Relaxed);
        let request = Request::get(&url);
        let seen = move || {
            let deadline = Instant::now() + SOON;
            loop {
                let body = request.send().unwrap().expect_body();
                let status: Value = serde_json::from_slice(&body).unwrap();
                let limits = &status["limits"];
                let rates = limits["rates"].as_array().unwrap().iter();
                let limited = rates.filter(|rate| {
                    rate["until"] == until && rate["limit_bytes_per_second"] == limit
                });
                let mut caps = limits["caps"].as_array().unwrap().iter();
                let mut has = |what: &str, most: u64| {
                    caps.any(|cap| cap["what"] == what && cap["most"] == most)
                };
                if limited.count() == 2 && has("uploads", uploads) && has("upstream_zips", zips) {
                    return;
                }
                assert!(Instant::now() < deadline, "{status:#}");
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        tokio::task::spawn_blocking(seen).await.unwrap();
    }
    daemon.wait(async {}).await;
}

/// Longer than the daemon looks away.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn on_battery_nothing_large_is_sent_if_that_is_wanted_until_somebody_plugs_it_in() {
    let upstream = FakeUpstream::start([large()]);
    let folder = tempfile::tempdir().unwrap();
    let mut config = daemon(&upstream.url(), &upstream.sumdb(), &folder);
    let supplies = folder.path().join("supplies");
    let say = |file: &str, text: &str| std::fs::write(supplies.join(file), text).unwrap();
    for supply in ["AC", "BAT0"] {
        std::fs::create_dir_all(supplies.join(supply)).unwrap();
    }
    say("AC/type", "Mains\n");
    say("AC/online", "0\n");
    say("BAT0/type", "Battery\n");
    say("BAT0/status", "Discharging\n");
    config.pause_on_battery = Some(supplies.clone());
    let daemon = Daemon::start(config).await.unwrap();
    let url = format!("http://{}/api/v1/status", daemon.listen()[0]);
    let status_when = |paused: bool| {
        let request = Request::get(&url);
        tokio::task::spawn_blocking(move || {
            let deadline = Instant::now() + SOON;
            loop {
                let body = request.send().unwrap().expect_body();
                let status: Value = serde_json::from_slice(&body).unwrap();
                if status["limits"]["uploads_paused"].is_string() == paused {
                    return status;
                }
                assert!(Instant::now() < deadline, "{status:#}");
                std::thread::sleep(Duration::from_millis(50));
            }
        })
    };
    let status = status_when(true).await.unwrap();
    let notices = status["notices"].as_array().unwrap();
    let is_told = |notice: &Value| notice.as_str().unwrap().contains("--on-battery share");
    assert!(notices.iter().any(is_told), "{status:#}");
    say("AC/online", "1\n");
    status_when(false).await.unwrap();
    daemon.wait(async {}).await;
}

/// A machine whose `nmcli` is a script of ours.
struct FakeNetworkManager {
    folder: TempDir,
}

impl FakeNetworkManager {
    /// Its `nmcli` notes who it is in `asked`, and then does this.
    fn that(does: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let command = folder.path().join("nmcli");
        let asked = folder.path().join("asked");
        let script = format!(
            "#!/bin/sh\necho \"$$ $LC_ALL $*\" > '{0}.new'\nmv '{0}.new' '{0}'\n{does}\n",
            asked.display()
        );
        std::fs::write(&command, script).unwrap();
        std::fs::set_permissions(&command, Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    /// The options of a host on this machine that pauses when a line is metered.
    fn with(&self, options: HostOptions) -> HostOptions {
        let path = std::env::var("PATH").unwrap_or_default();
        options
            .argument("--on-metered")
            .argument("pause")
            .variable("PATH", &format!("{}:{path}", self.folder.path().display()))
    }

    /// Waits until it was asked; by which process and how.
    fn wait_until_asked(&self, host: &TestHost) -> (u32, String) {
        let asked = self.folder.path().join("asked");
        host.wait_until("nmcli was asked", |_| asked.exists());
        let text = std::fs::read_to_string(asked).unwrap();
        let (process, question) = text.trim().split_once(' ').unwrap();
        (process.parse().unwrap(), question.to_owned())
    }
}

#[test]
fn on_a_metered_line_nothing_large_is_sent_if_that_is_wanted() {
    let upstream = FakeUpstream::start([large()]);
    let machine = FakeNetworkManager::that("printf 'no\\n\\nunknown\\n\\nyes (guessed)\\n'");
    let holder = machine.with(online("A", &upstream)).start();
    took(&holder, &large());
    holder.wait_until("uploads are paused", |host| {
        host.status()["limits"]["uploads_paused"].is_string()
    });
    let (_, question) = machine.wait_until_asked(&holder);
    assert_eq!(question, "C -t -m tabular -f GENERAL.METERED device show");
    let status = holder.status();
    let notices = status["notices"].as_array().unwrap();
    let is_told = |notice: &Value| notice.as_str().unwrap().contains("--on-metered share");
    assert!(notices.iter().any(is_told), "{status:#}");
    let shown = holder.modmesh(&["status"]).stdout;
    assert!(shown.contains("a line of this host is metered"), "{shown}");
    let host = neighbour_of(&holder, &upstream);
    let refused = host.get(&large().url_path("zip"));
    assert_ne!(refused.status, 200, "{}", refused.text());
}

#[test]
fn a_host_that_sends_nothing_large_is_not_told_to_fetch_for_others() {
    let upstream = FakeUpstream::start([large()]);
    let machine = FakeNetworkManager::that("printf 'yes\\n'");
    let empty = online("A", &upstream).start();
    let host = machine.with(online("B", &upstream).peer(&empty.peer_address()));
    let host = host.start();
    for one in [&host, &empty] {
        one.wait_for_neighbours(1);
    }
    host.wait_until("uploads are paused", |host| {
        host.status()["limits"]["uploads_paused"].is_string()
    });
    took(&host, &large());
    let of = format!("{}@{}", large().path(), large().version());
    let zip = host.explain_file(&of, "zip");
    let steps = zip["last_fetch"]["steps"].as_array().unwrap();
    let together = steps.iter().find(|step| step["step"] == "together");
    let together = together.unwrap_or_else(|| panic!("{zip:#}"));
    let nobody = serde_json::json!([]);
    assert_eq!(together["had_it"], nobody, "{zip:#}");
    assert_eq!(together["may_fetch"], false, "{zip:#}");
    assert_eq!(together["waited_for"], nobody, "{zip:#}");
    let said = host.explained(&of).expect_success().stdout;
    assert!(said.contains("nobody has it, and this host"), "{said}");
}

#[test]
fn a_line_of_which_nothing_bad_is_known_is_not_metered() {
    let upstream = FakeUpstream::start([large()]);
    for does in [
        "printf 'no (guessed)\\n\\nunknown\\n'",
        "echo yes; exit 8",
        "exec sleep 600",
    ] {
        let machine = FakeNetworkManager::that(does);
        let holder = machine.with(online("A", &upstream)).start();
        took(&holder, &large());
        let (process, _) = machine.wait_until_asked(&holder);
        // Also one that never answers is not waited for.
        let process = Path::new("/proc").join(process.to_string());
        holder.wait_until("nmcli ended", |_| !process.exists());
        let host = neighbour_of(&holder, &upstream);
        took(&host, &large());
        let status = holder.status();
        assert!(status["limits"]["uploads_paused"].is_null(), "{status:#}");
    }
}
