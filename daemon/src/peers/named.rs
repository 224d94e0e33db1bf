//! What `--peer` says: an address, or a name that is looked up.
//!
//! A name may lead to several hosts, as that of a group of seeds does; each of its addresses is called. It is looked up again
//! every minute, and sooner after a failure, so that a host that moved is found and one that is gone is not called for ever.
//! Whom a name leads to is decided by whoever answers for it, which `/p2p/NAME` behind it bounds.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use libp2p::PeerId;
use libp2p::core::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::tips::Tip;

/// How often a name is looked up that was found before.
const AGAIN: Duration = Duration::from_secs(60);
/// The shortest and longest pause after a failure.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long the system may take to look a name up.
const LOOK_UP_MAX: Duration = Duration::from_secs(30);
/// Addresses of one name that are called.
const ADDRESSES_MAX: usize = 16;
/// Longest name (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// One `--peer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    /// An address, and whom it must lead to when that is told.
    At(Multiaddr, Option<PeerId>),
    /// A name.
    Named(Seed),
}

/// A host, or a group of them, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seed {
    /// As it was given, without a peer's name.
    pub(super) text: String,
    /// Whom it must lead to, when that is told.
    pub(super) pinned: Option<PeerId>,
    host: String,
    port: u16,
    family: Family,
}

/// Which addresses of a name are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Both,
    V4,
    V6,
}

/// Whether a text can be given as `--peer`: `/ip4/ADDRESS/tcp/PORT`, `/ip6/..`, `/dns/NAME/tcp/PORT`, `/dns4/..` or `/dns6/..`, and
/// perhaps `/p2p/NAME`.
///
/// # Errors
/// What is wrong and what would be right, as one line.
pub fn check_peer_address(address: &str) -> Result<(), String> {
    parse(address).map(|_| ())
}

/// Reads a `--peer`.
pub(super) fn parse(text: &str) -> Result<Given, String> {
    const RIGHT: &str = "such as /ip4/192.168.1.7/tcp/8485, /dns4/builder.example/tcp/8485 or /ip4/192.168.1.7/tcp/8485/p2p/12D3KooW...";
    let parsed: Multiaddr = text
        .parse()
        .map_err(|_| format!("not a multiaddress, {RIGHT}"))?;
    let parts: Vec<_> = parsed.iter().collect();
    let (host, port, pinned) = match parts.as_slice() {
        [host, Protocol::Tcp(port)] => (host, *port, None),
        [host, Protocol::Tcp(port), Protocol::P2p(peer)] => (host, *port, Some(*peer)),
        _ => return Err(format!("only addresses with TCP are supported, {RIGHT}")),
    };
    if port == 0 {
        return Err(format!("a port above 0 is expected, {RIGHT}"));
    }
    let bare = Multiaddr::empty()
        .with(host.clone())
        .with(Protocol::Tcp(port));
    let (name, family) = match host {
        Protocol::Ip4(_) | Protocol::Ip6(_) => return Ok(Given::At(bare, pinned)),
        Protocol::Dns(name) => (name, Family::Both),
        Protocol::Dns4(name) => (name, Family::V4),
        Protocol::Dns6(name) => (name, Family::V6),
        _ => return Err(format!("only addresses with TCP are supported, {RIGHT}")),
    };
    let usual = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(usual) {
        return Err(format!("not a host's name, {RIGHT}"));
    }
    Ok(Given::Named(Seed {
        text: bare.to_string(),
        pinned,
        host: name.to_string(),
        port,
        family,
    }))
}

impl Seed {
    /// Looks it up again and again, and tells as `number` what is found, until nobody listens any more.
    pub(super) async fn look_up(self, number: usize, tips: mpsc::Sender<Tip>) {
        let mut pause = PAUSE_MIN;
        loop {
            let found = self.look_up_once().await;
            let wait = match found {
                Ok(_) => {
                    pause = PAUSE_MIN;
                    AGAIN
                }
                Err(_) => {
                    let doubled = (pause * 2).min(PAUSE_MAX);
                    std::mem::replace(&mut pause, doubled)
                }
            };
            let tip = Tip::LookedUp {
                seed: number,
                found,
            };
            if tips.send(tip).await.is_err() {
                return;
            }
            tokio::select! {
                () = tips.closed() => return,
                () = sleep(wait) => {}
            }
        }
    }

    async fn look_up_once(&self) -> Result<Vec<IpAddr>, String> {
        let looking = lookup_host((self.host.as_str(), self.port));
        let found = match timeout(LOOK_UP_MAX, looking).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(format!("the name cannot be looked up: {error}")),
            Err(_) => return Err("the name was not looked up in time".to_owned()),
        };
        let mut addresses: Vec<IpAddr> = found
            .map(|socket: SocketAddr| socket.ip().to_canonical())
            .filter(|ip| self.wants(*ip))
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(ADDRESSES_MAX);
        match addresses.is_empty() {
            true => Err("the name has no address of this family".to_owned()),
            false => Ok(addresses),
        }
    }

    /// The address of this seed at `ip`.
    pub(super) fn at(&self, ip: IpAddr) -> Multiaddr {
        Multiaddr::from(ip).with(Protocol::Tcp(self.port))
    }

    fn wants(&self, ip: IpAddr) -> bool {
        match (self.family, ip) {
            (Family::V4, IpAddr::V6(_)) | (Family::V6, IpAddr::V4(_)) => false,
            (_, IpAddr::V6(ip)) => !ip.is_unicast_link_local(),
            (_, IpAddr::V4(_)) => true,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_address_is_a_host_a_port_and_perhaps_a_name() {
        let name = PeerId::random();
        for right in [
            "/ip4/192.168.1.7/tcp/8485".to_owned(),
            "/ip6/fd00::7/tcp/8485".to_owned(),
            format!("/ip4/192.168.1.7/tcp/8485/p2p/{name}"),
            "/dns4/builder/tcp/8485".to_owned(),
            "/dns/seeds.example.com/tcp/8485".to_owned(),
            format!("/dns6/seeds.example.com/tcp/8485/p2p/{name}"),
        ] {
            assert_eq!(check_peer_address(&right), Ok(()), "{right}");
        }
        for (wrong, word) in [
            ("192.168.1.7:8485", "not a multiaddress"),
            ("/dns4/a builder/tcp/8485", "not a host's name"),
            ("/dns4/builder/tcp/0", "port above 0"),
            ("/dns4/builder", "only addresses with TCP"),
            ("/dnsaddr/builder/tcp/8485", "only addresses with TCP"),
            (
                "/ip4/192.168.1.7/udp/8485/quic-v1",
                "only addresses with TCP",
            ),
            ("/ip4/192.168.1.7/tcp/0", "port above 0"),
            ("/ip4/192.168.1.7", "only addresses with TCP"),
            ("", "only addresses with TCP"),
        ] {
            let error = check_peer_address(wrong).err().unwrap_or_default();
            assert!(error.contains(word), "{wrong}: {error}");
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_up_for_the_family_that_was_asked_for() {
        let Given::Named(seed) = parse("/dns4/localhost/tcp/8485").unwrap() else {
            panic!("a name");
        };
        let found = seed.look_up_once().await.unwrap();
        assert_eq!(found, [IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(seed.at(found[0]).to_string(), "/ip4/127.0.0.1/tcp/8485");
        // RFC 6761: nobody has it.
        let Given::Named(nobody) = parse("/dns/nobody.invalid/tcp/8485").unwrap() else {
            panic!("a name");
        };
        assert!(nobody.look_up_once().await.is_err());
    }
}
