//! Neighbours that say nothing false and are of no use: they cost two seconds for a file, or what the upstream would have
//! taken and two seconds, and never a build.

use std::time::{Duration, Instant};

use harness::{FakeUpstream, Fault, HostOptions, LyingPeer, Module, PeerLie, TestHost, TestLog};

use crate::scene::online;

/// What a neighbour may cost before the upstream is asked beside it, or another instead of it.
const PATIENCE: Duration = Duration::from_secs(2);
/// What the machine of the test may add.
const SLACK: Duration = Duration::from_millis(1500);
/// Two seconds for the zip below.
const UPSTREAM_BYTES_PER_SECOND: u32 = 600_000;

/// A zip of 1.2 MB: a minute at the pace of a drip.
fn large() -> Module {
    Module::package("example.com/large", "v1.0.0").bulk("noise.bin", 1_200_000)
}

fn world() -> FakeUpstream {
    let upstream = FakeUpstream::start([large()]);
    upstream.fault("*.zip", Fault::Trickle(UPSTREAM_BYTES_PER_SECOND));
    upstream
}

fn neighbour(upstream: &FakeUpstream, lie: PeerLie) -> LyingPeer {
    let log: TestLog = upstream.log(|log| log.clone());
    LyingPeer::start(&[large()], &log, lie)
}

/// How long a host takes for the module's `.mod` and `.zip`.
fn time_for_both(host: &TestHost) -> [Duration; 2] {
    [("mod", large().go_mod()), ("zip", large().zip())].map(|(extension, bytes)| {
        let started = Instant::now();
        let got = host.get(&large().url_path(extension)).expect_body();
        assert_eq!(got, bytes, "{extension}");
        started.elapsed()
    })
}

#[test]
fn a_neighbour_that_drips_or_halts_costs_no_more_than_upstreams_time_and_two_seconds() {
    let upstream = world();
    let alone = time_for_both(&online("A", &upstream).start());
    for lie in [
        PeerLie::Drip,
        PeerLie::DripOfOneByte,
        PeerLie::Half,
        PeerLie::Silent,
    ] {
        let neighbour = neighbour(&upstream, lie);
        let host = online("B", &upstream)
            .peer(&neighbour.peer_address())
            .start();
        host.wait_for_neighbours(1);
        let took = time_for_both(&host);
        for (took, alone) in took.into_iter().zip(alone) {
            assert!(
                took < alone + PATIENCE + SLACK,
                "{lie:?}: {took:?} with the neighbour, {alone:?} without"
            );
        }
        assert!(neighbour.files_given() >= 1 || lie == PeerLie::Silent);
        let source = [("kind", "zip"), ("source", "upstream")];
        assert_eq!(host.metric("modmesh_http_requests_total", &source), 1.0);
        // To be slow is no lie.
        let peers = host.peers();
        assert!(peers[0]["banned_until"].is_null(), "{lie:?}: {peers:#}");
    }
}

#[test]
fn with_another_neighbour_that_has_it_a_slow_one_costs_two_seconds_a_file_and_no_build() {
    let upstream = FakeUpstream::start([large()]);
    let honest = neighbour(&upstream, PeerLie::None);
    for lie in [
        PeerLie::Drip,
        PeerLie::DripOfOneByte,
        PeerLie::Half,
        PeerLie::Silent,
    ] {
        let halting = neighbour(&upstream, lie);
        // The quicker answer is tried first, and the honest neighbour is further away.
        let (_line, further) = honest.at_distance(Duration::from_millis(30));
        let host = HostOptions::new("B")
            .sumdb(&upstream.sumdb())
            .peer(&halting.peer_address())
            .peer(&further)
            .start();
        host.wait_for_neighbours(2);
        let started = Instant::now();
        let go = host.go(&upstream.sumdb());
        go.download("example.com/large@v1.0.0").expect_success();
        let took = started.elapsed();
        assert!(took < PATIENCE * 2 + SLACK * 2, "{lie:?}: {took:?}");
        let peers = host.peers();
        let halted = |peer: &serde_json::Value| peer["peer_id"] == halting.peer_id().as_str();
        let entry = peers.as_array().unwrap().iter().find(|peer| halted(peer));
        assert!(
            !entry.unwrap()["last_error"].is_null(),
            "{lie:?}: {peers:#}"
        );
        assert!(
            entry.unwrap()["banned_until"].is_null(),
            "{lie:?}: {peers:#}"
        );
    }
    assert_eq!(upstream.traffic_of_all().requests, 0);
}

