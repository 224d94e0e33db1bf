//! A port of loopback belongs to whoever takes it first: commands do not send `go` to another user's daemon.
//!
//! Root plays all the users. Where the tests do not run as root there is one user only, and nothing can be shown; the
//! table of owners is tested in the command itself.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::host::modmesh_binary;
use harness::process::{self, Output};

const ANNA: u32 = 54_321;
const BOB: u32 = 54_322;
/// A system user.
const SERVICE: u32 = 876;

/// A machine with several users, each with a home, and a binary that all may run.
struct Machine {
    folder: tempfile::TempDir,
}

/// A daemon of one of them.
struct Daemon {
    child: Child,
    listen: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Machine {
    /// Nothing where this user is not root.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        process::install(&modmesh_binary(), &folder.path().join("modmesh"));
        for user in [0, ANNA, BOB, SERVICE] {
            let home = folder.path().join(user.to_string());
            std::fs::create_dir(&home).unwrap();
            std::os::unix::fs::chown(&home, Some(user), Some(user)).unwrap();
        }
        Some(Self { folder })
    }

    fn home(&self, user: u32) -> PathBuf {
        self.folder.path().join(user.to_string())
    }

    fn modmesh(&self, user: u32, words: &[&str]) -> Command {
        let mut command = Command::new(self.folder.path().join("modmesh"));
        command
            .args(words)
            .env_clear()
            .env("HOME", self.home(user))
            .env("PATH", "/usr/bin:/bin")
            .current_dir(self.home(user))
            .uid(user)
            .gid(user);
        command
    }

    fn up(&self, user: u32) -> Daemon {
        let words = [
            "up",
            "--offline",
            "--no-mdns",
            "--sumdb=off",
            "--private=none.example",
            "--upstream=off",
            "--listen=127.0.0.1:0",
            "--peer-listen=127.0.0.1:0",
        ];
        let mut command = self.modmesh(user, &words);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines
            .find_map(|line| {
                line.unwrap()
                    .split_once("http://")
                    .map(|(_, at)| at.to_owned())
            })
            .unwrap();
        // Read on, so that it never waits for this pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Daemon {
            child,
            listen: line,
        }
    }

    /// `user` asks the daemon at `listen`.
    fn ask(&self, user: u32, words: &[&str], listen: &str) -> Output {
        let mut command = self.modmesh(user, words);
        command.env("MODMESH_LISTEN", listen);
        process::run(&mut command, Duration::from_secs(60))
    }
}

#[test]
fn another_users_daemon_is_neither_run_through_nor_looked_at() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let bobs = machine.up(BOB);
    for words in [
        &["run", "--", "touch", "ran"] as &[&str],
        &["status"],
        &["peers"],
    ] {
        let refused = machine.ask(ANNA, words, &bobs.listen);
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        for word in [&BOB.to_string(), &bobs.listen, "another user", "--listen"] {
            assert!(refused.stderr.contains(word), "{word} in {refused}");
        }
    }
    assert!(!machine.home(ANNA).join("ran").exists());
    let report = machine.ask(ANNA, &["doctor"], &bobs.listen);
    assert!(report.stdout.contains("another user"), "{report}");

    // Bob himself may, and root may look, but sends no go there.
    machine
        .ask(BOB, &["run", "--", "touch", "ran"], &bobs.listen)
        .expect_success();
    assert!(machine.home(BOB).join("ran").exists());
    machine.ask(0, &["status"], &bobs.listen).expect_success();
    let refused = machine.ask(0, &["run", "--", "touch", "ran"], &bobs.listen);
    assert!(refused.stderr.contains("another user"), "{refused}");
    assert!(!machine.home(0).join("ran").exists());
}

#[test]
fn a_service_of_the_system_may_be_used_by_everybody_who_names_it() {
    let Some(machine) = Machine::new() else {
        return;
    };
    for owner in [0, SERVICE] {
        let service = machine.up(owner);
        machine
            .ask(ANNA, &["status"], &service.listen)
            .expect_success();
        machine
            .ask(ANNA, &["run", "--", "true"], &service.listen)
            .expect_success();
        let report = machine.ask(ANNA, &["doctor"], &service.listen);
        assert!(report.stdout.contains("not looked into"), "{report}");
    }
}

#[test]
fn who_builds_through_roots_daemon_is_told_that_it_takes_no_go_sum_where_nothing_else_judges() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let daemon = machine.up(0);
    std::fs::write(machine.home(ANNA).join("go.mod"), "module example.com/m\n").unwrap();
    let run = |user: u32| machine.ask(user, &["run", "--", "true"], &daemon.listen);
    let said = run(ANNA).expect_success();
    assert!(
        said.stderr.contains("does not take this project's go.sum")
            && said
                .stderr
                .contains("it is another user's; run one of your own"),
        "{said}"
    );
    std::fs::write(machine.home(0).join("go.mod"), "module example.com/m\n").unwrap();
    assert_eq!(run(0).expect_success().stderr, "");
}
