//! Stories of the store, on a real folder.

mod room;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::h1;
use modmesh_protocol::log::Sums;
use modmesh_protocol::module::{ModulePath, ModuleVersion};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::{Entry, Staged, Store, StoreError, Stored};
use crate::trust::{Expected, FollowedLogs, Giver, ListedRecord, Proof, Scope, Unlisted, judge};

const ROOMY: u64 = 1 << 30;

fn key(version: &str) -> ArtifactKey {
    ArtifactKey {
        of: ModuleVersion::parse(&format!("example.com/m@{version}")).unwrap(),
        kind: FileKind::Mod,
    }
}

/// Puts a go.mod of `length` bytes into the store, through the gate.
async fn put(store: &Store, version: &str, length: usize) -> Stored {
    let (staged, proof) = staged(store, version, length).await;
    store.commit(staged, proof).unwrap()
}

/// A go.mod of `length` bytes that has passed the gate.
async fn staged(store: &Store, version: &str, length: usize) -> (Staged, Proof) {
    let mut staging = store.stage().unwrap();
    let text = format!("module example.com/m // {}", "x".repeat(length));
    staging.write_all(&text.as_bytes()[..length]).await.unwrap();
    let staged = staging.close().await.unwrap();
    let expected = Expected::Unlisted(Unlisted::NoRecord);
    let proof = judge(
        staged.open().unwrap(),
        staged.measured(),
        &key(version),
        &expected,
        Giver::Upstream,
        1,
    )
    .unwrap();
    (staged, proof)
}

fn open(folder: &TempDir, limit: u64, suspicious: bool) -> Store {
    Store::open(folder.path(), limit, suspicious, FollowedLogs::new()).unwrap()
}

fn body(folder: &TempDir, version: &str) -> PathBuf {
    folder.path().join("apart").join(key(version).url_path())
}

/// Requests are ordered by the millisecond.
fn let_the_clock_move() {
    let last = super::now_ms();
    while super::now_ms() == last {
        std::hint::spin_loop();
    }
}

fn in_staging(folder: &TempDir) -> usize {
    fs::read_dir(folder.path().join("staging")).unwrap().count()
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    put(&store, "v1.0.0", 100).await;
    assert_eq!(in_staging(&folder), 0);
    store.end();
    drop(store);
    let store = open(&folder, ROOMY, false);
    assert!(store.get(&key("v1.0.0")).is_some());
    assert!(store.get(&key("v1.0.1")).is_none());
    assert_eq!(store.totals().bytes, 100);
    assert!(store.holds_version(&key("v1.0.0").of, Scope::Unlisted));
    assert!(
        store.shareable().is_empty(),
        "unlisted content is nobody else's"
    );
    assert!(
        store
            .get_shareable(KeyHash::of_file(&key("v1.0.0")))
            .is_none()
    );
}

#[tokio::test]
async fn after_the_end_nothing_more_is_kept() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    let kept = put(&store, "v1.0.0", 100).await.entry;
    let (late, proof) = staged(&store, "v1.0.1", 100).await;
    store.end();
    let refused = store.commit(late, proof);
    assert!(matches!(refused, Err(StoreError::Ended)), "{refused:?}");
    let refused = store.settle(&kept, kept.proof.clone());
    assert!(matches!(refused, Err(StoreError::Ended)), "{refused:?}");
    for apart in [false, true] {
        let refused = store.note("example.com/m/@v/list", b"v1.0.0\n", apart);
        assert!(matches!(refused, Err(StoreError::Ended)), "{refused:?}");
    }
    assert_eq!(in_staging(&folder), 0);
    // What was kept before is still served while the last answers end.
    assert!(store.get(&key("v1.0.0")).is_some());
    assert!(store.get(&key("v1.0.1")).is_none());
}

#[tokio::test]
async fn dropped_bytes_leave_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    let mut staging = store.stage().unwrap();
    assert_eq!(in_staging(&folder), 0, "who waits for bytes holds no file");
    staging.write_all(b"half a fi").await.unwrap();
    staging.flush().await.unwrap();
    assert_eq!(in_staging(&folder), 1);
    drop(staging);
    drop(store.stage().unwrap().close().await.unwrap());
    assert_eq!(in_staging(&folder), 0);
}

