//! A disk of a host's own below its state folder: a small one that can be full, or one that cannot be written.
//!
//! It is a tmpfs in a mount namespace that only the host's process is in: it vanishes with the process, nobody else sees
//! it but through [`TestHost::inside`], and the host must run in the network of the test.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::host::{HostOptions, TestHost};
use crate::lab::Forbidden;

/// How the file system is mounted.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    options: String,
    /// What lies on it at each start, beside a file that takes all other space.
    full_with: Option<PathBuf>,
}

impl HostOptions {
    /// Gives the host a disk of `bytes` bytes for its state folder.
    ///
    /// # Errors
    /// When this system does not let us mount file systems.
    pub fn on_small_disk(self, bytes: u64) -> Result<Self, Forbidden> {
        self.on_disk(format!("size={bytes}"))
    }

    /// Gives the host a disk of 32 MiB that has room for `inodes` files and folders.
    ///
    /// # Errors
    /// As [`HostOptions::on_small_disk`].
    pub fn on_disk_of_few_files(self, inodes: u32) -> Result<Self, Forbidden> {
        self.on_disk(format!("size=32m,nr_inodes={inodes}"))
    }

    /// Gives the host a state folder on a disk that cannot be written.
    ///
    /// # Errors
    /// As [`HostOptions::on_small_disk`].
    pub fn on_read_only_disk(self) -> Result<Self, Forbidden> {
        self.on_disk("ro,size=1m".to_owned())
    }

    /// Gives the host a disk of `bytes` bytes that holds a copy of `state` and has not a byte left, at each start anew.
    ///
    /// # Errors
    /// As [`HostOptions::on_small_disk`].
    pub fn on_full_disk_with(self, bytes: u64, state: &Path) -> Result<Self, Forbidden> {
        let mut options = self.on_disk(format!("size={bytes}"))?;
        if let Some(disk) = &mut options.disk {
            disk.full_with = Some(state.to_owned());
        }
        Ok(options)
    }

    fn on_disk(mut self, options: String) -> Result<Self, Forbidden> {
        let disk = Disk {
            options,
            full_with: None,
        };
        let folder = tempfile::tempdir().map_err(|error| Forbidden(error.to_string()))?;
        let possible = disk
            .command(folder.path(), "true")
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !possible {
            return Err(Forbidden(
                "this system does not let us mount a file system".to_owned(),
            ));
        }
        self.disk = Some(disk);
        Ok(self)
    }
}

impl Disk {
    /// A command that will run with this disk at `folder`, in the process that is started and no child of it.
    pub(super) fn command(&self, folder: &Path, program: impl AsRef<OsStr>) -> Command {
        const SCRIPT: &str = r#"mkdir -p "$2" && mount -t tmpfs -o "$1" tmpfs "$2" || exit 1
            if [ -n "$3" ]; then cp -a "$3/." "$2" || exit 1; cat /dev/zero > "$2/filler" 2> /dev/null; fi
            shift 3 && exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--"]);
        command.args(["sh", "-c", SCRIPT, "sh", &self.options]);
        let full_with = self.full_with.clone().unwrap_or_default();
        command.arg(folder).arg(full_with).arg(program);
        command
    }
}

impl TestHost {
    /// A path of the host's own file system as others can see it, while the host runs.
    pub fn inside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Fills the disk below the state folder until `left` bytes are free, beside what the host keeps there; what is filled
    /// is free again when the file that is returned is removed.
    ///
    /// # Panics
    /// When there is less free already.
    pub fn fill_disk(&self, left: u64) -> PathBuf {
        let state = self.inside(self.state());
        let filler = state.join("filler");
        let file = File::create(&filler).expect("a file that fills the disk");
        let disk = rustix::fs::statvfs(&state).expect("the size of the disk");
        let fill = (disk.f_bavail * disk.f_frsize).checked_sub(left);
        let fill = fill.expect("a disk with more space than is to be left");
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, fill)
            .expect("space for the file that fills the disk");
        filler
    }

    /// Makes empty files in a new folder on the disk until there is room for `left` more; remove the folder to have the room
    /// back.
    ///
    /// # Panics
    /// When there is less room already.
    pub fn fill_inodes(&self, left: u64) -> PathBuf {
        let state = self.inside(self.state());
        let filler = state.join("filler");
        fs::create_dir(&filler).expect("a folder that fills the disk");
        let free = || {
            rustix::fs::statvfs(&state)
                .expect("the size of the disk")
                .f_favail
        };
        assert!(free() >= left, "{} files fit", free());
        let mut number = 0;
        while free() > left {
            File::create(filler.join(number.to_string())).expect("a file that fills the disk");
            number += 1;
        }
        filler
    }

    /// From now on nothing can be written below the state folder through its path, as after a remount read-only. What the
    /// host holds open stays as it is: the system refuses to remount a disk with files that are open for writing.
    pub fn make_disk_read_only(&self) {
        self.in_its_mounts(r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1""#);
    }

    /// Takes [`TestHost::make_disk_read_only`] back.
    pub fn make_disk_writable(&self) {
        self.in_its_mounts(r#"umount "$1""#);
    }

    fn in_its_mounts(&self, script: &str) {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.pid()));
        command.args(["--", "sh", "-c", script, "sh"]);
        let status = command.arg(self.state()).status();
        assert!(status.is_ok_and(|status| status.success()), "{script}");
    }

    /// Copies the state folder as it is now, for another host to be started on.
    pub fn copy_state(&self, to: &Path) {
        copy(&self.inside(self.state()), to);
    }
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder for the copy");
    for entry in fs::read_dir(from).expect("a folder to copy").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else if from.is_file() {
            // What is neither is the socket of the daemon that runs.
            fs::copy(&from, &to).expect("a copy of a file");
        }
    }
}
