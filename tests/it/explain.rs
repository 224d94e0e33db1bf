//! `modmesh explain`: the true story of each file, whether it is here or not, told to its user and moving nothing.

use std::time::Duration;

use harness::{FakeUpstream, Fault, HostOptions, Module, TestHost};
use serde_json::{Value, json};

use crate::scene::{hello, is_owner, neighbour_of, online};

const HELLO: &str = "example.com/hello@v1.0.0";

/// The only step of this kind.
#[track_caller]
fn step(file: &Value, kind: &str) -> Value {
    let steps = file["last_fetch"]["steps"].as_array();
    let steps = steps.unwrap_or_else(|| panic!("no story in {file:#}"));
    let mut of_kind = steps.iter().filter(|step| step["step"] == kind);
    match (of_kind.next(), of_kind.next()) {
        (Some(step), None) => {
            assert!(step["at_ms"].is_number(), "{step}");
            assert!(step["took_ms"].is_number(), "{step}");
            step.clone()
        }
        found => panic!("{found:?} of {kind} in {file:#}"),
    }
}

/// What is here must be what was published.
#[track_caller]
fn expect_proven(file: &Value, bytes: &[u8]) {
    let here = &file["here"];
    assert_eq!(here["scope"], "proven", "{file:#}");
    let record = json!({"database": "sumdb.example.test", "id": 0});
    assert_eq!(here["record"], record, "{file:#}");
    assert_eq!(here["length"], bytes.len(), "{file:#}");
    assert_eq!(here["canonical"], true, "{file:#}");
    assert_eq!(here["shareable"], true, "{file:#}");
    assert_eq!(here["note"], Value::Null, "{file:#}");
    assert!(here["since"].as_str().unwrap().ends_with('Z'), "{file:#}");
    assert_eq!(file["would_ask"], Value::Null, "{file:#}");
    assert_eq!(step(file, "judge")["scope"], "proven");
    assert_eq!(step(file, "commit")["failed"], Value::Null);
    assert!(file["last_fetch"]["took_ms"].as_f64() > Some(0.0));
}

