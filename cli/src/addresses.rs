//! From the address a daemon listens on to the address its clients use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The URL of a daemon that listens on `address`, for clients on the same host: what listens everywhere is reached at
/// loopback. No slash at the end.
pub(crate) fn base_url(address: &SocketAddr) -> String {
    format!("http://{}", reachable(*address))
}

/// The address a daemon listens on as a person is told of it: where others reach it too, that is said.
pub(crate) fn told(address: &SocketAddr) -> String {
    match address.ip().is_loopback() {
        true => base_url(address),
        false => format!("{address} (every host that reaches this one)"),
    }
}

/// Of the addresses a daemon listens on, the one to tell to this host's `go`: loopback before anything else.
pub(crate) fn nearest_to_go(listen: &[SocketAddr]) -> Option<SocketAddr> {
    let loopback = listen
        .iter()
        .find(|address| reachable(**address).ip().is_loopback());
    loopback.or(listen.first()).copied()
}

/// Where clients on the same host reach what listens on `address`.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_reached_at_loopback() {
        for (listen, url) in [
            ("127.0.0.1:8484", "http://127.0.0.1:8484"),
            ("0.0.0.0:1", "http://127.0.0.1:1"),
            ("[::]:1", "http://[::1]:1"),
            ("10.0.0.1:1", "http://10.0.0.1:1"),
        ] {
            assert_eq!(base_url(&listen.parse().unwrap()), url);
        }
    }

    #[test]
    fn an_open_address_is_told_as_one() {
        let told = |text: &str| told(&text.parse().unwrap());
        assert_eq!(told("127.0.0.1:1"), "http://127.0.0.1:1");
        let open = "(every host that reaches this one)";
        for address in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            assert_eq!(told(address), format!("{address} {open}"));
        }
    }

    #[test]
    fn go_is_told_the_loopback_address() {
        let listen = ["10.0.0.1:1", "127.0.0.1:2"].map(|text| text.parse().unwrap());
        assert_eq!(nearest_to_go(&listen), Some(listen[1]));
        assert_eq!(nearest_to_go(&listen[..1]), Some(listen[0]));
    }
}
