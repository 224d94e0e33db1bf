//! What stands in the answers: types, bytes, sources, ages, names and addresses that others script against.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use harness::{FakeUpstream, Fault, HostOptions, Module, TestHost};
use serde_json::Value;

use crate::scene::{hello, neighbour_of, online, stored};

const TEXT: &str = "text/plain; charset=UTF-8";
const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

#[test]
fn every_endpoint_has_its_type() {
    let upstream = FakeUpstream::start([hello()]);
    upstream.log(|log| log.pad_to(300));
    let host = online("A", &upstream).start();
    let database = format!("sumdb/{}", upstream.log(|log| log.name().to_owned()));
    let types = [
        (hello().url_path("info"), JSON),
        (hello().url_path("mod"), TEXT),
        (hello().url_path("zip"), "application/zip"),
        ("example.com/hello/@v/list".to_owned(), TEXT),
        ("example.com/hello/@latest".to_owned(), JSON),
        (format!("{database}/supported"), TEXT),
        (format!("{database}/lookup/example.com/hello@v1.0.0"), TEXT),
        (format!("{database}/latest"), TEXT),
        (format!("{database}/tile/8/0/000"), BYTES),
        ("healthz".to_owned(), TEXT),
        ("api/v1/status".to_owned(), JSON),
        ("api/v1/peers".to_owned(), JSON),
        (
            "metrics".to_owned(),
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ];
    for (path, content_type) in types {
        let answer = host.get(&path);
        assert_eq!(answer.header("content-type"), content_type, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(!answer.header("x-modmesh-source").is_empty(), "{path}");
        let length = answer.header("content-length").to_owned();
        assert_eq!(answer.expect_body().len().to_string(), length, "{path}");
    }
}

#[test]
fn an_info_passes_byte_for_byte_and_so_it_stays() {
    let odd = b"{ \"Time\" : \"2024-05-06T07:08:09Z\",\n\t\"Origin\":{\"VCS\":\"git\",\"Hash\":\"\\u00e4\"}, \"Version\":\"v1.0.0\" }\n";
    let upstream = FakeUpstream::start([hello()]);
    let path = hello().url_path("info");
    upstream.put(&path, odd.to_vec());
    let mut host = online("A", &upstream).start();
    let first = host.get(&path);
    assert_eq!(first.header("x-modmesh-source"), "upstream");
    assert_eq!(first.expect_body(), odd);
    upstream.close();
    host.restart();
    let later = host.get(&path);
    assert_eq!(later.header("x-modmesh-source"), "store");
    assert_eq!(later.header("age"), "");
    assert_eq!(later.expect_body(), odd);
}

/// Makes a kept answer an hour old.
fn age_by_an_hour(note: &Path) {
    let then = SystemTime::now() - Duration::from_secs(3600);
    let file = File::options().write(true).open(note).unwrap();
    file.set_modified(then).unwrap();
}

#[test]
fn a_list_the_latest_and_a_branch_are_served_stale_with_their_age_while_upstream_is_away() {
    let upstream = FakeUpstream::start([hello()]);
    upstream.put("example.com/hello/@v/main.info", hello().info());
    let host = online("A", &upstream).start();
    let notes = [
        "example.com/hello/@v/list",
        "example.com/hello/@latest",
        "example.com/hello/@v/main.info",
    ];
    let fresh = notes.map(|path| {
        let answer = host.get(path);
        assert_eq!(answer.header("age"), "", "{path}");
        answer.expect_body()
    });
    let expect_stale = |host: &TestHost| {
        for (path, fresh) in notes.into_iter().zip(&fresh) {
            age_by_an_hour(&host.state().join("store").join(path));
            let answer = host.get(path);
            assert_eq!(answer.header("x-modmesh-source"), "store", "{path}");
            let age: u64 = answer.header("age").parse().unwrap();
            assert!((3600..3700).contains(&age), "{path}: {age}");
            assert_eq!(&answer.expect_body(), fresh, "{path}");
        }
    };
    // There and in trouble, then away.
    upstream.fault("*", Fault::status(503, "closed for today"));
    expect_stale(&host);
    upstream.close();
    expect_stale(&host);

    upstream.heal();
    upstream.come_back();
    let newer = Module::package("example.com/hello", "v1.1.0");
    upstream.publish(&newer);
    host.wait_until("upstream is asked again", |host| {
        age_by_an_hour(&host.state().join("store").join(notes[0]));
        let list = host.get(notes[0]);
        list.header("age").is_empty() && list.text().contains("v1.1.0")
    });
}

#[test]
fn the_source_of_a_file_is_upstream_then_the_neighbour_then_the_store() {
    let upstream = FakeUpstream::start([hello()]);
    let first = online("A", &upstream).start();
    let second = neighbour_of(&first, &upstream);
    for extension in ["mod", "zip"] {
        let path = hello().url_path(extension);
        let sources = [(&first, "upstream"), (&second, "peer"), (&second, "store")];
        for (host, source) in sources {
            let answer = host.get(&path);
            assert_eq!(answer.header("x-modmesh-source"), source, "{path}");
            answer.expect_body();
            let counted = [("kind", extension), ("source", source), ("code", "200")];
            assert_eq!(host.metric("modmesh_http_requests_total", &counted), 1.0);
        }
    }
    assert_eq!(first.get("nowhere").header("x-modmesh-source"), "none");
}

/// The names in an object.
fn keys(value: &Value) -> BTreeSet<&str> {
    let object = value.as_object().unwrap_or_else(|| panic!("{value:#}"));
    object.keys().map(String::as_str).collect()
}

/// What `modmesh COMMAND --json` prints; it is what the daemon shows over HTTP.
#[track_caller]
fn shown(host: &TestHost, command: &str) -> Value {
    let output = host.modmesh(&[command, "--json"]).expect_success();
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

#[test]
fn status_and_peers_print_json_with_all_their_names() {
    let upstream = FakeUpstream::start([hello()]);
    let first = online("A", &upstream).start();
    first.get(&hello().url_path("zip")).expect_body();
    let second = neighbour_of(&first, &upstream);
    second.get(&hello().url_path("zip")).expect_body();

    let status = shown(&first, "status");
    let of = |text: &'static str| text.split(' ').collect::<BTreeSet<&str>>();
    assert!(keys(&status).is_superset(&of(
        "version peer_id peer_addrs listen listen_addrs state_dir uptime_seconds offline upstream sumdb store traffic peers notices"
    )));
    assert!(keys(&status["upstream"][0]).is_superset(&of("url state")));
    assert_eq!(status["upstream"][0]["state"], "up");
    assert!(keys(&status["sumdb"][0]).is_superset(&of("name tree_size records")));
    assert!(keys(&status["store"]).is_superset(&of("bytes limit_bytes blobs module_versions")));
    assert!(keys(&status["traffic"]).is_superset(&of(
        "from_store_bytes from_peers_bytes from_upstream_bytes to_peers_bytes"
    )));
    assert!(keys(&status["peers"]).is_superset(&of("connected members")));
    let zip_bytes = hello().zip().len() as u64;
    assert_eq!(status["traffic"]["from_upstream_bytes"], zip_bytes);
    assert!(status["traffic"]["to_peers_bytes"].as_u64() >= Some(zip_bytes));

    let peers = shown(&second, "peers");
    assert!(keys(&peers[0]).is_superset(&of(
        "peer_id addrs connected found_by member rtt_ms received_bytes sent_bytes last_error banned_until evidence"
    )));
    assert_eq!(peers[0]["peer_id"], first.peer_id());
    assert_eq!(peers[0]["connected"], true);
    assert_eq!(peers[0]["found_by"], "static");
    assert!(peers[0]["received_bytes"].as_u64() >= Some(zip_bytes));
    assert_eq!(shown(&first, "peers")[0]["found_by"], "inbound");
}

#[test]
fn files_that_do_not_pass_are_counted_by_who_gave_them() {
    let upstream = FakeUpstream::start([hello()]);
    upstream.put(
        &hello().url_path("zip"),
        hello().lying_zip(harness::ZipLie::Tampered),
    );
    let host = online("A", &upstream).start();
    let answer = host.get(&hello().url_path("zip"));
    assert_eq!(answer.status, 502);
    assert!(
        answer.text().contains(&hello().h1().to_string()),
        "{}",
        answer.text()
    );
    let failures = |from| host.metric("modmesh_verification_failures_total", &[("from", from)]);
    assert_eq!(failures("upstream"), 1.0);
    assert_eq!(failures("peer"), 0.0);
    assert!(!stored(&host, &hello(), "zip").exists());
}

#[test]
fn a_name_that_was_allowed_is_answered_to_and_no_other() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream)
        .argument("--allow-host")
        .argument("go.corp.example")
        .start();
    let status = |name: &str| {
        let request = host.request(&hello().url_path("mod"));
        request.header("host", name).send().unwrap().status
    };
    assert_eq!(status("go.corp.example"), 200);
    assert_eq!(status("GO.corp.example:80"), 200);
    assert_eq!(status("corp.example"), 421);
    assert_eq!(status("x.go.corp.example"), 421);
}

#[test]
fn a_host_serves_on_each_address_that_it_was_given() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream)
        .argument("--listen")
        .argument("127.0.0.1:0")
        .argument("--listen")
        .argument("127.0.0.2:0")
        .start();
    let status = host.status();
    let addresses = status["listen_addrs"].as_array().unwrap();
    assert_eq!(addresses.len(), 2, "{status:#}");
    assert_eq!(status["listen"], addresses[0]);
    for address in addresses {
        let address = address.as_str().unwrap();
        let url = format!("http://{address}/{}", hello().url_path("mod"));
        assert_eq!(harness::http::get(&url).expect_body(), hello().go_mod());
        assert!(
            host.printed().iter().any(|line| line.contains(address)),
            "{}",
            host.log()
        );
    }
}

