//! The folder of one run: everything that `go` and its tools write by themselves lies in it, and goes with it.
//!
//! Removal is stubborn: what was killed may still be writing its last file, and a module cache may hold folders that
//! nobody may write. Dropped without having been removed (the process ends), a folder is left to the sweep of the next
//! start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::module_cache;

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// How often removing is tried, and how long it rests in between.
const TRIES: u32 = 20;
const REST: Duration = Duration::from_millis(50);
/// The main module of each run. With one of its own, `go` does not find one in a folder above and obey its `replace`.
const GO_MOD: &str = "module modmesh.invalid/direct\n\ngo 1.21\n";

/// A folder that belongs to one run.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// A new one below `parent`, for this user only.
    pub(super) async fn make(parent: PathBuf) -> io::Result<Self> {
        blocking(move || {
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
            let folder = Self(parent.join(format!("{}-{serial}", std::process::id())));
            make_private(&folder.0)?;
            for inner in [folder.work(), folder.0.join("tmp"), module_cache(&folder.0)] {
                fs::create_dir_all(inner)?;
            }
            fs::write(folder.work().join("go.mod"), GO_MOD)?;
            Ok(folder)
        })
        .await
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Where `go` is started.
    pub(super) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// Removes it with all that is in it.
    pub(super) async fn remove(self) {
        let removed = blocking(move || remove(&self.0)).await;
        if let Err(error) = removed {
            tracing::warn!(%error, "the folder of a go command could not be removed; it goes at the next start");
        }
    }

    /// The bytes of the files in it, as far as they can be seen while they come and go.
    pub(super) async fn bytes(&self) -> u64 {
        let path = self.0.clone();
        blocking(move || Ok(bytes_below(&path))).await.unwrap_or(0)
    }
}

/// Removes what runs of an earlier daemon left in `parent`. Blocks.
pub(crate) fn sweep(parent: &Path) {
    match remove(parent) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(folder = %parent.display(), %error, "what an earlier daemon left could not be removed");
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn remove(folder: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match fs::remove_dir_all(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => {
                return Ok(());
            }
            Err(error) if tries >= TRIES => return Err(error),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => unlock(folder),
            // Somebody was still writing.
            Err(_) => std::thread::sleep(REST),
        }
        tries += 1;
    }
}

/// Makes every folder writable. Links are not followed: they may point anywhere.
fn unlock(folder: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let _removing_fails_then = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            unlock(&entry.path());
        }
    }
}

fn bytes_below(folder: &Path) -> u64 {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_goes_with_what_may_not_be_written_and_links_are_not_followed() {
        use std::os::unix::fs::PermissionsExt;
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("precious"), "x").unwrap();
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::make(parent.path().join("direct")).await.unwrap();
        let locked = module_cache(folder.path()).join("m@v1.0.0");
        fs::create_dir(&locked).unwrap();
        fs::write(locked.join("go.mod"), vec![0; 1000]).unwrap();
        std::os::unix::fs::symlink(outside.path(), locked.join("link")).unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
        assert!(folder.bytes().await >= 1000);
        let path = folder.path().to_owned();
        folder.remove().await;
        assert!(!path.exists());
        assert!(outside.path().join("precious").exists());
    }

    #[tokio::test]
    async fn what_an_earlier_daemon_left_is_swept() {
        let parent = tempfile::tempdir().unwrap();
        let left = Folder::make(parent.path().join("direct")).await.unwrap();
        sweep(&parent.path().join("direct"));
        assert!(!left.path().exists());
        sweep(&parent.path().join("direct"));
    }
}
