//! The way to a checksum database.

use super::*;

const SUPPORTED: &str = "/sumdb/sum.example/supported";
const LOOKUP: &str = "lookup/github.com/!big/m@v1.0.0";
const THROUGH: &str = "/sumdb/sum.example/lookup/github.com/!big/m@v1.0.0";
const STRAIGHT: &str = "/lookup/github.com/!big/m@v1.0.0";

fn at(database: &Fake) -> SumdbAddress {
    SumdbAddress {
        name: "sum.example".to_owned(),
        direct_base: database.url(),
        bypass_proxies: false,
    }
}

async fn itself() -> Fake {
    Fake::new([(STRAIGHT, ok("straight"))]).await
}

async fn offering() -> Fake {
    Fake::new([(SUPPORTED, ok("")), (THROUGH, ok("through"))]).await
}

#[tokio::test]
async fn the_first_proxy_that_offers_the_database_is_asked_for_everything() {
    let (database, without, with) = (itself().await, Fake::new([]).await, offering().await);
    let upstream = upstream(
        &format!("{},{},direct", without.url(), with.url()),
        options(),
    );
    let asked = (0..8).map(|_| async {
        let got = upstream.sumdb(&at(&database), LOOKUP, 99).await.unwrap();
        assert_eq!(
            (&got.body[..], got.from_database_itself),
            (&b"through"[..], false)
        );
    });
    futures::future::join_all(asked).await;
    let count = |fake: &Fake| {
        fake.heads()
            .iter()
            .filter(|head| head.contains("supported"))
            .count()
    };
    assert_eq!((count(&without), count(&with)), (1, 1));
    assert_eq!(database.heads().len(), 0);
    // A 404 through the proxy is the answer; the database itself is a question of its own.
    let error = upstream
        .sumdb(&at(&database), "lookup/x@v1", 99)
        .await
        .unwrap_err();
    assert!(matches!(error, UpstreamError::NotFound(_)), "{error}");
    let got = upstream
        .sumdb_itself(&at(&database), LOOKUP, 99)
        .await
        .unwrap();
    assert_eq!(
        (&got.body[..], got.from_database_itself),
        (&b"straight"[..], true)
    );
}

#[tokio::test]
async fn the_database_itself_is_asked_where_no_proxy_offers_it() {
    let (without, broken) = (Fake::new([]).await, broken().await);
    for list in [
        without.url(),
        format!("{},direct", without.url()),
        format!("{}|{}", broken.url(), without.url()),
        format!("{}|direct", broken.url()),
        format!("{},off", without.url()),
        "direct".to_owned(),
    ] {
        let database = itself().await;
        let got = upstream(&list, options())
            .sumdb(&at(&database), LOOKUP, 99)
            .await;
        assert!(got.unwrap().from_database_itself, "{list}");
    }
}

async fn broken() -> Fake {
    Fake::new([(SUPPORTED, answer(500, "text/plain", "broken"))]).await
}

#[tokio::test]
async fn an_error_that_the_list_does_not_pass_on_makes_the_database_unavailable() {
    let (database, broken, with) = (itself().await, broken().await, offering().await);
    let upstream = upstream(&format!("{},{}", broken.url(), with.url()), options());
    for _ in 0..2 {
        let error = upstream
            .sumdb(&at(&database), LOOKUP, 99)
            .await
            .unwrap_err();
        assert!(matches!(error, UpstreamError::Failed(_)), "{error}");
    }
    assert_eq!((database.heads().len(), with.heads().len()), (0, 0));
}

#[tokio::test]
async fn that_a_proxy_cannot_say_whether_it_offers_the_database_is_found_out_once_for_all_lookups()
{
    for (lifetime, asked) in [(Duration::from_secs(600), 2), (Duration::ZERO, 16)] {
        let (database, broken) = (itself().await, broken().await);
        let options = Options {
            retries: 1,
            sumdb_way_lifetime: lifetime,
            ..options()
        };
        let upstream = upstream(&broken.url(), options);
        let lookups = (0..8).map(|_| async {
            let error = upstream.sumdb(&at(&database), LOOKUP, 99).await;
            assert!(matches!(error, Err(UpstreamError::Failed(_))), "{error:?}");
        });
        futures::future::join_all(lookups).await;
        assert_eq!(broken.heads().len(), asked, "{lifetime:?}");
    }
}

#[tokio::test]
async fn a_url_in_gosumdb_is_asked_alone_and_off_means_nobody() {
    let (database, with) = (itself().await, offering().await);
    let address = SumdbAddress {
        bypass_proxies: true,
        ..at(&database)
    };
    let got = upstream(&with.url(), options())
        .sumdb(&address, LOOKUP, 99)
        .await;
    assert!(got.unwrap().from_database_itself);
    assert_eq!(with.heads().len(), 0);
    let off = upstream("off", options());
    for outcome in [
        off.sumdb(&address, LOOKUP, 99).await,
        off.sumdb_itself(&address, LOOKUP, 99).await,
    ] {
        assert!(matches!(outcome, Err(UpstreamError::Off)));
    }
}

#[tokio::test]
async fn the_choice_is_made_again_when_it_is_too_old() {
    let (database, with) = (itself().await, offering().await);
    let options = Options {
        sumdb_way_lifetime: Duration::ZERO,
        ..options()
    };
    let upstream = upstream(&with.url(), options);
    for _ in 0..2 {
        upstream.sumdb(&at(&database), LOOKUP, 99).await.unwrap();
    }
    let asked = with.heads();
    assert_eq!(
        asked
            .iter()
            .filter(|head| head.contains("supported"))
            .count(),
        2
    );
}

#[tokio::test]
async fn a_tree_of_files_offers_the_databases_it_holds() {
    let tree = tempfile::tempdir().unwrap();
    let folder = tree.path().join("sumdb/sum.example");
    std::fs::create_dir_all(folder.join("lookup/github.com/!big")).unwrap();
    std::fs::write(folder.join("supported"), "").unwrap();
    std::fs::write(folder.join(LOOKUP), "filed").unwrap();
    let upstream = upstream(&format!("file://{}", tree.path().display()), options());
    let got = upstream
        .sumdb(&at(&itself().await), LOOKUP, 99)
        .await
        .unwrap();
    assert_eq!(
        (&got.body[..], got.from_database_itself),
        (&b"filed"[..], false)
    );
}
