//! The log of a daemon that `modmesh run` started: `background.log` in the state folder, kept within its bound while the
//! daemon runs.
//!
//! The daemon's standard error is that file, which is how it knows. When the file is full it is copied to
//! `background.log.1` and begins anew; whoever holds it open writes at its end (`O_APPEND`), wherever that is by then.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Its name in the state folder.
pub(crate) const NAME: &str = "background.log";
/// What the one before it is called.
const EARLIER: &str = "background.log.1";
/// The log begins anew when it is larger than this; with the one before it, it takes twice as much.
pub(crate) const BYTES_MAX: u64 = 4 << 20;

/// Standard error, where it is such a log.
#[derive(Debug)]
pub(crate) struct BackgroundLog {
    file: File,
    path: PathBuf,
    bytes: u64,
    bytes_max: u64,
}

impl BackgroundLog {
    /// Nothing when standard error is anything else than the log in `state_dir`.
    #[cfg(unix)]
    pub(crate) fn of_stderr(state_dir: &Path) -> Option<Self> {
        use std::os::fd::AsFd;
        let stderr = io::stderr().as_fd().try_clone_to_owned().ok()?;
        Self::of(stderr.into(), state_dir, BYTES_MAX)
    }

    #[cfg(not(unix))]
    pub(crate) fn of_stderr(_state_dir: &Path) -> Option<Self> {
        None
    }

    #[cfg(unix)]
    fn of(file: File, state_dir: &Path, bytes_max: u64) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let path = state_dir.join(NAME);
        let (ours, there) = (file.metadata().ok()?, fs::metadata(&path).ok()?);
        let is_it = ours.is_file() && (ours.dev(), ours.ino()) == (there.dev(), there.ino());
        is_it.then(|| Self {
            bytes: ours.len(),
            file,
            path,
            bytes_max,
        })
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        // What cannot be kept is lost: the bound holds on a full disk, too.
        let _lost = fs::copy(&self.path, self.path.with_file_name(EARLIER));
        self.file.set_len(0)?;
        self.bytes = 0;
        Ok(())
    }
}

impl Write for BackgroundLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes > self.bytes_max {
            self.begin_anew()?;
        }
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn open(path: &Path) -> File {
        let mut options = File::options();
        options.create(true).append(true).open(path).unwrap()
    }

    #[test]
    fn the_log_of_the_background_stays_within_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let mut log = BackgroundLog::of(open(&path), folder.path(), 1000).unwrap();
        // Somebody else writes to it, too: what the daemon prints.
        let mut beside = open(&path);
        for line in 0..200 {
            writeln!(log, "line {line:03} of the log").unwrap();
            if line % 50 == 0 {
                writeln!(beside, "printed").unwrap();
            }
        }
        let length = |name| fs::metadata(folder.path().join(name)).unwrap().len();
        assert!(length(NAME) <= 1100, "{}", length(NAME));
        assert!(length(EARLIER) <= 1100, "{}", length(EARLIER));
        let newest = fs::read_to_string(&path).unwrap();
        assert!(newest.starts_with("line "), "{newest}");
        assert!(newest.ends_with("line 199 of the log\n"), "{newest}");
    }

    #[test]
    fn no_other_file_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other");
        assert!(BackgroundLog::of(open(&other), folder.path(), 0).is_none());
        open(&folder.path().join(NAME));
        assert!(BackgroundLog::of(open(&other), folder.path(), 0).is_none());
    }
}
