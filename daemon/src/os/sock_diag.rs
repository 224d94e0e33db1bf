//! Asks the kernel about one TCP connection over a netlink socket (sock_diag(7)), at a cost that does not depend on how
//! many others there are.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

/// `SOCK_DIAG_BY_FAMILY` of linux/sock_diag.h.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST` of linux/netlink.h: a question, and since it asks for no dump, for exactly one socket.
const REQUEST: u16 = 1;
const IPPROTO_TCP: u8 = 6;
/// Bytes of a `nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// Bytes of a `nlmsghdr` and a `inet_diag_req_v2`.
const QUESTION_BYTES: usize = 72;
/// Bytes of a `inet_diag_msg`.
const SOCKET_BYTES: usize = 72;
/// Bytes of an answer that are read; what may follow are attributes that were not asked for.
const ANSWER_BYTES_MAX: usize = 1024;

/// The user who owns the socket at `client` that is connected to `server`; nothing when no process holds it any more, or
/// not yet.
///
/// # Errors
/// The kernel does not know the connection, or cannot be asked.
pub(super) fn owner(client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
    let question = question(client, server);
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    let kernel = netlink::SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &question, SendFlags::empty(), &kernel)?;
    // The kernel has put its answer in the queue when the question has been sent.
    let mut answer = [0; ANSWER_BYTES_MAX];
    let (read, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::DONTWAIT)?;
    owner_in(&answer[..read], &question).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The socket whose own address is `client` and whose peer is `server`.
fn question(client: SocketAddr, server: SocketAddr) -> [u8; QUESTION_BYTES] {
    let (client_ip, server_ip) = (client.ip().to_canonical(), server.ip().to_canonical());
    let family = match client_ip {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let mut question = [0; QUESTION_BYTES];
    let mut put = |at: usize, bytes: &[u8]| question[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(QUESTION_BYTES as u32).to_ne_bytes());
    put(4, &BY_FAMILY.to_ne_bytes());
    put(6, &REQUEST.to_ne_bytes());
    put(HEADER_BYTES, &[family.as_raw() as u8, IPPROTO_TCP]);
    // Of all states.
    put(20, &u32::MAX.to_ne_bytes());
    put(24, &client.port().to_be_bytes());
    put(26, &server.port().to_be_bytes());
    for (at, ip) in [(28, client_ip), (44, server_ip)] {
        match ip {
            IpAddr::V4(ip) => put(at, &ip.octets()),
            IpAddr::V6(ip) => put(at, &ip.octets()),
        }
    }
    // `INET_DIAG_NOCOOKIE`: whichever socket it is.
    put(64, &[0xff; 8]);
    question
}

/// What the answer says of the socket that was asked for; nothing when it speaks of another, or of none.
fn owner_in(answer: &[u8], question: &[u8; QUESTION_BYTES]) -> Option<Option<u32>> {
    let kind = answer.get(4..6)?;
    let socket = answer.get(HEADER_BYTES..HEADER_BYTES + SOCKET_BYTES)?;
    // Ports, then addresses. Where there is no such connection, the kernel answers with the socket that listens.
    let is_it = kind == BY_FAMILY.to_ne_bytes() && socket[4..40] == question[24..60];
    let word = |at: usize| Some(u32::from_ne_bytes(socket.get(at..at + 4)?.try_into().ok()?));
    let (user, inode) = (word(64)?, word(68)?);
    // A socket that its process has let go of has no inode, and is shown as root's whoever made it.
    is_it.then_some((inode != 0).then_some(user))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::super::own_user;
    use super::*;

    #[test]
    fn the_kernel_names_the_owner_of_a_connection_by_either_family() {
        for (listen, call) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("[::]:0", "127.0.0.1"),
            ("[::1]:0", "::1"),
        ] {
            let Ok(listener) = TcpListener::bind(listen) else {
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            let server = SocketAddr::new(call.parse().unwrap(), port);
            let client = TcpStream::connect(server).unwrap();
            let from = client.local_addr().unwrap();
            assert_eq!(owner(from, server).unwrap(), Some(own_user()), "{listen}");
            // There is no such connection, only a socket that listens where it would begin.
            let nobody = SocketAddr::new(server.ip(), 9);
            assert!(owner(server, nobody).is_err(), "{listen}");
        }
    }

    #[test]
    fn an_answer_about_another_socket_or_none_names_no_owner() {
        let (client, server) = ("127.0.0.1:4660", "127.0.0.1:8484");
        let question = question(client.parse().unwrap(), server.parse().unwrap());
        let mut answer = vec![0; HEADER_BYTES + SOCKET_BYTES];
        answer[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        answer[20..56].copy_from_slice(&question[24..60]);
        answer[80..84].copy_from_slice(&1001_u32.to_ne_bytes());
        assert_eq!(owner_in(&answer, &question), Some(None));
        answer[84] = 7;
        assert_eq!(owner_in(&answer, &question), Some(Some(1001)));
        for cut in 0..answer.len() {
            assert_eq!(owner_in(&answer[..cut], &question), None);
        }
        answer[21] ^= 1;
        assert_eq!(owner_in(&answer, &question), None);
        // NLMSG_ERROR.
        answer[21] ^= 1;
        answer[4..6].copy_from_slice(&2_u16.to_ne_bytes());
        assert_eq!(owner_in(&answer, &question), None);
    }
}
