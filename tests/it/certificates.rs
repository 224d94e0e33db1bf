//! An upstream behind TLS: it is used with an authority that the host knows, and where its certificate is not accepted the
//! message says what to do, the clock included.

use harness::{Authority, FakeUpstream, HostOptions, SecureDoor, TestHost};

use crate::scene::{hello, online};

/// A host that asks the upstream through the door and knows the authority in `known`.
fn host(upstream: &FakeUpstream, door: &SecureDoor, known: &Authority) -> HostOptions {
    HostOptions::new("A")
        .upstream(&door.url())
        .sumdb(&upstream.sumdb())
        .variable("SSL_CERT_FILE", &known.file().display().to_string())
}

/// What the host says to a request that it cannot fulfil.
#[track_caller]
fn refusal(host: &TestHost, extension: &str) -> String {
    let answer = host.get(&hello().url_path(extension));
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert!(answer.header("content-type").starts_with("text/plain"));
    assert_eq!(answer.text().lines().count(), 1, "{}", answer.text());
    answer.text()
}

#[test]
fn an_upstream_behind_tls_is_used_with_the_authority_that_ssl_cert_file_names() {
    let upstream = FakeUpstream::start([hello()]);
    let authority = Authority::new("ours");
    let door = SecureDoor::start(upstream.address(), &authority, 2000..2100);
    let host = host(&upstream, &door, &authority).start();
    let go = host.go(&upstream.sumdb());
    go.download("example.com/hello@v1.0.0").expect_success();
    assert_eq!(host.status()["upstream"][0]["state"], "up");
}

#[test]
fn a_certificate_outside_its_dates_is_told_with_the_clock_and_everything_else_goes_on() {
    let upstream = FakeUpstream::start([hello()]);
    let authority = Authority::new("ours");
    for (years, words) in [
        (2090..2095, "is valid only from 2090-01-01"),
        (2001..2003, "expired on 2003-01-01"),
    ] {
        let door = SecureDoor::start(upstream.address(), &authority, years);
        let host = host(&upstream, &door, &authority).start();
        for extension in ["info", "mod", "zip"] {
            let text = refusal(&host, extension);
            for word in [words, "this host's clock says 20", "set the clock"] {
                assert!(text.contains(word), "`{word}` is missing: {text}");
            }
        }
        // The go command shows it to the person who sits before it.
        let output = host
            .go(&upstream.sumdb())
            .download("example.com/hello@v1.0.0")
            .expect_failure();
        assert!(format!("{output}").contains("set the clock"), "{output}");
        assert_eq!(host.status()["upstream"][0]["state"], "down");

        // A neighbour needs no clock.
        let other = online("C", &upstream).start();
        other.get(&hello().url_path("mod")).expect_body();
        other.get(&hello().url_path("zip")).expect_body();
        let beside = self::host(&upstream, &door, &authority)
            .peer(&other.peer_address())
            .start();
        beside.wait_for_neighbours(1);
        beside
            .go(&upstream.sumdb())
            .download("example.com/hello@v1.0.0")
            .expect_success();
    }
}

#[test]
fn an_authority_that_this_host_does_not_know_is_told_with_the_remedy() {
    let upstream = FakeUpstream::start([hello()]);
    let (authority, another) = (Authority::new("theirs"), Authority::new("ours"));
    let door = SecureDoor::start(upstream.address(), &authority, 2000..2100);
    let host = host(&upstream, &door, &another).start();
    let text = refusal(&host, "mod");
    assert!(text.contains("SSL_CERT_FILE"), "{text}");
    assert!(!text.contains("clock"), "{text}");
}
