//! What fails in passing, breaks off, is refused or asks to be left alone.

use super::*;

const ZIP: &str = "example.com/m/@v/v1.0.0.zip";
const MEBI: u64 = 1 << 20;

fn zip(scripts: Vec<Script>) -> [(&'static str, Script); 1] {
    [("/example.com/m/@v/v1.0.0.zip", Script::InTurn(scripts))]
}

fn retrying() -> Options {
    Options {
        retries: 2,
        ..options()
    }
}

/// 40,000 bytes that differ.
fn contents() -> String {
    (0..8000).map(|number| format!("{number:05}")).collect()
}

fn head(status: u16, length: usize, headers: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{headers}\r\n")
}

fn rest(from: usize, headers: &str) -> Script {
    let contents = contents();
    let range = format!("Content-Range: bytes {from}-39999/40000\r\n{headers}");
    Script::Send(head(206, 40_000 - from, &range) + &contents[from..])
}

/// The first `bytes` of 40,000, and the end of the connection.
fn cut(bytes: usize, headers: &str) -> Script {
    Script::Cut(head(200, 40_000, headers) + &contents()[..bytes])
}

#[tokio::test]
async fn what_fails_in_passing_is_asked_again_and_what_was_said_is_not() {
    let statuses = |statuses: &[u16]| {
        let scripts = statuses
            .iter()
            .map(|status| answer(*status, "text/plain", "v1.0.0"));
        Script::InTurn(scripts.collect())
    };
    for (script, expected) in [
        (statuses(&[503, 502, 200]), Ok(3)),
        (statuses(&[429, 200]), Ok(2)),
        (statuses(&[500, 500, 500, 200]), Err((500, 3))),
        (statuses(&[404, 200]), Err((404, 1))),
        (statuses(&[403, 200]), Err((403, 1))),
        (statuses(&[501, 200]), Err((501, 1))),
        // A connection that breaks before an answer is made anew at once, twice is a failure in passing.
        (
            Script::InTurn(vec![
                Script::Cut(String::new()),
                Script::Cut(String::new()),
                ok("v1.0.0"),
            ]),
            Ok(3),
        ),
    ] {
        let fake = Fake::new(serving(script.clone())).await;
        let got = upstream(&fake.url(), retrying()).get(LIST, 99).await;
        let seen = match &got {
            Ok(_) => Ok(fake.heads().len()),
            Err(error) => Err((error.answer().unwrap().status, fake.heads().len())),
        };
        assert_eq!(seen, expected, "{script:?}");
    }
}

#[tokio::test]
async fn the_next_entry_is_a_better_retry_than_the_same_one() {
    let (a, b) = (fake_with(Some(503)).await, fake_with(Some(200)).await);
    let list = format!("{}|{}", a.url(), b.url());
    upstream(&list, retrying()).get(LIST, 99).await.unwrap();
    assert_eq!((a.heads().len(), b.heads().len()), (1, 1));
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_before_the_entry_counts_as_down() {
    let unheard = Unheard::new();
    let (upstream, counts) = watched(&format!("http://{}", unheard.address()), retrying());
    upstream.get(LIST, 99).await.unwrap_err();
    assert_eq!(counts.requests.lock().unwrap().len(), 3);
    assert_eq!(upstream.entries()[0].state.as_str(), "down");
    upstream.get(LIST, 99).await.unwrap_err();
    assert_eq!(counts.requests.lock().unwrap().len(), 3);
    assert!(upstream.is_in_doubt());
}

#[tokio::test]
async fn refusals_are_remembered_file_by_file() {
    for status in [404, 410, 403] {
        let fake = fake_with(Some(status)).await;
        let upstream = upstream(&fake.url(), options());
        for _ in 0..3 {
            let error = upstream.get(LIST, 99).await.unwrap_err();
            assert_eq!(error.answer().unwrap().status, status);
            assert_eq!(error.answer().unwrap().text.as_deref(), Some("a word"));
        }
        assert_eq!(fake.heads().len(), 1, "{status}");
        upstream.get("example.com/n/@v/list", 99).await.unwrap_err();
        assert_eq!(fake.heads().len(), 2, "{status}");
    }
}

#[tokio::test]
async fn retry_after_is_waited_for_when_it_is_short_and_kept_to_by_all_when_it_is_long() {
    let later = |seconds: u32| {
        let headers = format!("Content-Type: text/plain\r\nRetry-After: {seconds}\r\n");
        Script::Send(head(429, 4, &headers) + "busy")
    };
    let fake = Fake::new(serving(Script::InTurn(vec![later(0), ok("v1.0.0")]))).await;
    upstream(&fake.url(), retrying())
        .get(LIST, 99)
        .await
        .unwrap();
    assert_eq!(fake.heads().len(), 2);

    let fake = Fake::new(serving(later(100))).await;
    let upstream = upstream(&fake.url(), retrying());
    for path in [LIST, "example.com/other/@v/list"] {
        let error = upstream.get(path, 99).await.unwrap_err();
        let answer = error.answer().unwrap();
        assert_eq!((answer.status, answer.text.as_deref()), (429, Some("busy")));
        assert!(answer.retry_after.unwrap() > Duration::from_secs(90));
    }
    assert_eq!(fake.heads().len(), 1);
    let RoadState::Resting { left, reason, .. } = upstream.entries().remove(0).state else {
        panic!("not resting");
    };
    assert!(left > Duration::from_secs(90));
    assert_eq!(reason, "answered 429: busy");
}

#[tokio::test]
async fn a_file_that_breaks_off_is_taken_up_where_it_broke_off() {
    let tag = "ETag: \"one\"\r\n";
    let fake = Fake::new(zip(vec![cut(20_000, tag), rest(20_000, tag)])).await;
    let mut sink = Vec::new();
    let upstream = upstream(&fake.url(), options());
    let downloaded = upstream
        .download(Begin::First, ZIP, MEBI, &mut sink)
        .await
        .unwrap();
    assert!(sink == contents().as_bytes());
    assert_eq!((downloaded.bytes, downloaded.resumed), (40_000, true));
    let asked = fake.heads()[1].to_lowercase();
    assert!(asked.contains("range: bytes=20000-\r\n"), "{asked}");
    assert!(asked.contains("if-range: \"one\"\r\n"), "{asked}");
}

#[tokio::test]
async fn a_rest_of_something_else_is_never_put_to_it() {
    let tag = "ETag: \"one\"\r\n";
    let other_length =
        Script::Send(head(206, 10, "Content-Range: bytes 20000-20009/20010\r\n") + "0123456789");
    for second in [
        rest(20_000, "ETag: \"two\"\r\n"),
        rest(19_000, tag),
        rest(20_001, tag),
        other_length,
        Script::Send(head(416, 0, "")),
        Script::Send(head(206, 20_000, tag) + &contents()[20_000..]),
        redirect("elsewhere.zip"),
    ] {
        let fake = Fake::new(zip(vec![cut(20_000, tag), second.clone()])).await;
        let mut sink = Vec::new();
        let upstream = upstream(&fake.url(), options());
        let asked = upstream.download(Begin::First, ZIP, MEBI, &mut sink).await;
        assert!(
            matches!(asked, Err(UpstreamError::Unreachable { .. })),
            "{second:?}"
        );
    }
    // Nor is anything that no hash judges taken up, or a part that is hardly one.
    let list = Script::InTurn(vec![cut(20_000, tag), rest(20_000, tag)]);
    let fake = Fake::new(serving(list)).await;
    upstream(&fake.url(), options())
        .get(LIST, MEBI)
        .await
        .unwrap_err();
    assert_eq!(fake.heads().len(), 1);
    let fake = Fake::new(zip(vec![cut(100, tag), rest(100, tag)])).await;
    upstream(&fake.url(), options())
        .get(ZIP, MEBI)
        .await
        .unwrap_err();
    assert_eq!(fake.heads().len(), 1);
}

#[tokio::test]
async fn an_entry_that_cannot_resume_gives_the_whole_again() {
    let whole = Script::Send(head(200, 40_000, "") + &contents());
    let fake = Fake::new(zip(vec![cut(20_000, ""), whole])).await;
    let mut sink = Vec::new();
    let downloaded = upstream(&fake.url(), retrying())
        .download(Begin::First, ZIP, MEBI, &mut sink)
        .await
        .unwrap();
    assert!(sink == contents().as_bytes());
    assert!(!downloaded.resumed);
}

#[tokio::test]
async fn an_answer_that_is_owed_sends_a_scout_whose_word_ends_the_wait() {
    // Everything hangs: the scout is not answered either.
    let hang = || Script::Hang(String::new());
    let everything = [
        ("/example.com/m/@v/list", hang()),
        ("/sumdb/sum.golang.org/supported", hang()),
    ];
    let fake = Fake::new(everything).await;
    let options = Options {
        connect_timeout: Duration::from_millis(100),
        header_timeout: Duration::from_secs(600),
        ..options()
    };
    let upstream_hangs = upstream(&fake.url(), options.clone());
    let error = upstream_hangs.get(LIST, 99).await.unwrap_err();
    assert!(error.to_string().contains("no answer within"), "{error}");
    assert_eq!(upstream_hangs.entries()[0].state.as_str(), "down");

    // Only this file hangs: the entry stays up, and the wait goes on.
    let fake = Fake::new(serving(hang())).await;
    let slow = upstream(&fake.url(), options);
    let asked = slow.clone();
    let waiting = tokio::spawn(async move { asked.get(LIST, 99).await });
    fake.until_asked(2).await;
    while slow.is_in_doubt() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(slow.entries()[0].state.as_str(), "up");
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn the_walk_goes_on_after_an_entry_whose_answer_was_of_no_use() {
    let (a, b) = (fake_with(Some(200)).await, fake_with(Some(200)).await);
    let piped = upstream(&format!("{}|{}", a.url(), b.url()), options());
    let first = piped.get(LIST, 99).await.unwrap();
    let second = piped
        .get_from(Begin::After(first.entry), LIST, 99)
        .await
        .unwrap();
    assert_eq!((first.entry, second.entry), (0, 1));
    let error = piped.get_from(Begin::After(1), LIST, 99).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Off), "{error}");
    // A comma lets nobody pass but who was told "not found".
    let comma = upstream(&format!("{},{}", a.url(), b.url()), options());
    let error = comma.get_from(Begin::After(0), LIST, 99).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Off), "{error}");
    let again = comma.get_from(Begin::Again(0), LIST, 99).await.unwrap();
    assert_eq!(again.entry, 0);
}
