//! Versions that neighbours show: what proves itself is kept, and no more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::future::join_all;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::limits::VERSIONS_RECORDS_MAX;
use modmesh_protocol::log::Record;
use modmesh_protocol::module::{ModuleVersion, Version};

use super::super::finding::Authority;
use super::super::mirror::Mirror;
use super::world::{Around, Fake, Log, Manner, Shown, key, many, mirror, module};

fn records(log: &Log, ids: impl IntoIterator<Item = u64>) -> Vec<Record> {
    let record = |id| Record::new(id, log.record(id)).unwrap();
    ids.into_iter().map(record).collect()
}

fn around(shown: impl IntoIterator<Item = Shown>) -> Arc<Around> {
    let around = Around::default();
    around.shown.lock().unwrap().extend(shown);
    Arc::new(around)
}

async fn versions(mirror: &Mirror) -> Vec<String> {
    mirror.ask_for_versions(&many()).await;
    let versions = mirror.proved_versions(&many());
    versions.iter().map(Version::to_string).collect()
}

fn names(ids: impl IntoIterator<Item = u64>) -> Vec<String> {
    ids.into_iter().map(|id| format!("v1.{id}.0")).collect()
}

#[tokio::test]
async fn what_neighbours_show_is_proved_kept_and_added_up() {
    let log = Log::with_many(4000, 250);
    let one = Fake::start("one", &log, 4000, Manner::Honest);
    // Its head is older, and says the same.
    let other = Fake::start("other", &log, 3999, Manner::Honest);
    let shown = [
        Shown {
            by: one.clone(),
            records: records(&log, [250, 1300, 2300, 3999]),
        },
        Shown {
            by: other.clone(),
            records: records(&log, [251, 1300]),
        },
    ];
    let state = tempfile::tempdir().unwrap();
    let around = around(shown);
    let mirror = mirror(state.path(), &around);
    assert_eq!(versions(&mirror).await, names([250, 251, 1300, 2300, 3999]));
    assert_eq!(mirror.head().unwrap().size(), 4000);
    assert!(!one.is_blamed() && !other.is_blamed());
    // Once for the head with the first record, once for all others together.
    assert_eq!(one.asked(), 2);
    drop(mirror);
    let mirror = super::world::mirror(state.path(), &Arc::default());
    assert_eq!(versions(&mirror).await, names([250, 251, 1300, 2300, 3999]));
}

