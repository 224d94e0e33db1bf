//! Do neighbours answer, can they come in, and can multicast find them?

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use modmesh_daemon::can_listen;
use modmesh_protocol::control::{PeerStatus, UnreachedPeer};

use super::finding::Finding;
use super::multicast::Heard;
use crate::output::count;

/// How long a connection to the daemon's own port may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
/// Neighbours in trouble that are shown; `modmesh peers` shows all.
const TROUBLES_MAX: usize = 3;

/// What was seen of the port that neighbours come to.
#[derive(Debug)]
pub(super) enum Port {
    /// A daemon listens there; whether a connection to it from this host works.
    Served {
        /// The address that was tried.
        address: SocketAddr,
        /// It, and one of the other family where there is one.
        addresses: Vec<SocketAddr>,
        connects: bool,
        /// The port it would have by default, when that was not to be had.
        instead_of: Option<u16>,
    },
    /// A daemon runs, and listens nowhere that can be called.
    Nowhere,
    /// A daemon runs, and listens at addresses alone that mean nothing without the interface they are of.
    LinkLocal,
    /// No daemon runs, and the addresses are free.
    Free(Vec<SocketAddr>),
    /// No daemon runs, and the address cannot be had.
    Busy(SocketAddr, io::Error),
}

/// Looks at the port of a daemon that listens at `multiaddresses`, and by default would at the port `in_use`. Blocks for a
/// second at most.
pub(super) fn look_at_served(multiaddresses: &[String], in_use: Option<u16>) -> Port {
    let addresses: Vec<SocketAddr> = multiaddresses
        .iter()
        .filter_map(|text| socket_address(text))
        .collect();
    let mut callable = addresses
        .iter()
        .filter(|address| !is_link_local(address.ip()));
    let Some(address) = callable.next().copied() else {
        return match addresses.is_empty() {
            true => Port::Nowhere,
            false => Port::LinkLocal,
        };
    };
    let is_other = |other: &&SocketAddr| other.is_ipv4() != address.is_ipv4();
    let other = callable.find(is_other);
    let other = other.or_else(|| addresses.iter().find(is_other));
    Port::Served {
        address,
        addresses: std::iter::once(address).chain(other.copied()).collect(),
        connects: TcpStream::connect_timeout(&address, CONNECT_DEADLINE).is_ok(),
        instead_of: in_use,
    }
}

/// Looks whether the addresses are free.
pub(super) fn look_for_room(addresses: &[SocketAddr]) -> Option<Port> {
    let mut free = Vec::new();
    for address in addresses {
        match can_listen(*address) {
            Ok(()) => free.push(*address),
            // A host without IPv6 has no such address, and no one is disturbed.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Some(Port::Busy(*address, error));
            }
            Err(_) => {}
        }
    }
    (!free.is_empty()).then_some(Port::Free(free))
}

pub(super) fn judge_port(port: &Port) -> Finding {
    const CHECK: &str = "port";
    match port {
        Port::Served {
            address,
            connects: false,
            ..
        } => Finding::problem(
            CHECK,
            format!(
                "{address}, where neighbours are to come, cannot be reached even from this host"
            ),
            "let it through this host's firewall, and look at the daemon's log",
        ),
        Port::Served {
            addresses,
            instead_of: Some(in_use),
            ..
        } => Finding::warning(
            CHECK,
            format!(
                "port {in_use} was taken, so neighbours come to {}",
                all(addresses)
            ),
            "free it and start modmesh again, where other hosts name it with --peer",
        ),
        Port::Served { addresses, .. } => Finding::ok(
            CHECK,
            format!(
                "neighbours come to {} (a firewall before it cannot be seen from here)",
                all(addresses)
            ),
        ),
        Port::Nowhere => Finding::warning(
            CHECK,
            "neighbours cannot come in: the daemon listens at no address of a network",
            "connect this host to a network, or give --peer-listen",
        ),
        Port::LinkLocal => Finding::ok(
            CHECK,
            "neighbours come to link-local addresses alone, which cannot be tried from here",
        ),
        Port::Free(addresses) => {
            let verb = if addresses.len() == 1 { "is" } else { "are" };
            let text = format!("{} {verb} free for neighbours to come to", all(addresses));
            Finding::ok(CHECK, text)
        }
        Port::Busy(address, error) => Finding::warning(
            CHECK,
            format!("{address}, where neighbours are to come, cannot be had ({error})"),
            "end the program that uses it, or choose another port with --peer-listen",
        ),
    }
}