#[test]
fn where_upstream_fails_beside_a_dripping_neighbour_the_next_neighbour_is_asked() {
    let upstream = FakeUpstream::start([large()]);
    upstream.fault("*.zip", Fault::status(403, "not from here"));
    let honest = neighbour(&upstream, PeerLie::None);
    let dripping = neighbour(&upstream, PeerLie::Drip);
    let (_line, further) = honest.at_distance(Duration::from_millis(30));
    let host = online("B", &upstream)
        .peer(&dripping.peer_address())
        .peer(&further)
        .start();
    host.wait_for_neighbours(2);
    let started = Instant::now();
    let zip = host.get(&large().url_path("zip")).expect_body();
    assert_eq!(zip, large().zip());
    let took = started.elapsed();
    assert!(took < PATIENCE * 2 + SLACK, "{took:?}");
}

#[test]
fn alone_with_a_neighbour_that_halts_the_request_ends_soon_with_a_reason() {
    let upstream = FakeUpstream::start([large()]);
    for lie in [PeerLie::Half, PeerLie::Silent] {
        let neighbour = neighbour(&upstream, lie);
        let host = HostOptions::new("B")
            .sumdb(&upstream.sumdb())
            .peer(&neighbour.peer_address())
            .start();
        host.wait_for_neighbours(1);
        let started = Instant::now();
        let answer = host.get(&large().url_path("zip"));
        let took = started.elapsed();
        // It is somewhere: `go` must not be told that it is not.
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(!answer.text().trim().is_empty());
        assert!(took < PATIENCE + SLACK, "{lie:?}: {took:?}");
    }
}

#[test]
fn alone_with_a_neighbour_that_drips_the_file_comes_all_the_same() {
    let small = Module::package("example.com/small", "v1.0.0").bulk("noise.bin", 60_000);
    let mut log = TestLog::new("sumdb.example.test");
    log.append(&small);
    let neighbour = LyingPeer::start(std::slice::from_ref(&small), &log, PeerLie::Drip);
    let host = HostOptions::new("B")
        .sumdb(&log.verifier_key())
        .peer(&neighbour.peer_address())
        .start();
    host.wait_for_neighbours(1);
    let zip = host.get(&small.url_path("zip")).expect_body();
    assert_eq!(zip, small.zip());
}

#[test]
fn a_neighbour_that_is_silent_about_tiles_costs_one_lookup_two_seconds_and_the_next_ones_nothing() {
    for silence in [PeerLie::SilentAboutTiles, PeerLie::LateAboutTiles] {
        silent_about_tiles(silence);
    }
}

fn silent_about_tiles(silence: PeerLie) {
    let modules = ["one", "two", "three"];
    let modules = modules.map(|name| Module::package(&format!("example.com/{name}"), "v1.0.0"));
    let mut log = TestLog::new("sumdb.example.test");
    for module in &modules {
        log.append(module);
        log.pad_to(log.size() + 300);
    }
    let upstream = FakeUpstream::with_log(log.clone());
    modules.iter().for_each(|module| upstream.publish(module));
    let silent = LyingPeer::start(&modules, &log, silence);
    let host = online("B", &upstream).peer(&silent.peer_address()).start();
    host.wait_for_neighbours(1);
    let lookup = |module: &Module| {
        let path = format!("sumdb/{}/lookup/{}@v1.0.0", log.name(), module.path());
        let started = Instant::now();
        host.get(&path).expect_body();
        started.elapsed()
    };
    let took: Vec<Duration> = modules.iter().map(lookup).collect();
    assert!(took.iter().all(|took| *took < PATIENCE + SLACK), "{took:?}");
    assert!(took[1..].iter().all(|took| *took < SLACK), "{took:?}");
    let peers = host.peers();
    assert!(peers[0]["banned_until"].is_null(), "{peers:#}");
}

#[test]
fn neighbours_that_only_say_they_have_it_do_not_hide_one_that_has_for_long() {
    let upstream = FakeUpstream::start([large()]);
    let honest = neighbour(&upstream, PeerLie::None);
    let (_line, further) = honest.at_distance(Duration::from_millis(30));
    let empty: Vec<_> = (0..4)
        .map(|_| neighbour(&upstream, PeerLie::Empty))
        .collect();
    let options = HostOptions::new("B")
        .sumdb(&upstream.sumdb())
        .peer(&further);
    let host = empty
        .iter()
        .fold(options, |options, empty| {
            options.peer(&empty.peer_address())
        })
        .start();
    host.wait_for_neighbours(5);
    let path = large().url_path("zip");
    // All four answered before it, and are asked first the first time; an owner may know of the fifth.
    let first = host.get(&path);
    assert!(matches!(first.status, 200 | 404), "{}", first.text());
    assert_eq!(host.get(&path).expect_body(), large().zip());
}

