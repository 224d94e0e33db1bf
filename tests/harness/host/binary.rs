//! Finds the `modmesh` binary that belongs to the running test.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The binary: what `MODMESH_BIN` names, or the one beside the running test, which cargo builds first where it is there.
///
/// # Panics
/// When there is none; the message says what to do.
pub fn modmesh_binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(find).clone()
}

fn find() -> PathBuf {
    if let Some(path) = std::env::var_os("MODMESH_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the path of the running test");
    let folder = test
        .ancestors()
        .skip(1)
        .find(|folder| folder.file_name() != Some(OsStr::new("deps")))
        .expect("the folder of the running test");
    let binary = folder.join("modmesh");
    // Cargo builds the binaries of the package under test only, and this one belongs to another package: without this, a
    // test of one package alone would run an old binary. Cargo has nothing to do where all packages are tested.
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        // As `cargo test --workspace` builds it: by another choice of packages or targets it would be compiled once more,
        // with other features, and take the place of the one that all tests use.
        build.args([
            "test",
            "--quiet",
            "--no-run",
            "--workspace",
            "--test",
            "command",
        ]);
        build.arg("--manifest-path");
        build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
        // What cargo tells this test of its package would make build scripts run again, and half the crates with them.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_MANIFEST_") || text.starts_with("CARGO_PKG_") {
                build.env_remove(&name);
            }
        }
        if let Some(target) = folder.parent() {
            build.arg("--target-dir").arg(target);
        }
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let _ = build.status();
    }
    assert!(
        binary.is_file(),
        "there is no {}: run `cargo build -p modmesh`, or set MODMESH_BIN",
        binary.display()
    );
    binary
}
