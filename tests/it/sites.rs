//! Two sites: within each of them one host fetches for all, and between them bytes cross where they must or are worth it, and
//! within the budget.

use std::thread;

use harness::{FakeUpstream, Fault, HostOptions, Module, TestHost};
use serde_json::Value;

use crate::scene::online;

/// Fetches of one thing instead of one, on a machine whose processors are so busy that a host takes an owner for silent which has not
/// had its turn.
const STARVED: f64 = 2.0;

/// What questions, records, tiles and heads may add to a file that crosses, in bytes.
const SMALL_TALK: f64 = 100_000.0;

/// A module with a zip of so many bytes and some more.
fn module(name: &str, bytes: usize) -> Module {
    Module::package(&format!("example.com/{name}"), "v1.0.0").bulk("noise.bin", bytes)
}

fn large() -> Module {
    module("large", 1_200_000)
}

fn at(site: &str, options: HostOptions) -> HostOptions {
    options.argument("--site").argument(site)
}

/// Without an upstream, and with these neighbours.
fn without_upstream(name: &str, upstream: &FakeUpstream, neighbours: &[&TestHost]) -> HostOptions {
    knowing(HostOptions::new(name).sumdb(&upstream.sumdb()), neighbours)
}

fn knowing(options: HostOptions, neighbours: &[&TestHost]) -> HostOptions {
    let add = |options: HostOptions, host: &&TestHost| options.peer(&host.peer_address());
    neighbours.iter().fold(options, add)
}

/// Waits until every host knows of which site each of its neighbours is.
fn wait_for_sites(hosts: &[&TestHost]) {
    for host in hosts {
        host.wait_until("it knows the sites of its neighbours", |host| {
            let peers = host.peers();
            let peers = peers.as_array().unwrap();
            let knows = |peer: &Value| peer["connected"] == true && peer["site"].is_string();
            peers.len() + 1 >= hosts.len() && peers.iter().all(knows)
        });
    }
}

fn received_across(host: &TestHost) -> f64 {
    host.metric("modmesh_site_received_bytes_total", &[])
}

fn gets(host: &TestHost, module: &Module, extension: &str) {
    let got = host.get(&module.url_path(extension)).expect_body();
    let expected = match extension {
        "zip" => module.zip(),
        _ => module.go_mod(),
    };
    assert!(got == expected, "{} of {}", extension, host.name());
}

/// The steps of this kind in the story of the zip.
fn steps(host: &TestHost, of: &str, kind: &str) -> Vec<Value> {
    let file = host.explain_file(of, "zip");
    let steps = file["last_fetch"]["steps"].as_array();
    let steps = steps.unwrap_or_else(|| panic!("no story in {file:#}"));
    let of_kind = steps.iter().filter(|step| step["step"] == kind);
    of_kind.cloned().collect()
}

#[test]
fn what_a_site_without_an_upstream_wants_crosses_once() {
    let upstream = FakeUpstream::start([large()]);
    let first = at("berlin", online("berlin-1", &upstream)).start();
    let second = at("berlin", knowing(online("berlin-2", &upstream), &[&first])).start();
    let mut all = vec![&first, &second];
    let mut tokyo: Vec<TestHost> = Vec::new();
    for number in 1..=3 {
        let mut neighbours = all.clone();
        neighbours.extend(&tokyo);
        let name = format!("tokyo-{number}");
        // Slow enough that they meet.
        let options = without_upstream(&name, &upstream, &neighbours)
            .argument("--limit-site")
            .argument("1MB/s");
        tokyo.push(at("Tokyo", options).start());
    }
    all.extend(&tokyo);
    wait_for_sites(&all);
    for host in [&first, &second] {
        gets(host, &large(), "zip");
    }
    // Within the site, the second has it of the first.
    assert_eq!(upstream.traffic_of("*.zip").requests, 1);
    assert!(received_across(&second) < SMALL_TALK);
    thread::scope(|scope| {
        for host in &tokyo {
            scope.spawn(move || gets(host, &large(), "zip"));
        }
    });
    assert_eq!(upstream.traffic_of("*.zip").requests, 1);
    let length = large().zip().len() as f64;
    let crossed: f64 = tokyo.iter().map(received_across).sum();
    assert!(crossed >= length, "{crossed} of {length}");
    let most = STARVED * length + SMALL_TALK;
    assert!(crossed < most, "{crossed} of {length}");
    let sent = |host: &TestHost| host.metric("modmesh_site_sent_bytes_total", &[]);
    assert!(sent(&first) + sent(&second) >= length);

    let status = tokyo[0].status();
    assert_eq!(status["site"]["name"], "tokyo");
    assert_eq!(status["site"]["neighbours_across"], 2);
    let is_across = |peer: &&Value| peer["across"] == true && peer["site"] == "berlin";
    let peers = tokyo[0].peers();
    assert_eq!(
        peers.as_array().unwrap().iter().filter(is_across).count(),
        2
    );
    let shown = tokyo[0].modmesh(&["peers"]).stdout;
    assert!(shown.contains("berlin, across"), "{shown}");
    let shown = tokyo[0].modmesh(&["status"]).stdout;
    assert!(
        shown.contains("tokyo; 2 neighbours of other sites"),
        "{shown}"
    );
}

