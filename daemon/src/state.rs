//! The state folder: ours alone, of a form we know, and with a memory of how the last daemon ended.
//!
//! `start` opens it first and hands its parts to the rooms. The lock is an advisory lock on `lock`, which the system
//! releases however the process ends; the pid in it is for the error text only. A folder that was used before is opened
//! without needing a byte of the disk, so that a daemon on a full disk can be started anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::os;

/// First line of `format`; the number grows when a release can no longer read what an older one wrote.
const FORMAT_PREFIX: &str = "modmesh state ";
const FORMAT: u32 = 1;

/// The open, locked state folder.
#[derive(Debug)]
pub(crate) struct State {
    root: PathBuf,
    after_unclean_boot: bool,
    _lock: File,
}

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another daemon uses it.
    #[error(
        "the state folder {folder} is in use by the modmesh daemon with process id {pid}; stop that one{how}, or give this one a folder of its own with --state", how = how_to_stop(pid)
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// What the holder wrote of itself; "unknown" when nothing could be read.
        pid: String,
    },
    /// There is something in it that modmesh did not put there.
    #[error(
        "the folder {0} is not empty and not a state folder of modmesh; give --state an empty or new folder"
    )]
    NotOurs(PathBuf),
    /// A newer release wrote it.
    #[error(
        "the state folder {folder} was written by a newer release (format {found}; this release knows {FORMAT}); use that release, or another folder with --state"
    )]
    Newer {
        /// The folder.
        folder: PathBuf,
        /// The format it has.
        found: u32,
    },
    /// The system refused.
    #[error(
        "cannot use the state folder {folder}: {error}; {remedy}", remedy = remedy(error)
    )]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl StateError {
    /// Whether the disk has no room.
    pub(crate) fn is_full_disk(&self) -> bool {
        matches!(self, Self::Io { error, .. } if os::is_full_disk(error))
    }
}

impl State {
    /// Opens or makes the state folder and takes its lock.
    pub(crate) fn open(root: &Path) -> Result<Self, StateError> {
        let io = |error| StateError::Io {
            folder: root.to_owned(),
            error,
        };
        make_private_folder(root).map_err(io)?;
        check_format(root)?;
        keep_private(root).map_err(io)?;
        let lock = take_lock(root)?;
        let format = format!("{FORMAT_PREFIX}{FORMAT}\n");
        write_if_other(&root.join("format"), format.as_bytes()).map_err(io)?;
        let after_unclean_boot = was_cut_off(root).map_err(io)?;
        Ok(Self {
            root: root.to_owned(),
            after_unclean_boot,
            _lock: lock,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the machine went down since this folder was last ended cleanly, so that what was written then may be
    /// missing or torn on disk.
    pub(crate) fn is_after_unclean_boot(&self) -> bool {
        self.after_unclean_boot
    }

    /// Notes that a session is under way in this boot. Called when the store knows whether the last one was cut off, so
    /// that a start which fails before that forgets nothing.
    pub(crate) fn begin_session(&self) -> Result<(), StateError> {
        let boot = os::boot_id().unwrap_or_default();
        let path = self.root.join("session");
        write_if_other(&path, boot.as_bytes())
            // On a full disk: an empty one is of no boot, so that whatever comes after is looked at with suspicion.
            .or_else(|_| File::create(&path).map(drop))
            .map_err(|error| StateError::Io {
                folder: self.root.clone(),
                error,
            })
    }

    /// Makes everything durable and notes that this session ended cleanly.
    pub(crate) fn end(&self) {
        let ended = os::sync_file_system(&self.root)
            .and_then(|()| fs::remove_file(self.root.join("session")));
        if let Err(error) = ended {
            tracing::warn!(%error, "the state folder could not be closed cleanly; it will be checked at the next start");
        }
    }
}

/// Writes a small file so that a reader sees the old or the new contents, never a part.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, path))
        .inspect_err(|_| {
            let _gone = fs::remove_file(&beside);
        })
}

/// As [`write_whole`], unless these are its contents already: then no space is needed.
fn write_if_other(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::read(path) {
        Ok(there) if there == bytes => Ok(()),
        _ => write_whole(path, bytes),
    }
}

/// How a daemon with this process id is stopped; nothing where the id is not known.
fn how_to_stop(pid: &str) -> String {
    match pid.parse::<u32>() {
        Ok(pid) => format!(" (kill {pid})"),
        Err(_) => String::new(),
    }
}

/// What a person can do about an error of the disk.
fn remedy(error: &io::Error) -> &'static str {
    match os::is_full_disk(error) {
        true => "its disk is full: free some space (or inodes)",
        false => "it must be a folder that this user can write",
    }
}

/// Renames a file to its place, also where a folder took that place: no folder of ours can be where a file belongs.
pub(crate) fn rename_over(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            fs::remove_dir_all(to)?;
            fs::rename(from, to)
        }
        outcome => outcome,
    }
}

fn make_private_folder(root: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(root)
}

