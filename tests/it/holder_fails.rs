//! A holder that an owner named and that fails: the file is somewhere, so the host that wanted it does not say of itself that it is
//! nowhere. What its upstream says of the file passes as always.

use std::thread;
use std::time::Duration;

use harness::http::Response;
use harness::{FakeUpstream, HostOptions, Line, Module, TestHost};

use crate::leaving::line_to;
use crate::scene::{is_owner, online};

/// For a machine that has much else to do.
const SOON: Duration = Duration::from_secs(60);
/// Four seconds on the line to the holder.
const BYTES: usize = 16 << 20;

/// How the holder fails.
#[derive(Debug, Clone, Copy)]
enum Failing {
    Dies,
    Halts,
}

/// A module below whose path the wanted one lies.
fn parent() -> Module {
    Module::package("example.com/held", "v1.0.0")
}

/// The owner of a module, a host that has the module, and one that wants it.
struct Scene {
    /// Of the owner and the holder.
    upstream: FakeUpstream,
    holder: TestHost,
    holder_id: String,
    host: TestHost,
    line: Line,
    module: Module,
    _owner: TestHost,
}

impl Scene {
    /// The host that wants the module has this upstream.
    fn new(own: &str) -> Self {
        let upstream = FakeUpstream::start([parent()]);
        let owner = online("owner", &upstream).start();
        let holder = online("holder", &upstream)
            .peer(&owner.peer_address())
            .start();
        let (line, near) = line_to(&holder);
        let host = HostOptions::new("host")
            .upstream(own)
            .sumdb(&upstream.sumdb())
            .peer(&owner.peer_address())
            .peer(&near)
            .start();
        for one in [&owner, &holder, &host] {
            one.wait_for_neighbours(2);
        }
        let path = |number: u32| format!("{}/m{number}", parent().path());
        let mut modules = (0..).map(|number| Module::package(&path(number), "v1.0.0"));
        let name = owner.peer_id();
        let module = modules.find(|module| is_owner(&name, &host, module));
        let module = module.unwrap().bulk("noise.bin", BYTES);
        upstream.publish(&module);
        Self {
            upstream,
            holder_id: holder.peer_id(),
            holder,
            host,
            line,
            module,
            _owner: owner,
        }
    }

    /// What the host answers that the owner sends to the holder, which fails in the middle of the zip. `Meanwhile` is done
    /// while it waits for the holder.
    fn ask(&mut self, failing: Failing, meanwhile: impl FnOnce()) -> Response {
        let zip = self.module.url_path("zip");
        let held = self.upstream.hold(&zip);
        let fetching = self.holder.request(&zip).within(SOON);
        let fetching = thread::spawn(move || fetching.send());
        self.upstream.wait_for(&zip, 1, SOON);
        let wanted = self.host.request(&zip).within(SOON * 2);
        let asking = thread::spawn(move || wanted.send());
        self.host.wait_until("it waits for the holder", |host| {
            host.status()["leases"]["waits"] == 1
        });
        meanwhile();
        let before = self.line.bytes_down();
        held.release();
        self.host.wait_until("a part of the zip has come", |_| {
            self.line.bytes_down() > before + BYTES as u64 / 5
        });
        assert!(!asking.is_finished());
        let answer = match failing {
            Failing::Dies => {
                self.holder.kill();
                asking.join()
            }
            Failing::Halts => {
                let _frozen = self.holder.freeze();
                asking.join()
            }
        };
        // Whether the holder's own client had it all by then is no matter.
        let _ = fetching.join().unwrap();
        self.assert_it_was_sent_there();
        answer.unwrap().unwrap()
    }

    /// Nobody had it at first; then the owner named the holder, which began and did not end.
    #[track_caller]
    fn assert_it_was_sent_there(&self) {
        let of = format!("{}@v1.0.0", self.module.path());
        let zip = self.host.explain_file(&of, "zip");
        let steps = zip["last_fetch"]["steps"].as_array().unwrap();
        let first = |kind: &str| steps.iter().find(|step| step["step"] == kind).unwrap();
        assert_eq!(
            first("locate")["have_it"][0],
            serde_json::Value::Null,
            "{zip:#}"
        );
        let holder = self.holder_id.as_str();
        assert_eq!(first("together")["had_it"][0], holder, "{zip:#}");
        assert_eq!(first("transfer")["peer"], holder, "{zip:#}");
        assert!(first("transfer")["failed"].is_string(), "{zip:#}");
    }
}

#[track_caller]
fn assert_it_is_somewhere(answer: &Response) {
    assert_eq!(answer.status, 502, "{}", answer.text());
    let said = answer.text();
    assert!(said.contains("is offered by a neighbour"), "{said}");
}

#[test]
fn without_an_upstream_a_file_whose_named_holder_fails_is_no_404() {
    for failing in [Failing::Dies, Failing::Halts] {
        let mut scene = Scene::new("off");
        assert_it_is_somewhere(&scene.ask(failing, || {}));
    }
}

#[test]
fn where_upstream_goes_away_a_file_whose_named_holder_fails_is_no_404_below_a_module_that_is_held()
{
    for failing in [Failing::Dies, Failing::Halts] {
        let own = FakeUpstream::start([parent()]);
        let mut scene = Scene::new(&own.url());
        let held = parent().url_path("mod");
        scene.host.get(&held).expect_body();
        assert_it_is_somewhere(&scene.ask(failing, || own.close()));
        // What nobody has is no module there, as far as this host can tell now.
        let nothing = format!("{}/nothing/@v/v1.0.0.zip", parent().path());
        assert_eq!(scene.host.get(&nothing).status, 404);
    }
}

#[test]
fn upstreams_own_404_passes_where_a_named_holder_fails() {
    // `go` may have it from the next proxy of its list, and no neighbour can keep it from that by a word that it does not keep.
    for failing in [Failing::Dies, Failing::Halts] {
        let own = FakeUpstream::start([parent()]);
        let mut scene = Scene::new(&own.url());
        let log = scene.upstream.log(|log| log.clone());
        own.log(|own| *own = log);
        let of_own = scene.host.get("example.com/none/@v/v1.0.0.zip").text();
        let answer = scene.ask(failing, || {});
        assert_eq!(answer.status, 404, "{}", answer.text());
        assert_eq!(answer.header("x-modmesh-source"), "upstream");
        let said = of_own.replace("example.com/none", scene.module.path());
        assert_eq!(answer.text(), said);
        assert!(own.traffic_of(&scene.module.url_path("zip")).requests >= 1);
    }
}
