//! A project to build, and the recorded answers of the upstream it needs.
//!
//! The real ones are recorded once, from the upstream of `go env GOPROXY`, and replayed from then on: runs differ in nothing
//! but what is looked at, and need the internet only the first time. The small one is made here and needs none.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::module::escape;
use crate::replay::real_upstream;
use crate::{FakeUpstream, GoHome, HeadPolicy, HostOptions, Module, Replay};

/// What people run in a project whose go.sum is there; each command stands for itself.
pub const WITH_SUMS: &[&[&str]] = &[
    &["mod", "download"],
    &["build", "./..."],
    &["mod", "vendor"],
    &["list", "-m", "all"],
];

/// What they run in one whose go.sum is missing, one after the other. The vendor folder comes last: go lists no modules
/// where there is one.
pub const WITHOUT_SUMS: &[&[&str]] = &[
    &["mod", "download"],
    &["mod", "tidy"],
    &["build", "./..."],
    &["list", "-m", "all"],
    &["mod", "vendor"],
];

const GIN: &str = "github.com/gin-gonic/gin@v1.12.0";
/// The database of the real projects.
const SUMDB: &str = "sum.golang.org";
/// Time for one command. The largest project takes a minute on a slow line.
const PATIENCE: Duration = Duration::from_secs(600);

/// The sources of a project, in a folder of their own, and where its recording lies.
#[derive(Debug)]
pub struct Project {
    folder: TempDir,
    recording: PathBuf,
    sumdb: String,
}

impl Project {
    /// A project of two modules and a checksum database of its own, every lookup of which comes with another tree head.
    pub fn small() -> Self {
        let upstream = FakeUpstream::start([]);
        upstream.log(|log| log.pad_to(250));
        upstream.publish(&Module::package("example.com/word", "v1.1.0"));
        upstream.log(|log| log.pad_to(600));
        upstream.publish(
            &Module::package("example.com/hello", "v1.0.0")
                .requires("example.com/word", "v1.1.0")
                .file("use.go", "package hello\n\nimport _ \"example.com/word\"\n")
                .bulk("noise.bin", 300_000),
        );
        upstream.log(|log| log.pad_to(1000));
        upstream.send_heads(HeadPolicy::Cached(7));

        let folder = TempDir::new().expect("a folder for the project");
        let project = Self {
            recording: folder.path().join("recording"),
            sumdb: upstream.sumdb(),
            folder,
        };
        fs::create_dir_all(project.sources()).expect("a folder for the sources");
        let write = |name: &str, text: &str| {
            fs::write(project.sources().join(name), text).expect("a source of the project");
        };
        let go_mod = "module example.com/project\n\ngo 1.21\n\nrequire example.com/hello v1.0.0\n";
        write("go.mod", go_mod);
        write(
            "a.go",
            "package project\n\nimport _ \"example.com/hello\"\n",
        );
        let source = Replay::record(&project.recording, &upstream.url());
        let go = project.home(&source.url());
        go.run_in(&project.sources(), &["mod", "tidy"])
            .expect_success();
        project.record(&source);
        project
    }

    /// The unpacked zip of github.com/gin-gonic/gin v1.12.0, a project of 35 modules. `recording` is filled from the real
    /// upstream when it does not hold all answers yet.
    pub fn gin(recording: &Path) -> Self {
        let project = Self::real(recording);
        let (source, complete) = project.source("gin");
        let go = project.home(&source.url());
        go.download(GIN).expect_success();
        copy_tree(&go.module_cache().join(GIN), &project.sources());
        if let Some(complete) = complete {
            project.record(&source);
            fs::write(complete, "").expect("the recording's marker");
        }
        project
    }

    /// A folder with a go.mod and a go.sum and nothing to build; `recording` as for [`Project::gin`].
    pub fn folder(from: &Path, recording: &Path) -> Self {
        let name = from.file_name().unwrap_or_default().to_string_lossy();
        let project = Self::real(recording);
        let (source, complete) = project.source(&name);
        copy_tree(from, &project.sources());
        if let Some(complete) = complete {
            project.record(&source);
            fs::write(complete, "").expect("the recording's marker");
        }
        project
    }

