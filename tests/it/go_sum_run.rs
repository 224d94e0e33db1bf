//! What `modmesh run` finds of go.sum in the folder that it is started in, and what it says when there is none to give.

use harness::{FakeUpstream, GoHome};

use crate::go_sum::{forged, project, run, without_database};
use crate::scene::{hello, online};

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

#[test]
fn where_no_module_is_found_and_nothing_else_judges_run_says_so() {
    let upstream = FakeUpstream::start([hello()]);
    let off = without_database("A", "off").start();
    let judged = online("B", &upstream).start();
    let go = GoHome::new("off", "off");
    let folder = go.project("nothing", &[("readme", "")]);
    let words = &["true"];
    let said = run(&off, &go, &folder, words).expect_success();
    assert!(
        said.stderr.contains("there is no go.mod in this folder"),
        "{said}"
    );
    assert!(said.stderr.contains("`go -C`"), "{said}");
    let said = run(&judged, &go, &folder, words).expect_success();
    assert_eq!(said.stderr, "");
    // There may be one for new code, that has no go.sum yet.
    let folder = go.project("new", &[("go.mod", "module example.com/new\n")]);
    let said = run(&off, &go, &folder, words).expect_success();
    assert_eq!(said.stderr, "");
}
