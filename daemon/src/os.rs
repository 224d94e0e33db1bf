//! The few questions to the operating system that differ by platform: which boot this is, which machine, who owns the
//! other end of a loopback connection, what is in the page cache, what feeds the machine, whether a line is metered, which minute of the week it is there, how a group of processes is ended. Linux answers all of them; elsewhere the answer is
//! "unknown", and callers treat unknown as the careful case.

mod commands;
mod local_time;
mod metered;
mod power;
#[cfg(target_os = "linux")]
mod sock_diag;
mod sockets;
#[cfg(test)]
#[path = "../../tests/harness/unheard.rs"]
pub(crate) mod unheard;

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

pub(crate) use commands::command_on_path;
pub(crate) use local_time::local_minute;
pub(crate) use metered::is_metered;
pub(crate) use power::is_on_battery;
pub use sockets::listener_owner;
pub(crate) use sockets::socket_owner;

/// A group of processes whose head is a child of ours that nobody has waited for yet; killed when this is dropped.
///
/// As long as the head was not waited for, the number of the group cannot belong to anybody else (waitpid(2)).
#[derive(Debug)]
pub(crate) struct ProcessGroup {
    head: Option<Pid>,
    is_over: AtomicBool,
}

impl ProcessGroup {
    /// The group of the child with this process id.
    pub(crate) fn headed_by(id: Option<u32>) -> Self {
        let head = id
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        Self {
            head,
            is_over: AtomicBool::new(false),
        }
    }

    /// Kills every process in it.
    pub(crate) fn kill(&self) {
        if let Some(head) = self.head
            && !self.is_over.load(Ordering::Acquire)
        {
            let _nobody_is_left = rustix::process::kill_process_group(head, Signal::KILL);
        }
    }

    /// The head was waited for: nothing is killed from now on.
    pub(crate) fn is_over(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// A call that blocks until the head has ended, and leaves it to be waited for (waitid(2), `WNOWAIT`).
    pub(crate) fn wait_for_head(&self) -> impl FnOnce() + Send + 'static {
        let head = self.head;
        move || {
            let Some(head) = head else { return };
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) =
                rustix::process::waitid(WaitId::Pid(head), options)
            {}
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether an error says that a disk has no space or files left, or this user may take no more of them.
pub(crate) fn is_full_disk(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Whether an error speaks of this process or machine being short of descriptors or memory.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE, Errno::NOMEM]
        .iter()
        .any(|shortage| code == Some(shortage.raw_os_error()))
}

/// Identifies this boot of the machine, or nothing where the platform does not say.
///
/// Two different boot ids around an unclean end mean that unwritten pages may have been lost.
pub(crate) fn boot_id() -> Option<String> {
    read_line("/proc/sys/kernel/random/boot_id")
}

/// Identifies this installation of the operating system (`machine-id(5)`), or nothing where there is none.
pub(crate) fn machine_id() -> Option<String> {
    read_line("/etc/machine-id").or_else(|| read_line("/var/lib/dbus/machine-id"))
}

/// The user this process runs as.
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether this process could listen at `address`, a busy one being told apart from one the host does not have. A socket of
/// IPv6 is tried for IPv6 alone, as the neighbours' is: one for both families would meet our own socket of IPv4 there.
///
/// # Errors
/// What the system said.
pub fn can_listen(address: SocketAddr) -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let probe = socket(family, SocketType::STREAM, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&probe, true)?;
    }
    // As every listener does, so that connections of an earlier one that are still ending do not count.
    sockopt::set_socket_reuseaddr(&probe, true)?;
    bind(&probe, &address)?;
    Ok(listen(&probe, 1)?)
}

/// What a person can do about an address that could not be listened on; `flag` names another one.
pub(crate) fn listen_remedy(error: &io::Error, flag: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            format!("this host has no such address; give one that it has with {flag}")
        }
        io::ErrorKind::AddrInUse => {
            format!("stop what uses it (another modmesh?), or give a free one with {flag}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("this user may not listen there; give a port above 1023 with {flag}")
        }
        _ => format!("give another one with {flag}"),
    }
}

/// Descriptors that this process asks to be allowed: 1,024 clients, 1,024 connections of neighbours and errands, their files, and as much again.
const DESCRIPTORS_WANTED: u64 = 8192;

/// Raises the number of descriptors that this process may have, as far as it may by itself: shells and service managers
/// often start with 1,024, which a full house needs for its clients alone.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(DESCRIPTORS_WANTED, |most| most.min(DESCRIPTORS_WANTED));
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays low");
    }
}

/// Reads at `offset` only what is in the page cache already, so that it never waits for a disk.
///
/// Nothing when the data is not there, or the file system cannot say; the caller then reads on a thread that may wait
/// (preadv2(2), `RWF_NOWAIT`).
#[cfg(target_os = "linux")]
pub(crate) fn read_cached(file: &File, buffer: &mut [u8], offset: u64) -> Option<usize> {
    rustix::io::preadv2(
        file,
        &mut [IoSliceMut::new(buffer)],
        offset,
        rustix::io::ReadWriteFlags::NOWAIT,
    )
    .ok()
    .filter(|read| *read > 0)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn read_cached(_file: &File, _buffer: &mut [u8], _offset: u64) -> Option<usize> {
    None
}

/// Makes everything written below `folder` durable (syncfs(2)); one call at a clean end instead of one per file.
#[cfg(target_os = "linux")]
pub(crate) fn sync_file_system(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn sync_file_system(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether `path` still leads to the file that is held open: false when it was removed or replaced.
#[cfg(unix)]
pub(crate) fn leads_to(path: &Path, held: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let held = held.metadata()?;
    match std::fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
pub(crate) fn leads_to(path: &Path, _held: &File) -> io::Result<bool> {
    path.try_exists()
}

fn read_line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_descriptors_is_raised_as_far_as_it_may_be() {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let before = getrlimit(Resource::Nofile);
        let possible = before.maximum.unwrap_or(DESCRIPTORS_WANTED);
        let wanted = possible.min(DESCRIPTORS_WANTED);
        let low = Rlimit {
            current: Some(wanted - 1),
            maximum: before.maximum,
        };
        setrlimit(Resource::Nofile, low).unwrap();
        raise_descriptor_limit();
        assert_eq!(getrlimit(Resource::Nofile).current, Some(wanted));
        // A higher one stays.
        setrlimit(Resource::Nofile, before).unwrap();
        raise_descriptor_limit();
        assert_eq!(getrlimit(Resource::Nofile), before);
    }
}
