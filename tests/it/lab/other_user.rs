//! A second user of this machine: gets what is proved, and neither what is for the daemon's own user nor its files.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use harness::http::Response;
use harness::lab::Forbidden;
use harness::other_user::as_other_user;
use harness::{FakeUpstream, Fault, HostOptions, Module, TestHost};

use crate::LabTest;

pub(crate) const TESTS: &[(&str, LabTest)] = &[
    (
        "another_user_gets_what_is_proved",
        another_user_gets_what_is_proved,
    ),
    (
        "another_user_gets_nothing_unlisted_and_has_nothing_fetched",
        another_user_gets_nothing_unlisted_and_has_nothing_fetched,
    ),
    (
        "another_user_gets_nothing_pending_and_has_nothing_fetched",
        another_user_gets_nothing_pending_and_has_nothing_fetched,
    ),
    (
        "another_user_gets_nothing_private_and_no_name_leaves",
        another_user_gets_nothing_private_and_no_name_leaves,
    ),
    (
        "another_user_gets_nothing_where_the_database_is_off",
        another_user_gets_nothing_where_the_database_is_off,
    ),
    (
        "another_user_who_takes_all_places_does_not_shut_the_owner_out",
        another_user_who_takes_all_places_does_not_shut_the_owner_out,
    ),
    (
        "another_user_gets_nothing_that_rests_on_a_go_sum",
        another_user_gets_nothing_that_rests_on_a_go_sum,
    ),
    (
        "another_user_cannot_read_the_state_folder",
        another_user_cannot_read_the_state_folder,
    ),
];

fn module(name: &str) -> Module {
    Module::package(&format!("example.com/{name}"), "v1.0.0").bulk("noise.bin", 10_000)
}

fn world() -> FakeUpstream {
    let upstream = FakeUpstream::start([module("listed")]);
    upstream.publish_unlisted(&module("unlisted"));
    upstream
}

fn online(upstream: &FakeUpstream) -> HostOptions {
    HostOptions::new("A")
        .upstream(&upstream.url())
        .sumdb(&upstream.sumdb_with_url())
}

fn ask(host: &TestHost, path: &str) -> Result<Response, Forbidden> {
    as_other_user(|| host.get(path))
}

