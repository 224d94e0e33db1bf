//! What nothing proves, among members: shared on a member's word, remembered, and taken back.

use std::fs;
use std::path::PathBuf;

use harness::{FakeUpstream, Fault, HostOptions, LyingPeer, Module, PeerLie, TestHost, ZipLie};

use crate::members::Files;
use crate::scene::hello;

const LIST: &str = "example.com/hello/@v/list";

/// A member with upstream whose database is off.
fn member(name: &str, files: &Files, upstream: &FakeUpstream) -> HostOptions {
    files
        .member(HostOptions::new(name))
        .upstream(&upstream.url())
}

/// A member without upstream that calls the others.
fn beside(name: &str, files: &Files, others: &[String]) -> HostOptions {
    let host = files.member(HostOptions::new(name));
    others.iter().fold(host, |host, other| host.peer(other))
}

fn in_the_store(host: &TestHost, extension: &str) -> PathBuf {
    let path = host.state().join("apart").join(hello().url_path(extension));
    assert!(path.exists(), "{}", path.display());
    path
}

/// Takes a file and its proof out of a host that does not run, as eviction would.
fn evict(host: &mut TestHost, extension: &str) {
    let body = in_the_store(host, extension);
    host.stop();
    fs::remove_file(format!("{}.proof", body.display())).unwrap();
    fs::remove_file(body).unwrap();
}

/// A module under the name of [`hello`] with other contents.
fn another() -> Module {
    hello().file("other.go", "package hello\n")
}

/// A member of the mesh that gives these contents and says so.
fn giver(of: Module) -> LyingPeer {
    let upstream = FakeUpstream::start([of.clone()]);
    upstream.log(|log| LyingPeer::start_member(&[of], log, PeerLie::None, &Files::secret_line(1)))
}

#[test]
fn members_without_a_database_give_each_other_what_one_of_them_has() {
    let (files, upstream) = (Files::new(), FakeUpstream::start([hello()]));
    let first = member("A", &files, &upstream).start();
    let list = first.get(LIST).expect_body();
    let go = first.go("off");
    go.download("example.com/hello@v1.0.0").expect_success();

    let second = beside("B", &files, &[first.peer_address()]).start();
    second.wait_for_neighbours(1);
    upstream.forget();
    let go = second.go("off");
    let output = go.download("example.com/hello@v1.0.0").expect_success();
    assert!(
        output.stdout.contains(&hello().h1().to_string()),
        "{output}"
    );
    let lines = |list: &[u8]| String::from_utf8_lossy(list).trim().to_owned();
    assert_eq!(lines(&second.get(LIST).expect_body()), lines(&list));
    assert_eq!(upstream.traffic_of_all().requests, 0);
    let info = second.get(&hello().url_path("info"));
    assert_eq!(info.header("x-modmesh-source"), "peer");
    assert_eq!(info.expect_body(), hello().info());
    // It is kept, apart, for this user alone, and says on whose word it is here.
    let zip = second.get(&hello().url_path("zip"));
    assert_eq!(zip.header("x-modmesh-source"), "store");
    in_the_store(&second, "zip");
    let shown = second.explain_file("example.com/hello@v1.0.0", "zip");
    let note = shown["here"]["note"].as_str().unwrap_or_default();
    let word = format!("on the word of {}", first.peer_id());
    assert!(note.contains(&word), "{shown:#}");
    let notices = second.status()["notices"].to_string();
    assert!(!notices.contains("nothing but toolchains"), "{notices}");
}

