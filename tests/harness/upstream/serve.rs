//! The server's thread: takes connections, answers requests, and lets faults happen on the way.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::fault::Fault;
use super::shelf::Answer;
use super::tally::{Seen, UnderWay};
use super::{Reach, Shared};
use crate::unheard::Unheard;

/// Bytes that are handed to a connection at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// Serves until it is told to stop; says once where it listens.
pub(super) fn run(
    listen: SocketAddr,
    shared: &Arc<Shared>,
    tell: &SyncSender<io::Result<SocketAddr>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the upstream");
    runtime.block_on(async {
        // Nobody else is given the port while this upstream is closed.
        let first = Unheard::at(listen).and_then(|kept| Ok((bind(kept.address())?, kept)));
        let (mut listener, kept) = match first {
            Ok(bound) => bound,
            Err(error) => return drop(tell.send(Err(error))),
        };
        let address = kept.address();
        let _ = tell.send(Ok(address));
        let mut reach = shared.reach.subscribe();
        loop {
            let closed = tokio::select! {
                () = shared.stop.cancelled() => return,
                _ = reach.wait_for(|reach| *reach == Reach::Closed) => true,
                taken = listener.accept() => {
                    if let Ok((stream, _)) = taken {
                        // Small answers must not wait for acknowledgements of their heads.
                        let _ = stream.set_nodelay(true);
                        tokio::spawn(converse(stream, Arc::clone(shared)));
                    }
                    false
                }
            };
            if closed {
                drop(listener);
                shared.listening.set(false);
                tokio::select! {
                    () = shared.stop.cancelled() => return,
                    _ = reach.wait_for(|reach| *reach != Reach::Closed) => {}
                }
                listener = bind(address).expect("the upstream cannot come back to its port");
                shared.listening.set(true);
            }
        }
    });
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let mut reach = shared.reach.subscribe();
    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        _ = reach.wait_for(|reach| *reach == Reach::Closed) => {}
        _ = connection => {}
        () = shared.stop.cancelled() => {}
    }
}

/// An error here makes hyper cut the connection.
async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> io::Result<Response<Pump>> {
    light(&shared).await;
    let raw = request.uri().path().trim_start_matches('/');
    let raw = raw.strip_prefix("base/").unwrap_or(raw);
    let path = percent_decoded(raw);
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let seen = Seen::new(&path, request.method().as_str(), headers);
    shared.tally.note(seen.clone());
    let under_way = UnderWay::begin(&shared);

    let range = request
        .headers()
        .get("range")
        .and_then(|range| {
            range
                .to_str()
                .ok()?
                .strip_prefix("bytes=")?
                .strip_suffix('-')
        })
        .and_then(|from| from.parse().ok());
    let fault = shared.faults.meet(&path);
    let mut sending = Sending::default();
    let mut declared = None;
    let mut location = None;
    let mut substitute = None;
    let mut retry_after = None;
    match fault {
        None => {}
        Some(Fault::Answer {
            status,
            content_type,
            body,
        }) => {
            substitute = Some(Answer::new(status, &content_type, body));
        }
        Some(Fault::Redirect(url)) => {
            substitute = Some(Answer::new(302, "text/plain", ""));
            location = Some(url);
        }
        Some(Fault::Later { status, seconds }) => {
            substitute = Some(Answer::new(status, "text/plain", "later\n"));
            retry_after = Some(seconds);
        }
        Some(Fault::Hang) => std::future::pending::<()>().await,
        Some(Fault::Late(time)) => tokio::time::sleep(time).await,
        Some(Fault::Drop) => return Err(io::ErrorKind::ConnectionAborted.into()),
        Some(Fault::Hold(mut held)) => drop(held.wait_for(|released| *released).await),
        Some(Fault::Trickle(rate)) => sending.bytes_per_second = Some(rate),
        Some(Fault::Stall(bytes)) => sending.stall_after = Some(bytes),
        Some(Fault::Cut(bytes)) => sending.cut_after = Some(bytes),
        Some(Fault::Length(bytes)) => declared = Some(bytes),
    }
    let mut answer = substitute.unwrap_or_else(|| shared.shelf().answer(&path));
    let part = range.and_then(|from| answer.rest(from, shared.shelf().offers_ranges));
    let length = declared.unwrap_or(answer.body.len() as u64);
    let mut response = Response::builder()
        .status(answer.status)
        .header("content-type", &answer.content_type)
        .header("content-length", length);
    if let Some(part) = part {
        response = response.header("content-range", part);
    }
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    if let Some(url) = location {
        response = response.header("location", url);
    }
    let (chunks, receiver) = mpsc::channel(1);
    if request.method() != "HEAD" {
        tokio::spawn(async move {
            sending.send(answer.body, chunks, seen, shared).await;
            drop(under_way);
        });
    }
    response.body(Pump(receiver)).map_err(io::Error::other)
}

/// Waits while the line is cut.
async fn light(shared: &Shared) {
    let _ = shared
        .reach
        .subscribe()
        .wait_for(|reach| *reach != Reach::Dark)
        .await;
}

/// How a body goes out.
#[derive(Debug, Default)]
struct Sending {
    bytes_per_second: Option<u32>,
    stall_after: Option<usize>,
    cut_after: Option<usize>,
}

impl Sending {
    async fn send(
        self,
        mut body: Bytes,
        chunks: mpsc::Sender<io::Result<Bytes>>,
        seen: Seen,
        shared: Arc<Shared>,
    ) {
        let end = self.cut_after.or(self.stall_after);
        if let Some(end) = end {
            body.truncate(end);
        }
        let chunk_bytes = match self.bytes_per_second {
            Some(rate) => (rate as usize / 10).clamp(1, CHUNK_BYTES),
            None => CHUNK_BYTES,
        };
        while !body.is_empty() {
            light(&shared).await;
            let chunk = body.split_to(chunk_bytes.min(body.len()));
            if let Some(rate) = self.bytes_per_second {
                let time = Duration::from_secs(1) * u32::try_from(chunk.len()).unwrap_or(u32::MAX)
                    / rate.max(1);
                tokio::time::sleep(time).await;
            }
            if let Some(through) = shared.line.through(chunk.len()) {
                tokio::time::sleep_until(through).await;
            }
            let bytes = chunk.len();
            if chunks.send(Ok(chunk)).await.is_err() {
                return; // the client went away
            }
            seen.count(bytes);
            shared.tally.progressed();
        }
        if self.cut_after.is_some() {
            let _ = chunks
                .send(Err(io::ErrorKind::ConnectionAborted.into()))
                .await;
        } else if self.stall_after.is_some() {
            chunks.closed().await;
        }
    }
}

/// A body whose chunks come from a task; its length is known to the head alone.
struct Pump(mpsc::Receiver<io::Result<Bytes>>);

impl Body for Pump {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0
            .poll_recv(context)
            .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Decodes `%21` and its kind, once.
fn percent_decoded(path: &str) -> String {
    let mut plain = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail
            .first_chunk::<2>()
            .filter(|_| *first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&plain).into_owned()
}
