//! Whom the attacks meet: a host with a healthy upstream and database, and what must hold of it afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{FakeUpstream, HostOptions, Module, TestHost};

/// A host and its upstream.
#[derive(Debug)]
pub struct World {
    /// Healthy all the time: no request may end with 5xx.
    pub upstream: FakeUpstream,
    /// The one that is attacked.
    pub host: TestHost,
    /// What upstream has and the database lists.
    pub modules: Vec<Module>,
}

/// Things that may lie in a state folder, by their first name.
const KNOWN: [&str; 14] = [
    "apart",
    "control.sock",
    "evidence",
    "format",
    "identity",
    "index",
    "lock",
    "quarantine",
    "refused",
    "session",
    "staging",
    "store",
    "sumdb",
    "suspect",
];

impl World {
    /// A new one. The host has none of the modules yet.
    pub fn new() -> Self {
        let modules = vec![
            Module::package("example.com/hello", "v1.0.0"),
            Module::package("example.com/hello", "v1.1.0-rc.1"),
            Module::package("example.com/Upper/Case", "v0.2.0").bulk("noise.bin", 20_000),
            Module::package("example.com/old", "v2.0.0+incompatible").without_go_mod(),
            Module::package("example.com/two/v2", "v2.3.4").bulk("noise.bin", 300_000),
            Module::package("example.com/young", "v0.0.0-20240102030405-0123456789ab"),
        ];
        let upstream = FakeUpstream::start([]);
        upstream.log(|log| log.pad_to(300));
        modules.iter().for_each(|module| upstream.publish(module));
        upstream.log(|log| log.pad_to(1000));
        let unlisted = Module::package("example.com/unlisted", "v1.0.0");
        upstream.publish_unlisted(&unlisted);
        let host = HostOptions::new("A")
            .upstream(&upstream.url())
            // With its own address, so that it can say "no such record" itself.
            .sumdb(&upstream.sumdb_with_url())
            .start();
        Self {
            upstream,
            host,
            modules,
        }
    }

    /// Gets everything once, so that the store is full of good things.
    pub fn fill(&self) {
        for module in &self.modules {
            for extension in ["info", "mod", "zip"] {
                self.host.get(&module.url_path(extension)).expect_body();
            }
        }
    }

    /// What is to be compared afterwards.
    pub fn aftermath(&self) -> Aftermath {
        Aftermath {
            beside: names_in(self.host.state().parent().unwrap_or(Path::new("/"))),
        }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// What lay beside the state folder before an attack.
#[derive(Debug)]
pub struct Aftermath {
    beside: BTreeSet<PathBuf>,
}

impl Aftermath {
    /// The host lives and serves what is true, nothing panicked, and no file lies where none belongs.
    ///
    /// # Panics
    /// When one of that is not so.
    #[track_caller]
    pub fn expect_unharmed(&self, world: &World) {
        let host = &world.host;
        assert_eq!(host.get("healthz").status, 200);
        for module in &world.modules {
            let zip = host.get(&module.url_path("zip")).expect_body();
            assert_eq!(zip, module.zip(), "{}", module.name());
        }
        assert_eq!(host.panics(), 0, "{}", host.log());
        let beside = names_in(host.state().parent().unwrap_or(Path::new("/")));
        assert_eq!(beside, self.beside);
        let strangers: Vec<PathBuf> = names_in(host.state())
            .into_iter()
            .filter(|name| !KNOWN.iter().any(|known| name == Path::new(known)))
            .collect();
        assert_eq!(strangers, Vec::<PathBuf>::new());
        for tree in ["store", "apart"] {
            expect_only_modules(&host.state().join(tree));
        }
        host.wait_until("nothing is left in staging", |host| {
            names_in(&host.state().join("staging")).is_empty()
        });
    }
}

/// A tree holds folders and the files of the GOPROXY protocol with their proofs, and no links.
fn expect_only_modules(tree: &Path) {
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().expect("a file's type"));
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let ends = |ending: &str| {
                name.strip_suffix(ending)
                    .is_some_and(|rest| !rest.is_empty())
            };
            let is_of_a_version = [".info", ".mod", ".zip", ".mod.proof", ".zip.proof"]
                .into_iter()
                .any(ends);
            let is_known = is_of_a_version || name == "list" || name == "@latest";
            assert!(kind.is_file() && is_known, "{}", path.display());
        }
    }
}

fn names_in(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into()).collect()
}
