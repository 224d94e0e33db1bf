//! What this host does with others of its site: places that they share, and rests that members tell of.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use futures::FutureExt;

use super::*;

/// Gives places, and keeps what it is told.
struct Site {
    held: Arc<AtomicUsize>,
    given: Mutex<Vec<bool>>,
    told: Mutex<Vec<(KeyHash, Duration)>>,
    /// Holds a place back until it is told to.
    gate: tokio::sync::Semaphore,
}

struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Door(Arc<Site>);

impl SiteLine for Door {
    fn place(&self, is_zip: bool) -> BoxFuture<'_, Option<SitePlace>> {
        async move {
            self.0.gate.acquire().await.unwrap().forget();
            self.0.held.fetch_add(1, Ordering::SeqCst);
            self.0.given.lock().unwrap().push(is_zip);
            Some(SitePlace {
                held: Box::new(Held(Arc::clone(&self.0.held))),
                waited: Duration::ZERO,
                in_vain: false,
            })
        }
        .boxed()
    }

    fn rests(&self, entry: KeyHash, rest: Duration) {
        self.0.told.lock().unwrap().push((entry, rest));
    }
}

fn at_site(list: &str, places: usize) -> (Upstream, Arc<Site>) {
    let upstream = upstream(list, options());
    let site = Arc::new(Site {
        held: Arc::default(),
        given: Mutex::default(),
        told: Mutex::default(),
        gate: tokio::sync::Semaphore::new(places),
    });
    upstream.stand_in(Box::new(Door(Arc::clone(&site))));
    (upstream, site)
}

fn member() -> PeerName {
    "12D3KooWMember".parse().unwrap()
}

fn named(url: &str) -> KeyHash {
    KeyHash::of_list(url)
}

const MINUTE: Duration = Duration::from_secs(60);

fn later(seconds: u32) -> Script {
    let head = format!("HTTP/1.1 429 X\r\nContent-Length: 4\r\nRetry-After: {seconds}\r\n\r\nbusy");
    Script::Send(head)
}

#[tokio::test]
async fn each_request_has_a_place_until_its_answer_is_whole() {
    let zip = "example.com/m/@v/v1.0.0.zip";
    let scripts = [
        ("/example.com/m/@v/list", ok("v1.0.0")),
        ("/example.com/m/@v/v1.0.0.zip", ok("zip")),
    ];
    let fake = Fake::new(scripts).await;
    let (upstream, site) = at_site(&fake.url(), 9);
    upstream.get(LIST, 99).await.unwrap();
    let mut sink = Vec::new();
    let zip = upstream.download(Begin::First, zip, 99, &mut sink).await;
    assert!(zip.is_ok());
    assert_eq!(*site.given.lock().unwrap(), [false, true]);
    assert_eq!(site.held.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_entry_that_asked_for_a_rest_meanwhile_is_not_asked_by_those_that_wait() {
    let fake = Fake::new(serving(ok("v1.0.0"))).await;
    let (upstream, site) = at_site(&fake.url(), 0);
    let asked = upstream.get(LIST, 99);
    tokio::pin!(asked);
    assert!(futures::poll!(&mut asked).is_pending());
    assert!(upstream.heard_rest(&member(), named(&fake.url()), MINUTE));
    site.gate.add_permits(1);
    let error = asked.await.unwrap_err();
    assert_eq!(error.answer().unwrap().status, 429);
    assert_eq!(fake.heads().len(), 0);
    assert_eq!(site.held.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_long_rest_is_told_once_by_the_name_of_the_entry_and_a_secret_one_never() {
    let fake = Fake::new(serving(later(50))).await;
    let (upstream, site) = at_site(&fake.url(), 9);
    for _ in 0..2 {
        upstream.get(LIST, 99).await.unwrap_err();
    }
    assert_eq!(fake.heads().len(), 1);
    let told = [(named(&fake.url()), Duration::from_secs(50))];
    assert_eq!(*site.told.lock().unwrap(), told);
    let with_user = fake.url().replace("http://", "http://anna:word@");
    let (upstream, site) = at_site(&with_user, 9);
    upstream.get(LIST, 99).await.unwrap_err();
    assert_eq!(fake.heads().len(), 2);
    assert!(site.told.lock().unwrap().is_empty());
    // Nor does anybody else's word count for it.
    for name in [fake.url(), with_user] {
        assert!(!upstream.heard_rest(&member(), named(&name), MINUTE));
    }
}

#[tokio::test]
async fn a_rest_that_a_member_tells_of_is_kept_to_until_a_member_is_answered() {
    let fake = Fake::new(serving(ok("v1.0.0"))).await;
    let (upstream, site) = at_site(&fake.url(), 9);
    let name = named(&fake.url());
    assert!(!upstream.heard_rest(&member(), named("http://other.example"), MINUTE));
    upstream.get(LIST, 99).await.unwrap();
    assert!(upstream.heard_rest(&member(), name, 9 * MINUTE));
    let RoadState::Resting {
        left, heard_from, ..
    } = upstream.entries().remove(0).state
    else {
        panic!("not resting");
    };
    assert!(left <= MINUTE && heard_from == Some(member()));
    let error = upstream.get(LIST, 99).await.unwrap_err();
    let text = error.answer().unwrap().text.clone().unwrap();
    assert!(text.contains("told the member 12D3KooWMember"), "{text}");
    assert_eq!(fake.heads().len(), 1);
    assert!(!upstream.heard_rest(&member(), name, Duration::ZERO));
    upstream.get(LIST, 99).await.unwrap();
    // What a member was told is not told on.
    assert!(site.told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_that_was_on_its_way_ends_a_rest_for_all() {
    let Script::Send(bytes) = ok("v1.0.0") else {
        panic!("another script")
    };
    let script = Script::Late(bytes, Duration::from_millis(300));
    let fake = Fake::new(serving(script)).await;
    let (upstream, site) = at_site(&fake.url(), 9);
    let name = named(&fake.url());
    let asked = upstream.get(LIST, 99);
    let hears = async {
        fake.until_asked(1).await;
        assert!(upstream.heard_rest(&member(), name, MINUTE));
    };
    let (got, ()) = tokio::join!(asked, hears);
    got.unwrap();
    assert_eq!(*site.told.lock().unwrap(), [(name, Duration::ZERO)]);
    assert_eq!(upstream.entries()[0].state.as_str(), "up");
}
