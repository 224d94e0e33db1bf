//! Clients that ask and hang up: the work that they leave behind does not stand before those who wait.

use std::time::{Duration, Instant};

use harness::{FakeUpstream, Kind, Module, RawConnection, TestHost};

use crate::scene::{hello, online, staging};

/// More than there are places on the road to town.
const CLIENTS: usize = 150;
/// Places on the road to town.
const PLACES: u64 = 64;
/// Flights of one kind that go on although nobody waits for them.
const UNAWAITED_MAX: u64 = 16;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn who_hangs_up_leaves_the_queue() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    let _held = upstream.hold("*/@v/list");
    let before = descriptors(&host);
    let address = host.url().replace("http://", "");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut client = RawConnection::open(&address);
            let request =
                format!("GET /example.com/m{number}/@v/list HTTP/1.1\r\nHost: {address}\r\n\r\n");
            client.send(request);
            client
        })
        .collect();
    upstream.wait_for("*/@v/list", PLACES, PATIENCE);
    // First those whose turn has not come, so that no place becomes free before the host knows that they are gone.
    let seen: Vec<String> = upstream
        .requests()
        .into_iter()
        .map(|seen| seen.path)
        .collect();
    let has_a_place = |number: usize| {
        let path = format!("example.com/m{number}/@v/list");
        seen.iter().any(|seen| seen.ends_with(&path))
    };
    let (served, queued): (Vec<_>, Vec<_>) = clients
        .into_iter()
        .enumerate()
        .partition(|(number, _)| has_a_place(*number));
    drop(queued);
    let left = before + served.len() + PLACES as usize;
    host.wait_until("it knows that they are gone", |host| {
        descriptors(host) <= left + 2
    });
    drop(served);
    // The lists are still held, and nobody waits for them.
    let began = Instant::now();
    host.get(&hello().url_path("mod")).expect_body();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let asked = upstream.traffic(Kind::List).requests;
    assert!(asked <= PLACES + UNAWAITED_MAX, "{asked}");
}

/// Descriptors that the host has open.
fn descriptors(host: &TestHost) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", host.pid())).map_or(0, Iterator::count)
}

#[test]
fn who_waits_for_a_place_on_the_road_holds_no_file() {
    let modules: Vec<_> = (0..60)
        .map(|number| Module::package(&format!("example.com/m{number}"), "v1.0.0"))
        .collect();
    let upstream = FakeUpstream::start(modules.clone());
    let host = online("A", &upstream).start();
    let held = upstream.hold("*.zip");
    let askers: Vec<_> = modules
        .iter()
        .map(|module| {
            let request = host.request(&module.url_path("zip"));
            std::thread::spawn(move || request.send().unwrap().expect_body())
        })
        .collect();
    // Zips have three quarters of the places; the others wait.
    upstream.wait_for("*.zip", PLACES * 3 / 4, PATIENCE);
    assert_eq!(staging(&host), Vec::<String>::new());
    held.release();
    for (asker, module) in askers.into_iter().zip(&modules) {
        assert_eq!(asker.join().unwrap(), module.zip());
    }
    assert_eq!(staging(&host), Vec::<String>::new());
}
