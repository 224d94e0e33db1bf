//! TLS before a server: a certificate authority of the test's own, and doors that end TLS and hand the bytes on.
//!
//! A certificate is valid in the years that the test says, which stands in for a host with a wrong clock.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedKey, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// A certificate authority, with its certificate in a file.
pub struct Authority {
    certified: CertifiedKey,
    file: PathBuf,
    _folder: TempDir,
}

/// A port that speaks TLS, before a server that does not.
#[derive(Debug)]
pub struct SecureDoor {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Authority {
    /// A new authority of this name, that nobody knows.
    ///
    /// # Panics
    /// When its certificate cannot be made or written.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("an authority");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key_pair = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key_pair).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder for the authority");
        let file = folder.path().join("authority.pem");
        std::fs::write(&file, cert.pem()).expect("the authority's file");
        Self {
            certified: CertifiedKey { cert, key_pair },
            file,
            _folder: folder,
        }
    }

    /// The file for SSL_CERT_FILE.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A server's settings, with a certificate for 127.0.0.1 that is valid in these years.
    fn server(&self, years: Range<i32>) -> ServerConfig {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let (issuer, issuer_key) = (&self.certified.cert, &self.certified.key_pair);
        let certificate = params.signed_by(&key, issuer, issuer_key);
        let certificate = certificate.expect("a certificate").der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a server of TLS")
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Authority");
        text.field("file", &self.file).finish_non_exhaustive()
    }
}

impl SecureDoor {
    /// Opens a door on a free port of 127.0.0.1 before `server`, with a certificate of `authority` for these years.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(server: SocketAddr, authority: &Authority, years: Range<i32>) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(authority.server(years)));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime for the door");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port for the door");
        let address = listener.local_addr().expect("the door's address");
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else {
                        return;
                    };
                    let Ok(mut server) = TcpStream::connect(server).await else {
                        return;
                    };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self {
            address,
            _runtime: runtime,
        }
    }

    /// Its URL, for GOPROXY or `--upstream`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}
