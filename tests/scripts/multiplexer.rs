//! The one address that scripts see as their proxy, and behind it the daemon that each path belongs to.
//!
//! It changes the path and the `Host`, and nothing else: bodies pass as they come, and are cut where they are cut. What is
//! asked of a checksum database that a script names with its URL goes straight to the origin, as `go` asks such databases
//! without its proxy.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, client, server};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::hosts::Hosts;

/// What the origin's GOPROXY ends in; some scripts look for it in what `go` says.
const BASE: &str = "/mod";
/// Databases that scripts name with their URL.
const DATABASES: [&str; 3] = ["sumdb-direct", "sumdb-redirect", "sumdb-wrong"];

/// The running multiplexer. It ends with the process.
#[derive(Debug)]
pub(crate) struct Multiplexer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    routes: Mutex<Routes>,
    counts: Mutex<Counts>,
}

/// Where paths lead to; addresses are `IP:PORT`.
#[derive(Debug, Default, Clone)]
struct Routes {
    origin: String,
    ways: Vec<(&'static str, String)>,
}

/// Answers by their status; 0 are those that broke off.
#[derive(Debug, Default)]
pub(crate) struct Counts(BTreeMap<u16, u64>);

impl Multiplexer {
    /// Listens on a free port of loopback.
    pub(crate) fn start(origin: &str, hosts: &Hosts) -> Self {
        let shared = Arc::new(Shared::default());
        let (tell, told) = mpsc::sync_channel(1);
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime for the multiplexer");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let _ = tell.send(listener.local_addr().expect("its address"));
                serve(listener, serving).await;
            });
        });
        let multiplexer = Self {
            address: told.recv().expect("the multiplexer cannot listen"),
            shared,
        };
        multiplexer.shared.routes.lock().unwrap().origin = origin.to_owned();
        multiplexer.lead_to(hosts);
        multiplexer
    }

    /// The GOPROXY of the scripts.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{BASE}", self.address)
    }

    /// From now on these daemons answer.
    pub(crate) fn lead_to(&self, hosts: &Hosts) {
        let address = |url: String| url.trim_start_matches("http://").to_owned();
        let ways = hosts.ways().map(|(way, url)| (way, address(url)));
        self.shared.routes.lock().unwrap().ways = ways.collect();
    }

    /// What was answered since the last time.
    pub(crate) fn take_counts(&self) -> Counts {
        std::mem::take(&mut self.shared.counts.lock().unwrap())
    }
}

impl Counts {
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests", self.total())?;
        for (status, times) in &self.0 {
            match status {
                0 => write!(f, ", broken off {times}")?,
                _ => write!(f, ", {status}: {times}")?,
            }
        }
        Ok(())
    }
}

impl Routes {
    /// The address that a path leads to, and the path there.
    fn lead(&self, path: &str) -> Option<(&str, String)> {
        let rest = path.strip_prefix(BASE)?;
        let first = rest.strip_prefix('/')?.split('/').next()?;
        if DATABASES.contains(&first) {
            return Some((&self.origin, path.to_owned()));
        }
        for (way, address) in &self.ways {
            let below = rest[1..].strip_prefix(way);
            if let Some(below) = below.filter(|below| !way.is_empty() && below.starts_with('/')) {
                return Some((address, below.to_owned()));
            }
        }
        // Module paths have a dot in their first element: everything else would be a way that no daemon stands for.
        let usual = first.contains('.') || first == "sumdb";
        let (_, address) = self.ways.iter().find(|(way, _)| way.is_empty())?;
        usual.then(|| (address.as_str(), rest.to_owned()))
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&shared)));
            let connection = server::conn::http1::Builder::new();
            let _ = connection
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// An error here makes hyper cut the connection.
async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> io::Result<Response<Either<Incoming, Full<Bytes>>>> {
    let answer = pass_on(request, &shared).await;
    let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
    *shared.counts.lock().unwrap().0.entry(status).or_default() += 1;
    answer
}

async fn pass_on(
    request: Request<Incoming>,
    shared: &Shared,
) -> io::Result<Response<Either<Incoming, Full<Bytes>>>> {
    let routes = shared.routes.lock().unwrap().clone();
    let (mut head, body) = request.into_parts();
    let Some((address, path)) = routes.lead(head.uri.path()) else {
        let text = format!("no daemon of this run stands for {}\n", head.uri.path());
        let mut response = Response::new(Either::Right(Full::new(text.into())));
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        return Ok(response);
    };
    head.uri = path.parse().map_err(io::Error::other)?;
    let host = HeaderValue::from_str(address).map_err(io::Error::other)?;
    head.headers.insert(HOST, host);
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let request = Request::from_parts(head, body.boxed());
    let response = sender.send_request(request).await;
    response
        .map(|response| response.map(Either::Left))
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_the_daemon_whose_upstream_it_is() {
        let ways = ["", "403", "redirect/9", "sumdb-503"];
        let routes = Routes {
            origin: "origin".to_owned(),
            ways: ways.map(|way| (way, format!("daemon {way}"))).into(),
        };
        let lead = |path| routes.lead(path).map(|(to, path)| format!("{to}: {path}"));
        for (path, led) in [
            ("/mod/rsc.io/q/@v/list", Some("daemon : /rsc.io/q/@v/list")),
            (
                "/mod/sumdb/x.dev/latest",
                Some("daemon : /sumdb/x.dev/latest"),
            ),
            (
                "/mod/403/rsc.io/@v/list",
                Some("daemon 403: /rsc.io/@v/list"),
            ),
            ("/mod/redirect/9/rsc.io", Some("daemon redirect/9: /rsc.io")),
            ("/mod/sumdb-503/sumdb/x", Some("daemon sumdb-503: /sumdb/x")),
            (
                "/mod/sumdb-wrong/latest",
                Some("origin: /mod/sumdb-wrong/latest"),
            ),
            (
                "/mod/sumdb-redirect/a@v1:/lookup/b",
                Some("origin: /mod/sumdb-redirect/a@v1:/lookup/b"),
            ),
            ("/mod/redirect/8/rsc.io/@v/list", None),
            ("/mod/405/rsc.io/@v/list", None),
            ("/rsc.io/q/@v/list", None),
        ] {
            assert_eq!(lead(path).as_deref(), led, "{path}");
        }
    }
}
