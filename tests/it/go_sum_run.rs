//! What `modmesh run` finds of go.sum in the folder that it is started in, and what it says when there is none to give.

use harness::{FakeUpstream, GoHome};

use crate::go_sum::{forged, project, run, without_database};
use crate::scene::hello;

#[test]
fn a_go_sum_that_was_deleted_vouches_for_nothing_any_more() {
    let upstream = FakeUpstream::start([hello()]);
    let host = without_database("A", &upstream.url()).start();
    let go = GoHome::new("off", "off");
    let folder = project(&go, &forged().sum_lines());
    let refused = run(&host, &go, &folder, &["go", "build", "./..."]).expect_failure();
    assert!(refused.stderr.contains("502 Bad Gateway"), "{refused}");
    std::fs::remove_file(folder.join("go.sum")).unwrap();
    for words in [&["go", "mod", "tidy"][..], &["go", "build", "./..."]] {
        let done = run(&host, &go, &folder, words).expect_success();
        assert!(!done.stderr.contains("modmesh:"), "{done}");
    }
    // What tidy wrote counts from the next command on.
    assert_eq!(host.status()["go_sum"]["lines"], 2);
}

#[test]
fn of_a_go_sum_that_is_no_file_run_says_so() {
    let host = without_database("A", "off").start();
    let go = GoHome::new("off", "off");
    let folder = go.project("project", &[("go.mod", "module example.com/project\n")]);
    std::os::unix::fs::symlink("/dev/zero", folder.join("go.sum")).unwrap();
    let done = run(&host, &go, &folder, &["true"]).expect_success();
    assert!(
        done.stderr
            .contains("/project/go.sum was not given to the daemon: it is no regular file"),
        "{done}"
    );
}
