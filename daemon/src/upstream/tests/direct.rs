//! `direct`: what the fence holds, with the real `go` and with scripts in its place.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;

const INFO: &str = "git.example.test/repo.git/@v/v1.0.0.info";

/// A folder with a script in the place of a command, and room for what it writes.
struct Stage(TempDir);

impl Stage {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A command that runs `text`; `$STAGE` is this folder.
    fn script(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path().join(name);
        let stage = self.path().display();
        fs::write(&file, format!("#!/bin/sh\nSTAGE={stage}\n{text}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    fn options(&self) -> Options {
        let mut options = options();
        options.direct.folder = Some(self.path().join("direct"));
        options
    }

    /// An upstream of `direct` alone whose `go` is the script.
    fn with_go(&self, text: &str, change: impl FnOnce(&mut DirectOptions)) -> Upstream {
        let mut options = self.options();
        options.direct.go = Some(self.script("go", text));
        change(&mut options.direct);
        upstream("direct", options).with_direct()
    }

    /// Process ids that scripts wrote, one in a line.
    fn pids(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.path().join("pids")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    async fn until_pids(&self, count: usize) -> Vec<u32> {
        loop {
            let pids = self.pids();
            if pids.len() >= count {
                return pids;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[track_caller]
    fn expect_nothing_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        for pid in self.pids() {
            while lives(pid) {
                assert!(Instant::now() < deadline, "process {pid} lives on");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let left: Vec<_> = fs::read_dir(self.path().join("direct")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Whether a process is there that has not ended; whose parent has not waited for it yet has ended all the same.
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Sleeps far longer than a test, with a child that does too.
const HANG: &str = "echo $$ >> $STAGE/pids\nsleep 1000 &\necho $! >> $STAGE/pids\nsleep 1000";

#[tokio::test]
async fn a_git_that_hangs_is_killed_with_its_children_at_the_deadline() {
    let stage = Stage::new();
    stage.script("git", HANG);
    let mut options = stage.options();
    options.direct.deadline = Duration::from_secs(3);
    assert!(options.direct.go.is_some(), "this test needs go on PATH");
    let path = format!("{}:/usr/bin:/bin", stage.path().display());
    options.direct.environment = vec![
        ("PATH".into(), path.into()),
        ("HOME".into(), stage.path().into()),
    ];
    let upstream = upstream("direct", options).with_direct();
    let began = Instant::now();
    let error = upstream.get(INFO, 99).await.unwrap_err();
    assert!(
        matches!(error, UpstreamError::DirectFailed { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("not done after 3 s"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(8));
    assert!(stage.pids().len() >= 2, "git was not run");
    stage.expect_nothing_left();
    assert_eq!(upstream.entries()[0].state.as_str(), "down");
    assert!(!upstream.is_down(), "another repository may answer");
}

#[tokio::test]
async fn when_nobody_waits_any_more_the_run_ends() {
    let stage = Stage::new();
    let upstream = stage.with_go(HANG, |_| {});
    let asking = upstream.clone();
    let asker = tokio::spawn(async move { asking.get(INFO, 99).await.is_ok() });
    stage.until_pids(2).await;
    asker.abort();
    assert!(asker.await.unwrap_err().is_cancelled());
    upstream.end().await;
    stage.expect_nothing_left();
}

#[tokio::test]
async fn the_end_of_the_daemon_ends_a_run_and_no_other_is_begun() {
    let stage = Stage::new();
    let upstream = stage.with_go(HANG, |direct| direct.runs_max = 1);
    let asking = upstream.clone();
    let asker = tokio::spawn(async move { asking.get(INFO, 99).await });
    stage.until_pids(2).await;
    let (waiting, ()) = tokio::join!(upstream.get(INFO, 99), upstream.end());
    for error in [waiting.unwrap_err(), asker.await.unwrap().unwrap_err()] {
        assert!(error.to_string().contains("daemon ends"), "{error}");
    }
    assert_eq!(stage.pids().len(), 2);
    stage.expect_nothing_left();
}

#[tokio::test]
async fn no_more_runs_than_allowed_and_whoever_waits_too_long_is_told() {
    let stage = Stage::new();
    let upstream = stage.with_go(HANG, |direct| {
        direct.runs_max = 1;
        direct.deadline = Duration::from_secs(1);
    });
    let (first, second) = tokio::join!(upstream.get(INFO, 99), upstream.get(INFO, 99));
    assert!(first.unwrap_err().to_string().contains("not done"));
    let second = second.unwrap_err().to_string();
    assert!(second.contains("taken all places"), "{second}");
    assert_eq!(stage.pids().len(), 2, "one run with its child");
    stage.expect_nothing_left();
}

#[tokio::test]
async fn what_go_leaves_running_does_not_keep_the_answer() {
    let stage = Stage::new();
    let upstream = stage.with_go(
        "sleep 1000 & echo $! >> $STAGE/pids\necho '{\"Versions\":[\"v1.0.0\",\"v1.1.0\"]}'",
        |_| {},
    );
    let got = upstream
        .get("git.example.test/m/@v/list", 99)
        .await
        .unwrap();
    assert_eq!(&got.body[..], b"v1.0.0\nv1.1.0\n");
    assert!(got.by_direct);
    stage.expect_nothing_left();
    assert_eq!(upstream.entries()[0].state.as_str(), "up");
}

#[tokio::test]
async fn a_flood_of_output_is_bounded() {
    let stage = Stage::new();
    for flood in ["yes >&2", "yes", "yes $(yes | head -c 60000) >&2"] {
        let upstream = stage.with_go(&format!("echo $$ >> $STAGE/pids\n{flood}"), |_| {});
        let error = upstream.get(INFO, 99).await.unwrap_err();
        assert!(error.to_string().contains("more than is read"), "{error}");
        stage.expect_nothing_left();
    }
    // What is long and ends is cut for the client.
    let upstream = stage.with_go("yes go: no | head -c 1000000 >&2\nexit 1", |_| {});
    let error = upstream.get(INFO, 99).await.unwrap_err();
    let answer = error.answer().unwrap();
    assert_eq!(answer.status, 404);
    let text = answer.text.as_deref().unwrap();
    assert!(
        text.starts_with("go: no\n") && text.len() <= 8192,
        "{}",
        text.len()
    );
    stage.expect_nothing_left();
}

#[tokio::test]
async fn a_repository_that_fills_the_disk_is_ended() {
    let stage = Stage::new();
    let upstream = stage.with_go(
        "echo $$ >> $STAGE/pids\nhead -c 3000000 /dev/zero > $GOMODCACHE/pack\nexec sleep 1000",
        |direct| direct.folder_bytes_max = 1_000_000,
    );
    let error = upstream.get(INFO, 99).await.unwrap_err();
    assert!(error.to_string().contains("1000000 bytes"), "{error}");
    stage.expect_nothing_left();
}

#[tokio::test]
async fn a_file_that_is_longer_than_wanted_is_not_taken() {
    let stage = Stage::new();
    let place = "$GOMODCACHE/cache/download/git.example.test/repo.git/@v";
    let upstream = stage.with_go(
        &format!("mkdir -p {place}\nhead -c 3000 /dev/zero > {place}/v1.0.0.info\necho '{{\"Version\":\"v1.0.0\"}}'"),
        |_| {},
    );
    let error = upstream.get(INFO, 2999).await.unwrap_err();
    assert!(matches!(error, UpstreamError::TooLarge { .. }), "{error}");
    assert_eq!(upstream.get(INFO, 3000).await.unwrap().body.len(), 3000);
    stage.expect_nothing_left();
}

#[tokio::test]
async fn without_a_go_that_can_be_started_the_error_says_so() {
    let stage = Stage::new();
    for (go, text, state) in [
        (None, "no go command on PATH", "down"),
        (
            Some(stage.path().join("nothing")),
            "cannot be started",
            "untried",
        ),
    ] {
        let mut options = stage.options();
        options.direct.go = go.clone();
        let upstream = upstream("direct", options).with_direct();
        assert_eq!(upstream.entries()[0].state.as_str(), state);
        assert_eq!(upstream.is_down(), go.is_none());
        let error = upstream.get(INFO, 99).await.unwrap_err();
        assert!(matches!(error, UpstreamError::DirectFailed { .. }));
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(upstream.entries()[0].state.as_str(), "down");
    }
}

/// Behind an entry that failed in each way, with each separator: whether `direct` is asked, and whose word is told.
#[tokio::test]
async fn the_list_comes_to_direct_as_go_does() {
    let stage = Stage::new();
    for (separator, status, is_asked, told) in [
        (',', 404, true, 404),
        (',', 410, true, 404),
        (',', 500, false, 500),
        ('|', 404, true, 404),
        ('|', 403, true, 403),
        ('|', 500, true, 500),
    ] {
        let _begin_anew = fs::remove_file(stage.path().join("pids"));
        let fake = fake_with(Some(status)).await;
        let mut options = stage.options();
        options.direct.go =
            Some(stage.script("go", "echo $$ >> $STAGE/pids\necho go: no >&2\nexit 1"));
        let list = format!("{}{separator}direct", fake.url());
        let upstream = upstream(&list, options);
        let error = upstream.get(LIST, 99).await.unwrap_err();
        assert!(stage.pids().is_empty(), "{list} without the right");
        let answer = error.answer().unwrap();
        assert_eq!(answer.status, status);
        let says_why = answer.text.as_deref().unwrap().contains("only that user");
        assert_eq!(says_why, is_asked, "{list} {status}: {error}");

        let error = upstream.with_direct().get(LIST, 99).await.unwrap_err();
        assert_eq!(!stage.pids().is_empty(), is_asked, "{list} {status}");
        let answer = error.answer().unwrap();
        assert_eq!(answer.status, told, "{error}");
        assert_eq!(answer.text.as_deref().unwrap().contains("go: no"), is_asked);
    }
}
