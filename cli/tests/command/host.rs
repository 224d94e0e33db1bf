//! A host of a test: a home, a PATH with a `go` of its own (or none), and nothing of the real environment.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What the fake `go env` says when a story has no wish of its own.
pub(crate) const GO_ENV: &str = r#"{"GOPROXY":"https://proxy.example,direct","GOSUMDB":"sum.golang.org","GONOSUMDB":"","GOPRIVATE":""}"#;

pub(crate) struct Host {
    home: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Host {
    /// A host whose `go env` says [`GO_ENV`].
    pub(crate) fn new() -> Self {
        Self::with_go(&format!("echo '{GO_ENV}'"))
    }

    /// A host whose `go` is this shell script.
    pub(crate) fn with_go(script: &str) -> Self {
        let host = Self::without_go();
        host.script("go", script);
        host
    }

    pub(crate) fn without_go() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("bin")).unwrap();
        Self { home }
    }

    /// Puts a shell script on the PATH. Another process writes it: while this one had it open, a process that another
    /// test forks at that moment would hold it open too, and the system runs no file that is open for writing.
    pub(crate) fn script(&self, name: &str, script: &str) {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "cat > \"$0\" && chmod +x \"$0\""])
            .arg(self.path(&format!("bin/{name}")))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let text = format!("#!/bin/sh\n{script}\n");
        let mut stdin = shell.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        drop(stdin);
        assert!(shell.wait().unwrap().success());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file below the home.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `modmesh` with these arguments, in this host's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_modmesh"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", self.path("bin"))
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn modmesh(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    /// The same with variables.
    pub(crate) fn modmesh_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
        let mut command = self.command(arguments);
        Ended::of(command.envs(variables.iter().copied()).output().unwrap())
    }
}

impl Ended {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts a refusal: this exit code, one line on stderr in the command's name, with all `words`.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.starts_with("modmesh: "), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word} is missing in {self:?}");
        }
    }
}
