//! Who owns a TCP socket of this machine, at the other end of a connection or listening at an address.

use std::net::{IpAddr, SocketAddr};

/// The user who owns the socket at `client`, the other end of a TCP connection that we accepted at `server` on loopback.
///
/// Nothing when the connection does not come from this machine or the owner cannot be found. The kernel is asked for this
/// one connection (sock_diag(7)); where it cannot be, its table of all connections is read.
pub(crate) fn socket_owner(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    if !client.ip().to_canonical().is_loopback() {
        return None;
    }
    #[cfg(target_os = "linux")]
    if let Ok(owner) = super::sock_diag::owner(client, server) {
        return owner;
    }
    owner_by_table(client, server)
}

/// The source is `/proc/net/tcp` and `tcp6` (proc_net_tcp(5)): the client's socket is the line whose local address is
/// `client`. This takes milliseconds, for the kernel walks through all the room that it has for connections.
fn owner_by_table(client: SocketAddr, server: SocketAddr) -> Option<u32> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::super::own_user;
    use super::*;

    #[test]
    fn the_owner_of_a_loopback_connection_is_the_user_who_made_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let client = TcpStream::connect(server).unwrap();
        let from = client.local_addr().unwrap();
        let both = |client, server| {
            let found = socket_owner(client, server);
            assert_eq!(found, owner_by_table(client, server));
            found
        };
        assert_eq!(both(from, server), Some(own_user()));
        // Before it is accepted, nobody holds the other end.
        assert_eq!(both(server, from), None);
        let _accepted = listener.accept().unwrap();
        assert_eq!(both(server, from), Some(own_user()));
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