#[tokio::test]
async fn who_is_dropped_while_a_file_is_made_leaves_none() {
    use futures::FutureExt;
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    for _ in 0..50 {
        let mut staging = store.stage().unwrap();
        // Asked once, so that the making has begun; it may even be over.
        let _begun = staging.write_all(b"half a fi").now_or_never();
    }
    let began = Instant::now();
    while in_staging(&folder) > 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "files stay");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_proof_of_other_bytes_opens_no_door() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    let proof = put(&store, "v1.0.0", 100).await.entry.proof.clone();
    let mut staging = store.stage().unwrap();
    staging.write_all(b"other bytes").await.unwrap();
    let staged = staging.close().await.unwrap();
    assert!(store.commit(staged, proof).is_err());
    assert!(store.get(&key("v1.0.0")).is_some());
}

#[tokio::test]
async fn crash_leftovers_are_swept_at_start() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    for version in ["v1.0.0", "v1.1.0", "v1.2.0"] {
        put(&store, version, 100).await;
    }
    drop(store);
    fs::write(folder.path().join("staging/123-4"), "in flight").unwrap();
    // Killed between body and proof; a torn proof; a proof whose body went.
    fs::remove_file(body(&folder, "v1.0.0").with_extension("mod.proof")).unwrap();
    let proof = body(&folder, "v1.1.0").with_extension("mod.proof");
    let whole = fs::read(&proof).unwrap();
    fs::write(&proof, &whole[..whole.len() / 2]).unwrap();
    fs::remove_file(body(&folder, "v1.2.0")).unwrap();
    let store = open(&folder, ROOMY, false);
    assert_eq!(in_staging(&folder), 0);
    assert_eq!(store.totals().blobs, 0);
    for version in ["v1.0.0", "v1.1.0", "v1.2.0"] {
        assert!(store.get(&key(version)).is_none());
        assert!(!body(&folder, version).exists());
        assert!(!body(&folder, version).with_extension("mod.proof").exists());
    }
}

#[tokio::test]
async fn a_proof_counts_only_where_it_was_written() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    put(&store, "v1.0.0", 100).await;
    drop(store);
    for suffix in ["mod", "mod.proof"] {
        let from = body(&folder, "v1.0.0").with_extension(suffix);
        let to = body(&folder, "v1.0.9").with_extension(suffix);
        fs::copy(from, to).unwrap();
    }
    let store = open(&folder, ROOMY, false);
    assert!(store.get(&key("v1.0.0")).is_some());
    assert!(store.get(&key("v1.0.9")).is_none());
}

#[tokio::test]
async fn a_cut_body_is_put_aside_and_asked_for_anew() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    put(&store, "v1.0.0", 100).await;
    fs::write(body(&folder, "v1.0.0"), "short").unwrap();
    assert!(store.get(&key("v1.0.0")).is_none());
    assert_eq!(
        fs::read_dir(folder.path().join("quarantine"))
            .unwrap()
            .count(),
        1
    );
    put(&store, "v1.0.0", 100).await;
    assert!(store.get(&key("v1.0.0")).is_some());
}

#[tokio::test]
async fn after_an_unclean_boot_nothing_damaged_is_given_out() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    for version in ["v1.0.0", "v1.1.0", "v1.2.0"] {
        put(&store, version, 100).await;
    }
    drop(store);
    // The same length, other bytes: what a lost page looks like.
    fs::write(body(&folder, "v1.0.0"), vec![0; 100]).unwrap();
    fs::write(body(&folder, "v1.1.0"), vec![0; 100]).unwrap();
    let store = open(&folder, ROOMY, true);
    assert!(store.must_be_hashed(&key("v1.0.0")));
    assert!(store.get(&key("v1.0.0")).is_none());
    assert!(store.get(&key("v1.2.0")).is_some());
    assert!(!store.must_be_hashed(&key("v1.2.0")));
    drop(store);
    // The suspicion lasts over clean restarts until every file was seen.
    let store = open(&folder, ROOMY, false);
    assert!(store.must_be_hashed(&key("v1.1.0")));
    store.scrub_suspects(|| false);
    assert_eq!(store.totals().blobs, 1);
    drop(store);
    assert!(!open(&folder, ROOMY, false).must_be_hashed(&key("v1.2.0")));
}

#[tokio::test]
async fn notes_that_an_unclean_boot_may_have_torn_are_dropped() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    for (path, text) in [
        ("example.com/m/@v/list", ""),
        ("example.com/n/@v/list", "v1.0.0\n"),
    ] {
        store.note(path, text.as_bytes(), false).unwrap();
    }
    drop(store);
    let store = open(&folder, ROOMY, true);
    assert!(store.read_note("example.com/m/@v/list", true).is_none());
    assert!(
        store.read_note("example.com/n/@v/list", true).is_none(),
        "too young to be trusted"
    );
}

