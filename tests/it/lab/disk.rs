//! A disk that is full, and one that cannot be written.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use harness::lab::Forbidden;
use harness::{FakeUpstream, HostOptions, LyingPeer, Module, PeerLie, TestHost};

use crate::LabTest;

pub(crate) const TESTS: &[(&str, LabTest)] = &[
    (
        "a_full_disk_fails_what_does_not_fit_and_harms_nothing",
        a_full_disk_fails_what_does_not_fit_and_harms_nothing,
    ),
    (
        "on_a_disk_without_a_byte_left_what_is_kept_is_served_and_proved",
        on_a_disk_without_a_byte_left_what_is_kept_is_served_and_proved,
    ),
    (
        "a_daemon_is_started_anew_on_a_full_disk_and_a_lower_limit_makes_room",
        a_daemon_is_started_anew_on_a_full_disk_and_a_lower_limit_makes_room,
    ),
    (
        "a_full_disk_gets_room_from_what_nobody_asked_for_lately",
        a_full_disk_gets_room_from_what_nobody_asked_for_lately,
    ),
    (
        "a_neighbour_that_sends_more_than_the_disk_holds_fails_no_request",
        a_neighbour_that_sends_more_than_the_disk_holds_fails_no_request,
    ),
    (
        "a_disk_that_cannot_be_written_is_refused_at_start",
        a_disk_that_cannot_be_written_is_refused_at_start,
    ),
    (
        "on_a_disk_without_room_for_one_more_file_what_is_kept_is_served",
        on_a_disk_without_room_for_one_more_file_what_is_kept_is_served,
    ),
    (
        "a_disk_that_becomes_read_only_fails_what_is_new_and_nothing_else",
        a_disk_that_becomes_read_only_fails_what_is_new_and_nothing_else,
    ),
];

const DISK_BYTES: u64 = 32 << 20;

fn small() -> Module {
    Module::package("example.com/small", "v1.0.0").bulk("noise.bin", 100_000)
}

fn large() -> Module {
    Module::package("example.com/large", "v1.0.0").bulk("noise.bin", 6 << 20)
}

fn medium() -> Module {
    Module::package("example.com/medium", "v1.0.0").bulk("noise.bin", 2 << 20)
}

fn world() -> FakeUpstream {
    let upstream = FakeUpstream::start([small(), medium(), large()]);
    upstream.log(|log| log.pad_to(600));
    upstream
}

fn online(upstream: &FakeUpstream) -> HostOptions {
    HostOptions::new("A")
        .upstream(&upstream.url())
        .sumdb(&upstream.sumdb())
}

