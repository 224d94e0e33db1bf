//! The size limit: what was asked for longest ago goes first, whole, and can be had again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::{FakeUpstream, Kind, Module, RawConnection, TestHost};

use crate::scene::{online, stored};

/// Zips of 300 kB, of which three fit into 1 MB.
fn modules() -> [Module; 5] {
    [1, 2, 3, 4, 5].map(|number| {
        Module::package(&format!("example.com/m{number}"), "v1.0.0").bulk("noise.bin", 300_000)
    })
}

fn limited(upstream: &FakeUpstream) -> TestHost {
    online("A", upstream)
        .argument("--store-limit")
        .argument("1MB")
        .start()
}

#[track_caller]
fn zip(host: &TestHost, module: &Module) {
    let answer = host.get(&module.url_path("zip"));
    assert_eq!(answer.expect_body(), module.zip(), "{}", module.name());
}

/// The numbers of those modules whose zip is here.
fn here(host: &TestHost) -> Vec<usize> {
    let is_here = |module: &Module| stored(host, module, "zip").exists();
    (1..)
        .zip(modules())
        .filter(|(_, module)| is_here(module))
        .map(|(number, _)| number)
        .collect()
}

/// Every body has its proof, every proof its body, and their sum is what the host says and within its limit.
#[track_caller]
fn expect_nothing_half(host: &TestHost) {
    let mut bytes = 0;
    let mut folders = vec![host.state().join("store")];
    let extension = |path: &Path| path.extension().unwrap_or_default().to_os_string();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if extension(&path) == "proof" {
                assert!(path.with_extension("").exists(), "{}", path.display());
            } else if extension(&path) == "zip" || extension(&path) == "mod" {
                let proof = format!("{}.proof", path.display());
                assert!(fs::exists(&proof).unwrap(), "{proof}");
                bytes += fs::metadata(&path).unwrap().len();
            }
        }
    }
    let store = host.status()["store"].clone();
    assert_eq!(store["bytes"], bytes, "{store:#}");
    assert!(bytes <= store["limit_bytes"].as_u64().unwrap(), "{store:#}");
    assert_eq!(host.metric("modmesh_store_bytes", &[]), bytes as f64);
}

#[test]
fn what_was_asked_for_longest_ago_goes_first_and_is_fetched_again_when_asked_for() {
    let all = modules();
    let upstream = FakeUpstream::start(all.clone());
    let host = limited(&upstream);
    for module in &all[..3] {
        zip(&host, module);
    }
    assert_eq!(here(&host), [1, 2, 3]);
    zip(&host, &all[0]);
    zip(&host, &all[3]);
    assert_eq!(here(&host), [1, 3, 4]);
    assert_eq!(host.metric("modmesh_store_evicted_total", &[]), 1.0);
    expect_nothing_half(&host);

    upstream.forget();
    let again = host.get(&all[1].url_path("zip"));
    assert_eq!(again.header("x-modmesh-source"), "upstream");
    assert_eq!(again.expect_body(), all[1].zip());
    assert_eq!(upstream.traffic(Kind::Zip).requests, 1);
    assert_eq!(here(&host), [1, 2, 4]);
    expect_nothing_half(&host);
}

#[test]
fn the_order_outlives_a_clean_end() {
    let all = modules();
    let upstream = FakeUpstream::start(all.clone());
    let mut host = limited(&upstream);
    for module in &all[..3] {
        zip(&host, module);
    }
    zip(&host, &all[0]);
    assert!(host.stop().success());
    host.restart();
    zip(&host, &all[4]);
    assert_eq!(here(&host), [1, 3, 5]);
    expect_nothing_half(&host);
}

