//! Connections: straight, through an HTTP or SOCKS proxy of the environment, and with one deadline over all of it.
//!
//! TLS to the entry is spoken end to end through a proxy's tunnel; only plain http entries are asked of the proxy
//! itself, in absolute form, as every HTTP proxy expects it.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use super::proxies::{Kind, Proxies};

type BoxError = Box<dyn Error + Send + Sync>;

/// Makes connections that are ready for HTTP.
#[derive(Clone)]
pub(super) struct Connector {
    inner: HttpsConnector<Way>,
    timeout: Duration,
}

/// The connection was not ready in time.
#[derive(Debug, thiserror::Error)]
#[error("no connection within {0:?}")]
pub(super) struct DeadlinePassed(Duration);

/// The way to a host, up to where its own protocol begins.
#[derive(Clone)]
pub(super) struct Way {
    tcp: HttpConnector,
    /// A proxy may itself be reached by TLS.
    to_proxy: HttpsConnector<HttpConnector>,
    proxies: Arc<Proxies>,
}

/// The bytes on that way.
pub(super) struct Line {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    ends_at_proxy: bool,
}

impl Connector {
    pub(super) fn new(tls: ClientConfig, proxies: Arc<Proxies>, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        let to_proxy = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp.clone());
        let way = Way {
            tcp,
            to_proxy,
            proxies,
        };
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(way);
        Self { inner, timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Line>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, timeout) = (self.inner.call(to), self.timeout);
        Box::pin(async move {
            match tokio::time::timeout(timeout, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(DeadlinePassed(timeout).into()),
            }
        })
    }
}

impl Service<Uri> for Way {
    type Response = Line;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Line, BoxError>>;

    /// Always ready: the connectors below hold no permits.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().lay(to))
    }
}

impl Way {
    async fn lay(mut self, to: Uri) -> Result<Line, BoxError> {
        let Some(proxy) = self.proxies.for_uri(&to) else {
            let stream = MaybeHttpsStream::Http(self.tcp.call(to).await?);
            return Ok(Line::to_the_end(stream));
        };
        match proxy.kind {
            Kind::Socks => {
                let mut socks = SocksV5::new(proxy.uri, self.tcp);
                if let Some((user, password)) = proxy.login {
                    socks = socks.with_auth(user, password);
                }
                let stream = MaybeHttpsStream::Http(socks.call(to).await?);
                Ok(Line::to_the_end(stream))
            }
            Kind::Http if to.scheme_str() == Some("https") => {
                let mut tunnel = Tunnel::new(proxy.uri, self.to_proxy);
                if let Some(basic) = proxy.basic_auth {
                    tunnel = tunnel.with_auth(basic);
                }
                Ok(Line::to_the_end(tunnel.call(to).await?))
            }
            Kind::Http => Ok(Line {
                stream: self.to_proxy.call(proxy.uri).await?,
                ends_at_proxy: true,
            }),
        }
    }
}

impl Line {
    fn to_the_end(stream: MaybeHttpsStream<TokioIo<TcpStream>>) -> Self {
        Self {
            stream,
            ends_at_proxy: false,
        }
    }
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.ends_at_proxy)
    }
}

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}
