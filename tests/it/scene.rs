//! What most tests begin with: an upstream, a host that reaches it, and a neighbour that does not.

use std::path::{Path, PathBuf};

use harness::{FakeUpstream, HostOptions, Module, TestHost};

/// A module with a zip of 100 kB.
pub(crate) fn hello() -> Module {
    Module::package("example.com/hello", "v1.0.0").bulk("testdata/noise.bin", 100_000)
}

/// A host with this upstream and its database.
pub(crate) fn online(name: &str, upstream: &FakeUpstream) -> HostOptions {
    HostOptions::new(name)
        .upstream(&upstream.url())
        .sumdb(&upstream.sumdb())
}

/// A host that knows the database's key, has no upstream, and has the given neighbour.
#[track_caller]
pub(crate) fn neighbour_of(other: &TestHost, upstream: &FakeUpstream) -> TestHost {
    let host = HostOptions::new("B")
        .sumdb(&upstream.sumdb())
        .peer(&other.peer_address())
        .start();
    host.wait_for_neighbours(1);
    host
}

/// Whether the host with this peer id is the first that `host` asks who fetches what is of the module.
#[track_caller]
pub(crate) fn is_owner(owner: &str, host: &TestHost, module: &Module) -> bool {
    let explanation = host.explain(&format!("{}@v1.0.0", module.path()));
    explanation["owners"][0]["peer_id"] == owner
}

/// Where a host keeps a file of a module.
pub(crate) fn stored(host: &TestHost, module: &Module, extension: &str) -> PathBuf {
    host.state().join("store").join(module.url_path(extension))
}

/// Changes one byte in the middle of a file.
pub(crate) fn damage(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// Names of the files that are under way in a host's state folder.
pub(crate) fn staging(host: &TestHost) -> Vec<String> {
    std::fs::read_dir(host.state().join("staging"))
        .map(|entries| {
            entries
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default()
}
