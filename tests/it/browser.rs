//! A web page in a browser on this machine: everything that it could send here is turned away before anything is looked
//! up, and nothing of what comes back can become a page.

use harness::{FakeUpstream, Fault, RawAnswer, RawConnection, TestHost};

use crate::scene::{hello, online};

/// What a page would like to read or set in motion.
const PATHS: [&str; 7] = [
    "/",
    "/metrics",
    "/healthz",
    "/api/v1/status",
    "/api/v1/peers",
    "/example.com/hello/@v/v1.0.0.zip",
    "/sumdb/sumdb.example.test/lookup/example.com/hello@v1.0.0",
];

/// The host's `IP:PORT`.
pub(crate) fn authority(host: &TestHost) -> String {
    host.url().trim_start_matches("http://").to_owned()
}

fn port(host: &TestHost) -> String {
    authority(host).rsplit_once(':').unwrap().1.to_owned()
}

/// The answer to one head; `{host}` and `{port}` stand for the host's own.
#[track_caller]
fn ask(host: &TestHost, head: &str) -> RawAnswer {
    let head = head
        .replace("{host}", &authority(host))
        .replace("{port}", &port(host));
    let answer = RawConnection::open(&authority(host)).send(&head).answer();
    let answer = answer.unwrap_or_else(|| panic!("closed without an answer: {head}"));
    expect_no_page(&answer);
    answer
}

/// The status for GET of `path` with these lines beside a Host that is ours.
#[track_caller]
fn status_with(host: &TestHost, path: &str, lines: &str) -> u16 {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {{host}}\r\n{lines}\r\n");
    ask(host, &head).status
}

/// Nothing in it invites a browser to run it, or a page to read it.
#[track_caller]
fn expect_no_page(answer: &RawAnswer) {
    for (name, value) in &answer.headers {
        assert!(!name.starts_with("access-control-"), "{name}: {value}");
    }
    if answer.body.is_empty() {
        return;
    }
    let kinds = [
        "text/plain; charset=UTF-8",
        "application/json",
        "application/zip",
        "application/octet-stream",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    ];
    let kind = answer.header("content-type");
    assert!(kinds.contains(&kind), "{kind}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

fn world() -> (FakeUpstream, TestHost) {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    (upstream, host)
}

#[test]
fn a_page_of_another_site_gets_nothing_and_sets_nothing_in_motion() {
    let (upstream, host) = world();
    for path in PATHS {
        for lines in [
            "Origin: http://evil.example\r\n",
            "Origin: null\r\n",
            "Origin: https://{host}\r\n",
            "Origin: http://127.0.0.1:1\r\n",
            "Origin: http://{host}.evil.example\r\n",
            "Origin: http://{host}\r\nOrigin: http://evil.example\r\n",
            "Origin:\r\n",
            "Sec-Fetch-Site: cross-site\r\n",
            "Sec-Fetch-Site: same-site\r\n",
            "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n",
            "Sec-Fetch-Site: none, cross-site\r\n",
            "Sec-Fetch-Site: None\r\n",
            "Sec-Fetch-Site: same-origin\r\nOrigin: http://evil.example\r\n",
            "Sec-Fetch-Site: cross-site\r\nOrigin: http://{host}\r\n",
        ] {
            assert_eq!(status_with(&host, path, lines), 403, "{path} {lines}");
        }
    }
    assert_eq!(upstream.traffic_of_all().requests, 0);
    // What a person types into the address line is no page's doing, and a page of ours would be at home.
    for lines in [
        "",
        "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n",
        "Sec-Fetch-Site: same-origin\r\nOrigin: http://{host}\r\n",
    ] {
        assert_eq!(status_with(&host, PATHS[5], lines), 200, "{lines}");
    }
}

#[test]
fn a_page_under_a_name_of_its_own_that_leads_here_is_not_at_home() {
    let (upstream, host) = world();
    for name in [
        "evil.example:{port}",
        "evil.example",
        "EVIL.EXAMPLE:{port}",
        "localhost.evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "127.0.0.1.:{port}",
        "localhost.:{port}",
        "127.0.0.1@evil.example:{port}",
        "user@{host}",
        "{host}@evil.example",
        "{host}:80",
        "{host} evil.example",
        "{host}, evil.example",
        "0.0.0.0:{port}",
        "[::]:{port}",
        "[::ffff:10.0.0.1]:{port}",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:1",
        "127.0.0.1:+{port}",
        "localhost:99999",
        "localhost:",
        "",
    ] {
        for path in PATHS {
            // A page that was rebound is of the same origin as what it asks, in the eyes of the browser.
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: {name}\r\nOrigin: http://{name}\r\nSec-Fetch-Site: same-origin\r\n\r\n"
            );
            let answer = ask(&host, &head);
            assert_eq!(answer.status, 421, "{name} {path}: {}", answer.text());
        }
    }
    assert_eq!(upstream.traffic_of_all().requests, 0);
    for name in [
        "{host}",
        "127.0.0.2:{port}",
        "localhost:{port}",
        "LOCALHOST:{port}",
        "[::1]:{port}",
        "[0:0:0:0:0:0:0:1]:{port}",
        "[::ffff:127.0.0.1]:{port}",
    ] {
        let head = format!("GET /healthz HTTP/1.1\r\nHost: {name}\r\n\r\n");
        assert_eq!(ask(&host, &head).status, 200, "{name}");
    }
}

#[test]
fn a_request_without_one_host_that_is_ours_is_for_somebody_else() {
    let (_upstream, host) = world();
    for head in [
        "GET /healthz HTTP/1.0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: evil.example\r\nHost: {host}\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nX-Forwarded-Host: {host}\r\n\r\n",
        "GET http://evil.example/healthz HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET http://evil.example:{port}/healthz HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET http://user@{host}/healthz HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET http://{host}/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET http://{host}@evil.example/healthz HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ] {
        let answer = ask(&host, head);
        assert_eq!(answer.status, 421, "{head}: {}", answer.text());
    }
    for head in [
        "GET /healthz HTTP/1.0\r\nHost: {host}\r\n\r\n",
        "GET http://{host}/healthz HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ] {
        assert_eq!(ask(&host, head).status, 200, "{head}");
    }
}

#[test]
fn a_form_is_not_taken_and_its_body_is_not_read() {
    let (upstream, host) = world();
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "BREW"] {
        for path in PATHS {
            // Far more is announced than sent: whoever wanted to read it would still wait.
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: {{host}}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 99999999999\r\n\r\na=b"
            );
            let answer = ask(&host, &head);
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), "GET, HEAD");
            assert_eq!(answer.header("connection"), "close");
        }
    }
    // With the marks of a page it is one, whatever its method.
    let head = "POST /metrics HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\nContent-Length: 3\r\n\r\na=b";
    assert_eq!(ask(&host, head).status, 403);
    assert_eq!(upstream.traffic_of_all().requests, 0);
}

