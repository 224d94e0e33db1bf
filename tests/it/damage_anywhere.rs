//! Damage to every file of a filled state folder: the daemon starts, or refuses with one line, and whatever it serves then is
//! whole and true.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::host::copy_folder;
use harness::{FakeUpstream, HostOptions, Module, TestHost};
use tempfile::TempDir;

use crate::damage::files_below;
use crate::scene::{damage, hello};

/// What is done to a file.
type Spoil = fn(&Path);

const SPOILS: [(&str, Spoil); 4] = [
    ("a bit flipped", |file| {
        if fs::metadata(file).unwrap().len() > 0 {
            damage(file);
        }
    }),
    ("cut in half", |file| {
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("emptied", |file| fs::write(file, "").unwrap()),
    ("a folder in its place", |file| {
        fs::remove_file(file).unwrap();
        fs::create_dir(file).unwrap();
        fs::write(file.join("thing"), "thing").unwrap();
    }),
];

fn unlisted() -> Module {
    Module::package("example.com/unlisted", "v1.0.0")
}

/// What a host is filled with, and asked for afterwards.
fn world() -> FakeUpstream {
    let upstream = FakeUpstream::start([]);
    upstream.log(|log| log.pad_to(300));
    upstream.publish(&hello());
    upstream.log(|log| log.pad_to(600));
    upstream.publish_unlisted(&unlisted());
    upstream
}

fn online(upstream: &FakeUpstream) -> HostOptions {
    HostOptions::new("A")
        .upstream(&upstream.url())
        .sumdb(&upstream.sumdb_with_url())
}

/// A state folder with everything that a daemon keeps, ended in order or not.
fn filled(upstream: &FakeUpstream) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut host = online(upstream).start();
    for module in [hello(), unlisted()] {
        for ending in ["info", "mod", "zip"] {
            host.get(&module.url_path(ending)).expect_body();
        }
        let list = format!("{}/@v/list", module.path());
        host.get(&list).expect_body();
    }
    host.get("example.com/hello/@latest").expect_body();
    assert!(host.stop().success());
    // A session that was killed in the same boot: nothing is suspected for that alone.
    copy_folder(host.state(), folder.path());
    fs::write(folder.path().join("background.log"), "said before").unwrap();
    folder
}

/// Files that are spoiled together because none makes up for another: each singular file alone, of the trees all of one kind.
fn groups(state: &Path) -> Vec<Vec<PathBuf>> {
    let mut groups: Vec<Vec<PathBuf>> = Vec::new();
    let (mut bodies, mut proofs, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut heads, mut records, mut tiles) = (Vec::new(), Vec::new(), Vec::new());
    for file in files_below(state) {
        let file = file.strip_prefix(state).unwrap().to_owned();
        let ends = |ending: &str| file.to_string_lossy().ends_with(ending);
        let within = |part: &str| file.to_string_lossy().contains(part);
        let group = match file.components().next().unwrap().as_os_str().to_str() {
            Some("store" | "apart") if ends(".proof") => &mut proofs,
            Some("store" | "apart") if ends(".mod") || ends(".zip") => &mut bodies,
            Some("store" | "apart") => &mut notes,
            Some("sumdb") if within("/head/") => &mut heads,
            Some("sumdb") if within("/record/") => &mut records,
            Some("sumdb") if within("/tile/") => &mut tiles,
            _ => {
                groups.push(vec![file]);
                continue;
            }
        };
        group.push(file);
    }
    let trees = [bodies, proofs, notes, heads, records, tiles];
    for tree in &trees {
        assert!(!tree.is_empty(), "{trees:?}");
    }
    assert!(groups.len() >= 4, "{groups:?}");
    groups.extend(trees);
    groups
}

/// Everything that is answered with 200 is whole and true; with a healthy upstream everything is.
#[track_caller]
fn expect_true(host: &TestHost, what: &str) {
    // Twice: what was fetched anew must have been kept, too.
    for source in ["", "store"] {
        for module in [hello(), unlisted()] {
            for (ending, expected) in [("mod", module.go_mod()), ("zip", module.zip())] {
                let answer = host.get(&module.url_path(ending));
                assert_eq!(answer.status, 200, "{what}: {ending}: {}", answer.text());
                if !source.is_empty() {
                    assert_eq!(
                        answer.header("x-modmesh-source"),
                        source,
                        "{what}: {ending}"
                    );
                }
                assert!(
                    answer.complete && answer.body == expected,
                    "{what}: {ending}"
                );
            }
            let info = host.get(&module.url_path("info")).expect_body();
            let info: serde_json::Value = serde_json::from_slice(&info).unwrap();
            assert_eq!(info["Version"], "v1.0.0", "{what}");
        }
    }
    let lookup = "sumdb/sumdb.example.test/lookup/example.com/hello@v1.0.0";
    let record = String::from_utf8(host.get(lookup).expect_body()).unwrap();
    assert!(
        record.contains(&hello().h1().to_string()),
        "{what}: {record}"
    );
    assert_eq!(host.get("example.com/hello/@v/list").status, 200, "{what}");
    assert_eq!(host.get("example.com/hello/@latest").status, 200, "{what}");
}

#[test]
fn whatever_file_is_damaged_nothing_false_is_served() {
    let upstream = world();
    let filled = filled(&upstream);
    let (mut started, mut refused) = (0, 0);
    for (damage, spoil) in SPOILS {
        for group in groups(filled.path()) {
            let what = format!("{damage}: {}", group[0].display());
            let folder = tempfile::tempdir().unwrap();
            let state = folder.path().join("state");
            fs::DirBuilder::new().mode(0o700).create(&state).unwrap();
            copy_folder(filled.path(), &state);
            // A disk tells times in steps of a few milliseconds; nobody damages a file in the one that it was written in.
            std::thread::sleep(Duration::from_millis(20));
            group.iter().for_each(|file| spoil(&state.join(file)));
            let host = match online(&upstream).state(&state).start_or_end() {
                Ok(host) => host,
                Err((status, said)) => {
                    refused += 1;
                    assert_eq!(status.code(), Some(1), "{what}: {said:?}");
                    let named = said.len() == 1 && said[0].contains(state.to_str().unwrap());
                    assert!(named, "{what}: {said:?}");
                    continue;
                }
            };
            started += 1;
            expect_true(&host, &what);
            // sled panics on damage, on a thread that expects it.
            let is_index = group[0].starts_with("index");
            assert!(host.panics() == 0 || is_index, "{what}: {}", host.log());
        }
    }
    assert!(started >= 20 && refused >= 4, "{started} {refused}");
}