/// Takes the folder out of other users' sight, should it have been made before with another mode: there is unlisted content
/// in it. Only once it is known to be ours.
#[cfg(unix)]
fn keep_private(root: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if fs::metadata(root)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    match fs::set_permissions(root, fs::Permissions::from_mode(0o700)) {
        Ok(()) => {
            tracing::warn!(folder = %root.display(), "the state folder was open to other users; its mode is set to 0700");
            Ok(())
        }
        // Some file systems know no modes, and a folder may be another user's who lets us write.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
            ) =>
        {
            tracing::warn!(folder = %root.display(), %error, "the state folder is open to other users, who can read unlisted modules in it; give it mode 0700");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn keep_private(_root: &Path) -> io::Result<()> {
    Ok(())
}

fn check_format(root: &Path) -> Result<(), StateError> {
    let io = |error| StateError::Io {
        folder: root.to_owned(),
        error,
    };
    match fs::read_to_string(root.join("format")) {
        Ok(text) => {
            let found: u32 = text
                .strip_prefix(FORMAT_PREFIX)
                .and_then(|number| number.trim().parse().ok())
                .ok_or_else(|| StateError::NotOurs(root.to_owned()))?;
            if found > FORMAT {
                return Err(StateError::Newer {
                    folder: root.to_owned(),
                    found,
                });
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A first start that was cut before `format` was written leaves the lock alone behind; `run` and `setup` write
            // before any daemon does.
            let foreign = fs::read_dir(root)
                .map_err(io)?
                .filter_map(Result::ok)
                .any(|entry| {
                    ![
                        "lock",
                        "format.new",
                        "background.log",
                        "background.log.1",
                        "setup.json",
                        "setup.new",
                    ]
                    .iter()
                    .any(|ours| entry.file_name() == **ours)
                });
            if foreign {
                return Err(StateError::NotOurs(root.to_owned()));
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(StateError::NotOurs(root.to_owned()))
        }
        Err(error) => Err(io(error)),
    }
}

fn take_lock(root: &Path) -> Result<File, StateError> {
    let io = |error| StateError::Io {
        folder: root.to_owned(),
        error,
    };
    let path = root.join("lock");
    let mut lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(io)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(&path)
                .ok()
                .map(|pid| pid.trim().to_owned())
                .filter(|pid| !pid.is_empty())
                .unwrap_or_else(|| "unknown".to_owned());
            return Err(StateError::InUse {
                folder: root.to_owned(),
                pid,
            });
        }
        Err(fs::TryLockError::Error(error)) => return Err(io(error)),
    }
    // For a text alone, so a full disk may keep it.
    let _unknown_then = lock
        .set_len(0)
        .and_then(|()| writeln!(lock, "{}", std::process::id()));
    Ok(lock)
}

/// Whether the last session was cut off by the end of its boot.
fn was_cut_off(root: &Path) -> io::Result<bool> {
    // Where the system has no boot id, every session that did not end cleanly counts as cut off by the machine.
    let boot = os::boot_id().unwrap_or_default();
    match fs::read(root.join("session")) {
        Ok(earlier) => Ok(boot.is_empty() || earlier != boot.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_told_who_holds_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let _first = State::open(folder.path()).unwrap();
        let error = State::open(folder.path()).unwrap_err();
        assert!(
            error.to_string().contains(&std::process::id().to_string()),
            "{error}"
        );
    }

    #[test]
    fn a_folder_with_other_things_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "precious").unwrap();
        assert!(matches!(
            State::open(folder.path()),
            Err(StateError::NotOurs(_))
        ));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_of_a_newer_release_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("format"), "modmesh state 2\n").unwrap();
        assert!(matches!(
            State::open(folder.path()),
            Err(StateError::Newer { found: 2, .. })
        ));
    }

    #[test]
    fn a_folder_that_was_used_before_is_opened_without_writing() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        state.begin_session().unwrap();
        drop(state);
        // Where a new file would be written, nothing can be, as on a full disk.
        for name in ["format.new", "session.new"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let inode = |name| fs::metadata(folder.path().join(name)).unwrap().ino();
        let before = ["format", "session"].map(inode);
        let state = State::open(folder.path()).unwrap();
        state.begin_session().unwrap();
        assert_eq!(["format", "session"].map(inode), before);

        // Of another session, and the first one after a clean end: then there is a mark that is of no boot.
        state.end();
        state.begin_session().unwrap();
        drop(state);
        let state = State::open(folder.path()).unwrap();
        assert!(state.is_after_unclean_boot());
    }

    #[test]
    fn what_is_to_be_done_about_an_error_of_the_disk_is_said() {
        let said = |kind: io::ErrorKind| {
            let folder = PathBuf::from("/state");
            let error = kind.into();
            StateError::Io { folder, error }.to_string()
        };
        assert!(said(io::ErrorKind::StorageFull).contains("free some space"));
        assert!(said(io::ErrorKind::PermissionDenied).contains("this user can write"));
    }

    #[test]
    fn only_the_end_of_a_boot_without_a_clean_end_raises_suspicion() {
        let folder = tempfile::tempdir().unwrap();
        let begin = || {
            let state = State::open(folder.path()).unwrap();
            let unclean = state.is_after_unclean_boot();
            state.begin_session().unwrap();
            (state, unclean)
        };
        let (state, unclean) = begin();
        assert!(!unclean);
        drop(state);
        assert!(!begin().1, "killed, same boot");
        fs::write(folder.path().join("session"), "another boot").unwrap();
        let failed_start = State::open(folder.path()).unwrap();
        assert!(failed_start.is_after_unclean_boot());
        drop(failed_start);
        let (state, unclean) = begin();
        assert!(unclean, "a start that failed forgets nothing");
        state.end();
        drop(state);
        assert!(!begin().1);
    }
}