/// Files under way in the state folder.
fn staging(host: &TestHost) -> Vec<PathBuf> {
    let folder = host.inside(&host.state().join("staging"));
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[track_caller]
fn expect_kept(host: &TestHost, module: &Module) {
    let zip = host.get(&module.url_path("zip"));
    assert_eq!(zip.header("x-modmesh-source"), "store");
    assert_eq!(zip.expect_body(), module.zip());
    let go_mod = host.get(&module.url_path("mod")).expect_body();
    assert_eq!(go_mod, module.go_mod());
}

#[track_caller]
fn expect_no_space(host: &TestHost, path: &str) {
    let answer = host.get(path);
    assert_eq!(answer.status, 507, "{path}: {}", answer.text());
    assert!(
        answer.text().contains("free some space"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.text().lines().count(), 1, "{}", answer.text());
}

fn a_full_disk_fails_what_does_not_fit_and_harms_nothing() -> Result<(), Forbidden> {
    let upstream = world();
    let host = online(&upstream).on_small_disk(DISK_BYTES)?.start();
    let other = online(&upstream).start();
    for host in [&host, &other] {
        host.get(&small().url_path("mod")).expect_body();
        host.get(&small().url_path("zip")).expect_body();
    }
    let filler = host.fill_disk(2 << 20);
    for _ in 0..3 {
        expect_no_space(&host, &large().url_path("zip"));
        assert_eq!(staging(&host), Vec::<PathBuf>::new());
    }
    // What fits is fetched, what is kept is served, and the upstream is not held to be down.
    host.get(&large().url_path("mod")).expect_body();
    expect_kept(&host, &small());
    assert_eq!(host.status()["upstream"][0]["state"], "up");

    std::fs::remove_file(filler).unwrap();
    assert_eq!(
        host.get(&large().url_path("zip")).expect_body(),
        large().zip()
    );
    expect_kept(&host, &large());
    expect_kept(&host, &small());

    // As a process that was killed here would find it again.
    let copy = tempfile::tempdir().unwrap();
    host.copy_state(copy.path());
    drop(host);
    upstream.close();
    let again = online(&upstream).state(copy.path()).start();
    expect_kept(&again, &large());
    expect_kept(&again, &small());
    Ok(())
}

fn on_a_disk_without_a_byte_left_what_is_kept_is_served_and_proved() -> Result<(), Forbidden> {
    let upstream = world();
    let neighbour = online(&upstream).start();
    for extension in ["mod", "zip"] {
        neighbour.get(&large().url_path(extension)).expect_body();
    }
    let mut host = online(&upstream)
        .peer(&neighbour.peer_address())
        .on_small_disk(DISK_BYTES)?
        .start();
    host.wait_for_neighbours(1);
    host.go(&upstream.sumdb())
        .download("example.com/small@v1.0.0")
        .expect_success();
    let filler = host.fill_disk(0);
    // From a neighbour or from upstream: nothing fits, and it is nobody's fault.
    expect_no_space(&host, &large().url_path("zip"));
    expect_no_space(&host, &large().url_path("mod"));
    assert_eq!(staging(&host), Vec::<PathBuf>::new());
    let peers = host.peers();
    assert!(peers[0]["banned_until"].is_null(), "{peers:#}");
    // What needs no space is answered: notes, records and proofs.
    let info = host.get(&large().url_path("info")).expect_body();
    assert_eq!(info, large().info());
    let lookup = "sumdb/sumdb.example.test/lookup/example.com/large@v1.0.0";
    host.get(lookup).expect_body();
    expect_kept(&host, &small());
    host.go(&upstream.sumdb())
        .download("example.com/small@v1.0.0")
        .expect_success();

    std::fs::remove_file(filler).unwrap();
    host.go(&upstream.sumdb())
        .download("example.com/large@v1.0.0")
        .expect_success();
    expect_kept(&host, &large());
    assert!(host.stop().success(), "{}", host.log());
    Ok(())
}

fn a_daemon_is_started_anew_on_a_full_disk_and_a_lower_limit_makes_room() -> Result<(), Forbidden> {
    let upstream = world();
    let mut first = online(&upstream).start();
    for module in [large(), small()] {
        first.get(&module.url_path("mod")).expect_body();
        first.get(&module.url_path("zip")).expect_body();
    }
    for is_killed in [false, true] {
        if is_killed {
            first.restart();
            first.kill();
        } else {
            assert!(first.stop().success(), "{}", first.log());
        }
        let full = online(&upstream).on_full_disk_with(DISK_BYTES, first.state())?;
        let mut host = full.start();
        expect_kept(&host, &small());
        expect_kept(&host, &large());
        expect_no_space(&host, &medium().url_path("zip"));

        host.restart_with(|options| options.argument("--store-limit").argument("4MiB"));
        expect_kept(&host, &small());
        for extension in ["mod", "zip"] {
            host.get(&medium().url_path(extension)).expect_body();
        }
        expect_kept(&host, &medium());
        assert_eq!(host.panics(), 0, "{}", host.log());
        assert!(host.stop().success(), "{}", host.log());
    }
    Ok(())
}

fn a_full_disk_gets_room_from_what_nobody_asked_for_lately() -> Result<(), Forbidden> {
    let upstream = world();
    let mut first = online(&upstream).start();
    first.get(&large().url_path("mod")).expect_body();
    first.get(&large().url_path("zip")).expect_body();
    assert!(first.stop().success(), "{}", first.log());
    // Without its memory of requests a store goes by when the bodies came.
    std::fs::remove_dir_all(first.state().join("index")).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 3600);
    make_old(&first.state().join("store"), long_ago);

    let full = online(&upstream).on_full_disk_with(DISK_BYTES, first.state())?;
    let host = full.start();
    for extension in ["mod", "zip"] {
        host.get(&medium().url_path(extension)).expect_body();
    }
    expect_kept(&host, &medium());
    host.wait_for_line("the disk is full");
    assert_eq!(host.metric("modmesh_store_evicted_total", &[]), 2.0);
    Ok(())
}

/// Gives every file below `folder` this time of modification.
fn make_old(folder: &Path, at: SystemTime) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            make_old(&path, at);
        } else {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(at).unwrap();
        }
    }
}

