//! Heads and bodies that no client would send: one request at most is seen in them, and they cost no memory.

use harness::{FakeUpstream, HostOptions, RawConnection};

use crate::browser::authority;
use crate::scene::{hello, online};

#[test]
fn a_request_inside_the_body_of_another_is_never_answered() {
    let host = HostOptions::new("A").start();
    let inner = "GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n";
    let chunked = format!("0\r\n\r\n{inner}");
    for (lines, body) in [
        (format!("Content-Length: {}\r\n", inner.len()), inner),
        ("Content-Length: 1\r\n".to_owned(), inner),
        ("Content-Length: 00\r\n".to_owned(), inner),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            chunked.as_str(),
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n".to_owned(),
            &chunked,
        ),
        ("Transfer-Encoding: chunked\r\n".to_owned(), &chunked),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(),
            &chunked,
        ),
        ("Transfer-Encoding: xchunked\r\n".to_owned(), &chunked),
        ("Transfer-Encoding : chunked\r\n".to_owned(), &chunked),
        ("Transfer-Encoding:\x0bchunked\r\n".to_owned(), &chunked),
        (
            "Content-Length: 0\r\nContent-Length: 44\r\n".to_owned(),
            inner,
        ),
        ("Content-Length: 0, 44\r\n".to_owned(), inner),
        ("Content-Length: +44\r\n".to_owned(), inner),
        ("Content-Length: -1\r\n".to_owned(), inner),
        (
            "Content-Length: 99999999999999999999999\r\n".to_owned(),
            inner,
        ),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            "ffffffffffffffff\r\n",
        ),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            "fffffffffffffffffffff\r\n",
        ),
        (
            "X: y\r\n Transfer-Encoding: chunked\r\n".to_owned(),
            &chunked,
        ),
        ("X: y\r\n\tHost: evil.example\r\n".to_owned(), inner),
        ("X\r\n".to_owned(), inner),
        ("X: y\rz\r\n".to_owned(), inner),
        ("X: y\0z\r\n".to_owned(), inner),
    ] {
        for method in ["GET", "POST"] {
            let mut connection = RawConnection::open(&authority(&host));
            let head = format!("{method} /healthz HTTP/1.1\r\nHost: {{host}}\r\n{lines}\r\n{body}");
            connection.send(head.replace("{host}", &authority(&host)));
            let answers = connection.answers_to_the_end();
            assert!(answers.len() <= 1, "{lines:?}: {answers:?}");
            for answer in answers {
                assert!([200, 400, 405].contains(&answer.status), "{lines:?}");
                assert!(!answer.text().contains("modmesh_"), "{lines:?}");
            }
        }
    }
}

#[test]
fn lines_that_end_oddly_make_no_second_request() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    // A bare line feed ends a line (RFC 9112, section 2.2); a bare carriage return is nothing that may stand in a head.
    for (head, expected) in [
        ("GET /healthz HTTP/1.1\nHost: {host}\n\n", &[200][..]),
        ("GET /healthz HTTP/1.1\rHost: {host}\r\r", &[400]),
        ("GET /healthz\r\nHost: {host}\r\n\r\n", &[400]),
        ("GET  /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n", &[400]),
        ("GET /health z HTTP/1.1\r\nHost: {host}\r\n\r\n", &[400]),
        ("GET /healthz HTTP/3.0\r\nHost: {host}\r\n\r\n", &[400]),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[]),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", &[400]),
        (
            "GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\nGET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n",
            &[200],
        ),
    ] {
        let mut connection = RawConnection::open(&authority(&host));
        connection.send(head.replace("{host}", &authority(&host)));
        if expected == [200] && !head.contains("close") {
            assert_eq!(connection.answer().map(|answer| answer.status), Some(200));
            continue;
        }
        let statuses: Vec<u16> = connection
            .answers_to_the_end()
            .iter()
            .map(|answer| answer.status)
            .collect();
        assert_eq!(statuses, expected, "{head:?}");
    }
}

#[test]
fn a_head_that_does_not_end_is_cut_and_never_grows() {
    let host = HostOptions::new("A").start();
    let before = host.memory_bytes("RssAnon");
    let mut heads = Vec::new();
    for head in [
        format!("GET /{} HTTP/1.1\r\n", "a".repeat(100_000)),
        format!("GET / HTTP/1.1\r\nHost: {}\r\n", "a".repeat(1 << 20)),
        format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(1000)),
        "A".repeat(1 << 20),
    ] {
        let mut connection = RawConnection::open(&authority(&host));
        connection.send(&head).send("\r\n\r\n");
        let answers = connection.answers_to_the_end();
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        let refused = |status: &u16| [400, 414, 421, 431].contains(status);
        assert!(
            answers.len() <= 1 && statuses.iter().all(refused),
            "{statuses:?}"
        );
        heads.push(statuses);
    }
    let grown = host.memory_bytes("RssAnon").saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more for {heads:?}");
    assert_eq!(host.get("healthz").status, 200);
}
