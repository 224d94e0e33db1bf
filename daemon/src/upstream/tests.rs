//! Stories about the road to town, told over real sockets on loopback.

#![allow(clippy::unwrap_used)]

mod direct;
mod fake;
mod faults;
mod proxied;
mod site;
mod sumdb;
mod tls;
mod tree;
mod trouble;

use std::sync::atomic::Ordering;

use super::*;
use crate::os::unheard::Unheard;
use fake::{Fake, Script, answer, ok, options, redirect, upstream, watched};

const LIST: &str = "example.com/m/@v/list";

/// The list that a fake serves, at each base path in use here.
fn serving(script: Script) -> [(&'static str, Script); 1] {
    [("/example.com/m/@v/list", script)]
}

#[tokio::test]
async fn what_a_proxy_says_comes_through_and_is_counted() {
    let fake = Fake::new(serving(answer(
        200,
        "text/plain; charset=utf-8",
        "v1.0.0\n",
    )))
    .await;
    let (upstream, counts) = watched(&fake.url(), options());
    assert_eq!(upstream.entries()[0].state.as_str(), "untried");
    let got = upstream.get(LIST, 1 << 20).await.unwrap();
    assert_eq!(&got.body[..], b"v1.0.0\n");
    assert_eq!(got.content_type.unwrap(), "text/plain; charset=utf-8");
    assert_eq!(got.url, format!("{}/{LIST}", fake.url()));
    assert_eq!(upstream.entries()[0].state.as_str(), "up");
    assert_eq!(*counts.requests.lock().unwrap(), [(RequestKind::List, 200)]);
    assert_eq!(counts.bytes.load(Ordering::SeqCst), 7);
    let head = fake.heads()[0].to_lowercase();
    assert!(head.contains("user-agent: modmesh/"), "{head}");
    assert!(head.contains("accept-encoding: identity"), "{head}");
}

#[tokio::test]
async fn paths_go_out_in_the_form_that_go_gives_them() {
    let fake = Fake::new([
        (
            "/base/github.com/%21big/m/@v/v1.0.0+incompatible.mod",
            ok("1"),
        ),
        ("/github.com/%21big/m/@v/v1.0.0.info", ok("2")),
    ])
    .await;
    let based = upstream(&format!("{}/base/", fake.url()), options());
    let path = "github.com/!big/m/@v/v1.0.0+incompatible.mod";
    assert_eq!(&based.get(path, 9).await.unwrap().body[..], b"1");
    let plain = upstream(&fake.url(), options());
    let path = "github.com/!big/m/@v/v1.0.0.info";
    assert_eq!(&plain.get(path, 9).await.unwrap().body[..], b"2");
    for path in ["", "/a", "a//b", "a/../b", "./a", "a\\b", "a/"] {
        let error = plain.get(path, 9).await.unwrap_err();
        assert_eq!(error.answer().unwrap().status, 400, "{path}");
    }
    assert_eq!(fake.heads().len(), 2);
}

/// Two entries, each separator, each way to fail: who is asked, and whose word is told.
#[tokio::test]
async fn the_list_is_walked_as_go_walks_it() {
    let failing = [Some(404), Some(410), Some(403), Some(500), None];
    for separator in [',', '|'] {
        for first in failing {
            for second in [Some(200), Some(404), Some(500)] {
                let nobody = Unheard::new();
                let (a, b) = (fake_with(first).await, fake_with(second).await);
                let a = match first {
                    Some(_) => a.url(),
                    None => format!("http://{}", nobody.address()),
                };
                let list = format!("{a}{separator}{}", b.url());
                let outcome = upstream(&list, options()).get(LIST, 99).await;
                let passes = separator == '|' || matches!(first, Some(404 | 410));
                assert_eq!(b.heads().len(), usize::from(passes), "{list} {first:?}");
                let told = match (passes, first, second) {
                    (false, first, _) => first,
                    (true, first, Some(404)) if !matches!(first, Some(404 | 410)) => first,
                    (true, _, second) => second,
                };
                let status = match &outcome {
                    Ok(_) => Some(200),
                    Err(error) => error.answer().map(|answer| answer.status),
                };
                assert_eq!(status, told, "{first:?}{separator}{second:?}: {outcome:?}");
            }
        }
    }
}

/// A proxy with this status for the list.
async fn fake_with(status: Option<u16>) -> Fake {
    Fake::new(serving(answer(
        status.unwrap_or(200),
        "text/plain",
        "a word",
    )))
    .await
}

#[tokio::test]
async fn off_and_direct_end_the_list_and_leave_the_last_word_to_whoever_spoke() {
    let off = upstream("off", options()).get(LIST, 99).await.unwrap_err();
    assert!(matches!(off, UpstreamError::Off));
    let direct = upstream("direct", options());
    let error = direct.get(LIST, 99).await.unwrap_err();
    assert!(matches!(error, UpstreamError::DirectNotYours));
    assert!(error.to_string().contains("`modmesh up`"), "{error}");

    let fake = Fake::new(serving(answer(404, "text/plain", "no such module\n"))).await;
    let before_off = upstream(&format!("{},off", fake.url()), options());
    let error = before_off.get(LIST, 99).await.unwrap_err();
    assert_eq!(
        error.answer().unwrap().text.as_deref(),
        Some("no such module\n")
    );
    let before_direct = upstream(&format!("{},direct", fake.url()), options());
    let error = before_direct.get(LIST, 99).await.unwrap_err();
    assert!(matches!(error, UpstreamError::NotFound(_)));
    let text = error.answer().unwrap().text.clone().unwrap();
    assert!(text.starts_with("no such module\n"), "{text}");
    assert!(text.contains("run a daemon of your own"), "{text}");
    let states: Vec<_> = before_direct.entries().into_iter().map(|e| e.url).collect();
    assert_eq!(states, [fake.url(), "direct".to_owned()]);
}

#[tokio::test]
async fn a_refusal_keeps_its_status_and_its_plain_text_but_no_html() {
    let long = "x".repeat(9000);
    for (script, status, text) in [
        (
            answer(403, "text/plain", "not\nhere"),
            403,
            Some("not\nhere"),
        ),
        (
            answer(403, "text/plain; charset=\"UTF-8\"", "\u{fc}"),
            403,
            Some("\u{fc}"),
        ),
        (answer(429, "Text/Plain", &long), 429, Some(&long[..8192])),
        (answer(404, "text/html", "<p>no"), 404, None),
        (answer(403, "text/plain; charset=latin1", "no"), 403, None),
        (answer(403, "text/plain", "\u{1}\u{2}"), 403, None),
        (answer(403, "text/plain", " \n"), 403, None),
        (answer(204, "text/plain", ""), 204, None),
        (answer(503, "text/plain", "later"), 503, Some("later")),
    ] {
        let fake = Fake::new(serving(script)).await;
        let error = upstream(&fake.url(), options())
            .get(LIST, 99)
            .await
            .unwrap_err();
        let kind_fits = match &error {
            UpstreamError::NotFound(_) => status == 404,
            UpstreamError::Refused(_) => (400..500).contains(&status),
            UpstreamError::Failed(_) => !(400..500).contains(&status),
            _ => false,
        };
        assert!(kind_fits, "{error:?}");
        let got = error.answer().unwrap();
        assert_eq!((got.status, got.text.as_deref()), (status, text));
    }
}

#[tokio::test]
async fn redirects_are_followed_but_not_in_circles_and_not_with_credentials_elsewhere() {
    let elsewhere = Fake::new([("/x?sig=1", ok("found"))]).await;
    let target = format!("http://u:p@{}/x?sig=1", elsewhere.address);
    let fake = Fake::new([
        ("/example.com/m/@v/list", redirect("../hop#f")),
        ("/example.com/m/hop", redirect(&target)),
        ("/example.com/circle/@v/list", redirect("list")),
        ("/example.com/odd/@v/list", redirect("ftp://a.example/")),
    ])
    .await;
    let list = format!("http://anna:secret@{}", fake.address);
    let upstream = upstream(&list, options());
    let got = upstream.get(LIST, 99).await.unwrap();
    assert_eq!(&got.body[..], b"found");
    assert_eq!(got.url, format!("http://xxxxx@{}/{LIST}", fake.address));
    let basic = "authorization: basic yw5uytpzzwnyzxq=";
    assert!(
        fake.heads()
            .iter()
            .all(|head| head.to_lowercase().contains(basic))
    );
    assert!(
        !elsewhere.heads()[0]
            .to_lowercase()
            .contains("authorization")
    );

    let asked = fake.heads().len();
    let error = upstream
        .get("example.com/circle/@v/list", 99)
        .await
        .unwrap_err();
    assert!(matches!(&error, UpstreamError::Failed(answer) if answer.status == 302));
    let text = error.to_string();
    assert!(text.contains("stopped after 10 redirects"), "{text}");
    assert_eq!(fake.heads().len(), asked + 11);
    let error = upstream
        .get("example.com/odd/@v/list", 99)
        .await
        .unwrap_err();
    assert!(matches!(error, UpstreamError::Failed(_)), "{error}");
}

#[tokio::test]
async fn credentials_are_not_sent_in_the_clear_over_a_network() {
    let list = ProxyList::parse("http://anna:secret@proxy.example").unwrap();
    let counts: Arc<dyn Watch> = Arc::new(fake::Counts::default());
    let error = Upstream::new(list, options(), counts).unwrap_err();
    assert!(matches!(error, StartError::InsecureCredentials { .. }));
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn no_more_requests_run_than_allowed_and_zips_leave_room_for_small_files() {
    let hang = Script::Hang(String::new());
    let zips: Vec<String> = (0..4)
        .map(|i| format!("example.com/m/@v/v1.0.{i}.zip"))
        .collect();
    let scripts = zips.iter().map(|zip| (format!("/{zip}"), hang.clone()));
    let mut scripts: Vec<_> = scripts.collect();
    scripts.push(("/warm/@v/v1.0.0.mod".to_owned(), ok("m")));
    scripts.push(("/example.com/m/@v/list".to_owned(), ok("v1.0.0")));
    let fake = Fake::new(
        scripts
            .iter()
            .map(|(path, script)| (path.as_str(), script.clone())),
    )
    .await;
    let options = Options {
        concurrency_max: 4,
        ..options()
    };
    let upstream = upstream(&fake.url(), options);
    upstream.get("warm/@v/v1.0.0.mod", 9).await.unwrap();
    let mut running = tokio::task::JoinSet::new();
    for zip in zips {
        let upstream = upstream.clone();
        running.spawn(async move { upstream.get(&zip, 99).await.is_ok() });
    }
    fake.until_asked(4).await;
    // The fourth zip waits although one place is free; a small file takes that place.
    upstream.get(LIST, 99).await.unwrap();
    let asked = fake.heads();
    assert_eq!(asked.iter().filter(|head| head.contains(".zip")).count(), 3);
}