#[tokio::test]
async fn a_hundred_questions_for_one_module_are_one_question_to_the_neighbours() {
    let log = Log::with_many(400, 250);
    let by = Fake::start("one", &log, 400, Manner::Honest);
    let records = records(&log, 250..260);
    let around = around([Shown { by, records }]);
    let state = tempfile::tempdir().unwrap();
    let mirror = mirror(state.path(), &around);
    join_all((0..100).map(|_| versions(&mirror))).await;
    versions(&mirror).await;
    assert_eq!(around.versions_asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn that_nobody_was_there_is_not_remembered() {
    let log = Log::with_many(400, 250);
    let around = around([]);
    let state = tempfile::tempdir().unwrap();
    let mirror = mirror(state.path(), &around);
    assert_eq!(versions(&mirror).await, names([]));
    let by = Fake::start("one", &log, 400, Manner::Honest);
    let records = records(&log, [250]);
    around.shown.lock().unwrap().push(Shown { by, records });
    assert_eq!(versions(&mirror).await, names([250]));
}

#[tokio::test]
async fn of_a_liar_nothing_false_is_kept_and_it_is_named_and_another_is_believed() {
    let (log, fork) = (Log::with_many(400, 250), Log::forked(400, 250));
    let true_records = || records(&log, 250..253);
    let with = |record: Record| {
        let mut records = true_records();
        records.push(record);
        records
    };
    let change = |id: u64, text: String| Record { id, text };
    let another = change(254, log.record(253));
    let mut stranger = records(&log, [254]);
    stranger[0].text = stranger[0]
        .text
        .replace("example.com/many", "example.com/few");
    let lies: Vec<(&str, Vec<Record>, Manner)> = vec![
        (
            "another module's",
            with(records(&log, [7]).remove(0)),
            Manner::Honest,
        ),
        ("about a stranger", with(stranger.remove(0)), Manner::Honest),
        (
            "the same twice",
            with(true_records().remove(0)),
            Manner::Honest,
        ),
        (
            "no lines of go.sum",
            with(change(254, "words\n".into())),
            Manner::Honest,
        ),
        ("at another number", with(another), Manner::Honest),
        (
            "beyond its head",
            with(change(400, log.record(253).replace("v1.253.0", "v1.400.0"))),
            Manner::Honest,
        ),
        (
            "a forged sum",
            with(change(
                253,
                fork.record(253)
                    .replace("example.com/m253 v1.0.0", "example.com/many v1.253.0"),
            )),
            Manner::Honest,
        ),
        ("forged tiles", true_records(), Manner::Forged),
    ];
    for (lie, shown, manner) in lies {
        let liar = Fake::start("liar", &log, 400, manner);
        let honest = Fake::start("honest", &log, 400, Manner::Honest);
        let around = around([
            Shown {
                by: liar.clone(),
                records: shown,
            },
            Shown {
                by: honest.clone(),
                records: records(&log, [260]),
            },
        ]);
        let state = tempfile::tempdir().unwrap();
        let mirror = mirror(state.path(), &around);
        let versions = versions(&mirror).await;
        let true_ones = names((250..253).chain([260]));
        assert!(
            versions.iter().all(|version| true_ones.contains(version)),
            "{lie}: {versions:?}"
        );
        assert!(
            versions.contains(&"v1.260.0".to_owned()),
            "{lie}: {versions:?}"
        );
        assert!(liar.is_blamed(), "{lie}");
        assert!(!honest.is_blamed(), "{lie}");
        for id in [7, 253, 254] {
            assert!(
                mirror
                    .kept_record_of(KeyHash::of_record(key().name(), &module(id)))
                    .is_none(),
                "{lie}"
            );
        }
    }
}

#[tokio::test]
async fn a_silent_neighbour_costs_its_silence_and_the_next_is_asked() {
    let log = Log::with_many(400, 250);
    let around = around([
        Shown {
            by: Fake::start("silent", &log, 400, Manner::Silent),
            records: records(&log, 250..300),
        },
        Shown {
            by: Fake::start("honest", &log, 400, Manner::Honest),
            records: records(&log, 250..300),
        },
    ]);
    let state = tempfile::tempdir().unwrap();
    let mirror = mirror(state.path(), &around);
    let began = Instant::now();
    let versions = versions(&mirror).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(versions.len(), 50);
}

#[tokio::test]
async fn who_is_silent_about_the_tiles_of_one_record_is_not_asked_for_those_of_the_next() {
    let log = Log::with_many(400, 250);
    let silent = Fake::start("silent", &log, 400, Manner::Silent);
    let around = around([Shown {
        by: silent.clone(),
        records: records(&log, 250..300),
    }]);
    let state = tempfile::tempdir().unwrap();
    let mirror = mirror(state.path(), &around);
    assert_eq!(versions(&mirror).await, names([]));
    assert_eq!(silent.asked(), 1);
}

#[tokio::test]
async fn of_many_versions_the_highest_are_shown() {
    let log = Log::with_many(600, 400);
    let by = Fake::start("one", &log, 600, Manner::Honest);
    let shown = |ids| Shown {
        by: by.clone(),
        records: records(&log, ids),
    };
    let around = around([shown(400..460), shown(460..520)]);
    let state = tempfile::tempdir().unwrap();
    let mirror = mirror(state.path(), &around);
    assert_eq!(versions(&mirror).await.len(), 120);
    let name = mirror.name();
    let key = KeyHash::of_versions(name, &many());
    let ids: Vec<_> = mirror
        .versions_to_show(key)
        .iter()
        .map(|record| record.id)
        .collect();
    let highest: Vec<_> = (400..520).rev().take(VERSIONS_RECORDS_MAX).collect();
    assert_eq!(ids, highest);
    let nothing = KeyHash::of_versions("sum.another.example", &many());
    assert!(mirror.versions_to_show(nothing).is_empty());
    let of = ModuleVersion::new(many(), Version::parse("v1.400.0").unwrap()).unwrap();
    let of = KeyHash::of_record(name, &of);
    assert!(mirror.kept_record_of(of).is_some());
}
