//! An upstream in trouble: what each kind of misbehaviour makes of each question is the table of docs/trouble.md, and
//! never a wrong byte or an endless wait; where a second source exists, the answer comes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::http::{Request, Response};
use harness::{FakeUpstream, Fault, Module, TestLog};
use modmesh_daemon::upstream::{Options, ProxySettings};
use modmesh_daemon::{Config, Daemon};
use modmesh_protocol::goproxy::ProxyList;
use modmesh_protocol::limits::NEIGHBOURS_MAX;
use modmesh_protocol::log::SumdbSetting;
use modmesh_protocol::module::Patterns;
use tempfile::TempDir;

use crate::scene::{hello, online};

/// The questions, as the table's columns.
const QUESTIONS: [&str; 6] = ["info", "list", "mod", "zip", "lookup", "tile"];
/// Longer than every deadline of [`short`] together.
const HANG_MAX: Duration = Duration::from_secs(15);
/// Bytes that arrive in half a second are no progress.
const TRICKLE_BYTES_PER_SECOND: u32 = 2000;

/// Misbehaviour that nobody can tell from a true list.
const UNTRUE_LISTS: [&str; 3] = [
    "an empty body",
    "another body",
    "too short a Content-Length",
];

/// The kinds of misbehaviour, by the names in the table.
fn faults() -> Vec<(&'static str, Fault)> {
    let html = |status| Fault::Answer {
        status,
        content_type: "text/html".to_owned(),
        body: b"<!doctype html><script>alert(1)</script>".to_vec(),
    };
    vec![
        ("401", Fault::status(401, "who are you?")),
        ("403", Fault::status(403, "not for you")),
        ("404", Fault::status(404, "nothing here")),
        ("410", Fault::status(410, "no longer here")),
        ("429", Fault::status(429, "too many")),
        ("500", Fault::status(500, "broken")),
        ("502", Fault::status(502, "broken behind")),
        (
            "503 with Retry-After: 60",
            Fault::Later {
                status: 503,
                seconds: 60,
            },
        ),
        ("204", Fault::status(204, "")),
        ("a web page with 200", Fault::html()),
        ("a web page with 404", html(404)),
        ("a web page with 500", html(500)),
        ("an empty body", Fault::body("")),
        ("another body", Fault::body("something else altogether\n")),
        ("no answer", Fault::Hang),
        ("a late answer", Fault::Late(Duration::from_millis(200))),
        ("a trickle", Fault::Trickle(TRICKLE_BYTES_PER_SECOND)),
        ("a halt in the body", Fault::Stall(10)),
        ("a cut in the body", Fault::Cut(10)),
        ("a cut before the answer", Fault::Drop),
        ("too long a Content-Length", Fault::Length(9_000_000)),
        ("too short a Content-Length", Fault::Length(5)),
        (
            "a redirect in a circle",
            Fault::Redirect("?again".to_owned()),
        ),
        (
            "a redirect to nobody",
            Fault::Redirect("http://127.0.0.1:9/".to_owned()),
        ),
    ]
}

fn module(question: &str) -> Module {
    let module = Module::package(&format!("example.com/{question}"), "v1.0.0");
    module.bulk("noise.bin", 30_000)
}

/// An upstream that has a module for each question, and more records than one tile holds.
fn world() -> FakeUpstream {
    let mut log = TestLog::new("sumdb.example.test");
    for question in QUESTIONS {
        log.append(&module(question));
    }
    log.pad_to(600);
    let upstream = FakeUpstream::with_log(log);
    for question in QUESTIONS {
        upstream.publish_unlisted(&module(question));
    }
    upstream
}

/// The path of a question at the daemon, and the pattern of what upstream is asked for it.
fn path(question: &str) -> (String, String) {
    let of = module(question);
    match question {
        "list" => {
            let path = format!("{}/@v/list", of.path());
            (path.clone(), path)
        }
        "lookup" => {
            let path = format!("sumdb/sumdb.example.test/lookup/{}@v1.0.0", of.path());
            (path.clone(), path)
        }
        // The tile between that of the module's record and the edge: no proof needs it.
        "tile" => {
            let path = "sumdb/sumdb.example.test/tile/8/0/001".to_owned();
            (path.clone(), format!("{path}*"))
        }
        extension => (of.url_path(extension), of.url_path(extension)),
    }
}

