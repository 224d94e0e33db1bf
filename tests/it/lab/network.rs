//! The lab itself: its hosts reach each other and nothing else.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use harness::http::{Failure, Request};
use harness::lab::{Forbidden, Lab};
use harness::{FakeUpstream, Module, TestLog};

use crate::LabTest;

pub(crate) const TESTS: &[(&str, LabTest)] = &[
    (
        "hosts_reach_each_other_and_nothing_else",
        hosts_reach_each_other_and_nothing_else,
    ),
    (
        "multicast_reaches_every_host_on_the_switch",
        multicast_reaches_every_host_on_the_switch,
    ),
    (
        "a_line_that_is_cut_swallows_packets_until_it_is_mended",
        a_line_that_is_cut_swallows_packets_until_it_is_mended,
    ),
];

fn upstream_on(lab: &Lab) -> FakeUpstream {
    let listen = SocketAddr::from((lab.upstream().address(), 80));
    let log = TestLog::new("sumdb.example.test");
    let upstream = FakeUpstream::start_in(lab.upstream().place(), listen, log);
    upstream.publish(&Module::package("example.com/hello", "v1.0.0"));
    upstream
}

fn hosts_reach_each_other_and_nothing_else() -> Result<(), Forbidden> {
    let lab = Lab::with_upstream(2, &[0])?;
    let upstream = upstream_on(&lab);
    let request = Request::get(&format!(
        "{}/sumdb/sumdb.example.test/supported",
        upstream.url()
    ))
    .within(Duration::from_secs(5));
    let from_first = request.clone().from_place(lab.host(0).place()).send();
    assert_eq!(from_first.unwrap().status, 200);
    assert!(matches!(
        request.from_place(lab.host(1).place()).send(),
        Err(Failure::NoAnswer { .. })
    ));
    let neighbour = FakeUpstream::start_in(
        lab.host(0).place(),
        SocketAddr::from((lab.host(0).address(), 0)),
        TestLog::new("sumdb.example.test"),
    );
    let url = format!("{}/sumdb/sumdb.example.test/supported", neighbour.url());
    let answer = Request::get(&url).from_place(lab.host(1).place()).send();
    assert_eq!(answer.unwrap().status, 200);
    Ok(())
}

fn multicast_reaches_every_host_on_the_switch() -> Result<(), Forbidden> {
    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
    let lab = Lab::new(3)?;
    let listening: Vec<UdpSocket> = [1, 2]
        .into_iter()
        .map(|number| {
            let address = lab.host(number).address();
            lab.host(number).place().run(move || {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 5353)).unwrap();
                socket.join_multicast_v4(&GROUP, &address).unwrap();
                socket
                    .set_read_timeout(Some(Duration::from_secs(5)))
                    .unwrap();
                socket
            })
        })
        .collect();
    let speaker = lab.host(0).address();
    lab.host(0).place().run(move || {
        let socket = UdpSocket::bind((speaker, 0)).unwrap();
        socket.send_to(b"who is there", (GROUP, 5353)).unwrap();
    });
    for socket in listening {
        let mut bytes = [0; 64];
        let (length, from) = socket.recv_from(&mut bytes).unwrap();
        assert_eq!(
            (&bytes[..length], from.ip()),
            (&b"who is there"[..], speaker.into())
        );
    }
    Ok(())
}

fn a_line_that_is_cut_swallows_packets_until_it_is_mended() -> Result<(), Forbidden> {
    let lab = Lab::with_upstream(1, &[0])?;
    let upstream = upstream_on(&lab);
    let request = Request::get(&format!(
        "{}/sumdb/sumdb.example.test/supported",
        upstream.url()
    ))
    .from_place(lab.host(0).place())
    .within(Duration::from_secs(10));
    assert_eq!(request.send().unwrap().status, 200);
    lab.cut(lab.upstream());
    let waiting = request.clone().within(Duration::from_secs(4)).send();
    assert!(matches!(waiting, Err(Failure::TimedOut(_))), "{waiting:?}");
    lab.mend(lab.upstream());
    assert_eq!(request.send().unwrap().status, 200);
    Ok(())
}
