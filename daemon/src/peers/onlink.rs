//! Which addresses are on this host's own links.
//!
//! An address is on-link when it lies within a prefix of one of the interfaces, loopback included. Routing tables, names
//! and gateways are not asked: a prefix is what the administrator of the link wrote down. The list of interfaces is read
//! again when an address does not match and the list is more than a second old, so that a new link is known at once and a
//! stream of strangers costs one read per second. The only file that knows the `if-addrs` crate.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Least time between two reads of the interfaces.
const READ_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The addresses this host talks to: its links and those named with `--peer`.
#[derive(Debug)]
pub(super) struct OnLink {
    prefixes: Vec<Prefix>,
    read_at: Option<Instant>,
    named: HashSet<IpAddr>,
    /// The addresses of each name that was given, as they were last looked up.
    seeds: HashMap<usize, Vec<IpAddr>>,
}

/// An address of an interface with the length of its network part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    /// The address of the interface, canonical.
    pub(super) address: IpAddr,
    /// Bits of the network part.
    pub(super) bits: u8,
}

impl OnLink {
    /// Reads the interfaces when first asked; `named` addresses are always talked to.
    pub(super) fn new(named: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            prefixes: Vec::new(),
            read_at: None,
            named: named.into_iter().map(|ip| ip.to_canonical()).collect(),
            seeds: HashMap::new(),
        }
    }

    /// The seed of this number has these addresses (canonical) and no others.
    pub(super) fn seed(&mut self, seed: usize, addresses: Vec<IpAddr>) {
        self.seeds.insert(seed, addresses);
    }

    /// Whether this host talks to `address`.
    pub(super) fn allows(&mut self, address: IpAddr, now: Instant) -> bool {
        let address = address.to_canonical();
        let mut seeds = self.seeds.values().flatten();
        let is_named = self.named.contains(&address) || seeds.any(|ip| *ip == address);
        is_named || self.is_within_now(address, now)
    }

    /// Whether it is within a prefix of an interface; these are read anew where there is need.
    fn is_within_now(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.is_within(address) {
            return true;
        }
        let fresh = |read_at| now.saturating_duration_since(read_at) < READ_INTERVAL_MIN;
        if self.read_at.is_some_and(fresh) {
            return false;
        }
        self.read_at = Some(now);
        match read_prefixes() {
            Ok(prefixes) => self.prefixes = prefixes,
            // Keeping what was known is right for a passing failure; a host that can never read its interfaces talks
            // to named peers alone, which the log says.
            Err(error) => {
                tracing::warn!(%error, "cannot read the network interfaces; only --peer addresses are talked to");
            }
        }
        self.is_within(address)
    }

    /// Whether `address` is on one of this host's links now, and another host's: neither named alone nor loopback.
    pub(super) fn is_on_a_link(&mut self, address: IpAddr, now: Instant) -> bool {
        let address = address.to_canonical();
        // One that was given with `--peer` may be on a link as well.
        !address.is_loopback() && self.is_within_now(address, now)
    }

    fn is_within(&self, address: IpAddr) -> bool {
        self.prefixes.iter().any(|p| p.contains(address))
    }
}

impl Prefix {
    /// Whether `address` (canonical) shares the network part. A prefix of no bits contains nothing: a default route is
    /// not a link.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let same = |ours: u128, theirs: u128, width: u32| {
            let host_bits = width.saturating_sub(u32::from(self.bits));
            self.bits > 0 && ours.checked_shr(host_bits) == theirs.checked_shr(host_bits)
        };
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// An interface that is up and whose link others may share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// Its number in this system.
    pub(super) index: u32,
    /// Its addresses.
    pub(super) prefixes: Vec<Prefix>,
}