#[test]
fn what_a_member_derives_of_a_version_does_not_stand_for_what_upstream_says_of_it() {
    let (files, upstream) = (Files::new(), FakeUpstream::start([hello()]));
    let first = member("A", &files, &upstream).start();
    for extension in ["mod", "zip"] {
        first.get(&hello().url_path(extension)).expect_body();
    }
    let second = member("B", &files, &upstream).peer(&first.peer_address());
    let second = second.start();
    second.wait_for_neighbours(1);
    let info = second.get(&hello().url_path("info"));
    assert_eq!(info.header("x-modmesh-source"), "upstream");
    assert_eq!(info.expect_body(), hello().info());
    // Where there is no upstream it is better than nothing.
    let third = beside("C", &files, &[first.peer_address()]).start();
    third.wait_for_neighbours(1);
    let info = third.get(&hello().url_path("info"));
    assert_eq!(info.header("x-modmesh-source"), "peer");
    assert_eq!(info.expect_body(), br#"{"Version":"v1.0.0"}"#);
}

#[test]
fn a_list_of_members_names_the_versions_that_one_of_them_has() {
    let newer = Module::package("example.com/hello", "v1.1.0");
    let (files, upstream) = (Files::new(), FakeUpstream::start([hello(), newer.clone()]));
    let first = member("A", &files, &upstream).start();
    let list = first.get(LIST).expect_body();
    assert!(String::from_utf8_lossy(&list).contains("v1.1.0"));
    let go = first.go("off");
    go.download("example.com/hello@v1.0.0").expect_success();
    // What the latest version retracts must be known before it is left out.
    first.get(&newer.url_path("mod")).expect_body();
    let second = beside("B", &files, &[first.peer_address()]).start();
    second.wait_for_neighbours(1);
    let list = second.get(LIST).expect_body();
    assert_eq!(String::from_utf8_lossy(&list), "v1.0.0\n");
    let go = second.go("off");
    let output = go.download("example.com/hello@latest").expect_success();
    assert!(output.stdout.contains("v1.0.0"), "{output}");
}

#[test]
fn a_private_module_is_shared_among_members_and_its_name_told_to_nobody_else() {
    let (files, upstream) = (Files::new(), FakeUpstream::start([]));
    upstream.publish_unlisted(&hello());
    let private = |host: HostOptions| host.argument("--private").argument("example.com/*");
    let first = private(member("A", &files, &upstream))
        .only_sumdb(&upstream.sumdb())
        .start();
    first
        .go("off")
        .download("example.com/hello@v1.0.0")
        .expect_success();
    let second = private(beside("B", &files, &[first.peer_address()]))
        .only_sumdb(&upstream.sumdb())
        .start();
    second.wait_for_neighbours(1);
    second
        .go("off")
        .download("example.com/hello@v1.0.0")
        .expect_success();
    assert_eq!(upstream.traffic_of("/sumdb/*lookup*").requests, 0);
}

#[test]
fn members_are_told_who_decides_about_a_private_module_and_that_they_alone_hear_of_it() {
    const HELLO: &str = "example.com/hello@v1.0.0";
    let (files, upstream) = (Files::new(), FakeUpstream::start([]));
    upstream.publish_unlisted(&hello());
    let private = |host: HostOptions| host.argument("--private").argument("example.com/*");
    let first = private(member("A", &files, &upstream)).start();
    let second = private(beside("B", &files, &[first.peer_address()])).start();
    second.wait_for_neighbours(1);
    first.wait_for_neighbours(1);
    first.get(&hello().url_path("zip")).expect_body();
    second.get(&hello().url_path("zip")).expect_body();
    let mut names = [first.peer_id(), second.peer_id()];
    names.sort();
    for host in [&first, &second] {
        let explanation = host.explain(HELLO);
        assert_eq!(explanation["treatment"], "private", "{explanation:#}");
        assert_eq!(explanation["among_members"], true, "{explanation:#}");
        let owners = explanation["owners"].as_array().unwrap().iter();
        let mut owners: Vec<_> = owners
            .filter_map(|owner| owner["peer_id"].as_str())
            .collect();
        owners.sort_unstable();
        assert_eq!(owners, names, "{explanation:#}");
        let said = host.explained(HELLO).expect_success().stdout;
        assert!(said.contains("nobody but members hears of it"), "{said}");
        assert!(said.contains("is decided by"), "{said}");
        assert!(!said.contains("no neighbour"), "{said}");
    }
}

#[test]
fn a_module_that_the_database_does_not_list_is_shared_among_members() {
    let (files, upstream) = (Files::new(), FakeUpstream::start([]));
    upstream.publish_unlisted(&hello());
    let judged = |host: HostOptions| host.only_sumdb(&upstream.sumdb_with_url());
    let first = judged(member("A", &files, &upstream)).start();
    first
        .go("off")
        .download("example.com/hello@v1.0.0")
        .expect_success();
    let second = judged(member("B", &files, &upstream).peer(&first.peer_address())).start();
    second.wait_for_neighbours(1);
    upstream.forget();
    let zip = second.get(&hello().url_path("zip"));
    assert_eq!(zip.header("x-modmesh-source"), "peer");
    assert_eq!(zip.expect_body(), hello().zip());
    assert_eq!(upstream.traffic_of("*.zip").requests, 0);
}

#[test]
fn what_the_database_could_not_be_asked_about_is_for_no_member() {
    let (files, upstream) = (Files::new(), FakeUpstream::start([hello()]));
    upstream.fault("sumdb/*", Fault::status(503, "closed for today"));
    let first = member("A", &files, &upstream)
        .only_sumdb(&upstream.sumdb())
        .start();
    let go = first.go("off");
    go.download("example.com/hello@v1.0.0").expect_success();
    in_the_store(&first, "zip");
    let second = beside("B", &files, &[first.peer_address()])
        .only_sumdb(&upstream.sumdb())
        .start();
    second.wait_for_neighbours(1);
    for extension in ["mod", "zip"] {
        assert_eq!(second.get(&hello().url_path(extension)).status, 404);
    }
}

#[test]
fn the_first_file_of_a_version_is_remembered_and_another_is_a_matter_of_security() {
    let files = Files::new();
    let (true_one, other) = (giver(hello()), giver(another()));
    let mut host = beside("B", &files, &[true_one.peer_address()]).start();
    host.wait_for_neighbours(1);
    let zip = hello().url_path("zip");
    assert_eq!(host.get(&zip).expect_body(), hello().zip());
    evict(&mut host, "zip");
    let others = [other.peer_address()];
    host.restart_with(|_| beside("B", &files, &others));
    host.wait_for_neighbours(1);
    assert_eq!(host.get(&zip).status, 404);
    assert_eq!(other.files_given(), 0);
    host.wait_for_line("SECURITY: a member gives another file");
    let notices = host.status()["notices"].to_string();
    assert!(
        notices.contains("SECURITY") && notices.contains(&other.name()),
        "{notices}"
    );
    assert!(host.metric("modmesh_statements_contradicted_total", &[]) >= 1.0);
    assert!(host.peers()[0]["banned_until"].is_null());

    // The one that was believed is not trusted any more: then the other's word is the first.
    let said = host.distrust(&[&true_one.name()]);
    assert!(said.status.success(), "{said}");
    assert_eq!(host.get(&zip).expect_body(), another().zip());
}

#[test]
fn two_members_who_contradict_each_other_are_both_not_believed() {
    let files = Files::new();
    let (one, other) = (giver(hello()), giver(another()));
    let both = [one.peer_address(), other.peer_address()];
    let host = beside("B", &files, &both).start();
    host.wait_for_neighbours(2);
    assert_eq!(host.get(&hello().url_path("zip")).status, 404);
    host.wait_for_line("SECURITY: members give different files under one version");
    // The go.mod is the same on both sides.
    assert_eq!(
        host.get(&hello().url_path("mod")).expect_body(),
        hello().go_mod()
    );
    let said = host.distrust(&[&other.name()]);
    assert!(said.status.success(), "{said}");
    assert_eq!(
        host.get(&hello().url_path("zip")).expect_body(),
        hello().zip()
    );
}

#[test]
fn who_gives_another_file_than_it_signed_has_lied() {
    let files = Files::new();
    let upstream = FakeUpstream::start([hello()]);
    for (lie, file) in [
        (PeerLie::Zip(ZipLie::Tampered), "zip"),
        (PeerLie::GoMod, "mod"),
    ] {
        let liar = upstream
            .log(|log| LyingPeer::start_member(&[hello()], log, lie, &Files::secret_line(1)));
        let host = beside("B", &files, &[liar.peer_address()]).start();
        host.wait_for_neighbours(1);
        assert_eq!(host.get(&hello().url_path(file)).status, 404);
        let peers = host.peers();
        assert!(!peers[0]["banned_until"].is_null(), "{lie:?}: {peers:#}");
        assert_eq!(peers[0]["evidence"].as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn what_was_handed_on_is_taken_back_with_its_author() {
    let files = Files::new();
    let author = giver(hello());
    let middle = beside("B", &files, &[author.peer_address()]).start();
    middle.wait_for_neighbours(1);
    let (zip, go_mod) = (hello().url_path("zip"), hello().url_path("mod"));
    middle.get(&zip).expect_body();
    middle.get(&go_mod).expect_body();
    let name = author.name();
    drop(author);

    let mut last = beside("C", &files, &[middle.peer_address()]).start();
    last.wait_for_neighbours(1);
    assert_eq!(last.get(&zip).expect_body(), hello().zip());
    let shown = last.explain_file("example.com/hello@v1.0.0", "zip");
    let note = shown["here"]["note"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let word = format!("on the word of {name}, given by {}", middle.peer_id());
    assert!(note.contains(&word), "{note}");

    let said = last.distrust(&[&name]);
    assert!(said.stdout.contains("1 file"), "{said}");
    assert!(!last.state().join("apart").join(&zip).exists());
    // Whom this host distrusts is not believed through others either.
    assert_eq!(last.get(&zip).status, 404);
    last.restart();
    last.wait_for_neighbours(1);
    assert_eq!(last.get(&zip).status, 404);
    let said = last.distrust(&[&name, "--undo"]);
    assert!(said.stdout.contains("spoken to again"), "{said}");
    assert_eq!(last.get(&zip).expect_body(), hello().zip());
}

#[test]
fn who_is_distrusted_is_left_alone_over_restarts_until_that_is_taken_back() {
    let files = Files::new();
    let peer = giver(hello());
    let mut host = beside("B", &files, &[peer.peer_address()]).start();
    host.wait_for_neighbours(1);
    let name = peer.name();
    let said = host.distrust(&[&name]);
    assert!(said.status.success(), "{said}");
    assert_eq!(host.status()["peers"]["connected"], 0);
    host.restart();
    host.wait_until("it stays away", |host| {
        let peers = host.peers();
        peers[0]["last_error"]
            .as_str()
            .is_some_and(|why| why.contains("distrusted by this host's user"))
    });
    assert_eq!(host.status()["peers"]["connected"], 0);
    assert_eq!(host.peers()[0]["distrusted"], true);
    let said = host.distrust(&[&name, "--undo", "--json"]);
    assert!(said.stdout.contains("\"is_distrusted\": false"), "{said}");
    host.wait_for_neighbours(1);
    let ourselves = host.peer_id();
    let said = host.distrust(&[&ourselves]);
    assert!(said.stderr.contains("is this host itself"), "{said}");
}

#[test]
fn only_among_members_are_neighbours_asked_for_what_nothing_proves() {
    let files = Files::new();
    let upstream = FakeUpstream::start([hello()]);
    for among_members in [true, false] {
        let neighbour = match among_members {
            true => giver(hello()),
            false => upstream.log(|log| LyingPeer::start(&[hello()], log, PeerLie::None)),
        };
        let host = match among_members {
            true => files.member(HostOptions::new("B")),
            false => HostOptions::new("B"),
        };
        let host = host.peer(&neighbour.peer_address()).start();
        host.wait_for_neighbours(1);
        host.get(&hello().url_path("info"));
        host.get(LIST);
        let zip = host.get(&hello().url_path("zip"));
        assert_eq!(zip.status == 200, among_members, "{}", zip.text());
        for kind in ["note", "stated"] {
            let asked = neighbour.questions(kind) > 0;
            assert_eq!(asked, among_members, "{kind}");
        }
        assert_eq!(neighbour.files_given() > 0, among_members);
    }
}

#[test]
fn an_open_host_takes_no_file_of_a_neighbour_that_the_database_does_not_list() {
    let upstream = FakeUpstream::start([Module::package("example.com/listed", "v1.0.0")]);
    upstream.publish_unlisted(&hello());
    // It has another form of the module than upstream, and nothing that proves it.
    let neighbour = upstream.log(|log| LyingPeer::start(&[another()], log, PeerLie::None));
    let host = HostOptions::new("A")
        .upstream(&upstream.url())
        .sumdb(&upstream.sumdb_with_url())
        .peer(&neighbour.peer_address())
        .start();
    host.wait_for_neighbours(1);
    let zip = host.get(&hello().url_path("zip"));
    assert_eq!(zip.header("x-modmesh-source"), "upstream");
    assert_eq!(zip.expect_body(), hello().zip());
    let shown = host.explain_file("example.com/hello@v1.0.0", "zip");
    assert_eq!(shown["here"]["scope"], "unlisted", "{shown:#}");
    assert_eq!(shown["here"]["h1"], hello().h1().to_string(), "{shown:#}");
    // The neighbour's was offered all the time, and to offer it is no lie.
    let offers = &shown["neighbours"]["have_it"];
    assert_eq!(offers[0], neighbour.name().as_str(), "{shown:#}");
    assert!(neighbour.questions("inline") + neighbour.questions("locate") > 1);
    assert!(host.peers()[0]["banned_until"].is_null());
}
