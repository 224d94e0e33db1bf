//! The project that is measured: a folder with a go.mod, and the recorded answers it needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::replay::real_upstream;
use harness::{GoHome, Replay};
use tempfile::TempDir;

/// The database of the recorded answers.
pub(crate) const SUMDB: &str = "sum.golang.org";

const GIN: &str = "github.com/gin-gonic/gin@v1.12.0";
/// The commands whose questions are recorded, each in a fresh home, go.sum there or taken away.
const RECORDED: &[(bool, &[&[&str]])] = &[
    (
        true,
        &[
            &["mod", "download"],
            &["list", "-m", "all"],
            &["build", "./..."],
        ],
    ),
    (
        false,
        &[&["mod", "tidy"], &["mod", "download"], &["build", "./..."]],
    ),
];

/// The sources of a project, in a folder of their own.
#[derive(Debug)]
pub(crate) struct Project {
    folder: TempDir,
}

impl Project {
    /// Takes the sources of `name` and makes sure that the recording can answer for them.
    pub(crate) fn prepare(name: &str, recording: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the project");
        let upstream = real_upstream().expect("an http upstream in `go env GOPROXY`");
        let marker = recording.join(format!("complete-{}", name.replace(['/', '.'], "-")));
        let source = if marker.exists() {
            Replay::play(recording)
        } else {
            println!("recording what {name} needs");
            Replay::record(recording, &upstream)
        };
        let from = if name == "gin" {
            unpacked(GIN, &source, folder.path())
        } else {
            PathBuf::from(name)
        };
        let project = Self { folder };
        copy_tree(&from, &project.sources());
        if !marker.exists() {
            for (with_sums, commands) in RECORDED {
                let go = home(&source.url());
                let copy = project.copy_into(&go, *with_sums);
                for command in *commands {
                    go.run_in(&copy, command).expect_success();
                }
            }
            fs::write(marker, "").expect("the recording's marker");
        }
        project
    }

    /// Copies the sources into a home of `go`, with or without go.sum.
    pub(crate) fn copy_into(&self, go: &GoHome, with_sums: bool) -> PathBuf {
        let copy = go.path().join("project");
        copy_tree(&self.sources(), &copy);
        if !with_sums {
            let _ = fs::remove_file(copy.join("go.sum"));
        }
        copy
    }

    fn sources(&self) -> PathBuf {
        self.folder.path().join("sources")
    }
}

/// A home whose modules come from `proxy`.
pub(crate) fn home(proxy: &str) -> GoHome {
    GoHome::new(proxy, SUMDB).within(Duration::from_secs(600))
}

/// Downloads a module and returns where a copy of its sources lies.
fn unpacked(module: &str, source: &Replay, folder: &Path) -> PathBuf {
    let go = home(&source.url());
    go.download(module).expect_success();
    let copy = folder.join("unpacked");
    copy_tree(&go.module_cache().join(module), &copy);
    copy
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
