//! Old clients behind this host: those that fall for the three attacks of 2026 when the liar is their proxy never see a
//! forged line when this host is, and the liar is named.
//!
//! Each attack is first shown to succeed without this host, else the rest would show nothing. The clients are golang.org/x/mod
//! before v0.40.0, for CVE-2026-56864 and CVE-2026-56865, and the real go 1.26.2 for these two and CVE-2026-42501, which was
//! in the go command itself. Run with `MODMESH_JUDGE=1`, as `.ci/run judge` does; without it these tests say that they were not
//! run, and pass.

use std::path::PathBuf;
use std::process::Command;

use harness::{
    FakeUpstream, Fault, GoHome, HostOptions, Judge, Judgement, LyingPeer, Module, PeerLie,
    SumdbClient, TestHost, TestLog,
};

use crate::scene::online;

/// The last go command that has all three faults.
const OLD_GO: &str = "go1.26.2";
const RECORDS: u64 = 70_000;
/// The record of the module, in a tile that is full and not on the edge.
const ID: u64 = 700;

/// What an upstream says about the record of a module of which it serves forged files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// CVE-2026-42501: the record of another module.
    OtherRecord,
    /// CVE-2026-56864: the same, and a head that goes on with lines of go.sum, signed by the database.
    Lines,
    /// CVE-2026-56865: a forged record, and the tile that holds it made to fit.
    Tile,
    /// A forged record alone.
    Record,
    /// A forged record and everything made to fit, the head signed by a stranger.
    Head,
    /// The record under a head that ends before it.
    OldHead,
    /// Tiles of another width than was asked for.
    TileWidth,
    /// Nothing, with status 200.
    Empty,
    /// A web page, with status 200.
    WebPage,
    /// That there is no such record.
    NotFound,
    /// The lookup is redirected to somebody who forges it.
    RedirectedLookup,
    /// As `Record`, and the tiles are redirected to somebody who forges them.
    RedirectedTile,
}

impl Lie {
    const ATTACKS: [Self; 3] = [Self::OtherRecord, Self::Lines, Self::Tile];
    const ALL: [Self; 12] = [
        Self::OtherRecord,
        Self::Lines,
        Self::Tile,
        Self::Record,
        Self::Head,
        Self::OldHead,
        Self::TileWidth,
        Self::Empty,
        Self::WebPage,
        Self::NotFound,
        Self::RedirectedLookup,
        Self::RedirectedTile,
    ];

    /// Whether what it says is shown to be false. Else it is only no answer, and accidents look like that, too.
    fn is_proved(self) -> bool {
        !matches!(
            self,
            Self::TileWidth | Self::Empty | Self::WebPage | Self::NotFound
        )
    }
}

struct World {
    log: TestLog,
    forged_log: TestLog,
    module: Module,
    evil: Module,
}

/// An upstream that lies, and whom it may send others to.
struct Liar {
    upstream: FakeUpstream,
    _accomplice: FakeUpstream,
}

impl World {
    fn new() -> Self {
        let module = Module::package("example.com/hello", "v1.0.0");
        let evil = module.clone().file("evil.go", "package hello\n");
        let mut log = TestLog::new("sumdb.example.test");
        log.pad_to(ID);
        log.append(&module);
        log.pad_to(RECORDS);
        let forged_log = log.with_record_replaced(ID, &forged_record(&module, &evil));
        Self {
            log,
            forged_log,
            module,
            evil,
        }
    }

