//! The sockets of one link. The only file that knows the `socket2` crate.
//!
//! The port of multicast DNS is shared with whoever else speaks it on this machine, other daemons of ours included. A socket
//! hears one link alone, so that it is known where a packet came from.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use modmesh_protocol::discovery::{GROUP_V4, GROUP_V6, PORT};
use modmesh_protocol::limits::DISCOVERY_PACKET_BYTES_MAX;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

use super::Voice;

/// Packets leave and come with this number of hops (RFC 6762, section 11).
const HOPS: u32 = 255;

/// The sockets of one link: at least one of them.
#[derive(Debug)]
pub(super) struct Sockets {
    index: u32,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
}

/// A packet as it came.
pub(super) struct Heard {
    pub(super) from: SocketAddr,
    length: usize,
    /// One byte longer than what is looked at, so that a longer packet is known by its length.
    bytes: [u8; DISCOVERY_PACKET_BYTES_MAX + 1],
}

impl Heard {
    pub(super) fn new() -> Self {
        Self {
            from: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            length: 0,
            bytes: [0; DISCOVERY_PACKET_BYTES_MAX + 1],
        }
    }

    pub(super) fn packet(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Sockets {
    /// Opens what the voices of the link need. A family that the system refuses is left out where the other one works.
    pub(super) fn open(index: u32, voices: &[Voice]) -> io::Result<Self> {
        let first_v4 = voices.iter().find_map(|voice| match voice.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        let has_v6 = voices.iter().any(|voice| voice.address.is_ipv6());
        let v4 = first_v4.map(|address| listen_v4(index, address));
        let v6 = has_v6.then(|| listen_v6(index));
        match (v4, v6) {
            (Some(Err(error)), None | Some(Err(_))) | (None, Some(Err(error))) => Err(error),
            (v4, v6) => Ok(Self {
                index,
                v4: v4.and_then(Result::ok),
                v6: v6.and_then(Result::ok),
            }),
        }
    }

    /// The next packet.
    pub(super) async fn hear(&self, heard: &mut Heard) -> io::Result<()> {
        loop {
            tokio::select! {
                readable = ready(self.v4.as_ref()) => readable?,
                readable = ready(self.v6.as_ref()) => readable?,
            }
            if self.hear_at_once(heard)? {
                return Ok(());
            }
        }
    }

    /// A packet that is here already, if there is one.
    pub(super) fn hear_at_once(&self, heard: &mut Heard) -> io::Result<bool> {
        for socket in [&self.v4, &self.v6].into_iter().flatten() {
            match socket.try_recv_from(&mut heard.bytes) {
                Ok((length, from)) => {
                    heard.from = from;
                    heard.length = length;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Says `packet` to the link, from the address of `voice`.
    pub(super) async fn say(&self, voice: &Voice, packet: &[u8]) -> io::Result<()> {
        match voice.address {
            IpAddr::V4(address) => {
                let socket = self.v4.as_ref().ok_or(io::ErrorKind::Unsupported)?;
                SockRef::from(socket).set_multicast_if_v4(&address)?;
                socket.send_to(packet, (GROUP_V4, PORT)).await?;
            }
            IpAddr::V6(address) => {
                // Left alone, the system would say it from the link-local address, at which nobody can be called.
                let socket = new(Domain::IPV6)?;
                socket.set_only_v6(true)?;
                socket.set_multicast_if_v6(self.index)?;
                socket.set_multicast_hops_v6(HOPS)?;
                let from = SocketAddr::from((address, PORT));
                let socket = bind(socket, from)?;
                let group = SocketAddrV6::new(GROUP_V6, PORT, 0, self.index);
                socket.send_to(packet, group).await?;
            }
        }
        Ok(())
    }
}

/// Never, where there is no socket.
async fn ready(socket: Option<&UdpSocket>) -> io::Result<()> {
    match socket {
        Some(socket) => socket.readable().await,
        None => std::future::pending().await,
    }
}

fn listen_v4(index: u32, address: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = new(Domain::IPV4)?;
    #[cfg(target_os = "linux")]
    socket.set_multicast_all_v4(false)?;
    socket.set_multicast_ttl_v4(HOPS)?;
    socket.set_multicast_loop_v4(true)?;
    // By number, so that of two cards with the same network each is heard apart; by address where that is not known.
    let by_number = InterfaceIndexOrAddress::Index(index);
    if socket.join_multicast_v4_n(&GROUP_V4, &by_number).is_err() {
        socket.join_multicast_v4(&GROUP_V4, &address)?;
    }
    bind(socket, SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)))
}

fn listen_v6(index: u32) -> io::Result<UdpSocket> {
    let socket = new(Domain::IPV6)?;
    socket.set_only_v6(true)?;
    #[cfg(target_os = "linux")]
    socket.set_multicast_all_v6(false)?;
    socket.join_multicast_v6(&GROUP_V6, index)?;
    bind(socket, SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)))
}

fn new(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(all(
        unix,
        not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))
    ))]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn bind(socket: Socket, address: SocketAddr) -> io::Result<UdpSocket> {
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}
