//! Is there room in the state folder, may we write there, and may nobody else?

use std::io;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use crate::output::{bytes, number};

/// Less than this, and a download of one large module may not fit: the largest zip that go takes.
const FREE_BYTES_LOW: u64 = 500 << 20;
/// Less than this, and nothing fits.
const FREE_BYTES_NONE: u64 = 16 << 20;
/// A module version takes some ten files.
const FREE_FILES_LOW: u64 = 10_000;
const FREE_FILES_NONE: u64 = 100;
/// With less than this in the store, a lower limit would free nothing to speak of.
const STORE_BYTES_WORTH: u64 = 100 << 20;

/// The state folder and the disk it lies on.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) folder: PathBuf,
    /// Who owns it and its mode bits; nothing when it is not there yet.
    pub(super) owner: io::Result<Option<Owner>>,
    pub(super) us: u32,
    pub(super) disk: Option<Disk>,
    /// Whether a daemon that runs has this folder.
    pub(super) daemon_runs: bool,
    /// Bytes in the store, as far as a daemon told, and bytes that it may still grow by.
    pub(super) store_bytes: u64,
    pub(super) store_may_grow_bytes: u64,
}

/// The store, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Store {
    pub(super) bytes: u64,
    pub(super) may_grow_bytes: u64,
}

/// Whose the folder is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) user: u32,
    pub(super) mode: u32,
}

/// What the file system has left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk {
    pub(super) free_bytes: u64,
    /// Nothing where files are not counted.
    pub(super) free_files: Option<u64>,
    pub(super) is_read_only: bool,
}

