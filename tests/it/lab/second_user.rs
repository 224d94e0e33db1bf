//! Another user of this machine, who is not the one that runs the daemon.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use harness::git::{path_with, script};
use harness::lab::Forbidden;
use harness::{FakeUpstream, GitRepository, HostOptions, Module, TestHost, process};

use crate::LabTest;

pub(crate) const TESTS: &[(&str, LabTest)] = &[
    (
        "direct_is_for_the_user_who_runs_the_daemon_alone",
        direct_is_for_the_user_who_runs_the_daemon_alone,
    ),
    (
        "a_run_for_the_owner_is_shared_with_nobody",
        a_run_for_the_owner_is_shared_with_nobody,
    ),
    (
        "what_direct_brought_and_the_database_proves_is_for_every_user",
        what_direct_brought_and_the_database_proves_is_for_every_user,
    ),
];

/// The user `nobody`.
const OTHER_USER: u32 = 65534;

/// Status and body of a path, asked for by the other user.
fn get_as_other(host: &TestHost, path: &str) -> Result<(u16, String), Forbidden> {
    let address = host.url().replace("http://", "");
    let (ip, port) = address.rsplit_once(':').unwrap();
    let script = format!(
        "exec 3<>/dev/tcp/{ip}/{port} && \
         printf 'GET /{path} HTTP/1.1\\r\\nHost: {address}\\r\\nConnection: close\\r\\n\\r\\n' >&3 && cat <&3"
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir("/");
    command.uid(OTHER_USER).gid(OTHER_USER);
    if !rustix::process::geteuid().is_root() || !may_become_other() {
        return Err(Forbidden("only root can ask as another user".to_owned()));
    }
    let answer = process::run(&mut command, Duration::from_secs(60)).expect_success();
    let status = answer.stdout.get(9..12).and_then(|code| code.parse().ok());
    let (_, body) = answer.stdout.split_once("\r\n\r\n").unwrap();
    Ok((status.expect("a status line"), body.to_owned()))
}

/// In a user namespace of one user there is no other.
fn may_become_other() -> bool {
    let mut command = Command::new("true");
    command.uid(OTHER_USER).gid(OTHER_USER).status().is_ok()
}

fn host(repository: &GitRepository, list: &str, sumdb: Option<&str>) -> TestHost {
    let home = repository.home();
    let mut options = HostOptions::new("A")
        .upstream(list)
        .variable("HOME", home.to_str().unwrap());
    if let Some(sumdb) = sumdb {
        options = options.sumdb(sumdb);
    }
    options.start()
}

/// How often `go` was run for a kind of file.
fn runs(host: &TestHost) -> f64 {
    host.metric("modmesh_upstream_requests_total", &[("code", "200")])
}

fn direct_is_for_the_user_who_runs_the_daemon_alone() -> Result<(), Forbidden> {
    let repository = GitRepository::new("git.example.test/secret");
    let module = repository.module();
    let go_mod = format!("module {module}\n\ngo 1.21\n");
    repository.commit(&[("go.mod", &go_mod), ("a.go", "package secret\n")]);
    repository.tag("v1.0.0");
    let host = host(&repository, "direct", None);
    let paths = ["@v/list", "@latest", "@v/main.info", "@v/v1.0.0.info"]
        .into_iter()
        .chain(["@v/v1.0.0.mod", "@v/v1.0.0.zip"])
        .map(|file| format!("{module}/{file}"));
    let paths: Vec<String> = paths.collect();
    let refused = |when: &str| {
        for path in &paths {
            let (status, text) = get_as_other(&host, path)?;
            assert_eq!(status, 403, "{path} {when}: {text}");
            assert!(text.contains("run a daemon of your own"), "{text}");
        }
        Ok(())
    };
    refused("before the owner asked")?;
    assert_eq!(runs(&host), 0.0);
    for path in &paths {
        host.get(path).expect_body();
    }
    let done = runs(&host);
    assert_eq!(done, 6.0);
    refused("when it is here")?;
    assert_eq!(runs(&host), done);
    Ok(())
}

fn a_run_for_the_owner_is_shared_with_nobody() -> Result<(), Forbidden> {
    let repository = GitRepository::new("git.example.test/secret");
    let module = repository.module();
    let begun = repository.home().join("begun");
    let git = script(
        "git",
        &format!("echo begun > {}\nsleep 1000", begun.display()),
    );
    let home = repository.home();
    let mut host = HostOptions::new("A")
        .upstream("direct")
        .variable("HOME", home.to_str().unwrap())
        .variable("PATH", &path_with(git.path()))
        .start();
    for file in ["@v/list", "@v/v1.0.0.zip"] {
        let path = format!("{module}/{file}");
        let request = host.request(&path);
        let owner = std::thread::spawn(move || request.send().map(|answer| answer.status));
        host.wait_until("git runs", |_| begun.exists());
        let (status, text) = get_as_other(&host, &path)?;
        assert_eq!(status, 403, "{text}");
        assert!(!owner.is_finished());
        std::fs::remove_file(&begun).unwrap();
    }
    assert!(host.stop().success());
    Ok(())
}

fn what_direct_brought_and_the_database_proves_is_for_every_user() -> Result<(), Forbidden> {
    let repository = GitRepository::new("git.example.test/public");
    let module = Module::new(&repository.module(), "v1.0.0").file("a.go", "package public\n");
    let go_mod = String::from_utf8(module.go_mod()).unwrap();
    repository.commit(&[("go.mod", &go_mod), ("a.go", "package public\n")]);
    repository.tag("v1.0.0");
    let upstream = FakeUpstream::start([module.clone()]);
    upstream.fault(
        "git.example.test/*",
        harness::Fault::status(404, "not here"),
    );
    let list = format!("{},direct", upstream.url());
    let host = host(&repository, &list, Some(&upstream.sumdb()));
    // Behind a proxy's 404 it stays one, so that go can pass on to other prefixes of a path.
    let (status, text) = get_as_other(&host, &module.url_path("mod"))?;
    assert_eq!(status, 404, "{text}");
    assert!(text.starts_with("not here\n"), "{text}");
    assert!(text.contains("run a daemon of your own"), "{text}");
    host.get(&module.url_path("mod")).expect_body();
    let (status, text) = get_as_other(&host, &module.url_path("mod"))?;
    assert_eq!(status, 200);
    assert_eq!(text.as_bytes(), module.go_mod());
    Ok(())
}
