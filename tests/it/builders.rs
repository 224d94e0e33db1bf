//! The harness judged by the real `go`: what the builders build is what Go takes, and what is meant to be wrong, Go
//! refuses. Only then do the other tests mean anything.

use std::time::Duration;

use harness::{FakeUpstream, Fault, GoHome, HeadPolicy, Kind, Module, TestLog, ZipLie};

fn hello() -> Module {
    Module::package("example.com/hello", "v1.0.0").bulk("testdata/noise.bin", 100_000)
}

#[test]
fn go_downloads_a_module_with_its_checksum_database_on() {
    let upstream = FakeUpstream::start([hello()]);
    let go = GoHome::new(&upstream.url(), &upstream.sumdb());
    let output = go.download("example.com/hello@v1.0.0").expect_success();
    assert!(
        output.stdout.contains(&hello().h1().to_string()),
        "{output}"
    );
    assert_eq!(upstream.traffic(Kind::Zip).requests, 1);
    assert_eq!(
        upstream.traffic(Kind::Zip).bytes,
        hello().zip().len() as u64
    );
    assert_eq!(upstream.traffic(Kind::Lookup).requests, 1);
}

#[test]
fn go_takes_other_bytes_with_the_same_contents() {
    for zip in [
        hello().zip_compressed_otherwise(),
        hello().zip_with_comment(),
    ] {
        let upstream = FakeUpstream::start([hello()]);
        assert_ne!(zip, hello().zip());
        upstream.put(&hello().url_path("zip"), zip);
        let go = GoHome::new(&upstream.url(), &upstream.sumdb());
        go.download("example.com/hello@v1.0.0").expect_success();
    }
}

#[test]
fn go_refuses_every_lie_about_a_zip() {
    let upstream = FakeUpstream::start([hello()]);
    for lie in ZipLie::ALL {
        upstream.put(&hello().url_path("zip"), hello().lying_zip(lie));
        let go = GoHome::new(&upstream.url(), &upstream.sumdb());
        let output = go.download("example.com/hello@v1.0.0");
        assert!(!output.status.success(), "{lie:?}: {output}");
    }
}

#[test]
fn go_proves_records_in_logs_of_every_depth_with_heads_of_different_ages() {
    for size in [1, 2, 255, 256, 257, 70_000] {
        let mut log = TestLog::new("sumdb.example.test");
        log.pad_to(size / 2);
        let upstream = FakeUpstream::with_log(log);
        upstream.publish(&hello());
        upstream.log(|log| log.pad_to(size - 1));
        upstream.publish(&Module::package("example.com/Later", "v1.2.3"));
        upstream.send_heads(HeadPolicy::Cached(100));
        let go = GoHome::new(&upstream.url(), &upstream.sumdb());
        go.download("example.com/hello@v1.0.0").expect_success();
        go.download("example.com/Later@v1.2.3").expect_success();
    }
}

#[test]
fn go_refuses_every_lie_about_the_log() {
    let module = hello();
    let forgery = Module::package("example.com/hello", "v1.0.0").file("evil.go", "package hello\n");
    let mut log = TestLog::new("sumdb.example.test");
    log.pad_to(300);
    log.append(&module);
    log.pad_to(70_000);
    let lookup = format!("sumdb/{}/lookup/*", log.name());
    let head = |head: String| {
        let id = log.id(module.path(), module.version()).unwrap();
        harness::log::lookup_body(id, log.record(id), &head)
    };
    let lies = [
        (
            "record",
            lookup.as_str(),
            log.forged_lookup(&module, &forgery, log.size())
                .into_bytes(),
        ),
        (
            "head",
            &lookup,
            head(log.forged_head(log.size())).into_bytes(),
        ),
        (
            "tile",
            "sumdb/*/tile/8/0/001",
            log.forged_tile(0, 1, 256, 44).unwrap(),
        ),
        (
            "parent tile",
            "sumdb/*/tile/8/1/000",
            log.forged_tile(1, 0, 256, 1).unwrap(),
        ),
    ];
    let upstream = FakeUpstream::with_log(log.clone());
    upstream.publish(&module);
    for (what, path, body) in lies {
        upstream.heal();
        upstream.fault(path, Fault::body(body));
        let go = GoHome::new(&upstream.url(), &upstream.sumdb());
        let output = go.download("example.com/hello@v1.0.0");
        assert!(!output.status.success(), "forged {what}: {output}");
    }
    upstream.heal();
    let go = GoHome::new(&upstream.url(), &upstream.sumdb());
    go.download("example.com/hello@v1.0.0").expect_success();
}