#[test]
fn a_question_whether_a_page_may_ask_is_refused() {
    let (_upstream, host) = world();
    for path in PATHS.into_iter().chain(["*"]) {
        for (origin, status) in [("http://evil.example", 403), ("http://{host}", 405)] {
            let head = format!(
                "OPTIONS {path} HTTP/1.1\r\nHost: {{host}}\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Private-Network: true\r\n\r\n"
            );
            assert_eq!(ask(&host, &head).status, status, "{origin} {path}");
        }
    }
}

#[test]
fn a_page_that_an_upstream_sends_instead_of_an_error_is_replaced_by_a_line_of_ours() {
    let upstream = FakeUpstream::start([hello()]);
    const PAGE: &str = "<!doctype html><script>alert(document.domain)</script>";
    for (status, kind) in [
        (404, "text/html; charset=utf-8"),
        (403, "TEXT/HTML"),
        (410, "application/xhtml+xml"),
        (500, "text/html"),
        (500, ""),
        (502, "image/svg+xml"),
        (503, "text/plain; charset=utf-7"),
    ] {
        let fault = Fault::Answer {
            status,
            content_type: kind.to_owned(),
            body: PAGE.into(),
        };
        upstream.fault("example.com/*", fault);
        let host = online("fresh", &upstream).start();
        for ending in ["v1.0.0.info", "v1.0.0.mod", "v1.0.0.zip", "list"] {
            let path = format!("/example.com/hello/@v/{ending}");
            let head = format!("GET {path} HTTP/1.1\r\nHost: {{host}}\r\n\r\n");
            let answer = ask(&host, &head);
            assert_eq!(answer.status, status, "{path}");
            let text = answer.text();
            assert!(!text.contains('<'), "{path}: {text}");
            assert_eq!(text.trim_end().lines().count(), 1, "{path}: {text}");
            assert_eq!(answer.header("content-type"), "text/plain; charset=UTF-8");
        }
    }
}

#[test]
fn what_a_path_says_comes_back_as_text_if_at_all() {
    let (_upstream, host) = world();
    const SCRIPT: &str = "%3Cscript%3Ealert(1)%3C/script%3E";
    for path in [
        format!("/{SCRIPT}"),
        format!("/example.com/{SCRIPT}/@v/list"),
        format!("/example.com/hello/@v/{SCRIPT}.info"),
        format!("/example.com/hello/@v/v1.0.0-{SCRIPT}.mod"),
        format!("/sumdb/{SCRIPT}/supported"),
        format!("/sumdb/{SCRIPT}/lookup/example.com/hello@v1.0.0"),
        "/<script>alert(1)</script>".to_owned(),
        "/example.com/hello/@v/v1.0.0.mod?<script>alert(1)</script>".to_owned(),
        "/a%0d%0aX-Evil:%20yes%0d%0a%0d%0a<script>".to_owned(),
    ] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {{host}}\r\n\r\n");
        let answer = ask(&host, &head);
        assert!(answer.status < 500, "{path}: {}", answer.text());
        assert_eq!(answer.header("x-evil"), "", "{path}");
        if !answer.body.is_empty() {
            assert_eq!(answer.header("content-type"), "text/plain; charset=UTF-8");
        }
    }
}