    fn liar(&self, lie: Lie) -> Liar {
        const LOOKUPS: &str = "sumdb/*/lookup/*";
        const TILES: &str = "sumdb/*/tile/*";
        let (log, forged) = (&self.log, &self.forged_log);
        let upstream = FakeUpstream::with_log(log.clone());
        let accomplice = FakeUpstream::with_log(forged.clone());
        upstream.publish(&self.module);
        for (extension, bytes) in [
            ("info", self.evil.info()),
            ("mod", self.evil.go_mod()),
            ("zip", self.evil.zip()),
        ] {
            upstream.put(&self.module.url_path(extension), bytes);
        }
        let answer = |id: u64, record: &str, head: &str| format!("{id}\n{record}\n{head}");
        let forged_record = forged.record(ID);
        let forged_lookup = answer(ID, forged_record, &log.head(RECORDS));
        let strange_lookup = answer(ID, forged_record, &forged.forged_head(RECORDS));
        match lie {
            Lie::OtherRecord => {
                let other = answer(0, log.record(0), &log.head(RECORDS));
                upstream.fault(LOOKUPS, Fault::body(other));
            }
            Lie::Lines => {
                let head = log.head_with_forged_lines(RECORDS, forged_record);
                upstream.fault(LOOKUPS, Fault::body(answer(0, log.record(0), &head)));
            }
            Lie::Tile => {
                upstream.fault(LOOKUPS, Fault::body(forged_lookup));
                let tile = forged.tile(0, ID / 256, 256).unwrap();
                upstream.fault("sumdb/*/tile/8/0/002", Fault::body(tile));
            }
            Lie::Record => upstream.fault(LOOKUPS, Fault::body(forged_lookup)),
            Lie::Head => {
                upstream.log(|log| *log = forged.clone());
                upstream.fault(LOOKUPS, Fault::body(strange_lookup));
            }
            Lie::OldHead => {
                let old = answer(ID, forged_record, &log.head(ID - 50));
                upstream.fault(LOOKUPS, Fault::body(old));
            }
            Lie::TileWidth => {
                upstream.fault(LOOKUPS, Fault::body(forged_lookup));
                let tile = forged.tile(0, ID / 256, 255).unwrap();
                upstream.fault(TILES, Fault::body(tile));
            }
            Lie::Empty => upstream.fault("sumdb/*/lookup/*", Fault::body("")),
            Lie::WebPage => upstream.fault(LOOKUPS, Fault::html()),
            Lie::NotFound => upstream.fault(LOOKUPS, Fault::status(404, "not found")),
            Lie::RedirectedLookup => {
                accomplice.fault(LOOKUPS, Fault::body(strange_lookup));
                let name = log.name();
                let there = format!("sumdb/{name}/lookup/example.com/hello@v1.0.0");
                let there = format!("{}/{there}", accomplice.url());
                upstream.fault(LOOKUPS, Fault::Redirect(there));
            }
            Lie::RedirectedTile => {
                upstream.fault(LOOKUPS, Fault::body(forged_lookup));
                let tile = format!("sumdb/{}/tile/8/0/002", log.name());
                let there = format!("{}/{tile}", accomplice.url());
                upstream.fault(&tile, Fault::Redirect(there));
            }
        }
        Liar {
            upstream,
            _accomplice: accomplice,
        }
    }

    /// What an old client makes of a lookup of the module at this proxy, with no head, an older one, and the current one.
    fn old_client(&self, judge: &Judge, proxy: &str) -> Vec<Judgement> {
        let latest = [
            String::new(),
            self.log.head(650),
            self.log.head(66_000),
            self.log.head(RECORDS),
        ];
        let clients: Vec<_> = latest
            .into_iter()
            .map(|latest| SumdbClient {
                url: format!("{proxy}/sumdb/{}", self.log.name()),
                key: self.log.verifier_key(),
                latest,
                each: true,
                lookups: vec!["example.com/hello@v1.0.0".to_owned()],
                ..SumdbClient::default()
            })
            .collect();
        judge.judge(&clients).into_iter().flatten().collect()
    }

    fn is_forged(&self, lines: &[String]) -> bool {
        lines
            .iter()
            .any(|line| line.contains(&self.evil.h1().to_string()))
    }

    /// Whether a `go` that downloads the module from this proxy takes the forged zip for the true one.
    fn fools(&self, go: GoHome) -> bool {
        let output = go.download("example.com/hello@v1.0.0");
        let zip = go.downloaded(&self.module.url_path("zip"));
        assert_eq!(output.status.success(), zip.is_some(), "{output}");
        zip == Some(self.evil.zip())
    }

    fn go(&self, proxy: &str) -> GoHome {
        GoHome::new(proxy, &self.log.verifier_key())
    }
}

/// A record in the name of `module` with the sums of `evil`.
fn forged_record(module: &Module, evil: &Module) -> String {
    let (path, version) = (module.path(), module.version());
    let (zip, go_mod) = (evil.h1(), evil.go_mod_h1());
    format!("{path} {version} {zip}\n{path} {version}/go.mod {go_mod}\n")
}