#[test]
fn go_calls_a_fork_a_security_error() {
    let (before, after) = (hello(), Module::package("example.com/after", "v1.0.0"));
    let upstream = FakeUpstream::start([before.clone()]);
    upstream.log(|log| log.pad_to(50));
    let go = GoHome::new(&upstream.url(), &upstream.sumdb());
    go.download("example.com/hello@v1.0.0").expect_success();
    let mut fork = upstream.log(|log| log.fork_at(20));
    fork.append(&after);
    fork.pad_to(60);
    upstream.log(|log| *log = fork);
    upstream.publish(&after);
    let output = go.download("example.com/after@v1.0.0").expect_failure();
    assert!(format!("{output}").contains("SECURITY ERROR"), "{output}");
}

#[test]
fn an_unlisted_module_is_unknown_to_the_database_but_can_be_had_without_it() {
    let upstream = FakeUpstream::start([hello()]);
    upstream.publish_unlisted(&Module::package("example.com/secret", "v0.1.0"));
    for database in [upstream.sumdb(), upstream.sumdb_with_url()] {
        let go = GoHome::new(&upstream.url(), &database);
        go.download("example.com/secret@v0.1.0").expect_failure();
        go.download("example.com/hello@v1.0.0").expect_success();
    }
    let go = GoHome::new(&upstream.url(), "off");
    go.download("example.com/secret@v0.1.0").expect_success();
}

#[test]
fn go_builds_a_program_from_modules_that_require_each_other() {
    let upstream = FakeUpstream::start([
        Module::package("example.com/hello", "v1.0.0").requires("example.com/word", "v1.1.0"),
        Module::package("example.com/word", "v1.1.0"),
        Module::package("example.com/word", "v1.2.0"),
    ]);
    let go = GoHome::new(&upstream.url(), &upstream.sumdb());
    let project = go.project(
        "project",
        &[
            (
                "go.mod",
                "module example.com/project\n\ngo 1.21\n\nrequire example.com/hello v1.0.0\n",
            ),
            (
                "a.go",
                "package project\n\nimport _ \"example.com/hello\"\n",
            ),
        ],
    );
    go.run_in(&project, &["mod", "tidy"]).expect_success();
    let list = go.run_in(&project, &["list", "-m", "-versions", "example.com/word"]);
    assert!(list.expect_success().stdout.contains("v1.1.0 v1.2.0"));
}

#[test]
fn each_fault_does_what_its_name_says() {
    use harness::http::Request;
    let upstream = FakeUpstream::start([hello()]);
    let path = hello().url_path("zip");
    let request = Request::get(&format!("{}/{path}", upstream.url()));
    let quick = request.clone().within(Duration::from_millis(300));
    let whole = hello().zip();

    upstream.fault_times(&path, Fault::status(503, "closed for today"), 1);
    let answer = request.send().unwrap();
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (503, "closed for today")
    );
    assert_eq!(request.send().unwrap().expect_body(), whole);

    upstream.fault(&path, Fault::Cut(1000));
    let answer = request.send().unwrap();
    assert_eq!((answer.body.len(), answer.complete), (1000, false));
    assert_eq!(answer.header("content-length"), whole.len().to_string());

    upstream.fault(&path, Fault::Length(500));
    let answer = request.send().unwrap();
    assert_eq!((answer.body.len(), answer.complete), (500, true));
    upstream.fault(&path, Fault::Length(1 << 30));
    assert!(!request.send().unwrap().complete);

    upstream.fault(&path, Fault::Redirect("http://elsewhere.test/".to_owned()));
    let answer = request.send().unwrap();
    assert_eq!(
        (answer.status, answer.header("location")),
        (302, "http://elsewhere.test/")
    );

    for fault in [Fault::Hang, Fault::Stall(10), Fault::Trickle(1000)] {
        upstream.fault(&path, fault);
        quick.send().unwrap_err();
    }
    upstream.fault(&path, Fault::Drop);
    request.send().unwrap_err();

    upstream.heal();
    let held = upstream.hold("*.zip");
    upstream.forget();
    let waiting = std::thread::spawn(move || request.send().unwrap().expect_body());
    upstream.wait_for("*.zip", 1, Duration::from_secs(10));
    held.release();
    assert_eq!(waiting.join().unwrap(), whole);
}

#[test]
fn an_upstream_can_go_dark_be_closed_and_come_back() {
    use harness::http::Request;
    let upstream = FakeUpstream::start([hello()]);
    let request = Request::get(&format!("{}/{}", upstream.url(), hello().url_path("mod")))
        .within(Duration::from_millis(300));
    upstream.go_dark();
    assert!(matches!(
        request.send(),
        Err(harness::http::Failure::TimedOut(_))
    ));
    upstream.close();
    assert!(request.send().is_err());
    upstream.come_back();
    let request = request.within(Duration::from_secs(10));
    assert_eq!(request.send().unwrap().expect_body(), hello().go_mod());
}
