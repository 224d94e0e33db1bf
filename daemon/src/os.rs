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