/// A daemon in this process, with deadlines that a test can wait for.
pub(crate) fn daemon(upstream: &str, sumdb: &str, state: &TempDir) -> Config {
    Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        allow_hosts: Vec::new(),
        state_dir: state.path().join("state"),
        store_limit_bytes: 1 << 30,
        upstream: ProxyList::parse(upstream).unwrap(),
        databases: vec![SumdbSetting::parse(sumdb).unwrap()],
        client_sumdb_dirs: Vec::new(),
        go_sums: Vec::new(),
        private: Patterns::parse("").unwrap(),
        peer_listen: vec!["127.0.0.1:0".parse().unwrap()],
        peer_listen_asked: true,
        peers: Vec::new(),
        mesh_secret_file: None,
        members: Vec::new(),
        mdns: false,
        site: None,
        offline: false,
        limit_upload: Default::default(),
        limit_download: Default::default(),
        limit_site: Default::default(),
        local_minute: None,
        neighbours_max: NEIGHBOURS_MAX,
        site_connections: None,
        site_budget_bytes: None,
        pause_on_battery: None,
        pause_on_metered: None,
        idle_exit: None,
        road: short(),
    }
}

fn short() -> Options {
    Options {
        connect_timeout: Duration::from_millis(500),
        header_timeout: Duration::from_millis(1500),
        idle_timeout: Duration::from_millis(500),
        retry_pause: Duration::from_millis(20),
        proxies: ProxySettings::default(),
        ..Options::default()
    }
}

/// Asks every question of one daemon at once.
async fn ask_all(
    upstream: &str,
    sumdb: &str,
    meanwhile: impl FnOnce(),
) -> BTreeMap<&'static str, Response> {
    let state = TempDir::new().unwrap();
    let daemon = Daemon::start(daemon(upstream, sumdb, &state))
        .await
        .unwrap();
    let url = format!("http://{}", daemon.listen()[0]);
    let get = |path: String| {
        let request = Request::get(&format!("{url}/{path}")).within(HANG_MAX);
        tokio::task::spawn_blocking(move || request.send())
    };
    // A head is known before anything goes wrong.
    let first = get(module("tile").url_path("mod")).await.unwrap().unwrap();
    assert_eq!(first.status, 200, "{}", first.text());
    meanwhile();
    let asked: Vec<_> = QUESTIONS
        .into_iter()
        .map(|question| (question, get(path(question).0)))
        .collect();
    let mut answers = BTreeMap::new();
    for (question, answer) in asked {
        let answer = answer.await.unwrap();
        answers.insert(
            question,
            answer.unwrap_or_else(|failure| panic!("{question}: {failure}")),
        );
    }
    daemon.wait(async {}).await;
    answers
}