/// Looks. May block as long as the disk does.
#[cfg(unix)]
pub(super) fn look(folder: &Path, us: u32, daemon_runs: bool, store: Store) -> Facts {
    use std::os::unix::fs::MetadataExt;

    let owner = match std::fs::metadata(folder) {
        Ok(found) => Ok(Some(Owner {
            user: found.uid(),
            mode: found.mode() & 0o777,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let disk = folder
        .ancestors()
        .find_map(|folder| rustix::fs::statvfs(folder).ok())
        .map(|disk| Disk {
            free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
            free_files: (disk.f_files > 0).then_some(disk.f_favail),
            is_read_only: disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        });
    Facts {
        folder: folder.to_owned(),
        owner,
        us,
        disk,
        daemon_runs,
        store_bytes: store.bytes,
        store_may_grow_bytes: store.may_grow_bytes,
    }
}

#[cfg(not(unix))]
pub(super) fn look(folder: &Path, us: u32, daemon_runs: bool, store: Store) -> Facts {
    Facts {
        folder: folder.to_owned(),
        owner: Ok(None),
        us,
        disk: None,
        daemon_runs,
        store_bytes: store.bytes,
        store_may_grow_bytes: store.may_grow_bytes,
    }
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![judge_folder(facts)];
    findings.extend(facts.disk.map(|disk| judge_disk(facts, disk)));
    findings
}

fn judge_folder(facts: &Facts) -> Finding {
    const CHECK: &str = "state";
    let folder = facts.folder.display();
    match &facts.owner {
        Err(error) => Finding::problem(
            CHECK,
            format!("{folder} cannot be looked at ({error})"),
            "name a folder of this user with MODMESH_STATE (or `modmesh up --state`)",
        ),
        Ok(None) if facts.daemon_runs => Finding::problem(
            CHECK,
            format!("{folder} is gone while its daemon runs, so nothing can be kept"),
            "restart the daemon, which makes a new one",
        ),
        Ok(None) => Finding::ok(CHECK, format!("{folder} will be made at the first start")),
        Ok(Some(owner)) if owner.user != facts.us => Finding::problem(
            CHECK,
            format!("{folder} belongs to user id {}", owner.user),
            "give it to this user, or name another one with MODMESH_STATE (or `modmesh up --state`)",
        ),
        Ok(Some(owner)) if owner.mode & 0o700 != 0o700 => Finding::problem(
            CHECK,
            format!("{folder} cannot be written (mode {:03o})", owner.mode),
            &format!("chmod 700 {folder}"),
        ),
        Ok(Some(owner)) if owner.mode & 0o077 != 0 => Finding::warning(
            CHECK,
            format!("{folder} is open to other users (mode {:03o})", owner.mode),
            &format!("chmod 700 {folder}"),
        ),
        Ok(Some(_)) => Finding::ok(CHECK, format!("{folder} is this user's alone")),
    }
}

fn judge_disk(facts: &Facts, disk: Disk) -> Finding {
    const CHECK: &str = "disk";
    if disk.is_read_only {
        return Finding::problem(
            CHECK,
            "the state folder's disk is mounted read-only",
            "mount it for writing, or restart the daemon with its state folder on another disk",
        );
    }
    let more_room = &more_room(facts);
    let free = bytes(disk.free_bytes);
    let low = |text: String| Finding::warning(CHECK, text, more_room);
    match (disk.free_bytes, disk.free_files) {
        (..FREE_BYTES_NONE, _) => {
            Finding::problem(CHECK, format!("the disk is full: {free} free"), more_room)
        }
        (_, Some(files @ ..FREE_FILES_NONE)) => Finding::problem(
            CHECK,
            format!(
                "the disk has room for {} more files (inodes)",
                number(files)
            ),
            more_room,
        ),
        (..FREE_BYTES_LOW, _) => low(format!("the disk is nearly full: {free} free")),
        (_, Some(files @ ..FREE_FILES_LOW)) => low(format!(
            "the disk has room for {} more files (inodes) only",
            number(files)
        )),
        (free_bytes, _) if free_bytes < facts.store_may_grow_bytes => Finding::warning(
            CHECK,
            format!(
                "{free} free, but the store may still grow by {}",
                bytes(facts.store_may_grow_bytes)
            ),
            "make room, or restart the daemon with a lower --store-limit, or with its state folder on another disk",
        ),
        _ => Finding::ok(CHECK, format!("{free} free")),
    }
}

/// Where more room may come from: from the store only when it holds something worth it.
fn more_room(facts: &Facts) -> String {
    let from_store = match facts.store_bytes {
        ..STORE_BYTES_WORTH => String::new(),
        large => format!(
            ", or restart the daemon with a lower --store-limit (the store has {})",
            bytes(large)
        ),
    };
    format!("make room{from_store}, or restart the daemon with its state folder on another disk")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn facts(owner: io::Result<Option<Owner>>, disk: Disk) -> Vec<Level> {
        let facts = Facts {
            folder: "/state".into(),
            owner,
            us: 1000,
            disk: Some(disk),
            daemon_runs: false,
            store_bytes: 0,
            store_may_grow_bytes: 10 << 30,
        };
        judge(&facts).iter().map(|finding| finding.level).collect()
    }

    const ROOMY: Disk = Disk {
        free_bytes: 100 << 30,
        free_files: Some(1_000_000),
        is_read_only: false,
    };

    #[test]
    fn the_folder_is_to_be_this_users_alone() {
        use Level::{Ok as Fine, Problem, Warning};
        for (user, mode, level) in [
            (1000, 0o700, Fine),
            (1000, 0o750, Warning),
            (1000, 0o500, Problem),
            (1001, 0o700, Problem),
        ] {
            let found = facts(Ok(Some(Owner { user, mode })), ROOMY);
            assert_eq!(found, [level, Fine], "{user} {mode:o}");
        }
        assert_eq!(facts(Ok(None), ROOMY)[0], Fine);
        let of_a_daemon = Facts {
            folder: "/state".into(),
            owner: Ok(None),
            us: 1000,
            disk: None,
            daemon_runs: true,
            store_bytes: 0,
            store_may_grow_bytes: 0,
        };
        let found = &judge(&of_a_daemon)[0];
        assert_eq!(found.level, Problem);
        assert!(found.remedy.as_ref().unwrap().contains("restart"));
        let denied = io::ErrorKind::PermissionDenied.into();
        assert_eq!(facts(Err(denied), ROOMY)[0], Problem);
    }

    #[test]
    fn a_disk_is_judged_by_bytes_files_and_whether_it_can_be_written() {
        use Level::{Ok as Fine, Problem, Warning};
        let disk = |free_bytes: u64, free_files, is_read_only| Disk {
            free_bytes,
            free_files,
            is_read_only,
        };
        for (disk, level) in [
            (ROOMY, Fine),
            (disk(100 << 30, None, false), Fine),
            (disk(9 << 30, None, false), Warning),
            (disk(400 << 20, None, false), Warning),
            (disk(0, None, false), Problem),
            (disk(100 << 30, Some(9_999), false), Warning),
            (disk(100 << 30, Some(0), false), Problem),
            (disk(100 << 30, None, true), Problem),
        ] {
            assert_eq!(facts(Ok(None), disk)[1], level, "{disk:?}");
        }
    }

    #[test]
    fn a_lower_limit_is_advised_where_the_store_has_something_to_let_go() {
        let remedy = |store_bytes| {
            let facts = Facts {
                folder: "/state".into(),
                owner: Ok(None),
                us: 1000,
                disk: Some(Disk {
                    free_bytes: 0,
                    ..ROOMY
                }),
                daemon_runs: true,
                store_bytes,
                store_may_grow_bytes: 10 << 30,
            };
            judge(&facts)[1].remedy.clone().unwrap()
        };
        assert!(remedy(5 << 30).contains("lower --store-limit (the store has 5 GiB)"));
        assert!(!remedy(1 << 20).contains("--store-limit"));
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_that_is_not_there_yet_lies_on_the_disk_of_the_nearest_that_is() {
        let folder = tempfile::tempdir().unwrap();
        let facts = look(&folder.path().join("a/b"), 0, false, Store::default());
        assert!(matches!(facts.owner, Ok(None)));
        assert!(facts.disk.is_some());
    }
}