#[tokio::test]
async fn a_note_from_the_future_is_not_fresh_until_then() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    let path = "example.com/m/@v/list";
    store.note(path, b"v1.0.0\n", false).unwrap();
    let file = fs::File::options()
        .write(true)
        .open(folder.path().join("store").join(path))
        .unwrap();
    let later = SystemTime::now() + Duration::from_secs(365 * 24 * 60 * 60);
    file.set_modified(later).unwrap();
    assert!(store.read_note(path, true).unwrap().age > Duration::from_secs(60 * 60));
}

#[tokio::test]
async fn what_was_asked_for_longest_ago_goes_first() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, 1000, false);
    for version in ["v1.0.0", "v1.1.0", "v1.2.0"] {
        put(&store, version, 300).await;
        let_the_clock_move();
    }
    let held = store.get(&key("v1.0.0")).unwrap();
    let_the_clock_move();
    put(&store, "v1.3.0", 300).await;
    assert!(store.totals().bytes <= 1000);
    assert!(store.get(&key("v1.0.0")).is_some());
    assert!(store.get(&key("v1.3.0")).is_some());
    assert!(store.get(&key("v1.1.0")).is_none());
    assert_eq!(store.losses().0, 1);
    drop(held);
}

#[tokio::test]
async fn a_body_that_is_being_read_outlives_its_eviction() {
    use std::io::Read;
    let folder = TempDir::new().unwrap();
    let store = open(&folder, 500, false);
    let mut reading = put(&store, "v1.0.0", 300).await.file;
    put(&store, "v1.1.0", 300).await;
    assert!(store.get(&key("v1.0.0")).is_none());
    let mut bytes = Vec::new();
    reading.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 300);
}

#[tokio::test]
async fn the_state_folder_may_vanish_under_a_running_daemon() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    put(&store, "v1.0.0", 100).await;
    for part in ["apart", "store", "staging"] {
        fs::remove_dir_all(folder.path().join(part)).unwrap();
    }
    assert!(store.get(&key("v1.0.0")).is_none());
    put(&store, "v1.0.0", 100).await;
    assert!(store.get(&key("v1.0.0")).is_some());
}

#[tokio::test]
async fn versions_are_listed_in_the_order_of_go() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    for version in ["v1.10.0", "v1.2.0", "v1.2.0-rc.1"] {
        put(&store, version, 50).await;
    }
    let module = ModulePath::parse("example.com/m").unwrap();
    let versions: Vec<_> = store
        .versions(&module)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(versions, ["v1.2.0-rc.1", "v1.2.0", "v1.10.0"]);
    assert!(store.is_below_held("example.com/m/cmd"));
    assert!(!store.is_below_held("example.com/mm"));
    assert!(!store.is_below_held("example.com/m"));
}

const GO_MOD: &[u8] = b"module example.com/m";

/// A go.mod in staging, and what the gate says of it under `expected`.
async fn judged(store: &Store, expected: Expected) -> (Staged, Proof) {
    let mut staging = store.stage().unwrap();
    staging.write_all(GO_MOD).await.unwrap();
    let staged = staging.close().await.unwrap();
    let (file, measured) = (staged.open().unwrap(), staged.measured());
    let proof = judge(
        file,
        measured,
        &key("v1.0.0"),
        &expected,
        Giver::Upstream,
        1,
    )
    .unwrap();
    (staged, proof)
}

/// Puts a go.mod into the store about which the database could not be asked.
async fn put_pending(store: &Store) -> Arc<Entry> {
    let (staged, proof) = judged(store, Expected::Pending("closed for today".into())).await;
    store.commit(staged, proof).unwrap().entry
}

#[tokio::test]
async fn a_file_that_is_judged_again_is_never_without_its_proof() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    let entry = put_pending(&store).await;
    let (_, later) = judged(&store, Expected::Unlisted(Unlisted::NoRecord)).await;
    // Between the two judgements it is there, and opening it for the gate is no request.
    let last = entry.last_request_ms.load(Ordering::Relaxed);
    let_the_clock_move();
    drop(store.reopen(&entry).unwrap());
    assert_eq!(entry.last_request_ms.load(Ordering::Relaxed), last);
    // There is no place for the new proof, as on a full disk.
    fs::remove_dir_all(folder.path().join("staging")).unwrap();
    assert!(store.settle(&entry, later.clone()).is_err());
    assert!(store.get(&key("v1.0.0")).is_some());
    drop(store);
    let store = open(&folder, ROOMY, false);
    let entry = store.get(&key("v1.0.0")).unwrap().entry;
    assert!(entry.is_pending());

    let settled = store.settle(&entry, later.clone()).unwrap().unwrap();
    assert_eq!(settled.proof.scope(), Scope::Unlisted);
    assert_eq!(in_staging(&folder), 0);
    // The old entry is another's by now, and nothing is done in its name.
    assert!(store.settle(&entry, later).unwrap().is_none());
    store.drop_false(&entry);
    assert!(store.get(&key("v1.0.0")).is_some());
    drop(store);
    let store = open(&folder, ROOMY, false);
    let entry = store.get(&key("v1.0.0")).unwrap().entry;
    assert_eq!(entry.proof.scope(), Scope::Unlisted);
    store.drop_false(&entry);
    assert!(store.get(&key("v1.0.0")).is_none());
    assert!(!body(&folder, "v1.0.0").exists());
}

