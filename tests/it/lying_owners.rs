//! Owners that lie about who fetches a file: `go` gets it all the same, nobody is called whom they name, and who had a host wait in
//! vain is not asked again. What each lie costs is measured by `lab hostile`.

use harness::{FakeUpstream, LyingPeer, Module, OwnerLie, PeerLie, TestHost};

use crate::scene::online;

const MODULES: usize = 40;

fn module(number: usize) -> Module {
    Module::package(&format!("example.com/m{number}"), "v1.0.0").bulk("noise.bin", 50_000)
}

/// A liar that is the first owner of two modules, its accomplice, and somebody whom nobody knows.
struct Scene {
    upstream: FakeUpstream,
    liar: LyingPeer,
    friend: LyingPeer,
    stranger: LyingPeer,
    host: TestHost,
}

impl Scene {
    /// A host that has fetched something before, so that it knows what its own way takes.
    fn new() -> Self {
        let upstream = FakeUpstream::start((0..MODULES).map(module));
        let first = Module::package("example.com/first", "v1.0.0").bulk("noise.bin", 50_000);
        upstream.publish(&first);
        let log = upstream.log(|log| log.clone());
        let peer = || LyingPeer::start(&[], &log, PeerLie::None);
        let (liar, friend, stranger) = (peer(), peer(), peer());
        let host = online("A", &upstream)
            .peer(&liar.peer_address())
            .peer(&friend.peer_address())
            .start();
        host.wait_for_neighbours(2);
        host.get(&first.url_path("zip")).expect_body();
        Self {
            upstream,
            liar,
            friend,
            stranger,
            host,
        }
    }

    /// Has the host asked for the zips of two modules that the liar owns; how often the liar was asked for each of them.
    fn ask_for_two(&self) -> [u64; 2] {
        let others = || [self.host.peer_id(), self.friend.peer_id()];
        let mut owned = (0..MODULES)
            .map(module)
            .filter(|module| self.liar.owns(module.path(), others()));
        let asked = [(); 2].map(|()| {
            let module = owned.next().expect("a module that the liar owns");
            let before = self.liar.asked_as_owner();
            let zip = self.host.get(&module.url_path("zip")).expect_body();
            assert_eq!(zip, module.zip());
            self.liar.asked_as_owner() - before
        });
        assert_eq!(self.stranger.connected(), 0);
        assert_eq!(self.upstream.traffic_of("*.zip").requests, 3);
        asked
    }

    /// Whether the host says that it passes the liar over.
    fn is_passed_over(&self) -> bool {
        let peers = self.host.peers();
        let mut entries = peers.as_array().unwrap().iter();
        let entry = entries.find(|entry| entry["peer_id"] == self.liar.peer_id().as_str());
        entry.is_some_and(|entry| !entry["passed_over"].is_null())
    }
}

#[test]
fn an_owner_that_says_wait_for_ever_is_believed_once() {
    let scene = Scene::new();
    let friend = scene.friend.member_id();
    scene.liar.lie_as_owner(OwnerLie::Wait(friend));
    let [first, second] = scene.ask_for_two();
    assert!(first >= 1);
    assert_eq!(second, 0);
    assert!(scene.is_passed_over());
}

#[test]
fn an_owner_whose_accomplice_drips_is_believed_once() {
    let scene = Scene::new();
    let friend = scene.friend.member_id();
    scene.liar.lie_as_owner(OwnerLie::WaitForDrip(friend, 1000));
    let [first, second] = scene.ask_for_two();
    assert!(first >= 1);
    assert_eq!(second, 0);
    assert!(scene.is_passed_over());
}

#[test]
fn an_owner_whose_accomplice_says_to_have_all_of_it_is_believed_once() {
    let scene = Scene::new();
    let friend = scene.friend.member_id();
    scene
        .liar
        .lie_as_owner(OwnerLie::WaitForDone(friend, 50_000));
    let [first, second] = scene.ask_for_two();
    assert!(first >= 1);
    assert_eq!(second, 0);
    assert!(scene.is_passed_over());
}

#[test]
fn nobody_is_called_whom_an_owner_names() {
    let scene = Scene::new();
    let stranger = scene.stranger.member_id();
    scene.liar.lie_as_owner(OwnerLie::Have(vec![stranger; 8]));
    assert!(scene.ask_for_two()[0] >= 1);
    // What it said cost nothing.
    assert!(!scene.is_passed_over());
}
