//! Stories of a store that must make room, and of who may take a body out when.

use super::*;

/// Makes the body of `version` one that was asked for last so long ago.
fn age(store: &Store, version: &str, ago: Duration) {
    let entry = store
        .inner
        .catalog
        .get(KeyHash::of_file(&key(version)))
        .unwrap();
    let ago_ms = u64::try_from(ago.as_millis()).unwrap();
    let last_ms = super::super::now_ms() - ago_ms;
    entry.last_request_ms.store(last_ms, Ordering::Relaxed);
}

#[tokio::test]
async fn on_a_full_disk_goes_what_nobody_asked_for_lately_and_nothing_else() {
    const HOUR: Duration = Duration::from_secs(3600);
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    put(&store, "v1.0.0", 100).await;
    put(&store, "v1.0.1", 100).await;
    assert!(!store.make_room(), "all of it is wanted");
    assert_eq!(store.totals().blobs, 2);
    age(&store, "v1.0.0", HOUR + Duration::from_secs(1));
    age(&store, "v1.0.1", HOUR - Duration::from_secs(60));
    assert!(store.make_room());
    assert!(!body(&folder, "v1.0.0").exists());
    assert!(store.get(&key("v1.0.1")).is_some());
    // Who comes a moment later tries with what was made for all.
    age(&store, "v1.0.1", 2 * HOUR);
    assert!(store.make_room());
    assert!(store.get(&key("v1.0.1")).is_some());
    assert_eq!(store.losses().0, 1);
}

#[tokio::test]
async fn a_start_with_a_lower_limit_lets_go_of_what_is_over_it() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, ROOMY, false);
    for version in ["v1.0.0", "v1.0.1", "v1.0.2"] {
        put(&store, version, 1000).await;
        let_the_clock_move();
    }
    assert!(store.get(&key("v1.0.0")).is_some());
    store.end();
    drop(store);
    let store = open(&folder, 2500, false);
    assert!(store.get(&key("v1.0.0")).is_some());
    assert!(!body(&folder, "v1.0.1").exists());
    assert!(store.get(&key("v1.0.2")).is_some());
    store.end();
    drop(store);
    // Without its memory of requests it goes by when the bodies came.
    fs::remove_dir_all(folder.path().join("index")).unwrap();
    let written = |version: &str, seconds: u64| {
        let file = fs::File::options().write(true).open(body(&folder, version));
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        file.unwrap().set_modified(at).unwrap();
    };
    written("v1.0.0", 2000);
    written("v1.0.2", 1000);
    let store = open(&folder, 1200, false);
    assert!(store.get(&key("v1.0.0")).is_some());
    assert!(!body(&folder, "v1.0.2").exists());
}

#[tokio::test]
async fn a_store_is_opened_without_making_its_staging_folder_anew() {
    use std::os::unix::fs::MetadataExt;
    let folder = TempDir::new().unwrap();
    drop(open(&folder, ROOMY, false));
    let staging = folder.path().join("staging");
    fs::create_dir(staging.join("folder")).unwrap();
    fs::write(staging.join("folder/file"), b"left").unwrap();
    fs::write(staging.join("file"), b"left").unwrap();
    let before = fs::metadata(&staging).unwrap().ino();
    drop(open(&folder, ROOMY, false));
    assert_eq!(in_staging(&folder), 0);
    assert_eq!(fs::metadata(&staging).unwrap().ino(), before);
}

#[tokio::test]
async fn nothing_is_taken_out_while_a_body_is_laid() {
    type Remover = fn(&Store, &Arc<Entry>);
    let removers: [Remover; 2] = [
        |store, entry| store.quarantine(entry, "a test"),
        |store, _| assert!(store.make_room()),
    ];
    for remove in removers {
        let folder = TempDir::new().unwrap();
        let store = open(&folder, ROOMY, false);
        let entry = put(&store, "v1.0.0", 100).await.entry;
        age(&store, "v1.0.0", Duration::from_secs(2 * 3600));
        std::thread::scope(|scope| {
            let turn = store.turn();
            let removal = scope.spawn(|| remove(&store, &entry));
            // Time enough for it, if it did not wait for its turn.
            let began = Instant::now();
            while !removal.is_finished() && began.elapsed() < Duration::from_millis(100) {
                std::thread::yield_now();
            }
            assert!(store.inner.catalog.holds(&entry));
            assert!(body(&folder, "v1.0.0").exists());
            drop(turn);
        });
        assert!(!store.inner.catalog.holds(&entry));
        assert!(!body(&folder, "v1.0.0").exists());
        // What was damaged is known from what was let go of.
        let was_damaged = store.losses() == (0, 1);
        assert_eq!(store.was_put_aside(entry.proof.key()), was_damaged);
    }
}

#[test]
fn the_remedy_fits_the_error() {
    use std::io::Error;
    let said = |errno: rustix::io::Errno| {
        super::super::StoreError::from(Error::from_raw_os_error(errno.raw_os_error())).to_string()
    };
    assert!(said(rustix::io::Errno::MFILE).contains("ulimit -n"));
    assert!(!said(rustix::io::Errno::MFILE).contains("disk"));
    assert!(said(rustix::io::Errno::NOSPC).contains("free some space"));
    assert!(said(rustix::io::Errno::ROFS).contains("writable again"));
}
