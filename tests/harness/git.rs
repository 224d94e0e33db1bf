//! A git repository on this machine that answers under a name of the internet.
//!
//! `go` and `git` think that they reach `https://NAME`; a `.gitconfig` in a home folder turns that into the folder of the
//! repository. Nothing leaves the machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process;

/// A repository with a work tree that can be committed to, and the home folder through which it is reached.
#[derive(Debug)]
pub struct GitRepository {
    folder: TempDir,
    address: String,
}

impl GitRepository {
    /// An empty one that is reached as `https://ADDRESS`, for example `git.example.test/repo`.
    ///
    /// # Panics
    /// Without `git` on this machine.
    pub fn new(address: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("modmesh-git-")
            .tempdir()
            .expect("a directory for a repository");
        let this = Self {
            folder,
            address: address.to_owned(),
        };
        std::fs::create_dir(this.tree()).unwrap();
        std::fs::create_dir(this.home()).unwrap();
        this.git(&["init", "--quiet", "--initial-branch=main"]);
        std::fs::write(
            this.home().join(".gitconfig"),
            format!(
                "[url \"file://{}\"]\n\tinsteadOf = https://{address}\n[safe]\n\tdirectory = *\n",
                this.tree().display()
            ),
        )
        .unwrap();
        this
    }

    /// HOME for whoever is to reach the repository.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The module path of the repository's root: its address, with the ending that tells `go` that it is git.
    pub fn module(&self) -> String {
        format!("{}.git", self.address)
    }

    /// Writes files, given by their paths from the root, commits them and returns the commit's hash.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            let file = self.tree().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "a change"]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Names the last commit by a tag.
    pub fn tag(&self, tag: &str) {
        self.git(&["tag", tag]);
    }

    /// Goes on, on a new branch.
    pub fn branch(&self, branch: &str) {
        self.git(&["checkout", "--quiet", "-b", branch]);
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(self.tree())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{who}_NAME"), "a person")
                .env(format!("GIT_{who}_EMAIL"), "person@example.test")
                .env(format!("GIT_{who}_DATE"), "2026-01-02T03:04:05Z");
        }
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        let output = process::run(&mut command, Duration::from_secs(60));
        output.expect_success().stdout
    }
}

/// A script called `name` in a folder of its own, to be put first into PATH.
pub fn script(name: &str, text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a directory for a script");
    let written = folder.path().join("text");
    std::fs::write(&written, format!("#!/bin/sh\n{text}\n")).unwrap();
    process::install(&written, &folder.path().join(name));
    folder
}

/// The PATH of this process with `first` before it.
pub fn path_with(first: &Path) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", first.display())
}
