//! HTTP proxies between this host and the world.

use super::*;

fn through(proxy: &str) -> Options {
    Options {
        proxies: ProxySettings {
            all: proxy.to_owned(),
            ..ProxySettings::default()
        },
        extra_roots: vec![tls::Authority::new().pem()],
        ..options()
    }
}

#[tokio::test]
async fn a_plain_entry_is_asked_of_the_proxy_in_absolute_form_with_its_credentials() {
    let proxy = Fake::new([(
        "http://modules.example/go/example.com/m/@v/list",
        ok("v1.0.0"),
    )])
    .await;
    let options = through(&format!("http://anna:secret@{}", proxy.address));
    let upstream = upstream("http://modules.example/go", options);
    assert_eq!(&upstream.get(LIST, 99).await.unwrap().body[..], b"v1.0.0");
    let head = proxy.heads()[0].to_lowercase();
    assert!(
        head.contains("proxy-authorization: basic yw5uytpzzwnyzxq="),
        "{head}"
    );
}

#[tokio::test]
async fn a_secure_entry_is_reached_by_a_tunnel_and_its_refusal_is_told() {
    let proxy = Fake::new([("modules.example:443", answer(403, "text/plain", ""))]).await;
    let options = through(&format!("http://anna:secret@{}", proxy.address));
    let upstream = upstream("https://modules.example", options);
    let error = upstream.get(LIST, 99).await.unwrap_err();
    assert!(
        matches!(&error, UpstreamError::Unreachable { reason, .. } if reason.contains("tunnel")),
        "{error}"
    );
    let head = proxy.heads()[0].to_lowercase();
    assert!(head.starts_with("connect modules.example:443 "), "{head}");
    assert!(
        head.contains("proxy-authorization: basic yw5uytpzzwnyzxq="),
        "{head}"
    );
}

#[tokio::test]
async fn loopback_is_never_asked_through_a_proxy() {
    let proxy = Fake::new([]).await;
    let fake = fake_with(Some(200)).await;
    for host in ["127.0.0.1", "localhost"] {
        let list = format!("http://{host}:{}", fake.address.port());
        let upstream = upstream(&list, through(&proxy.url()));
        upstream.get(LIST, 99).await.unwrap();
    }
    assert_eq!(proxy.heads().len(), 0);
}

#[tokio::test]
async fn a_proxy_setting_that_cannot_be_used_is_an_error_at_start() {
    for value in ["ftp://a.example", "http://", "a b", "socks4://a.example"] {
        let list = ProxyList::parse("http://modules.example").unwrap();
        let counts: Arc<dyn Watch> = Arc::new(fake::Counts::default());
        let error = Upstream::new(list, through(value), counts).unwrap_err();
        assert!(
            matches!(
                error,
                StartError::Proxy {
                    variable: "ALL_PROXY"
                }
            ),
            "{value}: {error}"
        );
    }
}
