//! The few questions to the operating system that differ by platform: which boot this is, which machine, who owns the
//! other end of a loopback connection, what is in the page cache. Linux answers all of them; elsewhere the answer is
//! "unknown", and callers treat unknown as the careful case.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::path::Path;

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
pub(crate) fn own_user() -> u32 {
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

fn owner_in(table: &str, client: SocketAddr, server: SocketAddr) -> Option<u32> {
    let same = |text: &str, address: SocketAddr| {
        kernel_address(text).is_some_and(|(ip, port)| {
            port == address.port() && ip.to_canonical() == address.ip().to_canonical()
        })
    };
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, remote) = (fields.next()?, fields.next()?);
        let user = fields.nth(4)?;
        (same(local, client) && same(remote, server)).then(|| user.parse().ok())?
    })
}

/// Reads `0100007F:2124`: 32-bit words in the machine's byte order, then the port in hexadecimal.
fn kernel_address(text: &str) -> Option<(std::net::IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<u32>> = (0..address.len() / 8)
        .map(|word| u32::from_str_radix(address.get(word * 8..word * 8 + 8)?, 16).ok())
        .collect();
    let bytes: Vec<u8> = words?.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let ip = match bytes.len() {
        4 => std::net::IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => std::net::IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
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
        assert_eq!(
            socket_owner(server, from),
            Some(own_user()).filter(|_| listener.accept().is_ok())
        );
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