/// Where the old go command is installed; the present one gets it, as it gets every toolchain.
fn old_go() -> PathBuf {
    let found = Command::new("go")
        .args(["env", "GOROOT"])
        .env("GOTOOLCHAIN", OLD_GO)
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(
        found.status.success(),
        "{OLD_GO} is not to be had: {errors}"
    );
    PathBuf::from(String::from_utf8(found.stdout).unwrap().trim())
}

/// That the host says who lied: of a proved lie that it is one, else at least who gave no answer.
#[track_caller]
fn expect_named(host: &TestHost, liar: &FakeUpstream, is_proved: bool) {
    let notices = &host.status()["notices"];
    let said: Vec<String> = match is_proved {
        true => host
            .logged()
            .into_iter()
            .filter(|line| line.contains("a false part of the checksum database"))
            .collect(),
        false => {
            let notices = notices.as_array().unwrap().iter();
            notices
                .map(ToString::to_string)
                .chain(host.logged())
                .collect()
        }
    };
    let is_named = said.iter().any(|line| line.contains(&liar.url()));
    assert!(is_named, "{said:#?}");
    let failures = host.metric(
        "modmesh_verification_failures_total",
        &[("from", "upstream")],
    );
    assert_eq!(failures >= 1.0, is_proved, "{failures}");
}

#[test]
fn the_three_attacks_fool_old_clients_whose_proxy_is_the_liar_and_not_new_ones() {
    let Some(old) = Judge::vulnerable() else {
        return;
    };
    let (new, world, old_go) = (Judge::asked_for().unwrap(), World::new(), old_go());
    for lie in Lie::ATTACKS {
        let liar = world.liar(lie);
        let proxy = liar.upstream.url();
        let old_lines = world.old_client(&old, &proxy);
        // The fault behind CVE-2026-42501 is not in the client but in what cmd/go makes of an answer without lines.
        let is_fooled = |judged: &Judgement| match lie {
            Lie::OtherRecord => judged.error.is_empty() && judged.lines.is_empty(),
            _ => world.is_forged(&judged.lines),
        };
        assert!(old_lines.iter().any(is_fooled), "{lie:?}: {old_lines:#?}");
        let new_lines = world.old_client(&new, &proxy);
        let is_forged = |judged: &Judgement| world.is_forged(&judged.lines);
        assert!(!new_lines.iter().any(is_forged), "{lie:?}: {new_lines:#?}");
        assert!(
            world.fools(world.go(&proxy).installed_in(&old_go)),
            "{lie:?}"
        );
        assert!(!world.fools(world.go(&proxy)), "{lie:?}");
    }
}

#[test]
fn behind_this_host_old_clients_see_no_forged_line_of_an_upstream_and_it_is_named() {
    let Some(old) = Judge::vulnerable() else {
        return;
    };
    let (world, old_go) = (World::new(), old_go());
    for lie in Lie::ALL {
        let liar = world.liar(lie);
        let host = online("A", &liar.upstream).start();
        for judged in world.old_client(&old, &host.url()) {
            assert_ne!(judged.error, "", "{lie:?}: {judged:#?}");
            assert_eq!(judged.lines, Vec::<String>::new(), "{lie:?}");
        }
        let go = world.go(&host.url()).installed_in(&old_go);
        assert!(!world.fools(go), "{lie:?}");
        expect_named(&host, &liar.upstream, lie.is_proved());
        // Above all it is not private now.
        let scope = &host.explain_file("example.com/hello@v1.0.0", "zip")["here"]["scope"];
        assert!(*scope != "unlisted", "{lie:?}: {scope}");
    }
}

#[test]
fn behind_this_host_old_clients_get_the_truth_from_a_neighbour_while_the_upstream_lies() {
    let Some(old) = Judge::vulnerable() else {
        return;
    };
    let (world, old_go) = (World::new(), old_go());
    let modules = std::slice::from_ref(&world.module);
    let honest = LyingPeer::start(modules, &world.log, PeerLie::None);
    for lie in Lie::ALL {
        let liar = world.liar(lie);
        let host = online("A", &liar.upstream)
            .peer(&honest.peer_address())
            .start();
        host.wait_for_neighbours(1);
        for judged in world.old_client(&old, &host.url()) {
            assert_eq!(judged.error, "", "{lie:?}: {judged:#?}");
            let lines = world.log.record(ID).lines();
            assert_eq!(judged.lines, lines.collect::<Vec<_>>(), "{lie:?}");
        }
        let go = world.go(&host.url()).installed_in(&old_go);
        go.download("example.com/hello@v1.0.0").expect_success();
        let zip = go.downloaded(&world.module.url_path("zip"));
        assert_eq!(zip, Some(world.module.zip()), "{lie:?}");
    }
}

