//! Tree heads that `go` holds and got elsewhere: a laptop that comes home.

use harness::{FakeUpstream, Module, TestLog};

use crate::scene::{hello, online};

#[test]
fn a_head_that_go_brought_from_elsewhere_is_served_when_the_line_is_cut() {
    let gopath = tempfile::tempdir().unwrap();
    let mut log = TestLog::new("sumdb.example.test");
    log.append(&hello());
    log.pad_to(300);
    let upstream = FakeUpstream::with_log(log);
    upstream.publish(&hello());
    let host = online("A", &upstream)
        .variable("GOPATH", &gopath.path().display().to_string())
        .start();
    host.get(&hello().url_path("zip")).expect_body();
    assert_eq!(host.status()["sumdb"][0]["tree_size"], 300);
    // Elsewhere go sees more of the log.
    let newer = Module::package("example.com/newer", "v1.0.0");
    let (name, head) = upstream.log(|log| {
        log.append(&newer);
        log.pad_to(700);
        (log.name().to_owned(), log.current_head())
    });
    let folder = gopath.path().join("pkg/sumdb").join(&name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("latest"), head).unwrap();
    // It asks this first, and nothing else while the line still stands.
    let supported = host.get(&format!("sumdb/{name}/supported"));
    assert_eq!(supported.status, 200);
    host.wait_until("the head is ours", |host| {
        host.status()["sumdb"][0]["tree_size"] == 700
    });
    upstream.close();
    // The continuation of the old head and the right edge of the new one.
    for tile in ["8/0/001", "8/0/002.p/188", "8/1/000.p/2"] {
        let path = format!("sumdb/{name}/tile/{tile}");
        let expected = upstream.log(|log| {
            let (level, index, width) = match tile {
                "8/0/001" => (0, 1, 256),
                "8/0/002.p/188" => (0, 2, 188),
                _ => (1, 0, 2),
            };
            log.tile(level, index, width).unwrap()
        });
        assert_eq!(host.get(&path).expect_body(), expected, "{tile}");
    }
    let lookup = host.get(&format!("sumdb/{name}/lookup/{}@v1.0.0", hello().path()));
    assert!(lookup.text().contains("\n700\n"), "{}", lookup.text());
    assert_eq!(host.status()["sumdb"][0]["missing_tiles"], 0);
}

#[test]
fn a_host_without_upstream_follows_a_neighbour_that_never_had_its_head() {
    let newer = Module::package("example.com/newer", "v1.0.0");
    let mut log = TestLog::new("sumdb.example.test");
    log.append(&hello());
    log.pad_to(300);
    let upstream = FakeUpstream::with_log(log);
    upstream.publish(&hello());
    let mut host = online("A", &upstream).start();
    host.get(&hello().url_path("mod")).expect_body();
    host.stop();
    // Its record stands in another tile than the end of that head.
    upstream.log(|log| log.pad_to(600));
    upstream.publish(&newer);
    upstream.log(|log| log.pad_to(700));
    let neighbour = online("B", &upstream).start();
    neighbour.get(&newer.url_path("mod")).expect_body();
    host.restart_with(|options| options.upstream("off").peer(&neighbour.peer_address()));
    host.wait_for_neighbours(1);
    let lookup = "sumdb/sumdb.example.test/lookup/example.com/newer@v1.0.0";
    host.wait_until("it has followed", |host| host.get(lookup).status == 200);
    assert_eq!(host.status()["sumdb"][0]["tree_size"], 700);
    // And with what joins the two heads here, its clients follow, too.
    let tile = host.get("sumdb/sumdb.example.test/tile/8/0/001");
    assert_eq!(tile.expect_body().len(), 8192);
}
