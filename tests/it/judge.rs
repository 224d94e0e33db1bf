//! Go's own client of the checksum database judges the mirror: whatever was looked up before is proved to it offline, in
//! whatever state it is.
//!
//! Run with `MODMESH_JUDGE=1`, as `.ci/run judge` does; without it these tests say that they were not run, and pass.

use std::collections::BTreeMap;
use std::path::PathBuf;

use harness::{FakeUpstream, HeadPolicy, HostOptions, Judge, SumdbClient, TestHost};
use tempfile::TempDir;

use crate::scene::online;

/// How many records the log has when it is asked: beside multiples of 256 and of 65,536, and in between.
const SIZES: [u64; 8] = [250, 257, 700, 5_000, 20_011, 65_537, 70_000, 100_000];
/// Lookups made at each size.
const LOOKUPS_EACH: u64 = 45;
/// The size that only a neighbour learns of.
const SIZE_ELSEWHERE: u64 = 100_300;

/// A client that was there when the log had a certain size.
struct Holder {
    latest: String,
    cache: PathBuf,
}

/// All that was asked while the upstream was there.
struct Past {
    judge: Judge,
    key: String,
    folder: TempDir,
    lookups: Vec<String>,
    holders: Vec<Holder>,
    /// Every head that was served, by its note.
    heads: BTreeMap<u64, String>,
}

fn filler(id: u64) -> String {
    format!("filler.example/m{id}@v1.0.0")
}

fn size_of(note: &str) -> u64 {
    note.lines().nth(1).unwrap().parse().unwrap()
}

/// Records spread over the whole log, those added last and the very last among them.
fn spread(size: u64, before: u64) -> impl Iterator<Item = u64> {
    let old = (1..=LOOKUPS_EACH / 3).map(move |n| n * before / (LOOKUPS_EACH / 3 + 1));
    let count = LOOKUPS_EACH - LOOKUPS_EACH / 3;
    let new = (1..=count).map(move |n| before + n * (size - before) / count - 1);
    old.chain(new)
}

impl Past {
    fn client(&self, host: &TestHost) -> SumdbClient {
        let name = self.key.split('+').next().unwrap();
        SumdbClient {
            url: format!("{}/sumdb/{name}", host.url()),
            key: self.key.clone(),
            each: true,
            ..SumdbClient::default()
        }
    }

    /// One client that begins with nothing and looks these up through the host, in their order.
    #[track_caller]
    fn look_up(&mut self, host: &TestHost, lookups: Vec<String>) {
        let cache = self.folder.path().join(self.holders.len().to_string());
        let client = SumdbClient {
            cache: cache.clone(),
            each: false,
            lookups: lookups.clone(),
            ..self.client(host)
        };
        let judged = self.judge.judge(&[client]).remove(0);
        for (of, judgement) in lookups.iter().zip(&judged) {
            assert_eq!(judgement.error, "", "{of}");
            assert_eq!(judgement.lines.len(), 2, "{of}");
            let latest = judgement.latest.clone();
            self.heads.insert(size_of(&latest), latest);
        }
        let latest = judged.last().unwrap().latest.clone();
        self.holders.push(Holder { latest, cache });
        self.lookups.extend(lookups);
    }

    /// Every lookup again: by clients that begin with nothing, with each older head, with the tiles that belong to it and
    /// without. And a few lookups with every head that was ever served.
    // The counts are what docs/conformance.md tells of.
    #[allow(clippy::print_stdout)]
    #[track_caller]
    fn expect_all_content(&self, what: &str, host: &TestHost) {
        let mut clients = vec![(
            "fresh".to_owned(),
            SumdbClient {
                lookups: self.lookups.clone(),
                ..self.client(host)
            },
        )];
        for holder in &self.holders {
            for cache in [holder.cache.clone(), PathBuf::new()] {
                let tiles = if cache.as_os_str().is_empty() {
                    "without"
                } else {
                    "with"
                };
                let client = SumdbClient {
                    latest: holder.latest.clone(),
                    cache,
                    lookups: self.lookups.clone(),
                    ..self.client(host)
                };
                let name = format!("holds {}, {tiles} tiles", size_of(&holder.latest));
                clients.push((name, client));
            }
        }
        let few: Vec<String> = self.lookups.iter().step_by(100).cloned().collect();
        for (size, note) in &self.heads {
            let client = SumdbClient {
                latest: note.clone(),
                lookups: few.clone(),
                ..self.client(host)
            };
            clients.push((format!("holds {size}, without tiles"), client));
        }
        let (names, clients): (Vec<_>, Vec<_>) = clients.into_iter().unzip();
        let discontent = self.judge.discontent(&clients);
        let lookups: usize = clients.iter().map(|client| client.lookups.len()).sum();
        let shown: Vec<_> = discontent
            .iter()
            .take(10)
            .map(|((number, of), what)| format!("{}, {of}: {what}", names[*number]))
            .collect();
        assert!(
            discontent.is_empty(),
            "{what}: {} of {lookups} lookups failed: {shown:#?}",
            discontent.len()
        );
        println!(
            "{what}: {lookups} lookups by {} kinds of clients, all proved",
            clients.len()
        );
    }
}

#[test]
fn whatever_was_looked_up_is_proved_offline_to_every_client() {
    let Some(judge) = Judge::asked_for() else {
        return;
    };
    let upstream = FakeUpstream::start([]);
    // Every lookup comes with another head, most of them old, as those of a cached database do.
    upstream.send_heads(HeadPolicy::Cached(7));
    let mut first = online("A", &upstream).start();
    let mut past = Past {
        judge,
        key: upstream.sumdb(),
        folder: tempfile::tempdir().unwrap(),
        lookups: Vec::new(),
        holders: Vec::new(),
        heads: BTreeMap::new(),
    };
    let mut before = 0;
    for size in SIZES {
        upstream.log(|log| log.pad_to(size));
        let lookups = spread(size, before).map(filler).collect();
        past.look_up(&first, lookups);
        before = size;
    }
    assert!(past.lookups.len() >= 300);
    assert!(past.heads.len() >= 200, "{}", past.heads.len());
    assert_eq!(past.heads.keys().last(), Some(&100_000));

    upstream.close();
    past.expect_all_content("offline", &first);
    first.restart();
    past.expect_all_content("offline after a restart", &first);

    // A host that was here goes elsewhere, its clients hold a larger head then, and they all come back.
    let mut traveller = HostOptions::new("B")
        .sumdb(&upstream.sumdb())
        .peer(&first.peer_address())
        .start();
    traveller.wait_until("it knows what is known here", |host| {
        host.status()["sumdb"][0]["tree_size"] == 100_000
    });
    let elsewhere = FakeUpstream::with_log(upstream.log(|log| log.clone()));
    elsewhere.log(|log| log.pad_to(SIZE_ELSEWHERE));
    traveller.restart_with(|_| online("B", &elsewhere));
    past.look_up(&traveller, vec![filler(SIZE_ELSEWHERE - 1)]);
    elsewhere.close();
    first.restart_with(|options| options.peer(&traveller.peer_address()));
    first.wait_for_neighbours(1);
    past.expect_all_content(
        "offline, beside a neighbour that knows a larger head",
        &first,
    );
    drop(traveller);
    first.restart();
    past.expect_all_content("alone with the larger head, after a restart", &first);

    let mut second = HostOptions::new("C")
        .sumdb(&upstream.sumdb())
        .peer(&first.peer_address())
        .start();
    second.wait_for_neighbours(1);
    past.expect_all_content("a second host, with the first as its neighbour", &second);
    first.kill();
    second.restart();
    past.expect_all_content("the second host alone", &second);
}
