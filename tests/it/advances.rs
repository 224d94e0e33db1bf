//! Killed in the middle of advances of the tree head, a host proves to every client, offline, whatever it told before.
//!
//! `MODMESH_ROUNDS` sets the number of rounds; `.ci/run` takes 50. What clients need is worked out by the protocol crate,
//! and with `MODMESH_JUDGE` set also by Go's own client.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use harness::{FakeUpstream, Fault, HeadPolicy, Judge, Module, SumdbClient, TestHost};
use modmesh_protocol::log::{
    Goals, Record, SignedHead, Tile, TileCoordinate, VerifierKey, authenticate, tiles_needed,
};

use crate::scene::online;

const PATIENCE: Duration = Duration::from_secs(20);
/// Records that the log grows by in each round: more than a tile.
const GROWTH: u64 = 700;
/// Tiles come at this pace: a full one takes a tenth of a second.
const TILE_BYTES_PER_SECOND: u32 = 80_000;

fn rounds() -> u32 {
    std::env::var("MODMESH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(6)
}

/// What clients were told: they may ask for all of it again.
#[derive(Default)]
struct Told {
    records: Vec<String>,
    /// By size.
    heads: BTreeMap<u64, SignedHead>,
}

/// Gets tiles from a host, each once.
struct Shelf<'host> {
    host: &'host TestHost,
    database: &'host str,
    tiles: HashMap<String, Tile>,
}

impl Shelf<'_> {
    /// The tiles that a client with this head needs for these goals, at the widths at which it asks for them.
    #[track_caller]
    fn tiles(&mut self, head: &SignedHead, goals: &Goals) -> HashMap<(u8, u64), Tile> {
        let needed = tiles_needed(head.size(), goals).unwrap();
        let tiles = needed
            .into_iter()
            .map(|at| ((at.level, at.index), self.tile(at)));
        tiles.collect()
    }

    #[track_caller]
    fn tile(&mut self, at: TileCoordinate) -> Tile {
        let path = at.path();
        if let Some(tile) = self.tiles.get(&path) {
            return tile.clone();
        }
        let answer = self.host.get(&format!("sumdb/{}/{path}", self.database));
        let tile = Tile::new(at, answer.expect_body()).unwrap();
        self.tiles.insert(path, tile.clone());
        tile
    }
}

/// Every record is told and proved, under a head that continues every head that was told.
#[track_caller]
fn expect_whole(host: &TestHost, key: &VerifierKey, told: &Told) {
    let mut shelf = Shelf {
        host,
        database: key.name(),
        tiles: HashMap::new(),
    };
    let largest = told.heads.keys().last().copied().unwrap_or(0);
    for head in told.heads.values() {
        // Who holds it folds its edge first.
        let alone = Goals::default();
        let tiles = shelf.tiles(head, &alone);
        authenticate(head.head(), &alone, &tiles).unwrap();
    }
    let mut records = Vec::new();
    let mut current: Option<SignedHead> = None;
    for of in &told.records {
        let body = host.get(&format!("sumdb/{}/lookup/{of}", key.name()));
        let body = body.expect_body();
        let (record, note) = Record::parse_lookup(&body).unwrap();
        let head = SignedHead::open(note, key).unwrap();
        assert!(head.size() >= largest, "{} < {largest}", head.size());
        // Nobody else can be asked, so the head does not move.
        let same = current.get_or_insert_with(|| head.clone());
        assert_eq!(*same, head, "{of}");
        records.push(record);
    }
    let Some(current) = current else { return };
    let goals = Goals {
        records: records.iter().map(|record| record.id).collect(),
        heads: told.heads.keys().copied().collect(),
    };
    let tiles = shelf.tiles(&current, &goals);
    let proved = authenticate(current.head(), &goals, &tiles).unwrap();
    for record in &records {
        let leaf = proved.leaf(record.id);
        assert_eq!(leaf, Some(record.leaf_hash()), "{}", record.text);
    }
    for older in told.heads.values() {
        let root = proved.root_of(older.size());
        assert_eq!(root, Some(older.head().root), "{}", older.size());
    }
    // Its own look at everything finds nothing missing, either.
    let complaints: Vec<_> = host
        .logged()
        .into_iter()
        .filter(|line| line.contains("are not here") || line.contains("lacks its tiles"))
        .collect();
    assert_eq!(complaints, Vec::<String>::new());
}