/// The links of this host: no loopback, and no tunnel from one host to another.
pub(super) fn links() -> std::io::Result<Vec<Link>> {
    let mut links: Vec<Link> = Vec::new();
    for interface in if_addrs::get_if_addrs()? {
        let Some(index) = interface.index else {
            continue;
        };
        // Some systems do not tell how an interface is; only one that is told to be down is left out.
        let is_down = interface.oper_status == if_addrs::IfOperStatus::Down;
        if interface.is_loopback() || interface.is_p2p() || is_down {
            continue;
        }
        let prefix = prefix_of(&interface);
        match links.iter_mut().find(|link| link.index == index) {
            Some(link) => link.prefixes.push(prefix),
            None => links.push(Link {
                index,
                prefixes: vec![prefix],
            }),
        }
    }
    Ok(links)
}

/// The IP address at the head of a multiaddress, nothing when it begins with something else (a name, a relay).
pub(super) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(IpAddr::from(ip).to_canonical()),
        _ => None,
    }
}

/// `/ip4/10.0.0.7/tcp/8485` as a socket's address.
pub(super) fn socket_of(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let _ip = parts.next();
    let Some(Protocol::Tcp(port)) = parts.next() else {
        return None;
    };
    Some(SocketAddr::new(ip_of(address)?, port))
}

fn read_prefixes() -> std::io::Result<Vec<Prefix>> {
    let interfaces = if_addrs::get_if_addrs()?;
    Ok(interfaces.iter().map(prefix_of).collect())
}

fn prefix_of(interface: &if_addrs::Interface) -> Prefix {
    match &interface.addr {
        if_addrs::IfAddr::V4(v4) => Prefix {
            address: v4.ip.into(),
            bits: v4.prefixlen,
        },
        if_addrs::IfAddr::V6(v6) => Prefix {
            address: v6.ip.into(),
            bits: v6.prefixlen,
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn prefix(address: &str, bits: u8) -> Prefix {
        Prefix {
            address: address.parse().unwrap(),
            bits,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_contains_what_shares_its_network_part() {
        for (p, address, inside) in [
            (prefix("192.168.1.7", 24), "192.168.1.200", true),
            (prefix("192.168.1.7", 24), "192.168.2.1", false),
            (prefix("10.77.3.4", 16), "10.77.255.255", true),
            (prefix("10.77.3.4", 16), "10.78.0.1", false),
            (prefix("203.0.113.5", 32), "203.0.113.5", true),
            (prefix("203.0.113.5", 32), "203.0.113.4", false),
            (prefix("10.0.0.1", 0), "8.8.8.8", false),
            (prefix("fe80::1", 64), "fe80::abcd", true),
            (prefix("fe80::1", 64), "fe81::1", false),
            (prefix("fd00::1", 128), "fd00::1", true),
            (prefix("::1", 128), "::2", false),
            (prefix("127.0.0.1", 8), "127.9.9.9", true),
            (prefix("127.0.0.1", 8), "::1", false),
            (prefix("::", 0), "2001:db8::1", false),
        ] {
            assert_eq!(p.contains(ip(address)), inside, "{p:?} {address}");
        }
    }

    #[test]
    fn loopback_is_on_link_and_a_far_host_only_when_named() {
        let now = Instant::now();
        let mut links = OnLink::new([ip("203.0.113.9")]);
        assert!(links.allows(ip("127.0.0.1"), now));
        assert!(links.allows(ip("::ffff:127.0.0.1"), now));
        assert!(links.allows(ip("203.0.113.9"), now));
        assert!(!links.allows(ip("203.0.113.10"), now));
        links.seed(0, vec![ip("203.0.113.10")]);
        assert!(links.allows(ip("203.0.113.10"), now));
        links.seed(0, vec![ip("203.0.113.11")]);
        assert!(!links.allows(ip("203.0.113.10"), now));
    }

    #[test]
    fn the_address_of_a_multiaddress_is_its_first_part() {
        let of = |text: &str| ip_of(&text.parse().unwrap());
        assert_eq!(of("/ip4/10.0.0.1/tcp/1"), Some(ip("10.0.0.1")));
        assert_eq!(of("/ip6/::ffff:10.0.0.1/tcp/1"), Some(ip("10.0.0.1")));
        assert_eq!(of("/dns4/example.com/tcp/1"), None);
    }
}
