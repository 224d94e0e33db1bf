//! A proxy that offers the checksum database and talks nonsense about it: the database itself is asked.

use harness::{Authority, FakeUpstream, Fault, HostOptions, Module, SecureDoor, TestHost, TestLog};

use crate::scene::{hello, stored};

/// A database on a port of its own, and a proxy that offers it.
struct World {
    log: TestLog,
    authority: Authority,
    database: FakeUpstream,
    _door: SecureDoor,
    proxy: FakeUpstream,
}

impl World {
    fn start() -> Self {
        let database = FakeUpstream::start([]);
        let authority = Authority::new("ours");
        let door = SecureDoor::start(database.address(), &authority, 2000..2100);
        let mut log = TestLog::new(door.url().trim_start_matches("https://"));
        log.append(&hello());
        log.pad_to(40);
        let lookup = log.lookup("example.com/hello", "v1.0.0", 40).unwrap();
        database.put("lookup/example.com/hello@v1.0.0", lookup.into_bytes());
        let tile = log.tile(0, 0, 40).unwrap();
        database.put("tile/8/0/000.p/40", tile);
        let proxy = FakeUpstream::with_log(log.clone());
        proxy.publish(&hello());
        Self {
            log,
            authority,
            database,
            _door: door,
            proxy,
        }
    }

    fn host(&self) -> TestHost {
        HostOptions::new("A")
            .upstream(&self.proxy.url())
            .sumdb(&self.log.verifier_key())
            .variable(
                "SSL_CERT_FILE",
                &self.authority.file().display().to_string(),
            )
            .start()
    }
}

#[test]
fn when_a_proxy_talks_nonsense_the_database_itself_is_asked_and_the_file_is_proven() {
    let world = World::start();
    let (log, lookups, tiles) = (&world.log, "sumdb/*/lookup/*", "sumdb/*/tile/*");
    let evil = Module::package("example.com/evil", "v1.0.0");
    let forged_record = log.forged_lookup(&hello(), &evil, 40);
    let forged_tile = log.forged_tile(0, 0, 40, 0).unwrap();
    let true_answer = log.lookup("example.com/hello", "v1.0.0", 40).unwrap();
    let forged_head = true_answer.replace(&log.head(40), &log.forged_head(40));
    for (what, path, fault, lies) in [
        ("web page", lookups, Fault::html(), 0.0),
        ("error", lookups, Fault::status(500, "broken"), 0.0),
        ("refusal", lookups, Fault::status(403, "no"), 0.0),
        ("nothing", lookups, Fault::status(404, "no"), 0.0),
        ("forged record", lookups, Fault::body(forged_record), 1.0),
        ("forged head", lookups, Fault::body(forged_head), 1.0),
        ("web page as tile", tiles, Fault::html(), 0.0),
        ("no tile", tiles, Fault::status(500, "broken"), 0.0),
        ("forged tile", tiles, Fault::body(forged_tile), 1.0),
    ] {
        world.proxy.heal();
        world.proxy.fault(path, fault);
        world.database.forget();
        let host = world.host();
        let zip = host.get(&hello().url_path("zip")).expect_body();
        assert_eq!(zip, hello().zip(), "{what}");
        assert!(stored(&host, &hello(), "zip").exists(), "{what}: proven");
        let from = [("from", "upstream")];
        let failures = host.metric("modmesh_verification_failures_total", &from);
        assert_eq!(failures, lies, "{what}");
        let asked = world.database.traffic_of("lookup/*").requests;
        assert!(asked <= 1, "{what}: {asked}");
        assert!(world.database.traffic_of_all().requests >= 1, "{what}");
    }
}

#[test]
fn when_a_proxy_cannot_be_reached_the_database_itself_is_not_asked() {
    let world = World::start();
    world.proxy.fault("sumdb/*", Fault::Drop);
    let host = world.host();
    host.get(&hello().url_path("mod")).expect_body();
    assert_eq!(host.metric("modmesh_pending_served_total", &[]), 1.0);
    assert_eq!(world.database.traffic_of_all().requests, 0);
}
