//! Real module zips: each has the h1 that `go` worked out, and each is canonical.
//!
//! With `MODMESH_LIVE=1` the modules of tests/workloads/35-modules are downloaded by `go`, from wherever it is configured
//! to download. With `MODMESH_ZIPS=DIR` every zip below DIR (a GOMODCACHE, say) that has its `.ziphash` beside it is
//! judged. With neither there is nothing to do, and that is said.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use modmesh_protocol::digest::H1;
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};
use modmesh_protocol::zip::{FileAt, Grammar, Verdict, check};

/// A zip in a module cache, and what it is.
struct Cached {
    path: PathBuf,
    of: ModuleVersion,
    h1: H1,
}

#[test]
fn every_real_zip_is_canonical_and_has_the_h1_that_go_gave_it() {
    if let Ok(folder) = std::env::var("MODMESH_ZIPS") {
        judge(Path::new(&folder));
    } else if std::env::var("MODMESH_LIVE").as_deref() == Ok("1") {
        let scratch = std::env::temp_dir().join(format!("modmesh-zips-{}", std::process::id()));
        download(&scratch);
        judge(&scratch);
        std::fs::remove_dir_all(scratch).unwrap();
    } else {
        println!("skipped: neither MODMESH_LIVE=1 nor MODMESH_ZIPS is set");
    }
}

fn download(scratch: &Path) {
    let workload = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/workloads/35-modules");
    std::fs::create_dir_all(scratch.join("project")).unwrap();
    for file in ["go.mod", "go.sum"] {
        std::fs::copy(workload.join(file), scratch.join("project").join(file)).unwrap();
    }
    let status = Command::new("go")
        .args(["mod", "download"])
        .current_dir(scratch.join("project"))
        .env("GOFLAGS", "-modcacherw")
        .env("GOMODCACHE", scratch.join("cache"))
        .status()
        .unwrap();
    assert!(status.success(), "go mod download failed");
}

fn judge(folder: &Path) {
    let mut cached = Vec::new();
    find(folder, &mut cached);
    assert!(!cached.is_empty(), "no zip below {}", folder.display());
    let mut slowest: Option<(Duration, Duration, PathBuf, Verdict)> = None;
    for zip in &cached {
        let [one, two] = [1, 2].map(|threads| {
            let file = FileAt::new(File::open(&zip.path).unwrap()).unwrap();
            let start = Instant::now();
            let verdict = check(&file, &zip.of, Grammar::Upstream, threads);
            let verdict = verdict.unwrap_or_else(|error| panic!("{}: {error}", zip.path.display()));
            (start.elapsed(), verdict)
        });
        assert_eq!(one.1.h1, zip.h1, "{}", zip.path.display());
        assert!(one.1.canonical, "{}", zip.path.display());
        assert_eq!(one.1, two.1, "{}", zip.path.display());
        if slowest.as_ref().is_none_or(|slowest| slowest.0 < one.0) {
            slowest = Some((one.0, two.0, zip.path.clone(), one.1));
        }
    }
    println!(
        "{} zips, all canonical; the slowest: {slowest:?}",
        cached.len()
    );
}

fn find(folder: &Path, into: &mut Vec<Cached>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "zip") {
            into.extend(cached(path));
        }
    }
}

/// What a path such as `.../cache/download/golang.org/x/mod/@v/v0.42.0.zip` stands for.
fn cached(path: PathBuf) -> Option<Cached> {
    let h1 = std::fs::read_to_string(path.with_extension("ziphash")).ok()?;
    let text = path.to_str()?;
    let (_, key) = text.rsplit_once("/cache/download/")?;
    let (module, version) = key.strip_suffix(".zip")?.split_once("/@v/")?;
    let module = ModulePath::from_escaped(module).unwrap();
    let version = Version::from_escaped(version).unwrap();
    Some(Cached {
        of: ModuleVersion::new(module, version).unwrap(),
        h1: h1.trim().parse().unwrap(),
        path,
    })
}
