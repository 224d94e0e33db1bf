//! Can multicast be heard? Asks who is there, as modmesh itself does, and waits for the question to come back; hosts that
//! announce themselves meanwhile are counted, the daemon of this one among them. It goes out by the interface that the
//! system chooses.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use modmesh_protocol::discovery::{GROUP_V4, PORT, Packet, question};

/// Where hosts speak.
const GROUP: SocketAddrV4 = SocketAddrV4::new(GROUP_V4, PORT);
/// How long to listen: four hosts answer a question, seven in a second.
const LISTEN_FOR: Duration = Duration::from_millis(1500);
/// The longest wait for one packet.
const WAIT: Duration = Duration::from_millis(100);
/// The largest packet of multicast DNS (RFC 6762, section 17).
const PACKET_BYTES_MAX: usize = 9000;
/// Packets that are looked at; a busy link must not hold the doctor.
const PACKETS_MAX: usize = 10_000;

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Our own question, and so many other hosts.
    Ourselves { others: usize },
    /// Not even our own question.
    Nothing,
    /// There is no network it could go to.
    NoNetwork,
}

/// Asks and listens. Blocks for a second and a half.
pub(super) fn listen() -> io::Result<Heard> {
    let socket = match open() {
        Err(error) if is_no_network(&error) => return Ok(Heard::NoNetwork),
        opened => opened?,
    };
    let id = question_id();
    let question = question(id);
    match socket.send_to(&question, GROUP) {
        Err(error) if is_no_network(&error) => return Ok(Heard::NoNetwork),
        sent => sent?,
    };
    let (mut sources, mut own) = (BTreeSet::<IpAddr>::new(), None);
    let began = Instant::now();
    let mut packet = [0; PACKET_BYTES_MAX];
    for _ in 0..PACKETS_MAX {
        if began.elapsed() >= LISTEN_FOR {
            break;
        }
        match socket.recv_from(&mut packet) {
            Ok((length, from)) if packet.get(..length) == Some(question.as_slice()) => {
                own = Some(from.ip());
            }
            Ok((length, from)) => {
                let heard = packet.get(..length).and_then(Packet::decode);
                if let Some(Packet::Announcement(_)) = heard {
                    sources.insert(from.ip());
                }
            }
            Err(error) if is_silence(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(match own {
        Some(own) => {
            sources.remove(&own);
            let others = sources.len();
            Heard::Ourselves { others }
        }
        None => Heard::Nothing,
    })
}

/// An id that another process of this moment will not have.
fn question_id() -> u16 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanoseconds = now.map_or(0, |now| now.subsec_nanos());
    ((nanoseconds >> 4) ^ std::process::id().rotate_left(7)) as u16
}

fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// A socket of the group, beside that of the daemon and others.
#[cfg(unix)]
fn open() -> io::Result<UdpSocket> {
    use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};

    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    #[cfg(not(any(target_os = "solaris", target_os = "illumos")))]
    sockopt::set_socket_reuseport(&socket, true)?;
    let everywhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), GROUP.port());
    bind(&socket, &everywhere)?;
    let socket = UdpSocket::from(socket);
    socket.join_multicast_v4(GROUP.ip(), &Ipv4Addr::UNSPECIFIED)?;
    socket.set_multicast_loop_v4(true)?;
    socket.set_read_timeout(Some(WAIT))?;
    Ok(socket)
}

#[cfg(unix)]
fn is_no_network(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let reason = Errno::from_io_error(error);
    reason.is_some_and(|reason| {
        [
            Errno::NODEV,
            Errno::NETUNREACH,
            Errno::NETDOWN,
            Errno::HOSTUNREACH,
            Errno::ADDRNOTAVAIL,
        ]
        .contains(&reason)
    })
}

#[cfg(not(unix))]
fn open() -> io::Result<UdpSocket> {
    let _unused: SocketAddr = GROUP.into();
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn is_no_network(_error: &io::Error) -> bool {
    false
}