fn all(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    texts.join(" and ")
}

pub(super) fn judge_peers(peers: &[PeerStatus], unreached: &[UnreachedPeer]) -> Vec<Finding> {
    const CHECK: &str = "neighbours";
    let connected = peers.iter().filter(|peer| peer.connected).count() as u64;
    let mut findings = vec![match connected {
        0 if !unreached.is_empty() => Finding::warning(
            CHECK,
            "none can be asked, nor any named with --peer",
            "start `modmesh up` on those hosts, or look at the network between",
        ),
        0 => Finding::warning(
            CHECK,
            "none can be asked",
            "start `modmesh up` on another host of this network, or name one with --peer",
        ),
        some => Finding::ok(CHECK, format!("{} can be asked", count(some, "neighbour"))),
    }];
    findings.extend(unreached.iter().take(TROUBLES_MAX).map(|peer| {
        let (address, why) = (&peer.address, &peer.reason);
        let text = format!("{address} (--peer) cannot be reached: {why}");
        Finding::warning(CHECK, text, "is modmesh up there?")
    }));
    let troubled = peers.iter().filter_map(trouble);
    findings.extend(troubled.take(TROUBLES_MAX));
    findings
}

fn trouble(peer: &PeerStatus) -> Option<Finding> {
    const CHECK: &str = "neighbours";
    const REMEDY: &str = "`modmesh peers` shows all of it";
    let name = &peer.peer_id;
    if let Some(until) = &peer.banned_until {
        let what = peer.evidence.last().map_or("a lie", |lie| &lie.what);
        let text = format!("{name} is left alone until {until} for {what}");
        return Some(Finding::warning(CHECK, text, REMEDY));
    }
    let can_be_asked = peer.connected || peer.on_errand;
    let error = peer.last_error.as_ref().filter(|_| !can_be_asked)?;
    let text = format!("{name} cannot be asked ({error})");
    Some(Finding::warning(CHECK, text, REMEDY))
}

pub(super) fn judge_multicast(heard: &io::Result<Heard>, peers_are_named: bool) -> Finding {
    const CHECK: &str = "multicast";
    let text = match heard {
        Ok(Heard::Ourselves { others: 0 }) => {
            return Finding::ok(
                CHECK,
                "heard: our own question came back, and no other host spoke",
            );
        }
        Ok(Heard::Ourselves { others }) => {
            let text = format!("heard, from {} too", count(*others as u64, "other host"));
            return Finding::ok(CHECK, text);
        }
        Ok(Heard::NoNetwork) => {
            "this host has no network for multicast (loopback only?)".to_owned()
        }
        Ok(Heard::Nothing) => {
            "a question to 224.0.0.251, port 5353, did not come back, so neighbours cannot be found"
                .to_owned()
        }
        Err(error) => format!("neighbours cannot be looked for: {error}"),
    };
    match peers_are_named {
        true => Finding::ok(CHECK, format!("{text}; neighbours are named with --peer")),
        false => Finding::warning(
            CHECK,
            text,
            "let UDP port 5353 through, or name neighbours with --peer",
        ),
    }
}