#[test]
fn each_host_tells_how_its_files_came_and_who_has_them_now() {
    let upstream = FakeUpstream::start([hello()]);
    let first = online("A", &upstream).start();
    for extension in ["info", "mod", "zip"] {
        first.get(&hello().url_path(extension)).expect_body();
    }
    let (url, zip_bytes) = (upstream.url(), hello().zip());
    let zip = first.explain_file(HELLO, "zip");
    expect_proven(&zip, &zip_bytes);
    assert_eq!(zip["here"]["h1"], hello().h1().to_string());
    let kept = json!({"result": "kept", "from": "upstream"});
    assert_eq!(zip["last_fetch"]["outcome"], kept);
    let download = step(&zip, "upstream");
    let zip_path = hello().url_path("zip");
    assert_eq!(download["url"], format!("{url}/{zip_path}"));
    assert_eq!(download["status"], 200);
    assert_eq!(download["bytes"], zip_bytes.len());
    // The record was needed for the .mod already.
    assert_eq!(step(&zip, "record")["from"], "store");
    let go_mod = first.explain_file(HELLO, "mod");
    expect_proven(&go_mod, &hello().go_mod());
    assert_eq!(step(&go_mod, "record")["from"], "upstream");
    assert_eq!(go_mod["neighbours"]["not_asked"], "there is none");
    let info = first.explain_file(HELLO, "info");
    assert_eq!(info["here"]["length"], hello().info().len());
    assert_eq!(info["here"]["scope"], Value::Null);
    assert_eq!(step(&info, "upstream")["status"], 200);

    let second = neighbour_of(&first, &upstream);
    upstream.forget();
    for extension in ["mod", "zip"] {
        second.get(&hello().url_path(extension)).expect_body();
    }
    let zip = second.explain_file(HELLO, "zip");
    expect_proven(&zip, &zip_bytes);
    let kept = json!({"result": "kept", "from": "peer"});
    assert_eq!(zip["last_fetch"]["outcome"], kept);
    let asked = step(&zip, "locate");
    assert_eq!((&asked["asked"], &asked["silent"]), (&json!(1), &json!(0)));
    assert_eq!(asked["have_it"], json!([first.peer_id()]));
    let sent = step(&zip, "transfer");
    assert_eq!(sent["peer"], first.peer_id());
    assert_eq!(sent["bytes"], zip_bytes.len());
    assert_eq!(sent["failed"], Value::Null);
    let go_mod = second.explain_file(HELLO, "mod");
    let told_by = format!("neighbour {}", first.peer_id());
    assert_eq!(step(&go_mod, "record")["from"], told_by);
    let holders = |host: &TestHost| host.explain_file(HELLO, "zip")["neighbours"].clone();
    assert_eq!(holders(&second)["have_it"], json!([first.peer_id()]));
    first.wait_for_neighbours(1);
    assert_eq!(holders(&first)["have_it"], json!([second.peer_id()]));
    // Both would ask the same owners in the same order.
    let owners = |host: &TestHost| {
        let explanation = host.explain(HELLO);
        let owners = explanation["owners"].as_array().unwrap().iter();
        let ours = |owner: &&Value| owner["is_this_host"] == true;
        assert_eq!(owners.clone().filter(ours).count(), 1, "{explanation:#}");
        owners
            .map(|owner| owner["peer_id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(owners(&first), owners(&second));
    assert_eq!(owners(&first).len(), 2);
    // No explanation asked the upstream.
    assert_eq!(upstream.traffic_of_all().requests, 0);
    let said = second.explained(HELLO).expect_success().stdout;
    for words in [
        "decided by",
        "here, proven",
        "from a neighbour",
        "1 of 1 asked has it",
    ] {
        assert!(said.contains(words), "{words} is missing in {said}");
    }
}

#[test]
fn what_is_here_already_is_told_after_a_restart_too() {
    let upstream = FakeUpstream::start([hello()]);
    let mut host = online("A", &upstream).start();
    host.get(&hello().url_path("zip")).expect_body();
    let before = host.explain_file(HELLO, "zip");
    host.restart();
    let after = host.explain_file(HELLO, "zip");
    assert_eq!(after["here"], before["here"]);
    assert_eq!(after["last_fetch"], Value::Null);
    let said = host.explained(HELLO).expect_success().stdout;
    assert!(said.contains("not remembered"), "{said}");
    // Whoever takes the body away is found out without a request.
    std::fs::remove_file(crate::scene::stored(&host, &hello(), "zip")).unwrap();
    let gone = host.explain_file(HELLO, "zip");
    let note = gone["here"]["note"].as_str().unwrap();
    assert!(note.contains("gone"), "{gone:#}");
}

#[test]
fn a_pending_file_and_an_unlisted_one_say_why_nobody_else_gets_them() {
    let secret = Module::package("example.com/secret", "v0.1.0");
    let upstream = FakeUpstream::start([hello()]);
    upstream.publish_unlisted(&secret);
    let host = HostOptions::new("A")
        .upstream(&upstream.url())
        .sumdb(&upstream.sumdb_with_url())
        .start();
    host.get(&secret.url_path("mod")).expect_body();
    upstream.fault("sumdb/*", Fault::status(503, "closed for today"));
    host.get(&hello().url_path("mod")).expect_body();

    let pending = host.explain_file(HELLO, "mod");
    assert_eq!(pending["here"]["scope"], "pending", "{pending:#}");
    assert_eq!(pending["here"]["shareable"], false);
    assert_eq!(pending["here"]["record"], Value::Null);
    let record = step(&pending, "record");
    assert_eq!(record["from"], "nobody");
    let reason = record["reason"].as_str().unwrap();
    assert!(reason.contains("closed for today"), "{reason}");

    let unlisted = host.explain_file("example.com/secret@v0.1.0", "mod");
    assert_eq!(unlisted["here"]["scope"], "unlisted", "{unlisted:#}");
    assert_eq!(unlisted["here"]["shareable"], false);
    let note = unlisted["here"]["note"].as_str().unwrap();
    assert!(note.contains("no record"), "{note}");
    let said = host.explained(HELLO).expect_success().stdout;
    assert!(said.contains("neighbours may not have it"), "{said}");
}

#[test]
fn what_failed_says_why_and_whom_a_request_would_ask() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    let untold = host.explain_file("example.com/none@v1.0.0", "zip");
    assert_eq!(untold["here"], Value::Null);
    assert_eq!(untold["last_fetch"], Value::Null);
    let unknown = json!({
        "url": upstream.url(),
        "state": "untried",
        "reason": null,
        "down_seconds": null,
        "rest_seconds": null,
        "rest_heard_from": null
    });
    let upstreams = json!([unknown]);
    let nobody_else = json!({"neighbours": 0, "upstream": upstreams});
    assert_eq!(untold["would_ask"], nobody_else);

    let none = "example.com/none/@v/v1.0.0.zip";
    assert_eq!(host.get(none).status, 404);
    let missing = host.explain_file("example.com/none@v1.0.0", "zip");
    assert_eq!(missing["last_fetch"]["outcome"]["result"], "failed");
    let asked = step(&missing, "upstream");
    assert_eq!(asked["url"], format!("{}/{none}", upstream.url()));
    assert_eq!(asked["status"], 404);
    let reason = missing["last_fetch"]["outcome"]["reason"].as_str().unwrap();
    assert!(reason.contains("404"), "{reason}");
    assert_eq!(missing["would_ask"]["upstream"][0]["state"], "up");
    let said = host.explained("example.com/none@v1.0.0").expect_success();
    assert!(said.stdout.contains("status 404"), "{said}");

    let forged = hello().file("evil.go", "package hello\n");
    upstream.put(&hello().url_path("zip"), forged.zip());
    assert_eq!(host.get(&hello().url_path("zip")).status, 502);
    let refused = host.explain_file(HELLO, "zip");
    assert_eq!(refused["here"], Value::Null);
    let verdict = step(&refused, "judge");
    assert_eq!(verdict["scope"], Value::Null);
    let why = verdict["refused"].as_str().unwrap();
    assert!(why.contains(&forged.h1().to_string()), "{why}");
}

#[test]
fn every_entry_of_the_list_that_was_asked_is_told() {
    let (without, with) = (FakeUpstream::start([]), FakeUpstream::start([hello()]));
    let hidden = |userinfo| without.url().replace("//", &format!("//{userinfo}@"));
    let list = format!("{},{}", hidden("user:secret"), with.url());
    let host = HostOptions::new("A")
        .upstream(&list)
        .sumdb(&with.sumdb_with_url())
        .start();
    host.get(&hello().url_path("zip")).expect_body();
    let zip = host.explain_file(HELLO, "zip");
    let steps = zip["last_fetch"]["steps"].as_array().unwrap().iter();
    let asked: Vec<_> = steps.filter(|step| step["step"] == "upstream").collect();
    assert_eq!(asked.len(), 2, "{zip:#}");
    for (step, base, status) in [
        (asked[0], hidden("xxxxx"), 404),
        (asked[1], with.url(), 200),
    ] {
        let url = format!("{base}/{}", hello().url_path("zip"));
        assert_eq!(
            (&step["url"], &step["status"]),
            (&json!(url), &json!(status))
        );
    }
    assert!(!format!("{zip}").contains("secret"), "{zip:#}");
    assert_eq!(host.get("example.com/none/@v/v1.0.0.mod").status, 404);
    let none = host.explain_file("example.com/none@v1.0.0", "mod");
    let steps = none["last_fetch"]["steps"].as_array().unwrap().iter();
    let statuses = steps.filter(|step| step["step"] == "upstream");
    let statuses: Vec<_> = statuses.map(|step| step["status"].clone()).collect();
    assert_eq!(statuses, [404, 404], "{none:#}");
}

#[test]
fn a_fetch_under_way_is_told_as_far_as_it_is() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    let held = upstream.hold("*.zip");
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| host.get(&hello().url_path("zip")));
        host.wait_until("the record is here", |host| {
            let zip = host.explain_file(HELLO, "zip");
            let steps = zip["last_fetch"]["steps"].as_array();
            steps.is_some_and(|steps| steps.iter().any(|step| step["step"] == "record"))
        });
        let zip = host.explain_file(HELLO, "zip");
        assert_eq!(zip["last_fetch"]["outcome"], Value::Null, "{zip:#}");
        assert_eq!(zip["last_fetch"]["took_ms"], Value::Null, "{zip:#}");
        let said = host.explained(HELLO).expect_success().stdout;
        assert!(said.contains(".zip  on its way"), "{said}");
        held.release();
        fetching.join().unwrap().expect_body();
    });
    let zip = host.explain_file(HELLO, "zip");
    assert_eq!(zip["last_fetch"]["outcome"]["result"], "kept", "{zip:#}");
}

