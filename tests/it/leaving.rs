//! A neighbour that goes in the middle of a file: the file comes from somebody else, or the request fails and nothing of
//! it stays.

use std::time::Duration;

use harness::http::Response;
use harness::line::Quality;
use harness::{FakeUpstream, HostOptions, Kind, Line, Module, TestHost};

use crate::scene::{online, staging};

/// Four seconds on the line below, which is faster than an upstream is taken to be.
fn large() -> Module {
    Module::package("example.com/large", "v1.0.0").bulk("noise.bin", 16 << 20)
}

/// A line to the host's door for neighbours, and the address of its near end.
pub(crate) fn line_to(host: &TestHost) -> (Line, String) {
    let address = host.peer_address();
    let port = address.split('/').nth(4).unwrap();
    let server = format!("127.0.0.1:{port}").parse().unwrap();
    let quality = Quality {
        bits_per_second: 32_000_000,
        round_trip: Duration::ZERO,
    };
    let line = Line::start(server, quality);
    let near = address.replacen(port, &line.address().port().to_string(), 1);
    (line, near)
}

/// A host that has the module, and one that is its neighbour over the line.
fn pair(upstream: &FakeUpstream, other: HostOptions) -> (TestHost, TestHost, Line) {
    let first = online("A", upstream).start();
    first.get(&large().url_path("mod")).expect_body();
    first.get(&large().url_path("zip")).expect_body();
    let (line, near) = line_to(&first);
    let second = other.peer(&near).start();
    second.wait_for_neighbours(1);
    upstream.forget();
    (first, second, line)
}

/// Asks `second` for the zip, does `then` when a part of it has come over the line, and gives the answer.
fn in_the_middle(second: &TestHost, line: &Line, then: impl FnOnce()) -> Response {
    let request = second.request(&large().url_path("zip"));
    let asking = std::thread::spawn(move || request.send());
    second.wait_until("a part of the zip has come", |_| {
        line.bytes_down() > 3 << 20
    });
    assert!(!asking.is_finished());
    then();
    asking.join().unwrap().unwrap()
}

#[test]
fn a_file_whose_giver_ends_or_dies_comes_from_upstream() {
    let upstream = FakeUpstream::start([large()]);
    for killed in [false, true] {
        let (mut first, second, line) = pair(&upstream, online("B", &upstream));
        let answer = in_the_middle(&second, &line, || match killed {
            true => first.kill(),
            false => assert!(first.stop().success()),
        });
        assert_eq!(answer.header("x-modmesh-source"), "upstream");
        assert_eq!(answer.expect_body(), large().zip());
        assert_eq!(upstream.traffic(Kind::Zip).requests, 1);
        assert_eq!(staging(&second), Vec::<String>::new());
        let peers = second.peers();
        assert!(peers[0]["banned_until"].is_null(), "{peers:#}");
    }
}

#[test]
fn a_file_whose_only_giver_dies_fails_and_comes_when_it_is_back() {
    let upstream = FakeUpstream::start([large()]);
    let other = HostOptions::new("B").sumdb(&upstream.sumdb());
    let (mut first, second, line) = pair(&upstream, other);
    let answer = in_the_middle(&second, &line, || first.kill());
    assert!((400..600).contains(&answer.status), "{}", answer.status);
    assert_eq!(staging(&second), Vec::<String>::new());
    assert_eq!(second.status()["store"]["blobs"], 0);

    first.restart();
    second.wait_for_neighbours(1);
    let zip = second.get(&large().url_path("zip"));
    assert_eq!(zip.header("x-modmesh-source"), "peer");
    assert_eq!(zip.expect_body(), large().zip());
    assert_eq!(upstream.traffic_of_all().requests, 0);
}
