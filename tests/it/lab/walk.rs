//! The walk on a real link: the second host has no route to anywhere else and finds the first one by itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::lab::{Forbidden, Lab};
use harness::{FakeUpstream, HostOptions, Module, TestLog};

use crate::LabTest;

pub(crate) const TESTS: &[(&str, LabTest)] = &[(
    "a_host_without_any_route_gets_all_from_the_neighbour_it_finds",
    a_host_without_any_route_gets_all_from_the_neighbour_it_finds,
)];

fn a_host_without_any_route_gets_all_from_the_neighbour_it_finds() -> Result<(), Forbidden> {
    let lab = Lab::with_upstream(2, &[0])?;
    let module = Module::package("example.com/hello", "v1.0.0").bulk("noise.bin", 100_000);
    let listen = SocketAddr::from((lab.upstream().address(), 80));
    let log = TestLog::new("sumdb.example.test");
    let upstream = FakeUpstream::start_in(lab.upstream().place(), listen, log);
    upstream.publish(&module);
    let host = |name: &str, number: usize| {
        HostOptions::new(name)
            .in_place(lab.host(number).place())
            .sumdb(&upstream.sumdb())
            .mdns()
            .peer_listen(&format!("{}:0", lab.host(number).address()))
    };
    let first = host("A", 0).upstream(&upstream.url()).start();
    let go = first.go(&upstream.sumdb());
    go.download(&module.name()).expect_success();

    upstream.forget();
    lab.cut(lab.upstream());
    let second = host("B", 1).start();
    let ready = Instant::now();
    second.wait_for_neighbours(1);
    let found = second.get(&module.url_path("mod")).expect_body();
    assert_eq!(found, module.go_mod());
    assert!(
        ready.elapsed() < Duration::from_secs(3),
        "{:?}",
        ready.elapsed()
    );
    let go = second.go(&upstream.sumdb());
    go.download(&module.name()).expect_success();
    assert_eq!(upstream.traffic_of_all().requests, 0);
    Ok(())
}