#[test]
fn a_host_that_waits_for_another_tells_for_whom_while_it_waits() {
    let upstream = FakeUpstream::start([]);
    let first = online("A", &upstream).start();
    let second = online("B", &upstream).peer(&first.peer_address()).start();
    for host in [&first, &second] {
        host.wait_for_neighbours(1);
    }
    // One about which the second host decides, so that it need not ask the first one, which may be slow to answer.
    let mut modules = (0..).map(|at| Module::package(&format!("example.com/m{at}"), "v1.0.0"));
    let name = second.peer_id();
    let module = modules.find(|module| is_owner(&name, &second, module));
    let module = module.unwrap();
    upstream.publish(&module);
    let zip = module.url_path("zip");
    let told = |host: &TestHost, kind: &str| {
        let zip = host.explain_file(&format!("{}@v1.0.0", module.path()), "zip");
        let steps = zip["last_fetch"]["steps"].as_array();
        let mut steps = steps.cloned().unwrap_or_default().into_iter();
        steps.rfind(|step| step["step"] == kind)
    };
    // Then it has the record, and fetches no more than the zip.
    first.get(&module.url_path("mod")).expect_body();
    let granted = |host: &TestHost| host.status()["leases"]["granted"].as_u64();
    second.wait_until("the first one has all that", |host| {
        granted(host) == Some(0)
    });
    let held = upstream.hold(&zip);
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| first.get(&zip));
        upstream.wait_for(&zip, 1, Duration::from_secs(60));
        second.wait_until("it knows that the first one fetches it", |host| {
            granted(host) >= Some(1)
        });
        let waiting = scope.spawn(|| second.get(&zip));
        second.wait_until("it says for whom it waits", |host| {
            told(host, "told-to-wait").is_some()
        });
        let wait = told(&second, "told-to-wait").unwrap();
        assert_eq!(wait["fetches"], first.peer_id());
        held.release();
        for got in [fetching, waiting] {
            assert_eq!(got.join().unwrap().expect_body(), module.zip());
        }
    });
    let together = told(&second, "together").unwrap();
    assert_eq!(together["waited_for"], json!([first.peer_id()]));
}