/// Whether a call to it needs to know the interface, which a multiaddress does not tell (RFC 4007).
fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// `/ip4/10.0.0.7/tcp/8485/...` as an address.
fn socket_address(multiaddress: &str) -> Option<SocketAddr> {
    let mut parts = multiaddress.split('/').skip(1);
    let ip: IpAddr = match (parts.next()?, parts.next()?) {
        ("ip4" | "ip6", ip) => ip.parse().ok()?,
        _ => return None,
    };
    match (parts.next()?, parts.next()?) {
        ("tcp", port) => Some(SocketAddr::new(ip, port.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_port_that_another_program_has_is_seen() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let port = look_for_room(&[address]).unwrap();
        assert_eq!(judge_port(&port).level, Level::Warning);
        let any = "127.0.0.1:0".parse().unwrap();
        let port = look_for_room(&[any]).unwrap();
        assert_eq!(judge_port(&port).level, Level::Ok);
    }

    #[test]
    fn the_port_of_a_daemon_is_tried_and_named_for_both_families() {
        let daemon = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = daemon.local_addr().unwrap().port();
        let told = [format!("/ip4/127.0.0.1/tcp/{port}/p2p/12D3KooW")];
        let level = |in_use| judge_port(&look_at_served(&told, in_use)).level;
        // On whatever port it is, as long as it is the one that was asked for.
        assert_eq!(level(None), Level::Ok);
        assert_eq!(level(Some(1)), Level::Warning);
        // Nobody has the port of tcpmux.
        let gone = look_at_served(&["/ip4/127.0.0.1/tcp/1".to_owned()], None);
        assert_eq!(judge_port(&gone).level, Level::Problem);
        // Without its interface it cannot be called, whoever listens there.
        let link_local = format!("/ip6/fe80::1/tcp/{port}");
        let only = look_at_served(std::slice::from_ref(&link_local), None);
        assert_eq!(judge_port(&only).level, Level::Ok);
        let both = look_at_served(&[link_local, told[0].clone()], None);
        assert!(matches!(both, Port::Served { connects: true, .. }));
        let text = judge_port(&both).text;
        let expected = format!("127.0.0.1:{port} and [fe80::1]:{port}");
        assert!(text.contains(&expected), "{text}");
        let nowhere = look_at_served(&["/dns4/a.example/tcp/1".to_owned()], None);
        assert_eq!(judge_port(&nowhere).level, Level::Warning);
    }

    #[test]
    fn a_liar_and_a_neighbour_that_is_gone_are_named() {
        let peers: Vec<PeerStatus> =
            serde_json::from_str(include_str!("../peers/example.json")).unwrap();
        let found = judge_peers(&peers, &[]);
        assert!(found[0].text.contains("can be asked"), "{found:?}");
        assert!(
            found
                .iter()
                .any(|one| one.text.contains("left alone until"))
        );
        assert_eq!(judge_peers(&[], &[])[0].level, Level::Warning);
    }

    #[test]
    fn an_address_at_which_nobody_is_is_named_in_place_of_the_general_advice() {
        let unreached = UnreachedPeer {
            address: "/ip4/127.0.0.1/tcp/9".to_owned(),
            reason: "connection refused".to_owned(),
        };
        let found = judge_peers(&[], &[unreached]);
        assert_eq!(found.len(), 2);
        assert!(!found[0].text.contains("name one"), "{found:?}");
        let expected = "/ip4/127.0.0.1/tcp/9 (--peer) cannot be reached: connection refused";
        assert_eq!(found[1].text, expected);
    }

    #[test]
    fn silence_matters_only_where_nobody_is_named() {
        let heard = |heard| judge_multicast(&Ok(heard), false).level;
        assert_eq!(heard(Heard::Ourselves { others: 0 }), Level::Ok);
        assert_eq!(heard(Heard::Nothing), Level::Warning);
        assert_eq!(heard(Heard::NoNetwork), Level::Warning);
        assert_eq!(judge_multicast(&Ok(Heard::Nothing), true).level, Level::Ok);
    }
}
