//! An address at which nobody listens, for as long as a test wants that.
//!
//! The tests of the daemon and of the command take this file in as a module of their own.
#![allow(unreachable_pub)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};

/// A free address of loopback that no other program or test is given while this is held: calls to it are refused, and
/// whoever is told the address can listen there, which a port that was merely free a moment ago does not promise.
///
/// A socket is bound to it and never listens. By `SO_REUSEADDR` (socket(7)) a listener may be bound beside it.
#[derive(Debug)]
pub struct Unheard(OwnedFd);

impl Unheard {
    /// A new address of 127.0.0.1.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn new() -> Self {
        Self::at(([127, 0, 0, 1], 0).into()).expect("a free port")
    }

    /// This address, or one of the host's ports where its port is 0.
    ///
    /// # Errors
    /// When somebody listens there, or the host has no such address.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = socket(family, SocketType::STREAM, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address)?;
        Ok(Self(socket))
    }

    /// Where nobody listens.
    ///
    /// # Panics
    /// When the system does not say so.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let name = getsockname(&self.0).expect("the address of the socket");
        name.try_into().expect("an address of IP")
    }
}

impl Default for Unheard {
    fn default() -> Self {
        Self::new()
    }
}