/// What the table says: the status of each question for each kind of misbehaviour.
fn table() -> BTreeMap<String, Vec<u16>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/trouble.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
        let name = cells.next()?.to_owned();
        let statuses: Option<Vec<u16>> = cells.map(|cell| cell.parse().ok()).collect();
        Some((name, statuses.filter(|all| all.len() == QUESTIONS.len())?))
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_misbehaviour_of_upstream_has_the_answer_that_the_table_says() {
    let (table, faults) = (table(), faults());
    let mut seen = BTreeMap::new();
    for (name, fault) in faults {
        let upstream = world();
        let started = Instant::now();
        let answers = ask_all(&upstream.url(), &upstream.sumdb(), || {
            for question in QUESTIONS {
                upstream.fault(&path(question).1, fault.clone());
            }
        })
        .await;
        assert!(
            started.elapsed() < HANG_MAX,
            "{name}: {:?}",
            started.elapsed()
        );
        for (question, answer) in &answers {
            expect_true(name, question, answer);
        }
        let statuses: Vec<u16> = QUESTIONS
            .iter()
            .map(|question| answers[question].status)
            .collect();
        seen.insert(name.to_owned(), statuses);
    }
    assert_eq!(seen, table);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_list_goes_on_the_files_come_from_the_next_entry() {
    for (name, fault) in faults() {
        let (bad, good) = (world(), world());
        let list = format!("{}|{}", bad.url(), good.url());
        let answers = ask_all(&list, &bad.sumdb(), || {
            for question in ["info", "list", "mod", "zip"] {
                bad.fault(&path(question).1, fault.clone());
            }
        })
        .await;
        for question in QUESTIONS {
            let answer = &answers[question];
            assert_eq!(answer.status, 200, "{name}, {question}: {}", answer.text());
            expect_true(name, question, answer);
        }
    }
}

/// An answer with status 200 is the true one; every other is a line for a person, and no web page.
#[track_caller]
fn expect_true(fault: &str, question: &str, answer: &Response) {
    let of = module(question);
    if answer.status == 200 {
        assert!(answer.complete, "{fault}, {question}");
        let truth = match question {
            // What can be derived from the version is true as well, and all that can be said when upstream is silent.
            "info" if answer.body == br#"{"Version":"v1.0.0"}"# => return,
            "info" => of.info(),
            // No hash covers a list: what upstream says it is, it is.
            "list" if UNTRUE_LISTS.contains(&fault) => return,
            "list" => b"v1.0.0".to_vec(),
            "mod" => of.go_mod(),
            "zip" => of.zip(),
            // Those prove themselves to whoever asks.
            _ => return,
        };
        assert!(
            answer.body == truth,
            "{fault}, {question}: {}",
            answer.text()
        );
    } else {
        assert!(
            answer.header("content-type").starts_with("text/plain"),
            "{fault}, {question}"
        );
        assert!(
            !answer.text().contains('<'),
            "{fault}, {question}: {}",
            answer.text()
        );
        assert!(!answer.text().trim().is_empty(), "{fault}, {question}");
    }
}

#[test]
fn a_redirect_to_nobody_stops_no_question_that_upstream_answers_itself() {
    let upstream = FakeUpstream::start([hello(), module("zip")]);
    let nobody = Fault::Redirect("http://127.0.0.1:9/".to_owned());
    upstream.fault("*.zip", nobody);
    let host = online("A", &upstream).start();
    for of in [hello(), module("zip")] {
        let zip = host.get(&of.url_path("zip"));
        assert_eq!(zip.status, 504, "{}", zip.text());
        assert!(zip.text().contains("redirects"), "{}", zip.text());
        for extension in ["info", "mod"] {
            host.get(&of.url_path(extension)).expect_body();
        }
        host.get(&format!("{}/@v/list", of.path())).expect_body();
    }
    assert_eq!(host.status()["upstream"][0]["state"], "up");
    let scouts = upstream.traffic_of("sumdb/sum.golang.org/supported");
    assert_eq!(scouts.requests, 0);
}

#[test]
fn a_list_is_made_of_what_is_held_when_upstream_is_gone_and_not_when_one_answer_is() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    host.get(&hello().url_path("mod")).expect_body();
    upstream.fault("example.com/hello/@v/*", Fault::Cut(1));
    let list = format!("{}/@v/list", hello().path());
    assert_eq!(host.get(&list).status, 504);
    let below = host.get("example.com/hello/part/@v/list");
    assert_eq!(below.status, 404, "upstream's own: {}", below.text());
    // What is known of a version is the same whoever says it.
    let info = host.get(&hello().url_path("info")).expect_body();
    assert_eq!(info, br#"{"Version":"v1.0.0"}"#);
    assert_eq!(host.status()["upstream"][0]["state"], "up");
    upstream.close();
    assert_eq!(host.get(&list).expect_body(), b"v1.0.0\n");
}

#[test]
fn a_zip_that_breaks_off_is_taken_up_again_and_costs_its_length_once() {
    let upstream = FakeUpstream::start([hello()]);
    upstream.offer_ranges(true);
    upstream.fault_times("*.zip", Fault::Cut(60_000), 1);
    let host = online("A", &upstream).start();
    let zip = host.get(&hello().url_path("zip")).expect_body();
    assert_eq!(zip, hello().zip());
    let traffic = upstream.traffic_of("*.zip");
    assert_eq!((traffic.requests, traffic.bytes), (2, zip.len() as u64));
}

#[test]
fn a_zip_put_together_from_two_versions_is_fetched_again_in_one_piece() {
    let upstream = FakeUpstream::start([hello()]);
    upstream.offer_ranges(true);
    // The first part is of other bytes of the same length; the fault put last is met first.
    let mut other = hello().zip();
    other[1000] ^= 1;
    upstream.put(&hello().url_path("zip"), other);
    let held = upstream.hold("*.zip");
    upstream.fault_times("*.zip", Fault::Cut(60_000), 1);
    let host = online("A", &upstream).start();
    let asked = {
        let request = host.request(&hello().url_path("zip"));
        std::thread::spawn(move || request.send())
    };
    upstream.wait_for("*.zip", 2, Duration::from_secs(10));
    upstream.put(&hello().url_path("zip"), hello().zip());
    held.release();
    let zip = asked.join().unwrap().unwrap().expect_body();
    assert_eq!(zip, hello().zip());
}