    /// The folder whose recorded answers a [`Replay`] plays.
    pub fn recording(&self) -> &Path {
        &self.recording
    }

    /// The name and key of the project's checksum database, for GOSUMDB and `--sumdb`.
    pub fn sumdb(&self) -> &str {
        &self.sumdb
    }

    /// A fresh home of `go` whose modules come from `proxy`. What was compiled for one home serves the others.
    pub fn home(&self, proxy: &str) -> GoHome {
        GoHome::new(proxy, &self.sumdb)
            .build_cache(&self.folder.path().join("build"))
            // Paths of homes in the results would have every home compile everything again.
            .variable("GOFLAGS", "-modcacherw -buildvcs=false -trimpath")
            .within(PATIENCE)
    }

    /// Copies the sources into a home, with or without go.sum.
    pub fn copy_into(&self, go: &GoHome, with_sums: bool) -> PathBuf {
        let copy = go.path().join("project");
        copy_tree(&self.sources(), &copy);
        if !with_sums {
            let _ = fs::remove_file(copy.join("go.sum"));
        }
        copy
    }

    /// The path of a `.mod` that the project needs, on a proxy: the first one of its go.sum.
    pub fn any_go_mod(&self) -> String {
        let sums = fs::read_to_string(self.sources().join("go.sum")).expect("a go.sum");
        let found = sums.lines().find_map(|line| {
            let (module, rest) = line.split_once(' ')?;
            let (version, _) = rest.split_once("/go.mod ")?;
            Some(format!("{}/@v/{}.mod", escape(module), escape(version)))
        });
        found.expect("a go.mod in go.sum")
    }

    fn real(recording: &Path) -> Self {
        Self {
            folder: TempDir::new().expect("a folder for the project"),
            recording: recording.to_owned(),
            sumdb: SUMDB.to_owned(),
        }
    }

    /// Who answers for the project; and, while its recording is not complete, the file that will say that it is.
    fn source(&self, name: &str) -> (Replay, Option<PathBuf>) {
        let marker = self.recording.join(format!("complete-{name}"));
        if marker.exists() {
            return (Replay::play(&self.recording), None);
        }
        let upstream = real_upstream().expect("an http upstream in `go env GOPROXY`");
        (Replay::record(&self.recording, &upstream), Some(marker))
    }

    /// Has `go` ask for everything, itself and through a host, so that all answers that either needs are in the recording.
    fn record(&self, source: &Replay) {
        let host = HostOptions::new("recorder")
            .upstream(&source.url())
            .sumdb(&self.sumdb)
            .start();
        for (proxy, with_sums) in [
            (source.url(), true),
            (source.url(), false),
            (host.url(), true),
            (host.url(), false),
        ] {
            let go = self.home(&proxy);
            let copy = self.copy_into(&go, with_sums);
            let run = |command: &[&str]| drop(go.run_in(&copy, command).expect_success());
            run(&["mod", "download"]);
            if self.can_be_built() && !with_sums {
                run(&["mod", "tidy"]);
            }
            run(&["list", "-m", "all"]);
        }
    }

    /// Whether there is more than a go.mod and a go.sum.
    fn can_be_built(&self) -> bool {
        let names = fs::read_dir(self.sources()).expect("the project's sources");
        names
            .filter_map(Result::ok)
            .any(|entry| entry.path().extension().is_some_and(|e| e == "go"))
    }

    fn sources(&self) -> PathBuf {
        self.folder.path().join("sources")
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder of the copy");
    let entries = fs::read_dir(from)
        .unwrap_or_else(|error| panic!("cannot read the project in {}: {error}", from.display()));
    for entry in entries {
        let entry = entry.expect("an entry of the project");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_tree(&source, &target);
        } else {
            fs::copy(&source, &target).expect("a copied file");
        }
    }
}
