//! Remembers what a real upstream answered and says the same again, without a network.
//!
//! A [`Replay`] that records asks the real upstream once for every path and keeps the answer on disk; one that replays
//! knows only the disk, and answers 404 for what it never saw and counts it. Measurements then differ in nothing but what
//! is measured. Answers are kept with their status and type as they came, redirects followed; nothing is verified.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use modmesh_protocol::digest::BlobId;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::place::Place;

/// A server of remembered answers.
#[derive(Debug)]
pub struct Replay {
    address: SocketAddr,
    tape: Arc<Tape>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// The answers on disk, and the upstream to ask for those that are not there yet.
#[derive(Debug)]
struct Tape {
    directory: PathBuf,
    source: Option<(String, HttpsClient)>,
    requests: AtomicU64,
    bytes: AtomicU64,
    missing: AtomicU64,
    lookups: AtomicU64,
    tiles: AtomicU64,
    other_of_databases: AtomicU64,
}

/// How often a checksum database was asked through a replay.
#[derive(Debug, Clone, Copy)]
pub struct Questions {
    /// `lookup/MODULE@VERSION`.
    pub lookups: u64,
    /// `tile/...`.
    pub tiles: u64,
    /// `supported` and `latest`.
    pub other_of_databases: u64,
}

type HttpsClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// The head of an answer; its body lies beside it.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    path: String,
    status: u16,
    content_type: String,
}

/// The first upstream that the go command of this machine is set up with: what `go env GOPROXY` begins with.
pub fn real_upstream() -> Option<String> {
    let output = std::process::Command::new("go")
        .args(["env", "GOPROXY"])
        .output()
        .ok()?;
    let list = String::from_utf8(output.stdout).ok()?;
    let first = list.trim().split([',', '|']).next()?;
    first
        .starts_with("http")
        .then(|| first.trim_end_matches('/').to_owned())
}

impl Replay {
    /// Asks `upstream` for what `directory` does not hold yet.
    pub fn record(directory: &Path, upstream: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .expect("the certificates of this system")
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start(
            directory,
            Some((upstream.to_owned(), client)),
            &Place::Here,
            listen,
        )
    }

    /// Answers from `directory` alone, on a free port of 127.0.0.1.
    pub fn play(directory: &Path) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::play_in(directory, &Place::Here, listen)
    }

    /// Answers from `directory` alone, on an address of a place.
    pub fn play_in(directory: &Path, place: &Place, listen: SocketAddr) -> Self {
        Self::start(directory, None, place, listen)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, for GOPROXY or `--upstream`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.tape.requests.load(Ordering::Relaxed)
    }

    /// Bytes of bodies so far.
    pub fn bytes(&self) -> u64 {
        self.tape.bytes.load(Ordering::Relaxed)
    }

    /// Requests that could not be answered from disk nor from the upstream.
    pub fn missing(&self) -> u64 {
        self.tape.missing.load(Ordering::Relaxed)
    }

    /// Requests so far that were for a checksum database.
    pub fn questions(&self) -> Questions {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Questions {
            lookups: of(&self.tape.lookups),
            tiles: of(&self.tape.tiles),
            other_of_databases: of(&self.tape.other_of_databases),
        }
    }

    fn start(
        directory: &Path,
        source: Option<(String, HttpsClient)>,
        place: &Place,
        listen: SocketAddr,
    ) -> Self {
        std::fs::create_dir_all(directory).expect("the directory of the recording");
        let tape = Arc::new(Tape {
            directory: directory.to_owned(),
            source,
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            missing: AtomicU64::new(0),
            lookups: AtomicU64::new(0),
            tiles: AtomicU64::new(0),
            other_of_databases: AtomicU64::new(0),
        });
        let stop = CancellationToken::new();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let (playing, stopped) = (Arc::clone(&tape), stop.clone());
        let thread = place.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime for the replay");
            runtime.block_on(async {
                let listener = TcpListener::bind(listen).await.unwrap_or_else(|error| {
                    panic!("the replay cannot listen on {listen}: {error}")
                });
                let _ = tell.send(listener.local_addr().expect("an address"));
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = serve(listener, playing) => {}
                }
            });
        });
        Self {
            address: told.recv().expect("the replay cannot listen"),
            tape,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, tape: Arc<Tape>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let tape = Arc::clone(&tape);
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let tape = Arc::clone(&tape);
                    async move { tape.answer(request.uri().path()).await }
                });
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }
}

