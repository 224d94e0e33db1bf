//! A checksum database whose key was changed under the same name: what the old key proved is not believed any more.

use harness::{FakeUpstream, Module, TestLog};

use crate::scene::{hello, neighbour_of, online, stored};

#[test]
fn what_another_key_of_the_same_name_proved_is_set_aside_and_judged_anew() {
    let forged = hello().file("forged.go", "package hello\n");
    let mut old = TestLog::new("sumdb.example.test");
    old.append(&forged);
    old.pad_to(300);
    let upstream = FakeUpstream::with_log(old.clone());
    upstream.publish(&forged);
    let mut host = online("A", &upstream).start();
    host.get(&forged.url_path("zip")).expect_body();
    host.get(&forged.url_path("mod")).expect_body();
    assert!(stored(&host, &forged, "zip").exists());
    let tile = format!("sumdb/{}/tile/8/0/000", old.name());
    assert_eq!(host.get(&tile).expect_body(), old.tile(0, 0, 256).unwrap());

    // The key was compromised; the database has a new one, and the true record.
    let after = Module::package("example.com/after", "v1.0.0");
    let mut new = TestLog::with_seed(old.name(), "a new key");
    new.append(&after);
    new.pad_to(400);
    let id = new.append(&hello());
    upstream.log(|log| *log = new.clone());
    upstream.publish(&after);
    upstream.publish(&hello());
    let sumdb = upstream.sumdb();
    host.restart_with(|options| options.only_sumdb(&sumdb));
    host.wait_for_line("SECURITY");
    // A first new head must not bring the old records to life again.
    host.get(&after.url_path("mod")).expect_body();
    let lookup = format!("sumdb/{}/lookup/example.com/hello@v1.0.0", new.name());
    let record = host.get(&lookup).expect_body();
    let expected = new.lookup("example.com/hello", "v1.0.0", new.size());
    assert_eq!(String::from_utf8(record).ok(), expected, "record {id}");
    assert_eq!(host.get(&tile).expect_body(), new.tile(0, 0, 256).unwrap());

    // The file is for this host alone until it is judged, and no neighbour gets it.
    assert!(!stored(&host, &forged, "zip").exists());
    let apart = host.state().join("apart").join(forged.url_path("zip"));
    assert!(apart.exists());
    let neighbour = neighbour_of(&host, &upstream);
    assert_ne!(neighbour.get(&forged.url_path("zip")).status, 200);
    let aside = host.state().join("sumdb-of-other-keys");
    assert_eq!(std::fs::read_dir(aside).unwrap().count(), 1);
}