#[test]
fn a_file_larger_than_the_limit_is_served_and_is_all_that_stays() {
    let large = Module::package("example.com/large", "v1.0.0").bulk("noise.bin", 2_000_000);
    let all = modules();
    let upstream = FakeUpstream::start(all.clone());
    upstream.publish(&large);
    let host = limited(&upstream);
    zip(&host, &all[0]);
    zip(&host, &large);
    assert_eq!(here(&host), Vec::<usize>::new());
    zip(&host, &all[1]);
    assert_eq!(here(&host), [2]);
    expect_nothing_half(&host);
}

#[test]
fn a_host_that_is_given_a_lower_limit_keeps_to_it() {
    let all = modules();
    let upstream = FakeUpstream::start(all.clone());
    let mut host = online("A", &upstream).start();
    for module in &all[..4] {
        zip(&host, module);
    }
    assert!(host.stop().success());
    host.restart_with(|options| options.argument("--store-limit").argument("1MB"));
    zip(&host, &all[4]);
    assert_eq!(here(&host), [3, 4, 5]);
    expect_nothing_half(&host);
}

#[test]
fn what_is_being_read_is_read_to_its_end_while_eviction_takes_it() {
    let large = Module::package("example.com/large", "v1.0.0").bulk("noise.bin", 12_000_000);
    let all = modules();
    let upstream = FakeUpstream::start(all.clone());
    upstream.publish(&large);
    let host = online("A", &upstream)
        .argument("--store-limit")
        .argument("13MB")
        .start();
    zip(&host, &large);
    // A reader that has taken the beginning; the buffers between it and the host are full long before the end.
    let address = host.url().trim_start_matches("http://").to_owned();
    let mut reader = RawConnection::open(&address);
    let path = large.url_path("zip");
    reader.send(format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    host.wait_until("the reader has some of it", |host| {
        host.status()["traffic"]["from_store_bytes"].as_u64() > Some(100_000)
    });
    for module in &all {
        zip(&host, module);
    }
    assert!(!stored(&host, &large, "zip").exists());
    let read = host.status()["traffic"]["from_store_bytes"].clone();
    assert!(read.as_u64() < Some(12_000_000), "{read} were read at once");
    let answer = reader.answer().unwrap();
    assert_eq!(
        (answer.status, answer.header("x-modmesh-source")),
        (200, "store")
    );
    assert!(answer.body == large.zip());
    expect_nothing_half(&host);
}

#[test]
fn many_downloads_at_once_that_do_not_fit_together_all_come_whole() {
    let all: Vec<Module> = (0..24)
        .map(|number| {
            let path = format!("example.com/many{number}");
            Module::package(&path, "v1.0.0").bulk("noise.bin", 300_000)
        })
        .collect();
    let upstream = FakeUpstream::start(all.clone());
    let host = limited(&upstream);
    // They arrive together, so that each is evicted by the next as soon as it is there.
    for _ in 0..4 {
        let held = upstream.hold("*.zip");
        std::thread::scope(|clients| {
            for module in &all {
                clients.spawn(|| zip(&host, module));
            }
            upstream.wait_for("*.zip", 1, Duration::from_secs(10));
            held.release();
        });
        upstream.heal();
    }
    expect_nothing_half(&host);
    assert!(host.metric("modmesh_store_evicted_total", &[]) >= 20.0);
}

#[test]
fn what_is_asked_for_again_and_again_outlives_what_passes_through() {
    let favourite = Module::package("example.com/favourite", "v1.0.0").bulk("noise.bin", 300_000);
    let passing: Vec<Module> = (0..20)
        .map(|number| {
            let path = format!("example.com/passing{number}");
            Module::package(&path, "v1.0.0").bulk("noise.bin", 300_000)
        })
        .collect();
    let upstream = FakeUpstream::start(passing.clone());
    upstream.publish(&favourite);
    let host = limited(&upstream);
    zip(&host, &favourite);
    for module in &passing {
        zip(&host, module);
        zip(&host, &favourite);
    }
    let asked = upstream.traffic_of(&favourite.url_path("zip"));
    assert_eq!(asked.requests, 1);
    expect_nothing_half(&host);
}