#[test]
fn two_sites_that_have_an_upstream_fetch_once_each() {
    let upstream = FakeUpstream::start([large()]);
    upstream.fault("*.zip", Fault::Trickle(600_000));
    let mut hosts: Vec<TestHost> = Vec::new();
    for (site, name) in [("a", "a-1"), ("b", "b-1"), ("a", "a-2"), ("b", "b-2")] {
        let neighbours: Vec<&TestHost> = hosts.iter().collect();
        let options = knowing(online(name, &upstream), &neighbours);
        hosts.push(at(site, options).start());
    }
    wait_for_sites(&hosts.iter().collect::<Vec<_>>());
    thread::scope(|scope| {
        for host in &hosts {
            scope.spawn(move || gets(host, &large(), "zip"));
        }
    });
    let requests = upstream.traffic_of("*.zip").requests as f64;
    assert!((2.0..=2.0 * STARVED).contains(&requests), "{requests}");
    for host in &hosts {
        let crossed = received_across(host);
        assert!(crossed < SMALL_TALK, "{}: {crossed}", host.name());
    }
}

#[test]
fn an_upstream_that_answers_is_asked_before_another_site() {
    let upstream = FakeUpstream::start([large()]);
    let berlin = at("berlin", online("berlin", &upstream)).start();
    let tokyo = at("tokyo", knowing(online("tokyo", &upstream), &[&berlin])).start();
    wait_for_sites(&[&berlin, &tokyo]);
    for host in [&berlin, &tokyo] {
        gets(host, &large(), "zip");
        let source = [("kind", "zip"), ("source", "upstream")];
        assert_eq!(host.metric("modmesh_http_requests_total", &source), 1.0);
        assert!(received_across(host) < SMALL_TALK);
    }
    assert_eq!(upstream.traffic_of("*.zip").requests, 2);
    let ways = steps(&tokyo, "example.com/large@v1.0.0", "way");
    assert_eq!(ways.len(), 1, "{ways:?}");
    assert_eq!(ways[0]["across"], false);
    assert_eq!(
        ways[0]["why"],
        "it is not known yet that another site is better"
    );
}

#[test]
fn another_site_is_asked_where_upstream_is_down() {
    let upstream = FakeUpstream::start([large()]);
    let berlin = at("berlin", online("berlin", &upstream)).start();
    gets(&berlin, &large(), "zip");
    let tokyo = at("tokyo", knowing(online("tokyo", &upstream), &[&berlin])).start();
    wait_for_sites(&[&berlin, &tokyo]);
    upstream.close();
    gets(&tokyo, &large(), "zip");
    assert!(received_across(&tokyo) >= large().zip().len() as f64);
    let of = "example.com/large@v1.0.0";
    let ways = steps(&tokyo, of, "way");
    assert!(ways.iter().any(|way| way["across"] == true), "{ways:?}");
    let transfers = steps(&tokyo, of, "transfer");
    assert_eq!(transfers.len(), 1, "{transfers:?}");
    assert_eq!(transfers[0]["across"], true);
    let explained = tokyo.explained(of);
    assert!(explained.stdout.contains("of another site"), "{explained}");
}

