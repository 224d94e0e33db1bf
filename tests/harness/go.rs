//! The real `go` command, in a home of its own.
//!
//! Each [`GoHome`] has a fresh GOPATH, module cache, build cache and HOME, and an environment that holds nothing else but
//! what the test gave it. The go command never fetches another toolchain.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::place::Place;
use crate::process;

/// What a run of `go` left behind.
pub type GoOutput = process::Output;

/// A user's home, as far as `go` sees it.
#[derive(Debug)]
pub struct GoHome {
    home: TempDir,
    variables: Vec<(String, String)>,
    place: Place,
    deadline: Duration,
    program: PathBuf,
}

impl GoHome {
    /// A fresh home whose modules come from `proxy` (GOPROXY) and are checked with `sumdb` (GOSUMDB).
    pub fn new(proxy: &str, sumdb: &str) -> Self {
        let home = tempfile::Builder::new()
            .prefix("modmesh-go-")
            .tempdir()
            .expect("a directory for the home of go");
        let inside = |name: &str| home.path().join(name).display().to_string();
        let variables = [
            ("HOME", inside("")),
            ("GOPATH", inside("gopath")),
            ("GOMODCACHE", inside("gopath/pkg/mod")),
            ("GOCACHE", inside("build")),
            ("GOENV", "off".to_owned()),
            ("GOTOOLCHAIN", "local".to_owned()),
            ("GOTELEMETRY", "off".to_owned()),
            ("GOFLAGS", "-modcacherw -buildvcs=false".to_owned()),
            ("GOPROXY", proxy.to_owned()),
            ("GOSUMDB", sumdb.to_owned()),
        ];
        Self {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            home,
            place: Place::Here,
            deadline: Duration::from_secs(120),
            program: PathBuf::from("go"),
        }
    }

    /// Sets one more variable, or another value of one of those above.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(other, _)| other != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs in the given place.
    #[must_use]
    pub fn in_place(mut self, place: &Place) -> Self {
        self.place = place.clone();
        self
    }

    /// Uses the go command of this installation (GOROOT) instead of the one on the path.
    #[must_use]
    pub fn installed_in(mut self, goroot: &Path) -> Self {
        self.program = goroot.join("bin/go");
        self.variable("GOROOT", &goroot.display().to_string())
    }

    /// Ends each run after `deadline` instead of 120 s.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Uses a build cache that is shared with others, so that the standard library is compiled once.
    #[must_use]
    pub fn build_cache(self, directory: &Path) -> Self {
        self.variable("GOCACHE", &directory.display().to_string())
    }

    /// The home's directory.
    pub fn path(&self) -> &Path {
        self.home.path()
    }

    /// The module cache.
    pub fn module_cache(&self) -> PathBuf {
        self.home.path().join("gopath/pkg/mod")
    }

    /// Makes a directory inside the home with the given files.
    pub fn project(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let directory = self.home.path().join(name);
        std::fs::create_dir_all(&directory).expect("a directory for the project");
        for (file, content) in files {
            std::fs::write(directory.join(file), content).expect("a file of the project");
        }
        directory
    }

    /// The command, ready to run in `directory`.
    pub fn command(&self, directory: &Path, arguments: &[&str]) -> std::process::Command {
        let mut command = self.place.command(&self.program);
        command.args(arguments).current_dir(directory).env_clear();
        for name in ["PATH", "GOROOT", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `go` in a directory.
    pub fn run_in(&self, directory: &Path, arguments: &[&str]) -> GoOutput {
        process::run(&mut self.command(directory, arguments), self.deadline)
    }

    /// Runs `go` outside of any module.
    pub fn run(&self, arguments: &[&str]) -> GoOutput {
        self.run_in(self.home.path(), arguments)
    }

    /// Runs `go mod download -json MODULE@VERSION`.
    pub fn download(&self, module: &str) -> GoOutput {
        self.run(&["mod", "download", "-json", module])
    }

    /// The bytes of a downloaded file as they lie in the module cache, or nothing.
    pub fn downloaded(&self, url_path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.module_cache().join("cache/download").join(url_path)).ok()
    }
}