#[test]
fn behind_this_host_old_clients_see_no_forged_line_of_a_neighbour_and_it_is_named() {
    let Some(old) = Judge::vulnerable() else {
        return;
    };
    let (world, old_go) = (World::new(), old_go());
    let modules = std::slice::from_ref(&world.module);
    for lie in PeerLie::all() {
        let liar = LyingPeer::start(modules, &world.log, lie);
        let host = HostOptions::new("B")
            .sumdb(&world.log.verifier_key())
            .peer(&liar.peer_address())
            .start();
        host.wait_until("it has met the liar", |host| {
            let peers = host.peers();
            peers[0]["connected"] == true || !peers[0]["banned_until"].is_null()
        });
        let truth: Vec<_> = world.log.record(ID).lines().collect();
        for judged in world.old_client(&old, &host.url()) {
            assert!(
                judged.lines.is_empty() || judged.lines == truth,
                "{lie:?}: {judged:#?}"
            );
        }
        let go = world.go(&host.url()).installed_in(&old_go);
        let output = go.download("example.com/hello@v1.0.0");
        assert!(!output.status.success(), "{lie:?}: {output}");
        let entry = &host.peers()[0];
        assert_eq!(entry["peer_id"], liar.peer_id(), "{lie:?}: {entry:#}");
        assert!(!entry["banned_until"].is_null(), "{lie:?}: {entry:#}");
    }
}

#[test]
fn a_head_that_goes_on_with_lines_of_go_sum_is_not_handed_on_with_the_records_that_are_here() {
    let Some(old) = Judge::vulnerable() else {
        return;
    };
    let world = World::new();
    let upstream = FakeUpstream::with_log(world.log.clone());
    let host = online("A", &upstream).start();
    let lookup = |of: &str| host.get(&format!("sumdb/{}/lookup/{of}", world.log.name()));
    lookup("example.com/hello@v1.0.0").expect_body();
    // The record is true, and so is the tree of the larger head that comes with it.
    upstream.log(|log| log.pad_to(RECORDS + 10));
    let lines = world.forged_log.record(ID);
    let body = upstream.log(|log| {
        let head = log.head_with_forged_lines(RECORDS + 10, lines);
        format!("{RECORDS}\n{}\n{head}", log.record(RECORDS))
    });
    upstream.fault("sumdb/*/lookup/filler*", Fault::body(body));
    let answer = lookup(&format!("filler.example/m{RECORDS}@v1.0.0"));
    for judged in world.old_client(&old, &host.url()) {
        assert_eq!(judged.error, "", "{judged:#?}");
        let lines = world.log.record(ID).lines();
        assert_eq!(judged.lines, lines.collect::<Vec<_>>());
    }
    assert_ne!(answer.status, 200);
    expect_named(&host, &upstream, true);
}

#[test]
fn a_wider_tile_that_does_not_begin_as_the_narrower_one_is_a_lie() {
    let Some(old) = Judge::vulnerable() else {
        return;
    };
    let world = World::new();
    // What is known first ends in the middle of a tile.
    let upstream = FakeUpstream::with_log(world.log.fork_at(69_900));
    let host = online("A", &upstream).start();
    let lookup = |of: &str| host.get(&format!("sumdb/{}/lookup/{of}", world.log.name()));
    lookup("example.com/hello@v1.0.0").expect_body();
    upstream.log(|log| *log = world.log.clone());
    let width = TestLog::tile_width(0, 273, RECORDS);
    let conflicting = world.log.forged_tile(0, 273, width, 0).unwrap();
    upstream.fault("sumdb/*/tile/8/0/273*", Fault::body(conflicting));
    let answer = lookup("filler.example/m69990@v1.0.0");
    assert_ne!(answer.status, 200);
    host.wait_for_line("false part of the checksum database");
    expect_named(&host, &upstream, true);
    // What was known goes on being proved, whatever head an old client comes with.
    for judged in world.old_client(&old, &host.url()) {
        if judged.error.is_empty() {
            let lines = world.log.record(ID).lines();
            assert_eq!(judged.lines, lines.collect::<Vec<_>>());
        }
        assert!(!world.is_forged(&judged.lines), "{judged:#?}");
    }
}
