//! Another user of the same machine, who may not ask a daemon what modules its user works with.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::lab::Forbidden;
use harness::process::{self, Output};
use harness::{FakeUpstream, HostOptions, Module, TestHost};

use crate::LabTest;

pub(crate) const TESTS: &[(&str, LabTest)] = &[(
    "another_user_is_told_nothing_at_the_back_door",
    another_user_is_told_nothing_at_the_back_door,
)];

/// A user who owns nothing (`nobody` on most systems).
const ANOTHER_USER: u32 = 65534;
const MODULE: &str = "example.com/secret@v1.0.0";

/// `modmesh explain` of the host's state folder as `user`, run from a copy of the binary that everybody can reach.
fn explain(binary: &Path, host: &TestHost, user: u32) -> Output {
    let mut command = Command::new(binary);
    command.args(["explain", MODULE, "--state"]);
    command.arg(host.state()).env_clear().current_dir("/");
    command.uid(user).gid(user);
    process::run(&mut command, Duration::from_secs(30))
}

fn can_be_another_user() -> Result<(), Forbidden> {
    let possible = Command::new("true")
        .uid(ANOTHER_USER)
        .gid(ANOTHER_USER)
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !possible {
        let forbidden = "only root of the machine can run something as another user";
        return Err(Forbidden(forbidden.to_owned()));
    }
    let reaches = Command::new("test")
        .arg("-x")
        .arg(std::env::temp_dir())
        .uid(ANOTHER_USER)
        .gid(ANOTHER_USER)
        .status()
        .is_ok_and(|status| status.success());
    let forbidden = "another user cannot reach the folder for temporary files; see TMPDIR";
    reaches
        .then_some(())
        .ok_or_else(|| Forbidden(forbidden.to_owned()))
}

fn another_user_is_told_nothing_at_the_back_door() -> Result<(), Forbidden> {
    can_be_another_user()?;
    let module = Module::package("example.com/secret", "v1.0.0");
    let upstream = FakeUpstream::start([module.clone()]);
    let host = HostOptions::new("A")
        .upstream(&upstream.url())
        .sumdb(&upstream.sumdb())
        .start();
    host.get(&module.url_path("mod")).expect_body();
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    open(folder.path(), 0o755);
    let binary = folder.path().join("modmesh");
    fs::copy(harness::host::modmesh_binary(), &binary).unwrap();

    // The folder keeps others out.
    let shut = explain(&binary, &host, ANOTHER_USER);
    assert_eq!(shut.status.code(), Some(1), "{shut}");
    assert!(shut.stderr.contains("another user"), "{shut}");
    // So does the socket's own mode, where somebody opened the folder.
    open(host.state().parent().unwrap(), 0o755);
    open(host.state(), 0o755);
    let shut = explain(&binary, &host, ANOTHER_USER);
    assert_eq!(shut.status.code(), Some(1), "{shut}");
    assert!(shut.stderr.contains("another user"), "{shut}");
    // And where somebody opened the socket too, the daemon asks the system who it is.
    open(&host.socket(), 0o666);
    let sent_away = explain(&binary, &host, ANOTHER_USER);
    assert_eq!(sent_away.status.code(), Some(1), "{sent_away}");
    assert!(!sent_away.stdout.contains("proven"), "{sent_away}");
    host.wait_for_line("another user came to the control socket");
    // Its own user is told.
    let told = explain(&binary, &host, 0).expect_success();
    assert!(told.stdout.contains("proven"), "{told}");
    Ok(())
}
