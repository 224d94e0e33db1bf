//! The commands that ask a daemon: one that is there, one that is not, and something else in its place.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use crate::host::Host;
use crate::unheard::Unheard;

const STATUS: &str = include_str!("../../src/commands/status/example.json");
const PEERS: &str = include_str!("../../src/commands/peers/example.json");

/// Answers every request with the whole `answer` for its path, on a thread that ends with the process.
fn serve(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let mut request = String::new();
            let _ = reader.read_line(&mut request);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
                line.clear();
            }
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let _ = (&stream).write_all(answer(&path).as_bytes());
        }
    });
    address
}

fn answer(status: &str, header: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

const OURS: &str = "X-Modmesh-Source: none\r\n";

#[test]
fn status_and_peers_are_shown_in_words_or_as_they_came() {
    let host = Host::without_go();
    let address = serve(|path| match path {
        "/api/v1/status" => answer("200 OK", OURS, STATUS),
        "/api/v1/peers" => answer("200 OK", OURS, PEERS),
        _ => answer("404 Not Found", OURS, "no"),
    });
    for (command, json, word) in [("status", STATUS, "54,321,987"), ("peers", PEERS, "banned")] {
        let shown = host.modmesh(&[command, "--listen", &address]);
        assert_eq!(shown.code, Some(0), "{shown:?}");
        assert!(shown.stdout.contains(word), "{shown:?}");
        let shown = host.modmesh(&[command, "--json", "--listen", &address]);
        assert_eq!(shown.stdout.trim_end(), json.trim_end());
    }
    let by_variable = host.modmesh_with(&[("MODMESH_LISTEN", &address)], &["status"]);
    assert_eq!(by_variable.code, Some(0), "{by_variable:?}");
    host.file(
        ".config/modmesh/config.toml",
        &format!("listen = '{address}'"),
    );
    let by_file = host.modmesh(&["status"]);
    assert_eq!(by_file.code, Some(0), "{by_file:?}");
}

#[test]
fn without_a_daemon_one_line_says_what_to_do() {
    let host = Host::without_go();
    let unheard = Unheard::new();
    let address = unheard.address().to_string();
    for command in ["status", "peers"] {
        host.modmesh(&[command, "--listen", &address])
            .refused(1, &[&address, "modmesh up", "--listen"]);
    }
    host.modmesh(&["status", "--listen", "127.0.0.1:0"])
        .refused(2, &["port 0"]);
}

#[test]
fn the_state_folder_leads_to_the_daemon_that_explains_wherever_it_is_named() {
    let host = Host::without_go();
    let of = "example.com/m@v1.0.0";
    let no_daemon = |folder: &str| [folder.to_owned(), "modmesh up".into(), "--state".into()];
    let default = host.path(".local/state/modmesh");
    let words = no_daemon(default.to_str().unwrap());
    host.modmesh(&["explain", of])
        .refused(1, &words.each_ref().map(String::as_str));
    host.modmesh(&["explain", of, "--state", "/no/flag"])
        .refused(1, &["/no/flag:", "modmesh up"]);
    host.modmesh_with(&[("MODMESH_STATE", "/no/variable")], &["explain", of])
        .refused(1, &["/no/variable:", "modmesh up"]);
    let file = host.file("modmesh.toml", "state = '/no/file'");
    host.modmesh(&["explain", of, "--config", file.to_str().unwrap()])
        .refused(1, &["/no/file:", "modmesh up"]);
    host.modmesh(&["explain"]).refused(2, &["MODULE@VERSION"]);
    host.modmesh(&["explain", "example.com/m"])
        .refused(2, &["MODULE@VERSION"]);
}

#[test]
fn a_stranger_is_not_believed_and_go_is_not_sent_to_it() {
    let host = Host::without_go();
    host.script("touched", "echo touched");
    let another = serve(|_| answer("200 OK", "", "{}"));
    let no_http = serve(|_| "220 mail.example ready\r\n".to_owned());
    for address in [another, no_http] {
        host.modmesh(&["status", "--listen", &address])
            .refused(1, &[&address, "is not modmesh"]);
        let run = host.modmesh(&["run", "--listen", &address, "--", "touched"]);
        run.refused(1, &["is not modmesh"]);
        assert!(!run.stdout.contains("touched"));
    }
}

#[test]
fn a_daemon_of_another_release_is_said_to_be_one() {
    let host = Host::without_go();
    let address = serve(|path| match path {
        "/api/v1/peers" => answer("404 Not Found", OURS, "there is\x1b no such page\n"),
        _ => answer("200 OK", OURS, "{}"),
    });
    host.modmesh(&["status", "--listen", &address])
        .refused(1, &["another release"]);
    host.modmesh(&["peers", "--listen", &address])
        .refused(1, &["404", "no such page"]);
}

#[test]
fn run_hands_on_what_it_was_given_and_how_it_ended() {
    let host = Host::without_go();
    host.script("show", r#"echo "$GOPROXY $GOFLAGS $1 $2"; exit 7"#);
    host.script("die", "kill -KILL $$");
    let address = serve(|_| answer("200 OK", OURS, "ok"));
    let ended = host.modmesh_with(
        &[("GOPROXY", "https://a.example"), ("GOFLAGS", "-mod=mod")],
        &["run", "--listen", &address, "--", "show", "-x", "./..."],
    );
    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert_eq!(
        ended.stdout.trim(),
        format!("http://{address} -mod=mod -x ./...")
    );

    let died = host.modmesh(&["run", "--listen", &address, "--", "die"]);
    assert_eq!(died.code, Some(128 + 9), "{died:?}");
    host.modmesh(&["run", "--listen", &address, "--", "not-there"])
        .refused(127, &["not-there", "put its folder on PATH"]);
}
