//! What cannot work says so: one clear line with what to do, and an exit code that scripts can tell.

use std::fs;
use std::net::TcpListener;

use harness::process::Output;
use harness::{FakeUpstream, HostOptions};

use crate::scene::{damage, hello, online, stored};

/// The start failed with this exit code, and its one line names all of this.
#[track_caller]
fn expect(output: Output, code: i32, words: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{output}");
    for word in words {
        assert!(
            output.stderr.contains(word),
            "`{word}` is missing: {output}"
        );
    }
}

#[test]
fn an_unusable_flag_is_named_with_what_would_be_valid() {
    let host = || HostOptions::new("A");
    expect(
        host().argument("--nonsense").run_to_end(),
        2,
        &["--nonsense"],
    );
    expect(
        host().upstream("ftp://example.com").run_to_end(),
        2,
        &["ftp://example.com"],
    );
    expect(
        host().sumdb("sum.example.com+bad+key").run_to_end(),
        2,
        &["sumdb"],
    );
    expect(
        host().peer("localhost:8485").run_to_end(),
        2,
        &["localhost:8485"],
    );
    expect(
        host()
            .argument("--store-limit")
            .argument("much")
            .run_to_end(),
        2,
        &["much"],
    );
}

#[test]
fn an_unusable_variable_is_named() {
    let host = HostOptions::new("A").variable("MODMESH_STORE_LIMIT", "much");
    expect(host.run_to_end(), 2, &["MODMESH_STORE_LIMIT", "much"]);
}

#[test]
fn an_unusable_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("modmesh.toml");
    fs::write(&file, "store_limit = [").unwrap();
    let path = file.display().to_string();
    let host = HostOptions::new("A").argument("--config").argument(&path);
    expect(host.run_to_end(), 2, &[&path]);
}

#[test]
fn what_is_no_name_of_a_site_is_refused_and_not_ignored() {
    let host = HostOptions::new("A").argument("--site").argument("hall/3");
    expect(host.run_to_end(), 2, &["--site"]);
}

#[test]
fn a_mesh_secret_that_cannot_be_used_is_refused_and_no_open_mesh_made() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    let path = secret.display().to_string();
    let host = || {
        let host = HostOptions::new("A").argument("--mesh-secret-file");
        host.argument(&path).run_to_end()
    };
    expect(host(), 1, &[&path, "modmesh secret new"]);
    fs::write(&secret, [7; 32]).unwrap();
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o644)).unwrap();
    expect(host(), 1, &["other users", &format!("chmod 600 {path}")]);
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    expect(host(), 1, &[&path, "line 1 is no secret"]);
    fs::write(&secret, "# none\n").unwrap();
    expect(host(), 1, &[&path, "no secret"]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let host = HostOptions::new("A")
        .argument("--listen")
        .argument(&address);
    expect(host.run_to_end(), 1, &[&address]);
    let host = HostOptions::new("A").peer_listen(&address);
    expect(host.run_to_end(), 1, &[&address]);
}

#[test]
fn a_state_folder_in_use_is_named_with_its_holder() {
    let upstream = FakeUpstream::start([]);
    let host = online("A", &upstream).start();
    let second = online("B", &upstream).state(host.state());
    expect(
        second.run_to_end(),
        1,
        &[&host.pid().to_string(), "--state"],
    );
}

#[test]
fn a_folder_that_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), "three years of work").unwrap();
    let host = || HostOptions::new("A");
    let path = folder.path().display().to_string();
    expect(host().state(folder.path()).run_to_end(), 1, &[&path]);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1);
    let file = folder.path().join("thesis.txt");
    expect(host().state(&file).run_to_end(), 1, &["thesis.txt"]);
}

#[test]
fn a_folder_of_a_newer_release_is_left_alone() {
    let upstream = FakeUpstream::start([]);
    let mut host = online("A", &upstream).start();
    assert!(host.stop().success());
    fs::write(host.state().join("format"), "modmesh state 999\n").unwrap();
    let again = online("B", &upstream).state(host.state());
    expect(again.run_to_end(), 1, &["999", "newer"]);
}

#[test]
fn a_corrupt_index_costs_nothing_but_the_order_of_eviction() {
    let upstream = FakeUpstream::start([hello()]);
    let mut host = online("A", &upstream).start();
    host.get(&hello().url_path("zip")).expect_body();
    assert!(host.stop().success());
    let mut spoiled = 0;
    let mut folders = vec![host.state().join("index")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let length = fs::metadata(&path).unwrap().len() as usize;
                fs::write(&path, harness::module::noise("spoiled", length)).unwrap();
                spoiled += 1;
            }
        }
    }
    assert!(spoiled > 0, "there is no index to spoil");
    upstream.forget();
    host.restart();
    assert_eq!(
        host.get(&hello().url_path("zip")).expect_body(),
        hello().zip()
    );
    assert_eq!(upstream.traffic_of_all().requests, 0);
}

#[test]
fn after_an_unclean_boot_damage_is_found_before_it_is_served() {
    let upstream = FakeUpstream::start([hello()]);
    let mut host = online("A", &upstream).start();
    host.get(&hello().url_path("mod")).expect_body();
    host.get(&hello().url_path("zip")).expect_body();
    host.kill();
    fs::write(host.state().join("session"), "another boot").unwrap();
    damage(&stored(&host, &hello(), "zip"));
    damage(&stored(&host, &hello(), "mod"));
    host.restart();
    assert_eq!(
        host.get(&hello().url_path("mod")).expect_body(),
        hello().go_mod()
    );
    assert_eq!(
        host.get(&hello().url_path("zip")).expect_body(),
        hello().zip()
    );

    host.kill();
    fs::write(host.state().join("session"), "a third boot").unwrap();
    damage(&stored(&host, &hello(), "zip"));
    upstream.close();
    host.restart();
    let answer = host.get(&hello().url_path("zip"));
    assert_ne!(answer.status, 200);
    assert_eq!(
        host.get(&hello().url_path("mod")).expect_body(),
        hello().go_mod()
    );
}

#[test]
fn a_body_that_lost_bytes_on_disk_is_fetched_again() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    host.get(&hello().url_path("zip")).expect_body();
    let file = stored(&host, &hello(), "zip");
    fs::OpenOptions::new()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(1000)
        .unwrap();
    let again = host.request(&hello().url_path("zip")).send();
    if let Ok(answer) = again {
        assert!(answer.status != 200 || !answer.complete || answer.body == hello().zip());
    }
    assert_eq!(
        host.get(&hello().url_path("zip")).expect_body(),
        hello().zip()
    );
}
