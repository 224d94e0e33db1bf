//! Commands of this machine, by their whole paths.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The command of this name on this process's PATH.
pub(crate) fn command_on_path(name: &str) -> Option<PathBuf> {
    command_in(&std::env::var_os("PATH")?, name)
}

fn command_in(path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        // An empty element would mean the folder where the daemon happens to stand.
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_file_that_can_be_run_in_an_absolute_folder() {
        use std::os::unix::fs::PermissionsExt;
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(first.path().join("go"), "").unwrap();
        std::fs::write(second.path().join("go"), "").unwrap();
        let path = std::env::join_paths([Path::new("."), first.path(), second.path()]).unwrap();
        assert_eq!(command_in(&path, "go"), None);
        let runs = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(second.path().join("go"), runs).unwrap();
        assert_eq!(command_in(&path, "go"), Some(second.path().join("go")));
    }
}
