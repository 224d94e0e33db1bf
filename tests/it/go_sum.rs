//! A go.sum that a person gave is a second root, for this host alone and after the database.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::host::modmesh_binary;
use harness::process::{self, Output};
use harness::{
    FakeUpstream, Fault, GoHome, HostOptions, LyingPeer, Module, PeerLie, TestHost, ZipLie,
};

use crate::scene::{hello, neighbour_of, online, stored};

const OF: &str = "example.com/hello@v1.0.0";

/// A host whose database is off.
pub(crate) fn without_database(name: &str, upstream: &str) -> HostOptions {
    HostOptions::new(name).upstream(upstream)
}

/// The same module with other contents, and so with other hashes.
pub(crate) fn forged() -> Module {
    hello()
        .file("evil.go", "package hello\n")
        .with_go_mod("module example.com/hello\n\ngo 1.20\n")
}

/// Gives the text of a go.sum to a host, at its back door.
#[track_caller]
pub(crate) fn give(host: &TestHost, name: &str, text: &str) -> serde_json::Value {
    let length = text.len();
    let answer = host.at_back_door(&format!(
        "POST /v1/gosum?name={name} HTTP/1.1\r\nHost: modmesh\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    ));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(body).unwrap()
}

/// A project that needs hello, with this go.sum.
pub(crate) fn project(go: &GoHome, go_sum: &str) -> PathBuf {
    let go_mod = "module example.com/project\n\ngo 1.21\n\nrequire example.com/hello v1.0.0\n";
    let main =
        "package main\n\nimport \"example.com/hello\"\n\nfunc main() { println(hello.Name()) }\n";
    go.project(
        "project",
        &[("go.mod", go_mod), ("main.go", main), ("go.sum", go_sum)],
    )
}

/// `modmesh run -- go build`, through this host.
fn build(host: &TestHost, go: &GoHome, project: &Path) -> Output {
    run(host, go, project, &["go", "build", "./..."])
}

/// `modmesh run -- COMMAND...`, through this host.
pub(crate) fn run(host: &TestHost, go: &GoHome, folder: &Path, words: &[&str]) -> Output {
    let of_go = go.command(folder, &[]);
    let mut command = Command::new(modmesh_binary());
    let listen = host.url();
    let listen = listen.trim_start_matches("http://");
    command.args(["run", "--listen", listen, "--"]).args(words);
    command.current_dir(folder).env_clear();
    for (name, value) in of_go.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    process::run(&mut command, Duration::from_secs(120))
}

/// Where a host keeps what the database does not vouch for.
fn apart(host: &TestHost, extension: &str) -> PathBuf {
    host.state().join("apart").join(hello().url_path(extension))
}

#[test]
fn without_a_database_a_build_takes_from_a_neighbour_what_its_go_sum_lists() {
    let upstream = FakeUpstream::start([hello()]);
    let first = online("A", &upstream).start();
    first.go(&upstream.sumdb()).download(OF).expect_success();
    upstream.close();
    let second = without_database("B", "off")
        .peer(&first.peer_address())
        .start();
    second.wait_for_neighbours(1);
    // Nobody can say what it must be, so that nobody is asked for it.
    assert_eq!(second.get(&hello().url_path("zip")).status, 404);

    let go = GoHome::new("off", "off");
    let output = build(&second, &go, &project(&go, &hello().sum_lines())).expect_success();
    assert!(output.stderr.contains("downloading"), "{output}");
    assert!(!output.stderr.contains("modmesh:"), "{output}");
    for extension in ["mod", "zip"] {
        assert!(apart(&second, extension).exists());
        assert!(!stored(&second, &hello(), extension).exists());
    }
    let zip = second.explain_file(OF, "zip");
    let here = &zip["here"];
    assert_eq!(here["scope"], "local", "{zip:#}");
    assert!(
        here["go_sum"]
            .as_str()
            .unwrap()
            .ends_with("/project/go.sum")
    );
    assert!(
        here["note"]
            .as_str()
            .unwrap()
            .contains("is off on this host")
    );
    assert_eq!(here["shareable"], false);
    assert_eq!(zip["last_fetch"]["outcome"]["from"], "peer", "{zip:#}");
    let status = second.status();
    assert_eq!(
        status["go_sum"],
        serde_json::json!({"files": 1, "lines": 2, "refused": 0})
    );
    let said = second.modmesh(&["status"]).expect_success();
    assert!(said.stdout.contains("2 lines of 1 file"), "{said}");
    let said = second.explained(OF).expect_success();
    assert!(said.stdout.contains("no record, but go.sum: /"), "{said}");
}

#[test]
fn nothing_that_rests_on_a_go_sum_is_given_to_a_neighbour() {
    let upstream = FakeUpstream::start([hello()]);
    let first = without_database("A", &upstream.url()).start();
    give(&first, "/p/go.sum", &hello().sum_lines());
    first.go("off").download(OF).expect_success();
    assert_eq!(first.explain_file(OF, "zip")["here"]["scope"], "local");
    // Neither one with a database has it from there, nor one with the same go.sum.
    let judging = neighbour_of(&first, &upstream);
    let second = without_database("C", "off")
        .peer(&first.peer_address())
        .start();
    second.wait_for_neighbours(1);
    give(&second, "/p/go.sum", &hello().sum_lines());
    for host in [&judging, &second] {
        for extension in ["mod", "zip"] {
            assert_eq!(host.get(&hello().url_path(extension)).status, 404);
        }
        let zip = host.explain_file(OF, "zip");
        assert_eq!(zip["neighbours"]["asked"], 1, "{zip:#}");
        assert_eq!(
            zip["neighbours"]["have_it"],
            serde_json::json!([]),
            "{zip:#}"
        );
    }
    let sent = first.metric("modmesh_peer_sent_bytes_total", &[]);
    assert!(sent < 100_000.0, "{sent}");
}

#[test]
fn a_false_file_is_refused_whoever_gives_it() {
    let lies = [PeerLie::GoMod, PeerLie::Zip(ZipLie::Tampered)];
    for lie in lies {
        let good = FakeUpstream::start([hello()]);
        let evil = FakeUpstream::start([hello()]);
        evil.put(&hello().url_path("mod"), forged().go_mod());
        evil.put(&hello().url_path("zip"), forged().zip());
        let liar = LyingPeer::start(&[hello()], &good.log(|log| log.clone()), lie);
        let alone = without_database("A", &evil.url())
            .peer(&liar.peer_address())
            .start();
        alone.wait_for_neighbours(1);
        let go = GoHome::new("off", "off");
        let folder = project(&go, &hello().sum_lines());
        let output = build(&alone, &go, &folder).expect_failure();
        assert!(
            output.stderr.contains("502 Bad Gateway"),
            "{lie:?}: {output}"
        );
        assert!(
            output.stderr.contains("/project/go.sum lists h1:"),
            "{lie:?}: {output}"
        );
        let failures = alone.metric(
            "modmesh_verification_failures_total",
            &[("from", "upstream")],
        );
        assert!(failures >= 1.0, "{lie:?}");
        // It convicts nobody: who gave the go.sum may be the one who is mistaken.
        let peers = alone.peers();
        assert_eq!(
            peers[0]["banned_until"],
            serde_json::Value::Null,
            "{lie:?}: {peers:#}"
        );
        assert!(
            peers[0]["last_error"]
                .as_str()
                .unwrap()
                .contains("lists h1:"),
            "{lie:?}: {peers:#}"
        );

        let list = format!("{}|{}", evil.url(), good.url());
        let both = without_database("B", &list)
            .peer(&liar.peer_address())
            .start();
        both.wait_for_neighbours(1);
        let go = GoHome::new("off", "off");
        build(&both, &go, &project(&go, &hello().sum_lines())).expect_success();
        let kept = std::fs::read(apart(&both, "zip")).unwrap();
        assert_eq!(kept, hello().zip(), "{lie:?}");
    }
}

#[test]
fn what_the_database_says_overrules_a_go_sum_and_that_is_said() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    // Before anything is known of the module, its lines are taken.
    let taken = give(&host, "/p/go.sum", &forged().sum_lines());
    assert_eq!(
        (&taken["lines"], &taken["contradicted"]),
        (&2.into(), &0.into())
    );
    let zip = host.get(&hello().url_path("zip"));
    assert_eq!(zip.expect_body(), hello().zip());
    assert_eq!(host.explain_file(OF, "zip")["here"]["scope"], "proven");
    let go_sum = serde_json::json!({"files": 1, "lines": 0, "refused": 2});
    assert_eq!(host.status()["go_sum"], go_sum);
    host.wait_for_line("SECURITY: a line of go.sum contradicts the checksum database");

    // Given once more they are refused at once, with their names, to whoever gave them.
    let go = GoHome::new("off", &upstream.sumdb());
    let folder = project(&go, &forged().sum_lines());
    let output = build(&host, &go, &folder).expect_failure();
    let said = format!(
        "SECURITY: 2 lines of {}/go.sum",
        folder.canonicalize().unwrap().display()
    );
    assert!(output.stderr.contains(&said), "{output}");
    assert!(
        output.stderr.contains("first example.com/hello v1.0.0"),
        "{output}"
    );
    let status = host.status();
    assert_eq!(status["go_sum"]["refused"], 4, "{status:#}");
    let notice = status["notices"][0].as_str().unwrap();
    assert!(notice.starts_with("SECURITY: 4 lines"), "{notice}");
    assert!(
        !status.to_string().contains("example.com/hello"),
        "{status:#}"
    );

    // The file that was mended takes the place of what it said.
    for name in [
        "/p/go.sum",
        folder
            .canonicalize()
            .unwrap()
            .join("go.sum")
            .to_str()
            .unwrap(),
    ] {
        give(&host, name, &hello().sum_lines());
    }
    let status = host.status();
    assert_eq!(status["go_sum"]["refused"], 0, "{status:#}");
    assert_eq!(status["notices"], serde_json::json!([]), "{status:#}");
}

#[test]
fn what_a_go_sum_vouched_for_survives_a_restart_and_is_judged_when_the_database_is_there() {
    let upstream = FakeUpstream::start([hello()]);
    let mut host = without_database("A", &upstream.url()).start();
    give(&host, "/p/go.sum", &hello().sum_lines());
    for extension in ["mod", "zip"] {
        host.get(&hello().url_path(extension)).expect_body();
    }
    upstream.forget();
    host.restart();
    assert_eq!(host.status()["go_sum"]["files"], 0);
    let zip = host.get(&hello().url_path("zip"));
    assert_eq!(zip.header("x-modmesh-source"), "store");
    assert_eq!(zip.expect_body(), hello().zip());
    let here = &host.explain_file(OF, "zip")["here"];
    assert_eq!(
        (&here["scope"], &here["go_sum"]),
        (&"local".into(), &"/p/go.sum".into())
    );
    assert_eq!(upstream.traffic_of("*.zip").requests, 0);

    let sumdb = upstream.sumdb();
    host.restart_with(|options| options.only_sumdb(&sumdb));
    let began = Instant::now();
    while !stored(&host, &hello(), "zip").exists() {
        // It judges every 30 s, and the machine of the test may add.
        assert!(began.elapsed() < Duration::from_secs(50), "{}", host.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    host.wait_until("nothing is apart", |host| !apart(host, "zip").exists());
    assert_eq!(upstream.traffic_of("*.zip").requests, 0);
}

#[test]
fn whatever_keeps_the_database_silent_a_go_sum_speaks() {
    let internal = Module::package("internal.example/m", "v1.0.0");
    let upstream = FakeUpstream::start([hello()]);
    upstream.publish_unlisted(&internal);
    let lines = format!("{}{}", hello().sum_lines(), internal.sum_lines());
    let asking = online("A", &upstream).only_sumdb(&upstream.sumdb_with_url());
    let host = asking.start();
    give(&host, "/p/go.sum", &lines);
    let note = |of: &str| {
        let here = host.explain_file(of, "zip")["here"].clone();
        assert_eq!(here["scope"], "local", "{of}: {here:#}");
        here["note"].as_str().unwrap().to_owned()
    };
    // It has no record, or it cannot be asked.
    host.get(&internal.url_path("zip")).expect_body();
    assert!(note(&internal.name()).contains("has no record of it"));
    upstream.fault("*lookup/*", Fault::status(503, "closed for today"));
    host.get(&hello().url_path("zip")).expect_body();
    assert!(note(OF).contains("could not be asked yet"));
    assert_eq!(host.metric("modmesh_pending_served_total", &[]), 0.0);

    // What is false is refused in either case.
    upstream.put(&hello().url_path("mod"), forged().go_mod());
    upstream.put(
        &internal.url_path("mod"),
        b"module internal.example/m // no\n".to_vec(),
    );
    for module in [hello(), internal] {
        let refused = host.get(&module.url_path("mod"));
        assert_eq!(refused.status, 502);
        assert!(
            refused.text().contains("/p/go.sum lists h1:"),
            "{}",
            refused.text()
        );
    }
}

#[test]
fn a_kept_file_that_a_go_sum_doubts_is_fetched_anew_and_handed_out_where_that_fails() {
    let upstream = FakeUpstream::start([hello()]);
    upstream.put(&hello().url_path("zip"), forged().zip());
    let host = without_database("A", &upstream.url()).start();
    let zip = || host.get(&hello().url_path("zip")).expect_body();
    assert_eq!(zip(), forged().zip());
    give(&host, "/p/go.sum", &hello().sum_lines());
    // Upstream has nothing else, so that go gets what is here, and judges for itself.
    assert_eq!(zip(), forged().zip());
    upstream.put(&hello().url_path("zip"), hello().zip());
    assert_eq!(zip(), hello().zip());
    upstream.close();
    assert_eq!(zip(), hello().zip());
    assert_eq!(host.explain_file(OF, "zip")["here"]["scope"], "local");
}

#[test]
fn files_of_go_sum_can_be_settings_and_private_modules_stay_private() {
    let upstream = FakeUpstream::start([hello()]);
    let first = online("A", &upstream).start();
    first.go(&upstream.sumdb()).download(OF).expect_success();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("go.sum");
    let named = |options: HostOptions| {
        options
            .argument("--go-sum")
            .argument(path.to_str().unwrap())
    };
    // One that is not there says nothing; what is there and is none is refused.
    let without = named(without_database("B", "off")).start();
    without.wait_for_line("a go.sum file that the settings name is not there");
    std::fs::create_dir(&path).unwrap();
    let ended = named(without_database("B", "off")).run_to_end();
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(
        ended.stderr.contains(path.to_str().unwrap()) && ended.stderr.contains("--go-sum"),
        "{ended}"
    );
    std::fs::remove_dir(&path).unwrap();

    std::fs::write(&path, hello().sum_lines()).unwrap();
    let private = named(without_database("B", "off").peer(&first.peer_address()))
        .argument("--private")
        .argument("example.com/*")
        .start();
    private.wait_for_neighbours(1);
    assert_eq!(private.status()["go_sum"]["lines"], 2);
    assert_eq!(private.get(&hello().url_path("zip")).status, 404);
    let zip = private.explain_file(OF, "zip");
    assert!(
        zip["neighbours"]["not_asked"]
            .as_str()
            .unwrap()
            .contains("private"),
        "{zip:#}"
    );

    let open = named(without_database("C", "off").peer(&first.peer_address())).start();
    open.wait_for_neighbours(1);
    open.go("off").download(OF).expect_success();
}