/// A host without upstream that asks this neighbour for the `.mod`.
fn ask_alone(neighbour: &LyingPeer, log: &FakeUpstream) -> harness::http::Response {
    let host = HostOptions::new("B")
        .sumdb(&log.sumdb())
        .peer(&neighbour.peer_address())
        .start();
    host.wait_for_neighbours(1);
    host.get(&large().url_path("mod"))
}

#[test]
fn a_file_that_is_here_waits_for_a_record_that_comes_late() {
    let upstream = FakeUpstream::start([large()]);
    let neighbour = neighbour(&upstream, PeerLie::RecordAfter(3));
    let go_mod = ask_alone(&neighbour, &upstream).expect_body();
    assert_eq!(go_mod, large().go_mod());
    // It was kept meanwhile.
    assert_eq!(neighbour.files_given(), 1);
}

#[test]
fn a_file_whose_record_never_comes_is_somewhere_and_the_answer_says_so() {
    let upstream = FakeUpstream::start([large()]);
    let neighbour = neighbour(&upstream, PeerLie::RecordAfter(u64::MAX));
    let answer = ask_alone(&neighbour, &upstream);
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("not the proof"), "{}", answer.text());
}

#[test]
fn a_false_file_of_an_upstream_that_overtook_a_neighbour_is_fetched_and_counted_once() {
    let (bad, good) = (world(), world());
    let forged = large().file("evil.go", "package large\n");
    bad.put(&large().url_path("zip"), forged.zip());
    for (list, status) in [
        (bad.url(), 502),
        (format!("{}|{}", bad.url(), good.url()), 200),
    ] {
        bad.forget();
        let neighbour = neighbour(&bad, PeerLie::Drip);
        let host = HostOptions::new("B")
            .upstream(&list)
            .sumdb(&bad.sumdb())
            .peer(&neighbour.peer_address())
            .start();
        host.wait_for_neighbours(1);
        let answer = host.get(&large().url_path("zip"));
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(neighbour.files_given() >= 1);
        assert_eq!(bad.traffic_of("*.zip").requests, 1);
        let from = [("from", "upstream")];
        let failures = host.metric("modmesh_verification_failures_total", &from);
        assert_eq!(failures, 1.0);
    }
}

/// A minute for the zip.
const POOR_LINE_BYTES_PER_SECOND: u32 = 20_000;

#[test]
fn beside_a_poor_line_the_next_neighbour_is_asked_when_one_halts() {
    let upstream = world();
    upstream.fault("*.zip", Fault::Trickle(POOR_LINE_BYTES_PER_SECOND));
    let honest = neighbour(&upstream, PeerLie::None);
    let halting = neighbour(&upstream, PeerLie::Half);
    let (_line, further) = honest.at_distance(Duration::from_millis(30));
    let host = online("B", &upstream)
        .peer(&halting.peer_address())
        .peer(&further)
        .start();
    host.wait_for_neighbours(2);
    let started = Instant::now();
    let zip = host.get(&large().url_path("zip")).expect_body();
    assert_eq!(zip, large().zip());
    let took = started.elapsed();
    assert!(took < PATIENCE * 2 + SLACK * 2, "{took:?}");
    assert_eq!(halting.files_given(), 1);
    let source = [("kind", "zip"), ("source", "peer")];
    assert_eq!(host.metric("modmesh_http_requests_total", &source), 1.0);
}

#[test]
fn a_neighbour_that_has_it_before_a_poor_line_gave_it_is_taken_from() {
    let upstream = world();
    let mut other = online("A", &upstream).start();
    other.get(&large().url_path("zip")).expect_body();
    let address = other.peer_address();
    other.stop();
    upstream.fault("*.zip", Fault::Trickle(POOR_LINE_BYTES_PER_SECOND));
    let host = online("B", &upstream).peer(&address).start();
    let asked = upstream.traffic_of("*.zip").requests;
    let started = Instant::now();
    let zip = std::thread::scope(|scope| {
        let request = scope.spawn(|| host.get(&large().url_path("zip")).expect_body());
        upstream.wait_for("*.zip", asked + 1, Duration::from_secs(20));
        other.restart();
        request.join().unwrap()
    });
    assert_eq!(zip, large().zip());
    let took = started.elapsed();
    assert!(took < Duration::from_secs(40), "{took:?}");
    let source = [("kind", "zip"), ("source", "peer")];
    assert_eq!(host.metric("modmesh_http_requests_total", &source), 1.0);
    // The line outside is free again.
    let explained = host.explained("example.com/large@v1.0.0").expect_success();
    assert!(
        explained.stdout.contains("left for somebody quicker"),
        "{explained}"
    );
}