/// 403 with a line that says what to do.
#[track_caller]
fn expect_refused(answer: &Response, word: &str) {
    assert_eq!(answer.status, 403, "{}", answer.text());
    let text = answer.text();
    assert!(
        text.contains("the user who runs the modmesh daemon"),
        "{text}"
    );
    assert!(text.contains("modmesh up") && text.contains(word), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

/// Neither asked of upstream nor kept.
#[track_caller]
fn expect_not_fetched(host: &TestHost, upstream: &FakeUpstream, module: &Module) {
    let of = module.url_path("zip");
    let (base, _) = of.split_once("/@v/").unwrap();
    assert_eq!(upstream.traffic_of(&format!("{base}/*")).requests, 0);
    for tree in ["store", "apart"] {
        let folder = host.state().join(tree).join(base);
        assert!(!folder.exists(), "{}", folder.display());
    }
    assert_eq!(host.status()["store"]["blobs"], 0);
}

fn another_user_gets_what_is_proved() -> Result<(), Forbidden> {
    let upstream = world();
    let host = online(&upstream).start();
    let listed = module("listed");
    // Cold and warm.
    for _ in 0..2 {
        let zip = ask(&host, &listed.url_path("zip"))?;
        assert_eq!(zip.expect_body(), listed.zip());
    }
    assert_eq!(
        ask(&host, &listed.url_path("mod"))?.expect_body(),
        listed.go_mod()
    );
    assert_eq!(
        ask(&host, &listed.url_path("info"))?.expect_body(),
        listed.info()
    );
    assert_eq!(ask(&host, "example.com/listed/@v/list")?.status, 200);
    let lookup = "sumdb/sumdb.example.test/lookup/example.com/listed@v1.0.0";
    assert_eq!(ask(&host, lookup)?.status, 200);
    Ok(())
}

fn another_user_gets_nothing_unlisted_and_has_nothing_fetched() -> Result<(), Forbidden> {
    let upstream = world();
    let host = online(&upstream).start();
    let unlisted = module("unlisted");
    for extension in ["mod", "zip"] {
        let answer = ask(&host, &unlisted.url_path(extension))?;
        expect_refused(&answer, "not in the checksum database");
    }
    expect_not_fetched(&host, &upstream, &unlisted);
    // Nor when it is here, for its own user.
    for extension in ["mod", "zip"] {
        host.get(&unlisted.url_path(extension)).expect_body();
        let answer = ask(&host, &unlisted.url_path(extension))?;
        expect_refused(&answer, "not in the checksum database");
    }
    Ok(())
}

fn another_user_gets_nothing_pending_and_has_nothing_fetched() -> Result<(), Forbidden> {
    let upstream = world();
    upstream.fault("sumdb/*", Fault::status(503, "closed for today"));
    let host = online(&upstream).start();
    let listed = module("listed");
    for extension in ["mod", "zip"] {
        let answer = ask(&host, &listed.url_path(extension))?;
        expect_refused(&answer, "could not be asked");
    }
    expect_not_fetched(&host, &upstream, &listed);
    for extension in ["mod", "zip"] {
        host.get(&listed.url_path(extension)).expect_body();
        let answer = ask(&host, &listed.url_path(extension))?;
        expect_refused(&answer, "could not be asked");
    }
    assert_eq!(host.metric("modmesh_pending_served_total", &[]), 2.0);
    Ok(())
}

fn another_user_gets_nothing_private_and_no_name_leaves() -> Result<(), Forbidden> {
    let upstream = world();
    let secret = Module::package("corp.example/secret", "v1.0.0");
    upstream.publish_unlisted(&secret);
    let host = online(&upstream)
        .argument("--private")
        .argument("corp.example")
        .start();
    let notes =
        ["list", "v1.0.0.info", "master.info"].map(|file| format!("corp.example/secret/@v/{file}"));
    let files = ["mod", "zip"].map(|extension| secret.url_path(extension));
    let paths: Vec<String> = notes
        .into_iter()
        .chain(["corp.example/secret/@latest".to_owned()])
        .chain(files)
        .collect();
    for path in &paths {
        expect_refused(&ask(&host, path)?, "");
    }
    assert_eq!(upstream.traffic_of("*corp.example*").requests, 0);
    expect_not_fetched(&host, &upstream, &secret);
    for path in &paths {
        let own = host.get(path);
        assert!([200, 404].contains(&own.status), "{path}: {}", own.status);
        expect_refused(&ask(&host, path)?, "");
    }
    Ok(())
}

fn another_user_gets_nothing_where_the_database_is_off() -> Result<(), Forbidden> {
    let upstream = world();
    let host = HostOptions::new("A").upstream(&upstream.url()).start();
    let listed = module("listed");
    expect_refused(&ask(&host, &listed.url_path("zip"))?, "");
    expect_not_fetched(&host, &upstream, &listed);
    assert_eq!(host.get(&listed.url_path("zip")).status, 200);
    expect_refused(&ask(&host, &listed.url_path("zip"))?, "");
    Ok(())
}

fn another_user_who_takes_all_places_does_not_shut_the_owner_out() -> Result<(), Forbidden> {
    let host = HostOptions::new("A").start();
    let address = host.url().replace("http://", "");
    let places = as_other_user(|| {
        let calls = (0..1024).map(|_| TcpStream::connect(&address).unwrap());
        calls.collect::<Vec<_>>()
    })?;
    // He has his places when the next one gets none.
    host.wait_until("all places are taken", |host| {
        ask(host, "healthz").is_ok_and(|answer| answer.status == 503)
    });
    assert_eq!(host.get("healthz").expect_body(), b"alive\n");
    drop(places);
    Ok(())
}

fn another_user_gets_nothing_that_rests_on_a_go_sum() -> Result<(), Forbidden> {
    let upstream = world();
    let folder = tempfile::tempdir().unwrap();
    let (go_sum, listed) = (folder.path().join("go.sum"), module("listed"));
    fs::write(&go_sum, listed.sum_lines()).unwrap();
    let given = |options: HostOptions| {
        let path = go_sum.to_str().unwrap();
        options.argument("--go-sum").argument(path).start()
    };
    let off = given(HostOptions::new("A").upstream(&upstream.url()));
    upstream.fault("sumdb/*", Fault::status(503, "closed for today"));
    let asking = given(online(&upstream));
    for (host, word) in [
        (off, "the checksum database is off"),
        (asking, "could not be asked"),
    ] {
        upstream.forget();
        expect_refused(&ask(&host, &listed.url_path("zip"))?, word);
        expect_not_fetched(&host, &upstream, &listed);
        host.get(&listed.url_path("zip")).expect_body();
        let here = &host.explain_file("example.com/listed@v1.0.0", "zip")["here"];
        assert_eq!(here["scope"], "local", "{here:#}");
        expect_refused(&ask(&host, &listed.url_path("zip"))?, word);
    }
    Ok(())
}

fn another_user_cannot_read_the_state_folder() -> Result<(), Forbidden> {
    let upstream = world();
    // Somebody made the folder before, open to all.
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    for path in [folder.path(), &state] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let host = online(&upstream).state(&state).start();
    let unlisted = module("unlisted");
    host.get(&unlisted.url_path("zip")).expect_body();
    let mode = |path: &str| fs::metadata(state.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("identity")), (0o700, 0o600));
    let kept = state.join("apart").join(unlisted.url_path("zip"));
    assert!(kept.exists());
    let (listed, read) = as_other_user(|| {
        let listed = fs::read_dir(&state).map(|_| ());
        (listed, fs::read(&kept).map(|_| ()))
    })?;
    for outcome in [listed, read] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    Ok(())
}
