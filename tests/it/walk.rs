//! The walk: what one host downloaded, its neighbour has, with the checksum database on and no upstream.

use harness::{FakeUpstream, Module};

use crate::scene::{damage, hello, neighbour_of, online, stored};

#[test]
fn what_one_host_downloaded_its_neighbour_gets_from_it_with_the_database_on() {
    let upstream = FakeUpstream::start([hello()]);
    let first = online("A", &upstream).start();
    first
        .go(&upstream.sumdb())
        .download("example.com/hello@v1.0.0")
        .expect_success();

    let second = neighbour_of(&first, &upstream);
    upstream.forget();
    let go = second.go(&upstream.sumdb());
    let output = go.download("example.com/hello@v1.0.0").expect_success();
    assert!(
        output.stdout.contains(&hello().h1().to_string()),
        "{output}"
    );
    assert_eq!(upstream.traffic_of_all().requests, 0);
    let received = second.metric("modmesh_peer_received_bytes_total", &[]);
    assert!(received >= hello().zip().len() as f64, "{received}");
    let sent = first.metric("modmesh_peer_sent_bytes_total", &[]);
    assert!(sent >= received, "{sent} sent, {received} received");
}

#[test]
fn the_neighbour_has_it_for_good_and_gives_it_on() {
    let upstream = FakeUpstream::start([hello()]);
    let mut first = online("A", &upstream).start();
    first.get(&hello().url_path("mod")).expect_body();
    first.get(&hello().url_path("zip")).expect_body();
    let second = neighbour_of(&first, &upstream);
    assert_eq!(
        second.get(&hello().url_path("zip")).expect_body(),
        hello().zip()
    );
    assert_eq!(
        second.get(&hello().url_path("mod")).expect_body(),
        hello().go_mod()
    );
    first.kill();
    let third = neighbour_of(&second, &upstream);
    let go = third.go(&upstream.sumdb());
    go.download("example.com/hello@v1.0.0").expect_success();
}

#[test]
fn a_zip_that_only_go_accepts_serves_its_host_and_no_neighbour() {
    let module = hello();
    let upstream = FakeUpstream::start([module.clone()]);
    let with_comment = module.zip_with_comment();
    upstream.put(&module.url_path("zip"), with_comment.clone());
    let first = online("A", &upstream).start();
    let go = first.go(&upstream.sumdb());
    go.download(&module.name()).expect_success();
    let zip = first.get(&module.url_path("zip")).expect_body();
    assert_eq!(zip, with_comment);

    let second = neighbour_of(&first, &upstream);
    second.get(&module.url_path("mod")).expect_body();
    assert_eq!(second.get(&module.url_path("zip")).status, 404);
    let peers = second.peers();
    assert!(peers[0]["banned_until"].is_null(), "{peers:#}");
}

#[test]
fn a_file_that_a_neighbours_disk_damaged_never_reaches_go_and_nobody_is_called_a_liar() {
    let upstream = FakeUpstream::start([hello()]);
    let first = online("A", &upstream).start();
    first.get(&hello().url_path("mod")).expect_body();
    first.get(&hello().url_path("zip")).expect_body();
    damage(&stored(&first, &hello(), "zip"));

    let second = neighbour_of(&first, &upstream);
    let go = second.go(&upstream.sumdb());
    let output = go.download("example.com/hello@v1.0.0");
    assert!(!output.status.success(), "{output}");
    assert!(!stored(&second, &hello(), "zip").exists());
    let peers = second.peers();
    assert!(peers[0]["banned_until"].is_null(), "{peers:#}");
    assert!(first.metric("modmesh_store_quarantined_total", &[]) >= 1.0);
    // The damaged file was put aside and is fetched anew, and then the neighbour gets it too.
    assert_eq!(
        first.get(&hello().url_path("zip")).expect_body(),
        hello().zip()
    );
    go.download("example.com/hello@v1.0.0").expect_success();
}

#[test]
fn modules_that_the_database_does_not_list_stay_with_the_host_that_fetched_them() {
    let secret = Module::package("example.com/secret", "v0.1.0");
    let upstream = FakeUpstream::start([hello()]);
    upstream.publish_unlisted(&secret);
    let first = harness::HostOptions::new("A")
        .upstream(&upstream.url())
        .sumdb(&upstream.sumdb_with_url())
        .start();
    first
        .go("off")
        .download("example.com/secret@v0.1.0")
        .expect_success();
    let second = neighbour_of(&first, &upstream);
    let answer = second.get(&secret.url_path("zip"));
    assert_eq!(answer.status, 404, "{}", answer.text());
    // Short answers are counted too: "not here".
    let sent = first.metric("modmesh_peer_sent_bytes_total", &[]);
    assert!(sent < 100.0, "{sent}");
}
