//! Answers that never come, stop, are cut or lie about their length.

use std::time::Duration;

use super::*;

const SHORT: Duration = Duration::from_millis(200);
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n";

fn reason(error: UpstreamError) -> String {
    match error {
        UpstreamError::Unreachable { reason, .. } => reason,
        other => panic!("not unreachable: {other}"),
    }
}

#[tokio::test]
async fn a_body_that_is_cut_is_no_body() {
    for script in [
        Script::Cut(format!("{HEAD}abc")),
        Script::Cut(CHUNKED.to_owned()),
        Script::Cut(format!("{CHUNKED}zz\r\n")),
    ] {
        let fake = Fake::new(serving(script)).await;
        let mut sink = Vec::new();
        let upstream = upstream(&fake.url(), options());
        let error = upstream
            .download(Begin::First, LIST, 1 << 20, &mut sink)
            .await
            .unwrap_err();
        let reason = reason(error);
        assert!(reason.contains("body"), "{reason}");
    }
}

#[tokio::test]
async fn the_next_entry_begins_the_body_anew() {
    let cut = Fake::new(serving(Script::Cut(format!("{HEAD}abc")))).await;
    let whole = Fake::new(serving(ok("whole"))).await;
    let upstream = upstream(&format!("{}|{}", cut.url(), whole.url()), options());
    let mut sink = Vec::new();
    let downloaded = upstream
        .download(Begin::First, LIST, 1 << 20, &mut sink)
        .await
        .unwrap();
    assert_eq!((&sink[..], downloaded.bytes), (&b"whole"[..], 5));
    assert_eq!(downloaded.url, format!("{}/{LIST}", whole.url()));
}

#[tokio::test]
async fn a_body_without_a_length_is_whole_when_it_ends_as_http_ends_it() {
    for script in [
        Script::Send(format!("{CHUNKED}0\r\n\r\n")),
        Script::Cut("HTTP/1.0 200 OK\r\n\r\nabcde".to_owned()),
    ] {
        let fake = Fake::new(serving(script)).await;
        let got = upstream(&fake.url(), options()).get(LIST, 5).await.unwrap();
        assert_eq!(&got.body[..], b"abcde");
    }
}

