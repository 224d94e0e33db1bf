//! While the checksum database cannot be asked, files are for this host alone; when it can be, they are judged again.

use std::time::{Duration, Instant};

use harness::{FakeUpstream, Fault, Module, TestHost};

use crate::scene::{damage, hello, neighbour_of, online, stored};

/// The daemon judges again every 30 s, and the machine of the test may add.
const JUDGED_WITHIN: Duration = Duration::from_secs(30 + 20);

/// A host that downloaded the modules with `go` while the database could not be asked.
fn without_database(upstream: &FakeUpstream, modules: &[Module]) -> TestHost {
    upstream.fault("sumdb/*", Fault::status(503, "closed for today"));
    let host = online("A", upstream).start();
    let go = host.go("off");
    for module in modules {
        go.download(&module.name()).expect_success();
        for extension in ["mod", "zip"] {
            let apart = host.state().join("apart").join(module.url_path(extension));
            assert!(apart.exists(), "{}", apart.display());
            assert!(!stored(&host, module, extension).exists());
        }
    }
    assert!(host.metric("modmesh_pending_served_total", &[]) >= 2.0);
    host
}

#[test]
fn pending_files_are_judged_again_and_then_shared_or_dropped() {
    let damaged = Module::package("example.com/damaged", "v1.0.0").bulk("noise.bin", 10_000);
    let upstream = FakeUpstream::start([hello(), damaged.clone()]);
    let host = without_database(&upstream, &[hello(), damaged.clone()]);
    damage(&host.state().join("apart").join(damaged.url_path("zip")));
    let neighbour = neighbour_of(&host, &upstream);
    assert_eq!(neighbour.get(&hello().url_path("mod")).status, 404);

    upstream.heal();
    let began = Instant::now();
    let judged = || {
        // Its bytes changed on the disk, which shows before anything is asked.
        let dropped = host.metric("modmesh_store_quarantined_total", &[]);
        let shared = ["mod", "zip"].map(|extension| stored(&host, &hello(), extension));
        dropped >= 1.0 && shared.iter().all(|path| path.exists())
    };
    while !judged() {
        assert!(began.elapsed() < JUDGED_WITHIN, "{}", host.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    host.wait_until("nothing is apart", |host| {
        let apart = host.state().join("apart").join(hello().url_path("zip"));
        !apart.exists() && host.status()["notices"] == serde_json::json!([])
    });
    // How it came is still told, and that it was judged twice.
    let zip = host.explain_file("example.com/hello@v1.0.0", "zip");
    let steps = zip["last_fetch"]["steps"].as_array().unwrap();
    let judged = steps.iter().filter(|step| step["step"] == "judge");
    let scopes: Vec<_> = judged.map(|step| step["scope"].clone()).collect();
    assert_eq!(scopes, ["pending", "proven"], "{zip:#}");
    assert_eq!(zip["last_fetch"]["outcome"]["from"], "upstream", "{zip:#}");

    upstream.forget();
    let go = neighbour.go(&upstream.sumdb());
    go.download("example.com/hello@v1.0.0").expect_success();
    assert_eq!(upstream.traffic_of("*.zip").requests, 0);

    // The damaged one was dropped, and comes anew.
    let zip = host.get(&damaged.url_path("zip"));
    assert_eq!(zip.header("x-modmesh-source"), "upstream");
    assert_eq!(zip.expect_body(), damaged.zip());
    assert!(stored(&host, &damaged, "zip").exists());
}

#[test]
fn files_that_cannot_be_judged_stop_no_other() {
    let internal = |number: usize| {
        Module::package(&format!("internal.example/m{number}"), "v1.0.0").bulk("noise.bin", 1000)
    };
    let mut modules: Vec<Module> = (0..4).map(internal).collect();
    modules.push(hello());
    let upstream = FakeUpstream::start(modules.clone());
    let host = without_database(&upstream, &modules);
    upstream.heal();
    // The proxy's word is not the database's, and that is out of reach.
    upstream.fault(
        "sumdb/*/lookup/internal.example/*",
        Fault::status(404, "not found"),
    );
    let began = Instant::now();
    while !stored(&host, &hello(), "zip").exists() {
        assert!(began.elapsed() < JUDGED_WITHIN, "{}", host.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!stored(&host, &internal(0), "zip").exists());
}

#[test]
fn a_file_that_the_database_contradicts_later_is_never_shared() {
    let module = hello();
    let forged = module.clone().file("evil.go", "package hello\n");
    let upstream = FakeUpstream::start([module.clone()]);
    for extension in ["mod", "zip"] {
        let bytes = match extension {
            "zip" => forged.zip(),
            _ => forged.go_mod(),
        };
        upstream.put(&module.url_path(extension), bytes);
    }
    let host = without_database(&upstream, std::slice::from_ref(&module));
    upstream.heal();
    // Asked as soon as it can be, the record is there long before the file is judged again.
    let lookup = "sumdb/sumdb.example.test/lookup/example.com/hello@v1.0.0";
    host.wait_until("the database is asked again", |host| {
        host.get(lookup).status == 200
    });
    let neighbour = neighbour_of(&host, &upstream);
    assert_eq!(neighbour.get(&module.url_path("zip")).status, 404);
    assert!(!stored(&host, &module, "zip").exists());
    let go = host.go(&upstream.sumdb());
    let output = go.download("example.com/hello@v1.0.0").expect_failure();
    assert!(format!("{output}").contains("SECURITY ERROR"), "{output}");
}