#[test]
fn another_site_that_is_measured_to_be_quicker_is_asked_before_upstream() {
    let modules = ["refused", "slow", "wanted"].map(|name| module(name, 400_000));
    let [refused, slow, wanted] = &modules;
    let upstream = FakeUpstream::start(modules.clone());
    let berlin = at("berlin", online("berlin", &upstream)).start();
    for module in &modules {
        gets(&berlin, module, "zip");
    }
    let tokyo = at("tokyo", knowing(online("tokyo", &upstream), &[&berlin])).start();
    wait_for_sites(&[&berlin, &tokyo]);
    upstream.fault("*.zip", Fault::Trickle(150_000));
    upstream.fault(
        &refused.url_path("zip"),
        Fault::status(403, "not from here"),
    );
    // What upstream refuses comes from the other site, which shows what that one gives.
    gets(&tokyo, refused, "zip");
    assert!(received_across(&tokyo) >= 400_000.0);
    upstream.heal();
    upstream.fault("*.zip", Fault::Trickle(150_000));
    // Of upstream nothing is known yet.
    let before = received_across(&tokyo);
    gets(&tokyo, slow, "zip");
    assert!(received_across(&tokyo) - before < SMALL_TALK);
    upstream.forget();
    gets(&tokyo, wanted, "zip");
    assert_eq!(upstream.traffic_of("*.zip").requests, 0);
    let ways = steps(&tokyo, "example.com/wanted@v1.0.0", "way");
    assert_eq!(ways[0]["across"], true, "{ways:?}");
    let why = ways[0]["why"].as_str().unwrap();
    assert!(why.contains("measured to be quicker"), "{why}");
}

#[test]
fn a_budget_that_is_used_up_is_kept_on_both_sides() {
    let modules = ["first", "second"].map(|name| module(name, 400_000));
    let upstream = FakeUpstream::start(modules.clone());
    let berlin = at("berlin", online("berlin", &upstream)).start();
    for module in &modules {
        gets(&berlin, module, "zip");
    }
    let budget = |options: HostOptions| options.argument("--site-budget").argument("600kB");
    let options = without_upstream("tokyo", &upstream, &[&berlin]);
    let tokyo = at("tokyo", budget(options)).start();
    wait_for_sites(&[&berlin, &tokyo]);
    gets(&tokyo, &modules[0], "zip");
    let answer = tokyo.get(&modules[1].url_path("zip"));
    // It is somewhere: go must not be told that it is not.
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("--site-budget"), "{}", answer.text());
    let site = &tokyo.status()["site"];
    assert_eq!(site["budget_bytes"], 600_000);
    let left = site["budget_left_bytes"].as_u64().unwrap();
    assert!(left < 200_000, "{site}");
    let crossed = site["received_bytes"].as_u64().unwrap() + site["sent_bytes"].as_u64().unwrap();
    assert!(crossed <= 600_000, "{site}");
    assert_eq!(
        tokyo.metric("modmesh_site_budget_left_bytes", &[]),
        left as f64
    );

    // A restart does not begin anew.
    let mut tokyo = tokyo;
    tokyo.stop();
    tokyo.restart();
    let site = &tokyo.status()["site"];
    assert!(
        site["budget_left_bytes"].as_u64().unwrap() <= left,
        "{site}"
    );

    // The same where it is the giver that has one.
    let mut giver = berlin;
    giver.restart_with(budget);
    let osaka = at("osaka", without_upstream("osaka", &upstream, &[&giver])).start();
    osaka.wait_for_neighbours(1);
    gets(&osaka, &modules[0], "zip");
    let answer = osaka.get(&modules[1].url_path("zip"));
    assert_eq!(answer.status, 502, "{}", answer.text());
    let site = &giver.status()["site"];
    assert!(site["sent_bytes"].as_u64().unwrap() <= 600_000, "{site}");
}
