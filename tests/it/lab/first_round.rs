//! Hosts that are switched on together and want the same thing at once, before they have met.

use std::net::SocketAddr;
use std::thread;

use harness::lab::{Forbidden, Lab};
use harness::{FakeUpstream, Fault, HostOptions, Module, TestHost, TestLog};

use crate::LabTest;

pub(crate) const TESTS: &[(&str, LabTest)] = &[(
    "hosts_that_start_together_and_are_asked_at_once_fetch_once",
    hosts_that_start_together_and_are_asked_at_once_fetch_once,
)];

const HOSTS: u8 = 4;
/// Fetches instead of one, on a machine whose processors are so busy that one host has its first moments behind it before another has
/// begun: nobody is there whom it could hear.
const STARVED: u64 = 2;

fn hosts_that_start_together_and_are_asked_at_once_fetch_once() -> Result<(), Forbidden> {
    let lab = Lab::with_upstream(HOSTS, &[0, 1, 2, 3])?;
    let listen = SocketAddr::from((lab.upstream().address(), 80));
    let log = TestLog::new("sumdb.example.test");
    let upstream = FakeUpstream::start_in(lab.upstream().place(), listen, log);
    // Two seconds.
    let module = Module::package("example.com/large", "v1.0.0").bulk("noise.bin", 1_200_000);
    upstream.publish(&module);
    upstream.fault("*.zip", Fault::Trickle(600_000));
    let (path, zip) = (module.url_path("zip"), module.zip());
    let hosts: Vec<TestHost> = thread::scope(|scope| {
        let starting: Vec<_> = (0..HOSTS)
            .map(|number| {
                let on = lab.host(usize::from(number));
                let options = HostOptions::new(&format!("host-{number}"))
                    .in_place(on.place())
                    .upstream(&upstream.url())
                    .sumdb(&upstream.sumdb())
                    .mdns()
                    .peer_listen(&format!("{}:0", on.address()));
                let (path, zip) = (&path, &zip);
                scope.spawn(move || {
                    let host = options.start();
                    assert!(host.get(path).expect_body() == *zip, "{}", host.log());
                    host
                })
            })
            .collect();
        let started = starting.into_iter().map(|host| host.join().unwrap());
        started.collect()
    });
    let requests = upstream.traffic_of("*.zip").requests;
    let logs = || hosts.iter().map(TestHost::log).collect::<String>();
    assert!((1..=STARVED).contains(&requests), "{requests}\n{}", logs());
    Ok(())
}
