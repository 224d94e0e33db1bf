//! TLS: HTTP/2 where both sides speak it, and certificates that are not believed.

use ::http::{Request, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedKey, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A certificate authority of the test.
pub(super) struct Authority(CertifiedKey);

/// A proxy behind TLS that answers every path with the HTTP version it was asked in.
struct Secure {
    url: String,
    _tasks: JoinSet<()>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key_pair = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key_pair).unwrap();
        Self(CertifiedKey { cert, key_pair })
    }

    pub(super) fn pem(&self) -> Vec<u8> {
        self.0.cert.pem().into_bytes()
    }

    /// A certificate for 127.0.0.1 that is valid in these years.
    fn issue(&self, from: i32, to: i32) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params
            .signed_by(&key, &self.0.cert, &self.0.key_pair)
            .unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (certificate.der().clone(), key)
    }
}

impl Secure {
    async fn new(authority: &Authority, years: (i32, i32), protocol: &'static [u8]) -> Self {
        let (certificate, key) = authority.issue(years.0, years.1);
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(|request: Request<_>| async move {
                        let version = format!("{:?}", request.version());
                        drop::<hyper::body::Incoming>(request.into_body());
                        Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(
                            version,
                        ))))
                    });
                    let io = TokioIo::new(stream);
                    if protocol == b"h2" {
                        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .serve_connection(io, service)
                            .await;
                    } else {
                        let _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(io, service)
                            .await;
                    }
                });
            }
        });
        Self { url, _tasks: tasks }
    }
}

fn believing(authority: &Authority) -> Options {
    Options {
        extra_roots: vec![authority.pem()],
        ..options()
    }
}

#[tokio::test]
async fn http2_is_spoken_where_tls_agrees_on_it() {
    let authority = Authority::new();
    for (protocol, version) in [(&b"h2"[..], "HTTP/2.0"), (b"http/1.1", "HTTP/1.1")] {
        let secure = Secure::new(&authority, (2020, 2100), protocol).await;
        let upstream = upstream(&secure.url, believing(&authority));
        let got = upstream.get(LIST, 99).await.unwrap();
        assert_eq!(&got.body[..], version.as_bytes());
    }
}

#[tokio::test]
async fn a_certificate_outside_its_dates_names_the_clock_of_this_host() {
    let authority = Authority::new();
    for (years, word) in [
        ((2098, 2100), "only from 2098-01-01"),
        ((2001, 2002), "expired on 2002-01-01"),
    ] {
        let secure = Secure::new(&authority, years, b"h2").await;
        let upstream = upstream(&secure.url, believing(&authority));
        let error = upstream.get(LIST, 99).await.unwrap_err();
        let UpstreamError::Unreachable { reason, .. } = error else {
            panic!("{error}");
        };
        assert!(reason.contains(word), "{reason}");
        assert!(reason.contains("this host's clock says 20"), "{reason}");
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_not_believed_and_no_clock_is_blamed() {
    let secure = Secure::new(&Authority::new(), (2020, 2100), b"h2").await;
    let upstream = upstream(&secure.url, believing(&Authority::new()));
    let error = upstream.get(LIST, 99).await.unwrap_err().to_string();
    assert!(!error.contains("clock"), "{error}");
    assert!(error.contains("certificate"), "{error}");
}