#[test]
fn for_a_private_module_no_neighbour_is_asked() {
    let upstream = FakeUpstream::start([hello()]);
    let first = online("A", &upstream).start();
    let second = HostOptions::new("B")
        .sumdb(&upstream.sumdb())
        .argument("--private")
        .argument("git.corp.example")
        .peer(&first.peer_address())
        .start();
    second.wait_for_neighbours(1);
    // The bytes of the answers "not here" that the neighbour gave.
    let answered = || first.metric("modmesh_peer_sent_bytes_total", &[]);
    let before = answered();
    let private = second.explain("git.corp.example/secret@v1.0.0");
    assert_eq!(private["treatment"], "private");
    assert_eq!(private["owners"], json!([]));
    for file in private["files"].as_array().unwrap() {
        assert_eq!(file["neighbours"]["asked"], 0, "{file:#}");
        let why = file["neighbours"]["not_asked"].as_str().unwrap();
        assert!(why.contains("private"), "{why}");
        assert_eq!(file["would_ask"]["neighbours"], 0, "{file:#}");
    }
    assert_eq!(answered(), before);
    // It is the pattern that keeps the neighbour from being asked.
    let public = second.explain_file("example.com/other@v1.0.0", "zip");
    assert_eq!(public["neighbours"]["asked"], 1, "{public:#}");
    assert_eq!(public["neighbours"]["have_it"], json!([]), "{public:#}");
    assert!(answered() > before);
}

#[test]
fn a_module_is_named_plain_or_escaped_and_anything_else_is_wrong_usage() {
    let module = Module::package("github.com/Mixed/Case", "v1.0.0");
    let upstream = FakeUpstream::start([module.clone()]);
    let host = online("A", &upstream).start();
    host.get(&module.url_path("mod")).expect_body();
    for name in [
        "github.com/Mixed/Case@v1.0.0",
        "github.com/!mixed/!case@v1.0.0",
    ] {
        let explanation = host.explain(name);
        assert_eq!(explanation["module"], "github.com/Mixed/Case");
        let go_mod = host.explain_file(name, "mod");
        assert_eq!(go_mod["here"]["scope"], "proven", "{go_mod:#}");
    }
    for (name, word) in [
        ("github.com/Mixed/Case", "MODULE@VERSION"),
        ("github.com/Mixed/Case@latest", "latest"),
        ("github.com/Mixed/Case@v1", "v1"),
        ("github.com/Mixed/Case@v2.0.0", "v0 or v1"),
        ("../etc@v1.0.0", "../etc"),
        ("github.com/!Mixed@v1.0.0", "!Mixed"),
        ("", "MODULE@VERSION"),
    ] {
        let refused = host.explained(name);
        assert_eq!(refused.status.code(), Some(2), "{refused}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused}");
        assert!(
            refused.stderr.contains(word),
            "{word} is missing: {refused}"
        );
    }
}
