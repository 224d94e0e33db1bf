//! The front door: what `go` and other HTTP clients get from a host, byte for byte and status for status.

use std::time::Duration;

use harness::{FakeUpstream, Fault, Kind, Module};

use crate::scene::{hello, online};

#[test]
fn files_come_with_their_types_lengths_tags_and_source() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    let path = hello().url_path("zip");
    let cold = host.get(&path);
    assert_eq!(cold.header("content-type"), "application/zip");
    assert_eq!(cold.header("x-modmesh-source"), "upstream");
    assert_eq!(
        cold.header("content-length"),
        hello().zip().len().to_string()
    );
    let tag = cold.header("etag").to_owned();
    assert_eq!(cold.expect_body(), hello().zip());

    let warm = host.get(&path);
    assert_eq!(warm.header("x-modmesh-source"), "store");
    assert_eq!(warm.header("etag"), tag);
    assert_eq!(warm.expect_body(), hello().zip());

    let head = host.request(&path).method("HEAD").send().unwrap();
    assert_eq!(
        head.header("content-length"),
        hello().zip().len().to_string()
    );
    assert_eq!((head.status, head.body.len()), (200, 0));

    let part = host
        .request(&path)
        .header("range", "bytes=100-199")
        .send()
        .unwrap();
    assert_eq!(
        (part.status, part.body.as_slice()),
        (206, &hello().zip()[100..200])
    );
    let same = host
        .request(&path)
        .header("if-none-match", &tag)
        .send()
        .unwrap();
    assert_eq!((same.status, same.body.len()), (304, 0));
}

#[test]
fn a_go_mod_does_not_wait_for_a_zip_and_brings_none() {
    let large = Module::package("example.com/large", "v1.0.0").bulk("noise.bin", 20 << 20);
    let upstream = FakeUpstream::start([large.clone()]);
    upstream.fault("*.zip", Fault::Hang);
    let mut host = online("A", &upstream).start();
    assert_eq!(
        host.get(&large.url_path("mod")).expect_body(),
        large.go_mod()
    );
    // Whatever it might have begun beside the answer would be under way now, and would keep it from ending.
    assert!(host.stop().success());
    assert_eq!(upstream.traffic(Kind::Zip).requests, 0);
    let bytes = upstream.traffic_of_all().bytes;
    assert!(bytes < 10_000, "{bytes} bytes crossed the line");
}

#[test]
fn many_clients_that_ask_at_once_cost_one_download() {
    let upstream = FakeUpstream::start([hello()]);
    let held = upstream.hold("*.zip");
    let host = online("A", &upstream).start();
    std::thread::scope(|clients| {
        let asking: Vec<_> = (0..8)
            .map(|_| clients.spawn(|| host.get(&hello().url_path("zip")).expect_body()))
            .collect();
        upstream.wait_for("*.zip", 1, Duration::from_secs(10));
        held.release();
        for client in asking {
            assert_eq!(client.join().unwrap(), hello().zip());
        }
    });
    assert_eq!(upstream.traffic(Kind::Zip).requests, 1);
}

#[test]
fn a_client_that_goes_away_does_not_end_the_download_that_it_began() {
    let upstream = FakeUpstream::start([hello()]);
    let held = upstream.hold("*.zip");
    let host = online("A", &upstream).start();
    let request = host.request(&hello().url_path("zip"));
    request
        .within(Duration::from_millis(500))
        .send()
        .unwrap_err();
    held.release();
    host.wait_until("the zip is in the store", |host| {
        host.status()["store"]["blobs"] == 1
    });
    assert_eq!(
        host.get(&hello().url_path("zip"))
            .header("x-modmesh-source"),
        "store"
    );
    assert_eq!(upstream.traffic(Kind::Zip).requests, 1);
}

#[test]
fn upper_case_letters_are_found_under_every_spelling_that_go_uses() {
    let module = Module::package("example.com/Upper", "v1.0.0");
    let upstream = FakeUpstream::start([module.clone()]);
    let host = online("A", &upstream).start();
    for path in [
        "example.com/!upper/@v/v1.0.0.mod",
        "example.com/%21upper/@v/v1.0.0.mod",
    ] {
        assert_eq!(host.get(path).expect_body(), module.go_mod(), "{path}");
    }
    for path in [
        "example.com/Upper/@v/v1.0.0.mod",
        "example.com/%2521upper/@v/v1.0.0.mod",
    ] {
        assert_ne!(host.get(path).status, 200, "{path}");
    }
    let go = host.go(&upstream.sumdb());
    go.download("example.com/Upper@v1.0.0").expect_success();
}

#[test]
fn the_words_of_an_upstream_pass_unchanged_but_not_its_html() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    let path = hello().url_path("zip");
    for status in [403, 404, 410, 500] {
        upstream.fault(
            &path,
            Fault::status(status, "blocked by the licence office"),
        );
        let host = online("fresh", &upstream).start();
        let answer = host.get(&path);
        assert_eq!(answer.status, status);
        assert_eq!(answer.text().trim_end(), "blocked by the licence office");
    }
    upstream.fault("*", Fault::html());
    let info = host.get(&hello().url_path("info"));
    assert!(info.status >= 500, "{}: {}", info.status, info.text());
    assert!(!info.text().contains('<'), "{}", info.text());
}