#[tokio::test]
async fn what_was_set_apart_of_a_proven_file_is_swept_at_start() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    put_pending(&store).await;
    let apart = body(&folder, "v1.0.0");
    let proof = fs::read(apart.with_extension("mod.proof")).unwrap();
    let sum = h1::of_go_mod(GO_MOD);
    let text = format!("example.com/m v1.0.0/go.mod {sum}\n");
    let listed = ListedRecord {
        log: 0,
        database: "sumdb.example.test".to_owned(),
        key: None,
        id: 7,
        text,
        sums: Sums {
            zip: None,
            go_mod: Some(sum),
        },
    };
    let (staged, listed) = judged(&store, Expected::Listed(Arc::new(listed))).await;
    store.commit(staged, listed).unwrap();
    assert!(!apart.exists());
    drop(store);
    // As a crash before the removal would have left it.
    fs::write(&apart, GO_MOD).unwrap();
    fs::write(apart.with_extension("mod.proof"), proof).unwrap();
    let store = open(&folder, ROOMY, false);
    let entry = store.get(&key("v1.0.0")).unwrap().entry;
    assert_eq!(entry.proof.scope(), Scope::Proven);
    assert!(!apart.exists() && !apart.with_extension("mod.proof").exists());
}

#[tokio::test]
async fn what_neighbours_send_has_room_for_a_few_of_the_largest_zips_at_a_time() {
    use futures::FutureExt;
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    // One of the largest, however small the store is.
    let mut staging = store.stage().unwrap();
    staging.take_room(store.room_for(500 << 20).await);
    assert!(store.room_for(500 << 20).now_or_never().is_none());
    // It is held until the bytes are kept or gone, and no longer.
    let staged = staging.close().await.unwrap();
    assert!(store.room_for(500 << 20).now_or_never().is_none());
    drop(staged);
    assert!(store.room_for(u64::MAX).now_or_never().is_some());
}

#[test]
fn the_refusals_of_a_large_project_push_out_none_of_each_other() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    let names: Vec<String> = (0..1000)
        .map(|n| format!("example.com/a/{n}/@v/list"))
        .collect();
    for name in &names {
        store.keep_refusal(name, 404, name).unwrap();
    }
    for name in &names {
        let kept = store.read_refusal(name);
        assert_eq!(kept.map(|kept| kept.text).as_ref(), Some(name));
    }
}

#[test]
fn a_refusal_is_kept_over_restarts_for_its_very_name_and_not_for_ever() {
    let folder = TempDir::new().unwrap();
    let name = "example.com/@v/list";
    let store = open(&folder, ROOMY, false);
    store.keep_refusal(name, 404, &"x".repeat(5000)).unwrap();
    let store = open(&folder, ROOMY, false);
    let kept = store.read_refusal(name).unwrap();
    assert_eq!((kept.status, kept.text.len()), (404, 1024));
    assert_eq!(store.read_refusal("example.com/a/@v/list"), None);
    store.keep_refusal(name, 410, "gone").unwrap();
    assert_eq!(store.read_refusal(name).unwrap().status, 410);

    let file = fs::read_dir(folder.path().join("refused")).unwrap().next();
    let path = file.unwrap().unwrap().path();
    let file = fs::File::options().write(true).open(&path).unwrap();
    let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    file.set_modified(SystemTime::now() - days(29)).unwrap();
    assert!(store.read_refusal(name).unwrap().age >= days(29));
    // It is old enough to be written again.
    store.keep_refusal(name, 410, "still gone").unwrap();
    let kept = store.read_refusal(name).unwrap();
    assert!(kept.text == "still gone" && kept.age < days(1));
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - days(31)).unwrap();
    assert_eq!(store.read_refusal(name), None);
    for nonsense in ["", "404", "404 \n", "200 example.com/@v/list\nx"] {
        fs::write(&path, nonsense).unwrap();
        assert_eq!(store.read_refusal(name), None, "{nonsense}");
    }
}
