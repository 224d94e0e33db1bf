//! What `modmesh setup` remembers: GOPROXY as it was before, in `setup.json` in the state folder.
//!
//! Two readers need it. `setup --undo` puts the old value back; and a daemon whose `go env GOPROXY` names nobody but
//! itself, as after `setup --strict`, finds here whom it is to ask. A list may carry a password, so the file is its
//! owner's alone. A file that cannot be read is not taken for one that is not there: writing over it would lose the value.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::is_absent;

/// The name of the file in the state folder.
const NAME: &str = "setup.json";
/// Its name while it is written.
const NEW: &str = "setup.new";
/// The largest file that is read.
const BYTES_MAX: u64 = 256 * 1024;

/// What was changed, and what it was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// The file of `go env -w` that was changed.
    pub(crate) goenv: PathBuf,
    /// The value of GOPROXY in it before; nothing when it was not set there.
    pub(crate) before: Option<String>,
    /// What setup wrote instead, the newest first. Any other value was written by somebody else.
    pub(crate) written: Vec<String>,
    /// Whom `go` asked before, without this daemon: the upstream where GOPROXY is this daemon alone.
    pub(crate) upstream: Option<String>,
}

impl Remembered {
    /// Where it lies in the state folder.
    pub(crate) fn path(state_dir: &Path) -> PathBuf {
        state_dir.join(NAME)
    }

    /// Reads it; nothing when setup has changed nothing.
    pub(crate) fn load(state_dir: &Path) -> io::Result<Option<Self>> {
        let file = match fs::File::open(Self::path(state_dir)) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut text)?;
        Ok(Some(serde_json::from_slice(&text)?))
    }

    /// Writes it whole, making the state folder where it is not there.
    pub(crate) fn save(&self, state_dir: &Path) -> io::Result<()> {
        let mut folder = fs::DirBuilder::new();
        let mut options = fs::OpenOptions::new();
        #[cfg(unix)]
        {
            std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        folder.recursive(true).create(state_dir)?;
        let beside = state_dir.join(NEW);
        let mut file = options
            .create(true)
            .write(true)
            .truncate(true)
            .open(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(beside, Self::path(state_dir))
    }

    /// Forgets it.
    pub(crate) fn forget(state_dir: &Path) -> io::Result<()> {
        match fs::remove_file(Self::path(state_dir)) {
            Err(error) if !is_absent(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_found_again_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("not/yet/there");
        assert_eq!(Remembered::load(&state).unwrap(), None);
        let remembered = Remembered {
            goenv: "/home/anna/.config/go/env".into(),
            before: None,
            written: vec!["http://127.0.0.1:8484".into()],
            upstream: Some("https://anna:secret@proxy.example,direct".into()),
        };
        remembered.save(&state).unwrap();
        assert_eq!(Remembered::load(&state).unwrap(), Some(remembered));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&state), 0o700);
            assert_eq!(mode(&Remembered::path(&state)), 0o600);
        }
        Remembered::forget(&state).unwrap();
        Remembered::forget(&state).unwrap();
        assert_eq!(Remembered::load(&state).unwrap(), None);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(Remembered::path(folder.path()), "{").unwrap();
        assert!(Remembered::load(folder.path()).is_err());
    }
}