/// The same, as Go's own client sees it: one that begins with nothing, and one with each head and no tiles.
#[track_caller]
fn expect_content(judge: &Judge, host: &TestHost, key: &VerifierKey, told: &Told) {
    let fresh = SumdbClient {
        url: format!("{}/sumdb/{}", host.url(), key.name()),
        key: key.to_string(),
        each: true,
        lookups: told.records.clone(),
        ..SumdbClient::default()
    };
    let holders = told.heads.values().map(|head| SumdbClient {
        latest: head.note().to_owned(),
        lookups: told.records.iter().step_by(20).cloned().collect(),
        ..fresh.clone()
    });
    let clients: Vec<_> = [fresh.clone()].into_iter().chain(holders).collect();
    let discontent = judge.discontent(&clients);
    assert!(discontent.is_empty(), "{discontent:#?}");
}

/// Looks all of them up at the same time, until `then` is done, and adds what was answered to what clients were told.
fn while_looked_up(
    host: &TestHost,
    key: &VerifierKey,
    records: &[String],
    told: &Mutex<Told>,
    then: impl FnOnce(&AtomicUsize),
) {
    let unanswered = AtomicUsize::new(records.len());
    thread::scope(|clients| {
        for of in records {
            let path = format!("sumdb/{}/lookup/{of}", key.name());
            let request = host.request(&path).within(PATIENCE);
            let unanswered = &unanswered;
            clients.spawn(move || {
                let answer = request.send().ok().filter(|answer| answer.status == 200);
                if let Some(answer) = answer {
                    let body = answer.expect_body();
                    let (_, note) = Record::parse_lookup(&body).unwrap();
                    let head = SignedHead::open(note, key).unwrap();
                    let mut told = told.lock().unwrap();
                    if !told.records.contains(of) {
                        told.records.push(of.clone());
                    }
                    told.heads.insert(head.size(), head);
                    unanswered.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
        then(&unanswered);
    });
}

#[test]
fn a_host_killed_while_its_tree_head_advances_proves_offline_whatever_it_told() {
    let judge = Judge::asked_for();
    let upstream = FakeUpstream::start([]);
    upstream.send_heads(HeadPolicy::Cached(7));
    let key = VerifierKey::parse(&upstream.sumdb()).unwrap();
    let options = online("A", &upstream);
    let mut host = options.clone().start();
    let told = Mutex::new(Told::default());
    let (mut size, mut killed_inside) = (0, 0);
    for round in 0..rounds() {
        let module = Module::package(&format!("example.com/m{round}"), "v1.0.0");
        upstream.publish(&module);
        upstream.log(|log| log.pad_to(size + GROWTH + u64::from(round) * 13));
        let grown = upstream.log(|log| log.size());
        let mut records = vec![format!("{}@v1.0.0", module.path())];
        records.extend([2, 4, 8].map(|part| {
            let id = size + 1 + (grown - size - 2) * part / 8;
            format!("filler.example/m{id}@v1.0.0")
        }));
        size = grown;
        upstream.forget();
        upstream.fault("sumdb/*/tile/*", Fault::Trickle(TILE_BYTES_PER_SECOND));
        // Killed at another point of the advances in each round.
        let bytes = u64::from(round % 10) * 4_000;
        while_looked_up(&host, &key, &records, &told, |unanswered| {
            upstream.wait_for("sumdb/*/tile/*", 1, PATIENCE);
            let is_enough = || upstream.traffic_of("sumdb/*/tile/*").bytes >= bytes;
            while unanswered.load(Ordering::SeqCst) > 0 && !is_enough() {
                thread::sleep(Duration::from_millis(1));
            }
            if unanswered.load(Ordering::SeqCst) > 0 {
                killed_inside += 1;
            }
            kill(&host);
        });
        upstream.heal();
        upstream.close();
        host.restart();
        {
            let told = told.lock().unwrap();
            expect_whole(&host, &key, &told);
            if let Some(judge) = &judge {
                expect_content(judge, &host, &key, &told);
            }
        }
        upstream.come_back();
        host.restart();
        // What was cut off is told now, so that more and more is to be proved.
        while_looked_up(&host, &key, &records, &told, |_| {});
        for extension in ["mod", "zip"] {
            host.get(&module.url_path(extension)).expect_body();
        }
    }
    assert!(killed_inside * 2 >= rounds(), "{killed_inside}");
    upstream.close();
    host.restart();
    expect_whole(&host, &key, &told.lock().unwrap());
    let go = host.go(&upstream.sumdb());
    go.download("example.com/m0@v1.0.0").expect_success();
}

/// Kills the process while others still hold the host; `restart` takes the remains away.
fn kill(host: &TestHost) {
    let status = std::process::Command::new("kill")
        .args(["-9", &host.pid().to_string()])
        .status();
    assert!(status.unwrap().success());
}
