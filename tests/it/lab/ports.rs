//! A host that was killed finds its ports free, however many others ask for any.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::RangeInclusive;

use harness::HostOptions;
use harness::lab::{Forbidden, Lab};

use crate::LabTest;

pub(crate) const TESTS: &[(&str, LabTest)] = &[(
    "nobody_who_asks_for_any_port_is_given_one_of_a_killed_host",
    nobody_who_asks_for_any_port_is_given_one_of_a_killed_host,
)];

/// The ports that a network gives to those who ask for any.
const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Few, so that others can have all that are to be had.
const PORTS: RangeInclusive<u16> = 40_000..=40_015;

/// All the ports of those that ask for any, until there is none; each is held until the end.
fn all<T>(mut ask: impl FnMut() -> io::Result<(T, u16)>) -> Vec<u16> {
    let mut held = Vec::new();
    let mut ports = Vec::new();
    while let Ok((one, port)) = ask() {
        held.push(one);
        ports.push(port);
        assert!(
            ports.len() <= PORTS.count(),
            "more than there are: {ports:?}"
        );
    }
    ports
}

fn listened() -> io::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

fn nobody_who_asks_for_any_port_is_given_one_of_a_killed_host() -> Result<(), Forbidden> {
    let lab = Lab::new(1)?;
    let place = lab.host(0).place();
    let range = format!("{} {}", PORTS.start(), PORTS.end());
    place
        .run(move || fs::write(RANGE, range))
        .map_err(|error| Forbidden(format!("the range of ports cannot be set: {error}")))?;
    let mut host = HostOptions::new("A").in_place(place).start();
    let port_of = |address: &str, at: usize, mark: char| -> u16 {
        let port = address.trim_end_matches('/').split(mark).nth(at);
        port.and_then(|port| port.parse().ok()).expect(address)
    };
    let own = [
        port_of(&host.url(), 2, ':'),
        port_of(&host.peer_address(), 4, '/'),
    ];
    assert!(own.iter().all(|port| PORTS.contains(port)), "{own:?}");
    host.kill();

    let (listened, called) = place.run(|| {
        let listened = all(listened);
        // Afterwards: the ports of connections that end are not free at once.
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 39_999)).unwrap();
        let address = door.local_addr().unwrap();
        let called = all(|| {
            let call = TcpStream::connect(address)?;
            let port = call.local_addr()?.port();
            Ok((call, port))
        });
        (listened, called)
    });
    for ports in [&listened, &called] {
        assert!(ports.len() >= 8, "{ports:?}");
        assert!(own.iter().all(|own| !ports.contains(own)), "{ports:?}");
    }
    host.restart();
    assert_eq!(port_of(&host.url(), 2, ':'), own[0]);
    assert_eq!(port_of(&host.peer_address(), 4, '/'), own[1]);
    Ok(())
}