#[test]
fn the_list_of_an_existing_module_without_versions_is_empty_and_an_unknown_one_is_404() {
    let upstream = FakeUpstream::start([
        hello(),
        Module::package("example.com/young", "v0.0.0-20240102030405-0123456789ab"),
    ]);
    let host = online("A", &upstream).start();
    assert_eq!(host.get("example.com/young/@v/list").expect_body(), b"");
    assert_eq!(host.get("example.com/nothing/@v/list").status, 404);
    assert_eq!(
        host.get("example.com/hello/@v/list")
            .expect_body()
            .trim_ascii(),
        b"v1.0.0"
    );
    let latest = host.get("example.com/young/@latest").expect_body();
    assert!(String::from_utf8(latest).unwrap().contains("0123456789ab"));
}

#[test]
fn bodies_that_upstream_cuts_or_forges_are_never_completed() {
    let upstream = FakeUpstream::start([hello()]);
    let path = hello().url_path("zip");
    let faults = harness::ZipLie::ALL
        .map(|lie| Fault::body(hello().lying_zip(lie)))
        .into_iter()
        .chain([Fault::Cut(50_000), Fault::Length(1000), Fault::html()]);
    let host = online("A", &upstream).start();
    for fault in faults {
        let what = format!("{fault:.200?}");
        upstream.fault(&path, fault);
        let answer = host.request(&path).send();
        if let Ok(answer) = answer {
            assert!(answer.status != 200 || !answer.complete, "{what:.200}");
        }
    }
    upstream.heal();
    host.wait_until("the true zip comes through", |host| {
        let answer = host.get(&path);
        answer.status == 200 && answer.body == hello().zip()
    });
}

#[test]
fn web_pages_and_foreign_names_are_turned_away() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    let path = hello().url_path("mod");
    let status = |name: &str, value: &str| {
        host.request(&path)
            .header(name, value)
            .send()
            .unwrap()
            .status
    };
    assert_eq!(status("host", "evil.example"), 421);
    assert_eq!(status("origin", "http://evil.example"), 403);
    assert_eq!(status("sec-fetch-site", "cross-site"), 403);
    assert_eq!(status("sec-fetch-site", "none"), 200);
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(
            host.request(&path).method(method).send().unwrap().status,
            405
        );
    }
}

#[test]
fn paths_that_lead_out_of_the_tree_lead_nowhere() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    for path in [
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "example.com/../../@v/v1.0.0.zip",
        "example.com//hello/@v/v1.0.0.zip",
        "example.com%2fhello/@v/v1.0.0.zip",
        "example.com/hello/@v/..%2f..%2flock.zip",
        "example.com/hello/@v/v1.0.0.zip.proof",
        "example.com/hello/@v/%00.info",
        "store/example.com/hello/@v/v1.0.0.zip",
    ] {
        let answer = host.get(path);
        assert!(
            (400..500).contains(&answer.status),
            "{path}: {}",
            answer.status
        );
    }
}

#[test]
fn status_and_metrics_hold_the_names_that_others_script_against() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    host.get(&hello().url_path("zip")).expect_body();
    assert_eq!(host.get("healthz").status, 200);
    assert_eq!(host.get("readyz").status, 200);
    let status = host.status();
    for pointer in [
        "/version",
        "/peer_id",
        "/peer_addrs/0",
        "/listen",
        "/state_dir",
        "/uptime_seconds",
        "/offline",
        "/upstream/0/url",
        "/upstream/0/state",
        "/sumdb/0/name",
        "/sumdb/0/tree_size",
        "/sumdb/0/records",
        "/store/bytes",
        "/store/limit_bytes",
        "/store/blobs",
        "/store/module_versions",
        "/traffic/from_store_bytes",
        "/traffic/from_peers_bytes",
        "/traffic/from_upstream_bytes",
        "/traffic/to_peers_bytes",
        "/peers/connected",
        "/peers/members",
    ] {
        assert!(status.pointer(pointer).is_some(), "{pointer} in {status:#}");
    }
    let metrics = host.get("metrics").text();
    for name in [
        "modmesh_http_requests_total",
        "modmesh_http_request_duration_seconds",
        "modmesh_upstream_requests_total",
        "modmesh_upstream_received_bytes_total",
        "modmesh_peer_received_bytes_total",
        "modmesh_peer_sent_bytes_total",
        "modmesh_peers",
        "modmesh_store_bytes",
        "modmesh_store_blobs",
        "modmesh_sumdb_tree_size",
    ] {
        let sample = |line: &str| line.starts_with(name);
        assert!(metrics.lines().any(sample), "{name} in\n{metrics}");
    }
    let labels = [("kind", "zip"), ("source", "upstream"), ("code", "200")];
    assert_eq!(host.metric("modmesh_http_requests_total", &labels), 1.0);
}

#[test]
fn a_host_ends_in_order_when_it_is_asked_to() {
    let upstream = FakeUpstream::start([hello()]);
    let mut host = online("A", &upstream).start();
    host.get(&hello().url_path("zip")).expect_body();
    assert!(host.stop().success(), "{}", host.log());
    host.restart();
    assert_eq!(
        host.get(&hello().url_path("zip"))
            .header("x-modmesh-source"),
        "store"
    );
}
