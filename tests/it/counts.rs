//! What `status` and the metrics count, under load: the same as all clients together saw.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use harness::{FakeUpstream, Module, TestHost};

use crate::scene::{neighbour_of, online};

const CLIENTS: usize = 16;
const MODULES: usize = 12;

fn modules() -> Vec<Module> {
    (0..MODULES)
        .map(|number| {
            let path = format!("example.com/m{number}");
            Module::package(&path, "v1.0.0").bulk("noise.bin", 30_000 + 10_000 * number)
        })
        .collect()
}

/// What clients saw: answers by kind, source and status, and bytes of bodies by source.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    answers: BTreeMap<(String, String, String), u64>,
    bytes: BTreeMap<String, u64>,
}

/// What is asked for of one module: the kind, the method, the path, and a range.
fn questions(
    module: &Module,
    database: &str,
) -> Vec<(&'static str, &'static str, String, &'static str)> {
    let file = |extension: &str| module.url_path(extension);
    vec![
        // First, so that nobody has proved the record before.
        (
            "sumdb",
            "GET",
            format!("{database}/lookup/{}", module.name()),
            "",
        ),
        ("info", "GET", file("info"), ""),
        ("mod", "GET", file("mod"), ""),
        ("zip", "GET", file("zip"), ""),
        ("zip", "HEAD", file("zip"), ""),
        ("zip", "GET", file("zip"), "bytes=100-5099"),
        ("zip", "GET", file("zip"), "bytes=99999999-"),
        ("mod", "GET", format!("{}/@v/v1.9.9.mod", module.path()), ""),
        ("list", "GET", format!("{}/@v/list", module.path()), ""),
        ("list", "HEAD", format!("{}/@v/list", module.path()), ""),
        ("latest", "GET", format!("{}/@latest", module.path()), ""),
        ("sumdb", "GET", format!("{database}/tile/8/0/000"), ""),
        ("sumdb", "GET", format!("{database}/latest"), ""),
    ]
}

/// Asks everything from many clients at once, each in an order of its own.
fn load(host: &TestHost, modules: &[Module], database: &str) -> Seen {
    let seen = Mutex::new(Seen::default());
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let seen = &seen;
            scope.spawn(move || {
                for turn in 0..modules.len() {
                    let module = &modules[(turn + client) % modules.len()];
                    for (kind, method, path, range) in questions(module, database) {
                        let mut request = host.request(&path).method(method);
                        if !range.is_empty() {
                            request = request.header("Range", range);
                        }
                        let answer = request.send().unwrap();
                        assert!(answer.complete, "{path}");
                        let source = answer.header("x-modmesh-source").to_owned();
                        let mut seen = seen.lock().unwrap();
                        *seen.bytes.entry(source.clone()).or_default() += answer.body.len() as u64;
                        let labels = (kind.to_owned(), source, answer.status.to_string());
                        *seen.answers.entry(labels).or_default() += 1;
                    }
                }
            });
        }
        // Whoever looks meanwhile sees numbers that only grow.
        let mut before = 0;
        for _ in 0..20 {
            let now = traffic(host).values().sum::<u64>();
            assert!(now >= before, "{now} after {before}");
            before = now;
        }
    });
    seen.into_inner().unwrap()
}

/// Bytes of bodies by source, as `status` has them.
fn traffic(host: &TestHost) -> BTreeMap<String, u64> {
    let status = host.status();
    [
        ("store", "store"),
        ("peer", "peers"),
        ("upstream", "upstream"),
    ]
    .into_iter()
    .map(|(source, name)| {
        let bytes = status["traffic"][format!("from_{name}_bytes")].as_u64();
        (source.to_owned(), bytes.unwrap())
    })
    .collect()
}

#[track_caller]
fn expect_true(host: &TestHost, seen: &Seen) {
    for ((kind, source, code), count) in &seen.answers {
        let labels = [("kind", &**kind), ("source", &**source), ("code", &**code)];
        let counted = host.metric("modmesh_http_requests_total", &labels);
        assert_eq!(counted, *count as f64, "{labels:?} of {seen:#?}");
    }
    for kind in ["info", "mod", "zip", "list", "latest", "sumdb"] {
        let of_kind = seen.answers.iter().filter(|((of, _, _), _)| of == kind);
        let count: u64 = of_kind.map(|(_, count)| count).sum();
        let counted = host.metric("modmesh_http_requests_total", &[("kind", kind)]);
        assert_eq!(counted, count as f64, "{kind}");
    }
    for (source, counted) in traffic(host) {
        let bytes = seen.bytes.get(&source).copied().unwrap_or_default();
        assert_eq!(counted, bytes, "{source}: {seen:#?}");
    }
}

#[test]
fn what_is_counted_is_what_clients_saw() {
    let modules = modules();
    let upstream = FakeUpstream::start(modules.clone());
    upstream.log(|log| log.pad_to(300));
    let database = format!("sumdb/{}", upstream.log(|log| log.name().to_owned()));
    let first = online("A", &upstream).start();
    let seen = load(&first, &modules, &database);
    expect_true(&first, &seen);
    let labels = |kind: &str, source: &str| (kind.to_owned(), source.to_owned(), "200".to_owned());
    assert!(seen.answers[&labels("sumdb", "upstream")] > 0, "{seen:#?}");
    assert!(seen.answers[&labels("sumdb", "store")] > 0, "{seen:#?}");

    let second = neighbour_of(&first, &upstream);
    let seen = load(&second, &modules, &database);
    expect_true(&second, &seen);
    assert!(seen.answers[&labels("sumdb", "peer")] > 0, "{seen:#?}");
    assert_eq!(seen.bytes.get("upstream"), None, "{seen:#?}");
}