#[tokio::test]
async fn a_body_beyond_its_bound_is_refused_with_and_without_an_announced_length() {
    for script in [
        Script::Hang(HEAD.to_owned()),
        Script::Hang(CHUNKED.to_owned()),
    ] {
        let fake = Fake::new(serving(script)).await;
        let upstream = upstream(&fake.url(), options());
        let error = upstream.get(LIST, 4).await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::TooLarge { bytes_max: 4, .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_body_that_stalls_or_trickles_is_given_up() {
    for script in [
        Script::Hang(format!("{HEAD}abc")),
        Script::Trickle(HEAD.to_owned(), SHORT / 8),
    ] {
        let fake = Fake::new(serving(script)).await;
        let options = Options {
            idle_timeout: SHORT,
            ..options()
        };
        let upstream = upstream(&fake.url(), options);
        let reason = reason(upstream.get(LIST, 1 << 20).await.unwrap_err());
        assert!(reason.contains("stalled"), "{reason}");
        // It did answer: that is no reason to leave it alone.
        assert_eq!(upstream.entries()[0].state.as_str(), "up");
    }
}

#[tokio::test]
async fn a_small_answer_that_trickles_on_is_given_up_in_the_end_and_its_place_is_free_again() {
    let script = Script::Trickle(HEAD.to_owned(), SHORT / 8);
    let lookup = [("/sumdb/sum.example/lookup/x@v1.0.0", script.clone())];
    let slow = [("/example.com/m/@v/list", script), lookup[0].clone()];
    let quick = ("/example.com/m/@v/v1.0.0.info", ok("{}"));
    let supported = ("/sumdb/sum.example/supported", ok(""));
    let fake = Fake::new(slow.into_iter().chain([quick, supported])).await;
    let options = Options {
        answer_timeout: SHORT,
        concurrency_max: 1,
        ..options()
    };
    let upstream = upstream(&fake.url(), options);
    let database = SumdbAddress {
        name: "sum.example".to_owned(),
        direct_base: fake.url(),
        bypass_proxies: false,
    };
    let list = upstream.get(LIST, 1 << 20).await.map(|_| ());
    let lookup = upstream.sumdb(&database, "lookup/x@v1.0.0", 1 << 20).await;
    for error in [list.unwrap_err(), lookup.map(|_| ()).unwrap_err()] {
        let reason = reason(error);
        assert!(reason.contains("not whole after 200ms"), "{reason}");
    }
    let info = "example.com/m/@v/v1.0.0.info";
    upstream.get(info, 99).await.unwrap();
    assert_eq!(upstream.entries()[0].state.as_str(), "up");
}

#[tokio::test]
async fn who_is_silent_is_asked_once_and_then_left_alone() {
    let fake = Fake::new(serving(Script::Hang(String::new()))).await;
    let options = Options {
        header_timeout: SHORT,
        ..options()
    };
    let (upstream, counts) = watched(&fake.url(), options);
    let first = reason(upstream.get(LIST, 99).await.unwrap_err());
    assert!(first.contains("no answer came within 200ms"), "{first}");
    let second = reason(upstream.get(LIST, 99).await.unwrap_err());
    assert_eq!(first, second);
    assert_eq!(fake.heads().len(), 1);
    assert_eq!(*counts.requests.lock().unwrap(), [(RequestKind::List, 0)]);
    let RoadState::Down { reason, .. } = upstream.entries().remove(0).state else {
        panic!("not down");
    };
    assert_eq!(reason, first);
}

#[tokio::test]
async fn a_refused_connection_is_remembered_until_somebody_answers_there() {
    let unheard = Unheard::new();
    let address = unheard.address();
    let options = Options {
        pause: Duration::ZERO,
        ..options()
    };
    let upstream = upstream(&format!("http://{address}"), options);
    let refused = reason(upstream.get(LIST, 99).await.unwrap_err());
    assert!(refused.to_lowercase().contains("refused"), "{refused}");
    assert_eq!(upstream.entries()[0].state.as_str(), "down");
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let fake = Fake::at(listener, []);
    let error = upstream.get(LIST, 99).await.unwrap_err();
    assert!(matches!(error, UpstreamError::NotFound(_)), "{error}");
    assert_eq!(upstream.entries()[0].state.as_str(), "up");
    drop(fake);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_costs_no_request() {
    let keeps = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    let fake = Fake::new(serving(Script::Cut(keeps.to_owned()))).await;
    let upstream = upstream(&fake.url(), options());
    for _ in 0..20 {
        upstream.get(LIST, 9).await.unwrap();
    }
    assert!(fake.connections() >= 20);
}

#[tokio::test]
async fn many_at_once_share_the_failure_of_the_first() {
    // Accepts TCP by its backlog and never speaks TLS.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options {
        connect_timeout: SHORT,
        extra_roots: vec![super::tls::Authority::new().pem()],
        ..options()
    };
    let list = format!("https://{}", silent.local_addr().unwrap());
    let (upstream, counts) = watched(&list, options);
    let asked = (0..50).map(|_| upstream.get(LIST, 99));
    for outcome in futures::future::join_all(asked).await {
        let reason = reason(outcome.unwrap_err());
        assert!(reason.contains("no connection within 200ms"), "{reason}");
    }
    assert_eq!(counts.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_redirect_to_nobody_is_no_word_about_the_entry_that_answered_with_it() {
    let nobody = Unheard::new();
    let gone = nobody.address();
    let hanging = Fake::new([("/x?sig=1", Script::Hang(String::new()))]).await;
    for target in [format!("http://{gone}"), hanging.url()] {
        let zip = "example.com/m/@v/v1.0.0.zip";
        let fake = Fake::new([
            (
                "/example.com/m/@v/v1.0.0.zip",
                redirect(&format!("{target}/x?sig=1")),
            ),
            ("/example.com/m/@v/list", ok("v1.0.0")),
        ])
        .await;
        let options = Options {
            header_timeout: SHORT,
            ..options()
        };
        let upstream = upstream(&fake.url(), options);
        for _ in 0..2 {
            let reason = reason(upstream.get(zip, 99).await.unwrap_err());
            assert!(reason.contains(&target), "{reason}");
            assert!(!reason.contains("sig"), "{reason}");
            assert_eq!(upstream.entries()[0].state.as_str(), "up");
        }
        upstream.get(LIST, 99).await.unwrap();
        // No scout went.
        assert_eq!(fake.heads().len(), 3);
    }
}

#[tokio::test]
async fn a_coding_that_was_not_asked_for_is_refused() {
    let coded = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx";
    let fake = Fake::new(serving(Script::Send(coded.to_owned()))).await;
    let error = upstream(&fake.url(), options())
        .get(LIST, 9)
        .await
        .unwrap_err();
    assert!(matches!(&error, UpstreamError::Failed(_)), "{error}");
    assert!(error.to_string().contains("compressed"), "{error}");
}

#[tokio::test]
async fn a_full_disk_ends_the_walk_at_once() {
    struct Full;
    impl AsyncWrite for Full {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &[u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::task::Poll::Ready(Err(io::ErrorKind::StorageFull.into()))
        }
        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn poll_shutdown(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }
    impl Sink for Full {
        fn restart(&mut self) -> BoxFuture<'_, io::Result<()>> {
            Box::pin(std::future::ready(Ok(())))
        }
    }
    let (a, b) = (fake_with(Some(200)).await, fake_with(Some(200)).await);
    let upstream = upstream(&format!("{}|{}", a.url(), b.url()), options());
    let error = upstream
        .download(Begin::First, LIST, 99, &mut Full)
        .await
        .unwrap_err();
    assert!(matches!(error, UpstreamError::Sink(_)), "{error}");
    assert_eq!(b.heads().len(), 0);
}