fn a_neighbour_that_sends_more_than_the_disk_holds_fails_no_request() -> Result<(), Forbidden> {
    let upstream = world();
    let log = upstream.log(|log| log.clone());
    let vast = LyingPeer::start(&[small()], &log, PeerLie::Vast);
    let host = online(&upstream)
        .peer(&vast.peer_address())
        .on_small_disk(DISK_BYTES)?
        .start();
    host.wait_for_neighbours(1);
    let zip = host.get(&small().url_path("zip"));
    assert_eq!(zip.header("x-modmesh-source"), "upstream", "{}", zip.text());
    assert_eq!(zip.expect_body(), small().zip());
    assert_eq!(vast.files_given(), 1);
    assert_eq!(staging(&host), Vec::<PathBuf>::new());
    Ok(())
}

fn a_disk_that_cannot_be_written_is_refused_at_start() -> Result<(), Forbidden> {
    let folder = tempfile::tempdir().unwrap();
    let output = HostOptions::new("A")
        .state(folder.path())
        .on_read_only_disk()?
        .run_to_end();
    assert_eq!(output.status.code(), Some(1), "{output}");
    let path = folder.path().display().to_string();
    for word in [&path, "must be a folder that this user can write"] {
        assert!(output.stderr.contains(word), "{output}");
    }
    assert_eq!(output.stderr.lines().count(), 1, "{output}");
    Ok(())
}

fn on_a_disk_without_room_for_one_more_file_what_is_kept_is_served() -> Result<(), Forbidden> {
    let upstream = world();
    let host = online(&upstream).on_disk_of_few_files(2000)?.start();
    host.get(&small().url_path("mod")).expect_body();
    host.get(&small().url_path("zip")).expect_body();
    // The way into the store takes some files: wherever it ends, nothing stays on it.
    for left in 0..8 {
        let filler = host.fill_inodes(left);
        let zip = host.get(&large().url_path("zip"));
        let zip_status = zip.status;
        match zip_status {
            200 => assert_eq!(zip.expect_body(), large().zip(), "{left} left"),
            _ => expect_no_space(&host, &large().url_path("zip")),
        }
        assert_eq!(staging(&host), Vec::<PathBuf>::new(), "{left} left");
        expect_kept(&host, &small());
        let info = host.get(&large().url_path("info")).expect_body();
        assert_eq!(info, large().info(), "{left} left");
        assert!(left > 0 || zip_status == 507, "{zip_status}");
        std::fs::remove_dir_all(filler).unwrap();
    }
    host.get(&large().url_path("mod")).expect_body();
    host.get(&large().url_path("zip")).expect_body();
    expect_kept(&host, &large());
    assert_eq!(host.metric("modmesh_store_quarantined_total", &[]), 0.0);
    assert_eq!(host.status()["upstream"][0]["state"], "up");
    Ok(())
}

fn a_disk_that_becomes_read_only_fails_what_is_new_and_nothing_else() -> Result<(), Forbidden> {
    let upstream = world();
    let mut host = online(&upstream).on_small_disk(DISK_BYTES)?.start();
    host.get(&small().url_path("mod")).expect_body();
    host.get(&small().url_path("zip")).expect_body();
    host.make_disk_read_only();
    for extension in ["mod", "zip"] {
        let answer = host.get(&large().url_path(extension));
        assert_eq!(answer.status, 507, "{}", answer.text());
        let text = answer.text();
        assert!(text.contains("mount it writable again"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    // What needs no space is answered.
    let info = host.get(&large().url_path("info")).expect_body();
    assert_eq!(info, large().info());
    let lookup = "sumdb/sumdb.example.test/lookup/example.com/large@v1.0.0";
    host.get(lookup).expect_body();
    expect_kept(&host, &small());
    let go = host.go(&upstream.sumdb());
    go.download("example.com/small@v1.0.0").expect_success();
    assert_eq!(host.status()["upstream"][0]["state"], "up");
    assert_eq!(host.metric("modmesh_store_quarantined_total", &[]), 0.0);

    host.make_disk_writable();
    for extension in ["mod", "zip"] {
        host.get(&large().url_path(extension)).expect_body();
    }
    expect_kept(&host, &large());
    assert_eq!(host.panics(), 0, "{}", host.log());
    assert!(host.stop().success(), "{}", host.log());
    Ok(())
}
