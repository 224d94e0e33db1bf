//! A town of fakes on loopback: proxies that answer by script, over sockets that can be cut at any byte.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modmesh_protocol::goproxy::ProxyList;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::upstream::{Options, ProxySettings, RequestKind, Upstream, Watch};

/// What a fake does when a path is asked.
#[derive(Clone, Debug)]
pub(super) enum Script {
    /// Sends these bytes and keeps the connection.
    Send(String),
    /// Sends these bytes after so long, and keeps the connection.
    Late(String, Duration),
    /// Sends these bytes and closes.
    Cut(String),
    /// Sends these bytes and then nothing more.
    Hang(String),
    /// Sends these bytes, and then one more byte again and again with this pause.
    Trickle(String, Duration),
    /// The first of these for the first request, and so on; the last for all further ones.
    InTurn(Vec<Script>),
}

/// A proxy that answers by script, and 404 to everything else.
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

/// Counts what an upstream reports.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) requests: Mutex<Vec<(RequestKind, u16)>>,
    pub(super) bytes: AtomicUsize,
}

impl Fake {
    pub(super) async fn new(scripts: impl IntoIterator<Item = (&str, Script)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::at(listener, scripts)
    }

    pub(super) fn at<'a>(
        listener: TcpListener,
        scripts: impl IntoIterator<Item = (&'a str, Script)>,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let scripts: HashMap<String, Script> = scripts
            .into_iter()
            .map(|(path, script)| (path.to_owned(), script))
            .collect();
        let (scripts, seen) = (Arc::new(scripts), Arc::new(Seen::default()));
        let mut tasks = JoinSet::new();
        let accepted = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                accepted.connections.fetch_add(1, Ordering::SeqCst);
                let (scripts, seen) = (Arc::clone(&scripts), Arc::clone(&accepted));
                connections.spawn(async move { serve(stream, &scripts, &seen).await });
            }
        });
        Self {
            address,
            seen,
            _tasks: tasks,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The request heads that came in, in order.
    pub(super) fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Returns when this many requests have come in.
    pub(super) async fn until_asked(&self, times: usize) {
        let asked = async {
            while self.seen.heads.lock().unwrap().len() < times {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asked)
            .await
            .expect("the fake was not asked");
    }
}

impl Seen {
    /// What is done for the request for `path` that was noted last.
    fn turn(&self, path: &str, script: Script) -> Script {
        let Script::InTurn(mut scripts) = script else {
            return script;
        };
        let is_for = |head: &&String| head.split(' ').nth(1) == Some(path);
        let before = self.heads.lock().unwrap().iter().filter(is_for).count() - 1;
        scripts.swap_remove(before.min(scripts.len() - 1))
    }
}

impl Watch for Counts {
    fn request(&self, kind: RequestKind, code: u16) {
        self.requests.lock().unwrap().push((kind, code));
    }

    fn received_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes as usize, Ordering::SeqCst);
    }
}

/// An answer with status and body, and a length that is true.
pub(super) fn answer(status: u16, content_type: &str, body: &str) -> Script {
    Script::Send(format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

pub(super) fn ok(body: &str) -> Script {
    answer(200, "text/plain", body)
}

pub(super) fn redirect(to: &str) -> Script {
    Script::Send(format!(
        "HTTP/1.1 302 X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
    ))
}

/// Generous deadlines, no second tries, and nothing from the environment of whoever runs the tests.
pub(super) fn options() -> Options {
    Options {
        connect_timeout: Duration::from_secs(20),
        header_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(20),
        pause: Duration::from_secs(600),
        pause_max: Duration::from_secs(600),
        retries: 0,
        retry_pause: Duration::from_millis(1),
        proxies: ProxySettings::default(),
        ..Options::default()
    }
}

pub(super) fn upstream(list: &str, options: Options) -> Upstream {
    watched(list, options).0
}

pub(super) fn watched(list: &str, options: Options) -> (Upstream, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let list = ProxyList::parse(list).unwrap();
    let watch: Arc<dyn Watch> = Arc::clone(&counts) as _;
    (Upstream::new(list, options, watch).unwrap(), counts)
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    scripts: &HashMap<String, Script>,
    seen: &Seen,
) {
    while let Some(head) = read_head(&mut stream).await {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        seen.heads.lock().unwrap().push(head);
        let not_found = answer(404, "text/html", "<html>");
        let script = scripts.get(&path).cloned().unwrap_or(not_found);
        let (bytes, then) = match seen.turn(&path, script) {
            Script::InTurn(_) => return,
            Script::Send(bytes) => (bytes, None),
            Script::Late(bytes, pause) => {
                tokio::time::sleep(pause).await;
                (bytes, None)
            }
            Script::Cut(bytes) => {
                let _ = stream.write_all(bytes.as_bytes()).await;
                return;
            }
            Script::Hang(bytes) => (bytes, Some(Duration::MAX)),
            Script::Trickle(bytes, pause) => (bytes, Some(pause)),
        };
        if stream.write_all(bytes.as_bytes()).await.is_err() {
            return;
        }
        let Some(pause) = then else { continue };
        // Ends when the client closes.
        loop {
            let mut byte = [0];
            if let Ok(read) = tokio::time::timeout(pause, stream.read(&mut byte)).await {
                assert_eq!(read.unwrap_or(0), 0, "a request behind an unanswered one");
                return;
            }
            if stream.write_all(b"x").await.is_err() {
                return;
            }
        }
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
