//! Listening, accepting, ending: HTTP/1.1 connections, each with a place of its own.
//!
//! Whoever comes when all places are taken is told so, instead of being left to wait in the system's queue with everybody
//! else.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::AnswerBody;
use super::handle::Ends;
use super::outgoing::Outgoing;
use crate::fetch::Client;
use crate::seldom::Seldom;
use crate::shutdown::{END_DEADLINE, Shutdown};

/// Connections at a time; `go` keeps at most a few dozen open.
const CONNECTIONS_MAX: usize = 1024;
/// Further places that are kept for the daemon's own user: enough for a `go`, whatever other users of this machine hold.
const KEPT_FOR_OWNER: usize = 64;
/// How long a client may take to send a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// How long a client may take nothing (or a drip) of its answer. `go` unpacks and hashes while it reads, and a laptop may
/// be suspended for a moment; who is away for longer asks again.
const UNREAD_MAX: Duration = Duration::from_secs(2 * 60);
/// Clients at a time that are told that all places are taken; more than these are cut off without a word.
const TURNED_AWAY_MAX: usize = 64;
/// How long it may take to tell one of them.
const TURNING_AWAY_MAX: Duration = Duration::from_secs(2);
/// How long accepting rests after it failed, which it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

static UNACCEPTED: Seldom = Seldom::new();
static FULL: Seldom = Seldom::new();

/// Who answers.
pub(crate) trait Answering: Clone + Send + Sync + 'static {
    /// The answer to one request.
    fn answer(
        &self,
        request: Request<Incoming>,
        ends: Arc<Ends>,
    ) -> impl Future<Output = Response<AnswerBody>> + Send;

    /// The answer to any request while all places are taken.
    fn no_place(&self) -> Response<AnswerBody>;
}

/// A bound socket of the front door.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    places: Arc<Semaphore>,
    kept: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
    unread_max: Duration,
}

impl Listener {
    /// Binds `address`; port 0 takes any free one.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self {
            socket,
            address,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            kept: Arc::new(Semaphore::new(KEPT_FOR_OWNER)),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
            unread_max: UNREAD_MAX,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the end is requested, then lets answers under way finish until the deadline.
    pub(crate) async fn serve(self, door: impl Answering, shutdown: Shutdown) {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.requested() => break,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => self.welcome(stream, client, &door, &graceful, &shutdown),
                Err(error) => {
                    if let Some(left_out) = UNACCEPTED.turn() {
                        tracing::warn!(%error, left_out, "a connection could not be accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.socket);
        if tokio::time::timeout(END_DEADLINE, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("some answers were still being sent and are cut");
        }
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, client) = self.socket.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, client))
    }

    /// A place for the connection. Whose it is is looked for only when the places for everybody are taken.
    fn place_for(&self, ends: &Ends) -> Option<OwnedSemaphorePermit> {
        free_one(&self.places).or_else(|| free_one(&self.kept).filter(|_| ends.is_own_user()))
    }

    /// Gives a connection its place, or has its client told that there is none.
    fn welcome(
        &self,
        stream: TcpStream,
        client: SocketAddr,
        door: &impl Answering,
        graceful: &GracefulShutdown,
        shutdown: &Shutdown,
    ) {
        let server = stream.local_addr().unwrap_or(self.address);
        let ends = Ends::new(client, server);
        if let Some(place) = self.place_for(&ends) {
            let stream = Outgoing::new(stream, self.unread_max);
            let connection = converse(stream, ends, door.clone(), graceful.watcher());
            shutdown.spawn("connection", async move {
                connection.await;
                drop(place);
            });
            return;
        }
        if let Some(left_out) = FULL.turn() {
            tracing::warn!(
                left_out,
                "all places for connections are taken; a client is turned away"
            );
        }
        if let Some(place) = free_one(&self.turned_away) {
            let telling = turn_away(stream, door.clone());
            shutdown.spawn("no place", async move {
                // Who does not listen in time is cut off.
                let _told = tokio::time::timeout(TURNING_AWAY_MAX, telling).await;
                drop(place);
            });
        }
    }
}

