//! `file://` entries.

use std::fs;

use super::*;

#[tokio::test]
async fn a_directory_answers_as_a_proxy_would() {
    let tree = tempfile::tempdir().unwrap();
    let folder = tree.path().join("a b/example.com/!m/@v");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("list"), "v1.0.0\n").unwrap();
    fs::write(folder.join("v1.0.0.zip"), vec![7; 600_000]).unwrap();
    let list = format!("file://{}/a b", tree.path().display());
    let (upstream, counts) = watched(&list, options());
    let got = upstream.get("example.com/!m/@v/list", 99).await.unwrap();
    assert_eq!(&got.body[..], b"v1.0.0\n");
    let mut sink = Vec::new();
    let zip = "example.com/!m/@v/v1.0.0.zip";
    let downloaded = upstream
        .download(Begin::First, zip, 600_000, &mut sink)
        .await
        .unwrap();
    assert_eq!((downloaded.bytes, sink.len()), (600_000, 600_000));
    let error = upstream.get(zip, 599_999).await.unwrap_err();
    assert!(matches!(error, UpstreamError::TooLarge { .. }), "{error}");
    for missing in [
        "example.com/!m/@v/v1.0.0.info",
        "example.com/!m/@v/list/@v/list",
        "example.com/!m/@v",
    ] {
        let error = upstream.get(missing, 99).await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::NotFound(_)),
            "{missing}: {error}"
        );
    }
    let error = upstream
        .get("../a b/example.com/!m/@v/list", 99)
        .await
        .unwrap_err();
    assert_eq!(error.answer().unwrap().status, 400);
    assert_eq!(counts.requests.lock().unwrap().len(), 6);
    assert_eq!(upstream.entries()[0].state.as_str(), "up");
}

#[tokio::test]
async fn what_a_directory_lacks_is_asked_of_the_next_entry() {
    let tree = tempfile::tempdir().unwrap();
    let fake = fake_with(Some(200)).await;
    let list = format!("file://{},{}", tree.path().display(), fake.url());
    let got = upstream(&list, options()).get(LIST, 99).await.unwrap();
    assert_eq!(&got.body[..], b"a word");
}
