//! What neighbours cost and spare: a small file that a warm neighbour has, and how long it takes until upstream is asked for one that
//! nobody has.
//!
//! The hosts are namespaces on one switch. B asks for the `.mod` of one module after the other, each for the first time: record,
//! proof and file. The client is plain HTTP over one connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use harness::lab::{Forbidden, Lab};
use harness::{FakeUpstream, HostOptions, Module, TestHost, TestLog};
use serde::Serialize;

use crate::figures::{self, Figures};

/// Milliseconds until a file has come from a warm neighbour: of half of them, and of 99 in a hundred.
const FROM_NEIGHBOUR_MS: (f64, f64) = (1.0, 5.0);
/// The same until upstream is asked.
const UNTIL_UPSTREAM_MS: (f64, f64) = (2.0, 30.0);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Hosts; the first of them is warm, the last one asks.
    #[arg(long, default_value_t = 3)]
    hosts: u8,
    /// Files that are asked for, of each kind.
    #[arg(long, default_value_t = 300)]
    files: usize,
    /// Writes all figures to this file.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    hosts: u8,
    files: usize,
    held: bool,
    figures: Vec<Figures>,
}

/// Whether all bounds held.
///
/// # Panics
/// When a host does not start, or a file does not come.
pub(crate) fn measure(options: &Options) -> Result<bool, Forbidden> {
    let all: Vec<u8> = (0..options.hosts).collect();
    let lab = Lab::with_upstream(options.hosts, &all)?;
    let listen = SocketAddr::from((lab.upstream().address(), 80));
    let log = TestLog::new("sumdb.example.test");
    let upstream = FakeUpstream::start_in(lab.upstream().place(), listen, log);
    let (warm, cold) = (
        modules(&upstream, options, "warm"),
        modules(&upstream, options, "cold"),
    );
    let mut hosts: Vec<TestHost> = Vec::new();
    let mut known: Vec<String> = Vec::new();
    for number in 0..usize::from(options.hosts) {
        let on = lab.host(number);
        let host = HostOptions::new(&format!("host-{number}"))
            .in_place(on.place())
            .upstream(&upstream.url())
            .sumdb(&upstream.sumdb())
            .peer_listen(&format!("{}:8485", on.address()));
        let host = known.iter().fold(host, |host, peer| host.peer(peer));
        hosts.push(host.start());
        known.push(format!("/ip4/{}/tcp/8485", on.address()));
    }
    let others = u64::from(options.hosts) - 1;
    hosts
        .iter()
        .for_each(|host| host.wait_for_neighbours(others));
    let (first, last) = (&hosts[0], &hosts[hosts.len() - 1]);
    warm.iter()
        .for_each(|path| drop(first.get(path).expect_body()));
    let before = upstream.requests().len();
    let from_neighbour = ask_all(last, &warm);
    assert_eq!(
        upstream.requests().len(),
        before,
        "somebody asked the upstream"
    );
    let from_neighbour = from_neighbour.into_iter().map(|(_, took)| took).collect();
    let asked_at = ask_all(last, &cold);
    let seen = upstream.requests();
    let until_upstream = cold.iter().zip(asked_at).map(|(path, (began, _))| {
        let seen = seen.iter().find(|seen| seen.path == *path).unwrap();
        seen.at.saturating_duration_since(began).as_secs_f64() * 1000.0
    });
    let until_upstream: Vec<f64> = until_upstream.collect();
    let within = |name, values, (median, p99)| {
        let figures = Figures::of(name, "ms", values);
        figures
            .quantile_at_most(0.5, median)
            .quantile_at_most(0.99, p99)
    };
    let figures = vec![
        within(
            "a small file, new here, from a warm neighbour",
            from_neighbour,
            FROM_NEIGHBOUR_MS,
        ),
        within(
            "until upstream is asked for one that nobody has",
            until_upstream,
            UNTIL_UPSTREAM_MS,
        ),
    ];
    figures::print_all(&figures);
    let held = figures.iter().all(Figures::held);
    let report = Report {
        hosts: options.hosts,
        files: options.files,
        held,
        figures,
    };
    figures::write(&report, options.json.as_ref());
    Ok(held)
}

fn modules(upstream: &FakeUpstream, options: &Options, name: &str) -> Vec<String> {
    let modules = (0..options.files).map(|number| {
        let module = Module::package(&format!("example.com/{name}{number}"), "v1.0.0");
        upstream.publish(&module);
        module.url_path("mod")
    });
    modules.collect()
}

/// Asks for one after the other over one connection, as `go` does: when each was asked for, and how many milliseconds it took.
fn ask_all(host: &TestHost, paths: &[String]) -> Vec<(Instant, f64)> {
    let (address, paths) = (host.url().replace("http://", ""), paths.to_vec());
    host.place().run(move || {
        let stream = TcpStream::connect(&address).expect("the daemon");
        stream.set_nodelay(true).expect("a socket option");
        let mut reader = BufReader::new(stream);
        let walls = paths.iter().map(|path| {
            let question = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
            let began = Instant::now();
            reader.get_mut().write_all(question.as_bytes()).unwrap();
            let (mut line, mut length) = (String::new(), 0);
            reader.read_line(&mut line).expect("an answer");
            assert!(line.starts_with("HTTP/1.1 200"), "{path}: {line}");
            loop {
                line.clear();
                reader.read_line(&mut line).expect("a head");
                let lower = line.to_ascii_lowercase();
                if let Some(bytes) = lower.strip_prefix("content-length:") {
                    length = bytes.trim().parse().expect("a length");
                }
                if line == "\r\n" {
                    break;
                }
            }
            reader.read_exact(&mut vec![0; length]).expect("a body");
            (began, began.elapsed().as_secs_f64() * 1000.0)
        });
        walls.collect()
    })
}