/// One of the places of a kind, if one is free.
fn free_one(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).try_acquire_owned().ok()
}

async fn converse(stream: Outgoing<TcpStream>, ends: Ends, door: impl Answering, watcher: Watcher) {
    let (client, ends) = (ends.client, Arc::new(ends));
    let service = service_fn(|request| {
        let (door, ends) = (door.clone(), Arc::clone(&ends));
        async move { Ok::<_, Infallible>(door.answer(request, ends).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%client, %error, "a connection ended early");
    }
}

/// The request is read before it is answered, since clients take an answer to none for a fault.
async fn turn_away(stream: TcpStream, door: impl Answering) {
    let service = service_fn(|_: Request<Incoming>| {
        let answer = door.no_place();
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(TURNING_AWAY_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a client was not told that there is no place");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::metrics::{Metrics, Source};
    use crate::proxy::body::Content;

    const BODY_BYTES: usize = 32 << 20;

    /// Answers everything with a body that no socket takes at once.
    #[derive(Clone)]
    struct Giver(Metrics);

    impl Giver {
        fn give(&self, bytes: Vec<u8>, status: u16) -> Response<AnswerBody> {
            let content = Content::bytes(bytes);
            let body = AnswerBody::new(content, Source::Store, self.0.begin());
            let response = Response::builder().status(status);
            response.body(body).unwrap()
        }
    }

    impl Answering for Giver {
        async fn answer(&self, _: Request<Incoming>, _: Arc<Ends>) -> Response<AnswerBody> {
            self.give(vec![7; BODY_BYTES], 200)
        }

        fn no_place(&self) -> Response<AnswerBody> {
            self.give(b"no place\n".to_vec(), 503)
        }
    }

    /// A listener with one place, `kept` more for the daemon's own user, and little patience.
    async fn narrow(kept: usize, unread_max: Duration) -> (SocketAddr, Arc<Semaphore>) {
        let mut listener = Listener::bind("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        listener.places = Arc::new(Semaphore::new(1));
        listener.kept = Arc::new(Semaphore::new(kept));
        listener.unread_max = unread_max;
        let (address, places) = (listener.address(), Arc::clone(&listener.places));
        let (giver, shutdown) = (Giver(Metrics::new()), Shutdown::new());
        shutdown.spawn("test", listener.serve(giver, shutdown.clone()));
        (address, places)
    }

    async fn ask(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        stream
    }

    async fn all_of(mut stream: TcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A cut may show itself as an error or as an early end.
        let _ = stream.read_to_end(&mut bytes).await;
        bytes
    }

    #[tokio::test]
    async fn who_finds_all_places_taken_is_told_so() {
        let (address, _) = narrow(0, UNREAD_MAX).await;
        let mut first = ask(address).await;
        // It has its place when its answer begins.
        first.read_u8().await.unwrap();
        for _ in 0..3 {
            let answer = String::from_utf8(all_of(ask(address).await).await).unwrap();
            assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
            assert!(answer.ends_with("\r\n\r\nno place\n"), "{answer}");
        }
        let whole = all_of(first).await;
        assert!(whole.ends_with(&[7; 1000]) && whole.len() > BODY_BYTES);
    }

    #[tokio::test]
    async fn places_are_kept_for_the_daemons_own_user() {
        let (address, _) = narrow(1, UNREAD_MAX).await;
        let mut clients = [ask(address).await, ask(address).await];
        for client in &mut clients {
            client.read_u8().await.unwrap();
        }
        let third = String::from_utf8(all_of(ask(address).await).await).unwrap();
        assert!(third.starts_with("HTTP/1.1 503"), "{third}");
        for client in clients {
            assert!(all_of(client).await.len() > BODY_BYTES);
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_gives_its_place_back() {
        let (address, places) = narrow(0, Duration::from_millis(100)).await;
        let mut idle = ask(address).await;
        idle.read_u8().await.unwrap();
        let free = places.acquire().await.unwrap();
        assert!(all_of(idle).await.len() < BODY_BYTES);
        drop(free);
        let whole = all_of(ask(address).await).await;
        assert!(whole.len() > BODY_BYTES, "{} bytes", whole.len());
    }
}
