//! Hot beside cold: how long small files of the store take while many large ones are on their way from upstream.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use harness::{FakeUpstream, Fault, HostOptions, Module, TestHost};

use crate::figures::Figures;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Cold downloads at a time.
    #[arg(long, default_value_t = 40)]
    cold: usize,
    /// Seconds that each of them takes.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Rounds, each without cold downloads and then with them.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Bytes of a cold zip.
const ZIP_BYTES: usize = 2_000_000;
/// A client asks again this long after its last answer: four of them put a thousand questions a second at most.
const BREATH: Duration = Duration::from_millis(4);
const CLIENTS: usize = 4;

fn cold(round: usize, number: usize) -> Module {
    Module::package(&format!("example.com/cold{round}x{number}"), "v1.0.0")
        .bulk("noise.bin", ZIP_BYTES)
}

pub(crate) fn measure(options: &Options) {
    let hot = Module::package("example.com/hot", "v1.0.0");
    let all = (0..options.rounds)
        .flat_map(|round| (0..options.cold).map(move |number| cold(round, number)))
        .chain([hot.clone()]);
    let upstream = FakeUpstream::start(all);
    let pace = (ZIP_BYTES as f64 / options.seconds) as u32;
    upstream.fault("*.zip", Fault::Trickle(pace));
    let host = HostOptions::new("A")
        .upstream(&upstream.url())
        .sumdb(&upstream.sumdb())
        .start();
    host.get(&hot.url_path("mod")).expect_body();
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let quiet = Duration::from_secs_f64(options.seconds);
        let before = Instant::now();
        alone.extend(ask(&host, &hot, || before.elapsed() >= quiet));
        let downloads: Vec<_> = (0..options.cold)
            .map(|number| {
                let request = host.request(&cold(round, number).url_path("zip"));
                thread::spawn(move || request.send().map(|answer| answer.status))
            })
            .collect();
        beside.extend(ask(&host, &hot, || {
            downloads.iter().all(|d| d.is_finished())
        }));
        for download in downloads {
            let status = download.join().expect("a download");
            assert_eq!(status.expect("an answer"), 200);
        }
    }
    println!(
        "a .mod of the store, {CLIENTS} clients, {} rounds; then while {} zips of {} MB come from upstream, {} s each",
        options.rounds,
        options.cold,
        ZIP_BYTES / 1_000_000,
        options.seconds
    );
    Figures::print_header();
    for (name, values) in [("alone", alone), ("beside the cold", beside)] {
        let worst = values.iter().copied().fold(0.0, f64::max);
        Figures::of(name, "ms", values.clone()).print();
        println!(
            "{name}: {} questions, the worst {worst:.3} ms",
            values.len()
        );
    }
}

/// Milliseconds of each question, from all clients, until `over`.
fn ask(host: &TestHost, hot: &Module, over: impl Fn() -> bool) -> Vec<f64> {
    let end = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| one_client(host, hot, &end)))
            .collect();
        while !over() {
            thread::sleep(Duration::from_millis(5));
        }
        end.store(true, std::sync::atomic::Ordering::Relaxed);
        let walls = clients
            .into_iter()
            .map(|client| client.join().expect("a client"));
        walls.flatten().collect()
    })
}

/// A client that keeps its connection, as `go` does.
fn one_client(host: &TestHost, hot: &Module, end: &std::sync::atomic::AtomicBool) -> Vec<f64> {
    let address = host.url().replace("http://", "");
    let stream = TcpStream::connect(&address).expect("the daemon");
    stream.set_nodelay(true).expect("a socket option");
    let mut reader = BufReader::new(stream);
    let question = format!(
        "GET /{} HTTP/1.1\r\nHost: {address}\r\n\r\n",
        hot.url_path("mod")
    );
    let mut walls = Vec::new();
    while !end.load(std::sync::atomic::Ordering::Relaxed) {
        let started = Instant::now();
        reader
            .get_mut()
            .write_all(question.as_bytes())
            .expect("a question");
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a head");
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().expect("a length");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        walls.push(started.elapsed().as_secs_f64() * 1e3);
        assert_eq!(body, hot.go_mod());
        thread::sleep(BREATH);
    }
    walls
}