#[test]
fn what_cannot_be_shared_is_said_at_start_and_in_status_with_the_remedy() {
    let upstream = FakeUpstream::start([hello()]);
    let off = HostOptions::new("A").upstream(&upstream.url()).start();
    off.wait_for_line("note: the checksum database is off");
    let status = off.modmesh(&["status"]).expect_success();
    assert!(status.stdout.contains("--sumdb"), "{status}");

    upstream.offer_sumdb(false);
    upstream.fault("sumdb/*", Fault::Drop);
    let host = online("B", &upstream).start();
    assert_eq!(host.status()["notices"], serde_json::json!([]));
    host.get(&hello().url_path("mod")).expect_body();
    let notices = host.status()["notices"].clone();
    let notice = notices[0].as_str().unwrap_or_default();
    assert!(notice.contains("could not be asked"), "{notices:#}");
    assert!(notice.contains("/sumdb/"), "{notices:#}");
    assert_eq!(host.metric("modmesh_pending_served_total", &[]), 1.0);

    // What is asked next finds the database there again.
    upstream.offer_sumdb(true);
    upstream.heal();
    host.wait_until("the database could be asked", |host| {
        host.get(&hello().url_path("zip"));
        host.get("sumdb/sumdb.example.test/lookup/example.com/hello@v1.0.0");
        host.status()["notices"] == serde_json::json!([])
    });
}