impl Tape {
    async fn answer(&self, path: &str) -> Result<Response<Full<Bytes>>, http::Error> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if path.starts_with("/sumdb/") {
            let counter = if path.contains("/lookup/") {
                &self.lookups
            } else if path.contains("/tile/") {
                &self.tiles
            } else {
                &self.other_of_databases
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let answer = match self.read(path) {
            Some(answer) => Some(answer),
            None => self.ask(path).await,
        };
        let (head, body) = answer.unwrap_or_else(|| {
            self.missing.fetch_add(1, Ordering::Relaxed);
            let head = Head {
                path: path.to_owned(),
                status: 404,
                content_type: "text/plain; charset=utf-8".to_owned(),
            };
            (head, Bytes::from_static(b"not found: never recorded"))
        });
        self.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        Response::builder()
            .status(head.status)
            .header("content-type", head.content_type)
            .body(Full::new(body))
    }

    /// Asks the real upstream and keeps what it says. Errors of a server are passed on and not kept.
    async fn ask(&self, path: &str) -> Option<(Head, Bytes)> {
        let (upstream, client) = self.source.as_ref()?;
        let mut url: http::Uri = format!("{upstream}{path}").parse().ok()?;
        for _ in 0..10 {
            let request = Request::get(&url)
                .header("user-agent", "modmesh-recorder")
                .body(Empty::new())
                .ok()?;
            let (head, body) = client.request(request).await.ok()?.into_parts();
            let text = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok());
            if let (true, Some(next)) = (head.status.is_redirection(), text("location")) {
                url = next.parse().ok()?;
                continue;
            }
            let answer = Head {
                path: path.to_owned(),
                status: head.status.as_u16(),
                content_type: text("content-type").unwrap_or("text/plain").to_owned(),
            };
            let body = body.collect().await.ok()?.to_bytes();
            if answer.status < 500 {
                self.write(&answer, &body);
            }
            return Some((answer, body));
        }
        None
    }

    fn read(&self, path: &str) -> Option<(Head, Bytes)> {
        let (head, body) = self.files(path);
        let head = serde_json::from_slice(&std::fs::read(head).ok()?).ok()?;
        Some((head, std::fs::read(body).ok()?.into()))
    }

    /// The head is written last: an answer without it was never recorded.
    fn write(&self, head: &Head, body: &[u8]) {
        let (head_file, body_file) = self.files(&head.path);
        std::fs::write(body_file, body).expect("a recorded body");
        let head = serde_json::to_vec(head).expect("a recorded head");
        std::fs::write(head_file, head).expect("a recorded head");
    }

    fn files(&self, path: &str) -> (PathBuf, PathBuf) {
        let name = BlobId::of(path.as_bytes()).to_string();
        (
            self.directory.join(format!("{name}.json")),
            self.directory.join(format!("{name}.body")),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FakeUpstream, GoHome, Module};

    #[test]
    fn what_was_recorded_once_is_replayed_without_the_upstream() {
        let upstream = FakeUpstream::start([Module::package("example.com/hello", "v1.0.0")]);
        let directory = tempfile::tempdir().unwrap();
        let sumdb = upstream.sumdb();
        let recorder = Replay::record(directory.path(), &upstream.url());
        let download = |url: &str| {
            GoHome::new(url, &sumdb)
                .download("example.com/hello@v1.0.0")
                .expect_success()
        };
        download(&recorder.url());
        drop(upstream);
        let replay = Replay::play(directory.path());
        download(&replay.url());
        assert_eq!(replay.missing(), 0);
        assert_eq!(replay.requests(), recorder.requests());
    }
}
