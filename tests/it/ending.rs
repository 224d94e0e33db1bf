//! The end: a host that is told to end finishes what it is sending, or cuts it before its end, and never takes long.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{FakeUpstream, Fault, Module, TestHost};

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

#[test]
fn an_end_that_no_signal_began_is_told_and_a_signal_ends_it_at_once() {
    let upstream = FakeUpstream::start([large()]);
    let folder = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    let mut host = online("A", &upstream)
        .variable(
            "NOTIFY_SOCKET",
            &folder.path().join("notify").display().to_string(),
        )
        .start();
    host.get(&large().url_path("zip")).expect_body();
    let _client = Client::start(&host, &large().url_path("zip"));
    let stop = "POST /v1/stop HTTP/1.1\r\nHost: modmesh\r\n\r\n";
    let answer = host.at_back_door(stop);
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    manager.set_read_timeout(Some(END_DEADLINE)).unwrap();
    loop {
        let mut bytes = [0; 4096];
        let length = manager.recv(&mut bytes).expect("a word of the end");
        if String::from_utf8_lossy(&bytes[..length]).contains("STOPPING=1") {
            break;
        }
    }
    // A body that nobody takes holds the end up.
    host.ask_to_end();
    assert_eq!(host.wait_for_end().code(), Some(1), "{}", host.log());
}

/// What a client makes of its body after the end was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Quick,
    /// It takes longer than the host may.
    Slow,
    Never,
}

impl Reader {
    fn read(self, mut client: Client, ended: &AtomicBool) -> Vec<u8> {
        while self != Self::Quick && !ended.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(50));
            let mut piece = vec![0; 64 << 10];
            if self == Self::Slow
                && let Ok(bytes) = client.stream.read(&mut piece)
            {
                client.body.extend_from_slice(&piece[..bytes]);
            }
        }
        client.take_the_rest()
    }
}

#[test]
fn an_end_in_the_middle_of_many_large_bodies_leaves_nothing_false() {
    let kept = Module::package("example.com/kept", "v1.0.0").bulk("noise.bin", 20 << 20);
    let coming: Vec<_> = (0..4)
        .map(|number| {
            let path = format!("example.com/coming{number}");
            Module::package(&path, "v1.0.0").bulk("noise.bin", 20 << 20)
        })
        .collect();
    let upstream = FakeUpstream::start(coming.iter().cloned().chain([kept.clone()]));
    let mut host = online("A", &upstream).start();
    host.get(&kept.url_path("zip")).expect_body();
    let readers = [Reader::Quick, Reader::Slow, Reader::Never].repeat(4);
    let clients: Vec<_> = readers
        .into_iter()
        .map(|reader| (reader, Client::start(&host, &kept.url_path("zip"))))
        .collect();
    // These are in the middle of what upstream sends, at 2 MB/s.
    upstream.fault("*.zip", Fault::Trickle(2 << 20));
    let waiting: Vec<_> = coming
        .iter()
        .map(|module| {
            let request = host.request(&module.url_path("zip"));
            std::thread::spawn(move || request.send())
        })
        .collect();
    upstream.wait_for_bytes("*/coming*.zip", 4 << 20, Duration::from_secs(20));

    let (truth, ended) = (kept.zip(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reading: Vec<_> = clients
            .into_iter()
            .map(|(reader, client)| {
                let ended = &ended;
                (reader, scope.spawn(move || reader.read(client, ended)))
            })
            .collect();
        let asked = Instant::now();
        host.ask_to_end();
        let status = host.wait_for_end();
        let took = asked.elapsed();
        ended.store(true, Ordering::Release);
        assert_eq!(status.code(), Some(0), "{}", host.log());
        assert!(took < END_DEADLINE, "{took:?}");
        for (reader, reading) in reading {
            let body = reading.join().unwrap();
            assert!(truth.starts_with(&body), "{reader:?}: {} bytes", body.len());
            assert_eq!(
                body.len() == truth.len(),
                reader == Reader::Quick,
                "{reader:?}: {} of {}",
                body.len(),
                truth.len()
            );
        }
    });
    for waiting in waiting {
        let answer = waiting.join().unwrap();
        let is_whole = answer.is_ok_and(|answer| answer.status == 200 && answer.complete);
        assert!(!is_whole, "nobody could have the whole of it yet");
    }
    assert!(!host.state().join("session").exists());

    upstream.heal();
    host.restart();
    assert_eq!(staging(&host), Vec::<String>::new());
    assert_eq!(host.get(&kept.url_path("zip")).expect_body(), truth);
    for module in &coming {
        let body = host.get(&module.url_path("zip")).expect_body();
        assert_eq!(body, module.zip(), "{}", module.name());
    }
    let counted = host.metric("modmesh_store_quarantined_total", &[]);
    assert_eq!(counted, 0.0, "{}", host.log());
}
