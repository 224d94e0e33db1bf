//! Damaged state: what is read back is checked, so damage costs a download and never a false answer.

use std::fs;
use std::path::{Path, PathBuf};

use harness::{FakeUpstream, HostOptions, TestHost};

use crate::scene::{damage, hello, neighbour_of, online, stored};

/// Every file below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files
}

/// A host that has the module and its proof from a log with several levels of tiles, and was ended in order.
fn ended(upstream: &FakeUpstream) -> TestHost {
    let mut host = online("A", upstream).start();
    host.go(&upstream.sumdb())
        .download("example.com/hello@v1.0.0")
        .expect_success();
    assert!(host.stop().success());
    host
}

fn world() -> FakeUpstream {
    let upstream = FakeUpstream::start([]);
    upstream.log(|log| log.pad_to(300));
    upstream.publish(&hello());
    upstream.log(|log| log.pad_to(1000));
    upstream
}

#[test]
fn a_damaged_mirror_of_the_database_is_as_good_as_none() {
    let upstream = world();
    for spoil in [
        damage as fn(&Path),
        |file| fs::write(file, "").unwrap(),
        |file| fs::write(file, [0xff; 9000]).unwrap(),
    ] {
        let mut host = ended(&upstream);
        let files = files_below(&host.state().join("sumdb"));
        assert!(files.len() >= 4, "{files:?}");
        files.iter().for_each(|file| spoil(file));
        host.restart();
        // What was proved stays proved, and the rest is asked for again.
        upstream.forget();
        assert_eq!(
            host.get(&hello().url_path("zip")).expect_body(),
            hello().zip()
        );
        assert_eq!(upstream.traffic_of("*.zip").requests, 0);
        host.go(&upstream.sumdb())
            .download("example.com/hello@v1.0.0")
            .expect_success();
        let failures = host.metric("modmesh_verification_failures_total", &[]);
        assert_eq!(failures, 0.0);
        // And a neighbour can prove with it.
        let neighbour = neighbour_of(&host, &upstream);
        neighbour
            .go(&upstream.sumdb())
            .download("example.com/hello@v1.0.0")
            .expect_success();
    }
}

#[test]
fn a_damaged_proof_makes_its_body_absent() {
    let upstream = world();
    for extension in ["zip", "mod"] {
        let mut host = ended(&upstream);
        let body = stored(&host, &hello(), extension);
        damage(Path::new(&format!("{}.proof", body.display())));
        host.restart();
        let again = host.get(&hello().url_path(extension));
        assert_eq!(again.header("x-modmesh-source"), "upstream", "{extension}");
        again.expect_body();
        let third = host.get(&hello().url_path(extension));
        assert_eq!(third.header("x-modmesh-source"), "store", "{extension}");
    }
}

#[test]
fn a_proof_beside_the_body_of_another_module_proves_nothing() {
    let upstream = world();
    let other = harness::Module::package("example.com/other", "v1.0.0");
    upstream.publish(&other);
    let mut host = ended(&upstream);
    for ending in ["zip", "zip.proof"] {
        let from = host.state().join("store").join(hello().url_path(ending));
        let to = host.state().join("store").join(other.url_path(ending));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
    host.restart();
    assert_eq!(host.get(&other.url_path("zip")).expect_body(), other.zip());
}

#[test]
fn until_they_are_hashed_again_after_an_unclean_boot_neighbours_get_no_damaged_bodies() {
    let upstream = world();
    let mut host = ended(&upstream);
    fs::write(host.state().join("session"), "another boot").unwrap();
    damage(&stored(&host, &hello(), "zip"));
    upstream.close();
    host.restart();
    let neighbour = neighbour_of(&host, &upstream);
    assert_ne!(neighbour.get(&hello().url_path("zip")).status, 200);
    host.wait_until("the damaged zip was put aside", |host| {
        host.metric("modmesh_store_quarantined_total", &[]) == 1.0
    });
    // The check is over when the mark is gone, and the next start needs none.
    host.wait_until("everything was hashed", |host| {
        !host.state().join("suspect").exists()
    });
    neighbour.wait_until("what is whole is given", |neighbour| {
        neighbour.get(&hello().url_path("mod")).status == 200
    });
    let peers = neighbour.peers();
    assert!(peers[0]["banned_until"].is_null(), "{peers:#}");
}

#[test]
fn a_damaged_identity_is_told_and_without_it_a_host_still_has_what_it_had() {
    let upstream = world();
    let mut host = ended(&upstream);
    fs::write(host.state().join("identity"), "no key at all").unwrap();
    let again = online("B", &upstream).state(host.state());
    let output = again.run_to_end();
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(output.stderr.contains("identity"), "{output}");
    assert_eq!(output.stderr.lines().count(), 1, "{output}");
    // Without it the host is another one, with everything that it had.
    fs::remove_file(host.state().join("identity")).unwrap();
    upstream.close();
    host.restart();
    assert_eq!(
        host.get(&hello().url_path("zip")).expect_body(),
        hello().zip()
    );
}

#[test]
fn a_state_folder_where_none_can_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("thesis.txt");
    fs::write(&file, "three years of work").unwrap();
    for place in [file.join("state"), "/proc/modmesh/state".into()] {
        let output = HostOptions::new("A").state(&place).run_to_end();
        assert_eq!(output.status.code(), Some(1), "{output}");
        let path = place.display().to_string();
        for word in [&path, "must be a folder that this user can write"] {
            assert!(output.stderr.contains(word), "{output}");
        }
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"three years of work");
}

/// Takes the tile away that the module's record stands in, and starts the host again where nobody has it.
fn lose_a_tile(host: &mut TestHost) {
    fs::remove_file(host.state().join("sumdb/sumdb.example.test/tile/8/0/001")).unwrap();
    host.restart();
    host.wait_until("it knows that the tile is lost", |host| {
        missing_tiles(host) == 1
    });
}

fn missing_tiles(host: &TestHost) -> u64 {
    host.status()["sumdb"][0]["missing_tiles"].as_u64().unwrap()
}

#[test]
fn what_the_mirror_lost_is_mended_when_the_first_neighbour_comes() {
    let upstream = world();
    let mut neighbour = ended(&upstream);
    neighbour.restart();
    let mut host = neighbour_of(&neighbour, &upstream);
    host.get(&hello().url_path("mod")).expect_body();
    assert!(host.stop().success() && neighbour.stop().success());
    upstream.close();
    lose_a_tile(&mut host);
    neighbour.restart();
    host.wait_until("the tile is here again", |host| missing_tiles(host) == 0);
}

#[test]
fn what_the_mirror_lost_is_mended_when_upstream_is_back() {
    let upstream = world();
    let mut host = ended(&upstream);
    upstream.close();
    lose_a_tile(&mut host);
    upstream.come_back();
    host.wait_until("the tile is here again", |host| missing_tiles(host) == 0);
}
