//! The few questions to the operating system that differ by platform: which boot this is, which machine, who owns the
//! other end of a loopback connection, what is in the page cache, how a group of processes is ended. Linux answers all of them; elsewhere the answer is
//! "unknown", and callers treat unknown as the careful case.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

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

/// Descriptors that this process asks to be allowed: 1,024 clients, 256 neighbours, their files, and as much again.
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

/// The user who owns the socket at `client`, the other end of a TCP connection that we accepted at `server` on loopback.
///
/// Nothing when the connection does not come from this machine or the owner cannot be found. The source is
/// `/proc/net/tcp` and `tcp6` (proc_net_tcp(5)): the client's socket is the line whose local address is `client`.
pub(crate) fn socket_owner(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    if !client.ip().to_canonical().is_loopback() {
        return None;
    }
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .find_map(|table| owner_in(&table, client, server))
}

/// The user who owns the socket that takes connections to `address` on this machine, by its `/proc/net/tcp` and `tcp6`.
///
/// Where sockets for one address and for all addresses listen on the same port, the more exact one gets the connection.
/// Nothing when no such socket is in this network namespace, or the platform does not say. A user whom this process's
/// user namespace does not know shows as the overflow user (65534), and is therefore nobody's.
pub fn listener_owner(address: SocketAddr) -> Option<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| std::fs::read_to_string(table).ok());
    let listeners: Vec<_> = tables.flat_map(|table| listeners_in(&table)).collect();
    let wanted = address.ip().to_canonical();
    let exactness = |listening: &IpAddr| match listening.to_canonical() {
        ip if ip == wanted => Some(2),
        ip if ip.is_unspecified() && ip.is_ipv4() == wanted.is_ipv4() => Some(1),
        ip if ip.is_unspecified() && ip.is_ipv6() => Some(0),
        _ => None,
    };
    listeners
        .iter()
        .filter(|(listening, _)| listening.port() == address.port())
        .filter_map(|(listening, user)| Some((exactness(&listening.ip())?, *user)))
        .max_by_key(|(exactness, _)| *exactness)
        .map(|(_, user)| user)
}

/// The sockets of a table that listen, each with its owner.
fn listeners_in(table: &str) -> Vec<(SocketAddr, u32)> {
    const LISTENS: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (ip, port) = kernel_address(fields.next()?)?;
            let state = fields.nth(1)?;
            let user = fields.nth(3)?.parse().ok()?;
            (state == LISTENS).then_some((SocketAddr::new(ip, port), user))
        })
        .collect()
}

fn owner_in(table: &str, client: SocketAddr, server: SocketAddr) -> Option<u32> {
    // The table may have tens of thousands of lines: a glance at the port is enough for most of them.
    let ports = [client, server].map(|address| format!(":{:04X}", address.port()));
    let same = |text: &str, port: &str, address: SocketAddr| {
        let named = text.ends_with(port).then(|| kernel_address(text)).flatten();
        named.is_some_and(|(ip, _)| ip.to_canonical() == address.ip().to_canonical())
    };
    let [client_port, server_port] = &ports;
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, remote) = (fields.next()?, fields.next()?);
        let user = fields.nth(4)?;
        // A socket that its process has let go of has no inode, and is shown as root's whoever made it.
        let inode = fields.nth(1).filter(|inode| *inode != "0");
        let found = same(local, client_port, client)
            && same(remote, server_port, server)
            && inode.is_some();
        found.then(|| user.parse().ok())?
    })
}

/// Reads `0100007F:2124`: 32-bit words in the machine's byte order, then the port in hexadecimal.
fn kernel_address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<u32>> = (0..address.len() / 8)
        .map(|word| u32::from_str_radix(address.get(word * 8..word * 8 + 8)?, 16).ok())
        .collect();
    let bytes: Vec<u8> = words?.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some((ip, port))
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
    use std::net::{TcpListener, TcpStream};

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

    #[test]
    fn the_owner_of_a_loopback_connection_is_the_user_who_made_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let client = TcpStream::connect(server).unwrap();
        let from = client.local_addr().unwrap();
        assert_eq!(socket_owner(from, server), Some(own_user()));
        // Before it is accepted, nobody holds the other end.
        assert_eq!(socket_owner(server, from), None);
        let _accepted = listener.accept().unwrap();
        assert_eq!(socket_owner(server, from), Some(own_user()));
    }

    #[test]
    fn a_socket_that_nobody_holds_any_more_is_nobodys() {
        let client: SocketAddr = "127.0.0.1:4660".parse().unwrap();
        let server: SocketAddr = "127.0.0.1:8484".parse().unwrap();
        let loopback = u32::from_ne_bytes([127, 0, 0, 1]);
        let table = |inode: u64| {
            format!(
                "sl local rem st queues timer retr uid timeout inode\n 0: {loopback:08X}:1234 {loopback:08X}:2124 01 0:0 00:0 0 0 0 {inode} 1\n"
            )
        };
        assert_eq!(owner_in(&table(4711), client, server), Some(0));
        assert_eq!(owner_in(&table(0), client, server), None);
    }

    #[test]
    fn the_owner_of_a_listening_socket_is_found_by_the_address_one_would_call() {
        for (listen, call) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.1"),
            ("[::]:0", "127.0.0.1"),
            ("[::]:0", "::1"),
        ] {
            let Ok(listener) = TcpListener::bind(listen) else {
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            let called = SocketAddr::new(call.parse().unwrap(), port);
            assert_eq!(listener_owner(called), Some(own_user()), "{listen}");
            let elsewhere = SocketAddr::new("192.0.2.1".parse().unwrap(), port);
            let takes_all = listener.local_addr().unwrap().ip().is_unspecified();
            assert_eq!(listener_owner(elsewhere).is_some(), takes_all, "{listen}");
            let client = TcpStream::connect(called).unwrap();
            let client = client.local_addr().unwrap();
            assert_eq!(listener_owner(client), None, "{listen}");
        }
    }

    #[test]
    fn a_connection_is_no_listener() {
        let loopback = u32::from_ne_bytes([127, 0, 0, 1]);
        let table = format!(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: {loopback:08X}:2124 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001 0 1 1 0 100 0\n\
             1: {loopback:08X}:2125 {loopback:08X}:2124 01 00000000:00000000 00:00000000 00000000 7 0 1 1 0 100 0\n\
             2: nonsense\n"
        );
        let address = "127.0.0.1:8484".parse().unwrap();
        assert_eq!(listeners_in(&table), [(address, 1001)]);
    }

    #[test]
    fn kernel_addresses_are_read_in_the_order_of_the_machine() {
        let loopback = u32::from_ne_bytes([127, 0, 0, 1]);
        assert_eq!(
            kernel_address(&format!("{loopback:08X}:2124")),
            Some(("127.0.0.1".parse().unwrap(), 8484))
        );
        assert_eq!(kernel_address("nonsense"), None);
        assert_eq!(kernel_address("é0:1"), None);
    }
}
