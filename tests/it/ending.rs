//! The end: a host that is told to end finishes what it is sending, or cuts it before its end, and never takes long.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::{FakeUpstream, Module, TestHost};

use crate::scene::{online, staging, stored};

/// What an end may take, and what the machine of the test may add.
const END_DEADLINE: Duration = Duration::from_secs(10 + 2);

/// Larger than what the sockets between two processes hold.
fn large() -> Module {
    Module::package("example.com/large", "v1.0.0").bulk("noise.bin", 24 << 20)
}

/// A client that has taken the head of an answer and the first bytes of its body.
struct Client {
    stream: TcpStream,
    body: Vec<u8>,
    announced: usize,
}

impl Client {
    fn start(host: &TestHost, path: &str) -> Self {
        let address = host.url().replace("http://", "");
        let mut stream = TcpStream::connect(&address).unwrap();
        let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut client = Self {
            stream,
            body: Vec::new(),
            announced: 0,
        };
        let mut first = Vec::new();
        let head_bytes = loop {
            let mut piece = [0; 4096];
            let bytes = client.stream.read(&mut piece).unwrap();
            assert!(bytes > 0, "the connection ended before the answer's head");
            first.extend_from_slice(&piece[..bytes]);
            if let Some(end) = first.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        client.body = first.split_off(head_bytes);
        let head = String::from_utf8(first).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let (_, length) = head.split_once("content-length: ").unwrap();
        client.announced = length.lines().next().unwrap().parse().unwrap();
        client
    }

    /// Everything that still comes.
    fn take_the_rest(mut self) -> Vec<u8> {
        // A cut may show itself as an error or as an early end.
        let _ = self.stream.read_to_end(&mut self.body);
        self.body
    }
}

/// Waits until nobody is let in any more.
fn wait_until_closed(host: &TestHost) {
    let address = host.url().replace("http://", "");
    let deadline = Instant::now() + END_DEADLINE;
    while TcpStream::connect(&address).is_ok() {
        assert!(Instant::now() < deadline, "{}", host.log());
        std::thread::yield_now();
    }
}

#[test]
fn a_body_under_way_is_sent_to_its_end() {
    let upstream = FakeUpstream::start([large()]);
    let mut host = online("A", &upstream).start();
    host.get(&large().url_path("zip")).expect_body();
    let client = Client::start(&host, &large().url_path("zip"));
    host.ask_to_end();
    wait_until_closed(&host);
    assert_eq!(client.take_the_rest(), large().zip());
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
}

#[test]
fn a_body_that_nobody_takes_is_cut_before_its_end() {
    let upstream = FakeUpstream::start([large()]);
    let mut host = online("A", &upstream).start();
    host.get(&large().url_path("zip")).expect_body();
    let client = Client::start(&host, &large().url_path("zip"));
    let asked = Instant::now();
    host.ask_to_end();
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
    let took = asked.elapsed();
    assert!(took < END_DEADLINE, "{took:?}");
    let announced = client.announced;
    assert_eq!(announced, large().zip().len());
    let body = client.take_the_rest();
    assert!(body.len() < announced, "{} of {announced}", body.len());
    assert!(large().zip().starts_with(&body));
    // The state was closed in order all the same.
    assert!(!host.state().join("session").exists());
}

#[test]
fn a_download_under_way_ends_with_its_answer() {
    let upstream = FakeUpstream::start([large()]);
    let mut host = online("A", &upstream).start();
    let held = upstream.hold("*.zip");
    let request = host.request(&large().url_path("zip"));
    let asking = std::thread::spawn(move || request.send().unwrap().expect_body());
    upstream.wait_for("*.zip", 1, Duration::from_secs(10));
    host.ask_to_end();
    wait_until_closed(&host);
    held.release();
    assert_eq!(asking.join().unwrap(), large().zip());
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
    assert!(stored(&host, &large(), "zip").exists());
}

#[test]
fn a_download_that_does_not_end_is_given_up_and_leaves_nothing_behind() {
    let upstream = FakeUpstream::start([large()]);
    let mut host = online("A", &upstream).start();
    let _held = upstream.hold("*.zip");
    let request = host.request(&large().url_path("zip"));
    let asking = std::thread::spawn(move || request.send());
    upstream.wait_for("*.zip", 1, Duration::from_secs(10));
    let asked = Instant::now();
    host.ask_to_end();
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
    let took = asked.elapsed();
    assert!(took < END_DEADLINE, "{took:?}");
    let answer = asking.join().unwrap();
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status >= 500));

    upstream.heal();
    host.restart();
    assert_eq!(staging(&host), Vec::<String>::new());
    assert_eq!(
        host.get(&large().url_path("zip")).expect_body(),
        large().zip()
    );
}

#[test]
fn a_second_signal_ends_at_once() {
    let upstream = FakeUpstream::start([large()]);
    let mut host = online("A", &upstream).start();
    host.get(&large().url_path("zip")).expect_body();
    let _client = Client::start(&host, &large().url_path("zip"));
    host.ask_to_end();
    host.wait_for_line("once more ends at once");
    let asked = Instant::now();
    host.ask_to_end();
    assert_eq!(host.wait_for_end().code(), Some(1));
    assert!(asked.elapsed() < Duration::from_secs(5));
    host.restart();
    assert_eq!(
        host.get(&large().url_path("zip")).expect_body(),
        large().zip()
    );
}
